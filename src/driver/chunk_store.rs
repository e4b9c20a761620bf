//! The chunks/ folder of one fetch.
