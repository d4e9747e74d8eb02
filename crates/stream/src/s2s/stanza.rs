//! Judging the peer's stanzas (RFC 6120 §8.1.1.2, §8.1.2.2).

use tercet_core::{Stanza, StreamCondition};

use super::context::Context;

/// # Errors
/// The stream's end, if the stanza is not one that the peer may send here.
pub(super) fn judge(cx: &Context, stanza: &Stanza) -> Result<(), StreamCondition> {
    if cx.inbound.is_empty() {
        // RFC 6120 §4.9.3.12: nothing before authentication.
        return Err(StreamCondition::NotAuthorized);
    }
    // RFC 6120 §8.1.1.2, §8.1.2.2: between servers, both addresses are there.
    let (Ok(Some(to)), Ok(Some(from))) = (stanza.to(), stanza.from()) else {
        return Err(StreamCondition::ImproperAddressing);
    };
    let mut from_peer = false;
    for pair in &cx.inbound {
        if *pair.remote == *from.domain() {
            from_peer = true;
            if *pair.local == *to.domain() {
                return Ok(());
            }
        }
    }
    Err(match from_peer {
        // RFC 6120 §8.1.2.2: a domain that the peer has not proved to be.
        false => StreamCondition::InvalidFrom,
        // RFC 6120 §8.1.1.2: one that is not ours, or not the one this was agreed for.
        true => StreamCondition::HostUnknown,
    })
}
