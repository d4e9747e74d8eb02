//! Conversations of sessions, and what clients do wrong.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tercet_core::Limits;

use super::*;

/// An exchange with its number, and its way; those below another number are broken off.
#[derive(Clone, Debug)]
struct Ex(u64, Rc<Cell<u64>>, Way);

impl Exchange for Ex {
    fn is_gone(&self) -> bool {
        self.0 < self.1.get()
    }

    fn way(&self) -> Way {
        self.2
    }
}

fn read(xml: &str) -> Result<Request, Condition> {
    let (head, start) = Head::read(xml.as_bytes())?.ok_or(Condition::BadRequest)?;
    let payloads = payloads(&xml.as_bytes()[start..], &Limits::AFTER_LOGIN);
    Ok(Request { head, payloads })
}

/// A client and its session. Requests are numbered from 10, exchanges count on.
struct Scene {
    session: Session<Ex>,
    now: Instant,
    exchanges: u64,
    broken: Rc<Cell<u64>>,
    /// Of the requests to come.
    way: Way,
}

const SID: &str = "S";

impl Scene {
    fn open(attributes: &str) -> Scene {
        let now = Instant::now();
        let xml = format!(
            "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' rid='10' to='a.example' \
             xml:lang='en' xmpp:version='1.0' {attributes}/>"
        );
        let broken = Rc::new(Cell::new(0));
        let exchange = Ex(0, broken.clone(), Way::InTurn(1));
        let request = read(&xml).unwrap();
        let session =
            Session::open(&Config::default(), SID.to_owned(), request, exchange, now).unwrap();
        Scene {
            session,
            now,
            exchanges: 0,
            broken,
            way: Way::InTurn(1),
        }
    }

