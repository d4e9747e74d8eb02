//! XEP-0065 SOCKS5 Bytestreams 1.8.2, the proxy. Gaps: UDP associations, which are optional.
//!
//! A service of its own: clients that reach each other over no other way connect both to the port that the service names, and
//! who has asked for the stream has it begin. The connections themselves are the listener's, behind [`Relay`]; here is told where
//! it is, and who may use it.

mod xml;

pub use xml::{Activation, AddressQuery};

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tercet_core::{Jid, StanzaError};
use tercet_server::account::GUEST;
use tercet_server::module::{
    Coverage, IqCx, IqKind, IqResult, Module, OnIq, Registrar, Reply, Target, Xep, xep,
};
use tercet_server::{Bytestreams, HostInfo, Server, store_failure};

use crate::disco;

/// The namespace of the protocol.
pub(crate) const NS: &str = "http://jabber.org/protocol/bytestreams";

/// Relays bytes between two connections, which have named their stream by its hash.
pub trait Relay: Send + Sync {
    /// The port that clients connect to.
    fn port(&self) -> u16;
    /// Has the stream begin between the connections that have named it. `user` is the bare JID of who has asked for it, by which
    /// streams are counted.
    ///
    /// # Errors
    /// Why it does not begin; the connections stay as they are.
    fn activate(&self, user: &str, stream: &[u8; 20]) -> Result<(), Refusal>;
}

/// Why a stream does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No connection has named it.
    Unknown,
    /// Only one of its ends is there.
    OneEnd,
    /// The user has as many streams as may be.
    TooMany,
}

/// Has the services of `server` use `relay`; without one they refuse. Once only: false if there is one already.
pub fn set_relay(server: &Server, relay: Arc<dyn Relay>) -> bool {
    place(server).0.set(relay).is_ok()
}

/// Where the relay is, for all hosts.
#[derive(Default)]
struct Place(OnceLock<Arc<dyn Relay>>);

fn place(server: &Server) -> Arc<Place> {
    server.kept("", Place::default)
}

/// The service.
pub struct Relaying {
    /// The domain of the host that it belongs to.
    users: Option<String>,
    settings: Option<Bytestreams>,
}

impl Module for Relaying {
    const NAME: &'static str = "bytestreams";
    const XEPS: &'static [Xep] = &[xep(
        65,
        "1.8.2",
        Coverage::Partial("the proxy, over TCP; clients do the rest"),
    )];
    type Config = ();

    fn new((): (), host: &HostInfo) -> Self {
        Relaying {
            users: host.parent.clone(),
            settings: host.bytestreams.clone(),
        }
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.iq::<AddressQuery>(IqKind::Get, Target::Host).feature(NS);
        r.iq::<Activation>(IqKind::Set, Target::Host).feature(NS);
        // XEP-0065 §4: by this identity a proxy is found.
        let identity = disco::Identity {
            target: Target::Host,
            category: "proxy",
            kind: "bytestreams",
            name: "File transfer relay",
        };
        r.provide(Target::Host, identity).silent("an identity");
    }
}

impl Relaying {
    /// The settings, if the sender may use the relay, and the relay.
    async fn admit(&self, cx: &IqCx<'_>) -> Result<(&Bytestreams, Arc<dyn Relay>), StanzaError> {
        let settings = self.settings.as_ref();
        let settings = settings.ok_or_else(StanzaError::internal_server_error)?;
        if !settings.everybody {
            let session = cx.require_session()?;
            let guest = cx.store().get(&GUEST, session.account().jid().as_str(), "");
            let guest = guest.await.map_err(|error| store_failure(&error))?;
            let own = Some(session.jid().domain()) == self.users.as_deref();
            // XEP-0065 §4: who may not use the proxy is told so.
            if !own || guest.is_some() {
                return Err(StanzaError::forbidden()
                    .text("only users of the domain that this relay belongs to can use it"));
            }
        }
        let relay = place(cx.server).0.get().cloned();
        // XEP-0065 §4: it is unable to act as a stream host.
        let relay = relay.ok_or_else(StanzaError::not_allowed)?;
        Ok((settings, relay))
    }
}

impl OnIq<AddressQuery> for Relaying {
    async fn on_iq(&self, cx: IqCx<'_>, _: AddressQuery) -> IqResult {
        let (settings, relay) = self.admit(&cx).await?;
        let payload = xml::address(&settings.address, &settings.domain, relay.port());
        Ok(Reply::Payload(payload))
    }
}

impl OnIq<Activation> for Relaying {
    async fn on_iq(&self, cx: IqCx<'_>, activation: Activation) -> IqResult {
        let (_, relay) = self.admit(&cx).await?;
        let hash = stream_hash(&activation.sid, cx.from, &activation.target);
        match relay.activate(cx.from.bare_str(), &hash) {
            Ok(()) => Ok(Reply::Empty),
            // XEP-0065 §6.3.5: the hash of somebody else's request is that of no stream, so that one cannot tell whether there is one.
            Err(Refusal::Unknown) => Err(StanzaError::item_not_found()
                .text("nobody has connected to a stream of this id between these two")),
            // XEP-0065 §6.3.5: both have to be connected.
            Err(Refusal::OneEnd) => {
                Err(StanzaError::not_allowed().text("only one of the two is connected"))
            }
            Err(Refusal::TooMany) => {
                Err(StanzaError::resource_constraint().text("too many streams at a time"))
            }
        }
    }
}

/// By what clients name a stream (XEP-0065 §6.3.2): both JIDs prepared, the requester's as the server knows it.
pub fn stream_hash(sid: &str, requester: &Jid, target: &Jid) -> [u8; 20] {
    let text = [sid, requester.as_str(), target.as_str()].concat();
    let mut hash = [0; 20];
    hash.copy_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_named_by_its_id_and_both_ends() {
        let jid = |text| Jid::parse(text).unwrap();
        let requester = jid("requester@example.com/foo");
        let target = jid("target@example.org/bar");
        let hex = |bytes: [u8; 20]| bytes.map(|b| format!("{b:02x}")).concat();
        assert_eq!(
            hex(stream_hash("vxf9n471bn46", &requester, &target)),
            "98b8d688d0f5d895fd41c5e7309a2e9e33ba32ff"
        );
        // Prepared: as XMPP compares them.
        assert_eq!(
            stream_hash("vxf9n471bn46", &jid("REQUESTER@Example.com/foo"), &target),
            stream_hash("vxf9n471bn46", &requester, &target)
        );
    }
}
