//! Nodes of an account and their items, both ways.

use std::collections::BTreeMap;

use tercet_core::forms::{self, Field, Form, FormKind};
use tercet_core::{BareJid, Element, Jid, XmlWriter};
use tercet_store::Batch;

use crate::pubsub::config::{Access, NodeConfig};
use crate::pubsub::node::{Affiliation, Entry, Member, State, Subscribed};
use crate::pubsub::options::Options;
use crate::pubsub::records::{self, ACCOUNTS};
use crate::pubsub::xml::MAX_ID;

/// The most nodes of one account.
const NODES: usize = 10_000;
/// The most people on all their lists.
const MEMBERS: usize = 100_000;

/// The nodes of an account that is brought in.
#[derive(Debug)]
pub(super) struct Nodes {
    account: BareJid,
    now_ms: u64,
    nodes: BTreeMap<String, Coming>,
    members: usize,
}

/// One of them.
#[derive(Debug)]
struct Coming {
    config: NodeConfig,
    members: BTreeMap<BareJid, Member>,
    items: u64,
    bytes: u64,
}

impl Nodes {
    pub(super) fn new(account: BareJid, now_ms: u64) -> Nodes {
        Nodes {
            account,
            now_ms,
            nodes: BTreeMap::new(),
            members: 0,
        }
    }

    fn node(&mut self, name: &str) -> Result<&mut Coming, String> {
        if name.is_empty() || name.len() > MAX_ID {
            return Err(format!("a node's name has 1 to {MAX_ID} bytes"));
        }
        if self.nodes.len() >= NODES && !self.nodes.contains_key(name) {
            return Err(format!("more than {NODES} nodes"));
        }
        Ok(self.nodes.entry(name.to_owned()).or_insert_with(|| Coming {
            config: NodeConfig::personal(),
            members: BTreeMap::new(),
            items: 0,
            bytes: 0,
        }))
    }

    pub(super) fn configure(&mut self, name: &str, el: Element<'_>) -> Result<(), String> {
        let node = self.node(name)?;
        let Some(x) = el.child("x", forms::NS) else {
            return Ok(());
        };
        let form = Form::parse(x).map_err(|_| "a form that cannot be read")?;
        let mut bad = Vec::new();
        for field in form.fields {
            let Some(var) = field.var.clone().filter(|var| var != forms::FORM_TYPE) else {
                continue;
            };
            if let Err(fault) = set(&mut node.config, field) {
                bad.push(fault);
                // XEP-0227 §4.9: what keeps a node safe is not ignored: nobody reads it until its owner says who may.
                if var == "pubsub#access_model" {
                    node.config.access = Access::Whitelist;
                }
            }
        }
        match bad.is_empty() {
            true => Ok(()),
            false => Err(format!("settings of {name}: {}", bad.join("; "))),
        }
    }

    pub(super) fn affiliations(&mut self, name: &str, el: Element<'_>) -> Result<(), String> {
        let mut bad = 0;
        for one in el.children() {
            let jid = one.attr("jid").and_then(|jid| Jid::parse(&jid).ok());
            let affiliation = one.attr("affiliation");
            let affiliation = affiliation.and_then(|name| Affiliation::from_name(&name));
            match jid.zip(affiliation) {
                // The user of an account is not in the lists of its nodes.
                Some((jid, _)) if jid.bare_str() == self.account.as_str() => {}
                Some((jid, affiliation)) => {
                    self.member(name, &jid.to_bare())?.affiliation = affiliation;
                }
                None => bad += 1,
            }
        }
        told(bad, "affiliations")
    }

    pub(super) fn subscriptions(&mut self, name: &str, el: Element<'_>) -> Result<(), String> {
        let mut bad = 0;
        for one in el.children() {
            let jid = one.attr("jid").and_then(|jid| Jid::parse(&jid).ok());
            let options = one.children().find(|child| child.name() == "options");
            let options = options.and_then(|el| el.child("x", forms::NS)).map(|x| {
                let form = Form::parse(x).map_err(drop)?;
                let known = Options::default();
                known.submitted(&form, self.now_ms).map_err(drop)
            });
            // Prosody writes the state into an attribute of another name.
            let state = one.attr("subscription").or_else(|| one.attr("subscribed"));
            let state = match state.as_deref() {
                Some("subscribed") => Some(Subscribed::Yes),
                Some("pending") => Some(Subscribed::Pending),
                _ => None,
            };
            match jid.zip(state) {
                Some((jid, state)) => {
                    let member = self.member(name, &jid.to_bare())?;
                    member.set_subscription(&jid, Some(state));
                    match options {
                        Some(Ok(options)) => member.set_options(&jid, options),
                        Some(Err(())) => bad += 1,
                        None => {}
                    }
                }
                None => bad += 1,
            }
        }
        told(bad, "subscriptions")
    }

