//! A peer at the other end of TCP connections, in the clear: for a server in a laboratory.
//!
//! Nothing here waits for a time to pass. A client that wants to know whether something is coming asks the server for an
//! answer (a ping): what was on its way before stands before the answer. Where the script says that something comes, that is waited for:
//! what another client has set off may take longer than a ping.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tercet_core::{Frame, Head, Limits, OwnedElement, Stanza, StreamParser, escape_attr, ns};

use crate::scram::Scram;
use crate::{Arrival, Client, Peer, PeerError};

/// A server that does not answer for so long is taken for dead.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server behind a TCP address, to which clients log in by SCRAM-SHA-1 without TLS. Accounts must exist.
pub struct TcpPeer {
    address: SocketAddr,
    links: BTreeMap<String, Link>,
}

impl TcpPeer {
    /// A peer at `address`; nothing is connected yet.
    pub fn new(address: SocketAddr) -> Self {
        TcpPeer {
            address,
            links: BTreeMap::new(),
        }
    }

    fn link(&mut self, name: &str) -> Result<&mut Link, PeerError> {
        self.links
            .get_mut(name)
            .ok_or_else(|| PeerError::new(format!("{name} is not connected")))
    }
}

impl Peer for TcpPeer {
    fn configure(&mut self, _: &str) -> Result<(), PeerError> {
        Err(PeerError::new("a peer behind TCP cannot be configured"))
    }

    fn connect(&mut self, client: &Client) -> Result<String, PeerError> {
        let mut link = Link::open(self.address, client)?;
        link.log_in(client)?;
        let full_jid = link.bind(client)?;
        self.links.insert(client.name.clone(), link);
        Ok(full_jid)
    }

    fn send(&mut self, name: &str, xml: &str) -> Result<(), PeerError> {
        let link = self.link(name)?;
        link.write(xml)?;
        // What it sets off is under way, in order, before the next thing happens.
        link.sync()
    }

    fn receive(&mut self, name: &str) -> Result<Arrival, PeerError> {
        let link = self.link(name)?;
        if link.arrived.is_empty() {
            link.sync()?;
        }
        let silence = if link.closed {
            Arrival::Closed
        } else {
            Arrival::Nothing
        };
        Ok(link.arrived.pop_front().unwrap_or(silence))
    }

    fn expect(&mut self, name: &str) -> Result<Arrival, PeerError> {
        let link = self.link(name)?;
        while link.arrived.is_empty() && !link.closed {
            link.read_some(|_| false)?;
        }
        Ok(link.arrived.pop_front().unwrap_or(Arrival::Closed))
    }

    fn disconnect(&mut self, name: &str) -> Result<(), PeerError> {
        let link = self.link(name)?;
        link.write("</stream:stream>")?;
        link.read_until(|_| false)
    }

    fn advance(&mut self, _: Duration) -> Result<(), PeerError> {
        Err(PeerError::new("a peer behind TCP has a clock of its own"))
    }
}

/// One client's connection.
struct Link {
    socket: TcpStream,
    parser: StreamParser,
    domain: String,
    arrived: VecDeque<Arrival>,
    pings: u32,
    closed: bool,
}

impl Link {
    fn open(address: SocketAddr, client: &Client) -> Result<Self, PeerError> {
        let socket = TcpStream::connect(address).map_err(broken)?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
        socket.set_nodelay(true).map_err(broken)?;
        let (_, domain) = client
            .jid
            .split_once('@')
            .ok_or_else(|| PeerError::new(format!("{} has no localpart", client.jid)))?;
        let mut link = Link {
            socket,
            parser: StreamParser::new(Limits::AFTER_LOGIN),
            domain: domain.to_owned(),
            arrived: VecDeque::new(),
            pings: 0,
            closed: false,
        };
        link.begin()?;
        Ok(link)
    }

    /// Opens a stream and reads up to its features.
    fn begin(&mut self) -> Result<(), PeerError> {
        self.parser.reset();
        let mut header = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' to='".to_vec();
        escape_attr(&self.domain, &mut header);
        header.extend_from_slice(b"'>");
        self.socket.write_all(&header).map_err(broken)?;
        self.element("features", ns::STREAMS).map(|_| ())
    }

    fn log_in(&mut self, client: &Client) -> Result<(), PeerError> {
        let username = client.jid.split('@').next().unwrap_or_default();
        let (scram, first) = Scram::begin(username);
        self.write(&format!(
            "<auth xmlns='{}' mechanism='SCRAM-SHA-1'>{first}</auth>",
            ns::SASL
        ))?;
        let challenge = self.element("challenge", ns::SASL)?;
        let response = scram
            .answer(&challenge.root().text(), &client.password)
            .ok_or_else(|| PeerError::new("a challenge that SCRAM does not know"))?;
        self.write(&format!(
            "<response xmlns='{}'>{response}</response>",
            ns::SASL
        ))?;
        self.element("success", ns::SASL)?;
        self.begin()
    }

