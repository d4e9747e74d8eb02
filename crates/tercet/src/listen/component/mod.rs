//! Components (XEP-0114): the domains for which other processes speak, and their connections.
//!
//! ```text
//! Server -- Components::send --> Station: the line of a component --> link --> the component
//! the component --> link -- Server::accept_from_elsewhere --> Server
//! ```
//! What comes for a component whose connection has just ended waits a while for it to come back; what comes for one that is
//! away goes back to its sender. What the network has taken and a broken connection has lost is lost: the protocol has no
//! acknowledgements.

mod figures;
mod line;
mod link;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tercet_core::{StanzaError, StreamCondition};
use tercet_server::{Components, Letter, Server};
use tercet_stream::component::ComponentConfig;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::s2s::{AtWork, Busy};
use crate::runtime::Cores;
pub use figures::{Connected, Figures, figures};
use figures::{Counters, Known};
use line::{Id, Line, Why};
pub(super) use link::serve;

/// One component, as the listeners see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its domain, normalised.
    pub domain: Box<str>,
    /// Whether it speaks for all domains below its own.
    pub subdomains: bool,
    /// Whether a second connection takes the place of the first; otherwise it is refused.
    pub replace: bool,
    /// How long stanzas wait for it to come back.
    pub wait: Duration,
    /// Bytes that may wait for it.
    pub bytes: usize,
}

/// All components.
pub(super) struct Hub {
    server: Arc<Server>,
    streams: ArcSwap<ComponentConfig>,
    /// By domain.
    stations: ArcSwap<HashMap<Box<str>, Arc<Station>>>,
    ids: AtomicU64,
    /// The server is ending.
    closed: AtomicBool,
    /// Ends when every stream has to.
    stopped: watch::Receiver<()>,
    /// Stanzas that go back to their senders.
    returned: mpsc::UnboundedSender<Returned>,
    /// Connections there are.
    open: Busy,
    /// Stanzas that are on their way back.
    returning: Busy,
}

/// A stanza that goes back.
type Returned = (Letter, StanzaError, AtWork);

/// Where one component arrives.
struct Station {
    place: Mutex<Place>,
    state: Mutex<State>,
    counters: Counters,
}

struct State {
    line: Line<Letter>,
    /// Tells the connection there is that something waits.
    ready: Arc<Notify>,
    /// Ends it.
    end: Option<oneshot::Sender<StreamCondition>>,
    connected: Option<Connected>,
}

/// What a connection that has been let in hears.
struct Arrived {
    /// Something waits for it.
    ready: Arc<Notify>,
    /// It has to end, once.
    ended: oneshot::Receiver<StreamCondition>,
}

impl Station {
    fn new(place: Place) -> Station {
        let line = Line::new(place.wait, place.bytes);
        Station {
            place: Mutex::new(place),
            state: Mutex::new(State {
                line,
                ready: Arc::default(),
                end: None,
                connected: None,
            }),
            counters: Counters::default(),
        }
    }

    fn place(&self) -> Place {
        self.place.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn set(&self, place: Place) {
        self.lock().line.set(place.wait, place.bytes);
        *self.place.lock().unwrap_or_else(|e| e.into_inner()) = place;
    }

    /// Lets a connection in; `None` if there is one that stays.
    fn arrive(&self, id: Id, connected: Connected) -> Option<Arrived> {
        let replace = self.place().replace;
        let mut state = self.lock();
        if state.line.here().is_some() && !replace {
            return None;
        }
        let (end, ended) = oneshot::channel();
        if let Some(other) = state.end.replace(end) {
            // It may have ended by itself.
            let _ = other.send(StreamCondition::Conflict);
        }
        state.line.arrive(id);
        state.connected = Some(connected);
        self.counters.connected();
        // One of its own: the other must not hear what is meant for this one.
        state.ready = Arc::default();
        state.ready.notify_one();
        Some(Arrived {
            ready: state.ready.clone(),
            ended,
        })
    }
}

impl Hub {
    /// Begins to serve components. `stopped` ends it.
    pub(super) async fn start(
        server: Arc<Server>,
        cores: &Cores,
        places: Vec<Place>,
        streams: ComponentConfig,
        stopped: watch::Receiver<()>,
    ) -> Arc<Hub> {
        let (returned, waiting) = mpsc::unbounded_channel();
        let hub = Arc::new(Hub {
            server: server.clone(),
            streams: ArcSwap::from_pointee(streams),
            stations: ArcSwap::default(),
            ids: AtomicU64::new(1),
            closed: AtomicBool::new(false),
            stopped,
            returned,
            open: Busy::default(),
            returning: Busy::default(),
        });
        hub.set_places(places);
        cores.spawn_on(0, give_back(server.clone(), waiting)).await;
        server.set_components(hub.clone());
        Known::of(&server).set(&hub);
        hub
    }

    /// Takes other settings. Connections of components that are gone end.
    pub(super) fn set(&self, places: Vec<Place>, streams: ComponentConfig) {
        self.streams.store(Arc::new(streams));
        self.set_places(places);
    }

