//! XEP-0355 Namespace Delegation 0.5, as administrators set it up. Gaps: delegation by users, and the special namespaces for the rest of
//! service discovery (§6.2.4, §6.2.5).
//!
//! Requests of a namespace, to the host or to an account, go to a component, which answers them in their place. What it says
//! about itself stands in the place of what the server would say of that namespace.

mod nested;

use std::sync::Arc;

use tercet_core::{Head, IqType, Jid, Stanza, StanzaError, XmlWriter, ns};
use tercet_server::module::{
    Coverage, Insider, IqCx, IqKind, IqResult, Module, Registrar, Reply, Taken, Target, Xep, xep,
};
use tercet_server::{Answered, Component, Delegated, HostInfo, Routed, Server, VHost};

use crate::disco::Instead;
use nested::Nested;

const NS: &str = "urn:xmpp:delegation:2";
const FORWARD: &str = "urn:xmpp:forward:0";

/// How long a component may take to answer.
const PATIENCE_MS: u64 = 60_000;

/// Has components answer for namespaces.
pub struct Delegation {
    host: String,
    /// Those that answer for some.
    components: Vec<Component>,
}

impl Module for Delegation {
    const NAME: &'static str = "delegation";
    const XEPS: &'static [Xep] = &[xep(
        355,
        "0.5",
        Coverage::Partial("administrators' delegation; not the rest of service discovery"),
    )];
    type Config = ();

    fn new((): (), host: &HostInfo) -> Self {
        let components = host.components.iter();
        Delegation {
            host: host.domain.clone(),
            components: components
                .filter(|c| !c.delegated.is_empty())
                .cloned()
                .collect(),
        }
    }

    fn register(r: &mut Registrar<'_, Self>) {
        if r.module().components.is_empty() {
            return;
        }
        // XEP-0355 §6.1.
        r.insider().host_feature(NS);
        let module = r.module().clone();
        let instead = Instead(Box::new(move |server, target| {
            let nested = server.kept::<Nested>(&module.host, Nested::default);
            let delegated = module.components.iter().flat_map(|c| &c.delegated);
            delegated
                .filter_map(|delegated| nested.get(&delegated.ns, target))
                .collect()
        }));
        r.provide(Target::Host, instead)
            .silent("XEP-0355 §6.2: what components say");
    }
}

/// XEP-0355 §4.2: what is delegated.
fn announcement(component: &Component) -> Vec<u8> {
    let mut w = XmlWriter::new();
    w.start("delegation").attr("xmlns", NS);
    for delegated in &component.delegated {
        w.start("delegated").attr("namespace", &delegated.ns);
        for attribute in &delegated.attributes {
            w.leaf("attribute", &[("name", attribute)]);
        }
        w.end();
    }
    w.end();
    w.finish()
}

/// Whether a request is of what is delegated.
fn fits(delegated: &Delegated, request: &Stanza) -> bool {
    let Some(payload) = request.payload() else {
        return false;
    };
    if payload.ns() != delegated.ns {
        return false;
    }
    // XEP-0355 §4.3: without the attributes it is the server's as usual.
    delegated.attributes.is_empty() || {
        let payload = payload.parse();
        let mut attributes = delegated.attributes.iter();
        attributes.all(|name| payload.root().attr(name).is_some())
    }
}

/// A request that a component has been asked to answer.
struct Forwarded {
    request: Stanza,
    from: Jid,
    to: Option<Jid>,
    /// Whom it is for where it does not say so.
    account: Option<String>,
}

impl Forwarded {
    /// XEP-0355 §4.3: the request as it came, in what goes to the component.
    fn write(&self) -> Vec<u8> {
        let mut inner = Vec::new();
        let head = Head {
            from: Some(self.from.as_str()),
            to: self.to.as_ref().map(|to| to.as_str()),
            lang: None,
            xmlns: Some(ns::CLIENT),
        };
        self.request.write(&mut inner, head);
        let mut w = XmlWriter::new();
        w.start("delegation").attr("xmlns", NS);
        w.start("forwarded").attr("xmlns", FORWARD);
        w.raw(&inner).end().end();
        w.finish()
    }

    /// XEP-0355 §4.3: the answer in what the component has said; every fault of it is `service-unavailable`.
    fn answer(&self, answered: Answered) -> IqResult {
        let unavailable = StanzaError::service_unavailable;
        let Answered::Result(stanza) = answered else {
            return Err(unavailable());
        };
        self.unwrap(&stanza).ok_or_else(unavailable)
    }

    fn unwrap(&self, stanza: &Stanza) -> Option<Reply> {
        let delegation = stanza.child("delegation", NS)?.parse();
        let forwarded = delegation.root().child("forwarded", FORWARD)?;
        let mut bytes = Vec::new();
        forwarded.child("iq", ns::CLIENT)?.to_xml(&mut bytes);
        let inner = Stanza::parse(&bytes).ok()?;
        // XEP-0355 §4.3: to whom asked, from whom was asked, with the same id, and a result.
        let from = inner.from().ok()?;
        let asked = self
            .to
            .as_ref()
            .map(|to| to.as_str())
            .or(self.account.as_deref());
        let right = inner.iq_type() == Some(IqType::Result)
            && inner.to().ok()?.is_some_and(|to| *to == self.from)
            && inner.id() == self.request.id()
            && from.is_none_or(|from| Some(from.as_str()) == asked);
        if !right {
            return None;
        }
        let mut children = inner.children();
        match (children.next(), children.next()) {
            (None, _) => Some(Reply::Empty),
            (Some(payload), None) => {
                let mut out = Vec::new();
                payload.parse().root().to_xml(&mut out);
                Some(Reply::Payload(out))
            }
            (Some(_), Some(_)) => None,
        }
    }
}

