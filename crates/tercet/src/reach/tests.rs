//! Against a name server of the test's own, on the loopback.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, SOA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tercet_core::Condition;
use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::config::{Federation, NameServer, Route};

/// What the server says about a name.
#[derive(Clone)]
enum Say {
    Records(Vec<RData>),
    Code(ResponseCode),
    Nothing,
}

/// Seconds for which a negative answer holds.
const NEGATIVE: u32 = 77;

/// Answers from a table; names that are not in it do not exist. A task of the test's runtime.
async fn dns(table: &[(&str, RecordType, Say)]) -> NameServer {
    let entries = table.iter();
    let table: HashMap<(String, RecordType), Say> = entries
        .map(|(name, kind, say)| ((format!("{name}."), *kind), say.clone()))
        .collect();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let asked = Message::from_vec(&buffer[..length]).unwrap();
            let query = asked.queries[0].clone();
            let name = query.name().to_ascii().to_ascii_lowercase();
            let mut answer = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
            answer.metadata.recursion_available = true;
            answer.add_query(query.clone());
            let known = table.keys().any(|(other, _)| *other == name);
            match table.get(&(name, query.query_type())) {
                Some(Say::Nothing) => continue,
                Some(Say::Code(code)) => answer.metadata.response_code = *code,
                Some(Say::Records(records)) => {
                    for data in records {
                        let record = Record::from_rdata(query.name().clone(), 60, data.clone());
                        answer.add_answer(record);
                    }
                }
                None => {
                    if !known {
                        answer.metadata.response_code = ResponseCode::NXDomain;
                    }
                    let root = Name::from_ascii("test.").unwrap();
                    let soa = SOA::new(root.clone(), root.clone(), 1, 1, 1, 1, NEGATIVE);
                    answer.add_authority(Record::from_rdata(root, NEGATIVE, RData::SOA(soa)));
                }
            }
            let answer = answer.to_vec().unwrap();
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    NameServer(address)
}

async fn reach(table: &[(&str, RecordType, Say)]) -> Reach {
    let settings = Federation {
        dns_servers: vec![dns(table).await],
        ..Federation::default()
    };
    Reach::new(&settings).unwrap()
}

fn srv(priority: u16, host: &str, port: u16) -> RData {
    RData::SRV(SRV::new(priority, 0, port, Name::from_ascii(host).unwrap()))
}

fn a(last: u8) -> RData {
    RData::A(A::new(127, 0, 0, last))
}

fn one(data: RData) -> Say {
    Say::Records(vec![data])
}

const STARTTLS: &str = "_xmpp-server._tcp.a.test";
const DIRECT: &str = "_xmpps-server._tcp.a.test";

/// A runtime of one thread, without a real clock if `paused`: time passes when nothing else happens.
fn run<T>(paused: bool, test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(paused)
        .build()
        .unwrap()
        .block_on(test)
}

#[test]
fn records_of_both_sorts_are_found_and_put_in_order() {
    run(false, async {
        let table = [
            (
                STARTTLS,
                RecordType::SRV,
                Say::Records(vec![srv(20, "X.A.test.", 5269), srv(40, "z.a.test.", 1)]),
            ),
            (DIRECT, RecordType::SRV, one(srv(30, "y.a.test.", 5270))),
        ];
        let reach = reach(&table).await;
        let found = reach.targets("a.test").await.unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|target| (&*target.host, target.port, target.direct))
            .collect();
        let expected = [
            ("x.a.test", 5269, false),
            ("y.a.test", 5270, true),
            ("z.a.test", 1, false),
        ];
        assert_eq!(found, expected);
    });
}

#[test]
fn without_records_it_is_the_domain_itself_at_5269() {
    run(false, async {
        let table = [
            ("a.test", RecordType::A, one(a(1))),
            ("xn--tda.test", RecordType::A, one(a(2))),
        ];
        let reach = reach(&table).await;
        for (domain, host, address) in [("a.test", "a.test", 1), ("ü.test", "xn--tda.test", 2)] {
            let found = reach.targets(domain).await.unwrap();
            let [target] = &found[..] else {
                panic!("{found:?}")
            };
            let place = (&*target.host, target.port, target.direct);
            assert_eq!(place, (host, 5269, false));
            let addresses = reach.addresses(&target.host).await.unwrap();
            assert_eq!(addresses, [IpAddr::from([127, 0, 0, address])]);
        }
        // Addresses need no DNS.
        let found = reach.targets("[::1]").await.unwrap();
        assert_eq!((&*found[0].host, found[0].port), ("::1", 5269));
    });
}

