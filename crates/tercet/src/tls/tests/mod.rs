//! Both ends of a handshake in memory: our session, and rustls' buffered client.

mod certificates;
mod dane;
mod servers;
mod streams;

use super::certificates::read_chain;
use super::*;
use rcgen::{CertificateParams, Issuer, KeyPair, OtherNameValue, SanType};
use rustls::client::{ClientConnection, Resumption};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tercet-tls-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server for `domains` with one local authority, and what a client needs to trust it.
struct Server {
    certificates: Arc<Certificates>,
    acceptor: TlsAcceptor,
    roots: Arc<RootCertStore>,
    folder: Folder,
}

impl Server {
    /// Each domain has a certificate of its own; the first is the default.
    fn new(domains: &[&str], alpn: &[&[u8]]) -> Self {
        let folder = Folder::new();
        let mut files = Vec::new();
        let mut roots = RootCertStore::empty();
        let mut ca = String::new();
        for domain in domains {
            let local =
                local_ca::ensure(&folder.0.join(domain), &[domain], SystemTime::now()).unwrap();
            roots.add_parsable_certificates(read_chain(&local.ca_file).unwrap());
            ca += &fs::read_to_string(&local.ca_file).unwrap();
            files.push(local.files);
        }
        let ca_file = folder.0.join("all-ca.pem");
        fs::write(&ca_file, ca).unwrap();
        let certificates = Certificates::load(files, vec![ca_file]).unwrap();
        let acceptor = TlsAcceptor::new(certificates.clone(), alpn).unwrap();
        let roots = Arc::new(roots);
        Server {
            certificates,
            acceptor,
            roots,
            folder,
        }
    }

    fn client(&self) -> ClientConfig {
        self.client_of(rustls::ALL_VERSIONS)
    }

    fn client_of(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth()
    }

    fn client_with_certificate(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: &KeyPair,
    ) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_client_auth_cert(chain, PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap()
    }

    fn pair(&self, config: ClientConfig, name: &str) -> Pair {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        Pair::new(
            self.acceptor.start(None).unwrap(),
            ClientConnection::new(Arc::new(config), name).unwrap(),
        )
    }

    /// A client certificate by the authority of `domain`.
    fn issue(&self, domain: &str, addresses: &[&str]) -> (Vec<CertificateDer<'static>>, KeyPair) {
        let folder = self.folder.0.join(domain);
        let ca_key =
            KeyPair::from_pem(&fs::read_to_string(folder.join("ca.key")).unwrap()).unwrap();
        let ca = fs::read_to_string(folder.join("ca.crt")).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&ca, ca_key).unwrap();
        issue_by(&issuer, addresses)
    }
}

fn issue_by(
    issuer: &Issuer<'_, KeyPair>,
    addresses: &[&str],
) -> (Vec<CertificateDer<'static>>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["device.example".to_owned()]).unwrap();
    for address in addresses {
        let oid = vec![1, 3, 6, 1, 5, 5, 7, 8, 5];
        let value = OtherNameValue::Utf8String((*address).to_owned());
        params
            .subject_alt_names
            .push(SanType::OtherName((oid, value)));
    }
    let certificate = params.signed_by(&key, issuer).unwrap();
    (vec![certificate.der().clone()], key)
}

/// Both ends, and what the server has seen.
struct Pair {
    server: TlsSession,
    client: ClientConnection,
    info: Option<TlsInfo>,
    data: Vec<u8>,
    closed: bool,
    /// Bytes the server reads at once.
    step: usize,
}

impl Pair {
    fn new(server: TlsSession, client: ClientConnection) -> Self {
        Pair {
            server,
            client,
            info: None,
            data: Vec::new(),
            closed: false,
            step: usize::MAX,
        }
    }

    /// Gives ciphertext to the server in steps; returns what it sends.
    fn server_takes(&mut self, bytes: &[u8]) -> (Vec<u8>, Result<(), TlsError>) {
        let mut out = Vec::new();
        let mut buffer = vec![0; 128 * 1024];
        for chunk in bytes.chunks(self.step.min(32 * 1024)) {
            let kept = self.server.restore(&mut buffer);
            assert_eq!(kept, self.server.kept());
            buffer[kept..kept + chunk.len()].copy_from_slice(chunk);
            let (info, data, closed) = (&mut self.info, &mut self.data, &mut self.closed);
            let result = self.server.receive(
                &mut buffer[..kept + chunk.len()],
                &mut out,
                |event| match event {
                    TlsEvent::Up(up) => {
                        assert!(info.is_none() && data.is_empty());
                        *info = Some(up);
                    }
                    TlsEvent::Data(bytes) => data.extend_from_slice(bytes),
                    TlsEvent::Closed => *closed = true,
                },
            );
            if result.is_err() {
                return (out, result);
            }
        }
        (out, Ok(()))
    }

    fn client_takes(&mut self, mut bytes: &[u8]) -> Result<(), rustls::Error> {
        while !bytes.is_empty() {
            self.client.read_tls(&mut bytes).unwrap();
            self.client.process_new_packets()?;
        }
        Ok(())
    }

    fn client_gives(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    /// Runs until neither side has anything to say.
    fn run(&mut self) -> Result<(), TlsError> {
        loop {
            let bytes = self.client_gives();
            if bytes.is_empty() {
                return Ok(());
            }
            let (out, result) = self.server_takes(&bytes);
            let heard = self.client_takes(&out);
            result?;
            heard.map_err(TlsError::Peer)?;
        }
    }

    fn info(&self) -> &TlsInfo {
        self.info.as_ref().unwrap()
    }

    fn client_reads(&mut self) -> Vec<u8> {
        let mut data = Vec::new();
        match self.client.reader().read_to_end(&mut data) {
            Err(e) if e.kind() != ErrorKind::WouldBlock => panic!("{e}"),
            _ => data,
        }
    }

    fn server_sends(&mut self, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.server.encrypt(data, &mut out).unwrap();
        self.client_takes(&out).unwrap();
        self.client_reads()
    }

    fn client_exporter(&self) -> [u8; 32] {
        self.client
            .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None)
            .unwrap()
    }
}
