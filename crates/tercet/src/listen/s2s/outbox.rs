//! What one of our streams takes from the line of its pair of domains, and what of it may still come to nothing.

use std::sync::Arc;

use tercet_server::Letter;
use tercet_stream::s2s::DomainPair;
use tokio::sync::Notify;

use super::S2s;
use super::words;
use crate::reach::queue::{NotHandled, Sent};

/// Bytes that may be on their way before more are taken.
const ON_THEIR_WAY: usize = 1 << 20;

/// The writing end of a line.
pub(super) struct Outbox {
    s2s: Arc<S2s>,
    pair: DomainPair,
    ready: Arc<Notify>,
    /// Something may wait in the line.
    more: bool,
    sent: Sent<Letter>,
}

impl Outbox {
    /// A stream for this pair is there.
    pub(super) fn new(s2s: Arc<S2s>, pair: DomainPair) -> Self {
        let ready = s2s.post.connected(&pair);
        Outbox {
            s2s,
            pair,
            ready,
            more: true,
            sent: Sent::new(ON_THEIR_WAY),
        }
    }

    /// Ready when something may wait in the line, and may be written. To be given up at any time.
    pub(super) async fn filled(&mut self) {
        if self.sent.is_full() {
            return std::future::pending().await;
        }
        if !self.more {
            self.ready.notified().await;
            self.more = true;
        }
    }

    /// Moves what waits to the end of `out`, up to about so many bytes. Stanzas above `limit` bytes, which the other server
    /// does not take, go back instead.
    pub(super) fn take(&mut self, out: &mut Vec<u8>, most: usize, limit: Option<u32>) {
        let items = self.s2s.post.take(&self.pair, most);
        self.more = !items.is_empty();
        for item in items {
            // XEP-0478 §4: not sent where it is known to be too long.
            if limit.is_some_and(|limit| item.bytes > limit as usize) {
                self.s2s
                    .give_back(item.letter, words::too_long(&self.pair.remote));
                continue;
            }
            out.extend_from_slice(&item.letter.bytes);
            self.sent.push(self.pair.clone(), item);
        }
    }

    /// Everything that was taken has gone to the network.
    pub(super) fn gone(&mut self) {
        self.sent.all();
    }

    /// The stream is over: what it has not brought there goes back, and what waits to the next one.
    pub(super) fn end(self) {
        let (NotHandled::Surely(left) | NotHandled::Perhaps(left)) = self.sent.end(None);
        for (_, item) in left {
            self.s2s
                .give_back(item.letter, words::broken(&self.pair.remote));
        }
        self.s2s.post.lost(&self.pair, self.s2s.random());
    }
}
