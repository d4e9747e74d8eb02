//! Who hears of an account's nodes without a subscription: by what clients say that they want to hear of.

use tercet_testkit::{Arrival, Client, Peer};

use crate::in_process::InProcess;

const TUNE: &str = "http://jabber.org/protocol/tune";
/// XEP-0115 §5.1 over what [`Scene::answer`] says.
const VER: &str = "Typ2y7NU52Y+tPVqOQzbGpfy65A=";

/// XEP-0390 §4.1 over the same, by SHA-256.
const SECOND: &str = "8hUHcTfL/ojLtIcnAeqkLxO/sOspl4jcGM7qgxH+6DY=";

/// Juliet and those around her.
struct Scene(InProcess);

fn client(name: &str) -> Client {
    Client {
        name: name.into(),
        jid: format!("{}@localhost", name.to_lowercase()),
        password: "secret".into(),
        resource: Some("r".into()),
    }
}

impl Scene {
    fn new(names: &[&str]) -> Scene {
        let clients: Vec<Client> = names.iter().map(|name| client(name)).collect();
        let mut server = InProcess::new(&clients);
        for client in &clients {
            server.connect(client).unwrap();
        }
        Scene(server)
    }

    fn send(&mut self, name: &str, xml: &str) {
        self.0.send(name, xml).unwrap();
    }

    /// All that has come for a client.
    fn all(&mut self, name: &str) -> Vec<String> {
        let mut all = Vec::new();
        while let Arrival::Element(element) = self.0.receive(name).unwrap() {
            all.push(element);
        }
        all
    }

    /// What was told of nodes.
    fn events(&mut self, name: &str) -> Vec<String> {
        let mut all = self.all(name);
        all.retain(|element| element.contains("pubsub#event"));
        all
    }

    fn present(&mut self, name: &str) {
        let caps = format!(
            "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:client' ver='{VER}'/></presence>"
        );
        self.send(name, &caps);
    }

    fn present_second(&mut self, name: &str, hash: &str) {
        self.send(
            name,
            &format!(
                "<presence><c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='blake2b-512'>AAAA</hash>\
                 <hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>{hash}</hash></c></presence>"
            ),
        );
    }

    /// Answers the question about capabilities; true if there was one. What the answer says does not matter but for the hash.
    fn answer(&mut self, name: &str, features: &[&str]) -> bool {
        let all = self.all(name);
        let question = all.iter().find(|e| e.contains("disco#info"));
        let Some(id) = question.and_then(|q| q.split("id='").nth(1)) else {
            return false;
        };
        let id = id.split('\'').next().unwrap();
        let features: String = features
            .iter()
            .map(|var| format!("<feature var='{var}'/>"))
            .collect();
        let answer = format!(
            "<iq type='result' to='localhost' id='{id}'><query xmlns='http://jabber.org/protocol/disco#info'>\
             <identity category='client' type='pc' name='Romeo'/>{features}</query></iq>"
        );
        self.send(name, &answer);
        true
    }

    fn interested(&mut self, name: &str) -> bool {
        let tune = format!("{TUNE}+notify");
        self.answer(name, &["http://jabber.org/protocol/disco#info", &tune])
    }

    fn publish(&mut self, title: &str) {
        let xml = format!(
            "<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='{TUNE}'>\
             <item id='{title}'><tune xmlns='{TUNE}'/></item></publish></pubsub></iq>"
        );
        self.send("Juliet", &xml);
    }

    /// From now on `name` sees Juliet's presence.
    fn befriend(&mut self, name: &str) {
        let to = name.to_lowercase();
        self.send(
            "Juliet",
            &format!("<presence to='{to}@localhost' type='subscribed'/>"),
        );
        self.send(name, "<presence to='juliet@localhost' type='subscribe'/>");
    }
}

