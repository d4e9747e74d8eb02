//! The data folder: made for its owner alone, and used by one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process has it.
    #[error("another tercet uses the data folder {}", .0.display())]
    InUse(PathBuf),
    /// It cannot be made, or not be written to.
    #[error("the data folder {} cannot be used: {error}", folder.display())]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
}

/// The data folder, ours until this is dropped or the process ends in whatever way.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Takes the folder at `path`; makes it, and its parents, if it does not exist.
    pub fn take(path: &Path) -> Result<DataFolder, FolderError> {
        let unusable = |error| FolderError::Unusable {
            folder: path.to_owned(),
            error,
        };
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(unusable)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FolderError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        // The full path serves after a change of the current folder, and in messages.
        let path = fs::canonicalize(path).map_err(unusable)?;
        Ok(DataFolder { path, _lock: lock })
    }

    /// Its full path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn temporary(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("tercet-folder-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn a_folder_is_made_for_its_owner_alone_and_taken_once() {
        let path = temporary("once").join("deep");
        let folder = DataFolder::take(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let second = DataFolder::take(&path).unwrap_err();
        assert!(
            second.to_string().contains("another tercet uses"),
            "{second}"
        );
        drop(folder);
        DataFolder::take(&path).unwrap();
        fs::remove_dir_all(temporary("once")).unwrap_or(());
    }

    #[test]
    fn a_file_in_its_place_is_said() {
        let path = temporary("file");
        fs::write(&path, "").unwrap();
        let error = DataFolder::take(&path).unwrap_err();
        assert!(matches!(error, FolderError::Unusable { .. }), "{error}");
        fs::remove_file(&path).unwrap();
    }
}
