//! A set of disjoint ranges of integers.
