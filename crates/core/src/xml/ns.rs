//! Namespace names of the RFCs. Those of extensions live with their modules.

/// Client-to-server content (RFC 6120 §4.8.2).
pub const CLIENT: &str = "jabber:client";
/// Server-to-server content (RFC 6120 §4.8.2).
pub const SERVER: &str = "jabber:server";
/// Component content as accepted by the server (XEP-0114 §3).
pub const COMPONENT: &str = "jabber:component:accept";
/// The stream element, its features and errors (RFC 6120 §4.8.1).
pub const STREAMS: &str = "http://etherx.jabber.org/streams";
/// STARTTLS negotiation (RFC 6120 §5).
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// SASL negotiation (RFC 6120 §6).
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// Resource binding (RFC 6120 §7).
pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// Session establishment (RFC 3921 §3), kept for old clients.
pub const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
/// Stanza error conditions (RFC 6120 §8.3.2).
pub const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// Stream error conditions (RFC 6120 §4.9.2).
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// WebSocket framing (RFC 7395 §3.3.2).
pub const FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";
/// Roster management (RFC 6121 §2).
pub const ROSTER: &str = "jabber:iq:roster";
/// Feature that announces roster versioning (RFC 6121 §2.6).
pub const ROSTER_VER: &str = "urn:xmpp:features:rosterver";
/// Feature that announces subscription pre-approval (RFC 6121 §3.4).
pub const PRE_APPROVAL: &str = "urn:xmpp:features:pre-approval";
/// Server dialback (XEP-0220), whose prefix is declared on stream headers.
pub const DIALBACK: &str = "jabber:server:dialback";
/// What the prefix `xml` always means (Namespaces in XML §3).
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// What the prefix `xmlns` always means (Namespaces in XML §3).
pub const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// The well-known content namespaces without an allocation, any other as an owned text.
pub(crate) fn intern(ns: &str) -> std::borrow::Cow<'static, str> {
    for known in [CLIENT, SERVER, COMPONENT] {
        if ns == known {
            return known.into();
        }
    }
    ns.to_owned().into()
}
