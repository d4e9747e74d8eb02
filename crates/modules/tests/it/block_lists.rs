//! Block lists of another service: followed, believed only from there, and kept.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tercet_modules::block_lists;
use tercet_server::{Clock, HostInfo, Limits, Server};
use tercet_testkit::Peer;

use crate::elsewhere::{Mailbag, from_elsewhere, juliet, received};
use crate::in_process::{InProcess, block_on};

const LISTS: &str = "lists.example.org";
const ROMEO: &str = "romeo@example.net";
/// SHA-256 of `romeo@example.net`.
const HASH: &str = "7e578a5f03ff9660625f4806c24d3845007c9fa226dcd63e1075b299cbbe2da9";
const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
const ROOM: &str = "garden@rooms.localhost";
const X: &str = "<x xmlns='http://jabber.org/protocol/muc'/>";
const HOUR_MS: u64 = 3_600_000;

/// Answers the request in `sent` that has `part` in it, with an error if `payload` is one.
fn answer(server: &InProcess, sent: &[String], part: &str, payload: &str) {
    let request = sent.iter().find(|text| text.contains(part));
    let request = request.unwrap_or_else(|| panic!("no {part} in {sent:?}"));
    assert!(request.contains(&format!("to='{LISTS}'")), "{request}");
    assert!(request.contains("from='localhost'"), "{request}");
    let id = request.split("id='").nth(1).unwrap().split('\'').next();
    let id = id.unwrap();
    let kind = match payload.starts_with("<error") {
        true => "error",
        false => "result",
    };
    from_elsewhere(
        server,
        &format!("<iq from='{LISTS}' to='localhost' type='{kind}' id='{id}'>{payload}</iq>"),
    );
}

fn page(ids: &[&str], set: &str) -> String {
    let items: String = ids.iter().map(|id| format!("<item id='{id}'/>")).collect();
    format!("<pubsub xmlns='{PUBSUB}'><items node='bans'>{items}</items>{set}</pubsub>")
}

fn publish(server: &InProcess, from: &str, content: &str) {
    from_elsewhere(
        server,
        &format!(
            "<message from='{from}' to='localhost' type='headline'>\
             <event xmlns='{PUBSUB}#event'>{content}</event></message>"
        ),
    );
}

fn items(content: &str) -> String {
    format!("<items node='bans'>{content}</items>")
}

/// Juliet's server, which has just asked for a list.
fn asking(more: &str) -> (InProcess, Arc<Mailbag>) {
    let (mut server, bag) = juliet();
    server
        .configure(&format!(
            "[modules.block_lists]\nlists = ['{LISTS}/bans']\n{more}"
        ))
        .unwrap();
    block_lists::keep_up(server.server());
    server.run_due();
    server.send("juliet", "<presence/>").unwrap();
    received(&mut server);
    (server, bag)
}

/// Juliet's server, which follows a list with these items.
fn following(ids: &[&str]) -> (InProcess, Arc<Mailbag>) {
    let (server, bag) = asking("");
    subscribed(&server, &bag);
    answer(&server, &bag.texts(), "<items ", &page(ids, ""));
    assert_eq!(bag.texts(), Vec::<String>::new());
    (server, bag)
}

fn subscribed(server: &InProcess, bag: &Mailbag) {
    let yes = format!(
        "<pubsub xmlns='{PUBSUB}'><subscription node='bans' jid='localhost' subscription='subscribed'/></pubsub>"
    );
    answer(server, &bag.texts(), "<subscribe ", &yes);
}

/// What comes back to `from` of a message to `to`; empty: it was taken.
fn write(server: &InProcess, bag: &Mailbag, from: &str, to: &str) -> String {
    bag.take();
    let xml =
        format!("<message from='{from}/x' to='{to}' type='chat' id='m'><body>hi</body></message>");
    from_elsewhere(server, &xml);
    bag.texts().concat()
}

