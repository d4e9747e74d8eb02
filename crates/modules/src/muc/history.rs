//! What was said last, for those who enter (XEP-0045 §7.2.13).

use std::collections::VecDeque;

use tercet_core::{Element, Jid, StanzaError, XmlWriter, delay, time};

/// Messages and bytes that a room keeps for newcomers, whatever its configuration says.
const MESSAGES: usize = 500;
const BYTES: usize = 1 << 20;

/// What a newcomer wants to be told (§7.2.13): of several controls the one that gives least decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// So many characters, of whole stanzas.
    pub chars: Option<usize>,
    /// So many messages.
    pub stanzas: Option<usize>,
    /// Only those of the last so many milliseconds.
    pub within_ms: Option<u64>,
    /// Only those since then, in milliseconds since 1970.
    pub since_ms: Option<u64>,
}

impl Wanted {
    /// Reads `<history/>`.
    ///
    /// # Errors
    /// `bad-request`: a control that is no number, or no date.
    pub fn parse(history: Element<'_>) -> Result<Wanted, StanzaError> {
        let refuse = || StanzaError::bad_request().text("a control of the history is no number");
        let number = |name: &str| -> Result<Option<usize>, StanzaError> {
            let value = history.attr(name);
            value
                .map(|v| v.trim().parse().map_err(|_| refuse()))
                .transpose()
        };
        let since = history.attr("since").map(|stamp| {
            let at = time::parse(&stamp).ok_or_else(refuse)?;
            Ok::<u64, StanzaError>(u64::try_from(at).unwrap_or(0))
        });
        Ok(Wanted {
            chars: number("maxchars")?,
            stanzas: number("maxstanzas")?,
            within_ms: number("seconds")?.map(|s| (s as u64).saturating_mul(1000)),
            since_ms: since.transpose()?,
        })
    }

    /// The same, but `most` messages at the most.
    #[must_use]
    pub fn at_most(self, most: usize) -> Wanted {
        Wanted {
            stanzas: Some(self.stanzas.unwrap_or(most).min(most)),
            ..self
        }
    }
}

/// One message.
pub struct Said {
    /// When.
    pub at_ms: u64,
    /// Who: the address in the room.
    pub from: Jid,
    /// The message as it went out but for its `to`, up to its end tag; `from` included. It begins behind `<message`.
    rest: Box<[u8]>,
    /// Under which id the room keeps it, if it does.
    pub id: Option<Box<str>>,
}

/// The last messages of a room.
#[derive(Default)]
pub struct History {
    said: VecDeque<Said>,
    bytes: usize,
}

impl History {
    /// Keeps a message, as `written` with `to` left out, of which `keep` are kept at the most.
    pub fn add(&mut self, at_ms: u64, from: &Jid, id: Option<&str>, written: &[u8], keep: usize) {
        const START: &[u8] = b"<message";
        const END: &[u8] = b"</message>";
        let rest = written
            .strip_prefix(START)
            .and_then(|rest| rest.strip_suffix(END));
        let Some(rest) = rest.filter(|_| keep > 0) else {
            return;
        };
        self.bytes += rest.len();
        self.said.push_back(Said {
            at_ms,
            from: from.clone(),
            rest: rest.into(),
            id: id.map(Box::from),
        });
        while self.said.len() > keep.min(MESSAGES) || self.bytes > BYTES {
            let Some(gone) = self.said.pop_front() else {
                return;
            };
            self.bytes -= gone.rest.len();
        }
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.said.is_empty()
    }

    /// Forgets the messages for which `which` is true.
    pub fn forget(&mut self, which: impl Fn(&Said) -> bool) {
        self.said.retain(|said| !which(said));
        self.bytes = self.said.iter().map(|said| said.rest.len()).sum();
    }

    /// The messages that are wanted, oldest first.
    pub fn wanted(&self, wanted: Wanted, now_ms: u64) -> impl Iterator<Item = &Said> {
        let within = wanted.within_ms.map(|ms| now_ms.saturating_sub(ms));
        let since = within.max(wanted.since_ms).unwrap_or(0);
        let (mut chars, mut stanzas) = (
            wanted.chars.unwrap_or(usize::MAX),
            wanted.stanzas.unwrap_or(usize::MAX),
        );
        let mut first = self.said.len();
        for (place, said) in self.said.iter().enumerate().rev() {
            // XEP-0045 §7.2.14: characters are those of complete stanzas.
            let size = said.rest.len() + 20;
            if stanzas == 0 || size > chars || said.at_ms < since {
                break;
            }
            stanzas -= 1;
            chars -= size;
            first = place;
        }
        self.said.range(first..)
    }
}

