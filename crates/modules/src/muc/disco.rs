//! What rooms say when they are asked about (XEP-0045 §6).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tercet_core::rsm::{Page, RsmRequest};
use tercet_core::{BareJid, OwnedElement, StanzaError, XmlWriter};
use tercet_server::module::{IqCx, IqResult, Reply};
use tercet_server::{Routed, store_failure};

use super::affiliation::Affiliation;
use super::config::{Info, NS_INFO, RoomConfig};
use super::room::State;
use super::{Call, Core, MUC, records};
use crate::disco::{INFO, ITEMS};

/// Rooms on a page, unless fewer are asked for.
const PAGE: usize = 200;
/// Records that are read at a time.
const SLICE: usize = 200;

/// The node under which an occupant finds the nick that is kept for it (XEP-0045 §7.12).
const RESERVED_NICK: &str = "x-roomuser-item";

fn node(call: &Call<'_>) -> Option<String> {
    let payload = call.entity.stanza.payload()?.parse();
    let node = payload.root().attr("node").map(|n| n.into_owned());
    node.filter(|node| !node.is_empty())
}

/// What a room is.
pub(super) fn info(call: &Call<'_>) -> Routed {
    let cx = call.entity;
    let state = call.room.lock();
    let mut w = XmlWriter::new();
    w.start("query").attr("xmlns", INFO);
    match node(call).as_deref() {
        None => write_info(call, &state, &mut w),
        Some(RESERVED_NICK) => {
            w.attr("node", RESERVED_NICK);
            let enrolled = state.roll.get(cx.from.bare_str());
            if let Some(nick) = enrolled.and_then(|e| e.nick.as_deref()) {
                w.leaf(
                    "identity",
                    &[("category", "conference"), ("name", nick), ("type", "text")],
                );
            }
        }
        Some(_) => {
            cx.refuse(&StanzaError::item_not_found());
            return Routed::Done;
        }
    }
    w.end();
    cx.answer(&w.finish());
    Routed::Done
}

fn write_info(call: &Call<'_>, state: &State, w: &mut XmlWriter) {
    let name = match state.config.name.as_str() {
        "" => call.room.jid.local().unwrap_or_default(),
        name => name,
    };
    w.leaf(
        "identity",
        &[("category", "conference"), ("name", name), ("type", "text")],
    );
    let mut features: BTreeSet<&'static str> = [
        MUC,
        INFO,
        ITEMS,
        NS_INFO,
        "http://jabber.org/protocol/muc#stable_id",
        "http://jabber.org/protocol/muc#request",
        "urn:xmpp:ping",
    ]
    .into();
    features.extend(state.config.features());
    for feature in call.core.features.iter() {
        feature.disco(state, &mut features);
    }
    for feature in features {
        w.leaf("feature", &[("var", feature)]);
    }
    let subject = subject_text(state);
    let contacts: Vec<BareJid> = match state.config.whois {
        super::config::Whois::Anyone => owners(state),
        super::config::Whois::Moderators => Vec::new(),
    };
    let mut form = state.config.info_form(Info {
        occupants: state.occupants.len(),
        subject: subject.as_deref(),
        contacts: &contacts,
    });
    for feature in call.core.features.iter() {
        form = feature.info(state, call.entity.server.now_ms(), form);
    }
    form.write(w);
}

fn owners(state: &State) -> Vec<BareJid> {
    let owners = state.roll.iter();
    let owners = owners.filter(|(_, e)| e.affiliation == Affiliation::Owner);
    owners.map(|(jid, _)| jid.clone()).collect()
}

/// The subject in the first language that it has.
pub(super) fn subject_text(state: &State) -> Option<String> {
    let xml = [b"<s>".as_slice(), &state.subject.xml, b"</s>"].concat();
    let xml = OwnedElement::parse(&xml, "").ok()?;
    let subject = xml.root().first_child()?;
    Some(subject.text().into_owned()).filter(|s| !s.is_empty())
}

