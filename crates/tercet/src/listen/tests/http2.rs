//! HTTP/2 by hand (RFC 9113), with fields that are never compressed (RFC 7541 §6.2.2).

use super::*;
use crate::tls::ALPN_HTTP_2;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A client that speaks HTTP/2.
struct Browser(Client);

/// A frame: type, flags, stream, payload.
type Frame = (u8, u8, u32, Vec<u8>);

impl Browser {
    fn open(scene: &Scene) -> Browser {
        let mut client = Client::connect(scene.address(Purpose::Https));
        client.start_tls(&scene.ca_file, &[ALPN_HTTP_2, b"http/1.1"]);
        client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let mut browser = Browser(client);
        // RFC 9113 §6.5.2: no table of fields, so that each answer can be read alone.
        browser.send(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]);
        browser
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        // The server may have gone already.
        let _ = self.0.try_send(&frame(kind, flags, stream, payload));
    }

    fn ask(&mut self, stream: u32, method: &str, path: &str, fields: &[(&str, &str)], end: bool) {
        let block = block(method, path, fields);
        let end = if end { END_STREAM } else { 0 };
        self.send(HEADERS, END_HEADERS | end, stream, &block);
    }

    fn next(&mut self) -> Option<Frame> {
        let head: [u8; 9] = self.0.read_bytes(9).try_into().ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let stream = u32::from_be_bytes(stream);
        Some((kind, flags, stream, self.0.read_bytes(length)))
    }

    fn until(&mut self, wanted: u8) -> Frame {
        loop {
            let frame = self.next().expect("a frame of this type comes");
            if frame.0 == wanted {
                return frame;
            }
        }
    }

    /// The status of the next answer; it has a byte of its own in the table of RFC 7541, or is spelled.
    fn status(&mut self) -> u16 {
        let (_, _, _, block) = self.until(HEADERS);
        // RFC 7541 §6.3: the size of the table may come first.
        let block = block.strip_prefix(b"\x20").unwrap_or(&block);
        match block[0] {
            0x88 => 200,
            0x89 => 204,
            0x8c => 400,
            0x8d => 404,
            _ => {
                let digits = huffman_digits(block);
                digits.parse().unwrap()
            }
        }
    }

    /// The code with which the connection ends.
    fn end(&mut self) -> u32 {
        let (_, _, _, payload) = self.until(GO_AWAY);
        u32::from_be_bytes(payload[4..8].try_into().unwrap())
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn block(method: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [
        (":method", method),
        (":scheme", "https"),
        (":path", path),
        (":authority", "localhost"),
    ];
    let mut block = Vec::new();
    for (name, value) in pseudo.iter().chain(fields) {
        block.push(0);
        for text in [name, value] {
            integer(text.len(), &mut block);
            block.extend(text.as_bytes());
        }
    }
    block
}

/// RFC 7541 §5.1, with a prefix of seven bits.
fn integer(value: usize, out: &mut Vec<u8>) {
    if value < 127 {
        return out.push(value as u8);
    }
    out.push(127);
    let mut rest = value - 127;
    while rest >= 128 {
        out.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    out.push(rest as u8);
}

/// The value of a `:status` that is not in the table: a literal with a name from it, in the Huffman code, in which the first
/// three digits have five bits and the others six (RFC 7541, Appendix B).
fn huffman_digits(block: &[u8]) -> String {
    let at = block.iter().position(|b| *b & 0x80 != 0).unwrap();
    let length = usize::from(block[at] & 0x7f);
    let bits: String = block[at + 1..][..length]
        .iter()
        .map(|b| format!("{b:08b}"))
        .collect();
    let mut digits = String::new();
    let mut rest = bits.as_str();
    while digits.len() < 3 {
        let (code, length) = match &rest[..5] {
            short @ ("00000" | "00001" | "00010") => (u8::from_str_radix(short, 2).unwrap(), 5),
            _ => (u8::from_str_radix(&rest[..6], 2).unwrap() - 0x19 + 3, 6),
        };
        digits.push(char::from(b'0' + code));
        rest = &rest[length..];
    }
    digits
}

#[test]
fn a_browser_asks_for_several_things_in_one_connection() {
    let scene = Scene::new(|_| {});
    let mut browser = Browser::open(&scene);
    browser.ask(1, "GET", "/status", &[], true);
    assert_eq!(browser.status(), 200);
    let (_, _, stream, body) = browser.until(DATA);
    assert_eq!(
        (stream, body.as_slice()),
        (1, b"{\"status\":\"ok\"}\n".as_slice())
    );
    browser.ask(3, "GET", "/.well-known/host-meta.json", &[], true);
    browser.ask(5, "GET", "/nowhere", &[], true);
    assert_eq!([browser.status(), browser.status()], [200, 404]);
}

/// security.md, line 12.
#[test]
fn requests_of_http_2_are_judged_as_those_of_http_1() {
    let scene = Scene::new(|_| {});
    let mut browser = Browser::open(&scene);
    for (number, method, path, fields, status) in [
        (1, "BREW", "/", vec![], 405),
        (3, "POST", "/status", vec![], 405),
        (5, "GET", "/%2e%2e/status", vec![], 404),
        (7, "GET", "/status", vec![("host", "elsewhere")], 400),
        (9, "OPTIONS", "/status", vec![], 204),
        // Without the protocol of RFC 8441 there is no WebSocket here.
        (11, "GET", "/ws", vec![], 400),
    ] {
        browser.ask(number, method, path, &fields, true);
        assert_eq!(browser.status(), status, "{method} {path}");
    }
    browser.ask(13, "GET", "/status", &[], false);
    browser.send(DATA, END_STREAM, 13, b"body");
    assert_eq!(browser.status(), 413);
    let long = "x".repeat(20_000);
    let whole = block("GET", "/status", &[("x", &long)]);
    browser.send(HEADERS, END_STREAM, 15, &whole[..16_000]);
    browser.send(9, END_HEADERS, 15, &whole[16_000..]);
    assert_eq!(browser.status(), 431);
}

/// security.md, line 12.
#[test]
fn requests_that_are_taken_back_at_once_end_the_connection() {
    let scene = Scene::new(|_| {});
    let mut browser = Browser::open(&scene);
    let mut flood = Vec::new();
    for number in 0..2000 {
        let stream = 1 + 2 * number;
        let head = block("GET", "/status", &[]);
        flood.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &head));
        // RFC 9113 §7: CANCEL.
        flood.extend(frame(RESET, 0, stream, &8_u32.to_be_bytes()));
    }
    let _ = browser.0.try_send(&flood);
    let mut answers = 0;
    while let Some((kind, _, _, payload)) = browser.next() {
        answers += usize::from(kind == HEADERS);
        // RFC 9113 §7: ENHANCE_YOUR_CALM. What the client still sends may break the connection before it reads this.
        assert!(kind != GO_AWAY || payload[4..8] == [0, 0, 0, 11]);
    }
    assert!(answers < 1000, "{answers}");
}

#[test]
fn a_browser_is_told_when_it_has_been_idle() {
    let scene = Scene::new(|settings| settings.web.times.idle = Duration::from_millis(200));
    let mut browser = Browser::open(&scene);
    browser.ask(1, "GET", "/status", &[], true);
    assert_eq!(browser.status(), 200);
    assert_eq!(browser.end(), 0);
    let silent = Scene::new(|settings| settings.web.times.head = Duration::from_millis(200));
    let mut browser = Browser::open(&silent);
    while browser.next().is_some() {}
}
