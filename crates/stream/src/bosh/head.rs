//! The start tag of a request's `<body/>`: whose it is, and what it asks for.

use std::borrow::Cow;
use std::time::Duration;

use tercet_core::{Element, Frame, Limits, StreamParser, ns, parse_document};

use super::{Condition, HEAD_BYTES, HTTPBIND, XBOSH};
use crate::messages::tag_len;

/// XEP-0124 §12: the largest number of a request.
const MAX_RID: u64 = (1 << 53) - 1;

/// What a request's wrapper says. Attributes that mean nothing here (`route`, `secure`, …) are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The session; `None` asks for a new one.
    pub sid: Option<String>,
    pub(super) rid: u64,
    pub(super) ack: Option<u64>,
    pub(super) content: Option<String>,
    pub(super) from: Option<String>,
    pub(super) hold: Option<u32>,
    pub(super) key: Option<String>,
    pub(super) lang: Option<String>,
    pub(super) newkey: Option<String>,
    pub(super) pause: Option<Duration>,
    pub(super) restart: bool,
    pub(super) terminate: bool,
    pub(super) to: Option<String>,
    pub(super) ver: Option<(u32, u32)>,
    /// Of XMPP.
    pub(super) version: Option<String>,
    pub(super) wait: Option<Duration>,
}

impl Head {
    /// XEP-0124 §11: a request to pause or to end, which may be one more than agreed.
    pub(super) fn is_one_more(&self) -> bool {
        self.pause.is_some() || self.terminate
    }

    /// Reads what has come of a request. `None`: its start tag is not complete yet. Otherwise also where the tag begins.
    ///
    /// # Errors
    /// What ends the session; where this cannot be told, no session is meant.
    pub fn read(bytes: &[u8]) -> Result<Option<(Head, usize)>, Condition> {
        let visible = &bytes[..bytes.len().min(HEAD_BYTES)];
        let incomplete = || match visible.len() {
            HEAD_BYTES => Err(Condition::PolicyViolation),
            _ => Ok(None),
        };
        let Some(start) = declaration_len(visible)? else {
            return incomplete();
        };
        let tag = &visible[start..];
        match tag {
            [] | [b'<'] => return incomplete(),
            // XEP-0124 §4: no comments, processing instructions, or DTDs.
            [b'<', b'!' | b'?' | b'/', ..] => return Err(Condition::BadRequest),
            [b'<', ..] => {}
            _ => return Err(Condition::BadRequest),
        }
        let Some(length) = tag_len(tag) else {
            return incomplete();
        };
        let inside = &tag[..length - 1];
        let inside = inside.strip_suffix(b"/").unwrap_or(inside);
        let element = match parse_document(&[inside, b"/>"].concat(), "", &Limits::BEFORE_LOGIN) {
            Ok(Frame::Element(element)) => element,
            _ => return Err(Condition::BadRequest),
        };
        Head::parse(element.root()).map(|head| Some((head, start)))
    }

    fn parse(body: Element<'_>) -> Result<Head, Condition> {
        if !body.is("body", HTTPBIND) {
            return Err(Condition::BadRequest);
        }
        let text = |name: &str| body.attr(name).map(Cow::into_owned);
        let seconds = |name: &str| -> Result<Option<Duration>, Condition> {
            let seconds = body.attr(name).map(|text| number::<u32>(&text)).transpose();
            Ok(seconds?.map(|seconds| Duration::from_secs(seconds.into())))
        };
        let rid = body.attr("rid").ok_or(Condition::BadRequest)?;
        let rid = number(&rid)?;
        if rid > MAX_RID {
            return Err(Condition::BadRequest);
        }
        Ok(Head {
            sid: text("sid"),
            rid,
            ack: body.attr("ack").map(|text| number(&text)).transpose()?,
            content: text("content"),
            from: text("from"),
            hold: body.attr("hold").map(|text| number(&text)).transpose()?,
            key: text("key"),
            lang: body.attr_ns(ns::XML, "lang").map(Cow::into_owned),
            newkey: text("newkey"),
            pause: seconds("pause")?,
            restart: match body.attr_ns(XBOSH, "restart").as_deref() {
                Some("true" | "1") => true,
                None | Some("false" | "0") => false,
                Some(_) => return Err(Condition::BadRequest),
            },
            terminate: match body.attr("type").as_deref() {
                Some("terminate") => true,
                None => false,
                Some(_) => return Err(Condition::BadRequest),
            },
            to: text("to"),
            ver: match body.attr("ver") {
                None => None,
                Some(text) => {
                    let (major, minor) = text.split_once('.').ok_or(Condition::BadRequest)?;
                    Some((number(major)?, number(minor)?))
                }
            },
            version: body.attr_ns(XBOSH, "version").map(Cow::into_owned),
            wait: seconds("wait")?,
        })
    }
}

/// The length of an XML declaration and white space; `None`: perhaps there is more to come of it.
fn declaration_len(bytes: &[u8]) -> Result<Option<usize>, Condition> {
    let space = |bytes: &[u8]| bytes.len() - bytes.trim_ascii_start().len();
    if !bytes.starts_with(b"<?") {
        return Ok(Some(space(bytes)));
    }
    let Some(end) = memchr::memmem::find(bytes, b"?>") else {
        return Ok(None);
    };
    let (declaration, rest) = bytes.split_at(end + 2);
    // It is judged as at a stream's beginning.
    match StreamParser::new(Limits::BEFORE_LOGIN).next(&mut &*declaration) {
        Ok(None) => Ok(Some(declaration.len() + space(rest))),
        _ => Err(Condition::BadRequest),
    }
}

/// A number of digits alone.
fn number<T: std::str::FromStr>(text: &str) -> Result<T, Condition> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.ok_or(Condition::BadRequest)
}
