//! What comes of notifications: app servers that answer, fail, forget, or are not there.

use tercet_core::BareJid;
use tercet_modules::push::{Device, list, test};
use tercet_stream::c2s::sm::Enable;
use tercet_testkit::{Arrival, Client, Peer};

use crate::in_process::{InProcess, block_on};

const JULIET: &str = "juliet@localhost";
const APP: &str = "app@localhost/server";

fn client(name: &str, resource: &str) -> Client {
    Client {
        name: name.into(),
        jid: format!("{name}@localhost"),
        password: "password".into(),
        resource: Some(resource.into()),
    }
}

/// Juliet's phone wants to be woken by `service` and is gone; Romeo and an app server are there.
fn asleep(service: &str) -> InProcess {
    let phone = client("juliet", "phone");
    let mut server = InProcess::new(std::slice::from_ref(&phone));
    for client in [
        &phone,
        &client("romeo", "orchard"),
        &client("app", "server"),
    ] {
        server.connect(client).unwrap();
    }
    assert!(enable(&mut server, service, "phone").contains("type='result'"));
    server.disconnect("juliet").unwrap();
    server
}

fn enable(server: &mut InProcess, service: &str, node: &str) -> String {
    let enable = format!(
        "<iq type='set' id='e1'><enable xmlns='urn:xmpp:push:0' jid='{service}' node='{node}'/></iq>"
    );
    server.send("juliet", &enable).unwrap();
    got(server, "juliet").unwrap()
}

fn got(server: &mut InProcess, name: &str) -> Option<String> {
    match server.receive(name).unwrap() {
        Arrival::Element(text) => Some(text),
        _ => None,
    }
}

fn write(server: &mut InProcess) {
    let message = format!("<message to='{JULIET}' type='chat'><body>Wake up</body></message>");
    server.send("romeo", &message).unwrap();
}

fn wait(server: &mut InProcess, seconds: u64) {
    server
        .advance(std::time::Duration::from_secs(seconds))
        .unwrap();
}

/// The id of the notification that the app server gets; `None` if there is none.
fn notified(server: &mut InProcess) -> Option<String> {
    let request = got(server, "app")?;
    assert!(request.contains("<publish node='phone'>"), "{request}");
    let (_, id) = request.split_once(" id='").unwrap();
    Some(id.split('\'').next().unwrap().to_owned())
}

