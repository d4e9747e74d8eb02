//! A client at the other end of a [`C2sStream`], and the owner who answers its questions.

use std::cell::Cell;
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use tercet_core::{BareJid, FullJid, SaslFailure, Stanza, StanzaError, StreamCondition};
use tercet_stream::c2s::sm;
use tercet_stream::sasl::{Mechanism, ScramHash, ScramKeys, verify_plain};
use tercet_stream::{
    Answer, Bound, C2sConfig, C2sStream, Ending, Framing, HostConfig, Input, NewToken, NotResumed,
    Output, PeerCertificate, Question, Resumed, StreamEvent, Ticket, TlsInfo, TlsPolicy,
};

pub(crate) const HOST: &str = "im.example.com";
pub(crate) const PASSWORD: &str = "r0m30myr0m30";
pub(crate) const HEADER: &str = "<?xml version='1.0'?><stream:stream to='im.example.com' version='1.0' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
pub(crate) const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
pub(crate) const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
pub(crate) const END: &str = "</stream:stream>";
pub(crate) const BIND: &str =
    "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";

/// How the bytes of one `send` are cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Split {
    Whole,
    Bytes,
    At(usize),
}

thread_local! {
    /// The longest `send` of the dialogue that runs.
    static LONGEST: Cell<usize> = const { Cell::new(0) };
}

/// Runs a dialogue with its input cut in every way, through both entries for bytes.
pub(crate) fn dialogue(talk: impl Fn(Split)) {
    LONGEST.set(0);
    talk(Split::Whole);
    let longest = LONGEST.get();
    talk(Split::Bytes);
    for at in 1..longest {
        talk(Split::At(at));
    }
}

/// What is sent, cut as the dialogue wants it now, and for each piece whether it goes through the short way.
pub(crate) fn pieces(split: Split, text: &str) -> Vec<(&[u8], bool)> {
    let bytes = text.as_bytes();
    LONGEST.set(LONGEST.get().max(bytes.len()));
    match split {
        Split::Whole => vec![(bytes, false)],
        Split::Bytes => bytes.chunks(1).map(|byte| (byte, false)).collect(),
        Split::At(at) => {
            let (a, b) = bytes.split_at(at.min(bytes.len()));
            vec![(a, at % 2 == 0), (b, at % 2 == 0)]
        }
    }
}

pub(crate) fn config() -> C2sConfig {
    config_with(|_| {})
}

pub(crate) fn config_with(change: impl FnOnce(&mut HostConfig)) -> C2sConfig {
    let mut host = HostConfig::new(HOST);
    host.features = "<ver xmlns='urn:xmpp:features:rosterver'/>".to_owned();
    change(&mut host);
    C2sConfig::new(host, [])
}

/// A host that does without TLS, so that dialogues about other things are short.
pub(crate) fn lab() -> C2sConfig {
    config_with(|host| host.tls = TlsPolicy::Absent)
}

pub(crate) fn tls() -> TlsInfo {
    TlsInfo {
        exporter: Some(vec![1; 32]),
        end_point: Some(vec![2; 32]),
        ..TlsInfo::default()
    }
}

pub(crate) fn certificate(addresses: &[&str]) -> TlsInfo {
    let jid = |address: &&str| BareJid::parse(address).unwrap();
    TlsInfo {
        peer: Some(PeerCertificate {
            xmpp_addrs: addresses.iter().map(jid).collect(),
        }),
        ..tls()
    }
}

pub(crate) struct Client {
    pub(crate) stream: C2sStream,
    pub(crate) now: Instant,
    pub(crate) events: Vec<StreamEvent>,
    /// What the client said about being looked at.
    pub(crate) active: Vec<bool>,
    pub(crate) stanzas: Vec<String>,
    pub(crate) bound: Vec<FullJid>,
    /// What was acknowledged.
    pub(crate) acked: Vec<u32>,
    /// Short forms of the questions.
    pub(crate) asked: Vec<String>,
    pub(crate) tls_wanted: bool,
    /// [`Output::Close`] came.
    pub(crate) closed: bool,
    /// Whether answers wait for [`Client::answer`].
    pub(crate) hold: bool,
    held: VecDeque<(Ticket, Question)>,
    split: Split,
    written: Vec<u8>,
}

