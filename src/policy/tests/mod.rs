//! Whole supervisors with simulated clusters.

mod behaviour;
mod checker;
mod costs;
mod diff;
mod federations;
mod guards;
mod leaving;
mod world;
