//! What holds for every request before its path is looked up, and who makes it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use axum::extract::{FromRequestParts, Request};
use axum::http::header::{self, HeaderValue};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode};

use super::Times;
use super::forwarded;
use crate::config::Network;
use crate::listen::gate::{Gate, Pass, Refusal};
use crate::runtime::Load;

/// Who asks, and how; an argument of any handler.
#[derive(Clone)]
pub(super) struct Visit {
    /// The client's own address; with the port 0 if only a proxy knows it.
    pub(super) peer: SocketAddr,
    /// The client uses TLS, as far as the proxy in between.
    pub(super) secure: bool,
    /// The name or address by which the client knows us, without the port.
    pub(super) host: String,
    /// The same as it stands in links: with the port, if it is not the usual one.
    pub(super) authority: String,
    connection: Arc<Counted>,
    /// What counts the request, if not its connection does.
    own: Option<Arc<Mutex<Option<Pass>>>>,
}

/// One connection, as its requests see it.
pub(super) struct Counted {
    /// No other has it.
    pub(super) number: u64,
    pub(super) peer: SocketAddr,
    pub(super) secure: bool,
    pub(super) times: Times,
    /// What counts the connection; goes along with it when it becomes a WebSocket.
    pub(super) pass: Mutex<Option<Pass>>,
    pub(super) load: Mutex<Option<Load>>,
}

impl Visit {
    /// The visit that a request belongs to.
    pub(super) fn of(request: &Request) -> &Visit {
        let visit = request.extensions().get();
        visit.expect("every request is given its visit before it is routed")
    }

    /// A visit of a client on this machine.
    #[cfg(test)]
    pub(super) fn of_nobody() -> Visit {
        Visit {
            peer: ([127, 0, 0, 1], 1).into(),
            secure: false,
            host: "localhost".into(),
            authority: "localhost".into(),
            connection: Arc::new(Counted {
                number: 0,
                peer: ([127, 0, 0, 1], 1).into(),
                secure: false,
                times: Times::default(),
                pass: Mutex::new(None),
                load: Mutex::new(None),
            }),
            own: None,
        }
    }

    /// `https://example.org:5281`: what links to this server begin with.
    pub(super) fn origin(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }

    /// It came through a trusted proxy.
    pub(super) fn is_proxied(&self) -> bool {
        self.own.is_some()
    }

    /// The number of the connection.
    pub(super) fn connection(&self) -> u64 {
        self.connection.number
    }

    /// Nobody can listen in: TLS, or the same machine.
    pub(super) fn is_private(&self) -> bool {
        self.secure || self.peer.ip().is_loopback()
    }

    /// The client has logged in: its connection no longer counts among those that have not.
    pub(super) fn authenticated(&self) {
        if let Some(pass) = &mut *lock(self.pass()) {
            pass.authenticated();
        }
    }

    /// A client behind a proxy opens a connection in the proxy's.
    ///
    /// # Errors
    /// It does so too fast.
    pub(super) fn open(&self, gate: &Gate, now: Instant) -> Result<(), Refusal> {
        match self.own {
            Some(_) => gate.open(self.peer.ip(), now),
            None => Ok(()),
        }
    }

    /// What counts the client and its connection, for who takes it over; once.
    pub(super) fn take_passes(&self) -> Option<(Pass, Load)> {
        let load = lock(&self.connection.load).take()?;
        let connection = lock(&self.connection.pass).take();
        let own = self.own.as_ref().and_then(|own| lock(own).take());
        Some((own.or(connection)?, load))
    }

    /// Counts something that the client has opened on this core besides its connection.
    pub(super) fn another_load(&self) -> Option<Load> {
        lock(&self.connection.load).as_ref().map(Load::another)
    }

    pub(super) fn times(&self) -> Times {
        self.connection.times
    }

