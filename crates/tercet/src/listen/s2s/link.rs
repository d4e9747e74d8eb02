//! One connection with another server: its socket, its TLS, its stream, whoever opened it.

mod carrying;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tercet_core::{Stanza, StreamCondition, StreamError};
use tercet_server::UnderWay;
use tercet_stream::s2s::{
    Answer, DomainPair, Input, Output, Question, Refusal, S2sEnding, S2sEvent, S2sStream, Verdict,
};
use tercet_stream::{Ticket, sm};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::dane::Named;
use super::desk::Desk;
use super::outbox::{Left, Outbox};
use super::witness::Witness;
use super::{AtWork, S2s};
use crate::listen::wire::{Scratch, Wire, WireError};
use crate::tls::{PeerCertificate, TlsSession};
use carrying::Found;

/// Bytes that are written at once.
const SENT_AT_ONCE: usize = 256 << 10;
/// How long a socket may take nothing.
const STALLED: Duration = Duration::from_secs(60);
/// How long the end of a connection may take.
const ENDING: Duration = Duration::from_secs(5);
/// How long the other side of a dialback may take.
const DIALBACK: Duration = Duration::from_secs(25);

/// What a link tells its owner.
pub(super) enum Told {
    /// The peer has proved one of its domains.
    Authenticated,
    /// Stanzas of this pair may be written.
    Authorized(DomainPair),
    /// Those of a pair that was asked for may not.
    Refused(DomainPair, Refusal),
    /// The peer counts our stanzas from now on (XEP-0198); by this name it goes on with that over another connection.
    Counted(Option<Box<str>>),
    /// It goes on with the session that it was asked for, and has handled so many of its stanzas.
    Resumed(u32),
    /// It does not count, or does not know that session any more; then how many of its stanzas it had handled, if it says.
    NotCounted(Option<u32>),
    /// What the peer says of a key that it was asked about.
    Verified(Verdict),
    /// It is over; nothing comes after this.
    Ended(S2sEnding),
}

/// A connection.
pub(super) struct Link {
    s2s: Arc<S2s>,
    wire: Wire,
    pub(super) stream: S2sStream,
    /// The domains of a stream that we have opened.
    outward: Option<DomainPair>,
    certificate: Option<Box<PeerCertificate>>,
    /// What the DNS says of it.
    named: Option<Named>,
    peer: SocketAddr,
    out: Vec<u8>,
    told: VecDeque<Told>,
    found: JoinSet<Found>,
    ending: Option<S2sEnding>,
    /// The stream is over: what is written has to leave, and nothing more comes.
    closing: bool,
    stalled: Option<Instant>,
    /// The peer has sent too fast: it is read no further until then.
    paused: Option<Instant>,
    stopped: bool,
    /// The stream is closed then, or when all is acknowledged.
    ending_at: Option<Instant>,
    /// The connection has broken, with what was to be sent.
    lost: bool,
    /// Where others leave word for it.
    desk: Arc<Desk>,
    /// What it takes stanzas from.
    outbox: Option<Outbox>,
    /// The domains of the peer under which others find it.
    entered: Vec<Box<str>>,
    /// Pairs that others want it to carry, too, and that the peer is asked about.
    wanted: Vec<(DomainPair, oneshot::Sender<bool>)>,
    /// The first pair that the peer has proved: whose session it is.
    first: Option<DomainPair>,
    /// The name of the session of a peer that has opened the stream, if it can go on over another one.
    session: Option<Box<str>>,
    /// What has gone over to this stream.
    taken_over: Option<Left>,
    /// What is being written of its stanzas.
    under_way: Arc<UnderWay>,
    /// Dropped when all is handled.
    letting_go: Option<oneshot::Sender<()>>,
    witness: Witness,
    _open: AtWork,
    /// The peer has opened it.
    _inward: Option<AtWork>,
}

impl Link {
    /// Over a socket on which nothing has happened yet; `tls` if that comes first. `outward`: we have opened it.
    pub(super) fn new(
        s2s: Arc<S2s>,
        socket: TcpStream,
        peer: SocketAddr,
        tls: Option<TlsSession>,
        stream: S2sStream,
        outward: Option<DomainPair>,
    ) -> Self {
        Link {
            _open: s2s.open.work(),
            _inward: outward.is_none().then(|| s2s.inward.work()),
            witness: Witness::new(&s2s.server, outward.is_some(), peer),
            s2s,
            wire: Wire::new(socket, tls),
            stream,
            outward,
            certificate: None,
            named: None,
            peer,
            out: Vec::new(),
            told: VecDeque::new(),
            found: JoinSet::new(),
            ending: None,
            closing: false,
            stalled: None,
            paused: None,
            stopped: false,
            ending_at: None,
            lost: false,
            desk: Arc::default(),
            outbox: None,
            entered: Vec::new(),
            wanted: Vec::new(),
            first: None,
            session: None,
            taken_over: None,
            under_way: Arc::default(),
            letting_go: None,
        }
    }

