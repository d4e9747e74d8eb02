//! Dialogues with streams of components. The component is `irc.example`; `wide.example` speaks for the domains below its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tercet_core::{StreamCondition, StreamError};
use tercet_stream::component::{
    ComponentConfig, ComponentEnding, ComponentEvent, ComponentHost, ComponentSecret,
    ComponentStream, Input, Output,
};

use crate::support::{END, Split, dialogue, pieces};

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
    xmlns:stream='http://etherx.jabber.org/streams' to='irc.example'>";
const MESSAGE: &str =
    "<message from='#rust@irc.example/x' to='romeo@a.example'><body>hi</body></message>";

fn config() -> ComponentConfig {
    let component = |domain: &str, subdomains| ComponentHost {
        domain: domain.into(),
        secret: ComponentSecret::new(format!("secret of {domain}")),
        subdomains,
    };
    ComponentConfig::new([
        component("irc.example", false),
        component("wide.example", true),
    ])
}

struct Peer {
    stream: ComponentStream,
    now: Instant,
    split: Split,
    /// Whether nobody of the same name is there.
    admit: bool,
    /// The decision is left to the test.
    hold: bool,
    proved: Vec<String>,
    stanzas: Vec<String>,
    events: Vec<ComponentEvent>,
    written: Vec<u8>,
    history: Vec<u8>,
    closed: bool,
}

impl Peer {
    fn new(split: Split) -> Peer {
        let now = Instant::now();
        Peer {
            stream: ComponentStream::new(Arc::new(config()), now, [5; 32]),
            now,
            split,
            admit: true,
            hold: false,
            proved: Vec::new(),
            stanzas: Vec::new(),
            events: Vec::new(),
            written: Vec::new(),
            history: Vec::new(),
            closed: false,
        }
    }

    /// A component that has been let in.
    fn open(split: Split) -> Peer {
        Peer::open_as("irc.example", split)
    }

    fn open_as(domain: &str, split: Split) -> Peer {
        let mut peer = Peer::new(split);
        peer.send(&HEADER.replace("irc.example", domain));
        let handshake = peer.handshake(domain);
        peer.send(&handshake);
        assert_eq!(peer.proved, [domain]);
        assert!(peer.recv().ends_with("<handshake/>"));
        peer
    }

    /// The right proof for this stream.
    fn handshake(&self, domain: &str) -> String {
        let text = String::from_utf8(self.history.clone()).unwrap();
        let at = text.rfind(" id='").unwrap() + " id='".len();
        let id = text[at..].split('\'').next().unwrap();
        let secret = ComponentSecret::new(format!("secret of {domain}"));
        format!("<handshake>{}</handshake>", secret.handshake(id))
    }

