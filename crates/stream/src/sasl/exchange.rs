//! One attempt to authenticate: which mechanism, what to ask, who it is in the end.

use tercet_core::{BareJid, Jid, SaslFailure, prepare_local};

use super::plain::PlainMessage;
use super::scram::{CbindFlag, ClientFirst, Proof};
use super::token::{self, TokenUse};
use super::{BindingKind, Mechanism, Offer, ScramHash, external};
use crate::question::{Answer, NewToken, Question};
use crate::random::{Purpose, Random};
use crate::tls::TlsInfo;

/// What an exchange may look at.
pub(crate) struct Scope<'a> {
    /// The domainpart of the accounts.
    pub(crate) host: &'a str,
    /// What the client was offered.
    pub(crate) offer: &'a Offer,
    pub(crate) tls: Option<&'a TlsInfo>,
    pub(crate) random: &'a mut Random,
    /// What the client says beside its proof that it has a token.
    pub(crate) token: Option<&'a TokenUse>,
    /// Set to the name that the client claims, as soon as it is known (for logs and penalties).
    pub(crate) claimed: &'a mut Option<String>,
}

/// What comes next.
pub(crate) enum Step {
    /// Send this and hand the response to [`Exchange::response`].
    Challenge(Vec<u8>, Exchange),
    /// Get this answered and hand the answer to [`Exchange::answer`].
    Ask(Question, Exchange),
    /// The client is who it says.
    Success(Success),
}

/// A login that succeeded.
#[derive(Debug)]
pub(crate) struct Success {
    pub(crate) account: BareJid,
    pub(crate) mechanism: Mechanism,
    /// Data that goes with the success.
    pub(crate) data: Option<Vec<u8>>,
    /// A token for the next time.
    pub(crate) token: Option<NewToken>,
}

/// An attempt in one of its states.
///
/// ```text
/// start ─┬─ no initial response ─> Message ─ response ──────┐
///        └─ initial response ───────────────────────────────┴─┬─ SCRAM ─> Keys ─ answer ─> Proof ─ response ─> Success
///                                                             └─ PLAIN, EXTERNAL, ANONYMOUS, tokens ─> Account ─ answer ─> Success
/// ```
/// Everything else that happens is a failure and ends the attempt.
pub(crate) struct Exchange {
    mechanism: Mechanism,
    state: State,
}

/// What is awaited.
enum State {
    Message,
    Keys {
        hash: ScramHash,
        first: ClientFirst,
        binding: Option<BindingKind>,
    },
    Proof {
        proof: Proof,
        account: Result<BareJid, SaslFailure>,
    },
    Account,
}

impl Exchange {
    /// Begins with the mechanism the client chose and its initial response (decoded), if it sent
    /// one.
    ///
    /// # Errors
    /// [`SaslFailure::InvalidMechanism`] if the mechanism was not offered; what the mechanism says.
    pub(crate) fn start(
        mechanism: &str,
        initial: Option<&[u8]>,
        scope: &mut Scope<'_>,
    ) -> Result<Step, SaslFailure> {
        let mechanism = Mechanism::from_name(mechanism)
            .filter(|mechanism| match scope.token {
                // XEP-0484 §3.4: who has a token says so.
                Some(_) => scope.offer.tokens.contains(mechanism),
                None => scope.offer.mechanisms.contains(mechanism),
            })
            .ok_or(SaslFailure::InvalidMechanism)?;
        match (initial, mechanism) {
            (Some(message), _) => first_message(mechanism, message, scope),
            // XEP-0175 §2: clients leave out the trace altogether and wait for no challenge.
            (None, Mechanism::Anonymous) => first_message(mechanism, b"", scope),
            // RFC 6120 §6.4.2: the client speaks first, so it is asked to by an empty challenge.
            (None, _) => {
                let state = State::Message;
                let exchange = Exchange { mechanism, state };
                Ok(Step::Challenge(Vec::new(), exchange))
            }
        }
    }

    /// Goes on with the client's (decoded) response to a challenge.
    ///
    /// # Errors
    /// What the mechanism says.
    pub(crate) fn response(
        self,
        message: &[u8],
        scope: &mut Scope<'_>,
    ) -> Result<Step, SaslFailure> {
        match self.state {
            State::Message => first_message(self.mechanism, message, scope),
            State::Proof { proof, account } => {
                let server_final = proof.check(message)?;
                Ok(Step::Success(Success {
                    account: account?,
                    mechanism: self.mechanism,
                    data: Some(server_final.into_bytes()),
                    token: None,
                }))
            }
            State::Keys { .. } | State::Account => Err(SaslFailure::MalformedRequest),
        }
    }

    /// Goes on with the answer to a question.
    ///
    /// # Errors
    /// The answer's failure; [`SaslFailure::TemporaryAuthFailure`] if the answer does not fit.
    pub(crate) fn answer(self, answer: Answer, scope: &mut Scope<'_>) -> Result<Step, SaslFailure> {
        match (self.state, answer) {
            (
                State::Keys {
                    hash,
                    first,
                    binding,
                },
                Answer::ScramKeys { keys, account },
            ) if keys.hash() == hash => {
                let nonce = scope.random.name(Purpose::Nonce);
                let binding = binding.and_then(|kind| scope.tls?.binding(kind));
                let attributes = scope.offer.protection(hash, scope.tls);
                let (message, proof) = first.challenge(keys, &nonce, binding, Some(&attributes));
                let exchange = Exchange {
                    mechanism: self.mechanism,
                    state: State::Proof { proof, account },
                };
                Ok(Step::Challenge(message.into_bytes(), exchange))
            }
            (State::Account, Answer::Account(account)) => Ok(Step::Success(Success {
                account: account?,
                mechanism: self.mechanism,
                data: None,
                token: None,
            })),
            (
                State::Account,
                Answer::Token {
                    account,
                    proof,
                    token,
                },
            ) => Ok(Step::Success(Success {
                account: account?,
                mechanism: self.mechanism,
                data: Some(proof),
                token,
            })),
            (_, Answer::Account(Err(failure))) => Err(failure),
            _ => Err(SaslFailure::TemporaryAuthFailure),
        }
    }
}

