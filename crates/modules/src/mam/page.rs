//! Finding a page and sending it, no faster than the client reads.

use std::sync::Arc;

use tercet_core::rsm::{Page, RsmResult};
use tercet_core::{StanzaError, XmlWriter, escape_attr};
use tercet_server::module::{IqCx, IqResult, Reply};
use tercet_server::{Paced, Session, store_failure};
use tercet_store::{ArchiveEntry, ArchiveQuery, StoreError};

use super::query::{Filter, Query, known};
use super::search::{Search, Searching};
use super::{ARCHIVE, NS, stamp_of, wire_id};

/// The largest page, and the one for who names no size.
const MOST: usize = 250;
const USUAL: usize = 50;
/// A page ends once its messages have so many bytes, however many were asked for.
const BYTES: usize = 1 << 20;
/// Messages that a search looks at before others have the store's threads.
const SLICE: usize = 1_000;
/// Slices that one search takes.
const SLICES: usize = 100;
/// Ids that are read at once.
const IDS_AT_ONCE: usize = 16;

/// What is sent for a query.
struct Found {
    /// Oldest first.
    entries: Vec<ArchiveEntry>,
    complete: bool,
    /// A search has looked at as many messages as it may.
    gave_up: bool,
}

/// Answers a query: its results, then the page's description.
pub(super) async fn send(cx: &IqCx<'_>, searching: &Searching, query: Query) -> IqResult {
    let session = cx.require_session()?;
    let _turn = match &query.filter.text {
        Some(_) => Some(searching.begin(session.account().jid())?),
        None => None,
    };
    let fail = |e: StoreError| store_failure(&e);
    // What was delivered before is there, also if it is not yet durable: its id may be the one that is asked from.
    cx.store().flush().await.map_err(fail)?;
    let most = query.page.max.map_or(USUAL, |max| max as usize).min(MOST);
    let bounds = Bounds::of(&query)?;
    bounds.check(cx).await?;
    let mut results = Results::new(session, query.queryid.as_deref());
    let (ends, complete) = match &query.filter.ids {
        Some(ids) => send_ids(cx, ids, &query, &bounds, most, &mut results).await?,
        None => {
            let Found {
                mut entries,
                complete,
                gave_up,
            } = find(cx, &query.filter, &bounds, most).await.map_err(fail)?;
            if gave_up && entries.is_empty() {
                // Without a message there is nothing from which the next page could begin.
                return Err(StanzaError::resource_constraint().text(format!(
                    "nothing found in {} messages; say between which times to search",
                    SLICE * SLICES
                )));
            }
            let ends = ends(&entries);
            // XEP-0313 §4.3.3: this changes the order of sending alone.
            if query.flip {
                entries.reverse();
            }
            for entry in &entries {
                results.send(entry).await;
            }
            (ends, complete)
        }
    };
    Ok(Reply::Payload(fin(ends, complete)))
}

fn ends(entries: &[ArchiveEntry]) -> Option<(u64, u64)> {
    Some((entries.first()?.id, entries.last()?.id))
}

/// XEP-0313 §4: the page that was sent. Its number in the whole, and how many there are, would cost more the more there are:
/// they are not told (XEP-0059 §2.6, §2.7).
fn fin(ends: Option<(u64, u64)>, complete: bool) -> Vec<u8> {
    let mut w = XmlWriter::new();
    w.start("fin").attr("xmlns", NS);
    w.opt_attr("complete", complete.then_some("true"));
    RsmResult {
        first: ends.map(|(first, _)| (wire_id(first), None)),
        last: ends.map(|(_, last)| wire_id(last)),
        count: None,
    }
    .write(&mut w);
    w.end();
    w.finish()
}

/// Where the page lies.
struct Bounds {
    /// Ids above this,
    after: Option<u64>,
    /// and below this.
    before: Option<u64>,
    /// The page is the last one within them.
    backwards: bool,
    /// Ids that have to be in the archive.
    named: Vec<u64>,
}

impl Bounds {
    fn of(query: &Query) -> Result<Bounds, StanzaError> {
        let filter = &query.filter;
        let (mut after, mut before) = (None, None);
        let mut backwards = false;
        match &query.page.page {
            Page::First => {}
            Page::After(id) => after = Some(known(id)?),
            Page::Before(id) => {
                before = Some(known(id)?);
                backwards = true;
            }
            Page::Last => backwards = true,
            // XEP-0059 §2.6: who does not count says so.
            Page::Index(_) => {
                return Err(StanzaError::feature_not_implemented().text("pages have no numbers"));
            }
        }
        let named = [after, before, filter.after_id, filter.before_id];
        let first = filter.first.map(|first| first.saturating_sub(1));
        Ok(Bounds {
            named: named.into_iter().flatten().collect(),
            after: after.into_iter().chain(filter.after_id).chain(first).max(),
            before: before
                .into_iter()
                .chain(filter.before_id)
                .chain(filter.end)
                .min(),
            backwards,
        })
    }

    /// XEP-0313 §4.1.3, XEP-0059 §2.2: an id that is not in the archive is an error, not an empty page.
    async fn check(&self, cx: &IqCx<'_>) -> Result<(), StanzaError> {
        if self.named.is_empty() {
            return Ok(());
        }
        let owner = cx.require_account()?.jid().as_str();
        let there = cx.store().archived(&ARCHIVE, owner, &self.named);
        let there = there.await.map_err(|e| store_failure(&e))?;
        let is_there = |id: &u64| there.iter().any(|entry| entry.id == *id);
        if self.named.iter().all(is_there) {
            Ok(())
        } else {
            Err(StanzaError::item_not_found())
        }
    }

