//! Opening connections to a domain's server, one target and address after the other.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tercet_core::Condition;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::failure::Unreachable;
use super::lookup::Reach;
use super::plan::Service;
use super::race::{Move, Race};

/// Time for one address to answer.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);
/// Failures whose reasons are told; the last ones.
const REASONS: usize = 4;

/// The attempts at one domain's server that are still to be made.
pub struct Road {
    reach: Reach,
    domain: Box<str>,
    targets: VecDeque<Service>,
    race: Race<Attempt>,
    reasons: VecDeque<String>,
    /// Whether every failure so far is of a name that does not exist; then how long that stays so.
    absent: Option<Option<Duration>>,
}

/// A connection.
pub struct Reached {
    /// The socket; nothing has been read or written.
    pub socket: TcpStream,
    /// The other end.
    pub address: SocketAddr,
    /// The service it belongs to.
    pub target: Arc<Service>,
}

#[derive(Clone)]
struct Attempt {
    address: SocketAddr,
    target: Arc<Service>,
}

impl Road {
    pub(super) fn new(reach: Reach, domain: &str, targets: Vec<Service>) -> Self {
        Road {
            reach,
            domain: domain.into(),
            race: Race::new(targets.len()),
            targets: targets.into(),
            reasons: VecDeque::new(),
            absent: Some(None),
        }
    }

    /// The next connection that comes about. When it leads nowhere (no TLS, another domain's server), asking again goes on
    /// with the addresses and targets behind it.
    ///
    /// # Errors
    /// When nothing is left: why none was enough.
    pub async fn next(&mut self) -> Result<Reached, Unreachable> {
        let mut running: JoinSet<(Attempt, io::Result<TcpStream>)> = JoinSet::new();
        let mut tried: Vec<Attempt> = Vec::new();
        loop {
            let until = match self.race.turn(Instant::now()) {
                Move::Try(attempt) => {
                    tried.push(attempt.clone());
                    running.spawn(async move {
                        let socket = connect(attempt.address).await;
                        (attempt, socket)
                    });
                    continue;
                }
                Move::Resolve => {
                    self.resolve().await;
                    continue;
                }
                Move::Over => return Err(self.verdict()),
                Move::Wait(until) => until,
            };
            let time = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until.into()).await,
                    None => std::future::pending().await,
                }
            };
            let ended = tokio::select! {
                ended = running.join_next() => ended,
                () = time => continue,
            };
            // A task ends by itself only: whoever gives it up is this function, by returning.
            let Some(Ok((attempt, result))) = ended else {
                self.race.failed();
                continue;
            };
            tried.retain(|other| other.address != attempt.address);
            match result {
                Ok(socket) => {
                    self.race.won(tried.into_iter());
                    return Ok(Reached {
                        socket,
                        address: attempt.address,
                        target: attempt.target,
                    });
                }
                Err(error) => {
                    self.race.failed();
                    self.failed(format!("{}: {}", attempt.address, told(&error)));
                }
            }
        }
    }

    /// A connection from [`next`](Self::next) has led nowhere: for the verdict, if none does.
    pub fn failed(&mut self, reason: String) {
        self.absent = None;
        self.note(reason);
    }

    fn note(&mut self, reason: String) {
        if self.reasons.len() == REASONS {
            self.reasons.pop_front();
        }
        self.reasons.push_back(reason);
    }

    async fn resolve(&mut self) {
        let Some(target) = self.targets.pop_front() else {
            self.race.target([]);
            return;
        };
        match self.reach.addresses(&target.host).await {
            Ok(addresses) => {
                let target = Arc::new(target);
                self.race
                    .target(addresses.into_iter().map(|address| Attempt {
                        address: SocketAddr::new(address, target.port),
                        target: target.clone(),
                    }));
            }
            Err(error) => {
                self.race.target([]);
                self.absent = match (self.absent, error.condition) {
                    (Some(known), Condition::RemoteServerNotFound) => {
                        Some(known.into_iter().chain(error.again_after).min())
                    }
                    _ => None,
                };
                self.note(error.text);
            }
        }
    }

    fn verdict(&self) -> Unreachable {
        let reasons: Vec<&str> = self.reasons.iter().map(String::as_str).collect();
        let text = format!(
            "the server of {} cannot be reached: {}",
            self.domain,
            reasons.join("; ")
        );
        match self.absent {
            Some(again_after) => Unreachable {
                again_after,
                ..Unreachable::not_found(text)
            },
            None => Unreachable::timeout(text),
        }
    }
}

/// Connects, within [`CONNECT`].
pub(crate) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = tokio::time::timeout(CONNECT, TcpStream::connect(address)).await??;
    // What is written is written at once, in as few pieces as possible.
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// An error of a socket for people: the system's words without its number.
pub(crate) fn told(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => format!("no answer in {} s", CONNECT.as_secs()),
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "the host is unreachable".to_owned(),
        io::ErrorKind::NetworkUnreachable => "the network is unreachable".to_owned(),
        _ => error.to_string(),
    }
}
