//! What every state of a client stream works with.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use tercet_core::{Stanza, StanzaError, StreamCondition, StreamError, XmlWriter, error_reply, ns};

use super::api::{Ending, Output, StreamEvent};
use super::config::{C2sConfig, HostConfig, TlsPolicy};
use super::state::State;
use crate::framing::{Framer, Framing, Header};
use crate::question::{Question, Ticket};
use crate::random::{Purpose, Random};
use crate::tls::TlsInfo;

pub(super) struct Context {
    pub(super) config: Arc<C2sConfig>,
    pub(super) framer: Framer,
    /// Set by the first header, and the same to the stream's end.
    pub(super) host: Option<Arc<HostConfig>>,
    pub(super) tls: Option<Box<TlsInfo>>,
    pub(super) random: Random,
    /// Language of the client's stream header.
    pub(super) lang: Option<Box<str>>,
    pub(super) now: Instant,
    /// Whether further bytes of the client are there already, behind the frame now handled or in
    /// wait of the answer now handled. White space does not count.
    pub(super) pipelined: bool,
    /// Failed logins.
    pub(super) logins: u32,
    /// Registration requests.
    pub(super) registrations: u32,
    /// The token of the invitation that was shown and holds.
    pub(super) invitation: Option<Box<str>>,
    /// Failed bindings.
    pub(super) bindings: u32,
    header_sent: bool,
    tickets: u32,
    outputs: VecDeque<Output>,
}

impl Context {
    pub(super) fn new(
        config: Arc<C2sConfig>,
        framing: Framing,
        now: Instant,
        seed: [u8; 32],
    ) -> Self {
        Self {
            framer: Framer::new(framing, config.before_login),
            config,
            host: None,
            tls: None,
            random: Random::new(seed),
            lang: None,
            now,
            pipelined: false,
            logins: 0,
            registrations: 0,
            invitation: None,
            bindings: 0,
            header_sent: false,
            tickets: 0,
            outputs: VecDeque::new(),
        }
    }

    /// The host of this stream; before a header has named one, the default one.
    pub(super) fn host(&self) -> &Arc<HostConfig> {
        self.host
            .as_ref()
            .unwrap_or_else(|| self.config.default_host())
    }

    /// Whether the client has the encryption that its host requires.
    pub(super) fn secure_enough(&self) -> bool {
        self.tls.is_some() || self.framer.is_private() || self.host().tls != TlsPolicy::Required
    }

    /// Whether STARTTLS can be had. RFC 7395 §3.9: not in a WebSocket, whose TLS lies below it.
    pub(super) fn may_start_tls(&self) -> bool {
        self.tls.is_none() && self.host().tls != TlsPolicy::Absent && !self.framer.has_messages()
    }

    /// Appends to what is to be sent.
    pub(super) fn write(&mut self, write: impl FnOnce(&Framer, &mut Vec<u8>)) {
        if !matches!(self.outputs.back(), Some(Output::Write(_))) {
            self.outputs.push_back(Output::Write(Vec::new()));
        }
        if let Some(Output::Write(out)) = self.outputs.back_mut() {
            write(&self.framer, out);
        }
    }

    /// Appends XML to what is to be sent.
    pub(super) fn write_xml(&mut self, write: impl FnOnce(&mut XmlWriter)) {
        self.write(|_, out| {
            let mut w = XmlWriter::into(std::mem::take(out));
            write(&mut w);
            *out = w.finish();
        });
    }

    /// Appends the error reply to `request`, if it is one to be answered.
    pub(super) fn reply_error(
        &mut self,
        request: &Stanza,
        error: &StanzaError,
        from: Option<&str>,
    ) {
        self.write(|_, out| {
            error_reply(request, error, from, None, out);
        });
    }

    /// A stanza for a bound client.
    pub(super) fn reply(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        write(&mut out);
        self.push(Output::Reply(out));
    }

    pub(super) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn event(&mut self, event: StreamEvent) {
        self.push(Output::Event(event));
    }

    pub(super) fn ask(&mut self, question: Question) -> Ticket {
        self.tickets = self.tickets.wrapping_add(1);
        let ticket = Ticket(self.tickets);
        self.push(Output::Ask(ticket, question));
        ticket
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() && self.outputs.capacity() > 0 {
            // An idle stream holds no buffers.
            self.outputs = VecDeque::new();
        }
        output
    }

    /// Begins the stream anew (RFC 6120 §4.3.3): a header is expected, and will be answered.
    pub(super) fn restart(&mut self, logged_in: bool) {
        self.framer.restart(if logged_in {
            self.config.after_login
        } else {
            self.config.before_login
        });
        self.header_sent = false;
    }

    /// RFC 6120 §4.7: the header that answers the client's.
    pub(super) fn write_header(&mut self, to: Option<&str>, version: Option<&str>) {
        self.header_sent = true;
        let id = self.random.name(Purpose::StreamId);
        let host = self.host().clone();
        self.write(|framer, out| {
            let header = Header {
                content_ns: ns::CLIENT,
                declarations: &[],
                id: Some(&id),
                from: &host.domain,
                to,
                version,
                // The server's own texts are in English.
                lang: "en",
            };
            framer.write_header(&header, out);
        });
    }

    /// Ends the stream with an error. RFC 6120 §4.9.1.2: an error is inside a stream, so there is a
    /// header before it in any case.
    pub(super) fn fail(&mut self, error: &StreamError) -> State {
        if !self.header_sent {
            self.write_header(None, Some("1.0"));
        }
        if error.condition == StreamCondition::SystemShutdown
            && let Some(uri) = self.config.see_other_uri.clone()
            && self.framer.can_move()
        {
            self.write(|framer, out| framer.write_move(&uri, out));
            return self.hang_up(Ending::Error(error.condition));
        }
        self.write_xml(|w| error.write(w));
        self.end(Ending::Error(error.condition))
    }

    /// Ends the stream, which has been opened, and the connection.
    pub(super) fn end(&mut self, ending: Ending) -> State {
        self.write(|framer, out| framer.write_end(out));
        self.hang_up(ending)
    }

    /// Ends the connection without a word: there is no stream, or nobody to hear.
    pub(super) fn hang_up(&mut self, ending: Ending) -> State {
        self.event(StreamEvent::Ended(ending));
        self.push(Output::Close);
        State::Closing {
            until: self.now + self.config.close_timeout,
        }
    }
}

/// RFC 6120 §6.4.5, §7.7: an end to trying again and again.
pub(super) fn too_many_attempts() -> StreamError {
    StreamError::new(StreamCondition::PolicyViolation).text("too many attempts")
}
