//! XEP-0356 Privileged Entity 0.4.1. Gaps: requests for a full JID go to its client.
//!
//! What a component may do in the name of a host's users says the configuration alone. A component is who sends from its very
//! domain; addresses at that domain have no rights.

mod request;
mod seen;

use std::sync::{Arc, OnceLock};

use tercet_core::{BareJid, Head, Jid, Stanza, StanzaError, XmlWriter, error_reply, ns};
use tercet_server::module::{Coverage, Insider, IqCx, Module, Registrar, Taken, Xep, xep};
use tercet_server::{Access, Account, Component, HostInfo, Routed, Server, VHost};

use seen::Seen;

const NS: &str = "urn:xmpp:privilege:2";
const FORWARD: &str = "urn:xmpp:forward:0";

/// Lets components do what their host allows.
pub struct Privilege {
    host: String,
    /// Those with rights.
    components: Vec<Component>,
    /// The presence of users and contacts, if one of them hears of both.
    seen: OnceLock<Arc<Seen>>,
}

impl Module for Privilege {
    const NAME: &'static str = "privilege";
    const XEPS: &'static [Xep] = &[xep(356, "0.4.1", Coverage::Complete)];
    type Config = ();

    fn new((): (), host: &HostInfo) -> Self {
        let components = host.components.iter().filter(|c| has_rights(c));
        Privilege {
            host: host.domain.clone(),
            components: components.cloned().collect(),
            seen: OnceLock::new(),
        }
    }

    fn register(r: &mut Registrar<'_, Self>) {
        if !r.module().components.is_empty() {
            r.insider()
                .silent("XEP-0356 §4.2: components are told by a message");
        }
    }
}

fn has_rights(component: &Component) -> bool {
    component.roster != Access::default()
        || component.messages
        || component.presence
        || hears_contacts(component)
        || !component.requests.is_empty()
}

/// The word of the specification.
fn word(access: Access) -> &'static str {
    match (access.get, access.set) {
        (true, true) => "both",
        (true, false) => "get",
        (false, true) => "set",
        (false, false) => "none",
    }
}

/// XEP-0356 §4.2, §5.2, §6.2, §7.2: what the component may do.
fn permissions(component: &Component) -> Vec<u8> {
    let mut w = XmlWriter::new();
    w.start("privilege").attr("xmlns", NS);
    if component.roster != Access::default() {
        let push = match pushes(component) {
            true => "true",
            false => "false",
        };
        let kind = word(component.roster);
        w.leaf(
            "perm",
            &[("access", "roster"), ("type", kind), ("push", push)],
        );
    }
    if component.messages {
        w.leaf("perm", &[("access", "message"), ("type", "outgoing")]);
    }
    if !component.requests.is_empty() {
        w.start("perm").attr("access", "iq");
        for (ns, access) in &component.requests {
            w.leaf("namespace", &[("ns", ns), ("type", word(*access))]);
        }
        w.end();
    }
    if component.presence || hears_contacts(component) {
        let kind = match hears_contacts(component) {
            true => "roster",
            false => "managed_entity",
        };
        w.leaf("perm", &[("access", "presence"), ("type", kind)]);
    }
    w.end();
    w.finish()
}

/// XEP-0356 §4.1: pushes go only to who may read the roster.
fn pushes(component: &Component) -> bool {
    component.roster_push && component.roster.get
}

/// XEP-0356 §8.1: the presence of contacts is only for who may read the roster.
fn hears_contacts(component: &Component) -> bool {
    component.contact_presence && component.roster.get
}

impl Privilege {
    fn seen(&self, server: &Server) -> &Seen {
        self.seen
            .get_or_init(|| server.kept(&self.host, Seen::default))
    }

    /// Those that hear of users and of contacts.
    fn all_hearing(&self) -> impl Iterator<Item = &Component> {
        self.components.iter().filter(|c| hears_contacts(c))
    }

    /// Shows components the presence of a user or a contact, unless they have been shown just that.
    fn tell(&self, server: &Arc<Server>, of: &Jid, presence: &Stanza) {
        // XEP-0356 §9: what several users get is told once.
        for (jid, presence) in self.seen(server).take(of, presence) {
            for component in self.all_hearing() {
                // It knows of its own.
                if jid.domain() != component.domain && server.is_connected(&component.domain) {
                    self.show(server, component, &jid, &presence);
                }
            }
        }
    }

