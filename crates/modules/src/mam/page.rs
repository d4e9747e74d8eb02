//! Finding a page and sending it, no faster than the client reads: of the archive of an account, or of a room.

use std::borrow::Cow;
use std::sync::Arc;

use tercet_core::rsm::{Page, RsmResult};
use tercet_core::{Jid, Stanza, StanzaError, XmlWriter, escape_attr};
use tercet_server::{Paced, Server, Session, store_failure};
use tercet_store::{ArchiveEntry, ArchiveFilter, ArchiveQuery, Kind, Store, StoreError};

use super::query::{Filter, Query, known};
use super::search::Search;
use super::{NS, stamp_of, wire_id};

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

/// An archive that is asked.
pub(crate) struct Archive<'a> {
    /// Where it is.
    pub(crate) store: &'a Store,
    /// What it is.
    pub(crate) kind: &'static Kind,
    /// The bare JID that it belongs to.
    pub(crate) owner: &'a str,
}

/// What a query's `with` means in the archive that is asked.
#[derive(Default)]
pub(crate) struct With {
    /// Entries of this peer alone.
    pub(crate) peer: Option<String>,
    /// Of these, those with this part alone.
    pub(crate) part: Option<String>,
    /// Entries that pass this alone.
    pub(crate) passes: Option<Arc<ArchiveFilter>>,
}

/// Where the results go.
pub(crate) enum Way<'a> {
    /// To a session of this server.
    Session(&'a Session),
    /// To somebody else.
    Away(&'a Arc<Server>, &'a Jid),
}

/// What of an entry's value somebody is shown.
pub(crate) type Show<'a> = &'a (dyn for<'b> Fn(&'b ArchiveEntry) -> Cow<'b, [u8]> + Send + Sync);

/// Shows the whole value.
pub(crate) fn whole(entry: &ArchiveEntry) -> Cow<'_, [u8]> {
    Cow::Borrowed(&entry.value)
}

/// What is sent for a query.
struct Found {
    /// Oldest first.
    entries: Vec<ArchiveEntry>,
    complete: bool,
    /// A search has looked at as many messages as it may.
    gave_up: bool,
}

