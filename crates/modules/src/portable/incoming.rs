//! From the pieces of an account to what is written for it. What an account may have without end (messages, items) goes into a
//! batch at once; the rest is gathered, within bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tercet_core::{
    BareJid, Element, Head, Jid, OwnedElement, PresenceType, Stanza, StanzaError, StanzaKind,
    delay, time,
};
use tercet_server::module::Payload;
use tercet_server::roster::{Item, Roster};
use tercet_store::{ArchiveEntry, Batch, Store};
use tercet_stream::sasl::{Credentials, ScramHash, ScramKeys};

use super::nodes::Nodes;
use super::{NS_SCRAM, Piece, Section, privacy};
use crate::blocking::BLOCKED;
use crate::mam::{self, ARCHIVE, ARCHIVE_PREFS, SetPrefs};
use crate::offline::OFFLINE;
use crate::private::PRIVATE;
use crate::vcard::VCARD;

/// The most contacts of one account.
const CONTACTS: usize = 20_000;
/// The most PBKDF2 rounds that keys may have: a login is not to keep a core busy for long.
const ROUNDS: u32 = 1_000_000;

/// An account that is being brought in.
#[derive(Debug)]
pub struct Incoming {
    account: BareJid,
    now_ms: u64,
    keys: Vec<ScramKeys>,
    contacts: BTreeMap<BareJid, Item>,
    blocked: BTreeSet<String>,
    nodes: Nodes,
    /// The id of the archive's newest message.
    archived: u64,
}

impl Incoming {
    /// An account without anything, at this time.
    pub fn new(account: BareJid, now_ms: u64) -> Incoming {
        Incoming {
            nodes: Nodes::new(account.clone(), now_ms),
            account,
            now_ms,
            keys: Vec::new(),
            contacts: BTreeMap::new(),
            blocked: BTreeSet::new(),
            archived: 0,
        }
    }

    /// Takes a piece; some of it may go into `batch`.
    ///
    /// # Errors
    /// Why it, or some of it, cannot be taken, in words for people.
    pub fn take(&mut self, piece: &Piece, batch: &mut Batch) -> Result<(), String> {
        let element = OwnedElement::parse(piece.xml.as_bytes(), "");
        let element = element.map_err(|error| error.to_string())?;
        let element = element.root();
        let node = piece.node.as_deref().unwrap_or_default();
        match piece.section {
            Section::Credentials => self.credentials(element),
            Section::Contact => self.contact(element),
            Section::Request => self.request(&piece.xml),
            Section::Card => {
                batch.put(&VCARD, self.account.as_str(), "", piece.xml.as_bytes());
                Ok(())
            }
            Section::Private => self.private(element, &piece.xml, batch),
            Section::Privacy => privacy::read(element, &mut self.blocked),
            Section::Blocked => self.blocked(element),
            Section::ArchivePrefs => {
                SetPrefs::parse(element).map_err(|_| "no preferences of XEP-0441")?;
                let owner = self.account.as_str();
                batch.put(&ARCHIVE_PREFS, owner, "", piece.xml.as_bytes());
                Ok(())
            }
            Section::Offline => self.offline(&piece.xml, batch),
            Section::Node => self.nodes.configure(node, element),
            Section::Affiliations => self.nodes.affiliations(node, element),
            Section::Subscriptions => self.nodes.subscriptions(node, element),
            Section::Item => self.nodes.item(node, element, batch),
            Section::Archived => self.archived(element, batch),
        }
    }

    /// Puts what was gathered into `batch`. Gives the keys that came.
    pub fn finish(mut self, batch: &mut Batch) -> Option<Credentials> {
        let mut roster = Roster::default();
        for (jid, item) in std::mem::take(&mut self.contacts) {
            roster.set(&self.account, &jid, item, batch);
        }
        for jid in &self.blocked {
            batch.put(&BLOCKED, self.account.as_str(), jid, Vec::new());
        }
        self.nodes.finish(batch);
        Credentials::of(self.keys)
    }

