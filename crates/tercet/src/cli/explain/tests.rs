//! Against name servers and servers of the test's own, on the loopback.

use std::path::Path;

use super::*;

fn config(text: &str) -> Config {
    let (mut config, faults) = Config::parse(text, Path::new("/nowhere"));
    assert_eq!(faults, []);
    config.data_dir = "/nowhere/data".into();
    config
}

fn explained(config: &Config, domain: &str) -> (Vec<String>, bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (findings, reached) = runtime
        .block_on(way(
            config,
            "localhost",
            domain,
            DialbackSecret::new(b"any"),
            Vec::new(),
        ))
        .unwrap();
    (findings.iter().map(shown).collect(), reached)
}

#[test]
fn a_port_that_nobody_listens_on_is_told_with_the_mend() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    drop(listener);
    let config = config(&format!("[federation]\nroutes = [\"b.test={place}\"]"));
    let (lines, reached) = explained(&config, "b.test");
    assert!(!reached);
    let all = lines.concat();
    assert!(
        all.contains("federation.routes: b.test=127.0.0.1:"),
        "{all}"
    );
    assert!(
        all.contains(&format!(
            "FAULT    TCP {place}: connection refused\n         -> Its"
        )),
        "{all}"
    );
}

#[test]
fn something_that_is_no_xmpp_server_is_told_and_escaped() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut socket, _) = listener.accept().unwrap();
        let _ = socket.read(&mut [0; 1024]);
        let _ = socket.write_all(b"SSH-2.0-\x1b[31m\r\n");
        let _ = socket.read(&mut [0; 1024]);
    });
    let config = config(&format!("[federation]\nroutes = [\"b.test={place}\"]"));
    let (lines, reached) = explained(&config, "b.test");
    let all = lines.concat();
    assert!(!reached && !all.contains('\x1b'), "{all}");
    assert!(all.contains("connected in"), "{all}");
    assert!(all.contains("it does not speak XMPP as it has to"), "{all}");
}
