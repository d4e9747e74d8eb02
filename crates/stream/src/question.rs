//! What a stream cannot know by itself: questions to the driver, answered later.

use tercet_core::{BareJid, FullJid, OwnedElement, SaslFailure, Stanza, StanzaError};
use zeroize::Zeroizing;

use crate::sasl::{Mechanism, ScramHash, ScramKeys, TokenProof};
use crate::sm::Enable;

/// Names one question of one stream. An answer counts only with the ticket of the question that is
/// outstanding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub(crate) u32);

/// A question. `host` and the domainparts of accounts are always names of served hosts, as the
/// configuration spells them.
#[derive(Clone, Debug)]
pub enum Question {
    /// The SCRAM keys of an account. Answer: [`Answer::ScramKeys`]; for a name without an account,
    /// [`ScramKeys::fake`] of `hash` and `username`, and `Err(NotAuthorized)` as its account, after
    /// the same look-up. A store that fails: [`Answer::Account`] with a failure.
    ScramKeys {
        /// The host logged in to.
        host: String,
        /// The account meant; `None` if no account can have the name.
        account: Option<BareJid>,
        /// The name, normalised if it can be.
        username: String,
        /// Which keys.
        hash: ScramHash,
    },
    /// Whether a password is the account's. Answer: [`Answer::Account`]. For a name without an
    /// account, check against [`ScramKeys::fake`] of `username` (it costs the same) and answer
    /// `Err(NotAuthorized)`. See [`verify_plain`](crate::sasl::verify_plain): not on a thread that
    /// serves connections.
    CheckPassword {
        /// The host logged in to.
        host: String,
        /// The account meant; `None` if no account can have the name.
        account: Option<BareJid>,
        /// The name, normalised if it can be.
        username: String,
        /// The password as it came, wiped when dropped.
        password: Password,
    },
    /// Whether the account, which the client's verified certificate names, exists and may log in.
    /// Answer: [`Answer::Account`].
    External {
        /// The account.
        account: BareJid,
    },
    /// A fresh account for an anonymous client. Answer: [`Answer::Account`].
    Anonymous {
        /// The host logged in to.
        host: String,
    },
    /// Whether a client has a token of the account that is its own (XEP-0484), which is then used: older ones of the client
    /// hold no longer. Answer: [`Answer::Token`]; for a name without an account the same as for a token that nobody has, after
    /// the same look-up.
    Token {
        /// The host logged in to.
        host: String,
        /// The account meant; `None` if no account can have the name.
        account: Option<BareJid>,
        /// The name, normalised if it can be.
        username: String,
        /// The client.
        client: UserAgent,
        /// What it shows of the token.
        proof: TokenProof,
        /// How many times it has used the token, as it says; never the same or less twice.
        count: Option<u32>,
        /// The token is not to be valid after this.
        invalidate: bool,
        /// It wants a token for this mechanism.
        wants: Option<Mechanism>,
    },
    /// A client that has logged in without a token says who it is. Answer: [`Answer::Client`].
    Client {
        /// The account that logged in.
        account: BareJid,
        /// The client.
        client: UserAgent,
        /// How it logged in.
        mechanism: Mechanism,
        /// It wants a token for this mechanism.
        wants: Option<Mechanism>,
    },
    /// Whether an account that has just logged in by its password has no keys of a hash function. Answer:
    /// [`Answer::LacksKeys`].
    LacksKeys {
        /// The account that logged in.
        account: BareJid,
        /// The hash function.
        hash: ScramHash,
    },
    /// Keeps keys for an account that has none of their hash function; where it has some by now, those stay. Answer:
    /// [`Answer::KeysKept`], also where that failed: the client is logged in all the same.
    KeepKeys {
        /// The account that logged in.
        account: BareJid,
        /// The keys that its client has derived.
        keys: ScramKeys,
    },
    /// Binds a resource (RFC 6120 §7), settling conflicts by the owner's policy (§7.7.2.2).
    /// Answer: [`Answer::Bound`].
    Bind {
        /// The account that logged in.
        account: BareJid,
        /// The resourcepart the client asks for, prepared; `None`: the server's choice.
        resource: Option<String>,
        /// An unpredictable resourcepart, for the server's choice.
        fallback: String,
        /// What is to happen with it at once, if it is bound by XEP-0386.
        inline: Option<Box<BindInline>>,
    },
    /// Goes on with a session whose connection was lost, or seems to be still there (XEP-0198 §5).
    /// Answer: [`Answer::Resumed`].
    Resume {
        /// The account that logged in. Sessions of others are as good as none.
        account: BareJid,
        /// The session's id, as the client says.
        previd: String,
        /// How many stanzas of that session the client has handled.
        handled: u32,
    },
    /// A registration request (XEP-0077) of a client that has not logged in: an iq with a
    /// `jabber:iq:register` query. Answer: [`Answer::Xml`] with the complete reply.
    Register {
        /// The host the client is connected to.
        host: String,
        /// The request; its `to` is the host or absent.
        stanza: Stanza,
        /// The token of the invitation that this stream has shown.
        invitation: Option<String>,
    },
    /// Whether an invitation lets a client that has not logged in register (XEP-0445). Answer: [`Answer::Invitation`].
    Invitation {
        /// The host the client is connected to.
        host: String,
        /// The request, with the token; its `to` is the host or absent.
        stanza: Stanza,
    },
}

