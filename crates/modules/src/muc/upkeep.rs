//! What is done now and then: rooms that nobody has used for long go (`rooms.idle`), and so does what accounts that are gone were to
//! rooms, before others take their names.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tercet_core::BareJid;
use tercet_server::{Routed, Server};
use tercet_store::{Batch, StoreError};

use super::control::{self, ControlError};
use super::features::hats;
use super::records::{self, AFFILIATED, ROOM};
use super::service::IDLE_MS;
use super::{Core, affiliation::Affiliation};

/// How long after the start it is looked for accounts that have gone, in milliseconds.
const SOON_MS: u64 = 10_000;
/// How often it is looked for rooms that nobody uses, in milliseconds: a room that was used is in memory for longer.
const SELDOM_MS: u64 = IDLE_MS / 2;
/// Records that are read at once.
const SLICE: usize = 200;

/// From now on, looks after the rooms of all services.
pub fn keep_up(server: &Arc<Server>) {
    look_for_accounts(server);
    look_for_rooms(server);
}

/// What went while the server did not run, or was interrupted, is looked for once.
fn look_for_accounts(server: &Arc<Server>) {
    let soon = server.now_ms().saturating_add(SOON_MS);
    server.at(soon, |server| {
        let server = server.clone();
        Routed::later(async move {
            told(forget_the_gone(&server).await);
        })
    });
}

/// An account is gone: it leaves the lists of all rooms.
pub(super) fn on_removal(
    server: Arc<Server>,
    user: BareJid,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move { told(forget(&server, &user).await) })
}

fn told(done: Result<(), ControlError>) {
    if let Err(error) = done {
        tracing::error!(%error, "accounts that are gone could not be taken off the lists of rooms");
    }
}

/// Takes all off the lists of rooms who would have an account here and have none.
async fn forget_the_gone(server: &Arc<Server>) -> Result<(), ControlError> {
    let mut after: Option<String> = None;
    loop {
        let users = server
            .store()
            .owners(&AFFILIATED, after.as_deref(), SLICE)
            .await?;
        for user in users.iter().filter_map(|user| BareJid::parse(user).ok()) {
            let ours = server.host(user.domain()).is_some_and(|h| h.has_accounts());
            if ours && server.account(&user).await?.is_none() {
                forget(server, &user).await?;
            }
        }
        if users.len() < SLICE {
            return Ok(());
        }
        after = users.into_iter().next_back();
    }
}

/// Takes a user off the lists of all rooms.
async fn forget(server: &Arc<Server>, user: &BareJid) -> Result<(), ControlError> {
    let kept = server.store().list(&AFFILIATED, user.as_str()).await?;
    let kept = kept
        .iter()
        .filter_map(|(room, _)| BareJid::parse(room).ok());
    let mut rooms: Vec<BareJid> = kept.collect();
    for core in control::cores(server) {
        let live = core.service(server).all();
        let live = live.iter().filter(|room| {
            let state = room.lock();
            state.roll.contains_key(user) || hats::wears(&state, user)
        });
        rooms.extend(live.map(|room| room.jid.clone()));
    }
    for room in rooms {
        match control::forget(server, &room, user).await {
            // The entry has outlived its room, or its service is switched off.
            Err(ControlError::Missing(_) | ControlError::NoService(_)) => {
                let mut batch = Batch::new();
                batch.delete(&AFFILIATED, user.as_str(), room.as_str());
                server.store().commit(batch).await?;
            }
            done => done?,
        }
    }
    Ok(())
}

fn look_for_rooms(server: &Arc<Server>) {
    let next = server.now_ms().saturating_add(SELDOM_MS);
    server.at(next, |server| {
        look_for_rooms(server);
        let server = server.clone();
        Routed::later(async move {
            for core in control::cores(&server) {
                let Some(idle_ms) = core.settings.idle_ms else {
                    continue;
                };
                if let Err(error) = remove_idle(&server, &core, idle_ms).await {
                    tracing::error!(%error, service = core.domain, "rooms that nobody uses could not be removed");
                }
            }
        })
    });
}

/// Notes which rooms are used, and destroys those that have not been for `idle_ms`.
async fn remove_idle(
    server: &Arc<Server>,
    core: &Arc<Core>,
    idle_ms: u64,
) -> Result<(), ControlError> {
    let (store, now_ms) = (server.store(), server.now_ms());
    // Not every use is noted, so that a room has a little longer.
    let noted_ms = idle_ms / 8;
    let service = core.service(server);
    let mut after: Option<String> = None;
    loop {
        let names = store
            .list_after(&ROOM, &core.domain, after.as_deref(), SLICE)
            .await?;
        let full = names.len() == SLICE;
        after = names.last().map(|(name, _)| name.clone());
        let mut batch = Batch::new();
        for (name, _) in &names {
            let Ok(jid) = BareJid::parse(&format!("{name}@{}", core.domain)) else {
                continue;
            };
            let used_ms = records::used(store, &jid).await?;
            let is_used = service.get(name).is_some();
            match used_ms {
                Some(used_ms) if is_used && now_ms.saturating_sub(used_ms) < noted_ms => {}
                Some(used_ms)
                    if !is_used && now_ms.saturating_sub(used_ms) < idle_ms + noted_ms => {}
                // Of a room of which nothing is known the time begins now.
                _ if is_used || used_ms.is_none() => records::put_used(&mut batch, &jid, now_ms),
                _ => {
                    let reason = "Nobody has been here for a long time.".to_owned();
                    match control::destroy(server, &jid, None, Some(reason)).await {
                        Ok(()) => {
                            tracing::info!(room = jid.as_str(), "removed a room that nobody used")
                        }
                        Err(ControlError::Missing(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        if !batch.is_empty() {
            store.commit(batch).await?;
        }
        if !full {
            return Ok(());
        }
    }
}

/// How many rooms of a service `user` owns, counted up to `most`.
pub(super) async fn owned(
    server: &Arc<Server>,
    core: &Arc<Core>,
    user: &BareJid,
    most: usize,
) -> Result<usize, StoreError> {
    let live = core.service(server).all();
    let owned = |room: &&Arc<super::room::Room>| {
        let state = room.lock();
        let kept = state.config.persistent && !state.locked;
        !kept && state.affiliation(user.as_str()) == Affiliation::Owner
    };
    let mut count = live.iter().filter(owned).count();
    for (room, value) in server.store().list(&AFFILIATED, user.as_str()).await? {
        if count >= most {
            break;
        }
        let here = BareJid::parse(&room).is_ok_and(|room| room.domain() == core.domain);
        // The entry may have outlived its room.
        if here && records::is_owner(&value) && records::owns(server.store(), &room, user).await? {
            count += 1;
        }
    }
    Ok(count)
}
