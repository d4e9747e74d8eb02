//! Nothing that was kept is lost on its way to the client (XEP-0160).

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tercet_core::{BareJid, Stanza};
use tercet_modules::offline::OFFLINE;
use tercet_server::{Outbox, Receipt, Routed, Session, Taken};
use tercet_testkit::{Client, Peer};

use crate::in_process::{InProcess, block_on};

const JULIET: &str = "juliet@localhost";

/// A server with `messages` kept for an account whose user is away.
fn server(messages: &[&str]) -> InProcess {
    let clients = ["romeo", "juliet"].map(|name| Client {
        name: name.into(),
        jid: format!("{name}@localhost"),
        password: "password".into(),
        resource: None,
    });
    let mut server = InProcess::new(&clients);
    for client in &clients {
        server.connect(client).unwrap();
    }
    server.disconnect("juliet").unwrap();
    for body in messages {
        server
            .send(
                "romeo",
                &format!("<message type='chat' to='{JULIET}'><body>{body}</body></message>"),
            )
            .unwrap();
    }
    server
}

fn bind(server: &InProcess) -> Arc<Session> {
    let outbox = Arc::new(Outbox::new(1 << 20));
    let account = BareJid::parse(JULIET).unwrap();
    block_on(server.server().bind(&account, None, outbox, None)).unwrap()
}

fn presence(server: &InProcess, session: &Arc<Session>) -> Routed {
    server
        .server()
        .accept(session, Stanza::parse(b"<presence/>").unwrap())
}

fn take(session: &Session) -> Option<Taken> {
    match session
        .outbox()
        .poll_take(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(taken) => Some(taken),
        Poll::Pending => None,
    }
}

fn kept(server: &InProcess) -> u64 {
    block_on(server.server().store().log_size(&OFFLINE, JULIET))
        .unwrap()
        .entries
}

/// Polls once.
fn poll(routed: &mut Routed) -> Poll<()> {
    match routed {
        Routed::Done => Poll::Ready(()),
        Routed::Later(rest) => rest.as_mut().poll(&mut Context::from_waker(Waker::noop())),
    }
}

#[test]
fn a_message_is_deleted_only_after_it_has_been_written() {
    let server = server(&["one", "two"]);
    assert_eq!(kept(&server), 2);
    let session = bind(&server);
    let mut routed = presence(&server, &session);
    assert!(poll(&mut routed).is_pending());
    let taken = take(&session).unwrap();
    let text = String::from_utf8(taken.bytes).unwrap();
    assert!(text.contains("one") && text.contains("two"), "{text}");
    assert!(poll(&mut routed).is_pending());
    assert_eq!(kept(&server), 2, "taken is not yet written");
    taken.receipts.into_iter().for_each(Receipt::written);
    block_on(routed.wait());
    assert_eq!(kept(&server), 0);
}

#[test]
fn a_message_that_was_not_written_comes_again() {
    let server = server(&["one"]);
    let broken = bind(&server);
    let routed = presence(&server, &broken);
    // The connection breaks with the bytes in hand.
    drop(take(&broken));
    let mut routed = routed;
    let _ = poll(&mut routed);
    drop(take(&broken));
    block_on(routed.wait());
    block_on(server.server().unbind(&broken).wait());
    assert_eq!(kept(&server), 1);

    let session = bind(&server);
    let mut routed = presence(&server, &session);
    let _ = poll(&mut routed);
    let taken = take(&session).unwrap();
    assert!(String::from_utf8(taken.bytes).unwrap().contains("one"));
    taken.receipts.into_iter().for_each(Receipt::written);
    block_on(routed.wait());
    assert_eq!(kept(&server), 0);
}

#[test]
fn a_connection_that_ends_ends_the_delivery() {
    let server = server(&["one"]);
    let session = bind(&server);
    let mut routed = presence(&server, &session);
    assert!(poll(&mut routed).is_pending());
    session.outbox().close();
    block_on(routed.wait());
    assert_eq!(kept(&server), 1);
}

#[test]
fn a_queue_larger_than_the_outbox_comes_whole() {
    let body = "x".repeat(100_000);
    let server = server(&[body.as_str(); 20]);
    assert_eq!(kept(&server), 20);
    let session = bind(&server);
    let mut routed = presence(&server, &session);
    let mut received = 0;
    while poll(&mut routed).is_pending() {
        if let Some(taken) = take(&session) {
            assert!(taken.end.is_none());
            received += taken.bytes.windows(6).filter(|w| w == b"<body>").count();
            taken.receipts.into_iter().for_each(Receipt::written);
        }
    }
    assert_eq!((received, kept(&server)), (20, 0));
}
