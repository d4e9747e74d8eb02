//! Streams of components: XEP-0114 1.6 as a state machine without IO, for the server's end, to which the component connects.
//!
//! A header, a proof of the secret, then stanzas. No features, no TLS and no stream management: the protocol has none, so
//! these streams belong on a machine of one's own.
//!
//! ```text
//!  Opening -- header --> Handshake -- right proof --> Proved -- Admit --> Open
//!  any -- error, end of stream, end of connection --> Closing --> Closed
//! ```
//!
//! A stanza comes out only if it is from an address of the component's own domain, or of one below it where that is set.
//!
//! Left out: connections that the server makes (`jabber:component:connect`), which no component in use expects.

mod api;
mod config;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use tercet_core::{
    Frame, Jid, Stanza, StanzaError, StreamCondition, StreamError, StreamHeader, XmlWriter,
    error_reply, ns,
};

pub use api::{ComponentEnding, ComponentEvent, Input, Output};
pub use config::{ComponentConfig, ComponentHost, ComponentSecret};

use crate::framing::{Framer, Framing, Header};
use crate::random::{Purpose, Random};

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The header is expected.
    Opening,
    /// The proof is.
    Handshake,
    /// The proof was right; whether the component may come in is being decided.
    Proved,
    /// Stanzas.
    Open,
    /// Over; the peer has until then to close the connection.
    Closing { until: Instant },
    /// Nothing left to do.
    Closed,
}

/// One stream of a component, from its first byte to its end.
///
/// A driver feeds it ([`handle`](Self::handle)), then does what [`poll_output`](Self::poll_output) says until that is
/// `None`, then waits for the next input or for [`deadline`](Self::deadline).
///
/// ```
/// use std::sync::Arc;
/// use std::time::Instant;
/// use tercet_stream::component::{ComponentConfig, ComponentHost, ComponentSecret, ComponentStream, Input, Output};
///
/// let secret = ComponentSecret::new("not to be guessed");
/// let component = ComponentHost { domain: "irc.example".into(), secret, subdomains: false };
/// let config = Arc::new(ComponentConfig::new([component]));
/// let mut stream = ComponentStream::new(config, Instant::now(), [7; 32]);
/// let header = "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='irc.example'>";
/// stream.handle(Instant::now(), Input::Bytes(header.as_bytes()));
/// let Some(Output::Write(header)) = stream.poll_output() else { panic!() };
/// assert!(String::from_utf8_lossy(&header).contains(" from='irc.example'"));
/// ```
pub struct ComponentStream {
    config: Arc<ComponentConfig>,
    framer: Framer,
    random: Random,
    state: State,
    /// The component that the header names, once it is known.
    component: Option<ComponentHost>,
    id: String,
    header_sent: bool,
    opened: Instant,
    last_received: Instant,
    last_keep_alive: Instant,
    /// What came while the decision was out.
    parked: Vec<u8>,
    outputs: VecDeque<Output>,
}

impl ComponentStream {
    /// A stream on a connection that a component made at `now`. `seed` must be random and never used twice.
    pub fn new(config: Arc<ComponentConfig>, now: Instant, seed: [u8; 32]) -> Self {
        Self {
            framer: Framer::new(Framing::Tcp, config.before_login),
            config,
            random: Random::new(seed),
            state: State::Opening,
            component: None,
            id: String::new(),
            header_sent: false,
            opened: now,
            last_received: now,
            last_keep_alive: now,
            parked: Vec::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes an input. `now` must not go back.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Bytes(bytes) => {
                self.last_received = now;
                self.receive(now, bytes);
            }
            Input::Admit if self.state == State::Proved => {
                self.state = State::Open;
                self.framer.set_limits(self.config.after_login);
                // XEP-0114 §3: the empty answer.
                self.write_xml(|w| {
                    w.leaf("handshake", &[]);
                });
                let parked = std::mem::take(&mut self.parked);
                self.receive(now, &parked);
            }
            Input::Admit => {}
            Input::PeerClosed => {
                if !self.is_over() {
                    self.hang_up(now, ComponentEnding::Lost);
                }
                self.state = State::Closed;
            }
            Input::Tick => {
                if self.deadline().is_some_and(|deadline| deadline <= now) {
                    self.tick(now);
                }
            }
            Input::Close(error) => {
                if !self.is_over() {
                    self.fail(now, &error);
                }
            }
        }
    }

