//! A stream between servers, from either end: whatever comes in whatever pieces, nothing counts before its two domains are proved, nothing is
//! said after the end, and all that is said is well-formed.
//!
//! An input is a script: its first byte chooses the end, the policy and what is agreed on, the rest are the peer's bytes. A few control
//! characters are events: NUL ends a piece, RS lets a minute pass, EOT closes the connection, ENQ lets the server end the stream, ACK and NAK
//! answer the oldest question with yes and no, SYN has another pair of domains authenticated, and ETB has stanzas counted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tercet_core::{Frame, Limits, StanzaError, StreamCondition, StreamError, StreamParser};
use tercet_stream::s2s::{
    Answer, DialbackSecret, DomainPair, Goal, Input, KeyClaim, Manage, Output, Question, S2sConfig,
    S2sEvent, S2sHost, S2sStream, Verdict,
};
use tercet_stream::{NotResumed, Ticket, TlsPolicy};

use super::script;
use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "s2s_stream",
    run,
    dictionary: &[
        "\u{0}",
        "\u{1e}",
        "\u{4}",
        "\u{5}",
        "\u{6}",
        "\u{15}",
        "\u{16}",
        "\u{17}",
        "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='b.example' to='a.example' id='i' version='1.0'>",
        "</stream:stream>",
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
        "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>",
        "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
        "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms></stream:features>",
        "<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback><bidi xmlns='urn:xmpp:features:bidi'/><sm xmlns='urn:xmpp:sm:3'/></stream:features>",
        "<bidi xmlns='urn:xmpp:bidi'/>",
        "<db:result from='b.example' to='a.example'>key</db:result>",
        "<db:result from='b.example' to='a.example' type='valid'/>",
        "<db:result from='c.example' to='a.example'>key</db:result>",
        "<db:verify from='b.example' to='a.example' id='i'>key</db:verify>",
        "<db:verify from='b.example' to='a.example' id='other' type='valid'/>",
        "<enable xmlns='urn:xmpp:sm:3' resume='true'/>",
        "<enabled xmlns='urn:xmpp:sm:3' id='s' resume='true'/>",
        "<resume xmlns='urn:xmpp:sm:3' previd='id' h='3'/>",
        "<resumed xmlns='urn:xmpp:sm:3' previd='id' h='3'/>",
        "<a xmlns='urn:xmpp:sm:3' h='1'/>",
        "<r xmlns='urn:xmpp:sm:3'/>",
        "<message from='x@b.example' to='y@a.example'><body>x</body></message>",
        "<message from='x@c.example' to='y@a.example'/>",
        "<presence from='x@b.example' to='y@elsewhere.example'/>",
        " type='invalid'",
        " type='error'",
        " ",
    ],
};

fn run(data: &[u8]) {
    script::play(data, Driver::new);
}

/// What a connection would do, and what it watches.
struct Driver {
    stream: S2sStream,
    receiving: bool,
    now: Instant,
    /// Reads what the stream says, as its peer would.
    reader: StreamParser,
    questions: VecDeque<(Ticket, Question)>,
    /// Pairs that an answer has proved.
    proven: Vec<DomainPair>,
    authenticated: Vec<DomainPair>,
    authorized: usize,
    ended: bool,
    closed: bool,
}

impl Driver {
    fn new(flags: u8) -> Self {
        let mut host = S2sHost::new("a.example");
        host.tls = match flags & 3 {
            0 => TlsPolicy::Absent,
            1 => TlsPolicy::Optional,
            _ => TlsPolicy::Required,
        };
        host.require_certificate = flags & 32 != 0;
        let mut config = S2sConfig::new([host], DialbackSecret::new(b"secret"));
        config.bidi = flags & 16 != 0;
        let (config, now, seed) = (Arc::new(config), Instant::now(), [flags; 32]);
        let receiving = flags & 4 == 0;
        let goal = match flags & 64 {
            0 => Goal::Stanzas,
            _ => Goal::Verification,
        };
        let direct = flags & 8 != 0;
        let stream = match receiving {
            true => S2sStream::receiving(config, now, seed),
            false => S2sStream::initiating(config, pair("b.example"), goal, direct, now, seed),
        };
        let mut driver = Driver {
            stream,
            receiving,
            now,
            reader: StreamParser::new(Limits::AFTER_LOGIN),
            questions: VecDeque::new(),
            proven: Vec::new(),
            authenticated: Vec::new(),
            authorized: 0,
            ended: false,
            closed: false,
        };
        driver.drain();
        if direct {
            driver.input(Input::TlsUp);
        }
        driver
    }
    fn input(&mut self, input: Input<'_>) {
        self.stream.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.stream.poll_output() {
            // The answer to a wish may come at any time.
            let answer = matches!(
                output,
                Output::Refused(..) | Output::Verified(..) | Output::NotManaged(_)
            );
            assert!(!self.closed || answer, "nothing comes after the close");
            match output {
                Output::Write(bytes) => self.read(&bytes),
                Output::StartTls => {
                    self.authenticated.clear();
                    self.stream.handle(self.now, Input::TlsUp);
                }
                Output::Ask(ticket, question) => self.questions.push_back((ticket, question)),
                Output::Stanza(stanza) => {
                    let from = stanza.from().expect("valid").expect("there");
                    let to = stanza.to().expect("valid").expect("there");
                    let pair = DomainPair::new(to.domain(), from.domain());
                    assert!(
                        self.authenticated.contains(&pair),
                        "RFC 6120 §8.1.2.2: only what was proved on this stream"
                    );
                }
                Output::Authenticated(pair, _) => {
                    assert!(
                        !self.receiving || self.proven.contains(&pair),
                        "only whom an answer has proved"
                    );
                    self.authenticated.push(pair);
                }
                Output::Authorized(..) => self.authorized += 1,
                Output::Event(S2sEvent::Ended(_)) => {
                    assert!(!self.ended, "a stream ends once");
                    self.ended = true;
                }
                Output::Close => {
                    assert!(self.ended, "the end is told before the close");
                    self.closed = true;
                }
                _ => {}
            }
        }
    }

