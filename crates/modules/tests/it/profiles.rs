//! What an account keeps for old and new clients, where a script cannot say it: what came from elsewhere, and what is in the store.

use tercet_modules::avatars::AVATAR;
use tercet_modules::vcard::VCARD;
use tercet_store::Batch;
use tercet_testkit::{Arrival, Client, Peer};

use crate::elsewhere;
use crate::in_process::{InProcess, block_on};

const JULIET: &str = "juliet@localhost";
/// The SHA-1 of `hello`, which is `aGVsbG8=`.
const HASH: &str = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";
const PUBSUB: &str = "http://jabber.org/protocol/pubsub";

fn connected(names: &[&str]) -> InProcess {
    let clients: Vec<Client> = names
        .iter()
        .map(|name| Client {
            name: (*name).into(),
            jid: JULIET.into(),
            password: "password".into(),
            resource: Some((*name).into()),
        })
        .collect();
    let mut server = InProcess::new(&clients);
    for client in &clients {
        server.connect(client).unwrap();
    }
    server
}

fn all(server: &mut InProcess, name: &str) -> String {
    server.run_due();
    let mut all = String::new();
    while let Arrival::Element(element) = server.receive(name).unwrap() {
        all.push_str(&element);
    }
    all
}

fn publish(node: &str, id: &str, payload: &str) -> String {
    format!(
        "<iq type='set' id='p'><pubsub xmlns='{PUBSUB}'><publish node='{node}'><item id='{id}'>{payload}</item></publish></pubsub></iq>"
    )
}

fn publish_avatar(server: &mut InProcess, name: &str) {
    let data = "<data xmlns='urn:xmpp:avatar:data'>aGVsbG8=</data>";
    let info = format!(
        "<metadata xmlns='urn:xmpp:avatar:metadata'><info bytes='5' id='{HASH}' type='image/png'/></metadata>"
    );
    for (node, payload) in [("data", data), ("metadata", &info)] {
        let node = format!("urn:xmpp:avatar:{node}");
        server.send(name, &publish(&node, HASH, payload)).unwrap();
    }
}

#[test]
fn a_picture_that_came_with_an_account_is_published_when_its_user_comes() {
    let mut server = connected(&["desk"]);
    let card = b"<vCard xmlns='vcard-temp'><FN>Juliet</FN><PHOTO><TYPE>image/png</TYPE><BINVAL>aGVsbG8=</BINVAL></PHOTO></vCard>";
    let mut batch = Batch::new();
    batch.put(&VCARD, JULIET, "", card.to_vec());
    block_on(server.server().store().commit(batch)).unwrap();
    server.send("desk", "<presence/>").unwrap();
    let presence = all(&mut server, "desk");
    assert!(presence.contains(HASH), "{presence}");
    let read = format!(
        "<iq type='get' id='r'><pubsub xmlns='{PUBSUB}'><items node='urn:xmpp:avatar:data'/></pubsub></iq>"
    );
    server.send("desk", &read).unwrap();
    let item = all(&mut server, "desk");
    assert!(item.contains("aGVsbG8=") && item.contains(HASH), "{item}");
    let kept = block_on(server.server().store().get(&VCARD, JULIET, ""));
    let kept = String::from_utf8(kept.unwrap().unwrap()).unwrap();
    assert!(kept.contains("Juliet") && !kept.contains("PHOTO"), "{kept}");
    // Once is enough.
    server.send("desk", "<presence/>").unwrap();
    let presence = all(&mut server, "desk");
    assert_eq!(presence.matches(HASH).count(), 1, "{presence}");
}