    fn bind(&mut self, client: &Client) -> Result<String, PeerError> {
        let resource = client
            .resource
            .as_deref()
            .map(|resource| {
                let mut text = b"<resource>".to_vec();
                escape_attr(resource, &mut text);
                text.extend_from_slice(b"</resource>");
                String::from_utf8_lossy(&text).into_owned()
            })
            .unwrap_or_default();
        self.write(&format!(
            "<iq type='set' id='bind'><bind xmlns='{}'>{resource}</bind></iq>",
            ns::BIND
        ))?;
        let mut full_jid = None;
        self.read_until(|frame| {
            if let Frame::Stanza(stanza) = frame
                && let Some(bind) = stanza.child("bind", ns::BIND)
            {
                let bind = bind.parse();
                let jid = bind.root().child("jid", ns::BIND);
                full_jid = jid.map(|jid| jid.text().into_owned());
            }
            true
        })?;
        full_jid.ok_or_else(|| PeerError::new("the server bound no resource"))
    }

    fn write(&mut self, xml: &str) -> Result<(), PeerError> {
        self.socket.write_all(xml.as_bytes()).map_err(broken)
    }

    /// Reads until the server has answered a ping, or has closed the stream.
    fn sync(&mut self) -> Result<(), PeerError> {
        if self.closed {
            return Ok(());
        }
        self.pings += 1;
        let id = format!("transcript-sync-{}", self.pings);
        let ping = format!(
            "<iq type='get' id='{id}' to='{}'><ping xmlns='urn:xmpp:ping'/></iq>",
            self.domain
        );
        // A server that has closed its end may refuse more bytes: what it sent before is read all the same.
        let _ = self.write(&ping);
        self.read_until(
            |frame| matches!(frame, Frame::Stanza(stanza) if stanza.id().as_deref() == Some(&id)),
        )
    }

    /// The next element, which must have that name.
    fn element(&mut self, name: &str, namespace: &str) -> Result<OwnedElement, PeerError> {
        let mut found = None;
        self.read_until(|frame| match frame {
            Frame::Element(element) => {
                found = Some(element.clone());
                true
            }
            _ => false,
        })?;
        match found {
            Some(element) if element.root().is(name, namespace) => Ok(element),
            Some(element) => Err(PeerError::new(format!(
                "<{name}> was expected, and this came: {element:?}"
            ))),
            None => Err(PeerError::new(format!(
                "the server closed the stream instead of <{name}>"
            ))),
        }
    }

    /// Reads frames until `wanted` is true for one, which is taken away, or the stream ends. All others wait to be received.
    fn read_until(&mut self, mut wanted: impl FnMut(&Frame) -> bool) -> Result<(), PeerError> {
        while !self.closed {
            if self.read_some(&mut wanted)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads once. True if `wanted` was for one of the frames, which is taken away; all others wait to be received.
    fn read_some(&mut self, mut wanted: impl FnMut(&Frame) -> bool) -> Result<bool, PeerError> {
        let mut buffer = [0; 4096];
        let count = match self.socket.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => return Err(broken(error)),
        };
        if count == 0 {
            self.closed = true;
        }
        let mut bytes = &buffer[..count];
        let mut found = false;
        while let Some(frame) = self
            .parser
            .next(&mut bytes)
            .map_err(|error| PeerError::new(error.to_string()))?
        {
            if !found && wanted(&frame) {
                found = true;
                continue;
            }
            match frame {
                Frame::Stanza(stanza) => self.arrived.push_back(Arrival::Element(text(&stanza))),
                Frame::Element(element) => {
                    let mut out = Vec::new();
                    element.root().to_xml(&mut out);
                    let xml = String::from_utf8_lossy(&out).into_owned();
                    self.arrived.push_back(Arrival::Element(xml));
                }
                Frame::Header(_) | Frame::End | Frame::Whitespace => {}
            }
        }
        Ok(found)
    }
}

/// The stanza as it arrived.
fn text(stanza: &Stanza) -> String {
    let mut out = Vec::new();
    let from = stanza.from().ok().flatten();
    let to = stanza.to().ok().flatten();
    let head = Head {
        from: from.map(|jid| jid.as_str()),
        to: to.map(|jid| jid.as_str()),
        lang: None,
        xmlns: None,
    };
    stanza.write(&mut out, head);
    String::from_utf8_lossy(&out).into_owned()
}

fn broken(error: std::io::Error) -> PeerError {
    PeerError::new(format!("the connection broke: {error}"))
}