/// An answer to a [`Question`].
#[derive(Clone, Debug)]
pub enum Answer {
    /// Keys, real or fake, and who has logged in if the client proves to know them. The account's
    /// failure (no account, disabled, …) shows only after the proof.
    ScramKeys {
        /// The keys, of the hash asked for.
        keys: ScramKeys,
        /// The account, or why it may not log in.
        account: Result<BareJid, SaslFailure>,
    },
    /// Who has logged in, or why not.
    Account(Result<BareJid, SaslFailure>),
    /// Who has logged in with a token, or why not.
    Token {
        /// The account.
        account: Result<BareJid, SaslFailure>,
        /// [`TokenProof::answer`] for its token.
        proof: Vec<u8>,
        /// A token for the next time, if it is to have another.
        token: Option<NewToken>,
    },
    /// A token for the next time, if the client is to have one.
    Client(Option<NewToken>),
    /// Whether it lacks them.
    LacksKeys(bool),
    /// The keys are kept, or it was tried.
    KeysKept,
    /// The new session. For an error the client may try again.
    Bound(Result<Bound, StanzaError>),
    /// The session is on this stream now, or why not.
    Resumed(Result<Resumed, NotResumed>),
    /// First-level elements to write as they are; nothing if empty.
    Xml(Vec<u8>),
    /// The complete reply to who has shown an invitation.
    Invitation {
        /// The reply, written as it is.
        reply: Vec<u8>,
        /// The token, if it lets its bearer register.
        token: Option<String>,
    },
}

/// A client's installation, as it tells the server alone (XEP-0388 §2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAgent {
    /// A UUID that is the same each time, in lower case.
    pub id: String,
    /// The program's name, as the client says; cut to [`UserAgent::TEXT_BYTES`].
    pub software: Option<String>,
    /// The device's name likewise.
    pub device: Option<String>,
}

impl UserAgent {
    /// The longest name that is kept, in bytes.
    pub const TEXT_BYTES: usize = 128;
}

/// A token that a client is to log in with next (XEP-0484).
#[derive(Clone)]
pub struct NewToken {
    /// The token.
    pub text: Zeroizing<String>,
    /// Until when it holds, in milliseconds since 1970.
    pub expires_ms: u64,
}

impl std::fmt::Debug for NewToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewToken(.., {})", self.expires_ms)
    }
}

/// What a client wants of its session at once (XEP-0386).
#[derive(Clone, Debug)]
pub struct BindInline {
    /// What the resourcepart begins with, prepared.
    pub tag: Option<String>,
    /// The [`UserAgent::id`] of the client, if it says.
    pub client: Option<String>,
    /// That stanzas are counted (XEP-0198).
    pub enable: Option<Enable>,
    /// The `<authenticate/>` whose `<bind/>` is asked for: see [`BindInline::request`].
    pub(crate) authenticate: OwnedElement,
}

impl BindInline {
    /// The `<bind/>` element, with what else the client wants of the session.
    pub fn request(&self) -> Option<tercet_core::Element<'_>> {
        self.authenticate.root().child("bind", crate::c2s::BIND2)
    }
}

/// A session that begins.
#[derive(Clone, Debug)]
pub struct Bound {
    /// Its full JID.
    pub jid: FullJid,
    /// What the client is told of what it wanted at once, as elements.
    pub inline: Vec<u8>,
}

impl From<FullJid> for Bound {
    fn from(jid: FullJid) -> Self {
        Bound {
            jid,
            inline: Vec::new(),
        }
    }
}

/// A session that goes on (XEP-0198 §5).
#[derive(Clone, Debug)]
pub struct Resumed {
    /// Its full JID.
    pub jid: FullJid,
    /// How many stanzas of the client it has handled.
    pub handled: u32,
}

/// Why a session does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotResumed {
    /// The account has no such session (any more).
    NotFound {
        /// How many stanzas of the client it had handled, if that is still known.
        handled: Option<u32>,
    },
    /// The client says that it has handled more than it was sent.
    TooHigh {
        /// What it says.
        handled: u32,
        /// What it was sent.
        sent: u32,
    },
}

/// A password on its way to be checked. Wiped when dropped, never shown.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// The password's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Zeroizing<String>> for Password {
    fn from(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(..)")
    }
}
