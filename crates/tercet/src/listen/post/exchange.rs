//! One request and the head of its answer (RFC 9112), on a connection of its own.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use tercet_modules::push::web::Errand;

use crate::listen::wire::{Scratch, Wire, WireError};
use crate::tls::PeerCertificate;

/// Bytes that the head of an answer may have, those before it included (RFC 9110 §15.2).
const HEAD: usize = 16 * 1024;

/// What counts of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// `Retry-After`, where it is a number of seconds.
    pub(super) retry_after_s: Option<u64>,
}

/// Has TLS come about, and gives what the peer has shown of itself.
pub(super) async fn handshake(wire: &mut Wire) -> Result<Option<Box<PeerCertificate>>, WireError> {
    poll_fn(|cx| Poll::Ready(Scratch::with(|scratch| wire.greet(cx, scratch)))).await?;
    poll_fn(|cx| {
        loop {
            let read = ready!(poll_read(wire, cx, &mut Vec::new()))?;
            match read.tls {
                Some(peer) => return Poll::Ready(Ok(peer)),
                None if read.end => return Poll::Ready(Err(ended())),
                None => {}
            }
        }
    })
    .await
}

/// Sends the request, and reads the answer until all that counts is there. `None` if it is no HTTP.
pub(super) async fn exchange(
    wire: &mut Wire,
    errand: &Errand,
) -> Result<Option<Answer>, WireError> {
    poll_fn(|cx| {
        Poll::Ready(Scratch::with(|scratch| {
            scratch.out.extend_from_slice(&request(errand));
            wire.send(cx, scratch)
        }))
    })
    .await?;
    let mut answer = Vec::new();
    poll_fn(|cx| {
        loop {
            let read = ready!(poll_read(wire, cx, &mut answer))?;
            match head(&answer) {
                Head::Whole(answer) => return Poll::Ready(Ok(Some(answer))),
                Head::Broken => return Poll::Ready(Ok(None)),
                Head::Partly if answer.len() > HEAD => return Poll::Ready(Ok(None)),
                Head::Partly if read.end => return Poll::Ready(Err(ended())),
                Head::Partly => {}
            }
        }
    })
    .await
}

/// What one read has brought beside bytes.
struct Read {
    /// TLS is up: what the peer has shown.
    tls: Option<Option<Box<PeerCertificate>>>,
    end: bool,
}

/// Reads once, behind what it was given.
fn poll_read(
    wire: &mut Wire,
    cx: &mut Context<'_>,
    into: &mut Vec<u8>,
) -> Poll<Result<Read, WireError>> {
    let _ = wire.poll_flush(cx)?;
    Scratch::with(|scratch| {
        let incoming = ready!(wire.poll_read(cx, scratch))?;
        into.extend_from_slice(&incoming.data);
        let read = Read {
            tls: incoming.tls_up.map(|info| info.peer),
            end: incoming.end,
        };
        scratch.give_back(incoming.data);
        Poll::Ready(Ok(read))
    })
}

fn ended() -> WireError {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection").into()
}

/// RFC 8030 §5: the request. Nothing in it can end a line: an endpoint is visible ASCII.
fn request(errand: &Errand) -> Vec<u8> {
    let mut request = format!(
        "POST {} HTTP/1.1\r\n\
         Host: {}\r\n\
         Authorization: {}\r\n\
         TTL: {}\r\n\
         Urgency: {}\r\n\
         Topic: {}\r\n\
         Content-Type: application/octet-stream\r\n\
         Content-Encoding: aes128gcm\r\n\
         Content-Length: {}\r\n\
         Connection: close\r\n\r\n",
        errand.endpoint.path,
        errand.endpoint.authority(),
        errand.authorization,
        errand.ttl_s,
        errand.urgency,
        errand.topic,
        errand.body.len(),
    )
    .into_bytes();
    request.extend_from_slice(&errand.body);
    request
}

#[derive(Debug, PartialEq, Eq)]
enum Head {
    /// More has to come.
    Partly,
    Whole(Answer),
    Broken,
}

