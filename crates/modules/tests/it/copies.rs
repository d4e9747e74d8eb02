//! Copies and the archive: one id for one message, wherever it is seen (XEP-0280 with XEP-0313 and XEP-0359).

use tercet_testkit::{Arrival, Client, Peer};

use crate::in_process::InProcess;

fn client(name: &str, jid: &str, resource: &str) -> Client {
    Client {
        name: name.into(),
        jid: jid.into(),
        password: "password".into(),
        resource: Some(resource.into()),
    }
}

/// Everything that has come for that client.
fn all(server: &mut InProcess, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    while let Arrival::Element(text) = server.receive(name).unwrap() {
        found.push(text);
    }
    found
}

/// The id that the archive of `by` gave.
fn id<'a>(stanza: &'a str, by: &str) -> Option<&'a str> {
    let (_, rest) = stanza.split_once("<stanza-id ")?;
    let tag = rest.split('>').next()?;
    assert!(tag.contains(&format!("by='{by}'")), "{stanza}");
    tag.split_once(" id='")?.1.split('\'').next()
}

#[test]
fn copies_have_the_id_that_the_archive_has() {
    let clients = [
        client("phone", "juliet@localhost", "phone"),
        client("desk", "juliet@localhost", "desk"),
        client("romeo", "romeo@localhost", "orchard"),
    ];
    let mut server = InProcess::new(&clients);
    for client in &clients {
        server.connect(client).unwrap();
    }
    let enable = "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>";
    server.send("desk", enable).unwrap();
    all(&mut server, "desk");
    let message =
        |to: &str| format!("<message to='{to}' type='chat' id='m'><body>Hi</body></message>");
    server
        .send("romeo", &message("juliet@localhost/phone"))
        .unwrap();
    server
        .send("phone", &message("romeo@localhost/orchard"))
        .unwrap();
    let received = all(&mut server, "phone").remove(0);
    let copies = all(&mut server, "desk");
    assert_eq!(copies.len(), 2, "{copies:?}");
    let query = "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>";
    server.send("desk", query).unwrap();
    let archived = all(&mut server, "desk");
    let by = "juliet@localhost";
    for (direction, copy, entry) in [
        ("received", &copies[0], &archived[0]),
        ("sent", &copies[1], &archived[1]),
    ] {
        assert!(copy.contains(&format!("<{direction} xmlns='urn:xmpp:carbons:2'>")));
        let id = id(copy, by).unwrap();
        assert!(entry.contains(&format!("id='{id}'")), "{entry} {copy}");
    }
    assert_eq!(id(&received, by), id(&copies[0], by));
    // The other end has an id of its own.
    let other = all(&mut server, "romeo").remove(0);
    assert_ne!(id(&other, "romeo@localhost"), id(&copies[1], by));
}