    /// The peer must have a certificate that is named there, if any is.
    pub(super) fn expect(&mut self, named: Named) {
        self.named = Some(named);
    }

    /// Why the connection broke, if it did and that is known.
    pub(super) fn why_lost(&self) -> Option<&str> {
        self.witness.why_lost()
    }

    /// Goes on until there is something to tell. To be given up at any time.
    pub(super) async fn next(&mut self) -> Told {
        loop {
            self.obey();
            self.stop_if_settled();
            if let Err(error) = self.outputs().await {
                self.lose(&error);
                continue;
            }
            if let Some(left) = self.taken_over.take() {
                self.resume(left);
            }
            if let Err(error) = self.send().await {
                self.lose(&error);
                continue;
            }
            if let Some(told) = self.told.pop_front() {
                return told;
            }
            if self.closing {
                if !self.lost {
                    self.close().await;
                }
                return Told::Ended(self.ending.take().unwrap_or(S2sEnding::Lost));
            }
            if self.wire.unsent() > 0 || !self.take(SENT_AT_ONCE) {
                self.wait().await;
            }
        }
    }

    /// At the server's end: closes the stream once all is acknowledged, or has had its time to be.
    fn stop_if_settled(&mut self) {
        let Some(at) = self.ending_at else { return };
        let due = at <= Instant::now();
        if !due && self.awaits_inward() {
            return;
        }
        if let Some(outbox) = &mut self.outbox {
            outbox.filled();
        }
        self.take(usize::MAX);
        if !due && !self.outbox.as_ref().is_none_or(Outbox::is_settled) {
            return;
        }
        self.ending_at = None;
        let taken = self.outward.is_none() && self.first.is_some();
        let input = match self.stream.received() {
            // What the peer has sent before it reads this is taken.
            None if taken => Input::End,
            _ => Input::Close(StreamError::new(StreamCondition::SystemShutdown)),
        };
        self.stream.handle(Instant::now(), input);
    }

    /// Whether, at the server's end, stanzas still come by other streams, which may be answered here.
    fn awaits_inward(&self) -> bool {
        self.ending_at.is_some() && self.outward.is_some() && !self.s2s.inward.is_none()
    }

    /// Ends the connection in good order, and waits for that.
    pub(super) async fn finish(mut self) {
        self.stream.handle(Instant::now(), Input::End);
        while !matches!(self.next().await, Told::Ended(_)) {}
    }

    /// Sends what waits, ends our direction, and drops what still comes, lest its end be lost.
    async fn close(&mut self) {
        let all = async {
            if poll_fn(|cx| self.wire.poll_close(cx)).await.is_err() {
                return;
            }
            self.count_gone();
            let mut more = true;
            while more {
                let discard =
                    |cx: &mut Context<'_>| Scratch::with(|s| self.wire.poll_discard(cx, s));
                more = poll_fn(discard).await.unwrap_or(false);
            }
        };
        // Whoever does not end has had the time to.
        let _ = tokio::time::timeout(ENDING, all).await;
        // Whoever takes over the session says what has been handled.
        let _ = tokio::time::timeout(ENDING, self.under_way.settled()).await;
    }

    /// Waits for whatever happens first, and takes it.
    async fn wait(&mut self) {
        self.paused = self.paused.filter(|until| *until > Instant::now());
        let overdue = self.outbox.as_ref().and_then(Outbox::overdue);
        let deadlines = self.stream.deadline().into_iter().chain(self.ending_at);
        let deadlines = deadlines.chain(self.paused);
        let deadline = deadlines.chain(self.stalled).chain(overdue).min();
        let deadline = deadline.unwrap_or_else(|| Instant::now() + STALLED);
        let mut stopped = self.s2s.stopped.clone();
        let (awaits, inward) = (self.awaits_inward(), self.s2s.inward.clone());
        let Link {
            wire,
            stream,
            found,
            outbox,
            desk,
            ..
        } = self;
        let waiting = stream.is_waiting() || self.paused.is_some();
        tokio::select! {
            happened = poll_fn(|cx| poll_io(wire, stream, waiting, cx)) => match happened {
                Ok(certificate) => {
                    if let Some(certificate) = certificate {
                        self.certificate = certificate;
                    }
                    if self.wire.unsent() == 0 {
                        self.stalled = None;
                    }
                    self.count_gone();
                }
                Err(error) => self.lose(&error),
            },
            Some(Ok(found)) = found.join_next() => self.on_found(found),
            () = desk.ready.notified() => {
                if let Some(outbox) = outbox {
                    outbox.filled();
                }
            }
            () = tokio::time::sleep_until(deadline.into()) => {
                let now = Instant::now();
                let due = |time: Option<Instant>| time.is_some_and(|time| time <= now);
                let dead = due(overdue) && !outbox.as_mut().is_some_and(Outbox::give_up);
                if dead || due(self.stalled) {
                    self.closing = true;
                    stream.handle(now, Input::PeerClosed);
                }
                stream.handle(now, Input::Tick);
            }
            () = inward.rest(), if awaits => {}
            _ = stopped.changed(), if !self.stopped => {
                self.stopped = true;
                // What sessions said at their end still goes out.
                self.take(usize::MAX);
                self.ending_at = Some(Instant::now() + ENDING);
            }
        }
    }

