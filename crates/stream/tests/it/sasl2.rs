//! SASL2 (XEP-0388), Bind 2 (XEP-0386), tokens (XEP-0484), inline resumption (XEP-0198 §9), pipelining (XEP-0509).

use base64::prelude::{BASE64_STANDARD, Engine as _};
use tercet_core::{SaslFailure, StreamCondition};
use tercet_stream::sasl::ScramHash;
use tercet_stream::{StreamEvent, TlsInfo};

use crate::support::*;

const ID: &str = "d4565fa7-4d72-4749-b3d3-740edbf87770";

fn agent() -> String {
    format!(
        "<user-agent id='{ID}'><software>Verse</software><device>Her phone</device></user-agent>"
    )
}

fn authenticate(mechanism: &str, initial: &[u8], more: &str) -> String {
    let initial = BASE64_STANDARD.encode(initial);
    format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='{mechanism}'>\
         <initial-response>{initial}</initial-response>{more}</authenticate>"
    )
}

fn plain(more: &str) -> String {
    authenticate("PLAIN", format!("\0juliet\0{PASSWORD}").as_bytes(), more)
}

/// What somebody sends who has a token.
fn token(mechanism: &str, token: &[u8], channel: &[u8], fast: &str, more: &str) -> String {
    use aws_lc_rs::hmac;
    let key = hmac::Key::new(hmac::HMAC_SHA256, token);
    let hash = hmac::sign(&key, &[b"Initiator", channel].concat());
    let message = [b"juliet\0", hash.as_ref()].concat();
    let fast = format!("<fast xmlns='urn:xmpp:fast:0' {fast}/>{more}");
    authenticate(mechanism, &message, &fast)
}

fn client(split: Split) -> Client {
    Client::inside_tls(config(), split, tls())
}

fn failed(failure: SaslFailure) -> String {
    let name = failure.as_str();
    format!(
        "<failure xmlns='urn:xmpp:sasl:2'>\
         <{name} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>"
    )
}

fn success(authorization: &str, inner: &str) -> String {
    format!(
        "<success xmlns='urn:xmpp:sasl:2'>\
         <authorization-identifier>{authorization}</authorization-identifier>{inner}</success>"
    )
}

fn bound(client: &Client) -> Vec<&str> {
    client.bound.iter().map(|jid| jid.as_str()).collect()
}

#[test]
fn the_features_say_what_a_login_can_do_at_once() {
    let mut host = config_with(|host| host.inline = vec!["urn:xmpp:carbons:2".to_owned()]);
    host.max_attempts = 3;
    let mut client = Client::new(host, Split::Whole);
    client.input(tercet_stream::Input::TlsUp(tls()));
    client.send(HEADER);
    let features = client.recv();
    let inline = "<inline><sm xmlns='urn:xmpp:sm:3'/><bind xmlns='urn:xmpp:bind:0'><inline>\
         <feature var='urn:xmpp:sm:3'/><feature var='urn:xmpp:carbons:2'/></inline></bind>\
         <fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-EXPR</mechanism>\
         <mechanism>HT-SHA-256-ENDP</mechanism><mechanism>HT-SHA-256-NONE</mechanism></fast></inline>";
    assert!(features.contains(inline), "{features}");
    assert!(
        features.contains("<authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-256-PLUS")
    );
    assert!(features.contains("<config-version xmlns='urn:xmpp:iap:0' scheme='opaque' value='"));
}

#[test]
fn a_login_without_wishes_needs_no_new_header() {
    dialogue(|split| {
        let mut client = client(split);
        client.send(&plain(""));
        let text = client.recv();
        let expected = success("juliet@im.example.com", "") + "<stream:features><bind ";
        assert!(text.starts_with(&expected), "{text}");
        assert!(client.authenticated());
        client.send(&bind("balcony"));
        assert_eq!(bound(&client), ["juliet@im.example.com/balcony"]);
        client.send("<message to='romeo@im.example.com'/>");
        assert_eq!(client.stanzas.len(), 1);
    });
}

