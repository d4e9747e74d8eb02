//! The Tercet server as one program: configuration, listeners, TLS, the command line and the local admin socket.
//!
//! The binary is [`cli::main`] and nothing else; it is a library so that integration tests reach the parts.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod admin;
pub mod assemble;
pub mod cli;
pub mod config;
pub mod listen;
pub mod logging;
pub mod peers;
pub mod qr;
pub mod reach;
pub mod runtime;
pub mod tls;
