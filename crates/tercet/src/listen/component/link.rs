//! One connection of a component: its socket and its stream.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tercet_core::{StreamCondition, StreamError};
use tercet_server::{Letter, UnderWay};
use tercet_stream::component::{ComponentEnding, ComponentEvent, ComponentStream, Input, Output};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};

use super::line::Id;
use super::{Arrived, Connected, Hub, Station, broken};
use crate::listen::gate::Pass;
use crate::listen::wire::{Scratch, Wire, WireError};
use crate::runtime::Load;

/// Bytes that are written at once.
const SENT_AT_ONCE: usize = 256 << 10;
/// How long a socket may take nothing.
const STALLED: Duration = Duration::from_secs(60);
/// How long the end of a connection may take.
const ENDING: Duration = Duration::from_secs(5);

/// Serves a connection that a component has made, to its end.
pub(in crate::listen) async fn serve(
    hub: Arc<Hub>,
    socket: TcpStream,
    peer: SocketAddr,
    pass: Pass,
    _load: Load,
) {
    let _open = hub.open.work();
    let (config, seed) = (hub.streams.load_full(), hub.server.random());
    let link = Link {
        id: hub.ids.fetch_add(1, Ordering::Relaxed),
        wire: Wire::new(socket, None),
        stream: ComponentStream::new(config, Instant::now(), seed),
        pass,
        peer,
        seat: None,
        out: Vec::new(),
        sent: Vec::new(),
        closing: false,
        lost: false,
        stopped: false,
        stalled: None,
        under_way: Arc::default(),
        hub,
    };
    link.run().await;
}

/// A component's place, as long as this connection has it.
struct Seat {
    station: Arc<Station>,
    domain: Box<str>,
    /// Tells when something waits.
    ready: Arc<Notify>,
    /// Tells when the connection has to end, once.
    ended: Option<oneshot::Receiver<StreamCondition>>,
}

struct Link {
    hub: Arc<Hub>,
    id: Id,
    wire: Wire,
    stream: ComponentStream,
    pass: Pass,
    peer: SocketAddr,
    seat: Option<Seat>,
    out: Vec<u8>,
    /// What was taken from the line and has not all gone to the network.
    sent: Vec<Letter>,
    /// The stream is over: what is written has to leave, and nothing more comes.
    closing: bool,
    /// The connection has broken, with what was to be sent.
    lost: bool,
    stopped: bool,
    stalled: Option<Instant>,
    /// What is being written of its stanzas.
    under_way: Arc<UnderWay>,
}

impl Link {
    async fn run(mut self) {
        loop {
            self.outputs().await;
            self.send().await;
            if self.closing {
                // What a lost connection has left behind.
                self.outputs().await;
                break;
            }
            self.wait().await;
        }
        let seat = self.seat.take();
        if let Some(seat) = &seat {
            // Before the peer has closed its side: it may come back at once.
            self.hub.leave(&seat.station, self.id);
        }
        self.close().await;
        if let Some(seat) = seat {
            seat.station.counters.returned(self.sent.len());
            for letter in self.sent.drain(..) {
                self.hub.give_back(letter, broken(&seat.domain));
            }
        }
    }

    /// Does what the stream asks for.
    async fn outputs(&mut self) {
        while let Some(output) = self.stream.poll_output() {
            match output {
                Output::Write(bytes) => self.out.extend_from_slice(&bytes),
                Output::Proved(domain) => self.proved(domain),
                Output::Stanza(stanza) => {
                    if let Some(seat) = &self.seat {
                        seat.station.counters.received();
                    }
                    self.hub
                        .server
                        .accept_from_elsewhere(stanza, &self.under_way)
                        .wait()
                        .await;
                }
                Output::Event(event) => self.event(event),
                Output::Close => self.closing = true,
            }
        }
    }

    fn proved(&mut self, domain: Box<str>) {
        let now = Instant::now();
        let station = self.hub.station(&domain);
        let connected = Connected {
            since_ms: self.hub.server.now_ms(),
            address: self.peer,
        };
        let arrived =
            station.and_then(|station| Some((station.arrive(self.id, connected)?, station)));
        let Some((Arrived { ready, ended }, station)) = arrived else {
            tracing::warn!(peer = %self.peer, component = %domain, "a second connection of a component is refused");
            let error = StreamError::new(StreamCondition::Conflict)
                .text("this component is connected already");
            return self.stream.handle(now, Input::Close(error));
        };
        tracing::info!(peer = %self.peer, component = %domain, "a component is connected");
        self.pass.authenticated();
        self.stream.handle(now, Input::Admit);
        // Presence is asked for and shown anew, whatever it has missed.
        self.hub.server.within_reach(&domain);
        self.hub.server.disturbed(&domain);
        self.hub.server.component_connected(&domain);
        self.seat = Some(Seat {
            station,
            domain,
            ready,
            ended: Some(ended),
        });
    }