    fn pass(&self) -> &Mutex<Option<Pass>> {
        self.own.as_deref().unwrap_or(&self.connection.pass)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Visit, Infallible> {
        let visit = parts.extensions.get::<Visit>();
        Ok(visit
            .expect("every request is given its visit before it is routed")
            .clone())
    }
}

/// Judges a request by what holds for all, and says whose visit it is.
///
/// # Errors
/// The status of the answer, after which the connection ends.
pub(super) fn judge<B>(
    request: &hyper::Request<B>,
    connection: &Arc<Counted>,
    trusted: &[Network],
    gate: &Arc<Gate>,
) -> Result<Visit, StatusCode> {
    if !matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::OPTIONS
    ) {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    let (mut host, mut authority) = authority(request).ok_or(StatusCode::BAD_REQUEST)?;
    if !is_plain(request.uri().path()) {
        return Err(StatusCode::NOT_FOUND);
    }
    let (mut peer, mut secure, mut own) = (connection.peer, connection.secure, None);
    let client = forwarded::client(request.headers(), peer.ip(), trusted);
    if let Some(client) = client.map_err(|_| StatusCode::BAD_REQUEST)? {
        if let Some(named) = client.authority {
            host = self::host(&named).ok_or(StatusCode::BAD_REQUEST)?;
            authority = named.to_ascii_lowercase();
        }
        peer = SocketAddr::new(client.address, 0);
        secure = client.secure.unwrap_or(secure);
        let pass = gate.admit_request(client.address, Instant::now());
        let pass = pass.map_err(|_| StatusCode::TOO_MANY_REQUESTS)?;
        own = Some(Arc::new(Mutex::new(Some(pass))));
    }
    Ok(Visit {
        peer,
        secure,
        host,
        authority,
        connection: connection.clone(),
        own,
    })
}

/// What the client calls us: name, and name with port.
fn authority<B>(request: &hyper::Request<B>) -> Option<(String, String)> {
    // RFC 9112 §3.2: one Host, and a good one. RFC 9113 §8.3.1: `:authority` instead of it, or the same.
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (field, more) = (hosts.next(), hosts.next());
    let target = request.uri().authority().map(Authority::as_str);
    let field = field.map(HeaderValue::to_str).transpose().ok()?;
    let named = match (target, field) {
        _ if more.is_some() => return None,
        (Some(target), Some(field)) if !target.eq_ignore_ascii_case(field) => return None,
        (Some(target), _) if request.version() >= axum::http::Version::HTTP_2 => target,
        (_, field) => field?,
    };
    Some((host(named)?, named.to_ascii_lowercase()))
}

/// The host's name or address in a `Host` field, without the port.
fn host(text: &str) -> Option<String> {
    let authority: Authority = text.parse().ok()?;
    let name = authority.host();
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':' | b'[' | b']');
    (!text.contains('@') && !name.is_empty() && name.bytes().all(good))
        .then(|| name.to_ascii_lowercase())
}

/// Whether a path is one that names something here: decoded once, its segments are what they say.
fn is_plain(path: &str) -> bool {
    let mut segment = Vec::new();
    let mut bytes = path.bytes();
    loop {
        let byte = match bytes.next() {
            None | Some(b'/') => {
                let good = std::str::from_utf8(&segment)
                    .is_ok_and(|text| !matches!(text, "." | "..") && !text.contains(is_odd));
                if !good {
                    return false;
                }
                if bytes.len() == 0 {
                    return true;
                }
                segment.clear();
                continue;
            }
            Some(b'%') => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                match (digit(), digit()) {
                    (Some(high), Some(low)) => (high << 4 | low) as u8,
                    _ => return false,
                }
            }
            Some(byte) => byte,
        };
        segment.push(byte);
    }
}

/// What separates segments on some system, and what no name has.
fn is_odd(c: char) -> bool {
    matches!(c, '/' | '\\') || c.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for (text, expected) in [
            ("localhost", Some("localhost")),
            ("Example.org:5280", Some("example.org")),
            ("127.0.0.1:1", Some("127.0.0.1")),
            ("[::1]:5280", Some("[::1]")),
            ("", None),
            ("a@b", None),
            ("a b", None),
            ("a/b", None),
            ("a'b", None),
            (":80", None),
        ] {
            assert_eq!(host(text).as_deref(), expected, "{text}");
        }
    }

    /// security.md, line 12.
    #[test]
    fn a_path_that_means_another_one_somewhere_is_none() {
        for good in [
            "/",
            "/status",
            "/a%20b/c",
            "/%C3%A9",
            "/a/",
            "/.well-known/x",
            "/...",
        ] {
            assert!(is_plain(good), "{good}");
        }
        for bad in [
            "/..",
            "/../a",
            "/a/..",
            "/%2e%2e/a",
            "/.%2E",
            "/./a",
            "/a%2fb",
            "/a%5cb",
            "/a\\b",
            "/%00",
            "/a%0ab",
            "/%",
            "/%2",
            "/%zz",
            "/%ff",
            "/%c0%ae/a",
        ] {
            assert!(!is_plain(bad), "{bad}");
        }
    }
}