impl Client {
    pub(crate) fn new(config: C2sConfig, split: Split) -> Self {
        let now = Instant::now();
        Self {
            stream: C2sStream::new(Arc::new(config), Framing::Tcp, now, [7; 32]),
            now,
            events: Vec::new(),
            active: Vec::new(),
            stanzas: Vec::new(),
            bound: Vec::new(),
            acked: Vec::new(),
            asked: Vec::new(),
            tls_wanted: false,
            closed: false,
            hold: false,
            held: VecDeque::new(),
            split,
            written: Vec::new(),
        }
    }

    /// Inside TLS, where the features before a login were read.
    pub(crate) fn inside_tls(config: C2sConfig, split: Split, tls: TlsInfo) -> Self {
        let mut client = Self::new(config, split);
        client.input(Input::TlsUp(tls));
        client.send(HEADER);
        client.recv();
        client
    }

    /// In a lab, logged in as juliet, where the features after a login were read.
    pub(crate) fn logged_in(config: C2sConfig, split: Split) -> Self {
        let mut client = Self::new(config, split);
        client.send(HEADER);
        client.send(&auth("PLAIN", &format!("\0juliet\0{PASSWORD}")));
        client.send(HEADER);
        client.recv();
        client
    }

    /// Bound to `juliet@im.example.com/balcony`.
    pub(crate) fn bound(config: C2sConfig, split: Split) -> Self {
        let mut client = Self::logged_in(config, split);
        client.send(&bind("balcony"));
        assert_eq!(client.bound[0].as_str(), "juliet@im.example.com/balcony");
        client.recv();
        client
    }

    pub(crate) fn send(&mut self, text: &str) {
        for (piece, through_receive) in pieces(self.split, text) {
            self.bytes(piece, through_receive);
        }
    }

    fn bytes(&mut self, mut bytes: &[u8], through_receive: bool) {
        if through_receive {
            loop {
                while let Some(stanza) = self.stream.receive(self.now, &mut bytes) {
                    self.drain();
                    self.stanza(&stanza);
                }
                self.drain();
                if bytes.is_empty() {
                    break;
                }
                if self.stream.is_waiting() {
                    self.input(Input::Bytes(bytes));
                    break;
                }
            }
        } else {
            self.input(Input::Bytes(bytes));
        }
    }

    pub(crate) fn input(&mut self, input: Input<'_>) {
        self.stream.handle(self.now, input);
        self.drain();
    }

