//! Requests and their answers (RFC 6120 §8.2.3, RFC 6121 §8.5).

use std::sync::Arc;

use tercet_core::{IqType, Jid, Stanza, StanzaError, discreet_error_reply, error_reply, iq_result};

use super::{Passage, Routed};
use crate::account::Account;
use crate::module::{Effects, Flow, IqCx, IqKind, IqResult, Reply, Side, Taken, Target};
use crate::outbox::Outbox;
use crate::server::{Server, store_failure};
use crate::session::Session;
use crate::vhost::VHost;

/// What an IQ is, once its shape has been checked.
pub(super) enum Shape {
    Request(IqKind),
    Answer,
}

/// RFC 6120 §8.2.3: an id, a known type, and exactly one child for requests.
pub(super) fn shape(stanza: &Stanza) -> Result<Shape, StanzaError> {
    let bad = |text: &'static str| Err(StanzaError::bad_request().text(text));
    let Some(iq_type) = stanza.iq_type() else {
        return bad("an iq is a get, set, result or error");
    };
    if stanza.id().is_none() {
        return bad("an iq has an id");
    }
    match iq_type {
        IqType::Get if stanza.children().count() == 1 => Ok(Shape::Request(IqKind::Get)),
        IqType::Set if stanza.children().count() == 1 => Ok(Shape::Request(IqKind::Set)),
        IqType::Get | IqType::Set => bad("a request has exactly one payload"),
        IqType::Result | IqType::Error => Ok(Shape::Answer),
    }
}

impl Server {
    /// An IQ from a client.
    pub(super) fn iq_from(
        self: &Arc<Self>,
        session: &Arc<Session>,
        stanza: &Stanza,
        to: Option<&Jid>,
    ) -> Routed {
        let kind = match shape(stanza) {
            Ok(Shape::Request(kind)) => kind,
            Ok(Shape::Answer) => {
                return match to {
                    Some(to) => self.send(session.account(), Passage::of(session, stanza, to)),
                    // An answer to the server, which asked nothing that it waits for.
                    None => Routed::Done,
                };
            }
            Err(error) => {
                // RFC 6120 §8.3.1: the error comes from whom the stanza was meant for.
                if stanza.iq_type().is_none_or(|t| IqKind::of(t).is_some()) {
                    let from = to.map(|to| to.as_str());
                    session.outbox().push(|out| {
                        error_reply(stanza, &error, from, Some(session.jid().as_str()), out);
                    });
                }
                return Routed::Done;
            }
        };
        let own = session.account().jid().as_str();
        match to {
            // RFC 6120 §10.3.3: the server answers for the account.
            None => self.own_request(session, kind, stanza, None),
            Some(to) if to.as_str() == own => self.own_request(session, kind, stanza, Some(to)),
            Some(to) => self.send(session.account(), Passage::of(session, stanza, to)),
        }
    }

    /// A request of a client to its own account.
    fn own_request(
        self: &Arc<Self>,
        session: &Arc<Session>,
        kind: IqKind,
        stanza: &Stanza,
        to: Option<&Jid>,
    ) -> Routed {
        let Some(host) = self.host(session.jid().domain()) else {
            return Routed::Done;
        };
        let (server, session) = (self.clone(), session.clone());
        let (stanza, to) = (stanza.clone(), to.cloned());
        Routed::later(async move {
            let cx = IqCx {
                server: &server,
                host: &host,
                stanza: &stanza,
                from: session.jid(),
                account: Some(session.account()),
                session: Some(&session),
            };
            let targets = [Target::Own, Target::Account];
            let Some(answer) = cx.dispatch(kind, &targets).await else {
                return;
            };
            let (from, to) = (
                to.as_ref().map(|t| t.as_str()),
                Some(session.jid().as_str()),
            );
            give_answer(session.outbox(), &stanza, answer, from, to);
        })
    }

    /// An IQ for an account of this server.
    pub(super) fn iq_to(
        self: &Arc<Self>,
        host: &Arc<VHost>,
        account: &Arc<Account>,
        passage: Passage<'_>,
        effects: Effects,
    ) -> Routed {
        if passage.to.is_full() {
            // RFC 6121 §8.5.3.1: to the resource, else an error.
            let edited = passage.edited(&effects);
            if !self.write_to(passage.to, |out| edited.write(passage.to.as_str(), out)) {
                self.bounce(passage, &StanzaError::service_unavailable());
            }
            return self.finish(passage, effects);
        }
        let Some(kind) = passage.stanza.iq_type().and_then(IqKind::of) else {
            // An answer to the account.
            self.answered(passage.from, passage.to, passage.stanza);
            return self.finish(passage, effects);
        };
        let mut insiders = host.insiders().iter();
        if host.answers_own(passage.stanza, kind)
            && !insiders.any(|insider| insider.admits(passage.from, passage.stanza))
        {
            // Promise 8 of the bad-input list: what concerns only the own account is nobody else's.
            self.bounce(passage, &StanzaError::forbidden());
            return self.finish(passage, effects);
        }
        let account = Some(account.clone());
        self.answer(host, account, passage, kind, effects)
    }