    fn set_places(&self, places: Vec<Place>) {
        let before = self.stations.load_full();
        let mut after = HashMap::new();
        for place in places {
            let domain = place.domain.clone();
            let station = match before.get(&domain) {
                Some(station) => {
                    station.set(place);
                    station.clone()
                }
                None => Arc::new(Station::new(place)),
            };
            after.insert(domain, station);
        }
        let gone = before
            .iter()
            .filter(|(domain, _)| !after.contains_key(*domain));
        let gone: Vec<_> = gone.map(|(_, station)| station.clone()).collect();
        self.stations.store(Arc::new(after));
        for station in gone {
            let left = {
                let mut state = station.lock();
                if let Some(end) = state.end.take() {
                    // It may have ended by itself.
                    let _ = end.send(StreamCondition::HostGone);
                }
                state.line.close()
            };
            self.return_all(&station, left);
        }
    }

    /// From now on nothing waits for a component to come back. Streams that are open go on. Waits until nothing is on its way
    /// back.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        for station in self.stations.load().values() {
            let left = station.lock().line.close();
            self.return_all(station, left);
        }
        self.returning.rest().await;
    }

    /// Waits until no connection is open, and nothing is on its way back.
    pub(super) async fn wait_for_none(&self) {
        self.open.rest().await;
        self.returning.rest().await;
    }

    /// The component that speaks for this domain.
    fn station(&self, domain: &str) -> Option<Arc<Station>> {
        let stations = self.stations.load();
        if let Some(station) = stations.get(domain) {
            return Some(station.clone());
        }
        let mut rest = domain;
        while let Some((_, above)) = rest.split_once('.') {
            if let Some(station) = stations.get(above)
                && station.place().subdomains
            {
                return Some(station.clone());
            }
            rest = above;
        }
        None
    }

    /// A connection of this component is over.
    fn leave(self: &Arc<Self>, station: &Arc<Station>, id: Id) {
        let now = Instant::now();
        let left = {
            let mut state = station.lock();
            if !state.line.leave(id, now) {
                return;
            }
            (state.end, state.connected) = (None, None);
            state.line.expire(now)
        };
        self.return_all(station, left);
        let (hub, station) = (self.clone(), station.clone());
        let mut stopped = self.stopped.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(station.place().wait) => {}
                _ = stopped.changed() => {}
            }
            let (here, left) = {
                let mut state = station.lock();
                (state.line.here(), state.line.expire(Instant::now()))
            };
            hub.return_all(&station, left);
            if here.is_none() {
                // Its contacts are shown as unavailable.
                hub.server.out_of_reach(&station.place().domain);
            }
        });
    }

    fn return_all(&self, station: &Station, letters: Vec<Letter>) {
        if letters.is_empty() {
            return;
        }
        let error = away(&station.place().domain);
        station.counters.returned(letters.len());
        for letter in letters {
            self.give_back(letter, error.clone());
        }
    }

    fn give_back(&self, letter: Letter, error: StanzaError) {
        // Without anybody to do it, the server has ended.
        let _ = self.returned.send((letter, error, self.returning.work()));
    }
}

impl Components for Hub {
    fn has(&self, domain: &str) -> bool {
        self.station(domain).is_some()
    }

    fn is_connected(&self, domain: &str) -> bool {
        let station = self.station(domain);
        station.is_some_and(|station| station.lock().line.here().is_some())
    }

    fn has_room(&self, domain: &str) -> bool {
        let station = self.station(domain);
        station.is_none_or(|station| station.lock().line.has_room())
    }

    fn send(&self, letter: Letter) {
        let Some(station) = self.station(letter.to.domain()) else {
            // It has just been taken away.
            return self.give_back(letter, StanzaError::remote_server_not_found());
        };
        let bytes = letter.bytes.len();
        let pushed = {
            let mut state = station.lock();
            let pushed = state.line.push(letter, bytes, Instant::now());
            state.ready.notify_one();
            pushed
        };
        match pushed {
            Ok(()) => {}
            Err((letter, why)) => {
                let domain = &station.place().domain;
                station.counters.returned(1);
                self.give_back(
                    letter,
                    match why {
                        Why::Away => away(domain),
                        Why::Full => full(domain),
                    },
                );
            }
        }
    }
}

/// What senders are told while a component is not there.
fn away(domain: &str) -> StanzaError {
    StanzaError::remote_server_timeout().text(format!("the component {domain} is not connected"))
}

/// What they are told while it does not read.
fn full(domain: &str) -> StanzaError {
    StanzaError::resource_constraint().text(format!("too much waits for the component {domain}"))
}

/// What they are told when it has gone while it was reading.
fn broken(domain: &str) -> StanzaError {
    StanzaError::remote_server_timeout().text(format!(
        "the connection of the component {domain} broke; this may or may not have arrived"
    ))
}

async fn give_back(server: Arc<Server>, mut waiting: mpsc::UnboundedReceiver<Returned>) {
    while let Some((letter, error, at_work)) = waiting.recv().await {
        server.undelivered(&letter, &error).wait().await;
        drop(at_work);
    }
}
