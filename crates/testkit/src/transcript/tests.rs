//! The runner against a post office: a peer that carries messages between its clients.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::{Action, Arrival, Client, Failure, Peer, PeerError, Transcript};

/// Carries each stanza to the full JID in its `to`, and says when a client hears a message that was to wait.
#[derive(Default)]
struct PostOffice {
    inboxes: BTreeMap<String, VecDeque<Arrival>>,
    addresses: BTreeMap<String, String>,
    config: String,
    passed: Duration,
}

impl Peer for PostOffice {
    fn configure(&mut self, config: &str) -> Result<(), PeerError> {
        self.config = config.to_owned();
        Ok(())
    }

    fn connect(&mut self, client: &Client) -> Result<String, PeerError> {
        let resource = client.resource.as_deref().unwrap_or("made-here");
        let full_jid = format!("{}/{resource}", client.jid);
        self.addresses.insert(full_jid.clone(), client.name.clone());
        self.inboxes.insert(client.name.clone(), VecDeque::new());
        Ok(full_jid)
    }

    fn send(&mut self, _name: &str, xml: &str) -> Result<(), PeerError> {
        for (address, name) in &self.addresses {
            if xml.contains(&format!("to=\"{address}\"")) {
                let inbox = self.inboxes.entry(name.clone()).or_default();
                inbox.push_back(Arrival::Element(xml.to_owned()));
            }
        }
        Ok(())
    }

    fn receive(&mut self, name: &str) -> Result<Arrival, PeerError> {
        let inbox = self
            .inboxes
            .get_mut(name)
            .ok_or_else(|| PeerError::new("not connected"))?;
        Ok(inbox.pop_front().unwrap_or(Arrival::Nothing))
    }

    fn disconnect(&mut self, name: &str) -> Result<(), PeerError> {
        self.inboxes
            .insert(name.to_owned(), VecDeque::from([Arrival::Closed]));
        Ok(())
    }

    fn advance(&mut self, by: Duration) -> Result<(), PeerError> {
        self.passed += by;
        Ok(())
    }
}

const HEAD: &str = "\
[Client] Romeo
\tjid: romeo@localhost
\tpassword: secret

[Client] Juliet
\tjid: juliet@localhost/balcony

-----

Romeo connects
Juliet connects

";

fn run(script: &str) -> Result<PostOffice, Failure> {
    let mut peer = PostOffice::default();
    let script = format!("{HEAD}{script}");
    let transcript = Transcript::parse("test.scs", &script).unwrap_or_else(|e| panic!("{e}"));
    transcript.run(&mut peer)?;
    Ok(peer)
}

/// Romeo sends `sent` and Juliet is to receive `expected`.
fn exchange(sent: &str, expected: &str) -> Result<(), String> {
    let script = format!(
        "Romeo sends:\n\t{sent}\n\nJuliet receives:\n\t{expected}\n\nJuliet receives nothing\n"
    );
    run(&script).map(|_| ()).map_err(|failure| failure.what)
}

#[test]
fn introductions_and_statements_are_parsed() {
    let script = format!(
        "# A title\n# @config [limits]\n# @config rates = false\n{HEAD}# @clock +1h30m\nRomeo disconnects\n"
    );
    let transcript = Transcript::parse("test.scs", &script).unwrap();
    assert_eq!(transcript.config, "[limits]\nrates = false\n");
    assert_eq!(transcript.clients.len(), 2);
    assert_eq!(transcript.clients[0].password, "secret");
    assert_eq!(transcript.clients[1].jid, "juliet@localhost");
    assert_eq!(transcript.clients[1].resource.as_deref(), Some("balcony"));
    let actions: Vec<&Action> = transcript.steps.iter().map(|step| &step.action).collect();
    assert_eq!(
        actions,
        [
            &Action::Connect(0),
            &Action::Connect(1),
            &Action::Clock(Duration::from_secs(5400)),
            &Action::Disconnect(0)
        ]
    );
    assert_eq!(transcript.steps[0].line, 13);
}

#[test]
fn what_is_not_grammar_is_refused_with_its_line() {
    for (script, line, what) in [
        ("Romeo connects\n", 1, "nobody is called \"Romeo\""),
        (
            "[Client] Romeo\n\tjid: a@b\nRomeo dances\n",
            3,
            "no statement",
        ),
        ("[Client] Romeo\n\tnick: a\n", 2, "no \"nick\""),
        ("[Client] Romeo\n", 1, "no jid"),
        ("[Client] Romeo\n\tjid: a@b\nRomeo sends:\n", 3, "no XML"),
        ("# @clock soon\n", 1, "not a time"),
        ("# @dance\n", 1, "unknown extra"),
        ("\t<presence/>\n", 1, "belongs to nothing"),
        ("# only this\n", 0, "nothing happens"),
    ] {
        let error = Transcript::parse("test.scs", script).unwrap_err();
        assert_eq!(error.line, line, "{script}");
        assert!(error.what.contains(what), "{script}: {}", error.what);
    }
}

