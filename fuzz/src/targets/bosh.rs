//! Requests of BOSH and the sessions they make: a start tag is read the same however much has come behind it, what a body wraps means the same alone,
//! every request is answered once and with a document, and nothing grows without bound.

use std::time::{Duration, Instant};

use tercet_core::{Limits, OwnedElement};
use tercet_stream::bosh::{Config, Exchange, Head, Request, Session, Way, payloads};

use super::same;
use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "bosh",
    run,
    dictionary: &[
        "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh'",
        "<?xml version='1.0'?>",
        "</body>",
        " rid='1'",
        " rid='2'",
        " rid='3'",
        " rid='9007199254740991'",
        " sid='s'",
        " hold='0'",
        " hold='2'",
        " wait='0'",
        " ver='1.6'",
        " ack='1'",
        " pause='1'",
        " type='terminate'",
        " xmpp:restart='true'",
        " key='bfb06a6f113cd6fd3838ab9d300fdb4fe3da2f7d'",
        " newkey='ca393b51b682f61f98e7877d61146407f3d0a770'",
        " content='text/html'",
        "<message xmlns='jabber:client'/>",
        "<p:a xmlns:p='q' p:b='c'/>",
        "/>",
        ">",
        "\0",
        "\u{1}",
    ],
};

/// An exchange by its number; odd ones hang up.
struct Ex(usize);

impl Exchange for Ex {
    fn is_gone(&self) -> bool {
        self.0 % 5 == 3
    }

    fn way(&self) -> Way {
        match self.0 % 7 {
            0 => Way::Unknown,
            1 | 2 => Way::Together(1),
            number => Way::InTurn(number as u64 % 3),
        }
    }
}

/// Requests are separated by NUL; one that begins with U+0001 waits a second for each further such character, and hears from its stream.
fn run(data: &[u8]) {
    let config = Config::default();
    let mut now = Instant::now();
    let mut session: Option<Session<Ex>> = None;
    let mut asked = 0;
    let mut answered = Vec::new();
    for piece in data.split(|b| *b == 0) {
        let said = piece.iter().take_while(|b| **b == 1).count();
        let xml = &piece[said..];
        now += Duration::from_secs(said as u64);
        let Some(request) = read(xml) else { continue };
        let exchange = Ex(asked);
        asked += 1;
        match &mut session {
            Some(session) => session.request(request, exchange, now),
            None => match Session::open(&config, "s".into(), request, exchange, now) {
                Ok(new) => session = Some(new),
                Err((exchange, answer)) => {
                    document(&answer.body);
                    answered.push(exchange.0);
                }
            },
        }
        if let Some(session) = &mut session {
            if said > 0 {
                session.send(b"<message><body>&lt;</body></message>");
            }
            turn(session, now, &mut answered);
        }
    }
    let Some(mut session) = session else { return };
    // Long after, nobody waits any more.
    for _ in 0..8 {
        now += Duration::from_secs(200);
        turn(&mut session, now, &mut answered);
    }
    assert!(session.is_over(), "a session without requests ends");
    answered.sort_unstable();
    let all: Vec<usize> = (0..asked).collect();
    assert_eq!(answered, all, "each request is answered once");
}

fn turn(session: &mut Session<Ex>, now: Instant, answered: &mut Vec<usize>) {
    session.tick(now);
    while let Some(message) = session.next_message() {
        document(&message);
    }
    session.settle(now);
    while let Some((exchange, answer)) = session.next_answer() {
        document(&answer.body);
        answered.push(exchange.0);
        if answer.is_followed && exchange.0 % 2 == 0 {
            session.left(now);
        }
    }
    assert!(session.acknowledged() <= session.accepted());
    assert!(
        session.deadline().is_none_or(|deadline| deadline > now),
        "what is due is done"
    );
}

/// A request, if it is one.
fn read(xml: &[u8]) -> Option<Request> {
    let whole = Head::read(xml);
    for end in 0..xml.len().min(300) {
        match Head::read(&xml[..end]) {
            Ok(None) => {}
            other => assert_eq!(other, whole, "the start tag alone says it"),
        }
    }
    let (head, start) = whole.ok()??;
    let payloads = payloads(&xml[start..], &Limits::BEFORE_LOGIN);
    if let Ok(payloads) = &payloads {
        let body = OwnedElement::parse(&xml[start..], "").expect("it was a document");
        let children = body.root().children();
        let elements = payloads.elements();
        assert_eq!(children.count(), elements.len());
        for (element, child) in elements.iter().zip(body.root().children()) {
            let alone = OwnedElement::parse(element, "").expect("a payload is a document");
            same::elements(alone.root(), child);
        }
    }
    Some(Request { head, payloads })
}

fn document(xml: &[u8]) {
    assert!(
        OwnedElement::parse(xml, "").is_ok(),
        "{}",
        String::from_utf8_lossy(xml)
    );
}
