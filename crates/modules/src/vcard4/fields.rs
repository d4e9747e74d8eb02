//! The fields that both formats know (XEP-0292, "Mapping from vcard-temp to vCard4"): the table from which they are read and written.
//!
//! Whatever is not in the table stays where it is: pictures, sounds, keys and labels in the older format; genders, languages, relations
//! and the like in the newer one.

use tercet_core::{Element, OwnedElement, XmlWriter};

use crate::vcard;

/// The namespace of the newer format (RFC 6351).
pub const NS: &str = "urn:ietf:params:xml:ns:vcard-4.0";

/// Fields of one vCard that are looked at.
const FIELDS: usize = 200;

/// How a field looks in both formats.
enum Shape {
    /// Text; in the newer format in this element, behind a scheme.
    Text(&'static str, &'static str),
    /// Several texts: with commas between them in the older format.
    Commas,
    /// A text in an element in the older format, with types; in the newer one in this, behind a scheme.
    Typed(&'static str, &'static str, &'static str),
    /// Parts, by their names in both, with types.
    Parts(&'static [(&'static str, &'static str)]),
    /// Several texts: in the older format in such an element, and then in such.
    List(&'static str, &'static str),
    /// Latitude and longitude.
    Place,
}

/// A field: its names in both formats.
struct Row {
    old: &'static str,
    new: &'static str,
    shape: Shape,
}

const fn row(old: &'static str, new: &'static str, shape: Shape) -> Row {
    Row { old, new, shape }
}

const NAME: &[(&str, &str)] = &[
    ("FAMILY", "surname"),
    ("GIVEN", "given"),
    ("MIDDLE", "additional"),
    ("PREFIX", "prefix"),
    ("SUFFIX", "suffix"),
];
const ADDRESS: &[(&str, &str)] = &[
    ("POBOX", "pobox"),
    ("EXTADD", "ext"),
    ("STREET", "street"),
    ("LOCALITY", "locality"),
    ("REGION", "region"),
    ("PCODE", "code"),
    ("CTRY", "country"),
];

/// Every field, in the order in which it is written.
static TABLE: &[Row] = &[
    row("FN", "fn", Shape::Text("text", "")),
    row("N", "n", Shape::Parts(NAME)),
    row("NICKNAME", "nickname", Shape::Commas),
    row("BDAY", "bday", Shape::Text("date", "")),
    row("ADR", "adr", Shape::Parts(ADDRESS)),
    row("TEL", "tel", Shape::Typed("NUMBER", "uri", "tel:")),
    row("EMAIL", "email", Shape::Typed("USERID", "text", "")),
    row("JABBERID", "impp", Shape::Text("uri", "xmpp:")),
    row("TZ", "tz", Shape::Text("text", "")),
    row("GEO", "geo", Shape::Place),
    row("TITLE", "title", Shape::Text("text", "")),
    row("ROLE", "role", Shape::Text("text", "")),
    row("ORG", "org", Shape::List("ORGNAME", "ORGUNIT")),
    row(
        "CATEGORIES",
        "categories",
        Shape::List("KEYWORD", "KEYWORD"),
    ),
    row("DESC", "note", Shape::Text("text", "")),
    row("NOTE", "note", Shape::Text("text", "")),
    row("URL", "url", Shape::Text("uri", "")),
    row("UID", "uid", Shape::Text("uri", "")),
];

/// What an address, number or the like is for: the names in both formats.
const TYPES: &[(&str, &str)] = &[
    ("HOME", "home"),
    ("WORK", "work"),
    ("VOICE", "voice"),
    ("FAX", "fax"),
    ("PAGER", "pager"),
    ("CELL", "cell"),
    ("VIDEO", "video"),
];

/// One field of a vCard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its row.
    row: usize,
    /// Which of [`TYPES`] it has, a bit each.
    types: u8,
    /// It is preferred to others.
    preferred: bool,
    /// Its texts: the value, or one for each part.
    texts: Vec<String>,
}

impl Field {
    fn new(row: usize, texts: Vec<String>) -> Option<Field> {
        let said = texts.iter().any(|text| !text.is_empty());
        said.then_some(Field {
            row,
            types: 0,
            preferred: false,
            texts,
        })
    }
}

fn text(el: Element<'_>) -> String {
    el.text().trim().to_owned()
}

/// The fields of an older vCard.
pub fn of_old(card: Element<'_>) -> Vec<Field> {
    let children = card.children().filter(|c| c.ns() == vcard::NS);
    in_order(children.filter_map(old_field).collect())
}

/// The fields of a newer vCard.
pub fn of_new(card: Element<'_>) -> Vec<Field> {
    let children = card.children().filter(|c| c.ns() == NS);
    in_order(children.filter_map(new_field).collect())
}

/// The same in the order of the table, each once: two vCards that say the same are the same.
fn in_order(mut fields: Vec<Field>) -> Vec<Field> {
    fields.sort_by_key(|field| field.row);
    fields.dedup();
    fields.truncate(FIELDS);
    fields
}

fn old_field(el: Element<'_>) -> Option<Field> {
    let mut row = TABLE.iter().position(|row| row.old == el.name())?;
    // What clients show as a description was a note elsewhere.
    if TABLE[row].old == "NOTE" {
        row = TABLE.iter().position(|row| row.old == "DESC")?;
    }
    let part = |name| el.child(name, vcard::NS).map(text).unwrap_or_default();
    let texts = match &TABLE[row].shape {
        Shape::Text(..) => vec![text(el)],
        Shape::Commas => {
            let all = text(el);
            let all = all.split(',').map(|one| one.trim().to_owned());
            all.filter(|one| !one.is_empty()).collect()
        }
        Shape::Typed(name, ..) => vec![part(name)],
        Shape::Parts(parts) => parts.iter().map(|(old, _)| part(old)).collect(),
        Shape::List(first, then) => {
            let all = el
                .children()
                .filter(|c| [*first, *then].contains(&c.name()));
            all.map(text).filter(|text| !text.is_empty()).collect()
        }
        Shape::Place => {
            let place = vec![part("LAT"), part("LON")];
            let is_place = place.iter().all(|text| !text.contains([',', ';']));
            is_place.then_some(place)?
        }
    };
    let mut field = Field::new(row, texts)?;
    if let Shape::Typed(..) | Shape::Parts(_) = TABLE[row].shape {
        let has = |name: &str| el.child(name, vcard::NS).is_some();
        field.types = types(|(old, _)| has(old));
        field.preferred = has("PREF");
    }
    Some(field)
}

fn new_field(el: Element<'_>) -> Option<Field> {
    let row = TABLE.iter().position(|row| row.new == el.name())?;
    let values = el.children().filter(|c| !c.is("parameters", NS));
    let first = el.children().find(|c| !c.is("parameters", NS));
    let value = || first.map(text).unwrap_or_default();
    let part = |name| el.child(name, NS).map(text).unwrap_or_default();
    let texts = match &TABLE[row].shape {
        Shape::Text("uri", scheme) if !scheme.is_empty() => {
            vec![value().strip_prefix(scheme)?.to_owned()]
        }
        Shape::Text(..) => vec![value()],
        Shape::Typed(_, _, scheme) => {
            let value = value();
            // An address has a scheme; other text is the number as people write it.
            let is_address = first.is_some_and(|c| c.name() == "uri");
            let number = value.strip_prefix(scheme).filter(|_| is_address);
            vec![number.unwrap_or(&value).to_owned()]
        }
        Shape::Parts(parts) => parts.iter().map(|(_, new)| part(new)).collect(),
        Shape::Commas | Shape::List(..) => {
            values.map(text).filter(|text| !text.is_empty()).collect()
        }
        Shape::Place => {
            let value = value();
            let (lat, lon) = value.strip_prefix("geo:")?.split_once(',')?;
            let lon = lon.split([',', ';']).next().unwrap_or_default();
            vec![lat.to_owned(), lon.to_owned()]
        }
    };
    let mut field = Field::new(row, texts)?;
    if let Shape::Typed(..) | Shape::Parts(_) = TABLE[row].shape
        && let Some(parameters) = el.child("parameters", NS)
    {
        let named = parameters.child("type", NS);
        let named = named.iter().flat_map(|t| t.children()).map(text);
        let named: Vec<String> = named.map(|name| name.to_ascii_lowercase()).collect();
        field.types = types(|(_, new)| named.iter().any(|name| name == new));
        field.preferred = parameters.child("pref", NS).is_some();
    }
    Some(field)
}

fn types(has: impl Fn(&(&str, &str)) -> bool) -> u8 {
    let named = TYPES.iter().enumerate().filter(|(_, t)| has(t));
    named.fold(0, |types, (bit, _)| types | 1 << bit)
}

impl Field {
    fn types(&self) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
        let types = self.types;
        let all = TYPES.iter().enumerate();
        all.filter(move |(bit, _)| types & 1 << bit != 0)
            .map(|(_, t)| t)
    }

