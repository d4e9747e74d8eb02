//! What goes into a client stream and what comes out of it.

use tercet_core::{BareJid, FullJid, SaslFailure, Stanza, StreamCondition, StreamError};

use super::sm::Enable;

use crate::question::{Answer, Question, Ticket};
use crate::sasl::Mechanism;
use crate::tls::TlsInfo;

/// Something that happened outside.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes from the client, decrypted if there is TLS; on a WebSocket one whole message. All of
    /// them are taken.
    Bytes(&'a [u8]),
    /// The TLS handshake that [`Output::StartTls`] asked for is done; or, before anything else, the
    /// connection is one with TLS from its first byte.
    TlsUp(TlsInfo),
    /// The answer to a question. Ignored if the question is no longer of interest.
    Answer(Ticket, Answer),
    /// The connection ended or broke: nothing more can be read.
    PeerClosed,
    /// The time of [`deadline`](super::C2sStream::deadline) has come. Harmless if early.
    Tick,
    /// The server ends the stream (`system-shutdown`, `conflict`, `see-other-host`, …).
    Close(StreamError),
}

/// Something to be done outside, in this order.
#[derive(Debug)]
pub enum Output {
    /// Send these bytes, encrypted if there is TLS; on a WebSocket each element as a message of its
    /// own (see [`messages`](crate::messages())).
    Write(Vec<u8>),
    /// After what was written before is sent in the clear, begin the TLS handshake as its server;
    /// report [`Input::TlsUp`] or [`Input::PeerClosed`]. Bytes that come in from now on belong to
    /// the handshake.
    StartTls,
    /// Get this answered: [`Input::Answer`].
    Ask(Ticket, Question),
    /// A stanza from the client. Its `from` is absent or the client's own bare or full JID;
    /// its `to` is not judged.
    Stanza(Stanza),
    /// The client has bound this full JID, and is told so in the [`Output::Write`] before.
    Bound(FullJid),
    /// A stanza for a bound client in the place of the one that was asked: goes where all stanzas
    /// for it go, so that it is counted with them.
    Reply(Vec<u8>),
    /// The client wants its stanzas counted (XEP-0198 §3). Those that it has sent behind this are
    /// counted already; those for it are from the [`enabled`](super::sm::enabled) answer on.
    Enable(Enable),
    /// The client wants to know how many of its stanzas have been handled: answer with an
    /// [`ack`](super::sm::ack) once that is so for these, which are all that came before.
    AckRequested(u32),
    /// The client has handled so many of the stanzas for it.
    Acked(u32),
    /// The session that the client has asked for is on this stream now. Send these bytes, then
    /// every stanza that the client has not handled, then what follows.
    Resumed(FullJid, Vec<u8>),
    /// Somebody looks at the bound client, or nobody (XEP-0352 §4.2).
    Active(bool),
    /// Something worth counting, logging or acting on.
    Event(StreamEvent),
    /// The stream is over. Send what was written before, end TLS, shut down the sending side. Then
    /// drop what still comes in, until [`is_closed`](super::C2sStream::is_closed), and let go of
    /// the socket (closing it at once could destroy what the client has not read yet).
    /// Nothing comes after this.
    Close,
}

/// What happened on a stream. No event contains a secret; names from the client are bounded by the
/// limits before login, and not escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// An attempt to log in failed. Comes before the [`Output::Write`] that says so to the client,
    /// so that the driver can delay it.
    AuthFailed {
        /// The mechanism, if it was one the server knows.
        mechanism: Option<Mechanism>,
        /// The name the client claimed, if it came so far; normalised if it can be.
        username: Option<String>,
        /// What the client is told.
        failure: SaslFailure,
        /// How many have failed on this stream, with this one.
        attempts: u32,
    },
    /// A login succeeded.
    Authenticated {
        /// Whose.
        account: BareJid,
        /// How.
        mechanism: Mechanism,
    },
    /// A bound client has been silent for the time set, and white space was sent to it; on a
    /// WebSocket the driver is to send a ping. A request that it must answer (XEP-0199) would tell
    /// more.
    Silent,
    /// The stream has ended. [`Output::Close`] comes next.
    Ended(Ending),
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The client closed it in good order.
    ByPeer,
    /// The client closed it with a stream error (`None`: of a kind no RFC knows).
    PeerError(Option<StreamCondition>),
    /// The connection ended before the stream did.
    Lost,
    /// The server closed it with this error.
    Error(StreamCondition),
    /// STARTTLS was asked for where it cannot be had (RFC 6120 §5.4.2.2).
    TlsRefused,
}
