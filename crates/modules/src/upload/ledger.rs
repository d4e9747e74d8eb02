//! What is noted of slots and files, for those who take and give their bytes.

use tercet_core::BareJid;
use tercet_server::Server;
use tercet_store::{Batch, Store, StoreError};

use super::record::{Entry, Id, State, Upload};
use super::{INDEX, UPLOADS, Usage};

/// The index is one for all hosts: a URL need not name one.
const INDEX_OWNER: &str = "*";
/// How many entries are read at a time.
const PAGE: usize = 500;

/// An upload and whose it is.
#[derive(Debug, Clone)]
pub struct Found {
    /// The account that uploads or has uploaded it.
    pub owner: BareJid,
    /// What is known of it.
    pub upload: Upload,
}

/// The upload with that id; `None` if there is none, or none any more.
pub async fn find(store: &Store, id: Id) -> Result<Option<Found>, StoreError> {
    let key = id.to_string();
    let Some(entry) = store.get(&INDEX, INDEX_OWNER, &key).await? else {
        return Ok(None);
    };
    let Some(entry) = Entry::from_bytes(&entry) else {
        return Ok(None);
    };
    let record = store.get(&UPLOADS, entry.owner.as_str(), &key).await?;
    let upload = record.and_then(|record| Upload::from_bytes(&record));
    Ok(upload.map(|upload| Found {
        owner: entry.owner,
        upload,
    }))
}

/// The bytes are on the disk: the slot becomes a file of this type. False if the account has gone meanwhile, and with it everything.
pub async fn stored(
    server: &Server,
    id: Id,
    found: &Found,
    content_type: &str,
) -> Result<bool, StoreError> {
    let host = server.host(found.owner.domain());
    let retention = host.map_or(0, |host| host.info().uploads.retention_ms);
    let file = Upload {
        state: State::Stored,
        expires_ms: found.upload.purpose.expiry(server.now_ms(), retention),
        content_type: content_type.to_owned(),
        ..found.upload.clone()
    };
    let mut batch = Batch::new();
    put(&mut batch, id, &found.owner, &file);
    commit(server, &found.owner, batch).await
}

/// The slot was used in vain: it cannot be used again, and holds no bytes until it goes.
pub async fn spent(server: &Server, id: Id, found: &Found) -> Result<(), StoreError> {
    let slot = Upload {
        state: State::Spent,
        ..found.upload.clone()
    };
    let mut batch = Batch::new();
    put(&mut batch, id, &found.owner, &slot);
    // Of an account that has gone, the entry goes by itself.
    if commit(server, &found.owner, batch).await? {
        release(server, &found.owner, found.upload.held()).await;
    }
    Ok(())
}

/// A page of the index: up to 500 ids behind `after`, in order; none at the end.
pub async fn page(store: &Store, after: Option<Id>) -> Result<Vec<(Id, Entry)>, StoreError> {
    let mut after = after.map(|id| id.to_string());
    loop {
        let page = store
            .list_after(&INDEX, INDEX_OWNER, after.as_deref(), PAGE)
            .await?;
        let Some((last, _)) = page.last() else {
            return Ok(Vec::new());
        };
        after = Some(last.clone());
        let read: Vec<_> = page
            .iter()
            .filter_map(|(key, value)| Some((Id::parse(key)?, Entry::from_bytes(value)?)))
            .collect();
        if !read.is_empty() {
            return Ok(read);
        }
    }
}

/// A page of the uploads of `owner`: up to `limit` behind `after`, in the order of their ids; and what to give as `after` for the
/// next page.
pub async fn list_of(
    store: &Store,
    owner: &BareJid,
    after: Option<&str>,
    limit: usize,
) -> Result<(Vec<(Id, Upload)>, Option<String>), StoreError> {
    let page = store.list_after(&UPLOADS, owner.as_str(), after, limit);
    let page = page.await?;
    let next = page.last().filter(|_| page.len() == limit);
    let next = next.map(|(key, _)| key.clone());
    let read = page
        .iter()
        .filter_map(|(key, value)| Some((Id::parse(key)?, Upload::from_bytes(value)?)));
    Ok((read.collect(), next))
}

/// Whether `owner` still has the upload.
pub async fn is_owned(store: &Store, id: Id, owner: &BareJid) -> Result<bool, StoreError> {
    let record = store.get(&UPLOADS, owner.as_str(), &id.to_string()).await?;
    Ok(record.is_some())
}

/// Forgets uploads whose bytes are gone.
pub async fn forget(server: &Server, gone: &[(Id, Entry)]) -> Result<(), StoreError> {
    let mut batch = Batch::new();
    for (id, entry) in gone {
        let key = id.to_string();
        batch.delete(&INDEX, INDEX_OWNER, &key);
        batch.delete(&UPLOADS, entry.owner.as_str(), &key);
    }
    server.store().commit(batch).await?;
    for (_, entry) in gone {
        release(server, &entry.owner, entry.held).await;
    }
    Ok(())
}

/// The entry of `id`, whether or not its owner still has it.
pub async fn entry(store: &Store, id: Id) -> Result<Option<Entry>, StoreError> {
    let entry = store.get(&INDEX, INDEX_OWNER, &id.to_string()).await?;
    Ok(entry.and_then(|entry| Entry::from_bytes(&entry)))
}

/// Bytes of all uploads of a host.
pub(super) async fn bytes_of(store: &Store, domain: &str) -> Result<u64, StoreError> {
    let (mut bytes, mut after) = (0u64, None);
    loop {
        let page = page(store, after).await?;
        let Some((last, _)) = page.last() else {
            return Ok(bytes);
        };
        after = Some(*last);
        let own = page.iter().filter(|(_, e)| e.owner.domain() == domain);
        bytes = own.fold(bytes, |bytes, (_, e)| bytes.saturating_add(e.held));
    }
}

/// Notes an upload of `owner`.
pub(super) fn put(batch: &mut Batch, id: Id, owner: &BareJid, upload: &Upload) {
    let key = id.to_string();
    let entry = Entry {
        expires_ms: upload.expires_ms,
        held: upload.held(),
        owner: owner.clone(),
    };
    batch.put(&INDEX, INDEX_OWNER, &key, entry.to_bytes());
    batch.put(&UPLOADS, owner.as_str(), &key, upload.to_bytes());
}

/// Makes `batch` durable, unless the account has been removed: nothing may be written for it then.
async fn commit(server: &Server, owner: &BareJid, batch: Batch) -> Result<bool, StoreError> {
    let Some(account) = server.account(owner).await? else {
        return Ok(false);
    };
    let commit = {
        // Queued while the account is locked: before its removal, or not at all.
        let state = account.lock();
        if state.removed {
            return Ok(false);
        }
        server.store().commit(batch)
    };
    commit.await?;
    Ok(true)
}

async fn release(server: &Server, owner: &BareJid, bytes: u64) {
    let host = server.host(owner.domain());
    if let Some(usage) = host
        .as_ref()
        .and_then(|host| host.provided::<Usage>().next())
    {
        usage.release(bytes).await;
    }
}
