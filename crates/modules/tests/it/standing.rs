//! What other servers are told of accounts.

use tercet_testkit::Peer;

use crate::elsewhere::{from_elsewhere, juliet, received};

const DAY_MS: u64 = 86_400_000;

#[test]
fn who_writes_to_a_stranger_elsewhere_is_introduced_by_the_server() {
    let (mut server, bag) = juliet();
    let stanzas = [
        (
            "<message to='romeo@example.net'><body>hi</body></message>",
            true,
        ),
        ("<presence to='room@example.net/juliet'/>", true),
        ("<presence to='paris@example.net' type='subscribe'/>", true),
        (
            "<presence to='room@example.net/juliet' type='unavailable'/>",
            false,
        ),
        (
            "<message to='room@example.net' type='groupchat'><body>hi</body></message>",
            false,
        ),
        (
            "<message to='romeo@example.net' type='error'><body>hi</body></message>",
            false,
        ),
    ];
    for (stanza, expected) in stanzas {
        server.send("juliet", stanza).unwrap();
        let sent = bag.texts().concat();
        let info = "<info xmlns='urn:xmpp:raa:0' affiliation='member'/>";
        assert_eq!(sent.contains(info), expected, "{sent}");
    }
    // Where everybody may register it is the account's age that counts.
    server.configure("[registration]\npolicy = 'open'").unwrap();
    let hi = stanzas[0].0;
    let told = |server: &mut crate::in_process::InProcess| {
        server.send("juliet", hi).unwrap();
        bag.texts().concat()
    };
    let sent = told(&mut server);
    assert!(
        sent.contains("affiliation='registered' since='2024-01-01T00:00:00Z' trust='0'"),
        "{sent}"
    );
    server.server().advance(200 * DAY_MS);
    let sent = told(&mut server);
    assert!(
        sent.contains("affiliation='registered' trust='100'"),
        "{sent}"
    );
    server.configure("admins = ['juliet@localhost']").unwrap();
    assert!(told(&mut server).contains("affiliation='admin'"));
    // A forged word is taken out, a contact is told nothing.
    server
        .send("juliet", "<message to='romeo@example.net'><info xmlns='urn:xmpp:raa:0' affiliation='forged'/><body>hi</body></message>")
        .unwrap();
    let sent = bag.texts().concat();
    assert!(
        !sent.contains("forged") && sent.contains("affiliation='admin'"),
        "{sent}"
    );
    server
        .send(
            "juliet",
            "<presence to='romeo@example.net' type='subscribe'/>",
        )
        .unwrap();
    from_elsewhere(
        &server,
        "<presence from='romeo@example.net' to='juliet@localhost' type='subscribed'/>",
    );
    bag.take();
    assert!(!told(&mut server).contains("<info "));
}

#[test]
fn those_who_see_the_account_may_ask_about_it() {
    let (mut server, bag) = juliet();
    let ask = |server: &crate::in_process::InProcess, from: &str| {
        bag.take();
        from_elsewhere(
            server,
            &format!(
                "<iq from='{from}' to='juliet@localhost' type='get' id='q'><query xmlns='urn:xmpp:raa:0'/></iq>"
            ),
        );
        bag.texts().concat()
    };
    assert!(ask(&server, "room@example.net").contains("<forbidden "));
    server
        .send("juliet", "<presence to='room@example.net/juliet'/>")
        .unwrap();
    received(&mut server);
    assert!(ask(&server, "room@example.net").contains("affiliation='member'"));
}