    fn credentials(&mut self, el: Element<'_>) -> Result<(), String> {
        let mechanism = el.attr("mechanism").unwrap_or_default();
        let hash = match &*mechanism {
            "SCRAM-SHA-1" => ScramHash::Sha1,
            "SCRAM-SHA-256" => ScramHash::Sha256,
            other => return Err(format!("{other:?} is no mechanism of this server")),
        };
        if self.keys.iter().any(|keys| keys.hash() == hash) {
            // XEP-0227 §4.3: one of each mechanism.
            return Err(format!("there were keys of {mechanism} before"));
        }
        let text = |name: &str| el.child(name, NS_SCRAM).map(|child| child.text());
        let bytes = |name: &str| {
            let text = text(name).ok_or_else(|| format!("no <{name}/>"))?;
            BASE64
                .decode(text.trim())
                .map_err(|_| format!("<{name}/> is not in base64"))
        };
        let rounds = text("iter-count").and_then(|text| text.trim().parse::<NonZeroU32>().ok());
        let rounds = rounds
            .filter(|rounds| rounds.get() <= ROUNDS)
            .ok_or_else(|| format!("<iter-count/> is no number from 1 to {ROUNDS}"))?;
        let mut parts = [bytes("salt")?, bytes("stored-key")?, bytes("server-key")?];
        if parts[1].len() != hash.digest_len()
            && let [Ok(salt), Ok(stored), Ok(server)] = parts.each_ref().map(|p| BASE64.decode(p))
        {
            // ejabberd (23.01 was seen to) writes in base64 what it keeps in base64.
            parts = [salt, stored, server];
        }
        let [salt, stored, server] = &parts;
        let keys = ScramKeys::new(hash, salt, rounds, stored, server);
        self.keys.push(keys.map_err(|error| error.to_string())?);
        Ok(())
    }

    fn contact(&mut self, el: Element<'_>) -> Result<(), String> {
        let (jid, name, groups) = Item::parse(el).map_err(|error| error.to_string())?;
        if jid == self.account {
            return Err("the account itself".into());
        }
        let item = self.entry(&jid)?;
        let subscription = el.attr("subscription");
        let (to, from) = match subscription.as_deref() {
            None | Some("none") => (false, false),
            Some("to") => (true, false),
            Some("from") => (false, true),
            Some("both") => (true, true),
            Some(other) => return Err(format!("{other:?} is no subscription")),
        };
        item.name = name;
        item.groups = groups;
        item.in_roster = true;
        item.subscription.to = to;
        item.subscription.from = from;
        item.subscription.ask = !to && el.attr("ask").as_deref() == Some("subscribe");
        let approved = el.attr("approved");
        item.subscription.approved = !from && matches!(approved.as_deref(), Some("true" | "1"));
        if from {
            item.subscription.pending = false;
            item.request = None;
        }
        Ok(())
    }

    fn request(&mut self, xml: &str) -> Result<(), String> {
        let presence = stanza(xml, StanzaKind::Presence)?;
        if presence.presence_type() != Some(PresenceType::Subscribe) {
            return Err("no request".into());
        }
        let from = presence.from().ok().flatten().map(Jid::to_bare);
        let from = from.ok_or("a request without the address of whose it is")?;
        let account = self.account.clone();
        let item = self.entry(&from)?;
        if from == account || item.subscription.from {
            return Err("a request of somebody who need not ask".into());
        }
        let mut request = Vec::new();
        let head = Head {
            from: Some(from.as_str()),
            to: Some(account.as_str()),
            ..Head::default()
        };
        presence.write(&mut request, head);
        item.subscription.pending = true;
        item.request = Some(request);
        Ok(())
    }

    /// The contact of that name, new or not.
    fn entry(&mut self, jid: &BareJid) -> Result<&mut Item, String> {
        if self.contacts.len() >= CONTACTS && !self.contacts.contains_key(jid) {
            return Err(format!("more than {CONTACTS} contacts"));
        }
        Ok(self.contacts.entry(jid.clone()).or_default())
    }

    fn private(&self, el: Element<'_>, xml: &str, batch: &mut Batch) -> Result<(), String> {
        if el.ns().is_empty() {
            return Err("private data without a namespace".into());
        }
        let key = format!("{} {}", el.ns(), el.name());
        if key.len() > tercet_store::MAX_KEY_BYTES {
            return Err("a name that is too long".into());
        }
        batch.put(&PRIVATE, self.account.as_str(), &key, xml.as_bytes());
        Ok(())
    }

