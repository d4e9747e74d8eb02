//! XEP-0390 Entity Capabilities 2.0: what is hashed, by which functions, and how it is asked for.

use aws_lc_rs::digest::{Algorithm, SHA3_256, SHA3_512, SHA256, SHA512, digest};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use tercet_core::{Element, XmlWriter, ns};

use crate::disco;

/// The namespace of the protocol.
pub const NS: &str = "urn:xmpp:caps";
/// That of hashes (XEP-0300).
const HASHES: &str = "urn:xmpp:hashes:2";
const FORMS: &str = "jabber:x:data";

/// What stands behind a value, a field or an identity, a form, and a part of the whole. None of them can stand in XML, so that no
/// two answers have the same input.
const VALUE: u8 = 0x1f;
const ITEM: u8 = 0x1e;
const FORM: u8 = 0x1d;
const PART: u8 = 0x1c;

/// The functions that are known, the ones that everybody has to have first. XEP-0300 forbids SHA-1 here.
const FUNCTIONS: [(&str, &Algorithm); 4] = [
    ("sha-256", &SHA256),
    ("sha3-256", &SHA3_256),
    ("sha-512", &SHA512),
    ("sha3-512", &SHA3_512),
];
/// How many of them our own answer is hashed by.
const OWN: usize = 2;

