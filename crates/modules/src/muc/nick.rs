//! Which nicks people may have (XEP-0045 §7.2.8, §17.1).

use tercet_core::{Jid, StanzaError};

use super::room::State;

/// The most bytes of a nick; a resourcepart may have 1,023.
const LONGEST: usize = 256;

/// Whether `real` may have a nick, which is a prepared resourcepart: it is one, nobody else has it, and it is not kept for anybody else.
///
/// # Errors
/// `jid-malformed`: there is nothing to see of it; `not-acceptable`: it is too long; `conflict`: it is somebody else's.
pub(super) fn check(state: &State, nick: &str, real: &Jid) -> Result<(), StanzaError> {
    check_form(nick)?;
    let user = real.bare_str();
    let taken = state
        .occupants
        .by_nick(nick)
        .is_some_and(|o| o.user.as_str() != user);
    let kept = || {
        let mut kept = state.roll.iter().filter(|(_, e)| e.nick.is_some());
        kept.any(|(jid, e)| e.nick.as_deref() == Some(nick) && jid.as_str() != user)
    };
    if taken || kept() {
        // XEP-0045 §7.2.8: a nick that is in use or registered by another user is refused with conflict.
        return Err(StanzaError::conflict().text("somebody else has this nick"));
    }
    Ok(())
}

fn check_form(nick: &str) -> Result<(), StanzaError> {
    if nick.trim().is_empty() {
        // XEP-0045 §17.1: a nick of spaces alone is none, and who has none is told so with jid-malformed (§7.2.1).
        return Err(StanzaError::jid_malformed().text("a nick is more than spaces"));
    }
    if nick.len() > LONGEST {
        let text = format!("a nick has {LONGEST} bytes at most");
        return Err(StanzaError::not_acceptable().text(text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tercet_core::Condition;

    #[test]
    fn a_nick_is_seen_and_has_256_bytes_at_most() {
        let fault = |nick: &str| check_form(nick).err().map(|e| e.condition);
        for good in ["n", " n", "first witch", "\u{2764}", &"n".repeat(256)] {
            assert_eq!(fault(good), None, "{good:?}");
        }
        for none in ["", " ", "   ", "\u{3000}"] {
            assert_eq!(fault(none), Some(Condition::JidMalformed), "{none:?}");
        }
        for long in ["n".repeat(257), "\u{2764}".repeat(86)] {
            assert_eq!(fault(&long), Some(Condition::NotAcceptable), "{long:?}");
        }
    }
}
