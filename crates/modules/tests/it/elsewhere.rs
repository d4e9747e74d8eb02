//! Other servers, as the router sees them: what it gives out for them, and what comes from there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tercet_core::{Frame, Limits, Stanza, StanzaError, StreamParser};
use tercet_server::{Elsewhere, Letter};
use tercet_testkit::{Arrival, Client, Peer};

use crate::in_process::{InProcess, block_on};

/// Keeps what it is given.
#[derive(Default)]
pub(crate) struct Mailbag {
    letters: Mutex<Vec<Letter>>,
    /// Bytes above which it has no room; 0: it always has.
    room: AtomicUsize,
}

impl Elsewhere for Mailbag {
    fn send(&self, letter: Letter) {
        self.letters.lock().unwrap().push(letter);
    }

    fn has_room(&self, _: &str, _: &str) -> bool {
        let room = self.room.load(Ordering::Relaxed);
        if room == 0 {
            return true;
        }
        let letters = self.letters.lock().unwrap();
        let waiting: usize = letters.iter().map(|letter| letter.bytes.len()).sum();
        waiting < room
    }
}

impl Mailbag {
    pub(crate) fn take(&self) -> Vec<Letter> {
        std::mem::take(&mut *self.letters.lock().unwrap())
    }

    /// From now on it has room for so many bytes.
    pub(crate) fn bound(&self, bytes: usize) {
        self.room.store(bytes, Ordering::Relaxed);
    }

    /// What goes out, as it is on the stream.
    pub(crate) fn texts(&self) -> Vec<String> {
        let letters = self.take().into_iter();
        letters
            .map(|letter| String::from_utf8(letter.bytes).unwrap())
            .collect()
    }
}

pub(crate) fn juliet() -> (InProcess, Arc<Mailbag>) {
    let client = Client {
        name: "juliet".into(),
        jid: "juliet@localhost".into(),
        password: "password".into(),
        resource: Some("balcony".into()),
    };
    let mut server = InProcess::new(std::slice::from_ref(&client));
    let bag = Arc::new(Mailbag::default());
    assert!(server.server().set_elsewhere(bag.clone()));
    server.connect(&client).unwrap();
    (server, bag)
}

pub(crate) fn from_elsewhere(server: &InProcess, xml: &str) {
    let stream =
        "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>";
    let mut parser = StreamParser::new(Limits::AFTER_LOGIN);
    let bytes = format!("{stream}{xml}");
    let mut input = bytes.as_bytes();
    while let Ok(Some(frame)) = parser.next(&mut input) {
        if let Frame::Stanza(stanza) = frame {
            block_on(
                server
                    .server()
                    .accept_from_elsewhere(stanza, &Arc::default())
                    .wait(),
            );
            server.run_due();
        }
    }
}

pub(crate) fn received(server: &mut InProcess) -> Vec<Stanza> {
    let mut all = Vec::new();
    while let Ok(Arrival::Element(text)) = server.receive("juliet") {
        all.push(Stanza::parse(text.as_bytes()).unwrap());
    }
    all
}

#[test]
fn messages_go_out_with_the_senders_name_and_come_in_as_those_of_the_stream() {
    let (mut server, bag) = juliet();
    server
        .send(
            "juliet",
            "<message to='romeo@example.net' id='1'><body>hi</body></message>",
        )
        .unwrap();
    let sent = bag.texts();
    assert_eq!(sent.len(), 1);
    assert!(
        sent[0].contains("from='juliet@localhost/balcony'"),
        "{sent:?}"
    );
    assert!(sent[0].contains("to='romeo@example.net'") && sent[0].contains("<body>hi</body>"));

    server.send("juliet", "<presence/>").unwrap();
    received(&mut server);
    from_elsewhere(
        &server,
        "<message from='romeo@example.net/x' to='juliet@localhost' type='chat'><body>ho</body></message>",
    );
    let got = received(&mut server);
    assert_eq!(
        got[0].from().unwrap().unwrap().as_str(),
        "romeo@example.net/x"
    );
    assert!(got[0].own_child("body").is_some());
}

#[test]
fn requests_from_elsewhere_are_answered_there() {
    let (server, bag) = juliet();
    let ask = |to: &str, id: &str, payload: &str| {
        from_elsewhere(
            &server,
            &format!(
                "<iq from='romeo@example.net/x' to='{to}' type='get' id='{id}'>{payload}</iq>"
            ),
        );
        bag.texts().concat()
    };
    let answer = ask("localhost", "p", "<ping xmlns='urn:xmpp:ping'/>");
    assert!(
        answer.contains("type='result'") && answer.contains("id='p'"),
        "{answer}"
    );
    assert!(answer.contains("from='localhost'") && answer.contains("to='romeo@example.net/x'"));
    for to in [
        "localhost",
        "nobody@localhost",
        "juliet@localhost/balcony-2",
    ] {
        let answer = ask(to, "u", "<x xmlns='unknown'/>");
        assert!(answer.contains("<service-unavailable "), "{to}: {answer}");
    }
    let answer = ask("juliet@localhost", "r", "<query xmlns='jabber:iq:roster'/>");
    assert!(answer.contains("type='error'"), "{answer}");
    // From a whole server, and badly made.
    from_elsewhere(
        &server,
        "<iq from='example.net' to='localhost' type='get' id='h'><ping xmlns='urn:xmpp:ping'/></iq>",
    );
    assert!(bag.texts().concat().contains("to='example.net'"));
    from_elsewhere(
        &server,
        "<iq from='example.net' to='localhost' type='get' id='h'/>",
    );
    assert!(bag.texts().concat().contains("<bad-request "));
}

