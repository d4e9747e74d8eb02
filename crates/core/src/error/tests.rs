use super::{Condition, ErrorType, SaslFailure, StanzaError, StreamCondition, StreamError};
use crate::xml::XmlWriter;

fn written(write: impl FnOnce(&mut XmlWriter)) -> String {
    let mut w = XmlWriter::new();
    write(&mut w);
    String::from_utf8(w.finish()).unwrap()
}

#[test]
fn stanza_errors_are_those_of_the_rfc_with_its_types() {
    // RFC 6120 §8.3.3.1 to §8.3.3.22: condition and the type that SHOULD go with it; the first of two.
    let rfc = [
        ("bad-request", "modify"),
        ("conflict", "cancel"),
        ("feature-not-implemented", "cancel"),
        ("forbidden", "auth"),
        ("gone", "cancel"),
        ("internal-server-error", "cancel"),
        ("item-not-found", "cancel"),
        ("jid-malformed", "modify"),
        ("not-acceptable", "modify"),
        ("not-allowed", "cancel"),
        ("not-authorized", "auth"),
        ("policy-violation", "modify"),
        ("recipient-unavailable", "wait"),
        ("redirect", "modify"),
        ("registration-required", "auth"),
        ("remote-server-not-found", "cancel"),
        ("remote-server-timeout", "wait"),
        ("resource-constraint", "wait"),
        ("service-unavailable", "cancel"),
        ("subscription-required", "auth"),
        ("undefined-condition", "cancel"),
        ("unexpected-request", "wait"),
    ];
    assert_eq!(Condition::ALL.len(), rfc.len());
    for (condition, (name, kind)) in Condition::ALL.iter().zip(rfc) {
        assert_eq!(
            (condition.as_str(), condition.default_type().as_str()),
            (name, kind)
        );
        assert_eq!(Condition::from_name(name), Some(*condition));
        assert_eq!(
            written(|w| StanzaError::new(*condition).write(w)),
            format!(
                "<error type='{kind}'><{name} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
            ),
        );
    }
    assert_eq!(Condition::from_name("payment-required"), None);
    assert_eq!(StanzaError::gone().condition, Condition::Gone);
    for kind in ["auth", "cancel", "continue", "modify", "wait"] {
        assert_eq!(
            ErrorType::from_name(kind).map(ErrorType::as_str),
            Some(kind)
        );
    }
    assert_eq!(ErrorType::from_name(""), None);
}

#[test]
fn stream_errors_are_those_of_the_rfc() {
    // RFC 6120 §4.9.3.1 to §4.9.3.25.
    let rfc = [
        "bad-format",
        "bad-namespace-prefix",
        "conflict",
        "connection-timeout",
        "host-gone",
        "host-unknown",
        "improper-addressing",
        "internal-server-error",
        "invalid-from",
        "invalid-namespace",
        "invalid-xml",
        "not-authorized",
        "not-well-formed",
        "policy-violation",
        "remote-connection-failed",
        "reset",
        "resource-constraint",
        "restricted-xml",
        "see-other-host",
        "system-shutdown",
        "undefined-condition",
        "unsupported-encoding",
        "unsupported-feature",
        "unsupported-stanza-type",
        "unsupported-version",
    ];
    assert_eq!(StreamCondition::ALL.len(), rfc.len());
    for (condition, name) in StreamCondition::ALL.iter().zip(rfc) {
        assert_eq!(condition.as_str(), name);
        assert_eq!(StreamCondition::from_name(name), Some(*condition));
        assert_eq!(
            written(|w| StreamError::from(*condition).write(w)),
            format!(
                "<stream:error><{name} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
            ),
        );
    }
    assert_eq!(
        StreamCondition::from_name("xml-not-well-formed"),
        Some(StreamCondition::NotWellFormed)
    );
    assert_eq!(StreamCondition::from_name("text"), None);
}

#[test]
fn sasl_failures_are_those_of_the_rfc() {
    // RFC 6120 §6.5.1 to §6.5.11.
    let rfc = [
        "aborted",
        "account-disabled",
        "credentials-expired",
        "encryption-required",
        "incorrect-encoding",
        "invalid-authzid",
        "invalid-mechanism",
        "malformed-request",
        "mechanism-too-weak",
        "not-authorized",
        "temporary-auth-failure",
    ];
    assert_eq!(SaslFailure::ALL.len(), rfc.len());
    for (failure, name) in SaslFailure::ALL.iter().zip(rfc) {
        assert_eq!(failure.as_str(), name);
        assert_eq!(SaslFailure::from_name(name), Some(*failure));
        assert_eq!(
            written(|w| failure.write(w, None)),
            format!("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><{name}/></failure>"),
        );
    }
}

#[test]
fn addresses_stand_inside_gone_redirect_and_see_other_host_only() {
    assert_eq!(
        written(|w| StanzaError::gone()
            .target("xmpp:romeo@afterlife.example?a&b")
            .write(w)),
        "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:romeo@afterlife.example?a&amp;b</gone></error>"
    );
    assert_eq!(
        written(|w| StanzaError::redirect()
            .target("xmpp:other@example.net")
            .write(w)),
        "<error type='modify'><redirect xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:other@example.net</redirect></error>"
    );
    assert!(!written(|w| StanzaError::forbidden().target("xmpp:x@y").write(w)).contains("xmpp:x"));
    assert_eq!(
        written(|w| StreamError::see_other_host("[2001:db8::1]:9222").write(w)),
        "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>[2001:db8::1]:9222</see-other-host></stream:error>"
    );
}

#[test]
fn texts_and_application_conditions_follow_the_condition() {
    let app = b"<too-many xmlns='urn:example:a'/>".as_slice();
    assert_eq!(
        written(|w| StanzaError::policy_violation()
            .kind(ErrorType::Wait)
            .text("Slow & steady")
            .app(app)
            .write(w)),
        "<error type='wait'><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>Slow &amp; steady</text>\
         <too-many xmlns='urn:example:a'/></error>"
    );
    let error = StreamError::new(StreamCondition::UndefinedCondition)
        .text("No")
        .app(app);
    assert_eq!(
        written(|w| error.write_framed(w)),
        "<stream:error xmlns:stream='http://etherx.jabber.org/streams'>\
         <undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
         <text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>No</text>\
         <too-many xmlns='urn:example:a'/></stream:error>"
    );
    assert_eq!(
        written(|w| SaslFailure::AccountDisabled.write(w, Some("Ask us."))),
        "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><account-disabled/>\
         <text xmlns='urn:ietf:params:xml:ns:xmpp-sasl' xml:lang='en'>Ask us.</text></failure>"
    );
}