fn state(server: &InProcess) -> block_lists::Shown {
    let mut all = block_on(block_lists::show(server.server())).unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[test]
fn whoever_is_on_a_list_is_refused_from_then_on_and_until_it_says_otherwise() {
    let (mut server, bag) = following(&[]);
    assert_eq!(write(&server, &bag, ROMEO, "juliet@localhost"), "");
    publish(&server, LISTS, &items(&format!("<item id='{HASH}'/>")));
    for to in ["juliet@localhost", "nobody@localhost"] {
        let back = write(&server, &bag, ROMEO, to);
        assert!(back.contains("<policy-violation "), "{back}");
        assert!(back.contains("lists.example.org/bans"), "{back}");
        bag.take();
        let ask = format!("<presence from='{ROMEO}' to='{to}' type='subscribe' id='s'/>");
        from_elsewhere(&server, &ask);
        let back = bag.texts().concat();
        assert!(back.contains("<policy-violation "), "{back}");
    }
    assert_eq!(
        write(&server, &bag, "paris@example.net", "juliet@localhost"),
        ""
    );
    assert_eq!(state(&server).refused, 4);
    publish(&server, LISTS, &items(&format!("<retract id='{HASH}'/>")));
    assert_eq!(write(&server, &bag, ROMEO, "juliet@localhost"), "");
    // A domain stands for all its people; addresses may be written out.
    publish(&server, LISTS, &items("<item id='example.net'/>"));
    assert_ne!(
        write(&server, &bag, "paris@example.net", "juliet@localhost"),
        ""
    );
    assert_eq!(
        write(&server, &bag, "paris@a.example.net", "juliet@localhost"),
        ""
    );
    publish(&server, LISTS, "<purge node='bans'/>");
    assert_eq!(write(&server, &bag, ROMEO, "juliet@localhost"), "");
    publish(&server, LISTS, &items(&format!("<item id='{ROMEO}'/>")));
    assert_ne!(write(&server, &bag, ROMEO, "juliet@localhost"), "");
    // To whom the user writes, and who is a contact, is heard.
    server
        .send(
            "juliet",
            &format!("<message to='{ROMEO}'><body>yes?</body></message>"),
        )
        .unwrap();
    assert_eq!(write(&server, &bag, ROMEO, "juliet@localhost"), "");
    publish(&server, LISTS, "<delete node='bans'/>");
    assert_eq!(state(&server).entries, 0);
    assert!(state(&server).error.is_some());
}

#[test]
fn only_the_service_itself_is_believed_and_nobody_of_this_server_is_listed() {
    let (server, bag) = following(&[]);
    let content = items(&format!("<item id='{HASH}'/>"));
    for from in [
        "example.net",
        "x@lists.example.org",
        "lists.example.org/x",
        "example.org",
    ] {
        publish(&server, from, &content);
    }
    publish(&server, LISTS, &content.replace("bans", "other"));
    assert_eq!(write(&server, &bag, ROMEO, "juliet@localhost"), "");
    // An answer to what was not asked, and one from elsewhere.
    let iq = format!(
        "<iq from='{LISTS}' to='localhost' type='result' id='x'>{}</iq>",
        page(&[HASH], "")
    );
    from_elsewhere(&server, &iq);
    assert_eq!(state(&server).entries, 0);
    publish(
        &server,
        LISTS,
        &items("<item id='localhost'/><item id='juliet@localhost'/>"),
    );
    assert_eq!(state(&server).entries, 2);
    let list = server.server().host("localhost").unwrap();
    let guard = list.provided::<block_lists::Guard>().next().unwrap();
    let juliet = "juliet@localhost".parse().unwrap();
    assert_eq!(guard.finds(server.server(), &juliet), None);
}

#[test]
fn a_list_is_read_page_by_page_and_what_is_said_meanwhile_counts() {
    let (server, bag) = asking("");
    subscribed(&server, &bag);
    let rsm = |last: &str| {
        format!(
            "<set xmlns='http://jabber.org/protocol/rsm'><last>{last}</last><count>3</count></set>"
        )
    };
    let first = page(&["a.example", "b.example"], &rsm("b.example"));
    answer(&server, &bag.texts(), "<items ", &first);
    publish(
        &server,
        LISTS,
        &items("<retract id='a.example'/><item id='d.example'/>"),
    );
    let last = page(&["c.example"], &rsm("c.example"));
    answer(&server, &bag.texts(), "<after>b.example</after>", &last);
    for (domain, is_refused) in [("a", false), ("b", true), ("c", true), ("d", true)] {
        let back = write(
            &server,
            &bag,
            &format!("x@{domain}.example"),
            "juliet@localhost",
        );
        assert_eq!(!back.is_empty(), is_refused, "{domain}: {back}");
    }
}

#[test]
fn a_list_that_is_not_reached_stays_as_it_was_also_after_a_restart() {
    let (server, bag) = following(&[HASH, "spam.example"]);
    // Read again after the interval, and this time in vain.
    server.server().advance(HOUR_MS);
    server.run_due();
    let error = "<error type='cancel'><remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    answer(&server, &bag.texts(), "<subscribe ", error);
    answer(&server, &bag.texts(), "<items ", error);
    let shown = state(&server);
    assert_eq!((shown.entries, shown.error.is_some()), (2, true));
    assert_ne!(write(&server, &bag, ROMEO, "juliet@localhost"), "");
    // Tried again soon; nobody answers, and silence is a failure, too.
    server.server().advance(30_000);
    server.run_due();
    assert!(bag.texts().concat().contains("<subscribe "));
    server.server().advance(60_000);
    server.run_due();
    assert_eq!(state(&server).error.as_deref(), Some("no answer"));

    let clock = Clock::Manual(AtomicU64::new(server.server().now_ms()));
    let store = server.server().store().clone();
    let again = block_on(Server::new(store, Limits::default(), clock)).unwrap();
    let modules = format!("[block_lists]\nlists = ['{LISTS}/bans']");
    let host = HostInfo {
        domain: "localhost".into(),
        modules: modules.parse().unwrap(),
        ..HostInfo::default()
    };
    again
        .configure(vec![host], tercet_modules::modules)
        .unwrap();
    let romeo = format!("{ROMEO}/x").parse().unwrap();
    let found = block_on(block_lists::find(&again, &romeo)).unwrap();
    assert_eq!(found.len(), 1);
    assert!(!found[0].is_domain && found[0].host == "localhost");
}

#[test]
fn a_list_that_is_given_up_is_forgotten() {
    let (mut server, bag) = following(&[HASH]);
    server.configure("").unwrap();
    block_lists::reconfigured(server.server());
    server.run_due();
    assert!(bag.texts().concat().contains("<unsubscribe "));
    assert_eq!(write(&server, &bag, ROMEO, "juliet@localhost"), "");
    let kept = server
        .server()
        .store()
        .list(&block_lists::LISTED, "localhost");
    assert_eq!(block_on(kept).unwrap(), []);
}

#[test]
fn of_a_list_that_is_too_long_so_much_is_kept() {
    let (server, bag) = asking("entries = 2");
    subscribed(&server, &bag);
    let all = page(&["a.example", "b.example", "c.example"], "");
    answer(&server, &bag.texts(), "<items ", &all);
    publish(&server, LISTS, &items("<item id='d.example'/>"));
    let shown = state(&server);
    assert_eq!(shown.entries, 2);
    assert!(shown.error.unwrap().contains("more than 2 entries"));
}

#[test]
fn a_list_is_read_again_when_its_server_was_away() {
    let (server, bag) = following(&[]);
    server.server().disturbed(LISTS);
    server.server().advance(15_000);
    server.run_due();
    assert!(bag.texts().concat().contains("<subscribe "));
}

#[test]
fn who_is_on_a_list_leaves_the_rooms_and_does_not_enter_them_unless_they_say_so() {
    let (mut server, bag) = following(&[]);
    let enter = |server: &InProcess, who: &str| {
        let nick = who.split('@').next().unwrap();
        let xml = format!("<presence from='{who}/x' to='{ROOM}/{nick}'>{X}</presence>");
        from_elsewhere(server, &xml);
    };
    server
        .send(
            "juliet",
            &format!("<presence to='{ROOM}/juliet'>{X}</presence>"),
        )
        .unwrap();
    let unlock = format!(
        "<iq type='set' id='o' to='{ROOM}'><query xmlns='http://jabber.org/protocol/muc#owner'>\
         <x xmlns='jabber:x:data' type='submit'/></query></iq>"
    );
    server.send("juliet", &unlock).unwrap();
    enter(&server, ROMEO);
    enter(&server, "paris@example.net");
    bag.take();
    received(&mut server);
    publish(&server, LISTS, &items(&format!("<item id='{HASH}'/>")));
    let told = bag.texts();
    let romeo: Vec<_> = told.iter().filter(|t| t.contains("to='romeo@")).collect();
    assert!(
        romeo
            .iter()
            .any(|t| t.contains("code='307'") && t.contains(LISTS)),
        "{told:?}"
    );
    server.server().advance(1000);
    server.run_due();
    let seen: String = received(&mut server)
        .iter()
        .map(|s| format!("{s:?}"))
        .collect();
    assert!(
        seen.contains("garden@rooms.localhost/romeo") && seen.contains("307"),
        "{seen}"
    );
    assert!(!seen.contains("/paris"), "{seen}");
    bag.take();
    enter(&server, ROMEO);
    let back = bag.texts().concat();
    assert!(
        back.contains("<forbidden ") && back.contains(LISTS),
        "{back}"
    );
    // The room's owner knows better.
    let member = format!(
        "<iq type='set' id='a' to='{ROOM}'><query xmlns='http://jabber.org/protocol/muc#admin'>\
         <item affiliation='member' jid='{ROMEO}'/></query></iq>"
    );
    server.send("juliet", &member).unwrap();
    bag.take();
    enter(&server, ROMEO);
    let back = bag.texts().concat();
    assert!(
        back.contains("code='110'") && !back.contains("<forbidden "),
        "{back}"
    );
}