    /// RFC 6121 §8.5.1.
    pub(super) fn iq_to_nobody(
        self: &Arc<Self>,
        host: &VHost,
        passage: Passage<'_>,
        effects: Effects,
    ) -> Routed {
        let Some(kind) = passage.stanza.iq_type().and_then(IqKind::of) else {
            return self.finish(passage, effects);
        };
        let entry = passage.stanza.payload().filter(|_| passage.to.is_bare());
        let entry = entry.and_then(|p| host.iq(p.ns(), p.name(), kind, Target::Account));
        let error = match entry {
            Some(entry) => (entry.absent)(),
            None if passage.to.is_bare() && host.answers_own(passage.stanza, kind) => {
                StanzaError::forbidden()
            }
            None => StanzaError::service_unavailable(),
        };
        let Some(reads) = entry.and_then(|entry| entry.reads) else {
            self.bounce(passage, &error);
            return self.finish(passage, effects);
        };
        // Promise 6 of the bad-input list: the answer for a name without an account takes as long as for others.
        let (server, parcel) = (self.clone(), passage.keep());
        let read = self.store().get(reads, passage.to.bare_str(), "");
        let rest = self.finish(passage, effects);
        Routed::later(async move {
            rest.wait().await;
            let error = match read.await {
                Ok(_) => error,
                Err(failure) => store_failure(&failure),
            };
            server.bounce(parcel.passage(), &error);
        })
    }

    /// An IQ for a host.
    pub(super) fn iq_to_host(self: &Arc<Self>, host: &Arc<VHost>, passage: Passage<'_>) -> Routed {
        match passage.stanza.iq_type().and_then(IqKind::of) {
            Some(kind) => self.answer(host, None, passage, kind, Effects::new()),
            None => {
                self.answered(passage.from, passage.to, passage.stanza);
                Routed::Done
            }
        }
    }

    /// Lets a handler answer a request that came a longer way than from a client to its own account.
    fn answer(
        self: &Arc<Self>,
        host: &Arc<VHost>,
        account: Option<Arc<Account>>,
        passage: Passage<'_>,
        kind: IqKind,
        effects: Effects,
    ) -> Routed {
        let (server, host, parcel) = (self.clone(), host.clone(), passage.keep());
        let rest = self.finish(passage, effects);
        Routed::later(async move {
            rest.wait().await;
            let session = server.session(&parcel.from);
            let cx = IqCx {
                server: &server,
                host: &host,
                stanza: &parcel.stanza,
                from: &parcel.from,
                account: account.as_ref(),
                session: session.as_ref(),
            };
            let target = if account.is_some() {
                Target::Account
            } else {
                Target::Host
            };
            let Some(answer) = cx.dispatch(kind, &[target]).await else {
                return;
            };
            if let Some(session) = session {
                let (from, to) = (Some(parcel.to.as_str()), Some(parcel.from.as_str()));
                give_answer(session.outbox(), &parcel.stanza, answer, from, to);
            } else if server.is_elsewhere(parcel.from.domain()) {
                let (from, to) = (Some(parcel.to.as_str()), Some(parcel.from.as_str()));
                server.write_to(&parcel.from, |out| {
                    write_answer(&parcel.stanza, &answer, from, to, out);
                });
            } else {
                server.answered_here(parcel.passage(), answer.result);
            }
        })
    }

    /// Answers a request that a module has taken ([`Taken::Later`]). `asked` is whom it was for, if it said so.
    pub fn answer_later(
        self: &Arc<Self>,
        request: &Stanza,
        asker: &Jid,
        asked: Option<&Jid>,
        result: IqResult,
    ) {
        let (from, to) = (asked.map(|jid| jid.as_str()), Some(asker.as_str()));
        let answer = Answer {
            result,
            secret: false,
        };
        if let Some(session) = self.session(asker) {
            give_answer(session.outbox(), request, answer, from, to);
        } else if self.is_elsewhere(asker.domain()) {
            self.write_to(asker, |out| write_answer(request, &answer, from, to, out));
        } else if let Some(asked) = asked {
            self.answered_here(Passage::new(request, asker, asked), answer.result);
        }
    }

