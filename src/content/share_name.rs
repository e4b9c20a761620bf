//! A file's path below share/.
