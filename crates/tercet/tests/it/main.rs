//! Integration tests of the program.
#![allow(clippy::unwrap_used)]

mod accounts;
mod commands;
mod invites;
mod lab;
mod rooms;
mod running;
mod transcripts;
mod transfer;
