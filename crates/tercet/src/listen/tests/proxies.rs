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
    assert_eq!(
        status(
            &scene,
            "/status",
            "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: a/b\r\n"
        ),
        "400"
    );
}
