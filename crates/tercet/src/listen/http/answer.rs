//! Requests from their heads to the last bytes of their answers, and the line in the log that each of them leaves.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Method, Version};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;

use super::request::Visit;

/// The requests of one connection.
#[derive(Default)]
pub(super) struct Requests {
    pub(super) open: AtomicUsize,
    pub(super) begun: AtomicUsize,
    /// Who wants to know when none is under way.
    waiting: Mutex<Option<Waker>>,
    /// The client has made none for too long, and is to be told.
    pub(super) idle: Notify,
}

/// One of them, from its head to the last byte of its answer.
pub(super) struct UnderWay(Arc<Requests>);

impl Requests {
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    pub(super) fn waiting(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waiting.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::Relaxed) == 1
            && let Some(waker) = self.0.waiting().take()
        {
            waker.wake();
        }
    }
}

/// The path of a resource as it may stand in a log, put among an answer's extensions: its pattern. What clients have put in
/// the place of `{…}` may be a secret.
#[derive(Clone, Copy)]
pub(super) struct Pattern(pub(super) &'static str);

/// What a request's line in the log begins with.
pub(super) struct Line {
    begun: Instant,
    peer: IpAddr,
    method: Method,
    version: Version,
    /// The path's first part: what is behind it may be a secret, even where there is no resource.
    path: String,
}

impl Line {
    pub(super) fn new<B>(request: &hyper::Request<B>, peer: IpAddr) -> Self {
        let path = request.uri().path();
        let path = match path.match_indices('/').nth(1) {
            Some((at, _)) => format!("{}…", &path[..=at]),
            None => path.to_owned(),
        };
        Line {
            begun: Instant::now(),
            peer,
            method: request.method().clone(),
            version: request.version(),
            path,
        }
    }
}

/// The body of an answer; the request is under way, and counted, as long as it exists.
pub(super) struct Answer {
    body: Body,
    sent: u64,
    status: u16,
    line: Line,
    _visit: Option<Visit>,
    _under_way: UnderWay,
}

impl Answer {
    /// Makes `response` one whose end is noticed.
    pub(super) fn of(
        response: Response,
        mut line: Line,
        visit: Option<Visit>,
        under_way: UnderWay,
    ) -> hyper::Response<Answer> {
        if let Some(Pattern(pattern)) = response.extensions().get() {
            line.path = (*pattern).to_owned();
        }
        let status = response.status().as_u16();
        response.map(|body| Answer {
            body,
            sent: 0,
            status,
            line,
            _visit: visit,
            _under_way: under_way,
        })
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let Line {
            begun,
            peer,
            method,
            version,
            path,
        } = &self.line;
        // The path may be the client's: quoted.
        tracing::info!(
            target: "http",
            %peer,
            %method,
            ?path,
            ?version,
            status = self.status,
            bytes = self.sent,
            time = ?begun.elapsed(),
            "request"
        );
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            this.sent += frame.data_ref().map_or(0, Bytes::len) as u64;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// security.md, line 14.
    #[test]
    fn a_line_in_the_log_has_no_more_of_a_path_than_its_first_part() {
        let path = |uri: &str| {
            let request = hyper::Request::builder().uri(uri).body(()).unwrap();
            Line::new(&request, IpAddr::from([192, 0, 2, 1])).path
        };
        assert_eq!(path("/status?a=secret"), "/status");
        assert_eq!(path("/invite/secret"), "/invite/…");
        assert_eq!(path("/a/b/c?d"), "/a/…");
        assert_eq!(path("/"), "/");
        assert_eq!(path("//secret"), "//…");
    }
}
