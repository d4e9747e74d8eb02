//! Against a name server of the test's own whose zone `test.` is signed, but for `open.test`, which it leaves to others.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use hickory_resolver::proto::dnssec::crypto::EcdsaSigningKey;
use hickory_resolver::proto::dnssec::rdata::{DNSKEY, DNSSECRData, NSEC, RRSIG};
use hickory_resolver::proto::dnssec::{Algorithm, DnssecSigner, SigningKey};
use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::tlsa::{CertUsage, Matching, Selector, TLSA};
use hickory_resolver::proto::rr::rdata::{A, NS, SOA, SRV};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordSet, RecordType};
use tercet_core::Condition;
use tokio::net::UdpSocket;

use super::*;
use crate::config::{Federation, NameServer, Route};
use crate::tls::dane::{self, Tlsa};

/// What is wrong with the signatures.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Wrong {
    Nothing,
    /// They are of another key.
    Key,
    /// Their time is over.
    Expired,
    /// Those of TLSA records are not there.
    NoneOfTlsa,
}

pub(crate) fn named(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn signer() -> DnssecSigner {
    let algorithm = Algorithm::ECDSAP256SHA256;
    let key = EcdsaSigningKey::generate_pkcs8(algorithm).unwrap();
    let key = EcdsaSigningKey::from_pkcs8(&key, algorithm).unwrap();
    let public = DNSKEY::from_key(&key.to_public_key().unwrap());
    let hour = Duration::from_secs(3600);
    DnssecSigner::new(public, Box::new(key), named("test."), hour)
}

/// A record set with its signature.
fn set(signer: &DnssecSigner, name: &Name, data: Vec<RData>, expired: bool) -> Vec<Record> {
    let mut records = RecordSet::new(name.clone(), data[0].record_type(), 0);
    for data in data {
        records.insert(Record::from_rdata(name.clone(), 60, data), 0);
    }
    let age = if expired { 7200 } else { 60 };
    let since = (SystemTime::now() - Duration::from_secs(age)).into();
    let signature = RRSIG::from_rrset(&records, DNSClass::IN, since, signer).unwrap();
    let data = RData::DNSSEC(DNSSECRData::RRSIG(signature));
    let signature = Record::from_rdata(name.clone(), 60, data);
    let records = records.records_without_rrsigs().cloned();
    records.chain([signature]).collect()
}

/// A way by a name server with these records, whose key is trusted.
async fn reach(table: &[(&str, RData)], wrong: Wrong) -> Reach {
    let settings = serve(table, wrong).await;
    let reach = Reach::new(&settings).unwrap();
    std::fs::remove_file(settings.trust_anchor.unwrap()).unwrap();
    reach
}

/// A name server with these records, as long as this runtime; the settings that ask it and trust its key, which is in a file.
pub(crate) async fn serve(table: &[(&str, RData)], wrong: Wrong) -> Federation {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let (key, other) = (Arc::new(signer()), signer());
    let mut records: HashMap<(Name, RecordType), Vec<RData>> = HashMap::new();
    for (name, data) in table {
        let kind = data.record_type();
        let all = records.entry((named(name), kind)).or_default();
        all.push(data.clone());
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let file: PathBuf =
        std::env::temp_dir().join(format!("tercet-anchor-{}-{number}", std::process::id()));
    std::fs::write(&file, format!("test. 3600 IN DNSKEY {}\n", key.dnskey())).unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let settings = Federation {
        dns_servers: vec![NameServer(socket.local_addr().unwrap())],
        dnssec: true,
        trust_anchor: Some(file),
        routes: vec![Route::parse("routed.test=127.0.0.1:1").unwrap()],
        ..Federation::default()
    };
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let asked = Message::from_vec(&buffer[..length]).unwrap();
            let query = asked.queries[0].clone();
            let (name, kind) = (query.name().to_lowercase(), query.query_type());
            let open = named("open.test.");
            let mut answer = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
            answer.metadata.recursion_available = true;
            answer.add_query(query.clone());
            let found = records.get(&(name.clone(), kind)).cloned();
            let data = match (kind, &found) {
                (RecordType::DNSKEY, _) if name == named("test.") => Some(vec![RData::DNSSEC(
                    DNSSECRData::DNSKEY(key.dnskey().clone()),
                )]),
                (RecordType::NS, _) if name == open => Some(vec![RData::NS(NS(named("ns.test.")))]),
                _ => found,
            };
            if let Some(data) = data {
                let signed = !open.zone_of(&name);
                let signer = match kind {
                    RecordType::DNSKEY => &*key,
                    _ if wrong == Wrong::Key => &other,
                    _ => &*key,
                };
                let mut all = set(signer, &name, data, wrong == Wrong::Expired);
                if !signed || wrong == Wrong::NoneOfTlsa && kind == RecordType::TLSA {
                    all.pop();
                }
                answer.add_answers(all);
            } else {
                let root = named("test.");
                let soa = SOA::new(root.clone(), root.clone(), 1, 1, 1, 1, 60);
                let soa = set(&key, &root, vec![RData::SOA(soa)], false);
                answer.add_authorities(soa);
                if kind == RecordType::DS && name == open {
                    let none = NSEC::new(
                        named("zz.test."),
                        [RecordType::NS, RecordType::NSEC, RecordType::RRSIG],
                    );
                    let none = RData::DNSSEC(DNSSECRData::NSEC(none));
                    answer.add_authorities(set(&key, &open, vec![none], false));
                } else if records.keys().any(|(other, _)| *other == name) {
                    let there = records.keys().filter(|(other, _)| *other == name);
                    let signatures = [RecordType::NSEC, RecordType::RRSIG];
                    let types = there.map(|(_, kind)| *kind).chain(signatures);
                    let none =
                        RData::DNSSEC(DNSSECRData::NSEC(NSEC::new(named("zz.test."), types)));
                    answer.add_authorities(set(&key, &name, vec![none], false));
                } else if kind != RecordType::NS {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                    // Nothing is between the zone's own name and its end.
                    let next = named("test.");
                    let none = NSEC::new(
                        next.clone(),
                        [RecordType::SOA, RecordType::NSEC, RecordType::RRSIG],
                    );
                    let none = RData::DNSSEC(DNSSECRData::NSEC(none));
                    answer.add_authorities(set(&key, &next, vec![none], false));
                }
            }
            socket
                .send_to(&answer.to_vec().unwrap(), from)
                .await
                .unwrap();
        }
    });
    settings
}

