//! Last items for those who have come online, want to hear of more, or may hear of it from now on (XEP-0163 §4.3.4).

use std::sync::Arc;

use tercet_core::{Jid, OwnedElement, PresenceType, Stanza, XmlWriter};
use tercet_server::module::{AdmittedCx, Effect, IqKind, SessionCx, StanzaCx};
use tercet_server::{Account, Answered, Paced, Routed, Server, Session};

use super::caps::{Caps, Interests};
use super::clients::{Asked, Met};
use super::{Clients, clients};
use crate::disco;
use crate::pubsub::Core;
use crate::pubsub::access::may_read;
use crate::pubsub::config::SendLast;
use crate::pubsub::place::Place;
use crate::pubsub::shelf::Personal;
use crate::pubsub::{items, notify};

/// How long a client may take to say what its capabilities are, in milliseconds.
const PATIENCE_MS: u64 = 30_000;

/// A session has sent available presence.
pub fn presented(core: &Arc<Core>, cx: SessionCx<'_>, presence: &Stanza) {
    let clients = clients(cx.server);
    let jid = cx.session.jid();
    let caps = Caps::of(presence);
    match clients.meet(jid, caps.clone()) {
        Met::Nothing => {}
        Met::Known(now, before) => offer_all(cx.server, core, jid, now, before),
        Met::Unknown => {
            let asked = Asked {
                jid: Jid::clone(jid),
                by: None,
            };
            if let Some(caps) = caps {
                ask(cx.server, core, &clients, caps, asked);
            }
        }
    }
}

/// Presence from another server, for an account of this one.
pub fn met(core: &Arc<Core>, cx: &mut StanzaCx<'_>) {
    if cx.from.resource().is_none() || cx.server.host(cx.from.domain()).is_some() {
        return;
    }
    let Some(personal) = cx.account.slot::<Personal>() else {
        return;
    };
    let caps = match cx.stanza.presence_type() {
        Some(PresenceType::Available) => Caps::of(cx.stanza),
        Some(PresenceType::Unavailable) => None,
        _ => return,
    };
    // XEP-0163 §3.3: only those who are subscribed to the account's presence are interested without a subscription. A contact that
    // is not, so far, shows its presence before it is, and not once more.
    let bare = cx.from.bare_str();
    let contact = || {
        let subscription = cx.account.lock().roster.subscription(bare);
        subscription.from || subscription.to
    };
    let Some(caps) = caps.filter(|_| contact()) else {
        personal.remotes.forget(cx.from);
        return;
    };
    let clients = clients(cx.server);
    let known = clients.known(&caps);
    match personal.remotes.meet(cx.from, caps.clone(), known) {
        Met::Nothing => {}
        Met::Known(now, before) => {
            let (core, account, jid) = (core.clone(), cx.account.clone(), cx.from.clone());
            cx.effects.push(Effect::Later(Box::new(move |server| {
                offer_one(server, &core, account, jid, now, before);
                Routed::Done
            })));
        }
        Met::Unknown => {
            let asked = Asked {
                jid: cx.from.clone(),
                by: Some(cx.account.jid().clone()),
            };
            ask(cx.server, core, &clients, caps, asked);
        }
    }
}

/// Somebody may see the account's presence from now on.
pub fn admitted(core: &Arc<Core>, cx: AdmittedCx<'_>) {
    let clients = clients(cx.server);
    let mut known: Vec<(Jid, Arc<Interests>)> = Vec::new();
    if let Some(contact) = cx.server.loaded_account(cx.contact.as_str()) {
        let sessions = contact.lock();
        let jids = sessions.available().map(|r| r.session.jid());
        known.extend(jids.filter_map(|jid| Some((Jid::clone(jid), clients.interests(jid)?))));
    } else if let Some(personal) = cx.account.slot::<Personal>() {
        known = personal.remotes.of(cx.contact.as_str());
    }
    for (jid, interests) in known {
        offer_one(cx.server, core, cx.account.clone(), jid, interests, None);
    }
}

