//! Opening files beneath a held folder handle.