#[test]
fn a_contact_hears_what_it_wants_to_hear_and_a_stranger_nothing() {
    let mut scene = Scene::new(&["Juliet", "Romeo", "Nurse"]);
    scene.befriend("Romeo");
    scene.present("Romeo");
    assert!(scene.interested("Romeo"));
    scene.present("Nurse");
    // XEP-0115 §6.2: what is known by its hash is not asked again.
    assert!(!scene.interested("Nurse"));
    scene.publish("one");
    let events = scene.events("Romeo");
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].contains("from='juliet@localhost'"), "{events:?}");
    assert!(events[0].contains("to='romeo@localhost/r'"), "{events:?}");
    assert!(scene.events("Nurse").is_empty());

    // RFC 6121 §3.2: who is no subscriber any more hears no more.
    scene.send(
        "Juliet",
        "<presence to='romeo@localhost' type='unsubscribed'/>",
    );
    scene.publish("two");
    assert!(scene.events("Romeo").is_empty());
}

#[test]
fn the_last_item_comes_to_who_comes_online_once_and_to_the_own_devices() {
    let mut scene = Scene::new(&["Juliet", "Romeo"]);
    scene.befriend("Romeo");
    scene.publish("one");
    scene.present("Romeo");
    assert!(scene.interested("Romeo"));
    let events = scene.events("Romeo");
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].contains("urn:xmpp:delay"), "{events:?}");
    // XEP-0163 §4.3.3: later presence does not bring it again.
    scene.present("Romeo");
    assert!(scene.events("Romeo").is_empty());
    scene.present("Juliet");
    let own = scene.events("Juliet");
    assert_eq!(own.len(), 1, "{own:?}");
    scene.publish("two");
    assert_eq!(scene.events("Juliet").len(), 1);
}

#[test]
fn a_contact_that_was_online_before_the_friendship_hears_of_nodes_afterwards() {
    let mut scene = Scene::new(&["Juliet", "Romeo"]);
    scene.publish("one");
    scene.present("Romeo");
    assert!(scene.interested("Romeo"));
    assert!(scene.events("Romeo").is_empty());
    scene.befriend("Romeo");
    assert_eq!(scene.events("Romeo").len(), 1);
    scene.publish("two");
    assert_eq!(scene.events("Romeo").len(), 1);
}

#[test]
fn a_false_hash_counts_for_who_sent_it_alone() {
    let mut scene = Scene::new(&["Juliet", "Romeo", "Nurse"]);
    scene.befriend("Romeo");
    scene.befriend("Nurse");
    scene.present("Romeo");
    assert!(scene.answer("Romeo", &["urn:something+notify"]));
    scene.present("Nurse");
    // Nothing was learned for others.
    assert!(scene.interested("Nurse"));
    scene.publish("one");
    assert!(scene.events("Romeo").is_empty());
    assert_eq!(scene.events("Nurse").len(), 1);
}

#[test]
fn who_is_blocked_hears_nothing() {
    let mut scene = Scene::new(&["Juliet", "Romeo"]);
    scene.befriend("Romeo");
    scene.present("Romeo");
    assert!(scene.interested("Romeo"));
    let block = "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='romeo@localhost'/></block></iq>";
    scene.send("Juliet", block);
    scene.publish("one");
    assert!(scene.events("Romeo").is_empty());
    let mut scene = Scene::new(&["Juliet", "Romeo"]);
    scene.befriend("Romeo");
    scene.present("Romeo");
    assert!(scene.interested("Romeo"));
    scene.send("Romeo", &block.replace("romeo", "juliet"));
    scene.publish("one");
    assert!(scene.events("Romeo").is_empty());
}

#[test]
fn nodes_of_an_account_end_with_it_and_are_not_there_for_the_next_of_its_name() {
    let mut scene = Scene::new(&["Juliet", "Romeo"]);
    scene.publish("one");
    let stored = |scene: &Scene| {
        let store = scene.0.server().store();
        let nodes = store.list(
            &tercet_modules::pubsub::ACCOUNTS.payload,
            "juliet@localhost",
        );
        nodes.wait().unwrap().len()
    };
    assert_eq!(stored(&scene), 1);
    scene.send(
        "Juliet",
        "<iq type='set' id='r'><query xmlns='jabber:iq:register'><remove/></query></iq>",
    );
    assert_eq!(stored(&scene), 0);
    scene.0.connect(&client("Juliet")).unwrap();
    let ask = format!(
        "<iq type='get' id='q'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='{TUNE}'/></pubsub></iq>"
    );
    scene.send("Juliet", &ask);
    let answer = scene.all("Juliet");
    assert!(
        answer.iter().any(|a| a.contains("item-not-found")),
        "{answer:?}"
    );
}

