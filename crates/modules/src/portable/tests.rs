//! Accounts out and in again.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tercet_core::{BareJid, Jid};
use tercet_server::roster::{Item, Roster, Subscription};
use tercet_server::{AccountRecord, Clock, HostInfo, Limits, Server};
use tercet_store::{ArchiveEntry, Batch, Store};

use super::reader::Level;
use super::*;
use crate::pubsub::config::{Access, NodeConfig};
use crate::pubsub::node::{Affiliation, Entry, Member, State, Subscribed};
use crate::pubsub::options::Options;
use crate::pubsub::records::{self, ACCOUNTS};

const NOW: u64 = 1_900_000_000_000;

async fn server() -> Arc<Server> {
    let kinds: Vec<_> = tercet_server::KINDS
        .iter()
        .chain(crate::KINDS)
        .copied()
        .collect();
    let clock = Clock::Manual(AtomicU64::new(NOW));
    let server = Server::new(Store::memory(&kinds), Limits::default(), clock).await;
    let server = server.unwrap();
    let info = HostInfo {
        domain: "example.org".into(),
        ..HostInfo::default()
    };
    server.configure(vec![info], crate::modules).unwrap();
    server
}

fn juliet() -> BareJid {
    BareJid::parse("juliet@example.org").unwrap()
}

/// All pages of an account.
async fn exported(server: &Arc<Server>) -> String {
    let mut out = export::begin("example.org");
    let mut cursor = Some(Cursor::default());
    while let Some(at) = cursor {
        // The cursor goes through the admin socket.
        let (page, next) = page(server, &juliet(), &at).await.unwrap();
        out.extend_from_slice(&page);
        cursor = next;
    }
    out.extend_from_slice(export::END_HOST);
    out.extend_from_slice(export::END);
    String::from_utf8(out).unwrap()
}

/// Everything that a file tells, given in pieces of so many bytes.
fn told(file: &str, bytes: usize) -> Result<Vec<Event>, reader::Fault> {
    let mut reader = Reader::new(Level::Document);
    let mut events = Vec::new();
    for piece in file.as_bytes().chunks(bytes) {
        reader.push(piece);
        while let Some(event) = reader.next()? {
            events.push(event);
        }
    }
    reader.finish()?;
    Ok(events)
}

/// Brings the account of a file in, and says what was not taken.
async fn import(server: &Arc<Server>, file: &str) -> Vec<String> {
    let arrival = server.begin_arrival(&juliet(), false).await.unwrap();
    let mut incoming = Incoming::new(juliet(), NOW);
    let mut left = Vec::new();
    for event in told(file, 7).unwrap() {
        let mut batch = Batch::new();
        match event {
            Event::Piece(piece) => {
                if let Err(why) = incoming.take(&piece, &mut batch) {
                    left.push(format!("{}: {why}", piece.section.as_str()));
                }
                server.go_on_arriving(&arrival, batch).await.unwrap();
            }
            Event::Left(what, why) => left.push(format!("{what}: {why}")),
            _ => {}
        }
    }
    let mut batch = Batch::new();
    let record = AccountRecord {
        credentials: incoming.finish(&mut batch),
        admin: false,
        created_ms: NOW,
    };
    server.arrive(&arrival, &record, batch).await.unwrap();
    left
}

