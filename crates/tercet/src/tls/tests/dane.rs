//! Certificates that the DNS names (RFC 7671).

use super::super::dane::{Matching, Selector, Tlsa, Usage};
use super::servers::{Authority, judged, meet, wanted};
use super::*;
use aws_lc_rs::digest;

/// What the DNS would say of this certificate.
fn record(usage: Usage, selector: Selector, matching: Matching, certificate: &[u8]) -> Tlsa {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let (_, parsed) = X509Certificate::from_der(certificate).unwrap();
    let selected = match selector {
        Selector::Certificate => certificate,
        Selector::Key => parsed.public_key().raw,
    };
    let data = match matching {
        Matching::Whole => selected.into(),
        Matching::Sha256 => digest::digest(&digest::SHA256, selected).as_ref().into(),
        Matching::Sha512 => digest::digest(&digest::SHA512, selected).as_ref().into(),
    };
    Tlsa {
        usage,
        selector,
        matching,
        data,
    }
}

#[test]
fn a_servers_own_certificate_may_be_named_in_every_way_and_then_its_names_and_times_do_not_count() {
    let authority = Authority::new();
    let past = wanted(&["other.example"])
        .with(|p| p.not_after = (SystemTime::now() - Duration::from_secs(3600)).into());
    let peer = judged(past, None, &authority);
    let own = peer.chain[0].clone();
    for selector in [Selector::Certificate, Selector::Key] {
        for matching in [Matching::Whole, Matching::Sha256, Matching::Sha512] {
            let record = |usage| record(usage, selector, matching, &own);
            let is = |records: &[Tlsa]| peer.is_named(records, "b.example", "x.example");
            assert_eq!(is(&[record(Usage::DaneEe)]), Some(true));
            // Besides, an authority has to vouch for it; or it is no authority.
            assert_eq!(is(&[record(Usage::PkixEe)]), Some(false));
            assert_eq!(is(&[record(Usage::DaneTa)]), Some(false));
            let mut wrong = record(Usage::DaneEe);
            wrong.data[0] ^= 1;
            assert_eq!(is(std::slice::from_ref(&wrong)), Some(false));
            // One of several is enough.
            assert_eq!(is(&[wrong, record(Usage::DaneEe)]), Some(true));
        }
    }
    assert_eq!(peer.is_named(&[], "b.example", "x.example"), None);
    let good = judged(wanted(&["b.example"]), Some(&authority), &authority);
    let record = record(
        Usage::PkixEe,
        Selector::Key,
        Matching::Sha256,
        &good.chain[0],
    );
    let is = |domain| good.is_named(std::slice::from_ref(&record), domain, "x.example");
    assert_eq!(
        (is("b.example"), is("c.example")),
        (Some(true), Some(false))
    );
}

#[test]
fn an_authority_that_is_named_has_to_have_signed_a_certificate_for_the_domain_or_the_host_in_time()
{
    let (private, unknown) = (Authority::new(), Authority::new());
    let past = SystemTime::now() - Duration::from_secs(3600);
    let good = |name: &str| wanted(&[name]);
    for (wanted, signer, expected) in [
        (good("b.example"), &private, true),
        (good("x.example"), &private, true),
        (good("c.example"), &private, false),
        (
            good("b.example").with(|p| p.not_after = past.into()),
            &private,
            false,
        ),
        // Shown beside it is not signed by it.
        (good("b.example"), &unknown, false),
    ] {
        let folder = Authority::new();
        let server = folder.server(wanted, Some(signer));
        let (chain, key) = (
            folder.folder.0.join("chain.pem"),
            folder.folder.0.join("key.pem"),
        );
        let above = fs::read_to_string(&private.file).unwrap();
        fs::write(&chain, fs::read_to_string(&chain).unwrap() + &above).unwrap();
        let hosts = Vec::new();
        server
            .replace(
                vec![CertificateFiles {
                    hosts,
                    services: Vec::new(),
                    chain,
                    key,
                }],
                Vec::new(),
            )
            .unwrap();
        let seen = meet(
            TlsAcceptor::for_servers(server, false)
                .unwrap()
                .start(None)
                .unwrap(),
            TlsConnector::without_certificate(&[])
                .unwrap()
                .start("a.example", "b.example", false)
                .unwrap(),
            usize::MAX,
        );
        let peer = seen.connected.peer.unwrap();
        let record = record(
            Usage::DaneTa,
            Selector::Certificate,
            Matching::Sha256,
            &peer.chain[1],
        );
        let is = peer.is_named(&[record], "b.example", "x.example");
        assert_eq!(is, Some(expected), "{:?}", peer.names());
    }
}
