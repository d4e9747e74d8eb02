//! Other servers: their streams to us and ours to them. The other one is `other.test`, played by the machine of the stream
//! crate over plain sockets; who it is, dialback tells.

use super::*;
use crate::config::Route;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Instant;
use tercet_core::StreamCondition;
use tercet_stream::s2s::{
    Answer, DialbackSecret, DomainPair, Goal, Input, Manage, Output, Question, S2sConfig,
    S2sEnding, S2sEvent, S2sHost, S2sStream, Verdict,
};
use tercet_stream::{NotResumed, TlsPolicy, sm};

const OTHER: &str = "other.test";
const ROOMS: &str = "rooms.other.test";

fn config(domain: &str, secret: &[u8]) -> S2sConfig {
    let hosts = [domain.to_owned(), format!("rooms.{domain}")].map(|domain| S2sHost {
        tls: TlsPolicy::Absent,
        ..S2sHost::new(domain)
    });
    let mut config = S2sConfig::new(hosts, DialbackSecret::new(secret));
    (config.bidi, config.management) = (false, false);
    config
}

/// `localhost` without TLS between servers, which finds `other.test` at `port`.
fn scene(port: u16) -> Scene {
    scene_with(port, |_| {})
}

fn scene_with(port: u16, configure: impl FnOnce(&mut Settings)) -> Scene {
    Scene::new(|settings| {
        settings.s2s = Some(0);
        settings.servers = config("localhost", b"ours");
        (settings.servers.management, settings.servers.bidi) = (true, true);
        let route = |domain| Route::parse(&format!("{domain}=127.0.0.1:{port}")).unwrap();
        settings.federation.routes = vec![route(OTHER), route(ROOMS)];
        configure(settings);
    })
}

/// One end of a stream on a socket, with what came over it.
struct End {
    socket: TcpStream,
    stream: S2sStream,
    stanzas: Vec<String>,
    /// The pair is authenticated, in the direction that this stream has.
    ready: bool,
    ending: Option<S2sEnding>,
    /// What it says when its stanzas are to be counted: the name by which the session can go on.
    session: Option<&'static str>,
    /// It acknowledges.
    acknowledges: bool,
    /// What it says when a session is to go on.
    resumed: Result<u32, NotResumed>,
    /// What it was told of its own stanzas.
    acked: Option<u32>,
    /// What its session can go on by.
    named: Option<Box<str>>,
    /// How many of its stanzas the other side has handled of a session that goes on, or that it does not.
    goes_on: Option<Result<u32, Option<u32>>>,
    /// The ids of requests that asked for nothing but an answer.
    pings: Vec<String>,
}

impl End {
    fn new(socket: TcpStream, stream: S2sStream) -> End {
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        End {
            socket,
            stream,
            stanzas: Vec::new(),
            ready: false,
            ending: None,
            session: None,
            acknowledges: true,
            resumed: Err(NotResumed::NotFound { handled: None }),
            acked: None,
            named: None,
            goes_on: None,
            pings: Vec::new(),
        }
    }

    /// The next server that connects, whose stanzas may be counted.
    fn accept(listener: &TcpListener) -> End {
        let mut config = config(OTHER, b"theirs");
        config.management = true;
        let stream = S2sStream::receiving(Arc::new(config), Instant::now(), [4; 32]);
        End::new(next(listener), stream)
    }

    fn write(&mut self, bytes: &[u8]) {
        // The other side may have gone already.
        let _ = self.socket.write_all(bytes);
    }

    /// The ids of the stanzas that came.
    fn ids(&self) -> Vec<&str> {
        self.stanzas
            .iter()
            .filter_map(|s| s.split("id='").nth(1))
            .map(|rest| &rest[..1])
            .collect()
    }

    fn to(address: SocketAddr, secret: &[u8]) -> End {
        let pair = DomainPair::new(OTHER, "localhost");
        let mut config = config(OTHER, secret);
        config.management = true;
        let config = Arc::new(config);
        let now = Instant::now();
        let stream = S2sStream::initiating(config, pair, Goal::Stanzas, false, now, [3; 32]);
        End::new(TcpStream::connect(address).unwrap(), stream)
    }

