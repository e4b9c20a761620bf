//! The mio loop.
