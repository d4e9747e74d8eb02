//! HTTP, and WebSockets by hand.

use super::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(super) const OPEN: &str =
    "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>";
const CLOSE: &str = "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>";

impl Scene {
    pub(super) fn http(&self) -> Client {
        Client::connect(self.address(Purpose::Http))
    }

    fn https(&self) -> Client {
        let mut client = Client::connect(self.address(Purpose::Https));
        client.start_tls(&self.ca_file, &[b"http/1.1"]);
        client
    }

    /// The head and the body of the answer to a request that ends the connection.
    pub(super) fn ask(&self, request: &str) -> (String, String) {
        let mut client = self.http();
        client.send(request);
        let answer = client.rest();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        (head.to_ascii_lowercase(), body.to_owned())
    }

    pub(super) fn get(&self, path: &str, fields: &str) -> (String, String) {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n"
        ))
    }

    fn page(&self, name: &str) -> Page {
        let mut page = Page::open(self.https());
        page.login(name);
        page
    }
}

pub(super) fn handshake(fields: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{fields}\r\n"
    )
}

/// A client's frame; the mask is no mask, so that the bytes are as they are.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..0x1_0000 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// A client that speaks XMPP in a WebSocket.
pub(super) struct Page(Client);

impl Page {
    fn open(client: Client) -> Page {
        Page::open_with(client, "Origin: https://elsewhere.example\r\n")
    }

    /// Beside those of a handshake, sends `fields`.
    pub(super) fn open_with(mut client: Client, fields: &str) -> Page {
        client.send(&handshake(&format!(
            "Sec-WebSocket-Protocol: chat, xmpp\r\n{fields}"
        )));
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = client.read_bytes(1);
            assert!(!byte.is_empty(), "{}", String::from_utf8_lossy(&head));
            head.extend(byte);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        assert!(head.contains("sec-websocket-protocol: xmpp\r\n"), "{head}");
        // RFC 6455 §1.3.
        let accept = "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n";
        assert!(head.contains(accept), "{head}");
        assert!(!head.contains("sec-websocket-extensions"), "{head}");
        Page(client)
    }

    pub(super) fn say(&mut self, text: &str) {
        self.0.try_send(&frame(0x81, text.as_bytes())).unwrap();
    }