impl Said {
    /// Whether these bytes stand in it: an element that the room has put there.
    pub fn has(&self, element: &[u8]) -> bool {
        contains(&self.rest, element)
    }

    /// Appends the message as `to` gets it later, stamped by the room.
    pub fn write(&self, to: &str, room: &Jid, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<message to='");
        tercet_core::escape_attr(to, out);
        out.push(b'\'');
        out.extend_from_slice(&self.rest);
        let mut w = XmlWriter::into(std::mem::take(out));
        let at_ms = i64::try_from(self.at_ms).unwrap_or(i64::MAX);
        // XEP-0045 §7.2.13: the stamp is the room's, by its own address.
        delay::write(&mut w, Some(room.as_str()), at_ms, None);
        *out = w.finish();
        out.extend_from_slice(b"</message>");
    }
}

/// Whether `element` stands somewhere in `xml`, byte for byte.
pub(super) fn contains(xml: &[u8], element: &[u8]) -> bool {
    !element.is_empty() && xml.windows(element.len()).any(|part| part == element)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tercet_core::OwnedElement;

    fn history() -> History {
        let mut history = History::default();
        let from = Jid::parse("room@service/nick").unwrap();
        for n in 0..10_u64 {
            let message = format!("<message from='room@service/nick'><body>{n}</body></message>");
            history.add(n * 1000, &from, None, message.as_bytes(), 8);
        }
        history
    }

    fn told(wanted: &str) -> Vec<u64> {
        let xml = OwnedElement::parse(wanted.as_bytes(), "").unwrap();
        let wanted = Wanted::parse(xml.root()).unwrap();
        let history = history();
        history
            .wanted(wanted, 10_000)
            .map(|s| s.at_ms / 1000)
            .collect()
    }

    #[test]
    fn the_control_that_gives_least_decides() {
        assert_eq!(told("<history/>"), [2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(told("<history maxstanzas='2'/>"), [8, 9]);
        assert_eq!(told("<history maxchars='0'/>"), [0; 0]);
        assert_eq!(told("<history maxchars='150'/>"), [8, 9]);
        assert_eq!(told("<history seconds='3'/>"), [7, 8, 9]);
        assert_eq!(
            told("<history since='1970-01-01T00:00:06Z'/>"),
            [6, 7, 8, 9]
        );
        assert_eq!(
            told("<history seconds='3' maxstanzas='1' maxchars='9999'/>"),
            [9]
        );
    }

    #[test]
    fn the_room_gives_no_more_than_it_is_configured_to() {
        let told = |stanzas, most| {
            let wanted = Wanted {
                stanzas,
                ..Wanted::default()
            };
            history().wanted(wanted.at_most(most), 10_000).count()
        };
        assert_eq!(told(None, 3), 3);
        assert_eq!(told(Some(2), 3), 2);
        assert_eq!(told(Some(5), 3), 3);
        assert_eq!(told(None, 0), 0);
        assert_eq!(told(None, 50), 8);
    }

    #[test]
    fn a_message_is_stamped_by_the_room_when_it_is_told_later() {
        let history = history();
        let mut out = Vec::new();
        let said = history.wanted(Wanted::default(), 0).last().unwrap();
        said.write("a@b/c", &Jid::parse("room@service").unwrap(), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "<message to='a@b/c' from='room@service/nick'><body>9</body>\
             <delay xmlns='urn:xmpp:delay' from='room@service' stamp='1970-01-01T00:00:09Z'/></message>"
        );
    }

    #[test]
    fn controls_that_are_no_numbers_are_refused() {
        for bad in ["maxchars='x'", "seconds='-1'", "since='yesterday'"] {
            let xml = format!("<history {bad}/>");
            let xml = OwnedElement::parse(xml.as_bytes(), "").unwrap();
            assert!(Wanted::parse(xml.root()).is_err(), "{bad}");
        }
    }
}
