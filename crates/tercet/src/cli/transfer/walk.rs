//! Going through a file and those that it includes, in the order in which they are meant.

use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use percent_encoding::percent_decode_str;
use tercet_modules::portable::reader::Level;
use tercet_modules::portable::{Event, Reader};

use crate::cli::Failure;

/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;
/// Files that are open at once: each includes the next.
const DEEPEST: usize = 8;

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) line: u64,
    pub(super) column: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

struct Open {
    reader: Reader,
    file: File,
    path: PathBuf,
}

impl Open {
    fn new(path: PathBuf, level: Level) -> Result<Open, Failure> {
        let file = File::open(&path);
        let file = file.map_err(|error| failed(&path, &error.to_string()))?;
        let reader = Reader::new(level);
        Ok(Open { reader, file, path })
    }

    fn place(&self) -> Place {
        let (line, column) = self.reader.position();
        let file = self.path.clone();
        Place { file, line, column }
    }

    /// What comes next in this file; `None` at its end.
    fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            let faulty = |fault: &dyn std::fmt::Display| failed(&self.path, &fault.to_string());
            if let Some(event) = self.reader.next().map_err(|fault| faulty(&fault))? {
                return Ok(Some(event));
            }
            let mut chunk = vec![0; CHUNK];
            let read = self.file.read(&mut chunk);
            let length = read.map_err(|error| faulty(&error))?;
            if length == 0 {
                self.reader.finish().map_err(|fault| faulty(&fault))?;
                return Ok(None);
            }
            self.reader.push(&chunk[..length]);
        }
    }
}

/// Calls `visit` with everything in the file.
pub(super) fn walk(
    path: &Path,
    visit: &mut dyn FnMut(Event, &Place) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut open = vec![Open::new(path.to_owned(), Level::Document)?];
    while let Some(top) = open.last_mut() {
        match top.next()? {
            None => drop(open.pop()),
            Some(Event::Include(href, level)) => {
                let place = top.place();
                let path = included(&top.path, &href)
                    .ok_or_else(|| Failure::Other(format!("{place}: {href:?} is not included: only files beside this one and below are")))?;
                if open.len() == DEEPEST {
                    let text = format!("{place}: files include each other too deep");
                    return Err(Failure::Other(text));
                }
                open.push(Open::new(path, level)?);
            }
            Some(event) => visit(event, &top.place())?,
        }
    }
    Ok(())
}

/// The file that `href` in `from` means: a relative address that does not lead upwards.
fn included(from: &Path, href: &str) -> Option<PathBuf> {
    let folder = from.parent().unwrap_or(Path::new(""));
    let decoded = percent_decode_str(href).decode_utf8().ok();
    let below = |name: &str| {
        let path = Path::new(name);
        let plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        (!name.is_empty() && path.components().all(plain)).then(|| folder.join(path))
    };
    // Some servers write names as they are.
    let raw = below(href).filter(|path| path.exists());
    raw.or_else(|| decoded.and_then(|name| below(&name)))
}

fn failed(path: &Path, fault: &str) -> Failure {
    Failure::Other(format!("{}: {fault}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_beside_and_below_are_included() {
        let check = |href: &str, expected: Option<&str>| {
            let found = included(Path::new("data/all.xml"), href);
            assert_eq!(found, expected.map(PathBuf::from), "{href}");
        };
        check("host.xml", Some("data/host.xml"));
        check("host/user.xml", Some("data/host/user.xml"));
        check("a%20b.xml", Some("data/a b.xml"));
        for bad in [
            "",
            "/etc/passwd",
            "../x.xml",
            "a/../../x",
            "%2e%2e/x",
            "%2Fetc/passwd",
            "%ff",
        ] {
            check(bad, None);
        }
    }
}
