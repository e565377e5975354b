//! Behaviour of the double.