    fn write_old(&self, w: &mut XmlWriter) {
        let row = &TABLE[self.row];
        w.start(row.old);
        if let Shape::Typed(..) | Shape::Parts(_) = row.shape {
            self.types().for_each(|(old, _)| {
                w.leaf(old, &[]);
            });
            if row.old == "EMAIL" {
                // XEP-0054: the usual type.
                w.leaf("INTERNET", &[]);
            }
            if self.preferred {
                w.leaf("PREF", &[]);
            }
        }
        let parts = |w: &mut XmlWriter, names: &mut dyn Iterator<Item = &str>| {
            for (name, text) in names.zip(&self.texts).filter(|(_, t)| !t.is_empty()) {
                w.text_element(name, text);
            }
        };
        match &row.shape {
            Shape::Text(..) | Shape::Commas => {
                w.text(&self.texts.join(","));
            }
            Shape::Typed(name, ..) => parts(w, &mut [*name].into_iter()),
            Shape::Parts(names) => parts(w, &mut names.iter().map(|(old, _)| *old)),
            Shape::List(first, then) => {
                parts(w, &mut [*first].into_iter().chain(std::iter::repeat(*then)));
            }
            Shape::Place => parts(w, &mut ["LAT", "LON"].into_iter()),
        }
        w.end();
    }