    /// Goes on until `done`, or the end; for ten seconds at most.
    fn run(&mut self, done: impl Fn(&End) -> bool) {
        let until = Instant::now() + Duration::from_secs(10);
        let mut buffer = [0; 4096];
        loop {
            while let Some(output) = self.stream.poll_output() {
                match output {
                    Output::Write(bytes) => self.write(&bytes),
                    Output::Ask(ticket, Question::Resume { .. }) => {
                        let resumed = Answer::Resumed(self.resumed);
                        let now = Instant::now();
                        self.stream.handle(now, Input::Answer(ticket, resumed));
                    }
                    Output::Enable(_) => {
                        let session = self.session.map(|id| (id, 300));
                        self.write(&sm::enabled(session));
                    }
                    Output::AckRequested(handled) if self.acknowledges => {
                        let mut ack = Vec::new();
                        sm::ack(handled, &mut ack);
                        self.write(&ack);
                    }
                    Output::Acked(handled) => self.acked = Some(handled),
                    Output::Enabled { id, .. } => self.named = id,
                    Output::Resumed(handled) => self.goes_on = Some(Ok(handled)),
                    Output::NotManaged(handled) => self.goes_on = Some(Err(handled)),
                    Output::Ask(ticket, Question::Key(_)) => {
                        let valid = Answer::Key(Verdict::Valid);
                        let now = Instant::now();
                        self.stream.handle(now, Input::Answer(ticket, valid));
                    }
                    Output::Authorized(..) | Output::Authenticated(..) => self.ready = true,
                    Output::Stanza(stanza) if stanza.child("ping", "urn:xmpp:ping").is_some() => {
                        self.pings.extend(stanza.id().map(String::from));
                    }
                    Output::Stanza(stanza) => self.stanzas.push(format!("{stanza:?}")),
                    Output::Event(S2sEvent::Ended(ending)) => self.ending = Some(ending),
                    _ => {}
                }
            }
            if done(self) || self.ending.is_some() {
                return;
            }
            assert!(Instant::now() < until, "{:?}", self.stanzas);
            match self.socket.read(&mut buffer) {
                Ok(0) => self.stream.handle(Instant::now(), Input::PeerClosed),
                Ok(count) => {
                    let bytes = Input::Bytes(&buffer[..count]);
                    self.stream.handle(Instant::now(), bytes);
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => self.stream.handle(Instant::now(), Input::PeerClosed),
            }
        }
    }
}

/// The next connection, within ten seconds.
fn next(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match listener.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(false).unwrap();
                return socket;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock && Instant::now() < until => {
                std::thread::yield_now();
            }
            Err(e) => panic!("nobody connects: {e}"),
        }
    }
}

/// The other server: takes every connection, believes every key, and answers for its own. The stanzas go to `stanzas`.
fn other() -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, stanzas) = mpsc::channel();
    std::thread::spawn(move || {
        while let Ok((socket, _)) = listener.accept() {
            let tell = tell.clone();
            std::thread::spawn(move || {
                let config = Arc::new(config(OTHER, b"theirs"));
                let stream = S2sStream::receiving(config, Instant::now(), [4; 32]);
                let mut end = End::new(socket, stream);
                while end.ending.is_none() {
                    end.run(|end| !end.stanzas.is_empty());
                    for stanza in end.stanzas.drain(..) {
                        // The test may be over.
                        let _ = tell.send(stanza);
                    }
                }
            });
        }
    });
    (port, stanzas)
}

#[test]
fn stanzas_go_to_another_server_in_their_order() {
    let (port, stanzas) = other();
    let scene = scene(port);
    let mut romeo = scene.session("romeo");
    for number in 0..20 {
        romeo.send(&format!(
            "<message to='x@other.test' id='{number}'><body>hi</body></message>"
        ));
    }
    for number in 0..20 {
        let stanza = stanzas.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(stanza.contains(&format!("id='{number}'")), "{stanza}");
        assert!(stanza.contains("from='romeo@localhost/romeo'"), "{stanza}");
    }
}