    /// Takes what waits. False if there is nothing, or it may not be taken.
    fn take(&mut self, most: usize) -> bool {
        if self.stream.has_ended() {
            return false;
        }
        let Some(outbox) = self.outbox.as_mut().filter(|outbox| outbox.is_ready()) else {
            return false;
        };
        outbox.take(&mut self.out, most, self.stream.peer_limit());
        if !self.out.is_empty() {
            self.stream.wrote(Instant::now());
        }
        true
    }

    /// Does what the stream asks for.
    async fn outputs(&mut self) -> Result<(), WireError> {
        while let Some(output) = self.stream.poll_output() {
            match output {
                Output::Write(bytes) => self.out.extend_from_slice(&bytes),
                Output::StartTls => {
                    self.send().await?;
                    self.start_tls().await?;
                }
                Output::Ask(ticket, question) => self.ask(ticket, question),
                Output::Stanza(stanza) if self.s2s.echoes.is_answer(&stanza) => {}
                Output::Stanza(stanza) => {
                    self.count(&stanza);
                    self.s2s
                        .server
                        .accept_from_elsewhere(stanza, &self.under_way)
                        .wait()
                        .await;
                }
                Output::Authenticated(pair, proof) => {
                    self.witness.authenticated(&pair, proof);
                    self.first.get_or_insert(pair);
                    self.told.push_back(Told::Authenticated);
                }
                Output::Authorized(pair, proof) => {
                    self.witness.authorized(&pair, proof);
                    if self.outward.is_none() {
                        self.both_ways(&pair);
                    } else if !self.answer_wanted(&pair, true) {
                        self.told.push_back(Told::Authorized(pair));
                    }
                }
                Output::Refused(pair, refusal) => {
                    if !self.answer_wanted(&pair, false) {
                        self.told.push_back(Told::Refused(pair, refusal));
                    }
                }
                Output::Verified(_, verdict) => self.told.push_back(Told::Verified(verdict)),
                Output::Event(event) => {
                    self.witness.event(&event, self.stream.pair());
                    if let S2sEvent::Ended(ending) = event {
                        self.ending = Some(ending);
                    }
                }
                Output::Close => self.closing = true,
                Output::Enable(enable) => self.enable(enable),
                Output::AckRequested(handled) => {
                    // XEP-0198 §4: all that came before has been handled, and what is kept of it is durable.
                    self.under_way.settled().await;
                    sm::ack(handled, &mut self.out);
                }
                Output::Acked(handled) => {
                    let outbox = self.outbox.as_mut();
                    if let Some(Err(error)) = outbox.map(|outbox| outbox.acknowledged(handled)) {
                        self.refuse(&error);
                    }
                }
                Output::Enabled { id, .. } => self.told.push_back(Told::Counted(id)),
                Output::Resumed(handled) => self.told.push_back(Told::Resumed(handled)),
                Output::NotManaged(handled) => self.told.push_back(Told::NotCounted(handled)),
            }
        }
        Ok(())
    }

    /// Counts what the peer has sent.
    fn count(&mut self, stanza: &Stanza) {
        let Ok(Some(from)) = stanza.from() else {
            return;
        };
        let until = self
            .s2s
            .pace
            .count(from.domain(), stanza.byte_len(), Instant::now());
        if self.paused.is_none() && until.is_some() {
            tracing::debug!(peer = %self.peer, domain = from.domain(), "a server sends too fast, and is made to wait");
        }
        self.paused = self.paused.max(until);
    }

