//! What components say about the namespaces that they answer for (XEP-0355 §6.2).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tercet_core::{Jid, Stanza, XmlWriter};
use tercet_server::module::{IqKind, Target};
use tercet_server::{Answered, Routed, Server};

use super::NS;
use crate::disco::{INFO, Said};

const DATA: &str = "jabber:x:data";
/// How long a component may take to answer.
const PATIENCE_MS: u64 = 60_000;
/// Features, identities and forms of one answer that are kept.
const MOST: usize = 256;

/// What components have said when they connected last, for one host.
#[derive(Default)]
pub(super) struct Nested(Mutex<Answers>);

type Answers = HashMap<(String, bool), Arc<Said>>;

impl Nested {
    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands in the place of what the server says of this namespace.
    pub(super) fn get(&self, ns: &str, target: Target) -> Option<Arc<Said>> {
        self.lock().get(&key(ns, target)).cloned()
    }
}

fn key(ns: &str, target: Target) -> (String, bool) {
    (ns.to_owned(), target == Target::Host)
}

/// Asks a component what it can do.
pub(super) fn ask(server: &Arc<Server>, host: &Jid, component: &Jid, ns: &str, target: Target) {
    // XEP-0355 §6.2.1, §6.2.2: the node tells the namespace, and whether accounts are meant.
    let separator = match target {
        Target::Host => "::",
        Target::Account | Target::Own => ":bare:",
    };
    let mut w = XmlWriter::new();
    w.leaf(
        "query",
        &[("xmlns", INFO), ("node", &format!("{NS}{separator}{ns}"))],
    );
    let payload = w.finish();
    let (host, component, ns) = (host.clone(), component.clone(), ns.to_owned());
    server.at(server.now_ms(), move |server| {
        let domain = host.domain().to_owned();
        server.ask(
            IqKind::Get,
            &host,
            &component,
            &payload,
            PATIENCE_MS,
            move |server, answered| {
                let nested = server.kept::<Nested>(&domain, Nested::default);
                match answered {
                    Answered::Result(answer) => {
                        let said = Arc::new(said(&ns, &answer));
                        nested.lock().insert(key(&ns, target), said);
                    }
                    // What the server says of itself would not be true, either.
                    _ => drop(nested.lock().remove(&key(&ns, target))),
                }
                Routed::Done
            },
        )
    });
}

fn said(ns: &str, answer: &Stanza) -> Said {
    let mut said = Said {
        ns: ns.to_owned(),
        ..Said::default()
    };
    let Some(query) = answer.child("query", INFO) else {
        return said;
    };
    let query = query.parse();
    for child in query.root().children().take(MOST) {
        match (child.ns(), child.name()) {
            (INFO, "feature") => said
                .features
                .extend(child.attr("var").map(|v| v.into_owned())),
            (INFO, "identity") => {
                let attribute = |name| child.attr(name).unwrap_or_default().into_owned();
                said.identities
                    .push((attribute("category"), attribute("type")));
                child.to_xml(&mut said.rest);
            }
            (DATA, "x") => child.to_xml(&mut said.rest),
            _ => {}
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_identities_and_forms_are_kept_and_nothing_else() {
        let answer = Stanza::parse(
            b"<iq type='result' id='1'><query xmlns='http://jabber.org/protocol/disco#info' node='n'>\
              <identity category='pubsub' type='pep'/><feature var='urn:x'/><feature/><other/>\
              <x xmlns='jabber:x:data' type='result'/><y xmlns='urn:y'/></query></iq>",
        );
        let said = said("urn:x", &answer.unwrap());
        assert_eq!(said.features, ["urn:x"]);
        let rest = String::from_utf8(said.rest).unwrap();
        assert!(
            rest.contains("category='pubsub'") && rest.contains("jabber:x:data"),
            "{rest}"
        );
        assert!(!rest.contains("other") && !rest.contains("urn:y"), "{rest}");
    }
}
