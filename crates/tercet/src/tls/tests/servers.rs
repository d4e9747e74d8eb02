//! Two servers of ours: each sees the other's certificate, and what it is worth; no certificate ends TLS.

use super::*;
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};

/// What a test's certificate is to be.
pub(super) struct Wanted {
    params: CertificateParams,
}

pub(super) fn wanted(names: &[&str]) -> Wanted {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = (SystemTime::now() - Duration::from_secs(7200)).into();
    params.not_after = (SystemTime::now() + Duration::from_secs(7200)).into();
    Wanted { params }
}

impl Wanted {
    pub(super) fn with(mut self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        change(&mut self.params);
        self
    }

    /// With this xmppAddr.
    fn address(self, address: &str) -> Self {
        let value = OtherNameValue::Utf8String(address.to_owned());
        let oid = vec![1, 3, 6, 1, 5, 5, 7, 8, 5];
        self.with(|params| {
            let name = SanType::OtherName((oid, value));
            params.subject_alt_names.push(name);
        })
    }
}

/// An authority, and a folder for what it signs.
pub(super) struct Authority {
    pub(super) folder: Folder,
    issuer: Issuer<'static, KeyPair>,
    pub(super) file: PathBuf,
}

impl Authority {
    pub(super) fn new() -> Self {
        let folder = Folder::new();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let file = folder.0.join("ca.pem");
        fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Authority {
            folder,
            issuer,
            file,
        }
    }

