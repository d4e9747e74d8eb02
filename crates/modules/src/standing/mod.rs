//! XEP-0489 Reporting Account Affiliations 0.1.0: what an account is to this server, for other servers whose people it writes to:
//! embedded in messages and in presence, and for who asks in the account's name. Gaps: what other servers say of their accounts
//! decides nothing here.
//!
//! Whoever registers where everybody may is `registered`, with the day while the account is new, and with its age in days (100 at the
//! most) as trust. Elsewhere accounts are given by somebody, and their users are members; guests are anonymous. Asked about an
//! account is answered whoever sees its presence; others can't tell it from a name without one.

use tercet_core::{BareJid, MessageType, PresenceType, Stanza, StanzaError, StanzaKind, XmlWriter};
use tercet_core::{Jid, time};
use tercet_server::account::{ACCOUNT, AccountRecord, GUEST};
use tercet_server::empty_payload;
use tercet_server::module::{
    Coverage, Flow, IqCx, IqKind, IqResult, Kinds, Module, OnIq, OnStanza, Registrar, Reply, Side,
    Slot, SlotFuture, Stage, StanzaCx, Target, Xep, xep,
};
use tercet_server::{Account, HostInfo, Registration};
use tercet_store::Store;

const NS: &str = "urn:xmpp:raa:0";
const DAY_MS: u64 = 86_400_000;
/// How long an account is new.
const NEW_DAYS: u64 = 30;

empty_payload!(
    /// `<query/>`
    Query, "query", NS
);

/// What is known of an account that decides about its standing, as of its loading.
#[derive(Default)]
pub struct Known {
    admin: bool,
    guest: bool,
    created_ms: u64,
}

impl Slot for Known {
    fn load(store: &Store, account: &BareJid) -> SlotFuture<Self> {
        let record = store.get(&ACCOUNT, account.as_str(), "");
        let guest = store.get(&GUEST, account.as_str(), "");
        Box::pin(async move {
            let record = record.await?;
            let record = record.and_then(|bytes| AccountRecord::from_bytes(&bytes).ok());
            Ok(Known {
                admin: record.as_ref().is_some_and(|record| record.admin),
                guest: guest.await?.is_some(),
                created_ms: record.map_or(0, |record| record.created_ms),
            })
        })
    }
}

/// Tells other servers what accounts are.
pub struct Standing {
    open: bool,
    admins: Vec<BareJid>,
}

impl Module for Standing {
    const NAME: &'static str = "standing";
    const XEPS: &'static [Xep] = &[xep(
        489,
        "0.1.0",
        Coverage::Partial("what other servers say of their accounts decides nothing"),
    )];
    type Config = ();

    fn new((): (), host: &HostInfo) -> Self {
        Standing {
            open: host.registration == Registration::Open,
            admins: host.admins.clone(),
        }
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.needs::<Known>();
        r.iq::<Query>(IqKind::Get, Target::Account).host_feature(NS);
        // XEP-0489 §5: which stanzas it may be in.
        r.on(
            Kinds::MESSAGE | Kinds::PRESENCE,
            Side::Sender,
            Stage::Annotate,
        )
        .host_feature("urn:xmpp:raa:0#embed-message")
        .host_feature("urn:xmpp:raa:0#embed-presence-directed")
        .host_feature("urn:xmpp:raa:0#embed-presence-sub");
    }
}

impl OnIq<Query> for Standing {
    async fn on_iq(&self, cx: IqCx<'_>, _: Query) -> IqResult {
        let account = cx.require_account()?;
        if !cx.sees_presence() && !is_shown(account, cx.from) {
            return Err(StanzaError::forbidden());
        }
        let mut out = Vec::new();
        self.write(account, cx.server.now_ms(), &mut out);
        Ok(Reply::Payload(out))
    }

    fn absent(&self) -> StanzaError {
        StanzaError::forbidden()
    }
}

/// Whether the account shows its presence to somebody who is no subscriber: a room that it is in.
fn is_shown(account: &Account, peer: &Jid) -> bool {
    let state = account.lock();
    let mut sessions = state.resources.iter().map(|resource| &resource.session);
    sessions.any(|session| session.shows_itself_to(peer.bare_str()))
}

impl OnStanza for Standing {
    fn on_stanza(&self, cx: &mut StanzaCx<'_>) -> Flow {
        let forged = |(_, child): &(usize, tercet_core::Child<'_>)| child.ns() == NS;
        let places: Vec<_> = cx.stanza.children().enumerate().filter(forged).collect();
        let places: Vec<_> = places.into_iter().map(|(place, _)| place).collect();
        if !places.is_empty() && cx.stanza.kind() == StanzaKind::Presence && !is_directed(cx.stanza)
        {
            // What goes to all contacts goes as it is, or not at all.
            return Flow::Drop;
        }
        // XEP-0489 §4.2: clients do not say so themselves.
        for place in places {
            cx.effects.edits().leave_out(place);
        }
        let server = cx.server;
        let far = server.host(cx.to.domain()).is_none() && !server.is_component(cx.to.domain());
        if far && is_telling(cx.stanza) && !is_contact(cx.account, cx.to) {
            let mut info = Vec::new();
            self.write(cx.account, server.now_ms(), &mut info);
            cx.effects.edits().append(Side::Recipient).extend(info);
        }
        Flow::Continue
    }
}

/// XEP-0489 §4.3: contacts who let the user see their presence know who it is.
fn is_contact(account: &Account, peer: &Jid) -> bool {
    account.lock().roster.subscription(peer.bare_str()).to
}

fn is_directed(stanza: &Stanza) -> bool {
    matches!(stanza.to(), Ok(Some(_)))
}

/// Whether a stanza is one that tells of its sender's account.
fn is_telling(stanza: &Stanza) -> bool {
    match stanza.kind() {
        // Rooms have heard it with the presence.
        StanzaKind::Message => !matches!(
            stanza.message_type(),
            MessageType::Groupchat | MessageType::Error
        ),
        StanzaKind::Presence => match stanza.presence_type() {
            Some(PresenceType::Subscribe) => true,
            Some(PresenceType::Available) => is_directed(stanza),
            _ => false,
        },
        StanzaKind::Iq => false,
    }
}

impl Standing {
    fn write(&self, account: &Account, now_ms: u64, out: &mut Vec<u8>) {
        let Some(known) = account.slot::<Known>() else {
            return;
        };
        let admin = known.admin || self.admins.contains(account.jid());
        let (affiliation, registered) = match (known.guest, admin, self.open) {
            (true, ..) => ("anonymous", false),
            (_, true, _) => ("admin", false),
            (_, _, true) => ("registered", true),
            (_, _, false) => ("member", false),
        };
        let days = now_ms.saturating_sub(known.created_ms) / DAY_MS;
        let mut w = XmlWriter::into(std::mem::take(out));
        w.start("info")
            .attr("xmlns", NS)
            .attr("affiliation", affiliation);
        if registered && days < NEW_DAYS {
            // XEP-0489 §6.1: the day, not the time of day.
            let day = known.created_ms - known.created_ms % DAY_MS;
            w.attr(
                "since",
                &time::format(i64::try_from(day).unwrap_or(i64::MAX)),
            );
        }
        if registered {
            w.attr("trust", &days.min(100).to_string());
        }
        w.end();
        *out = w.finish();
    }
}
