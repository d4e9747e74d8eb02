//! Web push (RFC 8030): requests to the push services of browsers, over HTTPS.
//!
//! Users name these addresses. So they are public ones (`http.private_push_services` aside), the certificate is that of the
//! name, nothing is followed, of the answer nothing counts but its head, and all of it has bounds.

mod address;
mod exchange;

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tercet_modules::push::web::{Arrival, Courier, Errand};
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, oneshot};

use super::wire::{Wire, WireError};
use crate::config::Federation;
use crate::reach::{self, Reach};
use crate::runtime::Cores;
use crate::tls::{Certificates, TlsConnector, TlsError};
use address::is_public;
use exchange::{Answer, exchange};

/// Time for one request with everything that it takes, waiting for a place included.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time for one address to answer, and how many are tried.
const CONNECT: Duration = Duration::from_secs(5);
const ADDRESSES: usize = 3;
/// Time for the last bytes of TLS.
const FAREWELL: Duration = Duration::from_secs(1);
/// Requests under way at a time: to all push services, and to one.
const UNDER_WAY: usize = 128;
const UNDER_WAY_TO_ONE: usize = 8;
/// Requests under way and waiting for that; further ones are told at once.
const WAITING: usize = 4096;

/// Posts to push services. Its tasks run on the first core.
pub(super) struct Post {
    cores: Arc<Cores>,
    work: Arc<Work>,
}

struct Work {
    connector: TlsConnector,
    federation: Federation,
    reach: OnceCell<Reach>,
    /// Addresses that are not public count too.
    private: bool,
    places: Arc<Semaphore>,
    /// The places of each push service that something is under way to.
    of_one: Mutex<HashMap<String, Arc<Semaphore>>>,
    waiting: AtomicUsize,
}

/// One of those that are under way or wait for it.
struct Turn<'a>(&'a AtomicUsize);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Post {
    /// `federation`: how names are looked up.
    pub(super) fn new(
        cores: Arc<Cores>,
        certificates: Arc<Certificates>,
        federation: Federation,
        private: bool,
    ) -> Result<Arc<Post>, TlsError> {
        Ok(Arc::new(Post {
            cores,
            work: Arc::new(Work {
                connector: TlsConnector::new(certificates)?,
                federation,
                reach: OnceCell::new(),
                private,
                places: Arc::new(Semaphore::new(UNDER_WAY)),
                of_one: Mutex::default(),
                waiting: AtomicUsize::new(0),
            }),
        }))
    }
}

impl Courier for Post {
    fn post(&self, errand: Errand) -> Pin<Box<dyn Future<Output = Arrival> + Send + '_>> {
        Box::pin(async move {
            let (tell, told) = oneshot::channel();
            let work = self.work.clone();
            let task = async move {
                // Who asked may have gone.
                let _ = tell.send(work.run(errand).await);
            };
            self.cores.spawn_on(0, task).await;
            told.await.unwrap_or(Arrival::Busy)
        })
    }
}

impl Work {
    async fn run(&self, errand: Errand) -> Arrival {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _turn = Turn(&self.waiting);
        if before >= WAITING {
            return Arrival::Busy;
        }
        let begun = tokio::time::Instant::now();
        let Ok(_places) = tokio::time::timeout(PATIENCE, self.place(&errand)).await else {
            return Arrival::Busy;
        };
        let bring = tokio::time::timeout_at(begun + PATIENCE, self.bring(&errand));
        let arrival = bring
            .await
            .unwrap_or_else(|_| Arrival::Failed("no answer in time".to_owned()));
        tracing::debug!(service = errand.endpoint.authority(), ?arrival, "web push");
        arrival
    }

    /// Waits until the request may begin.
    async fn place(&self, errand: &Errand) -> [Option<OwnedSemaphorePermit>; 2] {
        let of_one = {
            let mut all = self.of_one.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, places| {
                Arc::strong_count(places) > 1 || places.available_permits() < UNDER_WAY_TO_ONE
            });
            let one = all.entry(errand.endpoint.authority());
            one.or_insert_with(|| Arc::new(Semaphore::new(UNDER_WAY_TO_ONE)))
                .clone()
        };
        // Never closed: without a place it is as if there were one.
        let of_one = of_one.acquire_owned().await.ok();
        [of_one, self.places.clone().acquire_owned().await.ok()]
    }

    async fn bring(&self, errand: &Errand) -> Arrival {
        let socket = match self.connect(errand).await {
            Ok(socket) => socket,
            Err(arrival) => return arrival,
        };
        match self.ask(errand, socket).await {
            Ok(Answer {
                status,
                retry_after_s,
            }) => Arrival::Answered {
                status,
                retry_after_s,
            },
            Err(error) => Arrival::Failed(error),
        }
    }

    async fn connect(&self, errand: &Errand) -> Result<TcpStream, Arrival> {
        let endpoint = &errand.endpoint;
        let failed = |text: String| Arrival::Failed(text);
        let reach = async || Reach::new(&self.federation);
        let reach = self.reach.get_or_try_init(reach).await;
        let reach = reach.map_err(|error| failed(error.to_string()))?;
        let addresses = reach.addresses(&endpoint.host).await;
        let mut addresses = addresses.map_err(|error| failed(error.text))?;
        addresses.retain(|address| self.private || is_public(*address));
        if addresses.is_empty() {
            let text = format!("{} is at no public address", endpoint.authority());
            return Err(Arrival::Refused(text));
        }
        let mut why = String::new();
        for address in addresses.into_iter().take(ADDRESSES) {
            let address = SocketAddr::new(address, endpoint.port);
            why = match tokio::time::timeout(CONNECT, reach::connect(address)).await {
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(error)) => format!("{address}: {}", reach::told(&error)),
                Err(_) => format!("{address}: no answer in {} s", CONNECT.as_secs()),
            };
        }
        Err(failed(why))
    }

    /// Asks over `socket`. An error is in words for people.
    async fn ask(&self, errand: &Errand, socket: TcpStream) -> Result<Answer, String> {
        let host = &errand.endpoint.host;
        let said = |error: WireError| error.to_string();
        let session = self.connector.start_web(host).map_err(|e| e.to_string())?;
        let mut wire = Wire::new(socket, Some(session));
        let peer = exchange::handshake(&mut wire).await.map_err(said)?;
        // RFC 9110 §4.3.4: who answers has to be who was meant.
        match peer {
            None => return Err("it shows no certificate".to_owned()),
            Some(peer) => peer.proves_web(host).map_err(|doubt| doubt.to_string())?,
        }
        let answer = exchange(&mut wire, errand).await.map_err(said);
        let farewell = poll_fn(|cx| wire.poll_close(cx));
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
        answer?.ok_or_else(|| "its answer is not HTTP".to_owned())
    }
}
