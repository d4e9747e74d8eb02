//! Kinds and types of stanzas.

/// The three stanzas of XMPP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StanzaKind {
    /// `<message/>`
    Message,
    /// `<presence/>`
    Presence,
    /// `<iq/>`
    Iq,
}

impl StanzaKind {
    /// The element's name.
    pub fn as_str(self) -> &'static str {
        match self {
            StanzaKind::Message => "message",
            StanzaKind::Presence => "presence",
            StanzaKind::Iq => "iq",
        }
    }
}

/// Types of messages (RFC 6121 §5.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// A single message, and whatever type is missing or unknown.
    Normal,
    /// Part of a one-to-one conversation.
    Chat,
    /// A notice that expects no reply.
    Headline,
    /// From or to a room.
    Groupchat,
    /// An error in reply to a message.
    Error,
}

impl MessageType {
    /// The type that an attribute's value means.
    pub fn of(value: Option<&str>) -> MessageType {
        match value {
            Some("chat") => MessageType::Chat,
            Some("headline") => MessageType::Headline,
            Some("groupchat") => MessageType::Groupchat,
            Some("error") => MessageType::Error,
            // RFC 6121 §5.2.2: an unknown type means normal.
            _ => MessageType::Normal,
        }
    }

    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            MessageType::Normal => "normal",
            MessageType::Chat => "chat",
            MessageType::Headline => "headline",
            MessageType::Groupchat => "groupchat",
            MessageType::Error => "error",
        }
    }
}

/// Types of presence (RFC 6121 §4.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PresenceType {
    /// No type: available.
    Available,
    /// No longer available.
    Unavailable,
    /// Asks for a subscription.
    Subscribe,
    /// Grants a subscription.
    Subscribed,
    /// Gives up a subscription.
    Unsubscribe,
    /// Denies or cancels a subscription.
    Unsubscribed,
    /// Asks for current presence, between servers.
    Probe,
    /// An error in reply to presence.
    Error,
}

impl PresenceType {
    /// The type that an attribute's value means; `None` if it means none.
    pub fn of(value: Option<&str>) -> Option<PresenceType> {
        Some(match value {
            None => PresenceType::Available,
            Some("unavailable") => PresenceType::Unavailable,
            Some("subscribe") => PresenceType::Subscribe,
            Some("subscribed") => PresenceType::Subscribed,
            Some("unsubscribe") => PresenceType::Unsubscribe,
            Some("unsubscribed") => PresenceType::Unsubscribed,
            Some("probe") => PresenceType::Probe,
            Some("error") => PresenceType::Error,
            Some(_) => return None,
        })
    }

    /// The attribute's value; `None` for [`PresenceType::Available`], which has none.
    pub fn as_str(self) -> Option<&'static str> {
        Some(match self {
            PresenceType::Available => return None,
            PresenceType::Unavailable => "unavailable",
            PresenceType::Subscribe => "subscribe",
            PresenceType::Subscribed => "subscribed",
            PresenceType::Unsubscribe => "unsubscribe",
            PresenceType::Unsubscribed => "unsubscribed",
            PresenceType::Probe => "probe",
            PresenceType::Error => "error",
        })
    }
}

/// Types of iq (RFC 6120 §8.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IqType {
    /// Asks for something.
    Get,
    /// Changes something.
    Set,
    /// Answers either.
    Result,
    /// Refuses either.
    Error,
}

impl IqType {
    /// The type that an attribute's value means; `None` if it is missing or means none.
    pub fn of(value: Option<&str>) -> Option<IqType> {
        Some(match value? {
            "get" => IqType::Get,
            "set" => IqType::Set,
            "result" => IqType::Result,
            "error" => IqType::Error,
            _ => return None,
        })
    }

    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            IqType::Get => "get",
            IqType::Set => "set",
            IqType::Result => "result",
            IqType::Error => "error",
        }
    }
}
