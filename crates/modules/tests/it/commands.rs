//! Commands with a form, whose session a script cannot know.

use tercet_core::{BareJid, OwnedElement};
use tercet_testkit::{Arrival, Client, Peer};

use crate::in_process::{InProcess, block_on};

const ADD: &str = "http://jabber.org/protocol/admin#add-user";
const DELETE: &str = "http://jabber.org/protocol/admin#delete-user";
const PASSWORD: &str = "http://jabber.org/protocol/admin#change-user-password";
const LIST: &str = "http://jabber.org/protocol/admin#get-registered-users-list";

fn client(name: &str, jid: &str) -> Client {
    Client {
        name: name.into(),
        jid: jid.into(),
        password: "password".into(),
        resource: Some("globe".into()),
    }
}

/// A server with an administrator and a user, both connected.
fn server() -> InProcess {
    let clients = [
        client("Bard", "bard@localhost"),
        client("Romeo", "romeo@localhost"),
    ];
    let mut server = InProcess::new(&clients);
    server.configure("admins = ['bard@localhost']").unwrap();
    for client in &clients {
        server.connect(client).unwrap();
    }
    server
}

fn ask(server: &mut InProcess, who: &str, command: &str) -> String {
    let xml = format!("<iq type='set' id='c' to='localhost'>{command}</iq>");
    server.send(who, &xml).unwrap();
    match server.receive(who).unwrap() {
        Arrival::Element(answer) => answer,
        other => panic!("{command} is answered with {other:?}"),
    }
}

/// Opens a command and returns its session.
fn open(server: &mut InProcess, who: &str, node: &str) -> String {
    let command = format!("<command xmlns='http://jabber.org/protocol/commands' node='{node}'/>");
    let answer = ask(server, who, &command);
    let answer = OwnedElement::parse(answer.as_bytes(), "jabber:client").unwrap();
    let command = answer.root().first_child().unwrap();
    assert_eq!(command.attr("status").as_deref(), Some("executing"));
    command.attr("sessionid").unwrap().into_owned()
}

/// Submits the form of an open command.
fn submit(
    server: &mut InProcess,
    who: &str,
    node: &str,
    id: &str,
    fields: &[(&str, &str)],
) -> String {
    let fields: String = fields
        .iter()
        .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
        .collect();
    ask(
        server,
        who,
        &format!(
            "<command xmlns='http://jabber.org/protocol/commands' node='{node}' sessionid='{id}'>\
             <x xmlns='jabber:x:data' type='submit'>{fields}</x></command>"
        ),
    )
}

fn run(server: &mut InProcess, node: &str, fields: &[(&str, &str)]) -> String {
    let id = open(server, "Bard", node);
    submit(server, "Bard", node, &id, fields)
}

fn fits(server: &InProcess, account: &str, password: &str) -> bool {
    let account = BareJid::parse(account).unwrap();
    block_on(server.server().check_password(&account, password.into())).unwrap()
}

#[test]
fn an_account_is_added_changed_listed_and_deleted() {
    let mut server = server();
    let juliet = ("accountjid", "juliet@localhost");
    let answer = run(
        &mut server,
        ADD,
        &[
            juliet,
            ("password", "capulet"),
            ("password-verify", "capulet"),
        ],
    );
    assert!(answer.contains("status='completed'"), "{answer}");
    assert!(answer.contains("type='info'"), "{answer}");
    assert!(fits(&server, "juliet@localhost", "capulet"));

    let again = run(&mut server, ADD, &[juliet, ("password", "other")]);
    assert!(again.contains("<note type='error'>"), "{again}");
    assert!(fits(&server, "juliet@localhost", "capulet"));

    let answer = run(&mut server, PASSWORD, &[juliet, ("password", "montague")]);
    assert!(answer.contains("type='info'"), "{answer}");
    assert!(fits(&server, "juliet@localhost", "montague"));

    let list = run(&mut server, LIST, &[]);
    assert!(
        list.contains(
            "<field var='registereduserjids'><value>bard@localhost</value>\
             <value>juliet@localhost</value><value>romeo@localhost</value></field>"
        ),
        "{list}"
    );
    let cut = run(&mut server, LIST, &[("max_items", "none")]);
    assert!(cut.contains("juliet@localhost"), "{cut}");

    let answer = run(&mut server, DELETE, &[("accountjids", "juliet@localhost")]);
    assert!(answer.contains("type='info'"), "{answer}");
    assert!(!fits(&server, "juliet@localhost", "montague"));
}

