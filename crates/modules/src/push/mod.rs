//! XEP-0357 Push Notifications 0.4.1: an app server is told that something has come for a device that is not connected, so that
//! it can wake it. Gaps: an app server that withdraws its permission by a message is noticed by the error to the next
//! notification.
//!
//! Woken is for messages that somebody waits for (`notable`): text, encrypted content, invitations, calls. A notification
//! says how many they are; who sent the last one and what it says only if the operator has switched that on. There is one
//! notification at a time for a device, and a pause after it; after failures pauses get longer, and an app server that says that
//! the device is gone is believed.
//!
//! Browsers are woken through their makers' push services (RFC 8030, RFC 8291, RFC 8292): the host is their app server ([`web`]).

mod device;
mod devices;
mod rules;
mod send;
pub mod web;
mod xml;

pub use device::Device;
pub use devices::Devices;
pub use send::{Trial, test};
pub use xml::{Disable, Enable};

use tercet_core::{BareJid, MessageType, Stanza, StanzaError, StanzaKind};
use tercet_server::module::{
    Coverage, Flow, IqCx, IqKind, IqResult, Kinds, Module, OnIq, OnSession, OnStanza, Registrar,
    Reply, SessionCx, Side, Stage, StanzaCx, Target, Xep, xep,
};
use tercet_server::{Account, HostInfo, Routed, Server};
use tercet_store::{Kind, Owner, StoreError};

use crate::notable::{Weight, is_encrypted, received_elsewhere, weight};
use xml::{NS, Summary};

/// The devices: one record each, by the name that the server gave.
pub static PUSH: Kind = Kind {
    name: "push",
    owner: Owner::Account,
    what: "the app servers that wake the user's devices, and what came of the last notifications",
};

/// How many devices one account may have.
const DEVICES: usize = 20;
/// Bytes of a message's text that a notification says.
const BODY: usize = 512;

/// What notifications tell app servers, which belong to others.
#[derive(Debug, Clone, Copy, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who sent the last message.
    pub sender: bool,
    /// Its text, unless it is encrypted.
    pub body: bool,
    /// What browsers are told (web push), in content that their push services cannot read.
    pub web: web::Told,
}

/// Wakes devices.
pub struct Push(Config);

impl Module for Push {
    const NAME: &'static str = "push";
    const XEPS: &'static [Xep] = &[xep(357, "0.4.1", Coverage::Complete)];
    type Config = Config;

    fn new(config: Config, _: &HostInfo) -> Self {
        Push(config)
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.needs::<Devices>();
        r.iq::<Enable>(IqKind::Set, Target::Own).feature(NS);
        r.iq::<Disable>(IqKind::Set, Target::Own).feature(NS);
        r.on(Kinds::MESSAGE, Side::Recipient, Stage::Copy)
            .silent("it is the other half of enabling");
        r.sessions().silent("it belongs to that half");
        if r.module().0.web != web::Told::Off {
            r.provide(Target::Host, web::Offered)
                .silent("only our own page knows how to use it");
        }
    }
}

/// The devices of an account, with their logs. `None` if there is no such account.
pub async fn list(server: &Server, account: &BareJid) -> Result<Option<Vec<Device>>, StoreError> {
    let live = server.account(account).await?;
    Ok(live.map(|live| {
        let devices = live.slot::<Devices>();
        devices.map_or_else(Vec::new, |devices| {
            devices.with(|entries| entries.iter().map(|e| e.device.clone()).collect())
        })
    }))
}

/// Sees to it that devices of `account` that are not connected hear of a message that waits elsewhere, such as in a room: those that
/// came from `resource`, or all of them. Nothing is done within this call.
pub fn nudge(server: &Server, account: &BareJid, resource: Option<&str>) {
    let (account, resource) = (account.clone(), resource.map(str::to_owned));
    server.at(server.now_ms(), move |server| {
        let server = server.clone();
        Routed::later(async move {
            let Ok(Some(live)) = server.account(&account).await else {
                return;
            };
            let Some(devices) = live.slot::<Devices>() else {
                return;
            };
            let state = live.lock();
            devices.with(|entries| {
                for entry in entries {
                    let meant = resource
                        .as_ref()
                        .is_none_or(|r| *r == entry.device.resource);
                    if meant && !entry.is_live(&state) {
                        entry.summary.messages = entry.summary.messages.saturating_add(1);
                        send::schedule(&server, &account, entry);
                    }
                }
            });
        })
    });
}

fn devices<'a>(cx: &IqCx<'a>) -> Result<(&'a Account, &'a Devices), StanzaError> {
    let account = cx.require_account()?;
    let devices = account.slot::<Devices>();
    Ok((
        account,
        devices.ok_or_else(StanzaError::internal_server_error)?,
    ))
}

/// Whether a browser may be woken by the host itself.
fn admit(cx: &IqCx<'_>, enable: &Enable) -> Result<(), StanzaError> {
    let host = cx.server.host(enable.service.domain());
    host.and_then(|host| web::public_key(cx.server, &host))
        .ok_or_else(|| StanzaError::feature_not_implemented().text("there is no web push here"))?;
    let subscription = enable.options.as_deref().and_then(web::Subscription::parse);
    subscription.map(drop).ok_or_else(|| {
        StanzaError::not_acceptable().text("the form names no subscription of a browser")
    })
}

