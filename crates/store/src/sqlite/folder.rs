//! The data folder: made with tight permissions, and held by one process at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::fault::from_io;
use crate::StoreError;

/// File that the process using the folder holds a lock on; its text is that process's id.
const LOCK: &str = "tercet.lock";
/// The database.
const DATABASE: &str = "tercet.db";

/// A data folder that is ours for as long as this value lives. The operating system frees it when
/// the process ends, however it ends.
pub(super) struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if there is none, and takes it.
    pub(super) fn take(path: &Path) -> Result<DataFolder, StoreError> {
        if !path.is_dir() {
            make_folder(path).map_err(|error| from_io(path, &error))?;
        }
        let lock_path = path.join(LOCK);
        let mut lock = private(OpenOptions::new().read(true).write(true).create(true))
            .open(&lock_path)
            .map_err(|error| from_io(&lock_path, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid = lock.read_to_string(&mut text).ok();
                return Err(StoreError::InUse {
                    folder: path.to_owned(),
                    pid: pid.and_then(|_| text.trim().parse().ok()),
                });
            }
            Err(TryLockError::Error(error)) => return Err(from_io(&lock_path, &error)),
        }
        // The id only serves the message above: a full disk must not keep the server from starting.
        let _ = lock.set_len(0);
        let _ = writeln!(lock, "{}", std::process::id());
        Ok(DataFolder {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// The path of the database, which exists afterwards, readable by its owner only (SQLite gives
    /// its other files the same permissions).
    pub(super) fn database(&self) -> Result<PathBuf, StoreError> {
        let path = self.path.join(DATABASE);
        if !path.exists() {
            private(OpenOptions::new().write(true).create(true))
                .open(&path)
                .and_then(|file| file.sync_all())
                .and_then(|()| sync_folder(&self.path))
                .map_err(|error| from_io(&path, &error))?;
        }
        Ok(path)
    }
}

fn make_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => Ok(()),
    }
}

/// Makes the names in a folder durable.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    if cfg!(unix) {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}

/// A file that its owner alone may read, if this makes it.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}
