//! What people are told about streams with other servers that failed.

use std::time::Duration;

use tercet_core::{Condition, StanzaError, StreamCondition};
use tercet_stream::s2s::{Refusal, S2sEnding};

use super::witness;
use crate::reach::Unreachable;

/// A stanza that the other server does not take, by what it has said (XEP-0478).
pub(super) fn too_long(domain: &str) -> StanzaError {
    StanzaError::policy_violation().text(format!(
        "the server of {domain} takes no stanza of this length"
    ))
}

/// A stanza of a sender who has had too many servers looked for.
pub(super) fn too_many(domain: &str) -> StanzaError {
    StanzaError::resource_constraint().text(format!(
        "too many servers in one minute; try {domain} again later"
    ))
}

/// A stanza that was on its way when the connection broke.
pub(super) fn broken(domain: &str) -> StanzaError {
    StanzaError::remote_server_timeout().text(format!(
        "the connection to the server of {domain} broke; this may or may not have arrived"
    ))
}

/// No stream for a domain in time.
pub(super) fn too_late(domain: &str, time: Duration) -> Unreachable {
    Unreachable::timeout(format!(
        "no stream with the server of {domain} came about in {} s",
        time.as_secs()
    ))
}

/// The end of this server.
pub(super) fn shutdown() -> Unreachable {
    Unreachable::timeout("this server is ending, and has no connection to that of the domain")
}

/// Why the stanzas of a pair of domains do not get there.
pub(super) fn refusal(domain: &str, refusal: &Refusal) -> Unreachable {
    match refusal {
        // XEP-0220 §2.1.1.
        Refusal::Invalid => Unreachable {
            condition: Condition::InternalServerError,
            ..Unreachable::timeout(format!(
                "the server of {domain} does not believe that this is the server it is"
            ))
        },
        Refusal::Error(condition, text) => {
            let name = condition.map_or("an unknown error", Condition::as_str);
            let text = text.as_deref().map(printable).unwrap_or_default();
            let text = format!("the server of {domain} refuses: {name} {text}");
            match condition {
                Some(Condition::ItemNotFound) => Unreachable::not_found(text),
                _ => Unreachable::timeout(text),
            }
        }
        Refusal::Sasl(_) => Unreachable::timeout(format!(
            "the server of {domain} does not accept this server's certificate"
        )),
        Refusal::NoWay | Refusal::NotHere => Unreachable::timeout(format!(
            "the server of {domain} offers no way to be authenticated"
        )),
    }
}

/// Whether another machine of the same domain may do better, and what the senders are told if there is none.
/// `lost`: why the connection broke, if it did.
pub(super) fn ending(domain: &str, ending: &S2sEnding, lost: Option<&str>) -> (bool, Unreachable) {
    let timeout = |text: String| Unreachable::timeout(text);
    match ending {
        S2sEnding::PeerError(Some(StreamCondition::HostUnknown), _) => (
            false,
            Unreachable::not_found(format!("its server does not serve {domain}")),
        ),
        S2sEnding::PeerError(condition, text) => {
            let name = condition.map_or("an unknown error", StreamCondition::as_str);
            let text = text.as_deref().map(printable).unwrap_or_default();
            (
                true,
                timeout(format!(
                    "the server of {domain} ended the stream: {name} {text}"
                )),
            )
        }
        S2sEnding::Refused(why) => (false, refusal(domain, why)),
        S2sEnding::TlsMissing | S2sEnding::TlsRefused => (
            true,
            timeout(format!("the server of {domain} offers no TLS")),
        ),
        S2sEnding::Untrusted => (
            true,
            timeout(format!(
                "the certificate of the server of {domain} does not prove it"
            )),
        ),
        S2sEnding::Error(condition) => (
            true,
            timeout(format!(
                "the server of {domain} does not speak as it should: {}",
                condition.as_str()
            )),
        ),
        S2sEnding::Lost if lost.is_some() => (
            true,
            timeout(format!(
                "the connection to the server of {domain} broke: {}",
                lost.unwrap_or_default()
            )),
        ),
        S2sEnding::ByPeer | S2sEnding::ByUs | S2sEnding::Lost | S2sEnding::KeyInvalid => (
            true,
            timeout(format!("the server of {domain} closed the connection")),
        ),
    }
}

/// The fault for which a stream has ended, if it was one: whether the peer may mean harm, and what it did. `negotiated`: something
/// had come about on it.
pub(super) fn fault(ending: &S2sEnding, negotiated: bool) -> Option<(bool, String)> {
    Some(match ending {
        S2sEnding::ByPeer | S2sEnding::ByUs => return None,
        S2sEnding::Error(StreamCondition::SystemShutdown)
        | S2sEnding::PeerError(Some(StreamCondition::SystemShutdown), _) => return None,
        S2sEnding::Error(condition) => {
            let (hostile, what) = witness::offence(*condition);
            (hostile, format!("{}: {what}", condition.as_str()))
        }
        S2sEnding::PeerError(condition, text) => {
            let name = condition.map_or("an unknown error", StreamCondition::as_str);
            let text = text.as_deref().map(printable).unwrap_or_default();
            (
                false,
                format!("it says {name} {text}").trim_end().to_owned(),
            )
        }
        S2sEnding::Lost if negotiated => (false, "the connection broke".to_owned()),
        S2sEnding::Lost => (
            false,
            "the connection ended before it was authenticated".to_owned(),
        ),
        S2sEnding::TlsMissing => (false, "it offers no TLS".to_owned()),
        S2sEnding::TlsRefused => (false, "TLS is refused".to_owned()),
        S2sEnding::Untrusted => (
            false,
            "its certificate does not prove its domain".to_owned(),
        ),
        S2sEnding::KeyInvalid => (true, "its keys of dialback were found invalid".to_owned()),
        S2sEnding::Refused(_) => (false, "it does not believe us".to_owned()),
    })
}

/// Why a key could not be verified.
pub(super) fn unverified(error: &StanzaError) -> String {
    let text = error.text.as_deref().map(printable).unwrap_or_default();
    let name = error.condition.as_str();
    format!("its key could not be verified: {name} {text}")
        .trim_end()
        .to_owned()
}

/// A peer's text without what could break a line.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