#[test]
fn a_domain_that_does_not_exist_is_not_found_for_as_long_as_the_dns_says() {
    run(false, async {
        let reach = reach(&[]).await;
        let mut road = reach.road("a.test").await.unwrap();
        let error = road.next().await.err().unwrap();
        assert_eq!(error.condition, Condition::RemoteServerNotFound);
        assert_eq!(
            error.again_after,
            Some(Duration::from_secs(NEGATIVE.into()))
        );
        let text = "the server of a.test cannot be reached: a.test has no address in the DNS";
        assert_eq!(error.text, text);
    });
}

#[test]
fn a_dot_as_target_means_that_there_is_no_server() {
    run(false, async {
        let table = [
            (STARTTLS, RecordType::SRV, one(srv(0, ".", 0))),
            ("a.test", RecordType::A, one(a(1))),
        ];
        let error = reach(&table).await.road("a.test").await.err().unwrap();
        assert_eq!(error.condition, Condition::RemoteServerNotFound);
        assert!(error.text.contains("its SRV record says so"), "{error}");
    });
}

#[test]
fn a_dns_that_fails_is_another_matter_and_does_not_lead_elsewhere() {
    run(false, async {
        for code in [ResponseCode::ServFail, ResponseCode::Refused] {
            let table = [
                (STARTTLS, RecordType::SRV, Say::Code(code)),
                ("a.test", RecordType::A, one(a(1))),
            ];
            let error = reach(&table).await.road("a.test").await.err().unwrap();
            assert_eq!(error.condition, Condition::RemoteServerTimeout, "{code}");
            assert_eq!(error.again_after, None);
        }
        // What one answer says is enough.
        let table = [
            (STARTTLS, RecordType::SRV, Say::Code(ResponseCode::ServFail)),
            (DIRECT, RecordType::SRV, one(srv(0, "y.a.test.", 5270))),
        ];
        let found = reach(&table).await.targets("a.test").await.unwrap();
        assert_eq!(found.len(), 1);
    });
}

#[test]
fn a_dns_that_does_not_answer_is_given_up_in_time() {
    run(true, async {
        let table = [
            (STARTTLS, RecordType::SRV, Say::Nothing),
            (DIRECT, RecordType::SRV, Say::Nothing),
        ];
        let reach = reach(&table).await;
        let began = tokio::time::Instant::now();
        let error = reach.road("a.test").await.err().unwrap();
        assert_eq!(error.condition, Condition::RemoteServerTimeout);
        assert!(error.text.contains("the DNS does not say"), "{error}");
        assert!(
            began.elapsed() <= Duration::from_secs(11),
            "{:?}",
            began.elapsed()
        );
    });
}

#[test]
fn connections_come_about_in_order_and_the_next_target_follows_where_one_leads_nowhere() {
    run(false, async {
        let good = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let closed = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            port(&listener)
        };
        let table = [
            (
                STARTTLS,
                RecordType::SRV,
                Say::Records(vec![
                    srv(1, "gone.a.test.", 1),
                    srv(2, "x.a.test.", closed),
                    srv(3, "x.a.test.", port(&good)),
                    srv(4, "x.a.test.", port(&other)),
                ]),
            ),
            ("x.a.test", RecordType::A, one(a(1))),
        ];
        let reach = reach(&table).await;
        let mut road = reach.road("a.test").await.unwrap();
        for expected in [&good, &other] {
            let reached = road.next().await.unwrap();
            assert_eq!(reached.address, expected.local_addr().unwrap());
            assert_eq!(reached.target.port, reached.address.port());
            road.failed("it speaks no XMPP".to_owned());
        }
        let error = road.next().await.err().unwrap();
        assert_eq!(error.condition, Condition::RemoteServerTimeout);
        let refused = format!("127.0.0.1:{closed}: connection refused");
        for reason in ["gone.a.test has no address", &refused, "speaks no XMPP"] {
            assert!(error.text.contains(reason), "{error}");
        }
    });
}

#[test]
fn a_route_of_the_configuration_stands_in_place_of_the_dns() {
    run(false, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let settings = Federation {
            // Nobody is there.
            dns_servers: vec![NameServer(SocketAddr::from(([127, 0, 0, 1], 9)))],
            routes: vec![Route::parse(&format!("ü.test=tls:{address}")).unwrap()],
            ..Federation::default()
        };
        let reach = Reach::new(&settings).unwrap();
        let mut road = reach.road("ü.test").await.unwrap();
        let reached = road.next().await.unwrap();
        assert_eq!((reached.address, reached.target.direct), (address, true));
    });
}
