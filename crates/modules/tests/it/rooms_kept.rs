//! What rooms keep while they are not in memory: tokens (XEP-0488), the key of occupant ids (XEP-0421), nicks (XEP-0045 §7.10),
//! hats (XEP-0317).

use std::time::Duration;

use tercet_testkit::{Arrival, Client, Peer};

use crate::in_process::InProcess;

/// Longer than a room without occupants stays in memory.
const LONG: Duration = Duration::from_secs(1300);
const PEOPLE: [&str; 3] = ["romeo", "juliet", "tybalt"];

/// Three people, and a persistent room for members only, which Romeo owns.
struct Scene(InProcess);

impl Scene {
    fn new() -> Scene {
        let clients = PEOPLE.map(|name| Client {
            name: name.to_owned(),
            jid: format!("{name}@localhost"),
            password: "password".into(),
            resource: Some("home".into()),
        });
        let mut scene = Scene(InProcess::new(&clients));
        for client in &clients {
            scene.0.connect(client).unwrap();
        }
        scene.enter("romeo", "");
        scene.ask(
            "romeo",
            "<iq type='set' id='c' to='vault@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'>\
             <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>http://jabber.org/protocol/muc#roomconfig</value></field>\
             <field var='muc#roomconfig_persistentroom'><value>1</value></field>\
             <field var='muc#roomconfig_membersonly'><value>1</value></field></x></query></iq>",
        );
        scene
    }

    fn ask(&mut self, who: &str, xml: &str) -> String {
        self.0.send(who, xml).unwrap();
        let mut all = String::new();
        while let Arrival::Element(element) = self.0.receive(who).unwrap() {
            all.push_str(&element);
        }
        all
    }

    /// What somebody gets who enters, giving `password`, or nothing.
    fn enter(&mut self, who: &str, password: &str) -> String {
        let password = match password {
            "" => String::new(),
            password => format!("<password>{password}</password>"),
        };
        let presence = format!(
            "<presence to='vault@rooms.localhost/{who}'><x xmlns='http://jabber.org/protocol/muc'>{password}</x></presence>"
        );
        self.ask(who, &presence)
    }

    fn leave(&mut self, who: &str) {
        let to = format!("vault@rooms.localhost/{who}");
        self.ask(who, &format!("<presence type='unavailable' to='{to}'/>"));
    }

    fn token(&mut self, limits: &str) -> String {
        let answer = self.ask(
            "romeo",
            &format!(
                "<iq type='set' id='t' to='vault@rooms.localhost'><request xmlns='urn:xmpp:muc-token-invite:0' {limits}/></iq>"
            ),
        );
        between(&answer, ">", "</token>").to_owned()
    }
}

/// The text before `end`, from the last `start` on.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let before = text.split_once(end).unwrap_or_else(|| panic!("{text}")).0;
    before.rsplit_once(start).unwrap().1
}

const MEMBER: &str = "affiliation='member'";
const EXPIRED: &str = "<expired-token xmlns='urn:xmpp:muc-token-invite:0'/>";

#[test]
fn a_token_lets_in_as_many_as_it_says_also_after_the_room_was_not_in_memory() {
    let mut scene = Scene::new();
    let token = scene.token("counter='1'");
    assert_eq!(token.len(), 24, "{token}");
    scene.leave("romeo");
    scene.0.advance(LONG).unwrap();
    let told = scene.enter("juliet", &token);
    assert!(
        told.contains(MEMBER) && told.contains("code='110'"),
        "{told}"
    );
    let told = scene.enter("tybalt", &token);
    assert!(told.contains(EXPIRED), "{told}");
    // XEP-0488 §4: the member needs it no more, and brings it in vain.
    scene.leave("juliet");
    scene.0.advance(LONG).unwrap();
    let told = scene.enter("juliet", &token);
    assert!(
        told.contains(MEMBER) && told.contains("code='110'"),
        "{told}"
    );
    let told = scene.enter("tybalt", &token);
    assert!(told.contains(EXPIRED), "{told}");
}

#[test]
fn a_token_ends_with_its_time_and_by_revocation() {
    let mut scene = Scene::new();
    let (short, long) = (scene.token("delay='600'"), scene.token(""));
    scene.0.advance(Duration::from_secs(601)).unwrap();
    let told = scene.enter("juliet", &short);
    assert!(told.contains(EXPIRED), "{told}");
    let revoke = format!(
        "<iq type='set' id='r' to='vault@rooms.localhost'><revoke xmlns='urn:xmpp:muc-token-invite:0'>{long}</revoke></iq>"
    );
    let told = scene.ask("romeo", &revoke);
    assert!(told.contains("type='result'"), "{told}");
    let told = scene.enter("juliet", &long);
    assert!(told.contains(EXPIRED), "{told}");
}

