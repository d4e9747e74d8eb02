//! What every state of a stream between servers works with.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tercet_core::{Jid, StreamCondition, StreamError, XmlWriter, ns};

use super::api::{
    Answer, DomainPair, Goal, KeyClaim, Output, Proof, Question, S2sEnding, S2sEvent,
};
use super::config::S2sConfig;
use super::state::State;
use crate::c2s::TlsPolicy;
use crate::framing::{Framer, Framing, Header};
use crate::question::Ticket;
use crate::random::{Purpose, Random};

/// Which end of the stream this is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Receiving,
    Initiating(Goal),
}

pub(super) struct Context {
    pub(super) config: Arc<S2sConfig>,
    pub(super) framer: Framer,
    pub(super) role: Role,
    /// The domains of the stream's header; the same to the stream's end.
    pub(super) pair: Option<DomainPair>,
    /// The stream's id: given by the receiving server, anew with each header.
    pub(super) id: Box<str>,
    pub(super) tls: bool,
    /// The peer's certificate proves the remote domain of the header.
    pub(super) trusted: bool,
    /// SASL has succeeded.
    pub(super) logged_in: bool,
    /// Both sides send stanzas.
    pub(super) bidi: bool,
    /// The peer has declared the namespace of dialback.
    pub(super) speaks_dialback: bool,
    pub(super) offer: PeerOffer,
    /// Pairs of which the peer sends stanzas, and pairs of which we do.
    pub(super) inbound: Vec<DomainPair>,
    pub(super) outbound: Vec<DomainPair>,
    /// Pairs that the peer wants authenticated, while we find out.
    pub(super) requests: Vec<Request>,
    /// Pairs that we want authenticated, while the peer finds out.
    pub(super) asked: Vec<DomainPair>,
    /// Keys that we have asked the peer about.
    pub(super) claims: Vec<KeyClaim>,
    /// What is wanted of the stream as soon as it is ready.
    pub(super) wishes: Vec<Wish>,
    pub(super) random: Random,
    pub(super) now: Instant,
    /// Whether further bytes are there already, behind the frame now handled. White space does not count.
    pub(super) pipelined: bool,
    pub(super) failures: u32,
    invalid_keys: u32,
    verifications: (Instant, u32),
    header_sent: bool,
    /// Our side of the stream is closed: nothing may be written.
    ended: bool,
    tickets: u32,
    outputs: VecDeque<Output>,
}

/// What the receiving server has offered.
#[derive(Default)]
pub(super) struct PeerOffer {
    /// XEP-0220 §2.4.1: it answers with errors where it could end the stream.
    pub(super) errors: bool,
    pub(super) management: bool,
    /// XEP-0478: how many bytes of one stanza it takes.
    pub(super) max_bytes: Option<u32>,
}

/// A pair of domains that the peer wants authenticated.
pub(super) struct Request {
    pub(super) ticket: Ticket,
    pub(super) claim: KeyClaim,
}

pub(super) enum Wish {
    Authenticate(DomainPair),
    Verify(KeyClaim),
}

impl Context {
    pub(super) fn new(config: Arc<S2sConfig>, role: Role, now: Instant, seed: [u8; 32]) -> Self {
        Self {
            framer: Framer::new(Framing::Tcp, config.before_login),
            config,
            role,
            pair: None,
            id: Box::default(),
            tls: false,
            trusted: false,
            logged_in: false,
            bidi: false,
            speaks_dialback: false,
            offer: PeerOffer::default(),
            inbound: Vec::new(),
            outbound: Vec::new(),
            requests: Vec::new(),
            asked: Vec::new(),
            claims: Vec::new(),
            wishes: Vec::new(),
            random: Random::new(seed),
            now,
            pipelined: false,
            failures: 0,
            invalid_keys: 0,
            verifications: (now, 0),
            header_sent: false,
            ended: false,
            tickets: 0,
            outputs: VecDeque::new(),
        }
    }

