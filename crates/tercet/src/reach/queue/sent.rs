//! What was written on a stream and has not been acknowledged (XEP-0198): kept for resumption, put back, or bounced.

use std::collections::VecDeque;

use tercet_stream::s2s::DomainPair;

use super::Item;

/// The letters of one stream that the peer has not said to have handled, of all pairs of domains that it carries.
#[derive(Debug)]
pub struct Sent<L> {
    items: VecDeque<(DomainPair, Item<L>)>,
    /// How many the peer has handled, by XEP-0198's counting.
    pub(super) acked: u32,
    bytes: usize,
    most: usize,
}

/// The peer says to have handled more than it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{acknowledged} stanzas acknowledged, {sent} sent")]
pub struct TooHigh {
    /// What it says.
    pub acknowledged: u32,
    /// What was sent.
    pub sent: u32,
}

/// The letters that are left of a stream whose session has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum NotHandled<L> {
    /// The peer has said how many it has handled, and not these: they may go out again.
    Surely(Vec<(DomainPair, Item<L>)>),
    /// Nobody knows whether it has handled these: their senders have to be told.
    Perhaps(Vec<(DomainPair, Item<L>)>),
}

impl<L> Sent<L> {
    /// Nothing is sent. `most`: so many bytes may be unacknowledged before [`is_full`](Self::is_full).
    pub fn new(most: usize) -> Self {
        Sent {
            items: VecDeque::new(),
            acked: 0,
            bytes: 0,
            most,
        }
    }

    /// A letter was written.
    pub fn push(&mut self, pair: DomainPair, item: Item<L>) {
        self.bytes += item.bytes;
        self.items.push_back((pair, item));
    }

    /// Whether nothing more should be written before the peer acknowledges.
    pub fn is_full(&self) -> bool {
        self.bytes >= self.most
    }

    /// Letters that are not acknowledged.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether all are acknowledged.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The peer has handled so many in all, modulo 2³².
    ///
    /// # Errors
    /// If it was not sent as many (XEP-0198 §4: `undefined-condition` with `handled-count-too-high`); nothing changes.
    pub fn ack(&mut self, handled: u32) -> Result<(), TooHigh> {
        let sent = self.sent();
        let count = usize::try_from(handled.wrapping_sub(self.acked)).unwrap_or(usize::MAX);
        if count > self.items.len() {
            return Err(TooHigh {
                acknowledged: handled,
                sent,
            });
        }
        for (_, item) in self.items.drain(..count) {
            self.bytes -= item.bytes;
        }
        self.acked = handled;
        Ok(())
    }

    /// Of which pair the last one is that is not acknowledged.
    pub fn last(&self) -> Option<&DomainPair> {
        self.items.back().map(|(pair, _)| pair)
    }

    /// What has to be written again on a stream that goes on with this session, once [`ack`](Self::ack) has taken its
    /// count; it stays here.
    pub fn again(&self) -> impl Iterator<Item = &(DomainPair, Item<L>)> {
        self.items.iter()
    }

    /// The session has ended. `handled`: the peer's last count, if it said one when it refused to go on (XEP-0198 §5).
    pub fn end(mut self, handled: Option<u32>) -> NotHandled<L> {
        match handled.map(|handled| self.ack(handled)) {
            Some(Ok(())) => NotHandled::Surely(self.items.into()),
            _ => NotHandled::Perhaps(self.items.into()),
        }
    }

    /// How many were sent in all, modulo 2³².
    pub fn sent(&self) -> u32 {
        // What is kept is bounded in bytes, far below this.
        let kept = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        self.acked.wrapping_add(kept)
    }
}
