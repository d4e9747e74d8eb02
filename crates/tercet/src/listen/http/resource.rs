//! One resource: its path, what each of its methods takes, who may read it from elsewhere, and its handlers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter};

use super::answer::Pattern;
use super::body::Takes;
use super::request::Visit;

/// Time for an answer, from the end of a body that was gathered.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a browser may remember what another origin may ask.
const PREFLIGHT: HeaderValue = HeaderValue::from_static("86400");

/// A resource with the rules that hold for it. The description of the module [`http`](super) says how to add one.
pub(super) struct Resource {
    path: &'static str,
    handlers: MethodRouter<(), Infallible>,
    rules: Rules,
}

/// What holds for a resource, whatever its handlers do.
struct Rules {
    methods: Vec<(Method, Takes)>,
    /// Fields that a page of another origin may send, if such a page may use the resource.
    cors: Option<HeaderValue>,
    /// Sent with every answer, refusals included.
    fields: Vec<(HeaderName, HeaderValue)>,
    time: Option<Duration>,
}

impl Resource {
    /// At `path`, in axum's notation: `/a/{name}`, `/a/{*rest}`.
    pub(super) fn at(path: &'static str) -> Self {
        Resource {
            path,
            handlers: MethodRouter::new(),
            rules: Rules {
                methods: Vec::new(),
                cors: None,
                fields: Vec::new(),
                time: Some(ANSWER),
            },
        }
    }

    /// Answers GET, and HEAD likewise without the body.
    pub(super) fn get<H: Handler<T, ()>, T: 'static>(mut self, handler: H) -> Self {
        self.rules.methods.push((Method::GET, Takes::Nothing));
        self.rules.methods.push((Method::HEAD, Takes::Nothing));
        self.handlers = self.handlers.get(handler);
        self
    }

    /// Answers POST.
    pub(super) fn post<H: Handler<T, ()>, T: 'static>(mut self, takes: Takes, handler: H) -> Self {
        self.rules.methods.push((Method::POST, takes));
        self.handlers = self.handlers.on(MethodFilter::POST, handler);
        self
    }

    /// Answers PUT.
    pub(super) fn put<H: Handler<T, ()>, T: 'static>(mut self, takes: Takes, handler: H) -> Self {
        self.rules.methods.push((Method::PUT, takes));
        self.handlers = self.handlers.on(MethodFilter::PUT, handler);
        self
    }

    /// Lets pages of every origin use it (without credentials), who may send these fields beside the harmless ones:
    /// `""`, `"content-type"`, `"content-type, authorization"`.
    pub(super) fn cors(mut self, fields: &'static str) -> Self {
        self.rules.cors = Some(HeaderValue::from_static(fields));
        self
    }

    /// Sends a field with every answer, refusals included, instead of the common one of that name. A handler's own goes
    /// before both.
    pub(super) fn field(mut self, name: HeaderName, value: &'static str) -> Self {
        let value = HeaderValue::from_static(value);
        self.rules.fields.push((name, value));
        self
    }

    /// Other than 30 s for an answer; `None`: the handler bounds it itself. A body that is read as it comes counts in.
    pub(super) fn time(mut self, time: Option<Duration>) -> Self {
        self.rules.time = time;
        self
    }

    /// Adds it to a router.
    pub(super) fn join(self, router: Router) -> Router {
        let (rules, path) = (Arc::new(self.rules), self.path);
        let enforce = move |request: Request, next: Next| {
            let rules = rules.clone();
            async move {
                let mut response = rules.enforce(request, next).await;
                response.extensions_mut().insert(Pattern(path));
                response
            }
        };
        router.route(self.path, self.handlers.layer(from_fn(enforce)))
    }
}