#[test]
fn a_server_that_its_domain_vouches_for_is_heard_and_answered() {
    let (port, stanzas) = other();
    let scene = scene(port);
    let mut romeo = scene.session("romeo");
    let mut end = End::to(scene.address(Purpose::S2s), b"theirs");
    end.run(|end| end.ready);
    assert!(end.ready);
    end.socket
        .write_all(
            b"<message from='x@other.test/r' to='romeo@localhost/romeo'><body>ho</body></message>",
        )
        .unwrap();
    let message = romeo.expect("<body>ho</body>");
    assert!(message.contains("x@other.test/r"), "{message}");
    end.socket
        .write_all(b"<message from='x@other.test/r' to='nobody@localhost' id='n' type='chat'><body>?</body></message>")
        .unwrap();
    let answer = stanzas.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(
        answer.contains("type='error'") && answer.contains("id='n'"),
        "{answer}"
    );
}

#[test]
fn a_server_with_a_key_that_its_domain_does_not_know_is_not_heard() {
    let (port, _stanzas) = other();
    let scene = scene(port);
    let mut end = End::to(scene.address(Purpose::S2s), b"somebody else's");
    end.run(|end| end.ready);
    assert!(!end.ready);
    assert_eq!(end.ending, Some(S2sEnding::ByPeer));
    // Nor is one that does not wait for the answer, or speaks for others.
    let (port, _stanzas) = other();
    let scene = self::scene(port);
    let mut end = End::to(scene.address(Purpose::S2s), b"theirs");
    end.run(|end| end.ready);
    end.socket
        .write_all(b"<message from='x@third.test' to='romeo@localhost'/>")
        .unwrap();
    end.run(|_| false);
    let condition = Some(StreamCondition::InvalidFrom);
    assert_eq!(end.ending, Some(S2sEnding::PeerError(condition, None)));
}

#[test]
fn what_does_not_get_there_comes_back_and_says_why() {
    // Nobody listens there any more.
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let scene = scene(port);
    let mut romeo = scene.session("romeo");
    for id in ["one", "two"] {
        romeo.send(&format!(
            "<message to='x@other.test' id='{id}'><body>hi</body></message>"
        ));
        let error = romeo.expect("</message>");
        assert!(error.contains("<remote-server-timeout"), "{error}");
        assert!(error.contains("connection refused"), "{error}");
        assert!(error.contains(id), "{error}");
    }
}

#[test]
fn what_waits_for_a_server_that_says_nothing_goes_back_when_this_one_ends() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut scene = scene(silent.local_addr().unwrap().port());
    let mut romeo = scene.session("romeo");
    romeo.send("<message to='x@other.test' id='one'><body>hi</body></message>");
    let (_socket, _) = silent.accept().unwrap();
    scene.drain();
    let error = romeo.expect("</message>");
    assert!(error.contains("<remote-server-timeout"), "{error}");
    assert!(
        error.contains("id='one'") && error.contains("this server is ending"),
        "{error}"
    );
}

/// Five messages to a server that takes and does not acknowledge them, and whose connection then breaks.
fn five_are_lost(session: Option<&'static str>) -> (Scene, Client, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let scene = scene(listener.local_addr().unwrap().port());
    let mut romeo = scene.session("romeo");
    for id in 1..=5 {
        romeo.send(&format!(
            "<message to='x@other.test' id='{id}'><body>hi</body></message>"
        ));
    }
    let mut first = End::accept(&listener);
    (first.session, first.acknowledges) = (session, false);
    first.run(|end| end.stanzas.len() == 5);
    assert_eq!(first.ids(), ["1", "2", "3", "4", "5"]);
    (scene, romeo, listener)
}

#[test]
fn a_session_goes_on_over_another_connection_with_what_was_not_acknowledged() {
    let (_scene, mut romeo, listener) = five_are_lost(Some("s"));
    let mut second = End::accept(&listener);
    second.resumed = Ok(2);
    second.run(|end| end.stanzas.len() == 3);
    romeo.send("<message to='x@other.test' id='6'><body>hi</body></message>");
    second.run(|end| end.stanzas.len() == 4);
    assert_eq!(second.ids(), ["3", "4", "5", "6"]);
}

#[test]
fn what_a_server_that_knows_the_session_no_more_says_not_to_have_handled_is_sent_again() {
    let (_scene, mut romeo, listener) = five_are_lost(Some("s"));
    let mut second = End::accept(&listener);
    second.resumed = Err(NotResumed::NotFound { handled: Some(3) });
    second.run(|end| end.stanzas.len() == 2);
    romeo.send("<message to='x@other.test' id='6'><body>hi</body></message>");
    second.run(|end| end.stanzas.len() == 3);
    assert_eq!(second.ids(), ["4", "5", "6"]);
}