    pub(super) fn is_receiving(&self) -> bool {
        self.role == Role::Receiving
    }

    /// Whether a pair of domains is authenticated, in whichever direction.
    pub(super) fn is_established(&self) -> bool {
        !self.inbound.is_empty() || !self.outbound.is_empty()
    }

    /// The policy of a domain of this server; of one that is not, the strictest.
    pub(super) fn tls_policy(&self, local: &str) -> TlsPolicy {
        self.config
            .host(local)
            .map_or(TlsPolicy::Required, |host| host.tls)
    }

    /// Whether the stream has the encryption that this domain requires.
    pub(super) fn secure_enough(&self, local: &str) -> bool {
        self.tls || self.tls_policy(local) != TlsPolicy::Required
    }

    /// Whether this domain wants more than dialback.
    pub(super) fn requires_certificate(&self, local: &str) -> bool {
        self.config
            .host(local)
            .is_none_or(|host| host.require_certificate)
    }

    /// After which time without a stanza the stream ends. Who has opened it ends it first, so that nothing is under way then.
    pub(super) fn idle_timeout(&self) -> Option<Duration> {
        let timeout = self.config.idle_timeout?;
        Some(match self.is_receiving() {
            true => timeout.saturating_mul(2),
            false => timeout,
        })
    }

    pub(super) fn write(&mut self, write: impl FnOnce(&Framer, &mut Vec<u8>)) {
        if !matches!(self.outputs.back(), Some(Output::Write(_))) {
            self.outputs.push_back(Output::Write(Vec::new()));
        }
        if let Some(Output::Write(out)) = self.outputs.back_mut() {
            write(&self.framer, out);
        }
    }

    pub(super) fn write_xml(&mut self, write: impl FnOnce(&mut XmlWriter)) {
        self.write(|_, out| {
            let mut w = XmlWriter::into(std::mem::take(out));
            write(&mut w);
            *out = w.finish();
        });
    }

    pub(super) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn event(&mut self, event: S2sEvent) {
        self.push(Output::Event(event));
    }

    pub(super) fn ask(&mut self, question: Question) -> Ticket {
        self.tickets = self.tickets.wrapping_add(1);
        let ticket = Ticket(self.tickets);
        self.push(Output::Ask(ticket, question));
        ticket
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() && self.outputs.capacity() > 0 {
            // An idle stream holds no buffers.
            self.outputs = VecDeque::new();
        }
        output
    }

    /// Begins the stream anew (RFC 6120 §4.3.3).
    pub(super) fn restart(&mut self) {
        self.framer.restart(if self.logged_in {
            self.config.after_login
        } else {
            self.config.before_login
        });
        self.header_sent = false;
    }

    /// Whether our header is there, so that there is something to end.
    pub(super) fn has_begun(&self) -> bool {
        self.header_sent
    }

    /// RFC 6120 §4.7: our header; `to` and `version` as the peer's allows.
    pub(super) fn write_header(&mut self, from: &str, to: Option<&str>, version: Option<&str>) {
        self.header_sent = true;
        let receiving = self.is_receiving();
        if receiving {
            // RFC 6120 §4.7.3: another one for each header, so that a key for one stream is none for another.
            self.id = self.random.name(Purpose::StreamId).into();
        }
        let id = self.id.clone();
        self.write(|framer, out| {
            let header = Header {
                content_ns: ns::SERVER,
                // XEP-0220 §2.4.1: who declares this prefix speaks dialback.
                declarations: &[("db", ns::DIALBACK)],
                id: receiving.then_some(&id),
                from,
                to,
                version,
                lang: "en",
            };
            framer.write_header(&header, out);
        });
    }

    /// Stanzas of this pair come from the peer from now on; and may go there, where streams carry both.
    pub(super) fn authenticated(&mut self, pair: &DomainPair, proof: Proof) {
        self.admit(pair, proof);
        if self.bidi && self.is_receiving() {
            // XEP-0288 §2: the inverse of what the peer has proved.
            self.permit(pair, proof);
        }
    }

