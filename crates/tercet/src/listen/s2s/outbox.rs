//! What one of our streams takes from the lines of its pairs of domains, and what of it may still come to nothing.
//!
//! That something has arrived is known by the peer's count (XEP-0198) or, where it does not count, by its answer to a request
//! that was sent behind ([`echoes`](super::echoes)); a peer that does not answer either is trusted to have got what the network
//! has taken.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tercet_server::Letter;
use tercet_stream::s2s::DomainPair;
use tercet_stream::sm;

use super::S2s;
use super::desk::Desk;
use super::words;
use crate::reach::queue::{NotHandled, Sent, TooHigh};

/// How long a peer that counts stanzas may acknowledge none.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);
/// How long a peer that does not may leave a request unanswered.
const UNANSWERED: Duration = Duration::from_secs(30);

/// What a peer has not acknowledged, and the state of its session: outlives a connection.
pub(super) struct Session {
    /// By this name it goes on over another connection, if it can.
    pub(super) id: Option<Box<str>>,
    pub(super) sent: Sent<Letter>,
    /// Stanzas of the peer.
    pub(super) received: u32,
}

/// What a stream that is over has left: its session, and the lines that nobody else may write before it goes on or ends.
pub(super) struct Left {
    pub(super) session: Session,
    pub(super) pairs: Vec<DomainPair>,
    desk: Arc<Desk>,
}

impl Left {
    /// Of a stream that has sent nothing.
    pub(super) fn nothing(desk: Arc<Desk>, received: u32) -> Self {
        let session = Session {
            id: None,
            sent: Sent::new(usize::MAX),
            received,
        };
        Left {
            session,
            pairs: Vec::new(),
            desk,
        }
    }

    /// It does not go on. `handled`: the peer's last count, if it said one. What it certainly has not handled waits again, in
    /// its old place; what nobody knows of goes back. The lines are for other streams; one for `but` is
    /// being opened.
    pub(super) fn settle(self, s2s: &S2s, handled: Option<u32>, but: Option<&DomainPair>) {
        match self.session.sent.end(handled) {
            NotHandled::Surely(left) => s2s.post.put_back(left),
            NotHandled::Perhaps(left) => {
                for (pair, item) in left {
                    s2s.give_back(item.letter, words::broken(&pair.remote));
                }
            }
        }
        for pair in &self.pairs {
            match but == Some(pair) {
                true => s2s.post.left(pair, &self.desk),
                false => s2s.post.lost(pair, &self.desk, s2s.random()),
            }
        }
    }
}

/// How a stream has ended, as far as its stanzas are concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The connection broke: another one may go on with the session.
    Broken,
    /// This server has ended it, in good order.
    Ours,
    /// The peer has ended it.
    Theirs,
}

/// By what is known what has arrived.
enum Receipts {
    /// By nothing.
    None,
    /// The peer's count.
    Counted,
    /// Its answers; the request that is out, and how many stanzas were sent before it.
    Echoes(Option<(Box<str>, u32)>),
}

/// The writing end of some lines.
pub(super) struct Outbox {
    s2s: Arc<S2s>,
    desk: Arc<Desk>,
    pairs: Vec<DomainPair>,
    /// Something may wait in the lines.
    more: bool,
    session: Session,
    receipts: Receipts,
    /// How many stanzas the network has taken.
    gone: u32,
    /// Since when the peer owes a receipt.
    owed: Option<Instant>,
}

impl Outbox {
    /// Of a stream on which nothing has been sent. `counted`: the peer counts, under this name if the session can go on.
    pub(super) fn new(s2s: Arc<S2s>, desk: Arc<Desk>, counted: Option<Option<Box<str>>>) -> Self {
        let receipts = match counted {
            Some(_) => Receipts::Counted,
            None => Receipts::Echoes(None),
        };
        let session = Session {
            id: counted.flatten(),
            sent: Sent::new(s2s.on_their_way),
            received: 0,
        };
        Outbox {
            s2s,
            desk,
            pairs: Vec::new(),
            more: false,
            session,
            receipts,
            gone: 0,
            owed: None,
        }
    }

    /// Goes on with what another stream has left; what its peer has not acknowledged is written again.
    pub(super) fn resumed(s2s: Arc<S2s>, desk: Arc<Desk>, left: Left, out: &mut Vec<u8>) -> Self {
        let counted = Some(left.session.id.clone());
        let mut outbox = Outbox::new(s2s, desk, counted);
        outbox.session = left.session;
        for pair in left.pairs {
            outbox.s2s.post.taken_over(&pair, &outbox.desk);
            outbox.pairs.push(pair);
        }
        outbox.more = true;
        // XEP-0198 §5: what it has not acknowledged is sent again.
        for (_, item) in outbox.session.sent.again() {
            out.extend_from_slice(&item.letter.bytes);
        }
        outbox.ask(out);
        outbox
    }

    /// The peer counts from now on; of what was sent before it says nothing.
    pub(super) fn counted(&mut self, id: Option<Box<str>>) {
        self.forget_call();
        self.receipts = Receipts::Counted;
        self.session.id = id;
        self.session.sent = Sent::new(self.s2s.on_their_way);
        (self.gone, self.owed) = (0, None);
    }

    /// The stanzas of this pair may be written, too. False if another stream does that.
    pub(super) fn carry(&mut self, pair: &DomainPair) -> bool {
        if self.pairs.contains(pair) {
            return true;
        }
        let may = self.s2s.post.connected(pair, &self.desk);
        if may {
            self.pairs.push(pair.clone());
            self.more = true;
        }
        may
    }