    fn contain(&self, id: u64) -> bool {
        self.after.is_none_or(|after| id > after) && self.before.is_none_or(|before| id < before)
    }
}

/// Reads the page.
async fn find(
    cx: &IqCx<'_>,
    filter: &Filter,
    bounds: &Bounds,
    most: usize,
) -> Result<Found, StoreError> {
    let owner = cx.account.map_or("", |account| account.jid().as_str());
    let with = filter.with.as_ref();
    let search = filter
        .text
        .as_deref()
        .map(|text| Arc::new(Search::new(text)));
    let mut query = ArchiveQuery {
        peer: with.map(|with| with.bare_str().to_owned()),
        // XEP-0313 §4.1.1: a bare JID means all its resources; what one sends to oneself has no other end.
        part: with
            .filter(|with| with.bare_str() != owner)
            .and_then(|with| with.resource().map(str::to_owned)),
        after: bounds.after,
        before: bounds.before,
        newest_first: bounds.backwards,
        limit: most,
        bytes: BYTES,
        filter: None,
        look_at: SLICE,
    };
    if let Some(search) = search {
        query.filter = Some(Arc::new(move |message: &[u8]| search.finds(message)));
    }
    let mut entries: Vec<ArchiveEntry> = Vec::new();
    let mut slices = 0;
    let complete = loop {
        let page = cx
            .store()
            .read_archive(&ARCHIVE, owner, query.clone())
            .await?;
        entries.extend(page.entries);
        let bytes: usize = entries.iter().map(|entry| entry.value.len()).sum();
        // Without a search a page that is not full is the last.
        if page.complete || query.filter.is_none() || entries.len() >= most || bytes >= BYTES {
            break page.complete;
        }
        slices += 1;
        if slices == SLICES {
            break false;
        }
        query.limit = most - entries.len();
        match query.newest_first {
            true => query.before = page.reached,
            false => query.after = page.reached,
        }
    };
    if bounds.backwards {
        entries.reverse();
    }
    Ok(Found {
        entries,
        complete,
        gave_up: slices == SLICES,
    })
}

/// XEP-0313 §4.1.3: sends the messages with these ids, all of which must be in the archive.
async fn send_ids(
    cx: &IqCx<'_>,
    ids: &[u64],
    query: &Query,
    bounds: &Bounds,
    most: usize,
    results: &mut Results<'_>,
) -> Result<(Option<(u64, u64)>, bool), StanzaError> {
    let owner = cx.require_account()?.jid().as_str();
    let mut meant = Vec::new();
    for some in ids.chunks(IDS_AT_ONCE) {
        let there = cx.store().archived(&ARCHIVE, owner, some);
        let there = there.await.map_err(|e| store_failure(&e))?;
        if there.len() < some.len() {
            return Err(StanzaError::item_not_found());
        }
        let is_with = |entry: &ArchiveEntry| {
            query.filter.with.as_ref().is_none_or(|with| {
                let part = with.resource();
                with.bare_str() == entry.peer && part.is_none_or(|part| part == entry.part)
            })
        };
        let there = there
            .into_iter()
            .filter(|e| is_with(e) && bounds.contain(e.id));
        meant.extend(there.map(|entry| entry.id));
    }
    let complete = meant.len() <= most;
    let mut page = match bounds.backwards {
        true => meant.split_off(meant.len().saturating_sub(most)),
        false => {
            meant.truncate(most);
            meant
        }
    };
    let ends = page.first().copied().zip(page.last().copied());
    if query.flip {
        page.reverse();
    }
    for some in page.chunks(IDS_AT_ONCE) {
        let there = cx.store().archived(&ARCHIVE, owner, some);
        let mut there = there.await.map_err(|e| store_failure(&e))?;
        if query.flip {
            there.reverse();
        }
        for entry in &there {
            results.send(entry).await;
        }
    }
    Ok((ends, complete))
}

/// The results of one query on their way to the client.
struct Results<'a> {
    paced: Paced<'a>,
    /// Up to the id.
    head: Vec<u8>,
}

impl<'a> Results<'a> {
    fn new(session: &'a Session, queryid: Option<&str>) -> Self {
        let mut head = b"<message from='".to_vec();
        escape_attr(session.account().jid().as_str(), &mut head);
        head.extend_from_slice(b"' to='");
        escape_attr(session.jid().as_str(), &mut head);
        head.extend_from_slice(b"'><result xmlns='urn:xmpp:mam:2'");
        if let Some(queryid) = queryid {
            head.extend_from_slice(b" queryid='");
            escape_attr(queryid, &mut head);
            head.push(b'\'');
        }
        head.extend_from_slice(b" id='");
        Results {
            paced: Paced::new(session.outbox()),
            head,
        }
    }

    /// Appends a result once the client has taken most of those before. Where the session is ending there is nobody to tell.
    async fn send(&mut self, entry: &ArchiveEntry) {
        if !self.paced.ready().await {
            return;
        }
        let (id, stamp) = (wire_id(entry.id), stamp_of(entry.id));
        let parts: [&[u8]; 7] = [
            &self.head,
            id.as_bytes(),
            b"'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='",
            stamp.as_bytes(),
            b"'/>",
            &entry.value,
            b"</forwarded></result></message>",
        ];
        self.paced.push(|out| {
            out.reserve(parts.iter().map(|part| part.len()).sum());
            for part in parts {
                out.extend_from_slice(part);
            }
        });
    }
}
