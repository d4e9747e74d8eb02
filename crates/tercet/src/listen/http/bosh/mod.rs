//! `/bosh`: XMPP in HTTP requests (XEP-0124, XEP-0206).
//!
//! A session is a task of [`c2s`](crate::listen::c2s) as any other; its carrier is a [`Pipe`] instead of a socket. A
//! request is read here, and given to the session that it names, which answers when it likes.

mod pipe;
mod table;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{self, HeaderValue};
use axum::http::{StatusCode, Version};
use axum::response::{IntoResponse, Response};
use tercet_core::Limits;
use tercet_stream::bosh::{
    self, Answer, Condition, HEAD_BYTES, Head, Payloads, Request, Session, Way,
};
use tercet_stream::{Framing, Input, TlsInfo};
use tokio::sync::mpsc;

use super::Http;
use super::body::{Takes, status_of};
use super::request::Visit;
use super::resource::{Resource, last};
use crate::listen::c2s::{Connection, Start};
use crate::listen::carrier::Carrier;
pub(in crate::listen) use pipe::Pipe;
use pipe::{Given, Reply};
pub use table::BoshLimits;
use table::{Entry, Table};

/// Time for a request's body.
const BODY: Duration = Duration::from_secs(30);
/// Requests that may wait for a session's task.
const MAILBOX: usize = 4;

/// What `/bosh` is made of; nothing where it is not served.
pub(super) fn resources(http: &Arc<Http>) -> Vec<Resource> {
    let Some(limits) = http.bosh else {
        return Vec::new();
    };
    let (http, table) = (http.clone(), Table::new(limits));
    let answer = move |visit: Visit, version: Version, body: Body| {
        let (reply, answer) = Reply::new(way(&visit, version));
        // A request that has come counts, though its client may have hung up: it may have been its last word.
        tokio::spawn(take(http.clone(), table.clone(), visit, body, reply));
        async move {
            match answer.await {
                Ok(Ok(given)) => response(given),
                Ok(Err(status)) => last(version, status),
                // A session that ends without a word has forgotten the request.
                Err(_) => response(Given::from(Answer::end(Condition::ItemNotFound))),
            }
        }
    };
    let resource = Resource::at("/bosh")
        // The bound is that of the session, which is in the body.
        .post(Takes::stream(|| u64::MAX), answer)
        .cors("content-type")
        // Sessions have their own times.
        .time(None);
    vec![resource]
}

/// How an answer gets to who asks.
fn way(visit: &Visit, version: Version) -> Way {
    match visit.connection() {
        _ if visit.is_proxied() => Way::Unknown,
        connection if version >= Version::HTTP_2 => Way::Together(connection),
        connection => Way::InTurn(connection),
    }
}

enum Refused {
    /// In the language of BOSH.
    Condition(Condition),
    /// In that of HTTP: the body did not come.
    Status(StatusCode),
}

/// Reads a request and gives it to the session that it names, or to a new one.
async fn take(http: Arc<Http>, table: Arc<Table>, visit: Visit, body: Body, reply: Reply) {
    let read = read(&http, &table, &visit, body);
    let refused = match tokio::time::timeout(BODY, read).await {
        Ok(Ok((request, Some(entry)))) => {
            if entry.is_bound() {
                visit.authenticated();
            }
            return entry.send(request, reply).await;
        }
        Ok(Ok((request, None))) => return begin(&http, &table, &visit, request, reply),
        Ok(Err(Refused::Condition(condition))) => Ok(Answer::end(condition)),
        Ok(Err(Refused::Status(status))) => Err(status),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    };
    reply.give(refused.map(Given::from));
}