#[test]
fn who_takes_the_name_of_an_account_that_is_gone_owns_no_nodes_of_it() {
    let mut scene = Scene::new(&["Juliet", "Romeo"]);
    tercet_modules::pubsub::keep_up(scene.0.server());
    let pubsub = |kind: &str, to: &str, inner: &str| {
        format!(
            "<iq type='{kind}' id='q' to='{to}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>{inner}</pubsub></iq>"
        )
    };
    let service = "pubsub.localhost";
    scene.send("Juliet", &pubsub("set", service, "<create node='hers'/>"));
    scene.send("Romeo", &pubsub("set", service, "<create node='his'/>"));
    let join = "<subscribe node='his' jid='juliet@localhost'/>";
    scene.send("Juliet", &pubsub("set", service, join));
    scene.send(
        "Juliet",
        "<iq type='set' id='r'><query xmlns='jabber:iq:register'><remove/></query></iq>",
    );
    scene.0.advance(std::time::Duration::from_secs(11)).unwrap();
    scene.0.connect(&client("Juliet")).unwrap();
    let ask = "<subscriptions/>";
    scene.send("Juliet", &pubsub("get", service, ask));
    let answer = scene.all("Juliet");
    assert!(
        answer.iter().any(|a| a.contains("<subscriptions/>")),
        "{answer:?}"
    );
    scene.all("Romeo");
    scene.send("Romeo", &pubsub("get", service, "<items node='hers'/>"));
    let answer = scene.all("Romeo");
    assert!(
        answer.iter().any(|a| a.contains("item-not-found")),
        "{answer:?}"
    );
}

#[test]
fn who_says_what_it_wants_by_the_second_capabilities_alone_hears_it() {
    let mut scene = Scene::new(&["Juliet", "Romeo", "Nurse", "Tybalt"]);
    for name in ["Romeo", "Nurse", "Tybalt"] {
        scene.befriend(name);
    }
    scene.all("Romeo");
    scene.present_second("Romeo", SECOND);
    let asked = scene.all("Romeo");
    let question = asked.iter().find(|e| e.contains("disco#info")).unwrap();
    // XEP-0390 §4.3: under the node of a hash whose function is known here.
    let node = format!("node='urn:xmpp:caps#sha-256.{SECOND}'");
    assert!(question.contains(&node), "{question}");
    scene.send("Romeo", "<presence><show>away</show></presence>");
    let id = question.split("id='").nth(1).unwrap();
    let id = id.split('\'').next().unwrap();
    scene.send(
        "Romeo",
        &format!(
            "<iq type='result' to='localhost' id='{id}'><query xmlns='http://jabber.org/protocol/disco#info'>\
             <feature var='{TUNE}+notify'/><feature var='http://jabber.org/protocol/disco#info'/>\
             <identity category='client' type='pc' name='Romeo'/></query></iq>"
        ),
    );
    // Verified: who has the same is not asked.
    scene.present_second("Nurse", SECOND);
    assert!(!scene.interested("Nurse"));
    // Another hash is of another client, and what it says is not remembered by a hash that it has not.
    scene.present_second("Tybalt", "AAAA");
    assert!(scene.interested("Tybalt"));
    scene.publish("one");
    for name in ["Romeo", "Nurse", "Tybalt"] {
        assert_eq!(scene.events(name).len(), 1, "{name}");
    }
}

#[test]
fn a_false_hash_poisons_nobody() {
    let mut scene = Scene::new(&["Juliet", "Romeo", "Nurse"]);
    scene.befriend("Nurse");
    scene.present_second("Romeo", SECOND);
    assert!(scene.answer("Romeo", &["urn:xmpp:ping"]));
    scene.present_second("Nurse", SECOND);
    assert!(scene.interested("Nurse"), "who has the hash is asked still");
    scene.publish("one");
    assert_eq!(scene.events("Nurse").len(), 1);
    // Nor does one of XEP-0115 under that name.
    let mut scene = Scene::new(&["Juliet", "Romeo"]);
    scene.send(
        "Romeo",
        &format!("<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:xmpp:caps' ver='{VER}'/></presence>"),
    );
    assert!(!scene.interested("Romeo"));
}
