//! What goes into a component's stream and what comes out of it.

use tercet_core::{Stanza, StreamCondition, StreamError};

/// Something that happened outside.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes from the component. All of them are taken.
    Bytes(&'a [u8]),
    /// The component of [`Output::Proved`] may go on: its stanzas count from here.
    Admit,
    /// The connection ended or broke: nothing more can be read.
    PeerClosed,
    /// The time of [`deadline`](super::ComponentStream::deadline) has come. Harmless if early.
    Tick,
    /// The server ends the stream.
    Close(StreamError),
}

/// Something to be done outside, in this order.
#[derive(Debug)]
pub enum Output {
    /// Send these bytes.
    Write(Vec<u8>),
    /// The peer knows the secret of the component with this domain. Answer with [`Input::Admit`], or with [`Input::Close`] and
    /// `conflict` if there is one already. What it sends meanwhile is kept, up to the limit for one stanza.
    Proved(Box<str>),
    /// A stanza from the component. Its addresses are there and valid, and `from` is of the component's domain.
    Stanza(Stanza),
    /// Something worth counting, logging or acting on.
    Event(ComponentEvent),
    /// The stream is over. Send what was written before, then shut down the sending side. Nothing comes after this.
    Close,
}

/// What happened on a component's stream. Names and texts from the peer are bounded by the limits before login, and not escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ComponentEvent {
    /// The peer does not know the secret of this domain.
    Refused(Box<str>),
    /// There is no component of this name.
    Unknown(Box<str>),
    /// The peer has been silent for the time set, and white space was sent to it.
    Silent,
    /// The stream has ended. [`Output::Close`] comes next.
    Ended(ComponentEnding),
}

/// How a component's stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ComponentEnding {
    /// The component closed it in good order.
    ByPeer,
    /// The component closed it with a stream error (`None`: of a kind no RFC knows) and this text.
    PeerError(Option<StreamCondition>, Option<Box<str>>),
    /// The connection ended before the stream did.
    Lost,
    /// This server closed it with this error.
    Error(StreamCondition),
}
