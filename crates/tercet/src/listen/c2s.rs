//! One client connection: its task, from the first byte to the last.
//!
//! The task is one hand-written future. Woken by whatever happens first (bytes from the socket, bytes in the outbox, an
//! answer, a deadline), it does all there is to do and then writes once:
//!
//! ```text
//! socket -> Carrier (TLS, WebSocket) -> C2sStream -> Output::Stanza -> Server::accept -> outboxes of others
//!   ^                          |  ^----- Input::Answer <- Question (store, password, bind)
//!   '---- one write <----------+------- own Outbox
//! ```
//! - What the client sends waits (one read here, the rest in the kernel) while a question or a stanza's routing needs the store: order holds.
//!   Its outbox is drained all the while.
//! - A client that does not read has at most one outbox's bytes here and one in the outbox; beyond that the outbox ends
//!   the session with `resource-constraint`. If its socket takes nothing for a minute, the connection is dropped.
//! - The timer is set to the earliest deadline and not moved when that moves away: a message costs no timer work.

mod acks;
mod end;

use self::acks::Acks;
use super::carrier::Carrier;
use super::gate::Pass;
use super::registry::Registered;
use super::service::{C2s, Work, WorkDone, stream_info};
use super::timer::Timer;
use super::wire::Scratch;
use crate::runtime::Load;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tercet_core::{BareJid, Stanza, StanzaKind, StreamCondition};
use tercet_server::{Outbox, Receipt, Routed, Session};
use tercet_stream::{C2sStream, Ending, Input, Output, StreamEvent};

/// Reads in one turn of the task, before others have theirs.
const READS: u32 = 4;
/// Bytes that are gathered for one write. More are offered to the socket before the client's next request is looked at: a few
/// bytes can ask for many.
const SENT_AT_ONCE: usize = 256 << 10;
/// Stanzas of one read after which the outbox is looked after.
const DRAINED_AFTER: u32 = 16;
/// How long a socket may take nothing before its connection is given up.
const STALLED: Duration = Duration::from_secs(60);
/// How long the end of a connection may take: sending what waits, and the client's own end.
const ENDING: Duration = Duration::from_secs(5);

/// The task of one client connection.
pub(super) struct Connection {
    carrier: Carrier,
    stream: C2sStream,
    shared: Arc<C2s>,
    outbox: Arc<Outbox>,
    session: Option<Arc<Session>>,
    /// What the client acknowledges, and is to be told, once it has asked for that.
    acks: Option<Box<Acks>>,
    /// The session goes on without this connection.
    leaves: bool,
    /// A session that waits for its client to come back as soon as nothing of it is under way here.
    left: Option<Arc<Session>>,
    /// The account made for an anonymous client; goes with the connection.
    guest: Option<Box<BareJid>>,
    work: Option<Work>,
    timer: Timer,
    /// The answer to a failed login is held back until then.
    held: Option<Instant>,
    /// When the socket has to have taken something.
    stalled: Option<Instant>,
    /// When the end has to be over.
    ending: Option<Instant>,
    phase: Phase,
    /// Who waits for what was taken from the outbox to be written.
    receipts: Vec<Receipt>,
    /// What the client sent behind a stanza that has to wait, at most one read.
    rest: Vec<u8>,
    /// The client sends nothing more.
    ended: bool,
    /// TLS began with the first byte.
    direct: bool,
    peer: SocketAddr,
    pass: Pass,
    // Last and in this order: who waits for the connection's end finds it gone from everywhere.
    _load: Load,
    registered: Registered,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The stream is over: what waits is sent, TLS and the sending side are closed.
    Closing,
    /// All is sent; what still comes is dropped until the client closes, lest its end be lost.
    Lingering,
    /// The socket is of no more use.
    Gone,
}

/// Everything that a connection starts with.
pub(super) struct Start {
    pub(super) shared: Arc<C2s>,
    pub(super) carrier: Carrier,
    pub(super) stream: C2sStream,
    /// What came already.
    pub(super) early: Vec<u8>,
    pub(super) direct: bool,
    pub(super) peer: SocketAddr,
    pub(super) pass: Pass,
    pub(super) load: Load,
}