/// Asks a client about its capabilities, unless another one that has the same is being asked.
fn ask(server: &Arc<Server>, core: &Arc<Core>, clients: &Clients, caps: Caps, asked: Asked) {
    if clients.wait(&caps, asked.clone()) {
        let core = core.clone();
        server.at(server.now_ms(), move |server| {
            question(server, &core, caps, asked)
        });
    }
}

/// XEP-0115 §6.2: asks what is behind a hash.
fn question(server: &Arc<Server>, core: &Arc<Core>, caps: Caps, asked: Asked) -> Routed {
    let mut w = XmlWriter::new();
    w.leaf(
        "query",
        &[("xmlns", disco::INFO), ("node", &caps.question())],
    );
    // A contact answers those it knows.
    let from: Jid = match (&asked.by, Jid::parse(&core.domain)) {
        (Some(account), _) => account.clone().into(),
        (None, Ok(domain)) => domain,
        (None, Err(_)) => return Routed::Done,
    };
    let (core, to) = (core.clone(), asked.jid.clone());
    let then = move |server: &Arc<Server>, answered| {
        answer(server, &core, caps, asked, answered);
        Routed::Done
    };
    server.ask(IqKind::Get, &from, &to, &w.finish(), PATIENCE_MS, then)
}

fn answer(server: &Arc<Server>, core: &Arc<Core>, caps: Caps, asked: Asked, answered: Answered) {
    let clients = clients(server);
    let (query, lang): (Option<OwnedElement>, _) = match &answered {
        Answered::Result(stanza) => {
            let query = stanza.child("query", disco::INFO).map(|q| q.parse());
            (query, stanza.lang())
        }
        _ => (None, None),
    };
    let interests = query.as_ref().map(|q| Arc::new(Interests::of(q.root())));
    if let (Some(query), Some(interests)) = (&query, &interests)
        && caps.verify(query.root(), lang.as_deref())
    {
        for waiting in clients.verified(&caps, interests) {
            learned(server, core, &clients, &caps, waiting, interests);
        }
        return;
    }
    // XEP-0115 §5.4: what is not verified is true of its sender alone.
    if let Some(interests) = &interests {
        learned(server, core, &clients, &caps, asked.clone(), interests);
    }
    if let Some(next) = clients.in_vain(&caps, &asked) {
        let core = core.clone();
        server.at(server.now_ms(), move |server| {
            question(server, &core, caps, next)
        });
    }
}

/// What a client's capabilities mean is known now.
fn learned(
    server: &Arc<Server>,
    core: &Arc<Core>,
    clients: &Clients,
    caps: &Caps,
    asked: Asked,
    interests: &Arc<Interests>,
) {
    match asked.by {
        None => {
            if let Some(before) = clients.learn(&asked.jid, caps, interests) {
                offer_all(server, core, &asked.jid, interests.clone(), before);
            }
        }
        Some(account) => {
            let Some(account) = server.loaded_account(account.as_str()) else {
                return;
            };
            let personal = account.slot::<Personal>();
            let before = personal.and_then(|p| p.remotes.learn(&asked.jid, caps, interests));
            if let Some(before) = before {
                let interests = interests.clone();
                offer_one(server, core, account, asked.jid, interests, before);
            }
        }
    }
}

