//! What becomes of a stream, for people.

use tercet_stream::s2s::{Proof, Refusal, S2sEnding, S2sEvent};

/// What to do where the other side does not believe us.
const OURS: &str =
    "Run `tercet check`: our certificate has to be from a public authority and for our domain.";
const THEIRS: &str = "Its operator has to look into its log.";
pub(super) const DIALBACK: &str = "For dialback it connects back to this server: it has to run, and to be found from there by DNS.";

/// Stanzas may be sent.
pub(super) fn authorized(proof: Proof) -> &'static str {
    match proof {
        Proof::Certificate => "stanzas may be sent; it has proved its domain by its certificate",
        Proof::Dialback => "stanzas may be sent; dialback has to vouch for its domain",
    }
}

/// They may not: why, and the mend.
pub(super) fn refused(refusal: &Refusal) -> (String, &'static str) {
    match refusal {
        Refusal::Invalid => ("it found our dialback key invalid".to_owned(), DIALBACK),
        Refusal::Error(condition, text) => {
            let condition = condition.map_or("an error", |condition| condition.as_str());
            (said("it answers dialback with", condition, text), DIALBACK)
        }
        Refusal::Sasl(failure) => {
            let failure = failure.map_or("a failure", |failure| failure.as_str());
            let message =
                format!("it answers our certificate with {failure}, and knows no dialback");
            (message, OURS)
        }
        Refusal::NoWay => (
            "it offers neither SASL EXTERNAL nor dialback".to_owned(),
            OURS,
        ),
        Refusal::NotHere => (
            "it takes no further domain on this stream".to_owned(),
            THEIRS,
        ),
    }
}

/// What an event means, if it means anything here, and the mend.
pub(super) fn event(event: &S2sEvent) -> Option<(String, &'static str)> {
    match event {
        S2sEvent::SaslFailed(failure) => {
            let failure = failure.map_or("a failure", |failure| failure.as_str());
            Some((format!("it answers our certificate with {failure}"), OURS))
        }
        S2sEvent::Ended(ending) => ended(ending),
        _ => None,
    }
}

fn ended(ending: &S2sEnding) -> Option<(String, &'static str)> {
    let (message, mend) = match ending {
        // Said already; and we end none.
        S2sEnding::Refused(_) | S2sEnding::ByUs => return None,
        S2sEnding::ByPeer => ("it closes the stream".to_owned(), THEIRS),
        S2sEnding::Lost => ("it closes the connection".to_owned(), THEIRS),
        S2sEnding::PeerError(condition, text) => {
            let condition = condition.map_or("an unknown error", |condition| condition.as_str());
            (said("it ends the stream with", condition, text), THEIRS)
        }
        S2sEnding::Error(condition) => (
            format!(
                "it does not speak XMPP as it has to: {}",
                condition.as_str()
            ),
            THEIRS,
        ),
        S2sEnding::TlsMissing => (
            "it offers no TLS".to_owned(),
            "Its operator has to turn it on.",
        ),
        S2sEnding::TlsRefused => ("it refuses STARTTLS".to_owned(), THEIRS),
        S2sEnding::Untrusted => (
            "its certificate does not prove its domain".to_owned(),
            THEIRS,
        ),
        S2sEnding::KeyInvalid => ("it found our dialback key invalid".to_owned(), DIALBACK),
    };
    Some((message, mend))
}

/// With the other side's own text, escaped.
fn said(what: &str, condition: &str, text: &Option<Box<str>>) -> String {
    match text {
        Some(text) => format!("{what} {condition}: {}", text.escape_debug()),
        None => format!("{what} {condition}"),
    }
}
