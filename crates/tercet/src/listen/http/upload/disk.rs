//! The folder: a file for each upload below a folder for each account, unfinished ones apart.
//!
//! Nothing here waits for the disk on a thread that serves connections, and only so many threads wait for it at a time.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use tercet_core::BareJid;
use tercet_modules::upload::Id;
use tokio::sync::Semaphore;

/// Threads that may wait for the disk at a time.
const THREADS: usize = 16;
/// After so many bytes what was written is flushed: a full disk is noticed, and the end does not take long.
const FLUSHED: u64 = 32 << 20;
/// Bytes read at a time.
const READ: u64 = 64 << 10;
/// Unfinished files lie here.
const PARTS: &str = "part";

/// The folder of files.
pub(super) struct Folder {
    root: PathBuf,
    threads: Semaphore,
}

impl Folder {
    /// Makes the folder if there is none, and deletes what is unfinished in it. Blocks.
    pub(super) fn open(root: PathBuf) -> io::Result<Arc<Folder>> {
        let parts = root.join(PARTS);
        match fs::remove_dir_all(&parts) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => make_folder(&parts)?,
        }
        let threads = Semaphore::new(THREADS);
        Ok(Arc::new(Folder { root, threads }))
    }

    /// Does `job` on a thread that may wait for the disk.
    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let _thread = self.threads.acquire().await.map_err(io::Error::other)?;
        let done = tokio::task::spawn_blocking(job).await;
        done.map_err(io::Error::other)?
    }

    /// Begins a file.
    pub(super) async fn begin(self: &Arc<Self>, id: Id, size: u64) -> io::Result<Part> {
        let (folder, path) = (self.clone(), self.root.join(PARTS).join(id.to_string()));
        self.run(move || {
            let mut options = OpenOptions::new();
            let file = options.write(true).create_new(true).mode(0o600).open(&path);
            Ok(Part {
                file: Some(file?),
                folder,
                path: Some(path),
                id,
                size,
                written: 0,
                flushed: 0,
            })
        })
        .await
    }

    /// Opens a file.
    pub(super) async fn read(self: &Arc<Self>, owner: &BareJid, id: Id) -> io::Result<Reading> {
        let path = self.path(owner, id);
        let file = self.run(move || File::open(path)).await?;
        Ok(Reading {
            folder: self.clone(),
            file: Arc::new(file),
        })
    }

    /// Deletes a file; it may be gone already.
    pub(super) async fn delete(&self, owner: &BareJid, id: Id) -> io::Result<()> {
        let path = self.path(owner, id);
        self.run(move || unlink(&path)).await
    }

    /// The files of an account.
    pub(super) async fn of(&self, owner: &BareJid) -> io::Result<Vec<Id>> {
        let folder = self.root.join(account(owner));
        self.run(move || {
            let entries = match fs::read_dir(folder) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
                entries => entries?,
            };
            let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
            let names: Vec<_> = names.collect::<Result<_, _>>()?;
            let ids = names.iter().filter_map(|name| Id::parse(name.to_str()?));
            Ok(ids.collect())
        })
        .await
    }

    /// Deletes the folder of an account if it is empty.
    pub(super) async fn tidy(&self, owner: &BareJid) {
        let folder = self.root.join(account(owner));
        let removed = self.run(move || fs::remove_dir(folder)).await;
        if let Err(error) = removed
            && !matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty
            )
        {
            tracing::warn!(%error, "an empty folder of uploads could not be deleted");
        }
    }

    fn path(&self, owner: &BareJid, id: Id) -> PathBuf {
        self.root.join(account(owner)).join(id.to_string())
    }
}

