//! The admin socket: a Unix socket in the data folder for the command line of the same user.
//!
//! One JSON object a line each way: an [`Operation`] in, a [`Reply`] back. A line is at most [`MAX_REQUEST`] bytes, a connection that says nothing
//! for [`PATIENCE`] is closed, and at most [`CONNECTIONS`] are served at a time; who comes beyond that waits. The socket has mode 0600, and besides
//! that only processes of its owner and of root are listened to.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::operation::{Answer, Operation, Reason, Refusal};

/// The longest request, in bytes, its line end included: pieces of an account that is imported, with what JSON adds.
pub const MAX_REQUEST: u64 = 8 << 20;
/// The longest answer the client takes, in bytes: a page of an account's data, likewise.
const MAX_ANSWER: u64 = 64 << 20;
/// How long a request may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the client waits for an answer. Deriving keys and syncing a slow disk take their time.
const CLIENT_PATIENCE: Duration = Duration::from_secs(60);
/// Connections served at a time.
const CONNECTIONS: usize = 8;
/// The socket's name in the data folder.
const NAME: &str = "admin.sock";
/// The longest path that a socket's address holds everywhere.
const MAX_PATH: usize = 100;

/// What comes back for a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done.
    Ok(Answer),
    /// It is not.
    Error(Refusal),
}

impl From<Result<Answer, Refusal>> for Reply {
    fn from(result: Result<Answer, Refusal>) -> Reply {
        match result {
            Ok(answer) => Reply::Ok(answer),
            Err(refusal) => Reply::Error(refusal),
        }
    }
}

/// The socket of a running server. It is removed when this is dropped.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
}

