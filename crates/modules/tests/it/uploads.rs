//! What is noted of uploads, as those who run the server see it (XEP-0363).

use tercet_core::BareJid;
use tercet_modules::upload::{State, ledger};
use tercet_testkit::{Client, Peer};

use crate::in_process::{InProcess, block_on};

#[test]
fn the_files_of_a_user_are_listed_page_by_page_and_those_of_others_are_not() {
    let clients = ["romeo", "juliet"].map(|name| Client {
        name: name.into(),
        jid: format!("{name}@localhost"),
        password: "password".into(),
        resource: Some("home".into()),
    });
    let mut server = InProcess::new(&clients);
    for client in &clients {
        server.connect(client).unwrap();
    }
    for (who, name) in [("romeo", "a.png"), ("juliet", "b.png"), ("romeo", "c.png")] {
        let request = format!(
            "<iq type='get' id='s' to='localhost'><request xmlns='urn:xmpp:http:upload:0' filename='{name}' size='7'/></iq>"
        );
        server.send(who, &request).unwrap();
    }
    let romeo = BareJid::parse("romeo@localhost").unwrap();
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = ledger::list_of(server.server().store(), &romeo, after.as_deref(), 1);
        let (page, next) = block_on(page).unwrap();
        for (_, upload) in page {
            assert!(matches!(upload.state, State::Open { .. }));
            assert_eq!(upload.size, 7);
            names.push(upload.name);
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    names.sort();
    assert_eq!(names, ["a.png", "c.png"]);
}