    fn blocked(&mut self, el: Element<'_>) -> Result<(), String> {
        let mut bad = 0;
        for item in el.children() {
            match item.attr("jid").and_then(|jid| Jid::parse(&jid).ok()) {
                Some(jid) => drop(self.blocked.insert(jid.as_str().to_owned())),
                None => bad += 1,
            }
        }
        match bad {
            0 => Ok(()),
            bad => Err(format!("{bad} addresses that are none")),
        }
    }

    fn offline(&self, xml: &str, batch: &mut Batch) -> Result<(), String> {
        let message = stanza(xml, StanzaKind::Message)?;
        let stamps = message.children().filter(|c| c.is("delay", delay::NS));
        let stamps = stamps.filter_map(|c| stamp(c.parse().root()));
        let at_ms = stamps.max().unwrap_or(self.now_ms).min(self.now_ms);
        let value = self.written(&message, None)?;
        batch.append(&OFFLINE, self.account.as_str(), at_ms, value);
        Ok(())
    }

    fn archived(&mut self, result: Element<'_>, batch: &mut Batch) -> Result<(), String> {
        const FORWARD: &str = "urn:xmpp:forward:0";
        let forwarded = result.child("forwarded", FORWARD);
        let forwarded = forwarded.ok_or("no <forwarded/>")?;
        let at_ms = forwarded.child("delay", delay::NS).and_then(stamp);
        let at_ms = at_ms.ok_or("no time")?.min(self.now_ms);
        let message = forwarded.child("message", tercet_core::ns::CLIENT);
        let mut xml = Vec::new();
        message.ok_or("no <message/>")?.to_xml(&mut xml);
        let message = stanza(&String::from_utf8_lossy(&xml), StanzaKind::Message)?;
        // Results have it inside other namespaces.
        let value = self.written(&message, Some(tercet_core::ns::CLIENT))?;
        let own = |jid: &&Jid| jid.bare_str() == self.account.as_str();
        let from = message.from().ok().flatten();
        let to = message.to().ok().flatten();
        // The other end; none in what users send to themselves.
        let peer = from.filter(|from| !own(from)).or(to);
        let peer = peer.map_or_else(|| self.account.clone().into(), Clone::clone);
        let id = result.attr("id");
        let id = id.as_deref().and_then(mam::read_id);
        // An id that tells the time, to the second, is one of such a server as this one: clients know the message by it.
        let id = id.filter(|id| Store::archive_time(*id) / 1000 == at_ms / 1000);
        let id = id.unwrap_or_else(|| Store::archive_id_from(at_ms).max(1));
        self.archived = id.max(self.archived + 1);
        let entry = ArchiveEntry {
            id: self.archived,
            peer: peer.bare_str().to_owned(),
            part: peer.resource().unwrap_or_default().to_owned(),
            value: Arc::from(value),
        };
        batch.archive(&ARCHIVE, self.account.as_str(), entry);
        Ok(())
    }

    /// A message as the server would have kept it.
    fn written(&self, message: &Stanza, xmlns: Option<&str>) -> Result<Vec<u8>, String> {
        let address = |jid: Result<Option<&Jid>, StanzaError>| match jid {
            Ok(jid) => Ok(jid.map(|jid| jid.as_str().to_owned())),
            Err(_) => Err("a message with an address that is none"),
        };
        let own = || self.account.as_str().to_owned();
        let from = address(message.from())?.unwrap_or_else(own);
        let to = address(message.to())?.unwrap_or_else(own);
        let mut value = Vec::new();
        let head = Head {
            from: Some(&from),
            to: Some(&to),
            xmlns,
            ..Head::default()
        };
        message.write(&mut value, head);
        Ok(value)
    }
}

fn stanza(xml: &str, kind: StanzaKind) -> Result<Stanza, String> {
    let stanza = Stanza::parse(xml.as_bytes()).ok();
    let stanza = stanza.filter(|stanza| stanza.kind() == kind);
    stanza.ok_or_else(|| format!("no {}", kind.as_str()))
}

/// The time of a `<delay/>`, in milliseconds since 1970.
fn stamp(delay: Element<'_>) -> Option<u64> {
    let at = delay.attr("stamp").and_then(|stamp| time::parse(&stamp));
    at.and_then(|at| u64::try_from(at).ok())
}
