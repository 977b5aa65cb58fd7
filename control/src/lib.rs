//! The control side of adit.

pub mod config;
