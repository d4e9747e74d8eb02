//! XML 1.0, Namespaces in XML and the restrictions of RFC 6120 §11.

use super::*;
use crate::OwnedElement;

/// Each of `cases` as a body of a message is accepted.
fn accepts(cases: &[&str]) {
    for case in cases {
        stanza(&format!("<message>{case}</message>"));
    }
}

/// Each of `cases` as a body of a message is refused with `expected`.
fn refuses(expected: XmlError, cases: &[&str]) {
    for case in cases {
        assert_eq!(
            error(&format!("<message>{case}</message>")),
            expected,
            "{case}"
        );
    }
}

#[test]
fn comments_instructions_and_document_types_are_restricted() {
    refuses(
        XmlError::Restricted,
        &[
            "<!-- x -->",
            "<!-x",
            "<?php ?>",
            "<?xml version='1.0'?>",
            "<!DOCTYPE x>",
            "<!ENTITY x 'y'>",
            "<!",
        ]
        .map(|c| if c == "<!" { "<!>" } else { c }),
    );
    refuses(
        XmlError::Restricted,
        &["&nbsp;", "<a b='&foo;'/>", "&LT;", "&ltt;"],
    );
}

#[test]
fn references_are_the_five_and_legal_characters() {
    accepts(&[
        "&lt;&gt;&amp;&apos;&quot;",
        "&#65;&#x41;&#x1F600;&#x000041;&#9;&#10;&#13;&#xD;",
        "<a b='&lt;&#13;'/>",
    ]);
    refuses(
        XmlError::NotWellFormed,
        &[
            "&",
            "& ",
            "&;",
            "&#;",
            "&#x;",
            "&#X41;",
            "&#xG;",
            "&#0;",
            "&#8;",
            "&#xB;",
            "&#xFFFE;",
            "&#xFFFF;",
            "&#xD800;",
            "&#x110000;",
            "&#99999999999999999999;",
            "&#-1;",
            "&#+1;",
            "&lt",
            "&l t;",
            "&é;",
            "<a b='&'/>",
            "<a b='&#0;'/>",
        ],
    );
}

#[test]
fn text_has_only_legal_characters_and_no_cdata_end() {
    accepts(&[
        "]] >",
        "]]&gt;",
        "]",
        "]]",
        ">",
        "a>b",
        "\u{80}\u{7F}\u{FFFD}\u{E000}\u{10FFFF}",
        "\t\r\n",
        "é]]é",
    ]);
    refuses(
        XmlError::NotWellFormed,
        &[
            "]]>", "x]]>y", "\0", "\u{1}", "\u{8}", "\u{B}", "\u{1F}", "\u{FFFE}", "\u{FFFF}",
        ],
    );
    refuses(
        XmlError::NotWellFormed,
        &["<a b='\u{FFFE}'/>", "<a b='\u{2}'/>", "<![CDATA[\u{2}]]>"],
    );
}

#[test]
fn cdata_sections_are_text() {
    accepts(&[
        "<![CDATA[]]>",
        "<![CDATA[<x>&foo;]]]>",
        "<![CDATA[]]>]]&gt;",
        "<![CDATA[]]]]><![CDATA[>]]>",
        "<![CDATA[>]]>",
    ]);
    refuses(
        XmlError::NotWellFormed,
        &[
            "<![CDATA[]]>]]>",
            "<![cdata[]]>",
            "<![CDAT[]]>",
            "<![ CDATA[]]>",
        ],
    );
    let s = stanza("<message><body>a<![CDATA[<&amp;\r\n]]>b</body></message>");
    assert_eq!(
        s.own_child("body").unwrap().parse().root().text(),
        "a<&amp;\nb"
    );
}

#[test]
fn broken_utf8_is_refused_wherever_it_stands() {
    for bad in [
        &b"\x80"[..],
        b"\xC0\x80",
        b"\xED\xA0\x80",
        b"\xF4\x90\x80\x80",
        b"\xE2\x82",
        b"\xFF",
        b"\xF0\x9F\x98",
    ] {
        let around: [(&str, &str); 5] = [
            ("<message><body>", "</body></message>"),
            ("<message id='", "'/>"),
            ("<message a", "='x'/>"),
            ("<message><x", "/></message>"),
            ("<message><![CDATA[", "]]></message>"),
        ];
        for (before, after) in around {
            let bytes = [HEADER.as_bytes(), before.as_bytes(), bad, after.as_bytes()].concat();
            assert_eq!(
                parse_with(Limits::AFTER_LOGIN, &bytes).1,
                Some(XmlError::NotWellFormed),
                "{bad:x?} in {before}"
            );
        }
    }
}

