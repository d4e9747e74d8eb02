//! Framing: the frames do not depend on how the bytes were split, and what is accepted can be written again.

use tercet_core::{Frame, Head, Limits, StreamParser, XmlError, parse_document};

use super::same;
use crate::Target;
use crate::mutate::Random;

pub(crate) const TARGET: Target = Target {
    name: "xml_framing",
    run,
    dictionary: &[
        "<?xml version='1.0'?>",
        "<stream:stream",
        "</stream:stream>",
        " xmlns='jabber:client'",
        " xmlns='jabber:server'",
        " xmlns:stream='http://etherx.jabber.org/streams'",
        " xmlns:p='urn:x'",
        " xmlns=''",
        " xmlns:xml='x'",
        "<message>",
        "</message>",
        "<p:x/>",
        "<!--",
        "-->",
        "<!DOCTYPE x>",
        "<![CDATA[",
        "]]>",
        "<?pi?>",
        "&lt;",
        "&x;",
        "&#0;",
        "&#xD800;",
        "&#x10FFFF;",
        "\u{fffe}",
        "\u{feff}",
        "\r\n",
        " a='1' a='2'",
        "<a><b><c><d><e>",
        "\u{3b1}",
    ],
};

/// Small, so that inputs reach every limit.
const LIMITS: Limits = Limits {
    stanza_bytes: 4096,
    depth: 8,
    attributes: 8,
    children: 32,
    name_bytes: 64,
    namespaces: 8,
};

/// Room for what writing adds to an accepted stanza.
const WIDE: Limits = Limits {
    stanza_bytes: 1024 * 1024,
    ..Limits::AFTER_LOGIN
};

type Outcome = (Vec<Frame>, Option<XmlError>);

/// The first eight bytes say how the rest is split.
fn run(data: &[u8]) {
    let (seed, stream) = match data.split_first_chunk::<8>() {
        Some((seed, stream)) => (u64::from_le_bytes(*seed), stream),
        None => (0, data),
    };
    let whole = read([stream]);
    let split = read(pieces(stream, seed));
    let bytewise = read(stream.chunks(1));
    compare(&whole, &split);
    compare(&whole, &bytewise);

    let mut content_ns = String::new();
    for frame in &whole.0 {
        match frame {
            Frame::Header(header) => content_ns.clone_from(&header.content_ns),
            Frame::Stanza(stanza) => {
                let head = Head {
                    from: Some("a@b/c"),
                    to: None,
                    lang: None,
                    xmlns: Some(&content_ns),
                };
                let mut written = Vec::new();
                stanza.write(&mut written, head);
                match parse_document(&written, &content_ns, &WIDE) {
                    Ok(Frame::Stanza(again)) => same::stanzas(stanza, &again),
                    other => panic!("an accepted stanza is written as one: {other:?}"),
                }
            }
            Frame::Element(element) => {
                let mut written = Vec::new();
                element.root().to_xml(&mut written);
                match parse_document(&written, "urn:elsewhere", &WIDE) {
                    Ok(Frame::Element(again)) => same::elements(element.root(), again.root()),
                    other => panic!("an accepted element is written as one: {other:?}"),
                }
            }
            Frame::End | Frame::Whitespace => {}
        }
    }
}

/// Reads all pieces until an error or the end of the stream.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut parser = StreamParser::new(LIMITS);
    let mut frames = Vec::new();
    for mut piece in pieces {
        loop {
            match parser.next(&mut piece) {
                Ok(Some(Frame::End)) => {
                    frames.push(Frame::End);
                    return (frames, None);
                }
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(piece.is_empty(), "the parser takes all it is given");
        assert!(
            parser.buffered() <= LIMITS.stanza_bytes as usize,
            "no more is kept than a frame may have"
        );
    }
    (frames, None)
}

fn pieces(stream: &[u8], seed: u64) -> impl Iterator<Item = &[u8]> {
    let mut random = Random::new(seed);
    let mut rest = stream;
    std::iter::from_fn(move || {
        let length = random.below(rest.len() + 1).max(1).min(rest.len());
        let (piece, behind) = rest.split_at(length);
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

fn compare((whole, end): &Outcome, (split, split_end): &Outcome) {
    assert_eq!(end, split_end, "the same end however it is split");
    // White space comes in as many frames as the pieces make of it.
    let significant = |frames: &[Frame]| -> Vec<Frame> {
        let kept = frames
            .iter()
            .filter(|frame| !matches!(frame, Frame::Whitespace));
        kept.cloned().collect()
    };
    let (whole, split) = (significant(whole), significant(split));
    assert_eq!(
        whole.len(),
        split.len(),
        "as many frames however it is split"
    );
    for pair in whole.iter().zip(&split) {
        match pair {
            (Frame::Header(one), Frame::Header(other)) => assert_eq!(one, other),
            (Frame::Stanza(one), Frame::Stanza(other)) => {
                same::stanzas(one, other);
                assert_eq!(one.content(), other.content());
            }
            (Frame::Element(one), Frame::Element(other)) => {
                same::elements(one.root(), other.root())
            }
            (Frame::End, Frame::End) => {}
            (one, other) => panic!("{one:?} became {other:?}"),
        }
    }
}
