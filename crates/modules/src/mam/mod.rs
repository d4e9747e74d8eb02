//! XEP-0313 Message Archive Management 1.1.3 on accounts, preferences (XEP-0441 0.2.0), search (XEP-0431 0.2.0) and tombstones
//! for what was retracted (XEP-0424 0.4.2). Gaps: none known in what concerns accounts. Rooms have archives of
//! their own (`muc/features/archive`), which are read in the same way (`page`).
//!
//! On by default, for ever unless the configuration says for how long, or an administrator or the user does for one account
//! (`keep`). Kept are messages with content, not those of rooms, headlines,
//! errors and chat states (`rules`), with the addresses and the content that were delivered. The id that the archive gives
//! (XEP-0359) stands in what is delivered live, in copies and in what waits for a user who is away, so that a client
//! that has a message already knows it again: what waited offline comes at login as ever, since not all clients have archives, and
//! is not taken for another message by those that have.
//!
//! Search reads through the user's own archive on the store's threads, a slice at a time and so many in one request: no index is kept, writing costs nothing for it,
//! and of encrypted messages there is nothing to find. A word is found where a word of the body begins with it.

mod commands;
mod keep;
pub(crate) mod page;
mod prefs;
pub(crate) mod query;
pub(crate) mod retention;
pub(crate) mod retract;
pub(crate) mod rules;
pub(crate) mod search;
#[cfg(test)]
mod tests;

pub use keep::{ARCHIVE_KEEP, BadKeep, By, Keep, Kept, keep, kept};
pub use prefs::{ARCHIVE_PREFS, GetPrefs, SetPrefs};
pub use query::{Metadata, Query};
pub use retention::keep_to_retention;

use std::sync::atomic::{AtomicU64, Ordering};

use tercet_core::{Element, IqType, Stanza, StanzaError, time};
use tercet_server::HostInfo;
use tercet_server::module::{
    ArchivedRule, Coverage, Flow, IqCx, IqKind, IqResult, Kinds, Module, OnBind, OnIq, OnStanza,
    Registrar, Reply, SessionCx, Side, Stage, StanzaCx, Target, Xep, xep,
};
use tercet_store::{ArchiveEntry, Batch, Kind, Owner, Store};

use crate::offline::ABSENT;
use crate::stable_id;
use page::{Archive, Way, With};
use prefs::Prefs;

/// The namespace of the protocol.
pub(crate) const NS: &str = "urn:xmpp:mam:2";

/// What users have sent and received: entries by peer, each the message as it was delivered, in `jabber:client`.
pub static ARCHIVE: Kind = Kind {
    name: "archive",
    owner: Owner::Account,
    what: "the messages that the user has sent and received",
};

/// Keeps messages and gives them back.
pub struct Mam {
    enabled: bool,
    domain: String,
    /// Counts what is written for names without an account, so that it differs: a store may skip writes that change nothing.
    absent: AtomicU64,
    searching: search::Searching,
}

impl Module for Mam {
    const NAME: &'static str = "mam";
    const XEPS: &'static [Xep] = &[
        xep(313, "1.1.3", Coverage::Complete),
        xep(441, "0.2.0", Coverage::Complete),
        xep(431, "0.2.0", Coverage::Complete),
        xep(424, "0.4.2", Coverage::Complete),
    ];
    type Config = ();

    fn new((): (), host: &HostInfo) -> Self {
        Mam {
            enabled: host.archive.enabled,
            domain: host.domain.clone(),
            absent: AtomicU64::new(0),
            searching: search::Searching::default(),
        }
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.on(Kinds::MESSAGE, Side::Sender, Stage::Validate)
            .silent("a part of the protocol");
        // Also where it is off: it may be switched on while accounts are in memory.
        r.needs::<Prefs>();
        if !r.module().enabled {
            return;
        }
        for side in [Side::Sender, Side::Recipient] {
            r.on(Kinds::MESSAGE, side, Stage::Archive)
                .feature(retract::NS)
                .account_feature(retract::NS)
                .account_feature(retract::TOMBSTONES);
        }
        r.provide(Target::Host, ArchivedRule(stable_id::is_stamped))
            .silent("a part of the protocol");
        r.iq::<Query>(IqKind::Get, Target::Own).feature(NS);
        r.iq::<Query>(IqKind::Set, Target::Own)
            .feature(NS)
            .feature("urn:xmpp:mam:2#extended")
            .feature("urn:xmpp:mam:2#groupchat-field")
            .feature(search::NS);
        for command in commands::commands() {
            r.provide(Target::Host, command)
                .silent("the commands module announces it");
        }
        r.iq::<Metadata>(IqKind::Get, Target::Own).feature(NS);
        r.binding(None);
        r.iq::<GetPrefs>(IqKind::Get, Target::Own).feature(NS);
        r.iq::<SetPrefs>(IqKind::Set, Target::Own).feature(NS);
    }
}

