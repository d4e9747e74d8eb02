//! Requests (IQs) of the server itself, in the name of a host or an account, and the answers to them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tercet_core::{
    Condition, ErrorType, IqType, Jid, Stanza, StanzaError, StanzaKind, XmlWriter, ns,
};

use crate::module::IqKind;
use crate::route::Routed;
use crate::server::Server;

/// Requests without an answer at a time.
const WAITING: usize = 4096;
/// Bytes of an error's text that are read.
const TEXT: usize = 256;

/// What came of a request.
#[derive(Debug, Clone)]
pub enum Answered {
    /// The result.
    Result(Stanza),
    /// The error.
    Error(StanzaError),
    /// Nothing, in time.
    Silence,
    /// It was not sent: too many requests have no answer yet.
    Busy,
}

type Then = Box<dyn FnOnce(&Arc<Server>, Answered) -> Routed + Send>;

/// A request without an answer.
struct Waiting {
    from: Jid,
    to: Jid,
    then: Then,
}

/// The requests without an answer, by id.
#[derive(Default)]
pub(crate) struct Asked(Mutex<HashMap<Box<str>, Waiting>>);

impl Asked {
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Sends a request in the name of `from`, a host or an account of this server, with one `payload`. What comes of it, within
    /// `patience_ms`, is given to `then` as a job of the agenda ([`Server::run_due`]), where no lock is held. An answer counts only
    /// if it comes from whom the request went to (RFC 6120 §8.1.3); ids cannot be guessed.
    pub fn ask(
        self: &Arc<Self>,
        kind: IqKind,
        from: &Jid,
        to: &Jid,
        payload: &[u8],
        patience_ms: u64,
        then: impl FnOnce(&Arc<Server>, Answered) -> Routed + Send + 'static,
    ) -> Routed {
        let random: [u8; 8] = self.random();
        let id: String = random.iter().map(|b| format!("{b:02x}")).collect();
        {
            let mut waiting = self.asked().lock();
            if waiting.len() >= WAITING {
                drop(waiting);
                self.at(self.now_ms(), move |server| then(server, Answered::Busy));
                return Routed::Done;
            }
            let entry = Waiting {
                from: from.clone(),
                to: to.clone(),
                then: Box::new(then),
            };
            waiting.insert(id.as_str().into(), entry);
        }
        let late = id.clone();
        self.at(self.now_ms().saturating_add(patience_ms), move |server| {
            let waiting = server.asked().lock().remove(late.as_str());
            match waiting {
                Some(waiting) => (waiting.then)(server, Answered::Silence),
                None => Routed::Done,
            }
        });
        let mut w = XmlWriter::new();
        let kind = match kind {
            IqKind::Get => "get",
            IqKind::Set => "set",
        };
        w.start("iq")
            .attr("xmlns", ns::CLIENT)
            .attr("type", kind)
            .attr("id", &id);
        w.raw(payload).end();
        match Stanza::parse(&w.finish()) {
            Ok(stanza) => self.route(from, to, &stanza),
            // The payload is no XML.
            Err(_) => {
                let error = Answered::Error(StanzaError::internal_server_error());
                self.settle(to, from, &id, error);
                Routed::Done
            }
        }
    }

    /// Takes an answer to a request of the server: from `from`, to `to`, in whose name it was asked.
    pub(crate) fn answered(&self, from: &Jid, to: &Jid, stanza: &Stanza) {
        let answered = match stanza.iq_type() {
            Some(IqType::Result) => Answered::Result(stanza.clone()),
            Some(IqType::Error) => Answered::Error(error_of(stanza)),
            _ => return,
        };
        if let Some(id) = stanza.id() {
            self.settle(from, to, &id, answered);
        }
    }

    /// Takes an error that this server itself gives to a request of its own.
    pub(crate) fn failed(&self, from: &Jid, to: &Jid, request: &Stanza, error: &StanzaError) {
        if request.kind() == StanzaKind::Iq
            && let Some(id) = request.id()
        {
            self.settle(from, to, &id, Answered::Error(error.clone()));
        }
    }

    fn settle(&self, from: &Jid, to: &Jid, id: &str, answered: Answered) {
        let waiting = {
            let mut waiting = self.asked().lock();
            let fits = waiting
                .get(id)
                .is_some_and(|w| w.from == *to && w.to == *from);
            // RFC 6120 §8.1.3: from whom it was asked of, or it is no answer.
            if fits { waiting.remove(id) } else { None }
        };
        if let Some(waiting) = waiting {
            self.at(self.now_ms(), move |server| {
                (waiting.then)(server, answered)
            });
        }
    }
}

/// The error in an error stanza; `undefined-condition` where it is none that RFC 6120 defines.
fn error_of(stanza: &Stanza) -> StanzaError {
    let undefined = StanzaError::undefined_condition();
    let Some(error) = stanza.own_child("error") else {
        return undefined;
    };
    let error = error.parse();
    let error = error.root();
    let condition = error
        .children()
        .filter(|c| c.ns() == ns::STANZAS)
        .find_map(|c| Condition::from_name(c.name()));
    let mut found = condition.map_or(undefined, StanzaError::new);
    if let Some(kind) = error.attr("type").and_then(|t| ErrorType::from_name(&t)) {
        found = found.kind(kind);
    }
    match error.child("text", ns::STANZAS) {
        Some(text) => {
            let text = text.text();
            found.text(text[..text.floor_char_boundary(TEXT)].to_owned())
        }
        None => found,
    }
}
