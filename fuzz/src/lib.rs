//! What a peer can send, as functions from bytes to a panic or nothing.
//!
//! Each target states properties of one parser or machine and panics where they do not hold. The targets are plain functions:
//! the runner of this package (`cargo xtask fuzz`) feeds them its corpus and mutations of it on any stable compiler, and a fuzzer with
//! coverage can feed them too.

pub mod mutate;
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
    targets::jid::TARGET,
    targets::stanza::TARGET,
    targets::xml_framing::TARGET,
];