#[test]
fn scram_goes_on_by_challenges_of_its_own_namespace() {
    const FIRST: &str = "n=juliet,r=fyko+d2lbbFgONRv9qkxdawL";
    dialogue(|split| {
        let mut client = client(split);
        client.send(&authenticate(
            "SCRAM-SHA-256",
            format!("n,,{FIRST}").as_bytes(),
            "",
        ));
        let text = client.recv();
        let inner = text
            .strip_prefix("<challenge xmlns='urn:xmpp:sasl:2'>")
            .unwrap();
        let inner = inner.strip_suffix("</challenge>").unwrap();
        let challenge = String::from_utf8(BASE64_STANDARD.decode(inner).unwrap()).unwrap();
        let last = client_final(ScramHash::Sha256, PASSWORD, FIRST, &challenge, b"n,,");
        let last = BASE64_STANDARD.encode(last);
        client.send(&format!(
            "<response xmlns='urn:xmpp:sasl:2'>{last}</response>"
        ));
        let text = client.recv();
        // "v=" in base64
        assert!(
            text.starts_with("<success xmlns='urn:xmpp:sasl:2'><additional-data>dj"),
            "{text}"
        );
    });
}

#[test]
fn one_request_logs_in_binds_and_enables() {
    dialogue(|split| {
        let mut client = client(split);
        client.send(&plain(&format!(
            "{}<bind xmlns='urn:xmpp:bind:0'><tag>Verse</tag><enable xmlns='urn:xmpp:sm:3' resume='true'/>\
             <enable xmlns='urn:xmpp:carbons:2'/></bind>\
             <request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-EXPR'/>",
            agent()
        )));
        let jid = format!("juliet@im.example.com/Verse/{ID}");
        let inner = "<bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3'/><carbons/></bound>\
             <token xmlns='urn:xmpp:fast:0' token='token for HT-SHA-256-EXPR' expiry='2023-11-14T22:13:20Z'/>";
        let text = client.recv();
        let expected = success(&jid, inner) + "<stream:features><ver ";
        assert!(text.starts_with(&expected), "{text}");
        assert_eq!(bound(&client), [jid]);
        assert_eq!(
            client.asked,
            [
                "password of juliet",
                "juliet@im.example.com by PLAIN at Some(\"Verse\") Some(\"Her phone\")",
                "bind juliet@im.example.com with Some(\"Verse\")",
            ]
        );
        // XEP-0198 §3: from here on they count.
        client.send("<message/><message/><r xmlns='urn:xmpp:sm:3'/>");
        assert_eq!(client.recv(), "<a xmlns='urn:xmpp:sm:3' h='2'/>");
        client.send("<enable xmlns='urn:xmpp:sm:3'/>");
        client.expect_error(StreamCondition::PolicyViolation);
    });
}

#[test]
fn without_a_client_id_there_is_no_token_and_another_resource_each_time() {
    let mut client = client(Split::Whole);
    client.send(&plain(
        "<user-agent id='my phone'/><bind xmlns='urn:xmpp:bind:0'/>\
         <request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-EXPR'/>",
    ));
    assert!(!client.recv().contains("urn:xmpp:fast:0"));
    assert_eq!(bound(&client), ["juliet@im.example.com/none/new"]);
    assert_eq!(client.asked.len(), 2);
}

#[test]
fn a_session_that_cannot_be_bound_leaves_the_client_logged_in() {
    let mut client = client(Split::Whole);
    client.send(&plain(
        "<bind xmlns='urn:xmpp:bind:0'><tag>full</tag></bind>",
    ));
    assert!(
        client
            .recv()
            .starts_with(&success("juliet@im.example.com", ""))
    );
    client.send(&bind("balcony"));
    assert_eq!(bound(&client), ["juliet@im.example.com/balcony"]);
}

#[test]
fn a_session_is_resumed_at_once_and_the_binding_left_out() {
    dialogue(|split| {
        let mut client = client(split);
        client.send(&plain(
            "<resume xmlns='urn:xmpp:sm:3' previd='sm-id' h='7'/><bind xmlns='urn:xmpp:bind:0'/>",
        ));
        let resumed = "<resumed xmlns='urn:xmpp:sm:3' h='5' previd='sm-id'/>";
        let jid = "juliet@im.example.com/balcony";
        // XEP-0198 §9.2: no features.
        assert_eq!(client.recv(), success(jid, resumed));
        assert_eq!(bound(&client), [jid]);
        assert_eq!(client.asked, ["password of juliet", "resume sm-id at 7"]);
    });
}

