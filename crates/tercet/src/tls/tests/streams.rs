//! Handshake, data, resumption and closing.

use super::*;

#[test]
fn both_sides_have_the_same_bindings_in_every_version_and_however_the_input_is_split() {
    let server = Server::new(&["one.example"], &[]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for step in [1, 2, 3, 7, 100, usize::MAX] {
            let mut pair = server.pair(server.client_of(&[version]), "one.example");
            pair.step = step;
            pair.run().unwrap();
            pair.client.writer().write_all(b"<stream:stream>").unwrap();
            pair.run().unwrap();
            assert_eq!(pair.data, b"<stream:stream>");
            assert_eq!(pair.server_sends(b"<features/>"), b"<features/>");
            let certificate = &pair.client.peer_certificates().unwrap()[0];
            let end_point = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
            let info = pair.info();
            assert_eq!(info.exporter, Some(pair.client_exporter()));
            assert_eq!(info.end_point.as_deref(), Some(end_point.as_ref()));
            assert_eq!(info.server_name.as_deref(), Some("one.example"));
            assert_eq!(
                info.version == TlsVersion::Tls12,
                version.version == rustls::ProtocolVersion::TLSv1_2
            );
            assert_eq!(
                (info.resumed, &info.peer, &info.alpn),
                (false, &None, &None)
            );
            assert_eq!(pair.server.kept(), 0);
        }
    }
}

#[test]
fn data_that_comes_with_the_last_handshake_message_follows_the_up_event() {
    let server = Server::new(&["one.example"], &[]);
    let mut pair = server.pair(server.client(), "one.example");
    let hello = pair.client_gives();
    let (out, result) = pair.server_takes(&hello);
    result.unwrap();
    pair.client_takes(&out).unwrap();
    pair.client.writer().write_all(b"early bird").unwrap();
    let both = pair.client_gives();
    let (out, result) = pair.server_takes(&both);
    result.unwrap();
    pair.client_takes(&out).unwrap();
    assert!(pair.info.is_some());
    assert_eq!(pair.data, b"early bird");
}

#[test]
fn data_of_many_records_passes_both_ways() {
    let server = Server::new(&["one.example"], &[]);
    let mut pair = server.pair(server.client(), "one.example");
    pair.run().unwrap();
    let long: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
    for part in long.chunks(30_000) {
        pair.client.writer().write_all(part).unwrap();
        pair.run().unwrap();
    }
    assert_eq!(pair.data, long);
    let mut back = Vec::new();
    for part in long.chunks(70_000) {
        let mut out = Vec::new();
        pair.server.encrypt(part, &mut out).unwrap();
        for record in out.chunks(4_000) {
            pair.client_takes(record).unwrap();
            back.extend(pair.client_reads());
        }
    }
    assert_eq!(back, long);
    assert_eq!(pair.server.kept(), 0);
}

#[test]
fn a_ticket_resumes_the_session_in_both_versions_with_new_bindings() {
    let server = Server::new(&["one.example"], &[]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut config = server.client_of(&[version]);
        config.resumption = Resumption::in_memory_sessions(8);
        let mut first = server.pair(config.clone(), "one.example");
        first.run().unwrap();
        assert!(!first.info().resumed);
        let mut second = server.pair(config, "one.example");
        second.run().unwrap();
        assert!(second.info().resumed);
        assert_eq!(second.info().exporter, Some(second.client_exporter()));
        assert_ne!(second.info().exporter, first.info().exporter);
        assert_eq!(second.info().end_point, first.info().end_point);
    }
}

#[test]
fn direct_tls_takes_its_own_alpn_name_or_none_and_refuses_others() {
    let server = Server::new(&["one.example"], &[ALPN_CLIENT]);
    for (offered, chosen) in [
        (&[][..], None),
        (
            &[b"xmpp-client".to_vec(), b"h2".to_vec()],
            Some(ALPN_CLIENT),
        ),
    ] {
        let mut config = server.client();
        config.alpn_protocols = offered.to_vec();
        let mut pair = server.pair(config, "one.example");
        pair.run().unwrap();
        assert_eq!(pair.info().alpn.as_deref(), chosen);
    }
    let mut config = server.client();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut pair = server.pair(config, "one.example");
    let hello = pair.client_gives();
    let (out, result) = pair.server_takes(&hello);
    assert!(matches!(
        result,
        Err(TlsError::Peer(rustls::Error::NoApplicationProtocol))
    ));
    let alert = pair.client_takes(&out).unwrap_err();
    let expected = rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol);
    assert_eq!(alert, expected);
}

#[test]
fn within_starttls_alpn_is_ignored() {
    let server = Server::new(&["one.example"], &[]);
    let mut config = server.client();
    config.alpn_protocols = vec![b"anything".to_vec()];
    config.check_selected_alpn = false;
    let mut pair = server.pair(config, "one.example");
    pair.run().unwrap();
    assert_eq!(pair.info().alpn, None);
}

