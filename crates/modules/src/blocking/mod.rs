//! XEP-0191 Blocking Command 1.3. Gaps: none known. XEP-0016, whose front end it once was, is not offered.
//!
//! To whom a user blocks, the user looks offline: presence comes to nothing, requests and messages come back as from somebody
//! who is not there. What the user sends to them comes back, too. The own resources, the own account and the server itself
//! can't be blocked, whatever the list says.

mod list;
mod xml;

pub use list::BlockList;
pub use xml::{Block, Get, Unblock};

use tercet_core::{IqType, Jid, Stanza, StanzaError, StanzaKind, XmlWriter};
use tercet_server::module::{
    Coverage, Flow, IqCx, IqKind, IqResult, Kinds, Module, OnIq, OnStanza, Registrar, Reply, Side,
    Stage, StanzaCx, Target, Xep, xep,
};
use tercet_server::{Account, HostInfo, store_failure};
use tercet_store::{Batch, Kind, Owner};

use crate::report;

use xml::{ERRORS, NS};

/// The block lists: one record each, keyed by the blocked JID.
pub static BLOCKED: Kind = Kind {
    name: "blocked",
    owner: Owner::Account,
    what: "whom the user has blocked",
};

/// How many JIDs one account may block.
const JIDS: usize = 1000;

/// Keeps the wishes of users not to hear from somebody.
pub struct Blocking;

impl Module for Blocking {
    const NAME: &'static str = "blocking";
    const XEPS: &'static [Xep] = &[xep(191, "1.3", Coverage::Complete)];
    type Config = ();

    fn new((): (), _: &HostInfo) -> Self {
        Blocking
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.needs::<BlockList>();
        for side in [Side::Sender, Side::Recipient] {
            r.on(Kinds::ALL, side, Stage::Policy).feature(NS);
        }
        r.iq::<Get>(IqKind::Get, Target::Own).feature(NS);
        r.iq::<Block>(IqKind::Set, Target::Own).feature(NS);
        r.iq::<Unblock>(IqKind::Set, Target::Own).feature(NS);
    }
}

impl OnStanza for Blocking {
    fn on_stanza(&self, cx: &mut StanzaCx<'_>) -> Flow {
        let blocked = cx.account.slot::<BlockList>().is_some_and(|list| {
            !list.is_empty() && !is_exempt(cx.account, cx.peer()) && list.blocks(cx.peer())
        });
        match cx.side {
            _ if !blocked => Flow::Continue,
            Side::Sender => Flow::Bounce(blocked_error()),
            Side::Recipient => refuse(cx.stanza),
        }
    }
}

/// Whether `peer` is heard whatever the list says: the own resources and the own server.
fn is_exempt(account: &Account, peer: &Jid) -> bool {
    let own = account.jid();
    // XEP-0191 §4: never one of a user's resources from another.
    peer.bare_str() == own.as_str() || (peer.local().is_none() && peer.domain() == own.domain())
}

/// XEP-0191 §3.3: what the user sends to somebody blocked.
fn blocked_error() -> StanzaError {
    let mut w = XmlWriter::new();
    w.leaf("blocked", &[("xmlns", ERRORS)]);
    StanzaError::not_acceptable()
        .kind(tercet_core::ErrorType::Cancel)
        .app(w.finish())
}

/// XEP-0191 §3.3: what somebody blocked sends to the user.
fn refuse(stanza: &Stanza) -> Flow {
    match (stanza.kind(), stanza.iq_type()) {
        (StanzaKind::Presence, _) | (StanzaKind::Iq, Some(IqType::Result | IqType::Error)) => {
            Flow::Drop
        }
        (StanzaKind::Message | StanzaKind::Iq, _) => {
            Flow::Bounce(StanzaError::service_unavailable())
        }
    }
}

fn own_list<'a>(cx: &IqCx<'a>) -> Result<&'a BlockList, StanzaError> {
    let list = cx.require_account()?.slot::<BlockList>();
    list.ok_or_else(StanzaError::internal_server_error)
}

/// Those among `items` who get the account's presence by subscription.
fn subscribers(account: &Account, items: &[Jid]) -> Vec<Jid> {
    let state = account.lock();
    let mut found: Vec<Jid> = Vec::new();
    for item in items {
        if item.is_full() && item.local().is_some() {
            if state.roster.subscription(item.bare_str()).from {
                found.push(item.clone());
            }
            continue;
        }
        let covered = state.roster.subscribers().filter(|s| list::covers(item, s));
        found.extend(covered.map(|s| Jid::clone(s)));
    }
    found.sort();
    found.dedup();
    found
}

