//! What a client's presence says of its user's avatar (XEP-0153 §3.2), and what the server makes of it (XEP-0398 §4).

use tercet_core::{Edit, Head, Stanza, XmlWriter};

/// The namespace.
const NS: &str = "vcard-temp:x:update";

/// What presence says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Nothing.
    Nothing,
    /// That its client is not ready to say anything.
    NotReady,
    /// That there is no avatar.
    None,
    /// The hash of one.
    Hash(String),
}

/// What is known of the avatar, for those to whom presence goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known<'a> {
    /// There never was one.
    Never,
    /// There is one that they may not see.
    Hidden,
    /// There is none any more.
    None,
    /// The hash.
    Hash(&'a str),
}

/// What presence says.
pub fn said(presence: &Stanza) -> Said {
    let Some(update) = presence.child("x", NS) else {
        return Said::Nothing;
    };
    let update = update.parse();
    match update.root().child("photo", NS) {
        None => Said::NotReady,
        Some(photo) => match photo.text().trim() {
            "" => Said::None,
            hash => Said::Hash(hash.to_owned()),
        },
    }
}

/// What presence says instead: a hash, or nothing in place of one; `None`: what its client has said. `wills` is false where the client
/// itself has said that there is no avatar.
pub fn instead<'a>(said: &Said, known: Known<'a>, wills: bool) -> Option<&'a str> {
    // XEP-0398 §4: an empty photo element is left alone.
    if *said == Said::None && !wills {
        return None;
    }
    match (said, known) {
        // XEP-0398 §4: what is not ready is overwritten, and hashes are included on behalf of users.
        (Said::Hash(said), Known::Hash(hash)) if said == hash => None,
        (_, Known::Hash(hash)) => Some(hash),
        (Said::NotReady, Known::Never | Known::None) => Some(""),
        (Said::None, _) | (Said::Hash(_) | Said::Nothing, Known::Never) => None,
        (Said::Hash(_) | Said::Nothing, Known::None) => Some(""),
        // Who has seen it before learns that there is none for them.
        (Said::Hash(_), Known::Hidden) => Some(""),
        (Said::NotReady | Said::Nothing, Known::Hidden) => None,
    }
}

/// The presence with that hash instead of what its client has said.
pub fn with(presence: &Stanza, hash: &str) -> Option<Stanza> {
    let places = presence.children().enumerate();
    let places = places.filter(|(_, child)| child.is("x", NS));
    let leave_out: Vec<u32> = places
        .filter_map(|(place, _)| u32::try_from(place).ok())
        .collect();
    let mut w = XmlWriter::new();
    w.start("x").attr("xmlns", NS);
    w.text_element("photo", hash).end();
    let append = w.finish();
    let edit = Edit {
        leave_out: &leave_out,
        append: &append,
    };
    let to = presence.to().ok().flatten();
    let head = Head {
        to: to.map(|to| to.as_str()),
        ..Head::default()
    };
    let mut out = Vec::new();
    presence.write_edited(&mut out, head, edit);
    // What was a stanza is one still.
    Stanza::parse(&out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence(content: &str) -> Stanza {
        let xml = format!("<presence to='a@b/c' id='1'><show>away</show>{content}</presence>");
        Stanza::parse(xml.as_bytes()).unwrap()
    }

    #[test]
    fn presence_says_what_is_known_unless_its_client_knows_of_no_avatar() {
        let (nothing, not_ready, none) = (Said::Nothing, Said::NotReady, Said::None);
        let old = Said::Hash("old".into());
        let new = Said::Hash("new".into());
        let hash = Known::Hash("new");
        for (said, known, expected) in [
            (&nothing, hash, Some("new")),
            (&not_ready, hash, Some("new")),
            (&none, hash, None),
            (&old, hash, Some("new")),
            (&new, hash, None),
            (&nothing, Known::None, Some("")),
            (&not_ready, Known::None, Some("")),
            (&none, Known::None, None),
            (&old, Known::None, Some("")),
            (&nothing, Known::Never, None),
            (&not_ready, Known::Never, Some("")),
            (&old, Known::Never, None),
            (&nothing, Known::Hidden, None),
            (&old, Known::Hidden, Some("")),
        ] {
            assert_eq!(instead(said, known, false), expected, "{said:?} {known:?}");
        }
        // The server has said it, not the client.
        assert_eq!(instead(&none, hash, true), Some("new"));
        assert_eq!(instead(&none, Known::None, true), None);
    }

    #[test]
    fn what_presence_says_is_read_and_replaced() {
        let update = |content: &str| format!("<x xmlns='{NS}'>{content}</x>");
        for (content, expected) in [
            (String::new(), Said::Nothing),
            (update(""), Said::NotReady),
            (update("<photo/>"), Said::None),
            (update("<photo>abc</photo>"), Said::Hash("abc".into())),
        ] {
            let presence = presence(&content);
            assert_eq!(said(&presence), expected);
            let changed = with(&presence, "def").unwrap();
            assert_eq!(said(&changed), Said::Hash("def".into()));
            assert_eq!(changed.children().count(), 2);
            assert_eq!(changed.to().unwrap().unwrap().as_str(), "a@b/c");
            assert_eq!(changed.id().as_deref(), Some("1"));
        }
        assert_eq!(said(&with(&presence(""), "").unwrap()), Said::None);
    }
}