    /// What was written since the last call.
    pub(crate) fn raw(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.written)).unwrap()
    }

    /// What was written since the last call, stream ids left out.
    pub(crate) fn recv(&mut self) -> String {
        let mut text = self.raw();
        while let Some(at) = text.find(" id='") {
            let Some(id) = text.get(at + 5..at + 29) else {
                break;
            };
            if !text[at + 29..].starts_with("' from=") || id.contains('\'') {
                break;
            }
            text.replace_range(at..at + 30, "");
        }
        text
    }

    /// Lets the clock go on, and the stream act whenever it is due.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.stream.deadline().filter(|d| *d <= end) {
            assert!(deadline >= self.now, "deadlines do not lie in the past");
            self.now = deadline;
            self.input(Input::Tick);
        }
        self.now = end;
    }

    /// Gives the answers that were held.
    pub(crate) fn answer(&mut self) {
        while let Some((ticket, question)) = self.held.pop_front() {
            self.input(Input::Answer(ticket, answer(&question)));
        }
    }

    pub(crate) fn answer_with(&mut self, answer: Answer) {
        let (ticket, _) = self.held.pop_front().unwrap();
        self.input(Input::Answer(ticket, answer));
    }

    pub(crate) fn authenticated(&self) -> bool {
        let authenticated = |event: &_| matches!(event, StreamEvent::Authenticated { .. });
        self.events.iter().any(authenticated)
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        self.events.iter().find_map(|event| match event {
            StreamEvent::Ended(ending) => Some(*ending),
            _ => None,
        })
    }

    /// Asserts that the stream has ended with this error, in good form, and for good.
    pub(crate) fn expect_error(&mut self, condition: StreamCondition) {
        let text = self.recv();
        assert_eq!(self.ending(), Some(Ending::Error(condition)), "{text}");
        assert!(text.contains(&error(condition)), "{text}");
        assert!(text.ends_with("</stream:error></stream:stream>"), "{text}");
        self.expect_silence();
    }

    /// Asserts that the stream is over and says nothing any more, whatever comes.
    pub(crate) fn expect_silence(&mut self) {
        assert!(self.closed);
        let (events, asked) = (self.events.len(), self.asked.len());
        for more in [HEADER, STARTTLS, "<presence/>", BIND, "<x", END, "\0"] {
            self.send(more);
        }
        self.input(Input::TlsUp(tls()));
        self.input(Input::Close(StreamCondition::SystemShutdown.into()));
        assert_eq!(self.recv(), "");
        assert!(!self.stream.is_closed());
        self.wait(Duration::from_secs(5));
        assert!(self.stream.is_closed());
        assert_eq!(self.stream.deadline(), None);
        self.input(Input::PeerClosed);
        assert_eq!((self.events.len(), self.asked.len()), (events, asked));
        assert_eq!(self.recv(), "");
    }

    fn drain(&mut self) {
        let mut answers = Vec::new();
        while let Some(output) = self.stream.poll_output() {
            assert!(!self.closed, "nothing comes after Close: {output:?}");
            match output {
                Output::Write(bytes) => self.written.extend_from_slice(&bytes),
                Output::StartTls => self.tls_wanted = true,
                Output::Ask(ticket, question) => {
                    self.asked.push(short(&question));
                    if self.hold {
                        self.held.push_back((ticket, question));
                    } else {
                        answers.push((ticket, answer(&question)));
                    }
                }
                Output::Stanza(stanza) => self.stanza(&stanza),
                Output::Bound(jid) => self.bound.push(jid),
                Output::Reply(bytes) => self.written.extend_from_slice(&bytes),
                Output::Enable(enable) => {
                    let id = enable.resume.then_some(("sm-id", 600));
                    self.written.extend_from_slice(&sm::enabled(id));
                }
                Output::AckRequested(received) => sm::ack(received, &mut self.written),
                Output::Acked(handled) => self.acked.push(handled),
                Output::Resumed(jid, bytes) => {
                    self.bound.push(jid);
                    self.written.extend_from_slice(&bytes);
                }
                Output::Active(active) => self.active.push(active),
                Output::Event(event) => self.events.push(event),
                Output::Close => self.closed = true,
            }
        }
        for (ticket, answer) in answers {
            assert!(self.stream.is_waiting());
            self.input(Input::Answer(ticket, answer));
        }
    }

    fn stanza(&mut self, stanza: &Stanza) {
        self.stanzas.push(format!("{stanza:?}"));
    }
}

/// The start of a stream error.
pub(crate) fn error(condition: StreamCondition) -> String {
    let name = condition.as_str();
    format!("<stream:error><{name} xmlns='urn:ietf:params:xml:ns:xmpp-streams'")
}

pub(crate) fn failure(failure: SaslFailure) -> String {
    let name = failure.as_str();
    format!("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><{name}/></failure>")
}

pub(crate) fn auth(mechanism: &str, initial: &str) -> String {
    let initial = BASE64_STANDARD.encode(initial);
    format!(
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{initial}</auth>"
    )
}

pub(crate) fn response(message: &str) -> String {
    let message = BASE64_STANDARD.encode(message);
    format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{message}</response>")
}

pub(crate) fn bind(resource: &str) -> String {
    format!(
        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
         <resource>{resource}</resource></bind></iq>"
    )
}

/// The decoded text of the one challenge or success in `text`.
pub(crate) fn message_of(text: &str) -> String {
    let start = text.find("xmpp-sasl'>").unwrap() + "xmpp-sasl'>".len();
    let end = text[start..].find('<').unwrap() + start;
    String::from_utf8(BASE64_STANDARD.decode(&text[start..end]).unwrap()).unwrap()
}

/// The keys of every account here.
pub(crate) fn keys(hash: ScramHash) -> ScramKeys {
    ScramKeys::derive(hash, PASSWORD, b"salt", NonZeroU32::new(2).unwrap()).unwrap()
}

