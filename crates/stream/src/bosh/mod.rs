//! BOSH (XEP-0124 1.11.2, XEP-0206 1.4): a client's stream in HTTP requests, without HTTP.
//!
//! A client sends `<body/>` elements, numbered, over whatever connections it has; each is answered by one, in the same
//! order, at once or when there is something to say. [`Session`] keeps order, repeats lost answers, and ends where rules
//! are broken; its other side is a [`C2sStream`](crate::C2sStream) with [`Framing::Bosh`](crate::Framing::Bosh).
//!
//! A driver reads a request in two steps: [`Head::read`] as soon as the start tag is there, which names the session and
//! thus the bounds, and [`payloads`] once all of it is. Then [`Session::open`] or [`Session::request`].
//!
//! Not here: several streams in one session (XEP-0124 §16), the script syntax, encodings other than UTF-8.

mod answer;
mod condition;
mod head;
mod keys;
mod payloads;
mod session;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::random::{Purpose, Random};

pub use answer::Answer;
pub use condition::Condition;
pub use head::Head;
pub use payloads::{Payloads, payloads};
pub use session::{Exchange, Request, Session, Way};

/// The wrapper (XEP-0124 §4).
const HTTPBIND: &str = "http://jabber.org/protocol/httpbind";
/// What XMPP adds to it (XEP-0206).
const XBOSH: &str = "urn:xmpp:xbosh";
/// XEP-0124 §7.1: the version that is spoken here.
const VERSION: (u32, u32) = (1, 11);

/// Bytes of a wrapper's start tag, and of what may stand before it.
pub const HEAD_BYTES: usize = 4096;

/// What sessions may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The longest that a request is kept waiting.
    pub wait: Duration,
    /// The most requests that are kept waiting.
    pub hold: u32,
    /// Time without a request under way after which a session ends.
    pub inactivity: Duration,
    /// Empty requests that tell nothing new come no faster, one after the other.
    pub polling: Duration,
    /// The longest pause.
    pub max_pause: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            wait: Duration::from_secs(60),
            hold: 2,
            inactivity: Duration::from_secs(60),
            polling: Duration::from_secs(2),
            max_pause: Duration::from_secs(120),
        }
    }
}

/// A session's name that nobody can guess (XEP-0124 §7.2), of 24 characters. `seed` must be random and never used twice.
pub fn session_name(seed: [u8; 32]) -> String {
    Random::new(seed).name(Purpose::Session)
}
