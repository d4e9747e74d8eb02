//! The answer about an entity, and the string that XEP-0115 hashes: two views of the same facts.

use std::collections::BTreeSet;
use std::sync::Arc;

use tercet_core::{Element, OwnedElement, XmlWriter};
use tercet_server::VHost;
use tercet_server::module::Target;

use super::{Form, Identity, Said};

/// What is on for an account's own user besides what everybody may ask.
fn features(host: &VHost, target: Target, own: bool) -> BTreeSet<&str> {
    let mut features: BTreeSet<_> = host.features(target).collect();
    if own && target == Target::Account {
        features.extend(host.features(Target::Own));
    }
    features
}

/// Whether a feature is of a namespace: that itself, or a part of it behind `#`.
fn is_of(var: &str, ns: &str) -> bool {
    let rest = var.strip_prefix(ns);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('#'))
}

fn identities(host: &VHost, target: Target) -> impl Iterator<Item = &Identity> {
    host.provided::<Identity>()
        .filter(move |i| i.target == target)
}

/// The forms; only the host has any.
fn forms(host: &VHost, target: Target) -> impl Iterator<Item = &Form> {
    host.provided::<Form>()
        .filter(move |_| target == Target::Host)
}

/// Writes identities, features and forms of the host or of an account; `own` if the account's user asks.
pub fn write_info(host: &VHost, target: Target, own: bool, w: &mut XmlWriter) {
    write_info_instead(host, target, own, &[], w);
}

/// The same, where others say something in its place.
pub(super) fn write_info_instead(
    host: &VHost,
    target: Target,
    own: bool,
    instead: &[Arc<Said>],
    w: &mut XmlWriter,
) {
    let told = |identity: &Identity| {
        let mut told = instead.iter().flat_map(|said| &said.identities);
        told.any(|(category, kind)| category == identity.category && kind == identity.kind)
    };
    for identity in identities(host, target).filter(|identity| !told(identity)) {
        w.start("identity")
            .attr("category", identity.category)
            .attr("type", identity.kind);
        w.opt_attr("name", Some(identity.name).filter(|n| !n.is_empty()))
            .end();
    }
    // XEP-0355 §6.2.1: of a delegated namespace the features are those of who answers for it.
    let theirs = |var: &str| instead.iter().any(|said| is_of(var, &said.ns));
    let mut vars = features(host, target, own);
    vars.retain(|var| !theirs(var));
    vars.extend(
        instead
            .iter()
            .flat_map(|said| &said.features)
            .map(String::as_str),
    );
    for feature in vars {
        w.leaf("feature", &[("var", feature)]);
    }
    for form in forms(host, target) {
        w.raw(&form.0);
    }
    for said in instead {
        w.raw(&said.rest);
    }
}

/// The verification string of XEP-0115 §5.1 for the host, before hashing.
pub fn info_string(host: &VHost) -> String {
    verification_string(
        identities(host, Target::Host).map(|i| format!("{}/{}//{}", i.category, i.kind, i.name)),
        features(host, Target::Host, false)
            .into_iter()
            .map(String::from),
        forms(host, Target::Host).filter_map(|f| form_lines(&f.0)),
    )
}

/// The verification string of XEP-0115 §5.1 for an answer that somebody else has given.
pub fn string_of(query: Element<'_>) -> String {
    let children = |name: &'static str| query.children().filter(move |c| c.name() == name);
    let attr = |el: Element<'_>, name: &str| el.attr(name).map(|v| v.into_owned());
    let identities = children("identity").map(|i| {
        let lang = i.attr_ns(tercet_core::ns::XML, "lang").unwrap_or_default();
        let [category, kind, name] =
            ["category", "type", "name"].map(|name| attr(i, name).unwrap_or_default());
        format!("{category}/{kind}/{lang}/{name}")
    });
    let features = children("feature").filter_map(|f| attr(f, "var"));
    let forms = children("x").filter_map(|x| fields_lines(x));
    verification_string(identities, features, forms)
}

/// The string over `identities` (`category/type/lang/name`), `features` and `forms` (the lines of each).
fn verification_string(
    identities: impl Iterator<Item = String>,
    features: impl Iterator<Item = String>,
    forms: impl Iterator<Item = Vec<String>>,
) -> String {
    let (mut identities, mut features): (Vec<_>, Vec<_>) =
        (identities.collect(), features.collect());
    let mut forms: Vec<_> = forms.collect();
    // XEP-0115 §5.1: by octets, which is how strings compare.
    identities.sort();
    features.sort();
    forms.sort();
    let lines = identities.into_iter().chain(features);
    lines
        .chain(forms.into_iter().flatten())
        .flat_map(|line| [line, "<".into()])
        .collect()
}

/// The lines of one form: its type, then its fields by name, each with its values in order.
fn form_lines(xml: &[u8]) -> Option<Vec<String>> {
    let form = OwnedElement::parse(xml, "").ok()?;
    fields_lines(form.root())
}

fn fields_lines(form: Element<'_>) -> Option<Vec<String>> {
    let mut fields: Vec<(String, Vec<String>)> = Vec::new();
    for field in form.children().filter(|c| c.name() == "field") {
        let values = field.children().filter(|v| v.name() == "value");
        let mut values: Vec<_> = values.map(|v| v.text().into_owned()).collect();
        values.sort();
        fields.push((field.attr("var")?.into_owned(), values));
    }
    fields.sort();
    let form_type = fields.iter().position(|(var, _)| var == "FORM_TYPE")?;
    let (_, form_type) = fields.remove(form_type);
    let mut lines = form_type;
    for (var, values) in fields {
        lines.push(var);
        lines.extend(values);
    }
    Some(lines)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The strings of XEP-0115 §5.2 and §5.3.
    pub(crate) fn examples() -> [String; 2] {
        let features = [
            "http://jabber.org/protocol/muc",
            "http://jabber.org/protocol/disco#items",
            "http://jabber.org/protocol/caps",
            "http://jabber.org/protocol/disco#info",
        ];
        let features = || features.into_iter().map(String::from);
        let form = b"<x xmlns='jabber:x:data' type='result'>\
            <field var='software'><value>Psi</value></field>\
            <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>\
            <field var='ip_version'><value>ipv6</value><value>ipv4</value></field>\
            <field var='os'><value>Mac</value></field>\
            <field var='software_version'><value>0.11</value></field>\
            <field var='os_version'><value>10.5.1</value></field></x>";
        let simple = ["client/pc//Exodus 0.9.1"].map(String::from);
        let complex = ["client/pc/en/Psi 0.11", "client/pc/el/Ψ 0.11"].map(String::from);
        [
            verification_string(simple.into_iter(), features(), std::iter::empty()),
            verification_string(
                complex.into_iter(),
                features(),
                form_lines(form).into_iter(),
            ),
        ]
    }

    #[test]
    fn identities_features_and_forms_are_sorted() {
        let [_, complex] = examples();
        assert_eq!(
            complex,
            "client/pc/el/Ψ 0.11<client/pc/en/Psi 0.11<http://jabber.org/protocol/caps<\
             http://jabber.org/protocol/disco#info<http://jabber.org/protocol/disco#items<\
             http://jabber.org/protocol/muc<urn:xmpp:dataforms:softwareinfo<ip_version<ipv4<ipv6<\
             os<Mac<os_version<10.5.1<software<Psi<software_version<0.11<"
        );
    }
}