/// Tells the sessions that have asked for the list.
fn push(cx: &IqCx<'_>, list: &BlockList, element: &[u8]) {
    let Some(account) = cx.account else { return };
    let (sessions, number) = list.interested();
    for session in sessions {
        let connected = account.lock().resource(session.jid().resource()).is_some();
        if !connected {
            continue;
        }
        session.outbox().push(|out| {
            let mut w = XmlWriter::into(std::mem::take(out));
            w.start("iq")
                .attr("type", "set")
                .attr("id", &format!("blocking-{number}"))
                .attr("to", session.jid().as_str());
            w.raw(element).end();
            *out = w.finish();
        });
    }
}

impl OnIq<Get> for Blocking {
    async fn on_iq(&self, cx: IqCx<'_>, _: Get) -> IqResult {
        let session = cx.require_session()?;
        let answer = own_list(&cx)?.with(|inner| {
            let known = |s: &std::sync::Weak<_>| std::ptr::eq(s.as_ptr(), &**session);
            if !inner.asked.iter().any(known) {
                inner.asked.retain(|s| s.strong_count() > 0);
                inner.asked.push(std::sync::Arc::downgrade(session));
            }
            xml::write("blocklist", inner.jids.iter().map(|j| &**j))
        });
        Ok(Reply::Payload(answer))
    }
}

impl OnIq<Block> for Blocking {
    async fn on_iq(&self, cx: IqCx<'_>, block: Block) -> IqResult {
        let account = cx.require_account()?;
        let list = own_list(&cx)?;
        if block
            .jids
            .iter()
            .any(|jid| is_exempt(account, jid) && jid.local().is_some())
        {
            return Err(StanzaError::not_allowed().text("nobody blocks themselves"));
        }
        let owner = account.jid().as_str();
        // XEP-0377 §5: the block is the same with a report and without.
        let mut batch = match cx.host.provided::<report::Intake>().next() {
            Some(intake) if !block.reports.is_empty() => {
                let filed = intake.file(&cx, account, block.reports).await;
                filed.map_err(|e| store_failure(&e))?
            }
            _ => Batch::new(),
        };
        let (added, commit) = list.with(|inner| {
            let mut added: Vec<Jid> = Vec::new();
            for jid in block.jids {
                if !inner.jids.contains(jid.as_str()) && !added.contains(&jid) {
                    batch.put(&BLOCKED, owner, jid.as_str(), Vec::new());
                    added.push(jid);
                }
            }
            if inner.jids.len() + added.len() > JIDS {
                return Err(StanzaError::resource_constraint().text("the block list is full"));
            }
            // From here on nothing new passes; the store sees changes in the order of the list.
            inner.jids.extend(added.iter().map(|j| j.as_str().into()));
            Ok((added, cx.store().commit(batch)))
        })?;
        if let Err(error) = commit.await {
            list.with(|inner| {
                inner
                    .jids
                    .retain(|j| !added.iter().any(|a| a.as_str() == &**j))
            });
            return Err(store_failure(&error));
        }
        // XEP-0191 §3.3: they see the user go away.
        cx.server
            .conceal(account, &subscribers(account, &added), |peer| {
                !is_exempt(account, peer) && added.iter().any(|item| list::covers(item, peer))
            });
        if !added.is_empty() {
            push(
                &cx,
                list,
                &xml::write("block", added.iter().map(Jid::as_str)),
            );
        }
        Ok(Reply::Empty)
    }
}

impl OnIq<Unblock> for Blocking {
    async fn on_iq(&self, cx: IqCx<'_>, unblock: Unblock) -> IqResult {
        let account = cx.require_account()?;
        let list = own_list(&cx)?;
        let owner = account.jid().as_str();
        let all = unblock.0.is_empty();
        let (removed, commit) = list.with(|inner| {
            let wanted = |j: &str| all || unblock.0.iter().any(|u| u.as_str() == j);
            let removed: Vec<_> = inner.jids.iter().filter(|j| wanted(j)).cloned().collect();
            let mut batch = Batch::new();
            for jid in &removed {
                batch.delete(&BLOCKED, owner, jid);
                inner.jids.remove(jid);
            }
            (removed, cx.store().commit(batch))
        });
        if let Err(error) = commit.await {
            list.with(|inner| inner.jids.extend(removed));
            return Err(store_failure(&error));
        }
        let removed: Vec<_> = removed.iter().filter_map(|j| Jid::parse(j).ok()).collect();
        // XEP-0191 §3.4: they see the user come back.
        for subscriber in subscribers(account, &removed) {
            cx.server.show(account, &subscriber);
        }
        if all {
            // XEP-0191 §3.5
            push(&cx, list, &xml::write("unblock", std::iter::empty()));
        } else if !removed.is_empty() {
            push(
                &cx,
                list,
                &xml::write("unblock", removed.iter().map(Jid::as_str)),
            );
        }
        Ok(Reply::Empty)
    }
}