impl Rules {
    async fn enforce(&self, request: Request, next: Next) -> Response {
        let mut response = match self.admit(request).await {
            Err(response) => response,
            Ok(request) => match self.time {
                None => next.run(request).await,
                Some(time) => match tokio::time::timeout(time, next.run(request)).await {
                    Ok(response) => response,
                    Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE),
                },
            },
        };
        let headers = response.headers_mut();
        for (name, value) in &self.fields {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        if self.cors.is_some() {
            let anyone = HeaderValue::from_static("*");
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, anyone);
        }
        response
    }

    /// The request as the handler gets it; otherwise the answer.
    async fn admit(&self, request: Request) -> Result<Request, Response> {
        let method = request.method().clone();
        let takes = self.methods.iter().find(|(known, _)| *known == method);
        let takes = takes.map_or(&Takes::Nothing, |(_, takes)| takes);
        let request = with_body(takes, request).await?;
        if self.methods.iter().any(|(known, _)| *known == method) {
            return Ok(request);
        }
        let mut response = match method {
            Method::OPTIONS => plain(StatusCode::NO_CONTENT),
            _ => plain(StatusCode::METHOD_NOT_ALLOWED),
        };
        let methods = self.methods.iter().map(|(method, _)| method.as_str());
        let methods: Vec<&str> = methods.chain(["OPTIONS"]).collect();
        let methods = HeaderValue::from_str(&methods.join(", ")).expect("methods are tokens");
        let headers = response.headers_mut();
        if let Some(fields) = &self.cors
            && method == Method::OPTIONS
        {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods.clone());
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT);
            if !fields.is_empty() {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, fields.clone());
            }
        }
        headers.insert(header::ALLOW, methods);
        Err(response)
    }
}

/// The request with its body within bounds; otherwise the answer, after which a connection of HTTP/1 ends: what follows
/// cannot be told from the body.
async fn with_body(takes: &Takes, request: Request) -> Result<Request, Response> {
    let stretch = Visit::of(&request).times().stretch;
    let (parts, body) = request.into_parts();
    match takes.admit(&parts.headers, body, stretch).await {
        Ok(body) => Ok(Request::from_parts(parts, body)),
        Err(status) => Err(last(parts.version, status)),
    }
}

/// The answer where there is no resource.
pub(super) async fn missing(request: Request) -> Response {
    match with_body(&Takes::Nothing, request).await {
        Ok(_) => plain(StatusCode::NOT_FOUND),
        Err(response) => response,
    }
}

