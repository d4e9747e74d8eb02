//! What strangers of other servers may send.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tercet_core::Stanza;
use tercet_server::{Clock, HostInfo, Limits, Server};
use tercet_testkit::Peer;

use crate::elsewhere::{Mailbag, from_elsewhere, juliet, received};
use crate::in_process::{InProcess, block_on};

fn write(server: &InProcess, from: &str, to: &str, text: &str) {
    let xml = format!(
        "<message from='{from}/x' to='{to}' type='chat' id='{text}'><body>{text}</body></message>"
    );
    from_elsewhere(server, &xml);
}

fn bodies(server: &mut InProcess) -> Vec<String> {
    let all = received(server);
    let bodies = all.iter().filter_map(|stanza| stanza.own_child("body"));
    bodies
        .map(|body| body.parse().root().text().into_owned())
        .collect()
}

/// How many messages of a stranger are taken until they come back.
fn taken(server: &InProcess, bag: &Mailbag, from: &str, to: &str) -> usize {
    bag.take();
    for count in 0..1000 {
        write(server, from, to, "hi");
        if let Some(back) = bag.texts().first() {
            assert!(back.contains("<policy-violation "), "{back}");
            assert!(back.contains(&format!("from='{to}'")), "{back}");
            return count;
        }
    }
    panic!("there is no bound");
}

#[test]
fn strangers_write_so_much_to_a_user_and_a_name_without_an_account_is_no_different() {
    let (mut server, bag) = juliet();
    server
        .configure("[modules.strangers]\nper_user = 10\nper_domain = 25")
        .unwrap();
    server.send("juliet", "<presence/>").unwrap();
    for to in ["juliet@localhost", "nobody@localhost"] {
        assert_eq!(taken(&server, &bag, "romeo@example.net", to), 10);
    }
    assert_eq!(bodies(&mut server).len(), 10);
    // The domain's bound is that of all its people, what came back included, and others have their own.
    assert_eq!(
        taken(&server, &bag, "paris@example.net", "nurse@localhost"),
        3
    );
    assert_eq!(
        taken(&server, &bag, "paris@example.org", "nurse@localhost"),
        7
    );
    // Time heals.
    server.server().advance(60_000);
    assert_eq!(
        taken(&server, &bag, "romeo@example.net", "juliet@localhost"),
        10
    );
    bodies(&mut server);
    // To whom the user writes is no stranger, nor is a contact.
    server
        .send(
            "juliet",
            "<message to='romeo@example.net'><body>yes?</body></message>",
        )
        .unwrap();
    for _ in 0..50 {
        write(&server, "romeo@example.net", "juliet@localhost", "ho");
    }
    assert_eq!(bodies(&mut server).len(), 50);
}

#[test]
fn where_strangers_are_refused_contacts_rooms_and_servers_are_not() {
    let (mut server, bag) = juliet();
    server
        .configure("[modules.strangers]\npolicy = 'refuse'")
        .unwrap();
    server.send("juliet", "<presence/>").unwrap();
    received(&mut server);
    for to in ["juliet@localhost", "nobody@localhost"] {
        assert_eq!(taken(&server, &bag, "romeo@example.net", to), 0);
    }
    let add = "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='romeo@example.net'/></query></iq>";
    server.send("juliet", add).unwrap();
    server
        .send("juliet", "<presence to='room@rooms.example.net/juliet'/>")
        .unwrap();
    received(&mut server);
    bag.take();
    write(&server, "romeo@example.net", "juliet@localhost", "contact");
    write(
        &server,
        "room@rooms.example.net",
        "juliet@localhost/balcony",
        "occupant",
    );
    from_elsewhere(
        &server,
        "<message from='example.net' to='juliet@localhost'><body>server</body></message>",
    );
    assert_eq!(bodies(&mut server), ["contact", "occupant", "server"]);
    // Who leaves the room is a stranger to it.
    server
        .send(
            "juliet",
            "<presence to='room@rooms.example.net/juliet' type='unavailable'/>",
        )
        .unwrap();
    assert_eq!(
        taken(&server, &bag, "room@rooms.example.net", "juliet@localhost"),
        0
    );
    // One may still ask to become a contact.
    from_elsewhere(
        &server,
        "<presence from='paris@example.net' to='juliet@localhost' type='subscribe'/>",
    );
    let asked = received(&mut server);
    assert!(
        asked.iter().any(|s| s.type_() == Some("subscribe")),
        "{asked:?}"
    );
}

