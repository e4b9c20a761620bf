//! Hashing files in slices.
