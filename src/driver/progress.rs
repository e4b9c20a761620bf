//! The progress line.