    /// What the stream says are well-formed frames; each declaration begins a document.
    fn read(&mut self, bytes: &[u8]) {
        let begins = |at: &usize| bytes[*at..].starts_with(b"<?xml");
        let mut cuts: Vec<usize> = (0..bytes.len()).filter(begins).collect();
        if cuts.first() != Some(&0) {
            self.frames(&bytes[..cuts.first().copied().unwrap_or(bytes.len())]);
        }
        cuts.push(bytes.len());
        for part in cuts.windows(2) {
            self.reader = StreamParser::new(Limits::AFTER_LOGIN);
            self.frames(&bytes[part[0]..part[1]]);
        }
    }

    fn frames(&mut self, mut bytes: &[u8]) {
        loop {
            match self.reader.next(&mut bytes) {
                // The stream begins anew behind it.
                Ok(Some(Frame::Element(element)))
                    if matches!(element.root().name(), "success" | "proceed") =>
                {
                    self.reader.reset();
                }
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(error) => panic!("what no server accepts was sent: {error}"),
            }
        }
    }

    fn answer(&mut self, yes: bool) {
        let Some((ticket, question)) = self.questions.pop_front() else {
            return;
        };
        let answer = match question {
            Question::Certificate(pair) => {
                if yes {
                    self.proven.push(pair);
                }
                Answer::Certificate(yes)
            }
            Question::Key(claim) if yes => {
                self.proven.push(claim.pair);
                Answer::Key(Verdict::Valid)
            }
            Question::Key(claim) if claim.key.len() % 2 == 0 => Answer::Key(Verdict::Invalid),
            Question::Key(_) => Answer::Key(Verdict::Unknown(StanzaError::remote_server_timeout())),
            Question::Resume { handled, .. } => Answer::Resumed(match yes {
                true => Ok(5),
                false if handled > 9 => Err(NotResumed::TooHigh { handled, sent: 9 }),
                false => Err(NotResumed::NotFound { handled: None }),
            }),
        };
        self.input(Input::Answer(ticket, answer));
    }
}

impl script::Driver for Driver {
    const EVENTS: &'static [u8] = &[0x04, 0x05, 0x06, 0x15, 0x16, 0x17, 0x1e];

    fn bytes(&mut self, piece: &[u8]) {
        self.input(Input::Bytes(piece));
    }

    fn event(&mut self, event: u8) {
        match event {
            0x04 => self.input(Input::PeerClosed),
            0x05 => self.input(Input::Close(StreamError::new(
                StreamCondition::SystemShutdown,
            ))),
            0x06 => self.answer(true),
            0x15 => self.answer(false),
            0x16 if self.receiving => self.input(Input::Verify(KeyClaim {
                pair: pair("b.example"),
                id: "other".into(),
                key: "key".into(),
            })),
            0x16 => self.input(Input::Authenticate(pair("c.example"))),
            0x17 => self.input(Input::Manage(Manage::Enable)),
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

fn pair(remote: &str) -> DomainPair {
    DomainPair::new("a.example", remote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_scripts_get_as_far_as_they_mean_to() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(TARGET.name);
        for (name, authenticated, authorized) in [
            ("dialed_back", 1, 0),
            ("external", 1, 0),
            ("both_ways", 1, 1),
            ("wrong_key", 0, 0),
            ("early", 0, 0),
            ("initiating", 0, 1),
        ] {
            let driver = script::play(
                &std::fs::read(folder.join(name)).expect("a kept script"),
                Driver::new,
            );
            let reached = (driver.authenticated.len(), driver.authorized);
            assert_eq!(reached, (authenticated, authorized), "{name}");
        }
    }
}