/// The client-final-message for `password` in answer to `server_first`; `cbind` is the gs2-header
/// with the channel's data.
pub(crate) fn client_final(
    hash: ScramHash,
    password: &str,
    first_bare: &str,
    server_first: &str,
    cbind: &[u8],
) -> String {
    use aws_lc_rs::{digest, hmac, pbkdf2};
    let (kdf, mac, sha) = match hash {
        ScramHash::Sha1 => (
            pbkdf2::PBKDF2_HMAC_SHA1,
            hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            &digest::SHA1_FOR_LEGACY_USE_ONLY,
        ),
        ScramHash::Sha256 => (
            pbkdf2::PBKDF2_HMAC_SHA256,
            hmac::HMAC_SHA256,
            &digest::SHA256,
        ),
    };
    let mut fields = server_first.split(',');
    let nonce = fields.next().unwrap();
    let salt = fields.next().unwrap().strip_prefix("s=").unwrap();
    let salt = BASE64_STANDARD.decode(salt).unwrap();
    let iterations = fields.next().unwrap().strip_prefix("i=").unwrap();
    let mut salted = vec![0; hash.digest_len()];
    let iterations = iterations.parse().unwrap();
    pbkdf2::derive(kdf, iterations, &salt, password.as_bytes(), &mut salted);
    let sign = |key: &[u8], data: &str| hmac::sign(&hmac::Key::new(mac, key), data.as_bytes());
    let client_key = sign(&salted, "Client Key");
    let stored_key = digest::digest(sha, client_key.as_ref());
    let without_proof = format!("c={},{nonce}", BASE64_STANDARD.encode(cbind));
    let message = format!("{first_bare},{server_first},{without_proof}");
    let signature = sign(stored_key.as_ref(), &message);
    let pairs = client_key.as_ref().iter().zip(signature.as_ref());
    let proof: Vec<u8> = pairs.map(|(a, b)| a ^ b).collect();
    format!("{without_proof},p={}", BASE64_STANDARD.encode(proof))
}