    fn member(&mut self, name: &str, jid: &BareJid) -> Result<&mut Member, String> {
        if self.members >= MEMBERS {
            return Err(format!("more than {MEMBERS} people on lists of nodes"));
        }
        self.members += 1;
        Ok(self.node(name)?.members.entry(jid.clone()).or_default())
    }

    pub(super) fn item(
        &mut self,
        name: &str,
        el: Element<'_>,
        batch: &mut Batch,
    ) -> Result<(), String> {
        let account = self.account.clone();
        let at_ms = self.now_ms;
        let id = el.attr("id").filter(|id| !id.is_empty());
        let id = id.filter(|id| id.len() <= MAX_ID);
        let id = id.ok_or_else(|| format!("an item's id has 1 to {MAX_ID} bytes"))?;
        let mut children = el.children();
        let (payload, more) = (children.next(), children.next());
        if more.is_some() {
            return Err("an item has one payload".into());
        }
        let mut xml = Vec::new();
        if let Some(payload) = payload {
            payload.to_xml(&mut xml);
        }
        let publisher = el.attr("publisher");
        let publisher = publisher.and_then(|jid| Jid::parse(&jid).ok());
        let publisher = publisher.as_ref().map_or(account.as_str(), Jid::as_str);
        let node = self.node(name)?;
        node.items += 1;
        let bytes = u32::try_from(xml.len()).map_err(|_| "too big")?;
        node.bytes += u64::from(bytes);
        let entry = Entry {
            id: (*id).into(),
            number: node.items,
            at_ms,
            publisher: publisher.into(),
            bytes,
        };
        records::put_item(batch, &ACCOUNTS, account.as_str(), name, &entry, xml);
        Ok(())
    }

    /// Writes the nodes themselves, and their lists.
    pub(super) fn finish(self, batch: &mut Batch) {
        let owner = self.account.as_str();
        for (name, node) in self.nodes {
            let state = State::new(node.config, self.now_ms);
            records::put_node(batch, &ACCOUNTS, owner, &name, &state, node.bytes);
            for (jid, member) in &node.members {
                records::put_member(batch, &ACCOUNTS, owner, &name, jid, member);
            }
        }
    }
}

/// Takes one setting, if it is one of ours. What others have besides is not missed here.
fn set(config: &mut NodeConfig, field: Field) -> Result<(), String> {
    let fault = format!(
        "{} = {:?}",
        field.var.as_deref().unwrap_or_default(),
        field.values.join("\n")
    );
    let mut form = Form::empty(FormKind::Submit);
    form.fields.push(field);
    *config = config.submitted(&form, u32::MAX).map_err(|_| fault)?;
    Ok(())
}

fn told(bad: usize, what: &str) -> Result<(), String> {
    match bad {
        0 => Ok(()),
        bad => Err(format!("{bad} {what} that are none")),
    }
}

/// Writes what the owner has said of a node.
pub(super) fn write_settings(name: &str, state: &State, w: &mut XmlWriter) {
    w.start("configure").attr("node", name);
    let mut form = state.config.told();
    form.kind = FormKind::Submit;
    form.write(w);
    w.end();
    let named = |member: &&Member| member.affiliation != Affiliation::None;
    if state.members.values().any(|member| named(&member)) {
        w.start("affiliations").attr("node", name);
        for (jid, member) in state.members.iter().filter(|(_, member)| named(member)) {
            let affiliation = member.affiliation.as_str();
            let attributes = [("jid", jid.as_str()), ("affiliation", affiliation)];
            w.leaf("affiliation", &attributes);
        }
        w.end();
    }
    let subscriptions = || state.members.values().flat_map(|m| &m.subscriptions);
    if subscriptions().next().is_some() {
        w.start("subscriptions").attr("node", name);
        for one in subscriptions() {
            w.start("subscription")
                .attr("jid", one.jid.as_str())
                .attr("subscription", one.state.as_str());
            if one.options != Options::default() {
                let mut form = one.options.told();
                form.kind = FormKind::Submit;
                w.start("options");
                form.write(w);
                w.end();
            }
            w.end();
        }
        w.end();
    }
}

/// Writes an item.
pub(super) fn write_item(entry: &Entry, payload: &[u8], w: &mut XmlWriter) {
    w.start("item").attr("id", &entry.id);
    w.attr("publisher", &entry.publisher);
    w.raw(payload).end();
}
