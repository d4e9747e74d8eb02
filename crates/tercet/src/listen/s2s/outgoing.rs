//! Streams that we open: one for each pair of domains while there is something to send, and one for each question about a key.

use std::sync::Arc;
use std::time::Instant;

use tercet_stream::s2s::{DomainPair, Goal, Input, KeyClaim, S2sEnding, S2sStream, Verdict};

use super::S2s;
use super::dane::Named;
use super::link::{Link, Told};
use super::outbox::{Outbox, Session};
use super::words;
use crate::peers::{Peers, Way};
use crate::reach::{Reach, Reached, Unreachable};

/// Opens a stream for a pair of domains, and brings there what waits, until the stream ends. Where the connection breaks and
/// the peer counts what it handles, it goes on over another one.
pub(super) async fn bring(s2s: Arc<S2s>, pair: DomainPair, reach: Reach) {
    let mut stopped = s2s.stopped.clone();
    let mut left: Option<Session> = None;
    loop {
        let opened = tokio::select! {
            opened = tokio::time::timeout(s2s.patience, open(&s2s, &pair, &reach, &mut left)) => {
                opened.unwrap_or_else(|_| Err(words::too_late(&pair.remote, s2s.patience)))
            }
            _ = stopped.changed() => Err(words::shutdown()),
        };
        let (mut link, session) = match opened {
            Ok(opened) => opened,
            Err(reason) => {
                tracing::info!(local = %pair.local, remote = %pair.remote, %reason, "a server is out of reach");
                let (peers, now) = (Peers::of(&s2s.server), s2s.server.now_ms());
                peers.failed(Way::Out, &pair.remote, &reason.text, now);
                s2s.server.out_of_reach(&pair.remote);
                if let Some(session) = left {
                    session.settle(&s2s, &pair, None);
                }
                return s2s.post.failed(&pair, &reason, s2s.random());
            }
        };
        s2s.server.within_reach(&pair.remote);
        link.carry(Outbox::new(s2s.clone(), pair.clone(), session));
        let ending = loop {
            if let Told::Ended(ending) = link.next().await {
                break ending;
            }
        };
        if matches!(ending, S2sEnding::Lost | S2sEnding::PeerError(..)) {
            s2s.server.disturbed(&pair.remote);
        }
        left = link.leave(&ending);
        if left.is_none() {
            return;
        }
    }
}

/// A stream that takes stanzas of this pair, and what the peer counts on it, if it does. `left`, of a stream that broke, goes
/// on with it or is settled.
async fn open(
    s2s: &Arc<S2s>,
    pair: &DomainPair,
    reach: &Reach,
    left: &mut Option<Session>,
) -> Result<(Link, Option<Session>), Unreachable> {
    let mut road = reach.road(&pair.remote).await?;
    loop {
        let reached = road.next().await?;
        let address = reached.address;
        let named = match Named::ask(&pair.remote, &reached.target, reach).await {
            Ok(named) => named,
            Err(error) => {
                road.failed(format!("{address}: {}", error.text));
                continue;
            }
        };
        let mut link = connect(s2s, pair, reached, Goal::Stanzas).await?;
        link.expect(named);
        let error = loop {
            match link.next().await {
                Told::Authorized(with) if with == *pair => {
                    if link.manage(left.as_ref()) {
                        continue;
                    }
                    if let Some(left) = left.take() {
                        left.settle(s2s, pair, None);
                    }
                    return Ok((link, None));
                }
                Told::Counted(id) => return Ok((link, Some(Session::new(id, s2s.on_their_way)))),
                Told::Resumed(handled) => match left.take() {
                    Some(mut session) => match session.sent.ack(handled) {
                        Ok(()) => return Ok((link, Some(session))),
                        Err(error) => {
                            link.refuse(&error);
                            session.settle(s2s, pair, None);
                        }
                    },
                    // Nothing else was asked for.
                    None => return Ok((link, None)),
                },
                Told::NotCounted(handled) => {
                    // XEP-0198 §5: the stream goes on without the session, and may begin another one.
                    let again = left.take().map(|left| left.settle(s2s, pair, handled));
                    if again.is_none() || !link.manage(None) {
                        return Ok((link, None));
                    }
                }
                Told::Refused(refusal) => {
                    return Err(words::refusal(&pair.remote, &refusal));
                }
                Told::Ended(ending) => {
                    let (elsewhere, error) = words::ending(&pair.remote, &ending, link.why_lost());
                    if !elsewhere {
                        return Err(error);
                    }
                    break error;
                }
                _ => {}
            }
        };
        road.failed(format!("{address}: {}", error.text));
    }
}

/// A stream over a new connection.
async fn connect(
    s2s: &Arc<S2s>,
    pair: &DomainPair,
    reached: Reached,
    goal: Goal,
) -> Result<Link, Unreachable> {
    let direct = reached.target.direct;
    let (config, seed) = (s2s.streams.load_full(), s2s.server.random());
    let now = Instant::now();
    let stream = S2sStream::initiating(config, pair.clone(), goal, direct, now, seed);
    let tls = match direct {
        true => Some(s2s.connector.start(&pair.local, &pair.remote, true)),
        false => None,
    };
    let tls = tls
        .transpose()
        .map_err(|error| Unreachable::not_found(format!("{}: {error}", pair.remote)))?;
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
            Err(unreachable) => return Verdict::Unknown(unreachable.stanza_error()),
        };
        link.stream
            .handle(Instant::now(), Input::Verify(claim.clone()));
        let ending = loop {
            match link.next().await {
                Told::Verified(verdict) => {
                    link.finish().await;
                    return verdict;
                }
                Told::Ended(ending) => break ending,
                _ => {}
            }
        };
        let (elsewhere, error) = words::ending(&pair.remote, &ending, link.why_lost());
        if !elsewhere {
            return Verdict::Unknown(error.stanza_error());
        }
        road.failed(format!("{address}: {}", error.text));
    }
}
