//! Registration on streams that have not logged in (XEP-0077 §3.1).

use tercet_core::{BareJid, Stanza};
use tercet_modules::register::{Registered, preauth};
use tercet_testkit::{Client, Peer};

use crate::in_process::{InProcess, block_on};

fn server(config: &str) -> InProcess {
    let romeo = Client {
        name: "Romeo".into(),
        jid: "romeo@localhost".into(),
        password: "password".into(),
        resource: None,
    };
    let mut server = InProcess::new(std::slice::from_ref(&romeo));
    server.configure(config).unwrap();
    server.connect(&romeo).unwrap();
    server
}

fn open() -> InProcess {
    server("registration = { policy = 'open' }")
}

fn ask(server: &InProcess, kind: &str, content: &str) -> Registered {
    let xml = format!(
        "<iq type='{kind}' id='r' to='localhost'><query xmlns='jabber:iq:register'>{content}</query></iq>"
    );
    let stanza = Stanza::parse(xml.as_bytes()).unwrap();
    block_on(preauth(server.server(), "localhost", &stanza, None))
}

fn reply(registered: &Registered) -> &str {
    std::str::from_utf8(&registered.reply).unwrap()
}

fn check_refused(server: &InProcess, kind: &str, content: &str, condition: &str) {
    let registered = ask(server, kind, content);
    assert!(registered.created.is_none());
    let reply = reply(&registered);
    assert!(reply.contains("type='error'"), "{reply}");
    assert!(!reply.contains("<query"), "no password comes back: {reply}");
    assert!(
        reply.contains(&format!("<{condition} ")),
        "{content}: {reply}"
    );
}

#[test]
fn who_asks_gets_the_fields() {
    let server = open();
    let asked = ask(&server, "get", "");
    assert_eq!(
        reply(&asked),
        "<iq type='result' from='localhost' id='r'><query xmlns='jabber:iq:register'>\
         <instructions>Choose a name and a password.</instructions><username/><password/></query></iq>"
    );
}

#[test]
fn one_stream_makes_several_accounts_and_unknown_fields_are_ignored() {
    let server = open();
    for name in ["juliet", "Nurse"] {
        let fields = format!(
            "<password>secret</password><name>Anybody</name><email>a@b.example</email><username>{name}</username>"
        );
        let made = ask(&server, "set", &fields);
        assert_eq!(reply(&made), "<iq type='result' from='localhost' id='r'/>");
        let account = BareJid::parse(&format!("{name}@localhost")).unwrap();
        assert_eq!(made.created.as_ref(), Some(&account));
        let fits = block_on(server.server().check_password(&account, "secret".into()));
        assert!(fits.unwrap());
    }
}

#[test]
fn a_form_is_as_good_as_the_fields() {
    let form = "<x xmlns='jabber:x:data' type='submit'>\
                <field var='FORM_TYPE' type='hidden'><value>jabber:iq:register</value></field>\
                <field var='username'><value>juliet</value></field>\
                <field var='password'><value>secret</value></field></x>";
    assert!(ask(&open(), "set", form).created.is_some());
}

#[test]
fn what_cannot_be_is_refused() {
    let server = open();
    let set = |name: &str, password: &str| {
        format!("<username>{name}</username><password>{password}</password>")
    };
    check_refused(&server, "set", &set("romeo", "x"), "conflict");
    check_refused(&server, "set", &set("ROMEO", "x"), "conflict");
    check_refused(&server, "set", &set("", "x"), "not-acceptable");
    check_refused(&server, "set", &set("a b", "x"), "not-acceptable");
    check_refused(&server, "set", &set("a@b", "x"), "not-acceptable");
    check_refused(
        &server,
        "set",
        &set(&"a".repeat(1024), "x"),
        "not-acceptable",
    );
    check_refused(&server, "set", &set("juliet", ""), "not-acceptable");
    check_refused(
        &server,
        "set",
        &set("juliet", &"x".repeat(1025)),
        "not-acceptable",
    );
    check_refused(
        &server,
        "set",
        "<username>juliet</username>",
        "not-acceptable",
    );
    check_refused(&server, "set", "", "not-acceptable");
    check_refused(&server, "set", "<remove/>", "unexpected-request");
    check_refused(
        &server,
        "set",
        "<remove/><username>romeo</username>",
        "bad-request",
    );
}

#[test]
fn a_closed_host_makes_no_accounts() {
    for config in [
        "",
        "registration = { policy = 'closed' }",
        "registration = { policy = 'invite' }",
    ] {
        let server = server(config);
        check_refused(&server, "get", "", "not-allowed");
        let fields = "<username>juliet</username><password>x</password>";
        check_refused(&server, "set", fields, "not-allowed");
    }
    let off = server("registration = { policy = 'open' }\nmodules.register.enabled = false");
    check_refused(&off, "get", "", "service-unavailable");
}

#[test]
fn a_removed_account_leaves_nothing_to_who_takes_its_name() {
    let mut server = open();
    let private =
        "<query xmlns='jabber:iq:private'><secret xmlns='urn:example:diary'>mine</secret></query>";
    server
        .send("Romeo", &format!("<iq type='set' id='1'>{private}</iq>"))
        .unwrap();
    server
        .send("Romeo", "<iq type='set' id='2' to='localhost'><query xmlns='jabber:iq:register'><remove/></query></iq>")
        .unwrap();
    server.disconnect("Romeo").unwrap();
    let fields = "<username>romeo</username><password>other</password>";
    assert!(ask(&server, "set", fields).created.is_some());
    let account = BareJid::parse("romeo@localhost").unwrap();
    let old = block_on(server.server().check_password(&account, "password".into())).unwrap();
    assert!(!old);
    let kept = server
        .server()
        .store()
        .list(&tercet_modules::private::PRIVATE, "romeo@localhost");
    assert!(block_on(kept).unwrap().is_empty());
}
