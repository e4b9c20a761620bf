//! Looking for a content in share/.