#[test]
fn a_token_stands_for_the_password_once() {
    let mut scene = Scene::new();
    scene.ask(
        "romeo",
        "<iq type='set' id='c' to='vault@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'>\
         <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
         <value>http://jabber.org/protocol/muc#roomconfig</value></field>\
         <field var='muc#roomconfig_passwordprotectedroom'><value>1</value></field>\
         <field var='muc#roomconfig_roomsecret'><value>sesame</value></field></x></query></iq>",
    );
    let token = scene.token("");
    let told = scene.enter("juliet", &token);
    assert!(
        told.contains(MEMBER) && told.contains("code='110'"),
        "{told}"
    );
    scene.leave("juliet");
    let told = scene.enter("juliet", &token);
    assert!(told.contains("<not-authorized"), "{told}");
    let told = scene.enter("juliet", "sesame");
    assert!(told.contains("code='110'"), "{told}");
}

#[test]
fn an_occupant_has_the_same_id_after_the_room_was_not_in_memory() {
    let mut scene = Scene::new();
    let id = |told: &str| between(told, "id='", "'/></presence>").to_owned();
    scene.leave("romeo");
    let before = id(&scene.enter("romeo", ""));
    scene.leave("romeo");
    scene.0.advance(LONG).unwrap();
    assert_eq!(id(&scene.enter("romeo", "")), before);
    assert_eq!(before.len(), 40);
}

#[test]
fn who_waits_for_an_admin_waits_also_while_the_room_is_not_in_memory() {
    let mut scene = Scene::new();
    scene.leave("romeo");
    let told = scene.ask(
        "juliet",
        "<iq type='set' id='r' to='vault@rooms.localhost'><query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#register</value></field>\
         <field var='muc#register_roomnick'><value>jule</value></field></x></query></iq>",
    );
    assert!(told.contains("type='result'"), "{told}");
    scene.0.advance(LONG).unwrap();
    // The owner was not in the room, and is asked all the same.
    let told = scene.ask("romeo", "<presence/>");
    assert!(told.contains("muc#register_allow"), "{told}");
    let told = scene.ask(
        "romeo",
        "<message to='vault@rooms.localhost'><x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#register</value></field>\
         <field var='muc#register_jid'><value>juliet@localhost</value></field>\
         <field var='muc#register_allow'><value>1</value></field></x></message>",
    );
    assert_eq!(told, "");
    scene.0.advance(LONG).unwrap();
    let told = scene.ask(
        "juliet",
        "<iq type='get' id='q' to='vault@rooms.localhost'><query xmlns='jabber:iq:register'/></iq>",
    );
    assert!(told.contains("<username>jule</username>"), "{told}");
    let told = scene.enter("juliet", "");
    assert!(told.contains(MEMBER), "{told}");
}

impl Scene {
    fn command(&mut self, node: &str, fields: &[(&str, &str)]) -> String {
        let field = |(var, value): &(&str, &str)| {
            format!("<field var='hats#{var}'><value>{value}</value></field>")
        };
        let fields: String = fields.iter().map(field).collect();
        self.ask(
            "romeo",
            &format!(
                "<iq type='set' id='h' to='vault@rooms.localhost'>\
                 <command xmlns='http://jabber.org/protocol/commands' node='urn:xmpp:hats:commands:{node}'>\
                 <x xmlns='jabber:x:data' type='submit'>{fields}</x></command></iq>"
            ),
        )
    }

    fn affiliate(&mut self, who: &str, affiliation: &str) {
        let change = format!(
            "<iq type='set' id='a' to='vault@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#admin'>\
             <item affiliation='{affiliation}' jid='{who}@localhost'/></query></iq>"
        );
        let told = self.ask("romeo", &change);
        assert!(told.contains("type='result'"), "{told}");
    }
}

const HAT: &str = "<hat title='Guard' uri='urn:x:guard'/>";

#[test]
fn a_hat_is_worn_also_after_the_room_was_not_in_memory_and_goes_with_the_membership() {
    let mut scene = Scene::new();
    scene.affiliate("juliet", "member");
    scene.command("create", &[("title", "Guard"), ("uri", "urn:x:guard")]);
    let guard = [("jid", "juliet@localhost"), ("uri", "urn:x:guard")];
    let told = scene.command("assign", &guard);
    assert!(told.contains("status='completed'"), "{told}");
    scene.leave("romeo");
    scene.0.advance(LONG).unwrap();
    let told = scene.enter("juliet", "");
    assert!(told.contains(HAT), "{told}");
    scene.leave("juliet");
    scene.affiliate("juliet", "none");
    scene.affiliate("juliet", "member");
    let told = scene.enter("juliet", "");
    assert!(told.contains("code='110'") && !told.contains(HAT), "{told}");
    // The same from the records, and the hat is still there for others.
    scene.leave("juliet");
    scene.0.advance(LONG).unwrap();
    let told = scene.enter("juliet", "");
    assert!(told.contains("code='110'") && !told.contains(HAT), "{told}");
    let told = scene.command("assign", &guard);
    assert!(told.contains("status='completed'"), "{told}");
    let told = scene.enter("juliet", "");
    assert!(told.contains(HAT), "{told}");
}