    fn send(&mut self, text: &str) {
        for (piece, _) in pieces(self.split, text) {
            self.input(Input::Bytes(piece));
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.stream.handle(self.now, input);
        let mut proved = false;
        while let Some(output) = self.stream.poll_output() {
            assert!(!self.closed, "nothing comes after Close: {output:?}");
            match output {
                Output::Write(bytes) => {
                    self.history.extend_from_slice(&bytes);
                    self.written.extend_from_slice(&bytes);
                }
                Output::Proved(domain) => {
                    self.proved.push(domain.into());
                    proved = !self.hold;
                }
                Output::Stanza(stanza) => self.stanzas.push(format!("{stanza:?}")),
                Output::Event(event) => self.events.push(event),
                Output::Close => self.closed = true,
            }
        }
        if proved {
            self.input(match self.admit {
                true => Input::Admit,
                false => Input::Close(StreamCondition::Conflict.into()),
            });
        }
    }

    fn recv(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.written)).unwrap()
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.stream.deadline().filter(|d| *d <= end) {
            assert!(deadline >= self.now, "deadlines do not lie in the past");
            self.now = deadline;
            self.input(Input::Tick);
        }
        self.now = end;
    }

    fn ending(&self) -> Option<ComponentEnding> {
        self.events.iter().find_map(|event| match event {
            ComponentEvent::Ended(ending) => Some(ending.clone()),
            _ => None,
        })
    }

    /// Asserts that the stream has ended with this error, in good form, and for good.
    fn expect_error(&mut self, condition: StreamCondition) {
        let text = self.recv();
        assert_eq!(
            self.ending(),
            Some(ComponentEnding::Error(condition)),
            "{text}"
        );
        let error = format!(
            "<{} xmlns='urn:ietf:params:xml:ns:xmpp-streams'",
            condition.as_str()
        );
        assert!(text.contains(&error), "{text}");
        assert!(text.ends_with("</stream:error></stream:stream>"), "{text}");
        let whole = String::from_utf8(self.history.clone()).unwrap();
        assert!(
            whole.starts_with("<?xml version='1.0'?><stream:stream "),
            "{whole}"
        );
        self.expect_silence();
    }

    /// Asserts that the stream is over and says nothing any more, whatever comes.
    fn expect_silence(&mut self) {
        assert!(self.closed);
        let (events, stanzas) = (self.events.len(), self.stanzas.len());
        for more in [HEADER, MESSAGE, "<x", END, "\0"] {
            self.send(more);
        }
        self.input(Input::Admit);
        self.input(Input::Close(StreamCondition::SystemShutdown.into()));
        self.wait(Duration::from_secs(5));
        assert!(self.stream.is_closed());
        self.input(Input::PeerClosed);
        assert_eq!((self.events.len(), self.stanzas.len()), (events, stanzas));
        assert_eq!(self.recv(), "");
    }
}

#[test]
fn a_component_with_the_right_proof_sends_stanzas() {
    dialogue(|split| {
        let mut peer = Peer::new(split);
        peer.send(HEADER);
        let header = peer.recv();
        assert!(
            header.contains(" xmlns='jabber:component:accept'"),
            "{header}"
        );
        assert!(header.contains(" from='irc.example'"), "{header}");
        assert!(!header.contains("' version="), "{header}");
        let handshake = peer.handshake("irc.example");
        peer.send(&handshake);
        assert_eq!(peer.recv(), "<handshake/>");
        peer.send(MESSAGE);
        peer.send("\n");
        peer.send(MESSAGE);
        assert_eq!(peer.stanzas, [MESSAGE, MESSAGE]);
        peer.send(END);
        assert_eq!(peer.recv(), END);
        assert_eq!(peer.ending(), Some(ComponentEnding::ByPeer));
        peer.expect_silence();
    });
}

#[test]
fn what_is_sent_right_behind_the_proof_is_not_lost() {
    dialogue(|split| {
        let mut peer = Peer::new(split);
        peer.send(HEADER);
        let handshake = peer.handshake("irc.example");
        peer.send(&format!("{handshake}{MESSAGE}"));
        assert_eq!(peer.stanzas, [MESSAGE]);
    });
}

#[test]
fn a_wrong_proof_is_not_authorized() {
    let wrong: [fn(&Peer) -> String; 7] = [
        |_| "<handshake/>".into(),
        |_| format!("<handshake>{}</handshake>", "0".repeat(40)),
        |peer| {
            peer.handshake("irc.example")
                .to_uppercase()
                .replace("HANDSHAKE", "handshake")
        },
        |peer| peer.handshake("wide.example"),
        |peer| peer.handshake("irc.example").replace("</", " </"),
        |_| format!("<handshake>{}</handshake>", "a".repeat(4000)),
        // That of another stream.
        |_| {
            format!(
                "<handshake>{}</handshake>",
                ComponentSecret::new("secret of irc.example").handshake("x")
            )
        },
    ];
    for handshake in wrong {
        dialogue(|split| {
            let mut peer = Peer::new(split);
            peer.send(HEADER);
            let handshake = handshake(&peer);
            peer.send(&handshake);
            assert!(
                peer.events
                    .contains(&ComponentEvent::Refused("irc.example".into()))
            );
            peer.expect_error(StreamCondition::NotAuthorized);
            assert!(peer.proved.is_empty());
        });
    }
}

