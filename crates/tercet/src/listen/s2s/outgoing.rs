//! Streams that we open: one for each pair of domains while there is something to send, and one for each question about a key.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tercet_core::StanzaError;
use tercet_stream::s2s::{DomainPair, Goal, Input, KeyClaim, S2sStream, Verdict};

use super::S2s;
use super::link::{Link, Told};
use super::mailbox::{Mailbox, PATIENCE};
use super::words;
use crate::reach::{Reach, Reached};

/// A mailbox in which nothing waits, and whose stream has ended, is kept for so long.
const KEPT: Duration = Duration::from_secs(60);
/// How long a server that was out of reach is left alone, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// A stream that ends sooner than this was no success.
const SOON: Duration = Duration::from_secs(2);

/// Brings the stanzas of a pair of domains to the other server, as long as there are some.
pub(super) async fn bring(s2s: Arc<S2s>, pair: DomainPair, mailbox: Arc<Mailbox>, reach: Reach) {
    let mut pause = PAUSES.0;
    let mut stopped = s2s.stopped.clone();
    loop {
        tokio::select! {
            waits = tokio::time::timeout(KEPT, mailbox.filled()) => {
                if waits.is_err() {
                    if s2s.forget(&pair) {
                        return;
                    }
                    continue;
                }
            }
            _ = stopped.changed() => return,
        }
        let began = Instant::now();
        let patience = mailbox.overdue().unwrap_or(began + PATIENCE);
        match deliver(&s2s, &pair, &mailbox, &reach, patience).await {
            Ok(()) if began.elapsed() >= SOON => pause = PAUSES.0,
            Ok(()) => tokio::time::sleep(SOON).await,
            Err(error) => {
                tracing::info!(local = %pair.local, remote = %pair.remote, error = %error.text.as_deref().unwrap_or_default(), ?pause, "a server is out of reach");
                for letter in mailbox.close(&error) {
                    s2s.server.undelivered(&letter, &error).wait().await;
                }
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    _ = stopped.changed() => return,
                }
                pause = (pause * 2).min(PAUSES.1);
                mailbox.open();
            }
        }
    }
}

/// Connects, and sends what comes until the stream ends.
async fn deliver(
    s2s: &Arc<S2s>,
    pair: &DomainPair,
    mailbox: &Mailbox,
    reach: &Reach,
    patience: Instant,
) -> Result<(), StanzaError> {
    let opened = tokio::time::timeout_at(patience.into(), open(s2s, pair, reach)).await;
    let mut link = match opened {
        Ok(link) => link?,
        Err(_) => {
            return Err(StanzaError::remote_server_timeout().text(format!(
                "no stream with the server of {} came about in time",
                pair.remote
            )));
        }
    };
    loop {
        if let Told::Ended(_) = link.next(Some(mailbox)).await {
            return Ok(());
        }
    }
}

/// A stream that takes stanzas of this pair.
async fn open(s2s: &Arc<S2s>, pair: &DomainPair, reach: &Reach) -> Result<Link, StanzaError> {
    let road = reach.road(&pair.remote).await;
    let mut road = road.map_err(|unreachable| unreachable.stanza_error())?;
    loop {
        let reached = road.next().await;
        let reached = reached.map_err(|unreachable| unreachable.stanza_error())?;
        let address = reached.address;
        let mut link = connect(s2s, pair, reached, Goal::Stanzas).await?;
        let error = loop {
            match link.next(None).await {
                Told::Authorized(with) if with == *pair => return Ok(link),
                Told::Refused(refusal) => {
                    return Err(words::refusal(&pair.remote, &refusal));
                }
                Told::Ended(ending) => {
                    let (elsewhere, error) = words::ending(&pair.remote, &ending);
                    if !elsewhere {
                        return Err(error);
                    }
                    break error;
                }
                _ => {}
            }
        };
        road.failed(format!("{address}: {}", error.text.unwrap_or_default()));
    }
}

/// A stream over a new connection.
async fn connect(
    s2s: &Arc<S2s>,
    pair: &DomainPair,
    reached: Reached,
    goal: Goal,
) -> Result<Link, StanzaError> {
    let direct = reached.target.direct;
    let (config, seed) = (s2s.streams.load_full(), s2s.server.random());
    let now = Instant::now();
    let stream = S2sStream::initiating(config, pair.clone(), goal, direct, now, seed);
    let tls = match direct {
        true => Some(s2s.connector.start(&pair.local, &pair.remote, true)),
        false => None,
    };
    let tls = tls.transpose().map_err(|error| {
        StanzaError::remote_server_not_found().text(format!("{}: {error}", pair.remote))
    })?;
    let outward = Some(pair.clone());
    let Reached {
        socket, address, ..
    } = reached;
    let mut link = Link::new(s2s.clone(), socket, address, tls, stream, outward);
    if direct {
        // An error shows when the answer is read.
        let _ = link.greet().await;
    }
    Ok(link)
}

/// Asks the server of the claimed domain whether a key is its own (XEP-0220 §2.1.2).
pub(super) async fn ask_about(s2s: Arc<S2s>, claim: KeyClaim, reach: Reach) -> Verdict {
    let pair = claim.pair.clone();
    let mut road = match reach.road(&pair.remote).await {
        Ok(road) => road,
        Err(unreachable) => return Verdict::Unknown(unreachable.stanza_error()),
    };
    loop {
        let reached = match road.next().await {
            Ok(reached) => reached,
            Err(unreachable) => return Verdict::Unknown(unreachable.stanza_error()),
        };
        let address = reached.address;
        let mut link = match connect(&s2s, &pair, reached, Goal::Verification).await {
            Ok(link) => link,
            Err(error) => return Verdict::Unknown(error),
        };
        link.stream
            .handle(Instant::now(), Input::Verify(claim.clone()));
        let ending = loop {
            match link.next(None).await {
                Told::Verified(verdict) => {
                    link.finish().await;
                    return verdict;
                }
                Told::Ended(ending) => break ending,
                _ => {}
            }
        };
        let (elsewhere, error) = words::ending(&pair.remote, &ending);
        if !elsewhere {
            return Verdict::Unknown(error);
        }
        road.failed(format!("{address}: {}", error.text.unwrap_or_default()));
    }
}