    /// The component that `from` is.
    fn component(&self, from: &Jid) -> Option<&Component> {
        let mut components = self.components.iter();
        components.find(|component| component.domain == from.as_str())
    }

    /// Sends a message that a component has written for the host, or for one of its accounts.
    fn forward(
        &self,
        server: &Arc<Server>,
        from: &Jid,
        message: &Stanza,
        inner: Stanza,
    ) -> Result<Routed, StanzaError> {
        let Some(to) = inner.to()?.cloned() else {
            return Err(StanzaError::bad_request().text("whom is the message for?"));
        };
        let sender = inner.from()?.cloned().ok_or_else(StanzaError::forbidden)?;
        // XEP-0356 §5.1: a bare JID of this host, or the host itself.
        if !sender.is_bare() || sender.domain() != self.host {
            return Err(StanzaError::forbidden());
        }
        if sender.local().is_none() {
            return Ok(server.route(&sender, &to, &inner));
        }
        let (server, from, message) = (server.clone(), from.clone(), message.clone());
        Ok(Routed::later(async move {
            let account = server.account(&sender.to_bare()).await;
            let error = match account {
                Ok(Some(account)) => return server.send_for(&account, &to, &inner).wait().await,
                Ok(None) => StanzaError::forbidden(),
                Err(error) => tercet_server::store_failure(&error),
            };
            let mut out = Vec::new();
            let host = sender.domain();
            error_reply(&message, &error, Some(host), Some(from.as_str()), &mut out);
            if let Ok(host) = Jid::parse(host) {
                server.post(&host, &from, &out);
            }
        }))
    }

    fn post(&self, server: &Server, from: &Jid, to: &str, stanza: &[u8]) {
        if let Ok(to) = Jid::parse(to) {
            server.post(from, &to, stanza);
        }
    }

    fn show(&self, server: &Server, component: &Component, session: &Jid, presence: &Stanza) {
        let mut out = Vec::new();
        let head = Head {
            from: Some(session.as_str()),
            to: Some(&component.domain),
            ..Head::default()
        };
        presence.write(&mut out, head);
        self.post(server, session, &component.domain, &out);
    }
}

/// The sessions of an account that are available, with their presence.
fn available(account: &Account) -> Vec<(Jid, Arc<Stanza>)> {
    let state = account.lock();
    let resources = state.resources.iter();
    let seen = resources.filter_map(|resource| {
        let jid = Jid::clone(resource.session.jid());
        Some((jid, resource.presence.clone()?))
    });
    seen.collect()
}

impl Insider for Privilege {
    fn connected(&self, server: &Arc<Server>, _: &Arc<VHost>, component: &str) {
        let Some(component) = self.components.iter().find(|c| c.domain == component) else {
            return;
        };
        let Ok(host) = Jid::parse(&self.host) else {
            return;
        };
        let id: [u8; 8] = server.random();
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut w = XmlWriter::new();
        w.start("message")
            .attr("from", &self.host)
            .attr("to", &component.domain)
            .attr("id", &id);
        w.raw(&permissions(component)).end();
        self.post(server, &host, &component.domain, &w.finish());
        if !component.presence && !hears_contacts(component) {
            return;
        }
        // XEP-0356 §9: what it would have heard, had it been there before.
        for account in server.loaded_accounts() {
            if account.jid().domain() != self.host {
                continue;
            }
            for (session, presence) in available(&account) {
                self.show(server, component, &session, &presence);
            }
        }
        if hears_contacts(component) {
            for (contact, presence) in self.seen(server).all() {
                if contact.domain() != self.host && contact.domain() != component.domain {
                    self.show(server, component, &contact, &presence);
                }
            }
        }
    }

    fn admits(&self, from: &Jid, request: &Stanza) -> bool {
        let roster = request
            .payload()
            .is_some_and(|payload| payload.ns() == ns::ROSTER);
        roster && self.component(from).is_some()
    }

