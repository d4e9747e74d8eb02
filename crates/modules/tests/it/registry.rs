//! Tests over the one list of modules: what is advertised is answered, what is off is neither, and the order of the stages is pinned.

use std::collections::BTreeSet;

use tercet_core::StanzaKind;
use tercet_server::VHost;
use tercet_server::module::{IqKind, Side, Target};
use tercet_testkit::{Arrival, Client, Peer};

use crate::in_process::InProcess;

/// Namespaces that are handled and not advertised, each with the reason.
const SILENT: &[(&str, &str)] = &[(
    "http://jabber.org/protocol/pubsub#owner",
    "what owners may do is advertised feature by feature",
)];

/// Features that are no request's namespace, each with the transcript that shows the promise kept.
const PROMISES: &[(&str, &str)] = &[
    ("urn:xmpp:caps", "src/caps/caps.scs"),
    ("http://jabber.org/protocol/caps", "src/caps/caps.scs"),
    (
        "http://jabber.org/protocol/pubsub#access-authorize",
        "src/pubsub/lists.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#access-open",
        "src/pubsub/nodes.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#access-presence",
        "src/pubsub/personal.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#access-roster",
        "src/pubsub/access.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#access-whitelist",
        "src/pubsub/access.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#auto-create",
        "src/pubsub/personal.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#config-node",
        "src/pubsub/lists.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#config-node-max",
        "src/pubsub/personal.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#create-and-configure",
        "src/pubsub/nodes.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#create-nodes",
        "src/pubsub/nodes.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#delete-items",
        "src/pubsub/nodes.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#delete-nodes",
        "src/pubsub/nodes.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#get-pending",
        "src/pubsub/approve.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#instant-nodes",
        "src/pubsub/lists.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#item-ids",
        "src/pubsub/nodes.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#last-published",
        "src/pubsub/personal.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#leased-subscription",
        "src/pubsub/leases.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#manage-subscriptions",
        "src/pubsub/lists.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#member-affiliation",
        "src/pubsub/access.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#meta-data",
        "src/pubsub/nodes.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#modify-affiliations",
        "src/pubsub/nodes.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#multi-items",
        "src/pubsub/nodes.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#outcast-affiliation",
        "src/pubsub/access.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#persistent-items",
        "src/pubsub/nodes.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#publish",
        "src/pubsub/nodes.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#publish-only-affiliation",
        "src/pubsub/access.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#publish-options",
        "src/pubsub/personal.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#publisher-affiliation",
        "src/pubsub/nodes.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#purge-nodes",
        "src/pubsub/nodes.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#retract-items",
        "src/pubsub/nodes.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#retrieve-affiliations",
        "src/pubsub/nodes.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#retrieve-default",
        "src/pubsub/lists.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#retrieve-default-sub",
        "src/pubsub/options.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#retrieve-items",
        "src/pubsub/nodes.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#retrieve-subscriptions",
        "src/pubsub/nodes.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#subscribe",
        "src/pubsub/nodes.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#subscription-notifications",
        "src/pubsub/lists.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#subscription-options",
        "src/pubsub/options.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#auto-subscribe",
        "src/pubsub/personal.scs",
    ),
    (
        "http://jabber.org/protocol/pubsub#filtered-notifications",
        "src/pubsub/personal.scs",
    ),
    ("jid\\20escaping", "src/escape/escape.scs"),
    ("msgoffline", "src/offline/offline.scs"),
    (
        "urn:xmpp:bookmarks-conversion:0",
        "src/pubsub/bookmarks_pep.scs",
    ),
    ("urn:xmpp:bookmarks:1#compat", "src/pubsub/bookmarks.scs"),
    (
        "urn:xmpp:bookmarks:1#compat-pep",
        "src/pubsub/bookmarks_pep.scs",
    ),
    (
        "urn:xmpp:mds:server-assist:0",
        "src/displayed/displayed.scs",
    ),
    ("urn:ietf:params:xml:ns:vcard-4.0", "src/vcard4/vcard4.scs"),
    ("urn:xmpp:carbons:rules:0", "src/carbons/carbons.scs"),
    ("urn:xmpp:delay", "src/delay/forged.scs"),
    (
        "urn:xmpp:http:upload:purpose:0#ephemeral",
        "src/upload/quota.scs",
    ),
    (
        "urn:xmpp:http:upload:purpose:0#message",
        "src/upload/upload.scs",
    ),
    (
        "urn:xmpp:http:upload:purpose:0#permanent",
        "src/upload/upload.scs",
    ),
    (
        "urn:xmpp:http:upload:purpose:0#profile",
        "src/upload/quota.scs",
    ),
    (
        "urn:xmpp:pep-vcard-conversion:0",
        "src/avatars/new_to_old.scs",
    ),
    ("urn:xmpp:reporting:1", "src/report/report.scs"),
    ("urn:xmpp:fulltext:0", "src/mam/archive.scs"),
    ("urn:xmpp:mam:2#extended", "src/mam/archive.scs"),
    ("urn:xmpp:mam:2#groupchat-field", "src/mam/archive.scs"),
    ("urn:xmpp:message-retract:1", "src/mam/retract.scs"),
    (
        "urn:xmpp:message-retract:1#tombstone",
        "src/mam/retract.scs",
    ),
    (
        "urn:xmpp:pubsub-attachments:1",
        "src/pubsub/attachments/personal.scs",
    ),
    ("urn:xmpp:raa:0#embed-message", "src/standing/forged.scs"),
    (
        "urn:xmpp:raa:0#embed-presence-directed",
        "src/standing/forged.scs",
    ),
    (
        "urn:xmpp:raa:0#embed-presence-sub",
        "src/standing/forged.scs",
    ),
    ("urn:xmpp:sid:0", "src/stable_id/forged.scs"),
];

