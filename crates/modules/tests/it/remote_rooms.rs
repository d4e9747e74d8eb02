//! Rooms and people of two servers: theirs in ours, ours in theirs.

use std::sync::Arc;
use std::time::Duration;

use tercet_core::{Stanza, StanzaError};
use tercet_server::Letter;
use tercet_testkit::Peer;

use crate::elsewhere::{Mailbag, from_elsewhere, juliet, received};
use crate::in_process::{InProcess, block_on};

/// How a stanza fails to arrive.
type Loss = fn(&InProcess, &Letter);

const ROOM: &str = "garden@rooms.localhost";
const ROMEO: &str = "romeo@example.net/x";
const X: &str = "<x xmlns='http://jabber.org/protocol/muc'/>";
/// XEP-0045 §11.1: gone for a technical reason, which nobody takes for a kick.
const LOST: [&str; 2] = ["type='unavailable'", "code='333'"];

/// Juliet's room, kept, with her in it and what she was told behind her.
fn room() -> (InProcess, Arc<Mailbag>) {
    let (mut server, bag) = juliet();
    let say = |server: &mut InProcess, xml: &str| {
        server.send("juliet", xml).unwrap();
        received(server)
    };
    say(&mut server, "<presence/>");
    say(
        &mut server,
        &format!("<presence to='{ROOM}/juliet'>{X}</presence>"),
    );
    let fields = "<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>\
        <field var='muc#roomconfig_persistentroom'><value>1</value></field>";
    let configured = say(
        &mut server,
        &format!(
            "<iq type='set' id='o' to='{ROOM}'><query xmlns='http://jabber.org/protocol/muc#owner'>\
             <x xmlns='jabber:x:data' type='submit'>{fields}</x></query></iq>"
        ),
    );
    assert!(
        configured.iter().any(|s| s.type_() == Some("result")),
        "{configured:?}"
    );
    (server, bag)
}

fn enter(server: &InProcess, who: &str, nick: &str) {
    from_elsewhere(
        server,
        &format!("<presence from='{who}' to='{ROOM}/{nick}'>{X}</presence>"),
    );
}

/// A room in which Romeo of another server is, too.
fn room_with_romeo() -> (InProcess, Arc<Mailbag>) {
    let (mut server, bag) = room();
    enter(&server, ROMEO, "romeo");
    bag.take();
    received(&mut server);
    (server, bag)
}

fn text(stanzas: &[Stanza]) -> String {
    stanzas.iter().map(|stanza| format!("{stanza:?}")).collect()
}

/// A request of Juliet to the room.
fn ask(server: &mut InProcess, kind: &str, payload: &str) -> String {
    let iq = format!("<iq type='{kind}' id='q' to='{ROOM}'>{payload}</iq>");
    server.send("juliet", &iq).unwrap();
    text(&received(server))
}