impl Connection {
    pub(super) fn new(start: Start) -> Self {
        let Start {
            shared,
            carrier,
            stream,
            early,
            direct,
            peer,
            pass,
            load,
        } = start;
        let outbox = Arc::new(Outbox::new(shared.outbox_bytes()));
        let registered = shared.registry.enter(outbox.clone());
        tracing::debug!(%peer, direct, by = carrier.name(), "connected");
        Connection {
            carrier,
            stream,
            shared,
            outbox,
            session: None,
            acks: None,
            leaves: false,
            left: None,
            guest: None,
            work: None,
            timer: Timer::default(),
            held: None,
            stalled: None,
            ending: None,
            phase: Phase::Open,
            receipts: Vec::new(),
            rest: early,
            ended: false,
            direct,
            peer,
            pass,
            _load: load,
            registered,
        }
    }

    /// One turn. Ready when the connection is over and nothing is left to do for it.
    fn turn(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<()> {
        let now = Instant::now();
        if self.timer.is_due(now) {
            self.on_time(now);
        }
        self.flush(cx, now);
        self.carrier.turn(cx, now);
        let mut reads = 0;
        loop {
            self.poll_work(cx, now);
            self.outputs(cx, scratch, now);
            if self.phase != Phase::Open {
                break;
            }
            let taken = self.poll_outbox(cx, scratch, now);
            if scratch.out.len() > SENT_AT_ONCE {
                self.send(cx, scratch, now);
            }
            if taken {
                continue;
            }
            if self.work.is_some() || self.held.is_some() {
                break;
            }
            if self.leaves {
                self.give_way(now);
                continue;
            }
            if self.is_full() {
                break;
            }
            if !self.rest.is_empty() {
                self.take_rest(cx, scratch, now);
                continue;
            }
            if self.ended {
                // The stream answers with its own end; should it not, this is it.
                self.stream.handle(now, Input::PeerClosed);
                self.outputs(cx, scratch, now);
                self.close(now);
                break;
            }
            if reads == READS {
                // The rest waits until others had their turn.
                cx.waker().wake_by_ref();
                break;
            }
            reads += 1;
            if !self.poll_read(cx, scratch, now) {
                break;
            }
        }
        self.poll_acks(cx, scratch, now);
        self.send(cx, scratch, now);
        if self.phase != Phase::Open && self.poll_end(cx, scratch, now).is_ready() {
            return Poll::Ready(());
        }
        self.timer.set(cx, now, self.deadline());
        Poll::Pending
    }

    /// Something is due.
    fn on_time(&mut self, now: Instant) {
        let due = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        if due(self.held) {
            self.held = None;
        }
        if due(self.stalled) || due(self.ending) {
            tracing::debug!(peer = %self.peer, "connection given up");
            self.phase = Phase::Gone;
            self.leave();
        }
        self.acks_due(now);
        if self.phase == Phase::Open && due(self.stream.deadline()) {
            // The time for a login is up, whatever is held back.
            self.held = None;
            self.stream.handle(now, Input::Tick);
        }
    }

    /// When something is due at the earliest.
    fn deadline(&self) -> Option<Instant> {
        let stream = match self.phase {
            Phase::Open => self.stream.deadline(),
            Phase::Closing | Phase::Lingering => None,
            // Only work that is under way is waited for.
            Phase::Gone => return None,
        };
        let carrier = self.carrier.deadline();
        let acks = self.acks.as_ref().and_then(|acks| acks.deadline());
        let all = [stream, carrier, self.held, self.stalled, self.ending, acks];
        all.into_iter().flatten().min()
    }

    /// What the socket has not taken yet goes first.
    fn flush(&mut self, cx: &mut Context<'_>, now: Instant) {
        let before = self.carrier.unsent();
        if before == 0 || self.phase == Phase::Gone {
            return;
        }
        match self.carrier.poll_flush(cx) {
            Poll::Ready(Ok(())) => self.stalled = None,
            Poll::Ready(Err(error)) => self.lose(&error.into(), now),
            Poll::Pending if self.carrier.unsent() < before => self.stalled = Some(now + STALLED),
            Poll::Pending => {}
        }
    }

    fn send(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch, now: Instant) {
        if self.phase == Phase::Gone {
            scratch.out.clear();
            return;
        }
        let end = self.phase != Phase::Open;
        if let Err(error) = self.carrier.send(cx, scratch, end, now) {
            self.lose(&error, now);
        }
        if self.carrier.is_stuck() {
            self.stalled.get_or_insert(now + STALLED);
        } else if self.phase != Phase::Gone {
            self.carrier.settle(cx, &mut self.receipts, now);
        }
    }

    /// Lets the answer or the routing that is under way go on.
    fn poll_work(&mut self, cx: &mut Context<'_>, now: Instant) {
        while let Some(work) = &mut self.work
            && let Poll::Ready(done) = work.poll(cx)
        {
            self.work = None;
            match done {
                WorkDone::Routed => {}
                WorkDone::Answer(ticket, answer) => {
                    self.stream.handle(now, Input::Answer(ticket, answer));
                }
                WorkDone::Guest(ticket, guest, answer) => {
                    self.guest = guest.map(Box::new);
                    self.stream.handle(now, Input::Answer(ticket, answer));
                    if self.phase != Phase::Open {
                        self.unbind();
                    }
                }
                WorkDone::Resumed(ticket, session, answer) => {
                    self.session = session.map(|(session, handled)| {
                        self.acks = Some(Acks::resumed(handled));
                        session
                    });
                    self.stream.handle(now, Input::Answer(ticket, answer));
                    if self.phase != Phase::Open {
                        self.leave();
                    }
                }
                WorkDone::Bound(ticket, session, answer) => {
                    self.session = session;
                    self.stream.handle(now, Input::Answer(ticket, answer));
                    if self.phase != Phase::Open {
                        self.unbind();
                    }
                }
            }
        }
    }

    /// Does what the stream asks for, until it asks for nothing more or something has to be waited for.
    fn outputs(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch, now: Instant) {
        while self.work.is_none() && self.held.is_none() && self.phase == Phase::Open {
            let Some(output) = self.stream.poll_output() else {
                return;
            };
            match output {
                Output::Stanza(stanza) => self.route(cx, stanza, now),
                Output::Write(bytes) => {
                    // Replies that were routed before are in the outbox: they go first.
                    if self.pass.is_authenticated() {
                        self.poll_outbox(cx, scratch, now);
                    }
                    scratch.out.extend_from_slice(&bytes);
                }
                Output::StartTls => self.start_tls(cx, scratch, now),
                Output::Ask(ticket, question) => {
                    let work = self.shared.ask(
                        ticket,
                        question,
                        self.peer.ip(),
                        &self.outbox,
                        self.stream.lang(),
                        self.guest.is_some(),
                    );
                    self.work = Some(work);
                    self.poll_work(cx, now);
                }
                Output::Bound(jid) => {
                    self.pass.authenticated();
                    if self.stream.received().is_some() {
                        // XEP-0386: stanzas are counted from the beginning.
                        self.acks = Some(Box::default());
                    }
                    tracing::debug!(%jid, peer = %self.peer, "session bound");
                }
                Output::Reply(bytes) => self.reply(&bytes),
                Output::Enable(enable) => self.enable(&enable),
                Output::AckRequested(count) => self.on_ack_requested(cx, scratch, count),
                Output::Acked(count) => self.on_acked(count, now),
                Output::Resumed(jid, reply) => {
                    self.pass.authenticated();
                    tracing::debug!(%jid, peer = %self.peer, "session resumed");
                    self.resumed(&reply, now);
                }
                Output::Active(active) => {
                    if let Some(session) = &self.session {
                        self.shared.server.set_active(session, active);
                    }
                }
                Output::Event(event) => self.event(&event, now),
                Output::Close => self.close(now),
            }
        }
    }

    /// A stanza that the stream itself answers a bound client with.
    fn reply(&mut self, bytes: &[u8]) {
        if let Some(session) = &self.session {
            session.answered();
        }
        self.outbox.push(|out| out.extend_from_slice(bytes));
    }

    fn route(&mut self, cx: &mut Context<'_>, stanza: Stanza, now: Instant) {
        // The stream gives stanzas to a bound session only.
        if let Some(session) = &self.session
            && let Routed::Later(rest) = self.shared.server.accept(session, stanza)
        {
            let earlier = self.work.take();
            self.work = Some(Work::after(earlier, rest));
            self.poll_work(cx, now);
        }
    }

    /// Gives bytes to the stream and routes stanza by stanza. What follows one that has to wait is returned.
    fn consume<'a>(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        now: Instant,
        mut bytes: &'a [u8],
    ) -> &'a [u8] {
        for stanzas in 1_u32.. {
            self.outputs(cx, scratch, now);
            if self.phase != Phase::Open {
                break;
            }
            if bytes.is_empty() || self.work.is_some() || self.held.is_some() {
                return bytes;
            }
            if let Some(stanza) = self.carrier.receive(&mut bytes, &mut self.stream, now) {
                // What the stream says besides came before.
                self.outputs(cx, scratch, now);
                let asks = stanza.kind() == StanzaKind::Iq;
                self.route(cx, stanza, now);
                if asks || stanzas % DRAINED_AFTER == 0 {
                    // The client's own requests must not fill its outbox.
                    self.poll_outbox(cx, scratch, now);
                }
                // Nor are they answered faster than it reads.
                if asks && (scratch.out.len() > SENT_AT_ONCE || self.carrier.unsent() > 0) {
                    return bytes;
                }
            }
        }
        &[]
    }

    /// Goes on with what had to wait.
    fn take_rest(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch, now: Instant) {
        let bytes = std::mem::take(&mut self.rest);
        let left = self.consume(cx, scratch, now, &bytes);
        if !left.is_empty() {
            self.rest = left.to_vec();
        }
    }

    fn event(&mut self, event: &StreamEvent, now: Instant) {
        match event {
            StreamEvent::AuthFailed {
                username, failure, ..
            } => {
                let delay = self
                    .shared
                    .login_failed(self.peer.ip(), username.as_deref(), now);
                tracing::info!(peer = %self.peer, username = ?username, ?failure, ?delay, "login failed");
                if !delay.is_zero() {
                    self.held = Some(now + delay);
                }
            }
            event => {
                match event {
                    StreamEvent::Silent => self.carrier.ask_for_life(),
                    // XEP-0198 §7: a session ends by its stream's end; without it the client may come back.
                    StreamEvent::Ended(
                        Ending::Lost | Ending::Error(StreamCondition::ConnectionTimeout),
                    ) => self.leaves = true,
                    _ => {}
                }
                tracing::debug!(peer = %self.peer, ?event, "stream");
            }
        }
    }

    /// Everything that waits in the outbox. True if there was something.
    fn poll_outbox(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch, now: Instant) -> bool {
        // A slow client's stanzas stay in the outbox, under its bound, until the socket takes what is here; and nothing comes
        // before the client knows of its session.
        let waits = self.carrier.unsent() > 0 || !self.pass.is_authenticated();
        if waits && self.outbox.poll_end(cx).is_pending() {
            return false;
        }
        let Poll::Ready(taken) = self.outbox.poll_take(cx) else {
            return false;
        };
        if scratch.out.is_empty() {
            scratch.out = taken.bytes;
        } else {
            scratch.out.extend_from_slice(&taken.bytes);
        }
        self.receipts.extend(taken.receipts);
        if taken.superseded {
            // What is for the client goes to the other connection from now on.
            self.leaves = true;
            self.detach();
            return true;
        }
        if let Some(acks) = &mut self.acks {
            acks.sent(taken.acked, now);
        }
        if let Some(error) = taken.end {
            self.held = None;
            self.stream.handle(now, Input::Close(error));
        }
        true
    }

    /// Reads once. False if there is nothing, or will be nothing more.
    fn poll_read(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch, now: Instant) -> bool {
        let incoming = match self.carrier.poll_read(cx, scratch) {
            Poll::Pending => return false,
            Poll::Ready(Err(error)) => {
                self.lose(&error, now);
                return false;
            }
            Poll::Ready(Ok(incoming)) => incoming,
        };
        if let Some(acks) = &mut self.acks {
            acks.heard();
        }
        if let Some(info) = incoming.tls_up {
            tracing::debug!(peer = %self.peer, version = ?info.version, resumed = info.resumed, "TLS is up");
            let info = stream_info(*info, self.direct);
            self.stream.handle(now, Input::TlsUp(info));
        }
        let left = self.consume(cx, scratch, now, &incoming.data);
        if !left.is_empty() {
            self.rest = left.to_vec();
        }
        scratch.give_back(incoming.data);
        self.ended |= incoming.end;
        true
    }

    /// STARTTLS was agreed: what is written so far goes out in the clear.
    fn start_tls(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch, now: Instant) {
        self.send(cx, scratch, now);
        match self.shared.starttls.start(self.stream.host()) {
            Ok(tls) => self.carrier.start_tls(tls),
            Err(error) => self.lose(&error.into(), now),
        }
    }

    /// The client has more bytes to take than its outbox may hold, or does not take the answers to what it asked before.
    fn is_full(&self) -> bool {
        let unsent = self.carrier.unsent();
        unsent > self.shared.outbox_bytes() || unsent > 0 && !self.rest.is_empty()
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let connection = self.get_mut();
        Scratch::with(|scratch| connection.turn(cx, scratch))
    }
}
