//! What a peer can send, as functions from bytes to a panic or nothing.
//!
//! Each target states properties of one parser or machine and panics where they do not hold. The targets are plain functions:
//! the runner of this package (`cargo xtask fuzz`) feeds them its corpus and mutations of it on any stable compiler, and a fuzzer with
//! coverage can feed them too.

pub mod mutate;
mod server;
mod targets;

/// A fuzz target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, which is also the folder of its corpus.
    pub name: &'static str,
    /// Panics when a property does not hold for the input.
    pub run: fn(&[u8]),
    /// Pieces that mutations put in, beside what the corpus has.
    pub dictionary: &'static [&'static str],
}

/// All targets.
pub const TARGETS: &[Target] = &[
    targets::bosh::TARGET,
    targets::c2s_stream::TARGET,
    targets::component::TARGET,
    targets::grammar::TARGET,
    targets::jid::TARGET,
    targets::proxy_header::TARGET,
    targets::rooms::TARGET,
    targets::s2s_stream::TARGET,
    targets::sasl::TARGET,
    targets::socks::TARGET,
    targets::stanza::TARGET,
    targets::vcards::TARGET,
    targets::websocket::TARGET,
    targets::xml_framing::TARGET,
];

/// Runs the target called `name`, for a fuzzer that brings its own inputs.
///
/// # Panics
/// When a property does not hold for `data`, or no target has that name.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.expect("a fuzzer asks for a target of the list");
    (target.run)(data);
}
