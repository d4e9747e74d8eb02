//! Subscribing to lists and reading them whole. All of it happens as jobs of the server's agenda.

use std::sync::Arc;

use tercet_core::rsm;
use tercet_core::{Jid, Stanza, StanzaError, XmlWriter};
use tercet_server::module::IqKind;
use tercet_server::{Answered, Routed, Server, VHost};
use tercet_store::Batch;

use super::entry::{Entries, Hash, hashes, item};
use super::lists::{Lists, Phase, too_long};
use super::{Config, Guard, Name};
use crate::muc;
use crate::pubsub::xml::NS;

/// How often it is looked whether something is to be done, in milliseconds.
const LOOK_MS: u64 = 10_000;
/// How long a service may take to answer.
const PATIENCE_MS: u64 = 60_000;
/// Items of a page.
const PAGE: usize = 200;
/// How long after a failure a list is read again, twice as long after each further one, up to [`RETRY_MAX_MS`].
const RETRY_MS: u64 = 30_000;
const RETRY_MAX_MS: u64 = 3_600_000;

/// A list of a host that something is done for.
#[derive(Clone)]
struct Task {
    host: Jid,
    name: Name,
    lists: Arc<Lists>,
    guard: Guard,
}

/// From now on, keeps the lists of all hosts up to date.
pub fn keep_up(server: &Arc<Server>) {
    server.at(server.now_ms(), |server| {
        let server = server.clone();
        Routed::later(async move {
            look(&server).await;
            let next = server.now_ms().saturating_add(LOOK_MS);
            server.at(next, |server| {
                keep_up(server);
                Routed::Done
            });
        })
    });
}

/// The settings may have changed: what is new in them need not wait.
pub fn reconfigured(server: &Server) {
    server.at(server.now_ms(), |server| {
        let server = server.clone();
        Routed::later(async move { look(&server).await })
    });
}

async fn look(server: &Arc<Server>) {
    for host in server.hosts().iter().filter(|host| host.has_accounts()) {
        see_to(server, host).await;
    }
}

/// Has a host have the lists of its settings, and begins to read those whose time has come.
async fn see_to(server: &Arc<Server>, host: &VHost) {
    let domain = host.domain();
    let guard = host.provided::<Guard>().next();
    let lists = server.kept(domain, Lists::default);
    if let Err(error) = lists.load(server, domain).await {
        return tracing::error!(%error, host = domain, "block lists could not be read from the store");
    }
    let wanted = guard.map_or(&[][..], |guard| &guard.config().lists);
    let mut batch = Batch::new();
    let (gone, due) = {
        let mut state = lists.write();
        let gone = state.settle(domain, wanted, &mut batch);
        let now_ms = server.now_ms();
        let due: Vec<Name> = state
            .lists
            .iter_mut()
            .filter(|list| list.next_ms <= now_ms && matches!(list.phase, Phase::Idle))
            .map(|list| {
                list.phase = Phase::Reading {
                    entries: Entries::new(),
                    changes: Default::default(),
                    deaf: None,
                };
                list.name.clone()
            })
            .collect();
        (gone, due)
    };
    if !batch.is_empty()
        && let Err(error) = server.store().commit(batch).await
    {
        tracing::error!(%error, host = domain, "a block list that was given up is still in the store");
    }
    let Ok(host) = Jid::from_parts(None, domain, None) else {
        return;
    };
    for name in gone {
        tracing::info!(host = domain, list = %name, "a block list was given up");
        let payload = subscription("unsubscribe", &host, &name);
        let service = name.service.clone();
        let then = |_: &Arc<Server>, _| Routed::Done;
        server
            .ask(IqKind::Set, &host, &service, &payload, PATIENCE_MS, then)
            .wait()
            .await;
    }
    let Some(guard) = guard else {
        return;
    };
    for name in due {
        let task = Task {
            host: host.clone(),
            name,
            lists: lists.clone(),
            guard: guard.clone(),
        };
        task.subscribe(server).wait().await;
    }
}

/// A domain is back after its server was away, or its stream has broken: what its lists have said meanwhile may not have arrived.
pub(super) fn returned(server: &Arc<Server>, host: &VHost, domain: &str) {
    let Some(guard) = host.provided::<Guard>().next() else {
        return;
    };
    let mut state = guard.lists(server).write();
    for list in &mut state.lists {
        if list.name.service.domain() == domain {
            list.next_ms = 0;
        }
    }
}

/// Whoever is new on a list leaves the rooms of the host.
pub(super) fn expel(server: &Server, guard: &Guard, added: Vec<Hash>) {
    let guard = guard.clone();
    server.at(server.now_ms(), move |server| {
        let is_new = |jid: &Jid| hashes(jid).any(|hash| added.contains(&hash));
        let unwanted = |jid: &Jid| {
            if !is_new(jid) {
                return None;
            }
            guard.finds(server, jid)
        };
        for (room, jid, list) in muc::control::expel(server, &guard.0.domain, unwanted) {
            guard.refused(server, &list, &jid, &room);
        }
        Routed::Done
    });
}

