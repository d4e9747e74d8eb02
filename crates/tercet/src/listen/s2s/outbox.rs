//! What one of our streams takes from the line of its pair of domains, and what of it may still come to nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tercet_server::Letter;
use tercet_stream::s2s::DomainPair;
use tercet_stream::sm;
use tokio::sync::Notify;

use super::S2s;
use super::words;
use crate::reach::queue::{NotHandled, Sent, TooHigh};

/// How long a peer that counts stanzas may acknowledge none.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// What a peer counts (XEP-0198), and what it has not acknowledged: outlives a connection.
pub(super) struct Session {
    /// By this name it goes on over another connection, if it can.
    pub(super) id: Option<Box<str>>,
    pub(super) sent: Sent<Letter>,
    /// Stanzas of the peer.
    pub(super) received: u32,
}

impl Session {
    /// Nothing has been counted. `most`: bytes that may be on their way before more are taken.
    pub(super) fn new(id: Option<Box<str>>, most: usize) -> Self {
        Session {
            id,
            sent: Sent::new(most),
            received: 0,
        }
    }

    /// It is over. `handled`: the peer's last count, if it said one. What it certainly has not handled waits again, in its
    /// old place; what nobody knows of goes back.
    pub(super) fn settle(self, s2s: &S2s, pair: &DomainPair, handled: Option<u32>) {
        match self.sent.end(handled) {
            NotHandled::Surely(left) => {
                let items = left.into_iter().map(|(_, item)| item).collect();
                s2s.post.put_back(pair, items);
            }
            NotHandled::Perhaps(left) => {
                for (_, item) in left {
                    s2s.give_back(item.letter, words::broken(&pair.remote));
                }
            }
        }
    }
}

/// The writing end of a line.
pub(super) struct Outbox {
    s2s: Arc<S2s>,
    pair: DomainPair,
    ready: Arc<Notify>,
    /// Something may wait in the line.
    more: bool,
    session: Session,
    /// The peer acknowledges what it has handled.
    counted: bool,
    /// Since when it has not, though there is something.
    unacknowledged: Option<Instant>,
}

impl Outbox {
    /// A stream for this pair is there. `session`: what the peer counts, if it does.
    pub(super) fn new(s2s: Arc<S2s>, pair: DomainPair, session: Option<Session>) -> Self {
        let ready = s2s.post.connected(&pair);
        let most = s2s.on_their_way;
        Outbox {
            s2s,
            pair,
            ready,
            more: true,
            counted: session.is_some(),
            session: session.unwrap_or_else(|| Session::new(None, most)),
            unacknowledged: None,
        }
    }

    /// Ready when something may wait in the line, and may be written. To be given up at any time.
    pub(super) async fn filled(&mut self) {
        if self.session.sent.is_full() {
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
                let error = words::too_long(&self.pair.remote);
                self.s2s.give_back(item.letter, error);
                continue;
            }
            out.extend_from_slice(&item.letter.bytes);
            self.session.sent.push(self.pair.clone(), item);
        }
        if self.more {
            self.ask(out);
        }
    }

    /// Writes again what the peer has not handled of a session that goes on.
    pub(super) fn again(&mut self, out: &mut Vec<u8>) {
        // XEP-0198 §5: what it has not acknowledged is sent again.
        for (_, item) in self.session.sent.again() {
            out.extend_from_slice(&item.letter.bytes);
        }
        self.ask(out);
    }

    fn ask(&mut self, out: &mut Vec<u8>) {
        if self.counted && !self.session.sent.is_empty() {
            sm::request(out);
            self.unacknowledged.get_or_insert_with(Instant::now);
        }
    }

    /// The peer has handled so many.
    ///
    /// # Errors
    /// If it was not sent as many.
    pub(super) fn acknowledged(&mut self, handled: u32) -> Result<(), TooHigh> {
        self.session.sent.ack(handled)?;
        let left = !self.session.sent.is_empty();
        self.unacknowledged = left.then(Instant::now);
        Ok(())
    }

    /// When the peer has acknowledged nothing for too long.
    pub(super) fn overdue(&self) -> Option<Instant> {
        self.unacknowledged.map(|since| since + UNACKNOWLEDGED)
    }

    /// Everything that was taken has gone to the network.
    pub(super) fn gone(&mut self) {
        // Nobody will say more of it.
        if !self.counted {
            self.session.sent.all();
        }
    }

    /// Nothing is on its way that the peer may still acknowledge.
    pub(super) fn is_settled(&self) -> bool {
        !self.counted || self.session.sent.is_empty()
    }

    /// The stream is over. `broken`: not by its own end, so that what it has left can go on over another: that is returned.
    /// Otherwise what it has not brought there goes back, and what waits to the next stream.
    pub(super) fn end(mut self, broken: bool, received: u32) -> Option<Session> {
        if broken && self.session.id.is_some() && !self.session.sent.is_empty() {
            self.session.received = received;
            return Some(self.session);
        }
        self.session.settle(&self.s2s, &self.pair, None);
        self.s2s.post.lost(&self.pair, self.s2s.random());
        None
    }
}