#[test]
fn entries_that_cannot_be_are_told_and_change_nothing() {
    let mut server = server();
    for (node, fields) in [
        (
            ADD,
            [
                ("accountjid", "juliet@elsewhere.example"),
                ("password", "x"),
            ],
        ),
        (ADD, [("accountjid", "localhost"), ("password", "x")]),
        (
            ADD,
            [
                ("accountjid", "juliet@localhost/balcony"),
                ("password", "x"),
            ],
        ),
        (
            PASSWORD,
            [("accountjid", "nobody@localhost"), ("password", "x")],
        ),
        (DELETE, [("accountjids", "nobody@localhost"), ("", "")]),
        (DELETE, [("accountjids", "bard@localhost"), ("", "")]),
    ] {
        let answer = run(&mut server, node, &fields);
        assert!(
            answer.contains("<note type='error'>"),
            "{fields:?}: {answer}"
        );
    }
    let differ = [
        ("accountjid", "a@localhost"),
        ("password", "x"),
        ("password-verify", "y"),
    ];
    let answer = run(&mut server, ADD, &differ);
    assert!(answer.contains("<note type='error'>"), "{answer}");
    assert!(fits(&server, "bard@localhost", "password"));
}

#[test]
fn a_form_that_is_not_complete_can_be_completed() {
    let mut server = server();
    let id = open(&mut server, "Bard", ADD);
    let answer = submit(
        &mut server,
        "Bard",
        ADD,
        &id,
        &[("accountjid", "juliet@localhost")],
    );
    assert!(
        answer.contains("<bad-payload xmlns='http://jabber.org/protocol/commands'/>"),
        "{answer}"
    );
    let fields = [("accountjid", "juliet@localhost"), ("password", "x")];
    let answer = submit(&mut server, "Bard", ADD, &id, &fields);
    assert!(answer.contains("status='completed'"), "{answer}");
    // XEP-0050 §4.3: a session that has ended is not used again.
    let answer = submit(&mut server, "Bard", ADD, &id, &fields);
    assert!(answer.contains("bad-sessionid"), "{answer}");
}

#[test]
fn a_session_is_cancelled_or_expires_and_is_nobody_elses() {
    let mut server = server();
    let fields = [("accountjid", "juliet@localhost"), ("password", "x")];

    let id = open(&mut server, "Bard", ADD);
    let answer = submit(&mut server, "Romeo", ADD, &id, &fields);
    assert!(answer.contains("<forbidden"), "{answer}");

    let cancel = format!(
        "<command xmlns='http://jabber.org/protocol/commands' node='{ADD}' sessionid='{id}' action='cancel'/>"
    );
    let answer = ask(&mut server, "Bard", &cancel);
    assert!(answer.contains("status='canceled'"), "{answer}");
    let answer = submit(&mut server, "Bard", ADD, &id, &fields);
    assert!(answer.contains("bad-sessionid"), "{answer}");

    let id = open(&mut server, "Bard", ADD);
    server
        .advance(std::time::Duration::from_secs(31 * 60))
        .unwrap();
    let answer = submit(&mut server, "Bard", ADD, &id, &fields);
    assert!(answer.contains("bad-sessionid"), "{answer}");
    assert!(!fits(&server, "juliet@localhost", "x"));
}

#[test]
fn users_say_how_long_their_messages_are_kept_and_administrators_for_how_long_they_may() {
    const OF: &str = "archive-keep-of";
    let mut server = server();
    let own = |server: &mut InProcess, who: &str, days: &str| {
        let id = open(server, who, "archive-keep");
        submit(server, who, "archive-keep", &id, &[("keep", days)])
    };
    let romeo = ("accountjid", "romeo@localhost");
    for (days, said) in [
        ("7", "are kept: 7 days."),
        (" forever ", "are kept: forever."),
        ("", "are kept: forever."),
        ("0", "<note type='error'>Possible are from 1 to 36500 days"),
        (
            "soon",
            "<note type='error'>Possible are from 1 to 36500 days",
        ),
    ] {
        let answer = own(&mut server, "Romeo", days);
        assert!(answer.contains(said), "{days}: {answer}");
    }
    let answer = run(&mut server, OF, &[romeo, ("keep", "30")]);
    assert!(
        answer.contains("romeo@localhost are kept: 30 days."),
        "{answer}"
    );
    for (days, said) in [
        ("30", "are kept: 30 days."),
        (
            "31",
            "<note type='error'>This server keeps them no longer than this: 30 days.",
        ),
        (
            "forever",
            "<note type='error'>This server keeps them no longer",
        ),
        ("1", "are kept: 1 day."),
    ] {
        let answer = own(&mut server, "Romeo", days);
        assert!(answer.contains(said), "{days}: {answer}");
    }
    // Somebody else's is the administrators' business, and an account has to be there.
    let command = format!("<command xmlns='http://jabber.org/protocol/commands' node='{OF}'/>");
    assert!(ask(&mut server, "Romeo", &command).contains("<forbidden"));
    for nobody in ["nobody@localhost", "romeo@elsewhere", "localhost"] {
        let answer = run(&mut server, OF, &[("accountjid", nobody), ("keep", "1")]);
        assert!(answer.contains("<note type='error'>"), "{answer}");
    }
}

