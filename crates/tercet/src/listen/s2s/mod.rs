//! Streams with other servers: those that they open, and those that we open to them.
//!
//! ```text
//! Server -- Elsewhere::send --> Mailbox of the pair of domains --> its task --> Road --> Link --> the other server
//! the other server --> Link -- Server::accept_from_elsewhere --> Server
//!                       '-- a key of dialback --> a connection back, for the question alone
//! ```
//! - Each pair of domains has a connection of its own, made when there is something to send. So the order of its stanzas is
//!   that of the calls.
//! - What cannot be brought there goes back to its senders, with the reason. A server out of reach is left alone for a
//!   while, longer each time; meanwhile its stanzas go back at once.
//! - Left out so far: stanzas that were written to a connection that broke are lost without a word (XEP-0198 would tell);
//!   connections are not shared by several pairs, nor used in both directions.

mod incoming;
mod link;
mod mailbox;
mod outgoing;
mod words;

use std::collections::HashMap;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Instant;

use arc_swap::ArcSwap;
use tercet_core::StanzaError;
use tercet_server::{Elsewhere, Letter, Server};
use tercet_stream::s2s::{DomainPair, KeyClaim, S2sConfig, Verdict};
use tokio::sync::{mpsc, oneshot, watch};

use crate::config::Federation;
use crate::reach::Reach;
use crate::runtime::Cores;
use crate::tls::{Certificates, TlsAcceptor, TlsConnector, TlsError};
use mailbox::Mailbox;

pub(super) use incoming::serve;

/// Pairs of domains that have a mailbox at a time.
const PAIRS_MAX: usize = 20_000;

/// What all streams with other servers share.
pub(super) struct S2s {
    server: Arc<Server>,
    streams: ArcSwap<S2sConfig>,
    /// TLS within a stream that was opened to us.
    starttls: TlsAcceptor,
    /// TLS from its first byte.
    direct: TlsAcceptor,
    connector: TlsConnector,
    pairs: Mutex<HashMap<DomainPair, Arc<Mailbox>>>,
    jobs: mpsc::UnboundedSender<Job>,
    /// Ends when every stream has to.
    stopped: watch::Receiver<()>,
    /// Connections there are.
    open: watch::Sender<usize>,
}

/// What is begun on one of the cores. There is at most one for each pair, stream and stanza that goes back.
enum Job {
    /// The task of a pair of domains.
    Bring(DomainPair, Arc<Mailbox>),
    /// A connection back, to ask about a key.
    Verify(KeyClaim, oneshot::Sender<Verdict>),
    /// A stanza that goes back.
    Return(Box<Letter>, StanzaError),
}

impl S2s {
    /// Begins to bring stanzas to other servers. `stopped` ends it.
    pub(super) async fn start(
        server: Arc<Server>,
        cores: Arc<Cores>,
        certificates: Arc<Certificates>,
        streams: S2sConfig,
        federation: Federation,
        stopped: watch::Receiver<()>,
    ) -> Result<Arc<S2s>, TlsError> {
        let (jobs, waiting) = mpsc::unbounded_channel();
        let s2s = Arc::new(S2s {
            starttls: TlsAcceptor::for_servers(certificates.clone(), false)?,
            direct: TlsAcceptor::for_servers(certificates.clone(), true)?,
            connector: TlsConnector::new(certificates)?,
            streams: ArcSwap::from_pointee(streams),
            pairs: Mutex::default(),
            jobs,
            stopped,
            open: watch::Sender::new(0),
            server: server.clone(),
        });
        let hands = hand_out(Arc::downgrade(&s2s), cores.clone(), federation, waiting);
        cores.spawn_on(0, hands).await;
        server.set_elsewhere(s2s.clone());
        Ok(s2s)
    }

    /// Streams that begin later have these settings.
    pub(super) fn set(&self, streams: S2sConfig) {
        self.streams.store(Arc::new(streams));
    }

