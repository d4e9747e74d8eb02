//! Whether a stanza means what the script shows.

use tercet_core::{Element, OwnedElement};

/// The prefix of what is meant for the comparison, declared by the wrapper around what a script expects.
const SCANSION: &str = "urn:scansion";
/// XEP-0359: what an archive adds.
const STANZA_ID: &str = "urn:xmpp:sid:0";
const ANY: &str = "{scansion:any}";
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// Parses what a script or a peer shows: any number of stanzas in `jabber:client`.
///
/// # Errors
/// A sentence about what is wrong with the XML.
pub(super) fn parse(xml: &str) -> Result<OwnedElement, String> {
    let wrapped = format!(
        "<all xmlns='jabber:client' xmlns:scansion='{SCANSION}' xmlns:stream='http://etherx.jabber.org/streams'>{}</all>",
        xml.trim()
    );
    OwnedElement::parse(wrapped.as_bytes(), "jabber:client")
        .map_err(|error| format!("not XML that a stream may carry: {error}"))
}

/// Compares a stanza; the error names the first difference with its place, like `message/body: …`.
pub(super) fn stanza(expected: Element<'_>, actual: Element<'_>) -> Result<(), String> {
    element(expected, actual, &Place::Stanza)
}

/// Where in the stanza a difference is.
enum Place<'a> {
    Stanza,
    Inside(&'a Place<'a>, &'a str),
}

impl Place<'_> {
    fn text(&self, name: &str) -> String {
        match self {
            Place::Stanza => name.to_owned(),
            Place::Inside(outer, parent) => format!("{}/{name}", outer.text(parent)),
        }
    }
}

fn element(expected: Element<'_>, actual: Element<'_>, place: &Place<'_>) -> Result<(), String> {
    let here = place.text(expected.name());
    if expected.name() != actual.name() {
        return Err(format!("{here}: <{}> is here", actual.name()));
    }
    if expected.ns() != actual.ns() {
        return Err(format!(
            "{here}: the namespace is \"{}\", not \"{}\"",
            actual.ns(),
            expected.ns()
        ));
    }
    let is_stanza = matches!(place, Place::Stanza);
    let strict = !matches!(
        expected.attr_ns(SCANSION, "strict").as_deref(),
        Some("false" | "no")
    );
    attributes(expected, actual, strict, is_stanza).map_err(|what| format!("{here}: {what}"))?;
    text(expected, actual).map_err(|what| format!("{here}: {what}"))?;
    children(expected, actual, strict, place, &here)
}

fn attributes(
    expected: Element<'_>,
    actual: Element<'_>,
    strict: bool,
    is_stanza: bool,
) -> Result<(), String> {
    for attribute in expected.attrs() {
        if attribute.ns == SCANSION {
            continue;
        }
        let name = attribute.name;
        let wanted = attribute.value;
        match actual.attr_ns(attribute.ns, name) {
            None => return Err(format!("the attribute {name} is missing")),
            Some(_) if wanted == ANY => {}
            Some(value) if value == wanted => {}
            Some(value) => return Err(format!("{name} is \"{value}\", not \"{wanted}\"")),
        }
    }
    if !strict {
        return Ok(());
    }
    for attribute in actual.attrs() {
        let excused = is_stanza && attribute.ns == XML && attribute.name == "lang";
        if !excused && expected.attr_ns(attribute.ns, attribute.name).is_none() {
            return Err(format!(
                "{}=\"{}\" was not expected",
                attribute.name, attribute.value
            ));
        }
    }
    Ok(())
}

fn text(expected: Element<'_>, actual: Element<'_>) -> Result<(), String> {
    let (wanted, value) = (expected.text(), actual.text());
    let (wanted, value) = (significant(&wanted), significant(&value));
    if wanted == value || wanted.trim() == ANY {
        return Ok(());
    }
    Err(format!("the text is \"{value}\", not \"{wanted}\""))
}

/// White space alone only lays the script out.
fn significant(text: &str) -> &str {
    if text.trim().is_empty() { "" } else { text }
}

fn children(
    expected: Element<'_>,
    actual: Element<'_>,
    strict: bool,
    place: &Place<'_>,
    here: &str,
) -> Result<(), String> {
    let inside = Place::Inside(place, expected.name());
    let shows_ids = expected.child("stanza-id", STANZA_ID).is_some();
    let mut came = actual
        .children()
        .filter(|child| shows_ids || !child.is("stanza-id", STANZA_ID));
    for wanted in expected.children() {
        if strict {
            let child = came
                .next()
                .ok_or_else(|| format!("{here}: <{}> is missing", wanted.name()))?;
            element(wanted, child, &inside)?;
        } else if !came.any(|child| element(wanted, child, &inside).is_ok()) {
            return Err(format!(
                "{here}: no <{}> as expected, in this order",
                wanted.name()
            ));
        }
    }
    match came.next() {
        Some(extra) if strict => Err(format!("{here}: <{}> was not expected", extra.name())),
        _ => Ok(()),
    }
}
