//! Streams of bytes: two plain sockets that speak SOCKS5, and the user who has theirs begin.

use super::*;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use tercet_core::Jid;
use tercet_modules::bytestreams::stream_hash;
use tercet_server::Bytestreams;

/// A host with a relay for its own users, bounded as `bound` says.
fn scene(bound: impl FnOnce(&mut RelayLimits)) -> Scene {
    let info = HostInfo {
        domain: "localhost".into(),
        bytestreams: Some(Bytestreams {
            domain: "proxy.localhost".into(),
            address: "files.example.org".into(),
            everybody: false,
        }),
        ..HostInfo::default()
    };
    Scene::of(info, tercet_modules::modules, Clock::System, |settings| {
        settings.proxy = Some(0);
        bound(&mut settings.relay);
    })
}

const JULIET: &str = "juliet@localhost/balcony";

/// A connection that has asked to be an end of the stream `sid` from romeo to juliet, and the answer's code.
fn end(scene: &Scene, sid: &str) -> (TcpStream, u8) {
    let jid = |text| Jid::parse(text).unwrap();
    let hash = stream_hash(sid, &jid("romeo@localhost/romeo"), &jid(JULIET));
    let name = hash.map(|byte| format!("{byte:02x}")).concat();
    let mut socket = TcpStream::connect(scene.address(Purpose::Proxy)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    socket.write_all(&[5, 1, 0]).unwrap();
    assert_eq!(read(&mut socket, 2), [5, 0]);
    let request = [&[5, 1, 0, 3, 40], name.as_bytes(), &[0, 0]].concat();
    socket.write_all(&request).unwrap();
    let reply = read(&mut socket, request.len());
    // As it was asked for.
    assert_eq!(reply[2..], request[2..]);
    (socket, reply[1])
}

fn read(socket: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    socket.read_exact(&mut bytes).unwrap();
    bytes
}

/// What still comes until the end.
fn rest(socket: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // An end by a reset is an end, too.
    let _ = socket.read_to_end(&mut bytes);
    bytes
}

fn activate(client: &mut Client, sid: &str) -> String {
    client.send(&format!("<iq type='set' id='{sid}' to='proxy.localhost'><query xmlns='http://jabber.org/protocol/bytestreams' sid='{sid}'><activate>{JULIET}</activate></query></iq>"));
    client.expect(&format!("id='{sid}'"))
}

#[test]
fn two_connections_become_a_stream_when_its_requester_says_so() {
    let scene = scene(|_| {});
    let mut romeo = scene.session("romeo");
    romeo.send("<iq type='get' id='a' to='proxy.localhost'><query xmlns='http://jabber.org/protocol/bytestreams'/></iq>");
    let address = romeo.expect("</iq>");
    let port = scene.address(Purpose::Proxy).port();
    assert!(address.contains("host='files.example.org'"), "{address}");
    assert!(address.contains(&format!("port='{port}'")), "{address}");

    let (mut juliet_end, code) = end(&scene, "one");
    assert_eq!(code, 0);
    let refused = activate(&mut romeo, "one") + &romeo.expect("</iq>");
    assert!(refused.contains("<not-allowed"), "{refused}");
    // What comes too early is ignored.
    juliet_end.write_all(b"early").unwrap();
    let (mut romeo_end, code) = end(&scene, "one");
    assert_eq!(code, 0);
    assert_eq!(end(&scene, "one").1, 2, "a third has no part in it");
    // Only who has asked for the stream has it begin.
    let mut juliet = scene.session("juliet");
    let refused = activate(&mut juliet, "one") + &juliet.expect("</iq>");
    assert!(refused.contains("<item-not-found"), "{refused}");
    let begun = activate(&mut romeo, "one");
    assert!(begun.contains("type='result'"), "{begun}");

    let much: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (sent, mut writer) = (much.clone(), romeo_end.try_clone().unwrap());
    let writing = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    assert_eq!(rest(&mut juliet_end), much);
    writing.join().unwrap();
    // The other way is still open.
    juliet_end.write_all(b"thanks").unwrap();
    juliet_end.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut romeo_end), b"thanks");
}

#[test]
fn the_relay_is_for_users_of_its_domain() {
    let scene = scene(|_| {});
    let mut irc = scene.session("juliet");
    irc.send("<iq type='get' id='x' to='proxy.localhost'><query xmlns='http://jabber.org/protocol/bytestreams'/></iq>");
    assert!(irc.expect("</iq>").contains("<streamhost"));
    let guest = scene
        .runtime
        .block_on(scene.server.create_guest("localhost"));
    assert!(guest.is_ok());
    for (command, expected) in [
        // BIND, UDP ASSOCIATE, an address, a name of somewhere.
        (&[5, 2, 0, 3, 0, 0, 0][..], 7),
        (&[5, 3, 0, 1, 0, 0, 0], 7),
        (&[5, 1, 0, 1, 127, 0, 0, 1, 0, 80], 8),
        (b"\x05\x01\x00\x03\x09localhost\x00\x50", 2),
    ] {
        let mut socket = TcpStream::connect(scene.address(Purpose::Proxy)).unwrap();
        socket.write_all(&[5, 1, 0]).unwrap();
        socket.write_all(command).unwrap();
        let said = rest(&mut socket);
        assert_eq!(said[..4], [5, 0, 5, expected], "{command:?}");
    }
}

#[test]
fn a_stream_that_reaches_a_bound_ends() {
    let scene = scene(|limits| {
        limits.stream_bytes = 1000;
        limits.streams_per_user = 1;
        limits.connections = 4;
    });
    let mut romeo = scene.session("romeo");
    let (mut one, mut two) = (end(&scene, "s").0, end(&scene, "s").0);
    assert!(activate(&mut romeo, "s").contains("type='result'"));
    let (mut three, mut four) = (end(&scene, "t").0, end(&scene, "t").0);
    let refused = activate(&mut romeo, "t") + &romeo.expect("</iq>");
    assert!(refused.contains("<resource-constraint"), "{refused}");
    let mut fifth = TcpStream::connect(scene.address(Purpose::Proxy)).unwrap();
    assert_eq!(rest(&mut fifth), b"", "no more than four connections");

    one.write_all(&[7; 1001]).unwrap();
    assert_eq!(rest(&mut two), [7; 1000]);
    assert_eq!(rest(&mut one), b"");
    // Their place is free again.
    assert!(activate(&mut romeo, "t").contains("type='result'"));
    three.write_all(b"hi").unwrap();
    assert_eq!(read(&mut four, 2), b"hi");
}

#[test]
fn connections_without_a_stream_and_silent_streams_end_with_their_time() {
    let scene = scene(|limits| {
        limits.wait = Duration::from_millis(50);
    });
    let mut mute = TcpStream::connect(scene.address(Purpose::Proxy)).unwrap();
    assert_eq!(rest(&mut mute), b"");
    let mut alone = end(&scene, "alone").0;
    assert_eq!(rest(&mut alone), b"");

    let scene = self::scene(|limits| limits.idle = Duration::from_millis(50));
    let mut romeo = scene.session("romeo");
    let (mut one, mut two) = (end(&scene, "s").0, end(&scene, "s").0);
    assert!(activate(&mut romeo, "s").contains("type='result'"));
    assert_eq!(rest(&mut one), b"");
    assert_eq!(rest(&mut two), b"");
}
