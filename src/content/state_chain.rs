//! SHA-1 as a chain of states.