#[test]
fn what_nobody_knows_to_have_arrived_goes_back() {
    for session in [None, Some("s")] {
        let (_scene, mut romeo, listener) = five_are_lost(session);
        if session.is_some() {
            let mut second = End::accept(&listener);
            second.run(|end| end.ready);
            drop(listener);
        }
        for id in 1..=5 {
            let error = romeo.expect("</message>");
            assert!(error.contains(&format!("id='{id}'")), "{error}");
            assert!(error.contains("<remote-server-timeout"), "{error}");
            assert!(error.contains("may or may not have arrived"), "{error}");
        }
    }
}

#[test]
fn a_server_that_acknowledges_what_it_was_not_sent_loses_its_stream_and_its_messages_go_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let scene = scene(listener.local_addr().unwrap().port());
    let mut romeo = scene.session("romeo");
    romeo.send("<message to='x@other.test' id='1'><body>hi</body></message>");
    let mut end = End::accept(&listener);
    end.acknowledges = false;
    end.run(|end| end.stanzas.len() == 1);
    let mut ack = Vec::new();
    sm::ack(7, &mut ack);
    end.write(&ack);
    end.run(|_| false);
    let condition = Some(StreamCondition::UndefinedCondition);
    assert!(matches!(&end.ending, Some(S2sEnding::PeerError(c, _)) if *c == condition));
    drop(end);
    let error = romeo.expect("</message>");
    assert!(error.contains("may or may not have arrived"), "{error}");
}

#[test]
fn stanzas_of_another_server_are_acknowledged_where_it_wants_that() {
    let (port, _stanzas) = other();
    let scene = scene(port);
    let mut romeo = scene.session("romeo");
    let mut end = End::to(scene.address(Purpose::S2s), b"theirs");
    end.run(|end| end.ready);
    end.stream
        .handle(Instant::now(), Input::Manage(Manage::Enable));
    end.run(|end| end.stream.received().is_some());
    let mut bytes =
        b"<message from='x@other.test/r' to='romeo@localhost/romeo'><body>ho</body></message>"
            .to_vec();
    sm::request(&mut bytes);
    end.write(&bytes);
    end.run(|end| end.acked.is_some());
    assert_eq!(end.acked, Some(1));
    romeo.expect("<body>ho</body>");
}

/// A message from there to Romeo.
fn message(id: u32) -> String {
    format!(
        "<message from='x@other.test/r' to='romeo@localhost/romeo' id='{id}'><body>ho</body></message>"
    )
}

/// A stream to `scene` whose stanzas are counted; with `previd`, of a session that is to go on, so many of whose are handled.
fn counted(scene: &Scene, previd: Option<Box<str>>) -> End {
    let mut end = End::to(scene.address(Purpose::S2s), b"theirs");
    end.run(|end| end.ready);
    let manage = match previd {
        None => Manage::Enable,
        Some(previd) => Manage::Resume { previd, handled: 0 },
    };
    end.stream.handle(Instant::now(), Input::Manage(manage));
    end.run(|end| end.named.is_some() || end.goes_on.is_some());
    end
}

#[test]
fn a_session_of_another_server_goes_on_here_and_nothing_is_doubled() {
    let (port, _stanzas) = other();
    let scene = scene(port);
    let mut romeo = scene.session("romeo");
    let mut first = counted(&scene, None);
    first.write((message(1) + &message(2)).as_bytes());
    for id in 1..=2 {
        assert!(romeo.expect("</message>").contains(&format!("id='{id}'")));
    }
    // While the old connection is still there, and when it is not.
    let id = first.named.clone().unwrap();
    let mut second = counted(&scene, Some(id.clone()));
    assert_eq!(second.goes_on, Some(Ok(2)));
    second.write(message(3).as_bytes());
    assert!(romeo.expect("</message>").contains("id='3'"));
    drop(second);
    let third = counted(&scene, Some(id));
    assert_eq!(third.goes_on, Some(Ok(3)));
}