/// The owner: juliet and romeo have accounts, anybody may register, anonymous accounts are "anon".
fn answer(question: &Question) -> Answer {
    let login = |account: &Option<BareJid>| match account {
        Some(jid) if matches!(jid.local(), Some("juliet" | "romeo")) => Ok(jid.clone()),
        _ => Err(SaslFailure::NotAuthorized),
    };
    let keys = |account: &Option<BareJid>, username: &str, hash| match login(account) {
        Ok(_) => keys(hash),
        Err(_) => ScramKeys::fake(b"secret", hash, username),
    };
    match question {
        Question::ScramKeys {
            account,
            username,
            hash,
            ..
        } => Answer::ScramKeys {
            keys: keys(account, username, *hash),
            account: login(account),
        },
        Question::CheckPassword {
            account,
            username,
            password,
            ..
        } => {
            let keys = keys(account, username, ScramHash::Sha256);
            let right = verify_plain(&keys, password.as_str());
            Answer::Account(
                login(account)
                    .and_then(|account| right.then_some(account).ok_or(SaslFailure::NotAuthorized)),
            )
        }
        Question::External { account } => Answer::Account(login(&Some(account.clone()))),
        Question::Anonymous { host } => {
            Answer::Account(Ok(BareJid::parse(&format!("anon@{host}")).unwrap()))
        }
        Question::Bind {
            account,
            resource,
            fallback,
            inline: None,
        } => Answer::Bound(match resource.as_deref() {
            Some("taken") => Err(StanzaError::conflict()),
            resource => Ok(account
                .with_resource(resource.unwrap_or(fallback))
                .unwrap()
                .into()),
        }),
        // By XEP-0386 resources are the tag with the client's id, and carbons are all there is.
        Question::Bind {
            account,
            inline: Some(inline),
            ..
        } => {
            let tag = inline.tag.as_deref().unwrap_or("none");
            let resource = format!("{tag}/{}", inline.client.as_deref().unwrap_or("new"));
            let request = inline.request().unwrap();
            let carbons = request.child("enable", "urn:xmpp:carbons:2").is_some();
            let mut told = String::new();
            if inline.enable.is_some() {
                told.push_str("<enabled xmlns='urn:xmpp:sm:3'/>");
            }
            if carbons {
                told.push_str("<carbons/>");
            }
            Answer::Bound(match tag {
                "full" => Err(StanzaError::resource_constraint()),
                _ => Ok(Bound {
                    jid: account.with_resource(&resource).unwrap(),
                    inline: told.into_bytes(),
                }),
            })
        }
        // Every account's client has the token "secret" for the mechanism without a channel.
        Question::Token {
            account,
            proof,
            count,
            wants,
            ..
        } => {
            let right = proof.mechanism() == Mechanism::TokenUnbound && *count != Some(1);
            let proof = proof.answer(b"secret").filter(|_| right);
            Answer::Token {
                account: login(account).and_then(|jid| {
                    proof
                        .is_some()
                        .then_some(jid)
                        .ok_or(SaslFailure::NotAuthorized)
                }),
                proof: proof.unwrap_or_default(),
                token: wants.map(new_token),
            }
        }
        Question::Client { wants, .. } => Answer::Client(wants.map(new_token)),
        // Romeo's account came from elsewhere.
        Question::LacksKeys { account, .. } => Answer::LacksKeys(account.local() == Some("romeo")),
        Question::KeepKeys { .. } => Answer::KeysKept,
        // Juliet has a session "sm-id", which was sent 10 stanzas and had handled 5.
        Question::Resume {
            account,
            previd,
            handled,
        } => Answer::Resumed(match (account.local(), previd.as_str()) {
            (Some("juliet"), "sm-id") if *handled > 10 => Err(NotResumed::TooHigh {
                handled: *handled,
                sent: 10,
            }),
            (Some("juliet"), "sm-id") => Ok(Resumed {
                jid: account.with_resource("balcony").unwrap(),
                handled: 5,
            }),
            (Some("juliet"), "sm-old") => Err(NotResumed::NotFound { handled: Some(3) }),
            _ => Err(NotResumed::NotFound { handled: None }),
        }),
        Question::Register { stanza, .. } => {
            let id = stanza.id().unwrap_or_default();
            Answer::Xml(format!("<iq type='result' id='{id}'/>").into_bytes())
        }
        Question::Invitation { stanza, .. } => {
            let preauth = stanza.payload().unwrap().parse();
            let token = preauth.root().attr("token").filter(|token| token == "good");
            let kind = if token.is_some() { "result" } else { "error" };
            let reply = format!(
                "<iq type='{kind}' id='{}'/>",
                stanza.id().unwrap_or_default()
            );
            Answer::Invitation {
                reply: reply.into_bytes(),
                token: token.map(|token| token.into_owned()),
            }
        }
    }
}

fn new_token(mechanism: Mechanism) -> NewToken {
    NewToken {
        text: format!("token for {}", mechanism.name()).into(),
        expires_ms: 1_700_000_000_000,
    }
}

fn short(question: &Question) -> String {
    match question {
        Question::ScramKeys { username, hash, .. } => format!("keys {hash:?} of {username}"),
        Question::CheckPassword { username, .. } => format!("password of {username}"),
        Question::External { account } => format!("certificate of {account}"),
        Question::Anonymous { host } => format!("anonymous at {host}"),
        Question::Bind {
            account,
            inline: Some(inline),
            ..
        } => format!("bind {account} with {:?}", inline.tag),
        Question::Token {
            username,
            client,
            invalidate,
            ..
        } => format!("token of {username} at {} {invalidate}", client.id),
        Question::Client {
            account,
            client,
            mechanism,
            ..
        } => format!(
            "{account} by {} at {:?} {:?}",
            mechanism.name(),
            client.software,
            client.device
        ),
        Question::Bind {
            account, resource, ..
        } => format!("bind {account} to {resource:?}"),
        Question::Resume {
            previd, handled, ..
        } => format!("resume {previd} at {handled}"),
        Question::LacksKeys { account, hash } => format!("{hash:?} keys of {account}"),
        Question::KeepKeys { account, keys } => {
            let right = verify_plain(keys, PASSWORD);
            format!("{:?} keys of {account} that fit: {right}", keys.hash())
        }
        Question::Register {
            host, invitation, ..
        } => match invitation {
            None => format!("register at {host}"),
            Some(token) => format!("register at {host} with {token}"),
        },
        Question::Invitation { host, .. } => format!("invitation to {host}"),
    }
}
