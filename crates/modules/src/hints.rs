//! XEP-0334 Message Processing Hints 1.0.0: what the sender of a message asks of those who carry it. One reading for all who
//! keep or copy messages: offline messages, the archive, carbons, push.

use tercet_core::{MessageType, Stanza};

/// The namespace of the hints.
pub const NS: &str = "urn:xmpp:hints";

/// The hints of one message. Whoever reads them is free not to follow: they come from the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hints {
    no_copy: bool,
    no_store: bool,
    no_permanent_store: bool,
    store: bool,
}

/// What the hints say about keeping a message somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// It should not be kept.
    No,
    /// It should be kept, whatever is in it.
    Yes,
    /// Nothing: the place's own rules hold.
    AsUsual,
}

impl Hints {
    /// The hints among the children of `message`. Those of an error belong to what it answers, and are not read (§5).
    pub fn of(message: &Stanza) -> Hints {
        let mut hints = Hints::default();
        // XEP-0334 §5: hints in an error are ignored.
        if message.message_type() == MessageType::Error {
            return hints;
        }
        for child in message.children().filter(|child| child.ns() == NS) {
            match child.name() {
                "no-copy" => hints.no_copy = true,
                "no-store" => hints.no_store = true,
                "no-permanent-store" => hints.no_permanent_store = true,
                "store" => hints.store = true,
                _ => {}
            }
        }
        hints
    }

    /// Whether copies may go to devices that the message is not addressed to (§4.3).
    pub fn copies(self) -> bool {
        !self.no_copy
    }

    /// Whether the message should wait for a recipient who is away (§4.2, §4.4).
    pub fn waiting(self) -> Keeping {
        // XEP-0334 §3.3: no-permanent-store lets it wait, as a part of its delivery.
        match (self.no_store, self.store) {
            (true, _) => Keeping::No,
            (false, true) => Keeping::Yes,
            (false, false) => Keeping::AsUsual,
        }
    }

    /// Whether the message should be in archives and logs (§4.1, §4.2, §4.4).
    pub fn archiving(self) -> Keeping {
        // XEP-0334 §4.1: no permanent or semi-permanent archive.
        if self.no_permanent_store {
            return Keeping::No;
        }
        self.waiting()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(kind: &str, names: &[&str]) -> Hints {
        let hints: String = names
            .iter()
            .map(|name| format!("<{name} xmlns='{NS}'/>"))
            .collect();
        let xml = format!("<message type='{kind}'><body>Hi</body>{hints}</message>");
        Hints::of(&Stanza::parse(xml.as_bytes()).unwrap())
    }

    #[test]
    fn section_4_says_what_may_be_kept_and_copied() {
        use Keeping::{AsUsual, No, Yes};
        for (names, copies, waiting, archiving) in [
            (&[][..], true, AsUsual, AsUsual),
            (&["no-copy"], false, AsUsual, AsUsual),
            (&["no-store"], true, No, No),
            (&["no-permanent-store"], true, AsUsual, No),
            (&["store"], true, Yes, Yes),
            (&["store", "no-store"], true, No, No),
            (&["store", "no-permanent-store"], true, Yes, No),
            (&["no-copy", "store"], false, Yes, Yes),
            (&["unknown"], true, AsUsual, AsUsual),
        ] {
            let hints = hints("chat", names);
            assert_eq!(hints.copies(), copies, "{names:?}");
            assert_eq!(hints.waiting(), waiting, "{names:?}");
            assert_eq!(hints.archiving(), archiving, "{names:?}");
        }
    }

    #[test]
    fn hints_of_an_error_are_those_of_what_it_answers() {
        assert_eq!(
            hints("error", &["no-copy", "no-store", "store"]),
            Hints::default()
        );
    }

    #[test]
    fn only_direct_children_in_the_namespace_count() {
        let xml =
            b"<message><a xmlns='u:a'><no-copy xmlns='urn:xmpp:hints'/></a><no-store/></message>";
        assert_eq!(Hints::of(&Stanza::parse(xml).unwrap()), Hints::default());
    }
}