#[test]
fn a_session_that_is_not_there_or_has_ended_does_not_go_on() {
    let (port, _stanzas) = other();
    let scene = scene(port);
    let mut first = counted(&scene, None);
    let id = first.named.clone().unwrap();
    first.stream.handle(Instant::now(), Input::End);
    first.run(|_| false);
    drop(first);
    for id in [id, "0".repeat(32).into()] {
        assert_eq!(counted(&scene, Some(id)).goes_on, Some(Err(None)));
    }
}

#[test]
fn other_domains_of_the_same_machine_share_a_stream_and_its_session() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let scene = scene(listener.local_addr().unwrap().port());
    let mut romeo = scene.session("romeo");
    let mut first = None;
    for (id, to) in [(1, OTHER), (2, ROOMS)] {
        romeo.send(&format!(
            "<message to='x@{to}' id='{id}'><body>hi</body></message>"
        ));
        let first = first.get_or_insert_with(|| {
            let mut end = End::accept(&listener);
            (end.session, end.acknowledges) = (Some("s"), false);
            end
        });
        if id == 2 {
            // It connects, and finds that it need not.
            next(&listener);
        }
        first.run(|end| end.stanzas.len() == id);
    }
    assert_eq!(first.unwrap().ids(), ["1", "2"]);
    let mut second = End::accept(&listener);
    second.resumed = Ok(0);
    second.run(|end| end.stanzas.len() == 2);
    assert_eq!(second.ids(), ["1", "2"]);
}

#[test]
fn a_stream_that_goes_both_ways_is_used_for_answers_and_loses_nothing() {
    // Nobody can be reached there, but for questions about keys.
    let (port, _stanzas) = other();
    let scene = scene(port);
    let mut romeo = scene.session("romeo");
    let both_ways = |previd: Option<Box<str>>| {
        let mut config = config(OTHER, b"theirs");
        (config.management, config.bidi) = (true, true);
        let pair = DomainPair::new(OTHER, "localhost");
        let now = Instant::now();
        let config = Arc::new(config);
        let stream = S2sStream::initiating(config, pair, Goal::Stanzas, false, now, [3; 32]);
        let socket = TcpStream::connect(scene.address(Purpose::S2s)).unwrap();
        let mut end = End::new(socket, stream);
        end.acknowledges = false;
        end.run(|end| end.ready && end.stream.can_manage());
        let manage = match previd {
            None => Manage::Enable,
            Some(previd) => Manage::Resume { previd, handled: 1 },
        };
        end.stream.handle(Instant::now(), Input::Manage(manage));
        end.run(|end| end.named.is_some() || end.goes_on.is_some());
        end
    };
    let mut there = both_ways(None);
    there.write(message(1).as_bytes());
    romeo.expect("id='1'");
    for id in 1..=3 {
        romeo.send(&format!(
            "<message to='x@other.test' id='{id}'><body>hi</body></message>"
        ));
    }
    there.run(|end| end.stanzas.len() == 3);
    assert_eq!(there.ids(), ["1", "2", "3"]);
    let id = there.named.clone();
    drop(there);
    // What comes meanwhile waits behind.
    romeo.send("<message to='x@other.test' id='4'><body>hi</body></message>");
    let mut there = both_ways(id);
    assert_eq!(there.goes_on, Some(Ok(1)));
    there.run(|end| end.stanzas.len() == 3);
    assert_eq!(there.ids(), ["2", "3", "4"]);
}

#[test]
fn where_nothing_is_counted_a_request_tells_what_has_arrived_and_the_rest_goes_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let scene = scene(listener.local_addr().unwrap().port());
    let mut romeo = scene.session("romeo");
    romeo.send("<message to='x@other.test' id='1'><body>hi</body></message>");
    let config = Arc::new(config(OTHER, b"theirs"));
    let stream = S2sStream::receiving(config, Instant::now(), [4; 32]);
    let mut there = End::new(next(&listener), stream);
    there.run(|end| !end.pings.is_empty());
    assert_eq!(there.ids(), ["1"]);
    // The answer comes on a stream of the other's own.
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let mut verifying = End::accept(&listener);
            verifying.run(|end| end.ending.is_some());
        });
        let mut back = End::to(scene.address(Purpose::S2s), b"theirs");
        back.run(|end| end.ready);
        asked.join().unwrap();
        let ping = &there.pings[0];
        for from in ["x@other.test", OTHER] {
            let answer = format!("<iq type='result' from='{from}' to='localhost' id='{ping}'/>");
            back.write(answer.as_bytes());
        }
        back.write(message(9).as_bytes());
        assert!(romeo.expect("</message>").contains("id='9'"));
    });
    romeo.send("<message to='x@other.test' id='2'><body>hi</body></message>");
    there.run(|end| end.pings.len() == 2);
    drop(there);
    let error = romeo.expect("</message>");
    assert!(error.contains("id='2'"), "{error}");
    assert!(error.contains("may or may not have arrived"), "{error}");
}

