//! The way from the command line to a server: through the socket of the one that runs, or by opening the store where none does.
//! The store is open in one process at a time.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tercet_server::Server;
use tercet_store::{Store, StoreError};

use super::execute::execute;
use super::operation::{Answer, Operation, Refusal};
use super::socket::Client;
use crate::assemble::{self, AssembleError};
use crate::config::Config;

/// How long a data folder may be in use without a server at its socket: one that starts or stops, or another command.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why an operation could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The server said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The server runs, and we may not talk to it.
    #[error("the server runs as another user: run this command as that user, or as root")]
    OtherUser,
    /// The conversation with the server broke.
    #[error("the server does not answer: {0}")]
    Socket(io::Error),
    /// The store cannot be used, or another process has it and does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server could not be put together.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// No threads, no descriptors.
    #[error("this machine is out of resources: {0}")]
    System(io::Error),
}

/// A way to the server of one data folder.
pub enum Way {
    /// It runs.
    Socket(Client),
    /// It does not: this process is the server for as long as the value lives.
    Local(Local),
}

/// A server without listeners.
pub struct Local {
    runtime: tokio::runtime::Runtime,
    server: Arc<Server>,
    store: Store,
}

/// Carries out one operation.
pub fn ask(config: &Config, operation: &Operation) -> Result<Answer, AdminError> {
    Way::open(config)?.ask(operation)
}

impl Way {
    /// Finds the server that uses the configured data folder, or takes the folder.
    pub fn open(config: &Config) -> Result<Way, AdminError> {
        let began = Instant::now();
        loop {
            match Client::connect(&config.data_dir) {
                Ok(Some(client)) => return Ok(Way::Socket(client)),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(AdminError::OtherUser);
                }
                Err(error) => return Err(AdminError::Socket(error)),
            }
            match assemble::store(&config.data_dir) {
                Ok(store) => return Local::open(config, store).map(Way::Local),
                Err(StoreError::InUse { .. }) if began.elapsed() < PATIENCE => {
                    thread::sleep(Duration::from_millis(50));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Carries out one operation and waits until it is durable.
    pub fn ask(&mut self, operation: &Operation) -> Result<Answer, AdminError> {
        match self {
            Way::Socket(client) => Ok(client.ask(operation).map_err(AdminError::Socket)??),
            Way::Local(local) => {
                let done = execute(&local.server, operation.clone());
                Ok(local.runtime.block_on(done)?)
            }
        }
    }
}

impl Local {
    fn open(config: &Config, store: Store) -> Result<Local, AdminError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(AdminError::System)?;
        let server = runtime.block_on(assemble::server(config, store.clone()))?;
        Ok(Local {
            runtime,
            server,
            store,
        })
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // Everything answered is durable already; this only leaves the files tidy.
        let _ = self.store.close().wait();
    }
}
