//! From the errors of SQLite and of the file system to those of the store.

use std::io;
use std::path::Path;

use rusqlite::ErrorCode;

use crate::StoreError;

/// What an error of SQLite means to a caller.
pub(super) fn from_sqlite(error: &rusqlite::Error) -> StoreError {
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full(text),
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly(text),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(text),
        _ => match error.sqlite_error() {
            // The extended code says which call of the operating system failed.
            Some(code) => StoreError::Io(format!("{text} (SQLite {})", code.extended_code)),
            None => StoreError::Io(text),
        },
    }
}

/// What an error of the file system at `path` means to a caller.
pub(super) fn from_io(path: &Path, error: &io::Error) -> StoreError {
    let text = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full(text),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            StoreError::ReadOnly(text)
        }
        _ => StoreError::Io(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of an error that SQLite gives with this code.
    fn map(code: i32) -> StoreError {
        let error = rusqlite::ffi::Error::new(code);
        from_sqlite(&rusqlite::Error::SqliteFailure(error, None))
    }

    #[test]
    fn sqlite_codes_become_what_a_caller_can_act_on() {
        assert!(matches!(
            map(rusqlite::ffi::SQLITE_FULL),
            StoreError::Full(_)
        ));
        for code in [
            rusqlite::ffi::SQLITE_READONLY,
            rusqlite::ffi::SQLITE_READONLY_DBMOVED,
        ] {
            assert!(matches!(map(code), StoreError::ReadOnly(_)));
        }
        for code in [rusqlite::ffi::SQLITE_CORRUPT, rusqlite::ffi::SQLITE_NOTADB] {
            assert!(matches!(map(code), StoreError::Corrupt(_)));
        }
        for code in [
            rusqlite::ffi::SQLITE_IOERR_WRITE,
            rusqlite::ffi::SQLITE_IOERR_FSYNC,
            rusqlite::ffi::SQLITE_CANTOPEN,
        ] {
            assert!(matches!(map(code), StoreError::Io(_)));
        }
    }
}
