//! What waits for one pair of domains: in its order, within a bound in bytes and in time.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tercet_core::StanzaError;
use tercet_server::Letter;
use tokio::sync::Notify;

/// Bytes that wait for one pair of domains.
const BYTES_MAX: usize = 1 << 20;
/// How long a stanza waits for a connection.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The stanzas from one domain of this server to one of another.
#[derive(Default)]
pub(super) struct Mailbox {
    state: Mutex<State>,
    something: Notify,
}

#[derive(Default)]
struct State {
    letters: VecDeque<(Instant, Letter)>,
    bytes: usize,
    /// The other server is out of reach, and will not be tried again for a while: what everybody is told meanwhile.
    closed: Option<StanzaError>,
}

impl Mailbox {
    /// Adds a stanza at the end.
    ///
    /// # Errors
    /// The stanza, and why it cannot wait here.
    pub(super) fn push(
        &self,
        letter: Letter,
        now: Instant,
    ) -> Result<(), Box<(Letter, StanzaError)>> {
        let mut state = self.lock();
        if let Some(error) = &state.closed {
            let error = error.clone();
            return Err(Box::new((letter, error)));
        }
        if state.bytes + letter.bytes.len() > BYTES_MAX {
            let error = StanzaError::resource_constraint()
                .text("too much is waiting for this domain's server already");
            return Err(Box::new((letter, error)));
        }
        state.bytes += letter.bytes.len();
        state.letters.push_back((now, letter));
        drop(state);
        self.something.notify_one();
        Ok(())
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().letters.is_empty()
    }

    /// Ready when something waits.
    pub(super) async fn filled(&self) {
        while self.is_empty() {
            self.something.notified().await;
        }
    }

    /// Moves what waits to the end of `out`, up to about so many bytes. Stanzas above `limit` bytes, which the other server
    /// does not take, are returned instead.
    pub(super) fn take(&self, out: &mut Vec<u8>, most: usize, limit: Option<u32>) -> Vec<Letter> {
        let mut refused = Vec::new();
        let mut state = self.lock();
        while out.len() < most {
            let Some((_, letter)) = state.letters.pop_front() else {
                break;
            };
            state.bytes -= letter.bytes.len();
            match limit {
                // XEP-0478 §4: not sent where it is known to be too long.
                Some(limit) if letter.bytes.len() > limit as usize => refused.push(letter),
                _ => out.extend_from_slice(&letter.bytes),
            }
        }
        refused
    }

    /// When the first of them has waited for too long.
    pub(super) fn overdue(&self) -> Option<Instant> {
        let state = self.lock();
        state.letters.front().map(|(since, _)| *since + PATIENCE)
    }

    /// Gives back all that waits, and from now on everything, with this error.
    pub(super) fn close(&self, error: &StanzaError) -> Vec<Letter> {
        let mut state = self.lock();
        state.closed = Some(error.clone());
        state.bytes = 0;
        state.letters.drain(..).map(|(_, letter)| letter).collect()
    }

    /// Takes stanzas again.
    pub(super) fn open(&self) {
        self.lock().closed = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(body: &str) -> Letter {
        let xml = format!("<message from='a@b.test/r' to='c@d.test'>{body}</message>");
        Letter::parse(xml.into_bytes()).unwrap()
    }

    #[test]
    fn stanzas_go_out_in_their_order_and_those_too_long_for_the_peer_do_not() {
        let mailbox = Mailbox::default();
        let now = Instant::now();
        for body in ["one", &"long".repeat(100), "two"] {
            assert!(mailbox.push(letter(body), now).is_ok());
        }
        assert_eq!(mailbox.overdue(), Some(now + PATIENCE));
        let mut out = Vec::new();
        let refused = mailbox.take(&mut out, usize::MAX, Some(200));
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.find("one").unwrap() < text.find("two").unwrap(),
            "{text}"
        );
        assert_eq!(refused.len(), 1);
        assert!(mailbox.is_empty());
        assert_eq!(mailbox.overdue(), None);
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_and_what_has_left_does_not_count() {
        let mailbox = Mailbox::default();
        let long = "x".repeat(BYTES_MAX / 3);
        let now = Instant::now();
        assert!(mailbox.push(letter(&long), now).is_ok());
        assert!(mailbox.push(letter(&long), now).is_ok());
        assert!(mailbox.push(letter(&long), now).is_err());
        mailbox.take(&mut Vec::new(), 1, None);
        assert!(mailbox.push(letter(&long), now).is_ok());
    }

    #[test]
    fn a_closed_mailbox_gives_everything_back_until_it_opens() {
        let mailbox = Mailbox::default();
        let now = Instant::now();
        assert!(mailbox.push(letter("one"), now).is_ok());
        let error = StanzaError::remote_server_timeout();
        assert_eq!(mailbox.close(&error).len(), 1);
        let (_, why) = *mailbox.push(letter("two"), now).unwrap_err();
        assert_eq!(why, error);
        mailbox.open();
        assert!(mailbox.push(letter("three"), now).is_ok());
    }
}