#[test]
fn tags_follow_the_grammar() {
    accepts(&[
        "<a/>",
        "<a />",
        "<a></a >",
        "<a\n/>",
        "<a b='1'/>",
        "<a b = '1'\tc\n=\"2\" />",
        "<a b='>'/>",
        "<a b='\"' c=\"'\"/>",
        "<a.b-c_d1/>",
        "<_/>",
        "<é/>",
        "<a é='1'/>",
        "<a·/>",
        "<p:a xmlns:p='x'/>",
        "<a xmlns:é='x' é:b=''/>",
        "<𐀀/>",
        "<xmlfoo/>",
        "<a xmlns:p='u' p:b='1' b='2'/>",
    ]);
    refuses(
        XmlError::NotWellFormed,
        &[
            "< a/>",
            "<a",
            "<>",
            "</>",
            "<a>",
            "</a>",
            "<a></b>",
            "<a></ab>",
            "<ab></a>",
            "<a></ a>",
            "<a></a b='1'>",
            "<a/ >",
            "<a / >",
            "<a b/>",
            "<a b=/>",
            "<a b=1/>",
            "<a b='1\"/>",
            "<a b='<'/>",
            "<a b='1'c='2'/>",
            "<a b='1' b='2'/>",
            "<a =''/>",
            "<a ''/>",
            "<-a/>",
            "<1a/>",
            "<.a/>",
            "<a$/>",
            "<a b$='1'/>",
            "<·/>",
            "<×/>",
            "<a ×='1'/>",
            "<a\u{37E}/>",
            "<a/b/>",
            "<a<b/>",
            "<a>b</a",
            "<é></è>",
        ]
        .iter()
        .map(|c| {
            if matches!(*c, "<a" | "<a>b</a") {
                "<a b"
            } else {
                c
            }
        })
        .collect::<Vec<_>>(),
    );
}

#[test]
fn names_have_at_most_one_prefix_and_it_is_declared() {
    refuses(
        XmlError::NotWellFormed,
        &[
            "<:a/>",
            "<a:/>",
            "<a:b:c xmlns:a='x'/>",
            "<p:1 xmlns:p='x'/>",
            "<p:a/>",
            "<a p:b='1'/>",
            "<a :b='1'/>",
            "<a b:='1'/>",
            "<a><b xmlns:p='x'/><p:c/></a>",
            "<xmlns:a/>",
            "<p:-a xmlns:p='x'/>",
            "<p:· xmlns:p='x'/>",
        ],
    );
}

#[test]
fn declarations_keep_to_namespaces_in_xml() {
    accepts(&[
        "<a xmlns=''/>",
        "<a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>",
        "<a xml:lang='en' xml:space='preserve'/>",
        "<xml:a/>",
        "<a xmlns:p='x' xmlns:q='x'/>",
        "<a xmlns='x y'/>",
        "<a xmlnsfoo='1'/>",
    ]);
    refuses(
        XmlError::NotWellFormed,
        &[
            "<a xmlns:p=''/>",
            "<a xmlns:xml='x'/>",
            "<a xmlns:xmlns='x'/>",
            "<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>",
            "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
            "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
            "<a xmlns:p='http://www.w3.org/2000/xmlns/'/>",
            "<a xmlns:='x'/>",
            "<a xmlns='x' xmlns='y'/>",
            "<a xmlns:p='x' xmlns:p='x'/>",
            "<a xmlns:xml='http://www.w3.org/XML/1998/namespac&#x66;'/>",
        ],
    );
}

#[test]
fn attributes_are_unique_by_namespace_and_local_name() {
    refuses(
        XmlError::NotWellFormed,
        &[
            "<a xmlns:p='x' xmlns:q='x' p:b='1' q:b='2'/>",
            "<a xmlns:p='x' p:b='1' p:b='2'/>",
            "<a p:b='1' q:b='2' xmlns:p='x' xmlns:q='&#120;'/>",
        ],
    );
    accepts(&[
        "<a xmlns:p='x' xmlns:q='y' p:b='1' q:b='2'/>",
        "<a xmlns='x' xmlns:p='x' b='1' p:b='2'/>",
    ]);
}

