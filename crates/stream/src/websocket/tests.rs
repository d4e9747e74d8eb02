use super::*;

const LIMIT: usize = 1000;

/// A frame as a client sends it; the first byte as given.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    header(first & 0x0f, payload.len(), &mut bytes);
    bytes[0] = first;
    bytes[1] |= 0x80;
    let mask = [0x11, 0x92, 0xf3, 0x44];
    bytes.extend_from_slice(&mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
    bytes
}

fn run(pieces: &[&[u8]]) -> (Vec<Event>, Option<Fault>) {
    let mut reader = Reader::new();
    let mut events = Vec::new();
    for mut piece in pieces.iter().copied() {
        loop {
            match reader.next(&mut piece, LIMIT) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(fault) => {
                    assert_eq!(reader.next(&mut &b"x"[..], LIMIT), Err(fault), "for good");
                    return (events, Some(fault));
                }
            }
        }
        assert!(piece.is_empty(), "all input is taken");
    }
    (events, None)
}

/// The same in every way to cut `bytes` in two, and byte by byte.
fn read(bytes: &[u8]) -> (Vec<Event>, Option<Fault>) {
    let whole = run(&[bytes]);
    for at in 0..=bytes.len() {
        let (a, b) = bytes.split_at(at);
        assert_eq!(run(&[a, b]), whole, "cut at {at}");
    }
    assert_eq!(run(&bytes.chunks(1).collect::<Vec<_>>()), whole);
    whole
}

#[test]
fn messages_come_out_whole_with_control_frames_between_their_fragments() {
    let long = vec![b'y'; 300];
    let bytes = [
        frame(0x81, b"<a/>"),
        frame(0x01, b"<b"),
        frame(0x89, b"?"),
        frame(0x00, b""),
        frame(0x8a, b"!"),
        frame(0x80, b"/>"),
        frame(0x81, &long),
        frame(0x81, b""),
        frame(0x88, &[3, 232, b'o', b'k']),
        frame(0x81, b"dropped"),
    ];
    let events = vec![
        Event::Text(b"<a/>".to_vec()),
        Event::Ping(b"?".to_vec()),
        Event::Pong,
        Event::Text(b"<b/>".to_vec()),
        Event::Text(long),
        Event::Text(Vec::new()),
        Event::Close(Some(1000)),
    ];
    assert_eq!(read(&bytes.concat()), (events, None));
    assert_eq!(read(&frame(0x88, b"")).0, [Event::Close(None)]);
}

/// security.md, line 12.
#[test]
fn bad_frames_are_refused_with_their_codes() {
    let unmasked = b"\x81\x01x".to_vec();
    let text = |payload: &[u8]| frame(0x81, payload);
    let many: Vec<u8> = [frame(0x01, b"")]
        .into_iter()
        .chain((0..FRAMES).map(|_| frame(0x00, b"")))
        .flatten()
        .collect();
    for (bytes, code) in [
        (unmasked, 1002),
        (frame(0xc1, b"x"), 1002),
        (frame(0xa1, b"x"), 1002),
        (frame(0x91, b"x"), 1002),
        (frame(0x83, b"x"), 1002),
        (frame(0x8b, b"x"), 1002),
        // fragments
        (frame(0x80, b"x"), 1002),
        ([frame(0x01, b"x"), text(b"y")].concat(), 1002),
        ([frame(0x01, b"x"), frame(0x82, b"y")].concat(), 1002),
        (many, 1008),
        // control frames
        (frame(0x09, b"x"), 1002),
        (frame(0x89, &[0; 126]), 1002),
        (frame(0x88, b"x"), 1002),
        (frame(0x88, &[0, 0]), 1002),
        (frame(0x88, &[3, 237]), 1002),
        (frame(0x88, &[3, 232, 0xff]), 1007),
        // lengths
        (b"\x81\xfe\0\x01mask-".to_vec(), 1002),
        (b"\x81\xff\0\0\0\0\0\0\xff\xffmask".to_vec(), 1002),
        (b"\x81\xff\xff\0\0\0\0\0\0\0mask".to_vec(), 1002),
        (b"\x81\xff\0\x01\0\0\0\0\0\0mask".to_vec(), 1009),
        (text(&[b'x'; LIMIT + 1]), 1009),
        (
            [frame(0x01, &[b'x'; LIMIT]), frame(0x80, b"y")].concat(),
            1009,
        ),
        // content
        (frame(0x82, b"<a/>"), 1003),
        (text(b"\xc3\x28"), 1007),
        (text(b"\xc3"), 1007),
    ] {
        let (events, fault) = if bytes.len() < 100 {
            read(&bytes)
        } else {
            run(&[&bytes])
        };
        assert_eq!(events, [], "{bytes:?}");
        assert_eq!(fault.map(Fault::code), Some(code), "{bytes:?}");
    }
}

#[test]
fn a_message_may_be_as_long_as_the_limit() {
    let text = vec![b'x'; LIMIT];
    assert_eq!(run(&[&frame(0x81, &text)]).0, [Event::Text(text)]);
}

#[test]
fn what_is_refused_is_known_before_it_is_there() {
    assert_eq!(run(&[b"\x82\x85"]).1, Some(Fault::Binary));
    assert_eq!(
        run(&[b"\x81\xff\0\0\0\0\x10\0\0\0mask"]).1,
        Some(Fault::TooLong)
    );
}

#[test]
fn an_idle_reader_holds_no_buffer() {
    let mut reader = Reader::new();
    let bytes = [frame(0x81, b"x"), frame(0x89, b"y")].concat();
    let mut input = bytes.as_slice();
    while reader.next(&mut input, LIMIT).unwrap().is_some() {}
    assert_eq!(reader.text.capacity() + reader.control.capacity(), 0);
    assert!(size_of::<Reader>() <= 112, "{}", size_of::<Reader>());
}

#[test]
fn what_is_written_is_not_masked_and_as_short_as_can_be() {
    let written = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        out
    };
    for (length, expected) in [
        (0, b"\x81\x00".to_vec()),
        (125, b"\x81\x7d".to_vec()),
        (126, b"\x81\x7e\0\x7e".to_vec()),
        (65535, b"\x81\x7e\xff\xff".to_vec()),
        (65536, b"\x81\x7f\0\0\0\0\0\x01\0\0".to_vec()),
    ] {
        assert_eq!(written(&|out| text_header(length, out)), expected);
    }
    assert_eq!(written(&ping), b"\x89\x00");
    assert_eq!(written(&|out| pong(b"ab", out)), b"\x8a\x02ab");
    assert_eq!(written(&|out| close(1003, out)), b"\x88\x02\x03\xeb");
}