#[test]
fn a_session_that_is_gone_gives_way_to_a_new_one() {
    for (resume, told) in [
        (
            "previd='sm-old' h='7'",
            "<failed xmlns='urn:xmpp:sm:3' h='3'><item-not-found",
        ),
        (
            "previd='sm-old'",
            "<failed xmlns='urn:xmpp:sm:3'><bad-request",
        ),
        ("h='1'", "<failed xmlns='urn:xmpp:sm:3'><bad-request"),
    ] {
        let mut client = client(Split::Whole);
        client.send(&plain(&format!(
            "<resume xmlns='urn:xmpp:sm:3' {resume}/><bind xmlns='urn:xmpp:bind:0'/>"
        )));
        let text = client.recv();
        assert!(text.contains(told), "{text}");
        assert!(
            text.contains("</failed><bound xmlns='urn:xmpp:bind:0'/></success>"),
            "{text}"
        );
        assert_eq!(bound(&client), ["juliet@im.example.com/none/new"]);
    }
    let mut client = client(Split::Whole);
    client.send(&plain(
        "<resume xmlns='urn:xmpp:sm:3' previd='sm-id' h='11'/>",
    ));
    client.expect_error(StreamCondition::UndefinedCondition);
}

#[test]
fn a_token_logs_in_where_it_was_made_for_and_the_server_shows_that_it_knows_it() {
    dialogue(|split| {
        let mut client = client(split);
        let more = agent() + "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>";
        client.send(&token(
            "HT-SHA-256-NONE",
            b"secret",
            b"",
            "invalidate='1'",
            &more,
        ));
        let text = client.recv();
        use aws_lc_rs::hmac;
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        let proof = BASE64_STANDARD.encode(hmac::sign(&key, b"Responder"));
        let expected = format!(
            "<success xmlns='urn:xmpp:sasl:2'><additional-data>{proof}</additional-data>\
             <authorization-identifier>juliet@im.example.com</authorization-identifier>\
             <token xmlns='urn:xmpp:fast:0' token='token for HT-SHA-256-NONE'"
        );
        assert!(text.starts_with(&expected), "{text}");
        // The question about the token says all that one about the client would.
        assert_eq!(client.asked, [format!("token of juliet at {ID} true")]);
    });
    let cases = [
        (
            token("HT-SHA-256-NONE", b"other", b"", "", &agent()),
            SaslFailure::NotAuthorized,
        ),
        (
            token("HT-SHA-256-NONE", b"secret", b"", "count='1'", &agent()),
            SaslFailure::NotAuthorized,
        ),
        (
            token("HT-SHA-256-EXPR", b"secret", &[1; 32], "", &agent()),
            SaslFailure::NotAuthorized,
        ),
        (
            token("HT-SHA-256-NONE", b"secret", b"", "", ""),
            SaslFailure::MalformedRequest,
        ),
        (
            token("HT-SHA-256-UNIQ", b"secret", b"", "", &agent()),
            SaslFailure::InvalidMechanism,
        ),
        (
            token("PLAIN", b"secret", b"", "", &agent()),
            SaslFailure::InvalidMechanism,
        ),
        // XEP-0484 §3.4: without <fast/> it is no login by token.
        (
            authenticate("HT-SHA-256-NONE", b"juliet\0", &agent()),
            SaslFailure::InvalidMechanism,
        ),
    ];
    for (request, failure) in cases {
        let mut client = client(Split::Whole);
        client.send(&request);
        assert_eq!(client.recv(), failed(failure), "{request}");
        assert!(!client.authenticated());
    }
}

#[test]
fn without_a_channel_to_bind_to_only_unbound_tokens_are_offered_and_none_in_the_clear() {
    let mut inside = Client::new(config(), Split::Whole);
    inside.input(tercet_stream::Input::TlsUp(TlsInfo::default()));
    inside.send(HEADER);
    let features = inside.recv();
    assert!(
        features.contains(
            "<fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-NONE</mechanism></fast>"
        )
    );
    let mut clear = Client::new(lab(), Split::Whole);
    clear.send(HEADER);
    assert!(!clear.recv().contains("urn:xmpp:fast:0"));
    clear.send(&token("HT-SHA-256-NONE", b"secret", b"", "", &agent()));
    assert_eq!(clear.recv(), failed(SaslFailure::InvalidMechanism));
}

