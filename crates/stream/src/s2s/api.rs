//! What goes into a stream between servers and what comes out of it.

use std::fmt;

use tercet_core::{Condition, SaslFailure, Stanza, StanzaError, StreamCondition, StreamError};

use crate::question::{NotResumed, Ticket};
use crate::sm::Enable;

/// A domain of this server and one of another. Both are normalised (RFC 7622).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DomainPair {
    /// Ours.
    pub local: Box<str>,
    /// Theirs.
    pub remote: Box<str>,
}

impl DomainPair {
    /// A pair of normalised domains.
    pub fn new(local: impl Into<Box<str>>, remote: impl Into<Box<str>>) -> Self {
        DomainPair {
            local: local.into(),
            remote: remote.into(),
        }
    }
}

impl fmt::Display for DomainPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {}", self.local, self.remote)
    }
}

/// A key that somebody who says to be `pair.remote` has shown to `pair.local` on a stream with this id (XEP-0220 §2.1).
/// Whoever answers for that domain can tell whether it is one of theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyClaim {
    /// Whom it was shown to, and who is claimed to have made it.
    pub pair: DomainPair,
    /// The id of the stream that it was shown on.
    pub id: Box<str>,
    /// The key, as it came.
    pub key: Box<str>,
}

/// What came of a [`KeyClaim`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The domain's own server knows it.
    Valid,
    /// The domain's own server does not know it.
    Invalid,
    /// There is no telling. The condition is what the one who showed it is told (XEP-0220 §2.4).
    Unknown(StanzaError),
}

/// By what a domain has proved to be itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Its certificate.
    Certificate,
    /// Dialback: the server that DNS names for it.
    Dialback,
}

/// What a stream needs to know from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether the certificate that the peer has shown in this connection's TLS handshake leads to a trusted root and
    /// names `remote`. Answer: [`Answer::Certificate`].
    Certificate(DomainPair),
    /// Whether the server of the claimed domain knows the key. To be asked on another connection than this one
    /// (XEP-0288 §2). Answer: [`Answer::Key`]. Several may be out at a time; the stream goes on meanwhile.
    Key(KeyClaim),
    /// The session of a stream that was lost (XEP-0198 §5). Answer: [`Answer::Resumed`].
    Resume {
        /// The domains that have been authenticated on this stream; the session is one between them.
        pair: DomainPair,
        /// The session's id.
        previd: Box<str>,
        /// How many stanzas the peer has handled of those it was sent.
        handled: u32,
    },
}

/// An answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It does.
    Certificate(bool),
    /// What the other server said.
    Key(Verdict),
    /// How many stanzas of the peer the session has handled: it is on this stream now. Or why not.
    Resumed(Result<u32, NotResumed>),
}

/// What an initiating stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Stanzas.
    Stanzas,
    /// Asking about keys ([`Input::Verify`]). Nobody is authenticated for that.
    Verification,
}

/// Something that happened outside.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes from the peer, decrypted if there is TLS. All of them are taken.
    Bytes(&'a [u8]),
    /// The TLS handshake is done: that which [`Output::StartTls`] asked for, or that at the connection's beginning.
    TlsUp,
    /// The answer to a question. Ignored if it is no longer of interest.
    Answer(Ticket, Answer),
    /// Stanzas of a further pair of domains are to be sent on this stream (XEP-0220 §2.5). Comes back as
    /// [`Output::Authorized`] or [`Output::Refused`].
    Authenticate(DomainPair),
    /// Ask the peer about a key that claims to be from its domain. Comes back as [`Output::Verified`].
    Verify(KeyClaim),
    /// Have stanzas acknowledged, once [`Output::Authorized`] has come and
    /// [`can_manage`](super::S2sStream::can_manage) says that it is possible: in a new session, or going on with one.
    Manage(Manage),
    /// The connection ended or broke: nothing more can be read.
    PeerClosed,
    /// The time of [`deadline`](super::S2sStream::deadline) has come. Harmless if early.
    Tick,
    /// The server ends the stream.
    Close(StreamError),
    /// There is nothing more to say: the stream ends in good order. What the peer sends before it ends its own side, or has
    /// had its time to, is still taken, unless it counts.
    End,
}

/// How an initiating stream's stanzas are to be acknowledged (XEP-0198).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manage {
    /// Counting begins. Comes back as [`Output::Enabled`] or [`Output::NotManaged`].
    Enable,
    /// A session of an earlier stream goes on. Comes back as [`Output::Resumed`] or [`Output::NotManaged`].
    Resume {
        /// Its id.
        previd: Box<str>,
        /// How many stanzas of the peer have been handled.
        handled: u32,
    },
}