    /// The next frame: its first byte and its payload; `None` at the end.
    fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let head = self.0.read_bytes(2);
        let [first, length] = head.as_slice() else {
            return None;
        };
        let length = match length {
            126 => self.0.read_bytes(2),
            127 => self.0.read_bytes(8),
            short => vec![*short],
        };
        let length = length.iter().fold(0, |n, b| n << 8 | usize::from(*b));
        Some((*first, self.0.read_bytes(length)))
    }

    pub(super) fn hear(&mut self) -> String {
        let (first, payload) = self.next().unwrap();
        assert_eq!(first, 0x81, "{payload:?}");
        String::from_utf8(payload).unwrap()
    }

    fn login(&mut self, name: &str) {
        use base64::prelude::{BASE64_STANDARD, Engine as _};
        self.say(OPEN);
        assert!(self.hear().starts_with("<open "));
        assert!(self.hear().contains("<mechanism>PLAIN</mechanism>"));
        let message = BASE64_STANDARD.encode(format!("\0{name}\0secret"));
        self.say(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{message}</auth>"
        ));
        assert!(self.hear().starts_with("<success "));
        self.say(OPEN);
        assert!(self.hear().starts_with("<open "));
        assert!(self.hear().contains("<bind "));
        self.say(&format!(
            "<iq xmlns='jabber:client' type='set' id='b'>\
             <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{name}</resource></bind></iq>"
        ));
        let bound = self.hear();
        assert!(
            bound.contains(&format!("{name}@localhost/{name}")),
            "{bound}"
        );
    }

    /// What comes until the connection ends: the texts, then the code of the close frame.
    fn end(&mut self) -> (Vec<String>, u16) {
        let mut texts = Vec::new();
        loop {
            match self.next().unwrap() {
                (0x81, text) => texts.push(String::from_utf8(text).unwrap()),
                (0x88, code) => {
                    assert_eq!(self.next(), None);
                    return (texts, u16::from_be_bytes([code[0], code[1]]));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[cfg(feature = "web")]
#[test]
fn the_chat_page_and_its_files_are_served() {
    let scene = Scene::new(|_| {});
    let (head, page) = scene.get("/chat", "");
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self'; "));
    assert!(
        page.contains("&quot;domain&quot;:&quot;localhost&quot;"),
        "{page}"
    );
    let style = format!("/chat/{}/chat.css", tercet_web::DIGEST);
    assert!(page.contains(&style), "{page}");
    let (head, body) = scene.get(&style, "");
    assert!(
        head.contains("content-type: text/css; charset=utf-8\r\n"),
        "{head}"
    );
    assert!(head.contains("cache-control: public, max-age=31536000, immutable\r\n"));
    assert!(body.contains("#controlbox"), "{body}");
    let (head, _) = scene.get("/chat/", "");
    assert!(head.contains("location: /chat\r\n"), "{head}");
}

#[cfg(not(feature = "web"))]
#[test]
fn a_program_without_the_web_client_says_so() {
    let (head, page) = Scene::new(|_| {}).get("/chat", "");
    assert!(head.starts_with("http/1.1 404 "), "{head}");
    assert!(page.contains("No web client here"), "{page}");
}

#[test]
fn people_in_a_page_and_in_a_program_talk() {
    let scene = Scene::new(|_| {});
    let mut romeo = scene.page("romeo");
    let mut juliet = scene.session("juliet");
    romeo.say(
        "<message xmlns='jabber:client' to='juliet@localhost/juliet' type='chat'>\
         <body>a &gt; b</body></message>",
    );
    assert!(
        juliet
            .expect("</message>")
            .contains("<body>a &gt; b</body>")
    );
    for number in 0..3 {
        juliet.send(&format!(
            "<message to='romeo@localhost/romeo' type='chat'><body>{number}</body></message>"
        ));
    }
    for number in 0..3 {
        let text = romeo.hear();
        assert!(
            text.starts_with("<message xmlns='jabber:client' "),
            "{text}"
        );
        assert!(
            text.ends_with(&format!("<body>{number}</body></message>")),
            "{text}"
        );
    }
    romeo.say(CLOSE);
    assert_eq!(romeo.end(), (vec![CLOSE.to_owned()], 1000));
    drop((romeo, juliet));
    scene.wait_for_connections(0);
    assert_eq!(scene.cores.loads(), [0, 0]);
}

#[test]
fn on_this_machine_a_page_needs_no_tls() {
    let scene = Scene::new(|_| {});
    let mut page = Page::open(scene.http());
    page.login("romeo");
    page.0.try_send(&frame(0x89, b"there?")).unwrap();
    assert_eq!(page.next(), Some((0x8a, b"there?".to_vec())));
    page.0.try_send(&frame(0x88, b"")).unwrap();
    assert_eq!(page.end(), (Vec::new(), 1000));
}

#[test]
fn what_came_behind_the_handshake_is_the_streams() {
    let scene = Scene::new(|_| {});
    let mut client = scene.http();
    let mut bytes = handshake("Sec-WebSocket-Protocol: xmpp\r\n").into_bytes();
    bytes.extend(frame(0x81, OPEN.as_bytes()));
    client.try_send(&bytes).unwrap();
    let mut page = Page(client);
    while page.0.read_bytes(1) != b"\r" || page.0.read_bytes(3) != b"\n\r\n" {}
    assert!(page.hear().starts_with("<open "));
}

#[test]
fn a_shutdown_tells_pages_too() {
    let mut scene = Scene::new(|_| {});
    let mut page = scene.page("romeo");
    let told = std::thread::spawn(move || page.end());
    assert_eq!(scene.drain(), 0);
    let (texts, code) = told.join().unwrap();
    assert!(texts[0].contains("<system-shutdown "), "{texts:?}");
    assert_eq!((texts[1].as_str(), code), (CLOSE, 1000));
}

#[test]
fn a_shutdown_sends_pages_to_another_server_where_there_is_one() {
    let mut scene = Scene::new(|settings| {
        settings.streams.see_other_uri = Some("wss://other.example/ws?a&b".into());
    });
    let mut page = scene.page("romeo");
    let mut program = scene.session("juliet");
    let told = std::thread::spawn(move || (page.end(), program.rest()));
    assert_eq!(scene.drain(), 0);
    let ((texts, code), rest) = told.join().unwrap();
    let moved = "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing' \
                 see-other-uri='wss://other.example/ws?a&amp;b'/>";
    assert_eq!((texts, code), (vec![moved.to_owned()], 1000));
    assert!(rest.contains("<system-shutdown "), "{rest}");
}

/// security.md, line 12.
#[test]
fn bad_frames_end_the_connection_with_their_code() {
    let scene = Scene::new(|_| {});
    for (bytes, code) in [
        (frame(0x82, OPEN.as_bytes()), 1003),
        (frame(0x81, b"\xff"), 1007),
        (b"\x81\x01x".to_vec(), 1002),
    ] {
        let mut page = Page::open(scene.http());
        page.0.try_send(&bytes).unwrap();
        assert_eq!(page.end(), (Vec::new(), code));
    }
    let mut page = Page::open(scene.http());
    page.0.try_send(&frame(0x81, &[b' '; 11_000])).unwrap();
    let (texts, code) = page.end();
    assert_eq!(code, 1009);
    assert!(texts[0].starts_with("<open "), "{texts:?}");
    assert!(texts[1].contains("<policy-violation "), "{texts:?}");
    assert_eq!(texts[2], CLOSE);
}

#[test]
fn a_request_that_is_no_handshake_of_ours_stays_http() {
    let scene = Scene::new(|_| {});
    let good = handshake("Sec-WebSocket-Protocol: xmpp\r\n")
        .replace("keep-alive, Upgrade", "Upgrade, close");
    for (from, to, status) in [
        ("Upgrade: websocket\r\n", "", "426"),
        ("Upgrade, close", "close", "426"),
        ("-Version: 13", "-Version: 12", "426"),
        (KEY, "c2hvcnQ=", "400"),
        ("Protocol: xmpp", "Protocol: mqtt", "400"),
        ("Sec-WebSocket-Protocol: xmpp\r\n", "", "400"),
    ] {
        assert!(good.contains(from));
        let (head, _) = scene.ask(&good.replace(from, to));
        assert!(
            head.starts_with(&format!("http/1.1 {status} ")),
            "{to}: {head}"
        );
    }
}

#[test]
fn discovery_names_the_open_port_to_every_origin() {
    let scene = Scene::new(|_| {});
    let port = scene.address(Purpose::Https).port();
    let link = format!("wss://localhost:{port}/ws");
    let bosh = format!("https://localhost:{port}/bosh");
    let (head, body) = scene.get(
        "/.well-known/host-meta.json",
        "Origin: https://x.example\r\n",
    );
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert!(head.contains("access-control-allow-origin: *"), "{head}");
    assert!(head.contains("x-content-type-options: nosniff"), "{head}");
    assert!(head.contains("content-security-policy: "), "{head}");
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    let rel = "urn:xmpp:alt-connections:websocket";
    assert_eq!(
        json,
        serde_json::json!({ "links": [
            { "rel": rel, "href": link },
            { "rel": "urn:xmpp:alt-connections:xbosh", "href": bosh },
        ] })
    );
    let (head, body) = scene.get("/.well-known/host-meta", "");
    assert!(head.contains("content-type: application/xrd+xml"), "{head}");
    assert!(body.contains(&format!("href='{link}'")), "{body}");
    let (head, _) = scene.get("/status", "");
    assert!(!head.contains("access-control"), "{head}");
    let without = Scene::new(|settings| settings.https = None);
    let (head, _) = without.get("/.well-known/host-meta", "");
    assert!(head.starts_with("http/1.1 404 "), "{head}");
    let without = Scene::new(|settings| settings.web.bosh = None);
    let (_, body) = without.get("/.well-known/host-meta", "");
    assert!(
        body.contains("websocket") && !body.contains("bosh"),
        "{body}"
    );
    let (head, _) = without.get("/bosh", "");
    assert!(head.starts_with("http/1.1 404 "), "{head}");
}

#[test]
fn discovery_has_addresses_where_they_were_told_and_over_tls_only() {
    let scene = Scene::new(|settings| {
        settings.web.addresses = vec!["192.0.2.1".parse().unwrap()];
    });
    let path = "/.well-known/host-meta.json";
    let ask = |client: &mut Client| -> serde_json::Value {
        client.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        ));
        let answer = client.rest();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    };
    let json = ask(&mut scene.https());
    assert_eq!(json["xmpp"]["ttl"], 3600);
    let links = json["links"].as_array().unwrap();
    let rels: Vec<_> = links.iter().map(|link| &link["rel"]).collect();
    assert_eq!(
        rels[..],
        [
            "urn:xmpp:alt-connections:websocket",
            "urn:xmpp:alt-connections:xbosh",
            "urn:xmpp:alt-connections:tls"
        ]
    );
    for link in links {
        assert_eq!(link["ips"], serde_json::json!(["192.0.2.1"]));
        assert_eq!(link["sni"], "localhost");
        assert!(link["priority"].is_u64() && link["weight"].is_u64());
    }
    assert_eq!(links[2]["port"], scene.address(Purpose::C2sTls).port());
    assert_eq!(links[2]["priority"], 10);
    let open = ask(&mut scene.http());
    assert!(open.get("xmpp").is_none(), "{open}");
    assert_eq!(open["links"].as_array().unwrap().len(), 2);
}

/// security.md, line 12.
#[test]
fn requests_are_judged_before_their_path() {
    let scene = Scene::new(|_| {});
    let (head, body) = scene.get("/status", "");
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert_eq!(body, "{\"status\":\"ok\"}\n");
    let host = "Host: localhost\r\nConnection: close\r\n";
    for (request, status) in [
        (format!("GET /nothing HTTP/1.1\r\n{host}\r\n"), 404),
        (format!("GET /../status HTTP/1.1\r\n{host}\r\n"), 404),
        (format!("GET /%73tatus/ HTTP/1.1\r\n{host}\r\n"), 404),
        (format!("OPTIONS /ws HTTP/1.1\r\n{host}\r\n"), 204),
        (format!("POST /status HTTP/1.1\r\n{host}\r\n"), 405),
        (format!("BREW / HTTP/1.1\r\n{host}\r\n"), 405),
        (format!("CONNECT localhost:1 HTTP/1.1\r\n{host}\r\n"), 405),
        (
            "GET /status HTTP/1.1\r\nConnection: close\r\n\r\n".into(),
            400,
        ),
        (
            format!("GET /status HTTP/1.1\r\nHost: b\r\n{host}\r\n"),
            400,
        ),
        (
            format!(
                "GET /status HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n{host}\r\n0\r\n\r\n"
            ),
            400,
        ),
        (
            format!("GET /status HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{host}\r\n0\r\n\r\n"),
            400,
        ),
        (
            format!("GET /status HTTP/1.1\r\nContent-Length: 3\r\n{host}\r\nabc"),
            413,
        ),
        (
            format!(
                "GET /status HTTP/1.1\r\nX: {}\r\n{host}\r\n",
                "x".repeat(20_000)
            ),
            431,
        ),
        (
            format!(
                "GET /status HTTP/1.1\r\n{}{host}\r\n",
                "X: y\r\n".repeat(70)
            ),
            431,
        ),
        ("rubbish\r\n\r\n".into(), 400),
    ] {
        let (head, _) = scene.ask(&request);
        assert!(
            head.starts_with(&format!("http/1.1 {status} ")),
            "{}: {head}",
            &request[..request.len().min(80)]
        );
    }
    scene.wait_for_connections(0);
}

/// security.md, line 12.
#[test]
fn a_connection_is_used_again_and_ends_when_it_is_idle_or_old_or_its_head_does_not_come() {
    const SHORT: Duration = Duration::from_millis(300);
    let asked = |client: &mut Client| {
        client.send("GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.expect("{\"status\":\"ok\"}\n");
    };
    let idle = Scene::new(|settings| settings.web.times.idle = SHORT);
    let mut client = idle.https();
    asked(&mut client);
    asked(&mut client);
    assert_eq!(client.rest(), "");
    let head = Scene::new(|settings| settings.web.times.head = SHORT);
    let mut client = head.http();
    asked(&mut client);
    client.send("GET /status HTTP/1.1\r\nHost: local");
    assert_eq!(client.rest(), "");
    let mut silent = Client::connect(head.address(Purpose::Https));
    assert_eq!(silent.rest(), "");
    let age = Scene::new(|settings| settings.web.times.age = SHORT);
    let mut client = age.http();
    asked(&mut client);
    assert_eq!(client.rest(), "");
}

#[test]
fn a_client_that_speaks_another_protocol_in_tls_is_refused() {
    let scene = Scene::new(|_| {});
    let mut client = Client::connect(scene.address(Purpose::Https));
    client.start_tls(&scene.ca_file, &[ALPN_CLIENT]);
    assert!(client.try_send(b"x").is_err());
}
