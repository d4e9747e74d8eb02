//! RFC 8266: which nicknames are the same to people.

use std::borrow::Cow;

use super::precis::{nfkc, spaces_mapped};

/// RFC 8264 §7: rounds after which what has not settled is taken as it is.
const ROUNDS: usize = 4;

/// What two nicks have in common that people would take for one: RFC 8266 §2.4, without case, compatibility forms, and blanks around
/// and in a row. Only for comparing. It takes a prepared resourcepart; of any other text it gives something, too.
///
/// ```
/// use tercet_core::nickname_key;
/// assert_eq!(nickname_key("The  Bard"), nickname_key("the bard"));
/// assert_ne!(nickname_key("thebard"), nickname_key("the bard"));
/// ```
pub fn nickname_key(nick: &str) -> Cow<'_, str> {
    if is_plain(nick) {
        return Cow::Borrowed(nick);
    }
    let mut key = once(nick);
    for _ in 1..ROUNDS {
        let next = once(&key);
        if next == key {
            break;
        }
        key = next;
    }
    Cow::Owned(key)
}

/// Whether a nick is its own key at first sight.
fn is_plain(nick: &str) -> bool {
    let plain = |b: u8| (b == b' ' || b.is_ascii_graphic()) && !b.is_ascii_uppercase();
    nick.bytes().all(plain)
        && !nick.starts_with(' ')
        && !nick.ends_with(' ')
        && !nick.contains("  ")
}

/// RFC 8266 §2.4: spaces, case, normalization, in this order.
fn once(nick: &str) -> String {
    let spaced = spaces_mapped(nick);
    let mut lower = String::with_capacity(spaced.len());
    for word in spaced.split(' ').filter(|word| !word.is_empty()) {
        if !lower.is_empty() {
            lower.push(' ');
        }
        lower.extend(word.chars().flat_map(char::to_lowercase));
    }
    nfkc(&lower)
}

#[cfg(test)]
mod tests {
    use super::nickname_key;

    #[test]
    fn nicks_that_look_the_same_have_one_key() {
        for (one, other) in [
            ("Bard", "bard"),
            ("  the   bard ", "The Bard"),
            ("the\u{3000}bard", "the bard"),
            ("the\u{a0}bard", "the bard"),
            ("\u{ff22}\u{ff41}rd", "bard"),
            ("\u{fb01}sh", "FISH"),
            ("\u{c9}mile", "e\u{301}mile"),
            ("\u{3a3}", "\u{3c3}"),
        ] {
            assert_eq!(nickname_key(one), nickname_key(other), "{one} {other}");
        }
        for (one, other) in [("bard", "bart"), ("thebard", "the bard"), ("\u{e9}", "e")] {
            assert_ne!(nickname_key(one), nickname_key(other), "{one} {other}");
        }
    }

    #[test]
    fn a_key_is_its_own_key() {
        for nick in [
            "", " ", "bard", "The Bard", "\u{a8}x", "\u{2126}", "\u{1e9e}",
        ] {
            let key = nickname_key(nick).into_owned();
            assert_eq!(nickname_key(&key), key, "{nick:?}");
        }
    }
}
