//! Which certificate serves whom, whose is the client's, and how files change.

use super::*;

#[test]
fn no_ticket_outlives_a_change_of_certificates() {
    let server = Server::new(&["one.example"], &[]);
    let config = server.client();
    server.pair(config.clone(), "one.example").run().unwrap();
    server.certificates.reload().unwrap();
    let mut second = server.pair(config, "one.example");
    second.run().unwrap();
    assert!(!second.info().resumed);
}

#[test]
fn the_certificate_follows_sni_then_the_stream_then_the_default() {
    let server = Server::new(&["one.example", "two.example"], &[]);
    let presented = |pair: &Pair| pair.client.peer_certificates().unwrap()[0].to_vec();
    let mut by_name = Vec::new();
    for name in ["one.example", "two.example"] {
        let mut pair = server.pair(server.client(), name);
        pair.run().unwrap();
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &presented(&pair));
        assert_eq!(pair.info().end_point.as_deref(), Some(hash.as_ref()));
        by_name.push(presented(&pair));
    }
    assert_ne!(by_name[0], by_name[1]);
    // A service below the domain has the wildcard's certificate.
    let mut pair = server.pair(server.client(), "rooms.two.example");
    pair.run().unwrap();
    assert_eq!(presented(&pair), by_name[1]);
    // Two labels below, or unknown: the default one, which a client may refuse.
    for name in ["a.rooms.two.example", "other.example"] {
        let mut pair = server.pair(server.client(), name);
        assert!(matches!(pair.run(), Err(TlsError::Peer(_))));
    }
    // Without SNI (a client that was given an address), the stream's `to` decides.
    for (host, expected) in [
        (Some("two.example"), 1),
        (Some("other.example"), 0),
        (None, 0),
    ] {
        let mut config = server.client();
        config.enable_sni = false;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut pair = Pair::new(server.acceptor.start(host).unwrap(), client);
        pair.run().unwrap();
        assert_eq!(presented(&pair), by_name[expected]);
        assert_eq!(pair.info().server_name, None);
    }
}

#[test]
fn a_service_that_no_certificate_names_has_that_of_its_host() {
    let folder = Folder::new();
    let file = |domain: &str, services: &[&str]| {
        let local = local_ca::ensure(&folder.0.join(domain), &[domain], SystemTime::now()).unwrap();
        CertificateFiles {
            services: services
                .iter()
                .map(|service| (*service).to_owned())
                .collect(),
            ..local.files
        }
    };
    let files = vec![
        file("one.example", &["chat.example", "rooms.two.example"]),
        file("two.example", &["talk.example", "bücher.example"]),
    ];
    let certificates = Certificates::load(files, Vec::new()).unwrap();
    let shown = |name: &str| {
        let shown = certificates.current().choose(Some(name));
        CertificateNames::read(&shown.key.cert[0]).dns[0].clone()
    };
    for (name, expected) in [
        ("chat.example", "one.example"),
        ("talk.example", "two.example"),
        ("xn--bcher-kva.example", "two.example"),
        // A certificate that names it goes first, whosever service it is.
        ("rooms.two.example", "two.example"),
        ("other.example", "one.example"),
    ] {
        assert_eq!(shown(name), expected, "{name}");
    }
    for (domain, covered) in [
        ("one.example", true),
        ("rooms.two.example", true),
        ("talk.example", false),
        ("other.example", false),
    ] {
        assert_eq!(certificates.cover(domain), covered, "{domain}");
    }
}

#[test]
fn a_trusted_client_certificate_gives_its_xmpp_addresses_also_when_resumed() {
    let server = Server::new(&["one.example"], &[]);
    let (chain, key) = server.issue("one.example", &["romeo@one.example", "römer@one.example"]);
    let config = server.client_with_certificate(chain, &key);
    for resumed in [false, true] {
        let mut pair = server.pair(config.clone(), "one.example");
        pair.step = 50;
        pair.run().unwrap();
        let peer = pair.info().peer.clone().unwrap();
        assert_eq!(
            peer.xmpp_addresses(),
            ["romeo@one.example", "römer@one.example"]
        );
        assert_eq!(pair.info().resumed, resumed);
    }
}

