//! Multi-User Chat: the rules of rooms.

pub mod affiliation;
pub mod config;
pub mod status;
