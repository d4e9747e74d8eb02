//! `/chat`: the bundled web client, and the page that starts it.
//!
//! The files of the bundle have addresses with its digest in them and may be cached for ever; the page itself is asked for
//! each time. Nothing on it comes from anywhere else, and its Content-Security-Policy lets nothing in.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Redirect, Response};
use tercet_server::{Registration, VHost};
use tercet_web::Asset;

use super::Http;
use super::pages;
use super::request::Visit;
use super::resource::{Resource, plain};

const PAGE: &str = include_str!("page.html");

/// What goes with a digest in its address never changes.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// The style elements without a rule in them that Converse.js makes for each of its components.
const EMPTY_STYLES: &str = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' \
     'sha256-JRf3eZJIF59VkE1tlxlBPiCQXjGJ1uE88pEYh49RtTY='";

pub(super) fn resources(http: &Arc<Http>) -> Vec<Resource> {
    let page = {
        let http = http.clone();
        move |visit: Visit, fields: HeaderMap| async move { page(&http, &visit, &fields) }
    };
    let http = http.clone();
    vec![
        Resource::at("/chat").get(page),
        Resource::at("/chat/").get(async || Redirect::permanent("/chat")),
        Resource::at("/chat/worker.js").get(async || worker()),
        Resource::at("/chat/{digest}/{*path}").get(
            move |Path((digest, path)): Path<(String, String)>, fields: HeaderMap| async move {
                file(&http.omemo, &digest, &path, &fields)
            },
        ),
    ]
}

/// The files of the web client's library for end-to-end encryption, each with its name and its tag: all of them or none.
#[derive(Default)]
pub(super) struct Omemo(Vec<(&'static str, String, Bytes)>);

impl Omemo {
    /// Reads them from the operator's folder; they are small.
    pub(super) fn read(folder: Option<&path::Path>) -> Omemo {
        let Some(folder) = folder else {
            return Omemo::default();
        };
        let read = |name: &&'static str| {
            let content = std::fs::read(folder.join(name))?;
            let mut hasher = DefaultHasher::new();
            content.hash(&mut hasher);
            let tag = format!("\"{:016x}\"", hasher.finish());
            std::io::Result::Ok((*name, tag, Bytes::from(content)))
        };
        match tercet_web::OMEMO.iter().map(read).collect() {
            Ok(files) => Omemo(files),
            Err(error) => {
                tracing::warn!(?folder, %error, "http.client_assets: no end-to-end encryption in the web client");
                Omemo::default()
            }
        }
    }

    fn is_there(&self) -> bool {
        !self.0.is_empty()
    }
}

fn page(http: &Http, visit: &Visit, fields: &HeaderMap) -> Response {
    let Some(host) = http.c2s.host_for(&visit.host) else {
        return plain(StatusCode::NOT_FOUND);
    };
    if tercet_web::CONVERSE_VERSION.is_none() {
        let page = pages::no_client(http, visit, fields);
        return page.unwrap_or_else(|| plain(StatusCode::NOT_FOUND));
    }
    let domain = escaped(host.domain());
    let html = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    let omemo = http.omemo.is_there();
    let push = tercet_modules::push::web::public_key(&http.c2s.server, &host);
    let settings = settings(
        &host,
        http.c2s
            .server
            .hosts()
            .iter()
            .filter(|h| h.has_accounts())
            .count()
            == 1,
        http.bosh.is_some(),
        omemo,
        push,
    );
    let text = PAGE
        .replace("{{bundle}}", &bundle())
        .replace("{{domain}}", &domain)
        .replace("{{settings}}", &escaped(&settings.to_string()));
    let policy = [(
        header::CONTENT_SECURITY_POLICY,
        policy(visit, host.info().public_url.as_deref(), omemo),
    )];
    let alone = HeaderName::from_static("cross-origin-opener-policy");
    (html, policy, [(alone, "same-origin")], text).into_response()
}

/// What the page's script must know. `only`: no other domain can be logged in to here; `bosh`: it is served; `push`: the key that
/// the browser's push subscription is for.
fn settings(
    host: &VHost,
    only: bool,
    bosh: bool,
    omemo: bool,
    push: Option<String>,
) -> serde_json::Value {
    serde_json::json!({
        "domain": host.domain(),
        "only": only,
        "assets": bundle(),
        "websocket": "/ws",
        "bosh": bosh.then_some("/bosh"),
        "omemo": omemo,
        "push": push,
        "files": host.info().public_url,
        "register": (host.info().registration == Registration::Open).then_some("/register"),
        "version": tercet_web::CONVERSE_VERSION,
        "source": tercet_web::SOURCE,
    })
}

/// The service worker, which shows notifications (Push API). Its address is always the same: browsers look for changes there.
fn worker() -> Response {
    let Some(asset) = tercet_web::find("worker.js") else {
        return plain(StatusCode::NOT_FOUND);
    };
    let fields = [
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'"),
        ),
        // It is there for the page alone, which stands beside it.
        (
            HeaderName::from_static("service-worker-allowed"),
            HeaderValue::from_static("/chat"),
        ),
    ];
    (fields, content(asset, false)).into_response()
}

