//! From chunks/ to share/ in one step.
