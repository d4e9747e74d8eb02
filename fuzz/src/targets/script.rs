//! Inputs that are scripts for a stream: the first byte says how the stream begins, the rest are its peer's bytes. A few control
//! characters, which XML does not allow anyway, are events: NUL ends a piece, and those that the driver names are its own.

/// What plays a script.
pub(crate) trait Driver {
    /// The control characters that are events, beside NUL.
    const EVENTS: &'static [u8];

    /// Bytes of the peer, never none.
    fn bytes(&mut self, piece: &[u8]);

    /// One of [`Driver::EVENTS`].
    fn event(&mut self, event: u8);

    /// The connection ends.
    fn end(&mut self);
}

/// Plays `data` on what `begin` makes of the first byte.
pub(crate) fn play<D: Driver>(data: &[u8], begin: impl FnOnce(u8) -> D) -> D {
    let (flags, script) = data
        .split_first()
        .map_or((0, data), |(flags, rest)| (*flags, rest));
    let mut driver = begin(flags);
    let is_event = |byte: &u8| *byte == 0 || D::EVENTS.contains(byte);
    for part in script.split_inclusive(is_event) {
        let (piece, event) = match part.split_last() {
            Some((last, piece)) if is_event(last) => (piece, Some(*last)),
            _ => (part, None),
        };
        if !piece.is_empty() {
            driver.bytes(piece);
        }
        if let Some(event) = event.filter(|event| *event != 0) {
            driver.event(event);
        }
    }
    driver.end();
    driver
}