#[test]
fn messages_that_are_put_aside_are_looked_at_taken_and_deleted_by_their_recipient() {
    let (mut server, bag) = juliet();
    server
        .configure("[modules.strangers]\npolicy = 'quarantine'")
        .unwrap();
    server.send("juliet", "<presence/>").unwrap();
    received(&mut server);
    for from in ["romeo@example.net", "paris@example.net"] {
        for text in ["one", "two"] {
            write(&server, from, "juliet@localhost", text);
        }
    }
    assert!(bodies(&mut server).is_empty() && bag.take().is_empty());
    let mut command = |node: &str, rest: &str| {
        let iq = format!(
            "<iq to='localhost' type='set' id='c'><command xmlns='http://jabber.org/protocol/commands' node='{node}'{rest}</iq>"
        );
        server.send("juliet", &iq).unwrap();
        received(&mut server)
    };
    let listed = format!("{:?}", command("strangers", "/>"));
    for part in [
        "romeo@example.net, 2024",
        "paris@example.net, 2024",
        "one",
        "two",
    ] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    let form = format!("{:?}", command("strangers-accept", "/>"));
    let session = form
        .split("sessionid='")
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap();
    let submit = format!(
        " sessionid='{session}'><x xmlns='jabber:x:data' type='submit'><field var='who'><value>romeo@example.net</value></field></x></command>"
    );
    let taken = command("strangers-accept", &submit);
    let texts: Vec<_> = taken.iter().filter_map(|s| s.own_child("body")).collect();
    assert_eq!(texts.len(), 2, "{taken:?}");
    assert!(format!("{taken:?}").contains("urn:xmpp:delay"));
    let listed = format!("{:?}", command("strangers", "/>"));
    assert!(
        !listed.contains("romeo@example.net") && listed.contains("paris@example.net"),
        "{listed}"
    );
    command("strangers-clear", "/>");
    let listed = format!("{:?}", command("strangers", "/>"));
    assert!(listed.contains("There are none"), "{listed}");
    // Whose messages were taken is known from now on.
    write(&server, "romeo@example.net", "juliet@localhost", "three");
    assert_eq!(bodies(&mut server), ["three"]);
}

#[test]
fn requests_of_strangers_do_not_fill_the_contact_list() {
    let (mut server, bag) = juliet();
    server
        .configure("[modules.strangers]\nrequests = 5")
        .unwrap();
    server.send("juliet", "<presence/>").unwrap();
    received(&mut server);
    for number in 0..20 {
        from_elsewhere(
            &server,
            &format!(
                "<presence from='u{number}@example.net' to='juliet@localhost' type='subscribe'/>"
            ),
        );
    }
    assert_eq!(received(&mut server).len(), 5);
    assert!(bag.take().is_empty(), "as at a name without an account");
    // Who has asked may ask again, and who is answered makes room.
    server
        .send(
            "juliet",
            "<presence to='u0@example.net' type='unsubscribed'/>",
        )
        .unwrap();
    from_elsewhere(
        &server,
        "<presence from='u19@example.net' to='juliet@localhost' type='subscribe'/>",
    );
    assert_eq!(received(&mut server).len(), 1);
}

#[test]
fn to_whom_the_user_has_written_is_known_after_a_restart() {
    let (mut server, bag) = juliet();
    server
        .send(
            "juliet",
            "<message to='romeo@example.net' type='chat'><body>hi</body></message>",
        )
        .unwrap();
    server
        .send(
            "juliet",
            "<message to='garden@rooms.example.net' type='groupchat'><body>hi</body></message>",
        )
        .unwrap();
    bag.take();
    let kept = |owner: &str| {
        let store = server.server().store();
        let kept = block_on(store.list(&tercet_modules::strangers::KNOWN, owner)).unwrap();
        kept.into_iter().map(|(jid, _)| jid).collect::<Vec<_>>()
    };
    assert_eq!(kept("juliet@localhost"), ["romeo@example.net"]);

    let clock = Clock::Manual(AtomicU64::new(server.server().now_ms()));
    let store = server.server().store().clone();
    let again = block_on(Server::new(store, Limits::default(), clock)).unwrap();
    let host = HostInfo {
        domain: "localhost".into(),
        modules: "[strangers]\npolicy = 'refuse'".parse().unwrap(),
        ..HostInfo::default()
    };
    again
        .configure(vec![host], tercet_modules::modules)
        .unwrap();
    let back = Arc::new(Mailbag::default());
    assert!(again.set_elsewhere(back.clone()));
    for (from, is_refused) in [("romeo@example.net", false), ("paris@example.net", true)] {
        let (from, to) = (from.parse().unwrap(), "juliet@localhost".parse().unwrap());
        let message =
            Stanza::parse(b"<message type='chat' id='m'><body>yes?</body></message>").unwrap();
        block_on(again.route(&from, &to, &message).wait());
        assert_eq!(!back.texts().is_empty(), is_refused, "{from}");
    }
}