impl AdminSocket {
    /// Opens the socket in `folder`, whose store we have open: what an earlier process left there is replaced.
    pub fn bind(folder: &Path) -> io::Result<AdminSocket> {
        let path = folder.join(NAME);
        let fresh = folder.join("admin.sock.new");
        remove(&fresh)?;
        let listener = short(&fresh, UnixListener::bind)?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600))?;
        let owner = fs::metadata(&fresh)?.uid();
        // Only now can it be found, with the right mode.
        fs::rename(&fresh, &path)?;
        Ok(AdminSocket {
            listener,
            path,
            owner,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Serves requests with `execute` until the future is dropped.
    pub async fn serve<E, F>(&self, execute: E)
    where
        E: Fn(Operation) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Answer, Refusal>> + Send,
    {
        let execute = Arc::new(execute);
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the admin socket cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let peer = stream.peer_cred().map(|peer| peer.uid());
            if !matches!(peer, Ok(uid) if uid == self.owner || uid == 0) {
                tracing::warn!(
                    ?peer,
                    "a process of another user was refused at the admin socket"
                );
                continue;
            }
            let execute = execute.clone();
            tokio::spawn(async move {
                if let Err(error) = converse(stream, &*execute).await {
                    tracing::debug!(%error, "an admin connection broke");
                }
                drop(place);
            });
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Answers requests until the client leaves.
async fn converse<E, F>(mut stream: UnixStream, execute: &E) -> io::Result<()>
where
    E: Fn(Operation) -> F,
    F: Future<Output = Result<Answer, Refusal>>,
{
    let (read, mut write) = stream.split();
    let mut read = tokio::io::BufReader::new(read);
    loop {
        let mut line = zeroize::Zeroizing::new(Vec::new());
        let mut bounded = (&mut read).take(MAX_REQUEST);
        match timeout(PATIENCE, bounded.read_until(b'\n', &mut line)).await {
            Ok(Ok(0)) | Err(_) => return Ok(()),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
        }
        let complete = line.ends_with(b"\n");
        let reply = match complete {
            true => match serde_json::from_slice::<Operation>(&line) {
                Ok(operation) => execute(operation).await.into(),
                // The parser's own words could repeat what was sent.
                Err(error) => invalid(format!("not an operation: column {}", error.column())),
            },
            false => invalid(format!(
                "a request is a line of at most {MAX_REQUEST} bytes"
            )),
        };
        let mut text = serde_json::to_vec(&reply)?;
        text.push(b'\n');
        timeout(PATIENCE, write.write_all(&text)).await??;
        if !complete {
            return Ok(());
        }
    }
}

fn invalid(text: String) -> Reply {
    Reply::Error(Refusal::new(Reason::Invalid, text))
}

/// A connection to the server that uses a data folder.
#[derive(Debug)]
pub struct Client(BufReader<std::os::unix::net::UnixStream>);

impl Client {
    /// Connects to the server that uses `folder`; `None` if there is none.
    pub fn connect(folder: &Path) -> io::Result<Option<Client>> {
        let connected = short(&folder.join(NAME), std::os::unix::net::UnixStream::connect);
        match connected {
            Ok(stream) => {
                stream.set_read_timeout(Some(CLIENT_PATIENCE))?;
                stream.set_write_timeout(Some(CLIENT_PATIENCE))?;
                Ok(Some(Client(BufReader::new(stream))))
            }
            Err(error) => match error.kind() {
                // A socket that nobody listens on was left by a process that was killed.
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Asks for one operation and waits for the answer.
    pub fn ask(&mut self, operation: &Operation) -> io::Result<Result<Answer, Refusal>> {
        let mut line = zeroize::Zeroizing::new(serde_json::to_vec(operation)?);
        line.push(b'\n');
        self.0.get_mut().write_all(&line)?;
        let mut answer = Vec::new();
        let length = (&mut self.0)
            .take(MAX_ANSWER)
            .read_until(b'\n', &mut answer)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(match serde_json::from_slice(&answer)? {
            Reply::Ok(answer) => Ok(answer),
            Reply::Error(refusal) => Err(refusal),
        })
    }
}

/// Calls `act` with a path that fits into a socket's address, also where `path` itself is too long.
fn short<T>(path: &Path, act: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    if path.as_os_str().as_bytes().len() <= MAX_PATH {
        return act(path.to_owned());
    }
    let folder = fs::File::open(folder)?;
    act(Path::new("/proc/self/fd")
        .join(folder.as_raw_fd().to_string())
        .join(name))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Secret;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path =
                std::env::temp_dir().join(format!("tercet-socket-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    async fn execute(operation: Operation) -> Result<Answer, Refusal> {
        match operation {
            Operation::DeleteUser { .. } => Ok(Answer::Done {}),
            Operation::ShowUser { jid } => {
                Err(Refusal::new(Reason::Missing, format!("there is no {jid}")))
            }
            other => Err(Refusal::new(Reason::Failed, format!("{other:?}"))),
        }
    }

    /// Runs `talk` on a thread against a socket in `folder`.
    fn served<T: Send + 'static>(
        folder: &Path,
        talk: impl FnOnce(&Path) -> T + Send + 'static,
    ) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let folder = folder.to_owned();
        runtime.block_on(async {
            let socket = AdminSocket::bind(&folder).unwrap();
            let talking = tokio::task::spawn_blocking(move || talk(&folder));
            tokio::select! {
                done = talking => done.unwrap(),
                () = socket.serve(execute) => unreachable!("it serves for ever"),
            }
        })
    }

    #[test]
    fn operations_are_answered_one_after_the_other_on_one_connection() {
        let folder = Folder::new("answer");
        served(&folder.0, |folder| {
            let mode = fs::metadata(folder.join(NAME))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
            let mut client = Client::connect(folder).unwrap().unwrap();
            let delete = Operation::DeleteUser { jid: "a@b".into() };
            assert_eq!(client.ask(&delete).unwrap(), Ok(Answer::Done {}));
            let show = Operation::ShowUser { jid: "a@b".into() };
            assert_eq!(
                client.ask(&show).unwrap().unwrap_err().text,
                "there is no a@b"
            );
            assert_eq!(client.ask(&delete).unwrap(), Ok(Answer::Done {}));
        });
        assert!(
            Client::connect(&folder.0).unwrap().is_none(),
            "the socket is gone with the server"
        );
    }

    #[test]
    fn a_line_that_is_too_long_or_no_operation_is_refused() {
        let folder = Folder::new("long");
        served(&folder.0, |folder| {
            let raw = |text: &str| {
                let mut stream =
                    std::os::unix::net::UnixStream::connect(folder.join(NAME)).unwrap();
                stream.write_all(text.as_bytes()).unwrap();
                let mut answer = String::new();
                BufReader::new(stream).read_line(&mut answer).unwrap();
                answer
            };
            assert!(
                raw("{\"operation\":\"rm\",\"password\":\"hunter2\"}\n").contains("\"invalid\"")
            );
            assert!(!raw("{\"operation\":\"rm\",\"password\":\"hunter2\"}\n").contains("hunter2"));
            let long = "x".repeat(usize::try_from(MAX_REQUEST).unwrap());
            assert!(raw(&long).contains("at most 8388608 bytes"));
            let password = Secret::new("hunter2".into());
            let set = Operation::SetPassword {
                jid: "a@b".into(),
                password,
            };
            let refusal = Client::connect(folder)
                .unwrap()
                .unwrap()
                .ask(&set)
                .unwrap()
                .unwrap_err();
            assert!(!refusal.text.contains("hunter2"), "{refusal}");
        });
    }

    #[test]
    fn a_socket_left_by_a_killed_process_is_replaced() {
        let folder = Folder::new("stale");
        drop(std::os::unix::net::UnixListener::bind(folder.0.join(NAME)).unwrap());
        assert!(Client::connect(&folder.0).unwrap().is_none());
        served(&folder.0, |folder| {
            assert!(Client::connect(folder).unwrap().is_some())
        });
    }

    #[test]
    fn a_data_folder_with_a_very_long_path_has_a_socket_too() {
        let folder = Folder::new("deep");
        let deep = folder.0.join("d".repeat(120));
        fs::create_dir(&deep).unwrap();
        served(&deep, |folder| {
            let delete = Operation::DeleteUser { jid: "a@b".into() };
            let mut client = Client::connect(folder).unwrap().unwrap();
            assert_eq!(client.ask(&delete).unwrap(), Ok(Answer::Done {}));
        });
    }
}