    /// The certificates of a server that trusts this authority and has what `signer` makes of `wanted`; `None`: it
    /// signs itself.
    pub(super) fn server(&self, wanted: Wanted, signer: Option<&Authority>) -> Arc<Certificates> {
        let key = KeyPair::generate().unwrap();
        let certificate = match signer {
            Some(signer) => wanted.params.signed_by(&key, &signer.issuer),
            None => wanted.params.self_signed(&key),
        };
        let files = CertificateFiles {
            hosts: Vec::new(),
            services: Vec::new(),
            chain: self.folder.0.join("chain.pem"),
            key: self.folder.0.join("key.pem"),
        };
        fs::write(&files.chain, certificate.unwrap().pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        Certificates::load(vec![files], vec![self.file.clone()]).unwrap()
    }
}

/// What each side has seen.
pub(super) struct Seen {
    accepted: TlsInfo,
    pub(super) connected: TlsInfo,
}

/// A handshake between two sessions, each record in pieces of at most `step` bytes, and a word in both directions.
pub(super) fn meet(mut accepting: TlsSession, mut connecting: TlsSession, step: usize) -> Seen {
    fn take(
        session: &mut TlsSession,
        bytes: &[u8],
        step: usize,
        seen: &mut (Option<TlsInfo>, Vec<u8>),
    ) -> Vec<u8> {
        let (mut out, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
        for chunk in bytes.chunks(step) {
            let kept = session.restore(&mut buffer);
            buffer[kept..kept + chunk.len()].copy_from_slice(chunk);
            let input = &mut buffer[..kept + chunk.len()];
            let on = |event: TlsEvent<'_>| match event {
                TlsEvent::Up(info) => seen.0 = Some(info),
                TlsEvent::Data(data) => seen.1.extend_from_slice(data),
                TlsEvent::Closed => panic!("closed"),
            };
            session.receive(input, &mut out, on).unwrap();
        }
        out
    }
    let (mut theirs, mut ours) = Default::default();
    let mut to_server = Vec::new();
    connecting
        .receive(&mut [], &mut to_server, |_| panic!("nothing was said"))
        .unwrap();
    while !to_server.is_empty() {
        let to_client = take(&mut accepting, &to_server, step, &mut theirs);
        to_server = take(&mut connecting, &to_client, step, &mut ours);
    }
    let mut out = Vec::new();
    connecting.encrypt(b"ping", &mut out).unwrap();
    take(&mut accepting, &out, step, &mut theirs);
    out.clear();
    accepting.encrypt(b"pong", &mut out).unwrap();
    take(&mut connecting, &out, step, &mut ours);
    assert_eq!((&theirs.1[..], &ours.1[..]), (&b"ping"[..], &b"pong"[..]));
    Seen {
        accepted: theirs.0.unwrap(),
        connected: ours.0.unwrap(),
    }
}

/// `a.example` connects to `b.example`, which has this certificate.
pub(super) fn judged(
    wanted: Wanted,
    signer: Option<&Authority>,
    known: &Authority,
) -> PeerCertificate {
    let server = Authority::new().server(wanted, signer);
    let accepting = TlsAcceptor::for_servers(server, false).unwrap();
    let connector = TlsConnector::without_certificate(std::slice::from_ref(&known.file)).unwrap();
    let seen = meet(
        accepting.start(None).unwrap(),
        connector.start("a.example", "b.example", false).unwrap(),
        usize::MAX,
    );
    assert_eq!(seen.accepted.peer, None);
    assert_eq!(seen.accepted.server_name.as_deref(), Some("b.example"));
    *seen.connected.peer.unwrap()
}

#[test]
fn two_servers_prove_their_domains_to_each_other_however_the_input_is_split() {
    let authority = Authority::new();
    let (one, other) = (Authority::new(), Authority::new());
    let load = |folder: &Authority, name: &str| {
        let files = folder.server(wanted(&[name]), Some(&authority));
        let chain = folder.folder.0.join("chain.pem");
        let key = folder.folder.0.join("key.pem");
        let files_of = CertificateFiles {
            hosts: Vec::new(),
            services: Vec::new(),
            chain,
            key,
        };
        let ca = vec![authority.file.clone()];
        files.replace(vec![files_of], ca).unwrap();
        files
    };
    for direct in [false, true] {
        let acceptor = TlsAcceptor::for_servers(load(&one, "b.example"), direct).unwrap();
        let connector = TlsConnector::new(load(&other, "a.example")).unwrap();
        for step in [1, 100, usize::MAX] {
            let seen = meet(
                acceptor.start(None).unwrap(),
                connector.start("a.example", "b.example", direct).unwrap(),
                step,
            );
            let alpn = direct.then_some(ALPN_SERVER);
            assert_eq!(seen.accepted.alpn.as_deref(), alpn);
            let (theirs, ours) = (seen.accepted.peer.unwrap(), seen.connected.peer.unwrap());
            assert_eq!(theirs.proves("a.example"), Ok(()));
            assert_eq!(ours.proves("b.example"), Ok(()));
            let doubt = Doubt::OtherName(vec!["a.example".into()]);
            assert_eq!(theirs.proves("b.example"), Err(doubt));
        }
    }
}

#[test]
fn what_a_certificate_lacks_is_told_and_does_not_end_tls() {
    let (authority, unknown) = (Authority::new(), Authority::new());
    let hour = Duration::from_secs(3600);
    let good = || wanted(&["b.example"]);
    let past = || good().with(|p| p.not_after = (SystemTime::now() - hour).into());
    let future = || good().with(|p| p.not_before = (SystemTime::now() + hour).into());
    let of_authority = || good().with(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let for_clients =
        || good().with(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    let ours = Some(&authority);
    for (wanted, signer, expected) in [
        (good(), ours, Ok(())),
        (past(), ours, Err(Doubt::Expired)),
        (past(), None, Err(Doubt::Expired)),
        (future(), ours, Err(Doubt::NotYetValid)),
        (good(), None, Err(Doubt::SelfSigned)),
        (of_authority(), None, Err(Doubt::SelfSigned)),
        (good(), Some(&unknown), Err(Doubt::UnknownAuthority)),
        (for_clients(), ours, Err(Doubt::OtherUse)),
        (
            wanted(&["c.example", "*.b.example"]),
            ours,
            Err(Doubt::OtherName(vec![
                "c.example".into(),
                "*.b.example".into(),
            ])),
        ),
        (wanted(&[]), ours, Err(Doubt::OtherName(Vec::new()))),
    ] {
        let names = wanted.params.subject_alt_names.clone();
        let peer = judged(wanted, signer, &authority);
        assert_eq!(peer.proves("b.example"), expected, "{names:?}");
    }
}

#[test]
fn every_sort_of_name_counts() {
    let authority = Authority::new();
    for (wanted, domain, covered) in [
        (wanted(&["*.b.example"]), "chat.b.example", true),
        (wanted(&["*.b.example"]), "a.chat.b.example", false),
        (wanted(&["xn--bcher-kva.example"]), "bücher.example", true),
        (
            wanted(&[]).address("bücher.example"),
            "bücher.example",
            true,
        ),
        (wanted(&[]).address("juliet@b.example"), "b.example", false),
        // The subject is no name.
        (
            wanted(&[]).with(|p| {
                p.distinguished_name
                    .push(rcgen::DnType::CommonName, "b.example");
            }),
            "b.example",
            false,
        ),
    ] {
        let peer = judged(wanted, Some(&authority), &authority);
        assert!(peer.is_trusted());
        assert_eq!(peer.proves(domain).is_ok(), covered, "{:?}", peer.names());
    }
}

#[test]
fn a_server_that_connects_may_show_a_certificate_for_servers_alone_and_a_client_may_not() {
    let authority = Authority::new();
    for (usage, as_server, as_client) in [
        (vec![], true, true),
        (vec![ExtendedKeyUsagePurpose::ServerAuth], true, false),
        (vec![ExtendedKeyUsagePurpose::ClientAuth], true, true),
        (vec![ExtendedKeyUsagePurpose::TimeStamping], false, false),
    ] {
        let wanted = wanted(&["a.example"]).with(|p| p.extended_key_usages = usage);
        let folder = Authority::new();
        let connector = TlsConnector::new(folder.server(wanted, Some(&authority))).unwrap();
        let own = authority.server(super::servers::wanted(&["b.example"]), Some(&authority));
        let servers = TlsAcceptor::for_servers(own.clone(), false).unwrap();
        let clients = TlsAcceptor::new(own, &[]).unwrap();
        for (acceptor, trusted) in [(servers, as_server), (clients, as_client)] {
            let seen = meet(
                acceptor.start(None).unwrap(),
                connector.start("a.example", "b.example", false).unwrap(),
                usize::MAX,
            );
            assert_eq!(seen.accepted.peer.unwrap().is_trusted(), trusted);
        }
    }
}

#[test]
fn a_name_that_is_none_for_tls_is_refused_before_the_handshake() {
    let connector = TlsConnector::without_certificate(&[]).unwrap();
    for domain in ["b.example", "bücher.example", "192.0.2.1", "[2001:db8::1]"] {
        assert!(
            connector.start("a.example", domain, false).is_ok(),
            "{domain}"
        );
    }
    let long = format!("{}.example", "x".repeat(64));
    assert!(connector.start("a.example", &long, false).is_err());
}
