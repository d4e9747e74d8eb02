//! `tercet export` and `tercet import`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::lab::Lab;

const CONFIG: &str = "domain = \"tercet.test\"\n[listen]\naddresses = [\"127.0.0.1\"]\nc2s = 0\nc2s_tls = 0\ns2s = 0\ns2s_tls = 0\nhttp = 0\nhttps = 0\n[[host]]\ndomain = \"second.test\"\n";

/// A file with these accounts of `tercet.test`.
fn file(users: &str) -> String {
    format!(
        "<?xml version='1.0'?>\n<server-data xmlns='urn:xmpp:pie:0'><host jid='tercet.test'>\n{users}\n</host></server-data>"
    )
}

const ROMEO: &str = "<user name='romeo' password='rose'><query xmlns='jabber:iq:roster'>\
    <item jid='juliet@tercet.test' subscription='both'/></query></user>";

#[test]
fn accounts_go_from_one_server_to_another_and_come_out_the_same() {
    let (here, there) = (Lab::with(CONFIG), Lab::with(CONFIG));
    here.write("in.xml", &file(ROMEO));
    here.ok("import in.xml");
    here.ok("user add juliet@second.test --password x");
    let said = here.ok("export --out all.xml").out;
    assert!(said.starts_with("Wrote 2 accounts to all.xml."), "{said}");
    let path = here.path().join("all.xml");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let all = fs::read_to_string(&path).unwrap();
    assert!(all.contains("<host jid='second.test'>") && all.contains("<host jid='tercet.test'>"));
    assert!(all.contains("mechanism='SCRAM-SHA-256'"));
    there.write("all.xml", &all);
    let checked = there.ok("--json import all.xml --check --strict").json();
    assert_eq!(
        (&checked["done"], &checked["accounts"]),
        (&false.into(), &2.into())
    );
    assert_eq!(there.ok("user list").out, "");
    assert_eq!(
        there.ok("--json import all.xml --strict").json()["accounts"],
        2
    );
    assert_eq!(there.ok("export").out, all);
    // A file that is there is left alone.
    assert_eq!(here.run("export --out all.xml").code, 1);
    assert_eq!(fs::read_to_string(&path).unwrap(), all);
    here.ok("export --folder each");
    let one = fs::read_to_string(here.path().join("each/romeo@tercet.test.xml")).unwrap();
    assert!(one.contains("juliet@tercet.test") && !one.contains("second.test"));
    assert!(here.path().join("each/juliet@second.test.xml").exists());
    let nobody = here.run("export nobody@tercet.test --out none.xml");
    assert_eq!(
        nobody.err,
        "tercet: there is no account nobody@tercet.test\n"
    );
    assert!(!here.path().join("none.xml").exists());
}

#[test]
fn accounts_that_are_there_are_not_touched_unless_that_is_asked_for() {
    let lab = Lab::with(CONFIG);
    lab.write("in.xml", &file(&format!("{ROMEO}<user name='new'/>")));
    lab.ok("user add romeo@tercet.test --password thorn");
    let before = lab.ok("export").out;
    let refused = lab.run("import in.xml");
    assert_eq!(
        refused.err,
        "tercet: nothing was imported: 1 accounts are there already (romeo@tercet.test); see --existing\n"
    );
    assert_eq!(lab.ok("export").out, before);
    let skipped = lab.ok("--json import in.xml --existing skip").json();
    assert_eq!(skipped["there"], serde_json::json!(["romeo@tercet.test"]));
    assert_eq!(
        skipped["without_password"],
        serde_json::json!(["new@tercet.test"])
    );
    assert_eq!(lab.ok("export romeo@tercet.test").out, before);
    let running = lab.serve();
    let refused = lab.run("import in.xml --existing replace");
    assert!(refused.err.contains("stop it first"), "{}", refused.err);
    assert_eq!(running.end(), Some(0));
    lab.ok("import in.xml --existing replace");
    let after = lab.ok("export romeo@tercet.test").out;
    assert!(after.contains("juliet@tercet.test") && after != before);
}

