//! Other servers: their streams to us and ours to them. The other one is `other.test`, played by the machine of the stream
//! crate over plain sockets; who it is, dialback tells.

use super::*;
use crate::config::Route;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Instant;
use tercet_core::StreamCondition;
use tercet_stream::TlsPolicy;
use tercet_stream::s2s::{
    Answer, DialbackSecret, DomainPair, Goal, Input, Output, Question, S2sConfig, S2sEnding,
    S2sEvent, S2sHost, S2sStream, Verdict,
};

const OTHER: &str = "other.test";

fn config(domain: &str, secret: &[u8]) -> S2sConfig {
    let mut host = S2sHost::new(domain);
    host.tls = TlsPolicy::Absent;
    let mut config = S2sConfig::new([host], DialbackSecret::new(secret));
    (config.bidi, config.management) = (false, false);
    config
}

/// `localhost` without TLS between servers, which finds `other.test` at `port`.
fn scene(port: u16) -> Scene {
    Scene::new(|settings| {
        settings.s2s = Some(0);
        settings.servers = config("localhost", b"ours");
        let route = format!("{OTHER}=127.0.0.1:{port}");
        settings.federation.routes = vec![Route::parse(&route).unwrap()];
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
        }
    }

    fn to(address: SocketAddr, secret: &[u8]) -> End {
        let pair = DomainPair::new(OTHER, "localhost");
        let config = Arc::new(config(OTHER, secret));
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
                    Output::Write(bytes) => {
                        // The other side may have gone already.
                        let _ = self.socket.write_all(&bytes);
                    }
                    Output::Ask(ticket, Question::Key(_)) => {
                        let valid = Answer::Key(Verdict::Valid);
                        let now = Instant::now();
                        self.stream.handle(now, Input::Answer(ticket, valid));
                    }
                    Output::Authorized(..) | Output::Authenticated(..) => self.ready = true,
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
    let mut scene = scene(port);
    let mut end = End::to(scene.address(Purpose::S2s), b"theirs");
    end.run(|end| end.ready);
    scene.drain();
    end.run(|_| false);
    let condition = Some(StreamCondition::SystemShutdown);
    assert_eq!(end.ending, Some(S2sEnding::PeerError(condition, None)));
}