#[test]
fn addresses_are_filled_in_and_stanzas_are_carried() {
    let result = run("\
Romeo sends:
\t<message to=\"${Juliet's full JID}\" type=\"chat\">
\t\t<body>To ${Juliet's JID} at ${Romeo's resource}</body>
\t</message>

Juliet receives:
\t<message type='chat' to='juliet@localhost/balcony'><body>To juliet@localhost at made-here</body></message>

Juliet receives nothing
Romeo disconnects
Romeo is disconnected
# @clock +5m
");
    let peer = result.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(peer.passed, Duration::from_secs(300));
}

#[test]
fn layout_prefixes_and_attribute_order_do_not_count() {
    let to = "to=\"juliet@localhost/balcony\"";
    for (sent, expected) in [
        (
            format!("<message {to} type=\"chat\"><body>a</body></message>"),
            format!("<message type='chat' {to}>\n\t\t<body>a</body>\n\t</message>"),
        ),
        (
            format!("<message {to}><x xmlns=\"a:b\" c=\"1\"/></message>"),
            format!("<message {to}><p:x xmlns:p='a:b' c='1'></p:x></message>"),
        ),
        (
            format!("<message {to} xml:lang=\"en\"><body>a &lt; b</body></message>"),
            format!("<message {to}><body><![CDATA[a < b]]></body></message>"),
        ),
    ] {
        assert_eq!(exchange(&sent, &expected), Ok(()), "{sent}");
    }
}

#[test]
fn differences_are_named_with_their_place() {
    let to = "to=\"juliet@localhost/balcony\"";
    let sent = format!("<message {to} type=\"chat\"><body>a</body><x xmlns=\"a:b\"/></message>");
    for (expected, what) in [
        ("<presence/>", "presence: <message> is here"),
        (
            "<message type='chat'><body>a</body><x xmlns='a:b'/></message>",
            "to=\"juliet@localhost/balcony\" was not expected",
        ),
        (
            "<message TO type='normal'><body>a</body><x xmlns='a:b'/></message>",
            "message: type is \"chat\", not \"normal\"",
        ),
        (
            "<message TO type='chat' id='1'><body>a</body><x xmlns='a:b'/></message>",
            "message: the attribute id is missing",
        ),
        (
            "<message TO type='chat'><body>b</body><x xmlns='a:b'/></message>",
            "message/body: the text is \"a\", not \"b\"",
        ),
        (
            "<message TO type='chat'><x xmlns='a:b'/><body>a</body></message>",
            "message/x: <body> is here",
        ),
        (
            "<message TO type='chat'><body>a</body></message>",
            "message: <x> was not expected",
        ),
        (
            "<message TO type='chat'><body>a</body><x xmlns='a:c'/></message>",
            "message/x: the namespace is \"a:b\", not \"a:c\"",
        ),
        (
            "<message TO type='chat'><body>a</body><x xmlns='a:b'/><y/></message>",
            "message: <y> is missing",
        ),
    ] {
        let difference = exchange(&sent, &expected.replace("TO", to)).unwrap_err();
        assert!(difference.contains(what), "{expected}: {difference}");
    }
}

#[test]
fn any_value_and_open_elements_are_allowed_where_the_script_says_so() {
    let to = "to=\"juliet@localhost/balcony\"";
    let sent = format!(
        "<message {to} id=\"7\"><body>a</body><x xmlns=\"a:b\"/><y xmlns=\"a:b\">t</y></message>"
    );
    for expected in [
        "<message TO id='{scansion:any}'><body>{scansion:any}</body><x xmlns='a:b'/><y xmlns='a:b'>t</y></message>",
        "<message scansion:strict='false'><x xmlns='a:b'/></message>",
        "<message scansion:strict='false'/>",
    ] {
        assert_eq!(
            exchange(&sent, &expected.replace("TO", to)),
            Ok(()),
            "{expected}"
        );
    }
    let wrong_order =
        "<message scansion:strict='false'><y xmlns='a:b'>t</y><x xmlns='a:b'/></message>";
    assert!(
        exchange(&sent, wrong_order)
            .unwrap_err()
            .contains("no <x> as expected")
    );
}

#[test]
fn a_block_in_any_order_takes_each_stanza_once() {
    let to = "to=\"juliet@localhost/balcony\"";
    let sends = format!(
        "Romeo sends:\n\t<presence {to} id=\"1\"/>\n\nRomeo sends:\n\t<presence {to} id=\"2\"/>\n\n"
    );
    let both = format!(
        "{sends}Juliet receives in any order:\n\t<presence {to} id='2'/>\n\t<presence {to} id='1'/>\n"
    );
    assert!(run(&both).is_ok());
    let twice = both.replace("id='2'", "id='1'");
    let failure = run(&twice).err().unwrap();
    assert_eq!(
        failure.what,
        "message".replace("message", "presence: id is \"2\", not \"1\"")
    );
}

#[test]
fn a_failure_prints_the_dialogue_up_to_the_diverging_line() {
    let failure = run("\
Romeo sends:
\t<message to=\"${Juliet's full JID}\"><body>a</body></message>

Juliet receives:
\t<message to=\"${Juliet's full JID}\"><body>b</body></message>

Juliet disconnects
")
    .err()
    .unwrap();
    assert_eq!(failure.line, 16);
    assert_eq!(
        failure.to_string(),
        "\
test.scs:16: message/body: the text is \"a\", not \"b\"
  Romeo connects
  Juliet connects
  Romeo sends:
      <message to=\"juliet@localhost/balcony\"><body>a</body></message>
  Juliet receives:
  -   <message to=\"juliet@localhost/balcony\"><body>b</body></message>
  +   <message to=\"juliet@localhost/balcony\"><body>a</body></message>
"
    );
}

#[test]
fn silence_where_a_stanza_was_expected_is_a_failure() {
    let failure = run("Juliet receives:\n\t<presence/>\n").err().unwrap();
    assert_eq!(failure.what, "Juliet receives nothing");
    assert!(
        failure
            .dialogue
            .ends_with("  -   <presence/>\n  +   (nothing)\n")
    );
}

#[test]
fn an_address_is_known_only_after_its_client_connected() {
    let transcript = Transcript::parse(
        "test.scs",
        "[Client] Romeo\n\tjid: a@b\n\nRomeo sends:\n\t<presence to=\"${Romeo's full JID}\"/>\n",
    )
    .unwrap();
    let failure = transcript.run(&mut PostOffice::default()).unwrap_err();
    assert!(failure.what.contains("not connected yet"), "{failure}");
}
