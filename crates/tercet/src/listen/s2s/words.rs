//! What people are told about streams with other servers that failed.

use tercet_core::{Condition, StanzaError, StreamCondition};
use tercet_stream::s2s::{Refusal, S2sEnding};

/// Why the stanzas of a pair of domains do not get there.
pub(super) fn refusal(domain: &str, refusal: &Refusal) -> StanzaError {
    match refusal {
        // XEP-0220 §2.1.1.
        Refusal::Invalid => StanzaError::internal_server_error().text(format!(
            "the server of {domain} does not believe that this is the server it is"
        )),
        Refusal::Error(condition, text) => {
            let name = condition.map_or("an unknown error", Condition::as_str);
            let error = match condition {
                Some(Condition::ItemNotFound) => StanzaError::remote_server_not_found(),
                _ => StanzaError::remote_server_timeout(),
            };
            let text = text.as_deref().map(printable).unwrap_or_default();
            error.text(format!("the server of {domain} refuses: {name} {text}"))
        }
        Refusal::Sasl(_) => StanzaError::remote_server_timeout().text(format!(
            "the server of {domain} does not accept this server's certificate"
        )),
        Refusal::NoWay | Refusal::NotHere => StanzaError::remote_server_timeout().text(format!(
            "the server of {domain} offers no way to be authenticated"
        )),
    }
}

/// Whether another machine of the same domain may do better, and what the senders are told if there is none.
pub(super) fn ending(domain: &str, ending: &S2sEnding) -> (bool, StanzaError) {
    let timeout = |text: String| StanzaError::remote_server_timeout().text(text);
    match ending {
        S2sEnding::PeerError(Some(StreamCondition::HostUnknown), _) => (
            false,
            StanzaError::remote_server_not_found()
                .text(format!("its server does not serve {domain}")),
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
        S2sEnding::ByPeer | S2sEnding::ByUs | S2sEnding::Lost | S2sEnding::KeyInvalid => (
            true,
            timeout(format!("the server of {domain} closed the connection")),
        ),
    }
}

/// A peer's text without what could break a line.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
