//! The control side of adit.
