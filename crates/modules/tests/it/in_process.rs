//! A server in this process, for transcripts: no socket, no TLS, no login. Sessions are bound as the stream would have them
//! bound, and the time passes when the script says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use tercet_core::{
    BareJid, DomainPattern, Frame, Head, Limits as XmlLimits, Peers, Stanza, StreamError,
    StreamParser, XmlWriter,
};
use tercet_modules::bytestreams::{Refusal, Relay, set_relay};
use tercet_server::{
    AccountError, Bytestreams, Clock, Entry, External, HostInfo, Limits, Outbox, PubSub, Receipt,
    RoomCreation, Rooms, Secret, Server, Session, VHost,
};
use tercet_store::Store;
use tercet_testkit::{Arrival, Client, Peer, PeerError};

/// When every transcript begins: 2024-01-01T00:00:00Z.
const BEGINNING_MS: u64 = 1_704_067_200_000;

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

/// The server and its clients.
pub(crate) struct InProcess {
    server: Arc<Server>,
    domains: BTreeSet<String>,
    clients: BTreeMap<String, Connection>,
}

/// Two services for calls, one of which shares `secret`.
fn calls(secret: &str) -> Vec<External> {
    let service = |kind, name: Option<&str>, entry| External {
        kind,
        host: format!("{kind}.example.org"),
        port: 3478,
        transport: "udp",
        name: name.map(str::to_owned),
        entry,
    };
    let made = Entry::Made {
        secret: Secret(secret.into()),
        lifetime_s: 3600,
    };
    vec![
        service("stun", None, Entry::Open),
        service("turn", Some("Calls"), made),
    ]
}

/// A relay to which nobody connects.
struct NoStreams;

impl Relay for NoStreams {
    fn port(&self) -> u16 {
        7777
    }

    fn activate(&self, _: &str, _: &[u8; 20]) -> Result<(), Refusal> {
        Err(Refusal::Unknown)
    }
}

/// One client's stream, seen from both ends.
struct Connection {
    session: Arc<Session>,
    /// Reads what the client sends.
    upward: StreamParser,
    /// Reads what the client receives.
    downward: StreamParser,
    arrived: VecDeque<Arrival>,
    closed: bool,
}

impl InProcess {
    /// A server for the domains of `clients`, with every module, and nothing in its store.
    pub(crate) fn new(clients: &[Client]) -> Self {
        let catalogue: Vec<_> = [tercet_server::KINDS, tercet_modules::KINDS].concat();
        let clock = Clock::Manual(AtomicU64::new(BEGINNING_MS));
        let server = Server::new(Store::memory(&catalogue), Limits::default(), clock);
        let server = block_on(server).unwrap();
        set_relay(&server, Arc::new(NoStreams));
        block_on(tercet_modules::push::web::prepare(&server)).unwrap();
        let domains = clients
            .iter()
            .map(|client| bare(client).domain().to_owned())
            .collect();
        let mut peer = InProcess {
            server,
            domains,
            clients: BTreeMap::new(),
        };
        peer.configure("").unwrap();
        peer
    }

    /// The server.
    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The first of its hosts.
    pub(crate) fn host(&self) -> Arc<VHost> {
        let domain = self.domains.first().unwrap();
        self.server.host(domain).unwrap()
    }

    /// The session of that client.
    pub(crate) fn session(&self, name: &str) -> Arc<Session> {
        self.clients[name].session.clone()
    }

    /// Does what is to be done by now.
    pub(crate) fn run_due(&self) {
        run_due(&self.server);
    }

    fn connection(&mut self, name: &str) -> Result<&mut Connection, PeerError> {
        self.clients
            .get_mut(name)
            .ok_or_else(|| PeerError::new(format!("{name} is not connected")))
    }
}