    /// Something may wait in the lines.
    pub(super) fn filled(&mut self) {
        self.more = true;
    }

    /// Whether something can be taken.
    pub(super) fn is_ready(&self) -> bool {
        self.more && !self.session.sent.is_full()
    }

    /// Moves what waits to the end of `out`, up to about so many bytes. Stanzas above `limit` bytes, which the other server
    /// does not take, go back instead.
    pub(super) fn take(&mut self, out: &mut Vec<u8>, most: usize, limit: Option<u32>) {
        self.more = false;
        // Each gets its share.
        let most = most / self.pairs.len().max(1);
        for pair in &self.pairs {
            for item in self.s2s.post.take(pair, most) {
                self.more = true;
                // XEP-0478 §4: not sent where it is known to be too long.
                if limit.is_some_and(|limit| item.bytes > limit as usize) {
                    let error = words::too_long(&pair.remote);
                    self.s2s.give_back(item.letter, error);
                    continue;
                }
                out.extend_from_slice(&item.letter.bytes);
                self.session.sent.push(pair.clone(), item);
            }
        }
        if self.more {
            self.ask(out);
        }
    }

    /// Asks for a receipt of all that is written, unless one is on its way.
    fn ask(&mut self, out: &mut Vec<u8>) {
        if self.session.sent.is_empty() {
            return;
        }
        let mut unacknowledged = self.session.sent.again();
        match &mut self.receipts {
            Receipts::None | Receipts::Echoes(Some(_)) => return,
            Receipts::Counted => sm::request(out),
            // Of what is left nobody waits to hear. So two servers that both ask do not ask about answers.
            Receipts::Echoes(None) if !unacknowledged.any(|(_, i)| i.letter.may_bounce()) => return,
            Receipts::Echoes(call) => {
                let Some(pair) = self.session.sent.last() else {
                    return;
                };
                let random = u128::from_le_bytes(self.s2s.server.random());
                let id = self.s2s.echoes.call(pair, &self.desk, random, out);
                *call = Some((id, self.session.sent.sent()));
            }
        }
        self.owed.get_or_insert_with(Instant::now);
    }

    /// The peer has handled so many.
    ///
    /// # Errors
    /// If it was not sent as many.
    pub(super) fn acknowledged(&mut self, handled: u32) -> Result<(), TooHigh> {
        self.session.sent.ack(handled)?;
        let left = !self.session.sent.is_empty();
        self.owed = left.then(Instant::now);
        Ok(())
    }

    /// The request of this id has been answered. What has been sent since is asked about.
    pub(super) fn answered(&mut self, id: &str, out: &mut Vec<u8>) {
        let Receipts::Echoes(call) = &mut self.receipts else {
            return;
        };
        if let Some((_, through)) = call.take_if(|(own, _)| **own == *id) {
            self.owed = None;
            // So many were sent.
            let _ = self.session.sent.ack(through);
            self.ask(out);
        }
    }

    /// When the peer has owed a receipt for too long.
    pub(super) fn overdue(&self) -> Option<Instant> {
        let patience = match self.receipts {
            Receipts::Counted => UNACKNOWLEDGED,
            _ => UNANSWERED,
        };
        self.owed.map(|since| since + patience)
    }

    /// The peer has owed one for too long. Whether the stream can go on without.
    pub(super) fn give_up(&mut self) -> bool {
        self.owed = None;
        if matches!(self.receipts, Receipts::Counted) {
            return false;
        }
        self.forget_call();
        self.receipts = Receipts::None;
        self.assume();
        true
    }

    /// Everything that was taken has gone to the network.
    pub(super) fn gone(&mut self) {
        self.gone = self.session.sent.sent();
        if matches!(self.receipts, Receipts::None) {
            // Nobody will say more of it.
            self.assume();
        }
    }

    /// What has gone to the network counts as handled.
    fn assume(&mut self) {
        // It was sent, and where more has been acknowledged since, this is none.
        let _ = self.session.sent.ack(self.gone);
    }

    /// Nothing is on its way that the peer may still acknowledge.
    pub(super) fn is_settled(&self) -> bool {
        !matches!(self.receipts, Receipts::Counted) || self.session.sent.is_empty()
    }

    /// The stream is over. What can go on over another one, and must not be written by others meanwhile, is returned.
    /// Otherwise what it has not brought there goes back, and what waits to the next stream.
    /// `hold`: that is so even if nothing is on its way.
    pub(super) fn end(mut self, end: End, received: u32, hold: bool) -> Option<Left> {
        self.forget_call();
        if end == End::Ours && !matches!(self.receipts, Receipts::Counted) {
            // The end of the connection is waited for.
            self.assume();
        }
        self.session.received = received;
        let kept = end == End::Broken && self.session.id.is_some();
        let mut left = Left {
            session: self.session,
            pairs: self.pairs,
            desk: self.desk,
        };
        if !kept {
            left.settle(&self.s2s, None, None);
            return None;
        }
        if left.session.sent.is_empty() && !hold {
            for pair in left.pairs.drain(..) {
                self.s2s.post.lost(&pair, &left.desk, self.s2s.random());
            }
        }
        Some(left)
    }

    fn forget_call(&mut self) {
        if let Receipts::Echoes(call) = &mut self.receipts
            && let Some((id, _)) = call.take()
        {
            self.s2s.echoes.forget(&id);
        }
    }
}
