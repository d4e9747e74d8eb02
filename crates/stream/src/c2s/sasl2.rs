//! SASL2 (XEP-0388 1.0.4): a login, and what the client wants with it at once, in one request. With Bind 2 (XEP-0386 1.1.0), the
//! resumption of XEP-0198 §9 and tokens for the next login (XEP-0484 0.2.0) a client is back after one round trip; by XEP-0509
//! 0.2.0 it need not even wait for the features.
//!
//! The exchange is that of `login`; what follows its success is a chain of questions here, and one answer to the client at its
//! end. Gaps: of tasks, upgrades alone (`upgrade`); no early data of TLS.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use tercet_core::{
    BareJid, Element, OwnedElement, SaslFailure, StanzaError, StreamCondition, StreamError,
    XmlWriter, ns, prepare_resource, time,
};

use super::api::Output;
use super::context::Context;
use super::login::{self, Try};
use super::state::{Pending, State};
use super::{BIND2, features, sm, upgrade};
use crate::question::{Answer, BindInline, Bound, NewToken, NotResumed, Question, UserAgent};
use crate::random::Purpose;
use crate::sasl::{Exchange, Mechanism, Offer, ScramHash, Success, TokenUse};

/// XEP-0388 1.0.4.
pub(super) const NS: &str = "urn:xmpp:sasl:2";
/// XEP-0484 0.2.0.
const FAST: &str = "urn:xmpp:fast:0";
/// XEP-0509 0.2.0.
const PIPELINING: &str = "urn:xmpp:iap:0";

/// What a client wants besides being logged in.
pub(super) struct Inline {
    /// Its use of a token, or its wish for one, and which client it is.
    token: TokenUse,
    /// It logs in with a token.
    shows_token: bool,
    /// The session to go on with, and how many of its stanzas the client has handled; an error if it does not say that.
    resume: Option<Result<(String, u32), ()>>,
    bind: Option<Box<BindInline>>,
    /// It wants to give keys that its account lacks (XEP-0480).
    pub(super) upgrades: bool,
}

