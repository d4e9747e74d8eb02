//! The client's stream as a machine: whatever comes in whatever pieces, nobody gets in without a login, nothing is said after the end, and all
//! that is said is well-formed.
//!
//! An input is a script: its first byte chooses the host's policy, the rest are the client's bytes. A few control characters, which XML does not
//! allow anyway, are events: NUL ends a piece, RS lets a minute pass, EOT closes the connection, ENQ lets the server end the stream, and ACK
//! answers the question that is out.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tercet_core::{
    BareJid, Frame, FullJid, Limits, OwnedElement, SaslFailure, StanzaError, StreamCondition,
    StreamError, StreamParser, ns,
};
use tercet_stream::c2s::sm;
use tercet_stream::sasl::Credentials;
use tercet_stream::{
    Answer, Bound, C2sConfig, C2sStream, Framing, HostConfig, Input, NewToken, NotResumed, Output,
    Question, Resumed, StreamEvent, Ticket, TlsInfo, TlsPolicy, messages,
};

use super::script;
use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "c2s_stream",
    run,
    dictionary: &[
        "\u{0}",
        "\u{1e}",
        "\u{4}",
        "\u{5}",
        "\u{6}",
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>",
        "</stream:stream>",
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABzZWNyZXQ=</auth>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>biwsbj1qdWxpZXQscj14</auth>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGp1bGlldABzZWNyZXQ=</initial-response>",
        "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'><software>x</software></user-agent>",
        "<bind xmlns='urn:xmpp:bind:0'><tag>r</tag><enable xmlns='urn:xmpp:sm:3'/></bind>",
        "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>",
        "<fast xmlns='urn:xmpp:fast:0' count='1'/>",
        "</authenticate>",
        "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>",
        "<enable xmlns='urn:xmpp:sm:3' resume='true'/>",
        "<resume xmlns='urn:xmpp:sm:3' previd='id' h='3'/>",
        "<a xmlns='urn:xmpp:sm:3' h='1'/>",
        "<r xmlns='urn:xmpp:sm:3'/>",
        "</response>",
        "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>",
        "<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
        "<iq type='get' id='r'><query xmlns='jabber:iq:register'/></iq>",
        "<message from='juliet@localhost' to='a@b'><body>x</body></message>",
        "<message from='other@localhost'/>",
        "<presence/>",
        " ",
        " to='elsewhere.example'",
        " from='juliet@localhost'",
        " xml:lang='de'",
    ],
};

fn run(data: &[u8]) {
    script::play(data, Driver::new);
}

/// What a connection would do, and what it watches.
struct Driver {
    stream: C2sStream,
    framing: Framing,
    now: Instant,
    /// Reads what the server says, as a client would.
    reader: StreamParser,
    question: Option<(Ticket, Question)>,
    /// Whether a question about credentials was answered with yes, and for whom.
    proven: Option<BareJid>,
    authenticated: Option<BareJid>,
    bound: Option<FullJid>,
    ended: bool,
    closed: bool,
}

