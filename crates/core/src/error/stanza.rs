//! Stanza errors, RFC 6120 §8.3.

use std::borrow::Cow;
use std::fmt;

use crate::JidError;
use crate::xml::{XmlWriter, ns};

use super::write_text;

/// What the sender is asked to do about an error (RFC 6120 §8.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// Retry with credentials or rights.
    Auth,
    /// Do not retry.
    Cancel,
    /// Go on: it was a warning.
    Continue,
    /// Retry with other data.
    Modify,
    /// Retry later.
    Wait,
}

impl ErrorType {
    /// The value of the `type` attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorType::Auth => "auth",
            ErrorType::Cancel => "cancel",
            ErrorType::Continue => "continue",
            ErrorType::Modify => "modify",
            ErrorType::Wait => "wait",
        }
    }

    /// The type with this name.
    pub fn from_name(name: &str) -> Option<ErrorType> {
        Some(match name {
            "auth" => ErrorType::Auth,
            "cancel" => ErrorType::Cancel,
            "continue" => ErrorType::Continue,
            "modify" => ErrorType::Modify,
            "wait" => ErrorType::Wait,
            _ => return None,
        })
    }
}

macro_rules! conditions {
    ($($(#[$doc:meta])* $variant:ident $constructor:ident $name:literal $kind:ident)*) => {
        /// The defined conditions of RFC 6120 §8.3.3.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Condition {
            $($(#[$doc])* $variant,)*
        }

        impl Condition {
            /// Every condition, in the order of the RFC.
            pub const ALL: &'static [Condition] = &[$(Condition::$variant),*];

            /// The name of the element.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Condition::$variant => $name,)*
                }
            }

            /// The type that the RFC gives the condition; where it gives two, the one that lets the sender try again as it
            /// is (`unexpected-request`) or not (`policy-violation`).
            pub fn default_type(self) -> ErrorType {
                match self {
                    $(Condition::$variant => ErrorType::$kind,)*
                }
            }
        }

        /// One constructor per condition, with the RFC's type for it.
        impl StanzaError {
            $($(#[$doc])*
            pub fn $constructor() -> StanzaError {
                StanzaError::new(Condition::$variant)
            })*
        }
    };
}

conditions! {
    /// The XML is understood but does not fit its schema or cannot be processed (§8.3.3.1).
    BadRequest bad_request "bad-request" Modify
    /// Something of that name or address is there already (§8.3.3.2).
    Conflict conflict "conflict" Cancel
    /// Part of a known protocol that is not offered (§8.3.3.3).
    FeatureNotImplemented feature_not_implemented "feature-not-implemented" Cancel
    /// The sender may not do this (§8.3.3.4).
    Forbidden forbidden "forbidden" Auth
    /// The address has moved for good; [`StanzaError::target`] says where to (§8.3.3.5).
    Gone gone "gone" Cancel
    /// A fault of this server (§8.3.3.6).
    InternalServerError internal_server_error "internal-server-error" Cancel
    /// There is no such thing (§8.3.3.7).
    ItemNotFound item_not_found "item-not-found" Cancel
    /// An address is not a JID (§8.3.3.8).
    JidMalformed jid_malformed "jid-malformed" Modify
    /// The request does not meet stated criteria (§8.3.3.9).
    NotAcceptable not_acceptable "not-acceptable" Modify
    /// Nobody may do this (§8.3.3.10).
    NotAllowed not_allowed "not-allowed" Cancel
    /// The sender must first prove who it is (§8.3.3.11).
    NotAuthorized not_authorized "not-authorized" Auth
    /// A local rule is broken: size, rate, content (§8.3.3.12).
    PolicyViolation policy_violation "policy-violation" Modify
    /// The recipient is not available now (§8.3.3.13).
    RecipientUnavailable recipient_unavailable "recipient-unavailable" Wait
    /// Ask at [`StanzaError::target`] this time (§8.3.3.14).
    Redirect redirect "redirect" Modify
    /// The sender must register first (§8.3.3.15).
    RegistrationRequired registration_required "registration-required" Auth
    /// The recipient's server does not exist or cannot be found (§8.3.3.16).
    RemoteServerNotFound remote_server_not_found "remote-server-not-found" Cancel
    /// The recipient's server does not answer in time (§8.3.3.17).
    RemoteServerTimeout remote_server_timeout "remote-server-timeout" Wait
    /// The server is too busy or too full (§8.3.3.18).
    ResourceConstraint resource_constraint "resource-constraint" Wait
    /// The service is not offered, or not to this sender (§8.3.3.19).
    ServiceUnavailable service_unavailable "service-unavailable" Cancel
    /// The sender needs a subscription (§8.3.3.20).
    SubscriptionRequired subscription_required "subscription-required" Auth
    /// None of the others; used with an application condition (§8.3.3.21).
    UndefinedCondition undefined_condition "undefined-condition" Cancel
    /// Understood, but not expected now (§8.3.3.22).
    UnexpectedRequest unexpected_request "unexpected-request" Wait
}

impl Condition {
    /// The condition with this element name.
    pub fn from_name(name: &str) -> Option<Condition> {
        Condition::ALL.iter().copied().find(|c| c.as_str() == name)
    }
}

/// An error that answers a stanza.
///
/// ```
/// use tercet_core::{ErrorType, StanzaError};
/// let error = StanzaError::policy_violation().kind(ErrorType::Wait).text("Too many invitations today.");
/// assert_eq!(error.condition.as_str(), "policy-violation");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StanzaError {
    /// What the sender can do about it.
    pub kind: ErrorType,
    /// The defined condition.
    pub condition: Condition,
    /// For people, in English.
    pub text: Option<Cow<'static, str>>,
    /// The URI inside `<gone/>` and `<redirect/>`: where to go. Not written for other conditions.
    pub target: Option<Box<str>>,
    /// An application condition: one well-formed element that declares its namespace.
    pub application: Option<Box<[u8]>>,
}

impl StanzaError {
    /// An error with the condition's default type and nothing else.
    pub fn new(condition: Condition) -> StanzaError {
        StanzaError {
            kind: condition.default_type(),
            condition,
            text: None,
            target: None,
            application: None,
        }
    }

    /// With a text for people.
    #[must_use]
    pub fn text(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// With another type than the condition's default.
    #[must_use]
    pub fn kind(mut self, kind: ErrorType) -> Self {
        self.kind = kind;
        self
    }

    /// With the URI of the new address (`xmpp:` …), for `gone` and `redirect`.
    #[must_use]
    pub fn target(mut self, uri: impl Into<Box<str>>) -> Self {
        self.target = Some(uri.into());
        self
    }

    /// With an application condition: one well-formed element that declares its namespace.
    #[must_use]
    pub fn app(mut self, element: impl Into<Box<[u8]>>) -> Self {
        self.application = Some(element.into());
        self
    }

    /// Writes `<error/>` (RFC 6120 §8.3.2).
    ///
    /// ```
    /// use tercet_core::{StanzaError, XmlWriter};
    /// let mut w = XmlWriter::new();
    /// StanzaError::item_not_found().write(&mut w);
    /// assert_eq!(
    ///     w.finish(),
    ///     b"<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
    /// );
    /// ```
    pub fn write(&self, w: &mut XmlWriter) {
        w.start("error").attr("type", self.kind.as_str());
        w.start(self.condition.as_str()).attr("xmlns", ns::STANZAS);
        // RFC 6120 §8.3.3.5, §8.3.3.14: the new address is the condition's character data.
        if let (Condition::Gone | Condition::Redirect, Some(uri)) = (self.condition, &self.target) {
            w.text(uri);
        }
        w.end();
        write_text(w, self.text.as_deref(), ns::STANZAS);
        w.raw(self.application.as_deref().unwrap_or_default());
        w.end();
    }
}

impl fmt::Display for StanzaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.condition.as_str())?;
        match &self.text {
            Some(text) => write!(f, " ({text})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for StanzaError {}

impl From<JidError> for StanzaError {
    /// `jid-malformed`, with the reason as text.
    fn from(error: JidError) -> Self {
        StanzaError::jid_malformed().text(error.to_string())
    }
}
