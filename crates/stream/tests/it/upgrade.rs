//! SASL upgrade tasks (XEP-0480): an account that came with SCRAM-SHA-1 keys alone gets those of SCRAM-SHA-256. Romeo's is such.

use aws_lc_rs::pbkdf2;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use tercet_core::{SaslFailure, StreamCondition};
use tercet_stream::sasl::{DEFAULT_ITERATIONS, ScramHash};

use crate::support::*;

const TASK: &str = "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade>";
const NEXT: &str = "<next xmlns='urn:xmpp:sasl:2' task='UPGR-SCRAM-SHA-256'/>";

/// A client that has proved by SCRAM that it knows `password`, and what it is told then.
fn proved(
    split: Split,
    name: &str,
    hash: ScramHash,
    password: &str,
    more: &str,
) -> (Client, String) {
    let mechanism = match hash {
        ScramHash::Sha1 => "SCRAM-SHA-1",
        ScramHash::Sha256 => "SCRAM-SHA-256",
    };
    let mut client = Client::inside_tls(config(), split, tls());
    let first = format!("n={name},r=fyko+d2lbbFgONRv9qkxdawL");
    let initial = BASE64_STANDARD.encode(format!("n,,{first}"));
    client.send(&format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='{mechanism}'>\
         <initial-response>{initial}</initial-response>{more}</authenticate>"
    ));
    let challenge = inner(
        &client.recv(),
        "<challenge xmlns='urn:xmpp:sasl:2'>",
        "</challenge>",
    );
    let challenge = String::from_utf8(challenge).unwrap();
    let last = client_final(hash, password, &first, &challenge, b"n,,");
    let last = BASE64_STANDARD.encode(last);
    client.send(&format!(
        "<response xmlns='urn:xmpp:sasl:2'>{last}</response>"
    ));
    let told = client.recv();
    (client, told)
}

/// The base64 between two texts, decoded.
fn inner(text: &str, before: &str, behind: &str) -> Vec<u8> {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("{text}"));
    let (inner, _) = rest.split_once(behind).unwrap_or_else(|| panic!("{text}"));
    BASE64_STANDARD.decode(inner).unwrap()
}

/// The salted password that the client sends for what `task-data` says.
fn hash(data: &str) -> String {
    let start =
        format!("<salt xmlns='urn:xmpp:scram-upgrade:0' iterations='{DEFAULT_ITERATIONS}'>");
    let salt = inner(data, &start, "</salt></task-data>");
    let mut salted = [0; 32];
    let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
    pbkdf2::derive(
        algorithm,
        DEFAULT_ITERATIONS,
        &salt,
        PASSWORD.as_bytes(),
        &mut salted,
    );
    task_data(&BASE64_STANDARD.encode(salted))
}

fn task_data(hash: &str) -> String {
    format!(
        "<task-data xmlns='urn:xmpp:sasl:2'><hash xmlns='urn:xmpp:scram-upgrade:0'>{hash}</hash></task-data>"
    )
}

fn failed(failure: SaslFailure) -> String {
    let name = failure.as_str();
    format!(
        "<failure xmlns='urn:xmpp:sasl:2'><{name} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>"
    )
}

#[test]
fn an_account_without_keys_of_a_hash_function_gets_them_from_its_client() {
    for split in [Split::Whole, Split::Bytes] {
        let (mut client, told) = proved(split, "romeo", ScramHash::Sha1, PASSWORD, TASK);
        // The server's proof comes with the task, not with the success.
        let data = inner(
            &told,
            "<continue xmlns='urn:xmpp:sasl:2'><additional-data>",
            "</additional-data>",
        );
        assert!(data.starts_with(b"v="), "{told}");
        let tasks = "<tasks><task>UPGR-SCRAM-SHA-256</task></tasks></continue>";
        assert!(told.ends_with(tasks), "{told}");
        client.send(NEXT);
        let data = client.recv();
        client.send(&hash(&data));
        let told = client.recv();
        let success = "<success xmlns='urn:xmpp:sasl:2'>\
             <authorization-identifier>romeo@im.example.com</authorization-identifier></success><stream:features>";
        assert!(told.starts_with(success), "{told}");
        let kept = "Sha256 keys of romeo@im.example.com that fit: true";
        assert_eq!(client.asked.last().map(String::as_str), Some(kept));
        client.send(&bind("orchard"));
        assert!(client.stream.is_bound());
    }
}

