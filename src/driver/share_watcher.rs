//! Noticing what changes in share/.
