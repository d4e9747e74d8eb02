//! Rooms keep what was said, and let it be taken back (XEP-0313, XEP-0424, XEP-0425).

use tercet_core::{BareJid, OwnedElement, ns};
use tercet_modules::muc::control;
use tercet_testkit::{Arrival, Client, Peer};

use crate::in_process::{InProcess, block_on};

const ROOM: &str = "garden@rooms.localhost";
const SID: &str = "urn:xmpp:sid:0";

/// Romeo has made the room, Juliet has entered; nothing waits for either.
fn room(fields: &str) -> InProcess {
    let clients = ["romeo", "juliet"].map(|name| Client {
        name: name.into(),
        jid: format!("{name}@localhost"),
        password: "password".into(),
        resource: Some("x".into()),
    });
    let mut server = InProcess::new(&clients);
    for client in &clients {
        server.connect(client).unwrap();
    }
    enter(&mut server, "romeo");
    let form_type =
        "<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>";
    let form = format!(
        "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>{form_type}{fields}</x></query>"
    );
    assert_eq!(request(&mut server, "romeo", &form), "result");
    enter(&mut server, "juliet");
    waiting(&mut server, "romeo");
    server
}

fn enter(server: &mut InProcess, name: &str) {
    let xml = format!(
        "<presence to='{ROOM}/{name}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
    );
    server.send(name, &xml).unwrap();
    waiting(server, name);
}

/// What waits for a client.
fn waiting(server: &mut InProcess, name: &str) -> Vec<OwnedElement> {
    let mut all = Vec::new();
    while let Arrival::Element(xml) = server.receive(name).unwrap() {
        all.push(OwnedElement::parse(xml.as_bytes(), ns::CLIENT).unwrap());
    }
    all
}

/// Sends a request to the room: the type of the answer, or the condition of the error.
fn request(server: &mut InProcess, name: &str, payload: &str) -> String {
    let xml = format!("<iq type='set' id='q' to='{ROOM}'>{payload}</iq>");
    server.send(name, &xml).unwrap();
    let all = waiting(server, name);
    let answer = all.iter().find(|e| e.root().name() == "iq").unwrap().root();
    match answer.child("error", ns::CLIENT) {
        Some(error) => error.first_child().unwrap().name().to_owned(),
        None => answer.attr("type").unwrap().into_owned(),
    }
}

/// Says something; the id that the room gave.
fn say(server: &mut InProcess, name: &str, content: &str) -> String {
    let xml = format!("<message to='{ROOM}' type='groupchat' id='m'>{content}</message>");
    server.send(name, &xml).unwrap();
    let got = waiting(server, name);
    let id = got.last().unwrap().root().child("stanza-id", SID).unwrap();
    id.attr("id").unwrap().into_owned()
}

/// What is in the archive: ids, and bodies or else the name of the first child.
fn archive(server: &mut InProcess, name: &str) -> Vec<(String, String)> {
    let query = "<query xmlns='urn:xmpp:mam:2'/>";
    let xml = format!("<iq type='set' id='q' to='{ROOM}'>{query}</iq>");
    server.send(name, &xml).unwrap();
    let mut found = Vec::new();
    for element in waiting(server, name) {
        let Some(result) = element.root().child("result", "urn:xmpp:mam:2") else {
            continue;
        };
        let forwarded = result.child("forwarded", "urn:xmpp:forward:0").unwrap();
        let message = forwarded.child("message", ns::CLIENT).unwrap();
        let what = match message.child("body", ns::CLIENT) {
            Some(body) => body.text().into_owned(),
            None => {
                let mut names = message.children().map(|c| c.name());
                names
                    .find(|name| *name != "occupant-id")
                    .unwrap()
                    .to_owned()
            }
        };
        found.push((result.attr("id").unwrap().into_owned(), what));
    }
    found
}

/// What who enters is told: the bodies.
fn told(server: &mut InProcess, name: &str) -> Vec<String> {
    waiting(server, name);
    let xml = format!(
        "<presence to='{ROOM}/{name}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
    );
    server.send(name, &xml).unwrap();
    let all = waiting(server, name);
    let bodies = all
        .iter()
        .filter_map(|e| e.root().child("body", ns::CLIENT));
    bodies.map(|body| body.text().into_owned()).collect()
}

