//! Streams that we open: one for each pair of domains while there is something to send, and one for each question about a key.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tercet_stream::s2s::{DomainPair, Goal, Input, KeyClaim, S2sEnding, S2sStream, Verdict};
use tokio::sync::oneshot;

use super::S2s;
use super::dane::Named;
use super::desk::{Desk, Order};
use super::link::{Link, Told};
use super::outbox::Left;
use super::words;
use crate::peers::{Peers, Way};
use crate::reach::{Reach, Reached, Unreachable};

/// How long a stream that is there already may take to say whether it carries another pair.
const SHARING: Duration = Duration::from_secs(5);

/// What came of opening a stream.
enum Opened {
    /// It takes the pair's stanzas.
    Link(Box<Link>),
    /// Another one does.
    Elsewhere,
}

/// Has the stanzas of a pair of domains brought there, by a stream that there is or a new one, until it ends. Where the
/// connection breaks and the peer counts what it handles, it goes on over another one.
pub(super) async fn bring(s2s: Arc<S2s>, pair: DomainPair, reach: Reach) {
    let mut stopped = s2s.stopped.clone();
    let mut left: Option<Left> = None;
    loop {
        let opening = tokio::time::timeout(s2s.patience, open(&s2s, &pair, &reach, &mut left));
        let opened = tokio::select! {
            opened = opening => {
                opened.unwrap_or_else(|_| Err(words::too_late(&pair.remote, s2s.patience)))
            }
            _ = stopped.changed() => Err(words::shutdown()),
        };
        let mut link = match opened {
            Ok(Opened::Link(link)) => link,
            Ok(Opened::Elsewhere) => return,
            Err(reason) => {
                tracing::info!(local = %pair.local, remote = %pair.remote, %reason, "a server is out of reach");
                let (peers, now) = (Peers::of(&s2s.server), s2s.server.now_ms());
                peers.failed(Way::Out, &pair.remote, &reason.text, now);
                s2s.server.out_of_reach(&pair.remote);
                if let Some(left) = left {
                    left.settle(&s2s, None, Some(&pair));
                }
                return s2s.post.failed(&pair, &reason, s2s.random());
            }
        };
        s2s.server.within_reach(&pair.remote);
        let ending = loop {
            if let Told::Ended(ending) = link.next().await {
                break ending;
            }
        };
        if matches!(ending, S2sEnding::Lost | S2sEnding::PeerError(..)) {
            s2s.server.disturbed(&pair.remote);
        }
        left = link.leave(&ending).filter(|left| !left.pairs.is_empty());
        if left.is_none() {
            return;
        }
    }
}

/// Has a stream that is there carry the pair. False if it does not.
async fn share(s2s: &S2s, desk: Option<Arc<Desk>>, pair: &DomainPair) -> bool {
    let Some(desk) = desk else {
        return false;
    };
    let (tell, told) = oneshot::channel();
    desk.leave(Order::Carry(pair.clone(), tell));
    let carried = matches!(tokio::time::timeout(SHARING, told).await, Ok(Ok(true)));
    if carried {
        tracing::info!(local = %pair.local, remote = %pair.remote, "a stream that is there takes these stanzas, too");
    } else {
        // Nobody has to wait for that again.
        s2s.carriers.forget(&desk);
    }
    carried
}

/// A stream that takes stanzas of this pair. `left`, of a stream that broke, goes on with it or is settled.
async fn open(
    s2s: &Arc<S2s>,
    pair: &DomainPair,
    reach: &Reach,
    left: &mut Option<Left>,
) -> Result<Opened, Unreachable> {
    // XEP-0220 §2.5: other domains of ours, over the same stream.
    if left.is_none() && share(s2s, s2s.carriers.to(&pair.remote), pair).await {
        return Ok(Opened::Elsewhere);
    }
    let mut road = reach.road(&pair.remote).await?;
    loop {
        let reached = road.next().await?;
        let address = reached.address;
        // XEP-0220 §2.5: another domain of the same machine, unless the DNS may name the certificate of each.
        if left.is_none() && !s2s.dane && share(s2s, s2s.carriers.at(address), pair).await {
            return Ok(Opened::Elsewhere);
        }
        let named = match Named::ask(&pair.remote, &reached.target, reach).await {
            Ok(named) => named,
            Err(error) => {
                road.failed(format!("{address}: {}", error.text));
                continue;
            }
        };
        let mut link = connect(s2s, pair, reached, Goal::Stanzas).await?;
        link.expect(named);
        let ending = match negotiate(s2s, &mut link, pair, left).await {
            Ok(true) => return Ok(Opened::Link(Box::new(link))),
            Ok(false) => {
                link.finish().await;
                return Ok(Opened::Elsewhere);
            }
            Err(Told::Ended(ending)) => ending,
            Err(Told::Refused(_, refusal)) => return Err(words::refusal(&pair.remote, &refusal)),
            // It tells of nothing else.
            Err(_) => continue,
        };
        let (elsewhere, error) = words::ending(&pair.remote, &ending, link.why_lost());
        if !elsewhere {
            return Err(error);
        }
        road.failed(format!("{address}: {}", error.text));
    }
}

/// Waits until stanzas of this pair may be written, has them counted if the peer does that, and goes on with what `left` has
/// or settles it. False if another stream takes them by now.
///
/// # Errors
/// The refusal or the end.
async fn negotiate(
    s2s: &Arc<S2s>,
    link: &mut Link,
    pair: &DomainPair,
    left: &mut Option<Left>,
) -> Result<bool, Told> {
    // Those of a session that goes on have to be authenticated before.
    let mut awaited: Vec<DomainPair> = vec![pair.clone()];
    for other in left.iter().flat_map(|left| &left.pairs) {
        if other != pair {
            awaited.push(other.clone());
            let further = Input::Authenticate(other.clone());
            link.stream.handle(Instant::now(), further);
        }
    }
    loop {
        match link.next().await {
            Told::Authorized(with) => {
                let Some(at) = awaited.iter().position(|pair| *pair == with) else {
                    continue;
                };
                awaited.swap_remove(at);
                if !awaited.is_empty() {
                    continue;
                }
            }
            Told::Refused(with, refusal) if with == *pair => {
                return Err(Told::Refused(with, refusal));
            }
            Told::Refused(..) => {
                // The session can not go on here.
                awaited.retain(|other| other == pair);
                if let Some(left) = left.take() {
                    left.settle(s2s, None, Some(pair));
                }
                if !awaited.is_empty() {
                    continue;
                }
            }
            Told::Counted(id) => return Ok(link.carry(pair, Some(id))),
            Told::Resumed(handled) => match left.take() {
                Some(mut session) => match session.session.sent.ack(handled) {
                    Ok(()) => {
                        link.resume(session);
                        return Ok(true);
                    }
                    Err(error) => {
                        link.refuse(&error);
                        session.settle(s2s, None, Some(pair));
                        continue;
                    }
                },
                // Nothing else was asked for.
                None => return Ok(link.carry(pair, None)),
            },
            Told::NotCounted(handled) => match left.take() {
                // XEP-0198 §5: the stream goes on without the session, and may begin another one.
                Some(session) => session.settle(s2s, handled, Some(pair)),
                None => return Ok(link.carry(pair, None)),
            },
            ended @ Told::Ended(_) => return Err(ended),
            _ => continue,
        }
        if link.manage(left.as_ref()) {
            continue;
        }
        if let Some(left) = left.take() {
            left.settle(s2s, None, Some(pair));
        }
        return Ok(link.carry(pair, None));
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