/// An answer after which nothing more is read of a connection of HTTP/1.
pub(super) fn last(version: axum::http::Version, status: StatusCode) -> Response {
    let mut response = plain(status);
    if version <= axum::http::Version::HTTP_11 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

/// An answer of a status and its name.
pub(super) fn plain(status: StatusCode) -> Response {
    match (status, status.canonical_reason()) {
        (StatusCode::NO_CONTENT, _) | (_, None) => (status, Body::empty()).into_response(),
        (_, Some(reason)) => (status, reason).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Bytes, to_bytes};
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;
    use crate::listen::http::body::status_of;

    async fn streamed(body: Body) -> Response {
        match to_bytes(body, 1 << 20).await {
            Ok(bytes) => bytes.len().to_string().into_response(),
            Err(error) => plain(status_of(&error)),
        }
    }

    /// The answer of a resource of every kind to a request.
    async fn ask(method: &str, path: &str, fields: &[(&str, &str)], body: Body) -> Response {
        let router = [
            Resource::at("/read").get(async || "read"),
            Resource::at("/send")
                .post(Takes::whole(|| 10), async |bytes: Bytes| {
                    bytes.len().to_string()
                })
                .cors("content-type")
                .field(header::CACHE_CONTROL, "no-store"),
            Resource::at("/store")
                .get(async || ([(header::CACHE_CONTROL, "immutable")], "stored"))
                .put(Takes::stream(|| 10), streamed)
                .field(header::CACHE_CONTROL, "no-store")
                .time(None),
            Resource::at("/slow")
                .get(async || std::future::pending::<()>().await)
                .time(Some(Duration::from_secs(70))),
        ]
        .into_iter()
        .fold(Router::new().fallback(missing), |router, r| r.join(router));
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut request = request.body(body).unwrap();
        let visit = Visit::of_nobody();
        request.extensions_mut().insert(visit);
        let Ok(response) = TowerToHyperService::new(router).call(request).await;
        response
    }

    fn field<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
        Some(response.headers().get(name)?.to_str().unwrap())
    }

    /// A body whose end does not come.
    fn endless() -> Body {
        struct Endless(Option<Bytes>);
        impl hyper::body::Body for Endless {
            type Data = Bytes;
            type Error = Infallible;
            fn poll_frame(
                mut self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>>
            {
                match self.0.take() {
                    Some(bytes) => {
                        std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(bytes))))
                    }
                    None => std::task::Poll::Pending,
                }
            }
        }
        Body::new(Endless(Some(Bytes::from_static(b"12345678"))))
    }

    /// security.md, line 12.
    #[tokio::test(start_paused = true)]
    async fn a_body_is_taken_where_a_resource_says_so_and_within_its_bound() {
        let ten = || Body::from("0123456789");
        let more = || Body::from("0123456789x");
        for (method, path, fields, body, status) in [
            ("GET", "/read", vec![], Body::empty(), 200),
            ("GET", "/read", vec![], ten(), 413),
            ("HEAD", "/read", vec![], Body::empty(), 200),
            ("POST", "/send", vec![], ten(), 200),
            ("POST", "/send", vec![], more(), 413),
            ("PUT", "/store", vec![], ten(), 200),
            ("PUT", "/store", vec![], more(), 413),
            ("GET", "/store", vec![], ten(), 413),
            (
                "POST",
                "/send",
                vec![("transfer-encoding", "chunked")],
                ten(),
                400,
            ),
            (
                "GET",
                "/read",
                vec![("transfer-encoding", "chunked")],
                Body::empty(),
                400,
            ),
            (
                "POST",
                "/send",
                vec![("transfer-encoding", "chunked"), ("content-length", "10")],
                ten(),
                400,
            ),
            (
                "POST",
                "/send",
                vec![("content-length", "10"), ("content-length", "10")],
                ten(),
                400,
            ),
            ("POST", "/send", vec![], endless(), 408),
            ("PUT", "/store", vec![], endless(), 408),
            ("GET", "/nowhere", vec![], Body::empty(), 404),
            ("GET", "/nowhere", vec![], ten(), 413),
            ("GET", "/slow", vec![], Body::empty(), 503),
        ] {
            let response = ask(method, path, &fields, body).await;
            assert_eq!(
                response.status().as_u16(),
                status,
                "{method} {path} {fields:?}"
            );
            let refused = matches!(status, 400 | 411 | 413) && path != "/store";
            assert!(
                !refused || field(&response, "connection") == Some("close"),
                "{method} {path}"
            );
        }
    }

    #[tokio::test]
    async fn methods_and_other_origins_are_told_what_they_may() {
        let response = ask("PUT", "/send", &[], Body::empty()).await;
        assert_eq!(response.status(), 405);
        assert_eq!(field(&response, "allow"), Some("POST, OPTIONS"));
        assert_eq!(field(&response, "access-control-allow-origin"), Some("*"));
        assert_eq!(field(&response, "access-control-allow-methods"), None);
        let response = ask("OPTIONS", "/send", &[], Body::empty()).await;
        assert_eq!(response.status(), 204);
        assert_eq!(
            field(&response, "access-control-allow-methods"),
            Some("POST, OPTIONS")
        );
        assert_eq!(
            field(&response, "access-control-allow-headers"),
            Some("content-type")
        );
        let response = ask("OPTIONS", "/read", &[], Body::empty()).await;
        assert_eq!(field(&response, "allow"), Some("GET, HEAD, OPTIONS"));
        assert_eq!(field(&response, "access-control-allow-origin"), None);
    }

    #[tokio::test]
    async fn a_resource_has_its_own_fields_and_its_handlers_theirs() {
        let response = ask("POST", "/send", &[], Body::empty()).await;
        assert_eq!(field(&response, "cache-control"), Some("no-store"));
        let response = ask("GET", "/store", &[], Body::empty()).await;
        assert_eq!(field(&response, "cache-control"), Some("immutable"));
        let response = ask("POST", "/store", &[], Body::empty()).await;
        assert_eq!(field(&response, "cache-control"), Some("no-store"));
    }
}
