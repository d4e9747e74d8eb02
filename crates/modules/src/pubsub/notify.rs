//! Who hears of what happens at a node (XEP-0060 §12.3, XEP-0163 §4): one message, serialised once.

use std::collections::HashSet;
use std::sync::Arc;

use tercet_core::{BareJid, Jid, Stanza, StanzaError, XmlWriter, ns};
use tercet_server::{Fanout, Session};

use super::access::may_read;
use super::config::NodeConfig;
use super::node::{Member, Node, State, Subscribed};
use super::options::Options;
use super::pep::{Clients, clients};
use super::place::Place;
use super::xml::NS_EVENT;
use crate::blocking::BlockList;

/// The message in which `event`, a child of `<event/>`, is told; `more` comes behind.
pub fn message(place: &Place, config: &NodeConfig, event: &[u8], more: &[u8]) -> Stanza {
    let id = super::create::fresh_id(place);
    let mut w = XmlWriter::new();
    w.start("message")
        .attr("xmlns", ns::CLIENT)
        .attr("from", place.jid.as_str())
        .attr(
            "type",
            if config.headline {
                "headline"
            } else {
                "normal"
            },
        )
        .attr("id", &id);
    w.start("event").attr("xmlns", NS_EVENT);
    w.raw(event).end();
    w.raw(more).end();
    Stanza::parse(&w.finish())
        .expect("payloads were parsed before, and what is around them is ours")
}

/// Tells everybody who is to hear of it. The caller holds the node's `changing`, so that all hear of everything in one order.
pub async fn tell(place: &Place, node: &Node, event: &[u8]) -> Result<(), StanzaError> {
    let (config, explicit) = {
        let state = node.lock();
        if !state.config.notify {
            return Ok(());
        }
        (state.config.clone(), subscribed(&state))
    };
    if place.account.is_none() && explicit.is_empty() {
        return Ok(());
    }
    // XEP-0060 §6.1.3: who has lost what opened the node hears no more of it.
    let hosts = place.hosts_of(node).await?;
    let explicit = explicit.into_iter().filter(|(jid, _)| {
        let asker = place.asker_among(node, &hosts, jid);
        may_read(&config, asker).is_ok()
    });
    let explicit: Vec<(Jid, Options)> = explicit.collect();
    let message = message(place, &config, event, &[]);
    let shared = message.share(Some(place.jid.as_str()), None);
    let mut out = place.server.fan_out(&place.jid, &message);
    let mut told: HashSet<Jid> = HashSet::new();
    let note = !explicit.is_empty();
    let clients = clients(&place.server);
    for bare in contacts(place, node, &config) {
        for session in interested(place, &clients, &bare, &node.name) {
            // Whether it is still there does not matter.
            let _ = out.share(session.jid(), Some(&session), &shared);
            if note {
                told.extend([session.jid().to_bare().into(), Jid::clone(session.jid())]);
            }
        }
        if let Some(whole) = place.whole() {
            for jid in whole.remotes.interested(bare.as_str(), &node.name) {
                let _ = out.share(&jid, None, &shared);
                if note {
                    told.extend([jid.to_bare().into(), jid]);
                }
            }
        }
    }
    for (jid, options) in explicit {
        // XEP-0163 §4.3.2: who hears of it anyway hears of it once.
        if !told.contains(&jid) && !blocks(place, &jid) {
            let wanted = Wanted {
                waits: !config.headline && !config.online_only,
                options,
            };
            hand(place, &mut out, &jid, wanted, |to, session, out| {
                let _ = out.share(to, session, &shared);
            });
        }
    }
    Ok(())
}

/// How something is handed to a subscribed address.
#[derive(Clone, Copy)]
struct Wanted {
    /// It waits for who is not there.
    waits: bool,
    /// What the subscriber wants.
    options: Options,
}

/// Sends one message to one subscribed address.
pub fn send(place: &Place, message: &Stanza, jid: &Jid, options: Options) {
    let shared = message.share(Some(place.jid.as_str()), None);
    let mut out = place.server.fan_out(&place.jid, message);
    if blocks(place, jid) || !options.deliver {
        return;
    }
    // The last item is for those who are there.
    let wanted = Wanted {
        waits: false,
        options,
    };
    hand(place, &mut out, jid, wanted, |to, session, out| {
        let _ = out.share(to, session, &shared);
    });
}