/// `who` answers; `error` is the condition and its type.
fn answer(server: &mut InProcess, who: &str, id: &str, error: Option<(&str, &str)>) {
    let reply = match error {
        None => format!("<iq type='result' id='{id}' to='localhost'/>"),
        Some((condition, kind)) => format!(
            "<iq type='error' id='{id}' to='localhost'><error type='{kind}'>\
             <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        ),
    };
    server.send(who, &reply).unwrap();
}

fn devices(server: &InProcess) -> Vec<Device> {
    let juliet = BareJid::parse(JULIET).unwrap();
    block_on(list(server.server(), &juliet)).unwrap().unwrap()
}

fn last_line(server: &InProcess) -> String {
    devices(server)[0].log.back().unwrap().1.clone()
}

#[test]
fn one_notification_at_a_time_and_a_pause_between_two() {
    let mut server = asleep(APP);
    write(&mut server);
    let first = notified(&mut server).unwrap();
    write(&mut server);
    write(&mut server);
    assert_eq!(notified(&mut server), None);
    answer(&mut server, "app", &first, None);
    assert_eq!(last_line(&server), "notified");
    // What happened meanwhile is told together, a second later.
    assert_eq!(notified(&mut server), None);
    wait(&mut server, 1);
    let second = notified(&mut server).unwrap();
    assert_ne!(first, second);
    answer(&mut server, "app", &second, None);
    wait(&mut server, 60);
    assert_eq!(notified(&mut server), None);
}

#[test]
fn only_the_app_server_itself_answers() {
    let mut server = asleep(APP);
    write(&mut server);
    let id = notified(&mut server).unwrap();
    answer(
        &mut server,
        "romeo",
        &id,
        Some(("item-not-found", "cancel")),
    );
    answer(
        &mut server,
        "app",
        "guessed",
        Some(("item-not-found", "cancel")),
    );
    assert_eq!(last_line(&server), "enabled");
    answer(&mut server, "app", &id, None);
    assert_eq!(last_line(&server), "notified");
    // Once.
    answer(&mut server, "app", &id, Some(("item-not-found", "cancel")));
    assert_eq!(devices(&server).len(), 1);
}

#[test]
fn an_app_server_that_says_that_the_device_is_gone_is_believed() {
    for condition in ["item-not-found", "gone", "forbidden"] {
        let mut server = asleep(APP);
        write(&mut server);
        let id = notified(&mut server).unwrap();
        answer(&mut server, "app", &id, Some((condition, "cancel")));
        assert!(devices(&server).is_empty());
        write(&mut server);
        wait(&mut server, 24 * 60 * 60);
        assert_eq!(notified(&mut server), None);
    }
}

#[test]
fn after_failures_the_pauses_get_longer_until_the_app_server_is_back() {
    let mut server = asleep(APP);
    write(&mut server);
    for pause in [30, 60, 120] {
        let id = notified(&mut server).unwrap();
        answer(
            &mut server,
            "app",
            &id,
            Some(("internal-server-error", "wait")),
        );
        let expected = format!("internal-server-error; again in {pause} s");
        assert_eq!(last_line(&server), expected);
        wait(&mut server, pause - 1);
        write(&mut server);
        assert_eq!(notified(&mut server), None);
        wait(&mut server, 1);
    }
    let id = notified(&mut server).unwrap();
    answer(&mut server, "app", &id, None);
    assert_eq!(devices(&server)[0].failures, 0);
}

#[test]
fn an_app_server_that_cannot_be_reached_is_away_and_not_gone() {
    for service in ["push.example.com", "app@localhost/elsewhere"] {
        let mut server = asleep(service);
        write(&mut server);
        let device = devices(&server).remove(0);
        assert_eq!(device.failures, 1, "{service}: {:?}", device.log);
        assert!(device.log.back().unwrap().1.contains("again in 30 s"));
    }
}

#[test]
fn a_test_notifies_every_device_whatever_happened_before() {
    let mut server = asleep(APP);
    let juliet = BareJid::parse(JULIET).unwrap();
    server.connect(&client("juliet", "phone")).unwrap();
    assert!(enable(&mut server, "push.example.com", "other").contains("type='result'"));
    let trials = block_on(test(server.server(), &juliet)).unwrap();
    server.run_due();
    let id = notified(&mut server).unwrap();
    answer(&mut server, "app", &id, None);
    let outcomes: Vec<_> = trials
        .iter()
        .map(|trial| trial.outcome.get().unwrap().as_str())
        .collect();
    assert_eq!(
        outcomes,
        ["notified", "remote-server-not-found; again in 30 s"]
    );
    // It was a test: nothing is made up for.
    wait(&mut server, 60);
    assert_eq!(notified(&mut server), None);
}

#[test]
fn an_account_has_20_devices_and_the_oldest_gives_way() {
    let mut server = asleep(APP);
    server.connect(&client("juliet", "desk")).unwrap();
    for number in 0..20 {
        wait(&mut server, 1);
        let node = format!("n{number}");
        assert!(enable(&mut server, APP, &node).contains("type='result'"));
    }
    let nodes: Vec<_> = devices(&server)
        .into_iter()
        .map(|device| device.node.unwrap())
        .collect();
    assert_eq!(nodes.len(), 20);
    assert!(!nodes.contains(&"phone".to_owned()));
    // Those of a device that is connected stay.
    assert!(enable(&mut server, APP, "more").contains("resource-constraint"));
}

/// Juliet's phone is there, and what it gets is acknowledged.
fn acknowledging() -> InProcess {
    let mut server = asleep(APP);
    server.connect(&client("juliet", "phone")).unwrap();
    let session = server.session("juliet");
    server
        .send("juliet", "<presence><priority>1</priority></presence>")
        .unwrap();
    let enable = Enable {
        resume: true,
        max: None,
    };
    server.server().enable_management(&session, &enable, true);
    server
}

#[test]
fn a_device_whose_connection_is_lost_is_woken_for_what_it_has_not_heard() {
    let mut server = acknowledging();
    let session = server.session("juliet");
    // Written to a connection that nobody reads any more.
    write(&mut server);
    assert_eq!(notified(&mut server), None);
    block_on(server.server().disconnect(&session).wait());
    server.run_due();
    let id = notified(&mut server).unwrap();
    answer(&mut server, "app", &id, None);
    // While it is away.
    wait(&mut server, 1);
    write(&mut server);
    assert!(notified(&mut server).is_some());
}

#[test]
fn a_device_whose_connection_is_lost_sleeps_on_if_it_has_missed_nothing() {
    let mut server = acknowledging();
    let session = server.session("juliet");
    let state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
    let message = format!("<message to='{JULIET}' type='chat'>{state}</message>");
    server.send("romeo", &message).unwrap();
    block_on(server.server().disconnect(&session).wait());
    server.run_due();
    assert_eq!(notified(&mut server), None);
}

#[test]
fn a_room_wakes_the_device_that_has_joined() {
    let mut server = asleep(APP);
    let message = |resource: &str| {
        format!("<message to='{JULIET}/{resource}' type='groupchat'><body>All</body></message>")
    };
    server.send("romeo", &message("desk")).unwrap();
    assert_eq!(notified(&mut server), None);
}

/// Romeo makes a room for members only, of which Juliet is one, and says something there.
fn speak_in_room(server: &mut InProcess, open: bool) {
    let room = "hall@rooms.localhost";
    let muc = "http://jabber.org/protocol/muc";
    let members_only = if open { "0" } else { "1" };
    for xml in [
        format!("<presence to='{room}/romeo'><x xmlns='{muc}'/></presence>"),
        // Before the room is for members only: who is put on the list of such a room is invited, which wakes devices, too.
        format!(
            "<iq type='set' id='a' to='{room}'><query xmlns='{muc}#admin'>\
             <item affiliation='member' jid='{JULIET}'/></query></iq>"
        ),
        format!(
            "<iq type='set' id='c' to='{room}'><query xmlns='{muc}#owner'><x xmlns='jabber:x:data' type='submit'>\
             <field var='FORM_TYPE'><value>{muc}#roomconfig</value></field>\
             <field var='muc#roomconfig_membersonly'><value>{members_only}</value></field></x></query></iq>"
        ),
        format!(
            "<message to='{room}' type='groupchat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>"
        ),
    ] {
        server.send("romeo", &xml).unwrap();
    }
    assert_eq!(notified(server), None);
    let message = format!("<message to='{room}' type='groupchat'><body>Wake up</body></message>");
    server.send("romeo", &message).unwrap();
}

#[test]
fn what_is_said_in_a_room_for_members_wakes_those_who_are_away() {
    let mut server = asleep(APP);
    speak_in_room(&mut server, false);
    assert!(notified(&mut server).is_some());
}

#[test]
fn what_is_said_in_an_open_room_wakes_nobody() {
    let mut server = asleep(APP);
    speak_in_room(&mut server, true);
    assert_eq!(notified(&mut server), None);
}
