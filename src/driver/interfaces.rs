//! The machine's addresses and group memberships.