#[test]
fn nothing_counts_before_the_proof_nor_before_the_decision() {
    for early in [
        MESSAGE,
        "<iq type='get' id='1'><x xmlns='x'/></iq>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    ] {
        dialogue(|split| {
            let mut peer = Peer::new(split);
            peer.send(HEADER);
            peer.send(early);
            peer.expect_error(StreamCondition::NotAuthorized);
            assert!(peer.stanzas.is_empty());
        });
    }
    dialogue(|split| {
        let mut peer = Peer::new(split);
        peer.admit = false;
        peer.send(HEADER);
        let handshake = peer.handshake("irc.example");
        peer.send(&format!("{handshake}{MESSAGE}"));
        assert!(peer.stanzas.is_empty());
        assert!(!peer.recv().contains("<handshake/>"));
        assert_eq!(
            peer.ending(),
            Some(ComponentEnding::Error(StreamCondition::Conflict))
        );
        peer.expect_silence();
    });
}

#[test]
fn what_waits_for_the_decision_has_a_bound_and_a_time() {
    dialogue(|split| {
        let mut peer = Peer::new(Split::Whole);
        peer.hold = true;
        peer.send(HEADER);
        let handshake = peer.handshake("irc.example");
        peer.send(&handshake);
        peer.split = split;
        let many = MESSAGE.repeat(3);
        for _ in 0..100 {
            peer.send(&many);
        }
        peer.expect_error(StreamCondition::PolicyViolation);
        assert!(peer.stanzas.is_empty());
    });
    let mut peer = Peer::new(Split::Whole);
    peer.hold = true;
    peer.send(HEADER);
    let handshake = peer.handshake("irc.example");
    peer.send(&handshake);
    peer.wait(Duration::from_secs(30));
    peer.expect_error(StreamCondition::ConnectionTimeout);
}

#[test]
fn stanzas_come_only_from_the_components_own_domain() {
    use StreamCondition::*;
    for (stanza, condition) in [
        (MESSAGE.replace("irc.example", "a.example"), InvalidFrom),
        (MESSAGE.replace("irc.example", "wide.example"), InvalidFrom),
        (
            MESSAGE.replace("irc.example", "sub.irc.example"),
            InvalidFrom,
        ),
        (MESSAGE.replace("irc.example", "xirc.example"), InvalidFrom),
        (
            MESSAGE.replace("irc.example", "irc.example.org"),
            InvalidFrom,
        ),
        (
            MESSAGE.replace("from='#rust@irc.example/x' ", ""),
            ImproperAddressing,
        ),
        (
            MESSAGE.replace("#rust@irc.example/x", ""),
            ImproperAddressing,
        ),
        (
            MESSAGE.replace("#rust@irc.example/x", "@irc.example"),
            ImproperAddressing,
        ),
        (
            MESSAGE.replace("#rust@irc.example/x", "irc.example/\u{1}"),
            BadFormat,
        ),
    ] {
        dialogue(|split| {
            let mut peer = Peer::open(split);
            peer.send(&stanza);
            match condition {
                // How the parser names a character that XML does not have is its own affair.
                BadFormat => assert!(matches!(peer.ending(), Some(ComponentEnding::Error(_)))),
                _ => peer.expect_error(condition),
            }
            assert!(peer.stanzas.is_empty());
        });
    }
}

#[test]
fn domains_below_its_own_are_a_components_where_that_is_set() {
    dialogue(|split| {
        let mut peer = Peer::open_as("wide.example", split);
        let below = MESSAGE.replace("irc.example", "libera.wide.example");
        peer.send(&below);
        assert_eq!(peer.stanzas, [below]);
        peer.send(&MESSAGE.replace("irc.example", "libera.widE.examplE.org"));
        peer.expect_error(StreamCondition::InvalidFrom);
    });
}