impl Peer for InProcess {
    fn configure(&mut self, config: &str) -> Result<(), PeerError> {
        let mut table: toml::Table = config
            .parse()
            .map_err(|error| PeerError::new(format!("{error}")))?;
        let mut info = HostInfo {
            public_url: Some("https://localhost:5281".into()),
            ..HostInfo::default()
        };
        if let Some(modules) = table.remove("modules") {
            info.modules = modules
                .try_into()
                .map_err(|error| PeerError::new(format!("[modules]: {error}")))?;
        }
        if let Some(registration) = table.remove("registration") {
            let policy = registration
                .get("policy")
                .cloned()
                .unwrap_or_else(|| "closed".into());
            info.registration = policy
                .try_into()
                .map_err(|error| PeerError::new(format!("[registration]: {error}")))?;
            info.invitations.by_users = registration
                .get("user_invitations")
                .is_some_and(|all| all.as_bool() == Some(true));
        }
        if let Some(admins) = table.remove("admins") {
            let admins: Vec<String> = admins
                .try_into()
                .map_err(|error| PeerError::new(format!("admins: {error}")))?;
            let admins = admins.iter().map(|admin| BareJid::parse(admin).unwrap());
            info.admins = admins.collect();
        }
        if let Some(contact) = table.remove("contact") {
            let contacts: BTreeMap<String, Vec<String>> = contact
                .try_into()
                .map_err(|error| PeerError::new(format!("[contact]: {error}")))?;
            info.contacts = contacts.into_iter().collect();
        }
        if let Some(limits) = table.remove("limits") {
            let limits: BTreeMap<String, u64> = limits
                .try_into()
                .map_err(|error| PeerError::new(format!("[limits]: {error}")))?;
            for (key, value) in limits {
                match key.as_str() {
                    "offline_messages" => info.limits.offline_messages = value,
                    "offline_bytes" => info.limits.offline_bytes = value,
                    _ => return Err(PeerError::new(format!("transcripts cannot limit {key}"))),
                }
            }
        }
        if let Some(external) = table.remove("external") {
            let secret = external.get("secret").and_then(|secret| secret.as_str());
            info.external = calls(secret.unwrap_or_default());
        }
        let mut rooms = Rooms::new("");
        if let Some(table) = table.remove("rooms") {
            rooms.creation = match table.get("creation").and_then(|c| c.as_str()) {
                Some("everybody") => RoomCreation::Everybody,
                Some("admins") => RoomCreation::Admins,
                _ => RoomCreation::Users,
            };
            let number = |key: &str| table.get(key).and_then(|n| n.as_integer());
            rooms.per_user = number("per_user").map_or(rooms.per_user, |n| n as usize);
            rooms.occupants = number("occupants").map_or(rooms.occupants, |n| n as usize);
            rooms.large = number("large").map_or(rooms.large, |n| n as usize);
        }
        if let Some(pubsub) = table.remove("pubsub") {
            let pubsub: BTreeMap<String, u64> = pubsub
                .try_into()
                .map_err(|error| PeerError::new(format!("[pubsub]: {error}")))?;
            for (key, value) in pubsub {
                match key.as_str() {
                    "nodes" => info.pubsub.nodes = value as usize,
                    "items" => info.pubsub.items = value as u32,
                    "item_size" => info.pubsub.item_bytes = value as usize,
                    "quota" => info.pubsub.owner_bytes = value,
                    "node_subscriptions" => info.pubsub.node_subscriptions = value as usize,
                    "user_subscriptions" => info.pubsub.user_subscriptions = value as usize,
                    _ => return Err(PeerError::new(format!("transcripts cannot limit {key}"))),
                }
            }
        }
        if let Some(uploads) = table.remove("upload") {
            let uploads: BTreeMap<String, u64> = uploads
                .try_into()
                .map_err(|error| PeerError::new(format!("[upload]: {error}")))?;
            for (key, value) in uploads {
                match key.as_str() {
                    "file_size" => info.uploads.file_bytes = value,
                    "profile_file_size" => info.uploads.profile_file_bytes = value,
                    "quota" => info.uploads.user_bytes = value,
                    _ => return Err(PeerError::new(format!("transcripts cannot limit {key}"))),
                }
            }
        }
        if let Some(peers) = table.remove("peers") {
            let peers: BTreeMap<String, Vec<String>> = peers
                .try_into()
                .map_err(|error| PeerError::new(format!("[peers]: {error}")))?;
            let list = |key: &str| {
                let texts = peers.get(key).into_iter().flatten();
                texts
                    .map(|text| DomainPattern::parse(text).unwrap())
                    .collect()
            };
            info.peers = Peers {
                allow: list("allow"),
                deny: list("deny"),
            };
        }
        if let Some(unknown) = table.keys().next() {
            return Err(PeerError::new(format!(
                "transcripts cannot configure [{unknown}]"
            )));
        }
        let infos = self.domains.iter().map(|domain| HostInfo {
            domain: domain.clone(),
            public_url: Some(format!("https://{domain}:5281")),
            pubsub: PubSub {
                domain: Some(format!("pubsub.{domain}")),
                ..info.pubsub.clone()
            },
            bytestreams: Some(Bytestreams {
                domain: format!("proxy.{domain}"),
                address: domain.clone(),
                everybody: false,
            }),
            rooms: Some(Rooms {
                domain: format!("rooms.{domain}"),
                ..rooms.clone()
            }),
            ..info.clone()
        });
        self.server
            .configure(infos.collect(), tercet_modules::modules)
            .map_err(|faults| PeerError::new(faults.join("; ")))
    }

    fn connect(&mut self, client: &Client) -> Result<String, PeerError> {
        let account = bare(client);
        let password = if client.password.is_empty() {
            "password"
        } else {
            &client.password
        };
        match block_on(self.server.create_account(&account, password, false)) {
            Ok(()) | Err(AccountError::Exists(_)) => {}
            Err(error) => return Err(PeerError::new(error.to_string())),
        }
        let outbox = Arc::new(Outbox::new(self.server.limits().outbox_bytes));
        let bound = self
            .server
            .bind(&account, client.resource.as_deref(), outbox, None);
        let session =
            block_on(bound).map_err(|error| PeerError::new(format!("not bound: {error:?}")))?;
        let full_jid = session.jid().as_str().to_owned();
        let connection = Connection {
            session,
            upward: parser(),
            downward: parser(),
            arrived: VecDeque::new(),
            closed: false,
        };
        self.clients.insert(client.name.clone(), connection);
        Ok(full_jid)
    }