#[test]
fn who_enters_from_elsewhere_sees_who_is_there_and_itself_last_and_talks_to_all_and_to_one() {
    let (mut server, bag) = room();
    server
        .send(
            "juliet",
            &format!("<message to='{ROOM}' type='groupchat'><body>before</body></message>"),
        )
        .unwrap();
    received(&mut server);
    enter(&server, ROMEO, "romeo");
    let sent = bag.texts();
    assert!(
        sent[0].contains(&format!("from='{ROOM}/juliet'")),
        "{sent:?}"
    );
    assert!(
        sent[1].contains(&format!("from='{ROOM}/romeo'")) && sent[1].contains("code='110'"),
        "{sent:?}"
    );
    assert!(
        sent[2].contains("before") && sent[3].contains("<subject"),
        "{sent:?}"
    );
    assert!(
        sent.iter().all(|s| s.contains(&format!("to='{ROMEO}'"))),
        "{sent:?}"
    );
    assert!(
        text(&received(&mut server)).contains(&format!("jid='{ROMEO}'")),
        "she is a moderator"
    );

    from_elsewhere(
        &server,
        &format!(
            "<message from='{ROMEO}' to='{ROOM}' type='groupchat' id='m'><body>hi all</body></message>"
        ),
    );
    let got = text(&received(&mut server));
    assert!(
        got.contains(&format!("from='{ROOM}/romeo'")) && got.contains("hi all"),
        "{got}"
    );
    let back = bag.texts();
    assert!(
        back.len() == 1 && back[0].contains("hi all") && back[0].contains("id='m'"),
        "{back:?}"
    );

    server
        .send(
            "juliet",
            &format!("<message to='{ROOM}/romeo' type='chat'><body>psst</body></message>"),
        )
        .unwrap();
    let got = bag.texts();
    assert!(
        got.len() == 1
            && got[0].contains("psst")
            && got[0].contains(&format!("from='{ROOM}/juliet'")),
        "{got:?}"
    );
    from_elsewhere(
        &server,
        &format!(
            "<message from='{ROMEO}' to='{ROOM}/juliet' type='chat'><body>what?</body></message>"
        ),
    );
    let got = text(&received(&mut server));
    assert!(
        got.contains("what?") && got.contains(&format!("from='{ROOM}/romeo'")),
        "{got}"
    );

    from_elsewhere(
        &server,
        &format!("<presence from='{ROMEO}' to='{ROOM}/romeo' type='unavailable'/>"),
    );
    let gone = text(&received(&mut server));
    assert!(
        gone.contains("type='unavailable'") && gone.contains(&format!("from='{ROOM}/romeo'")),
        "{gone}"
    );
    let own = bag.texts();
    assert!(own.len() == 1 && own[0].contains("code='110'"), "{own:?}");
    // Who has left is not heard.
    from_elsewhere(
        &server,
        &format!(
            "<message from='{ROMEO}' to='{ROOM}' type='groupchat' id='m'><body>again</body></message>"
        ),
    );
    assert!(received(&mut server).is_empty());
    assert!(bag.texts()[0].contains("<not-acceptable "));
}

#[test]
fn people_of_other_servers_are_kicked_promoted_and_banned_by_their_addresses() {
    let (mut server, bag) = room_with_romeo();
    let admin = "http://jabber.org/protocol/muc#admin";
    let done = ask(
        &mut server,
        "set",
        &format!(
            "<query xmlns='{admin}'><item affiliation='admin' jid='romeo@example.net'/></query>"
        ),
    );
    assert!(done.contains("type='result'"), "{done}");
    let told = bag.texts().concat();
    assert!(
        told.contains("affiliation='admin'") && told.contains("role='moderator'"),
        "{told}"
    );
    // An admin from elsewhere may read the lists.
    from_elsewhere(
        &server,
        &format!(
            "<iq from='{ROMEO}' to='{ROOM}' type='get' id='l'><query xmlns='{admin}'><item affiliation='outcast'/></query></iq>"
        ),
    );
    let list = bag.texts().concat();
    assert!(list.contains("type='result'"), "{list}");
    ask(
        &mut server,
        "set",
        &format!(
            "<query xmlns='{admin}'><item affiliation='none' jid='romeo@example.net'/></query>"
        ),
    );
    bag.take();
    let kicked = ask(
        &mut server,
        "set",
        &format!(
            "<query xmlns='{admin}'><item role='none' nick='romeo'><reason>noise</reason></item></query>"
        ),
    );
    assert!(kicked.contains("code='307'"), "{kicked}");
    let told = bag.texts().concat();
    assert!(
        told.contains("code='307'") && told.contains("noise") && told.contains("code='110'"),
        "{told}"
    );
    enter(&server, ROMEO, "romeo");
    bag.take();
    received(&mut server);
    ask(
        &mut server,
        "set",
        &format!(
            "<query xmlns='{admin}'><item affiliation='outcast' jid='romeo@example.net'/></query>"
        ),
    );
    assert!(bag.texts().concat().contains("code='301'"));
    enter(&server, ROMEO, "romeo");
    let refused = bag.texts().concat();
    assert!(
        refused.contains("type='error'") && refused.contains("<forbidden "),
        "{refused}"
    );
}

