//! Noticing the unfinished downloads beside us.