/// Something to be done outside, in this order.
#[derive(Debug)]
pub enum Output {
    /// Send these bytes, encrypted if there is TLS.
    Write(Vec<u8>),
    /// After what was written before is sent in the clear, begin the TLS handshake: as its server on a receiving stream,
    /// as its client on an initiating one. Report [`Input::TlsUp`] or [`Input::PeerClosed`].
    StartTls,
    /// Get this answered: [`Input::Answer`].
    Ask(Ticket, Question),
    /// A stanza from the peer. Its addresses are there, valid, and those of a pair that is [`Authenticated`](Self::Authenticated).
    Stanza(Stanza),
    /// The peer has proved to be that remote domain: it sends stanzas from there to the local one.
    Authenticated(DomainPair, Proof),
    /// Stanzas from the local domain to the remote one may be written from now on. The proof is the peer's.
    Authorized(DomainPair, Proof),
    /// They may not, on this stream.
    Refused(DomainPair, Refusal),
    /// What the peer said about a key.
    Verified(KeyClaim, Verdict),
    /// The peer wants its stanzas counted (XEP-0198 §3); answer with [`enabled`](crate::sm::enabled).
    Enable(Enable),
    /// Our stanzas are counted from the `<enable/>` on that was written before.
    Enabled {
        /// By this name the session can go on after its connection is lost.
        id: Option<Box<str>>,
        /// For so many seconds, if the peer says.
        max: Option<u32>,
    },
    /// The session goes on; the peer has handled so many of its stanzas.
    Resumed(u32),
    /// There is no session: nothing is counted. If the peer still knew the one asked for, how many stanzas it had handled.
    NotManaged(Option<u32>),
    /// The peer wants to know how many of its stanzas have been handled: answer with an [`ack`](crate::sm::ack) once that
    /// is so for these, which are all that came before.
    AckRequested(u32),
    /// The peer has handled so many of the stanzas for it.
    Acked(u32),
    /// Something worth counting, logging or acting on.
    Event(S2sEvent),
    /// The stream is over. Send what was written before, end TLS, shut down the sending side. Nothing comes after this.
    Close,
}

/// Why the peer does not take stanzas of a pair of domains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It found our key invalid.
    Invalid,
    /// It could not say, or does not want to: its condition, if it is one that RFC 6120 knows, and its text.
    Error(Option<Condition>, Option<Box<str>>),
    /// SASL failed, and it takes no dialback.
    Sasl(Option<SaslFailure>),
    /// It offers no way to be authenticated.
    NoWay,
    /// It may not be asked on this stream, or too much is asked of it already.
    NotHere,
}

/// What happened on a stream between servers. Names and texts from the peer are bounded by the limits before login, and not
/// escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum S2sEvent {
    /// SASL failed: the peer's attempt on a receiving stream, ours on an initiating one.
    SaslFailed(Option<SaslFailure>),
    /// The peer's key for these domains was not accepted.
    KeyRefused(DomainPair, StanzaError),
    /// The peer's key for these domains was found invalid: it is misconfigured, or not who it says it is.
    KeyInvalid(DomainPair),
    /// A dialback answer that nobody had asked for, and that counts for nothing (XEP-0220 §4).
    Unsolicited,
    /// The peer has been silent for the time set, and white space was sent to it.
    Silent,
    /// The stream has ended. [`Output::Close`] comes next.
    Ended(S2sEnding),
}

/// How a stream between servers ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum S2sEnding {
    /// The peer closed it in good order.
    ByPeer,
    /// This server did.
    ByUs,
    /// The peer closed it with a stream error (`None`: of a kind no RFC knows) and this text.
    PeerError(Option<StreamCondition>, Option<Box<str>>),
    /// The connection ended before the stream did.
    Lost,
    /// This server closed it with this error.
    Error(StreamCondition),
    /// STARTTLS was asked for, by whichever side, where it cannot be had (RFC 6120 §5.4.2.2).
    TlsRefused,
    /// The peer offers no TLS, and we require it.
    TlsMissing,
    /// The peer's certificate does not prove its domain, and we require that.
    Untrusted,
    /// The peer may not send anything, as its key was found invalid (XEP-0220 §2.2.1).
    KeyInvalid,
    /// The peer does not let us authenticate.
    Refused(Refusal),
}
