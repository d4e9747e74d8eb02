//! A client stream's WebSocket: frames of the client into the stream, elements for it into frames.

use std::time::Instant;

use tercet_core::{Stanza, StreamCondition, StreamError};
use tercet_stream::websocket::{self, Event, Fault, Reader};
use tercet_stream::{C2sStream, Input, messages};

use super::wire::Scratch;

/// RFC 6455 §7.4.1: an end in good order.
const NORMAL: u16 = 1000;
/// Pongs that wait for a client that does not take them; more pings than that are not answered one by one
/// (RFC 6455 §5.5.3).
const CONTROL_BYTES: usize = 4096;

/// Both directions of one WebSocket.
#[derive(Default)]
pub(super) struct WebSocket {
    reader: Reader,
    /// Control frames that go out next.
    control: Vec<u8>,
    fault: Option<Fault>,
    /// Our close frame has been sent.
    closed: bool,
}

impl WebSocket {
    /// Takes one frame from the front of `bytes` and feeds `stream` what is in it; gives the stanza, if it is one. All of
    /// `bytes` is taken where no frame is complete.
    pub(super) fn receive(
        &mut self,
        bytes: &mut &[u8],
        stream: &mut C2sStream,
        now: Instant,
    ) -> Option<Stanza> {
        // The limit is another one once the client has logged in.
        match self.reader.next(bytes, stream.message_limit()) {
            Ok(Some(Event::Text(text))) if stream.is_bound() && !text.is_empty() => {
                return stream.receive(now, &mut text.as_slice());
            }
            Ok(Some(Event::Text(text))) => stream.handle(now, Input::Bytes(&text)),
            Ok(Some(Event::Ping(payload))) => {
                if self.control.len() < CONTROL_BYTES {
                    websocket::pong(&payload, &mut self.control);
                }
            }
            Ok(Some(Event::Pong) | None) => {}
            // RFC 7395 §3.6: without a <close/> it is as if the connection broke.
            Ok(Some(Event::Close(_))) => stream.handle(now, Input::PeerClosed),
            Err(fault) => {
                *bytes = &[];
                self.fault = Some(fault);
                stream.handle(
                    now,
                    match fault {
                        Fault::TooLong | Fault::Fragments => Input::Close(
                            StreamError::new(StreamCondition::PolicyViolation)
                                .text("limit exceeded: stanza bytes"),
                        ),
                        // RFC 6455 §7.1.7: nobody who breaks the protocol is told in another.
                        _ => Input::PeerClosed,
                    },
                );
            }
        }
        None
    }

    /// Asks the client for a sign of life.
    pub(super) fn ping(&mut self) {
        websocket::ping(&mut self.control);
    }

    /// Turns the elements in `scratch.out` into frames, with what else is to be sent behind them; at the end of the stream
    /// the close frame, after which there is nothing.
    pub(super) fn frame(&mut self, scratch: &mut Scratch, end: bool) {
        let Scratch { out, frames, .. } = scratch;
        if self.closed {
            return out.clear();
        }
        frames.clear();
        for message in messages(out) {
            websocket::text_header(message.len(), frames);
            message.write(frames);
        }
        frames.append(&mut self.control);
        self.control = Vec::new();
        if end {
            self.closed = true;
            let code = self.fault.map_or(NORMAL, Fault::code);
            websocket::close(code, frames);
        }
        std::mem::swap(out, frames);
        frames.clear();
        frames.shrink_to(Scratch::KEPT);
    }
}
