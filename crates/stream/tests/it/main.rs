//! Dialogues with streams of clients and servers: no socket, no clock. Every dialogue runs with its input whole, in
//! single bytes, and cut in two at every place (see `support::dialogue`).
#![allow(clippy::unwrap_used)]

mod bad_input;
mod binding;
mod component;
mod login;
mod opening;
mod registration;
mod rfc6120;
mod s2s;
mod sasl2;
mod sm;
mod stanzas;
mod support;
mod timers;
mod tls;
mod upgrade;
mod websocket;
