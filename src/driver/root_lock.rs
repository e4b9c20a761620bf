//! One peer a folder, the newest one.
