//! Whole supervisors with simulated clusters.

mod behaviour;
mod checker;
mod costs;
mod federations;
mod guards;
mod leaving;
mod world;
