//! Answers to stanzas: errors to any, results to an iq.

use crate::stanza::{Stanza, StanzaKind};
use crate::xml::XmlWriter;

use super::StanzaError;

/// The payload of an iq is sent back with an error up to this size, in bytes: beyond it, the sender knows what it sent.
const ECHO_BYTES: usize = 4096;

/// Appends the error that answers `stanza`, addressed as `from` and `to` say; returns whether it did.
///
/// Nothing is written if `stanza` may not be answered with an error ([`Stanza::may_bounce`]): errors never answer errors.
///
/// ```
/// use tercet_core::{Stanza, StanzaError, error_reply};
/// let request = Stanza::parse(b"<iq type='get' id='1' to='b@c'><query xmlns='a'/></iq>").unwrap();
/// let mut out = Vec::new();
/// error_reply(&request, &StanzaError::service_unavailable(), Some("b@c"), None, &mut out);
/// assert_eq!(
///     String::from_utf8(out).unwrap(),
///     "<iq type='error' from='b@c' id='1'><query xmlns='a'/><error type='cancel'>\
///      <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
/// );
/// ```
pub fn error_reply(
    stanza: &Stanza,
    error: &StanzaError,
    from: Option<&str>,
    to: Option<&str>,
    out: &mut Vec<u8>,
) -> bool {
    let echo = stanza.kind() == StanzaKind::Iq && stanza.content().len() <= ECHO_BYTES;
    let payload = stanza.payload().filter(|_| echo);
    reply(
        stanza,
        error,
        from,
        to,
        payload.map_or(&[], |p| p.raw()),
        out,
    )
}

/// As [`error_reply`], but without the payload of an iq: for requests with secrets in them.
pub fn discreet_error_reply(
    stanza: &Stanza,
    error: &StanzaError,
    from: Option<&str>,
    to: Option<&str>,
    out: &mut Vec<u8>,
) -> bool {
    reply(stanza, error, from, to, &[], out)
}

fn reply(
    stanza: &Stanza,
    error: &StanzaError,
    from: Option<&str>,
    to: Option<&str>,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    // RFC 6120 §8.3.1: an entity that receives an error MUST NOT answer with one; nor is a result answered (§8.2.3).
    if !stanza.may_bounce() {
        return false;
    }
    let mut w = start(stanza, "error", from, to, out);
    w.raw(payload);
    error.write(&mut w);
    w.end();
    *out = w.finish();
    true
}

/// Appends the result that answers the request `stanza`. `payload` is one well-formed element that declares its namespace,
/// or nothing.
///
/// ```
/// use tercet_core::{Stanza, iq_result};
/// let request = Stanza::parse(b"<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>").unwrap();
/// let mut out = Vec::new();
/// iq_result(&request, Some("example.org"), Some("a@b/c"), b"", &mut out);
/// assert_eq!(out, b"<iq type='result' from='example.org' to='a@b/c' id='1'/>");
/// ```
pub fn iq_result(
    stanza: &Stanza,
    from: Option<&str>,
    to: Option<&str>,
    payload: &[u8],
    out: &mut Vec<u8>,
) {
    let mut w = start(stanza, "result", from, to, out);
    w.raw(payload).end();
    *out = w.finish();
}

/// Starts the answer at the end of `out`, which the writer holds until it is finished.
fn start(
    stanza: &Stanza,
    kind: &str,
    from: Option<&str>,
    to: Option<&str>,
    out: &mut Vec<u8>,
) -> XmlWriter {
    let mut w = XmlWriter::into(std::mem::take(out));
    // RFC 6120 §8.1.3, §8.2.3: the answer has the id of what it answers.
    w.start(stanza.kind().as_str())
        .attr("type", kind)
        .opt_attr("from", from)
        .opt_attr("to", to)
        .opt_attr("id", stanza.id().as_deref());
    w
}

#[cfg(test)]
mod tests {
    use super::{ECHO_BYTES, error_reply, iq_result};
    use crate::{Stanza, StanzaError};

    fn bounce(stanza: &str) -> Option<String> {
        let stanza = Stanza::parse(stanza.as_bytes()).unwrap();
        let mut out = b"before".to_vec();
        let written = error_reply(
            &stanza,
            &StanzaError::forbidden(),
            Some("b"),
            Some("a"),
            &mut out,
        );
        let text = String::from_utf8(out).unwrap();
        let reply = text.strip_prefix("before").unwrap().to_owned();
        assert_eq!(written, !reply.is_empty());
        written.then(|| {
            Stanza::parse(reply.as_bytes()).unwrap();
            reply
        })
    }

    const FORBIDDEN: &str =
        "<error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";

    #[test]
    fn messages_and_presences_bounce_without_their_content() {
        assert_eq!(
            bounce("<message id='&lt;1&gt;' to='x'><body>Hi</body></message>").unwrap(),
            format!("<message type='error' from='b' to='a' id='&lt;1&gt;'>{FORBIDDEN}</message>")
        );
        assert_eq!(
            bounce("<presence type='subscribe' to='x'/>").unwrap(),
            format!("<presence type='error' from='b' to='a'>{FORBIDDEN}</presence>")
        );
    }

    #[test]
    fn an_iq_bounces_with_its_payload_unless_that_is_large() {
        assert_eq!(
            bounce("<iq type='set' id='1' xmlns:p='q'><p:x><p:y/></p:x></iq>").unwrap(),
            format!(
                "<iq type='error' from='b' to='a' id='1'><p:x xmlns:p='q'><p:y/></p:x>{FORBIDDEN}</iq>"
            )
        );
        let large = "x".repeat(ECHO_BYTES);
        assert_eq!(
            bounce(&format!(
                "<iq type='set' id='1'><x xmlns='y'>{large}</x></iq>"
            ))
            .unwrap(),
            format!("<iq type='error' from='b' to='a' id='1'>{FORBIDDEN}</iq>")
        );
    }

    #[test]
    fn errors_and_results_never_bounce() {
        for stanza in [
            "<iq type='error' id='1'/>",
            "<iq type='result' id='1'/>",
            "<message type='error'/>",
            "<presence type='error'/>",
        ] {
            assert_eq!(bounce(stanza), None, "{stanza}");
        }
    }

    #[test]
    fn results_carry_the_payload_and_the_id() {
        let stanza = Stanza::parse(b"<iq type='get' id='a&amp;b'><x xmlns='y'/></iq>").unwrap();
        let mut out = Vec::new();
        iq_result(&stanza, None, None, b"<x xmlns='y'>1</x>", &mut out);
        assert_eq!(
            out,
            b"<iq type='result' id='a&amp;b'><x xmlns='y'>1</x></iq>"
        );
    }
}