#[test]
fn an_address_is_compared_as_the_standard_says() {
    dialogue(|split| {
        let mut peer = Peer::open(split);
        let other = MESSAGE.replace("irc.example", "IRC.Example");
        peer.send(&other);
        assert_eq!(peer.stanzas, [other]);
    });
}

#[test]
fn a_stanza_for_nobody_comes_back_and_the_stream_goes_on() {
    for stanza in [
        MESSAGE.replace(" to='romeo@a.example'", ""),
        MESSAGE.replace("romeo@a.example", "@a.example"),
    ] {
        dialogue(|split| {
            let mut peer = Peer::open(split);
            peer.send(&stanza);
            let error = peer.recv();
            assert!(error.contains("type='error'"), "{error}");
            assert!(error.contains("to='#rust@irc.example/x'"), "{error}");
            peer.send(MESSAGE);
            assert_eq!(peer.stanzas, [MESSAGE]);
        });
    }
    // Nothing answers an error.
    dialogue(|split| {
        let mut peer = Peer::open(split);
        peer.send("<message from='irc.example' type='error'/>");
        assert_eq!(peer.recv(), "");
        assert_eq!(peer.ending(), None);
    });
}

#[test]
fn headers_for_other_names_or_of_other_streams_are_refused() {
    use StreamCondition::*;
    for (header, condition) in [
        (HEADER.replace("irc.example", "other.example"), HostUnknown),
        (HEADER.replace("irc.example", "a@irc.example"), HostUnknown),
        (HEADER.replace("irc.example", "irc.example/x"), HostUnknown),
        (
            HEADER.replace("irc.example", "sub.wide.example"),
            HostUnknown,
        ),
        (HEADER.replace("irc.example", ""), HostUnknown),
        (HEADER.replace(" to='irc.example'", ""), HostUnknown),
        (
            HEADER.replace("jabber:component:accept", "jabber:client"),
            InvalidNamespace,
        ),
        (
            HEADER.replace("jabber:component:accept", "jabber:server"),
            InvalidNamespace,
        ),
        (
            HEADER.replace("jabber:component:accept", "jabber:component:connect"),
            InvalidNamespace,
        ),
        (
            HEADER.replace("etherx.jabber.org", "etherx.example"),
            InvalidNamespace,
        ),
    ] {
        dialogue(|split| {
            let mut peer = Peer::new(split);
            peer.send(&header);
            peer.expect_error(condition);
        });
    }
}

#[test]
fn xml_that_xmpp_does_not_have_ends_the_stream_before_and_after_the_proof() {
    let bad = [
        "<!DOCTYPE x [<!ENTITY a 'aaaa'>]>",
        "<!-- -->",
        "<?x?>",
        "<message>&a;</message>",
        "<message>&#0;</message>",
        "<message a='1' a='2'/>",
        "<message></iq>",
        "<x:message/>",
        "text",
        "<message a=1/>",
    ];
    for bad in bad {
        dialogue(|split| {
            let mut peer = Peer::open(split);
            peer.send(bad);
            assert!(
                matches!(peer.ending(), Some(ComponentEnding::Error(_))),
                "{bad}"
            );
            peer.recv();
            peer.expect_silence();
            let mut peer = Peer::new(split);
            peer.send(HEADER);
            peer.send(bad);
            assert!(
                matches!(peer.ending(), Some(ComponentEnding::Error(_))),
                "{bad}"
            );
            let mut peer = Peer::new(split);
            peer.send(bad);
            assert!(
                matches!(peer.ending(), Some(ComponentEnding::Error(_))),
                "{bad}"
            );
        });
    }
    // Broken UTF-8 and UTF-16.
    for bad in [&b"<message>\xff</message>"[..], b"\xfe\xff\0<"] {
        let mut peer = Peer::open(Split::Whole);
        peer.input(Input::Bytes(bad));
        assert!(matches!(peer.ending(), Some(ComponentEnding::Error(_))));
    }
}

