//! PUT: the bytes of one slot, once.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::header::{self, HeaderMap};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use tercet_modules::upload::ledger::{self, Found};
use tercet_modules::upload::{Id, State};

use super::disk::Part;
use super::kinds::{self, same_kind};
use super::{Claim, Uploads, refuse, say};
use crate::listen::http::body::status_of;

/// Bytes gathered before they are written.
const BUFFER: usize = 256 << 10;

/// Why an upload failed: what the client is told.
type Refusal = (StatusCode, &'static str);

/// Answers a PUT.
pub(super) async fn put(
    uploads: &Arc<Uploads>,
    id: &str,
    name: &str,
    request: Request,
) -> Response {
    let version = request.version();
    match take(uploads, id, name, request).await {
        Ok(()) => say(StatusCode::CREATED, "stored"),
        Err((status, text)) => refuse(version, status, text),
    }
}

async fn take(
    uploads: &Arc<Uploads>,
    id: &str,
    name: &str,
    request: Request,
) -> Result<(), Refusal> {
    const NONE: Refusal = (StatusCode::NOT_FOUND, "there is no such slot");
    const USED: Refusal = (
        StatusCode::FORBIDDEN,
        "this slot has been used: ask for another one",
    );
    let id = Id::parse(id).ok_or(NONE)?;
    // Promise 12 of the bad-input list: one PUT for each slot. It is claimed before it is looked at.
    let claim = uploads.claim(id).ok_or(USED)?;
    let found = ledger::find(uploads.server.store(), id).await;
    let found = found.map_err(|error| unavailable(&error))?.ok_or(NONE)?;
    if found.upload.name != name {
        return Err(NONE);
    }
    let State::Open { token } = found.upload.state else {
        return Err(USED);
    };
    if !shows(request.uri(), token) {
        return Err((StatusCode::FORBIDDEN, "this is not your slot"));
    }
    if found.upload.expires_ms <= uploads.server.now_ms() {
        return Err((
            StatusCode::GONE,
            "this slot has expired: ask for another one",
        ));
    }
    let content_type = judge(&found, request.headers())?;
    if !claim.is_for(&found.owner) {
        return Err((
            StatusCode::SERVICE_UNAVAILABLE,
            "too many uploads are under way: try again soon",
        ));
    }
    let attempt = Attempt {
        claim: Some((claim, found)),
    };
    let part = attempt.receive(request.into_body()).await?;
    // Whether or not the client still waits, what has all its bytes is kept.
    let stored = tokio::spawn(attempt.store(part, content_type));
    stored
        .await
        .unwrap_or_else(|error| Err(unavailable(&error)))
}

/// Whether the request shows the slot's token.
fn shows(uri: &Uri, token: [u8; 16]) -> bool {
    let parameters = uri.query().unwrap_or_default().split('&');
    let mut shown = parameters.filter_map(|p| Id::parse(p.strip_prefix("token=")?));
    shown.any(|shown| verify_slices_are_equal(&shown.0, &token).is_ok())
}

/// Judges what the head says of the body. The media type that will be noted.
fn judge(found: &Found, headers: &HeaderMap) -> Result<String, Refusal> {
    let upload = &found.upload;
    // XEP-0363 §7: the length MUST be that of the slot. The body's end is checked by whoever reads it.
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.ok_or((StatusCode::LENGTH_REQUIRED, "the body has no length"))?;
    let digits = |b: &u8| b.is_ascii_digit();
    let length = length
        .to_str()
        .ok()
        .filter(|l| l.as_bytes().iter().all(digits));
    match length.and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length == upload.size => {}
        Some(length) if length > upload.size => {
            return Err((
                StatusCode::PAYLOAD_TOO_LARGE,
                "the file is larger than its slot",
            ));
        }
        _ => {
            return Err((
                StatusCode::BAD_REQUEST,
                "the file is not as large as its slot",
            ));
        }
    }
    let sent = match headers.get(header::CONTENT_TYPE) {
        None => "",
        Some(sent) => sent.to_str().unwrap_or_default(),
    };
    // XEP-0363 §7: the type SHOULD be that of the slot, where that has one.
    match (upload.content_type.as_str(), sent) {
        ("", sent) => Ok(kinds::named(sent).to_owned()),
        (slot, "") => Ok(slot.to_owned()),
        (slot, sent) if same_kind(slot, sent) => Ok(slot.to_owned()),
        _ => Err((
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the file is of another type than its slot",
        )),
    }
}

