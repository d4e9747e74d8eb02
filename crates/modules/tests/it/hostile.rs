//! What one user does to harm another, or to fill the server.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tercet_core::{BareJid, Stanza};
use tercet_modules::offline::{ABSENT, OFFLINE};
use tercet_modules::private::PRIVATE;
use tercet_server::{Outbox, Receipt, Session};
use tercet_store::Batch;
use tercet_testkit::{Arrival, Client, Peer};

use crate::in_process::{InProcess, block_on};

const JULIET: &str = "juliet@localhost";
const OUTBOX: usize = 1 << 20;

fn client(name: &str) -> Client {
    Client {
        name: name.into(),
        jid: format!("{name}@localhost"),
        password: "password".into(),
        resource: None,
    }
}

fn server(names: &[&str]) -> InProcess {
    let clients: Vec<_> = names.iter().map(|name| client(name)).collect();
    let mut server = InProcess::new(&clients);
    for client in &clients {
        server.connect(client).unwrap();
    }
    server
}

fn answer(server: &mut InProcess, name: &str) -> String {
    match server.receive(name).unwrap() {
        Arrival::Element(text) => text,
        _ => String::new(),
    }
}

/// Juliet becomes available: everything that she is shown, whatever its length. `meanwhile` happens when she has been shown the
/// first part.
fn shown_to_juliet(server: &mut InProcess, meanwhile: impl FnOnce(&mut InProcess)) -> String {
    let outbox = Arc::new(Outbox::new(OUTBOX));
    let account = BareJid::parse(JULIET).unwrap();
    let session = block_on(server.server().bind(&account, None, outbox, None)).unwrap();
    let presence = Stanza::parse(b"<presence/>").unwrap();
    let mut rest = Box::pin(server.server().accept(&session, presence).wait());
    let mut cx = Context::from_waker(Waker::noop());
    let mut seen = Vec::new();
    let mut meanwhile = Some(meanwhile);
    while rest.as_mut().poll(&mut cx).is_pending() {
        if let Some(meanwhile) = meanwhile.take() {
            meanwhile(server);
        }
        take(&session, &mut seen);
    }
    take(&session, &mut seen);
    String::from_utf8(seen).unwrap()
}

fn take(session: &Session, seen: &mut Vec<u8>) {
    let mut cx = Context::from_waker(Waker::noop());
    if let Poll::Ready(taken) = session.outbox().poll_take(&mut cx) {
        assert!(taken.end.is_none(), "the session is ended: {:?}", taken.end);
        seen.extend(taken.bytes);
        taken.receipts.into_iter().for_each(Receipt::written);
    }
}

/// security.md, line 11: every queue has a bound in bytes.
#[test]
fn requests_of_strangers_do_not_end_who_logs_in() {
    let names: Vec<String> = (0..40).map(|n| format!("stranger{n}")).collect();
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    all.push("juliet");
    let mut server = server(&all);
    server.disconnect("juliet").unwrap();
    let content = "x".repeat(200_000);
    for name in &names {
        let request = format!(
            "<presence type='subscribe' to='{JULIET}'><status>{content}</status></presence>"
        );
        server.send(name, &request).unwrap();
    }
    let seen = shown_to_juliet(&mut server, |_| ());
    assert_eq!(seen.matches("type='subscribe'").count(), 40);
    assert!(seen.len() < 40 * 2048, "{} bytes", seen.len());
}

/// Romeo, whose presence juliet receives, becomes available with eight resources of 200 kB each. The last one's full JID.
fn romeo_shows_much(server: &mut InProcess) -> String {
    server
        .send(
            "juliet",
            "<presence type='subscribe' to='romeo@localhost'/>",
        )
        .unwrap();
    let agreed = format!("<presence type='subscribed' to='{JULIET}'/>");
    server.send("romeo", &agreed).unwrap();
    server.disconnect("juliet").unwrap();
    let content = "x".repeat(200_000);
    let mut last = String::new();
    for _ in 0..8 {
        last = server.connect(&client("romeo")).unwrap();
        let presence = format!("<presence><status>{content}</status></presence>");
        server.send("romeo", &presence).unwrap();
    }
    last
}

/// security.md, line 6: a name without an account takes as long as one whose user is away.
#[test]
fn a_message_to_an_unknown_name_is_written_as_one_that_is_kept() {
    let mut server = server(&["juliet"]);
    let written = |server: &InProcess| {
        block_on(server.server().store().get(&ABSENT, "localhost", "")).unwrap()
    };
    let mut send = |content: &str| {
        let message = format!("<message type='chat' to='nobody@localhost'>{content}</message>");
        server.send("juliet", &message).unwrap();
        written(&server).is_some()
    };
    assert!(!send(
        "<active xmlns='http://jabber.org/protocol/chatstates'/>"
    ));
    assert!(send("<body>Is anybody there?</body>"));
    let first = written(&server);
    server
        .send(
            "juliet",
            "<message type='chat' to='nobody@localhost'><body>Is anybody there?</body></message>",
        )
        .unwrap();
    assert_ne!(
        written(&server),
        first,
        "a write that changes nothing may be skipped"
    );
    assert_eq!(answer(&mut server, "juliet"), "");
}

