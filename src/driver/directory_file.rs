//! d.json, replaced in one step.
