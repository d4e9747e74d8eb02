//! Closing, slow readers, shutdown, and what a connection costs.

use super::*;
use crate::listen::c2s::Connection;
use std::net::Shutdown;
use tercet_server::Rooms;

#[test]
fn the_end_of_a_stream_is_answered_and_the_connection_closed() {
    let scene = Scene::new(|_| {});
    let mut client = scene.session("romeo");
    client.send("<iq type='get' id='last' to='localhost'><nothing xmlns='urn:example:none'/></iq></stream:stream>");
    let rest = client.rest();
    // The reply comes before the end.
    assert!(
        rest.contains("id='last'") || rest.contains("id=\"last\""),
        "{rest}"
    );
    assert!(rest.ends_with("</stream:stream>"), "{rest}");
    drop(client);
    scene.wait_for_connections(0);
    assert_eq!(scene.cores.loads(), [0, 0]);
}

#[test]
fn an_error_reaches_the_client_although_it_had_sent_more() {
    let scene = Scene::new(|_| {});
    let mut client = scene.session("romeo");
    let flood = format!("<message><!-- forbidden -->{}", "x".repeat(200_000));
    // The server may stop reading.
    let _ = client.try_send(flood.as_bytes());
    assert!(client.rest().contains("<restricted-xml"));
}

#[test]
fn connections_that_break_end_their_sessions() {
    let scene = Scene::new(|_| {});
    let romeo = scene.session("romeo");
    let juliet = scene.session("juliet");
    let account = |name: &str| {
        let account = scene.server.loaded_account(&format!("{name}@localhost"));
        account.map_or(0, |account| account.lock().resources.len())
    };
    assert_eq!((account("romeo"), account("juliet")), (1, 1));
    romeo.socket().shutdown(Shutdown::Both).unwrap();
    drop(juliet);
    scene.wait_for_connections(0);
    assert_eq!((account("romeo"), account("juliet")), (0, 0));
}

#[test]
fn a_client_that_does_not_read_is_ended_and_nobody_else_notices() {
    let limits = Limits {
        outbox_bytes: 1_000_000,
        ..Limits::default()
    };
    let scene = Scene::with_limits(limits, |_| {});
    let mut slow = scene.session("juliet");
    let mut sender = scene.session("romeo");
    let message = format!(
        "<message to='juliet@localhost/juliet' type='chat'><body>{}</body></message>",
        "x".repeat(20_000)
    );
    let account = scene.server.loaded_account("juliet@localhost").unwrap();
    let is_bound = || !account.lock().resources.is_empty();
    let mut sent = 0;
    // The kernel's buffers take some megabytes; the server no more than its bounds.
    while is_bound() {
        sender.send(&message);
        sender.settle();
        sent += 1;
        assert!(sent < 2000, "the session is still there");
    }
    let rest = slow.rest();
    assert!(rest.contains("<body>"), "{} bytes after {sent}", rest.len());

    assert!(sender.settle().contains("service-unavailable"));
}

#[test]
fn many_messages_arrive_in_order_and_none_is_lost() {
    let scene = Scene::new(|_| {});
    let mut romeo = scene.session("romeo");
    let mut juliet = scene.session("juliet");
    let count = 5_000;
    let writer = std::thread::spawn(move || {
        let mut batch = String::new();
        for i in 0..count {
            batch += &format!(
                "<message to='juliet@localhost/juliet' type='chat' id='{i}'><body>{i}</body></message>"
            );
            if batch.len() > 50_000 {
                romeo.send(&std::mem::take(&mut batch));
            }
        }
        romeo.send(&batch);
        romeo
    });
    for i in 0..count {
        let message = juliet.expect("</message>");
        assert!(message.contains(&format!("<body>{i}</body>")), "{message}");
    }
    writer.join().unwrap();
}

#[test]
fn requests_in_one_go_are_all_answered_within_a_small_outbox() {
    let limits = Limits {
        outbox_bytes: 65_536,
        ..Limits::default()
    };
    let scene = Scene::with_limits(limits, |_| {});
    let mut client = scene.session("romeo");
    let request = "<iq type='get' id='r' to='localhost'><nothing xmlns='urn:example:none'/></iq>";
    let count = 800;
    client.send(&request.repeat(count));
    for _ in 0..count {
        client.expect("</iq>");
    }
}

#[test]
fn a_shutdown_tells_every_client_and_sends_what_waits() {
    let mut scene = Scene::new(|_| {});
    let mut bound = scene.session("romeo");
    let mut juliet = scene.session("juliet");
    let mut negotiating = scene.connect();
    negotiating.open();
    let mut silent = scene.connect();
    scene.wait_for_connections(4);
    bound.send(
        "<message to='juliet@localhost/juliet' type='chat'><body>last words</body></message>",
    );
    bound.settle();
    let readers = std::thread::spawn(move || {
        let all = [&mut bound, &mut juliet, &mut negotiating, &mut silent];
        all.map(|client| client.rest())
    });
    assert_eq!(scene.drain(), 0);
    let rests = readers.join().unwrap();
    for rest in &rests {
        assert!(rest.contains("<system-shutdown"), "{rest}");
        assert!(rest.ends_with("</stream:stream>"), "{rest}");
    }
    assert!(rests[1].contains("last words"));
}

#[test]
fn a_shutdown_closes_rooms_before_it_ends_streams() {
    let info = HostInfo {
        domain: "localhost".into(),
        rooms: Some(Rooms::new("rooms.localhost")),
        ..HostInfo::default()
    };
    let mut scene = Scene::of(info, tercet_modules::modules, Clock::System, |_| {});
    let mut romeo = scene.session("romeo");
    romeo.send(
        "<presence to='hall@rooms.localhost/r'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    );
    romeo.expect("<subject");
    let reader = std::thread::spawn(move || romeo.rest());
    assert_eq!(scene.drain(), 0);
    let rest = reader.join().unwrap();
    let (gone, end) = rest.split_once("</presence>").expect(&rest);
    assert!(gone.contains("type='unavailable'"), "{rest}");
    assert!(gone.contains("<status code='332'/>"), "{rest}");
    assert!(end.contains("<system-shutdown"), "{rest}");
}

#[test]
fn the_task_of_a_connection_is_small() {
    let size = std::mem::size_of::<Connection>();
    assert!(size <= 1024, "{size} bytes");
}
