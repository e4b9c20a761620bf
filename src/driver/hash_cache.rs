//! What was hashed before, kept in .sprat/.