    fn write_new(&self, w: &mut XmlWriter) {
        let row = &TABLE[self.row];
        w.start(row.new);
        if self.types != 0 || self.preferred {
            w.start("parameters");
            if self.types != 0 {
                w.start("type");
                self.types().for_each(|(_, new)| {
                    w.text_element("text", new);
                });
                w.end();
            }
            if self.preferred {
                w.start("pref").text_element("integer", "1").end();
            }
            w.end();
        }
        let first = self.texts.first().map_or("", String::as_str);
        match &row.shape {
            Shape::Typed(_, "uri", scheme) if !is_number(first) => {
                // What people write between the digits has no place in an address.
                debug_assert!(!scheme.is_empty());
                w.text_element("text", first);
            }
            Shape::Text(name, scheme) | Shape::Typed(_, name, scheme) => {
                w.text_element(name, &format!("{scheme}{first}"));
            }
            Shape::Commas | Shape::List(..) => {
                for text in &self.texts {
                    w.text_element("text", text);
                }
            }
            Shape::Parts(names) => {
                for ((_, new), text) in names.iter().zip(&self.texts) {
                    w.text_element(new, text);
                }
            }
            Shape::Place => {
                w.text_element("uri", &format!("geo:{}", self.texts.join(",")));
            }
        }
        w.end();
    }
}

/// Whether it can stand in a `tel:` address as it is (RFC 3966 §3).
fn is_number(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_digit() || "+-.()".contains(c))
}

/// An older vCard with these fields, and what else `before` has.
pub fn old_with(fields: &[Field], before: Option<&[u8]>) -> Vec<u8> {
    let known = |el: Element<'_>| el.ns() == vcard::NS && TABLE.iter().any(|r| r.old == el.name());
    let mut w = XmlWriter::new();
    w.start("vCard").attr("xmlns", vcard::NS);
    fields.iter().for_each(|field| field.write_old(&mut w));
    write_rest(before, known, &mut w);
    w.end();
    w.finish()
}

/// A newer vCard with these fields, and what else `before` has.
pub fn new_with(fields: &[Field], before: Option<&[u8]>) -> Vec<u8> {
    let known = |el: Element<'_>| el.ns() == NS && new_field(el).is_some();
    let mut w = XmlWriter::new();
    w.start("vcard").attr("xmlns", NS);
    fields.iter().for_each(|field| field.write_new(&mut w));
    write_rest(before, known, &mut w);
    w.end();
    w.finish()
}

