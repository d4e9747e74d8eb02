//! Limits are held while bytes arrive: at the limit accepted, one beyond refused, and a token under way that is beyond it
//! fails at once.

use super::*;

/// The error, if any, after `content` behind a header: more may follow.
fn so_far(limits: Limits, content: &str) -> Option<XmlError> {
    parse_with(limits, format!("{HEADER}{content}").as_bytes()).1
}

const LIMITS: Limits = Limits {
    stanza_bytes: 400,
    depth: 5,
    attributes: 4,
    children: 6,
    name_bytes: 20,
    namespaces: 3,
};

#[test]
fn stanza_bytes() {
    let limits = Limits {
        stanza_bytes: 200,
        ..LIMITS
    };
    let of = |n: usize| format!("<iq><a>{}</a></iq>", "x".repeat(n - 16));
    assert_eq!(so_far(limits, &of(200)), None);
    assert_eq!(
        so_far(limits, &of(201)),
        Some(XmlError::Policy("stanza bytes"))
    );
    let text = "x".repeat(200);
    for open in [
        "<iq><a>",
        "<iq a='",
        "<iq><![CDATA[",
        "<iq ",
        "<iq a=",
        "<iq></iq ",
    ] {
        let text = if open.ends_with([' ', '=']) {
            " ".repeat(200)
        } else {
            text.clone()
        };
        let bytes = format!("{open}{text}");
        assert_eq!(so_far(limits, &bytes[..200]), None, "{open}");
        assert_eq!(
            so_far(limits, &bytes[..201]),
            Some(XmlError::Policy("stanza bytes")),
            "{open}"
        );
    }
    let header = format!("<stream:stream a='{}", "x".repeat(400));
    assert_eq!(
        parse_with(limits, header.as_bytes()).1,
        Some(XmlError::Policy("stanza bytes"))
    );
}

#[test]
fn depth() {
    assert_eq!(so_far(LIMITS, "<iq><a><a><a><a/></a></a></a></iq>"), None);
    assert_eq!(
        so_far(LIMITS, "<iq><a><a><a><a><a "),
        Some(XmlError::Policy("depth"))
    );
}

#[test]
fn attributes() {
    assert_eq!(so_far(LIMITS, "<iq a='' b='' c='' d=''/>"), None);
    assert_eq!(
        so_far(LIMITS, "<iq a='' b='' c='' d='' e="),
        Some(XmlError::Policy("attributes"))
    );
}

#[test]
fn children() {
    assert_eq!(
        so_far(LIMITS, "<iq><a/><a><a/></a><a/><a/><a/></iq><iq><a/></iq>"),
        None
    );
    assert_eq!(
        so_far(LIMITS, "<iq><a/><a><a/></a><a/><a/><a/><a "),
        Some(XmlError::Policy("child elements"))
    );
}

#[test]
fn name_bytes() {
    assert_eq!(
        so_far(
            LIMITS,
            "<iq><abcdefghijklmnopqrst abcdefghijklmnopqrst=''/></iq>"
        ),
        None
    );
    assert_eq!(
        so_far(LIMITS, "<iq><abcdefghijklmnopqrstu"),
        Some(XmlError::Policy("name length"))
    );
    assert_eq!(
        so_far(LIMITS, "<iq abcdefghijklmnopqrstu"),
        Some(XmlError::Policy("name length"))
    );
}

#[test]
fn namespaces() {
    assert_eq!(
        so_far(
            LIMITS,
            "<iq><a xmlns='a' xmlns:b='b' xmlns:c='c'/><a xmlns='a'/></iq>"
        ),
        None
    );
    assert_eq!(
        so_far(
            LIMITS,
            "<iq><a xmlns='a' xmlns:b='b'><a xmlns='a'><a xmlns='a'/>"
        ),
        Some(XmlError::Policy("namespace declarations"))
    );
}

#[test]
fn tokens_that_never_end_fail() {
    let endless = |s: &str| format!("<iq>{}{}", s, "0".repeat(80));
    assert_eq!(
        so_far(LIMITS, &endless("&#x")),
        Some(XmlError::NotWellFormed)
    );
    let spaces = format!("</stream:stream{}", " ".repeat(80));
    assert_eq!(so_far(LIMITS, &spaces), Some(XmlError::Policy("end tag")));
    let declaration = format!("<?xml version='1.0'{}", " ".repeat(300));
    assert_eq!(
        parse_with(Limits::AFTER_LOGIN, declaration.as_bytes()).1,
        Some(XmlError::Policy("XML declaration"))
    );
}

#[test]
fn deep_nesting_is_no_danger_without_a_limit() {
    let limits = Limits {
        stanza_bytes: u32::MAX,
        depth: u16::MAX,
        children: u32::MAX - 1,
        ..Limits::AFTER_LOGIN
    };
    let deep = format!("<iq>{}{}</iq>", "<a>".repeat(60_000), "</a>".repeat(60_000));
    match crate::parse_document(deep.as_bytes(), "jabber:client", &limits) {
        Ok(Frame::Stanza(stanza)) => {
            let element = stanza.payload().unwrap().parse();
            let mut out = Vec::new();
            element.root().first_child().unwrap().to_xml(&mut out);
            assert_eq!(element.root().text(), "");
        }
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn nothing_is_kept_between_frames() {
    let mut parser = StreamParser::new(Limits::AFTER_LOGIN);
    let mut bytes = HEADER.as_bytes().to_vec();
    bytes.extend_from_slice(b"<iq id='1'/> <presence");
    let mut input = &bytes[..];
    while let Some(frame) = parser.next(&mut input).unwrap() {
        assert_eq!(parser.buffered(), 0, "{frame:?}");
    }
    assert_eq!(parser.buffered(), 9);
    let mut input: &[u8] = b"/>";
    assert!(matches!(
        parser.next(&mut input),
        Ok(Some(Frame::Stanza(_)))
    ));
    assert_eq!(parser.buffered(), 0);
    assert!(std::mem::size_of::<StreamParser>() <= 64);
}

/// Were work not linear however the input is split, this would take hours.
#[test]
fn large_frames_byte_by_byte_cost_no_more_than_their_bytes() {
    let n = 200_000;
    let frames = [
        format!("<iq><a>{}</a></iq>", "x".repeat(n)),
        format!("<iq><a>{}</a></iq>", "]>&lt;".repeat(n / 6)),
        format!("<iq><a b='{}'/></iq>", ">".repeat(n)),
        format!("<iq><a b='{}'/></iq>", "&lt;\t".repeat(n / 5)),
        format!("<iq><a><![CDATA[{}]]></a></iq>", "]>".repeat(n / 2)),
        format!(
            "<iq><a {} b {}={}'' {}/></iq {}>",
            " ".repeat(n / 5),
            "\t".repeat(n / 5),
            "\n".repeat(n / 5),
            " ".repeat(n / 5),
            " ".repeat(n / 5)
        ),
        format!(
            "<iq>{}</iq>",
            "<aaaaaaaaaaaaaaaaaaa b=''></aaaaaaaaaaaaaaaaaaa>".repeat(n / 48)
        ),
    ];
    for frame in frames {
        let mut parser = StreamParser::new(Limits::AFTER_LOGIN);
        let mut header = HEADER.as_bytes();
        assert!(matches!(
            parser.next(&mut header),
            Ok(Some(Frame::Header(_)))
        ));
        let mut stanzas = 0;
        for mut byte in frame.as_bytes().chunks(1) {
            stanzas += usize::from(matches!(
                parser.next(&mut byte).unwrap(),
                Some(Frame::Stanza(_))
            ));
        }
        assert_eq!(stanzas, 1);
    }
}