fn pairs(list: &[(&String, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(id, what)| ((*id).clone(), (*what).to_owned()))
        .collect()
}

fn moderate(id: &str) -> String {
    format!(
        "<moderate xmlns='urn:xmpp:message-moderate:1' id='{id}'><retract xmlns='urn:xmpp:message-retract:1'/><reason>Spam</reason></moderate>"
    )
}

#[test]
fn a_message_is_archived_under_the_id_with_which_everybody_got_it() {
    let mut server = room("");
    let one = say(&mut server, "romeo", "<body>one</body>");
    let two = say(&mut server, "juliet", "<body>two</body>");
    let expected = pairs(&[(&one, "one"), (&two, "two")]);
    assert_eq!(archive(&mut server, "juliet"), expected);
    let xml =
        format!("<message to='{ROOM}' type='groupchat'><store xmlns='urn:xmpp:hints'/></message>");
    server.send("juliet", &xml).unwrap();
    waiting(&mut server, "juliet");
    assert_eq!(archive(&mut server, "juliet").len(), 3);
}

#[test]
fn a_change_of_the_subject_is_archived_and_told_once_on_entering_under_the_same_id() {
    for fields in [
        "",
        "<field var='muc#roomconfig_persistentroom'><value>1</value></field>",
    ] {
        let mut server = room(fields);
        let one = say(&mut server, "juliet", "<body>one</body>");
        waiting(&mut server, "romeo");
        let forged = format!("<stanza-id xmlns='{SID}' id='forged' by='{ROOM}'/>");
        let content = format!("<subject>Love</subject>{forged}");
        let two = say(&mut server, "romeo", &content);
        let unkept = "<subject>Hate</subject><no-store xmlns='urn:xmpp:hints'/>";
        say(&mut server, "romeo", unkept);
        let three = say(&mut server, "romeo", "<subject>Peace</subject>");
        let expected = pairs(&[(&one, "one"), (&two, "subject"), (&three, "subject")]);
        assert_eq!(archive(&mut server, "juliet"), expected);
        let leave = format!("<presence to='{ROOM}/juliet' type='unavailable'/>");
        server.send("juliet", &leave).unwrap();
        waiting(&mut server, "juliet");
        let enter = format!(
            "<presence to='{ROOM}/juliet'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        );
        server.send("juliet", &enter).unwrap();
        let all = waiting(&mut server, "juliet");
        let subjects: Vec<_> = all
            .iter()
            .filter(|e| e.root().child("subject", ns::CLIENT).is_some())
            .collect();
        assert_eq!(subjects.len(), 1, "{fields}");
        let id = subjects[0].root().child("stanza-id", SID).unwrap();
        assert_eq!(id.attr("id").unwrap(), three);
    }
}

#[test]
fn a_room_without_an_archive_gives_ids_and_keeps_nothing() {
    let fields = "<field var='muc#roomconfig_enablearchiving'><value>0</value></field>";
    let mut server = room(fields);
    let id = say(&mut server, "romeo", "<body>one</body>");
    assert_eq!(archive(&mut server, "romeo"), []);
    let query = "<query xmlns='urn:xmpp:mam:2'/>";
    assert_eq!(request(&mut server, "romeo", query), "service-unavailable");
    // What is told to those who enter can be taken back all the same.
    assert_eq!(request(&mut server, "romeo", &moderate(&id)), "result");
    assert_eq!(told(&mut server, "juliet"), [""; 0]);
}

#[test]
fn what_its_author_takes_back_is_a_tombstone_and_not_told_again() {
    let mut server = room("");
    let one = say(&mut server, "juliet", "<body>one</body>");
    let two = say(&mut server, "romeo", "<body>two</body>");
    let retract = |id: &str| format!("<retract xmlns='urn:xmpp:message-retract:1' id='{id}'/>");
    // Nobody takes back what another said.
    let foreign = say(&mut server, "romeo", &retract(&one));
    let own = say(&mut server, "juliet", &retract(&one));
    let expected = pairs(&[
        (&one, "retracted"),
        (&two, "two"),
        (&foreign, "retract"),
        (&own, "retract"),
    ]);
    assert_eq!(archive(&mut server, "juliet"), expected);
    assert_eq!(told(&mut server, "juliet"), ["two"]);
}

#[test]
fn a_moderator_takes_back_what_anybody_said_and_everybody_is_told_who_it_was() {
    let mut server = room("");
    let spam = say(&mut server, "juliet", "<body>spam</body>");
    waiting(&mut server, "romeo");
    // She is no moderator.
    assert_eq!(
        request(&mut server, "juliet", &moderate(&spam)),
        "forbidden"
    );
    assert_eq!(
        request(&mut server, "romeo", &moderate("17")),
        "item-not-found"
    );
    assert_eq!(
        request(&mut server, "romeo", &moderate("x")),
        "item-not-found"
    );
    assert_eq!(request(&mut server, "romeo", &moderate(&spam)), "result");
    let all = waiting(&mut server, "juliet");
    let message = all[0].root();
    assert_eq!(message.attr("from").unwrap(), ROOM);
    let retract = message
        .child("retract", "urn:xmpp:message-retract:1")
        .unwrap();
    assert_eq!(retract.attr("id").unwrap(), spam);
    let moderated = retract
        .child("moderated", "urn:xmpp:message-moderate:1")
        .unwrap();
    assert_eq!(moderated.attr("by").unwrap(), format!("{ROOM}/romeo"));
    let reason = retract
        .child("reason", "urn:xmpp:message-retract:1")
        .unwrap();
    assert_eq!(reason.text(), "Spam");
    let id = message
        .child("stanza-id", SID)
        .unwrap()
        .attr("id")
        .unwrap()
        .into_owned();
    let expected = pairs(&[(&spam, "retracted"), (&id, "retract")]);
    assert_eq!(archive(&mut server, "juliet"), expected);
    // It cannot be done twice.
    assert_eq!(
        request(&mut server, "romeo", &moderate(&spam)),
        "item-not-found"
    );
    assert_eq!(told(&mut server, "juliet"), [""; 0]);
}

#[test]
fn a_subject_that_was_taken_back_is_not_told_to_who_enters() {
    let subject = |server: &mut InProcess| {
        waiting(server, "juliet");
        let xml = format!(
            "<presence to='{ROOM}/juliet'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        );
        server.send("juliet", &xml).unwrap();
        let all = waiting(server, "juliet");
        let last = all.last().unwrap().root();
        last.child("subject", ns::CLIENT)
            .unwrap()
            .text()
            .into_owned()
    };
    let change = "<field var='muc#roomconfig_changesubject'><value>1</value></field>";
    for more in [
        "<field var='muc#roomconfig_persistentroom'><value>1</value></field>",
        "<field var='muc#roomconfig_enablearchiving'><value>0</value></field>",
    ] {
        let mut server = room(&format!("{change}{more}"));
        let retract = |id: &str| format!("<retract xmlns='urn:xmpp:message-retract:1' id='{id}'/>");
        let id = say(&mut server, "juliet", "<subject>Spam</subject>");
        assert_eq!(subject(&mut server), "Spam");
        say(&mut server, "romeo", &retract(&id));
        assert_eq!(subject(&mut server), "Spam", "who has not said it");
        say(&mut server, "juliet", &retract(&id));
        assert_eq!(subject(&mut server), "");
        let id = say(&mut server, "juliet", "<subject>More spam</subject>");
        assert_eq!(request(&mut server, "romeo", &moderate(&id)), "result");
        assert_eq!(subject(&mut server), "");
        say(&mut server, "romeo", "<subject>Birds</subject>");
        say(&mut server, "romeo", &retract(&id));
        assert_eq!(subject(&mut server), "Birds", "an older one was taken back");
    }
}

#[test]
fn what_an_earlier_room_of_the_name_kept_is_not_in_the_archive() {
    let mut server = room("");
    say(&mut server, "romeo", "<body>secret</body>");
    for name in ["romeo", "juliet"] {
        let xml = format!("<presence to='{ROOM}/{name}' type='unavailable'/>");
        server.send(name, &xml).unwrap();
        waiting(&mut server, name);
    }
    // The room was temporary; another one has its name.
    server.advance(std::time::Duration::from_secs(1)).unwrap();
    enter(&mut server, "juliet");
    assert_eq!(archive(&mut server, "juliet"), []);
    let one = say(&mut server, "juliet", "<body>one</body>");
    assert_eq!(archive(&mut server, "juliet"), pairs(&[(&one, "one")]));
}

#[test]
fn operators_read_what_was_said_in_pages_bounded_in_number_and_bytes() {
    let mut server = room("");
    let ids: Vec<String> = (0..5)
        .map(|n| say(&mut server, "juliet", &format!("<body>{n}</body>")))
        .collect();
    let garden = BareJid::parse(ROOM).unwrap();
    for (limit, bytes, pages) in [(2, 0, 3), (100, 1, 5), (100, 0, 1)] {
        let (mut got, mut after, mut count) = (Vec::new(), None, 0);
        loop {
            let page = control::messages(server.server(), &garden, after, limit, bytes);
            let (messages, next) = block_on(page).unwrap();
            got.extend(messages);
            count += 1;
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(count, pages, "{limit} messages, {bytes} bytes");
        let found: Vec<String> = got.iter().map(|entry| entry.id.to_string()).collect();
        assert_eq!(found, ids);
        assert_eq!((&*got[0].peer, &*got[0].part), ("juliet@localhost", "x"));
    }
    let none = BareJid::parse("none@rooms.localhost").unwrap();
    assert!(block_on(control::messages(server.server(), &none, None, 1, 0)).is_err());
}