    /// Waits until no connection is open.
    pub(super) async fn wait_for_none(&self) {
        // The sender lives as long as `self`.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    /// Asks the server of the claimed domain about a key.
    async fn verify(&self, claim: KeyClaim) -> Verdict {
        let (tell, told) = oneshot::channel();
        let unknown = || Verdict::Unknown(StanzaError::remote_server_timeout());
        if self.jobs.send(Job::Verify(claim, tell)).is_err() {
            return unknown();
        }
        told.await.unwrap_or_else(|_| unknown())
    }

    fn give_back(&self, letter: Letter, error: StanzaError) {
        // Without anybody to do it, the server is ending.
        let _ = self.jobs.send(Job::Return(Box::new(letter), error));
    }

    /// Ends a pair's mailbox if nothing waits in it. True if so.
    fn forget(&self, pair: &DomainPair) -> bool {
        let mut pairs = self.pairs();
        let empty = pairs.get(pair).is_none_or(|mailbox| mailbox.is_empty());
        if empty {
            pairs.remove(pair);
        }
        empty
    }

    fn pairs(&self) -> MutexGuard<'_, HashMap<DomainPair, Arc<Mailbox>>> {
        self.pairs.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Elsewhere for S2s {
    fn send(&self, letter: Letter) {
        let pair = DomainPair::new(letter.from.domain(), letter.to.domain());
        let mut pairs = self.pairs();
        let count = pairs.len();
        let pushed = match pairs.entry(pair) {
            Entry::Occupied(known) => known.get().push(letter, Instant::now()),
            Entry::Vacant(_) if count >= PAIRS_MAX => {
                let error = StanzaError::resource_constraint();
                Err(Box::new((
                    letter,
                    error.text("too many other servers at a time"),
                )))
            }
            Entry::Vacant(new) => {
                let pair = new.key().clone();
                let mailbox = new.insert(Arc::default()).clone();
                let pushed = mailbox.push(letter, Instant::now());
                let _ = self.jobs.send(Job::Bring(pair, mailbox));
                pushed
            }
        };
        drop(pairs);
        if let Err(refused) = pushed {
            let (letter, error) = *refused;
            self.give_back(letter, error);
        }
    }
}

/// Begins the tasks, each pair's on a core of its own choice: the DNS is asked by a resolver of the same core.
async fn hand_out(
    s2s: Weak<S2s>,
    cores: Arc<Cores>,
    federation: Federation,
    mut jobs: mpsc::UnboundedReceiver<Job>,
) {
    let mut reaches: Vec<Option<Reach>> = vec![None; cores.count()];
    while let Some(job) = jobs.recv().await {
        let Some(s2s) = s2s.upgrade() else { return };
        let (domain, task): (Box<str>, Begin) = match job {
            Job::Bring(pair, mailbox) => {
                let domain = pair.remote.clone();
                let begin: Begin =
                    Box::new(|reach| Box::pin(outgoing::bring(s2s, pair, mailbox, reach)));
                (domain, begin)
            }
            Job::Verify(claim, tell) => {
                let domain = claim.pair.remote.clone();
                let begin: Begin = Box::new(|reach| {
                    Box::pin(async move {
                        // Who asked may have gone.
                        let _ = tell.send(outgoing::ask_about(s2s, claim, reach).await);
                    })
                });
                (domain, begin)
            }
            Job::Return(letter, error) => {
                let server = s2s.server.clone();
                tokio::spawn(async move { server.undelivered(&letter, &error).wait().await });
                continue;
            }
        };
        let core = core_of(&domain, cores.count());
        if reaches[core].is_none() {
            match Reach::new(&federation) {
                Ok(reach) => reaches[core] = Some(reach),
                Err(error) => tracing::error!(%error, "no way to other servers"),
            }
        }
        if let Some(reach) = reaches[core].clone() {
            cores.spawn_on(core, task(reach)).await;
        }
    }
}

type Begin = Box<dyn FnOnce(Reach) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

fn core_of(domain: &str, count: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    domain.hash(&mut hasher);
    // Below the number of cores.
    (hasher.finish() % count.max(1) as u64) as usize
}
