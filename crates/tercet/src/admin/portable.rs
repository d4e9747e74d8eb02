//! Accounts out and in, in the format of XEP-0227.

use std::sync::Arc;

use tercet_core::BareJid;
use tercet_modules::portable::{self, Cursor, Incoming, Piece};
use tercet_server::account::GUEST;
use tercet_server::{AccountError, AccountRecord, Arrival, Server};
use tercet_store::Batch;
use tercet_stream::sasl::Credentials;
use tokio::sync::Mutex;

use super::operation::{Answer, Reason, Refusal};
use super::secret::Secret;

/// Imports under way at a time; a further one ends the oldest.
const IMPORTS: usize = 4;
/// What is gathered of an account before it is written, in bytes: smaller accounts come in one batch.
const BATCH_BYTES: usize = 8 << 20;
/// The longest password, in bytes.
const PASSWORD_BYTES: usize = 1024;

/// The imports under way, oldest first.
#[derive(Default)]
struct Imports(Mutex<Vec<Import>>);

struct Import {
    id: String,
    arrival: Arrival,
    incoming: Incoming,
    password: Option<Secret>,
    batch: Batch,
}

fn imports(server: &Server) -> Arc<Imports> {
    server.kept("", Imports::default)
}

/// A page of an account.
pub(super) async fn export(
    server: &Arc<Server>,
    account: &BareJid,
    cursor: &Cursor,
) -> Result<Answer, Refusal> {
    let guest = server.store().get(&GUEST, account.as_str(), "").await;
    if guest.map_err(AccountError::Store)?.is_some() {
        // It goes with its session.
        return Err(AccountError::Missing(account.clone()).into());
    }
    if *cursor == Cursor::default() {
        tracing::info!(account = account.as_str(), "exported an account");
    }
    let (page, next) = portable::page(server, account, cursor).await?;
    let xml = String::from_utf8(page).map_err(|_| AccountError::Corrupt)?;
    Ok(Answer::Exported { xml, next })
}

/// Whether the account could come, and whether it is there.
pub(super) async fn check(server: &Arc<Server>, account: &BareJid) -> Result<Answer, Refusal> {
    server.can_arrive(account)?;
    let exists = server.account_record(account).await?.is_some();
    Ok(Answer::Importable { exists })
}

/// Begins an import.
pub(super) async fn begin(
    server: &Arc<Server>,
    account: BareJid,
    password: Option<Secret>,
    replace: bool,
) -> Result<Answer, Refusal> {
    let arrival = server.begin_arrival(&account, replace).await?;
    let random: [u8; 12] = server.random();
    let id: String = random.iter().map(|b| format!("{b:02x}")).collect();
    let import = Import {
        id: id.clone(),
        arrival,
        incoming: Incoming::new(account, server.now_ms()),
        password,
        batch: Batch::new(),
    };
    let imports = imports(server);
    let mut all = imports.0.lock().await;
    all.push(import);
    if all.len() > IMPORTS {
        let oldest = all.remove(0);
        server.cancel_arrival(&oldest.arrival).await?;
    }
    Ok(Answer::Import { import: id })
}

/// Takes pieces. What cannot be taken has been told by who read the file.
pub(super) async fn pieces(
    server: &Arc<Server>,
    id: &str,
    pieces: &[Piece],
) -> Result<Answer, Refusal> {
    let imports = imports(server);
    let mut all = imports.0.lock().await;
    let import = all.iter_mut().find(|import| import.id == id);
    let import = import.ok_or_else(over)?;
    for piece in pieces {
        let _ = import.incoming.take(piece, &mut import.batch);
    }
    if import.batch.bytes() >= BATCH_BYTES {
        let batch = std::mem::take(&mut import.batch);
        server.go_on_arriving(&import.arrival, batch).await?;
    }
    Ok(Answer::Done {})
}

/// Ends an import.
pub(super) async fn end(server: &Arc<Server>, id: &str, keep: bool) -> Result<Answer, Refusal> {
    let imports = imports(server);
    let import = {
        let mut all = imports.0.lock().await;
        let place = all.iter().position(|import| import.id == id);
        all.remove(place.ok_or_else(over)?)
    };
    let Import {
        arrival,
        incoming,
        password,
        mut batch,
        ..
    } = import;
    if !keep {
        server.cancel_arrival(&arrival).await?;
        return Ok(Answer::Imported { login: false });
    }
    let came = incoming.finish(&mut batch);
    let derived = match password.filter(|p| p.reveal().len() <= PASSWORD_BYTES) {
        Some(password) if !came.as_ref().is_some_and(Credentials::are_complete) => {
            let salts = server.random();
            let derive = move || Credentials::derive(password.reveal(), salts);
            // One that cannot be used is none.
            tokio::task::spawn_blocking(derive)
                .await
                .ok()
                .and_then(Result::ok)
        }
        _ => None,
    };
    let credentials = match (came, derived) {
        (Some(came), Some(derived)) => Some(came.or(derived)),
        (came, derived) => came.or(derived),
    };
    let record = AccountRecord {
        credentials,
        admin: false,
        created_ms: server.now_ms(),
    };
    server.arrive(&arrival, &record, batch).await?;
    let account = arrival.account().as_str();
    tracing::info!(account, "imported an account");
    Ok(Answer::Imported {
        login: record.credentials.is_some(),
    })
}

fn over() -> Refusal {
    Refusal::new(Reason::Missing, "this import has ended")
}