/// The folder of an account: its address in a form that any file system takes.
fn account(owner: &BareJid) -> String {
    let digest = digest::digest(&digest::SHA256, owner.as_str().as_bytes());
    let half = digest.as_ref().iter().take(16);
    half.map(|byte| format!("{byte:02x}")).collect()
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn unlink(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// A file that is being written. Dropped before [`Part::finish`], it leaves nothing.
pub(super) struct Part {
    folder: Arc<Folder>,
    file: Option<File>,
    /// `None` once it has its place.
    path: Option<PathBuf>,
    id: Id,
    size: u64,
    written: u64,
    flushed: u64,
}

impl Part {
    /// Bytes that are still to come.
    pub(super) fn missing(&self) -> u64 {
        self.size - self.written
    }

    /// Writes `bytes`, no more than are missing; the emptied buffer comes back.
    pub(super) async fn write(&mut self, mut bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut file = self.file.take().ok_or(ErrorKind::BrokenPipe)?;
        self.written += bytes.len() as u64;
        let flush = self.written - self.flushed >= FLUSHED;
        if flush {
            self.flushed = self.written;
        }
        let job = move || {
            file.write_all(&bytes)?;
            if flush {
                file.sync_data()?;
            }
            bytes.clear();
            Ok((file, bytes))
        };
        let (file, bytes) = self.folder.run(job).await?;
        self.file = Some(file);
        Ok(bytes)
    }

    /// Gives the file its place among those of `owner`. It survives a loss of power then.
    pub(super) async fn finish(self, owner: &BareJid) -> io::Result<()> {
        let folder = self.folder.clone();
        let (root, place) = (folder.root.clone(), folder.path(owner, self.id));
        folder.run(move || self.settle(&root, &place)).await
    }

    fn settle(mut self, root: &Path, place: &Path) -> io::Result<()> {
        let (Some(file), Some(part)) = (self.file.take(), self.path.as_ref()) else {
            return Err(ErrorKind::BrokenPipe.into());
        };
        // Promise 15 of the bad-input list: the bytes, then the name, then the word that it is done.
        file.sync_all()?;
        let parent = place.parent().unwrap_or(root);
        move_into(part, place, parent)?;
        self.path = None;
        File::open(parent)?.sync_all()?;
        File::open(root)?.sync_all()
    }
}

/// Moves `part` to `place` in `parent`, which may be tidied away at the same moment.
fn move_into(part: &Path, place: &Path, parent: &Path) -> io::Result<()> {
    make_folder(parent)?;
    match fs::rename(part, place) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make_folder(parent)?;
            fs::rename(part, place)
        }
        done => done,
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let (Some(path), file) = (self.path.take(), self.file.take()) else {
            return;
        };
        let remove = move || {
            drop(file);
            if let Err(error) = unlink(&path) {
                tracing::error!(%error, "an unfinished upload could not be deleted; the next start does it");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// A file that is being read.
#[derive(Clone)]
pub(super) struct Reading {
    folder: Arc<Folder>,
    file: Arc<File>,
}

impl Reading {
    /// Up to 64 KiB, and no more than `most`, from the byte `at` on.
    pub(super) async fn piece(self, at: u64, most: u64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(most.min(READ)).unwrap_or_default();
        let file = self.file;
        let job = move || {
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, at)?;
            Ok(bytes)
        };
        self.folder.run(job).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_crash_left_unfinished_goes_at_the_next_start() {
        let name = format!("tercet-uploads-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let owner = BareJid::parse("romeo@example.org").unwrap();
        let (done, half) = (Id([1; 16]), Id([2; 16]));
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.unwrap();
        runtime.block_on(async {
            let folder = Folder::open(root.clone()).unwrap();
            let mut part = folder.begin(done, 5).await.unwrap();
            part.write(b"hello".to_vec()).await.unwrap();
            part.finish(&owner).await.unwrap();
            // As after a crash: nobody deletes it.
            std::mem::forget(folder.begin(half, 5).await.unwrap());
            assert!(folder.begin(half, 5).await.is_err());
            drop(folder);

            let folder = Folder::open(root.clone()).unwrap();
            assert_eq!(folder.of(&owner).await.unwrap(), [done]);
            assert_eq!(fs::read_dir(root.join(PARTS)).unwrap().count(), 0);
            let reading = folder.read(&owner, done).await.unwrap();
            assert_eq!(reading.piece(1, 100).await.ok(), None);
            let reading = folder.read(&owner, done).await.unwrap();
            assert_eq!(reading.piece(1, 4).await.unwrap(), b"ello");

            folder.delete(&owner, done).await.unwrap();
            folder.delete(&owner, done).await.unwrap();
            folder.tidy(&owner).await;
            assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
        });
        fs::remove_dir_all(root).unwrap();
    }
}
