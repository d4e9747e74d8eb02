//! Streams in WebSocket messages (RFC 7395): one message is one element, so nothing is ever split.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tercet_core::SaslFailure;
use tercet_core::StreamCondition::{self, *};
use tercet_stream::{
    Answer, C2sConfig, C2sStream, Ending, Framing, Input, Output, Question, StreamEvent, Ticket,
    TlsInfo, messages,
};

use crate::support::{HOST, PASSWORD, config, config_with, failure};

const OPEN: &str =
    "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='im.example.com' version='1.0'/>";
const CLOSE: &str = "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>";
const BIND: &str = "<iq xmlns='jabber:client' type='set' id='b'>\
    <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>balcony</resource></bind></iq>";
const PRIVATE: Framing = Framing::WebSocket { private: true };
const OVERHEARD: Framing = Framing::WebSocket { private: false };

struct Page {
    stream: C2sStream,
    now: Instant,
    sent: Vec<String>,
    stanzas: Vec<String>,
    events: Vec<StreamEvent>,
    hold: bool,
    held: Option<(Ticket, Answer)>,
    closed: bool,
}

impl Page {
    fn new(config: C2sConfig, framing: Framing) -> Self {
        let now = Instant::now();
        Page {
            stream: C2sStream::new(Arc::new(config), framing, now, [7; 32]),
            now,
            sent: Vec::new(),
            stanzas: Vec::new(),
            events: Vec::new(),
            hold: false,
            held: None,
            closed: false,
        }
    }

    fn logged_in() -> Self {
        let mut page = Page::new(config(), PRIVATE);
        page.say(OPEN);
        page.say(&auth());
        page.say(OPEN);
        page.sent.clear();
        page
    }

    fn bound() -> Self {
        let mut page = Page::logged_in();
        page.say(BIND);
        page.sent.clear();
        page
    }

    fn say(&mut self, message: &str) {
        self.input(Input::Bytes(message.as_bytes()));
    }

    fn input(&mut self, input: Input<'_>) {
        self.stream.handle(self.now, input);
        while let Some(output) = self.stream.poll_output() {
            match output {
                Output::Write(bytes) | Output::Reply(bytes) => {
                    self.sent.extend(messages(&bytes).map(|message| {
                        let mut out = Vec::new();
                        message.write(&mut out);
                        without_id(&String::from_utf8(out).unwrap())
                    }));
                }
                Output::Ask(ticket, question) => {
                    self.held = Some((ticket, answer(question)));
                }
                Output::Stanza(stanza) => self.stanzas.push(format!("{stanza:?}")),
                Output::Event(event) => self.events.push(event),
                Output::Close => self.closed = true,
                Output::Bound(_) | Output::Active(_) => {}
                Output::Enable(_)
                | Output::AckRequested(_)
                | Output::Acked(_)
                | Output::Resumed(..) => {}
                Output::StartTls => panic!("TLS lies below a WebSocket"),
            }
        }
        if !self.hold {
            self.answer();
        }
    }

    fn answer(&mut self) {
        if let Some((ticket, answer)) = self.held.take() {
            self.input(Input::Answer(ticket, answer));
        }
    }

    /// The stream has ended with this error, then the end, and says nothing any more.
    fn expect_error(&mut self, condition: StreamCondition, input: &str) {
        let ended = StreamEvent::Ended(Ending::Error(condition));
        assert!(self.events.contains(&ended), "{input}: {:?}", self.sent);
        let [.., error, end] = self.sent.as_slice() else {
            panic!("{input}: {:?}", self.sent);
        };
        let start = format!(
            "<stream:error xmlns:stream='http://etherx.jabber.org/streams'>\
             <{} xmlns='urn:ietf:params:xml:ns:xmpp-streams'",
            condition.as_str()
        );
        assert!(error.starts_with(&start), "{input}: {error}");
        assert!(error.ends_with("</stream:error>"), "{input}: {error}");
        assert_eq!(end, CLOSE, "{input}");
        assert!(self.closed);
        let sent = self.sent.len();
        for more in [OPEN, BIND, "", "<", CLOSE] {
            self.say(more);
        }
        assert_eq!(self.sent.len(), sent);
    }
}

fn without_id(text: &str) -> String {
    match text.find(" id='").filter(|_| text.starts_with("<open ")) {
        Some(at) => text[..at].to_owned() + &text[at + 30..],
        None => text.to_owned(),
    }
}

fn auth() -> String {
    crate::support::auth("PLAIN", &format!("\0juliet\0{PASSWORD}"))
}

