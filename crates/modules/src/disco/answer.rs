//! The answer about an entity, and the string that XEP-0115 hashes: two views of the same facts.

use std::collections::BTreeSet;

use tercet_core::{OwnedElement, XmlWriter};
use tercet_server::VHost;
use tercet_server::module::Target;

use super::{Form, Identity};

/// What is on for an account's own user besides what everybody may ask.
fn features(host: &VHost, target: Target, own: bool) -> BTreeSet<&'static str> {
    let mut features: BTreeSet<_> = host.features(target).collect();
    if own && target == Target::Account {
        features.extend(host.features(Target::Own));
    }
    features
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
    for identity in identities(host, target) {
        w.start("identity")
            .attr("category", identity.category)
            .attr("type", identity.kind);
        w.opt_attr("name", Some(identity.name).filter(|n| !n.is_empty()))
            .end();
    }
    for feature in features(host, target, own) {
        w.leaf("feature", &[("var", feature)]);
    }
    for form in forms(host, target) {
        w.raw(&form.0);
    }
}

/// The verification string of XEP-0115 §5.1 for the host, before hashing.
pub fn info_string(host: &VHost) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut identities: Vec<_> = identities(host, Target::Host).collect();
    identities.sort();
    lines.extend(
        identities
            .iter()
            .map(|i| format!("{}/{}//{}", i.category, i.kind, i.name)),
    );
    lines.extend(
        features(host, Target::Host, false)
            .into_iter()
            .map(String::from),
    );
    let mut forms: Vec<_> = forms(host, Target::Host)
        .filter_map(|f| form_lines(&f.0))
        .collect();
    forms.sort();
    lines.extend(forms.into_iter().flatten());
    lines
        .into_iter()
        .flat_map(|line| [line, "<".into()])
        .collect()
}

/// The lines of one form: its type, then its fields by name, each with its values in order.
fn form_lines(xml: &[u8]) -> Option<Vec<String>> {
    let form = OwnedElement::parse(xml, "").ok()?;
    let mut fields: Vec<(String, Vec<String>)> = Vec::new();
    for field in form.root().children().filter(|c| c.name() == "field") {
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
