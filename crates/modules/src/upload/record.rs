//! What is kept of an upload, and the entry by which its URL finds it.

use std::fmt;

use tercet_core::BareJid;

/// A time that never comes.
const NEVER: u64 = u64::MAX;
/// The first byte of the durable forms.
const FORMAT: u8 = 1;

/// The random name of a file: the unguessable part of its URL, and its name on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(pub [u8; 16]);

impl Id {
    /// Reads 32 hexadecimal digits in lower case; nothing else is an id.
    pub fn parse(text: &str) -> Option<Id> {
        hex(text).map(Id)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// 16 bytes as 32 hexadecimal digits in lower case.
pub(super) fn hex(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    if text.len() != 32 {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = digits.iter().try_fold(0u8, |number, digit| match digit {
            b'0'..=b'9' => Some(number << 4 | (digit - b'0')),
            b'a'..=b'f' => Some(number << 4 | (digit - b'a' + 10)),
            _ => None,
        })?;
    }
    Some(bytes)
}

/// What a file is for (XEP-0363 §5): it decides how long it is kept, and which quota it counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An attachment.
    Message,
    /// An avatar or the like: kept until its account goes.
    Profile,
    /// An attachment that must not be had after this time, in milliseconds since 1970.
    Ephemeral {
        /// The time.
        until_ms: u64,
    },
    /// Kept until its account goes.
    Permanent,
}

impl Purpose {
    /// When a file that is stored now goes, given how long attachments are kept; `u64::MAX`: never.
    pub fn expiry(self, now_ms: u64, retention_ms: u64) -> u64 {
        let kept = now_ms.saturating_add(retention_ms);
        match self {
            Purpose::Message => kept,
            // XEP-0363 §5.3: earlier if need be, never later.
            Purpose::Ephemeral { until_ms } => kept.min(until_ms),
            Purpose::Profile | Purpose::Permanent => NEVER,
        }
    }

    fn code(self) -> (u8, u64) {
        match self {
            Purpose::Message => (0, 0),
            Purpose::Profile => (1, 0),
            Purpose::Ephemeral { until_ms } => (2, until_ms),
            Purpose::Permanent => (3, 0),
        }
    }

    fn of(code: u8, until_ms: u64) -> Option<Purpose> {
        Some(match code {
            0 => Purpose::Message,
            1 => Purpose::Profile,
            2 => Purpose::Ephemeral { until_ms },
            3 => Purpose::Permanent,
            _ => return None,
        })
    }
}

/// How far an upload has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A slot that may be used, by whoever knows the token.
    Open {
        /// The secret.
        token: [u8; 16],
    },
    /// A slot that was used in vain.
    Spent,
    /// A file.
    Stored,
}

/// An upload: a slot, and later a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// How far it has come.
    pub state: State,
    /// Bytes of the file.
    pub size: u64,
    /// When the slot was granted, in milliseconds since 1970.
    pub created_ms: u64,
    /// When the slot or the file goes; `u64::MAX`: never.
    pub expires_ms: u64,
    /// What it is for.
    pub purpose: Purpose,
    /// The media type that the uploader named; empty if none.
    pub content_type: String,
    /// The name for downloads. No path: it has no separators and is neither `.` nor `..`.
    pub name: String,
}

impl Upload {
    /// Bytes that it counts for.
    pub fn held(&self) -> u64 {
        match self.state {
            State::Spent => 0,
            State::Open { .. } | State::Stored => self.size,
        }
    }

