//! XEP-0280 Message Carbons 1.0.1, with all rules that `urn:xmpp:carbons:rules:0` promises, and `no-copy` of XEP-0334. Gaps: none
//! known.
//!
//! A device that has asked for it gets a copy of each instant message that its user sends or receives elsewhere. Copies are
//! appended where deliveries are, so that both stand in one order; a message is wrapped once, however many devices there are.
//! Messages to the own account are copied once, as sent ones, to the devices that had no part in them.

mod enabled;
mod rules;

use tercet_core::{Element, SharedStanza, StanzaError, StanzaKind, ns};
use tercet_server::module::{
    Coverage, Delivered, Flow, IqCx, IqKind, IqResult, Kinds, Module, OnBind, OnIq, OnStanza,
    Registrar, Reply, SessionCx, Side, Stage, StanzaCx, Target, Xep, xep,
};
use tercet_server::{HostInfo, Session, empty_payload};

use enabled::Devices;
use rules::Eligible;

/// The namespace of the protocol.
const NS: &str = "urn:xmpp:carbons:2";
/// The promise to keep all rules of its §6.1.
const RULES: &str = "urn:xmpp:carbons:rules:0";

/// What stands around a message that the user has received elsewhere (XEP-0297).
const RECEIVED: &[u8] =
    b"<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>";
const RECEIVED_END: &[u8] = b"</forwarded></received>";
/// What stands around a message that the user has sent elsewhere.
const SENT: &[u8] = b"<sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>";
const SENT_END: &[u8] = b"</forwarded></sent>";

/// What the user of a copied message had to do with it.
#[derive(Clone, Copy)]
enum Direction {
    Received,
    Sent,
}

empty_payload!(
    /// `<enable/>`
    Enable, "enable", NS
);

empty_payload!(
    /// `<disable/>`
    Disable, "disable", NS
);

/// Keeps the conversations of one user's devices alike.
pub struct Carbons;

impl Module for Carbons {
    const NAME: &'static str = "carbons";
    const XEPS: &'static [Xep] = &[
        xep(280, "1.0.1", Coverage::Complete),
        xep(334, "1.0.0", Coverage::Partial("no-copy")),
    ];
    type Config = ();

    fn new((): (), _: &HostInfo) -> Self {
        Carbons
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.needs::<Devices>();
        r.iq::<Enable>(IqKind::Set, Target::Own)
            .feature(NS)
            .host_feature(NS);
        r.iq::<Disable>(IqKind::Set, Target::Own)
            .feature(NS)
            .host_feature(NS);
        r.binding(Some(NS));
        for side in [Side::Sender, Side::Recipient] {
            r.on(Kinds::MESSAGE, side, Stage::Validate)
                .silent("a part of the protocol");
            r.on(Kinds::MESSAGE, side, Stage::Copy).feature(RULES);
        }
    }
}

impl OnIq<Enable> for Carbons {
    async fn on_iq(&self, cx: IqCx<'_>, _: Enable) -> IqResult {
        // XEP-0280 §10.1: as often as the client likes.
        devices(&cx)?.enable(cx.require_session()?);
        Ok(Reply::Empty)
    }
}

impl OnIq<Disable> for Carbons {
    async fn on_iq(&self, cx: IqCx<'_>, _: Disable) -> IqResult {
        devices(&cx)?.disable(cx.require_session()?);
        Ok(Reply::Empty)
    }
}

impl OnBind for Carbons {
    async fn bound(&self, cx: SessionCx<'_>, request: Element<'_>) -> Vec<u8> {
        // XEP-0386 §3.2.2: there is nothing to say about it.
        if request.child("enable", NS).is_some()
            && let Some(devices) = cx.session.account().slot::<Devices>()
        {
            devices.enable(cx.session);
        }
        Vec::new()
    }
}

fn devices<'a>(cx: &IqCx<'a>) -> Result<&'a Devices, StanzaError> {
    let devices = cx.require_account()?.slot::<Devices>();
    devices.ok_or_else(StanzaError::internal_server_error)
}

impl OnStanza for Carbons {
    fn on_stanza(&self, cx: &mut StanzaCx<'_>) -> Flow {
        match cx.stage {
            Stage::Copy => copy(cx),
            // XEP-0280 §11, promise 7 of the bad-input list: copies come from the server alone.
            _ if rules::is_forged(cx.stanza) => {
                return Flow::Bounce(
                    StanzaError::not_acceptable().text("a copy that this server has not made"),
                );
            }
            _ => {}
        }
        Flow::Continue
    }
}

/// Copies a message to the devices that have asked for it and have no part in it.
fn copy(cx: &StanzaCx<'_>) {
    let Some(devices) = cx.account.slot::<Devices>() else {
        return;
    };
    let own = cx.account.jid().as_str();
    let to_self = cx.from.bare_str() == own && cx.to.bare_str() == own;
    if to_self && cx.side == Side::Sender {
        // Who receives it is known at the other end, which is the same account.
        return;
    }
    // XEP-0280 §7: not to those who got the message. §8: not to the sending client.
    let has_it = |session: &Session| {
        session.jid().as_str() == cx.from.as_str()
            || cx.delivered.is_some_and(|d| d.reached(session))
    };
    let targets = devices.among(|session| !has_it(session));
    if targets.is_empty() {
        return;
    }
    match rules::eligible(cx.stanza, cx.side, cx.peer()) {
        Eligible::No => return,
        Eligible::AsAnswer if !devices.is_answer(cx.side, cx.stanza, cx.peer()) => return,
        Eligible::AsAnswer => {}
        Eligible::Yes => devices.note(cx.side, cx.stanza, cx.peer()),
    }
    let direction = if cx.side == Side::Sender || to_self {
        Direction::Sent
    } else {
        Direction::Received
    };
    let copy = wrap(cx, own, direction);
    let hand = || {
        for session in &targets {
            let to = session.jid().as_str();
            session.outbox().push(|out| copy.write(out, Some(to)));
        }
    };
    match cx.delivered {
        // Under the lock that the delivery was made under.
        Some(Delivered { .. }) => hand(),
        None => {
            let _state = cx.account.lock();
            hand();
        }
    }
}

/// XEP-0280 §7, §8: from the account, with the message's own type.
fn wrap(cx: &StanzaCx<'_>, own: &str, direction: Direction) -> SharedStanza {
    let (open, close) = match direction {
        Direction::Received => (RECEIVED, RECEIVED_END),
        Direction::Sent => (SENT, SENT_END),
    };
    SharedStanza::compose(StanzaKind::Message, own, cx.stanza.type_(), |out| {
        out.extend_from_slice(open);
        cx.write(cx.side, Some(ns::CLIENT), out);
        out.extend_from_slice(close);
    })
}
