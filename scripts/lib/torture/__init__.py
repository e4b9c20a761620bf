"""The parts of `scripts/torture`, a module each, and what they share (modules that begin with `_`)."""
