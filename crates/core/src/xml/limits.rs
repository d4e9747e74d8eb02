//! The bounds that a parser holds while it reads.

/// What one frame may cost. Each bound is held while the frame arrives: the first byte beyond it ends the stream with
/// [`XmlError::Policy`](super::XmlError::Policy), whether or not the token it stands in is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one first-level element, from `<` to `>`, or of one stream header. Also holds for the bytes after
    /// outside namespace declarations were copied in.
    pub stanza_bytes: u32,
    /// Elements open at the same time, the stanza itself included.
    pub depth: u16,
    /// Attributes of one element, namespace declarations included.
    pub attributes: u16,
    /// Elements below one first-level element, at any depth.
    pub children: u32,
    /// Bytes of one element's or attribute's name, prefix included.
    pub name_bytes: u16,
    /// Namespace declarations in scope at the same time, those of the stream header not counted.
    pub namespaces: u16,
}

impl Limits {
    /// For peers that have not authenticated: 10 KiB a frame, room for a header, a SASL exchange and a registration.
    pub const BEFORE_LOGIN: Limits = Limits {
        stanza_bytes: 10 * 1024,
        depth: 64,
        attributes: 64,
        children: 256,
        name_bytes: 256,
        namespaces: 32,
    };

    /// For authenticated peers: 256 KiB a frame.
    pub const AFTER_LOGIN: Limits = Limits {
        stanza_bytes: 256 * 1024,
        depth: 64,
        attributes: 64,
        children: 16 * 1024,
        name_bytes: 256,
        namespaces: 128,
    };

    /// For bytes that come from our own store or writers, or were checked before: only the size of a `u32` bounds them, and
    /// a depth that no stanza reaches.
    pub(crate) const UNBOUNDED: Limits = Limits {
        stanza_bytes: u32::MAX,
        depth: u16::MAX,
        attributes: u16::MAX,
        children: u32::MAX - 1,
        name_bytes: u16::MAX,
        namespaces: u16::MAX,
    };
}
