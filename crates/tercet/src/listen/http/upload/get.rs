//! GET and HEAD: a file, or a part of one.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tercet_modules::upload::{Id, State, ledger};

use super::disk::Reading;
use super::range::{self, Part};
use super::{Uploads, kinds, say};

/// How long a browser keeps a file without asking again, in seconds; never beyond the file's own time.
const KEPT: u64 = 86_400;

/// Answers a GET or a HEAD.
pub(super) async fn get(
    uploads: &Uploads,
    id: &str,
    name: &str,
    method: &Method,
    asked: &HeaderMap,
) -> Response {
    let none = || say(StatusCode::NOT_FOUND, "there is no such file");
    let Some(id) = Id::parse(id) else {
        return none();
    };
    let found = match ledger::find(uploads.server.store(), id).await {
        Ok(Some(found)) => found,
        Ok(None) => return none(),
        Err(error) => {
            tracing::error!(%error, "a file could not be looked up");
            return say(StatusCode::SERVICE_UNAVAILABLE, "try again later");
        }
    };
    let upload = &found.upload;
    if upload.state != State::Stored || upload.name != name {
        return none();
    }
    // XEP-0363 §5.3: not a moment longer.
    let left = upload.expires_ms.saturating_sub(uploads.server.now_ms());
    if left == 0 {
        return say(StatusCode::GONE, "the file has expired");
    }
    let etag = format!("\"{id}\"");
    let mut response = Response::new(Body::empty());
    let fields = response.headers_mut();
    insert(fields, header::ETAG, &etag);
    let kept = (left / 1000).min(KEPT);
    let cached = format!("private, max-age={kept}, immutable");
    insert(fields, header::CACHE_CONTROL, &cached);
    if range::is_known(asked, &etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    let (content_type, shown) = kinds::told(&upload.content_type);
    insert(fields, header::ACCEPT_RANGES, "bytes");
    insert(fields, header::CONTENT_TYPE, content_type);
    let disposition = kinds::disposition(shown, &upload.name);
    insert(fields, header::CONTENT_DISPOSITION, &disposition);
    let size = upload.size;
    let (first, left) = match range::asked(asked, &etag, size) {
        Part::Whole => (0, size),
        Part::Between(first, last) => {
            let range = format!("bytes {first}-{last}/{size}");
            insert(fields, header::CONTENT_RANGE, &range);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            (first, last - first + 1)
        }
        Part::Outside => {
            let mut response = say(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "the file has no such part",
            );
            let range = format!("bytes */{size}");
            insert(response.headers_mut(), header::CONTENT_RANGE, &range);
            return response;
        }
    };
    insert(
        response.headers_mut(),
        header::CONTENT_LENGTH,
        &left.to_string(),
    );
    if method == Method::HEAD {
        return response;
    }
    match uploads.folder.read(&found.owner, id).await {
        Ok(reading) => {
            *response.body_mut() = Body::new(Pieces {
                reading,
                at: first,
                left,
                next: None,
            });
            response
        }
        Err(error) => {
            tracing::error!(%error, "a file that should be there cannot be read");
            say(StatusCode::SERVICE_UNAVAILABLE, "the file cannot be read")
        }
    }
}

/// Sets a field to what has no characters that a field cannot have.
fn insert(fields: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        fields.insert(name, value);
    }
}

type Next = Pin<Box<dyn Future<Output = io::Result<Vec<u8>>> + Send>>;

/// A part of a file, read as the client takes it.
struct Pieces {
    reading: Reading,
    at: u64,
    left: u64,
    next: Option<Next>,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let next = this.next.get_or_insert_with(|| {
            let reading = this.reading.clone();
            Box::pin(reading.piece(this.at, this.left))
        });
        let piece = ready!(next.as_mut().poll(cx));
        this.next = None;
        Poll::Ready(Some(match piece {
            Ok(bytes) => {
                this.at += bytes.len() as u64;
                this.left -= bytes.len() as u64;
                Ok(Frame::data(bytes.into()))
            }
            Err(error) => {
                tracing::error!(%error, "a file cannot be read to its end");
                this.left = 0;
                Err(error)
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