/// XEP-0060 §6.1.1, §6.2.1
fn subscription(what: &str, host: &Jid, name: &Name) -> Vec<u8> {
    let mut w = XmlWriter::new();
    w.start("pubsub").attr("xmlns", NS);
    w.leaf(what, &[("node", &name.node), ("jid", host.as_str())]);
    w.end();
    w.finish()
}

/// XEP-0060 §6.5.2, by pages (XEP-0059)
fn items(name: &Name, after: Option<&str>) -> Vec<u8> {
    let mut w = XmlWriter::new();
    w.start("pubsub").attr("xmlns", NS);
    w.leaf("items", &[("node", &name.node)]);
    w.start("set").attr("xmlns", rsm::NS);
    w.text_element("max", &PAGE.to_string());
    if let Some(after) = after {
        w.text_element("after", after);
    }
    w.end().end();
    w.finish()
}

/// A page of a list.
#[derive(Debug, Default, PartialEq)]
struct Read {
    entries: Vec<(Hash, super::entry::Reason)>,
    /// Items, whatever they are named.
    items: usize,
    /// What to ask for next; `None`: this was all.
    next: Option<String>,
}

/// Reads the answer to [`items`]. `before` is how many items came on earlier pages.
fn read(answer: &Stanza, node: &str, before: usize) -> Option<Read> {
    let pubsub = answer.child("pubsub", NS)?.parse();
    let pubsub = pubsub.root();
    let items = pubsub.child("items", NS)?;
    if items.attr("node").is_some_and(|named| named != node) {
        return None;
    }
    let all = || items.children().filter(|child| child.is("item", NS));
    let mut read = Read {
        entries: all().filter_map(item).collect(),
        items: all().count(),
        next: None,
    };
    // A service that knows no pages sends everything at once.
    let set = pubsub.child("set", rsm::NS);
    let text = |name| set?.child(name, rsm::NS).map(|el| el.text().into_owned());
    let count: Option<usize> = text("count").and_then(|count| count.trim().parse().ok());
    let is_all = read.items == 0 || count.is_some_and(|count| before + read.items >= count);
    read.next = text("last").filter(|_| !is_all);
    Some(read)
}

impl Task {
    fn config(&self) -> &Config {
        self.guard.config()
    }

    fn subscribe(self, server: &Arc<Server>) -> Routed {
        // First, so that nothing is missed between this and the items.
        let payload = subscription("subscribe", &self.host, &self.name);
        let (host, service) = (self.host.clone(), self.name.service.clone());
        let then =
            move |server: &Arc<Server>, answered: Answered| self.subscribed(server, answered);
        server.ask(IqKind::Set, &host, &service, &payload, PATIENCE_MS, then)
    }

    fn subscribed(self, server: &Arc<Server>, answered: Answered) -> Routed {
        let deaf = match answered {
            Answered::Result(answer) => refusal(&answer),
            Answered::Error(error) => Some(format!("subscribing: {}", described(&error))),
            Answered::Silence => return self.failed(server, "no answer".into()),
            Answered::Busy => return self.failed(server, "too much is under way here".into()),
        };
        if let Some(list) = self.lists.write().list(&self.name)
            && let Phase::Reading { deaf: is_deaf, .. } = &mut list.phase
        {
            *is_deaf = deaf;
        }
        self.fetch(server, None, 0)
    }

    fn fetch(self, server: &Arc<Server>, after: Option<String>, before: usize) -> Routed {
        let payload = items(&self.name, after.as_deref());
        let (host, service) = (self.host.clone(), self.name.service.clone());
        let then = move |server: &Arc<Server>, answered: Answered| {
            self.fetched(server, answered, after, before)
        };
        server.ask(IqKind::Get, &host, &service, &payload, PATIENCE_MS, then)
    }

    fn fetched(
        self,
        server: &Arc<Server>,
        answered: Answered,
        after: Option<String>,
        before: usize,
    ) -> Routed {
        let page = match answered {
            Answered::Result(answer) => read(&answer, &self.name.node, before),
            Answered::Error(error) => return self.failed(server, described(&error)),
            Answered::Silence => return self.failed(server, "no answer".into()),
            Answered::Busy => return self.failed(server, "too much is under way here".into()),
        };
        let Some(page) = page else {
            return self.failed(server, "the answer is none that can be understood".into());
        };
        let most = self.config().entries;
        let full = {
            let mut state = self.lists.write();
            let Some(list) = state.list(&self.name) else {
                // It was given up meanwhile.
                return Routed::Done;
            };
            let Phase::Reading { entries, .. } = &mut list.phase else {
                return Routed::Done;
            };
            let room = most.saturating_sub(entries.len());
            let full = page.entries.len() > room;
            entries.extend(page.entries.into_iter().take(room));
            full
        };
        let count = before + page.items;
        match page
            .next
            .filter(|next| !full && Some(next) != after.as_ref())
        {
            Some(next) => self.fetch(server, Some(next), count),
            None => self.done(server, full),
        }
    }