async fn full() -> Arc<Server> {
    let server = server().await;
    let juliet = juliet();
    server
        .create_account(&juliet, "r0m30", false)
        .await
        .unwrap();
    let owner = juliet.as_str();
    let mut batch = Batch::new();
    let mut roster = Roster::default();
    for number in 0..230 {
        let contact = BareJid::parse(&format!("friend{number}@example.net")).unwrap();
        let item = Item {
            name: Some(format!("<Friend> & \"{number}\"")),
            groups: vec!["Friends ♥".into(), "A & B".into()],
            subscription: Subscription {
                to: number % 2 == 0,
                from: number % 3 == 0,
                ask: number % 2 == 1,
                ..Subscription::default()
            },
            in_roster: true,
            request: None,
        };
        roster.set(&juliet, &contact, item, &mut batch);
    }
    let asks = BareJid::parse("d\\27artagnan\\20x@example.net").unwrap();
    let request = Item {
        subscription: Subscription {
            pending: true,
            ..Subscription::default()
        },
        request: Some(
            b"<presence from='d\\27artagnan\\20x@example.net' to='juliet@example.org' type='subscribe'><nick xmlns='http://jabber.org/protocol/nick'>D</nick></presence>".to_vec(),
        ),
        ..Item::default()
    };
    roster.set(&juliet, &asks, request, &mut batch);
    let card = "<vCard xmlns='vcard-temp'><FN>Juliet &amp; Co</FN></vCard>";
    batch.put(&crate::vcard::VCARD, owner, "", card);
    let exodus = "<exodus xmlns='exodus:prefs'><defaultnick>J</defaultnick></exodus>";
    batch.put(
        &crate::private::PRIVATE,
        owner,
        "exodus:prefs exodus",
        exodus,
    );
    for jid in ["tybalt@example.com", "evil.example"] {
        batch.put(&crate::blocking::BLOCKED, owner, jid, "");
    }
    let prefs = "<prefs xmlns='urn:xmpp:mam:2' default='roster'><always/><never/></prefs>";
    batch.put(&crate::mam::ARCHIVE_PREFS, owner, "", prefs);
    let waiting = "<message from='romeo@example.net/o' to='juliet@example.org' type='chat'><body>Hi\n&lt;you></body><delay xmlns='urn:xmpp:delay' from='example.org' stamp='2020-01-01T00:00:00Z'/></message>";
    batch.append(&crate::offline::OFFLINE, owner, 1_577_836_800_000, waiting);
    for name in ["urn:xmpp:bookmarks:1", "empty 'node'"] {
        let config = NodeConfig {
            access: Access::Whitelist,
            max_items: None,
            ..NodeConfig::personal()
        };
        let mut state = State::new(config, NOW);
        let mut member = Member {
            affiliation: Affiliation::Member,
            ..Member::default()
        };
        member.set_subscription(
            &Jid::parse("mercutio@example.net/x").unwrap(),
            Some(Subscribed::Yes),
        );
        let options = Options {
            deliver: false,
            until_ms: Some(NOW + 1000),
            ..Options::default()
        };
        member.set_options(&Jid::parse("mercutio@example.net/x").unwrap(), options);
        let mercutio = BareJid::parse("mercutio@example.net").unwrap();
        records::put_member(&mut batch, &ACCOUNTS, owner, name, &mercutio, &member);
        state.members.insert(mercutio, member);
        let payload = b"<conference xmlns='urn:xmpp:bookmarks:1' autojoin='true'/>";
        let items = if name.starts_with("urn") { 40 } else { 0 };
        for number in 1..=items {
            let item = Entry {
                id: format!("room{}@rooms.example.org", 100 - number).into(),
                number,
                at_ms: NOW,
                publisher: "juliet@example.org/balcony".into(),
                bytes: payload.len() as u32,
            };
            records::put_item(&mut batch, &ACCOUNTS, owner, name, &item, payload.to_vec());
            state.items.push(item);
        }
        let bytes = state.bytes();
        records::put_node(&mut batch, &ACCOUNTS, owner, name, &state, bytes);
    }
    for number in 0..2500u64 {
        let id = server.store().archive_id(NOW - 1_000_000 + number * 10);
        let text = format!(
            "<message xmlns='jabber:client' from='romeo@example.net/orchard' to='juliet@example.org/balcony' type='chat' id='m{number}'><body>Call me but love {number}</body><stanza-id xmlns='urn:xmpp:sid:0' id='{id}' by='juliet@example.org'/></message>"
        );
        let entry = ArchiveEntry {
            id,
            peer: "romeo@example.net".into(),
            part: "orchard".into(),
            value: text.into_bytes().into(),
        };
        batch.archive(&crate::mam::ARCHIVE, owner, entry);
    }
    server.store().commit(batch).await.unwrap();
    server
}

#[tokio::test]
async fn an_account_that_goes_out_and_comes_in_is_the_same() {
    let before = full().await;
    let file = exported(&before).await;
    let after = server().await;
    assert_eq!(import(&after, &file).await, [""; 0]);
    let again = exported(&after).await;
    assert_eq!(again.len(), file.len());
    assert!(again == file, "{}", difference(&again, &file));
    // All that is kept is the same, too, but for when it was made and how often the roster has changed.
    let mut all = [Vec::new(), Vec::new()];
    for (server, all) in [&before, &after].into_iter().zip(&mut all) {
        let mut pieces = server.store().export("juliet@example.org");
        while let Some(piece) = pieces.next().await.unwrap() {
            all.push(piece);
        }
    }
    let [before, after] = all;
    assert_eq!(before.len(), after.len());
    assert!(before == after);
    assert!(file.contains("d\\27artagnan\\20x@example.net"));
}

fn difference(a: &str, b: &str) -> String {
    let at = a.bytes().zip(b.bytes()).position(|(a, b)| a != b);
    let at = at.unwrap_or_default();
    let from = at.saturating_sub(100);
    format!("{:?}\n{:?}", a.get(from..at + 100), b.get(from..at + 100))
}

