//! Sessions of servers that have opened a stream to us and count stanzas on it (XEP-0198): they outlive a connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tercet_stream::s2s::DomainPair;
use tokio::sync::oneshot;

use super::S2s;
use super::desk::{Desk, Order};
use super::outbox::Left;

/// How long a session waits for its server to come back.
pub(super) const KEPT: Duration = Duration::from_secs(60);
/// Sessions that may go on over another connection; of further streams, stanzas are acknowledged and no more.
const MOST: usize = 10_000;
/// How long the stream that has a session may take to let it go.
const LETTING_GO: Duration = Duration::from_secs(10);

/// The sessions, by their names.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<Box<str>, (DomainPair, Place)>>);

enum Place {
    /// A stream has it.
    Open(Arc<Desk>),
    /// It waits for its server until then.
    Waits(Left, Instant),
}

impl Sessions {
    /// A stream of this pair has the session `id`. False if there are too many.
    pub(super) fn open(&self, id: &str, pair: &DomainPair, desk: &Arc<Desk>) -> bool {
        let mut sessions = self.lock();
        if sessions.len() >= MOST {
            return false;
        }
        sessions.insert(id.into(), (pair.clone(), Place::Open(desk.clone())));
        true
    }

    /// The stream of `id` has ended for good.
    pub(super) fn end(&self, id: &str) {
        self.lock().remove(id);
    }

    /// The connection of the session `id` has broken.
    pub(super) fn wait(s2s: &Arc<S2s>, id: Box<str>, left: Left) {
        let until = Instant::now() + KEPT;
        match s2s.sessions.lock().get_mut(&id) {
            Some((_, place)) => *place = Place::Waits(left, until),
            // It was never open.
            None => return left.settle(s2s, None, None),
        }
        let (s2s, mut stopped) = (s2s.clone(), s2s.stopped.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => {}
                _ = stopped.changed() => {}
            }
            let due = |place: &Place| matches!(place, Place::Waits(_, other) if *other == until);
            let left = {
                let mut sessions = s2s.sessions.lock();
                match sessions.get(&id) {
                    Some((_, place)) if due(place) => sessions.remove(&id),
                    _ => None,
                }
            };
            if let Some((_, Place::Waits(left, _))) = left {
                left.settle(&s2s, None, None);
            }
        });
    }

    /// The session `id`, if it is one of this pair. The stream that still has it lets it go.
    pub(super) async fn take(&self, id: &str, pair: &DomainPair) -> Option<Left> {
        let let_go = {
            let sessions = self.lock();
            // XEP-0198 §5: a session goes on for whom it is.
            let (_, place) = sessions.get(id).filter(|(owner, _)| owner == pair)?;
            match place {
                Place::Open(desk) => {
                    let (tell, told) = oneshot::channel();
                    desk.leave(Order::LetGo(tell));
                    Some(told)
                }
                Place::Waits(..) => None,
            }
        };
        if let Some(told) = let_go {
            // Whether it has is seen below.
            let _ = tokio::time::timeout(LETTING_GO, told).await;
        }
        let mut sessions = self.lock();
        match sessions.get(id)? {
            (owner, Place::Waits(..)) if owner == pair => {}
            _ => return None,
        }
        match sessions.remove(id)? {
            (_, Place::Waits(left, _)) => Some(left),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, (DomainPair, Place)>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}