#[test]
fn who_needs_no_task_or_wants_none_logs_in_as_ever() {
    let success = "<success xmlns='urn:xmpp:sasl:2'><additional-data>";
    for (name, hash, more) in [
        ("juliet", ScramHash::Sha1, TASK),
        ("romeo", ScramHash::Sha1, ""),
        (
            "romeo",
            ScramHash::Sha1,
            "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-512</upgrade>",
        ),
        ("juliet", ScramHash::Sha256, TASK),
    ] {
        let (_, told) = proved(Split::Whole, name, hash, PASSWORD, more);
        assert!(told.starts_with(success), "{name} {more}: {told}");
    }
}

#[test]
fn nothing_of_the_task_shows_before_the_proof() {
    let wrong = |name| proved(Split::Whole, name, ScramHash::Sha1, "wrong", TASK).1;
    assert_eq!(wrong("romeo"), failed(SaslFailure::NotAuthorized));
    assert_eq!(wrong("romeo"), wrong("juliet"));
    assert_eq!(wrong("romeo"), wrong("nobody"));
}

#[test]
fn what_is_wrong_with_a_task_fails_the_login() {
    let task = || proved(Split::Whole, "romeo", ScramHash::Sha1, PASSWORD, TASK).0;
    for (sent, failure) in [
        (
            "<abort xmlns='urn:xmpp:sasl:2'/>".to_owned(),
            SaslFailure::Aborted,
        ),
        (
            "<next xmlns='urn:xmpp:sasl:2' task='UPGR-SCRAM-SHA-512'/>".to_owned(),
            SaslFailure::MalformedRequest,
        ),
        (
            "<next xmlns='urn:xmpp:sasl:2'/>".to_owned(),
            SaslFailure::MalformedRequest,
        ),
        (task_data(""), SaslFailure::MalformedRequest),
    ] {
        let mut client = task();
        client.send(&sent);
        assert_eq!(client.recv(), failed(failure), "{sent}");
    }
    for (sent, failure) in [
        (task_data(""), SaslFailure::MalformedRequest),
        (task_data("AAAA"), SaslFailure::MalformedRequest),
        (task_data("not base64"), SaslFailure::IncorrectEncoding),
        (
            "<task-data xmlns='urn:xmpp:sasl:2'/>".to_owned(),
            SaslFailure::MalformedRequest,
        ),
        (NEXT.to_owned(), SaslFailure::MalformedRequest),
        (
            "<abort xmlns='urn:xmpp:sasl:2'/>".to_owned(),
            SaslFailure::Aborted,
        ),
    ] {
        let mut client = task();
        client.send(NEXT);
        client.recv();
        client.send(&sent);
        assert_eq!(client.recv(), failed(failure), "{sent}");
        assert!(!client.asked.last().unwrap().contains("that fit"));
    }
    let mut client = task();
    client.send("<message to='juliet@im.example.com'/>");
    client.expect_error(StreamCondition::NotAuthorized);
}

#[test]
fn a_host_may_offer_no_better_than_its_accounts_have_keys_for() {
    let mut client = Client::new(config_with(|host| host.sha256 = false), Split::Whole);
    client.input(tercet_stream::Input::TlsUp(tls()));
    client.send(HEADER);
    let features = client.recv();
    assert!(!features.contains("<mechanism>SCRAM-SHA-256"), "{features}");
    assert!(
        features.contains("<mechanism>SCRAM-SHA-1-PLUS"),
        "{features}"
    );
    assert!(features.contains(TASK), "{features}");
    client
        .send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>=</auth>");
    assert_eq!(client.recv(), failure(SaslFailure::InvalidMechanism));
}
