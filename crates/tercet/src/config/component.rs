//! Components: their tables, and the values that only these have.

use std::fmt;
use std::path::Path;

use toml::Spanned;
use toml::de::DeValue;
use zeroize::Zeroizing;

use super::fault::Problem;
use super::keys::ComponentKeys;
use super::section::{Effect, Reader, Section as _};
use super::value::{Domain, Value, from_string, quoted};
use super::{Host, Period, Rights, SecondConnection, Size};

/// A secret: not shown, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn parse(text: &str) -> Result<Password, String> {
        match text.is_empty() {
            true => Err("the secret is empty".into()),
            false => Ok(Password(Zeroizing::new(text.to_owned()))),
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Value for Password {
    fn expects() -> String {
        "a secret in quotes".into()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<Password> {
        from_string(value, Password::expects(), problems, Password::parse)
    }
    /// A secret is written nowhere.
    fn write(&self) -> Option<String> {
        None
    }
}

/// A few words for people, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(pub String);

impl Value for Text {
    fn expects() -> String {
        "a few words in quotes".into()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<Text> {
        from_string(value, Text::expects(), problems, |text| {
            match text.trim().is_empty() || text.chars().any(char::is_control) {
                true => Err(format!("{} is not {}", quoted(text), Text::expects())),
                false => Ok(Text(text.to_owned())),
            }
        })
    }
    fn write(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

/// Requests of a namespace, as in `http://jabber.org/protocol/pubsub=both`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The namespace.
    pub ns: String,
    /// Which of them.
    pub rights: Rights,
}

impl Value for Request {
    fn expects() -> String {
        "a namespace and \"get\", \"set\" or \"both\", such as \"http://jabber.org/protocol/pubsub=both\"".into()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<Request> {
        from_string(value, Request::expects(), problems, |text| {
            let parts = text.rsplit_once('=');
            let parts = parts.filter(|(ns, _)| is_namespace(ns));
            let request = parts.and_then(|(ns, word)| {
                let rights = [Rights::Get, Rights::Set, Rights::Both];
                let rights = rights.into_iter().find(|rights| rights.word() == word)?;
                let ns = ns.to_owned();
                Some(Request { ns, rights })
            });
            request.ok_or_else(|| format!("{} is not {}", quoted(text), Request::expects()))
        })
    }
    fn write(&self) -> Option<String> {
        Some(quoted(&format!("{}={}", self.ns, self.rights.word())))
    }
}

/// A namespace, with the attributes that count: `urn:xmpp:mam:2 node`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// The namespace.
    pub ns: String,
    /// Names of attributes.
    pub attributes: Vec<String>,
}

impl Value for Namespace {
    fn expects() -> String {
        "a namespace, with names of attributes behind it, such as \"urn:xmpp:mam:2 node\"".into()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<Namespace> {
        from_string(value, Namespace::expects(), problems, |text| {
            let mut words = text.split_whitespace().map(str::to_owned);
            let ns = words.next().filter(|ns| is_namespace(ns));
            let ns =
                ns.ok_or_else(|| format!("{} is not {}", quoted(text), Namespace::expects()))?;
            // XEP-0355 §7: that of delegation itself is not delegated.
            if ns == "urn:xmpp:delegation:2" {
                return Err(format!("{} cannot be delegated", quoted(&ns)));
            }
            let attributes = words.collect();
            Ok(Namespace { ns, attributes })
        })
    }
    fn write(&self) -> Option<String> {
        let words = std::iter::once(&self.ns).chain(&self.attributes);
        let words: Vec<_> = words.map(String::as_str).collect();
        Some(quoted(&words.join(" ")))
    }
}

fn is_namespace(text: &str) -> bool {
    let plain = |c: char| {
        !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '>' | '&' | '\'' | '"')
    };
    !text.is_empty() && text.chars().all(plain)
}

/// A component, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// Its domain.
    pub domain: Domain,
    /// What it has to know.
    pub secret: Password,
    /// The domain that it belongs to; one of those served.
    pub host: Domain,
    /// The name under which it is listed; `None` where it is not.
    pub name: Option<String>,
    /// Whether it speaks for the domains below its own.
    pub subdomains: bool,
    /// What becomes of a second connection.
    pub second_connection: SecondConnection,
    /// How long stanzas wait for it to come back.
    pub queue_time: Period,
    /// Bytes that may wait for it.
    pub queue_bytes: Size,
    /// What it may do with rosters.
    pub roster: Rights,
    /// Whether it hears of changes in them.
    pub roster_push: bool,
    /// Whether it sends messages in the name of others.
    pub messages: bool,
    /// Whether it hears of presence.
    pub presence: bool,
    /// Whether it hears of that of contacts, too.
    pub contact_presence: bool,
    /// Requests that it may make in the name of others.
    pub requests: Vec<Request>,
    /// Namespaces that it answers for.
    pub delegated: Vec<Namespace>,
}

/// Reads the tables `[[component]]`. Those with faults are left out.
pub(super) fn read_all(
    reader: &mut Reader<'_>,
    text: &str,
    hosts: &[Host],
    folder: &Path,
) -> Vec<Component> {
    let mut components: Vec<Component> = Vec::new();
    for table in reader.tables(ComponentKeys::TABLE) {
        let mut inner = Reader::new(text, ComponentKeys::TABLE, table);
        if let Some(component) = read(&mut inner, hosts, folder) {
            let domain = component.domain.as_str();
            let served = hosts.iter().any(|host| {
                host.domain.as_str() == domain || host.services().any(|service| service == domain)
            });
            let answers = |other: &Component, ns: &str| {
                other.host == component.host && other.delegated.iter().any(|d| d.ns == ns)
            };
            let mut delegated = component.delegated.iter();
            let twice = delegated.find(|d| components.iter().any(|other| answers(other, &d.ns)));
            if let Some(twice) = twice {
                let reason = format!(
                    "another component answers for {} already",
                    quoted(&twice.ns)
                );
                inner.fault("delegated", reason);
            } else if served
                || components
                    .iter()
                    .any(|other| other.domain == component.domain)
            {
                inner.fault("domain", format!("{domain} is served already"));
            } else {
                components.push(component);
            }
        }
        reader.adopt(inner.finish());
    }
    components
}

fn read(reader: &mut Reader<'_>, hosts: &[Host], folder: &Path) -> Option<Component> {
    let keys = ComponentKeys::read(reader, &ComponentKeys::default());
    if !reader.has("domain") {
        reader.fault("", "every [[component]] needs its own domain");
    }
    let secret = match (keys.secret, keys.secret_file) {
        (Some(secret), None) => Some(secret),
        (None, Some(file)) => secret_in(&folder.join(file))
            .map_err(|reason| reader.fault("secret_file", reason))
            .ok(),
        (None, None) if reader.has("secret") || reader.has("secret_file") => None,
        _ => {
            reader.fault(
                "secret",
                "every [[component]] has either a secret or a secret_file",
            );
            None
        }
    };
    if keys.contact_presence && !matches!(keys.roster, Rights::Get | Rights::Both) {
        // XEP-0356 §8.1: who hears of contacts may read who they are.
        let reason = "it needs `roster = \"get\"` or `roster = \"both\"`";
        reader.fault("contact_presence", reason);
    }
    let domain = keys.domain?;
    let host = match keys.host {
        Some(host) if hosts.iter().all(|served| served.domain != host) => {
            let reason = format!("{} is none of the domains that are served", host.as_str());
            reader.fault("host", reason);
            return None;
        }
        Some(host) => host,
        None => parent(&domain, hosts)?,
    };
    let name = keys
        .name
        .map_or_else(|| domain.as_str().to_owned(), |name| name.0);
    Some(Component {
        secret: secret?,
        host,
        name: keys.listed.then_some(name),
        subdomains: keys.subdomains,
        second_connection: keys.second_connection,
        queue_time: keys.queue_time,
        queue_bytes: keys.queue_bytes,
        roster: keys.roster,
        roster_push: keys.roster_push,
        messages: keys.messages,
        presence: keys.presence,
        contact_presence: keys.contact_presence,
        requests: keys.requests,
        delegated: keys.delegated,
        domain,
    })
}

/// The host that a domain lies below, the nearest one, or else the first.
fn parent(domain: &Domain, hosts: &[Host]) -> Option<Domain> {
    let below = |host: &&Host| {
        let rest = domain.as_str().strip_suffix(host.domain.as_str());
        rest.is_some_and(|rest| rest.ends_with('.'))
    };
    let nearest = hosts
        .iter()
        .filter(below)
        .max_by_key(|host| host.domain.as_str().len());
    nearest.or(hosts.first()).map(|host| host.domain.clone())
}

/// The first line of a file.
pub(super) fn secret_in(file: &Path) -> Result<Password, String> {
    let text = std::fs::read_to_string(file).map(Zeroizing::new);
    let text = text.map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    Password::parse(text.lines().next().unwrap_or_default().trim())
}

/// What has changed, and when it takes effect. The port is opened at the start, where there is a component.
pub(super) fn changes(before: &[Component], after: &[Component]) -> Vec<(String, Effect)> {
    let effect = match before.is_empty() {
        true => Effect::Restart,
        false => Effect::Live,
    };
    let missing = |from: &[Component], component: &Component| !from.contains(component);
    let mut changes: Vec<_> = before
        .iter()
        .filter(|component| missing(after, component))
        .chain(after.iter().filter(|component| missing(before, component)))
        .map(|component| (format!("component {}", component.domain.as_str()), effect))
        .collect();
    changes.sort_by(|a, b| a.0.cmp(&b.0));
    changes.dedup();
    changes
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    const TWO: &str = "domain = \"example.org\"\n[[host]]\ndomain = \"b.example.org\"\n";

    fn good(text: &str) -> Vec<Component> {
        let (config, faults) = Config::parse(text, Path::new(""));
        assert_eq!(faults, [], "{text}");
        config.components
    }

    fn fault(text: &str) -> String {
        let (_, faults) = Config::parse(text, Path::new(""));
        let [fault] = &faults[..] else {
            panic!("{text}: {faults:?}");
        };
        format!("{}: {}", fault.key, fault.message)
    }

    #[test]
    fn a_component_belongs_to_the_domain_that_its_own_ends_in() {
        for (domain, host) in [
            ("irc.example.org", "example.org"),
            ("irc.b.example.org", "b.example.org"),
            ("irc.example.net", "example.org"),
            ("xb.example.org", "example.org"),
        ] {
            let text = format!("{TWO}[[component]]\ndomain = \"{domain}\"\nsecret = \"s\"\n");
            let components = good(&text);
            assert_eq!(components[0].host.as_str(), host, "{domain}");
            assert_eq!(components[0].name.as_deref(), Some(domain));
        }
        let named = "[[component]]\ndomain = \"x\"\nsecret = \"s\"\nhost = \"b.example.org\"\nlisted = false\n";
        let component = &good(&format!("{TWO}{named}"))[0];
        assert_eq!(
            (component.host.as_str(), &component.name),
            ("b.example.org", &None)
        );
    }

    #[test]
    fn what_a_component_lacks_is_said() {
        for (table, expected) in [
            (
                "secret = \"s\"",
                "component: every [[component]] needs its own domain",
            ),
            (
                "domain = \"a\"",
                "component.secret: every [[component]] has either a secret or a secret_file",
            ),
            (
                "domain = \"a\"\nsecret = \"\"",
                "component.secret: the secret is empty",
            ),
            (
                "domain = \"a\"\nsecret = \"s\"\nhost = \"c\"",
                "component.host: c is none of the domains that are served",
            ),
            (
                "domain = \"example.org\"\nsecret = \"s\"",
                "component.domain: example.org is served already",
            ),
            (
                "domain = \"rooms.example.org\"\nsecret = \"s\"",
                "component.domain: rooms.example.org is served already",
            ),
            (
                "domain = \"a\"\nsecret = \"s\"\nsecrt = 1",
                "component.secrt: unknown key",
            ),
        ] {
            let said = fault(&format!("{TWO}[[component]]\n{table}\n"));
            assert_eq!(said, expected);
        }
        let both = "secret = \"s\"\nsecret_file = \"f\"";
        let said = fault(&format!("{TWO}[[component]]\ndomain = \"a\"\n{both}\n"));
        assert!(said.contains("either a secret or a secret_file"), "{said}");
        let gone = "domain = \"a\"\nsecret_file = \"/nonexistent/secret\"";
        let said = fault(&format!("{TWO}[[component]]\n{gone}\n"));
        assert!(
            said.contains("/nonexistent/secret cannot be read"),
            "{said}"
        );
    }

    #[test]
    fn what_a_component_may_do_beyond_its_domain_is_named_by_namespace() {
        let table = "[[component]]\ndomain = \"a\"\nsecret = \"s\"\n";
        assert_eq!(good(table)[0].roster, Rights::None);
        let keys = "roster = \"both\"\nrequests = [\"urn:x=get\"]\ndelegated = [\"urn:y\", \"urn:z node other\"]\n";
        let component = &good(&format!("{table}{keys}"))[0];
        assert_eq!(
            (component.roster, component.messages),
            (Rights::Both, false)
        );
        let request = &component.requests[0];
        assert_eq!((&*request.ns, request.rights), ("urn:x", Rights::Get));
        assert_eq!(component.delegated[1].attributes, ["node", "other"]);
        for (wrong, said) in [
            ("requests = [\"urn:x\"]", "is not a namespace"),
            ("requests = [\"urn:x=none\"]", "is not a namespace"),
            ("requests = [\"=get\"]", "is not a namespace"),
            ("delegated = [\"\"]", "is not a namespace"),
            (
                "delegated = [\"urn:xmpp:delegation:2\"]",
                "cannot be delegated",
            ),
            ("roster = \"all\"", "is not"),
        ] {
            let fault = fault(&format!("{table}{wrong}\n"));
            assert!(fault.contains(said), "{wrong}: {fault}");
        }
        let other = table.replace("\"a\"", "\"b\"");
        let keys = "delegated = [\"urn:y\"]\n";
        let said = fault(&format!("{table}{keys}{other}{keys}"));
        assert!(said.contains("another component answers"), "{said}");
    }

    #[test]
    fn a_secret_is_the_first_line_of_its_file() {
        let path = std::env::temp_dir().join(format!("tercet-secret-{}", std::process::id()));
        std::fs::write(&path, "from the file \nnot this\n").unwrap();
        let text = format!(
            "[[component]]\ndomain = \"a\"\nsecret_file = \"{}\"\n",
            path.display()
        );
        let components = good(&text);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(components[0].secret.reveal(), "from the file");
        assert!(!format!("{components:?}").contains("from the file"));
    }

    #[test]
    fn changes_are_told_by_component() {
        let of = |tables: &str| good(&format!("{TWO}{tables}"));
        let a = "[[component]]\ndomain = \"a\"\nsecret = \"s\"\n";
        let b = "[[component]]\ndomain = \"b\"\nsecret = \"s\"\n";
        assert_eq!(changes(&of(a), &of(a)), []);
        assert_eq!(
            changes(&[], &of(a)),
            [("component a".into(), Effect::Restart)]
        );
        let other = a.replace("\"s\"", "\"t\"");
        assert_eq!(
            changes(&of(a), &of(&other)),
            [("component a".into(), Effect::Live)]
        );
        let expected = ["a", "b"].map(|name| (format!("component {name}"), Effect::Live));
        assert_eq!(changes(&of(a), &of(b)), expected);
    }
}
