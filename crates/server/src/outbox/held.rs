//! What is held back from a client that nobody looks at (client state indication).

/// What to do with a stanza for a client that is not active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// It goes out at once, behind everything that waits.
    Now,
    /// It waits.
    Later,
    /// It waits, in the place of the one that waits under the same name.
    Latest(Box<str>),
    /// It is dropped.
    Never,
}

/// Decides about a serialised stanza; a module provides one for its host.
#[derive(Debug, Clone, Copy)]
pub struct HoldRule(pub fn(&[u8]) -> Hold);

/// Bytes that wait at most; then all of them go out.
const BYTES: usize = 64 << 10;
/// Stanzas likewise: a name is looked for among them.
const STANZAS: usize = 500;

/// What waits for a client that is not active.
#[derive(Debug)]
pub(super) struct Held {
    rule: HoldRule,
    waiting: Vec<(Option<Box<str>>, Vec<u8>)>,
    bytes: usize,
}

impl Held {
    pub(super) fn new(rule: HoldRule) -> Held {
        Held {
            rule,
            waiting: Vec::new(),
            bytes: 0,
        }
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a stanza in. True if it, or all that waits, has to go out now.
    pub(super) fn admit(&mut self, stanza: Vec<u8>) -> bool {
        let (name, now) = match (self.rule.0)(&stanza) {
            Hold::Never => return false,
            Hold::Now => (None, true),
            Hold::Later => (None, false),
            Hold::Latest(name) => (Some(name), false),
        };
        if name.is_some()
            && let Some(place) = self.waiting.iter().position(|(n, _)| *n == name)
        {
            let (_, old) = self.waiting.remove(place);
            self.bytes -= old.len();
        }
        self.bytes += stanza.len();
        self.waiting.push((name, stanza));
        now || self.bytes > BYTES || self.waiting.len() > STANZAS
    }

    /// Gives out all that waits, in order.
    pub(super) fn drain(&mut self) -> Vec<Vec<u8>> {
        self.bytes = 0;
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        waiting.map(|(_, stanza)| stanza).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first letter says what to do.
    fn rule(stanza: &[u8]) -> Hold {
        match stanza[0] {
            b'n' => Hold::Now,
            b'x' => Hold::Never,
            b'l' => Hold::Later,
            name => Hold::Latest(char::from(name).to_string().into()),
        }
    }

    fn all(held: &mut Held) -> Vec<String> {
        held.drain()
            .into_iter()
            .map(|s| String::from_utf8(s).unwrap())
            .collect()
    }

    #[test]
    fn of_a_name_only_the_last_waits_and_all_goes_out_in_order() {
        let mut held = Held::new(HoldRule(rule));
        for stanza in ["a1", "b1", "l1", "x1", "a2", "l2"] {
            assert!(!held.admit(stanza.into()), "{stanza}");
        }
        assert_eq!(held.bytes(), 8);
        assert!(held.admit(b"n1".to_vec()));
        assert_eq!(all(&mut held), ["b1", "l1", "a2", "l2", "n1"]);
        assert_eq!(held.bytes(), 0);
        assert!(all(&mut held).is_empty());
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut held = Held::new(HoldRule(rule));
        let mut admitted = 0;
        while !held.admit(vec![b'l'; 1000]) {
            admitted += 1;
        }
        assert_eq!(admitted, BYTES / 1000);
        drop(held.drain());
        for _ in 0..STANZAS {
            assert!(!held.admit(b"l".to_vec()));
        }
        assert!(held.admit(b"l".to_vec()));
    }
}