/// The client's first message of any mechanism.
fn first_message(
    mechanism: Mechanism,
    message: &[u8],
    scope: &mut Scope<'_>,
) -> Result<Step, SaslFailure> {
    let await_account = Exchange {
        mechanism,
        state: State::Account,
    };
    match mechanism {
        Mechanism::ScramSha1 | Mechanism::ScramSha1Plus => {
            scram_first(mechanism, ScramHash::Sha1, message, scope)
        }
        Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => {
            scram_first(mechanism, ScramHash::Sha256, message, scope)
        }
        Mechanism::Plain => {
            let message = PlainMessage::parse(message)?;
            let identity = Identity::new(&message.username, message.authzid.as_deref(), scope)?;
            let question = Question::CheckPassword {
                host: scope.host.to_owned(),
                account: identity.account,
                username: identity.username,
                password: message.password.into(),
            };
            Ok(Step::Ask(question, await_account))
        }
        Mechanism::External => {
            let tls = scope.tls.ok_or(SaslFailure::EncryptionRequired)?;
            let account = external::choose(message, tls, scope.host)?;
            *scope.claimed = account.local().map(str::to_owned);
            Ok(Step::Ask(Question::External { account }, await_account))
        }
        // RFC 4505 §2: the message is trace information, which nothing here uses.
        Mechanism::Anonymous => {
            let host = scope.host.to_owned();
            Ok(Step::Ask(Question::Anonymous { host }, await_account))
        }
        Mechanism::TokenExporter | Mechanism::TokenEndPoint | Mechanism::TokenUnbound => {
            let (name, proof) = token::parse(mechanism, message, scope.tls)?;
            let identity = Identity::new(&name, None, scope)?;
            // XEP-0484 §4.1: tokens are a client's own, so it has to say which one it is.
            let used = scope.token.ok_or(SaslFailure::MalformedRequest)?;
            let client = used.client.clone();
            let question = Question::Token {
                host: scope.host.to_owned(),
                account: identity.account,
                username: identity.username,
                client: client.ok_or(SaslFailure::MalformedRequest)?,
                proof,
                count: used.count,
                invalidate: used.invalidate,
                wants: used.wants,
            };
            Ok(Step::Ask(question, await_account))
        }
    }
}

fn scram_first(
    mechanism: Mechanism,
    hash: ScramHash,
    message: &[u8],
    scope: &mut Scope<'_>,
) -> Result<Step, SaslFailure> {
    let first = ClientFirst::parse(message)?;
    let identity = Identity::new(&first.username, first.authzid.as_deref(), scope)?;
    let binding = match &first.cbind {
        // RFC 5802 §6: with -PLUS the client must say "p", without it must not.
        CbindFlag::Used(kind) if mechanism.binds_channel() => Some(
            BindingKind::from_name(kind)
                .filter(|kind| scope.offer.bindings.contains(kind))
                .ok_or(SaslFailure::NotAuthorized)?,
        ),
        CbindFlag::Used(_) => return Err(SaslFailure::MalformedRequest),
        _ if mechanism.binds_channel() => return Err(SaslFailure::MalformedRequest),
        // RFC 5802 §6: the client believes that -PLUS was not offered; somebody hid it.
        CbindFlag::NotOffered if scope.offer.mechanisms.iter().any(|m| m.binds_channel()) => {
            return Err(SaslFailure::NotAuthorized);
        }
        CbindFlag::NotOffered | CbindFlag::Unsupported => None,
    };
    let question = Question::ScramKeys {
        host: scope.host.to_owned(),
        account: identity.account,
        username: identity.username,
        hash,
    };
    let state = State::Keys {
        hash,
        first,
        binding,
    };
    Ok(Step::Ask(question, Exchange { mechanism, state }))
}

/// Whom a name stands for. A name that no account can have is treated as one that none has.
struct Identity {
    account: Option<BareJid>,
    username: String,
}

impl Identity {
    fn new(
        username: &str,
        authzid: Option<&str>,
        scope: &mut Scope<'_>,
    ) -> Result<Self, SaslFailure> {
        // RFC 6120 §6.3.7: the simple user name is the localpart.
        let (account, username) = match prepare_local(username) {
            Ok(local) => {
                let jid = Jid::from_parts(Some(&local), scope.host, None).ok();
                (jid.map(|jid| jid.to_bare()), local.into_owned())
            }
            Err(_) => (None, username.to_owned()),
        };
        *scope.claimed = Some(username.clone());
        // RFC 6120 §6.3.8: the authorization identity is a bare JID; nobody may act as another.
        let own = |authzid| BareJid::parse(authzid).is_ok_and(|jid| Some(&jid) == account.as_ref());
        if !authzid.is_none_or(own) {
            return Err(SaslFailure::InvalidAuthzid);
        }
        Ok(Self { account, username })
    }
}

#[cfg(test)]
mod tests;
