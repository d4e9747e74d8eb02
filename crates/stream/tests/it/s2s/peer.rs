//! One end of a stream between servers, and the owner who answers its questions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tercet_core::{StreamCondition, XmlWriter};
use tercet_stream::s2s::{
    Answer, DialbackSecret, DomainPair, Goal, Input, KeyClaim, Output, Question, Refusal,
    S2sConfig, S2sEnding, S2sEvent, S2sHost, S2sStream, Verdict,
};
use tercet_stream::{Ticket, TlsPolicy, sm};

use crate::support::{Split, pieces};

pub(crate) const STREAM: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' \
    xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback'";
/// What `b.example` opens a stream with.
pub(crate) const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' \
    xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' \
    from='b.example' to='a.example' version='1.0'>";
/// What `b.example` answers a stream with.
pub(crate) const ANSWER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' \
    xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' \
    from='b.example' to='a.example' id='id-of-b' version='1.0'>";
pub(crate) const END: &str = "</stream:stream>";
pub(crate) const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
pub(crate) const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
pub(crate) const MESSAGE: &str =
    "<message from='x@b.example/r' to='y@a.example'><body>hi</body></message>";

pub(crate) fn pair(local: &str, remote: &str) -> DomainPair {
    DomainPair::new(local, remote)
}

/// The secret of `b.example`, for the keys that it shows.
pub(crate) fn secret_of_b() -> DialbackSecret {
    DialbackSecret::new(b"secret of b")
}

pub(crate) fn config() -> S2sConfig {
    config_with(|_| {})
}

pub(crate) fn config_with(change: impl Fn(&mut S2sHost)) -> S2sConfig {
    let hosts = ["a.example", "a2.example"].map(|domain| {
        let mut host = S2sHost::new(domain);
        change(&mut host);
        host
    });
    S2sConfig::new(hosts, DialbackSecret::new(b"secret of a"))
}

pub(crate) fn lab() -> S2sConfig {
    config_with(|host| host.tls = TlsPolicy::Absent)
}

pub(crate) fn config_of_b() -> S2sConfig {
    let hosts = ["b.example", "b2.example"].map(S2sHost::new);
    S2sConfig::new(hosts, secret_of_b())
}

pub(crate) fn result(from: &str, to: &str, key: &str) -> String {
    format!("<db:result from='{from}' to='{to}'>{key}</db:result>")
}

pub(crate) fn auth(authzid: &str) -> String {
    let mut w = XmlWriter::new();
    w.start("auth")
        .attr("xmlns", "urn:ietf:params:xml:ns:xmpp-sasl")
        .attr("mechanism", "EXTERNAL");
    w.text(authzid).end();
    String::from_utf8(w.finish()).unwrap()
}

pub(crate) struct Peer {
    pub(crate) stream: S2sStream,
    pub(crate) now: Instant,
    /// The domains that the other end's certificate proves.
    pub(crate) certificate: Vec<&'static str>,
    pub(crate) events: Vec<S2sEvent>,
    pub(crate) stanzas: Vec<String>,
    pub(crate) authenticated: Vec<String>,
    pub(crate) authorized: Vec<String>,
    pub(crate) refused: Vec<(String, Refusal)>,
    pub(crate) verified: Vec<(KeyClaim, Verdict)>,
    /// What came of stream management.
    pub(crate) managed: Vec<String>,
    pub(crate) asked: Vec<Question>,
    pub(crate) tls_wanted: bool,
    pub(crate) closed: bool,
    pub(crate) hold: bool,
    pub(crate) held: VecDeque<(Ticket, Question)>,
    pub(crate) written: Vec<u8>,
    /// All that was ever written.
    history: Vec<u8>,
    split: Split,
}

impl Peer {
    pub(crate) fn receiving(config: S2sConfig, split: Split) -> Self {
        Self::receiving_by(config, [7; 32], split)
    }

    pub(crate) fn receiving_by(config: S2sConfig, seed: [u8; 32], split: Split) -> Self {
        let now = Instant::now();
        Self::new(
            S2sStream::receiving(Arc::new(config), now, seed),
            now,
            split,
        )
    }

    /// From the first domain of `pair` to the second.
    pub(crate) fn initiating(
        config: S2sConfig,
        pair: DomainPair,
        goal: Goal,
        split: Split,
    ) -> Self {
        let now = Instant::now();
        let stream = S2sStream::initiating(Arc::new(config), pair, goal, false, now, [9; 32]);
        let mut peer = Self::new(stream, now, split);
        peer.drain();
        peer
    }

    fn new(stream: S2sStream, now: Instant, split: Split) -> Self {
        Self {
            stream,
            now,
            certificate: Vec::new(),
            events: Vec::new(),
            stanzas: Vec::new(),
            authenticated: Vec::new(),
            authorized: Vec::new(),
            refused: Vec::new(),
            verified: Vec::new(),
            managed: Vec::new(),
            asked: Vec::new(),
            tls_wanted: false,
            closed: false,
            hold: false,
            held: VecDeque::new(),
            written: Vec::new(),
            history: Vec::new(),
            split,
        }
    }