    fn ask(&mut self, ticket: Ticket, question: Question) {
        let now = Instant::now();
        match question {
            Question::Certificate(pair) => {
                let doubt = match &self.certificate {
                    Some(certificate) => {
                        let named = self.named.as_ref();
                        match named.and_then(|named| named.is(certificate, &pair.remote)) {
                            Some(true) => {
                                tracing::debug!(peer = %self.peer, remote = %pair.remote, "the DNS names a server's certificate");
                                None
                            }
                            // RFC 7673 §4: who is there is not who was meant.
                            Some(false) => return self.lose(&WireError::OtherCertificate),
                            None => certificate.proves(&pair.remote).err(),
                        }
                    }
                    None => {
                        let trusted = Answer::Certificate(false);
                        return self.stream.handle(now, Input::Answer(ticket, trusted));
                    }
                };
                if let Some(doubt) = &doubt {
                    tracing::info!(peer = %self.peer, remote = %pair.remote, %doubt, "a server's certificate does not prove its domain");
                }
                if let (Some(_), Some(certificate)) = (&doubt, &self.certificate)
                    && self.s2s.dane
                    && self.outward.is_none()
                {
                    let (s2s, certificate) = (self.s2s.clone(), certificate.clone());
                    self.found.spawn(async move {
                        let named = s2s.is_named(certificate, pair.remote);
                        let named = tokio::time::timeout(DIALBACK, named).await;
                        Found::Answer(ticket, Answer::Certificate(named.unwrap_or(false)))
                    });
                    return;
                }
                let trusted = Answer::Certificate(doubt.is_none());
                self.stream.handle(now, Input::Answer(ticket, trusted));
            }
            Question::Key(claim) => {
                let s2s = self.s2s.clone();
                self.found.spawn(async move {
                    let verdict = tokio::time::timeout(DIALBACK, s2s.verify(claim)).await;
                    let timeout =
                        || Verdict::Unknown(tercet_core::StanzaError::remote_server_timeout());
                    Found::Answer(ticket, Answer::Key(verdict.unwrap_or_else(|_| timeout())))
                });
            }
            Question::Resume {
                pair,
                previd,
                handled,
            } => {
                let s2s = self.s2s.clone();
                self.found.spawn(async move {
                    let left = s2s.sessions.take(&previd, &pair).await;
                    Found::Session(ticket, previd, handled, left)
                });
            }
        }
    }

    async fn start_tls(&mut self) -> Result<(), WireError> {
        let session = match &self.outward {
            Some(pair) => self.s2s.connector.start(&pair.local, &pair.remote, false)?,
            None => {
                let host = self.stream.pair().map(|pair| &*pair.local);
                self.s2s.starttls.start(host)?
            }
        };
        self.wire.start_tls(session);
        if self.outward.is_some() {
            self.greet().await?;
        }
        Ok(())
    }

    /// Who opens a connection speaks first.
    pub(super) async fn greet(&mut self) -> Result<(), WireError> {
        poll_fn(|cx| Poll::Ready(Scratch::with(|scratch| self.wire.greet(cx, scratch)))).await
    }

    /// Hands what is written to the socket.
    async fn send(&mut self) -> Result<(), WireError> {
        if self.out.is_empty() {
            return Ok(());
        }
        let (wire, out) = (&mut self.wire, &mut self.out);
        poll_fn(|cx| {
            Poll::Ready(Scratch::with(|scratch| {
                scratch.out.append(out);
                wire.send(cx, scratch)
            }))
        })
        .await?;
        self.out = Vec::new();
        self.count_gone();
        if self.wire.unsent() > 0 {
            self.stalled.get_or_insert(Instant::now() + STALLED);
        }
        Ok(())
    }

    /// What the network has taken is no longer here.
    fn count_gone(&mut self) {
        if self.wire.unsent() == 0
            && !self.lost
            && let Some(outbox) = &mut self.outbox
        {
            outbox.gone();
        }
    }

    /// The connection is of no more use.
    fn lose(&mut self, error: &WireError) {
        self.witness.lost(error);
        self.stream.handle(Instant::now(), Input::PeerClosed);
        self.out.clear();
        self.lost = true;
        self.closing = true;
    }
}

/// Sends what waits, and reads once. Gives the peer's certificate when TLS has come up.
fn poll_io(
    wire: &mut Wire,
    stream: &mut S2sStream,
    waiting: bool,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Option<Box<PeerCertificate>>>, WireError>> {
    let unsent = wire.unsent();
    if unsent > 0 {
        match wire.poll_flush(cx) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(None)),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
            Poll::Pending => {}
        }
    }
    if waiting {
        return Poll::Pending;
    }
    Scratch::with(|scratch| {
        let incoming = match wire.poll_read(cx, scratch) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(incoming)) => incoming,
        };
        let now = Instant::now();
        let up = incoming.tls_up.map(|info| {
            stream.handle(now, Input::TlsUp);
            info.peer
        });
        if !incoming.data.is_empty() {
            stream.handle(now, Input::Bytes(&incoming.data));
        }
        scratch.give_back(incoming.data);
        if incoming.end {
            stream.handle(now, Input::PeerClosed);
        }
        Poll::Ready(Ok(up))
    })
}