#[test]
fn failures_are_told_in_its_namespace_counted_and_can_be_followed_by_another_try() {
    dialogue(|split| {
        let mut client = client(split);
        client.send(&authenticate(
            "PLAIN",
            b"\0juliet\0wrong",
            "<bind xmlns='urn:xmpp:bind:0'/>",
        ));
        assert_eq!(client.recv(), failed(SaslFailure::NotAuthorized));
        client.send("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-1'/>");
        assert_eq!(client.recv(), "<challenge xmlns='urn:xmpp:sasl:2'/>");
        client.send("<abort xmlns='urn:xmpp:sasl:2'><text>no</text></abort>");
        assert_eq!(client.recv(), failed(SaslFailure::Aborted));
        client.send(&plain("").replace("AGp1", "A?p1"));
        assert_eq!(client.recv(), failed(SaslFailure::IncorrectEncoding));
        let attempts = |event: &StreamEvent| matches!(event, StreamEvent::AuthFailed { .. });
        assert_eq!(client.events.iter().filter(|e| attempts(e)).count(), 3);
        assert_eq!(bound(&client), [""; 0]);
        client.send(&auth("PLAIN", &format!("\0juliet\0{PASSWORD}")));
        assert!(
            client
                .recv()
                .starts_with("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'")
        );
    });
}

#[test]
fn the_two_ways_of_logging_in_do_not_mix() {
    dialogue(|split| {
        let mut client = client(split);
        client.send("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>");
        client.recv();
        client.send(&response("\0juliet\0secret"));
        client.expect_error(StreamCondition::UnsupportedStanzaType);
    });
}

#[test]
fn what_comes_behind_the_request_before_its_answer_ends_the_stream() {
    let mut client = client(Split::Whole);
    client.send(&(plain("<bind xmlns='urn:xmpp:bind:0'/>") + "<message/>"));
    client.expect_error(StreamCondition::PolicyViolation);
    assert_eq!(bound(&client), [""; 0]);
    // XEP-0388 §2.7: a second login is none.
    let mut client = crate::sasl2::client(Split::Whole);
    client.send(&plain("<bind xmlns='urn:xmpp:bind:0'/>"));
    client.recv();
    client.send(&plain(""));
    client.expect_error(StreamCondition::UnsupportedStanzaType);
}

#[test]
fn nobody_logs_in_in_the_clear_where_tls_is_required() {
    let mut client = Client::new(config(), Split::Whole);
    client.send(HEADER);
    let features = client.recv();
    assert!(!features.contains("urn:xmpp:sasl:2") && !features.contains("urn:xmpp:iap:0"));
    client.send(&plain(""));
    assert_eq!(client.recv(), failed(SaslFailure::EncryptionRequired));
}

/// XEP-0509: the request may come with the header.
#[test]
fn a_request_that_does_not_wait_names_the_features_it_relies_on() {
    let mut first = Client::new(config(), Split::Whole);
    first.input(tercet_stream::Input::TlsUp(tls()));
    first.send(HEADER);
    let features = first.recv();
    let at = features.find("scheme='opaque' value='").unwrap() + "scheme='opaque' value='".len();
    let version = &features[at..at + 16];
    dialogue(|split| {
        let asking = |version: &str| {
            let version = format!(
                "<config-version xmlns='urn:xmpp:iap:0' scheme='opaque' value='{version}'/>"
            );
            plain(&format!("<bind xmlns='urn:xmpp:bind:0'/>{version}"))
        };
        let mut client = Client::new(config(), split);
        client.input(tercet_stream::Input::TlsUp(tls()));
        client.send(&format!("{HEADER}{}", asking("other")));
        let text = client.recv();
        let mismatch = "<config-version-mismatch xmlns='urn:xmpp:iap:0'/></failure>";
        assert!(text.ends_with(mismatch), "{text}");
        // It does not count.
        assert!(client.events.is_empty());
        client.send(&asking(version));
        assert_eq!(bound(&client), ["juliet@im.example.com/none/new"]);
    });
}