#[test]
fn who_cannot_be_reached_is_removed_as_section_18_2_says() {
    // Our own queue gives up, another server says that nobody is there, or one refuses for a reason of its own.
    let lost: [(&str, Loss); 2] = [
        ("our queue", |server, letter| {
            let error = StanzaError::remote_server_timeout().text("gone");
            block_on(server.server().undelivered(letter, &error).wait());
            server.run_due();
        }),
        ("their server", |server, letter| {
            let (from, to) = (&letter.to, &letter.from);
            from_elsewhere(
                server,
                &format!(
                    "<message from='{from}' to='{to}' type='error'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
                ),
            );
        }),
    ];
    for (who, fail) in lost {
        let (mut server, bag) = room_with_romeo();
        server
            .send(
                "juliet",
                &format!(
                    "<message to='{ROOM}' type='groupchat' id='m'><body>anybody?</body></message>"
                ),
            )
            .unwrap();
        received(&mut server);
        for letter in bag.take() {
            fail(&server, &letter);
        }
        let told = text(&received(&mut server));
        assert!(
            LOST.iter().all(|part| told.contains(part)) && !told.contains("code='307'"),
            "{who}: {told}"
        );
        assert!(
            told.contains(&format!("from='{ROOM}/romeo'")),
            "{who}: {told}"
        );
        // It may come back.
        enter(&server, ROMEO, "romeo");
        assert!(bag.texts().concat().contains("code='110'"), "{who}");
    }
    let (mut server, bag) = room_with_romeo();
    server
        .send(
            "juliet",
            &format!(
                "<message to='{ROOM}' type='groupchat' id='m'><body>anybody?</body></message>"
            ),
        )
        .unwrap();
    received(&mut server);
    let letter = bag.take().pop().unwrap();
    let error = StanzaError::not_acceptable();
    block_on(server.server().undelivered(&letter, &error).wait());
    server.run_due();
    assert!(received(&mut server).is_empty());
}

#[test]
fn rooms_have_the_lists_of_other_servers_of_their_host_and_let_go_whom_they_no_longer_speak_with() {
    let (mut server, bag) = room_with_romeo();
    server.configure("[peers]\ndeny = ['example.net']").unwrap();
    server
        .send(
            "juliet",
            &format!("<message to='{ROOM}' type='groupchat' id='m'><body>hm</body></message>"),
        )
        .unwrap();
    let told = text(&received(&mut server));
    assert!(LOST.iter().all(|part| told.contains(part)), "{told}");
    assert!(bag.take().is_empty());
}

#[test]
fn an_archive_is_for_those_who_may_enter_wherever_they_are() {
    let (mut server, bag) = room_with_romeo();
    server.send("juliet", &format!("<message to='{ROOM}' type='groupchat' id='m'><body>for the records</body></message>")).unwrap();
    received(&mut server);
    bag.take();
    let query = |server: &InProcess, who: &str| {
        from_elsewhere(
            server,
            &format!(
                "<iq from='{who}' to='{ROOM}' type='set' id='a'><query xmlns='urn:xmpp:mam:2' queryid='f'/></iq>"
            ),
        );
        bag.texts()
    };
    let page = query(&server, ROMEO);
    assert!(
        page[0].contains("for the records") && page[0].contains("queryid='f'"),
        "{page:?}"
    );
    assert!(page.last().unwrap().contains("<fin "), "{page:?}");
    for (to, what) in [
        (ROOM, "#info"),
        ("rooms.localhost", "#info"),
        ("rooms.localhost", "#items"),
    ] {
        from_elsewhere(
            &server,
            &format!(
                "<iq from='{ROMEO}' to='{to}' type='get' id='d'><query xmlns='http://jabber.org/protocol/disco{what}'/></iq>"
            ),
        );
        let answer = bag.texts().concat();
        assert!(
            answer.contains("type='result'") && answer.contains(&format!("from='{to}'")),
            "{answer}"
        );
    }
    let ban = "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='outcast' jid='romeo@example.net'/></query>";
    ask(&mut server, "set", ban);
    bag.take();
    let refused = query(&server, ROMEO).concat();
    assert!(
        refused.contains("<forbidden ") && !refused.contains("records"),
        "{refused}"
    );
}

