//! Archives page completely, both ways, as fast as the client reads; old messages go, and all with the account (XEP-0313).

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tercet_core::{BareJid, OwnedElement, Stanza, ns};
use tercet_modules::mam::{ARCHIVE, ARCHIVE_KEEP, By, Keep, keep, keep_to_retention, kept};
use tercet_server::{Archiving, HostInfo, Outbox, Receipt, Routed, Session, Taken};
use tercet_store::{ArchiveEntry, ArchiveQuery, Batch};
use tercet_testkit::{Arrival, Client, Peer};

use crate::in_process::{InProcess, block_on};

const JULIET: &str = "juliet@localhost";
const DAY_MS: u64 = 86_400_000;

/// A server on which Romeo has sent `messages` to Juliet, who is there.
fn server(messages: impl Iterator<Item = String>) -> InProcess {
    let clients = ["romeo", "juliet"].map(|name| Client {
        name: name.into(),
        jid: format!("{name}@localhost"),
        password: "password".into(),
        resource: Some(name.into()),
    });
    let mut server = InProcess::new(&clients);
    for client in &clients {
        server.connect(client).unwrap();
    }
    for body in messages {
        let to = format!("{JULIET}/juliet");
        let xml = format!("<message type='chat' to='{to}'><body>{body}</body></message>");
        server.send("romeo", &xml).unwrap();
    }
    server
}

fn numbers(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| number.to_string())
}

fn bind(server: &InProcess, outbox_bytes: usize) -> Arc<Session> {
    let outbox = Arc::new(Outbox::new(outbox_bytes));
    let account = BareJid::parse(JULIET).unwrap();
    block_on(server.server().bind(&account, None, outbox, None)).unwrap()
}

fn take(session: &Session) -> Option<Taken> {
    let mut cx = Context::from_waker(Waker::noop());
    match session.outbox().poll_take(&mut cx) {
        Poll::Ready(taken) => Some(taken),
        Poll::Pending => None,
    }
}

/// Lets Juliet's `session` ask, and reads all that comes, as a client would; returns it as one element.
fn ask(server: &InProcess, session: &Arc<Session>, iq: &str) -> OwnedElement {
    let stanza = Stanza::parse(iq.as_bytes()).unwrap();
    let mut routed = server.server().accept(session, stanza);
    let mut received = b"<all>".to_vec();
    loop {
        let done = match &mut routed {
            Routed::Done => true,
            Routed::Later(rest) => {
                let mut cx = Context::from_waker(Waker::noop());
                rest.as_mut().poll(&mut cx).is_ready()
            }
        };
        while let Some(taken) = take(session) {
            assert!(taken.end.is_none(), "the session is not ended");
            received.extend_from_slice(&taken.bytes);
            taken.receipts.into_iter().for_each(Receipt::written);
        }
        if done {
            received.extend_from_slice(b"</all>");
            return OwnedElement::parse(&received, ns::CLIENT).unwrap();
        }
    }
}

/// One answer to a query: the bodies in the order in which they came, first and last id, and whether it is complete.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    bodies: Vec<String>,
    ids: Vec<String>,
    ends: Option<(String, String)>,
    complete: bool,
}

fn query(server: &InProcess, session: &Arc<Session>, content: &str) -> Answer {
    let mam = "urn:xmpp:mam:2";
    let all = ask(
        server,
        session,
        &format!("<iq type='set' id='q'><query xmlns='{mam}'>{content}</query></iq>"),
    );
    let (mut bodies, mut ids) = (Vec::new(), Vec::new());
    for message in all.root().children().filter(|c| c.name() == "message") {
        let result = message.child("result", mam).unwrap();
        ids.push(result.attr("id").unwrap().into_owned());
        let forwarded = result.child("forwarded", "urn:xmpp:forward:0").unwrap();
        let message = forwarded.child("message", ns::CLIENT).unwrap();
        bodies.push(
            message
                .child("body", ns::CLIENT)
                .unwrap()
                .text()
                .into_owned(),
        );
    }
    let iq = all.root().child("iq", ns::CLIENT).unwrap();
    let fin = iq.child("fin", mam).expect("a result");
    let rsm = "http://jabber.org/protocol/rsm";
    let set = fin.child("set", rsm).unwrap();
    let end = |name| set.child(name, rsm).map(|e| e.text().into_owned());
    Answer {
        bodies,
        ids,
        ends: end("first").zip(end("last")),
        complete: fin.attr("complete").as_deref() == Some("true"),
    }
}

fn page(content: &str) -> String {
    format!("<set xmlns='http://jabber.org/protocol/rsm'>{content}</set>")
}

fn form(fields: &str) -> String {
    format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>{fields}</x>"
    )
}

fn field(var: &str, values: &[&str]) -> String {
    let values: String = values
        .iter()
        .map(|v| format!("<value>{v}</value>"))
        .collect();
    format!("<field var='{var}'>{values}</field>")
}