#[test]
fn a_faulty_file_changes_nothing_and_is_told_with_its_place() {
    let lab = Lab::with(CONFIG);
    let check = |users: &str, expected: &str| {
        lab.write("in.xml", &file(users));
        let said = lab.run("import in.xml");
        assert_eq!(said.code, 1);
        assert_eq!(said.err, format!("tercet: {expected}\n"));
        assert_eq!(lab.ok("user list").out, "");
    };
    check(
        &format!("{ROMEO}\n<user name='a'><b></user>"),
        "in.xml: line 4, column 16: not well-formed XML",
    );
    check(
        &format!("{ROMEO}<!-- x -->"),
        &format!(
            "in.xml: line 3, column {}: restricted XML: comment, processing instruction, DTD or entity reference",
            ROMEO.len() + 1
        ),
    );
    check(
        &format!("{ROMEO}</host><host jid='third.test'><user name='x'/>"),
        &format!(
            "in.xml:3:{}: \"third.test\" is not a domain of this server, which serves second.test, tercet.test",
            ROMEO.len() + 31
        ),
    );
    check("<user/>", "in.xml: line 3, column 1: <user/> without name");
    lab.write(
        "in.xml",
        "<!DOCTYPE lolz [<!ENTITY lol 'lol'>]><lolz>&lol;</lolz>",
    );
    assert!(
        lab.run("import in.xml")
            .err
            .contains("line 1, column 1: restricted XML")
    );
    assert!(
        lab.run("import nowhere.xml")
            .err
            .contains("nowhere.xml: No such file")
    );
    lab.write(
        "in.xml",
        &file(&format!("{ROMEO}<user name='a@b'/><x xmlns='y'/>")),
    );
    let strict = lab.run("import in.xml --strict");
    assert_eq!(strict.code, 1);
    assert!(
        strict.out.contains("Nothing was imported."),
        "{}",
        strict.out
    );
    assert!(
        strict
            .out
            .contains("1 × accounts: \"a@b\" at \"tercet.test\" is no address"),
        "{}",
        strict.out
    );
    assert!(
        strict.out.contains("<x/> in the namespace \"y\""),
        "{}",
        strict.out
    );
    assert_eq!(lab.ok("user list").out, "");
    lab.ok("import in.xml");
    assert_eq!(lab.ok("user list").out, "romeo@tercet.test\n");
}

#[test]
fn files_that_are_included_are_read_and_none_from_elsewhere() {
    let lab = Lab::with(CONFIG);
    let include = |href: &str| {
        format!("<i:include xmlns:i='http://www.w3.org/2001/XInclude' href='{href}'/>")
    };
    let main = |href: &str| {
        format!(
            "<server-data xmlns='urn:xmpp:pie:0'>{}</server-data>",
            include(href)
        )
    };
    let host = format!(
        "<host xmlns='urn:xmpp:pie:0' jid='tercet.test'>{}</host>",
        include("tercet.test/romeo.xml")
    );
    lab.write("all.xml", &main("tercet.test.xml"));
    lab.write("tercet.test.xml", &host);
    fs::create_dir(lab.path().join("tercet.test")).unwrap();
    let user = ROMEO.replace("<user", "<user xmlns='urn:xmpp:pie:0'");
    lab.write("tercet.test/romeo.xml", &user);
    lab.ok("import all.xml --strict");
    assert!(
        lab.ok("export romeo@tercet.test")
            .out
            .contains("juliet@tercet.test")
    );
    for href in ["/etc/hostname", "../x.xml", "http://a/b.xml"] {
        lab.write("bad.xml", &main(href));
        let said = lab.run("import bad.xml");
        assert_eq!(said.code, 1, "{href}");
    }
    // A file that includes itself.
    lab.write("loop.xml", &include("loop.xml"));
    lab.write("all.xml", &main("loop.xml"));
    let said = lab.run("import all.xml");
    assert!(said.err.contains("too deep"), "{}", said.err);
}
