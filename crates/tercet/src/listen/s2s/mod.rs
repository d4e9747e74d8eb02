//! Streams with other servers: those that they open, and those that we open to them.
//!
//! ```text
//! Server -- Elsewhere::send --> Post: the line of the pair of domains --> Outbox --> Link --> the other server
//!                                  '-- a stream is wanted --> `outgoing`: Road --> Link
//! the other server --> Link -- Server::accept_from_elsewhere --> Server
//!                       '-- a key of dialback --> a connection back, for the question alone
//! ```
//! - Each pair of domains is carried by one stream at a time, made or found when there is something to send: so the order of
//!   its stanzas is that of the calls. What waits, for how long, and when another attempt is made is
//!   [`reach::queue`](crate::reach::queue)'s. Several pairs may be carried by one stream (XEP-0220 §2.5), and one that the peer
//!   has opened may carry ours (XEP-0288).
//! - What cannot be brought there goes back to its senders, with the reason; at the server's end too. That goes for what a broken
//!   connection has lost: where the peer counts stanzas (XEP-0198), the session goes on over another one if the peer lets it,
//!   else what it surely has not handled waits again, and what nobody knows of goes back. Where it does not count, a request
//!   is sent behind them, whose answer tells that they have been taken (`echoes`).
//! - At the server's end, streams of others end first: what their servers send before they know of it is taken, and answered
//!   over ours, which end then.
//! - A domain that sends faster than it may (`pace`) is read no further for a while.

mod dane;
mod desk;
mod echoes;
mod incoming;
mod link;
mod outbox;
mod outgoing;
mod pace;
mod post;
mod sessions;
mod witness;
mod words;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tercet_core::StanzaError;
use tercet_server::{Elsewhere, Letter, Server};
use tercet_stream::s2s::{DomainPair, KeyClaim, S2sConfig, Verdict};
use tokio::sync::{mpsc, oneshot, watch};

use crate::config::Federation;
use crate::reach::Reach;
use crate::reach::queue::QueueLimits;
use crate::runtime::Cores;
use crate::tls::{Certificates, PeerCertificate, TlsAcceptor, TlsConnector, TlsError};
use desk::Carriers;
use echoes::Echoes;
use pace::Pace;
use post::{Errand, Post};
use sessions::Sessions;

pub(super) use incoming::serve;

/// What all streams with other servers share.
pub(super) struct S2s {
    server: Arc<Server>,
    streams: ArcSwap<S2sConfig>,
    /// TLS within a stream that was opened to us.
    starttls: TlsAcceptor,
    /// TLS from its first byte.
    direct: TlsAcceptor,
    connector: TlsConnector,
    post: Post,
    /// How fast others may send.
    pace: Pace,
    /// How long opening a stream may take.
    patience: Duration,
    /// Bytes that may be on their way on a stream.
    on_their_way: usize,
    jobs: mpsc::UnboundedSender<Job>,
    /// Whether the DNS may name certificates (DANE).
    dane: bool,
    /// Ends when every stream has to.
    stopped: watch::Receiver<()>,
    /// Streams that may carry further pairs.
    carriers: Carriers,
    /// Requests behind what is sent, where nothing is counted.
    echoes: Echoes,
    /// Sessions of those who connect to us.
    sessions: Sessions,
    /// Connections there are.
    open: Busy,
    /// Those of them that others have made.
    inward: Busy,
    /// Stanzas that are on their way back.
    returning: Busy,
}

/// What is begun on one of the cores. There is at most one for each pair, stream and stanza that goes back.
enum Job {
    /// A stream for a pair of domains.
    Bring(DomainPair),
    /// A connection back, to ask about a key.
    Verify(KeyClaim, oneshot::Sender<Verdict>),
    /// Whether the DNS names this certificate for a domain.
    Dane(Box<PeerCertificate>, Box<str>, oneshot::Sender<bool>),
    /// A stanza that goes back.
    Return(Box<Letter>, StanzaError, AtWork),
}

/// How much there is of something that the server's end waits for.
#[derive(Clone, Default)]
pub(super) struct Busy(Arc<watch::Sender<usize>>);

/// Counts one of them, for as long as it exists.
pub(super) struct AtWork(Arc<watch::Sender<usize>>);

impl Busy {
    pub(super) fn work(&self) -> AtWork {
        self.0.send_modify(|count| *count += 1);
        AtWork(self.0.clone())
    }