/// The hashes of an answer of ours.
pub struct Set(Vec<(&'static str, String)>);

impl Set {
    /// XEP-0390 §4.2: by the functions that everybody has to have.
    pub fn of(answer: Element<'_>) -> Option<Set> {
        let input = input(answer, None)?;
        let functions = FUNCTIONS.iter().take(OWN);
        let hashes = functions.map(|(name, function)| (*name, encoded(function, &input)));
        Some(Set(hashes.collect()))
    }

    /// `<c/>` with all of them.
    pub fn write(&self, w: &mut XmlWriter) {
        w.start("c").attr("xmlns", NS);
        for (algo, hash) in &self.0 {
            w.start("hash").attr("xmlns", HASHES).attr("algo", algo);
            w.text(hash).end();
        }
        w.end();
    }

    /// Whether `node` asks for one of them.
    pub fn answers(&self, node: &str) -> bool {
        let mut hashes = self.0.iter();
        hashes.any(|(algo, hash)| node == self::node(algo, hash))
    }
}

/// The function and the hash of a `<c/>` that somebody has sent: of the functions that are known here the one that comes first.
pub fn chosen(c: Element<'_>) -> Option<(&'static str, String)> {
    let hash = |algo: &str| {
        let mut hashes = c.children().filter(|child| child.is("hash", HASHES));
        hashes.find(|hash| hash.attr("algo").as_deref() == Some(algo))
    };
    let mut known = FUNCTIONS.iter().map(|(algo, _)| *algo);
    known.find_map(|algo| Some((algo, hash(algo)?.text().trim().to_owned())))
}

/// XEP-0390 §4.3: under which node a hash is asked for.
pub fn node(algo: &str, hash: &str) -> String {
    format!("{NS}#{algo}.{hash}")
}

/// Whether `answer` has this hash. `lang` is the language of its stanza, which identities without one may have.
pub fn verify(answer: Element<'_>, algo: &str, hash: &str, lang: Option<&str>) -> bool {
    let mut functions = FUNCTIONS.iter();
    let Some((_, function)) = functions.find(|(name, _)| *name == algo) else {
        return false;
    };
    let fits = |lang| input(answer, lang).is_some_and(|input| encoded(function, &input) == hash);
    // XEP-0390 §4.1: an implied language counts. Who has left it out has said nothing else.
    fits(lang) || (lang.is_some() && fits(None))
}

fn encoded(function: &'static Algorithm, input: &[u8]) -> String {
    BASE64_STANDARD.encode(digest(function, input))
}

/// XEP-0390 §4.1: what is hashed; `None` where an answer has something that cannot be.
fn input(answer: Element<'_>, lang: Option<&str>) -> Option<Vec<u8>> {
    let (mut features, mut identities, mut forms) = (Vec::new(), Vec::new(), Vec::new());
    let implied = answer.attr_ns(ns::XML, "lang");
    let implied = implied.as_deref().or(lang).unwrap_or_default();
    for child in answer.children() {
        match (child.ns(), child.name()) {
            (disco::INFO, "feature") => {
                features.push(terminated(&child.attr("var").unwrap_or_default(), VALUE));
            }
            (disco::INFO, "identity") => {
                let lang = child.attr_ns(ns::XML, "lang");
                let [category, kind, name] = ["category", "type", "name"]
                    .map(|name| terminated(&child.attr(name).unwrap_or_default(), VALUE));
                let lang = terminated(lang.as_deref().unwrap_or(implied), VALUE);
                let mut identity = [category, kind, lang, name].concat();
                identity.push(ITEM);
                identities.push(identity);
            }
            (FORMS, "x") => forms.push(form(child)?),
            // XEP-0390 §4.1: nothing else can stand in it.
            _ => return None,
        }
    }
    Some(
        [
            joined(features, PART),
            joined(identities, PART),
            joined(forms, PART),
        ]
        .concat(),
    )
}

fn form(x: Element<'_>) -> Option<Vec<u8>> {
    let mut fields = Vec::new();
    let mut typed = false;
    for child in x.children() {
        match child.name() {
            "field" => {}
            // XEP-0390 §4.1: forms with rows cannot stand in it.
            "reported" | "item" => return None,
            _ => continue,
        }
        let var = child.attr("var").unwrap_or_default();
        typed |= var == "FORM_TYPE" && child.attr("type").as_deref() == Some("hidden");
        let values = child.children().filter(|value| value.name() == "value");
        let values = values
            .map(|value| terminated(&value.text(), VALUE))
            .collect();
        let mut field = terminated(&var, VALUE);
        field.extend(joined(values, ITEM));
        fields.push(field);
    }
    // XEP-0390 §4.1: nor can those without a type (XEP-0068).
    typed.then(|| joined(fields, FORM))
}

fn terminated(text: &str, end: u8) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(end);
    bytes
}

/// Sorted by their octets, one behind the other.
fn joined(mut parts: Vec<Vec<u8>>, end: u8) -> Vec<u8> {
    parts.sort();
    let mut all = parts.concat();
    all.push(end);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use tercet_core::OwnedElement;

    fn answer(content: &str) -> OwnedElement {
        let xml = format!("<query xmlns='{}'>{content}</query>", disco::INFO);
        OwnedElement::parse(xml.as_bytes(), "jabber:client").unwrap()
    }

    fn features(vars: &str) -> String {
        let vars = vars.split_whitespace();
        vars.map(|var| format!("<feature var='{var}'/>")).collect()
    }

    #[test]
    fn the_examples_of_the_specification_come_out() {
        // XEP-0390 §4.5.1
        let simple = features(
            "http://jabber.org/protocol/si http://jabber.org/protocol/bytestreams http://jabber.org/protocol/chatstates \
             http://jabber.org/protocol/disco#info http://jabber.org/protocol/disco#items urn:xmpp:ping jabber:iq:time \
             jabber:iq:privacy jabber:iq:version http://jabber.org/protocol/rosterx urn:xmpp:time jabber:x:oob \
             http://jabber.org/protocol/ibb http://jabber.org/protocol/si/profile/file-transfer urn:xmpp:receipts \
             jabber:iq:roster jabber:iq:last",
        ) + "<identity category='client' name='BombusMod' type='mobile'/>";
        let simple = answer(&simple);
        for (algo, hash) in [
            ("sha-256", "kzBZbkqJ3ADrj7v08reD1qcWUwNGHaidNUgD7nHpiw8="),
            ("sha3-256", "79mdYAfU9rEdTOcWDO7UEAt6E56SUzk/g6TnqUeuD9Q="),
        ] {
            assert!(verify(simple.root(), algo, hash, None), "{algo}");
            // Of a stanza with a language, too, which the client may not have counted.
            assert!(verify(simple.root(), algo, hash, Some("en")), "{algo}");
        }
        // XEP-0390 §4.5.2
        let complex = features(
            "games:board http://jabber.org/protocol/activity http://jabber.org/protocol/activity+notify \
             http://jabber.org/protocol/bytestreams http://jabber.org/protocol/chatstates http://jabber.org/protocol/commands \
             http://jabber.org/protocol/disco#info http://jabber.org/protocol/disco#items http://jabber.org/protocol/evil \
             http://jabber.org/protocol/feature-neg http://jabber.org/protocol/geoloc http://jabber.org/protocol/geoloc+notify \
             http://jabber.org/protocol/ibb http://jabber.org/protocol/iqibb http://jabber.org/protocol/mood \
             http://jabber.org/protocol/mood+notify http://jabber.org/protocol/rosterx http://jabber.org/protocol/si \
             http://jabber.org/protocol/si/profile/file-transfer http://jabber.org/protocol/tune \
             http://www.facebook.com/xmpp/messages http://www.xmpp.org/extensions/xep-0084.html#ns-metadata+notify \
             jabber:iq:avatar jabber:iq:browse jabber:iq:dtcp jabber:iq:filexfer jabber:iq:ibb jabber:iq:inband \
             jabber:iq:jidlink jabber:iq:last jabber:iq:oob jabber:iq:privacy jabber:iq:roster jabber:iq:time \
             jabber:iq:version jabber:x:data jabber:x:event jabber:x:oob urn:xmpp:avatar:metadata+notify urn:xmpp:ping \
             urn:xmpp:receipts urn:xmpp:time",
        ) + "<identity category='client' name='Tkabber' type='pc' xml:lang='en'/>\
             <identity category='client' name='Ткаббер' type='pc' xml:lang='ru'/>\
             <x xmlns='jabber:x:data' type='result'>\
             <field type='hidden' var='FORM_TYPE'><value>urn:xmpp:dataforms:softwareinfo</value></field>\
             <field var='software'><value>Tkabber</value></field>\
             <field var='software_version'><value>0.11.1-svn-20111216-mod (Tcl/Tk 8.6b2)</value></field>\
             <field var='os'><value>Windows</value></field><field var='os_version'><value>XP</value></field></x>";
        let complex = answer(&complex);
        for (algo, hash) in [
            ("sha-256", "u79ZroNJbdSWhdSp311mddz44oHHPsEBntQ5b1jqBSY="),
            ("sha3-256", "XpUJzLAc93258sMECZ3FJpebkzuyNXDzRNwQog8eycg="),
        ] {
            assert!(verify(complex.root(), algo, hash, None), "{algo}");
            assert!(!verify(simple.root(), algo, hash, None), "{algo}");
        }
        assert!(!verify(complex.root(), "sha-1", "x", None));
    }

    #[test]
    fn the_language_of_the_stanza_is_that_of_identities_without_one() {
        let plain = answer("<identity category='client' type='pc' name='a'/>");
        let spoken = answer("<identity category='client' type='pc' name='a' xml:lang='de'/>");
        let hash = encoded(&SHA256, &input(spoken.root(), None).unwrap());
        assert!(verify(plain.root(), "sha-256", &hash, Some("de")));
        assert!(!verify(plain.root(), "sha-256", &hash, Some("en")));
        assert!(!verify(plain.root(), "sha-256", &hash, None));
    }

    #[test]
    fn what_cannot_be_hashed_has_no_hash() {
        let hidden = "<field type='hidden' var='FORM_TYPE'><value>a</value></field>";
        let form = |content: &str| format!("<x xmlns='jabber:x:data' type='result'>{content}</x>");
        assert!(input(answer(&form(hidden)).root(), None).is_some());
        for content in [
            "<other xmlns='urn:other'/>".to_owned(),
            "<feature xmlns='urn:other' var='a'/>".to_owned(),
            form("<field var='a'/>"),
            form("<field var='FORM_TYPE'><value>a</value></field>"),
            form(&format!("{hidden}<reported/>")),
            form(&format!("{hidden}<item/>")),
        ] {
            assert!(input(answer(&content).root(), None).is_none(), "{content}");
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        // What XEP-0115 hashes alike.
        let one = answer("<feature var='a'/><feature var='b'/>");
        let other = answer("<identity category='' type='' name=''/><feature var='a&lt;b'/>");
        assert_ne!(input(one.root(), None), input(other.root(), None));
    }

    #[test]
    fn of_several_hashes_the_first_known_one_is_taken() {
        let c = |content: &str| {
            let xml = format!("<c xmlns='{NS}'>{content}</c>");
            let parsed = OwnedElement::parse(xml.as_bytes(), "jabber:client").unwrap();
            chosen(parsed.root())
        };
        let hash =
            |algo: &str, text: &str| format!("<hash xmlns='{HASHES}' algo='{algo}'>{text}</hash>");
        let several = [
            hash("md5", "0"),
            hash("sha3-256", "1"),
            hash("sha-256", " 2\n"),
        ]
        .concat();
        assert_eq!(c(&several), Some(("sha-256", "2".into())));
        assert_eq!(c(&hash("sha-1", "0")), None);
        assert_eq!(c("<hash algo='sha-256'>0</hash>"), None);
        assert_eq!(node("sha-256", "a.b="), "urn:xmpp:caps#sha-256.a.b=");
    }
}