/// Who is in a room, as far as one may know.
pub(super) fn items(call: &Call<'_>) -> Routed {
    let cx = call.entity;
    if node(call).is_some() {
        cx.refuse(&StanzaError::item_not_found());
        return Routed::Done;
    }
    let state = call.room.lock();
    let mut w = XmlWriter::new();
    w.start("query").attr("xmlns", ITEMS);
    // XEP-0045 §6.5: those who are in the room see who else is; of a hidden or closed room nobody else does.
    let standing = state.standing(cx.from);
    let is_here = state.occupants.of(cx.from).is_some();
    let open = state.config.public && !state.config.members_only;
    if is_here || open || standing.affiliation >= Affiliation::Member {
        for occupant in state
            .occupants
            .iter()
            .filter(|o| is_here || state.shows(o.role))
        {
            w.leaf("item", &[("jid", occupant.jid.as_str())]);
        }
    }
    w.end();
    cx.answer(&w.finish());
    Routed::Done
}

/// A public room of a service.
pub(super) struct Listed {
    /// The localpart of its address.
    pub(super) local: String,
    /// How it is configured.
    pub(super) config: RoomConfig,
    /// How many are there.
    pub(super) occupants: usize,
}

impl Listed {
    /// What people call it.
    pub(super) fn name(&self) -> &str {
        match self.config.name.as_str() {
            "" => &self.local,
            name => name,
        }
    }
}

/// The rooms of a service: those that are public, a page of them (XEP-0045 §6.3).
pub(super) async fn rooms(core: &Arc<Core>, cx: IqCx<'_>, page: Option<RsmRequest>) -> IqResult {
    let all = listed(core, &cx).await?;
    let mut w = XmlWriter::new();
    w.start("query").attr("xmlns", ITEMS);
    let write = |w: &mut XmlWriter, room: &Listed| {
        let jid = format!("{}@{}", room.local, core.domain);
        w.leaf("item", &[("jid", &jid), ("name", room.name())]);
    };
    match page {
        None if all.len() <= PAGE => all.iter().for_each(|room| write(&mut w, room)),
        page => {
            let request = page.unwrap_or(RsmRequest {
                max: None,
                page: Page::First,
            });
            let (range, result) = request.choose(&all, PAGE as u32, |room| &room.local)?;
            all[range].iter().for_each(|room| write(&mut w, room));
            result.write(&mut w);
        }
    }
    w.end();
    Ok(Reply::Payload(w.finish()))
}

/// All public rooms, by address: those in memory, and those that are kept.
pub(super) async fn listed(core: &Arc<Core>, cx: &IqCx<'_>) -> Result<Vec<Listed>, StanzaError> {
    // Those in memory say for themselves; nothing else is kept of temporary ones.
    let mut all: BTreeMap<String, Option<Listed>> = BTreeMap::new();
    for room in core.service(cx.server).all() {
        let state = room.lock();
        let local = room.jid.local().unwrap_or_default().to_owned();
        let shown = state.config.public && !state.locked && !state.gone;
        let listed = shown.then(|| Listed {
            local: local.clone(),
            config: state.config.clone(),
            occupants: state.occupants.len(),
        });
        all.insert(local, listed);
    }
    let mut after: Option<String> = None;
    loop {
        let slice = cx
            .store()
            .list_after(&records::ROOM, &core.domain, after.as_deref(), SLICE);
        let slice = slice.await.map_err(|e| store_failure(&e))?;
        let full = slice.len() == SLICE;
        after = slice.last().map(|(local, _)| local.clone());
        for (local, record) in slice {
            if all.contains_key(&local) {
                continue;
            }
            let config = records::read_config(&record).filter(|config| config.public);
            let listed = config.map(|config| Listed {
                local: local.clone(),
                config,
                occupants: 0,
            });
            all.insert(local, listed);
        }
        if !full {
            break;
        }
    }
    Ok(all.into_values().flatten().collect())
}
