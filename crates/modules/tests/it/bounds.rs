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

fn set(server: &mut InProcess, payload: &str) -> String {
    ask(server, &format!("<iq type='set' id='s'>{payload}</iq>"))
}

/// `keep` makes the request that keeps one more thing, by its number; `limit` of them fit.
fn check_limit(limit: usize, keep: impl Fn(usize) -> String) {
    let mut server = romeo();
    for number in 0..limit {
        let answer = set(&mut server, &keep(number));
        assert!(answer.contains("type='result'"), "{number}: {answer}");
    }
    let answer = set(&mut server, &keep(limit));
    assert!(answer.contains("<resource-constraint "), "{answer}");
    // What is there already can still be changed.
    let answer = set(&mut server, &keep(0));
    assert!(answer.contains("type='result'"), "{answer}");
}

#[test]
fn a_block_list_has_1000_items() {
    check_limit(1000, |number| {
        format!("<block xmlns='urn:xmpp:blocking'><item jid='a{number}@b.example'/></block>")
    });
    let items: String = (0..=1000)
        .map(|n| format!("<item jid='a{n}@b.example'/>"))
        .collect();
    let mut server = romeo();
    let answer = set(
        &mut server,
        &format!("<block xmlns='urn:xmpp:blocking'>{items}</block>"),
    );
    assert!(answer.contains("<resource-constraint "), "{answer}");
    let list = ask(
        &mut server,
        "<iq type='get' id='l'><blocklist xmlns='urn:xmpp:blocking'/></iq>",
    );
    assert!(
        list.contains("<blocklist xmlns='urn:xmpp:blocking'/>"),
        "all or nothing: {list}"
    );
}

#[test]
fn private_data_has_200_elements() {
    check_limit(200, |number| {
        format!("<query xmlns='jabber:iq:private'><e xmlns='urn:example:{number}'/></query>")
    });
}