#[test]
fn what_presence_tells_of_an_avatar_is_in_the_store_and_goes_with_it() {
    let mut server = connected(&["desk"]);
    let record = |server: &InProcess| block_on(server.server().store().get(&AVATAR, JULIET, ""));
    server.send("desk", "<presence/>").unwrap();
    all(&mut server, "desk");
    assert_eq!(record(&server).unwrap(), None);
    publish_avatar(&mut server, "desk");
    let kept = record(&server).unwrap().unwrap();
    assert!(String::from_utf8_lossy(&kept).contains(HASH));
    let gone = format!(
        "<iq type='set' id='g'><pubsub xmlns='{PUBSUB}#owner'><delete node='urn:xmpp:avatar:metadata'/></pubsub></iq>"
    );
    server.send("desk", &gone).unwrap();
    let presence = all(&mut server, "desk");
    assert!(presence.contains("<photo></photo>") || presence.contains("<photo/>"));
    let kept = record(&server).unwrap().unwrap();
    assert!(!String::from_utf8_lossy(&kept).contains(HASH));
}

#[test]
fn two_devices_that_set_an_avatar_in_different_ways_end_with_one() {
    let mut server = connected(&["desk", "phone"]);
    for name in ["desk", "phone"] {
        server.send(name, "<presence/>").unwrap();
    }
    publish_avatar(&mut server, "desk");
    let other = "<iq type='set' id='v'><vCard xmlns='vcard-temp'><PHOTO><TYPE>image/gif</TYPE><BINVAL>d29ybGQ=</BINVAL></PHOTO></vCard></iq>";
    server.send("phone", other).unwrap();
    publish_avatar(&mut server, "desk");
    all(&mut server, "desk");
    let read = "<iq type='get' id='r'><vCard xmlns='vcard-temp'/></iq>";
    for (name, resource) in [("desk", "desk"), ("phone", "phone")] {
        all(&mut server, name);
        server
            .send(name, &format!("<presence id='{resource}'/>"))
            .unwrap();
        server.send(name, read).unwrap();
        let shown = all(&mut server, name);
        assert!(shown.contains("<BINVAL>aGVsbG8=</BINVAL>"), "{shown}");
        assert!(
            shown.contains(HASH) && !shown.contains("d29ybGQ="),
            "{shown}"
        );
    }
}

#[test]
fn a_contact_of_another_server_sees_the_avatar_and_a_stranger_there_does_not() {
    let (mut server, bag) = elsewhere::juliet();
    let romeo = "<presence from='romeo@far.example' to='juliet@localhost' type='subscribe'/>";
    server.send("juliet", "<presence/>").unwrap();
    elsewhere::from_elsewhere(&server, romeo);
    let consent = "<presence to='romeo@far.example' type='subscribed'/>";
    server.send("juliet", consent).unwrap();
    bag.take();
    // XEP-0163: who sees the presence may read.
    publish_avatar(&mut server, "juliet");
    let told = bag.texts();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(HASH) && told[0].contains("to='romeo@far.example'"));
    let ask = |server: &InProcess, who: &str, payload: &str| {
        let iq = format!(
            "<iq type='get' id='q' from='{who}@far.example/r' to='{JULIET}'>{payload}</iq>"
        );
        elsewhere::from_elsewhere(server, &iq);
        bag.texts().concat()
    };
    let card = "<vCard xmlns='vcard-temp'/>";
    let data = format!(
        "<pubsub xmlns='{PUBSUB}'><items node='urn:xmpp:avatar:data'><item id='{HASH}'/></items></pubsub>"
    );
    for payload in [card, &data] {
        let seen = ask(&server, "romeo", payload);
        assert!(seen.contains("aGVsbG8="), "{seen}");
        let refused = ask(&server, "tybalt", payload);
        assert!(refused.contains("type='error'"), "{refused}");
        assert!(!refused.contains("aGVsbG8="), "{refused}");
    }
    // To a stranger's address presence goes without it.
    let directed = "<presence to='tybalt@far.example/r'/>";
    server.send("juliet", directed).unwrap();
    let directed = bag.texts().concat();
    assert!(directed.contains("tybalt") && !directed.contains(HASH));
}
