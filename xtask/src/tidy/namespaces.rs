//! Namespaces of extensions stay in the crates that implement extensions: the server's core knows none.

use super::{Findings, Repo};
use crate::rust_source::is_test_file;

/// How a namespace of an extension begins. RFC 6120 and RFC 6121 have their own (`jabber:client`, `urn:ietf:params:xml:ns:…`), which may stand anywhere.
const EXTENSION: &[&str] = &[
    "http://jabber.org/",
    "urn:xmpp:",
    "jabber:iq:",
    "jabber:x:",
    "vcard-temp",
    "storage:bookmarks",
    "storage:rosternotes",
];

/// Where such a namespace may stand: modules implement extensions, streams negotiate some, the grammar is what several share.
const HOMES: &[&str] = &[
    "crates/modules/",
    "crates/stream/",
    "crates/core/src/grammar/",
    "crates/testkit/",
    "xtask/",
];

/// One namespace elsewhere: in which file or folder, what it starts with, and why.
type Exception = (&'static str, &'static str, &'static str);

const EXCEPTIONS: &[Exception] = &[
    (
        "crates/core/src/xml/ns.rs",
        "jabber:iq:roster",
        "the roster is RFC 6121 §2, not an extension",
    ),
    (
        "crates/core/src/xml/ns.rs",
        "urn:xmpp:features:rosterver",
        "the stream feature of RFC 6121 §2.6",
    ),
    (
        "crates/core/src/xml/ns.rs",
        "urn:xmpp:features:pre-approval",
        "the stream feature of RFC 6121 §3.4",
    ),
    (
        "crates/tercet/src/listen/http/discovery.rs",
        "urn:xmpp:alt-connections:",
        "XEP-0156 and XEP-0487 say where the listeners are, over HTTP: no stanza carries it",
    ),
    (
        "crates/tercet/src/config/",
        "http://jabber.org/protocol/pubsub",
        "an example: operators name the namespaces that a component may use",
    ),
    (
        "crates/tercet/src/config/",
        "urn:xmpp:mam:2",
        "an example likewise",
    ),
    (
        "crates/tercet/src/config/component.rs",
        "urn:xmpp:delegation:2",
        "what may be configured does not depend on the modules that are on",
    ),
    (
        "crates/tercet/src/listen/s2s/echoes.rs",
        "urn:xmpp:ping",
        "the driver asks whether a stream still carries what it writes: no module has a part in it",
    ),
];

/// Reports each string literal of production code that names an extension's namespace outside its homes.
pub(super) fn stay_where_they_belong(repo: &Repo, findings: &mut Findings) {
    for file in &repo.rust {
        let at_home = HOMES.iter().any(|home| file.path.starts_with(home));
        if at_home || is_test_file(&file.path) {
            continue;
        }
        for (line, string) in &file.source.strings {
            let named = EXTENSION.iter().find(|prefix| string.contains(**prefix));
            if named.is_none() || file.source.is_test(*line) {
                continue;
            }
            let excused = EXCEPTIONS.iter().any(|(place, namespace, _)| {
                file.path.starts_with(place) && string.contains(namespace)
            });
            if !excused {
                findings.fault(
                    &file.path,
                    *line,
                    format!(
                        "\"{string}\" belongs to an extension: it stands in crates/modules, or in EXCEPTIONS in xtask/src/tidy/namespaces.rs with a reason"
                    ),
                );
            }
        }
    }
}
