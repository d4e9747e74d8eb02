//! Files that users share (XEP-0363): `/upload/ID/NAME`, put once by whoever was granted the slot, read by whoever knows the
//! address.
//!
//! The module [`upload`](tercet_modules::upload) grants slots and knows what is kept; here the bytes go to the [`disk`] and come
//! from there. What is on the disk has an entry in the ledger from before its first byte to after its last, so that whatever a
//! crash leaves behind is found: unfinished files at the next start, the rest by the [`sweep`].
//!
//! A file is shown in a browser only if its type is on the list in [`kinds`]; all others are downloads.

mod disk;
mod get;
mod kinds;
mod put;
mod range;
mod sweep;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::{Path, Request};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use tercet_core::BareJid;
use tercet_modules::upload::Id;
use tercet_server::Server;
use tokio::sync::broadcast;

use super::Http;
use super::body::Takes;
use super::resource::Resource;
use disk::Folder;

/// Uploads of one account that are under way at a time.
const OF_ONE: usize = 16;
/// Uploads of all accounts that are under way at a time.
const IN_ALL: usize = 512;

/// A browser runs nothing that comes from here, and shows it in no other page's frame.
const POLICY: &str = "default-src 'none'; img-src 'self'; media-src 'self'; \
     style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox";

/// The files of this server.
pub(in crate::listen) struct Uploads {
    server: Arc<Server>,
    folder: Arc<Folder>,
    /// Files that somebody writes or deletes at the moment, and for whom, if that is known: each has one who does.
    claims: Mutex<HashMap<Id, Option<BareJid>>>,
    removals: Mutex<Option<broadcast::Receiver<BareJid>>>,
}

impl Uploads {
    /// The files in `folder`, which is made if there is none. What uploads have left unfinished is deleted. Blocks.
    ///
    /// # Errors
    /// Those of the disk.
    pub(in crate::listen) fn open(
        server: Arc<Server>,
        folder: PathBuf,
    ) -> std::io::Result<Arc<Uploads>> {
        let removals = server.removals();
        Ok(Arc::new(Uploads {
            server,
            folder: Folder::open(folder)?,
            claims: Mutex::default(),
            removals: Mutex::new(Some(removals)),
        }))
    }

    fn claims(&self) -> MutexGuard<'_, HashMap<Id, Option<BareJid>>> {
        self.claims.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The right to write or delete a file, which one at a time has.
    fn claim(self: &Arc<Self>, id: Id) -> Option<Claim> {
        match self.claims().entry(id) {
            Entry::Occupied(_) => None,
            Entry::Vacant(place) => {
                place.insert(None);
                Some(Claim {
                    uploads: self.clone(),
                    id,
                })
            }
        }
    }
}

/// The right to write or delete one file.
struct Claim {
    uploads: Arc<Uploads>,
    id: Id,
}

impl Claim {
    /// Notes for whom; false if too much is under way.
    fn is_for(&self, owner: &BareJid) -> bool {
        let mut claims = self.uploads.claims();
        let under_way = || claims.values().flatten();
        if under_way().count() >= IN_ALL || under_way().filter(|o| *o == owner).count() >= OF_ONE {
            return false;
        }
        claims.insert(self.id, Some(owner.clone()));
        true
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.uploads.claims().remove(&self.id);
    }
}

/// The one resource.
pub(super) fn resources(http: &Arc<Http>) -> Vec<Resource> {
    let (reads, writes) = (http.uploads.clone(), http.uploads.clone());
    let server = http.c2s.server.clone();
    let largest = move || {
        let hosts = server.hosts();
        let sizes = hosts.iter().map(|host| host.info().uploads);
        let sizes = sizes.map(|uploads| uploads.file_bytes.max(uploads.profile_file_bytes));
        sizes.max().unwrap_or(0)
    };
    let policy = HeaderName::from_static("cross-origin-resource-policy");
    let exposed = "content-disposition, content-length, content-range, etag";
    vec![
        Resource::at("/upload/{id}/{name}")
            .get(
                move |Path((id, name)): Path<(String, String)>,
                      method: Method,
                      fields: HeaderMap| {
                    let uploads = reads.clone();
                    async move { get::get(&uploads, &id, &name, &method, &fields).await }
                },
            )
            .put(
                Takes::stream(largest),
                move |Path((id, name)): Path<(String, String)>, request: Request| {
                    let uploads = writes.clone();
                    async move { put::put(&uploads, &id, &name, request).await }
                },
            )
            // The pace of the body bounds it.
            .time(None)
            // Web clients come from anywhere.
            .cors("authorization, content-type, range, if-none-match, if-range")
            .field(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed)
            .field(policy, "cross-origin")
            .field(header::CONTENT_SECURITY_POLICY, POLICY),
    ]
}

/// An answer of a status and a sentence for people.
fn say(status: StatusCode, text: &'static str) -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (status, content_type, format!("{text}\n")).into_response()
}

/// The same, after which nothing more is read of a connection of HTTP/1: a body that is not wanted may be long.
fn refuse(version: Version, status: StatusCode, text: &'static str) -> Response {
    let mut response = say(status, text);
    if version <= Version::HTTP_11 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}
