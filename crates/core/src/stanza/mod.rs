//! Stanzas: validated bytes and an index of what is where, never a tree.
//!
//! The server forwards far more than it reads. A [`Stanza`] is read through its index, written with new addresses, and
//! its children are parsed only by whoever consumes them.

mod child;
mod index;
mod shared;
#[cfg(test)]
mod tests;
mod types;
mod write;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::xml::{Frame, Limits, Ns, Scope, Scopes, Span, XmlError, ns, parse_document};
use crate::{Jid, StanzaError};

pub use child::Child;
pub use shared::SharedStanza;
pub use types::{IqType, MessageType, PresenceType, StanzaKind};
pub use write::{Edit, Head};

use index::{StanzaIndex, Value};

/// A message, presence or iq (RFC 6120 §8): its bytes, checked, and an index made in the same pass. Cheap to clone.
///
/// Children that used prefixes or a default namespace declared outside of them carry the declarations themselves, and
/// say nothing where they mean the content namespace: their bytes are right on any stream.
///
/// ```
/// use tercet_core::{Head, Stanza};
/// let stanza = Stanza::parse(b"<message to='juliet@example.org' id='1'><body>Hi</body></message>").unwrap();
/// assert_eq!(stanza.to().unwrap().unwrap().domain(), "example.org");
/// assert_eq!(stanza.own_child("body").unwrap().raw(), b"<body>Hi</body>");
/// let mut out = Vec::new();
/// stanza.write(&mut out, Head { from: Some("romeo@example.net/x"), to: None, ..Head::default() });
/// assert_eq!(out, b"<message from='romeo@example.net/x' id='1'><body>Hi</body></message>");
/// ```
#[derive(Clone)]
pub struct Stanza(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: StanzaKind,
    text: Box<str>,
    /// Namespace names, and the type, that were written with references.
    side: Box<str>,
    content_ns: Cow<'static, str>,
    to: Address,
    from: Address,
    type_: Option<Ns>,
    index: StanzaIndex,
}

#[derive(Debug, Clone)]
enum Address {
    None,
    Jid(Jid),
    Malformed,
}

impl Address {
    #[inline]
    fn new(text: &str, value: Option<Value>) -> Address {
        let Some(value) = value else {
            return Address::None;
        };
        match Jid::parse(&value.of(text)) {
            Ok(jid) => Address::Jid(jid),
            Err(_) => Address::Malformed,
        }
    }

    fn get(&self) -> Result<Option<&Jid>, StanzaError> {
        match self {
            Address::None => Ok(None),
            Address::Jid(jid) => Ok(Some(jid)),
            // RFC 6120 §8.3.3.8: an address that is none.
            Address::Malformed => Err(StanzaError::jid_malformed()),
        }
    }
}

/// A stanza whose bytes are being scanned. The index is filled in where it stays.
pub(crate) struct Draft(Option<Arc<Inner>>);

impl Draft {
    #[inline]
    pub(crate) fn new() -> Draft {
        Draft(Some(Arc::new(Inner {
            kind: StanzaKind::Message,
            text: Box::default(),
            side: Box::default(),
            content_ns: Cow::Borrowed(""),
            to: Address::None,
            from: Address::None,
            type_: None,
            index: StanzaIndex::default(),
        })))
    }

    /// The index: a [`Sink`](crate::xml::Sink) for the scanner.
    #[inline]
    pub(crate) fn index(&mut self) -> &mut StanzaIndex {
        &mut self.inner().index
    }

    /// What the element is; `None` if it is no stanza, by name or namespace.
    #[inline]
    pub(crate) fn kind(
        &mut self,
        text: &str,
        scopes: &Scopes,
        scope: &Scope<'_>,
    ) -> Option<StanzaKind> {
        self.index().kind(text, scopes, scope)
    }

    /// The stanza of the text that was scanned and checked. Once only.
    #[inline]
    pub(crate) fn finish(
        &mut self,
        kind: StanzaKind,
        text: &str,
        content_ns: &str,
        scopes: &mut Scopes,
    ) -> Stanza {
        let inner = self.inner();
        inner.kind = kind;
        inner.to = Address::new(text, inner.index.to);
        inner.from = Address::new(text, inner.index.from);
        inner.type_ = inner.index.type_.map(|value| match value.span() {
            Some(span) => Ns::Bytes(span),
            None => {
                let value = value.of(text);
                let start = scopes.side.len() as u32;
                scopes.side.push_str(&value);
                Ns::Side(Span {
                    start,
                    len: value.len() as u32,
                })
            }
        });
        if !scopes.side.is_empty() {
            inner.side = std::mem::take(&mut scopes.side).into();
        }
        inner.content_ns = ns::intern(content_ns);
        inner.text = text.into();
        Stanza(self.0.take().expect("a draft is finished once"))
    }

    #[inline]
    fn inner(&mut self) -> &mut Inner {
        let inner = self.0.as_mut().and_then(Arc::get_mut);
        inner.expect("a draft is not shared, and finished once")
    }
}

impl Stanza {
    /// Parses one stanza with nothing but white space around it, in the content namespace `jabber:client` (explicitly or
    /// by default). For tests, stored stanzas and those the server builds itself: no limits hold here. Peers' bytes go
    /// through [`StreamParser`](crate::StreamParser) or [`parse_document`]. Errors as there; [`XmlError::BadFormat`] if the
    /// element is no stanza.
    pub fn parse(bytes: &[u8]) -> Result<Stanza, XmlError> {
        match parse_document(bytes, ns::CLIENT, &Limits::UNBOUNDED)? {
            Frame::Stanza(stanza) => Ok(stanza),
            _ => Err(XmlError::BadFormat),
        }
    }