    fn send(&mut self, name: &str, xml: &str) -> Result<(), PeerError> {
        let server = self.server.clone();
        let connection = self.connection(name)?;
        for frame in frames(&mut connection.upward, xml.as_bytes())? {
            match frame {
                Frame::Stanza(stanza) => {
                    let rest = server.accept(&connection.session, stanza).wait();
                    // Bytes go out while the rest of the stanza's way is under way, as on a real connection.
                    drive(rest, || connection.take())?;
                    run_due(&server);
                }
                Frame::Whitespace => {}
                // As the stream reads it.
                Frame::Element(element) if element.root().ns() == "urn:xmpp:csi:0" => {
                    let active = element.root().name() == "active";
                    server.set_active(&connection.session, active);
                }
                other => {
                    return Err(PeerError::new(format!(
                        "only stanzas can be sent in process, not {other:?}"
                    )));
                }
            }
        }
        Ok(())
    }

    fn receive(&mut self, name: &str) -> Result<Arrival, PeerError> {
        let connection = self.connection(name)?;
        if connection.arrived.is_empty() {
            connection.take()?;
        }
        let silence = if connection.closed {
            Arrival::Closed
        } else {
            Arrival::Nothing
        };
        Ok(connection.arrived.pop_front().unwrap_or(silence))
    }

    fn disconnect(&mut self, name: &str) -> Result<(), PeerError> {
        let server = self.server.clone();
        let connection = self.connection(name)?;
        connection.closed = true;
        block_on(server.unbind(&connection.session).wait());
        connection.session.outbox().close();
        Ok(())
    }

    fn advance(&mut self, by: Duration) -> Result<(), PeerError> {
        self.server.advance(by.as_millis() as u64);
        self.run_due();
        Ok(())
    }
}

fn run_due(server: &Arc<Server>) {
    loop {
        let begun = server.run_due();
        if begun.is_empty() {
            return;
        }
        for rest in begun {
            block_on(rest.wait());
        }
    }
}

fn bare(client: &Client) -> BareJid {
    BareJid::parse(&client.jid).unwrap_or_else(|error| panic!("{}: {error}", client.jid))
}

impl Connection {
    /// Takes what waits in the outbox, as a connection's task does that writes it.
    fn take(&mut self) -> Result<(), PeerError> {
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(taken) = self.session.outbox().poll_take(&mut context) else {
            return Ok(());
        };
        for frame in frames(&mut self.downward, &taken.bytes)? {
            match frame {
                Frame::Stanza(stanza) => {
                    self.arrived.push_back(Arrival::Element(text(&stanza)));
                }
                Frame::Whitespace => {}
                other => return Err(PeerError::new(format!("no stanza: {other:?}"))),
            }
        }
        if let Some(error) = taken.end {
            self.arrived
                .push_back(Arrival::Element(stream_error(&error)));
            self.closed = true;
        }
        taken.receipts.into_iter().for_each(Receipt::written);
        Ok(())
    }
}

/// A parser behind the stream header.
fn parser() -> StreamParser {
    let mut parser = StreamParser::new(XmlLimits::AFTER_LOGIN);
    let header = frames(&mut parser, HEADER.as_bytes()).unwrap();
    assert!(matches!(header.as_slice(), [Frame::Header(_)]));
    parser
}

fn frames(parser: &mut StreamParser, mut bytes: &[u8]) -> Result<Vec<Frame>, PeerError> {
    let mut frames = Vec::new();
    loop {
        match parser.next(&mut bytes) {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return Ok(frames),
            Err(error) => return Err(PeerError::new(error.to_string())),
        }
    }
}

/// The stanza as it arrived.
fn text(stanza: &Stanza) -> String {
    let mut out = Vec::new();
    let head = Head {
        from: stanza.from().unwrap().map(|jid| jid.as_str()),
        to: stanza.to().unwrap().map(|jid| jid.as_str()),
        lang: None,
        xmlns: None,
    };
    stanza.write(&mut out, head);
    String::from_utf8(out).unwrap()
}

fn stream_error(error: &StreamError) -> String {
    let mut writer = XmlWriter::new();
    error.write(&mut writer);
    String::from_utf8(writer.finish()).unwrap()
}

/// Runs a future to its end on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    drive(future, || Ok(())).unwrap()
}

/// Runs a future to its end on this thread, with `meanwhile` done whenever it waits.
fn drive<F: Future>(
    future: F,
    mut meanwhile: impl FnMut() -> Result<(), PeerError>,
) -> Result<F::Output, PeerError> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return Ok(output),
            Poll::Pending => {
                meanwhile()?;
                std::thread::park();
            }
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