/// Reads the head of the answer; those of answers that only go before it are left out (RFC 9110 §15.2).
fn head(mut bytes: &[u8]) -> Head {
    loop {
        let begin = b"HTTP/1.".len().min(bytes.len());
        if bytes[..begin] != b"HTTP/1."[..begin] {
            return Head::Broken;
        }
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Head::Partly;
        };
        let Some(answer) = fields(&bytes[..end]) else {
            return Head::Broken;
        };
        // RFC 9110 §15.2.2: nothing was asked for that would change the protocol.
        if !(100..200).contains(&answer.status) {
            return Head::Whole(answer);
        }
        bytes = &bytes[end + 4..];
    }
}

fn fields(head: &[u8]) -> Option<Answer> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let (version, rest) = lines.next()?.split_once(' ')?;
    let status = rest
        .get(..3)
        .filter(|s| s.bytes().all(|b| b.is_ascii_digit()))?;
    let known =
        version.len() == "HTTP/1.1".len() && rest[3..].chars().next().is_none_or(|c| c == ' ');
    let status = status.parse().ok().filter(|s| known && *s >= 100)?;
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let named = name.eq_ignore_ascii_case("retry-after");
        named.then(|| value.trim().parse().ok()).flatten()
    };
    Some(Answer {
        status,
        retry_after_s: lines.find_map(field),
    })
}

#[cfg(test)]
mod tests {
    use tercet_modules::push::web::Endpoint;

    use super::*;

    fn whole(status: u16, retry_after_s: Option<u64>) -> Head {
        Head::Whole(Answer {
            status,
            retry_after_s,
        })
    }

    #[test]
    fn the_head_of_an_answer_is_read_wherever_it_is_cut() {
        let answer = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
                      HTTP/1.1 429 Too Many\r\nA: b\r\nretry-after:  120 \r\n\r\nbody";
        let end = answer.len() - "body".len();
        for cut in 0..answer.len() {
            let expected = match cut < end {
                true => Head::Partly,
                false => whole(429, Some(120)),
            };
            assert_eq!(head(&answer.as_bytes()[..cut]), expected, "{cut}");
        }
    }

    #[test]
    fn only_http_is_an_answer() {
        for (answer, expected) in [
            ("HTTP/1.1 201 Created\r\n\r\n", whole(201, None)),
            ("HTTP/1.0 204\r\n\r\n", whole(204, None)),
            (
                "HTTP/1.1 503 \r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n\r\n",
                whole(503, None),
            ),
            ("SSH-2.0", Head::Broken),
            ("HTTP/2 200\r\n\r\n", Head::Broken),
            ("HTTP/1.1  200\r\n\r\n", Head::Broken),
            ("HTTP/1.1 2000\r\n\r\n", Head::Broken),
            ("HTTP/1.1 099 a\r\n\r\n", Head::Broken),
            ("HTTP/1.1 +20 a\r\n\r\n", Head::Broken),
            ("HTTP/1.1\r\n\r\n", Head::Broken),
            ("", Head::Partly),
        ] {
            assert_eq!(head(answer.as_bytes()), expected, "{answer}");
        }
    }

    #[test]
    fn a_request_has_the_fields_of_rfc_8030() {
        let errand = Errand {
            endpoint: Endpoint::parse("https://push.example:8443/a?b").unwrap(),
            authorization: "vapid t=a, k=b".into(),
            ttl_s: 60,
            urgency: "normal",
            topic: "messages",
            body: b"\x00body".to_vec(),
        };
        let request = request(&errand);
        let (head, body) = request.split_at(request.len() - 5);
        assert_eq!(body, b"\x00body");
        let head = std::str::from_utf8(head).unwrap();
        assert!(head.starts_with("POST /a?b HTTP/1.1\r\nHost: push.example:8443\r\n"));
        assert!(head.ends_with("Content-Length: 5\r\nConnection: close\r\n\r\n"));
        for field in ["TTL: 60", "Urgency: normal", "Topic: messages"] {
            assert!(head.contains(field), "{head}");
        }
    }
}
