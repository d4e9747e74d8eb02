//! Load balancers that say for whom they connect (PROXY protocol, version 2).

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tercet_stream::proxy::{self, Fault, Progress, Source};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Network;

/// Time for the header.
const TIME: Duration = Duration::from_secs(5);
/// Connections of one listener whose header has not come yet.
const WAITING: usize = 1024;

/// The load balancers of one listener.
pub(super) struct Balancers {
    known: Vec<Network>,
    waiting: Arc<Semaphore>,
}

/// What a connection begins with.
pub(super) enum Expected {
    /// What its client says.
    Client,
    /// The header.
    Header(Wait),
    /// Nothing: too many are waited for.
    Nothing,
}

/// The right to wait for a header.
pub(super) struct Wait {
    _permit: OwnedSemaphorePermit,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(super) enum BalancerError {
    #[error(transparent)]
    Header(#[from] Fault),
    #[error(transparent)]
    Socket(#[from] io::Error),
    #[error("no header of the PROXY protocol came in time")]
    Late,
}

impl Balancers {
    pub(super) fn new(known: Vec<Network>) -> Arc<Balancers> {
        Arc::new(Balancers {
            known,
            waiting: Arc::new(Semaphore::new(WAITING)),
        })
    }

    /// What a connection from `peer` begins with.
    pub(super) fn expect(&self, peer: IpAddr) -> Expected {
        if !self.known.iter().any(|network| network.contains(peer)) {
            return Expected::Client;
        }
        match self.waiting.clone().try_acquire_owned() {
            Ok(permit) => Expected::Header(Wait { _permit: permit }),
            Err(_) => Expected::Nothing,
        }
    }
}

impl Wait {
    /// Reads the header and nothing behind it.
    ///
    /// # Errors
    /// What comes is none, or does not come in time.
    pub(super) async fn header(self, socket: &mut TcpStream) -> Result<Source, BalancerError> {
        let read = async {
            let mut bytes = Vec::new();
            loop {
                match proxy::read(&bytes)? {
                    Progress::Done(source) => return Ok(source),
                    Progress::Need(more) => {
                        let had = bytes.len();
                        bytes.resize(had + more, 0);
                        socket.read_exact(&mut bytes[had..]).await?;
                    }
                }
            }
        };
        let header = tokio::time::timeout(TIME, read).await;
        header.unwrap_or(Err(BalancerError::Late))
    }
}
