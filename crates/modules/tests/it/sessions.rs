//! Bounds on the sessions of one account, those included that wait for their clients (docs/security.md, 11).

use std::sync::Arc;

use tercet_core::BareJid;
use tercet_modules::mam::ARCHIVE;
use tercet_server::{Outbox, Session};
use tercet_store::ArchiveQuery;
use tercet_stream::c2s::sm::Enable;
use tercet_testkit::{Arrival, Client, Peer};

use crate::in_process::{InProcess, block_on};

fn server() -> InProcess {
    let clients = ["romeo", "juliet"].map(|name| Client {
        name: name.into(),
        jid: format!("{name}@localhost"),
        password: "password".into(),
        resource: Some("first".into()),
    });
    let mut server = InProcess::new(&clients);
    for client in &clients {
        server.connect(client).unwrap();
    }
    server
}

/// Another device of Juliet's, or the condition with which it is refused.
fn bind(server: &InProcess, resource: &str) -> Result<Arc<Session>, String> {
    let juliet = BareJid::parse("juliet@localhost").unwrap();
    let outbox = Arc::new(Outbox::new(server.server().limits().outbox_bytes));
    let bound = server.server().bind(&juliet, Some(resource), outbox, None);
    block_on(bound).map_err(|error| format!("{error:?}"))
}

/// Its client acknowledges, and its connection is lost.
fn hibernate(server: &InProcess, session: &Arc<Session>) {
    let enable = Enable {
        resume: true,
        max: None,
    };
    server.server().enable_management(session, &enable, true);
    block_on(server.server().disconnect(session).wait());
    assert!(session.is_hibernating());
}

fn bound(server: &InProcess) -> usize {
    let juliet = server.server().loaded_account("juliet@localhost").unwrap();
    juliet.lock().resources.len()
}

#[test]
fn one_device_too_many_takes_the_place_of_one_that_waits_or_is_refused() {
    let server = server();
    let most = server.server().limits().sessions;
    let devices: Vec<_> = (1..most)
        .map(|number| bind(&server, &number.to_string()).unwrap())
        .collect();
    let refused = bind(&server, "more").unwrap_err();
    assert!(refused.contains("ResourceConstraint"), "{refused}");
    hibernate(&server, &devices[7]);
    assert!(bind(&server, "more").is_ok());
    assert!(!devices[7].is_hibernating(), "it has ended");
    assert_eq!(bound(&server), most);
}

#[test]
fn a_session_that_waits_ends_when_its_queue_is_full_and_loses_nothing() {
    let mut server = server();
    let phone = bind(&server, "phone").unwrap();
    hibernate(&server, &phone);
    let letter = "x".repeat(200_000);
    let count = server.server().limits().outbox_bytes / letter.len() + 5;
    for number in 0..count {
        let xml = format!(
            "<message type='chat' to='{}'><body>{number} {letter}</body></message>",
            phone.jid()
        );
        server.send("romeo", &xml).unwrap();
        server.run_due();
    }
    assert!(!phone.is_hibernating());
    assert_eq!(bound(&server), 1);
    // All of them are in the archive, so none comes back.
    let all = ArchiveQuery {
        limit: usize::MAX,
        ..ArchiveQuery::default()
    };
    let store = server.server().store();
    let archived = block_on(store.read_archive(&ARCHIVE, "juliet@localhost", all)).unwrap();
    assert_eq!(archived.entries.len(), count);
    assert_eq!(server.receive("romeo").unwrap(), Arrival::Nothing);
}
