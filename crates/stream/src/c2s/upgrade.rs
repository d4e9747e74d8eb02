//! SASL upgrade tasks (XEP-0480 0.2.0): a client that has just proved to know the password gives the keys of a further hash
//! function, which its account does not have yet because it came from another server.
//!
//! ```text
//! succeeded ── is there need? ──> <continue/> ── <next/> ──> salt ── <hash/> ──> kept ──> what follows any login
//!                 └─ no ───────────────────────────────────────────────────────────────────^
//! ```
//! Nothing of it shows before the proof, so that names with and without an account look the same.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use tercet_core::{Element, SaslFailure, StreamCondition, StreamError, XmlWriter};
use zeroize::Zeroizing;

use super::context::Context;
use super::login::{self, Try};
use super::sasl2::{self, Inline};
use super::state::{Pending, State};
use crate::question::{Answer, Question};
use crate::random::Purpose;
use crate::sasl::{DEFAULT_ITERATIONS, Mechanism, ScramHash, ScramKeys, Success};

/// XEP-0480 0.2.0.
const NS: &str = "urn:xmpp:sasl:upgrade:0";
/// XEP-0480 0.2.0 §3.
const SCRAM: &str = "urn:xmpp:scram-upgrade:0";

/// The only task: SCRAM-SHA-256 is the best that is offered.
const TASK: &str = "UPGR-SCRAM-SHA-256";
const HASH: ScramHash = ScramHash::Sha256;

/// Announces the task.
pub(super) fn write_features(w: &mut XmlWriter) {
    // XEP-0480 §2.1: without regard to channel bindings.
    w.start("upgrade").attr("xmlns", NS).text(TASK).end();
}

/// Whether the client wants the task done.
pub(super) fn is_wanted(request: Element<'_>) -> bool {
    let mut wanted = request.children().filter(|child| child.is("upgrade", NS));
    wanted.any(|task| task.text().trim() == TASK)
}

/// A login that waits for its task.
pub(super) struct Upgrade {
    success: Success,
    inline: Box<Inline>,
    step: Step,
}

/// What is awaited.
enum Step {
    /// Whether there is need.
    Need,
    /// `<next/>`
    Next,
    /// The salted password, for this salt.
    Salted(String),
    /// That the keys are kept.
    Kept,
}

/// Begins the task if the login is one by password that could need it; else the login goes on.
pub(super) fn begin(
    cx: &mut Context,
    success: Success,
    inline: Box<Inline>,
) -> Result<State, StreamError> {
    // Who has logged in by SCRAM-SHA-256 has the keys, and who has no more than a token need not know the password.
    let by_password = matches!(
        success.mechanism,
        Mechanism::ScramSha1 | Mechanism::ScramSha1Plus
    );
    if !by_password {
        return sasl2::succeeded(cx, success, *inline);
    }
    let question = Question::LacksKeys {
        account: success.account.clone(),
        hash: HASH,
    };
    let step = Step::Need;
    Ok(wait(cx, question, success, inline, step))
}

fn wait(
    cx: &mut Context,
    question: Question,
    success: Success,
    inline: Box<Inline>,
    step: Step,
) -> State {
    let ticket = cx.ask(question);
    let upgrade = Upgrade {
        success,
        inline,
        step,
    };
    State::Waiting(ticket, Box::new(Pending::Upgrading(upgrade)))
}

impl Upgrade {
    /// The answer to the question that is out.
    pub(super) fn on_answer(
        mut self,
        cx: &mut Context,
        answer: Answer,
    ) -> Result<State, StreamError> {
        match (&self.step, answer) {
            (Step::Need, Answer::LacksKeys(true)) => {
                // XEP-0388 §2.4: nothing else is sent while a login is under way.
                if cx.pipelined {
                    return Err(login::spoke_too_early("data before <continue/>"));
                }
                // XEP-0480 §2.2: one task, and what else would go with the success.
                let data = self.success.data.take();
                cx.write_xml(|w| {
                    w.start("continue").attr("xmlns", sasl2::NS);
                    if let Some(data) = data {
                        w.text_element("additional-data", &BASE64_STANDARD.encode(data));
                    }
                    w.start("tasks").text_element("task", TASK).end();
                    w.end();
                });
                self.step = Step::Next;
                Ok(State::Upgrading(Box::new(self)))
            }
            (Step::Need, Answer::LacksKeys(false)) | (Step::Kept, Answer::KeysKept) => {
                sasl2::succeeded(cx, self.success, *self.inline)
            }
            _ => Err(StreamCondition::InternalServerError.into()),
        }
    }

    /// What the client does for the task.
    pub(super) fn on_element(
        mut self,
        cx: &mut Context,
        element: Element<'_>,
    ) -> Result<State, StreamError> {
        if element.ns() != sasl2::NS {
            return Err(StreamCondition::UnsupportedStanzaType.into());
        }
        match (&self.step, element.name()) {
            (Step::Next, "next") if element.attr("task").as_deref() == Some(TASK) => {
                let salt = cx.random.name(Purpose::Salt);
                // XEP-0480 §3: what the client needs to derive the salted password.
                let iterations = DEFAULT_ITERATIONS.to_string();
                let encoded = BASE64_STANDARD.encode(&salt);
                cx.write_xml(|w| {
                    w.start("task-data").attr("xmlns", sasl2::NS);
                    w.start("salt").attr("xmlns", SCRAM);
                    w.attr("iterations", &iterations).text(&encoded).end();
                    w.end();
                });
                self.step = Step::Salted(salt);
                Ok(State::Upgrading(Box::new(self)))
            }
            (Step::Salted(salt), "task-data") => match keys(element, salt) {
                Ok(keys) => {
                    let question = Question::KeepKeys {
                        account: self.success.account.clone(),
                        keys,
                    };
                    Ok(wait(cx, question, self.success, self.inline, Step::Kept))
                }
                Err(failure) => self.fail(cx, failure),
            },
            (_, "abort") => self.fail(cx, SaslFailure::Aborted),
            _ => self.fail(cx, SaslFailure::MalformedRequest),
        }
    }

    fn fail(self, cx: &mut Context, failure: SaslFailure) -> Result<State, StreamError> {
        let about = Try {
            mechanism: Some(self.success.mechanism),
            claimed: None,
            inline: Some(self.inline),
        };
        login::failed(cx, about, failure)
    }
}

/// The keys from `<hash/>`: the salted password of the task's function.
fn keys(data: Element<'_>, salt: &str) -> Result<ScramKeys, SaslFailure> {
    let hash = data.child("hash", SCRAM);
    let hash = hash.ok_or(SaslFailure::MalformedRequest)?;
    let text = Zeroizing::new(hash.text().into_owned());
    let salted = BASE64_STANDARD.decode(text.trim()).map(Zeroizing::new);
    let salted = salted.map_err(|_| SaslFailure::IncorrectEncoding)?;
    let keys = ScramKeys::of_salted(HASH, &salted, salt.as_bytes(), DEFAULT_ITERATIONS);
    keys.map_err(|_| SaslFailure::MalformedRequest)
}