impl Insider for Delegation {
    fn connected(&self, server: &Arc<Server>, _: &Arc<VHost>, component: &str) {
        let Some(component) = self.components.iter().find(|c| c.domain == component) else {
            return;
        };
        let (Ok(host), Ok(to)) = (Jid::parse(&self.host), Jid::parse(&component.domain)) else {
            return;
        };
        let id: [u8; 8] = server.random();
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut w = XmlWriter::new();
        w.start("message")
            .attr("from", &self.host)
            .attr("to", &component.domain)
            .attr("id", &id);
        w.raw(&announcement(component)).end();
        server.post(&host, &to, &w.finish());
        for delegated in &component.delegated {
            for target in [Target::Host, Target::Account] {
                nested::ask(server, &host, &to, &delegated.ns, target);
            }
        }
    }

    fn request<'a>(&'a self, cx: IqCx<'a>) -> Option<Taken<'a>> {
        let component = self.components.iter().find(|component| {
            let mut delegated = component.delegated.iter();
            delegated.any(|delegated| fits(delegated, cx.stanza))
        })?;
        // XEP-0355 §4.3.1: what the component asks itself is the server's.
        if cx.from.domain() == component.domain {
            return None;
        }
        let kind = IqKind::Set;
        let host = Jid::parse(&self.host).ok()?;
        let to = Jid::parse(&component.domain).ok()?;
        if !cx.server.is_connected(&component.domain) {
            let unavailable = Err(StanzaError::service_unavailable());
            return Some(Taken::Answer(Box::pin(std::future::ready(unavailable))));
        }
        let forwarded = Forwarded {
            request: cx.stanza.clone(),
            from: cx.from.clone(),
            to: cx.stanza.to().ok().flatten().cloned(),
            account: cx.account.map(|account| account.jid().as_str().to_owned()),
        };
        cx.server.at(cx.server.now_ms(), move |server| {
            let payload = forwarded.write();
            server.ask(
                kind,
                &host,
                &to,
                &payload,
                PATIENCE_MS,
                move |server, answered| {
                    let result = forwarded.answer(answered);
                    let Forwarded {
                        request, from, to, ..
                    } = &forwarded;
                    server.answer_later(request, from, to.as_ref(), result);
                    Routed::Done
                },
            )
        });
        Some(Taken::Later)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded() -> Forwarded {
        let request = b"<iq type='get' id='1' to='a@b'><query xmlns='urn:x' node='n'/></iq>";
        Forwarded {
            request: Stanza::parse(request).unwrap(),
            from: Jid::parse("c@b/r").unwrap(),
            to: Some(Jid::parse("a@b").unwrap()),
            account: None,
        }
    }

    fn said(inner: &str) -> Stanza {
        let text = format!(
            "<iq type='result' id='z'><delegation xmlns='{NS}'><forwarded xmlns='{FORWARD}'>{inner}</forwarded></delegation></iq>"
        );
        Stanza::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_request_is_forwarded_as_it_came_from_whom_it_came() {
        assert_eq!(
            String::from_utf8(forwarded().write()).unwrap(),
            "<delegation xmlns='urn:xmpp:delegation:2'><forwarded xmlns='urn:xmpp:forward:0'>\
             <iq xmlns='jabber:client' from='c@b/r' to='a@b' type='get' id='1'><query xmlns='urn:x' node='n'/></iq>\
             </forwarded></delegation>"
        );
    }

    #[test]
    fn an_answer_counts_only_if_it_is_the_one_to_the_request() {
        let right = "<iq xmlns='jabber:client' type='result' id='1' from='a@b' to='c@b/r'><query xmlns='urn:x'/></iq>";
        assert!(forwarded().unwrap(&said(right)).is_some());
        assert!(
            forwarded()
                .unwrap(&said(&right.replace(" from='a@b'", "")))
                .is_some()
        );
        for wrong in [
            right.replace("id='1'", "id='2'"),
            right.replace("c@b/r", "c@b/s"),
            right.replace(" to='c@b/r'", ""),
            right.replace("from='a@b'", "from='d@b'"),
            right.replace("'result'", "'error'"),
            right.replace("'result'", "'set'"),
            right.replace("jabber:client", "jabber:server"),
            right.replace(
                "<query xmlns='urn:x'/>",
                "<a xmlns='urn:x'/><b xmlns='urn:x'/>",
            ),
            String::new(),
        ] {
            assert!(forwarded().unwrap(&said(&wrong)).is_none(), "{wrong}");
        }
        let refused = Answered::Error(StanzaError::item_not_found());
        let error = forwarded().answer(refused).err();
        assert_eq!(
            error.map(|e| e.condition),
            Some(tercet_core::Condition::ServiceUnavailable)
        );
    }

    #[test]
    fn attributes_that_are_missing_leave_a_request_to_the_server() {
        let delegated = |attributes: &[&str]| Delegated {
            ns: "urn:x".into(),
            attributes: attributes.iter().map(|a| (*a).to_owned()).collect(),
        };
        let request = forwarded().request;
        assert!(fits(&delegated(&[]), &request));
        assert!(fits(&delegated(&["node"]), &request));
        assert!(!fits(&delegated(&["node", "other"]), &request));
        let other = Delegated {
            ns: "urn:y".into(),
            attributes: Vec::new(),
        };
        assert!(!fits(&other, &request));
    }
}