fn bundle() -> String {
    format!("/chat/{}", tercet_web::DIGEST)
}

/// What the page may load, from whom it may be framed, where it may connect to.
///
/// No exception is made for scripts: nothing runs from a string; the library for OMEMO, where there is one, is WebAssembly
/// (`wasm-unsafe-eval` allows that and nothing else). `style-src-attr 'unsafe-inline'`: Converse.js sets sizes and
/// colours of single elements in their attributes; the two hashes are empty style sheets that its build leaves behind; and
/// `style-src` is for browsers that know neither directive. `data:` and `blob:`: avatars come inside of stanzas, pictures that
/// are about to be sent from the disk. `public_url`: where this server says that files are, if the page was opened under another
/// of its names. The WebSocket's address stands beside `'self'` for browsers that do not count it in.
fn policy(visit: &Visit, public_url: Option<&str>, omemo: bool) -> HeaderValue {
    let own = public_url.map(|url| format!(" {url}")).unwrap_or_default();
    let wasm = if omemo { " 'wasm-unsafe-eval'" } else { "" };
    let websocket = if visit.secure { "wss" } else { "ws" };
    let text = format!(
        "default-src 'none'; script-src 'self'{wasm}; worker-src 'self'; style-src 'self' 'unsafe-inline'; style-src-elem 'self' {EMPTY_STYLES}; \
         style-src-attr 'unsafe-inline'; font-src 'self'; \
         img-src 'self'{own} data: blob:; media-src 'self'{own} data: blob:; \
         connect-src 'self'{own} {websocket}://{}; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        visit.authority
    );
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// A file of the bundle. A page that was loaded before the server was replaced still gets what it asks for later.
fn file(omemo: &Omemo, digest: &str, path: &str, fields: &HeaderMap) -> Response {
    if let Some((name, tag, content)) = omemo.0.iter().find(|(name, ..)| *name == path) {
        let content_type = [(header::CONTENT_TYPE, tercet_web::content_type(name))];
        return tagged(tag, fields, || {
            (content_type, content.clone()).into_response()
        });
    }
    let Some(asset) = tercet_web::find(path) else {
        return plain(StatusCode::NOT_FOUND);
    };
    let compressed = takes_gzip(fields);
    let tag = match compressed {
        true => format!("\"{}\"", tercet_web::DIGEST),
        false => format!("\"{}-plain\"", tercet_web::DIGEST),
    };
    let mut response = tagged(&tag, fields, || content(asset, compressed));
    let headers = response.headers_mut();
    let encoding = HeaderValue::from_static("accept-encoding");
    headers.insert(header::VARY, encoding);
    if digest == tercet_web::DIGEST {
        headers.insert(header::CACHE_CONTROL, FOR_EVER);
    }
    response
}

/// What `answer` makes, unless the client has it already.
fn tagged(tag: &str, fields: &HeaderMap, answer: impl FnOnce() -> Response) -> Response {
    let mut known = fields.get_all(header::IF_NONE_MATCH).iter();
    let mut response = match known.any(|value| names(value, tag)) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => answer(),
    };
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn content(asset: &'static Asset, compressed: bool) -> Response {
    let content_type = [(header::CONTENT_TYPE, asset.content_type())];
    if compressed {
        let encoding = [(header::CONTENT_ENCODING, "gzip")];
        return (content_type, encoding, asset.gzip()).into_response();
    }
    match asset.plain() {
        Ok(content) => (content_type, content).into_response(),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// RFC 9110 §12.5.3: whether the client says that it takes gzip, and not with a weight of nothing.
fn takes_gzip(fields: &HeaderMap) -> bool {
    fields
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
            name.trim().eq_ignore_ascii_case("gzip") && !weight.trim_matches(['0', '.']).is_empty()
        })
}

/// RFC 9110 §13.1.2: whether `If-None-Match` has the tag, or `*`. Compared weakly.
fn names(value: &HeaderValue, tag: &str) -> bool {
    let tags = value.to_str().unwrap_or_default().split(',');
    let mut tags = tags.map(|tag| tag.trim().trim_start_matches("W/"));
    tags.any(|known| known == tag || known == "*")
}

/// Text for HTML, attributes in double quotes included.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_is_taken_by_who_says_so() {
        for (value, expected) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("br, gzip ; q=1.0", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("identity", false),
            ("", false),
            ("gzipped", false),
        ] {
            let fields = fields(header::ACCEPT_ENCODING, value);
            assert_eq!(takes_gzip(&fields), expected, "{value}");
        }
    }

    #[test]
    fn what_goes_into_the_page_is_text() {
        assert_eq!(
            escaped("<a b='c' d=\"&\">"),
            "&lt;a b=&#39;c&#39; d=&quot;&amp;&quot;&gt;"
        );
    }

    #[test]
    fn nothing_runs_from_a_string_and_nothing_comes_from_elsewhere() {
        let mut visit = Visit::of_nobody();
        for (secure, websocket) in [(false, "ws://localhost;"), (true, "wss://localhost;")] {
            visit.secure = secure;
            let policy = policy(&visit, Some("https://a.example"), false);
            let policy = policy.to_str().unwrap();
            assert!(policy.contains(websocket), "{policy}");
            assert!(policy.starts_with("default-src 'none';"), "{policy}");
            assert!(
                !policy.contains("eval") && !policy.contains('*'),
                "{policy}"
            );
            assert!(!policy.contains("script-src 'self' "), "{policy}");
        }
    }

    #[test]
    fn the_library_for_encryption_is_served_from_a_folder_that_has_all_of_it() {
        let folder = std::env::temp_dir().join(format!("tercet-chat-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        assert!(!Omemo::read(None).is_there());
        std::fs::write(folder.join(tercet_web::OMEMO[0]), "script").unwrap();
        assert!(!Omemo::read(Some(&folder)).is_there());
        std::fs::write(folder.join(tercet_web::OMEMO[1]), "wasm").unwrap();
        std::fs::write(folder.join("private"), "key").unwrap();
        let omemo = Omemo::read(Some(&folder));
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(omemo.is_there());
        let none = HeaderMap::new();
        let response = file(&omemo, "0", "curve25519_compiled.wasm", &none);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/wasm");
        assert!(!response.headers().contains_key(header::CACHE_CONTROL));
        let tag = response.headers()[header::ETAG].clone();
        let again = HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)]);
        let again = file(&omemo, "0", "curve25519_compiled.wasm", &again);
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let private = file(&omemo, "0", "private", &none);
        assert_eq!(private.status(), StatusCode::NOT_FOUND);
        let policy = policy(&Visit::of_nobody(), None, true);
        assert!(
            policy
                .to_str()
                .unwrap()
                .contains("script-src 'self' 'wasm-unsafe-eval';")
        );
    }

    #[cfg(feature = "web")]
    #[test]
    fn the_service_worker_has_the_page_for_its_scope_and_loads_nothing() {
        let response = worker();
        assert_eq!(response.status(), StatusCode::OK);
        let field = |name: &str| response.headers()[name].to_str().unwrap();
        assert_eq!(field("service-worker-allowed"), "/chat");
        assert_eq!(field("content-security-policy"), "default-src 'none'");
        assert_eq!(field("content-type"), "text/javascript; charset=utf-8");
        assert!(!response.headers().contains_key(header::CACHE_CONTROL));
    }

    #[cfg(feature = "web")]
    #[test]
    fn files_are_compressed_tagged_and_kept_for_ever() {
        let field = |response: &Response, name: HeaderName| {
            let value = response.headers().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        let none = Omemo::default();
        let gzip = fields(header::ACCEPT_ENCODING, "gzip, deflate");
        let response = file(&none, tercet_web::DIGEST, "chat.css", &gzip);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(field(&response, header::CONTENT_ENCODING).unwrap(), "gzip");
        assert_eq!(
            field(&response, header::CONTENT_TYPE).unwrap(),
            "text/css; charset=utf-8"
        );
        assert_eq!(field(&response, header::VARY).unwrap(), "accept-encoding");
        let caching = field(&response, header::CACHE_CONTROL).unwrap();
        assert!(caching.ends_with("immutable"), "{caching}");

        let plain = file(&none, tercet_web::DIGEST, "chat.css", &HeaderMap::new());
        assert_eq!(field(&plain, header::CONTENT_ENCODING), None);
        let tag = field(&plain, header::ETAG).unwrap();
        assert_ne!(Some(&tag), field(&response, header::ETAG).as_ref());

        let again = HeaderMap::from_iter([(header::IF_NONE_MATCH, tag.parse().unwrap())]);
        let again = file(&none, tercet_web::DIGEST, "chat.css", &again);
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);

        let earlier = file(&none, "0123456789abcdef", "chat.css", &gzip);
        assert_eq!(earlier.status(), StatusCode::OK);
        assert_eq!(field(&earlier, header::CACHE_CONTROL), None);

        for path in [
            "",
            "nothing",
            "../chat.css",
            "images",
            "libomemo.esm.min.js",
        ] {
            let response = file(&none, tercet_web::DIGEST, path, &gzip);
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
