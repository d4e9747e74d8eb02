//! XEP-0215 External Service Discovery 1.0.0: services outside XMPP, such as those for calls (STUN, TURN). Gaps: no pushes, which are
//! optional; a client that asks again gets what has changed.
//!
//! Where a service shares a secret with this server, each answer has a name and a password of its own, which hold for a while:
//! the name is the time at which they end, and the password its HMAC, as in the TURN REST API that coturn has
//! (`use-auth-secret`). The service learns a pseudonym of the user, by which it may count.

mod pass;
mod xml;

pub use pass::Pass;
pub use xml::{CredentialsQuery, ServicesQuery};

use tercet_core::StanzaError;
use tercet_server::account::GUEST;
use tercet_server::module::{
    Coverage, IqCx, IqKind, IqResult, Module, OnIq, Registrar, Reply, Target, Xep, xep,
};
use tercet_server::{Entry, External, HostInfo, store_failure};

/// The namespace of the protocol.
pub(crate) const NS: &str = "urn:xmpp:extdisco:2";
/// For what the key of pseudonyms is derived.
const PSEUDONYMS: &[u8] = b"external services";

/// Tells the users of one host of services.
pub struct ExternalServices {
    domain: String,
    services: Vec<External>,
}

impl Module for ExternalServices {
    const NAME: &'static str = "external";
    const XEPS: &'static [Xep] = &[xep(215, "1.0.0", Coverage::Complete)];
    type Config = ();

    fn new((): (), host: &HostInfo) -> Self {
        ExternalServices {
            domain: host.domain.clone(),
            services: host.external.clone(),
        }
    }

    fn register(r: &mut Registrar<'_, Self>) {
        if r.module().services.is_empty() {
            return;
        }
        r.iq::<ServicesQuery>(IqKind::Get, Target::Host).feature(NS);
        r.iq::<CredentialsQuery>(IqKind::Get, Target::Host)
            .feature(NS);
    }
}

impl ExternalServices {
    /// The pseudonym of a user of the host.
    async fn admit(&self, cx: &IqCx<'_>) -> Result<String, StanzaError> {
        let session = cx.require_session()?;
        let guest = cx.store().get(&GUEST, session.account().jid().as_str(), "");
        let guest = guest.await.map_err(|error| store_failure(&error))?;
        // XEP-0215 §2: who may not have the list is told so. Whoever has credentials uses what somebody pays for.
        if session.jid().domain() != self.domain || guest.is_some() {
            return Err(StanzaError::forbidden());
        }
        let key = cx.server.derive_secret(PSEUDONYMS);
        Ok(pass::pseudonym(&key, session.account().jid().as_str()))
    }
}

/// What the user shows to a service; `None` where nothing is asked for.
fn pass(service: &External, user: &str, now_ms: u64) -> Option<Pass> {
    match &service.entry {
        Entry::Open => None,
        Entry::Made { secret, lifetime_s } => {
            let expires_s = (now_ms / 1000).saturating_add(*lifetime_s);
            Some(Pass::made(&secret.0, expires_s, user))
        }
        Entry::Fixed { username, password } => Some(Pass {
            username: username.clone(),
            password: password.0.clone(),
            expires_s: None,
        }),
    }
}

impl OnIq<ServicesQuery> for ExternalServices {
    async fn on_iq(&self, cx: IqCx<'_>, query: ServicesQuery) -> IqResult {
        let user = self.admit(&cx).await?;
        let now_ms = cx.server.now_ms();
        let services = self.services.iter();
        let services = services
            .filter(|service| query.kind.as_ref().is_none_or(|kind| kind == service.kind))
            .map(|service| (service, pass(service, &user, now_ms)));
        let answer = xml::services("services", query.kind.as_deref(), services);
        Ok(Reply::Payload(answer))
    }
}

impl OnIq<CredentialsQuery> for ExternalServices {
    async fn on_iq(&self, cx: IqCx<'_>, query: CredentialsQuery) -> IqResult {
        let user = self.admit(&cx).await?;
        let now_ms = cx.server.now_ms();
        let services = self.services.iter().filter(|service| query.means(service));
        let services = services
            .filter_map(|service| Some((service, Some(pass(service, &user, now_ms)?))))
            .collect::<Vec<_>>();
        // XEP-0215 §3.3: there are none, for this service or at all.
        if services.is_empty() {
            return Err(StanzaError::item_not_found());
        }
        let answer = xml::services("credentials", None, services.into_iter());
        Ok(Reply::Payload(answer))
    }
}