/// The one use of a slot. Given up before the file is stored, the slot is spent.
struct Attempt {
    claim: Option<(Claim, Found)>,
}

impl Attempt {
    /// Takes the bytes.
    async fn receive(&self, mut body: Body) -> Result<Part, Refusal> {
        let (claim, found) = self.claim.as_ref().ok_or(LOST)?;
        let folder = &claim.uploads.folder;
        let part = folder.begin(claim.id, found.upload.size).await;
        let mut part = part.map_err(|error| disk_fault(&error))?;
        let mut buffer = Vec::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let frame = frame.map_err(|error| (status_of(&error), "the upload broke off"))?;
            let Some(data) = frame.data_ref() else {
                continue;
            };
            if (buffer.len() + data.len()) as u64 > part.missing() {
                return Err((
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "the file is larger than its slot",
                ));
            }
            buffer.extend_from_slice(data);
            if buffer.len() >= BUFFER {
                let written = part.write(buffer).await;
                buffer = written.map_err(|error| disk_fault(&error))?;
            }
        }
        let written = part.write(buffer).await;
        written.map_err(|error| disk_fault(&error))?;
        match part.missing() {
            0 => Ok(part),
            _ => Err((StatusCode::BAD_REQUEST, "the upload broke off")),
        }
    }

    /// Puts the file in its place, and notes it: durable when this is done.
    async fn store(mut self, part: Part, content_type: String) -> Result<(), Refusal> {
        let (claim, found) = self.claim.as_ref().ok_or(LOST)?;
        let (uploads, owner) = (&claim.uploads, &found.owner);
        let finished = part.finish(owner).await;
        let noted = match finished {
            Ok(()) => ledger::stored(&uploads.server, claim.id, found, &content_type)
                .await
                .map_err(|error| unavailable(&error)),
            Err(error) => Err(disk_fault(&error)),
        };
        let refusal = match noted {
            Ok(true) => {
                self.claim = None;
                return Ok(());
            }
            Ok(false) => (StatusCode::GONE, "the account has been removed"),
            Err(refusal) => refusal,
        };
        if let Err(error) = uploads.folder.delete(owner, claim.id).await {
            tracing::error!(%error, "a file that is not kept could not be deleted; it goes when its slot goes");
        }
        Err(refusal)
    }
}

/// What cannot be: an attempt that has ended goes on.
const LOST: Refusal = (StatusCode::INTERNAL_SERVER_ERROR, "the upload is lost");

impl Drop for Attempt {
    fn drop(&mut self) {
        let (Some((claim, found)), Ok(runtime)) =
            (self.claim.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        // Nobody else has the slot until it is written that it is spent.
        runtime.spawn(async move {
            if let Err(error) = ledger::spent(&claim.uploads.server, claim.id, &found).await {
                tracing::error!(%error, "a slot that was used in vain stays open until it expires");
            }
        });
    }
}

fn disk_fault(error: &io::Error) -> Refusal {
    tracing::error!(%error, "an upload could not be written");
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (
            StatusCode::INSUFFICIENT_STORAGE,
            "the server has no place for the file: try again later",
        ),
        _ => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the file could not be written: try again later",
        ),
    }
}

fn unavailable(error: &dyn std::fmt::Display) -> Refusal {
    tracing::error!(%error, "an upload could not be noted");
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "the file could not be noted: try again later",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart_from_other_faults() {
        let status = |kind: ErrorKind| disk_fault(&kind.into()).0;
        assert_eq!(status(ErrorKind::StorageFull), 507);
        assert_eq!(status(ErrorKind::QuotaExceeded), 507);
        assert_eq!(status(ErrorKind::PermissionDenied), 503);
    }
}