#[test]
fn one_sender_has_no_more_servers_looked_for_than_may_be() {
    let (port, stanzas) = other();
    let scene = scene_with(port, |settings| settings.federation.searches_per_minute = 1);
    let mut romeo = scene.session("romeo");
    let to =
        |domain| format!("<message to='x@{domain}' id='to-{domain}'><body>hi</body></message>");
    for domain in [OTHER, ROOMS, OTHER] {
        romeo.send(&to(domain));
    }
    let error = romeo.expect("</message>");
    assert!(error.contains("id='to-rooms.other.test'"), "{error}");
    assert!(error.contains("<resource-constraint"), "{error}");
    for _ in 0..2 {
        let stanza = stanzas.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(stanza.contains("id='to-other.test'"), "{stanza}");
    }
    let mut juliet = scene.session("juliet");
    juliet.send(&to(ROOMS));
    let stanza = stanzas.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(stanza.contains("id='to-rooms.other.test'"), "{stanza}");
}

#[test]
fn without_a_port_for_them_there_are_no_other_servers() {
    let scene = Scene::new(|_| {});
    let mut romeo = scene.session("romeo");
    romeo.send("<message to='x@other.test' id='one'><body>hi</body></message>");
    let error = romeo.expect("</message>");
    assert!(error.contains("<remote-server-not-found"), "{error}");
}

#[test]
fn other_servers_hear_that_our_users_go_when_the_server_ends() {
    let (port, stanzas) = other();
    let mut scene = scene(port);
    let mut romeo = scene.session("romeo");
    romeo.send("<presence to='x@other.test'/>");
    let there = stanzas.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(!there.contains("type="), "{there}");
    scene.drain();
    let gone = stanzas.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(gone.contains("type='unavailable'"), "{gone}");
}

#[test]
fn a_shutdown_ends_the_streams_with_other_servers() {
    let (port, _stanzas) = other();
    for (counts, ending) in [
        (false, S2sEnding::ByPeer),
        (
            true,
            S2sEnding::PeerError(Some(StreamCondition::SystemShutdown), None),
        ),
    ] {
        let mut scene = scene(port);
        let mut end = match counts {
            true => counted(&scene, None),
            false => End::to(scene.address(Purpose::S2s), b"theirs"),
        };
        end.run(|end| end.ready);
        std::thread::scope(|scope| {
            scope.spawn(|| scene.drain());
            end.run(|_| false);
        });
        assert_eq!(end.ending, Some(ending));
    }
}

#[test]
fn what_a_server_sends_before_it_hears_of_our_end_is_taken_and_answered() {
    let (port, stanzas) = other();
    let mut scene = scene(port);
    let mut end = End::to(scene.address(Purpose::S2s), b"theirs");
    end.run(|end| end.ready);
    let answered = |end: &mut End, id: &str| {
        end.write(format!("<message from='x@other.test/r' to='nobody@localhost' id='{id}' type='chat'><body>?</body></message>").as_bytes());
        let answer = stanzas.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(answer.contains("type='error'"), "{answer}");
        assert!(answer.contains(&format!("id='{id}'")), "{answer}");
    };
    answered(&mut end, "before");
    std::thread::scope(|scope| {
        scope.spawn(|| scene.drain());
        let mut read = Vec::new();
        while !read.ends_with(b"</stream:stream>") {
            let mut byte = [0];
            if end.socket.read(&mut byte).is_ok() {
                read.push(byte[0]);
            }
        }
        for id in ["1", "2"] {
            answered(&mut end, id);
        }
        end.write(b"</stream:stream>");
    });
}