#[test]
fn garbage_ends_with_an_alert_at_every_point_of_the_handshake() {
    let server = Server::new(&["one.example"], &[]);
    for garbage in [
        &b"<?xml version='1.0'?><stream:stream>"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0; 64],
        &[0xff; 64],
    ] {
        let mut pair = server.pair(server.client(), "one.example");
        let (out, result) = pair.server_takes(garbage);
        assert!(matches!(result, Err(TlsError::Peer(_))), "{garbage:?}");
        // An alert record.
        assert_eq!(out.first(), Some(&21));
    }
    // Flip a bit in each byte of the client's flights in turn.
    let first = server
        .pair(server.client(), "one.example")
        .client_gives()
        .len();
    for flip in (0..first).step_by(5) {
        let mut pair = server.pair(server.client(), "one.example");
        let mut hello = pair.client_gives();
        hello[flip] ^= 0x10;
        if let (out, Ok(())) = pair.server_takes(&hello) {
            let _ = pair.client_takes(&out);
            let more = pair.client_gives();
            let _ = pair.server_takes(&more);
        }
        assert!(pair.data.is_empty());
    }
    let mut pair = server.pair(server.client(), "one.example");
    pair.run().unwrap();
    pair.client.writer().write_all(b"data").unwrap();
    let mut record = pair.client_gives();
    let last = record.len() - 1;
    record[last] ^= 1;
    let (out, result) = pair.server_takes(&record);
    assert!(matches!(
        result,
        Err(TlsError::Peer(rustls::Error::DecryptError))
    ));
    assert!(pair.data.is_empty());
    let alert = pair.client_takes(&out).unwrap_err();
    let expected = rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac);
    assert_eq!(alert, expected);
}

#[test]
fn an_unfinished_handshake_message_is_held_within_its_bound() {
    let server = Server::new(&["one.example"], &[]);
    let mut pair = server.pair(server.client(), "one.example");
    // A ClientHello that claims 64 kB, in full records.
    let mut bytes = Vec::new();
    for i in 0..4 {
        let mut body = vec![0; 16 * 1024];
        if i == 0 {
            body[..4].copy_from_slice(&[1, 0, 0xff, 0xff]);
        }
        bytes.extend([22, 3, 1, 0x40, 0]);
        bytes.extend(body);
    }
    let (_, result) = pair.server_takes(&bytes);
    assert!(result.is_err());
    assert!(pair.server.kept() <= 24 * 1024);
}

#[test]
fn sending_between_the_parts_of_a_post_handshake_message_is_safe() {
    let server = Server::new(&["one.example"], &[]);
    let mut pair = server.pair(server.client(), "one.example");
    pair.run().unwrap();
    pair.client.refresh_traffic_keys().unwrap();
    pair.client
        .writer()
        .write_all(b"after the key update")
        .unwrap();
    let bytes = pair.client_gives();
    let mut received = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        let (out, result) = pair.server_takes(std::slice::from_ref(byte));
        result.unwrap();
        pair.client_takes(&out).unwrap();
        received.extend(pair.server_sends(format!("{at};").as_bytes()));
    }
    let expected: String = (0..bytes.len()).map(|at| format!("{at};")).collect();
    assert_eq!(received, expected.as_bytes());
    assert_eq!(pair.data, b"after the key update");
}

#[test]
fn closing_is_announced_by_both_sides_and_nothing_follows() {
    let server = Server::new(&["one.example"], &[]);
    let mut pair = server.pair(server.client(), "one.example");
    let mut out = Vec::new();
    assert!(matches!(
        pair.server.encrypt(b"x", &mut out),
        Err(TlsError::NotOpen)
    ));
    assert!(matches!(
        pair.server.close(&mut out),
        Err(TlsError::NotOpen)
    ));
    pair.run().unwrap();
    pair.client.send_close_notify();
    pair.run().unwrap();
    assert!(pair.closed);
    // The other direction is still open.
    assert_eq!(pair.server_sends(b"</stream:stream>"), b"</stream:stream>");
    pair.server.close(&mut out).unwrap();
    let length = out.len();
    assert!(matches!(
        pair.server.encrypt(b"x", &mut out),
        Err(TlsError::NotOpen)
    ));
    assert!(matches!(
        pair.server.close(&mut out),
        Err(TlsError::NotOpen)
    ));
    assert_eq!(out.len(), length);
    pair.client_takes(&out).unwrap();
    assert!(pair.client.process_new_packets().unwrap().peer_has_closed());
}

#[test]
fn an_idle_session_is_small() {
    let size = std::mem::size_of::<TlsSession>();
    assert!(size <= 1400, "{size} bytes");
}
