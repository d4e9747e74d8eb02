//! From the connection to the session.

use super::*;
use tercet_server::account::ACCOUNT;
use tercet_stream::{C2sConfig, HostConfig};

#[test]
fn a_client_upgrades_by_starttls_logs_in_and_chats_across_cores() {
    let scene = Scene::new(|_| {});
    let mut romeo = scene.connect();
    assert!(romeo.open().contains("<starttls"));
    romeo.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    romeo.expect("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    romeo.start_tls(&scene.ca_file, &[]);
    romeo.login("romeo", "secret");
    romeo.bind("garden");
    let mut juliet = scene.session("juliet");
    assert_eq!(scene.cores.loads(), [1, 1]);
    romeo.send(
        "<message to='juliet@localhost/juliet' type='chat'><body>Art thou there?</body></message>",
    );
    let message = juliet.expect("</message>");
    assert!(
        message.contains("from='romeo@localhost/garden'"),
        "{message}"
    );
    assert!(message.contains("Art thou there?"), "{message}");
    juliet.send("<message to='romeo@localhost/garden' type='chat'><body>Ay me!</body></message>");
    assert!(romeo.expect("</message>").contains("Ay me!"));
}

#[test]
fn bytes_behind_starttls_are_never_read_as_if_they_came_inside() {
    let scene = Scene::new(|_| {});
    let mut client = scene.connect();
    client.open();
    client.send(
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\
         <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHJvbWVvAHNlY3JldA==</auth>",
    );
    let rest = client.rest();
    assert!(
        !rest.contains("success") && !rest.contains("challenge"),
        "{rest}"
    );
}

#[test]
fn a_wrong_password_and_an_unknown_name_get_the_same_answer() {
    let scene = Scene::new(|settings| settings.gate.rates = false);
    let mut answers = Vec::new();
    for (name, password) in [
        ("romeo", "wrong"),
        ("nobody", "secret"),
        ("bad name", "secret"),
    ] {
        let mut client = scene.connect_tls();
        client.open();
        client.authenticate(name, password);
        answers.push(client.expect("</failure>"));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
}

#[test]
fn a_certificate_logs_in_the_account_that_it_names_and_no_other() {
    let scene = Scene::new(|_| {});
    let authority = std::fs::read_to_string(&scene.ca_file).unwrap();
    let key = std::fs::read_to_string(scene.folder.join("ca.key")).unwrap();
    let key = rcgen::KeyPair::from_pem(&key).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&authority, key).unwrap();
    let connect = |address: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        let oid = vec![1, 3, 6, 1, 5, 5, 7, 8, 5];
        let value = rcgen::OtherNameValue::Utf8String(address.to_owned());
        params.subject_alt_names = vec![rcgen::SanType::OtherName((oid, value))];
        let certificate = params.signed_by(&key, &issuer).unwrap().der().clone();
        let key = rustls_pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let mut client = Client::connect(scene.address(Purpose::C2sTls));
        client.start_tls_as(&scene.ca_file, &[ALPN_CLIENT], Some((certificate, key)));
        let features = client.open();
        (client, features)
    };
    let external = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
    let (mut romeo, features) = connect("romeo@localhost");
    assert!(
        features.contains("<mechanism>EXTERNAL</mechanism>"),
        "{features}"
    );
    romeo.send(external);
    romeo.expect("<success");
    romeo.expect(">");
    romeo.open();
    romeo.bind("garden");
    // An account that does not exist, and one of another server.
    for address in ["nobody@localhost", "romeo@example.org"] {
        let (mut client, _) = connect(address);
        client.send(external);
        assert!(!client.expect("</failure>").contains("<success"));
    }
}

#[test]
fn a_second_session_of_the_same_resource_ends_the_first() {
    let scene = Scene::new(|_| {});
    let mut first = scene.session("romeo");
    let mut second = scene.session("romeo");
    assert!(first.rest().contains("<conflict"));
    assert!(second.settle().contains("service-unavailable"));
}

#[test]
fn direct_tls_with_another_protocol_name_is_refused() {
    let scene = Scene::new(|_| {});
    let mut client = Client::connect(scene.address(Purpose::C2sTls));
    client.start_tls(&scene.ca_file, &[b"http/1.1"]);
    assert!(client.try_send(b"GET / HTTP/1.1\r\n\r\n").is_err());
    drop(client);
    scene.wait_for_connections(0);
}

#[test]
fn an_address_that_connects_too_often_is_told_so_and_let_in_later() {
    let scene = Scene::new(|settings| settings.gate.unauthenticated = 2);
    let first = scene.connect();
    let _second = scene.connect();
    scene.wait_for_connections(2);
    assert!(scene.connect().rest().contains("<policy-violation"));
    drop(first);
    scene.wait_for_connections(1);
    assert!(scene.connect().open().contains("<stream:features>"));
}

#[test]
fn a_client_that_does_not_get_through_tls_or_login_in_time_is_closed() {
    let scene = Scene::new(|settings| settings.streams.login_timeout = Duration::from_millis(100));
    let mut idle = scene.connect();
    let mut half = scene.connect();
    half.send("<?xml version='1.0'?><stream:stre");
    let mut handshake = Client::connect(scene.address(Purpose::C2sTls));
    handshake.send("\x16\x03\x01");
    for client in [&mut idle, &mut half] {
        assert!(client.rest().contains("<connection-timeout"));
    }
    assert_eq!(handshake.rest(), "");
    drop((idle, half, handshake));
    scene.wait_for_connections(0);
}

#[test]
fn an_anonymous_client_has_an_account_as_long_as_it_is_there() {
    let scene = Scene::new(|settings| {
        let mut host = HostConfig::new("localhost");
        host.anonymous = true;
        settings.streams = C2sConfig::new(host, []);
    });
    let accounts = || {
        let owners = scene.server.store().owners(&ACCOUNT, None, 10);
        scene.runtime.block_on(owners).unwrap().len()
    };
    let mut bound = scene.connect_tls();
    let mut unbound = scene.connect_tls();
    for client in [&mut bound, &mut unbound] {
        assert!(client.open().contains("<mechanism>ANONYMOUS</mechanism>"));
        client.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>");
        client.expect("<success");
        client.expect(">");
        client.open();
    }
    bound.bind("garden");
    assert_eq!(accounts(), 4);
    bound.send("<message to='romeo@localhost' type='headline'><body>Boo!</body></message>");
    bound.settle();
    drop((bound, unbound));
    scene.wait_for_connections(0);
    assert_eq!(accounts(), 2);
}