    /// With the stream opened and the first answer given.
    fn opened(attributes: &str) -> Scene {
        let mut scene = Scene::open(attributes);
        scene.session.send(b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' id='i' from='a.example'/><stream:features/>");
        scene.turn();
        scene.session.next_message().unwrap();
        scene
    }

    fn ask(&mut self, rid: u64, attributes: &str, payload: &str) -> Vec<(u64, String)> {
        self.exchanges += 1;
        let xml = format!(
            "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' sid='S' rid='{rid}' \
             {attributes}>{payload}</body>"
        );
        let exchange = Ex(self.exchanges, self.broken.clone(), self.way);
        match read(&xml) {
            Ok(request) => self.session.request(request, exchange, self.now),
            Err(condition) => panic!("{condition:?}: {xml}"),
        }
        self.turn()
    }

    fn hear(&mut self, elements: &str) -> Vec<(u64, String)> {
        self.session.send(elements.as_bytes());
        self.turn()
    }

    /// A request on another connection.
    fn ask_on(&mut self, connection: u64, rid: u64, payload: &str) -> Vec<(u64, String)> {
        self.way = Way::InTurn(connection);
        self.ask(rid, "", payload)
    }

    fn wait(&mut self, seconds: u64) -> Vec<(u64, String)> {
        self.pass(Duration::from_secs(seconds))
    }

    fn pass(&mut self, time: Duration) -> Vec<(u64, String)> {
        self.now += time;
        self.session.tick(self.now);
        self.turn()
    }

    /// What is answered now, without the namespace that all of it has.
    fn turn(&mut self) -> Vec<(u64, String)> {
        self.session.settle(self.now);
        let mut answers = Vec::new();
        while let Some((exchange, answer)) = self.session.next_answer() {
            assert_eq!(answer.status, 200);
            answers.push((exchange.0, short(&answer)));
        }
        answers
    }

    fn messages(&mut self) -> Vec<String> {
        let mut messages = Vec::new();
        while let Some(message) = self.session.next_message() {
            messages.push(String::from_utf8(message).unwrap());
        }
        messages
    }
}

fn short(answer: &Answer) -> String {
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    text.replace(" xmlns='http://jabber.org/protocol/httpbind'", "")
        .replace(" xmlns='jabber:client'", "")
}

fn is(answers: Vec<(u64, String)>, expected: &[(u64, &str)]) {
    let answers: Vec<_> = answers.iter().map(|(n, text)| (*n, &**text)).collect();
    assert_eq!(answers, expected);
}

const END: &str = "<body type='terminate'/>";
const NOT_FOUND: &str = "<body type='terminate' condition='item-not-found'/>";
const VIOLATION: &str = "<body type='terminate' condition='policy-violation'/>";
const BAD: &str = "<body type='terminate' condition='bad-request'/>";
const STANZA: &str = "<presence xmlns='jabber:client'/>";

#[test]
fn a_session_is_agreed_on_in_the_first_answer() {
    let mut scene = Scene::open(
        "ver='1.6' wait='300' hold='1' ack='1' route='xmpp:b.example:9' secure='true' from='u@a.example'",
    );
    assert_eq!(
        scene.messages(),
        [
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='a.example' from='u@a.example' version='1.0' xml:lang='en'/>"
        ]
    );
    scene.session.send(b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' id='i' from='a.example'/><stream:features><bind/></stream:features>");
    is(
        scene.turn(),
        &[(
            0,
            "<body xmlns:xmpp='urn:xmpp:xbosh' xmlns:stream='http://etherx.jabber.org/streams' \
             xmpp:restartlogic='true' xmpp:version='1.0' sid='S' wait='60' requests='2' hold='1' inactivity='60' \
             polling='2' maxpause='120' ack='10' ver='1.6' authid='i' from='a.example'>\
             <stream:features xmlns:stream='http://etherx.jabber.org/streams'><bind/></stream:features></body>",
        )],
    );
}

#[test]
fn values_never_exceed_what_either_side_allows() {
    for (attributes, expected) in [
        (
            "ver='1.6' wait='5' hold='1'",
            "wait='5' requests='2' hold='1'",
        ),
        (
            "ver='1.99' wait='9999' hold='99'",
            "wait='60' requests='3' hold='2'",
        ),
        (
            "ver='1.11' hold='0'",
            "wait='60' requests='1' hold='0' inactivity='64'",
        ),
        ("ver='1.99'", "ver='1.11'"),
        ("ver='2.0'", "ver='1.11'"),
        ("ver='0.9'", "ver='0.9'"),
    ] {
        let mut scene = Scene::open(attributes);
        let answers = scene.hear("<stream:features/>");
        assert!(answers[0].1.contains(expected), "{attributes}: {answers:?}");
    }
}

#[test]
fn one_request_is_held_until_there_is_something_to_say() {
    let mut scene = Scene::opened("ver='1.6' hold='1' wait='60'");
    is(scene.ask(11, "", STANZA), &[]);
    assert_eq!(scene.messages(), [STANZA]);
    is(scene.wait(59), &[]);
    is(
        scene.hear("<iq/><message/>"),
        &[(1, "<body><iq/><message/></body>")],
    );
    is(scene.hear("<message/>"), &[]);
    is(scene.ask(12, "", ""), &[(2, "<body><message/></body>")]);
    is(scene.ask(13, "", ""), &[]);
    is(scene.wait(59), &[]);
    is(scene.wait(1), &[(3, "<body/>")]);
    is(scene.ask(14, "", ""), &[]);
    scene.wait(10);
    // A second one sets the first free; what it brings is told of.
    is(scene.ask(15, "", STANZA), &[(4, "<body ack='15'/>")]);
}

#[test]
fn several_stanzas_come_in_order_each_with_its_namespace() {
    let mut scene = Scene::opened("ver='1.6'");
    scene.ask(
        11,
        "xmlns:c='jabber:client' xmlns:p='x'",
        "<c:iq/> \n<message xmlns='jabber:client' p:a='b'><body>1</body></message>",
    );
    assert_eq!(
        scene.messages(),
        [
            "<c:iq xmlns:c='jabber:client'/>",
            "<message xmlns:p='x' xmlns='jabber:client' p:a='b'><body>1</body></message>"
        ]
    );
}

#[test]
fn requests_out_of_order_wait_for_those_before_them() {
    let mut scene = Scene::opened("ver='1.6' hold='2'");
    is(scene.ask(13, "", "<iq xmlns='c'/>"), &[]);
    is(scene.ask(12, "", "<iq xmlns='b'/>"), &[]);
    assert!(scene.messages().is_empty());
    is(
        scene.ask(11, "", "<iq xmlns='a'/>"),
        &[(3, "<body ack='13'/>")],
    );
    assert_eq!(
        scene.messages(),
        ["<iq xmlns='a'/>", "<iq xmlns='b'/>", "<iq xmlns='c'/>"]
    );
    is(scene.hear("<iq/>"), &[(2, "<body ack='13'><iq/></body>")]);
    is(scene.hear("<iq/>"), &[(1, "<body><iq/></body>")]);
}

const MOMENT: Duration = Duration::from_millis(50);
const SHORT: Duration = Duration::from_millis(49);

/// Two requests wait on two connections, and there is something to say to both, the first of which is told.
fn two_to_tell() -> Scene {
    let mut scene = Scene::opened("ver='1.6' hold='2'");
    scene.ask_on(1, 11, STANZA);
    scene.ask_on(2, 12, STANZA);
    is(scene.hear("<iq/>"), &[(1, "<body ack='12'><iq/></body>")]);
    is(scene.hear("<message/>"), &[]);
    scene
}

#[test]
fn no_answer_overtakes_the_one_before_on_another_connection() {
    let mut scene = two_to_tell();
    scene.session.left(scene.now);
    let until = scene.now + MOMENT;
    assert_eq!(scene.session.deadline(), Some(until));
    is(scene.hear("<presence/>"), &[]);
    is(scene.pass(SHORT), &[]);
    is(
        scene.pass(MOMENT - SHORT),
        &[(2, "<body><message/><presence/></body>")],
    );
    // Nothing is due any more because of that.
    is(scene.ask_on(1, 13, STANZA), &[]);
    scene.session.left(scene.now);
    scene.pass(MOMENT);
    assert!(scene.session.deadline() > Some(scene.now + MOMENT));
}

#[test]
fn the_time_between_answers_begins_when_the_first_has_left() {
    let mut scene = two_to_tell();
    is(scene.pass(SHORT * 10), &[]);
    scene.session.left(scene.now);
    is(scene.pass(SHORT), &[]);
    scene.session.left(scene.now);
    is(
        scene.pass(MOMENT - SHORT),
        &[(2, "<body><message/></body>")],
    );
    // One that never leaves is not waited for without end.
    let mut scene = two_to_tell();
    is(scene.pass(SHORT * 20), &[]);
    is(scene.wait(1), &[(2, "<body><message/></body>")]);
}

#[test]
fn a_request_tells_that_the_answers_before_have_come() {
    // Three at a time: the fourth was sent behind the answer to the first.
    let mut scene = two_to_tell();
    is(scene.ask_on(3, 13, STANZA), &[]);
    is(
        scene.ask_on(1, 14, STANZA),
        &[(2, "<body ack='14'><message/></body>")],
    );
    // One more may end the session.
    let mut scene = two_to_tell();
    scene.ask_on(3, 13, STANZA);
    is(scene.ask(14, "type='terminate'", ""), &[]);
    // Or the number that the client says it has.
    let mut scene = Scene::opened("ver='1.6' hold='2' ack='1'");
    scene.ask_on(1, 11, STANZA);
    scene.ask_on(2, 12, STANZA);
    is(scene.hear("<iq/>"), &[(1, "<body ack='12'><iq/></body>")]);
    is(scene.hear("<iq/>"), &[]);
    is(
        scene.ask(13, "ack='11'", STANZA),
        &[(2, "<body ack='13'><iq/></body>")],
    );
}

#[test]
fn answers_on_one_connection_follow_each_other_at_once() {
    for (way, bytes, at_once) in [
        (Way::InTurn(1), 100_000, true),
        (Way::Together(1), 16_000, true),
        // Another may go on while parts of this one wait.
        (Way::Together(1), 20_000, false),
        (Way::Unknown, 1, false),
    ] {
        let mut scene = Scene::opened("ver='1.6'");
        scene.way = way;
        scene.ask(11, "", STANZA);
        scene.hear(&format!("<message>{}</message>", "x".repeat(bytes)));
        scene.ask(12, "", STANZA);
        let answers = scene.hear("<message/>").len();
        assert_eq!(answers == 1, at_once, "{way:?}, {bytes}");
    }
}

#[test]
fn an_answer_with_nothing_in_it_is_not_waited_for() {
    let mut scene = Scene::opened("ver='1.6' hold='1'");
    scene.ask_on(1, 11, STANZA);
    is(scene.ask_on(2, 12, STANZA), &[(1, "<body ack='12'/>")]);
    is(scene.hear("<iq/>"), &[(2, "<body><iq/></body>")]);
    // But it does not overtake one with something.
    scene.ask_on(1, 13, STANZA);
    is(scene.ask_on(2, 14, STANZA), &[(3, "<body ack='14'/>")]);
    is(scene.hear("<iq/>"), &[(4, "<body><iq/></body>")]);
    scene.ask_on(1, 15, STANZA);
    is(scene.pass(MOMENT), &[]);
    scene.session.left(scene.now);
    is(scene.ask(16, "pause='5'", ""), &[]);
    is(
        scene.pass(MOMENT),
        &[(5, "<body ack='16'/>"), (6, "<body/>")],
    );
}

#[test]
fn an_answer_that_is_given_again_is_not_overtaken_either() {
    let mut scene = two_to_tell();
    scene.session.left(scene.now);
    is(scene.pass(SHORT), &[]);
    is(
        scene.ask_on(3, 11, STANZA),
        &[(3, "<body ack='12'><iq/></body>")],
    );
    scene.session.left(scene.now);
    is(scene.pass(SHORT), &[]);
    is(
        scene.pass(MOMENT - SHORT),
        &[(2, "<body><message/></body>")],
    );
}

#[test]
fn the_end_does_not_overtake_what_was_said_before() {
    let mut scene = two_to_tell();
    scene.session.close();
    is(scene.turn(), &[]);
    scene.session.left(scene.now);
    assert_eq!(scene.session.deadline(), Some(scene.now + MOMENT));
    is(
        scene.pass(MOMENT),
        &[(2, "<body type='terminate'><message/></body>")],
    );
}

#[test]
fn a_lost_answer_is_given_again_as_it_was() {
    let mut scene = Scene::opened("ver='1.6'");
    scene.ask(11, "", STANZA);
    is(scene.hear("<message/>"), &[(1, "<body><message/></body>")]);
    scene.messages();
    is(scene.ask(11, "", STANZA), &[(2, "<body><message/></body>")]);
    // The stream does not get it again.
    assert!(scene.messages().is_empty());
    scene.ask(12, "", "");
    is(scene.ask(11, "", STANZA), &[(4, "<body><message/></body>")]);
    // One that is not answered yet is answered here.
    is(scene.ask(12, "", ""), &[(3, "<body type='error'/>")]);
    is(scene.hear("<iq/>"), &[(5, "<body><iq/></body>")]);
}

#[test]
fn what_is_too_old_to_be_given_again_ends_the_session() {
    let mut scene = Scene::opened("ver='1.6'");
    for rid in 11..=14 {
        scene.ask(rid, "", STANZA);
        scene.hear("<message/>");
    }
    scene.ask(15, "", "");
    is(scene.ask(11, "", STANZA), &[(6, NOT_FOUND), (5, NOT_FOUND)]);
    assert!(scene.session.is_over());
    is(scene.ask(16, "", ""), &[(7, NOT_FOUND)]);
}

#[test]
fn acknowledged_answers_are_not_kept() {
    let mut scene = Scene::opened("ver='1.6' ack='1'");
    scene.ask(11, "", STANZA);
    scene.hear("<message/>");
    assert_eq!(scene.session.accepted() - scene.session.acknowledged(), 32);
    scene.ask(12, "ack='10'", STANZA);
    is(scene.ask(11, "", STANZA), &[(3, "<body><message/></body>")]);
    scene.hear("<message/>");
    scene.ask(13, "", STANZA);
    assert_eq!(scene.session.accepted(), scene.session.acknowledged());
    is(scene.ask(12, "", STANZA), &[(5, NOT_FOUND), (4, NOT_FOUND)]);
}

#[test]
fn a_client_that_does_not_acknowledge_has_what_its_numbers_say() {
    let mut scene = Scene::opened("ver='1.6'");
    let first = scene.session.accepted();
    for rid in 11..=13 {
        scene.ask(rid, "", STANZA);
        scene.hear("<message/>");
        let known = if rid == 13 { first } else { 0 };
        assert_eq!(scene.session.acknowledged(), known, "{rid}");
    }
}

#[test]
fn a_client_is_asked_for_requests_until_it_is_known_what_it_has() {
    for (attributes, more) in [("ver='1.6'", 2), ("ver='1.6' ack='1'", 0)] {
        let mut scene = Scene::opened(attributes);
        scene.ask(11, "", STANZA);
        is(scene.hear("<message/>"), &[(1, "<body><message/></body>")]);
        scene.session.await_acknowledgement();
        for number in 2..2 + more {
            is(scene.ask(number + 10, "", ""), &[(number, "<body/>")]);
        }
        is(scene.ask(more + 12, "", ""), &[]);
        assert_eq!(scene.session.accepted(), scene.session.acknowledged());
    }
}

/// security.md, line 12.
#[test]
fn a_number_beyond_the_window_ends_the_session() {
    for (rid, attributes) in [
        (13, ""),
        (14, "type='terminate'"),
        (14, "pause='1'"),
        (9, ""),
        (0, ""),
        (9_007_199_254_740_991, ""),
    ] {
        let mut scene = Scene::opened("ver='1.6'");
        is(scene.ask(rid, attributes, STANZA), &[(1, NOT_FOUND)]);
        assert!(scene.session.is_over(), "{rid}");
        assert!(scene.messages().is_empty());
    }
}

#[test]
fn one_more_request_may_pause_or_end() {
    for attributes in ["type='terminate'", "pause='5'"] {
        let mut scene = Scene::opened("ver='1.6' hold='1'");
        is(scene.ask(13, attributes, ""), &[]);
        is(scene.ask(12, "", STANZA), &[]);
        let answers = scene.ask(11, "", STANZA);
        assert!(answers.iter().all(|(_, text)| !text.contains("condition")));
    }
}

/// security.md, line 12.
#[test]
fn keys_have_to_follow_one_another() {
    // The example of XEP-0124 §15.4 and its hash.
    const NEW: &str = "newkey='ca393b51b682f61f98e7877d61146407f3d0a770'";
    const KEY: &str = "key='bfb06a6f113cd6fd3838ab9d300fdb4fe3da2f7d'";
    let mut scene = Scene::opened(&format!("ver='1.6' {NEW}"));
    is(scene.ask(11, KEY, STANZA), &[]);
    // A copy is a copy with its key.
    is(scene.ask(11, KEY, STANZA), &[(1, "<body type='error'/>")]);
    is(
        scene.ask(12, KEY, STANZA),
        &[(3, NOT_FOUND), (2, NOT_FOUND)],
    );
    assert_eq!(scene.messages().len(), 1);
    for key in ["", "key='x'", NEW] {
        let mut scene = Scene::opened(&format!("ver='1.6' {NEW}"));
        is(scene.ask(11, key, STANZA), &[(1, NOT_FOUND)]);
        assert!(scene.messages().is_empty());
    }
    let mut scene = Scene::opened(&format!("ver='1.6' {NEW}"));
    scene.ask(11, KEY, STANZA);
    is(scene.ask(11, "", STANZA), &[(2, NOT_FOUND), (1, NOT_FOUND)]);
}

#[test]
fn a_pause_frees_all_requests_and_is_as_long_as_asked() {
    let mut scene = Scene::opened("ver='1.6'");
    scene.ask(11, "", "");
    scene.wait(5);
    is(
        scene.ask(12, "pause='100'", ""),
        &[(1, "<body ack='12'/>"), (2, "<body/>")],
    );
    // Its answer has nothing in it.
    is(scene.hear("<message/>"), &[]);
    is(scene.wait(99), &[]);
    is(scene.ask(13, "", ""), &[(3, "<body><message/></body>")]);
    scene.wait(60);
    assert!(scene.session.is_over());

    let mut scene = Scene::opened("ver='1.6'");
    scene.ask(11, "pause='10'", "");
    scene.wait(10);
    assert!(scene.session.is_over());

    let mut scene = Scene::opened("ver='1.6'");
    is(scene.ask(11, "pause='121'", ""), &[(1, VIOLATION)]);
}

#[test]
fn a_session_without_requests_ends() {
    let mut scene = Scene::opened("ver='1.6'");
    scene.wait(59);
    assert!(!scene.session.is_over());
    assert_eq!(
        scene.session.deadline(),
        Some(scene.now + Duration::from_secs(1))
    );
    scene.wait(1);
    assert!(scene.session.is_over());
    is(scene.ask(11, "", ""), &[(1, NOT_FOUND)]);
    // Requests whose turn does not come are none.
    let mut scene = Scene::opened("ver='1.6'");
    scene.ask(12, "", "");
    is(scene.wait(60), &[(1, NOT_FOUND)]);
}

/// security.md, line 12.
#[test]
fn empty_requests_come_no_faster_than_agreed() {
    // Polling.
    let mut scene = Scene::opened("ver='1.6' hold='0'");
    scene.wait(2);
    is(scene.ask(11, "", ""), &[(1, "<body/>")]);
    scene.wait(2);
    is(scene.ask(12, "", ""), &[(2, "<body/>")]);
    is(scene.ask(13, "", STANZA), &[(3, "<body/>")]);
    scene.hear("<message/>");
    is(scene.ask(14, "", ""), &[(4, "<body><message/></body>")]);
    is(scene.ask(15, "", ""), &[(5, "<body/>")]);
    scene.wait(1);
    is(scene.ask(16, "", ""), &[(6, VIOLATION)]);
    // One too many that is held, and again.
    let mut scene = Scene::opened("ver='1.6'");
    scene.ask(11, "", "");
    scene.wait(2);
    is(scene.ask(12, "", ""), &[(1, "<body ack='12'/>")]);
    scene.wait(1);
    is(scene.ask(13, "", ""), &[(2, "<body ack='13'/>")]);
    scene.wait(1);
    is(scene.ask(14, "", ""), &[(4, VIOLATION), (3, VIOLATION)]);
    // But not where nobody waits for the one before.
    let mut scene = Scene::opened("ver='1.6'");
    for rid in 11..=20 {
        scene.broken.set(rid - 10);
        assert!(scene.ask(rid, "", "").len() < 2);
    }
}

#[test]
fn nothing_is_said_to_who_has_hung_up() {
    let mut scene = Scene::opened("ver='1.6'");
    scene.ask(11, "", "");
    scene.broken.set(2);
    is(scene.hear("<message/>"), &[]);
    // The next request gets it.
    is(
        scene.ask(12, "", ""),
        &[(1, "<body ack='12'/>"), (2, "<body><message/></body>")],
    );
    // Or the same again.
    scene.ask(13, "", STANZA);
    scene.broken.set(4);
    is(scene.hear("<message/>"), &[]);
    is(
        scene.ask(13, "", STANZA),
        &[(3, "<body type='error'/>"), (4, "<body><message/></body>")],
    );
    // A page that was loaded again sends two, and they overtake each other.
    scene.ask(14, "", "");
    scene.broken.set(6);
    is(scene.ask(16, "", STANZA), &[]);
    scene.session.request(
        read(
            "<body xmlns='http://jabber.org/protocol/httpbind' sid='S' rid='15'>\
             <iq xmlns='jabber:client'/></body>",
        )
        .unwrap(),
        Ex(7, scene.broken.clone(), Way::InTurn(1)),
        scene.now,
    );
    is(
        scene.hear("<iq/>"),
        &[(5, "<body ack='15'/>"), (7, "<body ack='16'><iq/></body>")],
    );
    // The end waits as well.
    scene.broken.set(7);
    scene.session.close();
    is(scene.turn(), &[]);
    is(scene.ask(17, "", ""), &[(6, "<body ack='17'/>"), (7, END)]);
}

#[test]
fn repeats_are_bounded() {
    let mut scene = Scene::opened("ver='1.6'");
    scene.ask(11, "", "");
    for _ in 0..16 {
        assert_eq!(scene.ask(11, "", "").len(), 1);
    }
    is(scene.ask(11, "", ""), &[(18, VIOLATION), (17, VIOLATION)]);
}

#[test]
fn the_client_ends_with_what_it_still_has_to_say() {
    let mut scene = Scene::opened("ver='1.6'");
    scene.ask(11, "", "");
    scene.session.send(b"");
    let answers = scene.ask(12, "type='terminate'", STANZA);
    is(answers, &[(1, "<body ack='12'/>")]);
    assert_eq!(
        scene.messages(),
        [
            STANZA,
            "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"
        ]
    );
    scene
        .session
        .send(b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>");
    scene.session.close();
    is(scene.turn(), &[(2, END)]);
    assert!(scene.session.is_over());
}

#[test]
fn the_stream_ends_with_its_error_behind_all_it_had_to_say() {
    let mut scene = Scene::opened("ver='1.6'");
    scene.session.send(
        b"<message/><stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    );
    scene.session.close();
    is(scene.turn(), &[]);
    assert!(!scene.session.is_over());
    is(
        scene.ask(11, "", ""),
        &[(
            1,
            "<body type='terminate' condition='remote-stream-error'><message/>\
             <stream:error xmlns:stream='http://etherx.jabber.org/streams'>\
             <conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></body>",
        )],
    );
    assert!(scene.session.is_over());
}

#[test]
fn errors_that_are_the_sessions_own_have_their_condition() {
    let text = |condition: &str| {
        format!(
            "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
        )
    };
    for (error, first, later) in [
        ("host-unknown", "host-unknown", "remote-stream-error"),
        (
            "improper-addressing",
            "improper-addressing",
            "remote-stream-error",
        ),
        ("system-shutdown", "system-shutdown", "system-shutdown"),
        ("reset", "remote-stream-error", "remote-stream-error"),
    ] {
        let mut scene = Scene::open("ver='1.6'");
        let answers = scene.hear(&text(error));
        assert!(
            answers[0].1.contains(&format!("condition='{first}'")),
            "{answers:?}"
        );
        let mut scene = Scene::opened("ver='1.6'");
        scene.ask(11, "", "");
        let answers = scene.hear(&text(error));
        assert!(
            answers[0].1.contains(&format!("condition='{later}'")),
            "{answers:?}"
        );
    }
}

#[test]
fn a_restart_opens_the_stream_anew_and_nothing_else() {
    for restart in ["true", "1"] {
        let mut scene = Scene::opened("ver='1.6'");
        scene.ask(
            11,
            &format!("to='a.example' xmpp:restart='{restart}'"),
            STANZA,
        );
        assert_eq!(
            scene.messages(),
            ["<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='a.example' version='1.0'/>"]
        );
        let answers = scene
            .hear("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' id='j'/><stream:features/>");
        is(
            answers,
            &[(
                1,
                "<body><stream:features xmlns:stream='http://etherx.jabber.org/streams'/></body>",
            )],
        );
    }
}

#[test]
fn much_comes_in_several_answers() {
    let mut scene = Scene::opened("ver='1.6'");
    let big = format!("<message>{}</message>", "x".repeat(100_000));
    scene.hear(&big.repeat(3));
    for rid in 11..=13 {
        assert!(scene.session.unsent() > 0);
        let answers = scene.ask(rid, "", STANZA);
        assert_eq!(answers.len(), 1);
        assert!(answers[0].1.len() < 110_000);
    }
    assert_eq!(scene.session.unsent(), 0);
}

/// security.md, lines 11 and 12.
#[test]
fn a_stream_that_is_behind_holds_the_client_back() {
    let mut scene = Scene::opened("ver='1.6'");
    let big = format!(
        "<message xmlns='jabber:client'>{}</message>",
        "x".repeat(100_000)
    );
    is(scene.ask(11, "", &big), &[]);
    is(scene.ask(12, "", &big), &[]);
    // Both are held though one is agreed; the time for it does not run either.
    is(scene.wait(100), &[]);
    assert_eq!(scene.session.deadline(), None);
    scene.messages();
    is(scene.turn(), &[(1, "<body ack='12'/>"), (2, "<body/>")]);
    scene.ask(13, "", &big);
    scene.ask(14, "", &big);
    is(
        scene.ask(15, "", STANZA),
        &[(5, VIOLATION), (3, VIOLATION), (4, VIOLATION)],
    );
    // What came in order before is not lost.
    assert_eq!(scene.messages().len(), 2);
}

/// security.md, lines 1, 2 and 12.
#[test]
fn what_is_wrong_with_a_body_ends_its_session() {
    let mut scene = Scene::opened("ver='1.6'");
    is(scene.ask(11, "", "text"), &[(1, BAD)]);
    assert!(scene.session.is_over());
    let deep = "<a>".repeat(100) + &"</a>".repeat(100);
    let long = "x".repeat(300_000);
    for (payload, expected) in [
        ("<a", BAD),
        ("<a></b>", BAD),
        ("<a b='1' b='2'/>", BAD),
        ("<p:a/>", BAD),
        ("<!-- -->", BAD),
        ("<?a b?>", BAD),
        ("<a>&b;</a>", BAD),
        ("<a>&#0;</a>", BAD),
        ("<![CDATA[x]]>", BAD),
        ("</body><body>", BAD),
        (&deep, VIOLATION),
        (&format!("<a>{long}</a>"), VIOLATION),
    ] {
        let mut scene = Scene::opened("ver='1.6'");
        is(scene.ask(11, "", payload), &[(1, expected)]);
        assert!(scene.messages().is_empty());
    }
}

/// security.md, lines 1, 2 and 12.
#[test]
fn what_is_no_request_belongs_to_no_session() {
    let ns = "xmlns='http://jabber.org/protocol/httpbind'";
    for (xml, expected) in [
        ("x", Condition::BadRequest),
        ("<a/>", Condition::BadRequest),
        ("<body rid='1'/>", Condition::BadRequest),
        ("<!DOCTYPE a>", Condition::BadRequest),
        ("<!-- --><body/>", Condition::BadRequest),
        ("<?a?><body/>", Condition::BadRequest),
        (
            "<?xml version='1.0' encoding='utf-16'?><body/>",
            Condition::BadRequest,
        ),
        ("</body>", Condition::BadRequest),
        ("<body", Condition::BadRequest),
        (&format!("<body {ns}/>"), Condition::BadRequest),
        (&format!("<body {ns} rid=''/>"), Condition::BadRequest),
        (&format!("<body {ns} rid='-1'/>"), Condition::BadRequest),
        (&format!("<body {ns} rid='+1'/>"), Condition::BadRequest),
        (&format!("<body {ns} rid='1 '/>"), Condition::BadRequest),
        (
            &format!("<body {ns} rid='9007199254740992'/>"),
            Condition::BadRequest,
        ),
        (
            &format!("<body {ns} rid='99999999999999999999999'/>"),
            Condition::BadRequest,
        ),
        (
            &format!("<body {ns} rid='1' wait='x'/>"),
            Condition::BadRequest,
        ),
        (
            &format!("<body {ns} rid='1' hold='4294967296'/>"),
            Condition::BadRequest,
        ),
        (
            &format!("<body {ns} rid='1' ver='1'/>"),
            Condition::BadRequest,
        ),
        (
            &format!("<body {ns} rid='1' type='other'/>"),
            Condition::BadRequest,
        ),
        (
            &format!("<body {ns} rid='1' rid='1'/>"),
            Condition::BadRequest,
        ),
        (
            &format!("<body {ns} rid='1' a='{}'/>", "x".repeat(HEAD_BYTES)),
            Condition::PolicyViolation,
        ),
        (&" ".repeat(HEAD_BYTES), Condition::PolicyViolation),
    ] {
        assert_eq!(read(xml).err(), Some(expected), "{xml}");
    }
    for good in [
        format!("<?xml version='1.0' encoding='UTF-8'?>\n<body {ns} rid='1'></body>\n"),
        "\n<b:body rid=\"1\" xmlns:b='http://jabber.org/protocol/httpbind' x='>' ></b:body>".into(),
    ] {
        assert_eq!(
            read(&good).unwrap().payloads,
            Ok(Payloads::default()),
            "{good}"
        );
    }
}

#[test]
fn a_request_is_read_as_soon_as_its_start_tag_is_there() {
    let xml = "<?xml version='1.0'?> <body xmlns='http://jabber.org/protocol/httpbind' rid='1' sid='a>b'>";
    for end in 0..xml.len() {
        assert_eq!(Head::read(&xml.as_bytes()[..end]), Ok(None), "{end}");
    }
    let (head, start) = Head::read(xml.as_bytes()).unwrap().unwrap();
    assert_eq!(head.sid.as_deref(), Some("a>b"));
    assert!(xml[start..].starts_with("<body"));
}

#[test]
fn what_a_browser_would_show_is_not_sent_as_such() {
    let open = |attributes: &str| {
        let xml =
            format!("<body xmlns='http://jabber.org/protocol/httpbind' rid='1' {attributes}/>");
        let exchange = Ex(0, Rc::default(), Way::Unknown);
        let request = read(&xml).unwrap();
        let session = Session::open(
            &Config::default(),
            SID.into(),
            request,
            exchange,
            Instant::now(),
        );
        let mut session = session.map_err(|(_, answer)| answer)?;
        session.settle(Instant::now() + Duration::from_secs(60));
        Ok::<_, Answer>(session.next_answer().unwrap().1.content_type)
    };
    assert_eq!(open("ver='1.6'").unwrap(), "text/xml; charset=utf-8");
    assert_eq!(
        open("content='text/plain;charset=UTF-8'").unwrap(),
        "text/plain; charset=utf-8"
    );
    let refused = open("ver='1.6' content='text/html'").unwrap_err();
    assert_eq!((refused.status, &*short(&refused)), (200, BAD));
    assert_eq!(open("content='text/html'").unwrap_err().status, 400);
}

#[test]
fn a_client_without_a_version_is_told_by_http() {
    let mut scene = Scene::opened("wait='60'");
    let exchange = Ex(1, Rc::default(), Way::Unknown);
    let xml = "<body xmlns='http://jabber.org/protocol/httpbind' sid='S' rid='99'/>";
    scene
        .session
        .request(read(xml).unwrap(), exchange, scene.now);
    assert_eq!(scene.session.next_answer().unwrap().1.status, 404);
}

#[test]
fn names_of_sessions_differ_by_their_seed() {
    let name = session_name([1; 32]);
    assert_eq!(name.len(), 24);
    assert_ne!(name, session_name([2; 32]));
}
