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