fn srv(host: &str) -> RData {
    RData::SRV(SRV::new(1, 0, 5269, named(host)))
}

pub(crate) fn tlsa(usage: CertUsage, matching: Matching, data: &[u8]) -> RData {
    RData::TLSA(TLSA::new(usage, Selector::Spki, matching, data.to_vec()))
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test)
}

/// The first service of `domain`, and what the DNS says of its certificate.
async fn asked(reach: &Reach, domain: &str) -> Result<Vec<Tlsa>, Unreachable> {
    let targets = reach.targets(domain).await?;
    reach.tlsa(domain, &targets[0]).await
}

const DOMAIN: &str = "_xmpp-server._tcp.a.test.";
const SERVICE: &str = "_5269._tcp.x.test.";

#[test]
fn records_count_where_all_on_the_way_is_signed() {
    run(async {
        let table = [
            (DOMAIN, srv("x.test.")),
            (SERVICE, tlsa(CertUsage::DaneEe, Matching::Sha256, &[7; 32])),
            (SERVICE, tlsa(CertUsage::PkixTa, Matching::Sha256, &[8; 32])),
            (
                SERVICE,
                tlsa(CertUsage::DaneEe, Matching::Unassigned(9), &[9; 32]),
            ),
        ];
        let reach = reach(&table, Wrong::Nothing).await;
        let expected = Tlsa {
            usage: dane::Usage::DaneEe,
            selector: dane::Selector::Key,
            matching: dane::Matching::Sha256,
            data: [7; 32].into(),
        };
        assert_eq!(asked(&reach, "a.test").await.unwrap(), [expected]);
        assert_eq!(asked(&reach, "routed.test").await, Ok(Vec::new()));
    });
}

#[test]
fn an_address_is_found_beside_one_that_is_proved_not_to_be_there() {
    run(async {
        let address = Ipv4Addr::new(127, 0, 0, 9);
        let table = [("x.test.", RData::A(A(address)))];
        let reach = reach(&table, Wrong::Nothing).await;
        let found = reach.addresses("x.test").await;
        assert_eq!(found, Ok(vec![address.into()]));
    });
}

#[test]
fn what_is_signed_wrongly_is_no_answer() {
    for wrong in [Wrong::Key, Wrong::Expired, Wrong::NoneOfTlsa] {
        run(async {
            let table = [
                (DOMAIN, srv("x.test.")),
                (SERVICE, tlsa(CertUsage::DaneEe, Matching::Sha256, &[7; 32])),
            ];
            let reach = reach(&table, wrong).await;
            let error = asked(&reach, "a.test").await.unwrap_err();
            // Not that there is no such server: nobody may say that for another.
            assert_eq!(error.condition, Condition::RemoteServerTimeout);
        });
    }
}

#[test]
fn of_a_domain_that_is_not_signed_records_say_nothing() {
    run(async {
        let table = [
            ("_xmpp-server._tcp.open.test.", srv("x.test.")),
            (SERVICE, tlsa(CertUsage::DaneEe, Matching::Sha256, &[7; 32])),
        ];
        let reach = reach(&table, Wrong::Nothing).await;
        assert_eq!(asked(&reach, "open.test").await, Ok(Vec::new()));
    });
}