/// Reads a request, and finds the session that it names.
async fn read(
    http: &Http,
    table: &Table,
    visit: &Visit,
    mut body: Body,
) -> Result<(Request, Option<Entry>), Refused> {
    let (before, after) = http.c2s.limits();
    let mut bytes: Vec<u8> = Vec::new();
    let mut limit = before.stanza_bytes as usize;
    let mut known = None;
    let mut begun: Option<(Head, usize)> = None;
    loop {
        let data = match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            None => break,
            Some(Err(error)) => return Err(Refused::Status(status_of(&error))),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        // What a request may have depends on whose it is, so that nobody is given more before that is known.
        let (head, more) = match begun {
            Some(_) => (0, data.len()),
            None => {
                let head = data.len().min(HEAD_BYTES.saturating_sub(bytes.len()));
                (head, data.len() - head)
            }
        };
        bytes.extend_from_slice(&data[..head]);
        if begun.is_none() {
            begun = Head::read(&bytes).map_err(Refused::Condition)?;
            if let Some((head, _)) = &begun
                && let Some(sid) = &head.sid
            {
                let entry = table.find(sid, visit.is_private());
                let entry = entry.ok_or(Refused::Condition(Condition::ItemNotFound))?;
                limit = entry.limit();
                known = Some(entry);
            }
        }
        if bytes.len() + more > limit + HEAD_BYTES {
            let too_long = Err(Condition::PolicyViolation);
            return match begun {
                Some((head, _)) => Ok((request(head, too_long), known)),
                None => Err(Refused::Condition(Condition::PolicyViolation)),
            };
        }
        bytes.extend_from_slice(&data[head..]);
    }
    let Some((head, start)) = begun else {
        return Err(Refused::Condition(Condition::BadRequest));
    };
    let limits = Limits {
        stanza_bytes: u32::try_from(limit + HEAD_BYTES).unwrap_or(u32::MAX),
        // The wrapper.
        depth: after.depth.saturating_add(1),
        ..after
    };
    let payloads = bosh::payloads(&bytes[start..], &limits);
    Ok((request(head, payloads), known))
}

fn request(head: Head, payloads: Result<Payloads, Condition>) -> Request {
    Request { head, payloads }
}

/// Begins a session.
fn begin(http: &Http, table: &Arc<Table>, visit: &Visit, request: Request, reply: Reply) {
    let now = Instant::now();
    let peer = visit.peer;
    let (pass, load) = match (
        http.c2s.gate.admit_request(peer.ip(), now),
        visit.another_load(),
    ) {
        (Ok(pass), Some(load)) => (pass, load),
        (refused, _) => {
            tracing::debug!(%peer, refusal = ?refused.err(), "BOSH session refused");
            return reply.end(Answer::end(Condition::PolicyViolation));
        }
    };
    let sid = bosh::session_name(http.c2s.server.random());
    let (mailbox, requests) = mpsc::channel(MAILBOX);
    let limit = http.c2s.limits().0.stanza_bytes as usize;
    let place = match table.enter(&sid, peer.ip(), visit.is_private(), mailbox, limit) {
        Ok(place) => place,
        Err(condition) => return reply.end(Answer::end(condition)),
    };
    let session = match Session::open(&bosh::Config::default(), sid, request, reply, now) {
        Ok(session) => session,
        Err((reply, answer)) => return reply.end(answer),
    };
    let private = !visit.secure && visit.is_private();
    let mut stream = http.c2s.stream(Framing::Bosh { private }, now);
    if visit.secure {
        // Requests come over many connections: none of them binds anything.
        let tls = TlsInfo {
            direct: true,
            ..TlsInfo::default()
        };
        stream.handle(now, Input::TlsUp(tls));
    }
    tokio::spawn(Connection::new(Start {
        shared: http.c2s.clone(),
        carrier: Carrier::Bosh(Box::new(Pipe::new(session, requests, place))),
        stream,
        early: Vec::new(),
        direct: visit.secure,
        peer,
        pass,
        load,
    }));
}

fn response(given: Given) -> Response {
    let Answer {
        status,
        content_type,
        ..
    } = given.answer;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let content_type = HeaderValue::from_static(content_type);
    let body = Bytes::from_owner(given);
    (status, [(header::CONTENT_TYPE, content_type)], body).into_response()
}
