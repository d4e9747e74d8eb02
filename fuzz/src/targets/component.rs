//! A component's stream (XEP-0114): whatever comes in whatever pieces, nothing counts before the secret is proved and the component is let in,
//! nothing comes in the name of others, nothing is said after the end, and all that is said is well-formed.
//!
//! An input is a script (see `script`). Events: RS lets a minute pass, EOT closes the connection, ENQ lets the server end the stream, ACK lets the
//! component in, NAK refuses it, and SYN is the right proof.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tercet_core::{Frame, Limits, StreamCondition, StreamParser};
use tercet_stream::component::{
    ComponentConfig, ComponentEvent, ComponentHost, ComponentSecret, ComponentStream, Input, Output,
};

use super::script;
use crate::Target;

const IRC: &str = "irc.a.example";
const SECRET: &str = "secret";

pub(crate) const TARGET: Target = Target {
    name: "component",
    run,
    dictionary: &[
        "\u{0}",
        "\u{1e}",
        "\u{4}",
        "\u{5}",
        "\u{6}",
        "\u{15}",
        "\u{16}",
        "<?xml version='1.0'?>",
        "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='irc.a.example'>",
        "</stream:stream>",
        "<handshake>0000000000000000000000000000000000000000</handshake>",
        "<handshake/>",
        "<message from='x@irc.a.example' to='y@a.example'><body>x</body></message>",
        "<message from='x@below.irc.a.example' to='y@a.example'/>",
        "<presence from='x@a.example' to='y@a.example'/>",
        "<iq from='irc.a.example' to='a.example' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
        " to='elsewhere.example'",
        " ",
    ],
};

fn run(data: &[u8]) {
    script::play(data, Driver::new);
}

/// What a connection would do, and what it watches.
struct Driver {
    stream: ComponentStream,
    subdomains: bool,
    now: Instant,
    /// Reads what the server says, as a component would.
    reader: StreamParser,
    /// The stream's name, which the proof is made from.
    id: String,
    proved: bool,
    admitted: bool,
    stanzas: usize,
    ended: bool,
    closed: bool,
}

impl Driver {
    fn new(flags: u8) -> Self {
        let subdomains = flags & 1 != 0;
        let config = ComponentConfig::new([ComponentHost {
            domain: IRC.into(),
            secret: ComponentSecret::new(SECRET),
            subdomains,
        }]);
        let now = Instant::now();
        Driver {
            stream: ComponentStream::new(Arc::new(config), now, [flags; 32]),
            subdomains,
            now,
            reader: StreamParser::new(Limits::AFTER_LOGIN),
            id: String::new(),
            proved: false,
            admitted: false,
            stanzas: 0,
            ended: false,
            closed: false,
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.stream.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.stream.poll_output() {
            assert!(!self.closed, "nothing comes after the close");
            match output {
                Output::Write(bytes) => self.read(&bytes),
                Output::Proved(domain) => {
                    assert_eq!(&*domain, IRC, "only who is known");
                    assert!(!self.proved, "the secret is proved once");
                    self.proved = true;
                }
                Output::Stanza(stanza) => {
                    assert!(self.admitted, "no stanza before the component is let in");
                    let from = stanza.from().expect("valid").expect("there");
                    let domain = from.domain();
                    let below = domain
                        .strip_suffix(IRC)
                        .is_some_and(|rest| rest.ends_with('.'));
                    assert!(
                        domain == IRC || (self.subdomains && below),
                        "nobody speaks for another"
                    );
                    stanza.to().expect("valid").expect("there");
                    self.stanzas += 1;
                }
                Output::Event(ComponentEvent::Ended(_)) => {
                    assert!(!self.ended, "a stream ends once");
                    self.ended = true;
                }
                Output::Event(_) => {}
                Output::Close => {
                    assert!(self.ended, "the end is told before the close");
                    self.closed = true;
                }
            }
        }
    }

    fn read(&mut self, mut bytes: &[u8]) {
        loop {
            match self.reader.next(&mut bytes) {
                Ok(Some(Frame::Header(header))) => {
                    self.id = header.id.unwrap_or_default();
                }
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(error) => panic!("what no component accepts was sent: {error}"),
            }
        }
    }
}

impl script::Driver for Driver {
    const EVENTS: &'static [u8] = &[0x04, 0x05, 0x06, 0x15, 0x16, 0x1e];

    fn bytes(&mut self, piece: &[u8]) {
        self.input(Input::Bytes(piece));
    }

    fn event(&mut self, event: u8) {
        match event {
            0x04 => self.input(Input::PeerClosed),
            0x05 => self.input(Input::Close(StreamCondition::SystemShutdown.into())),
            0x06 => {
                self.admitted |= self.proved;
                self.input(Input::Admit);
            }
            0x15 => self.input(Input::Close(StreamCondition::Conflict.into())),
            0x16 => {
                let proof = ComponentSecret::new(SECRET).handshake(&self.id);
                let element = format!("<handshake>{proof}</handshake>");
                self.input(Input::Bytes(element.as_bytes()));
            }
            _ => {
                self.now += Duration::from_secs(60);
                self.input(Input::Tick);
            }
        }
    }

    fn end(&mut self) {
        self.input(Input::PeerClosed);
        assert!(
            self.stream.is_closed(),
            "the end of the connection is the end of the stream"
        );
        assert!(
            self.stream.deadline().is_none(),
            "nothing is waited for any more"
        );
        assert!(self.ended, "each stream says how it ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_scripts_get_as_far_as_they_mean_to() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(TARGET.name);
        for (name, proved, stanzas) in [
            ("open", true, 2),
            ("below", true, 1),
            ("early", true, 1),
            ("others", true, 0),
            ("refused", true, 0),
            ("wrong_secret", false, 0),
        ] {
            let data = std::fs::read(folder.join(name)).expect("a kept script");
            let driver = script::play(&data, Driver::new);
            assert_eq!((driver.proved, driver.stanzas), (proved, stanzas), "{name}");
        }
    }
}
