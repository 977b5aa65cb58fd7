//! The packet path of adit.
