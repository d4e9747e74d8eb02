//! Which nicks people may have (XEP-0045 §7.2.8, §17.1).

use tercet_core::{BareJid, Jid, StanzaError, nickname_key};

use super::room::{Roll, State};

/// The most bytes of a nick; a resourcepart may have 1,023.
const LONGEST: usize = 256;

/// Whether `real` may have a nick, which is a prepared resourcepart: it is one, and neither it nor one that people take for the same is
/// somebody else's, or kept for somebody else.
///
/// # Errors
/// `jid-malformed`: there is nothing to see of it; `not-acceptable`: it is too long, or has blanks around it; `conflict`: it is
/// somebody else's.
pub(super) fn check(state: &State, nick: &str, real: &Jid) -> Result<(), StanzaError> {
    check_form(nick)?;
    let user = real.bare_str();
    let holder = state.occupants.holder(nick);
    if holder.is_some_and(|holder| holder.as_str() != user) {
        // XEP-0045 §7.2.8: a nick that is in use or registered by another user is refused with conflict.
        return Err(StanzaError::conflict().text("somebody else has this nick"));
    }
    check_kept(&state.roll, nick, user)
}

/// The same for a nick that is to be kept for `user`: somebody may have it at present.
///
/// # Errors
/// As [`check`].
pub(super) fn check_reservation(
    roll: &Roll,
    nick: &str,
    user: &BareJid,
) -> Result<(), StanzaError> {
    check_form(nick)?;
    check_kept(roll, nick, user.as_str())
}

fn check_kept(roll: &Roll, nick: &str, user: &str) -> Result<(), StanzaError> {
    let key = nickname_key(nick);
    let mut others = roll.iter().filter(|(jid, _)| jid.as_str() != user);
    let is_same = |kept: &str| nickname_key(kept) == key;
    match others.any(|(_, e)| e.nick.as_deref().is_some_and(is_same)) {
        true => Err(StanzaError::conflict().text("this nick is kept for somebody else")),
        false => Ok(()),
    }
}

fn check_form(nick: &str) -> Result<(), StanzaError> {
    if nick.trim().is_empty() {
        // XEP-0045 §17.1: a nick of spaces alone is none, and who has none is told so with jid-malformed (§7.2.1).
        return Err(StanzaError::jid_malformed().text("a nick is more than spaces"));
    }
    // RFC 8266 §2.3: a nickname has no blanks around it. A client would not know a nick again that is cut.
    if nick.trim() != nick {
        return Err(StanzaError::not_acceptable().text("a nick has no spaces around it"));
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
    use crate::muc::affiliation::Affiliation;
    use crate::muc::room::Enrolled;
    use tercet_core::Condition;

    #[test]
    fn a_nick_that_is_kept_is_for_one_user_however_it_is_written() {
        let user = |text: &str| BareJid::parse(text).unwrap();
        let mut roll = Roll::new();
        for (name, nick) in [("a@x", Some("The Bard")), ("b@x", None)] {
            let mut enrolled = Enrolled::new(Affiliation::Member);
            enrolled.nick = nick.map(str::to_owned);
            roll.insert(user(name), enrolled);
        }
        for nick in ["The Bard", "the bard", "THE  BARD"] {
            assert!(check_reservation(&roll, nick, &user("a@x")).is_ok());
            let error = check_reservation(&roll, nick, &user("b@x")).unwrap_err();
            assert_eq!(error.condition, Condition::Conflict, "{nick}");
        }
        assert!(check_reservation(&roll, "bard", &user("b@x")).is_ok());
    }

    #[test]
    fn a_nick_is_seen_and_has_256_bytes_at_most() {
        let fault = |nick: &str| check_form(nick).err().map(|e| e.condition);
        for good in ["n", "first witch", "\u{2764}", &"n".repeat(256)] {
            assert_eq!(fault(good), None, "{good:?}");
        }
        for none in ["", " ", "   ", "\u{3000}"] {
            assert_eq!(fault(none), Some(Condition::JidMalformed), "{none:?}");
        }
        for around in [" n", "n ", " n "] {
            let fault = fault(around);
            assert_eq!(fault, Some(Condition::NotAcceptable), "{around:?}");
        }
        for long in ["n".repeat(257), "\u{2764}".repeat(86)] {
            assert_eq!(fault(&long), Some(Condition::NotAcceptable), "{long:?}");
        }
    }
}