    /// The next thing to do, in order; `None`: nothing until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() && self.outputs.capacity() > 0 {
            // An idle stream holds no buffers.
            self.outputs = VecDeque::new();
        }
        output
    }

    /// When to feed [`Input::Tick`] if nothing else happens.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Opening | State::Handshake | State::Proved => {
                Some(self.opened + self.config.negotiation_timeout)
            }
            State::Open => {
                let silent = self.last_received.max(self.last_keep_alive);
                self.config.keep_alive_after.map(|after| silent + after)
            }
            State::Closing { until } => Some(until),
            State::Closed => None,
        }
    }

    /// Whether everything is over: the peer has closed the connection after the end of the stream, or had its time to.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Closing { .. } | State::Closed)
    }

    fn receive(&mut self, now: Instant, mut input: &[u8]) {
        loop {
            match self.state {
                // After its end nothing on a stream means anything.
                State::Closing { .. } | State::Closed => return,
                State::Proved => return self.park(now, input),
                _ => {}
            }
            let next = match self.framer.next(&mut input) {
                Ok(None) => return,
                Ok(Some(frame)) => self.on_frame(now, frame),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = next {
                self.fail(now, &error);
            }
        }
    }

    fn park(&mut self, now: Instant, input: &[u8]) {
        let limit = self.framer.limits().stanza_bytes as usize;
        if self.parked.len() + input.len() > limit {
            self.parked = Vec::new();
            let error = StreamError::new(StreamCondition::PolicyViolation)
                .text("too much sent before the answer");
            return self.fail(now, &error);
        }
        self.parked.extend_from_slice(input);
    }

    /// # Errors
    /// The stream's end.
    fn on_frame(&mut self, now: Instant, frame: Frame) -> Result<(), StreamError> {
        match (self.state, frame) {
            // RFC 6120 §4.6.1: white space between elements means nothing.
            (_, Frame::Whitespace) => {}
            // RFC 6120 §4.4: the other side closes its stream, so we close ours.
            (_, Frame::End) => self.end(now, ComponentEnding::ByPeer),
            (_, Frame::Element(element)) if element.root().is("error", ns::STREAMS) => {
                let children = || element.root().children();
                let condition = children()
                    .find(|child| child.ns() == ns::STREAM_ERRORS && child.name() != "text")
                    .and_then(|child| StreamCondition::from_name(child.name()));
                let text = children()
                    .find(|child| child.is("text", ns::STREAM_ERRORS))
                    .map(|child| child.text().into());
                self.end(now, ComponentEnding::PeerError(condition, text));
            }
            (State::Opening, Frame::Header(header)) => self.on_header(&header)?,
            (State::Handshake, Frame::Element(element))
                if element.root().is("handshake", ns::COMPONENT) =>
            {
                self.on_handshake(&element.root().text())?;
            }
            (State::Open, Frame::Stanza(stanza)) => self.on_stanza(stanza)?,
            // RFC 6120 §4.9.3.12: nothing before the handshake.
            (State::Handshake, _) => return Err(StreamCondition::NotAuthorized.into()),
            // RFC 6120 §4.8.3, §4.9.3.10: the content of other streams is not that of these.
            (_, Frame::Element(element))
                if matches!(element.root().ns(), ns::CLIENT | ns::SERVER)
                    && matches!(element.root().name(), "message" | "presence" | "iq") =>
            {
                return Err(StreamCondition::InvalidNamespace.into());
            }
            // RFC 6120 §4.9.3.24: an element that is no stanza.
            (_, Frame::Element(_)) => return Err(StreamCondition::UnsupportedStanzaType.into()),
            // Headers come once, and first.
            (_, _) => return Err(StreamCondition::BadFormat.into()),
        }
        Ok(())
    }

    fn on_header(&mut self, header: &StreamHeader) -> Result<(), StreamError> {
        let to = header.to.as_deref();
        let domain = to.and_then(|to| Jid::parse(to).ok());
        let domain = domain.filter(|jid| jid.local().is_none() && jid.is_bare());
        // XEP-0114 §3: from is the component's name, as it says it.
        self.write_header(domain.as_ref().map_or("", |jid| jid.domain()));
        // XEP-0114 §3: another content than that of these streams.
        if !header.stream_ns_ok || header.content_ns != ns::COMPONENT {
            return Err(StreamCondition::InvalidNamespace.into());
        }
        let Some(domain) = domain else {
            return Err(StreamCondition::HostUnknown.into());
        };
        // XEP-0114 §3: a name that is not served.
        let Some(component) = self.config.component(domain.domain()) else {
            self.event(ComponentEvent::Unknown(domain.domain().into()));
            return Err(StreamCondition::HostUnknown.into());
        };
        self.component = Some(component.clone());
        self.state = State::Handshake;
        Ok(())
    }

    fn on_handshake(&mut self, handshake: &str) -> Result<(), StreamError> {
        let component = self.component.as_ref();
        let component = component.ok_or(StreamCondition::InternalServerError)?;
        let domain: Box<str> = component.domain.as_str().into();
        // XEP-0114 §3: wrong credentials end the stream.
        if !component.secret.proves(&self.id, handshake) {
            self.event(ComponentEvent::Refused(domain));
            return Err(StreamCondition::NotAuthorized.into());
        }
        self.state = State::Proved;
        self.outputs.push_back(Output::Proved(domain));
        Ok(())
    }

    fn on_stanza(&mut self, stanza: Stanza) -> Result<(), StreamError> {
        // XEP-0114 §3: from is there, and of the component's domain.
        let from = match stanza.from() {
            Ok(Some(from)) => from,
            Ok(None) | Err(_) => return Err(StreamCondition::ImproperAddressing.into()),
        };
        let component = self.component.as_ref();
        if !component.is_some_and(|component| component.has(from.domain())) {
            return Err(StreamCondition::InvalidFrom.into());
        }
        // XEP-0114 §3: so is to; but a gateway that forgets it once goes on serving its other users.
        let error = match stanza.to() {
            Ok(Some(_)) => {
                self.outputs.push_back(Output::Stanza(stanza));
                return Ok(());
            }
            Ok(None) => StanzaError::bad_request().text("whom is this for?"),
            Err(error) => error,
        };
        let own = component.map(|component| component.domain.clone());
        let to = from.to_string();
        self.write(|_, out| {
            error_reply(&stanza, &error, own.as_deref(), Some(&to), out);
        });
        Ok(())
    }

    fn tick(&mut self, now: Instant) {
        match self.state {
            State::Opening | State::Handshake | State::Proved => {
                let error = StreamError::new(StreamCondition::ConnectionTimeout)
                    .text("not authenticated in time");
                self.fail(now, &error);
            }
            State::Open => {
                self.last_keep_alive = now;
                self.event(ComponentEvent::Silent);
                self.write(|framer, out| framer.write_keep_alive(out));
            }
            State::Closing { .. } | State::Closed => self.state = State::Closed,
        }
    }

    /// RFC 6120 §4.9.1.2: there is a header before the error in any case.
    fn fail(&mut self, now: Instant, error: &StreamError) {
        if !self.header_sent {
            self.write_header("");
        }
        self.write_xml(|w| error.write(w));
        self.end(now, ComponentEnding::Error(error.condition));
    }

    fn end(&mut self, now: Instant, ending: ComponentEnding) {
        if !self.header_sent {
            self.write_header("");
        }
        self.write(|framer, out| framer.write_end(out));
        self.hang_up(now, ending);
    }

    fn hang_up(&mut self, now: Instant, ending: ComponentEnding) {
        self.event(ComponentEvent::Ended(ending));
        self.outputs.push_back(Output::Close);
        self.parked = Vec::new();
        self.state = State::Closing {
            until: now + self.config.close_timeout,
        };
    }

    fn write_header(&mut self, from: &str) {
        self.header_sent = true;
        self.id = self.random.name(Purpose::StreamId);
        let id = self.id.clone();
        self.write(|framer, out| {
            let header = Header {
                content_ns: ns::COMPONENT,
                declarations: &[],
                id: Some(&id),
                from,
                to: None,
                version: None,
                lang: "en",
            };
            framer.write_header(&header, out);
        });
    }

    fn event(&mut self, event: ComponentEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    fn write(&mut self, write: impl FnOnce(&Framer, &mut Vec<u8>)) {
        if !matches!(self.outputs.back(), Some(Output::Write(_))) {
            self.outputs.push_back(Output::Write(Vec::new()));
        }
        if let Some(Output::Write(out)) = self.outputs.back_mut() {
            write(&self.framer, out);
        }
    }

    fn write_xml(&mut self, write: impl FnOnce(&mut XmlWriter)) {
        self.write(|_, out| {
            let mut w = XmlWriter::into(std::mem::take(out));
            write(&mut w);
            *out = w.finish();
        });
    }
}