impl Archive<'_> {
    /// Answers a query: sends its results on their `way`, each as `show` shows it, and returns the page's description.
    pub(crate) async fn answer(
        &self,
        query: &Query,
        with: With,
        way: Way<'_>,
        show: Show<'_>,
    ) -> Result<Vec<u8>, StanzaError> {
        let fail = |e: StoreError| store_failure(&e);
        // What was delivered before is there, also if it is not yet durable: its id may be the one that is asked from.
        self.store.flush().await.map_err(fail)?;
        let most = query.page.max.map_or(USUAL, |max| max as usize).min(MOST);
        let bounds = Bounds::of(query)?;
        bounds.check(self).await?;
        let mut results = Results::new(self.owner, way, query.queryid.as_deref(), show);
        let (ends, complete) = match &query.filter.ids {
            Some(ids) => {
                self.send_ids(ids, query, &with, &bounds, most, &mut results)
                    .await?
            }
            None => {
                let Found {
                    mut entries,
                    complete,
                    gave_up,
                } = self
                    .find(&query.filter, with, &bounds, most)
                    .await
                    .map_err(fail)?;
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
        Ok(fin(ends, complete))
    }

    /// XEP-0313 §5: when the oldest and the newest message were archived.
    pub(crate) async fn metadata(&self) -> Result<Vec<u8>, StanzaError> {
        // What has just been sent counts, too.
        self.store.flush().await.map_err(|e| store_failure(&e))?;
        let ends = self.store.archive_ends(self.kind, self.owner);
        let ends = ends.await.map_err(|e| store_failure(&e))?;
        let mut w = XmlWriter::new();
        w.start("metadata").attr("xmlns", NS);
        if let Some((oldest, newest)) = ends {
            for (name, id) in [("start", oldest), ("end", newest)] {
                let (id, stamp) = (wire_id(id), stamp_of(id));
                w.leaf(name, &[("id", &id), ("timestamp", &stamp)]);
            }
        }
        w.end();
        Ok(w.finish())
    }

    fn archived(&self, ids: &[u64]) -> tercet_store::Pending<Vec<ArchiveEntry>> {
        self.store.archived(self.kind, self.owner, ids)
    }

    /// Reads the page.
    async fn find(
        &self,
        filter: &Filter,
        with: With,
        bounds: &Bounds,
        most: usize,
    ) -> Result<Found, StoreError> {
        let mut query = ArchiveQuery {
            peer: with.peer,
            part: with.part,
            after: bounds.after,
            before: bounds.before,
            newest_first: bounds.backwards,
            limit: most,
            bytes: BYTES,
            filter: with.passes,
            look_at: SLICE,
        };
        if let Some(text) = filter.text.as_deref() {
            let (search, passes) = (Search::new(text), query.filter.take());
            query.filter = Some(Arc::new(move |message: &[u8]| {
                passes.as_ref().is_none_or(|passes| passes(message)) && search.finds(message)
            }));
        }
        let mut entries: Vec<ArchiveEntry> = Vec::new();
        let mut slices = 0;
        let complete = loop {
            let page = self
                .store
                .read_archive(self.kind, self.owner, query.clone())
                .await?;
            entries.extend(page.entries);
            let bytes: usize = entries.iter().map(|entry| entry.value.len()).sum();
            // Without a filter a page that is not full is the last.
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
        &self,
        ids: &[u64],
        query: &Query,
        with: &With,
        bounds: &Bounds,
        most: usize,
        results: &mut Results<'_>,
    ) -> Result<(Option<(u64, u64)>, bool), StanzaError> {
        let mut meant = Vec::new();
        for some in ids.chunks(IDS_AT_ONCE) {
            let there = self.archived(some).await.map_err(|e| store_failure(&e))?;
            if there.len() < some.len() {
                return Err(StanzaError::item_not_found());
            }
            let there = there
                .into_iter()
                .filter(|e| with.means(e) && bounds.contain(e.id));
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
            let mut there = self.archived(some).await.map_err(|e| store_failure(&e))?;
            if query.flip {
                there.reverse();
            }
            for entry in &there {
                results.send(entry).await;
            }
        }
        Ok((ends, complete))
    }
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
    async fn check(&self, archive: &Archive<'_>) -> Result<(), StanzaError> {
        if self.named.is_empty() {
            return Ok(());
        }
        let there = archive.archived(&self.named);
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

impl With {
    /// Whether it stands for the entry.
    fn means(&self, entry: &ArchiveEntry) -> bool {
        self.peer.as_ref().is_none_or(|peer| *peer == entry.peer)
            && self.part.as_ref().is_none_or(|part| *part == entry.part)
            && self
                .passes
                .as_ref()
                .is_none_or(|passes| passes(&entry.value))
    }
}

/// The results of one query on their way to the client.
struct Results<'a> {
    way: Outward<'a>,
    /// Up to the id.
    head: Vec<u8>,
    show: Show<'a>,
}

enum Outward<'a> {
    Paced(Paced<'a>),
    Away(&'a Arc<Server>, &'a Jid, Option<Jid>),
}

impl<'a> Results<'a> {
    fn new(owner: &str, way: Way<'a>, queryid: Option<&str>, show: Show<'a>) -> Self {
        let to = match way {
            Way::Session(session) => session.jid().as_str(),
            Way::Away(_, to) => to.as_str(),
        };
        let mut head = b"<message from='".to_vec();
        escape_attr(owner, &mut head);
        head.extend_from_slice(b"' to='");
        escape_attr(to, &mut head);
        head.extend_from_slice(b"'><result xmlns='urn:xmpp:mam:2'");
        if let Some(queryid) = queryid {
            head.extend_from_slice(b" queryid='");
            escape_attr(queryid, &mut head);
            head.push(b'\'');
        }
        head.extend_from_slice(b" id='");
        let way = match way {
            Way::Session(session) => Outward::Paced(Paced::new(session.outbox())),
            Way::Away(server, to) => Outward::Away(server, to, Jid::parse(owner).ok()),
        };
        Results { way, head, show }
    }

    /// Appends a result once the client has taken most of those before. Where the session is ending there is nobody to tell.
    async fn send(&mut self, entry: &ArchiveEntry) {
        if let Outward::Paced(paced) = &mut self.way
            && !paced.ready().await
        {
            return;
        }
        let (id, stamp) = (wire_id(entry.id), stamp_of(entry.id));
        let value = (self.show)(entry);
        let parts: [&[u8]; 7] = [
            &self.head,
            id.as_bytes(),
            b"'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='",
            stamp.as_bytes(),
            b"'/>",
            &value,
            b"</forwarded></result></message>",
        ];
        match &mut self.way {
            Outward::Paced(paced) => {
                paced.push(|out| {
                    out.reserve(parts.iter().map(|part| part.len()).sum());
                    for part in parts {
                        out.extend_from_slice(part);
                    }
                });
            }
            Outward::Away(server, to, from) => {
                if let (Some(from), Ok(stanza)) = (from, Stanza::parse(&parts.concat())) {
                    server.route(from, to, &stanza).wait().await;
                }
            }
        }
    }
}