/// Hands something to the sessions of this server behind a subscribed address, or sends it to its server.
fn hand(
    place: &Place,
    out: &mut Fanout<'_>,
    jid: &Jid,
    wanted: Wanted,
    mut give: impl FnMut(&Jid, Option<&Arc<Session>>, &mut Fanout<'_>),
) {
    let here = place.server.host(jid.domain());
    if jid.local().is_none() || here.is_none_or(|host| !host.has_accounts()) {
        return give(jid, None, out);
    }
    // XEP-0060 §6.3.3: in the states of presence that the subscriber has chosen.
    let options = wanted.options;
    let fits = |presence: Option<&Arc<Stanza>>| presence.map(|p| options.takes(p));
    if jid.is_full() {
        // Who has gone hears nothing.
        if let Some(session) = place.server.session(jid) {
            let shown = || {
                sessions(place, jid.bare_str(), |r| {
                    Arc::ptr_eq(&r.session, &session) && fits(r.presence.as_ref()) == Some(true)
                })
            };
            if options.always() || !shown().is_empty() {
                give(jid, Some(&session), out);
            }
        }
        return;
    }
    // RFC 6121 §8.5.2.1.1: to all available resources with a priority that is not negative.
    let sessions = sessions(place, jid.bare_str(), |r| {
        r.takes_messages() && fits(r.presence.as_ref()) == Some(true)
    });
    if sessions.is_empty() && wanted.waits && options.always() {
        // What is no headline waits for its addressee.
        return give(jid, None, out);
    }
    for session in sessions {
        give(jid, Some(&session), out);
    }
}

type Sessions = Vec<Arc<Session>>;

fn sessions(
    place: &Place,
    bare: &str,
    which: impl Fn(&tercet_server::account::Resource) -> bool,
) -> Sessions {
    let Some(account) = place.server.loaded_account(bare) else {
        return Sessions::new();
    };
    let state = account.lock();
    let chosen = state.resources.iter().filter(|r| which(r));
    chosen.map(|r| r.session.clone()).collect()
}

/// The sessions of a local account whose clients want to hear of the node.
fn interested(place: &Place, clients: &Clients, bare: &BareJid, node: &str) -> Sessions {
    let mut sessions = sessions(place, bare.as_str(), |r| r.is_available());
    sessions.retain(|session| clients.wants(session.jid(), node));
    sessions
}

fn subscribed(state: &State) -> Vec<(Jid, Options)> {
    let all = state.members.values().flat_map(|m| &m.subscriptions);
    let all = all.filter(|one| one.state == Subscribed::Yes && one.options.deliver);
    all.map(|one| (one.jid.clone(), one.options)).collect()
}

/// Whether the user of the account has blocked somebody (XEP-0163 §4.3.3: it is not told anything).
pub fn blocks(place: &Place, jid: &Jid) -> bool {
    let list = place.account.as_ref().and_then(|a| a.slot::<BlockList>());
    list.is_some_and(|list| list.blocks(jid))
}

/// XEP-0163 §4.1: the user of the account and those who are subscribed to its presence, as far as the node is open to them. Nobody
/// at a service.
fn contacts(place: &Place, node: &Node, config: &NodeConfig) -> Vec<BareJid> {
    use super::access::Asker;
    use super::config::Access;
    let Some(account) = &place.account else {
        return Vec::new();
    };
    let members = node.lock().members.clone();
    let basis = node.basis().map(|basis| basis.lock().members.clone());
    let state = account.lock();
    let list = account.slot::<BlockList>().filter(|list| !list.is_empty());
    let may = |jid: &&BareJid| {
        let own = members.get(jid.as_str());
        let listed = basis.as_ref().map_or(own, |all| all.get(jid.as_str()));
        let grouped = || {
            let item = state.roster.get(jid.as_str());
            item.is_some_and(|item| item.groups.iter().any(|g| config.allows_group(g)))
        };
        let asker = Asker {
            affiliation: listed.map(|member| member.affiliation).unwrap_or_default(),
            subscribed: own.or(listed).is_some_and(Member::is_subscribed),
            sees_presence: true,
            in_group: config.access == Access::Roster && grouped(),
        };
        may_read(config, asker).is_ok() && list.is_none_or(|list| !list.blocks(jid))
    };
    let mut all = vec![place.jid.clone()];
    all.extend(state.roster.subscribers().filter(may).cloned());
    all
}
