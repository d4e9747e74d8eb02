//! Clients behind proxies.

use super::web::{OPEN, Page};
use super::*;
use crate::config::Network;

/// A scene behind a proxy on this machine.
fn behind(configure: impl FnOnce(&mut Settings)) -> Scene {
    Scene::new(|settings| {
        settings.web.trusted = vec![Network::parse("127.0.0.1").unwrap()];
        configure(settings);
    })
}

/// What a request through the proxy is answered with.
fn status(scene: &Scene, path: &str, fields: &str) -> String {
    let (head, _) = scene.get(path, fields);
    head.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// What a WebSocket stream through the proxy is offered.
fn features(scene: &Scene, fields: &str) -> String {
    let mut page = Page::open_with(scene.http(), fields);
    page.say(OPEN);
    page.hear();
    page.hear()
}

/// security.md, line 12.
#[test]
fn a_client_behind_a_proxy_is_counted_and_the_proxy_is_not() {
    let scene = behind(|settings| {
        settings.gate.connections = 2;
        settings.gate.unauthenticated = 2;
    });
    let from = |client: &str| format!("X-Forwarded-For: {client}\r\nX-Forwarded-Proto: https\r\n");
    let one = Page::open_with(scene.http(), &from("192.0.2.1"));
    let _two = Page::open_with(scene.http(), &from("203.0.113.9, 192.0.2.1"));
    assert_eq!(status(&scene, "/status", &from("192.0.2.1")), "429");
    assert_eq!(
        status(&scene, "/status", &from("192.0.2.1, 127.0.0.1")),
        "429"
    );
    let _other = Page::open_with(scene.http(), &from("192.0.2.2"));
    assert_eq!(status(&scene, "/status", &from("192.0.2.2")), "200");
    drop(one);
    scene.wait_for_connections(2);
    assert_eq!(status(&scene, "/status", &from("192.0.2.1")), "200");
    let both = format!("{}Forwarded: for=192.0.2.7\r\n", from("192.0.2.1"));
    assert_eq!(status(&scene, "/status", &both), "400");
}

#[test]
fn the_rate_of_websockets_is_that_of_the_client() {
    let scene = behind(|settings| {
        settings.gate.burst = 1;
        settings.gate.per_second = 1;
    });
    let _one = Page::open_with(scene.http(), "X-Forwarded-For: 192.0.2.1\r\n");
    let again =
        super::web::handshake("Sec-WebSocket-Protocol: xmpp\r\nX-Forwarded-For: 192.0.2.1\r\n");
    let (head, _) = scene.ask(&again.replace("keep-alive, Upgrade", "Upgrade, close"));
    assert!(head.starts_with("http/1.1 429 "), "{head}");
    let _other = Page::open_with(scene.http(), "X-Forwarded-For: 192.0.2.2\r\n");
}

/// security.md, line 12.
#[test]
fn a_proxy_with_tls_before_it_lets_clients_log_in_and_one_without_does_not() {
    let scene = behind(|_| {});
    let login = "<mechanism>PLAIN</mechanism>";
    assert!(features(&scene, "").contains(login));
    assert!(features(&scene, "Forwarded: for=192.0.2.1;proto=https\r\n").contains(login));
    for open in [
        "Forwarded: for=192.0.2.1;proto=http\r\n",
        "X-Forwarded-For: 192.0.2.1\r\n",
        "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n",
    ] {
        assert!(!features(&scene, open).contains(login), "{open}");
    }
    // Who is no proxy is asked for nothing.
    let alone = Scene::new(|_| {});
    assert!(features(&alone, "X-Forwarded-For: 192.0.2.1\r\n").contains(login));
}

#[test]
fn links_are_those_by_which_the_client_came() {
    let link = |scene: &Scene, fields| {
        let (_, body) = scene.get("/.well-known/host-meta.json", fields);
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        json["links"][0]["href"].as_str().unwrap().to_owned()
    };
    let scene = behind(|_| {});
    let fields = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: Chat.example.org\r\n";
    assert_eq!(link(&scene, fields), "wss://chat.example.org/ws");
    let own = format!(
        "wss://localhost:{}/ws",
        scene.address(Purpose::Https).port()
    );
    assert_eq!(link(&scene, ""), own);
    let named = behind(|settings| {
        settings.web.url = crate::config::BaseUrl::parse("https://example.org:8443");
    });
    assert_eq!(link(&named, fields), "wss://example.org:8443/ws");
    let with_domain = named.listeners.as_ref().unwrap();
    let mut settings = Settings::new(&Config::default(), &named.server);
    settings.web.url = crate::config::BaseUrl::parse("https://chat.DOMAIN");
    with_domain.reload(settings);
    assert_eq!(link(&named, ""), "wss://chat.localhost/ws");
    assert_eq!(
        status(
            &scene,
            "/status",
            "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: a/b\r\n"
        ),
        "400"
    );
}

/// A scene behind a load balancer on this machine.
fn balanced(configure: impl FnOnce(&mut Settings)) -> Scene {
    Scene::new(|settings| {
        settings.balancers = vec![Network::parse("127.0.0.0/8").unwrap()];
        settings.balanced = vec![Purpose::C2s, Purpose::C2sTls, Purpose::Http];
        configure(settings);
    })
}

/// The header for a client at `192.0.2.NUMBER`.
fn header(number: u8, remarks: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    bytes.extend((12 + remarks.len() as u16).to_be_bytes());
    bytes.extend([192, 0, 2, number, 127, 0, 0, 1, 0x12, 0x34, 0x14, 0x66]);
    bytes.extend(remarks);
    bytes
}

fn announced(scene: &Scene, purpose: Purpose, header: &[u8]) -> Client {
    let mut client = Client::connect(scene.address(purpose));
    client.try_send(header).unwrap();
    client
}

/// security.md, line 4.
#[test]
fn a_client_behind_a_load_balancer_is_counted_and_the_balancer_is_not() {
    let scene = balanced(|settings| settings.gate.connections = 1);
    let mut one = announced(&scene, Purpose::C2sTls, &header(1, &[]));
    one.start_tls(&scene.ca_file, &[ALPN_CLIENT]);
    one.login("romeo", "secret");
    one.bind("romeo");
    let again = announced(&scene, Purpose::C2s, &header(1, &[])).rest();
    assert!(again.contains("<policy-violation "), "{again}");
    let mut other = announced(&scene, Purpose::C2s, &header(2, &[]));
    assert!(other.open().contains("<starttls "));
    // The balancer itself, to see whether we live.
    let alive = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    assert!(
        announced(&scene, Purpose::C2s, alive)
            .open()
            .contains("<starttls ")
    );
}

/// security.md, line 4.
#[test]
fn a_load_balancer_has_to_say_for_whom_it_connects_and_others_need_not() {
    let scene = balanced(|_| {});
    for nothing in [
        "<?xml version='1.0'?><stream:stream",
        "PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n",
    ] {
        let mut client = scene.connect();
        client.send(nothing);
        assert_eq!(client.rest(), "");
    }
    let elsewhere = balanced(|settings| {
        settings.balancers = vec![Network::parse("192.0.2.0/24").unwrap()];
    });
    assert!(elsewhere.connect().open().contains("<starttls "));
    let other_port = balanced(|settings| settings.balanced = vec![Purpose::Http]);
    assert!(other_port.connect().open().contains("<starttls "));
}

#[test]
fn a_load_balancer_with_tls_lets_web_clients_log_in_and_one_without_does_not() {
    let scene = balanced(|_| {});
    for (remarks, private) in [(vec![], false), (vec![0x20, 0, 5, 1, 0, 0, 0, 0], true)] {
        let client = announced(&scene, Purpose::Http, &header(1, &remarks));
        let mut page = Page::open_with(client, "");
        page.say(OPEN);
        page.hear();
        let features = page.hear();
        assert_eq!(
            features.contains("<mechanism>PLAIN</mechanism>"),
            private,
            "{features}"
        );
    }
}