fn answer(question: Question) -> Answer {
    match question {
        Question::CheckPassword { account, .. } => {
            Answer::Account(account.ok_or(SaslFailure::NotAuthorized))
        }
        Question::Bind {
            account, resource, ..
        } => Answer::Bound(Ok(account
            .with_resource(&resource.unwrap())
            .unwrap()
            .into())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_page_logs_in_binds_talks_and_leaves() {
    let mut page = Page::new(config(), PRIVATE);
    let opened = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' from='im.example.com' \
                  version='1.0' xml:lang='en'/>";
    page.say(OPEN);
    assert_eq!(page.sent[0], opened);
    let features = &page.sent[1];
    assert!(
        features.starts_with(
            "<stream:features xmlns:stream='http://etherx.jabber.org/streams'><mechanisms "
        ),
        "{features}"
    );
    assert!(!features.contains("starttls"), "{features}");
    page.sent.clear();
    page.say(&auth());
    assert_eq!(
        page.sent,
        ["<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"]
    );
    page.sent.clear();
    // RFC 7395 §3.7: a new <open/>, without a <close/>.
    page.say(OPEN);
    assert_eq!(
        page.sent[0],
        opened.replace(" version", " to='juliet@im.example.com' version")
    );
    assert!(page.sent[1].contains("<bind "), "{}", page.sent[1]);
    page.sent.clear();
    page.say(BIND);
    assert_eq!(
        page.sent,
        [
            "<iq xmlns='jabber:client' id='b' type='result'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <jid>juliet@im.example.com/balcony</jid></bind></iq>"
        ]
        .map(|expected| match page.sent[0].contains("type='result' id='b'") {
            true => expected.replace("id='b' type='result'", "type='result' id='b'"),
            false => expected.to_owned(),
        })
    );
    page.say("<message xmlns='jabber:client' to='romeo@example.net'><body>hi</body></message>");
    assert_eq!(page.stanzas.len(), 1);
    assert!(page.stanzas[0].contains("<body>hi</body>"));
    page.sent.clear();
    page.say(CLOSE);
    assert_eq!(page.sent, [CLOSE]);
    assert!(page.events.contains(&StreamEvent::Ended(Ending::ByPeer)));
    assert!(page.closed);
}

#[test]
fn the_language_of_open_is_the_streams() {
    let mut page = Page::new(config(), PRIVATE);
    page.say(&OPEN.replace("/>", " xml:lang='de'/>"));
    assert_eq!(page.stream.lang(), Some("de"));
    assert_eq!(page.stream.host(), Some(HOST));
}

/// security.md, line 2.
#[test]
fn messages_that_are_not_one_element_with_its_namespace_end_the_stream() {
    let bad = [
        ("", BadFormat),
        (" ", BadFormat),
        ("text", BadFormat),
        (" <presence xmlns='jabber:client'/>", BadFormat),
        ("<presence/>", BadFormat),
        ("<x a='xmlns=' xmlns:b='c'/>", BadFormat),
        ("<open to='im.example.com' version='1.0'/>", BadFormat),
        ("<?xml version='1.0'?>", RestrictedXml),
        (
            "<?xml version='1.0'?><open xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
            RestrictedXml,
        ),
        ("<!-- x -->", RestrictedXml),
        ("<!DOCTYPE x>", RestrictedXml),
        (
            "<message xmlns='jabber:client'><!-- x --></message>",
            RestrictedXml,
        ),
        (
            "<message xmlns='jabber:client'>&x;</message>",
            RestrictedXml,
        ),
        (
            "<presence xmlns='jabber:client'/><presence xmlns='jabber:client'/>",
            NotWellFormed,
        ),
        ("<presence xmlns='jabber:client'/>text", NotWellFormed),
        ("<message xmlns='jabber:client'>", NotWellFormed),
        ("<message xmlns='jabber:client'></iq>", NotWellFormed),
        ("</message>", NotWellFormed),
        ("<", NotWellFormed),
        ("<stream:features/>", NotWellFormed),
        (
            "<message xmlns='jabber:client'>\u{1}</message>",
            NotWellFormed,
        ),
    ];
    for (message, condition) in bad {
        for mut page in [
            Page::new(config(), PRIVATE),
            Page::logged_in(),
            Page::bound(),
        ] {
            page.say(message);
            page.expect_error(condition, message);
        }
    }
    for mut page in [Page::logged_in(), Page::bound()] {
        page.input(Input::Bytes(
            b"<message xmlns='jabber:client'>\xC3\x28</message>",
        ));
        page.expect_error(NotWellFormed, "broken UTF-8");
    }
}

#[test]
fn a_stream_begins_with_open_and_is_answered_by_open_before_an_error() {
    let tcp = "<stream:stream xmlns='jabber:client' \
               xmlns:stream='http://etherx.jabber.org/streams' version='1.0'/>";
    for (message, condition) in [
        (tcp, BadFormat),
        ("<presence xmlns='jabber:client'/>", BadFormat),
        ("<open xmlns='jabber:client' version='1.0'/>", BadFormat),
        (&OPEN.replace("im.example.com", "example.org"), HostUnknown),
        (&OPEN.replace("1.0", "0.9"), UnsupportedVersion),
        (&OPEN.replace(" version='1.0'", ""), UnsupportedVersion),
    ] {
        let mut page = Page::new(config(), PRIVATE);
        page.say(message);
        assert_eq!(page.sent.len(), 3, "{:?}", page.sent);
        assert!(page.sent[0].starts_with("<open "), "{}", page.sent[0]);
        page.expect_error(condition, message);
    }
}

#[test]
fn frames_in_the_wrong_place_end_the_stream() {
    for (message, condition) in [
        (OPEN, BadFormat),
        ("<x xmlns='urn:example:x'/>", UnsupportedStanzaType),
        ("<message xmlns='jabber:server'/>", UnsupportedStanzaType),
    ] {
        let mut page = Page::bound();
        page.say(message);
        page.expect_error(condition, message);
    }
    let mut page = Page::new(config(), PRIVATE);
    page.say(OPEN);
    page.say("<presence xmlns='jabber:client'/>");
    page.expect_error(NotAuthorized, "before a login");
}

#[test]
fn messages_beyond_the_limit_end_the_stream() {
    let long = |bytes| format!("<iq xmlns='jabber:client'>{}</iq>", "x".repeat(bytes));
    for (mut page, bytes) in [
        (Page::new(config(), PRIVATE), 10 * 1024),
        (Page::bound(), 256 * 1024),
    ] {
        assert_eq!(page.stream.message_limit(), bytes);
        page.say(&long(bytes));
        page.expect_error(PolicyViolation, "too long");
    }
}

#[test]
fn without_tls_only_those_who_cannot_be_overheard_log_in() {
    let mechanisms = |framing, config: C2sConfig, tls| {
        let mut page = Page::new(config, framing);
        if tls {
            page.input(Input::TlsUp(TlsInfo::default()));
        }
        page.say(OPEN);
        assert!(!page.sent[1].contains("starttls"));
        let offered = page.sent[1].contains("PLAIN");
        page.sent.clear();
        page.say(&auth());
        let refused = page.sent[0] == failure(SaslFailure::EncryptionRequired);
        assert_eq!(refused, !offered, "{:?}", page.sent);
        offered
    };
    let lax = || config_with(|host| host.tls = tercet_stream::TlsPolicy::Optional);
    assert!(!mechanisms(OVERHEARD, config(), false));
    assert!(mechanisms(OVERHEARD, config(), true));
    assert!(mechanisms(PRIVATE, config(), false));
    assert!(mechanisms(OVERHEARD, lax(), false));
}

#[test]
fn starttls_is_refused_in_a_websocket() {
    let mut page = Page::new(config(), OVERHEARD);
    page.say(OPEN);
    page.sent.clear();
    page.say(crate::support::STARTTLS);
    assert_eq!(
        page.sent,
        ["<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", CLOSE]
    );
    assert!(
        page.events
            .contains(&StreamEvent::Ended(Ending::TlsRefused))
    );
}

#[test]
fn messages_that_come_while_an_answer_is_awaited_stay_messages() {
    let mut page = Page::logged_in();
    page.hold = true;
    page.say(BIND);
    page.say("<presence xmlns='jabber:client' id='1'/>");
    page.say("<presence xmlns='jabber:client' id='2'/>");
    assert!(page.stanzas.is_empty());
    page.answer();
    assert_eq!(page.stanzas.len(), 2);
    assert!(page.stanzas[1].contains("id='2'"));
    // Two in one are refused here too.
    let mut page = Page::logged_in();
    page.hold = true;
    page.say(BIND);
    page.say("<presence xmlns='jabber:client'/><presence xmlns='jabber:client'/>");
    page.answer();
    page.expect_error(NotWellFormed, "two in one");
}

/// security.md, line 5.
#[test]
fn what_comes_before_success_is_not_taken_as_after_it() {
    let mut page = Page::new(config(), PRIVATE);
    page.say(OPEN);
    page.hold = true;
    page.say(&auth());
    page.say(OPEN);
    page.answer();
    page.expect_error(PolicyViolation, "too early");
}

#[test]
fn a_silent_page_is_the_drivers_to_ping() {
    let mut page = Page::bound();
    page.now += Duration::from_secs(180);
    page.input(Input::Tick);
    assert!(page.events.contains(&StreamEvent::Silent));
    assert!(page.sent.is_empty(), "{:?}", page.sent);
}

#[test]
fn the_servers_end_is_an_error_and_a_close() {
    let mut page = Page::bound();
    page.input(Input::Close(SystemShutdown.into()));
    page.expect_error(SystemShutdown, "shutdown");
}
