//! Servers whose certificates nobody has signed, and which the DNS names (DANE): a name server of the test's own with a signed
//! zone, whose key is the trust anchor; TLS over sockets of the loopback.

use super::*;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Instant;

use aws_lc_rs::digest;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::tlsa::{CertUsage, Matching};
use hickory_resolver::proto::rr::rdata::{A, SRV};
use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use rustls::{ConfigBuilder, ConfigSide, StreamOwned, WantsVerifier, WantsVersions};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tercet_stream::s2s::{
    Answer, DialbackSecret, DomainPair, Goal, Input, Output, Question, S2sConfig, S2sHost,
    S2sStream, Verdict,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::Federation;
use crate::reach::signed::{Wrong, named, serve, tlsa};

const OTHER: &str = "other.test";
const MESSAGE: &[u8] =
    b"<message from='x@other.test/r' to='romeo@localhost/romeo'><body>ho</body></message>";

/// What the DNS says of the other server's certificate.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    ItsOwn,
    Another,
    Nothing,
    /// What it says is signed by nobody.
    ItsOwnUnsigned,
}

/// A key, and a certificate with it that names nobody of here and is signed by itself.
struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Identity {
    fn new() -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["nobody.example".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Identity { certificate, key }
    }

    fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.serialize_der().into())
    }

    /// What a record says of its key.
    fn hash(&self) -> Vec<u8> {
        let (_, parsed) = X509Certificate::from_der(&self.certificate).unwrap();
        let hash = digest::digest(&digest::SHA256, parsed.public_key().raw);
        hash.as_ref().to_vec()
    }
}

fn versions<S: ConfigSide>(
    builder: ConfigBuilder<S, WantsVersions>,
) -> ConfigBuilder<S, WantsVerifier> {
    builder.with_safe_default_protocol_versions().unwrap()
}

fn config(domain: &str) -> S2sConfig {
    let host = S2sHost {
        require_certificate: true,
        ..S2sHost::new(domain)
    };
    let mut config = S2sConfig::new([host], DialbackSecret::new(domain.as_bytes()));
    (config.management, config.bidi) = (false, false);
    config
}

/// Plays `stream`, whose TLS is `wire`, to its end; with certificates of whomever. Tells what comes; writes `say` when it may.
fn play(
    mut wire: impl Read + Write,
    mut stream: S2sStream,
    say: &[u8],
    tell: &mpsc::Sender<String>,
) {
    stream.handle(Instant::now(), Input::TlsUp);
    let mut buffer = [0; 4096];
    loop {
        while let Some(output) = stream.poll_output() {
            let answer = match output {
                Output::Write(bytes) => {
                    // The other side may have gone.
                    let _ = wire.write_all(&bytes);
                    continue;
                }
                Output::Ask(ticket, Question::Certificate(_)) => {
                    (ticket, Answer::Certificate(true))
                }
                Output::Ask(ticket, _) => (ticket, Answer::Key(Verdict::Valid)),
                Output::Authorized(..) => {
                    let _ = wire.write_all(say);
                    continue;
                }
                Output::Stanza(stanza) => {
                    let _ = tell.send(format!("{stanza:?}"));
                    continue;
                }
                Output::Refused(..) | Output::Close => {
                    let _ = tell.send("the end".to_owned());
                    return;
                }
                _ => continue,
            };
            stream.handle(Instant::now(), Input::Answer(answer.0, answer.1));
        }
        let now = Instant::now();
        match wire.read(&mut buffer) {
            Ok(count) if count > 0 => stream.handle(now, Input::Bytes(&buffer[..count])),
            _ => stream.handle(now, Input::PeerClosed),
        }
    }
}

/// The other server: takes every connection, with TLS from its first byte.
fn other(identity: &Identity) -> (u16, mpsc::Receiver<String>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = versions(ServerConfig::builder_with_provider(provider))
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate.clone()], identity.private());
    let tls = Arc::new(tls.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        while let Ok((socket, _)) = listener.accept() {
            let (tell, tls) = (tell.clone(), tls.clone());
            std::thread::spawn(move || {
                let wire = StreamOwned::new(ServerConnection::new(tls).unwrap(), socket);
                let stream = S2sStream::receiving(Arc::new(config(OTHER)), Instant::now(), [4; 32]);
                play(wire, stream, b"", &tell);
            });
        }
    });
    (port, told)
}

