//! A client that blocks, over TCP or TLS.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

pub(super) struct Client {
    wire: Wire,
    /// What came and was not asked for yet.
    pub(super) heard: String,
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    None,
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> Client {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        socket
            .set_write_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Client {
            wire: Wire::Plain(socket),
            heard: String::new(),
        }
    }

    pub(super) fn socket(&self) -> &TcpStream {
        match &self.wire {
            Wire::Plain(socket) => socket,
            Wire::Tls(tls) => &tls.sock,
            Wire::None => unreachable!(),
        }
    }

    pub(super) fn start_tls(&mut self, ca_file: &Path, alpn: &[&[u8]]) {
        self.start_tls_as(ca_file, alpn, None);
    }

    /// With a client certificate and its key.
    pub(super) fn start_tls_as(
        &mut self,
        ca_file: &Path,
        alpn: &[&[u8]],
        identity: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    ) {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates([CertificateDer::from_pem_file(ca_file).unwrap()]);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            Some((certificate, key)) => config
                .with_client_auth_cert(vec![certificate], key)
                .unwrap(),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let Wire::Plain(socket) = std::mem::replace(&mut self.wire, Wire::None) else {
            panic!("TLS twice");
        };
        self.wire = Wire::Tls(Box::new(StreamOwned::new(connection, socket)));
    }

    pub(super) fn send(&mut self, text: &str) {
        self.try_send(text.as_bytes()).unwrap();
    }

    pub(super) fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.wire {
            Wire::Plain(socket) => socket.write_all(bytes),
            Wire::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
            Wire::None => unreachable!(),
        }
    }

    /// Reads so many bytes, whatever they are; fewer at the end.
    pub(super) fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let count = count as u64;
        // However the connection ends.
        let _ = match &mut self.wire {
            Wire::Plain(socket) => socket.take(count).read_to_end(&mut bytes),
            Wire::Tls(tls) => tls.take(count).read_to_end(&mut bytes),
            Wire::None => unreachable!(),
        };
        bytes
    }

    /// Reads once; false at the end.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        let read = match &mut self.wire {
            Wire::Plain(socket) => socket.read(&mut buffer),
            Wire::Tls(tls) => tls.read(&mut buffer),
            Wire::None => unreachable!(),
        };
        match read {
            Ok(0) => false,
            Ok(n) => {
                self.heard
                    .push_str(std::str::from_utf8(&buffer[..n]).unwrap());
                true
            }
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                ) =>
            {
                false
            }
            Err(e) => panic!("{e} after {:?}", self.heard),
        }
    }

    /// Reads until `text` has come; returns everything up to its end.
    pub(super) fn expect(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.heard.find(text) {
                let rest = self.heard.split_off(at + text.len());
                return std::mem::replace(&mut self.heard, rest);
            }
            assert!(self.read(), "{text:?} did not come, but {:?}", self.heard);
        }
    }

    /// Reads to the end.
    pub(super) fn rest(&mut self) -> String {
        while self.read() {}
        std::mem::take(&mut self.heard)
    }

    pub(super) fn open(&mut self) -> String {
        self.send(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' to='localhost' \
             xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
        );
        self.expect("</stream:features>")
    }

    /// Opens a stream and logs in by PLAIN.
    pub(super) fn login(&mut self, name: &str, password: &str) {
        self.open();
        self.authenticate(name, password);
        self.expect("<success");
        self.expect(">");
        self.open();
    }

    pub(super) fn authenticate(&mut self, name: &str, password: &str) {
        let message = BASE64_STANDARD.encode(format!("\0{name}\0{password}"));
        self.send(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{message}</auth>"
        ));
    }

    pub(super) fn bind(&mut self, resource: &str) {
        self.send(&format!(
            "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>{resource}</resource></bind></iq>"
        ));
        let bound = self.expect("</iq>");
        assert!(
            bound.contains(&format!("@localhost/{resource}</jid>")),
            "{bound}"
        );
    }

    /// Makes sure that everything sent before has been handled: an unknown request is answered.
    pub(super) fn settle(&mut self) -> String {
        self.send(
            "<iq type='get' id='settle' to='localhost'><nothing xmlns='urn:example:none'/></iq>",
        );
        self.expect("</iq>")
    }
}