/// Writes what is no field of the table.
fn write_rest(before: Option<&[u8]>, known: impl Fn(Element<'_>) -> bool, w: &mut XmlWriter) {
    let Some(before) = before.and_then(|xml| OwnedElement::parse(xml, "").ok()) else {
        return;
    };
    for other in before.root().children().filter(|c| !known(*c)) {
        let mut xml = Vec::new();
        other.to_xml(&mut xml);
        w.raw(&xml);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "<vCard xmlns='vcard-temp'><FN>Peter Saint-Andre</FN>\
        <N><FAMILY>Saint-Andre</FAMILY><GIVEN>Peter</GIVEN></N><NICKNAME>stpeter,psa</NICKNAME><BDAY>1966-08-06</BDAY>\
        <ADR><WORK/><PREF/><EXTADD>Suite 600</EXTADD><STREET>1899 Wynkoop Street</STREET><LOCALITY>Denver</LOCALITY>\
        <REGION>CO</REGION><PCODE>80202</PCODE><CTRY>USA</CTRY></ADR>\
        <TEL><WORK/><VOICE/><NUMBER>+1-303-308-3282</NUMBER></TEL><TEL><HOME/><NUMBER>303 555 12</NUMBER></TEL>\
        <EMAIL><HOME/><INTERNET/><USERID>stpeter@jabber.org</USERID></EMAIL><JABBERID>stpeter@jabber.org</JABBERID>\
        <TZ>-07:00</TZ><GEO><LAT>39.59</LAT><LON>-105.01</LON></GEO><TITLE>Executive Director</TITLE>\
        <ROLE>Patron Saint</ROLE><ORG><ORGNAME>XSF</ORGNAME><ORGUNIT>Board</ORGUNIT></ORG>\
        <CATEGORIES><KEYWORD>a</KEYWORD><KEYWORD>b</KEYWORD></CATEGORIES><DESC>More &amp; more</DESC>\
        <URL>https://stpeter.im/</URL><UID>urn:uuid:1</UID></vCard>";
    const NEW: &str = "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><fn><text>Peter Saint-Andre</text></fn>\
        <n><surname>Saint-Andre</surname><given>Peter</given><additional/><prefix/><suffix/></n>\
        <nickname><text>stpeter</text><text>psa</text></nickname><bday><date>1966-08-06</date></bday>\
        <adr><parameters><type><text>work</text></type><pref><integer>1</integer></pref></parameters><pobox/>\
        <ext>Suite 600</ext><street>1899 Wynkoop Street</street><locality>Denver</locality><region>CO</region>\
        <code>80202</code><country>USA</country></adr>\
        <tel><parameters><type><text>work</text><text>voice</text></type></parameters><uri>tel:+1-303-308-3282</uri></tel>\
        <tel><parameters><type><text>home</text></type></parameters><text>303 555 12</text></tel>\
        <email><parameters><type><text>home</text></type></parameters><text>stpeter@jabber.org</text></email>\
        <impp><uri>xmpp:stpeter@jabber.org</uri></impp><tz><text>-07:00</text></tz><geo><uri>geo:39.59,-105.01</uri></geo>\
        <title><text>Executive Director</text></title><role><text>Patron Saint</text></role>\
        <org><text>XSF</text><text>Board</text></org><categories><text>a</text><text>b</text></categories>\
        <note><text>More &amp; more</text></note><url><uri>https://stpeter.im/</uri></url>\
        <uid><uri>urn:uuid:1</uri></uid></vcard>";

    fn tree(xml: &str) -> OwnedElement {
        OwnedElement::parse(xml.as_bytes(), "").unwrap()
    }

    #[test]
    fn every_field_is_the_same_in_both_formats() {
        let (old, new) = (of_old(tree(OLD).root()), of_new(tree(NEW).root()));
        assert_eq!(old, new);
        assert_eq!(old.len(), TABLE.len());
        assert_eq!(String::from_utf8(new_with(&old, None)).unwrap(), NEW);
        assert_eq!(String::from_utf8(old_with(&new, None)).unwrap(), OLD);
    }

    #[test]
    fn what_only_one_format_knows_stays_there() {
        let before = "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><fn><text>Old</text></fn><gender><sex><text>M</text></sex></gender>\
            <impp><uri>sip:a@example.org</uri></impp><x xmlns='urn:x'/></vcard>";
        let old = tree(
            "<vCard xmlns='vcard-temp'><FN>New</FN><NOTE>is a description</NOTE><MAILER>x</MAILER></vCard>",
        );
        let card = new_with(&of_old(old.root()), Some(before.as_bytes()));
        let card = String::from_utf8(card).unwrap();
        assert!(card.contains("<fn><text>New</text></fn>"), "{card}");
        for kept in ["<sex>", "sip:a@example.org", "urn:x", "is a description"] {
            assert!(card.contains(kept), "{card}");
        }
        assert!(!card.contains("Old"), "{card}");
        let before = "<vCard xmlns='vcard-temp'><FN>Old</FN><NOTE>n</NOTE><PHOTO><EXTVAL>x</EXTVAL></PHOTO></vCard>";
        let card = old_with(&of_new(tree(&card).root()), Some(before.as_bytes()));
        let card = String::from_utf8(card).unwrap();
        assert!(card.contains("<DESC>is a description</DESC>"), "{card}");
        assert!(card.contains("PHOTO") && !card.contains("NOTE"), "{card}");
    }

    #[test]
    fn odd_vcards_do_no_harm() {
        for odd in [
            "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><fn/><geo><uri>nowhere</uri></geo><tel/><org/><n/></vcard>",
            "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'/>",
        ] {
            assert_eq!(of_new(tree(odd).root()), [], "{odd}");
        }
        let odd = "<vCard xmlns='vcard-temp'><FN/><GEO/><TEL><HOME/></TEL><N>text</N><NICKNAME>, ,</NICKNAME></vCard>";
        assert_eq!(of_old(tree(odd).root()), []);
        let many = format!(
            "<vCard xmlns='vcard-temp'>{}</vCard>",
            "<FN>a</FN><URL>b</URL>".repeat(300)
        );
        assert_eq!(of_old(tree(&many).root()).len(), 2);
    }
}
