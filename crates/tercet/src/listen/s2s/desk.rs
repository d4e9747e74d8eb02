//! Where others leave word for a stream's task.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tercet_stream::s2s::DomainPair;
use tokio::sync::{Notify, oneshot};

/// What a stream is asked for.
pub(super) enum Order {
    /// To bring the stanzas of this pair, too. The answer is true once it does; none means that it does not.
    Carry(DomainPair, oneshot::Sender<bool>),
    /// To end at once, as if its connection had broken: its session goes on over another one. What is here is dropped once
    /// all that came has been handled.
    LetGo(oneshot::Sender<()>),
    /// The request that was sent under this id has been answered.
    Answered(Box<str>),
}

/// The desk of one stream.
#[derive(Default)]
pub(super) struct Desk {
    /// Something waits here, or in the lines of the stream's pairs.
    pub(super) ready: Notify,
    orders: Mutex<Vec<Order>>,
}

impl Desk {
    /// Leaves word.
    pub(super) fn leave(&self, order: Order) {
        lock(&self.orders).push(order);
        self.ready.notify_one();
    }

    /// What has been left.
    pub(super) fn orders(&self) -> Vec<Order> {
        std::mem::take(&mut lock(&self.orders))
    }
}

/// Streams that may carry stanzas of further pairs, and their desks.
#[derive(Default)]
pub(super) struct Carriers {
    /// By the domain that they were opened to.
    by_domain: Mutex<HashMap<Box<str>, Vec<Arc<Desk>>>>,
    /// By the machine at the other end.
    by_address: Mutex<HashMap<SocketAddr, Vec<Arc<Desk>>>>,
}

impl Carriers {
    /// A stream to this domain is there; `address`: it takes stanzas for other domains of the same machine, too.
    pub(super) fn enter(&self, domain: &str, address: Option<SocketAddr>, desk: &Arc<Desk>) {
        put(&self.by_domain, domain.into(), desk);
        if let Some(address) = address {
            put(&self.by_address, address, desk);
        }
    }

    /// It is over.
    pub(super) fn leave(&self, domain: &str, address: SocketAddr, desk: &Arc<Desk>) {
        remove(&self.by_domain, domain, desk);
        remove(&self.by_address, &address, desk);
    }

    /// It carries nothing further.
    pub(super) fn forget(&self, desk: &Arc<Desk>) {
        retain(&mut lock(&self.by_domain), desk);
        retain(&mut lock(&self.by_address), desk);
    }

    /// One to this domain.
    pub(super) fn to(&self, domain: &str) -> Option<Arc<Desk>> {
        lock(&self.by_domain).get(domain)?.first().cloned()
    }

    /// One to this machine.
    pub(super) fn at(&self, address: SocketAddr) -> Option<Arc<Desk>> {
        lock(&self.by_address).get(&address)?.first().cloned()
    }
}

fn put<K: Eq + Hash>(map: &Mutex<HashMap<K, Vec<Arc<Desk>>>>, key: K, desk: &Arc<Desk>) {
    let mut map = lock(map);
    let desks = map.entry(key).or_default();
    if !desks.iter().any(|other| Arc::ptr_eq(other, desk)) {
        desks.push(desk.clone());
    }
}

fn remove<K, Q>(map: &Mutex<HashMap<K, Vec<Arc<Desk>>>>, key: &Q, desk: &Arc<Desk>)
where
    K: Eq + Hash + Borrow<Q>,
    Q: Eq + Hash + ?Sized,
{
    let mut map = lock(map);
    if let Some(desks) = map.get_mut(key) {
        desks.retain(|other| !Arc::ptr_eq(other, desk));
        if desks.is_empty() {
            map.remove(key);
        }
    }
}

fn retain<K>(map: &mut HashMap<K, Vec<Arc<Desk>>>, desk: &Arc<Desk>) {
    map.retain(|_, desks| {
        desks.retain(|other| !Arc::ptr_eq(other, desk));
        !desks.is_empty()
    });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}