/// security.md, line 11: whoever may be seen decides how much there is to see.
#[test]
fn large_presences_of_contacts_do_not_end_who_logs_in() {
    let mut server = server(&["juliet", "romeo"]);
    romeo_shows_much(&mut server);
    let seen = shown_to_juliet(&mut server, |_| ());
    assert_eq!(seen.matches("<status>").count(), 8);
    assert!(seen.len() > OUTBOX);
}

/// RFC 6120 §10.1: what a contact sent last is what is seen last.
#[test]
fn a_contact_who_leaves_while_others_are_shown_is_not_shown_any_more() {
    let mut server = server(&["juliet", "romeo"]);
    let last = romeo_shows_much(&mut server);
    let seen = shown_to_juliet(&mut server, |server| server.disconnect("romeo").unwrap());
    let of_last: Vec<_> = seen
        .split("<presence ")
        .filter(|p| p.contains(&last))
        .collect();
    assert!(
        of_last.iter().all(|p| p.contains("type='unavailable'")),
        "{}",
        of_last.len()
    );
    assert_eq!(seen.matches("<status>").count(), 7);
}

/// security.md, line 9: a name that is given away again brings nothing of its last owner's along.
#[test]
fn the_next_owner_of_a_name_gets_nothing_of_the_last_ones() {
    let server = server(&["juliet"]);
    let juliet = BareJid::parse(JULIET).unwrap();
    block_on(server.server().delete_account(&juliet, None)).unwrap();
    // What was on its way when the account was removed.
    let mut late = Batch::new();
    late.append(&OFFLINE, JULIET, 0, *b"<message/>");
    late.put(&PRIVATE, JULIET, "urn:x a", *b"<a xmlns='urn:x'/>");
    block_on(server.server().store().commit(late)).unwrap();

    block_on(server.server().create_account(&juliet, "password", false)).unwrap();
    let store = server.server().store();
    assert_eq!(
        block_on(store.log_size(&OFFLINE, JULIET)).unwrap().entries,
        0
    );
    assert_eq!(block_on(store.list(&PRIVATE, JULIET)).unwrap(), []);
    assert!(block_on(server.server().check_password(&juliet, "password".into())).unwrap());
    let again = block_on(server.server().create_account(&juliet, "other", false));
    assert!(again.is_err(), "the name is taken");
    assert!(block_on(server.server().check_password(&juliet, "password".into())).unwrap());
}

/// security.md, line 11.
#[test]
fn private_data_is_bounded_in_bytes() {
    let mut server = server(&["juliet"]);
    let content = "x".repeat(200_000);
    let mut put = |ns: &str| {
        let request = format!(
            "<iq type='set' id='p'><query xmlns='jabber:iq:private'><a xmlns='{ns}'>{content}</a></query></iq>"
        );
        server.send("juliet", &request).unwrap();
        answer(&mut server, "juliet")
    };
    for n in 0..5 {
        let reply = put(&format!("urn:{n}"));
        assert!(reply.contains("type='result'"), "{reply}");
    }
    let reply = put("urn:5");
    assert!(reply.contains("<resource-constraint "), "{reply}");
    let replaced = put("urn:4");
    assert!(replaced.contains("type='result'"), "{replaced}");
}

/// security.md, line 15: what could not be kept is not counted either.
#[test]
fn messages_that_a_full_disk_refuses_do_not_fill_the_queue() {
    let mut server = server(&["juliet", "romeo"]);
    server.configure("[limits]\noffline_messages = 3").unwrap();
    server.disconnect("juliet").unwrap();
    block_on(server.server().store().close()).unwrap();
    for _ in 0..6 {
        let message = format!("<message type='chat' to='{JULIET}'><body>x</body></message>");
        server.send("romeo", &message).unwrap();
        let reply = answer(&mut server, "romeo");
        assert!(reply.contains("<internal-server-error "), "{reply}");
        assert!(reply.contains("type='wait'"), "{reply}");
    }
}

/// security.md, line 6: unknown names cost what known ones cost.
#[test]
fn a_name_without_an_account_is_read_for_as_one_with_an_account() {
    let mut server = server(&["juliet", "romeo"]);
    let ask = |server: &mut InProcess, to: &str| {
        let request =
            format!("<iq type='get' id='v' to='{to}@localhost'><vCard xmlns='vcard-temp'/></iq>");
        server.send("romeo", &request).unwrap();
        answer(server, "romeo").replace(to, "NAME")
    };
    let known = ask(&mut server, "juliet");
    assert!(known.contains("<item-not-found "), "{known}");
    assert_eq!(ask(&mut server, "nobody"), known);
    // Both names are in memory now; a store that fails shows for whom it is asked.
    block_on(server.server().store().close()).unwrap();
    let known = ask(&mut server, "juliet");
    assert!(known.contains("<internal-server-error "), "{known}");
    assert_eq!(ask(&mut server, "nobody"), known);
}