    /// The durable form: format, state, purpose, numbers, token, then type and name.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (state, token) = match self.state {
            State::Open { token } => (0, token),
            State::Spent => (1, [0; 16]),
            State::Stored => (2, [0; 16]),
        };
        let (purpose, until) = self.purpose.code();
        let mut out = vec![FORMAT, state, purpose];
        for number in [self.size, self.created_ms, self.expires_ms, until] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&token);
        out.extend_from_slice(self.content_type.as_bytes());
        // No media type has one.
        out.push(b'\n');
        out.extend_from_slice(self.name.as_bytes());
        out
    }

    /// Reads what [`Upload::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<Upload> {
        let [FORMAT, state, purpose, rest @ ..] = bytes else {
            return None;
        };
        let (size, rest) = number(rest)?;
        let (created_ms, rest) = number(rest)?;
        let (expires_ms, rest) = number(rest)?;
        let (until_ms, rest) = number(rest)?;
        let (token, rest) = rest.split_first_chunk()?;
        let (content_type, name) = std::str::from_utf8(rest).ok()?.split_once('\n')?;
        Some(Upload {
            state: match state {
                0 => State::Open { token: *token },
                1 => State::Spent,
                2 => State::Stored,
                _ => return None,
            },
            size,
            created_ms,
            expires_ms,
            purpose: Purpose::of(*purpose, until_ms)?,
            content_type: content_type.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// What the index says of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When the slot or the file goes, as its record says.
    pub expires_ms: u64,
    /// Bytes that it counts for.
    pub held: u64,
    /// Whose it is.
    pub owner: BareJid,
}

impl Entry {
    /// The durable form: format, time, size, address.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.extend_from_slice(&self.expires_ms.to_be_bytes());
        out.extend_from_slice(&self.held.to_be_bytes());
        out.extend_from_slice(self.owner.as_str().as_bytes());
        out
    }

    /// Reads what [`Entry::to_bytes`] wrote.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Entry> {
        let [FORMAT, rest @ ..] = bytes else {
            return None;
        };
        let (expires_ms, rest) = number(rest)?;
        let (held, owner) = number(rest)?;
        Some(Entry {
            expires_ms,
            held,
            owner: BareJid::parse(std::str::from_utf8(owner).ok()?).ok()?,
        })
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_entries_are_read_as_they_were_written() {
        let purposes = [
            Purpose::Message,
            Purpose::Profile,
            Purpose::Ephemeral { until_ms: 7 },
            Purpose::Permanent,
        ];
        let token = [9; 16];
        let states = [State::Open { token }, State::Spent, State::Stored];
        for (purpose, state) in purposes
            .into_iter()
            .flat_map(|p| states.map(|state| (p, state)))
        {
            let upload = Upload {
                state,
                size: 1 << 40,
                created_ms: 3,
                expires_ms: u64::MAX,
                purpose,
                content_type: "image/png".into(),
                name: "très cool.png".into(),
            };
            let bytes = upload.to_bytes();
            assert_eq!(Upload::from_bytes(&bytes), Some(upload));
            assert!((0..52).all(|cut| Upload::from_bytes(&bytes[..cut]).is_none()));
        }
        let entry = Entry {
            expires_ms: 1,
            held: 2,
            owner: BareJid::parse("romeo@example.org").unwrap(),
        };
        assert_eq!(Entry::from_bytes(&entry.to_bytes()), Some(entry));
    }

    #[test]
    fn an_id_is_its_digits_and_nothing_else() {
        let id = Id([0xab; 16]);
        assert_eq!(Id::parse(&id.to_string()), Some(id));
        for bad in [
            "",
            "abababababababababababababababa",
            "ababababababababababababababababab",
            "ABABABABABABABABABABABABABABABAB",
            "abababababababababababababababa/",
            "../ababababababababababababababab",
            "+bababababababababababababababab",
        ] {
            assert_eq!(Id::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_purpose_says_when_a_file_goes() {
        for (purpose, expected) in [
            (Purpose::Message, 150),
            (Purpose::Profile, u64::MAX),
            (Purpose::Permanent, u64::MAX),
            (Purpose::Ephemeral { until_ms: 120 }, 120),
            (Purpose::Ephemeral { until_ms: 200 }, 150),
        ] {
            assert_eq!(purpose.expiry(100, 50), expected, "{purpose:?}");
        }
    }
}