#[test]
fn other_elements_and_other_namespaces_end_the_stream() {
    use StreamCondition::*;
    for (element, condition) in [
        ("<handshake/>", UnsupportedStanzaType),
        (
            "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            UnsupportedStanzaType,
        ),
        ("<enable xmlns='urn:xmpp:sm:3'/>", UnsupportedStanzaType),
        (
            "<message xmlns='jabber:client' from='irc.example' to='a.example'/>",
            InvalidNamespace,
        ),
        (
            "<iq xmlns='jabber:server' from='irc.example' to='a.example'/>",
            InvalidNamespace,
        ),
    ] {
        dialogue(|split| {
            let mut peer = Peer::open(split);
            peer.send(element);
            peer.expect_error(condition);
            assert!(peer.stanzas.is_empty());
        });
    }
}

#[test]
fn limits_hold_before_and_after_the_proof() {
    let long = format!("<handshake>{}", "a".repeat(20_000));
    let mut peer = Peer::new(Split::Whole);
    peer.send(HEADER);
    peer.send(&long);
    peer.expect_error(StreamCondition::PolicyViolation);

    let mut peer = Peer::open(Split::Whole);
    let body = "a".repeat(20_000);
    let fits = MESSAGE.replace("hi", &body);
    peer.send(&fits);
    assert_eq!(peer.stanzas.len(), 1);
    peer.send(&MESSAGE.replace("hi", &"a".repeat(300_000)));
    peer.expect_error(StreamCondition::PolicyViolation);

    let mut peer = Peer::open(Split::Whole);
    peer.send(&MESSAGE.replace("hi", &"<a>".repeat(20_000)));
    peer.expect_error(StreamCondition::PolicyViolation);
}

#[test]
fn whoever_does_not_prove_anything_in_time_is_sent_away() {
    for said in ["", "<?xml version='1.0'?><stre", HEADER] {
        let mut peer = Peer::new(Split::Whole);
        peer.send(said);
        peer.wait(Duration::from_secs(29));
        assert_eq!(peer.ending(), None);
        // White space and slow bytes win no time.
        if said == HEADER {
            peer.send(" ");
        }
        peer.wait(Duration::from_secs(1));
        peer.expect_error(StreamCondition::ConnectionTimeout);
    }
}

#[test]
fn a_silent_component_gets_white_space_and_stays() {
    let mut peer = Peer::open(Split::Whole);
    peer.wait(Duration::from_secs(400));
    assert_eq!(peer.recv(), "  ");
    assert_eq!(peer.ending(), None);
    peer.send(MESSAGE);
    assert_eq!(peer.stanzas, [MESSAGE]);
}

#[test]
fn every_end_is_told_once() {
    let mut peer = Peer::open(Split::Whole);
    peer.input(Input::PeerClosed);
    assert_eq!(peer.ending(), Some(ComponentEnding::Lost));
    assert!(peer.stream.is_closed());

    let mut peer = Peer::open(Split::Whole);
    peer.input(Input::Close(StreamError::new(
        StreamCondition::SystemShutdown,
    )));
    peer.expect_error(StreamCondition::SystemShutdown);

    dialogue(|split| {
        let mut peer = Peer::open(split);
        peer.send(
            "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
        );
        let conflict = Some(StreamCondition::Conflict);
        assert_eq!(
            peer.ending(),
            Some(ComponentEnding::PeerError(conflict, None))
        );
        peer.recv();
        peer.expect_silence();
    });

    // Nothing came at all.
    let mut peer = Peer::new(Split::Whole);
    peer.input(Input::Close(StreamCondition::SystemShutdown.into()));
    peer.expect_error(StreamCondition::SystemShutdown);
}