/// Sends a session the last items of its own account's nodes and of those of its contacts.
fn offer_all(
    server: &Arc<Server>,
    core: &Arc<Core>,
    jid: &Jid,
    now: Arc<Interests>,
    before: Option<Arc<Interests>>,
) {
    if now.is_empty() {
        return;
    }
    let (core, jid) = (core.clone(), jid.clone());
    server.at(server.now_ms(), move |server| {
        let server = server.clone();
        Routed::later(async move {
            let Some(session) = server.session(&jid) else {
                return;
            };
            let own = session.account().clone();
            let contacts: Vec<_> = own.lock().roster.subscriptions().cloned().collect();
            let mut offer = Offer {
                server: &server,
                core: &core,
                jid: &jid,
                now: &now,
                before: before.as_deref(),
            };
            let mut paced = Paced::new(session.outbox());
            let mut more = offer.of(&own, Some((&session, &mut paced))).await;
            for contact in contacts {
                if !more {
                    return;
                }
                // One that cannot be read is left out; the store has said why.
                if let Ok(Some(contact)) = server.account(&contact).await {
                    more = offer.of(&contact, Some((&session, &mut paced))).await;
                }
            }
        })
    });
}

/// Sends a client the last items of one account's nodes.
fn offer_one(
    server: &Arc<Server>,
    core: &Arc<Core>,
    account: Arc<Account>,
    jid: Jid,
    now: Arc<Interests>,
    before: Option<Arc<Interests>>,
) {
    if now.is_empty() {
        return;
    }
    let core = core.clone();
    server.at(server.now_ms(), move |server| {
        let server = server.clone();
        Routed::later(async move {
            let session = server.session(&jid);
            let mut offer = Offer {
                server: &server,
                core: &core,
                jid: &jid,
                now: &now,
                before: before.as_deref(),
            };
            match &session {
                Some(session) => {
                    let mut paced = Paced::new(session.outbox());
                    offer.of(&account, Some((session, &mut paced))).await;
                }
                None => {
                    offer.of(&account, None).await;
                }
            }
        })
    });
}

/// Last items for one client.
struct Offer<'a> {
    server: &'a Arc<Server>,
    core: &'a Arc<Core>,
    jid: &'a Jid,
    now: &'a Interests,
    before: Option<&'a Interests>,
}

impl Offer<'_> {
    /// Those of an account's nodes. False when the session has ended.
    async fn of(
        &mut self,
        account: &Arc<Account>,
        mut to: Option<(&Arc<Session>, &mut Paced<'_>)>,
    ) -> bool {
        let Some(place) = Place::personal(self.server, self.core, account) else {
            return true;
        };
        if notify::blocks(&place, self.jid) {
            return true;
        }
        // What cannot be read now comes with the next item.
        let Ok(Some(names)) = place.names().await else {
            return true;
        };
        for name in self.now.iter() {
            let is_new = self.before.is_none_or(|before| !before.has(name));
            if !is_new || names.binary_search_by(|of| (**of).cmp(name)).is_err() {
                continue;
            }
            let Ok(Some(message)) = self.last(&place, name).await else {
                continue;
            };
            let mut out = self.server.fan_out(&place.jid, &message);
            let shared = message.share(Some(place.jid.as_str()), None);
            match &mut to {
                Some((session, paced)) => {
                    if !out.is_wanted(session, &place.jid) {
                        continue;
                    }
                    let write = |out: &mut Vec<u8>| shared.write(out, Some(self.jid.as_str()));
                    if !paced.ready().await || !paced.push(write) {
                        return false;
                    }
                }
                None => {
                    // On its way to another server: what becomes of it is not known.
                    let _ = out.share(self.jid, None, &shared);
                }
            }
        }
        true
    }

    /// The message with the last item of one node, if the client gets it.
    async fn last(
        &self,
        place: &Place,
        name: &str,
    ) -> Result<Option<Stanza>, tercet_core::StanzaError> {
        let Some(node) = place.look(name).await? else {
            return Ok(None);
        };
        let asker = place.asker(&node, self.jid).await?;
        {
            let state = node.lock();
            let sent = state.config.send_last == SendLast::OnPresence && state.config.notify;
            let seen = asker.sees_presence || place.is_own(self.jid);
            if !sent || !seen || may_read(&state.config, asker).is_err() {
                return Ok(None);
            }
        }
        items::last(place, &node).await
    }
}