    /// A stream from `b.example`, inside TLS with a certificate for these domains, whose features were read.
    pub(crate) fn inside_tls(
        config: S2sConfig,
        certificate: &[&'static str],
        split: Split,
    ) -> Self {
        let mut peer = Self::receiving(config, split);
        peer.certificate = certificate.to_vec();
        peer.input(Input::TlsUp);
        peer.send(HEADER);
        peer
    }

    /// The same, authenticated by dialback.
    pub(crate) fn dialed_back(config: S2sConfig, split: Split) -> Self {
        let mut peer = Self::inside_tls(config, &[], split);
        peer.show_key("b.example", "a.example");
        assert_eq!(peer.authenticated, ["a.example and b.example by Dialback"]);
        peer.recv();
        peer
    }

    /// Shows the right key for this stream.
    pub(crate) fn show_key(&mut self, from: &str, to: &str) {
        let key = secret_of_b().key(to, from, &self.id());
        self.send(&result(from, to, &key));
    }

    /// The id in the last header that was written.
    pub(crate) fn id(&self) -> String {
        let text = String::from_utf8(self.history.clone()).unwrap();
        let at = text.rfind(" id='").unwrap() + " id='".len();
        text[at..].split('\'').next().unwrap().to_owned()
    }

    pub(crate) fn send(&mut self, text: &str) {
        for (mut piece, through_receive) in pieces(self.split, text) {
            if !through_receive {
                self.input(Input::Bytes(piece));
                continue;
            }
            while let Some(stanza) = self.stream.receive(self.now, &mut piece) {
                self.drain();
                self.stanzas.push(format!("{stanza:?}"));
            }
            self.drain();
            if !piece.is_empty() {
                self.input(Input::Bytes(piece));
            }
        }
    }

    pub(crate) fn input(&mut self, input: Input<'_>) {
        self.stream.handle(self.now, input);
        self.drain();
    }

    /// What was written since the last call.
    pub(crate) fn recv(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.written)).unwrap()
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

    pub(crate) fn answer_with(&mut self, answer: Answer) {
        let (ticket, _) = self.held.pop_front().unwrap();
        self.input(Input::Answer(ticket, answer));
    }

    pub(crate) fn ending(&self) -> Option<S2sEnding> {
        self.events.iter().find_map(|event| match event {
            S2sEvent::Ended(ending) => Some(ending.clone()),
            _ => None,
        })
    }

    /// Asserts that the stream has ended with this error, in good form, and for good.
    pub(crate) fn expect_error(&mut self, condition: StreamCondition) {
        let text = self.recv();
        assert_eq!(self.ending(), Some(S2sEnding::Error(condition)), "{text}");
        let name = condition.as_str();
        let error = format!("<{name} xmlns='urn:ietf:params:xml:ns:xmpp-streams'");
        assert!(text.contains(&error), "{text}");
        assert!(text.ends_with("</stream:error></stream:stream>"), "{text}");
        self.expect_silence();
    }

    /// Asserts that the stream is over and says nothing any more, whatever comes.
    pub(crate) fn expect_silence(&mut self) {
        assert!(self.closed);
        let (events, asked, stanzas) = (self.events.len(), self.asked.len(), self.stanzas.len());
        for more in [HEADER, STARTTLS, MESSAGE, "<x", END, "\0"] {
            self.send(more);
        }
        self.input(Input::TlsUp);
        self.input(Input::Close(StreamCondition::SystemShutdown.into()));
        self.input(Input::Authenticate(pair("a.example", "c.example")));
        assert_eq!(self.recv(), "");
        self.wait(Duration::from_secs(5));
        assert!(self.stream.is_closed());
        self.input(Input::PeerClosed);
        assert_eq!((self.events.len(), self.asked.len()), (events, asked));
        assert_eq!(self.stanzas.len(), stanzas);
        assert_eq!(self.recv(), "");
    }

    pub(crate) fn drain(&mut self) {
        let mut answers = Vec::new();
        while let Some(output) = self.stream.poll_output() {
            assert!(!self.closed, "nothing comes after Close: {output:?}");
            match output {
                Output::Write(bytes) => {
                    self.history.extend_from_slice(&bytes);
                    self.written.extend_from_slice(&bytes);
                }
                Output::StartTls => self.tls_wanted = true,
                Output::Ask(ticket, question) => {
                    self.asked.push(question.clone());
                    if self.hold {
                        self.held.push_back((ticket, question));
                    } else {
                        answers.push((ticket, self.answer(&question)));
                    }
                }
                Output::Stanza(stanza) => self.stanzas.push(format!("{stanza:?}")),
                Output::Authenticated(pair, proof) => {
                    self.authenticated.push(format!("{pair} by {proof:?}"));
                }
                Output::Authorized(pair, proof) => {
                    assert!(self.stream.may_send(&pair));
                    self.authorized.push(format!("{pair} by {proof:?}"));
                }
                Output::Refused(pair, refusal) => self.refused.push((pair.to_string(), refusal)),
                Output::Verified(claim, verdict) => self.verified.push((claim, verdict)),
                Output::Enable(enable) => {
                    let id = enable.resume.then_some(("sm-id", 600));
                    self.written.extend_from_slice(&sm::enabled(id));
                }
                Output::AckRequested(received) => sm::ack(received, &mut self.written),
                Output::Enabled { id, max } => self.managed.push(format!("enabled {id:?} {max:?}")),
                Output::Resumed(handled) => self.managed.push(format!("resumed {handled}")),
                Output::NotManaged(handled) => self.managed.push(format!("not {handled:?}")),
                Output::Acked(handled) => self.managed.push(format!("acked {handled}")),
                Output::Event(event) => self.events.push(event),
                Output::Close => self.closed = true,
            }
        }
        for (ticket, answer) in answers {
            self.input(Input::Answer(ticket, answer));
        }
    }

    /// The owner: certificates are those of the test, keys those of `b.example`.
    fn answer(&self, question: &Question) -> Answer {
        match question {
            Question::Certificate(pair) => {
                Answer::Certificate(self.certificate.contains(&&*pair.remote))
            }
            Question::Key(KeyClaim { pair, id, key }) => {
                let valid = secret_of_b().verify(&pair.local, &pair.remote, id, key);
                Answer::Key(if valid {
                    Verdict::Valid
                } else {
                    Verdict::Invalid
                })
            }
            Question::Resume { .. } => Answer::Resumed(Ok(5)),
        }
    }
}