impl Inline {
    fn new(request: &OwnedElement, offer: &Offer) -> Self {
        let root = request.root();
        let fast = root.child("fast", FAST);
        let attr = |name| fast.and_then(|fast: Element<'_>| fast.attr(name));
        let client = root.child("user-agent", NS).and_then(user_agent);
        let wants = root
            .child("request-token", FAST)
            .and_then(|request| Mechanism::from_name(&request.attr("mechanism")?))
            .filter(|mechanism| offer.tokens.contains(mechanism));
        let resume = root.child("resume", sm::NS).map(|resume| {
            let previd = resume.attr("previd").ok_or(())?;
            let handled = sm::handled(resume).map_err(drop)?;
            Ok((previd.into_owned(), handled))
        });
        let bind = root.child("bind", BIND2).map(|bind| {
            let tag = bind.child("tag", BIND2).map(|tag| tag.text());
            Box::new(BindInline {
                // XEP-0386 §3.2.1: as it is, if a resourcepart may be so.
                tag: tag
                    .and_then(|tag| Some(prepare_resource(&tag).ok()?.into_owned()))
                    .filter(|tag| tag.len() <= UserAgent::TEXT_BYTES),
                client: client.as_ref().map(|client| client.id.clone()),
                enable: bind.child("enable", sm::NS).map(sm::wish),
                authenticate: request.clone(),
            })
        });
        Inline {
            token: TokenUse {
                client,
                count: attr("count").and_then(|count| count.trim().parse().ok()),
                invalidate: attr("invalidate").is_some_and(|value| sm::is_true(&value)),
                wants,
            },
            shows_token: fast.is_some(),
            resume,
            bind,
            upgrades: upgrade::is_wanted(root),
        }
    }

    /// What it says of the token that it logs in with.
    pub(super) fn token(&self) -> Option<&TokenUse> {
        self.shows_token.then_some(&self.token)
    }
}

/// XEP-0388 §2.3: whose id is a UUID.
fn user_agent(element: Element<'_>) -> Option<UserAgent> {
    let id = element.attr("id")?.trim().to_ascii_lowercase();
    let is_uuid = id.len() == 36
        && id.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    let text = |name| {
        let text = element.child(name, NS)?.text();
        let text = text.trim();
        let end = text.floor_char_boundary(UserAgent::TEXT_BYTES);
        (end > 0).then(|| text[..end].to_owned())
    };
    is_uuid.then(|| UserAgent {
        id,
        software: text("software"),
        device: text("device"),
    })
}

/// Announces it, beside the same mechanisms of RFC 6120.
pub(super) fn write_features(cx: &Context, offer: &Offer, w: &mut XmlWriter) {
    w.start("authentication").attr("xmlns", NS);
    for mechanism in &offer.mechanisms {
        w.text_element("mechanism", mechanism.name());
    }
    w.start("inline");
    w.leaf("sm", &[("xmlns", sm::NS)]);
    w.start("bind").attr("xmlns", BIND2);
    w.start("inline");
    // XEP-0386 §3.1: what a session can begin with.
    for feature in std::iter::once(sm::NS).chain(cx.host().inline.iter().map(String::as_str)) {
        w.leaf("feature", &[("var", feature)]);
    }
    w.end().end();
    if !offer.tokens.is_empty() {
        w.start("fast").attr("xmlns", FAST);
        for mechanism in &offer.tokens {
            w.text_element("mechanism", mechanism.name());
        }
        w.end();
    }
    w.end();
    upgrade::write_features(w);
    w.end();
}

/// XEP-0509 §2: the features in front of it have this version.
pub(super) fn write_version(features: &[u8], w: &mut XmlWriter) {
    w.leaf(
        "config-version",
        &[
            ("xmlns", PIPELINING),
            ("scheme", "opaque"),
            ("value", &version(features)),
        ],
    );
}

fn version(features: &[u8]) -> String {
    BASE64_STANDARD.encode(&ScramHash::Sha256.digest(features).as_slice()[..12])
}

/// `<authenticate/>`.
pub(super) fn authenticate(cx: &mut Context, request: &OwnedElement) -> Result<State, StreamError> {
    let root = request.root();
    let mechanism = root.attr("mechanism").unwrap_or_default();
    let offer = features::offer(cx);
    let inline = Box::new(Inline::new(request, &offer));
    let mut about = Try {
        mechanism: Mechanism::from_name(&mechanism),
        claimed: None,
        inline: Some(inline),
    };
    if let Some(version_seen) = root.child("config-version", PIPELINING)
        && version_seen.attr("value").as_deref() != Some(&*version(&features::unversioned(cx)))
    {
        // XEP-0509 §2.2: it does not count as a failed login.
        write_failure(cx, SaslFailure::Aborted, |w| {
            w.leaf("config-version-mismatch", &[("xmlns", PIPELINING)]);
        });
        return Ok(State::Negotiating);
    }
    if !cx.secure_enough() {
        return login::failed(cx, about, SaslFailure::EncryptionRequired);
    }
    let initial = match root.child("initial-response", NS) {
        Some(initial) => login::response(initial).map(Some),
        None => Ok(None),
    };
    let step = initial.and_then(|initial| {
        let initial = initial.as_ref().map(|initial| initial.as_slice());
        Exchange::start(&mechanism, initial, &mut about.scope(cx, &offer))
    });
    login::go_on(cx, about, step)
}

/// Says that an attempt has failed, and more about it.
pub(super) fn write_failure(
    cx: &mut Context,
    failure: SaslFailure,
    more: impl FnOnce(&mut XmlWriter),
) {
    cx.write_xml(|w| {
        w.start("failure").attr("xmlns", NS);
        w.leaf(failure.as_str(), &[("xmlns", ns::SASL)]);
        more(w);
        w.end();
    });
}

/// A login that has succeeded, while what the client wants with it is done.
pub(super) struct Finishing {
    account: BareJid,
    /// What goes with the success.
    data: Option<Vec<u8>>,
    token: Option<NewToken>,
    /// What came of the resumption, if that failed.
    not_resumed: Vec<u8>,
    resume: Option<Result<(String, u32), ()>>,
    bind: Option<Box<BindInline>>,
    /// What the question that is out is about.
    asked: Asked,
}

enum Asked {
    Client,
    Resume { previd: String },
    Bind { counts: bool },
}

/// The exchange has succeeded.
pub(super) fn succeeded(
    cx: &mut Context,
    success: Success,
    inline: Inline,
) -> Result<State, StreamError> {
    let finishing = Finishing {
        account: success.account,
        data: success.data,
        token: success.token,
        not_resumed: Vec::new(),
        resume: inline.resume,
        bind: inline.bind,
        asked: Asked::Client,
    };
    let TokenUse { client, wants, .. } = inline.token;
    match client.filter(|_| !inline.shows_token) {
        Some(client) => {
            let question = Question::Client {
                account: finishing.account.clone(),
                client,
                mechanism: success.mechanism,
                wants,
            };
            Ok(finishing.ask(cx, question, Asked::Client))
        }
        None => finishing.resume(cx),
    }
}

impl Finishing {
    fn ask(mut self, cx: &mut Context, question: Question, asked: Asked) -> State {
        self.asked = asked;
        let ticket = cx.ask(question);
        State::Waiting(ticket, Box::new(Pending::Finishing(self)))
    }