    fn request<'a>(&'a self, cx: IqCx<'a>) -> Option<Taken<'a>> {
        let payload = cx.stanza.payload()?;
        match (payload.ns(), payload.name()) {
            (ns::ROSTER, _) if cx.account.is_some() => {
                let component = self.component(cx.from)?;
                Some(Taken::Answer(Box::pin(request::roster(
                    cx,
                    component.roster,
                ))))
            }
            (NS, "privileged_iq") => match self.privileged(cx) {
                Ok(taken) => Some(taken),
                Err(error) => Some(Taken::Answer(Box::pin(std::future::ready(Err(error))))),
            },
            _ => None,
        }
    }

    fn message(
        &self,
        server: &Arc<Server>,
        from: &Jid,
        message: &Stanza,
    ) -> Option<Result<Routed, StanzaError>> {
        let privilege = message.child("privilege", NS)?.parse();
        if !self
            .component(from)
            .is_some_and(|component| component.messages)
        {
            return Some(Err(StanzaError::forbidden()));
        }
        let forwarded = privilege.root().child("forwarded", FORWARD);
        let inner = forwarded.and_then(|forwarded| forwarded.child("message", ns::CLIENT));
        let inner = inner.and_then(request::stanza);
        Some(match inner {
            Some(inner) => self.forward(server, from, message, inner),
            None => Err(StanzaError::bad_request().text("there is no message in it")),
        })
    }

    fn presence(&self, server: &Arc<Server>, session: &Jid, presence: &Stanza) {
        // XEP-0356 §7.1: initial presence and its end, nothing in between.
        let some = self.components.iter().filter(|c| c.presence);
        for component in some.filter(|c| !hears_contacts(c)) {
            if server.is_connected(&component.domain) {
                self.show(server, component, session, presence);
            }
        }
        if self.hears_contacts() {
            self.tell(server, session, presence);
        }
    }

    fn hears_contacts(&self) -> bool {
        self.all_hearing().next().is_some()
    }

    fn contact_presence(&self, server: &Arc<Server>, contact: &Jid, presence: &Stanza) {
        if self.hears_contacts() {
            self.tell(server, contact, presence);
        }
    }

    fn out_of_reach(&self, server: &Arc<Server>, domain: &str) {
        if self.hears_contacts() {
            let gone = self.seen(server).of_domain(domain);
            for (contact, presence) in gone {
                self.tell(server, &contact, &presence);
            }
        }
    }

    fn contact_changed(&self, server: &Server, account: &BareJid, push: &[u8]) {
        // XEP-0356 §4.4: from the bare JID of the account.
        for component in self.components.iter().filter(|c| pushes(c)) {
            if !server.is_connected(&component.domain) {
                continue;
            }
            let id: [u8; 8] = server.random();
            let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            let mut w = XmlWriter::new();
            w.start("iq")
                .attr("type", "set")
                .attr("id", &id)
                .attr("from", account.as_str())
                .attr("to", &component.domain);
            w.raw(push).end();
            self.post(server, account, &component.domain, &w.finish());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_told_what_it_may_do_and_nothing_else() {
        let both = Access {
            get: true,
            set: true,
        };
        let get = Access {
            get: true,
            set: false,
        };
        let mut component = Component {
            domain: "c.example".into(),
            roster: both,
            roster_push: true,
            requests: vec![("urn:x".into(), get)],
            ..Component::default()
        };
        let told = |component: &Component| String::from_utf8(permissions(component)).unwrap();
        assert_eq!(
            told(&component),
            "<privilege xmlns='urn:xmpp:privilege:2'><perm access='roster' type='both' push='true'/>\
             <perm access='iq'><namespace ns='urn:x' type='get'/></perm></privilege>"
        );
        component.roster = Access {
            get: false,
            set: true,
        };
        (component.messages, component.presence) = (true, true);
        component.requests.clear();
        assert_eq!(
            told(&component),
            "<privilege xmlns='urn:xmpp:privilege:2'><perm access='roster' type='set' push='false'/>\
             <perm access='message' type='outgoing'/><perm access='presence' type='managed_entity'/></privilege>"
        );
        assert!(has_rights(&component));
        // Not without reading rosters.
        component.contact_presence = true;
        assert!(told(&component).contains("type='managed_entity'"));
        component.roster.get = true;
        component.presence = false;
        assert!(told(&component).contains("<perm access='presence' type='roster'/>"));
        assert!(!has_rights(&Component::default()));
    }
}
