//! What is kept of reports.

use tercet_modules::report::page;
use tercet_testkit::{Arrival, Client, Peer};

use crate::in_process::{InProcess, block_on};

fn juliet() -> (InProcess, Client) {
    let client = Client {
        name: "juliet".into(),
        jid: "juliet@localhost".into(),
        password: "password".into(),
        resource: None,
    };
    let mut server = InProcess::new(std::slice::from_ref(&client));
    server.connect(&client).unwrap();
    (server, client)
}

fn block(server: &mut InProcess, number: usize) -> String {
    let xml = format!(
        "<iq type='set' id='b{number}'><block xmlns='urn:xmpp:blocking'><item jid='spam{number}@example.net'>\
         <report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'><text>Buy {number}!</text></report>\
         </item></block></iq>"
    );
    server.send("juliet", &xml).unwrap();
    match server.receive("juliet").unwrap() {
        Arrival::Element(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn reports_are_kept_newest_first_and_a_user_files_so_many() {
    let (mut server, _) = juliet();
    for number in 0..25 {
        // The block holds, whether its report is kept or not.
        assert!(block(&mut server, number).contains("result"));
    }
    let (first, next) = block_on(page(server.server(), "localhost", None, 15)).unwrap();
    let (second, end) = block_on(page(server.server(), "localhost", next, 15)).unwrap();
    assert_eq!((first.len(), second.len(), end), (15, 5, None));
    let about: Vec<_> = first
        .iter()
        .chain(&second)
        .map(|kept| kept.about.to_string())
        .collect();
    let expected: Vec<_> = (0..20)
        .rev()
        .map(|number| format!("spam{number}@example.net"))
        .collect();
    assert_eq!(about, expected);
    assert_eq!(first[0].by.as_str(), "juliet@localhost");
    assert_eq!(first[0].report.text.as_deref(), Some("Buy 19!"));
}

#[test]
fn without_the_module_a_report_is_not_kept_and_the_block_holds() {
    let (mut server, client) = juliet();
    server
        .configure("[modules.report]\nenabled = false\n")
        .unwrap();
    server.connect(&client).unwrap();
    assert!(block(&mut server, 1).contains("result"));
    let (kept, _) = block_on(page(server.server(), "localhost", None, 15)).unwrap();
    assert!(kept.is_empty());
}

#[test]
fn a_report_goes_to_the_server_of_who_is_reported_where_its_user_agrees_and_says_nothing_of_the_user()
 {
    let (mut server, bag) = crate::elsewhere::juliet();
    let report = |server: &mut InProcess, jid: &str, origin: &str| {
        let xml = format!(
            "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='{jid}'>\
             <report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'>\
             <stanza-id xmlns='urn:xmpp:sid:0' by='juliet@localhost' id='mine'/>\
             <stanza-id xmlns='urn:xmpp:sid:0' by='spam@example.net' id='theirs'/>\
             <text>Buy!</text>{origin}</report></item></block></iq>"
        );
        server.send("juliet", &xml).unwrap();
    };
    report(&mut server, "other@example.net", "");
    report(&mut server, "nurse@localhost", "<report-origin/>");
    assert!(
        bag.take().is_empty(),
        "nobody agreed, or nobody else is concerned"
    );
    for (number, (named, expected)) in [
        ("xmpp:abuse@example.net", "abuse@example.net"),
        ("xmpp:abuse@example.org", "example.net"),
        ("mailto:abuse@example.net", "example.net"),
    ]
    .iter()
    .enumerate()
    {
        report(
            &mut server,
            &format!("spam{number}@example.net"),
            "<report-origin/>",
        );
        let asked = bag.texts().concat();
        assert!(
            asked.contains("disco#info") && asked.contains("to='example.net'"),
            "{asked}"
        );
        let id = asked
            .split("id='")
            .nth(1)
            .unwrap()
            .split('\'')
            .next()
            .unwrap();
        crate::elsewhere::from_elsewhere(
            &server,
            &format!(
                "<iq from='example.net' to='localhost' type='result' id='{id}'>\
                 <query xmlns='http://jabber.org/protocol/disco#info'><x xmlns='jabber:x:data' type='result'>\
                 <field var='FORM_TYPE' type='hidden'><value>http://jabber.org/network/serverinfo</value></field>\
                 <field var='abuse-addresses' type='list-multi'><value>{named}</value></field></x></query></iq>"
            ),
        );
        let sent = bag.texts().concat();
        assert!(
            sent.contains(&format!("to='{expected}'")) && sent.contains("from='localhost'"),
            "{sent}"
        );
        assert!(
            sent.contains(&format!("spam{number}@example.net")) && sent.contains("Buy!"),
            "{sent}"
        );
        assert!(
            sent.contains("theirs") && !sent.contains("juliet") && !sent.contains("mine"),
            "{sent}"
        );
    }
}

#[test]
fn reports_of_other_servers_about_people_here_are_kept_and_few() {
    let (server, bag) = crate::elsewhere::juliet();
    let report = |from: &str, about: &str| {
        crate::elsewhere::from_elsewhere(
            &server,
            &format!(
                "<message from='{from}' to='localhost'><report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'>\
                 <jid xmlns='urn:xmpp:jid:0'>{about}</jid><text>Buy!</text></report></message>"
            ),
        );
        bag.texts().concat()
    };
    assert_eq!(report("example.net", "juliet@localhost"), "");
    assert!(report("romeo@example.net", "juliet@localhost").contains("<service-unavailable "));
    assert!(report("example.net", "juliet@example.org").contains("<service-unavailable "));
    for _ in 1..20 {
        assert_eq!(report("example.net", "juliet@localhost"), "");
    }
    assert!(report("example.net", "juliet@localhost").contains("<resource-constraint "));
    let (kept, _) = block_on(page(server.server(), "localhost", None, 50)).unwrap();
    assert_eq!(kept.len(), 20);
    assert_eq!(kept[0].by.as_str(), "example.net");
    assert_eq!(kept[0].about.as_str(), "juliet@localhost");
}