    /// The answer to the question that is out.
    pub(super) fn on_answer(
        mut self,
        cx: &mut Context,
        answer: Answer,
    ) -> Result<State, StreamError> {
        match (std::mem::replace(&mut self.asked, Asked::Client), answer) {
            (Asked::Client, Answer::Client(token)) => {
                self.token = token;
                self.resume(cx)
            }
            (Asked::Resume { previd }, Answer::Resumed(resumed)) => match resumed {
                Ok(resumed) => {
                    let inner = sm::resumed(&previd, resumed.handled);
                    let success = self.success(cx, resumed.jid.as_str(), &inner)?;
                    // XEP-0198 §9.2: no features behind it.
                    cx.push(Output::Resumed(resumed.jid.clone(), success));
                    // Of use to negotiations only.
                    cx.tls = None;
                    Ok(State::Bound {
                        jid: resumed.jid,
                        received: Some(resumed.handled),
                    })
                }
                Err(NotResumed::NotFound { handled }) => {
                    let error = StanzaError::item_not_found();
                    self.not_resumed = sm::not_resumed(&error, handled);
                    self.bind(cx)
                }
                Err(NotResumed::TooHigh { handled, sent }) => Err(sm::too_high(handled, sent)),
            },
            (Asked::Bind { counts }, Answer::Bound(bound)) => match bound {
                Ok(Bound { jid, inline }) => {
                    let mut w = XmlWriter::new();
                    w.raw(&self.not_resumed);
                    w.start("bound").attr("xmlns", BIND2);
                    w.raw(&inline).end();
                    let success = self.success(cx, jid.as_str(), &w.finish())?;
                    cx.write(|_, out| out.extend_from_slice(&success));
                    features::write_bound(cx, counts);
                    cx.push(Output::Bound(jid.clone()));
                    // Of use to negotiations only.
                    cx.tls = None;
                    Ok(State::Bound {
                        jid,
                        received: counts.then_some(0),
                    })
                }
                // The client is logged in, and may bind by RFC 6120 §7.
                Err(_) => self.unbound(cx),
            },
            _ => Err(StreamCondition::InternalServerError.into()),
        }
    }

    /// XEP-0386 §3.2: resumption comes first.
    fn resume(mut self, cx: &mut Context) -> Result<State, StreamError> {
        match self.resume.take() {
            Some(Ok((previd, handled))) => {
                let question = Question::Resume {
                    account: self.account.clone(),
                    previd: previd.clone(),
                    handled,
                };
                Ok(self.ask(cx, question, Asked::Resume { previd }))
            }
            Some(Err(())) => {
                let error = StanzaError::bad_request();
                self.not_resumed = sm::not_resumed(&error, None);
                self.bind(cx)
            }
            None => self.bind(cx),
        }
    }

    fn bind(mut self, cx: &mut Context) -> Result<State, StreamError> {
        let Some(inline) = self.bind.take() else {
            return self.unbound(cx);
        };
        let counts = inline.enable.is_some();
        let question = Question::Bind {
            account: self.account.clone(),
            resource: None,
            fallback: cx.random.name(Purpose::Resource),
            inline: Some(inline),
        };
        Ok(self.ask(cx, question, Asked::Bind { counts }))
    }

    /// Logged in without a resource.
    fn unbound(self, cx: &mut Context) -> Result<State, StreamError> {
        let success = self.success(cx, self.account.as_str(), &self.not_resumed)?;
        cx.write(|_, out| out.extend_from_slice(&success));
        features::write(cx, true);
        Ok(State::Unbound {
            account: self.account,
        })
    }

    /// The end of it: `<success/>` for the one that is `jid` now, with `inner`.
    fn success(&self, cx: &mut Context, jid: &str, inner: &[u8]) -> Result<Vec<u8>, StreamError> {
        // XEP-0388 §2.4: nothing else is sent while a login is under way.
        if cx.pipelined {
            return Err(login::spoke_too_early("data before <success/>"));
        }
        cx.framer.set_limits(cx.config.after_login);
        let mut w = XmlWriter::new();
        w.start("success").attr("xmlns", NS);
        if let Some(data) = &self.data {
            w.text_element("additional-data", &BASE64_STANDARD.encode(data));
        }
        w.text_element("authorization-identifier", jid);
        w.raw(inner);
        if let Some(NewToken { text, expires_ms }) = &self.token {
            // The year 292 million is far.
            let expiry = time::format(i64::try_from(*expires_ms).unwrap_or(i64::MAX));
            w.leaf(
                "token",
                &[("xmlns", FAST), ("token", text), ("expiry", &expiry)],
            );
        }
        w.end();
        Ok(w.finish())
    }
}
