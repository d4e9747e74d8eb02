//! One stanza for many targets: serialised once, each target costs a small header and one copy.

use std::sync::Arc;

use super::write::{Edit, attribute};
use super::{Stanza, StanzaKind};

/// A stanza serialised but for its `to`, for fan-out. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SharedStanza {
    kind: StanzaKind,
    /// Everything behind the element's name, `to` and `xmlns` left out.
    rest: Arc<[u8]>,
}

impl Stanza {
    /// Serialises the stanza for many targets, with `from` and `lang` as in [`Head`](super::Head).
    pub fn share(&self, from: Option<&str>, lang: Option<&str>) -> SharedStanza {
        self.share_edited(from, lang, Edit::default())
    }

    /// Like [`Stanza::share`], with the changes of [`Stanza::write_edited`].
    pub fn share_edited(
        &self,
        from: Option<&str>,
        lang: Option<&str>,
        edit: Edit<'_>,
    ) -> SharedStanza {
        let mut rest = Vec::with_capacity(self.0.text.len() + 64 + from.map_or(0, str::len));
        attribute("from", from, &mut rest);
        self.0.write_rest(lang, edit, &mut rest);
        SharedStanza {
            kind: self.0.kind,
            rest: rest.into(),
        }
    }
}

impl SharedStanza {
    /// A stanza of the server's own for many targets: `content` appends its children, well-formed and not empty. Spares those
    /// who wrap a stanza that has been checked the scan of what they wrap.
    ///
    /// ```
    /// use tercet_core::{SharedStanza, StanzaKind};
    /// let shared = SharedStanza::compose(StanzaKind::Message, "a@b", Some("chat"), |out| {
    ///     out.extend_from_slice(b"<body>Hi</body>");
    /// });
    /// let mut out = Vec::new();
    /// shared.write(&mut out, Some("c@d/e"));
    /// assert_eq!(out, b"<message to='c@d/e' from='a@b' type='chat'><body>Hi</body></message>");
    /// ```
    pub fn compose(
        kind: StanzaKind,
        from: &str,
        type_: Option<&str>,
        content: impl FnOnce(&mut Vec<u8>),
    ) -> SharedStanza {
        let mut rest = Vec::new();
        attribute("from", Some(from), &mut rest);
        attribute("type", type_, &mut rest);
        rest.push(b'>');
        content(&mut rest);
        rest.extend_from_slice(b"</");
        rest.extend_from_slice(kind.as_str().as_bytes());
        rest.push(b'>');
        SharedStanza {
            kind,
            rest: rest.into(),
        }
    }

    /// Message, presence or iq.
    pub fn kind(&self) -> StanzaKind {
        self.kind
    }

    /// Appends the stanza, addressed to `to`.
    pub fn write(&self, out: &mut Vec<u8>, to: Option<&str>) {
        self.write_in(out, to, None);
    }

    /// Like [`SharedStanza::write`], with a declaration of the default namespace (WebSocket).
    pub fn write_in(&self, out: &mut Vec<u8>, to: Option<&str>, xmlns: Option<&str>) {
        let name = self.kind.as_str();
        let len = |text: Option<&str>| text.map_or(0, |t| t.len() + 10);
        out.reserve(self.byte_len() + len(to) + len(xmlns));
        out.push(b'<');
        out.extend_from_slice(name.as_bytes());
        attribute("xmlns", xmlns, out);
        attribute("to", to, out);
        out.extend_from_slice(&self.rest);
    }

    /// Bytes that each copy takes, the target's address not counted.
    pub fn byte_len(&self) -> usize {
        1 + self.kind.as_str().len() + self.rest.len()
    }
}