#[test]
fn a_client_certificate_without_trust_or_addresses_does_not_stop_the_connection() {
    let server = Server::new(&["one.example"], &[]);
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::new(CertificateParams::default(), key);
    let (chain, key) = issue_by(&issuer, &["romeo@one.example"]);
    let mut pair = server.pair(server.client_with_certificate(chain, &key), "one.example");
    pair.run().unwrap();
    let peer = pair.info().peer.clone().unwrap();
    assert!(!peer.is_trusted() && peer.xmpp_addresses().is_empty());
    let (chain, key) = server.issue("one.example", &[]);
    let mut pair = server.pair(server.client_with_certificate(chain, &key), "one.example");
    pair.run().unwrap();
    let peer = pair.info().peer.clone().unwrap();
    assert!(peer.is_trusted() && peer.xmpp_addresses().is_empty());
}

#[test]
fn changed_files_are_loaded_and_broken_ones_leave_the_old_certificate_in_use() {
    let server = Server::new(&["one.example"], &[]);
    let chain = server.folder.0.join("one.example/server.crt");
    let touch = |path: &Path, contents: &str, seconds: u64| {
        fs::write(path, contents).unwrap();
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(seconds))
            .unwrap();
    };
    let good = fs::read_to_string(&chain).unwrap();
    assert!(!server.certificates.reload_if_changed().unwrap());
    touch(&chain, "nothing", 10);
    let error = server
        .certificates
        .reload_if_changed()
        .unwrap_err()
        .to_string();
    assert!(error.contains("server.crt"), "{error}");
    // The same fault is told once.
    assert!(!server.certificates.reload_if_changed().unwrap());
    server.pair(server.client(), "one.example").run().unwrap();
    touch(&chain, &good, 20);
    assert!(server.certificates.reload_if_changed().unwrap());
    // A key that does not fit is a fault too.
    let other = KeyPair::generate().unwrap().serialize_pem();
    touch(&server.folder.0.join("one.example/server.key"), &other, 30);
    let error = server
        .certificates
        .reload_if_changed()
        .unwrap_err()
        .to_string();
    assert!(error.contains("does not fit"), "{error}");
    server.pair(server.client(), "one.example").run().unwrap();
}

#[test]
fn the_local_certificate_is_kept_until_its_end_is_near_or_the_domains_change() {
    let folder = Folder::new();
    let path = folder.0.join("tls");
    let now = SystemTime::now();
    let day = Duration::from_secs(86_400);
    let read = |name: &str| fs::read(path.join(name)).unwrap();
    let first = local_ca::ensure(&path, &["one.example"], now).unwrap();
    assert!(first.new_authority);
    for key in ["ca.key", "server.key"] {
        assert_eq!(
            fs::metadata(path.join(key)).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    let (ca, server) = (read("ca.crt"), read("server.crt"));
    let again = local_ca::ensure(&path, &["one.example"], now + 200 * day).unwrap();
    assert!(!again.new_authority);
    assert_eq!(
        (read("ca.crt"), read("server.crt")),
        (ca.clone(), server.clone())
    );
    local_ca::ensure(&path, &["one.example", "two.example"], now).unwrap();
    assert_eq!(read("ca.crt"), ca);
    let both = read("server.crt");
    assert_ne!(both, server);
    local_ca::ensure(&path, &["one.example", "two.example"], now + 320 * day).unwrap();
    assert_eq!(read("ca.crt"), ca);
    assert_ne!(read("server.crt"), both);
    let last = local_ca::ensure(&path, &["one.example"], now + 3500 * day).unwrap();
    assert!(last.new_authority);
    assert_ne!(read("ca.crt"), ca);
}