#[test]
fn what_can_not_be_brought_there_comes_back_with_its_reason_and_errors_do_not() {
    let (mut server, bag) = juliet();
    server
        .send(
            "juliet",
            "<message to='romeo@example.net' id='1'><body>hi</body></message>",
        )
        .unwrap();
    server
        .send(
            "juliet",
            "<message to='romeo@example.net' id='2' type='error'/>",
        )
        .unwrap();
    for letter in bag.take() {
        let error = StanzaError::remote_server_timeout().text("no answer");
        block_on(server.server().undelivered(&letter, &error).wait());
    }
    let got = received(&mut server);
    assert_eq!(got.len(), 1);
    let text = format!("{:?}", got[0]);
    assert!(
        text.contains("<remote-server-timeout ") && text.contains("no answer"),
        "{text}"
    );
    assert_eq!(got[0].id().as_deref(), Some("1"));
}

#[test]
fn presence_is_shared_with_contacts_elsewhere() {
    let (mut server, bag) = juliet();
    server.send("juliet", "<presence/>").unwrap();
    server
        .send(
            "juliet",
            "<presence to='romeo@example.net' type='subscribe'/>",
        )
        .unwrap();
    let sent = bag.texts();
    assert!(
        sent[0].contains("type='subscribe'") && sent[0].contains("from='juliet@localhost'"),
        "{sent:?}"
    );
    received(&mut server);
    from_elsewhere(
        &server,
        "<presence from='romeo@example.net' to='juliet@localhost' type='subscribed'/>",
    );
    from_elsewhere(
        &server,
        "<presence from='romeo@example.net/x' to='juliet@localhost'><show>away</show></presence>",
    );
    let got = received(&mut server);
    assert!(
        got.iter().any(|stanza| stanza.own_child("show").is_some()),
        "{got:?}"
    );
    // The other direction: asked, granted, shown, and told of every change and of the end.
    from_elsewhere(
        &server,
        "<presence from='romeo@example.net' to='juliet@localhost' type='subscribe'/>",
    );
    server
        .send(
            "juliet",
            "<presence to='romeo@example.net' type='subscribed'/>",
        )
        .unwrap();
    let sent = bag.texts().concat();
    assert!(sent.contains("type='subscribed'"), "{sent}");
    assert!(
        sent.contains("<presence from='juliet@localhost/balcony' to='romeo@example.net'"),
        "{sent}"
    );
    from_elsewhere(
        &server,
        "<presence from='romeo@example.net' to='juliet@localhost' type='probe'/>",
    );
    let sent = bag.texts().concat();
    assert!(
        sent.contains("from='juliet@localhost/balcony' to='romeo@example.net'"),
        "{sent}"
    );
    server
        .send("juliet", "<presence type='unavailable'/>")
        .unwrap();
    assert!(bag.texts().concat().contains("type='unavailable'"));
    // Whoever comes back asks how the contact is.
    server.send("juliet", "<presence/>").unwrap();
    let sent = bag.texts().concat();
    assert!(sent.contains("type='probe'"), "{sent}");
}

#[test]
fn strangers_elsewhere_are_not_shown_who_is_there() {
    let (mut server, bag) = juliet();
    server.send("juliet", "<presence/>").unwrap();
    bag.take();
    for to in ["juliet@localhost", "nobody@localhost"] {
        from_elsewhere(
            &server,
            &format!("<presence from='romeo@example.net' to='{to}' type='probe'/>"),
        );
        let sent = bag.texts();
        assert_eq!(sent.len(), 1, "{sent:?}");
        assert!(sent[0].contains("type='unsubscribed'"), "{sent:?}");
    }
}

#[test]
fn with_whom_a_host_does_not_speak_nothing_is_exchanged_and_senders_are_told() {
    let (mut server, bag) = juliet();
    server.configure("[peers]\ndeny = ['*.net']").unwrap();
    server.send("juliet", "<presence/>").unwrap();
    received(&mut server);
    for (to, denied) in [("romeo@example.net", true), ("romeo@example.org", false)] {
        server
            .send(
                "juliet",
                &format!("<message to='{to}' id='1'><body>hi</body></message>"),
            )
            .unwrap();
        assert_eq!(bag.take().is_empty(), denied);
        let got = received(&mut server);
        assert_eq!(!got.is_empty(), denied);
        if let Some(error) = got.first() {
            let text = format!("{error:?}");
            assert!(text.contains("<not-allowed "), "{text}");
            assert!(
                text.contains("localhost does not speak with example.net"),
                "{text}"
            );
        }
        // What the bounce of a stream's end leaves over comes to nothing.
        for stanza in [
            format!("<message from='{to}/x' to='juliet@localhost'><body>ho</body></message>"),
            format!(
                "<iq from='{to}/x' to='localhost' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
            ),
            format!("<presence from='{to}/x' to='juliet@localhost' type='subscribe'/>"),
        ] {
            from_elsewhere(&server, &stanza);
        }
        assert_eq!(received(&mut server).is_empty(), denied);
        assert_eq!(bag.take().is_empty(), denied);
    }
    // Rooms have the lists of their host.
    server
        .configure("[peers]\nallow = ['example.net']")
        .unwrap();
    for (from, denied) in [("romeo@example.net", false), ("romeo@example.org", true)] {
        from_elsewhere(
            &server,
            &format!(
                "<iq from='{from}/x' to='rooms.localhost' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
            ),
        );
        assert_eq!(bag.take().is_empty(), denied, "{from}");
    }
}