#[test]
fn what_a_room_elsewhere_says_is_neither_kept_nor_copied_and_comes_back_when_nobody_is_there() {
    let (mut server, bag) = juliet();
    let there = "room@rooms.example.net";
    server.send("juliet", "<presence/>").unwrap();
    server
        .send(
            "juliet",
            &format!("<presence to='{there}/juliet'>{X}</presence>"),
        )
        .unwrap();
    received(&mut server);
    bag.take();
    let message = |to: &str| {
        format!(
            "<message from='{there}/romeo' to='{to}' type='groupchat' id='g'><body>from the room</body></message>"
        )
    };
    from_elsewhere(&server, &message("juliet@localhost/balcony"));
    assert!(text(&received(&mut server)).contains("from the room"));
    let query = "<iq type='set' id='a'><query xmlns='urn:xmpp:mam:2'/></iq>";
    server.send("juliet", query).unwrap();
    assert!(!text(&received(&mut server)).contains("from the room"));
    // A session that has gone: the room is told, and removes its ghost.
    from_elsewhere(&server, &message("juliet@localhost/garden"));
    let back = bag.texts();
    assert!(
        back.len() == 1
            && back[0].contains("<service-unavailable ")
            && back[0].contains(&format!("to='{there}/romeo'")),
        "{back:?}"
    );
    assert!(received(&mut server).is_empty());
    // Whether she is still there she asks the room (XEP-0410), whose answer is that of an occupant, or an error.
    server
        .send(
            "juliet",
            &format!(
                "<iq to='{there}/juliet' type='get' id='s'><ping xmlns='urn:xmpp:ping'/></iq>"
            ),
        )
        .unwrap();
    let letter = bag.take().pop().unwrap();
    let error = StanzaError::remote_server_not_found();
    block_on(server.server().undelivered(&letter, &error).wait());
    let told = text(&received(&mut server));
    assert!(
        told.contains("<remote-server-not-found ")
            && told.contains(&format!("from='{there}/juliet'")),
        "{told}"
    );
    // A room that is blocked is heard no more, and told so.
    server.send("juliet", &format!("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='{there}'/></block></iq>")).unwrap();
    let sent = bag.texts().concat();
    assert!(
        sent.contains("type='unavailable'") && sent.contains(there),
        "{sent}"
    );
    received(&mut server);
    from_elsewhere(&server, &message("juliet@localhost/balcony"));
    assert!(received(&mut server).is_empty());
    assert!(bag.texts().concat().contains("<service-unavailable "));
    // The end of a session is the end of its presence there.
    server.send("juliet", &format!("<iq type='set' id='b'><unblock xmlns='urn:xmpp:blocking'><item jid='{there}'/></unblock></iq>")).unwrap();
    server
        .send(
            "juliet",
            &format!("<presence to='{there}/juliet'>{X}</presence>"),
        )
        .unwrap();
    bag.take();
    server
        .send("juliet", "<presence type='unavailable'/>")
        .unwrap();
    let sent = bag.texts();
    assert!(
        sent.len() == 1 && sent[0].contains(&format!("to='{there}/juliet'")),
        "{sent:?}"
    );
}