impl Driver {
    fn new(flags: u8) -> Self {
        let mut host = HostConfig::new("localhost");
        host.tls = match flags & 3 {
            0 => TlsPolicy::Absent,
            1 => TlsPolicy::Optional,
            _ => TlsPolicy::Required,
        };
        host.anonymous = flags & 4 != 0;
        host.registration = flags & 8 != 0;
        let others = (flags & 16 != 0).then(|| HostConfig::new("other.example"));
        let config = Arc::new(C2sConfig::new(host, others));
        let framing = match flags & 64 {
            0 => Framing::Tcp,
            _ => Framing::WebSocket {
                private: flags & 128 != 0,
            },
        };
        let now = Instant::now();
        let mut driver = Driver {
            stream: C2sStream::new(config, framing, now, [flags; 32]),
            framing,
            now,
            reader: StreamParser::new(Limits::AFTER_LOGIN),
            question: None,
            proven: None,
            authenticated: None,
            bound: None,
            ended: false,
            closed: false,
        };
        if flags & 32 != 0 {
            driver.input(Input::TlsUp(tls(true)));
        }
        driver
    }
    fn input(&mut self, input: Input<'_>) {
        self.stream.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.stream.poll_output() {
            assert!(!self.closed, "nothing comes after the close");
            match output {
                Output::Write(bytes) => self.read(&bytes),
                Output::StartTls => {
                    self.reader = StreamParser::new(Limits::AFTER_LOGIN);
                    self.stream.handle(self.now, Input::TlsUp(tls(false)));
                }
                Output::Ask(ticket, question) => {
                    assert!(self.stream.is_waiting(), "who asks waits");
                    self.question = Some((ticket, question));
                }
                Output::Stanza(stanza) => {
                    let bound = self
                        .bound
                        .as_ref()
                        .expect("no stanza before a resource is bound");
                    if let Some(from) = stanza.from().expect("a bad sender ends the stream") {
                        assert!(
                            from.as_str() == bound.as_str() || from.as_str() == bound.bare_str(),
                            "RFC 6120 §8.1.2.1: nobody speaks for another"
                        );
                    }
                }
                Output::Bound(full) => {
                    let account = self
                        .authenticated
                        .as_ref()
                        .expect("no binding without a login");
                    assert_eq!(
                        full.bare_str(),
                        account.as_str(),
                        "a resource of the account that logged in"
                    );
                    assert!(self.bound.replace(full).is_none(), "one resource a stream");
                }
                Output::Reply(bytes) => self.read(&bytes),
                Output::Enable(enable) => {
                    let id = enable.resume.then_some(("id", 600));
                    self.read(&sm::enabled(id));
                }
                Output::AckRequested(received) => {
                    assert!(
                        self.stream.received().is_none_or(|now| received <= now),
                        "no stanza is acknowledged before it has come"
                    );
                }
                Output::Acked(_) => {}
                Output::Resumed(full, reply) => {
                    self.read(&reply);
                    assert!(self.bound.replace(full).is_none(), "one resource a stream");
                }
                Output::Event(StreamEvent::Authenticated { account, .. }) => {
                    assert_eq!(
                        self.proven.as_ref(),
                        Some(&account),
                        "only whom the answer named"
                    );
                    assert!(
                        self.authenticated.replace(account).is_none(),
                        "one login a stream"
                    );
                }
                Output::Event(StreamEvent::Ended(_)) => {
                    assert!(!self.ended, "a stream ends once");
                    self.ended = true;
                }
                Output::Active(_) => {
                    assert!(self.bound.is_some(), "only a bound client is looked at")
                }
                Output::Event(_) => {}
                Output::Close => {
                    assert!(self.ended, "the end is told before the close");
                    self.closed = true;
                }
            }
        }
    }

    /// What the server says is a stream of well-formed frames; a new one begins after a layer change.
    fn read(&mut self, mut bytes: &[u8]) {
        if self.framing != Framing::Tcp {
            for message in messages(bytes) {
                let mut out = Vec::new();
                message.write(&mut out);
                OwnedElement::parse(&out, "").expect("the server sent what no client accepts");
            }
            return;
        }
        loop {
            match self.reader.next(&mut bytes) {
                Ok(Some(Frame::Element(element)))
                    if element.root().name() == "proceed"
                        // XEP-0388 §2.6: no new stream behind that one's success.
                        || element.root().is("success", ns::SASL) =>
                {
                    self.reader.reset()
                }
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(error) => panic!("the server sent what no client accepts: {error}"),
            }
        }
    }

