//! Documents, given whole and split at every byte.

use crate::xml::{DocumentError, DocumentParser, Limits, Piece, XmlError};

const LIMITS: Limits = Limits {
    stanza_bytes: 200,
    depth: 5,
    ..Limits::AFTER_LOGIN
};

/// What is in a document, where elements called `in` are entered, and others taken.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Vec<String>, DocumentError> {
    let mut parser = DocumentParser::new(LIMITS);
    let mut told = Vec::new();
    for piece in pieces {
        parser.push(piece);
        while let Some(piece) = parser.next()? {
            match piece {
                Piece::Start(tag) if tag.root().name() == "in" => {
                    told.push(format!("<{}>", tag.root().ns()));
                    parser.enter();
                }
                Piece::Start(_) => parser.take(),
                Piece::Whole(element) => {
                    told.push(String::from_utf8(element.root().raw().to_vec()).unwrap());
                }
                Piece::End => told.push("end".into()),
            }
        }
    }
    parser.finish()?;
    Ok(told)
}

fn check(document: &str, expected: Result<&[&str], (u64, u64, XmlError)>) {
    let expected = expected.map(|told| told.iter().map(|&t| t.to_owned()).collect::<Vec<_>>());
    let bytes = document.as_bytes();
    for at in 0..=bytes.len() {
        let (first, second) = bytes.split_at(at);
        let found = read([first, second].into_iter());
        let found = found.map_err(|e| (e.line, e.column, e.error));
        assert_eq!(found, expected, "{document} split at {at}");
    }
    let found = read(bytes.chunks(1)).map_err(|e| (e.line, e.column, e.error));
    assert_eq!(found, expected, "{document}, byte by byte");
}

#[test]
fn elements_are_entered_or_taken_and_stand_for_themselves() {
    check(
        "<?xml version='1.0' encoding='UTF-8'?>\n<in xmlns='a' xmlns:p='b'> <x p:y='1'>t</x>\r\n<p:in><x/><in xmlns=''/></p:in ></in>\n",
        Ok(&[
            "<a>",
            "<x xmlns='a' xmlns:p='b' p:y='1'>t</x>",
            "<b>",
            "<x xmlns='a'/>",
            "<>",
            "end",
            "end",
            "end",
        ]),
    );
    check("<x>a\r\nb</x>", Ok(&["<x xmlns=''>a\nb</x>"]));
    check(
        "<in xmlns:p='1'><in xmlns:p='2'><p:x/></in><p:x/></in>",
        Ok(&[
            "<>",
            "<>",
            "<p:x xmlns:p='2'/>",
            "end",
            "<p:x xmlns:p='1'/>",
            "end",
        ]),
    );
}

#[test]
fn what_is_forbidden_is_told_with_its_place() {
    let check = |document: &str, line, column, error| check(document, Err((line, column, error)));
    // Security, line 2: no DTD, so there is nothing to expand.
    check(
        "<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>",
        1,
        1,
        XmlError::Restricted,
    );
    check("<in>\n <x>&a;</x></in>", 2, 2, XmlError::Restricted);
    check("<in><!-- no --></in>", 1, 5, XmlError::Restricted);
    check("<in><?php ?></in>", 1, 5, XmlError::Restricted);
    check("<in>\n\n   text</in>", 3, 4, XmlError::BadFormat);
    check("<in></on>", 1, 5, XmlError::NotWellFormed);
    check("<in>\n<p:x/></in>", 2, 1, XmlError::NotWellFormed);
    check("<in/><in/>", 1, 6, XmlError::NotWellFormed);
    check("<in><x>", 1, 5, XmlError::NotWellFormed);
    check("<in>", 1, 5, XmlError::NotWellFormed);
    check("", 1, 1, XmlError::NotWellFormed);
    check(
        "<?xml version='1.0' encoding='latin1'?><in/>",
        1,
        1,
        XmlError::UnsupportedEncoding,
    );
}

#[test]
fn limits_hold_for_what_is_taken_and_for_how_deep_one_goes() {
    let long = format!("<in>{}<x>{}</x></in>", "<x/>".repeat(300), "y".repeat(200));
    let error = XmlError::Policy("bytes of an element");
    assert_eq!(
        read([long.as_bytes()].into_iter()).unwrap_err(),
        DocumentError {
            line: 1,
            column: 1205,
            error
        }
    );
    let deep = format!("{}{}", "<in>".repeat(6), "</in>".repeat(6));
    check(&deep, Err((1, 21, XmlError::Policy("depth"))));
    check(
        &format!("<in>{}{}</in>", "<x>".repeat(6), "</x>".repeat(6)),
        Err((1, 5, XmlError::Policy("depth"))),
    );
}
