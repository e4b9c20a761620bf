//! The one socket.