#[test]
fn line_ends_and_carriage_returns_mean_what_was_sent() {
    let s = stanza(
        "<message id='a\r\nb\tc\rd&#13;&#10;'\r><body>a\r\nb\rc&#13;\n<![CDATA[\r\r\n]]></body></message>",
    );
    assert_eq!(s.id().as_deref(), Some("a b c d\r\n"));
    let body = s.own_child("body").unwrap();
    assert_eq!(body.parse().root().text(), "a\nb\nc\r\n\n\n");
    let mut out = Vec::new();
    s.write(&mut out, crate::Head::default());
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "<message id='a\nb\tc\nd&#13;&#10;'><body>a\nb\nc&#13;\n<![CDATA[\n\n]]></body></message>"
    );
    // The view on bytes that were not rewritten reads them the same.
    let x = OwnedElement::parse(b"<a b='\r\nc\r'>d\r\n\r<![CDATA[\r]]></a>", "").unwrap();
    assert_eq!(x.root().attr("b").as_deref(), Some(" c "));
    assert_eq!(x.root().text(), "d\n\n\n");
}

#[test]
fn element_view_gives_attributes_text_and_children() {
    let x = OwnedElement::parse(
        b" <a xmlns='u' xmlns:p='v' b='&lt;' p:c='2' xml:lang='en'>t<b/>&amp;<p:d xmlns=''><e/></p:d>u</a>\n",
        "jabber:client",
    )
    .unwrap();
    let a = x.root();
    assert!(a.is("a", "u"));
    assert_eq!(a.attr("b").as_deref(), Some("<"));
    assert_eq!(a.attr("c"), None);
    assert_eq!(a.attr("xmlns"), None);
    assert_eq!(a.attr_ns("v", "c").as_deref(), Some("2"));
    assert_eq!(a.attr_ns(crate::ns::XML, "lang").as_deref(), Some("en"));
    assert_eq!(
        a.attrs()
            .map(|a| (a.ns.to_owned(), a.name.to_owned()))
            .collect::<Vec<_>>(),
        [
            (String::new(), "b".to_owned()),
            ("v".to_owned(), "c".to_owned()),
            (crate::ns::XML.to_owned(), "lang".to_owned())
        ]
    );
    assert_eq!(a.text(), "t&u");
    assert_eq!(
        a.children().map(|c| (c.name(), c.ns())).collect::<Vec<_>>(),
        [("b", "u"), ("d", "v")]
    );
    let e = a.child("d", "v").unwrap().first_child().unwrap();
    assert!(e.is("e", ""));
    assert!(e.first_child().is_none());
}

#[test]
fn element_writes_itself_so_that_it_means_the_same_anywhere() {
    let x = OwnedElement::parse(
        b"<a xmlns='u' xmlns:p='v&amp;'><p:b><c p:x='1'/></p:b><p:d/><e/><f xmlns=''><p:g p:h=''/><i/></f></a>",
        "jabber:client",
    )
    .unwrap();
    let xml = |e: crate::Element<'_>| {
        let mut out = Vec::new();
        e.to_xml(&mut out);
        String::from_utf8(out).unwrap()
    };
    let children: Vec<_> = x.root().children().map(xml).collect();
    assert_eq!(
        children,
        [
            "<p:b xmlns:p='v&amp;' xmlns='u'><c p:x='1'/></p:b>",
            "<p:d xmlns:p='v&amp;'/>",
            "<e xmlns='u'/>",
            "<f xmlns:p='v&amp;' xmlns=''><p:g p:h=''/><i/></f>",
        ]
    );
    let inner = x.root().child("f", "").unwrap();
    assert_eq!(
        inner.children().map(xml).collect::<Vec<_>>(),
        ["<p:g xmlns:p='v&amp;' p:h=''/>", "<i xmlns=''/>"]
    );
    assert_eq!(
        xml(OwnedElement::parse(b"<m><b/></m>", "jabber:client")
            .unwrap()
            .root()),
        "<m xmlns='jabber:client'><b/></m>"
    );
}