    fn answer(&mut self) {
        let Some((ticket, question)) = self.question.take() else {
            return;
        };
        let answer = match question {
            Question::ScramKeys { account, hash, .. } => Answer::ScramKeys {
                keys: credentials()
                    .keys(hash)
                    .expect("they are derived for each")
                    .clone(),
                account: self.known(account),
            },
            Question::CheckPassword {
                account, password, ..
            } => {
                let fits = password.as_str() == "secret";
                Answer::Account(if fits {
                    self.known(account)
                } else {
                    Err(SaslFailure::NotAuthorized)
                })
            }
            Question::External { account } => Answer::Account(self.known(Some(account))),
            Question::Anonymous { host } => {
                let account = BareJid::parse(&format!("somebody@{host}")).expect("a JID");
                self.proven = Some(account.clone());
                Answer::Account(Ok(account))
            }
            Question::Bind {
                account,
                resource,
                fallback,
                inline,
            } => {
                assert_eq!(
                    Some(&account),
                    self.authenticated.as_ref(),
                    "binding is for the one who logged in"
                );
                let tag = inline.as_ref().and_then(|inline| inline.tag.as_deref());
                let resource = resource.as_deref().or(tag).unwrap_or(&fallback);
                let counts = inline
                    .as_ref()
                    .is_some_and(|inline| inline.enable.is_some());
                let bound = account.with_resource(resource).map(|jid| Bound {
                    jid,
                    inline: if counts {
                        sm::enabled(None)
                    } else {
                        Vec::new()
                    },
                });
                Answer::Bound(bound.map_err(|_| StanzaError::bad_request()))
            }
            Question::Resume {
                account,
                previd,
                handled,
            } => Answer::Resumed(match previd.as_str() {
                "id" if handled < 10 => Ok(Resumed {
                    jid: account.with_resource("r").expect("a resource"),
                    handled: 5,
                }),
                "id" => Err(NotResumed::TooHigh { handled, sent: 9 }),
                _ => Err(NotResumed::NotFound { handled: None }),
            }),
            Question::Token { account, proof, .. } => match proof.answer(b"token") {
                Some(proof) => Answer::Token {
                    account: self.known(account),
                    proof,
                    token: None,
                },
                None => Answer::Account(Err(SaslFailure::NotAuthorized)),
            },
            Question::LacksKeys { .. } => Answer::LacksKeys(true),
            Question::KeepKeys { .. } => Answer::KeysKept,
            Question::Client { wants, .. } => Answer::Client(wants.map(|_| NewToken {
                text: "token".to_owned().into(),
                expires_ms: 0,
            })),
            _ => Answer::Xml(Vec::new()),
        };
        self.input(Input::Answer(ticket, answer));
    }

    /// The only account there is.
    fn known(&mut self, account: Option<BareJid>) -> Result<BareJid, SaslFailure> {
        let account = account.filter(|account| account.as_str() == "juliet@localhost");
        self.proven.clone_from(&account);
        account.ok_or(SaslFailure::NotAuthorized)
    }
}

impl script::Driver for Driver {
    const EVENTS: &'static [u8] = &[0x04, 0x05, 0x06, 0x1e];

    fn bytes(&mut self, piece: &[u8]) {
        self.input(Input::Bytes(piece));
    }

    fn event(&mut self, event: u8) {
        if !self.stream.is_waiting() {
            self.question = None;
        }
        match event {
            0x04 => self.input(Input::PeerClosed),
            0x05 => self.input(Input::Close(StreamError::new(
                StreamCondition::SystemShutdown,
            ))),
            0x06 => self.answer(),
            _ => {
                self.now += Duration::from_secs(60);
                self.input(Input::Tick);
            }
        }
    }

    /// A connection that ends leaves nothing to wait for.
    fn end(&mut self) {
        self.input(Input::PeerClosed);
        assert!(
            self.stream.is_closed(),
            "the end of the connection is the end of the stream"
        );
        assert!(
            self.stream.deadline().is_none(),
            "nothing is waited for any more"
        );
        assert!(self.ended, "each stream says how it ended");
    }
}

fn tls(direct: bool) -> TlsInfo {
    TlsInfo {
        exporter: Some(vec![7; 32]),
        end_point: Some(vec![9; 32]),
        direct,
        ..TlsInfo::default()
    }
}

/// Derived once: that is slow on purpose.
fn credentials() -> &'static Credentials {
    static CREDENTIALS: OnceLock<Credentials> = OnceLock::new();
    CREDENTIALS.get_or_init(|| Credentials::derive("secret", [3; 32]).expect("a good password"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_scripts_get_as_far_as_they_mean_to() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(TARGET.name);
        for (name, bound) in [
            ("login", true),
            ("pipelined", true),
            ("starttls", true),
            ("direct", true),
            ("anonymous", true),
            ("shutdown", true),
            ("websocket", true),
            ("injected", false),
            ("required", false),
            ("wrong_password", false),
            ("scram", false),
            ("early_bind", false),
        ] {
            let driver = script::play(
                &std::fs::read(folder.join(name)).expect("a kept script"),
                Driver::new,
            );
            assert_eq!(driver.bound.is_some(), bound, "{name}");
        }
    }
}
