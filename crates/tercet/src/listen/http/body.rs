//! Bodies of requests: within a stated size, and no slower than [`pace`](super::pace) allows.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap};
use hyper::body::{Frame, SizeHint};

use super::pace::Pace;

/// Time for a body that is gathered before it is looked at.
const WHOLE: Duration = Duration::from_secs(30);

/// What a method of a resource takes.
#[derive(Clone)]
pub(super) enum Takes {
    /// No body.
    Nothing,
    /// A body, gathered within 30 s before the handler is called: use any extractor (`Bytes`, `String`).
    Whole(Bound),
    /// A body that the handler reads from `Body` as it comes. An error of it is given to [`status_of`].
    Stream(Bound),
}

/// The most bytes of a body; asked for with every request, as settings may change.
type Bound = Arc<dyn Fn() -> u64 + Send + Sync>;

impl Takes {
    /// A body of so many bytes at most, gathered first.
    pub(super) fn whole(bytes: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Takes::Whole(Arc::new(bytes))
    }

    /// A body of so many bytes at most, read as it comes.
    pub(super) fn stream(bytes: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Takes::Stream(Arc::new(bytes))
    }

    /// The body as the handler gets it. `stretch`: see [`Pace`].
    ///
    /// # Errors
    /// The status of the answer, after which the connection cannot be used again.
    pub(super) async fn admit(
        &self,
        headers: &HeaderMap,
        body: Body,
        stretch: Duration,
    ) -> Result<Body, StatusCode> {
        // RFC 9112 §6.1, §6.3: a body of uncertain length is an attempt to smuggle. A length beside the encoding is hidden by
        // hyper, so that the encoding alone is refused in the same way.
        let lengths = headers.get_all(header::CONTENT_LENGTH).iter().count();
        if headers.contains_key(header::TRANSFER_ENCODING) || lengths > 1 {
            return Err(StatusCode::BAD_REQUEST);
        }
        let (Takes::Whole(bound) | Takes::Stream(bound)) = self else {
            return match body.is_end_stream() {
                true => Ok(body),
                false => Err(StatusCode::PAYLOAD_TOO_LARGE),
            };
        };
        let left = bound();
        if body.size_hint().lower() > left {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let body = Bounded {
            inner: body,
            left,
            pace: Pace::new(stretch),
        };
        match self {
            Takes::Stream(_) => Ok(Body::new(body)),
            _ => match tokio::time::timeout(WHOLE, body.gather()).await {
                Ok(Ok(bytes)) => Ok(Body::from(bytes)),
                Ok(Err(fault)) => Err(fault.status()),
                Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
            },
        }
    }
}

/// What is wrong with a body.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the body is too long")]
    TooLong,
    #[error("the body comes too slowly")]
    TooSlow,
    #[error("the body broke off")]
    Broken(#[source] axum::Error),
}

impl Fault {
    fn status(&self) -> StatusCode {
        match self {
            Fault::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Fault::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Fault::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// The status that says what was wrong with a body that was read as it came.
pub(super) fn status_of(error: &axum::Error) -> StatusCode {
    let mut error: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = error {
        if let Some(fault) = cause.downcast_ref::<Fault>() {
            return fault.status();
        }
        error = cause.source();
    }
    StatusCode::BAD_REQUEST
}

/// A body that ends with a [`Fault`] where it breaks its bounds.
struct Bounded {
    inner: Body,
    left: u64,
    pace: Pace,
}

impl Bounded {
    async fn gather(mut self) -> Result<Bytes, Fault> {
        let mut all = Vec::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await {
            if let Some(data) = frame?.data_ref() {
                all.extend_from_slice(data);
            }
        }
        Ok(all.into())
    }
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let this = self.get_mut();
        let Poll::Ready(next) = Pin::new(&mut this.inner).poll_frame(cx) else {
            ready!(this.pace.poll_late(cx));
            return Poll::Ready(Some(Err(Fault::TooSlow)));
        };
        let frame = match next {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(Fault::Broken(error)))),
            Some(Ok(frame)) => frame,
        };
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        this.pace.moved(length);
        match this.left.checked_sub(length) {
            Some(left) => this.left = left,
            None => return Poll::Ready(Some(Err(Fault::TooLong))),
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
