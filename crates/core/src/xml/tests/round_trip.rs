//! What is written is read back, and what is relayed means what was sent, for generated elements.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::{Head, OwnedElement, Stanza, XmlWriter, ns};

/// Texts of any characters that XML can carry.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[ -~]{0,12}",
        1 => vec(
            prop_oneof![
                select(vec!['\t', '\n', '\r', '&', '<', '>', '\'', '"', ']', '\u{85}', '\u{2028}', '\u{FFFD}', '\u{1F600}']),
                any::<char>().prop_filter("legal", |c| *c >= ' ' && !matches!(c, '\u{FFFE}' | '\u{FFFF}')),
            ],
            0..8
        )
        .prop_map(|chars| chars.into_iter().collect()),
    ]
}

#[derive(Debug, Clone)]
struct Tree {
    name: String,
    ns: Option<String>,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Tree>,
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = (
        "[a-z_é][a-z0-9.é-]{0,6}",
        proptest::option::of(text()),
        vec(("[a-e]", text()), 0..3),
        text(),
    )
        .prop_map(|(name, ns, mut attributes, text)| {
            attributes.sort();
            attributes.dedup_by(|a, b| a.0 == b.0);
            let ns = ns.filter(|ns| ![ns::XML, ns::XMLNS].contains(&ns.as_str()));
            Tree {
                name,
                ns,
                attributes,
                text,
                children: Vec::new(),
            }
        });
    leaf.prop_recursive(4, 20, 4, |inner| {
        (inner.clone(), vec(inner, 0..4)).prop_map(|(mut tree, children)| {
            tree.children = children;
            tree
        })
    })
}

fn write(w: &mut XmlWriter, tree: &Tree) {
    w.start(&tree.name).opt_attr("xmlns", tree.ns.as_deref());
    for (name, value) in &tree.attributes {
        w.attr(name, value);
    }
    w.text(&tree.text);
    for child in &tree.children {
        write(w, child);
    }
    w.end();
}

fn expected(tree: &Tree, depth: usize, default: &str, all: &mut Vec<Meaning>) {
    let ns = tree.ns.as_deref().unwrap_or(default);
    let attributes = tree
        .attributes
        .iter()
        .map(|(n, v)| (String::new(), n.clone(), v.clone()))
        .collect();
    all.push((
        depth,
        ns.to_owned(),
        tree.name.clone(),
        attributes,
        tree.text.clone(),
    ));
    for child in &tree.children {
        expected(child, depth + 1, ns, all);
    }
}

/// Start tags with prefixes and declarations of all kinds: many combinations are wrong.
fn markup() -> impl Strategy<Value = String> {
    let prefix = select(vec!["", "", "", "p:", "q:", "r:", "stream:"]);
    let attribute = prop_oneof![
        3 => (prefix.clone(), "[ab]").prop_map(|(p, n)| format!(" {p}{n}='1'")),
        1 => select(vec![
            " xmlns='jabber:client'", " xmlns='urn:x'", " xmlns=''", " xmlns:p='urn:x'", " xmlns:r='urn:r'",
            " xmlns:r='jabber:client'", " xmlns:q='a&amp;b'", " xml:lang='en'", " xmlns='urn:&#x78;'",
        ])
        .prop_map(str::to_owned),
    ];
    let tag = (
        prefix,
        select(vec!["a", "body", "message"]),
        vec(attribute, 0..4),
    )
        .prop_map(|(p, n, a)| (format!("{p}{n}"), a.concat()));
    let leaf = tag
        .clone()
        .prop_map(|(name, attributes)| format!("<{name}{attributes}/>"));
    leaf.prop_recursive(3, 12, 4, move |inner| {
        (
            tag.clone(),
            vec(prop_oneof![4 => inner, 1 => Just("t\r\n".to_owned())], 0..4),
        )
            .prop_map(|((name, attributes), content)| {
                format!("<{name}{attributes}>{}</{name}>", content.concat())
            })
    })
}

