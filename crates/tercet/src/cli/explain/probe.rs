//! One address: TCP, TLS, the certificate, and the stream up to the point where stanzas could be sent.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tercet_stream::TlsPolicy;
use tercet_stream::s2s::{
    Answer, DialbackSecret, DomainPair, Goal, Input, Output, Question, S2sConfig, S2sHost,
    S2sStream,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::stream;
use crate::cli::check::Finding;
use crate::reach::{Reach, Service, connect, told};
use crate::tls::dane::Tlsa;
use crate::tls::{
    Doubt, PeerCertificate, TlsConnector, TlsError, TlsEvent, TlsInfo, TlsSession, TlsVersion,
};

/// Time for TLS and the stream.
const TIME: Duration = Duration::from_secs(15);
/// Room for one read beyond what TLS keeps.
const READ: usize = 17 * 1024;

/// Looks at addresses for one pair of domains.
pub(super) struct Probe {
    connector: TlsConnector,
    reach: Reach,
    config: Arc<S2sConfig>,
    pair: DomainPair,
}

/// A connection under way.
struct Visit<'a> {
    probe: &'a Probe,
    socket: TcpStream,
    tls: Option<TlsSession>,
    certificate: Option<Box<PeerCertificate>>,
    /// Where, and what the DNS says of the certificate there.
    host: &'a str,
    named: Vec<Tlsa>,
    stream: S2sStream,
    /// Bytes for the socket.
    out: Vec<u8>,
    /// As in `192.0.2.1:5269`.
    place: String,
    findings: &'a mut Vec<Finding>,
}

/// What became of a step.
enum Turn {
    /// Go on.
    On,
    /// Stanzas could be sent.
    Reached,
    /// The stream has ended.
    Over,
}

impl Probe {
    /// `secret`: that of the running server, so that it knows the keys that are shown in its name.
    pub(super) fn new(
        connector: TlsConnector,
        reach: Reach,
        secret: DialbackSecret,
        from: &str,
        to: &str,
    ) -> Self {
        let host = S2sHost {
            tls: TlsPolicy::Required,
            ..S2sHost::new(from)
        };
        let mut config = S2sConfig::new([host], secret);
        (config.bidi, config.management) = (false, false);
        config.negotiation_timeout = TIME;
        Probe {
            connector,
            reach,
            config: Arc::new(config),
            pair: DomainPair::new(from, to),
        }
    }

    /// True if stanzas could be sent there.
    pub(super) async fn look(
        &self,
        address: IpAddr,
        target: &Service,
        findings: &mut Vec<Finding>,
    ) -> bool {
        let place = SocketAddr::new(address, target.port);
        let began = Instant::now();
        let socket = match connect(place).await {
            Ok(socket) => socket,
            Err(error) => {
                let mend = match error.kind() {
                    io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
                        "This machine has no way there; for IPv6 that may be as it should be."
                    }
                    _ => {
                        "Its operator has to see whether the server runs and a firewall lets this port through."
                    }
                };
                findings.push(Finding::fault(format!("TCP {place}"), told(&error), mend));
                return false;
            }
        };
        let millis = began.elapsed().as_millis();
        findings.push(Finding::ok(
            format!("TCP {place}"),
            format!("connected in {millis} ms"),
        ));
        let named = match self.reach.tlsa(&self.pair.remote, target).await {
            Ok(named) => named,
            Err(error) => {
                let mend = "Nothing is sent while that is so. Its operator has to mend its DNSSEC.";
                findings.push(Finding::fault(format!("DANE {place}"), error.text, mend));
                return false;
            }
        };
        let mut seed = [0; 32];
        let _ = aws_lc_rs::rand::fill(&mut seed);
        let mut visit = Visit {
            probe: self,
            socket,
            tls: None,
            certificate: None,
            host: &target.host,
            named,
            stream: S2sStream::initiating(
                self.config.clone(),
                self.pair.clone(),
                Goal::Stanzas,
                target.direct,
                Instant::now(),
                seed,
            ),
            out: Vec::new(),
            place: place.to_string(),
            findings,
        };
        match tokio::time::timeout(TIME, visit.go(target.direct)).await {
            Ok(Ok(reached)) => reached,
            Ok(Err(error)) => {
                visit.fault(
                    "TLS",
                    error.to_string(),
                    "Its operator has to mend its TLS.",
                );
                false
            }
            Err(_) => {
                let message = format!("no answer in {} s", TIME.as_secs());
                let up = visit.tls.as_ref().is_some_and(|tls| !tls.is_handshaking());
                match up {
                    true => visit.fault("authentication", message, stream::DIALBACK),
                    false => visit.fault("stream", message, "Does an XMPP server listen there?"),
                }
                false
            }
        }
    }
}