    fn event(&self, event: ComponentEvent) {
        let peer = self.peer;
        match event {
            ComponentEvent::Refused(component) => {
                tracing::warn!(%peer, %component, "a component has another secret than is set here");
            }
            ComponentEvent::Unknown(component) => {
                tracing::warn!(%peer, %component, "there is no [[component]] of this name");
            }
            ComponentEvent::Ended(ending) => match &self.seat {
                Some(seat) => {
                    let orderly = matches!(ending, ComponentEnding::ByPeer);
                    let component = &seat.domain;
                    match orderly {
                        true => tracing::info!(%peer, %component, "a component has left"),
                        false => {
                            tracing::warn!(%peer, %component, ?ending, "a component's stream has ended");
                        }
                    }
                }
                None => tracing::debug!(%peer, ?ending, "a component's stream has ended"),
            },
            ComponentEvent::Silent => {}
        }
    }

    /// Waits for whatever happens first, and takes it.
    async fn wait(&mut self) {
        let deadline = self.stream.deadline().into_iter().chain(self.stalled).min();
        let deadline = deadline.unwrap_or_else(|| Instant::now() + STALLED);
        let mut stopped = self.hub.stopped.clone();
        let ready = self.wire.unsent() == 0;
        let Link {
            wire, stream, seat, ..
        } = self;
        let (filling, ended) = match seat {
            Some(seat) => (Some(seat.ready.clone()), seat.ended.as_mut()),
            None => (None, None),
        };
        tokio::select! {
            happened = poll_fn(|cx| poll_io(wire, stream, cx)) => match happened {
                Ok(()) => self.count_gone(),
                Err(error) => self.lose(&error),
            },
            () = filled(filling), if ready => self.take(SENT_AT_ONCE),
            why = told(ended) => {
                if let Some(seat) = &mut self.seat {
                    seat.ended = None;
                }
                if let Some(condition) = why {
                    stream_close(&mut self.stream, condition);
                }
            }
            () = tokio::time::sleep_until(deadline.into()) => {
                let now = Instant::now();
                if self.stalled.is_some_and(|at| at <= now) {
                    self.lost = true;
                    self.stream.handle(now, Input::PeerClosed);
                }
                self.stream.handle(now, Input::Tick);
            }
            _ = stopped.changed(), if !self.stopped => {
                self.stopped = true;
                // What sessions said at their end still goes out.
                self.take(usize::MAX);
                stream_close(&mut self.stream, StreamCondition::SystemShutdown);
            }
        }
    }

    /// Moves what waits to what is written.
    fn take(&mut self, most: usize) {
        let Some(seat) = &self.seat else { return };
        let letters = seat.station.lock().line.take(self.id, most);
        if !letters.is_empty() {
            // There may be more.
            seat.ready.notify_one();
            seat.station.counters.sent(letters.len());
        }
        for letter in letters {
            self.out.extend_from_slice(&letter.bytes);
            self.sent.push(letter);
        }
    }

    /// Hands what is written to the socket.
    async fn send(&mut self) {
        if self.out.is_empty() || self.lost {
            return;
        }
        let (wire, out) = (&mut self.wire, &mut self.out);
        let sent = poll_fn(|cx| {
            Poll::Ready(Scratch::with(|scratch| {
                scratch.out.append(out);
                wire.send(cx, scratch)
            }))
        });
        if let Err(error) = sent.await {
            return self.lose(&error);
        }
        self.out = Vec::new();
        self.count_gone();
        if self.wire.unsent() > 0 {
            self.stalled.get_or_insert(Instant::now() + STALLED);
        }
    }

    /// What the network has taken is no longer here.
    fn count_gone(&mut self) {
        if self.wire.unsent() == 0 && !self.lost {
            self.stalled = None;
            self.sent = Vec::new();
        }
    }

    /// Sends what waits, ends our direction, and drops what still comes, lest its end be lost.
    async fn close(&mut self) {
        let all = async {
            if self.lost || poll_fn(|cx| self.wire.poll_close(cx)).await.is_err() {
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
    }

    /// The connection is of no more use.
    fn lose(&mut self, error: &WireError) {
        tracing::debug!(peer = %self.peer, %error, "a component's connection is lost");
        self.out.clear();
        self.lost = true;
        self.closing = true;
        self.stream.handle(Instant::now(), Input::PeerClosed);
    }
}

fn stream_close(stream: &mut ComponentStream, condition: StreamCondition) {
    stream.handle(Instant::now(), Input::Close(condition.into()));
}

async fn filled(ready: Option<Arc<Notify>>) {
    match ready {
        Some(ready) => ready.notified().await,
        None => std::future::pending().await,
    }
}

/// Why the connection has to end; `None` where nobody will say so any more.
async fn told(ended: Option<&mut oneshot::Receiver<StreamCondition>>) -> Option<StreamCondition> {
    match ended {
        Some(ended) => ended.await.ok(),
        None => std::future::pending().await,
    }
}

/// Sends what waits, and reads once.
fn poll_io(
    wire: &mut Wire,
    stream: &mut ComponentStream,
    cx: &mut Context<'_>,
) -> Poll<Result<(), WireError>> {
    if wire.unsent() > 0 {
        match wire.poll_flush(cx) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
            Poll::Pending => {}
        }
    }
    Scratch::with(|scratch| {
        let incoming = match wire.poll_read(cx, scratch) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(incoming)) => incoming,
        };
        let now = Instant::now();
        if !incoming.data.is_empty() {
            stream.handle(now, Input::Bytes(&incoming.data));
        }
        scratch.give_back(incoming.data);
        if incoming.end {
            stream.handle(now, Input::PeerClosed);
        }
        Poll::Ready(Ok(()))
    })
}