    /// Lets the handlers answer a request of an account to itself, made in its name by whoever may. What only a session may ask
    /// is `forbidden`.
    pub async fn ask_own(self: &Arc<Self>, account: &Arc<Account>, request: &Stanza) -> IqResult {
        let kind = request.iq_type().and_then(IqKind::of);
        let host = self.host(account.jid().domain());
        let (Some(kind), Some(host)) = (kind, host) else {
            return Err(StanzaError::bad_request());
        };
        let cx = IqCx {
            server: self,
            host: &host,
            stanza: request,
            from: account.jid(),
            account: Some(account),
            session: None,
        };
        cx.handle(kind, &[Target::Own, Target::Account])
            .await
            .result
    }

    /// A handler of this server has answered a request of this server.
    fn answered_here(&self, passage: Passage<'_>, result: IqResult) {
        match result {
            Ok(reply) => {
                let payload = match &reply {
                    Reply::Payload(payload) => payload.as_slice(),
                    Reply::Empty | Reply::Last(_) => &[],
                };
                let mut out = Vec::new();
                iq_result(passage.stanza, None, None, payload, &mut out);
                if let Ok(stanza) = Stanza::parse(&out) {
                    self.answered(passage.to, passage.from, &stanza);
                }
            }
            Err(error) => self.failed(passage.to, passage.from, passage.stanza, &error),
        }
    }

    /// The session with that full JID.
    pub fn session(&self, full: &Jid) -> Option<Arc<Session>> {
        let account = self.accounts().get(full.bare_str())?;
        let state = account.lock();
        state.resource(full.resource()?).map(|r| r.session.clone())
    }

    /// Whether the stages of both ends let the request through; used for what is answered without being routed.
    pub(super) fn passes(
        self: &Arc<Self>,
        account: &Arc<Account>,
        side: Side,
        passage: Passage<'_>,
    ) -> bool {
        self.stages(account, side, passage, &mut Effects::new()) == Flow::Continue
    }
}

impl VHost {
    /// Whether the request is of the kind that only the account's own user may make.
    fn answers_own(&self, stanza: &Stanza, kind: IqKind) -> bool {
        let Some(payload) = stanza.payload() else {
            return false;
        };
        self.iq(payload.ns(), payload.name(), kind, Target::Own)
            .is_some()
            && self
                .iq(payload.ns(), payload.name(), kind, Target::Account)
                .is_none()
    }
}

impl IqCx<'_> {
    /// Lets a module answer that has something to say about everything, or else the first handler that is registered for one of
    /// `targets`; `None` if it is answered later.
    async fn dispatch(self, kind: IqKind, targets: &[Target]) -> Option<Answer> {
        let mut insiders = self.host.insiders().iter();
        match insiders.find_map(|insider| insider.request(self)) {
            Some(Taken::Later) => None,
            Some(Taken::Answer(answer)) => Some(Answer {
                result: answer.await,
                secret: false,
            }),
            None => Some(self.handle(kind, targets).await),
        }
    }

    /// Lets the first handler answer that is registered for one of `targets`.
    async fn handle(self, kind: IqKind, targets: &[Target]) -> Answer {
        let entry = self.stanza.payload().and_then(|payload| {
            let (ns, name) = (payload.ns(), payload.name());
            targets
                .iter()
                .find_map(|&target| self.host.iq(ns, name, kind, target))
        });
        match entry {
            Some(entry) => Answer {
                result: (entry.handle)(self).await,
                secret: entry.secret,
            },
            // RFC 6120 §8.4: an unknown payload.
            None => Answer {
                result: Err(StanzaError::service_unavailable()),
                secret: false,
            },
        }
    }
}

/// What a handler says.
struct Answer {
    result: IqResult,
    /// The request is not sent back with an error.
    secret: bool,
}

/// Appends the answer to the outbox of who asked.
fn give_answer(
    outbox: &Outbox,
    stanza: &Stanza,
    answer: Answer,
    from: Option<&str>,
    to: Option<&str>,
) {
    let end = outbox.push(|out| write_answer(stanza, &answer, from, to, out));
    if let (true, Ok(Reply::Last(error))) = (end, answer.result) {
        outbox.end(*error);
    }
}

fn write_answer(
    stanza: &Stanza,
    answer: &Answer,
    from: Option<&str>,
    to: Option<&str>,
    out: &mut Vec<u8>,
) {
    match &answer.result {
        Ok(Reply::Empty | Reply::Last(_)) => iq_result(stanza, from, to, &[], out),
        Ok(Reply::Payload(payload)) => iq_result(stanza, from, to, payload, out),
        Err(error) if answer.secret => {
            discreet_error_reply(stanza, error, from, to, out);
        }
        Err(error) => {
            error_reply(stanza, error, from, to, out);
        }
    }
}
