//! What people of other servers may send to users who do not know them. No specification; what clients see are errors
//! and the commands of `aside`.
//!
//! Known to a user are those in the contact list, rooms and others whom the user has shown presence to, and the last 200 to
//! whom the user has written, or whose messages the user has accepted. Servers themselves, people of this one and what its components stand for are never strangers. Messages of
//! strangers are counted for each user and for each of their domains; they are delivered, refused or put aside by
//! `policy`. Of a user's entries so many are requests of strangers; further requests come to nothing.
//! A name without an account decides like a user who knows nobody, and what can't be told apart there is silent.

mod aside;
mod known;

pub use aside::ASIDE;
pub use known::KNOWN;

use std::sync::{Mutex, PoisonError};

use tercet_core::{ErrorType, Jid, MessageType, PresenceType, Stanza, StanzaError, StanzaKind};
use tercet_server::module::{
    Flow, Kinds, Module, OnStanza, Registrar, Side, Stage, StanzaCx, Target, UnknownCx, Xep,
};
use tercet_server::{HostInfo, Server};

use crate::due::Table;
use aside::Aside;
pub(crate) use known::{Known, knows};

const MINUTE_MS: u64 = 60_000;

/// What becomes of messages of strangers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// They are delivered.
    #[default]
    Allow,
    /// They are put aside; users look at them by a command of their client.
    Quarantine,
    /// They go back.
    Refuse,
}

/// The settings.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What becomes of their messages.
    pub policy: Policy,
    /// Messages of strangers for one user in a minute; as many may come at once. 0: as many as come.
    pub per_user: u32,
    /// Messages of strangers of one domain in a minute, for all users, likewise.
    pub per_domain: u32,
    /// Requests of strangers that wait for one user's answer.
    pub requests: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            policy: Policy::Allow,
            per_user: 60,
            per_domain: 600,
            requests: 200,
        }
    }
}

/// Stands between users and strangers.
pub struct Strangers {
    config: Config,
}

/// What strangers have sent to a host of late.
#[derive(Default)]
struct Tables(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    users: Table<String>,
    domains: Table<String>,
}

impl Module for Strangers {
    const NAME: &'static str = "strangers";
    const XEPS: &'static [Xep] = &[];
    type Config = Config;

    fn new(config: Config, host: &HostInfo) -> Self {
        let rate = |rate| if host.unpaced { 0 } else { rate };
        Strangers {
            config: Config {
                per_user: rate(config.per_user),
                per_domain: rate(config.per_domain),
                ..config
            },
        }
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.needs::<Known>();
        r.needs::<Aside>();
        let kinds = Kinds::MESSAGE | Kinds::PRESENCE;
        r.on(kinds, Side::Recipient, Stage::Policy)
            .silent("who is refused is told so");
        r.on(Kinds::MESSAGE, Side::Sender, Stage::Policy)
            .silent("it is the other half");
        if r.module().config.policy == Policy::Quarantine {
            for command in aside::commands() {
                r.provide(Target::Host, command)
                    .silent("commands are listed");
            }
        }
    }
}

impl OnStanza for Strangers {
    fn on_stanza(&self, cx: &mut StanzaCx<'_>) -> Flow {
        if !is_far(cx.server, cx.peer()) {
            return Flow::Continue;
        }
        if cx.side == Side::Sender {
            self.written(cx);
            return Flow::Continue;
        }
        if !is_addressed(cx.stanza) || knows(cx.account, cx.from) {
            return Flow::Continue;
        }
        if cx.stanza.kind() == StanzaKind::Presence {
            let state = cx.account.lock();
            let waits = state.roster.get(cx.from.bare_str()).is_some();
            return match waits || state.roster.strangers() < self.config.requests {
                true => Flow::Continue,
                // As at a name without an account.
                false => Flow::Drop,
            };
        }
        match self.judge(cx.server, cx.host.domain(), cx.from, cx.to) {
            Flow::Continue if self.config.policy == Policy::Quarantine => aside::put(cx),
            judged => judged,
        }
    }

    fn on_unknown(&self, cx: &UnknownCx<'_>) -> Flow {
        let message = cx.stanza.kind() == StanzaKind::Message;
        if !message || !is_addressed(cx.stanza) || !is_far(cx.server, cx.from) {
            return Flow::Continue;
        }
        self.judge(cx.server, cx.host.domain(), cx.from, cx.to)
    }
}

impl Strangers {
    /// The user writes to somebody, who is known from here on.
    fn written(&self, cx: &mut StanzaCx<'_>) {
        let bare = cx.peer().bare_str();
        // A room is known as long as the user is there, a contact as long as it is one.
        let counts = !matches!(
            cx.stanza.message_type(),
            MessageType::Error | MessageType::Groupchat
        );
        if let Some(known) = cx.account.slot::<Known>()
            && counts
            && !known::is_contact(cx.account, bare)
        {
            let now_ms = cx.server.now_ms();
            known.add(cx.account.jid(), bare, now_ms, cx.effects.keep());
        }
    }

    /// What becomes of a stranger's message, whether the name has an account or not.
    fn judge(&self, server: &Server, host: &str, from: &Jid, to: &Jid) -> Flow {
        if self.config.policy == Policy::Refuse {
            let text = "messages are taken from contacts only; ask to become one";
            return Flow::Bounce(
                StanzaError::policy_violation()
                    .kind(ErrorType::Cancel)
                    .text(text),
            );
        }
        let tables = server.kept(host, Tables::default);
        let mut counts = tables.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = server.now_ms();
        let Counts { users, domains } = &mut *counts;
        if !take(domains, from.domain(), self.config.per_domain, now)
            || !take(users, to.bare_str(), self.config.per_user, now)
        {
            let text = "too many messages from people who are no contacts; try again later";
            return Flow::Bounce(
                StanzaError::policy_violation()
                    .kind(ErrorType::Wait)
                    .text(text),
            );
        }
        Flow::Continue
    }
}

fn take(table: &mut Table<String>, who: &str, per_minute: u32, now_ms: u64) -> bool {
    match MINUTE_MS.checked_div(per_minute.into()) {
        Some(each_ms) => table.take(who, per_minute.into(), each_ms, now_ms),
        None => true,
    }
}

/// Whether somebody is a person of another server.
fn is_far(server: &Server, jid: &Jid) -> bool {
    let domain = jid.domain();
    jid.local().is_some() && server.host(domain).is_none() && !server.is_component(domain)
}

/// Whether a stanza is what strangers may not send as they like: a message that is neither an error nor a room's to its occupants,
/// or a request for presence.
pub(crate) fn is_addressed(stanza: &Stanza) -> bool {
    match stanza.kind() {
        StanzaKind::Message => !matches!(
            stanza.message_type(),
            MessageType::Error | MessageType::Groupchat
        ),
        StanzaKind::Presence => stanza.presence_type() == Some(PresenceType::Subscribe),
        StanzaKind::Iq => false,
    }
}