/// A request that a host answers, as its table has it.
type Request = (&'static str, &'static str, IqKind, Target, &'static str);

fn server(config: &str) -> InProcess {
    let romeo = Client {
        name: "Romeo".into(),
        jid: "romeo@localhost".into(),
        password: "secret".into(),
        resource: Some("orchard".into()),
    };
    let mut server = InProcess::new(std::slice::from_ref(&romeo));
    server.configure(config).unwrap();
    server.connect(&romeo).unwrap();
    server
}

fn without(module: &str) -> InProcess {
    server(&format!("[modules.{module}]\nenabled = false\n"))
}

fn requests(host: &VHost) -> Vec<Request> {
    host.requests().collect()
}

fn features(host: &VHost) -> BTreeSet<&'static str> {
    [Target::Own, Target::Account, Target::Host]
        .into_iter()
        .flat_map(|target| host.features(target))
        .collect()
}

/// Sends a request with an empty payload and returns the answer.
fn probe(server: &mut InProcess, (ns, name, kind, target, _): Request) -> String {
    let kind = match kind {
        IqKind::Get => "get",
        IqKind::Set => "set",
    };
    let to = match target {
        Target::Host => " to='localhost'",
        Target::Own | Target::Account => "",
    };
    let request = format!("<iq type='{kind}' id='probe'{to}><{name} xmlns='{ns}'/></iq>");
    server.send("Romeo", &request).unwrap();
    loop {
        match server.receive("Romeo").unwrap() {
            Arrival::Element(answer) if answer.contains("id='probe'") => return answer,
            // A push, for example.
            Arrival::Element(_) => {}
            silence => panic!("{request} is answered with {silence:?}"),
        }
    }
}

#[test]
fn each_module_has_a_name_of_its_own() {
    let server = server("");
    let host = server.host();
    let names: BTreeSet<&str> = host.modules().iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), host.modules().len());
}

#[test]
fn each_handled_namespace_is_advertised_or_silent_for_a_reason() {
    let server = server("");
    let host = server.host();
    let features = features(&host);
    for (ns, name, _, _, module) in requests(&host) {
        let advertised = features.iter().any(|feature| feature.starts_with(ns));
        let silent = SILENT.iter().any(|(silent, _)| *silent == ns);
        assert!(advertised != silent, "{module}: <{name} xmlns='{ns}'/>");
    }
}

#[test]
fn each_feature_has_a_request_or_a_transcript_that_shows_it() {
    let host = server("").host();
    let package = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for feature in features(&host) {
        let asked = requests(&host).iter().any(|request| request.0 == feature);
        let shown = PROMISES.iter().find(|(promise, _)| *promise == feature);
        assert!(asked != shown.is_some(), "{feature}");
        assert!(
            shown.is_none_or(|(_, file)| package.join(file).exists()),
            "{feature}"
        );
    }
}

#[test]
fn each_registered_request_is_answered_by_its_module() {
    let mut server = server("");
    for request in requests(&server.host()) {
        let answer = probe(&mut server, request);
        assert!(
            !answer.contains("service-unavailable"),
            "{request:?}: {answer}"
        );
    }
}

#[test]
fn a_module_that_is_off_is_neither_advertised_nor_answered() {
    let all = server("").host();
    for (module, _) in all.modules() {
        let mut server = without(module);
        let host = server.host();
        assert!(host.modules().iter().all(|(name, _)| name != module));
        assert!(features(&host).is_subset(&features(&all)), "{module}");
        let left: Vec<_> = requests(&host);
        assert!(left.iter().all(|request| request.4 != *module), "{module}");
        for request in requests(&all)
            .into_iter()
            .filter(|request| request.4 == *module)
        {
            let answer = probe(&mut server, request);
            assert!(
                answer.contains("service-unavailable"),
                "{request:?} while {module} is off: {answer}"
            );
        }
    }
}

#[test]
fn stanzas_pass_the_stages_in_this_order() {
    let host = server("").host();
    let mut order = String::new();
    for kind in [StanzaKind::Message, StanzaKind::Presence, StanzaKind::Iq] {
        for side in [Side::Sender, Side::Recipient] {
            let stages: Vec<String> = host
                .pipeline(kind, side)
                .map(|(stage, module)| format!("{stage:?} {module}"))
                .collect();
            order.push_str(&format!("{kind:?}, {side:?}: {}\n", stages.join(", ")));
        }
    }
    assert_eq!(
        order,
        include_str!("stages.txt"),
        "if this is meant, change stages.txt"
    );
}
