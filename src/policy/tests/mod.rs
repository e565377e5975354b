//! Whole supervisors with simulated clusters.

mod behaviour;
mod checker;
mod diff;
mod world;