impl OnStanza for Mam {
    fn absent(&self, stanza: &Stanza) -> Option<Batch> {
        // Promise 6 of the bad-input list: unknown names take the same as known ones.
        rules::is_archived(stanza).then(|| {
            let mut batch = Batch::new();
            let mut value = vec![0; stanza.byte_len()];
            let count = self.absent.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            value.iter_mut().zip(count).for_each(|(v, c)| *v = c);
            batch.put(&ABSENT, &self.domain, "archive", value);
            batch
        })
    }

    fn on_stanza(&self, cx: &mut StanzaCx<'_>) -> Flow {
        match cx.stage {
            Stage::Archive => archive(cx),
            // Promise 7 of the bad-input list: users have no archives to give results from.
            _ if rules::is_forged(cx.stanza) => {
                return Flow::Bounce(
                    StanzaError::not_acceptable().text("a result of no archive of this server"),
                );
            }
            _ => {}
        }
        Flow::Continue
    }
}

/// Keeps a message for the account of one side, and stamps it with the id.
fn archive(cx: &mut StanzaCx<'_>) {
    let own = cx.account.jid();
    let to_self = cx.from.bare_str() == cx.to.bare_str();
    // XEP-0313 §5.1.1: once in one archive. What users send to themselves is kept as they send it.
    if (to_self && cx.side == Side::Recipient) || !rules::is_archived(cx.stanza) {
        return;
    }
    let peer = cx.peer();
    let in_roster = || {
        let state = cx.delivered.map(|d| d.state);
        state
            .and_then(|s| s.roster.get(peer.bare_str()))
            .is_some_and(|i| i.in_roster)
    };
    let prefs = cx.account.slot::<Prefs>();
    if !prefs.is_some_and(|prefs| prefs.archives(peer, in_roster)) {
        return;
    }
    let id = cx.server.store().archive_id(cx.server.now_ms());
    let entry = ArchiveEntry {
        id,
        peer: peer.bare_str().to_owned(),
        part: peer.resource().unwrap_or_default().to_owned(),
        value: cx.written(cx.side),
    };
    if let Some(retract) = retract::Retraction::of(cx.stanza, id, own, peer, cx.side) {
        cx.effects.push(retract.effect());
    }
    cx.effects.keep().archive(&ARCHIVE, own.as_str(), entry);
    let edits = cx.effects.edits();
    // XEP-0313 §3.3: the message says where it is archived, each side its own alone.
    stable_id::stamp(&wire_id(id), own.as_str(), edits.append(cx.side));
    if to_self {
        stable_id::stamp(&wire_id(id), own.as_str(), edits.append(Side::Recipient));
    }
}

/// An id as clients see it.
pub(crate) fn wire_id(id: u64) -> String {
    id.to_string()
}

/// The id that a client means; `None` if no archive has ever given it.
pub(crate) fn read_id(id: &str) -> Option<u64> {
    let number: u64 = id.parse().ok()?;
    (wire_id(number) == id).then_some(number)
}

/// When the entry with that id was archived.
pub(crate) fn stamp_of(id: u64) -> String {
    time::format(i64::try_from(Store::archive_time(id)).unwrap_or(i64::MAX))
}

impl OnIq<Query> for Mam {
    async fn on_iq(&self, cx: IqCx<'_>, query: Query) -> IqResult {
        if cx.stanza.iq_type() == Some(IqType::Get) {
            return Ok(Reply::Payload(query::form(true)));
        }
        let session = cx.require_session()?;
        let _turn = self.searching.turn(&query, session.account().jid())?;
        let owner = session.account().jid().as_str();
        let with = query.filter.with.as_ref();
        let with = With {
            peer: with.map(|with| with.bare_str().to_owned()),
            // XEP-0313 §4.1.1: a bare JID means all its resources; what one sends to oneself has no other end.
            part: with
                .filter(|with| with.bare_str() != owner)
                .and_then(|with| with.resource().map(str::to_owned)),
            passes: None,
        };
        let fin = own(&cx)?
            .answer(&query, with, Way::Session(session), &page::whole)
            .await?;
        Ok(Reply::Payload(fin))
    }
}

/// The archive of the account that is asked.
fn own<'a>(cx: &IqCx<'a>) -> Result<Archive<'a>, StanzaError> {
    Ok(Archive {
        store: cx.store(),
        kind: &ARCHIVE,
        owner: cx.require_account()?.jid().as_str(),
    })
}

impl OnIq<Metadata> for Mam {
    async fn on_iq(&self, cx: IqCx<'_>, _: Metadata) -> IqResult {
        Ok(Reply::Payload(own(&cx)?.metadata().await?))
    }
}

impl OnBind for Mam {
    async fn bound(&self, cx: SessionCx<'_>, _: Element<'_>) -> Vec<u8> {
        let archive = Archive {
            store: cx.server.store(),
            kind: &ARCHIVE,
            owner: cx.session.account().jid().as_str(),
        };
        // XEP-0386 §3.2: what of the archive is there. Without it, by a failure of the store, the client asks.
        archive.metadata().await.unwrap_or_default()
    }
}
