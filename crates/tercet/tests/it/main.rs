//! Integration tests of the program.
#![allow(clippy::unwrap_used)]

mod accounts;
mod commands;
mod lab;
mod running;
mod transcripts;
