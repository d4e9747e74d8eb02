//! All connections that are open, so that a shutdown reaches each.

use std::sync::{Arc, Mutex, MutexGuard};

use tercet_core::StreamError;
use tercet_server::Outbox;
use tokio::sync::watch;

/// The open connections, by the outboxes through which they are told to end.
#[derive(Debug)]
pub(super) struct Registry {
    state: Mutex<State>,
    /// How many there are, for who waits for their end.
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    places: Vec<Option<Arc<Outbox>>>,
    free: Vec<usize>,
    /// What those that come late are told at once.
    end: Option<StreamError>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Registered {
    registry: Arc<Registry>,
    place: usize,
}

impl Registry {
    pub(super) fn new() -> Arc<Registry> {
        Arc::new(Registry {
            state: Mutex::default(),
            count: watch::Sender::new(0),
        })
    }

    /// Notes an open connection.
    pub(super) fn enter(self: &Arc<Self>, outbox: Arc<Outbox>) -> Registered {
        let mut state = self.lock();
        if let Some(error) = &state.end {
            outbox.end(error.clone());
        }
        let place = match state.free.pop() {
            Some(place) => place,
            None => {
                state.places.push(None);
                state.places.len() - 1
            }
        };
        state.places[place] = Some(outbox);
        self.count.send_modify(|count| *count += 1);
        Registered {
            registry: self.clone(),
            place,
        }
    }

    /// Number of open connections.
    pub(super) fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Ends every connection, also those that come later, with `error`.
    pub(super) fn end(&self, error: &StreamError) {
        let open: Vec<_> = {
            let mut state = self.lock();
            state.end = Some(error.clone());
            state.places.iter().flatten().cloned().collect()
        };
        for outbox in open {
            outbox.end(error.clone());
        }
    }

    /// Waits until so many connections are open.
    pub(super) async fn wait_for(&self, wanted: usize) {
        let mut count = self.count.subscribe();
        // The sender lives as long as `self`.
        let _ = count.wait_for(|count| *count == wanted).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Registered {
    /// The connection is told to end through another outbox from now on.
    pub(super) fn replace(&self, outbox: Arc<Outbox>) {
        let mut state = self.registry.lock();
        if let Some(error) = &state.end {
            outbox.end(error.clone());
        }
        state.places[self.place] = Some(outbox);
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut state = self.registry.lock();
        let outbox = state.places[self.place].take();
        state.free.push(self.place);
        drop(state);
        drop(outbox);
        self.registry.count.send_modify(|count| *count -= 1);
    }
}