/// The settings by which the other server is found at `port`, and what is said of its certificate.
fn names(port: u16, identity: &Identity, says: Says) -> Federation {
    let host = named("x.test.");
    let place = format!("_{port}._tcp.x.test.");
    let mut table = vec![
        (
            "_xmpps-server._tcp.other.test.",
            RData::SRV(SRV::new(1, 0, port, host)),
        ),
        ("x.test.", RData::A(A(Ipv4Addr::LOCALHOST))),
    ];
    let hash = match says {
        Says::Nothing => None,
        Says::Another => Some(vec![7; 32]),
        Says::ItsOwn | Says::ItsOwnUnsigned => Some(identity.hash()),
    };
    if let Some(hash) = hash {
        table.push((&place, tlsa(CertUsage::DaneEe, Matching::Sha256, &hash)));
    }
    let table: Vec<(String, RData)> = table.into_iter().map(|(n, d)| (n.to_owned(), d)).collect();
    let wrong = match says {
        Says::ItsOwnUnsigned => Wrong::NoneOfTlsa,
        _ => Wrong::Nothing,
    };
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let table: Vec<_> = table.iter().map(|(n, d)| (&**n, d.clone())).collect();
            tell.send(serve(&table, wrong).await).unwrap();
            std::future::pending::<()>().await;
        });
    });
    told.recv().unwrap()
}

/// `localhost`, which takes no server without a certificate that counts.
fn scene(federation: Federation) -> Scene {
    Scene::new(|settings| {
        settings.s2s_tls = Some(0);
        settings.servers = config("localhost");
        settings.federation = federation;
    })
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn stanzas_go_to_a_server_whose_certificate_the_dns_names_and_to_no_other() {
    for says in [
        Says::ItsOwn,
        Says::Another,
        Says::Nothing,
        Says::ItsOwnUnsigned,
    ] {
        let identity = Identity::new();
        let (port, stanzas) = other(&identity);
        let federation = names(port, &identity, says);
        let anchor = federation.trust_anchor.clone().unwrap();
        let scene = scene(federation);
        let mut romeo = scene.session("romeo");
        romeo.send("<message to='x@other.test' id='one'><body>hi</body></message>");
        if says == Says::ItsOwn {
            let stanza = stanzas.recv_timeout(PATIENCE);
            let stanza = stanza.unwrap_or_else(|_| panic!("{}", romeo.expect("</message>")));
            assert!(stanza.contains("id='one'"), "{stanza}");
        } else {
            let error = romeo.expect("</message>");
            assert!(error.contains("type='error'"), "{says:?}: {error}");
            assert!(
                stanzas.try_iter().all(|told| told == "the end"),
                "{says:?}: nothing may go there"
            );
        }
        std::fs::remove_file(anchor).unwrap();
    }
}

#[test]
fn a_server_that_connects_is_heard_if_the_dns_names_its_certificate_and_else_not() {
    for says in [
        Says::ItsOwn,
        Says::Another,
        Says::Nothing,
        Says::ItsOwnUnsigned,
    ] {
        let identity = Identity::new();
        // It is found there, and nobody has to be.
        let federation = names(5270, &identity, says);
        let anchor = federation.trust_anchor.clone().unwrap();
        let scene = scene(federation);
        let mut romeo = scene.session("romeo");
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates([CertificateDer::from_pem_file(&scene.ca_file).unwrap()]);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = versions(ClientConfig::builder_with_provider(provider))
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![identity.certificate.clone()], identity.private());
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::new(tls.unwrap()), name).unwrap();
        let socket = TcpStream::connect(scene.address(Purpose::S2sTls)).unwrap();
        let pair = DomainPair::new(OTHER, "localhost");
        let config = Arc::new(config(OTHER));
        let (goal, now) = (Goal::Stanzas, Instant::now());
        let stream = S2sStream::initiating(config, pair, goal, true, now, [3; 32]);
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || play(StreamOwned::new(tls, socket), stream, MESSAGE, &tell));
        match says {
            Says::ItsOwn => {
                let message = romeo.expect("<body>ho</body>");
                assert!(message.contains("x@other.test/r"), "{message}");
            }
            _ => assert_eq!(told.recv_timeout(PATIENCE).unwrap(), "the end", "{says:?}"),
        }
        std::fs::remove_file(anchor).unwrap();
    }
}
