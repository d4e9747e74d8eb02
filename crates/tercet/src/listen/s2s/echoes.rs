//! Whether what was sent has arrived, where the other server does not count stanzas: a request is sent behind them (XEP-0199),
//! and its answer, whatever it says and on whichever stream it comes, tells that all before it has been taken.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use tercet_core::{IqType, Stanza, StanzaKind, XmlWriter};
use tercet_stream::s2s::DomainPair;

use super::desk::{Desk, Order};

const NS: &str = "urn:xmpp:ping";

/// Requests that are not answered; at most one for each stream.
#[derive(Default)]
pub(super) struct Echoes(Mutex<Calls>);

/// By their ids: between which domains, and who waits.
type Calls = HashMap<Box<str>, (DomainPair, Weak<Desk>)>;

impl Echoes {
    /// Appends a request, whose answer is told to `desk`, to what is sent. Returns its id.
    pub(super) fn call(
        &self,
        pair: &DomainPair,
        desk: &Arc<Desk>,
        random: u128,
        out: &mut Vec<u8>,
    ) -> Box<str> {
        let id: Box<str> = format!("{random:032x}").into();
        let mut w = XmlWriter::into(std::mem::take(out));
        // XEP-0199 §4.3: from server to server.
        w.start("iq")
            .attr("from", &pair.local)
            .attr("to", &pair.remote)
            .attr("id", &id)
            .attr("type", "get");
        w.leaf("ping", &[("xmlns", NS)]).end();
        *out = w.finish();
        let entry = (pair.clone(), Arc::downgrade(desk));
        self.lock().insert(id.clone(), entry);
        id
    }

    /// Whether a stanza, whose sender is authenticated, is the answer to one of them.
    pub(super) fn is_answer(&self, stanza: &Stanza) -> bool {
        if stanza.kind() != StanzaKind::Iq
            || !matches!(stanza.iq_type(), Some(IqType::Result | IqType::Error))
        {
            return false;
        }
        let (Some(id), Ok(Some(from)), Ok(Some(to))) = (stanza.id(), stanza.from(), stanza.to())
        else {
            return false;
        };
        let mut calls = self.lock();
        let Some((pair, desk)) = calls.get(&*id) else {
            return false;
        };
        if *pair.remote != *from.as_str() || *pair.local != *to.as_str() {
            return false;
        }
        let desk = desk.upgrade();
        calls.remove(&*id);
        drop(calls);
        if let Some(desk) = desk {
            desk.leave(Order::Answered(id.into()));
        }
        true
    }

    /// Nobody waits for that answer any more.
    pub(super) fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}