#[tokio::test]
async fn what_is_not_taken_is_named_and_the_rest_is_taken() {
    let file = "<server-data xmlns='urn:xmpp:pie:0' xmlns:o='urn:other'><host jid='example.org'>\
        <o:settings/><user name='juliet' o:colour='red'><o:secret><a/></o:secret>\
        <scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-512'/>\
        <scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-1'><iter-count>4096</iter-count><salt>!</salt></scram-credentials>\
        <query xmlns='jabber:iq:roster'><item jid='@'/><item jid='romeo@example.net' subscription='both'/></query>\
        <query xmlns='jabber:iq:privacy'><default name='d'/><list name='d'><item type='jid' value='a@b' action='deny' order='1'/>\
        <item type='group' value='x' action='deny' order='2'/></list></query>\
        <pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><configure node='n'><x xmlns='jabber:x:data' type='submit'>\
        <field var='pubsub#access_model'><value>friends</value></field><field var='other#x'><value>1</value></field></x></configure><default/></pubsub>\
        <archive xmlns='urn:xmpp:pie:0#mam'><result xmlns='urn:xmpp:mam:2' id='1'/></archive>\
        </user></host></server-data>";
    let server = server().await;
    let left = import(&server, file).await;
    assert_eq!(
        left,
        [
            "<settings/> in the namespace \"urn:other\": this is not known here",
            "the attribute colour of <user/>: this is not known here",
            "<secret/> in the namespace \"urn:other\": this is not known here",
            "SCRAM keys: \"SCRAM-SHA-512\" is no mechanism of this server",
            "SCRAM keys: <salt/> is not in base64",
            "contacts: the item has no valid jid",
            "privacy lists: 1 rules do more than to block an address by the default list",
            "nodes: settings of n: pubsub#access_model = \"friends\"",
            "<default/> in the namespace \"http://jabber.org/protocol/pubsub#owner\": this is not known here",
            "archived messages: no <forwarded/>",
        ]
    );
    let file = exported(&server).await;
    assert!(file.contains("jid='romeo@example.net' subscription='both'"));
    assert!(file.contains("value='a@b'"));
    // A node whose rules for access are not known is closed.
    assert!(file.contains("<value>whitelist</value>"));
}

#[test]
fn keys_that_ejabberd_has_encoded_twice_are_read() {
    let mut incoming = Incoming::new(juliet(), NOW);
    let piece = Piece {
        section: Section::Credentials,
        node: None,
        xml: "<scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-1'><iter-count>4096</iter-count>\
              <salt>L0w2TzVkRnd1UkE5bjR6NG1BOGI2dz09</salt><server-key>TXgydlpCODhwTUs1ZzRzMzRHV3ZrT3hPRndBPQ==</server-key>\
              <stored-key>V1hBTmFpdUdFc3gySGNJRk02am43cFNkTkxvPQ==</stored-key></scram-credentials>"
            .into(),
    };
    incoming.take(&piece, &mut Batch::new()).unwrap();
    let credentials = incoming.finish(&mut Batch::new()).unwrap();
    assert!(credentials.verify("secret") && !credentials.verify("other"));
}

#[test]
fn a_file_that_is_none_is_refused_with_its_place() {
    let check = |file: &str, expected: &str| {
        for bytes in [1, 1000] {
            assert_eq!(
                told(file, bytes).unwrap_err().to_string(),
                expected,
                "{file}"
            );
        }
    };
    check(
        "<query xmlns='jabber:iq:roster'/>",
        "line 1, column 1: this is no file of XEP-0227: it begins with <query/> in the namespace \"jabber:iq:roster\"",
    );
    check(
        "<server-data xmlns='urn:xmpp:pie:0'>\n<host/></server-data>",
        "line 2, column 1: <host/> without jid",
    );
    check(
        "<server-data xmlns='urn:xmpp:pie:0'>\n<host jid='a'>\n <user/></host></server-data>",
        "line 3, column 2: <user/> without name",
    );
    // Security, line 2: nothing is expanded.
    check(
        "<!DOCTYPE a [<!ENTITY b 'c'>]><server-data xmlns='urn:xmpp:pie:0'/>",
        "line 1, column 1: restricted XML: comment, processing instruction, DTD or entity reference",
    );
    check(
        "<server-data xmlns='urn:xmpp:pie:0'><host jid='a'>",
        "line 1, column 51: not well-formed XML",
    );
    check(
        "<server-data xmlns='urn:xmpp:pie:0' xmlns:i='http://www.w3.org/2001/XInclude'><i:include href='x' parse='text'/></server-data>",
        "line 1, column 79: <include/> with more than an href",
    );
}

#[test]
fn files_that_are_included_are_told_where_they_may_be() {
    let xi = "xmlns:xi='http://www.w3.org/2001/XInclude'";
    let file = format!(
        "<server-data xmlns='urn:xmpp:pie:0' {xi}><xi:include href='a.xml'/><host jid='b'><xi:include href='b/c.xml'/>\
        <user name='d'><vCard xmlns='vcard-temp'><xi:include href='no.xml'/></vCard><xi:include href='roster.xml'/></user></host></server-data>"
    );
    let events = told(&file, 5).unwrap();
    let includes = events.iter().filter_map(|event| match event {
        Event::Include(href, level) => Some((href.as_str(), *level)),
        _ => None,
    });
    assert!(includes.eq([
        ("a.xml", Level::Server),
        ("b/c.xml", Level::Host),
        // XEP-0227 §5: what is deeper is the user's.
        ("roster.xml", Level::User),
    ]));
    let mut reader = Reader::new(Level::Host);
    reader.push(b"<user xmlns='urn:xmpp:pie:0' name='d' password='p'/>");
    let user = Event::User("d".into(), Some("p".into()));
    assert_eq!(reader.next().unwrap(), Some(user));
    assert_eq!(reader.next().unwrap(), Some(Event::UserEnd));
    assert_eq!(reader.next().unwrap(), None);
    reader.finish().unwrap();
}
