//! Stream errors, RFC 6120 §4.9.

use std::borrow::Cow;
use std::fmt;

use crate::xml::{XmlWriter, ns};

use super::write_text;

macro_rules! conditions {
    ($($(#[$doc:meta])* $variant:ident $name:literal)*) => {
        /// The defined conditions of RFC 6120 §4.9.3.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum StreamCondition {
            $($(#[$doc])* $variant,)*
        }

        impl StreamCondition {
            /// Every condition, in the order of the RFC.
            pub const ALL: &'static [StreamCondition] = &[$(StreamCondition::$variant),*];

            /// The name of the element.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(StreamCondition::$variant => $name,)*
                }
            }
        }
    };
}

conditions! {
    /// XML that cannot be processed (§4.9.3.1).
    BadFormat "bad-format"
    /// A namespace prefix that is missing or not understood (§4.9.3.2).
    BadNamespacePrefix "bad-namespace-prefix"
    /// A newer stream of the same entity took over (§4.9.3.3).
    Conflict "conflict"
    /// The peer has been silent for too long (§4.9.3.4).
    ConnectionTimeout "connection-timeout"
    /// The host is no longer served here (§4.9.3.5).
    HostGone "host-gone"
    /// The host is not served here (§4.9.3.6).
    HostUnknown "host-unknown"
    /// A stanza between servers without `to` or `from` (§4.9.3.7).
    ImproperAddressing "improper-addressing"
    /// A fault of this server (§4.9.3.8).
    InternalServerError "internal-server-error"
    /// A `from` that is not the peer's (§4.9.3.9).
    InvalidFrom "invalid-from"
    /// The stream's or its content's namespace is not the right one (§4.9.3.10).
    InvalidNamespace "invalid-namespace"
    /// XML that does not fit its schema (§4.9.3.11).
    InvalidXml "invalid-xml"
    /// Data before the stream was authenticated (§4.9.3.12).
    NotAuthorized "not-authorized"
    /// XML that is not well-formed (§4.9.3.13).
    NotWellFormed "not-well-formed"
    /// A local rule is broken: size, rate, content (§4.9.3.14).
    PolicyViolation "policy-violation"
    /// The connection to a remote server failed (§4.9.3.15).
    RemoteConnectionFailed "remote-connection-failed"
    /// The stream is to be opened anew, for fresh features or keys (§4.9.3.16).
    Reset "reset"
    /// The server is too busy or too full (§4.9.3.17).
    ResourceConstraint "resource-constraint"
    /// Comments, processing instructions, document types or entities (§4.9.3.18).
    RestrictedXml "restricted-xml"
    /// Another host serves this peer; [`StreamError::other_host`] names it (§4.9.3.19).
    SeeOtherHost "see-other-host"
    /// The server goes down; all its streams end (§4.9.3.20).
    SystemShutdown "system-shutdown"
    /// None of the others; used with an application condition (§4.9.3.21).
    UndefinedCondition "undefined-condition"
    /// An encoding other than UTF-8 (§4.9.3.22).
    UnsupportedEncoding "unsupported-encoding"
    /// A stream feature that is mandatory to negotiate but not known to the peer (§4.9.3.23).
    UnsupportedFeature "unsupported-feature"
    /// An element that is neither a stanza nor part of the negotiation (§4.9.3.24).
    UnsupportedStanzaType "unsupported-stanza-type"
    /// A version that is not served (§4.9.3.25).
    UnsupportedVersion "unsupported-version"
}

impl StreamCondition {
    /// The condition with this element name. `xml-not-well-formed` is RFC 3920's name for `not-well-formed`.
    pub fn from_name(name: &str) -> Option<StreamCondition> {
        if name == "xml-not-well-formed" {
            return Some(StreamCondition::NotWellFormed);
        }
        StreamCondition::ALL
            .iter()
            .copied()
            .find(|c| c.as_str() == name)
    }
}

/// An error that ends a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamError {
    /// The defined condition.
    pub condition: StreamCondition,
    /// For people, in English.
    pub text: Option<Cow<'static, str>>,
    /// The host (with port) inside `<see-other-host/>`. Not written for other conditions.
    pub other_host: Option<Box<str>>,
    /// An application condition: one well-formed element that declares its namespace.
    pub application: Option<Box<[u8]>>,
}

impl StreamError {
    /// An error with this condition and nothing else.
    pub fn new(condition: StreamCondition) -> StreamError {
        StreamError {
            condition,
            text: None,
            other_host: None,
            application: None,
        }
    }

    /// `see-other-host` with the host to go to, and its port if it is not the usual one: `[::1]:5222`, `im.example.org`.
    pub fn see_other_host(host: impl Into<Box<str>>) -> StreamError {
        StreamError {
            other_host: Some(host.into()),
            ..StreamError::new(StreamCondition::SeeOtherHost)
        }
    }

    /// With a text for people.
    #[must_use]
    pub fn text(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// With an application condition: one well-formed element that declares its namespace.
    #[must_use]
    pub fn app(mut self, element: impl Into<Box<[u8]>>) -> Self {
        self.application = Some(element.into());
        self
    }

    /// Writes `<stream:error/>` inside a stream whose header declares the prefix `stream`.
    ///
    /// ```
    /// use tercet_core::{StreamCondition, StreamError, XmlWriter};
    /// let mut w = XmlWriter::new();
    /// StreamError::new(StreamCondition::Conflict).write(&mut w);
    /// assert_eq!(
    ///     w.finish(),
    ///     b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    /// );
    /// ```
    pub fn write(&self, w: &mut XmlWriter) {
        w.start("stream:error");
        self.write_content(w);
    }

    /// Writes `<stream:error/>` with the prefix declared on it, for framings without a stream header (RFC 7395 §3.3.2).
    pub fn write_framed(&self, w: &mut XmlWriter) {
        w.start("stream:error").attr("xmlns:stream", ns::STREAMS);
        self.write_content(w);
    }

    fn write_content(&self, w: &mut XmlWriter) {
        w.start(self.condition.as_str())
            .attr("xmlns", ns::STREAM_ERRORS);
        // RFC 6120 §4.9.3.19: the host is the condition's character data.
        if let (StreamCondition::SeeOtherHost, Some(host)) = (self.condition, &self.other_host) {
            w.text(host);
        }
        w.end();
        write_text(w, self.text.as_deref(), ns::STREAM_ERRORS);
        w.raw(self.application.as_deref().unwrap_or_default());
        w.end();
    }
}

impl From<StreamCondition> for StreamError {
    fn from(condition: StreamCondition) -> Self {
        StreamError::new(condition)
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.condition.as_str())?;
        match &self.text {
            Some(text) => write!(f, " ({text})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for StreamError {}
