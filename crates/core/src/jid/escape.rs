//! XEP-0106 1.1.1: JID escaping, for names from outside XMPP that have characters a localpart may not have.

use std::borrow::Cow;

use super::{JidError, JidPart};

/// The characters to be escaped, with the two digits behind the backslash.
const TABLE: [(char, &str); 10] = [
    (' ', "20"),
    ('"', "22"),
    ('&', "26"),
    ('\'', "27"),
    ('/', "2f"),
    (':', "3a"),
    ('<', "3c"),
    ('>', "3e"),
    ('@', "40"),
    ('\\', "5c"),
];

/// What the escape sequence at the start of `s` stands for.
fn sequence(s: &str) -> Option<char> {
    let digits = s.strip_prefix('\\')?.get(..2)?;
    TABLE.iter().find(|(_, d)| *d == digits).map(|(c, _)| *c)
}

/// Escapes a name from another system for use as a localpart, which is still to be prepared.
///
/// ```
/// use tercet_core::jid::escape::{escape_local, unescape_local};
/// assert_eq!(escape_local("d'artagnan")?, "d\\27artagnan");
/// assert_eq!(unescape_local("d\\27artagnan"), "d'artagnan");
/// # Ok::<(), tercet_core::JidError>(())
/// ```
///
/// # Errors
/// `Forbidden` if the name starts or ends with a space, which has no escaped form (§4.1).
pub fn escape_local(s: &str) -> Result<Cow<'_, str>, JidError> {
    // XEP-0106 §4.1: \20 MUST NOT be the first or last character of an escaped localpart.
    if s.starts_with(' ') || s.ends_with(' ') {
        return Err(JidError::Forbidden(JidPart::Local));
    }
    if !s.contains(|c| TABLE.iter().any(|(t, _)| *t == c)) {
        return Ok(Cow::Borrowed(s));
    }
    let mut out = String::with_capacity(s.len() + 8);
    for (i, c) in s.char_indices() {
        match TABLE.iter().find(|(t, _)| *t == c) {
            // A backslash is escaped only where it would otherwise be read as the start of a sequence.
            Some(_) if c == '\\' && sequence(&s[i..]).is_none() => out.push('\\'),
            Some((_, digits)) => {
                out.push('\\');
                out.push_str(digits);
            }
            None => out.push(c),
        }
    }
    Ok(Cow::Owned(out))
}

/// The name that an escaped localpart stands for. Only for showing it to people or handing it to other systems: never on
/// the wire, never for comparing. Sequences that are none of XEP-0106's stay as they are, as does a `\20` at either end.
pub fn unescape_local(s: &str) -> Cow<'_, str> {
    if !s.contains('\\') {
        return Cow::Borrowed(s);
    }
    let mut out = String::with_capacity(s.len());
    let mut rest = s;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let outer = rest.len() == s.len() || rest.len() == 3;
        match sequence(rest) {
            Some(c) if !(c == ' ' && outer) => {
                out.push(c);
                rest = &rest[3..];
            }
            _ => {
                out.push('\\');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::{escape_local, unescape_local};

    #[test]
    fn the_examples_of_the_extension_escape_and_unescape() {
        for (plain, escaped) in [
            ("space cadet", "space\\20cadet"),
            ("call me \"ishmael\"", "call\\20me\\20\\22ishmael\\22"),
            ("at&t guy", "at\\26t\\20guy"),
            ("d'artagnan", "d\\27artagnan"),
            ("/.fanboy", "\\2f.fanboy"),
            ("::foo::", "\\3a\\3afoo\\3a\\3a"),
            ("<foo>", "\\3cfoo\\3e"),
            ("user@host", "user\\40host"),
            ("c:\\net", "c\\3a\\net"),
            ("c:\\\\net", "c\\3a\\\\net"),
            ("c:\\cool stuff", "c\\3a\\cool\\20stuff"),
            ("c:\\5commas", "c\\3a\\5c5commas"),
            ("\\3and\\2is\\5cool", "\\5c3and\\2is\\5c5cool"),
            ("plain", "plain"),
        ] {
            assert_eq!(escape_local(plain).unwrap(), escaped, "{plain}");
            assert_eq!(unescape_local(escaped), plain, "{escaped}");
        }
    }

    #[test]
    fn a_space_at_either_end_has_no_escaped_form() {
        assert!(escape_local(" a").is_err());
        assert!(escape_local("a ").is_err());
        assert_eq!(unescape_local("\\20a\\20"), "\\20a\\20");
    }

    #[test]
    fn foreign_and_broken_sequences_stay() {
        for s in ["\\", "a\\", "\\2", "\\2F", "\\3C", "\\5C", "\\é2", "\\21x"] {
            assert_eq!(unescape_local(s), s);
        }
    }
}