#[test]
fn the_end_of_the_service_is_told_to_each_occupant_wherever_it_is_and_nobody_enters_any_more() {
    let (mut server, bag) = room_with_romeo();
    for n in 0..20 {
        enter(
            &server,
            &format!("guest{n}@example.net/x"),
            &format!("g{n}"),
        );
    }
    received(&mut server);
    bag.take();
    tercet_modules::muc::shut_down(server.server());
    // XEP-0045 §11.2: each hears of itself, and of nobody else.
    let told = received(&mut server);
    assert_eq!(told.len(), 1, "{told:?}");
    let (mine, theirs) = (text(&told), bag.texts());
    assert_eq!(theirs.len(), 21, "{theirs:?}");
    let to_romeo = theirs.iter().find(|s| s.contains(&format!("to='{ROMEO}'")));
    for (told, nick) in [(&mine, "juliet"), (to_romeo.unwrap(), "romeo")] {
        let from = format!("from='{ROOM}/{nick}'");
        for part in [
            "type='unavailable'",
            &from,
            "role='none'",
            "code='110'",
            "code='332'",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
    // What is said from now on is for the next time.
    enter(&server, ROMEO, "romeo");
    let refused = bag.texts().concat();
    for part in ["type='error'", "type='wait'", "<recipient-unavailable ", X] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let message = format!("<message to='{ROOM}' type='groupchat' id='m'><body>?</body></message>");
    server.send("juliet", &message).unwrap();
    let leaving = format!("<presence to='{ROOM}/juliet' type='unavailable'/>");
    server.send("juliet", &leaving).unwrap();
    let refused = text(&received(&mut server));
    assert_eq!(refused.matches("<recipient-unavailable ").count(), 1);
    assert!(bag.take().is_empty());
}

#[test]
fn much_for_another_server_goes_as_it_is_taken_complete_and_in_order() {
    const PEOPLE: usize = 120;
    const ROOMY: usize = 20_000;
    let (mut server, bag) = room();
    server.configure("[rooms]\nlarge = 20").unwrap();
    for n in 0..PEOPLE {
        enter(&server, &format!("p{n}@big.example/x"), &format!("n{n}"));
    }
    server.advance(Duration::from_secs(1)).unwrap();
    received(&mut server);
    bag.take();
    bag.bound(ROOMY);
    enter(&server, ROMEO, "romeo");
    for n in 0..5 {
        let said = format!("<message to='{ROOM}' type='groupchat'><body>word {n}</body></message>");
        server.send("juliet", &said).unwrap();
    }
    let mut to_romeo = Vec::new();
    let mut most = 0;
    loop {
        let letters = bag.take();
        if letters.is_empty() {
            break;
        }
        let bytes: usize = letters.iter().map(|letter| letter.bytes.len()).sum();
        most = most.max(bytes);
        let texts = letters
            .into_iter()
            .map(|l| (l.to, String::from_utf8(l.bytes).unwrap()));
        to_romeo.extend(texts.filter_map(|(to, text)| (to.as_str() == ROMEO).then_some(text)));
        server.advance(Duration::from_millis(50)).unwrap();
    }
    assert!(most < 2 * ROOMY, "{most} bytes at once");
    let own = to_romeo.iter().position(|s| s.contains("code='110'"));
    let own = own.unwrap();
    assert_eq!(own, PEOPLE + 1, "all others come first, each once");
    let words = to_romeo[own..].iter().filter(|s| s.contains("<body>"));
    let words: Vec<_> = words
        .map(|s| s.split("<body>").nth(1).unwrap().split('<').next().unwrap())
        .collect();
    assert_eq!(words, ["word 0", "word 1", "word 2", "word 3", "word 4"]);
    // The way is free again.
    bag.bound(0);
    server
        .send(
            "juliet",
            &format!("<message to='{ROOM}/romeo' type='chat'><body>psst</body></message>"),
        )
        .unwrap();
    assert_eq!(bag.texts().len(), 1);
}

#[test]
fn who_is_told_more_than_another_server_ever_takes_leaves_the_room() {
    let (mut server, bag) = room_with_romeo();
    bag.bound(1);
    let body = "x".repeat(200_000);
    let said = format!("<message to='{ROOM}' type='groupchat'><body>{body}</body></message>");
    let mut told = String::new();
    for _ in 0..100 {
        server.send("juliet", &said).unwrap();
        told += &text(&received(&mut server)).replace(&body, "");
        if told.contains("code='333'") {
            break;
        }
    }
    assert!(LOST.iter().all(|part| told.contains(part)), "{told}");
    let waiting: usize = bag.take().iter().map(|letter| letter.bytes.len()).sum();
    assert!(waiting < 1 << 20, "{waiting}");
}
