//! Arguments to a validated command.