fn bodies(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[test]
fn paging_forwards_and_backwards_shows_each_message_once() {
    let server = server(numbers(25));
    let session = bind(&server, 1 << 20);
    let (mut forwards, mut backwards) = (Vec::new(), Vec::new());
    let mut after = String::new();
    loop {
        let answer = query(&server, &session, &page(&format!("<max>10</max>{after}")));
        assert_eq!(answer.ids.first(), answer.ends.as_ref().map(|e| &e.0));
        forwards.extend(answer.bodies);
        if answer.complete {
            break;
        }
        after = format!("<after>{}</after>", answer.ends.unwrap().1);
    }
    let mut before = "<before/>".to_owned();
    loop {
        let answer = query(&server, &session, &page(&format!("<max>10</max>{before}")));
        backwards.splice(0..0, answer.bodies);
        if answer.complete {
            break;
        }
        before = format!("<before>{}</before>", answer.ends.unwrap().0);
    }
    assert_eq!(forwards, bodies(0..25));
    assert_eq!(backwards, bodies(0..25));
}

#[test]
fn ids_bound_and_name_messages() {
    let server = server(numbers(10));
    let session = bind(&server, 1 << 20);
    let all = query(&server, &session, "").ids;
    let ask = |content: String| query(&server, &session, &content);
    let between = form(&(field("after-id", &[&all[2]]) + &field("before-id", &[&all[6]])));
    let answer = ask(between.clone());
    assert_eq!((answer.bodies, answer.complete), (bodies(3..6), true));
    let last = ask(between.clone() + &page("<max>2</max><before/>"));
    assert_eq!((last.bodies, last.complete), (bodies(4..6), false));
    let flipped = ask(between + "<flip-page/>");
    assert_eq!(flipped.bodies, ["5", "4", "3"]);
    assert_eq!(flipped.ends, Some((all[3].clone(), all[5].clone())));
    let named = form(&field("ids", &[&all[7], &all[1], &all[7]]));
    let answer = ask(named.clone());
    assert_eq!(
        (answer.bodies, answer.complete),
        (vec!["1".into(), "7".into()], true)
    );
    let one = ask(named + &page("<max>1</max><before/>"));
    assert_eq!((one.bodies, one.complete), (vec!["7".into()], false));
    let nothing = ask(page("<max>0</max>"));
    assert_eq!((nothing.bodies.len(), nothing.complete), (0, false));
    let search = ask(form(&field("{urn:xmpp:fulltext:0}fulltext", &["7"])));
    assert_eq!((search.bodies, search.complete), (vec!["7".into()], true));
}

#[test]
fn a_page_larger_than_the_outbox_comes_whole_and_ends_at_its_bytes() {
    let body = "x".repeat(100_000);
    let server = server(std::iter::repeat_n(body, 20));
    let session = bind(&server, 300_000);
    let first = query(&server, &session, &page("<max>250</max>"));
    assert_eq!((first.bodies.len(), first.complete), (11, false));
    let after = format!("<max>250</max><after>{}</after>", first.ends.unwrap().1);
    let second = query(&server, &session, &page(&after));
    assert_eq!((second.bodies.len(), second.complete), (9, true));
}

#[test]
fn a_search_goes_through_all_of_an_archive() {
    let server = server(numbers(2_500));
    let session = bind(&server, 1 << 20);
    let search = form(&field("{urn:xmpp:fulltext:0}fulltext", &["24"]));
    let found = query(
        &server,
        &session,
        &(search + &page("<max>3</max><before/>")),
    );
    assert_eq!(found.bodies, ["2497", "2498", "2499"]);
    assert!(!found.complete);
}

/// Sends a query on which an error comes: its condition.
fn refused(server: &InProcess, session: &Arc<Session>, content: &str) -> String {
    let iq = format!("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'>{content}</query></iq>");
    let all = ask(server, session, &iq);
    let iq = all.root().child("iq", ns::CLIENT).unwrap();
    let error = iq.child("error", ns::CLIENT).unwrap();
    error.first_child().unwrap().name().to_owned()
}

#[test]
fn a_search_ends_after_100000_messages() {
    let server = server(std::iter::once("needle".to_owned()));
    let session = bind(&server, 1 << 20);
    let store = server.server().store();
    let needle = query(&server, &session, "").ids.remove(0);
    let mut batch = Batch::new();
    for _ in 0..100_000 {
        let entry = ArchiveEntry {
            id: store.archive_id(server.server().now_ms()),
            peer: "romeo@localhost".into(),
            part: String::new(),
            value: [].into(),
        };
        batch.archive(&ARCHIVE, JULIET, entry);
    }
    block_on(store.commit(batch)).unwrap();
    let text = field("{urn:xmpp:fulltext:0}fulltext", &["needle"]);
    let search = form(&text);
    // From the beginning: what has been found is there, and the rest is left.
    let found = query(&server, &session, &search);
    assert_eq!(
        (&*found.bodies, found.complete),
        (&["needle".into()][..], false)
    );
    // From the end: nothing, and nowhere to go on from.
    let backwards = format!("{search}{}", page("<before/>"));
    let condition = refused(&server, &session, &backwards);
    assert_eq!(condition, "resource-constraint");
    let behind = form(&(text + &field("after-id", &[&needle])));
    let found = query(&server, &session, &behind);
    assert_eq!((found.ids.len(), found.complete), (0, true));
}

fn archived(server: &InProcess) -> usize {
    let query = ArchiveQuery {
        limit: usize::MAX,
        ..ArchiveQuery::default()
    };
    let page = server
        .server()
        .store()
        .read_archive(&ARCHIVE, JULIET, query);
    block_on(page).unwrap().entries.len()
}

#[test]
fn messages_older_than_the_host_keeps_them_are_deleted() {
    let mut server = server(numbers(2_100));
    let info = HostInfo {
        domain: "localhost".into(),
        archive: Archiving {
            enabled: true,
            keep_ms: Some(DAY_MS),
        },
        ..HostInfo::default()
    };
    let configured = server
        .server()
        .configure(vec![info], tercet_modules::modules);
    configured.unwrap();
    keep_to_retention(server.server());
    server
        .advance(std::time::Duration::from_millis(DAY_MS / 2))
        .unwrap();
    let xml = format!("<message type='chat' to='{JULIET}'><body>new</body></message>");
    server.send("romeo", &xml).unwrap();
    server.run_due();
    assert_eq!(archived(&server), 2_101);
    server
        .advance(std::time::Duration::from_millis(DAY_MS / 2 + 3_600_000))
        .unwrap();
    server.run_due();
    assert_eq!(archived(&server), 1);
}

#[test]
fn messages_older_than_one_user_wants_them_are_deleted_and_those_of_others_stay() {
    let mut server = server(numbers(20));
    let romeo = BareJid::parse("romeo@localhost").unwrap();
    let juliet = BareJid::parse(JULIET).unwrap();
    let day = Some(Keep::Seconds(DAY_MS / 1000));
    // The host keeps all; an administrator's word counts instead, and a user's may be shorter.
    block_on(keep(server.server(), &juliet, By::User, day)).unwrap();
    block_on(keep(
        server.server(),
        &romeo,
        By::Admin,
        Some(Keep::Forever),
    ))
    .unwrap();
    keep_to_retention(server.server());
    server
        .advance(std::time::Duration::from_millis(DAY_MS + 3_600_000))
        .unwrap();
    server.run_due();
    assert_eq!(archived(&server), 0);
    let ends = server
        .server()
        .store()
        .archive_ends(&ARCHIVE, romeo.as_str());
    assert!(block_on(ends).unwrap().is_some());
    let kept = block_on(kept(server.server(), &juliet)).unwrap();
    assert_eq!((kept.host, kept.user), (Keep::Forever, day));
    // It goes with the account.
    block_on(server.server().delete_account(&juliet, None)).unwrap();
    let left = server.server().store().list(&ARCHIVE_KEEP, JULIET);
    assert_eq!(block_on(left).unwrap(), []);
}

#[test]
fn the_archive_goes_with_the_account() {
    let server = server(numbers(3));
    assert_eq!(archived(&server), 3);
    let juliet = BareJid::parse(JULIET).unwrap();
    block_on(server.server().delete_account(&juliet, None)).unwrap();
    assert_eq!(archived(&server), 0);
}

#[test]
fn a_message_that_cannot_be_archived_is_delivered_and_its_sender_hears_of_it() {
    let mut server = server(numbers(1));
    let romeo = BareJid::parse("romeo@localhost").unwrap();
    let outbox = Arc::new(Outbox::new(1 << 20));
    let session = block_on(server.server().bind(&romeo, None, outbox, None)).unwrap();
    let send = |id: &str| {
        let xml = format!(
            "<message type='chat' id='{id}' to='{JULIET}/juliet'><body>Hi</body></message>"
        );
        let stanza = Stanza::parse(xml.as_bytes()).unwrap();
        block_on(server.server().accept(&session, stanza).wait());
    };
    send("kept");
    assert_eq!((session.begun(), session.settled()), (1, 1));
    assert!(take(&session).is_none());
    block_on(server.server().store().close()).unwrap();
    send("lost");
    let text = String::from_utf8(take(&session).unwrap().bytes).unwrap();
    assert!(
        text.contains("id='lost'") && text.contains("internal-server-error"),
        "{text}"
    );
    assert!(text.contains("type='wait'"), "{text}");
    // Neither archive has it; the sender hears of it once.
    assert_eq!(text.matches("<message ").count(), 1, "{text}");
    assert!(text.contains(&format!("from='{JULIET}/juliet'")), "{text}");
    assert_eq!((session.begun(), session.settled()), (2, 2));
    for _ in 0..3 {
        let arrived = server.receive("juliet").unwrap();
        assert!(
            !matches!(arrived, Arrival::Nothing),
            "deliveries do not wait for the disk"
        );
    }
}
