//! Every stream in these tests is parsed whole and split at every byte boundary, and must give the same frames.

mod document;
mod limits;
mod oracle;
mod outside;
mod round_trip;
mod rules;
mod stream;

use super::{Element, Frame, Limits, StreamParser, XmlError};

pub(super) const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// What a frame says, for comparison: runs of white space as one, stanzas with addresses and children.
fn describe(frame: &Frame) -> String {
    match frame {
        Frame::Header(header) => format!("{header:?}"),
        Frame::Stanza(stanza) => format!(
            "{:?} to={:?} from={:?} {:?} {:?}",
            stanza.kind(),
            stanza.to(),
            stanza.from(),
            stanza,
            stanza.children().collect::<Vec<_>>()
        ),
        Frame::Element(element) => format!("{element:?}"),
        Frame::End => "end".into(),
        Frame::Whitespace => "space".into(),
    }
}

/// Feeds `pieces` and lists the frames, an error last.
fn feed<'a>(
    limits: Limits,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Frame>, Option<XmlError>) {
    let mut parser = StreamParser::new(limits);
    let mut frames = Vec::new();
    for mut piece in pieces {
        loop {
            match parser.next(&mut piece) {
                Ok(Some(Frame::Whitespace)) if matches!(frames.last(), Some(Frame::Whitespace)) => {
                }
                Ok(Some(frame)) => {
                    assert!(!matches!(frame, Frame::Stanza(_)) || parser.buffered() == 0);
                    frames.push(frame);
                }
                Ok(None) => {
                    assert!(piece.is_empty());
                    break;
                }
                Err(error) => {
                    assert_eq!(parser.next(&mut piece).err(), Some(error), "errors last");
                    return (frames, Some(error));
                }
            }
        }
    }
    (frames, None)
}

/// Parses `bytes` whole, split in two at every place, and byte by byte; gives the frames of the first.
pub(super) fn parse_with(limits: Limits, bytes: &[u8]) -> (Vec<Frame>, Option<XmlError>) {
    let whole = feed(limits, std::iter::once(bytes));
    let text = |(frames, error): &(Vec<Frame>, Option<XmlError>)| {
        (frames.iter().map(describe).collect::<Vec<_>>(), *error)
    };
    let expected = text(&whole);
    for at in 0..bytes.len() {
        let (a, b) = bytes.split_at(at);
        assert_eq!(
            text(&feed(limits, [a, b].into_iter())),
            expected,
            "split at {at}"
        );
    }
    assert_eq!(
        text(&feed(limits, bytes.chunks(1))),
        expected,
        "byte by byte"
    );
    whole
}

/// Parses what follows a usual stream header; the header's frame is left out.
pub(super) fn parse(content: &str) -> (Vec<Frame>, Option<XmlError>) {
    let (mut frames, error) =
        parse_with(Limits::AFTER_LOGIN, format!("{HEADER}{content}").as_bytes());
    frames.remove(0);
    (frames, error)
}

/// The only stanza of `content`.
pub(super) fn stanza(content: &str) -> crate::Stanza {
    let (frames, error) = parse(content);
    assert_eq!(error, None, "{content}");
    match <[Frame; 1]>::try_from(frames) {
        Ok([Frame::Stanza(stanza)]) => stanza,
        other => panic!("{other:?} from {content}"),
    }
}

/// The error that `content` ends with.
pub(super) fn error(content: &str) -> XmlError {
    parse(content)
        .1
        .unwrap_or_else(|| panic!("accepted: {content}"))
}

/// An element's meaning: depth, namespace, name, attributes in order of their names, own text.
pub(super) type Meaning = (usize, String, String, Vec<(String, String, String)>, String);

/// What `root` and all below it mean, in document order.
pub(super) fn meaning(root: Element<'_>) -> Vec<Meaning> {
    let mut all = Vec::new();
    let mut open = vec![(1, root)];
    while let Some((depth, e)) = open.pop() {
        let mut attrs: Vec<_> = e
            .attrs()
            .map(|a| (a.ns.to_owned(), a.name.to_owned(), a.value.into_owned()))
            .collect();
        attrs.sort();
        all.push((
            depth,
            e.ns().to_owned(),
            e.name().to_owned(),
            attrs,
            e.text().into_owned(),
        ));
        let children: Vec<_> = e.children().map(|c| (depth + 1, c)).collect();
        open.extend(children.into_iter().rev());
    }
    all
}
