//! Datagrams to values and back.