impl Visit<'_> {
    async fn go(&mut self, direct: bool) -> Result<bool, TlsError> {
        if direct {
            self.start_tls(true)?;
        }
        let mut buffer = vec![0; 2 * READ + 24 * 1024];
        loop {
            match self.outputs().await? {
                Turn::On => {}
                Turn::Reached => return Ok(true),
                Turn::Over => return Ok(false),
            }
            if self.flush().await.is_err() {
                self.stream.handle(Instant::now(), Input::PeerClosed);
                continue;
            }
            let kept = self.tls.as_ref().map_or(0, |tls| tls.restore(&mut buffer));
            let read = self.socket.read(&mut buffer[kept..kept + READ]).await;
            let length = kept + read.unwrap_or(0);
            if length == kept {
                if self.tls.as_ref().is_some_and(TlsSession::is_handshaking) {
                    let mend = "Its operator has to look into its log.";
                    self.fault("TLS", "it closes the connection in the handshake", mend);
                    return Ok(false);
                }
                self.stream.handle(Instant::now(), Input::PeerClosed);
                continue;
            }
            self.take(&mut buffer[..length])?;
        }
    }

    /// Does what the stream wants.
    async fn outputs(&mut self) -> Result<Turn, TlsError> {
        while let Some(output) = self.stream.poll_output() {
            let now = Instant::now();
            match output {
                Output::Write(bytes) => match &mut self.tls {
                    Some(tls) => tls.encrypt(&bytes, &mut self.out)?,
                    None => self.out.extend_from_slice(&bytes),
                },
                Output::StartTls => {
                    // What was written before goes in the clear. That it fails is seen with the next read.
                    let _ = self.flush().await;
                    self.start_tls(false)?;
                }
                Output::Ask(ticket, Question::Certificate(pair)) => {
                    let certificate = self.certificate.as_ref();
                    let proved = certificate.is_some_and(|c| {
                        let named = c.is_named(&self.named, &pair.remote, self.host);
                        named.unwrap_or_else(|| c.proves(&pair.remote).is_ok())
                    });
                    let answer = Input::Answer(ticket, Answer::Certificate(proved));
                    self.stream.handle(now, answer);
                }
                Output::Authorized(_, proof) => {
                    let message = stream::authorized(proof);
                    self.findings
                        .push(Finding::ok(self.subject("authentication"), message));
                    return Ok(Turn::Reached);
                }
                Output::Refused(_, refusal) => {
                    let (message, mend) = stream::refused(&refusal);
                    self.fault("authentication", message, mend);
                    return Ok(Turn::Over);
                }
                Output::Event(event) => {
                    if let Some((message, mend)) = stream::event(&event) {
                        self.fault("stream", message, mend);
                    }
                }
                Output::Close => return Ok(Turn::Over),
                // Nothing comes from a peer that may not send, and no other question is asked here.
                _ => {}
            }
        }
        Ok(Turn::On)
    }

    fn start_tls(&mut self, direct: bool) -> Result<(), TlsError> {
        let pair = &self.probe.pair;
        let mut tls = self
            .probe
            .connector
            .start(&pair.local, &pair.remote, direct)?;
        tls.receive(&mut [], &mut self.out, |_| {})?;
        self.tls = Some(tls);
        Ok(())
    }

    /// Takes what was read.
    fn take(&mut self, bytes: &mut [u8]) -> Result<(), TlsError> {
        let now = Instant::now();
        let Some(tls) = &mut self.tls else {
            self.stream.handle(now, Input::Bytes(bytes));
            return Ok(());
        };
        let (mut up, mut data, mut closed) = (None, Vec::new(), false);
        tls.receive(bytes, &mut self.out, |event| match event {
            TlsEvent::Up(info) => up = Some(info),
            TlsEvent::Data(plain) => data.extend_from_slice(plain),
            TlsEvent::Closed => closed = true,
        })?;
        if let Some(info) = up {
            self.tls_is_up(info);
            self.stream.handle(now, Input::TlsUp);
        }
        if !data.is_empty() {
            self.stream.handle(now, Input::Bytes(&data));
        }
        if closed {
            self.stream.handle(now, Input::PeerClosed);
        }
        Ok(())
    }

    fn tls_is_up(&mut self, info: TlsInfo) {
        let version = match info.version {
            TlsVersion::Tls12 => "TLS 1.2",
            TlsVersion::Tls13 => "TLS 1.3",
        };
        let subject = self.subject("TLS");
        self.findings.push(Finding::ok(subject, version));
        let subject = self.subject("certificate");
        let remote = &*self.probe.pair.remote;
        let finding = match &info.peer {
            None => Finding::warning(
                subject,
                "it shows none",
                "Dialback has to do. Its operator has to give it a certificate.",
            ),
            Some(peer) => match self.judge(peer) {
                Ok(()) => {
                    let issuer = peer.issuer.escape_debug();
                    let until = tercet_core::time::format(peer.not_after.saturating_mul(1000));
                    Finding::ok(subject, format!("for {remote}, by {issuer}, until {until}"))
                }
                Err(doubt) => Finding::warning(subject, doubt.to_string(), mend(&doubt)),
            },
        };
        self.findings.push(finding);
        self.certificate = info.peer;
    }

    /// What the certificate is worth, after DANE has had its say.
    fn judge(&mut self, peer: &PeerCertificate) -> Result<(), Doubt> {
        let remote = &self.probe.pair.remote;
        let named = peer.is_named(&self.named, remote, self.host);
        let subject = format!("DANE {}", self.place);
        match named {
            None => {}
            Some(true) => {
                let message = "the DNS names this certificate";
                self.findings.push(Finding::ok(subject, message));
                return Ok(());
            }
            Some(false) => {
                let message = "the DNS names other certificates";
                let mend = "Nothing is sent while that is so. Its operator has to mend its TLSA records, or somebody else is there.";
                self.findings.push(Finding::fault(subject, message, mend));
            }
        }
        peer.proves(remote)
    }

    async fn flush(&mut self) -> io::Result<()> {
        let out = std::mem::take(&mut self.out);
        self.socket.write_all(&out).await
    }

    fn subject(&self, step: &str) -> String {
        format!("{step} {}", self.place)
    }

    fn fault(&mut self, step: &str, message: impl Into<String>, mend: &str) {
        let subject = self.subject(step);
        self.findings.push(Finding::fault(subject, message, mend));
    }
}

/// What can be done about a certificate; where dialback is allowed, nothing has to be.
fn mend(doubt: &Doubt) -> &'static str {
    match doubt {
        Doubt::Expired => "Dialback has to do. Its operator has to renew it.",
        Doubt::NotYetValid => "Is this machine's clock right? Else dialback has to do.",
        Doubt::SelfSigned | Doubt::UnknownAuthority => {
            "Dialback has to do. If you trust its authority, name the file in tls.ca_file."
        }
        Doubt::OtherName(_) | Doubt::OtherUse | Doubt::Broken(_) => {
            "Dialback has to do. Its operator has to get one for this domain."
        }
    }
}
