//! Reading ranges of objects and sending them as data packets.
