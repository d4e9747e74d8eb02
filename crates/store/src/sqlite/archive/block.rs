//! How entries lie in a block: one behind the other, each the bytes of its id, the lengths of its
//! parts, and the parts.

use rusqlite::ffi;

use crate::ArchiveEntry;

/// An entry where it lies; that its texts are texts is looked at when they are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryRef<'a> {
    pub(super) id: u64,
    pub(super) peer: &'a [u8],
    pub(super) part: &'a [u8],
    pub(super) value: &'a [u8],
}

impl<'a> EntryRef<'a> {
    pub(super) fn of(entry: &'a ArchiveEntry) -> EntryRef<'a> {
        EntryRef {
            id: entry.id,
            peer: entry.peer.as_bytes(),
            part: entry.part.as_bytes(),
            value: &entry.value,
        }
    }

    pub(super) fn to_entry(self) -> rusqlite::Result<ArchiveEntry> {
        Ok(ArchiveEntry {
            id: self.id,
            peer: text(self.peer)?.to_owned(),
            part: text(self.part)?.to_owned(),
            value: self.value.into(),
        })
    }

    /// About how many bytes it takes: never less.
    pub(super) fn size(&self) -> usize {
        const HEAD: usize = 8 + 3 * 5;
        HEAD + self.peer.len() + self.part.len() + self.value.len()
    }

    /// Writes it to the end of `out`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let EntryRef {
            id,
            peer,
            part,
            value,
        } = self;
        out.extend_from_slice(&id.to_le_bytes());
        for length in [peer.len(), part.len(), value.len()] {
            write_number(length as u64, out);
        }
        out.extend_from_slice(peer);
        out.extend_from_slice(part);
        out.extend_from_slice(value);
    }

    /// Reads one from the start of `data`, which is then what is behind it.
    pub(super) fn read(data: &mut &'a [u8]) -> rusqlite::Result<EntryRef<'a>> {
        Self::try_read(data).ok_or_else(damaged)
    }

    fn try_read(data: &mut &'a [u8]) -> Option<EntryRef<'a>> {
        let (id, rest) = data.split_first_chunk()?;
        *data = rest;
        let (peer, part, value) = (read_number(data)?, read_number(data)?, read_number(data)?);
        Some(EntryRef {
            id: u64::from_le_bytes(*id),
            peer: take(data, peer)?,
            part: take(data, part)?,
            value: take(data, value)?,
        })
    }
}

/// All entries of a block.
pub(super) fn entries(data: &[u8]) -> rusqlite::Result<Vec<EntryRef<'_>>> {
    entries_if(data, |_| true)
}

/// Those entries of a block that are meant.
pub(super) fn entries_if<'a>(
    mut data: &'a [u8],
    meant: impl Fn(&EntryRef<'a>) -> bool,
) -> rusqlite::Result<Vec<EntryRef<'a>>> {
    let mut entries = Vec::new();
    while !data.is_empty() {
        let entry = EntryRef::read(&mut data)?;
        if meant(&entry) {
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// What was stored as text.
pub(super) fn text(bytes: &[u8]) -> rusqlite::Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| damaged())
}

/// What is stored is not what was written.
pub(super) fn damaged() -> rusqlite::Error {
    let text = "a block of an archive cannot be read".to_owned();
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(text))
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
pub(super) fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The inverse of [`write_number`].
pub(super) fn read_number(data: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = data.split_first()?;
        *data = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A number that must be there.
pub(super) fn number(data: &mut &[u8]) -> rusqlite::Result<u64> {
    read_number(data).ok_or_else(damaged)
}

fn take<'a>(data: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (taken, rest) = data.split_at_checked(usize::try_from(length).ok()?)?;
    *data = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_any_length_read_back_and_what_is_cut_is_refused() {
        let long = vec![7; 70_000];
        let some = [
            (1, "", "", &b""[..]),
            (u64::MAX, "romeo@example.net", "orchard", b"hi"),
            (1 << 40, "ä", "\u{1f339}", &long),
        ];
        let some = some.map(|(id, peer, part, value)| EntryRef {
            id,
            peer: peer.as_bytes(),
            part: part.as_bytes(),
            value,
        });
        let mut data = Vec::new();
        let mut size = 0;
        for entry in &some {
            entry.write(&mut data);
            size += entry.size();
            assert!(data.len() <= size);
        }
        assert_eq!(entries(&data).unwrap(), some);
        for cut in [1, 8, 9, 12, 13, data.len() - 1] {
            assert!(entries(&data[..cut]).is_err(), "{cut}");
        }
    }
}
