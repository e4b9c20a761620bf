//! Strangers' text made safe for a terminal.