    /// The list has been read whole, or as far as it is kept.
    fn done(self, server: &Arc<Server>, full: bool) -> Routed {
        let config = self.config();
        let mut batch = Batch::new();
        let random: [u8; 1] = server.random();
        let added = {
            let mut state = self.lists.write();
            let Some(list) = state.list(&self.name) else {
                return Routed::Done;
            };
            let phase = std::mem::replace(&mut list.phase, Phase::Idle);
            let Phase::Reading {
                mut entries,
                changes,
                deaf,
            } = phase
            else {
                return Routed::Done;
            };
            for (hash, change) in changes {
                match change {
                    Some(reason) if entries.len() < config.entries => {
                        entries.insert(hash, reason);
                    }
                    Some(_) => {}
                    None => drop(entries.remove(&hash)),
                }
            }
            let interval_ms = config.interval.max(60).saturating_mul(1000);
            let interval_ms = match &deaf {
                // Without news it has to be read more often.
                Some(_) => interval_ms.min(600_000),
                None => interval_ms,
            };
            let now_ms = server.now_ms();
            // Not all servers at once.
            let jitter_ms = interval_ms / 10 * u64::from(random[0]) / 255;
            list.next_ms = now_ms.saturating_add(interval_ms - jitter_ms);
            list.updated_ms = Some(now_ms);
            list.failures = 0;
            list.error = deaf.or_else(|| full.then(|| too_long(config.entries)));
            let added = list.replace(self.host.domain(), entries, &mut batch);
            tracing::debug!(list = %self.name, entries = list.entries.len(), new = added.len(), "read a block list");
            if let Some(error) = &list.error {
                tracing::warn!(host = %self.host, list = %self.name, error, "a block list is in force, but");
            }
            added
        };
        if !added.is_empty() {
            expel(server, &self.guard, added);
        }
        if batch.is_empty() {
            return Routed::Done;
        }
        batch.patiently();
        let commit = server.store().commit(batch);
        Routed::later(async move {
            if let Err(error) = commit.await {
                tracing::error!(%error, list = %self.name, "a block list could not be kept");
            }
        })
    }

    /// It could not be read: it stays as it is.
    fn failed(self, server: &Arc<Server>, error: String) -> Routed {
        let mut state = self.lists.write();
        if let Some(list) = state.list(&self.name) {
            list.phase = Phase::Idle;
            if list.error.as_ref() != Some(&error) {
                let entries = list.entries.len();
                tracing::warn!(
                    host = %self.host, list = %self.name, error, entries,
                    "a block list cannot be read; it stays as last known"
                );
            }
            let wait = (RETRY_MS << list.failures.min(8)).min(RETRY_MAX_MS);
            list.next_ms = server.now_ms().saturating_add(wait);
            list.failures += 1;
            list.error = Some(error);
        }
        Routed::Done
    }
}

/// Why a service will not send news, by its answer to the subscription.
fn refusal(answer: &Stanza) -> Option<String> {
    let pubsub = answer.child("pubsub", NS)?.parse();
    let subscription = pubsub.root().child("subscription", NS)?;
    match subscription.attr("subscription").as_deref() {
        None | Some("subscribed") => None,
        Some(other) => {
            let state: String = other.chars().take(32).collect();
            Some(format!("subscribing: the subscription is {state}"))
        }
    }
}

fn described(error: &StanzaError) -> String {
    match &error.text {
        Some(text) => format!("{} ({text})", error.condition.as_str()),
        None => error.condition.as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(set: &str, ids: &[&str]) -> Stanza {
        let items: String = ids.iter().map(|id| format!("<item id='{id}'/>")).collect();
        let text = format!(
            "<iq type='result' id='1'><pubsub xmlns='{NS}'><items node='n'>{items}</items>{set}</pubsub></iq>"
        );
        Stanza::parse(text.as_bytes()).unwrap()
    }

    fn set(content: &str) -> String {
        format!("<set xmlns='{}'>{content}</set>", rsm::NS)
    }

    #[test]
    fn a_list_is_read_page_by_page_or_at_once() {
        let next = |set: &str, ids: &[&str], before| {
            let read = read(&page(set, ids), "n", before).unwrap();
            (read.entries.len(), read.next)
        };
        assert_eq!(next("", &["a.example", "b c"], 0), (1, None));
        let first = set("<last>b</last><count>3</count>");
        assert_eq!(next(&first, &["a", "b"], 0), (2, Some("b".into())));
        let last = set("<last>c</last><count>3</count>");
        assert_eq!(next(&last, &["c"], 2), (1, None));
        // One that does not count them.
        assert_eq!(
            next(&set("<last>c</last>"), &["c"], 0),
            (1, Some("c".into()))
        );
        assert_eq!(next(&set(""), &[], 5), (0, None));
        assert_eq!(read(&page("", &[]), "other", 0), None);
    }

    #[test]
    fn a_subscription_that_waits_brings_no_news() {
        let answer = |state: &str| {
            let text = format!(
                "<iq type='result' id='1'><pubsub xmlns='{NS}'><subscription node='n' jid='a' {state}/></pubsub></iq>"
            );
            refusal(&Stanza::parse(text.as_bytes()).unwrap())
        };
        assert_eq!(answer("subscription='subscribed'"), None);
        assert_eq!(answer(""), None);
        assert!(answer("subscription='pending'").is_some());
    }
}