/// A stanza, or something else, of such tags.
fn first_level() -> impl Strategy<Value = String> {
    let start = select(vec![
        "message",
        "message",
        "message xmlns='jabber:client'",
        "message xmlns:r='urn:r'",
        "message xmlns:p='urn:own' p:b='2'",
        "message p:b='1' r:b='2' xmlns:r='s'",
        "r:message xmlns:r='jabber:client' xmlns='urn:d'",
        "iq xmlns='urn:d'",
        "r:message xmlns:r='jabber:client' xmlns=''",
        "p:x xmlns:r='urn:r'",
        "x",
        "r:iq xmlns:r='jabber:client' r:a='1'",
    ]);
    (start, vec(markup(), 0..4)).prop_map(|(start, content)| {
        let name = start.split(' ').next().unwrap_or_default();
        format!("<{start}>{}</{name}>", content.concat())
    })
}

const PREFIXES: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
    xmlns:p='urn:p' xmlns:q='urn:q&amp;'>";

fn view(bytes: &[u8]) -> Vec<Meaning> {
    meaning(
        OwnedElement::parse(bytes, "")
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(bytes)))
            .root(),
    )
}

/// With depths counted from the first.
fn from_top(mut all: Vec<Meaning>) -> Vec<Meaning> {
    let top = all.first().map_or(0, |m| m.0);
    for m in &mut all {
        m.0 -= top;
    }
    all
}

proptest! {
    #[test]
    fn what_the_writer_writes_is_read_back(tree in tree()) {
        let mut w = XmlWriter::new();
        write(&mut w, &tree);
        let bytes = w.finish();
        let mut all = Vec::new();
        expected(&tree, 1, "urn:default", &mut all);
        prop_assert_eq!(meaning(OwnedElement::parse(&bytes, "urn:default").unwrap().root()), all);
    }

    #[test]
    fn what_is_relayed_means_what_was_sent(xml in first_level()) {
        let document = format!("{PREFIXES}{xml}</stream:stream>");
        let whole = OwnedElement::parse(document.as_bytes(), "");
        let (frames, error) = parse_with(Limits::AFTER_LOGIN, document.as_bytes());
        prop_assert_eq!(whole.is_err(), error.is_some());
        let Ok(whole) = whole else { return Ok(()) };
        let sent = from_top(meaning(whole.root().first_child().unwrap()));
        let mut out = Vec::new();
        match &frames[1] {
            Frame::Stanza(stanza) => {
                stanza.write(&mut out, Head { xmlns: Some(ns::CLIENT), ..Head::default() });
                // The children alone, too, and again what was written.
                let child = |s: &Stanza| s.children().flat_map(|c| meaning(c.parse().root())).collect::<Vec<_>>();
                prop_assert_eq!(child(stanza).len(), sent.len() - 1);
                let again = Stanza::parse(&out).unwrap();
                prop_assert_eq!(child(&again), child(stanza));
                prop_assert_eq!(again.content(), stanza.content());
                // On another stream, children in the content namespace are in that stream's.
                let mut moved = Vec::new();
                stanza.write(&mut moved, Head { xmlns: Some(ns::SERVER), ..Head::default() });
                let top = |all: &[Meaning]| all.iter().filter(|m| m.0 == 1).map(|m| m.1.clone()).collect::<Vec<_>>();
                let rescoped: Vec<_> =
                    top(&sent).into_iter().map(|n| if n == ns::CLIENT { ns::SERVER.to_owned() } else { n }).collect();
                prop_assert_eq!(top(&from_top(view(&moved))), rescoped);
                let mut fanned = Vec::new();
                stanza.share(None, None).write_in(&mut fanned, None, Some(ns::CLIENT));
                prop_assert_eq!(&fanned, &out);
            }
            Frame::Element(element) => element.root().to_xml(&mut out),
            other => panic!("{other:?}"),
        }
        prop_assert_eq!(from_top(view(&out)), sent);
        // Any element inside stands alone as well.
        let mut open = vec![whole.root()];
        while let Some(e) = open.pop() {
            let mut out = Vec::new();
            e.to_xml(&mut out);
            prop_assert_eq!(from_top(view(&out)), from_top(meaning(e)));
            open.extend(e.children());
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in vec(select(b"<>/&;'\"= \r\n!?[]-:xmlnspabcCDAT#01\xC3\xA9\0".to_vec()), 0..60)) {
        let header = [HEADER.as_bytes(), &bytes].concat();
        parse_with(Limits::BEFORE_LOGIN, &header);
        parse_with(Limits::BEFORE_LOGIN, &bytes);
    }
}