impl OnIq<Enable> for Push {
    async fn on_iq(&self, cx: IqCx<'_>, enable: Enable) -> IqResult {
        let (account, devices) = devices(&cx)?;
        let resource = cx.require_session()?.jid().resource();
        if enable.service.as_str() == account.jid().domain() {
            admit(&cx, &enable)?;
        }
        let id: [u8; 4] = cx.server.random();
        let id = id.iter().map(|b| format!("{b:02x}")).collect();
        let now = cx.server.now_ms();
        let batch = devices
            .enable(account, resource, enable, id, now)
            .map_err(|_| StanzaError::resource_constraint().text("too many devices"))?;
        cx.commit(batch).await?;
        Ok(Reply::Empty)
    }
}

impl OnIq<Disable> for Push {
    async fn on_iq(&self, cx: IqCx<'_>, disable: Disable) -> IqResult {
        let (account, devices) = devices(&cx)?;
        let node = disable.node.as_deref();
        let batch = devices.disable(account.jid().as_str(), &disable.service, node);
        cx.commit(batch).await?;
        Ok(Reply::Empty)
    }
}

impl OnStanza for Push {
    fn on_stanza(&self, cx: &mut StanzaCx<'_>) -> Flow {
        if let Some(devices) = cx.account.slot::<Devices>() {
            self.notice(cx, devices);
        }
        Flow::Continue
    }
}

impl OnSession for Push {
    async fn available(&self, _: SessionCx<'_>) {}

    fn lost(&self, cx: SessionCx<'_>) {
        let account = cx.session.account();
        let Some(devices) = account.slot::<Devices>() else {
            return;
        };
        let resource = cx.session.jid().resource();
        devices.with(|entries| {
            for entry in entries {
                if entry.device.resource != resource {
                    continue;
                }
                // What was sent while nobody knew that the device is gone.
                let unheard = cx.session.outbox().unacknowledged();
                let messages = unheard.iter().filter(|stanza| is_missed(stanza)).count();
                if messages > 0 {
                    entry.summary.messages = u32::try_from(messages).unwrap_or(u32::MAX);
                    send::schedule(cx.server, account.jid(), entry);
                }
            }
        });
    }
}

/// Whether a serialised stanza is, or has inside, a message that somebody waits for.
fn is_missed(stanza: &[u8]) -> bool {
    let Ok(stanza) = Stanza::parse(stanza) else {
        return false;
    };
    stanza.kind() == StanzaKind::Message
        && (weight(&stanza) != Weight::Nothing
            || received_elsewhere(&stanza).is_some_and(|inner| weight(&inner) != Weight::Nothing))
}

impl Push {
    /// Sees to it that the devices hear of a message that do not get it themselves.
    fn notice(&self, cx: &StanzaCx<'_>, devices: &Devices) {
        let Some(delivered) = cx.delivered else {
            return;
        };
        let own = cx.account.jid();
        devices.with(|entries| {
            if entries.is_empty()
                || cx.from.bare_str() == own.as_str()
                || weight(cx.stanza) == Weight::Nothing
            {
                return;
            }
            let room = cx.stanza.message_type() == MessageType::Groupchat;
            for entry in entries {
                // A room's message is for the device that has joined.
                let meant = !room || cx.to.resource() == Some(&entry.device.resource);
                if !meant || entry.is_live(delivered.state) {
                    continue;
                }
                let messages = entry.summary.messages.saturating_add(1);
                entry.summary = Summary {
                    messages,
                    ..self.summary(cx, entry.device.is_browser(own))
                };
                send::schedule(cx.server, own, entry);
            }
        });
    }

    /// What a browser or an app server may be told of a message.
    fn summary(&self, cx: &StanzaCx<'_>, browser: bool) -> Summary {
        use web::Told;
        let Config {
            sender,
            body: text,
            web,
        } = self.0;
        let (sender, text) = match browser {
            true => (matches!(web, Told::Sender | Told::Body), web == Told::Body),
            false => (sender, text),
        };
        let body = || {
            let body = cx
                .stanza
                .own_child("body")
                .filter(|_| !is_encrypted(cx.stanza))?;
            let text = body.parse().root().text().into_owned();
            Some(text[..text.floor_char_boundary(BODY)].to_owned())
        };
        Summary {
            messages: 0,
            sender: sender.then(|| cx.from.to_string()),
            body: text.then(body).flatten(),
            calling: weight(cx.stanza) == Weight::Call,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Config;
    use super::web::Told;

    fn config(text: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn app_servers_learn_neither_sender_nor_text_unless_that_is_switched_on() {
        let default = config("").unwrap();
        assert!(!default.sender && !default.body);
        let all = config("sender = true\nbody = true").unwrap();
        assert!(all.sender && all.body);
        assert!(config("sender = 1").is_err());
        assert_eq!(default.web, Told::Sender);
        assert_eq!(config("web = \"off\"").unwrap().web, Told::Off);
        assert!(config("web = true").is_err());
        assert!(config("password = true").is_err());
    }
}
