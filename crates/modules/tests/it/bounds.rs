//! Bounds on what one account may pile up (docs/security.md, 13).

use tercet_testkit::{Arrival, Client, Peer};

use crate::in_process::InProcess;

fn romeo() -> InProcess {
    let romeo = Client {
        name: "Romeo".into(),
        jid: "romeo@localhost".into(),
        password: "secret".into(),
        resource: Some("orchard".into()),
    };
    let mut server = InProcess::new(std::slice::from_ref(&romeo));
    server.connect(&romeo).unwrap();
    server
}

/// Sends a request and returns the answer.
fn ask(server: &mut InProcess, request: &str) -> String {
    server.send("Romeo", request).unwrap();
    match server.receive("Romeo").unwrap() {
        Arrival::Element(answer) => answer,
        silence => panic!("{request} is answered with {silence:?}"),
    }
}

fn roster_set(number: usize) -> String {
    format!(
        "<iq type='set' id='{number}'><query xmlns='jabber:iq:roster'><item jid='contact{number}@localhost'/></query></iq>"
    )
}

#[test]
fn a_contact_beyond_the_bound_of_the_roster_is_an_error_and_the_others_stay() {
    let mut server = romeo();
    let bound = server.server().limits().roster_items;
    for number in 0..bound {
        let answer = ask(&mut server, &roster_set(number));
        assert!(
            answer.contains("'result'") || answer.contains("\"result\""),
            "{answer}"
        );
    }
    let answer = ask(&mut server, &roster_set(bound));
    assert!(answer.contains("<resource-constraint"), "{answer}");
    let answer = ask(
        &mut server,
        "<iq type='get' id='all'><query xmlns='jabber:iq:roster'/></iq>",
    );
    assert_eq!(answer.matches("<item ").count(), bound);
}
