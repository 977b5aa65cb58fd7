//! The control side of adit.

pub mod api;
pub mod capture;
pub mod command;
pub mod config;
pub mod engine;
pub mod explain;
pub mod neighbor;
pub mod replay;
pub mod report;
pub mod yaml;