    /// Stanzas of this pair may go to the peer; and come from there, where streams carry both and the peer is who it
    /// should be.
    pub(super) fn authorized(&mut self, pair: &DomainPair) {
        let proof = match self.trusted {
            true => Proof::Certificate,
            false => Proof::Dialback,
        };
        self.permit(pair, proof);
        let named = self.pair.as_ref().map(|pair| &pair.remote);
        // The connection was made to the server of this domain; of others on the same machine only the peer's word is known.
        if self.bidi && !self.is_receiving() && named == Some(&pair.remote) {
            self.admit(pair, proof);
        }
    }

    fn admit(&mut self, pair: &DomainPair, proof: Proof) {
        if !self.inbound.contains(pair) {
            self.inbound.push(pair.clone());
            self.framer.set_limits(self.config.after_login);
            self.push(Output::Authenticated(pair.clone(), proof));
        }
    }

    fn permit(&mut self, pair: &DomainPair, proof: Proof) {
        if !self.outbound.contains(pair) {
            self.outbound.push(pair.clone());
            self.push(Output::Authorized(pair.clone(), proof));
        }
    }

    /// Whether one more key may be asked about (a minute, a stream).
    pub(super) fn may_verify(&mut self) -> bool {
        if self.now.duration_since(self.verifications.0) >= Duration::from_secs(60) {
            self.verifications = (self.now, 0);
        }
        self.verifications.1 += 1;
        self.verifications.1 <= self.config.verifications_a_minute
    }

    /// Another key was found invalid: whether the peer may show more.
    pub(super) fn may_show_keys(&mut self) -> bool {
        self.invalid_keys += 1;
        self.invalid_keys < self.config.max_attempts
    }

    /// Whether our side of the stream is closed.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Ends the stream with an error. RFC 6120 §4.9.1.2: there is a header before it in any case.
    pub(super) fn fail(&mut self, error: &StreamError) -> State {
        if self.ended {
            return self.hang_up(S2sEnding::Error(error.condition));
        }
        if !self.header_sent {
            let (from, to) = match self.pair.clone() {
                Some(pair) => (pair.local, Some(pair.remote)),
                None => (Box::default(), None),
            };
            self.write_header(&from, to.as_deref(), Some("1.0"));
        }
        self.write_xml(|w| error.write(w));
        self.end(S2sEnding::Error(error.condition))
    }

    /// Ends the stream, which has been opened, and the connection.
    pub(super) fn end(&mut self, ending: S2sEnding) -> State {
        self.write_end();
        self.hang_up(ending)
    }

    /// Ends our side of the stream, unless that has been done.
    pub(super) fn write_end(&mut self) {
        if !self.ended {
            self.ended = true;
            self.write(|framer, out| framer.write_end(out));
        }
    }

    /// Ends the connection without a word: there is no stream, or nobody to hear.
    pub(super) fn hang_up(&mut self, ending: S2sEnding) -> State {
        self.event(S2sEvent::Ended(ending));
        self.push(Output::Close);
        State::Closing {
            until: self.now + self.config.close_timeout,
        }
    }
}

/// The domain that an address of two servers is, normalised.
pub(super) fn domain(text: &str) -> Option<Box<str>> {
    let jid = Jid::parse(text).ok()?;
    (jid.local().is_none() && jid.is_bare()).then(|| jid.domain().into())
}

/// The pair of an element from the peer. RFC 6120 §4.9.3.7: between servers there are always both.
pub(super) fn pair_of(to: Option<&str>, from: Option<&str>) -> Result<DomainPair, StreamError> {
    let domains = to.and_then(domain).zip(from.and_then(domain));
    let (local, remote) = domains.ok_or(StreamCondition::ImproperAddressing)?;
    Ok(DomainPair { local, remote })
}

/// An answer that fits no question: a fault of ours.
pub(super) fn wrong_answer(_: Answer) -> StreamError {
    StreamCondition::InternalServerError.into()
}