    /// Message, presence or iq.
    pub fn kind(&self) -> StanzaKind {
        self.0.kind
    }

    /// The address in `to`, `None` if there is no such attribute; `jid-malformed` if it is no JID.
    pub fn to(&self) -> Result<Option<&Jid>, StanzaError> {
        self.0.to.get()
    }

    /// The address in `to` as its sender wrote it, which is not yet prepared (RFC 7622 §3); `None` if there is no such attribute.
    pub fn to_as_written(&self) -> Option<Cow<'_, str>> {
        self.0.index.to.map(|value| value.of(&self.0.text))
    }

    /// The address in `from`, `None` if there is no such attribute; `jid-malformed` if it is no JID.
    pub fn from(&self) -> Result<Option<&Jid>, StanzaError> {
        self.0.from.get()
    }

    /// The same stanza with `from` as what [`Stanza::from`] says from now on. [`Stanza::write`] takes the addresses it is
    /// given either way.
    #[must_use]
    pub fn with_from(mut self, from: Jid) -> Stanza {
        Arc::make_mut(&mut self.0).from = Address::Jid(from);
        self
    }

    /// The same stanza with `to` as its target, like [`Stanza::with_from`].
    #[must_use]
    pub fn with_to(mut self, to: Jid) -> Stanza {
        Arc::make_mut(&mut self.0).to = Address::Jid(to);
        self
    }

    /// The same stanza as if it had come on a stream with this content namespace. Children that say nothing are in it, as
    /// they were in that of their own stream.
    #[must_use]
    pub fn with_content_ns(mut self, content_ns: &'static str) -> Stanza {
        Arc::make_mut(&mut self.0).content_ns = Cow::Borrowed(content_ns);
        self
    }

    /// The `id`.
    pub fn id(&self) -> Option<Cow<'_, str>> {
        self.0.index.id.map(|value| value.of(&self.0.text))
    }

    /// The `type` as sent; its meaning is in [`Stanza::message_type`], [`Stanza::presence_type`] and
    /// [`Stanza::iq_type`].
    pub fn type_(&self) -> Option<&str> {
        self.0.type_.map(|at| self.0.resolve(at))
    }

    /// The `xml:lang`.
    pub fn lang(&self) -> Option<Cow<'_, str>> {
        self.0.index.lang.map(|value| value.of(&self.0.text))
    }

    /// The type of a message: [`MessageType::Normal`] if there is none or an unknown one (RFC 6121 §5.2.2).
    pub fn message_type(&self) -> MessageType {
        MessageType::of(self.type_())
    }

    /// The type of a presence, `None` if it is unknown: such a stanza earns `bad-request`.
    pub fn presence_type(&self) -> Option<PresenceType> {
        PresenceType::of(self.type_())
    }

    /// The type of an iq, `None` if it is missing or unknown: such a stanza earns `bad-request` (RFC 6120 §8.2.3).
    pub fn iq_type(&self) -> Option<IqType> {
        IqType::of(self.type_())
    }

    /// Whether an error may answer this stanza: not if it is an error itself, nor to an iq result (RFC 6120 §8.3.1).
    pub fn may_bounce(&self) -> bool {
        match self.type_() {
            Some("error") => false,
            Some("result") => self.0.kind != StanzaKind::Iq,
            _ => true,
        }
    }

    /// The top-level children in order.
    pub fn children(&self) -> impl Iterator<Item = Child<'_>> {
        self.0
            .index
            .children
            .iter()
            .map(|entry| Child::new(&self.0, entry))
    }

    /// The first top-level child that is `{ns}name`. Children without a namespace of their own have that of the stream the
    /// stanza came on, `jabber:client` from clients; [`Stanza::own_child`] finds them whatever it is.
    pub fn child(&self, name: &str, ns: &str) -> Option<Child<'_>> {
        self.children().find(|c| c.is(name, ns))
    }

    /// The first top-level child `name` in the stanza's content namespace, such as `body`.
    pub fn own_child(&self, name: &str) -> Option<Child<'_>> {
        self.child(name, &self.0.content_ns)
    }

    /// The first child: of an iq, its payload.
    pub fn payload(&self) -> Option<Child<'_>> {
        self.children().next()
    }

    /// The content namespace of the stream it came on.
    pub fn content_ns(&self) -> &str {
        &self.0.content_ns
    }

    /// The bytes between start and end tag. No prefix in them is declared outside; unprefixed children without `xmlns`
    /// are in the content namespace of whatever stream they are written on.
    pub fn content(&self) -> &[u8] {
        self.0.index.content.of(self.0.text.as_bytes())
    }

    /// Length in bytes as it came (with declarations that were copied in, without those that were dropped).
    pub fn byte_len(&self) -> usize {
        self.0.text.len()
    }
}

impl Inner {
    fn resolve(&self, at: Ns) -> &str {
        match at {
            // Outside prefixes are copied into the bytes before there is a stanza.
            Ns::None | Ns::Outer(_) => "",
            Ns::Inherited => &self.content_ns,
            Ns::Xml => ns::XML,
            Ns::Bytes(span) => span.text(&self.text),
            Ns::Side(span) => span.text(&self.side),
        }
    }
}

impl fmt::Debug for Stanza {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}