    pub(super) fn is_none(&self) -> bool {
        *self.0.borrow() == 0
    }

    pub(super) async fn rest(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
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
        let returning = Busy::default();
        let (errands, work) = (jobs.clone(), returning.clone());
        let limits = QueueLimits::new(&federation);
        let patience = limits.wait;
        let searches = federation.searches_per_minute;
        let post = Post::new(limits, searches, move |errand| {
            // Without anybody to do it, the server has ended.
            let _ = errands.send(match errand {
                Errand::Connect(pair) => Job::Bring(pair),
                Errand::Bounce(letter, error) => Job::Return(letter, error, work.work()),
            });
        });
        let s2s = Arc::new(S2s {
            starttls: TlsAcceptor::for_servers(certificates.clone(), false)?,
            direct: TlsAcceptor::for_servers(certificates.clone(), true)?,
            connector: TlsConnector::new(certificates)?,
            streams: ArcSwap::from_pointee(streams),
            post,
            pace: Pace::new(&federation),
            patience,
            on_their_way: usize::try_from(federation.unacknowledged_bytes.0).unwrap_or(usize::MAX),
            jobs,
            dane: federation.dnssec,
            stopped,
            carriers: Carriers::default(),
            echoes: Echoes::default(),
            sessions: Sessions::default(),
            open: Busy::default(),
            inward: Busy::default(),
            returning,
            server: server.clone(),
        });
        let hands = hand_out(Arc::downgrade(&s2s), cores.clone(), federation, waiting);
        cores.spawn_on(0, hands).await;
        cores.spawn_on(0, keep_time(s2s.clone())).await;
        server.set_elsewhere(s2s.clone());
        Ok(s2s)
    }

    /// Streams that begin later have these settings.
    pub(super) fn set(&self, streams: S2sConfig) {
        self.streams.store(Arc::new(streams));
    }

    /// Opens no further streams: what waits for one goes back to its senders, now and from now on. Streams that are open
    /// go on. Waits until nothing is on its way back.
    pub(super) async fn close(&self) {
        self.post.close(&words::shutdown());
        self.returning.rest().await;
    }

    /// Waits until no connection is open, and nothing is on its way back.
    pub(super) async fn wait_for_none(&self) {
        self.open.rest().await;
        self.returning.rest().await;
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

    /// Whether the DNS names this certificate for `domain`.
    async fn is_named(&self, certificate: Box<PeerCertificate>, domain: Box<str>) -> bool {
        let (tell, told) = oneshot::channel();
        self.jobs.send(Job::Dane(certificate, domain, tell)).is_ok() && told.await.unwrap_or(false)
    }

    fn give_back(&self, letter: Letter, error: StanzaError) {
        // Without anybody to do it, the server has ended.
        let job = Job::Return(Box::new(letter), error, self.returning.work());
        let _ = self.jobs.send(job);
    }

    /// Spreads rests.
    fn random(&self) -> u64 {
        u64::from_le_bytes(self.server.random())
    }
}

impl Elsewhere for S2s {
    fn send(&self, letter: Letter) {
        self.post.push(letter);
    }

    fn has_room(&self, local: &str, remote: &str) -> bool {
        self.post.has_room(&DomainPair::new(local, remote))
    }
}

/// Does what the lines have to do at some time.
async fn keep_time(s2s: Arc<S2s>) {
    let mut stopped = s2s.stopped.clone();
    tokio::select! {
        () = s2s.post.keep_time() => {}
        _ = stopped.changed() => {}
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
            Job::Bring(pair) => {
                let domain = pair.remote.clone();
                let begin: Begin = Box::new(|reach| Box::pin(outgoing::bring(s2s, pair, reach)));
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
            Job::Dane(certificate, domain, tell) => {
                let of = domain.clone();
                let begin: Begin = Box::new(|reach| {
                    Box::pin(async move {
                        // Who asked may have gone.
                        let _ = tell.send(dane::is_named(&certificate, &domain, &reach).await);
                    })
                });
                (of, begin)
            }
            Job::Return(letter, error, at_work) => {
                let server = s2s.server.clone();
                tokio::spawn(async move {
                    server.undelivered(&letter, &error).wait().await;
                    drop(at_work);
                });
                continue;
            }
        };
        let core = core_of(&domain, cores.count());
        if reaches[core].is_none() {
            match Reach::new(&federation) {
                Ok(reach) => reaches[core] = Some(reach),
                // What waits goes back when its time is over.
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