#[test]
fn users_list_and_revoke_their_own_invitations_and_no_others() {
    const REVOKE: &str = "revoke-invitation";
    let mut server = server();
    let command = |node: &str| {
        format!("<command xmlns='http://jabber.org/protocol/commands' node='{node}'/>")
    };
    let list = |server: &mut InProcess, who: &str| ask(server, who, &command("invitations"));
    assert!(list(&mut server, "Romeo").contains("None of your invitations holds."));
    for who in ["Romeo", "Romeo", "Bard"] {
        ask(&mut server, who, &command("urn:xmpp:invite#invite"));
    }
    let links = |text: &str| -> Vec<String> {
        let links = text.split("/invite/").skip(1);
        links
            .map(|rest| rest.split('<').next().unwrap().to_owned())
            .collect()
    };
    let all = list(&mut server, "Romeo");
    let (of_romeo, of_bard) = (links(&all), links(&list(&mut server, "Bard")));
    assert_eq!((of_romeo.len(), of_bard.len()), (2, 1), "{all}");
    let revoke = |server: &mut InProcess, link: &str| {
        let id = open(server, "Romeo", REVOKE);
        submit(server, "Romeo", REVOKE, &id, &[("link", link)])
    };
    // Another user's, and one that nobody has made: alike.
    for link in [&*of_bard[0], "aaaaaaaaaaaaaaaaaaaaaaaa"] {
        let answer = revoke(&mut server, link);
        assert!(answer.contains("You have no such invitation."), "{answer}");
    }
    let link = format!("https://localhost:5281/invite/{}", of_romeo[0]);
    assert!(revoke(&mut server, &link).contains("The invitation has ended."));
    assert_eq!(links(&list(&mut server, "Romeo")), of_romeo[1..]);
    assert_eq!(links(&list(&mut server, "Bard")), of_bard);
}

#[test]
fn an_administrator_sees_a_users_contacts_and_figures_and_ends_sessions() {
    const ROSTER: &str = "http://jabber.org/protocol/admin#get-user-roster";
    const STATS: &str = "http://jabber.org/protocol/admin#user-stats";
    const END: &str = "http://jabber.org/protocol/admin#end-user-session";
    let mut server = server();
    let set = "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='juliet@localhost' name='J &amp; &lt;'><group>G</group></item></query></iq>";
    server.send("Romeo", set).unwrap();
    server.receive("Romeo").unwrap();
    let romeo = [("accountjids", "romeo@localhost")];
    // XEP-0133 §4.8: the roster stands in the form.
    let answer = run(&mut server, ROSTER, &romeo);
    let roster = "<field var='accountjids'><value>romeo@localhost</value></field><query xmlns='jabber:iq:roster'>\
        <item jid='juliet@localhost' name='J &amp; &lt;' subscription='none'><group>G</group></item></query></x>";
    assert!(answer.contains(roster), "{answer}");
    let answer = run(&mut server, STATS, &romeo);
    let size = "<field var='rostersize'><value>1</value></field>";
    let online = "<field var='onlineresources'><value>globe</value></field>";
    assert!(answer.contains(size) && answer.contains(online), "{answer}");
    for node in [ROSTER, STATS, END] {
        for bad in ["romeo@elsewhere", "localhost"] {
            let answer = run(&mut server, node, &[("accountjids", bad)]);
            assert!(
                answer.contains("<note type='error'>"),
                "{node} {bad}: {answer}"
            );
        }
    }
    for node in [ROSTER, STATS] {
        let nobody = run(&mut server, node, &[("accountjids", "nobody@localhost")]);
        assert!(nobody.contains("<note type='error'>"), "{nobody}");
        let answer = ask(
            &mut server,
            "Romeo",
            &format!("<command xmlns='http://jabber.org/protocol/commands' node='{node}'/>"),
        );
        assert!(answer.contains("<forbidden"), "{answer}");
    }
    let nobody = run(&mut server, END, &[("accountjids", "nobody@localhost")]);
    assert!(nobody.contains("0 sessions"), "{nobody}");
    // XEP-0133 §4.5: a full JID means one session alone.
    let other = run(
        &mut server,
        END,
        &[("accountjids", "romeo@localhost/other")],
    );
    assert!(other.contains("0 sessions"), "{other}");
    let ended = run(
        &mut server,
        END,
        &[("accountjids", "romeo@localhost/globe")],
    );
    assert!(ended.contains("1 sessions"), "{ended}");
    match server.receive("Romeo").unwrap() {
        Arrival::Element(error) => assert!(error.contains("policy-violation"), "{error}"),
        other => panic!("the session ends with {other:?}"),
    }
}
