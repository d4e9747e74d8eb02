//! What the DNS and the configuration know of a domain's servers.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ProtocolConfig, ResolverConfig,
    ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::TrustAnchors;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tercet_core::ascii_domain;
use tokio::sync::Semaphore;

use super::failure::Unreachable;
use super::plan::{Plan, Service, plan};
use super::race::interleave;
use super::road::Road;
use crate::config::{Federation, Route};

/// RFC 6120 §3.2.2: the port where servers are found that no SRV record names.
pub(super) const PORT: u16 = 5269;

/// Time for a name server's answer, and how often it is asked.
const ANSWER: Duration = Duration::from_secs(3);
const ATTEMPTS: usize = 2;
/// Time for all that one question takes.
const QUESTION: Duration = Duration::from_secs(10);
/// Questions that are out at a time; further ones wait for a place, within [`QUESTION`].
const QUESTIONS_MAX: usize = 256;
/// Answers that are remembered, negative ones for as long as they say (RFC 2308).
const CACHE: u64 = 8192;
/// Longest time for which an answer is believed.
const TTL_MAX: Duration = Duration::from_secs(86_400);

/// The way to other servers. A clone is the same one; each runtime has its own, as questions to the DNS run as tasks of
/// the runtime that asks first.
#[derive(Clone)]
pub struct Reach {
    pub(super) resolver: TokioResolver,
    /// Whether answers are validated (DNSSEC).
    pub(super) validates: bool,
    routes: Arc<HashMap<String, Route>>,
    places: Arc<Semaphore>,
}

/// The DNS's answer for one sort of service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Srv {
    /// The records, in no order. None: there is no such name, or no record of that type.
    pub services: Vec<Service>,
    /// Without records: how long that will stay so.
    pub again_after: Option<Duration>,
}

/// Why a question has no answer.
pub(super) enum Failure {
    /// There is no such name or record, for so long.
    Absent(Option<Duration>),
    /// Nobody knows.
    Failed(String),
}

impl Reach {
    /// The way by these settings: with the system's name servers if they name none.
    ///
    /// # Errors
    /// If the file with the trust anchor cannot be read, or the resolver cannot be made: a fault of the build.
    pub fn new(settings: &Federation) -> io::Result<Self> {
        let provider = TokioRuntimeProvider::default();
        let mut builder = match settings.dns_servers.is_empty() {
            false => {
                let servers = settings.dns_servers.iter();
                let config = ResolverConfig::from_name_servers(servers.map(name_server).collect());
                TokioResolver::builder_with_config(config, provider)
            }
            true => TokioResolver::builder_tokio().unwrap_or_else(|error| {
                // As the system's own resolver does without its file.
                tracing::warn!(%error, "the system names no DNS servers; asking the one on this machine");
                let local = NameServerConfig::udp_and_tcp(IpAddr::from([127, 0, 0, 1]));
                let config = ResolverConfig::from_name_servers(vec![local]);
                TokioResolver::builder_with_config(config, provider)
            }),
        };
        let options: &mut ResolverOpts = builder.options_mut();
        options.timeout = ANSWER;
        options.attempts = ATTEMPTS;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.cache_size = CACHE;
        options.positive_max_ttl = Some(TTL_MAX);
        options.negative_max_ttl = Some(TTL_MAX);
        options.max_active_requests = QUESTIONS_MAX;
        options.validate = settings.dnssec;
        if settings.dnssec
            && let Some(file) = &settings.trust_anchor
        {
            let anchors = TrustAnchors::from_file(file);
            let anchors = anchors.map_err(|error| {
                io::Error::other(format!("{}: no trust anchor: {error}", file.display()))
            })?;
            builder = builder.with_trust_anchor(Arc::new(anchors));
        }
        let routes = settings.routes.iter();
        Ok(Reach {
            validates: settings.dnssec,
            resolver: builder.build().map_err(io::Error::other)?,
            routes: Arc::new(
                routes
                    .map(|route| (route.domain.clone(), route.clone()))
                    .collect(),
            ),
            places: Arc::new(Semaphore::new(QUESTIONS_MAX)),
        })
    }

    /// The way to the server of `domain`, which is normalised (RFC 7622).
    ///
    /// # Errors
    /// If there is no such server, or the DNS does not say.
    pub async fn road(&self, domain: &str) -> Result<Road, Unreachable> {
        let targets = self.targets(domain).await?;
        Ok(Road::new(self.clone(), domain, targets))
    }

    /// What the configuration says about `domain`.
    pub fn route(&self, domain: &str) -> Option<&Route> {
        self.routes.get(domain)
    }

    /// The targets to try for `domain`, in their order; at least one.
    ///
    /// # Errors
    /// As those of [`road`](Self::road).
    pub async fn targets(&self, domain: &str) -> Result<Vec<Service>, Unreachable> {
        if let Some(route) = self.route(domain) {
            return Ok(vec![route.service()]);
        }
        if let Ok(address) = domain.trim_matches(['[', ']']).parse::<IpAddr>() {
            // RFC 6120 §3.1: an address needs no DNS.
            return Ok(vec![at_5269(&address.to_string())]);
        }
        let (starttls, direct) = tokio::join!(self.srv(domain, false), self.srv(domain, true));
        self.planned(domain, starttls, direct)
    }

    /// The order in which the services of two answers are tried.
    ///
    /// # Errors
    /// If there is nothing to try.
    pub fn planned(
        &self,
        domain: &str,
        starttls: Result<Srv, Unreachable>,
        direct: Result<Srv, Unreachable>,
    ) -> Result<Vec<Service>, Unreachable> {
        let again_after = [&starttls, &direct]
            .into_iter()
            .filter_map(|answer| answer.as_ref().ok()?.again_after)
            .min();
        let failed = [&starttls, &direct]
            .into_iter()
            .find_map(|a| a.as_ref().err());
        let failed = failed.cloned();
        let services = |answer: Result<Srv, Unreachable>| answer.unwrap_or_default().services;
        match plan(services(starttls), services(direct), &mut random) {
            Plan::Services(services) => Ok(services),
            Plan::Nothing => Err(Unreachable {
                again_after,
                ..Unreachable::not_found(format!(
                    "{domain} has no XMPP server: its SRV record says so"
                ))
            }),
            Plan::Fallback => match failed {
                // What is unknown must not send us elsewhere.
                Some(failed) => Err(failed),
                None => {
                    let host = ascii_domain(domain);
                    let host = host.ok_or_else(|| Unreachable::not_found(no_name(domain)))?;
                    Ok(vec![at_5269(&host)])
                }
            },
        }
    }

    /// The SRV records of `domain` for TLS from the first byte (`direct`), or for STARTTLS.
    ///
    /// # Errors
    /// If the DNS does not say.
    pub async fn srv(&self, domain: &str, direct: bool) -> Result<Srv, Unreachable> {
        let service = srv_name(direct);
        let name = ascii_domain(domain).and_then(|domain| name(&format!("{service}.{domain}")));
        let name = name.ok_or_else(|| Unreachable::not_found(no_name(domain)))?;
        let asked = self.ask(self.resolver.lookup(name, RecordType::SRV)).await;
        match asked {
            Ok(found) => {
                let records = found.answers().iter();
                let services = records.filter_map(|record| match &record.data {
                    RData::SRV(srv) => Some(Service {
                        priority: srv.priority,
                        weight: srv.weight,
                        host: host(&srv.target),
                        port: srv.port,
                        direct,
                    }),
                    _ => None,
                });
                Ok(Srv {
                    services: services.collect(),
                    again_after: None,
                })
            }
            Err(Failure::Absent(again_after)) => Ok(Srv {
                services: Vec::new(),
                again_after,
            }),
            Err(Failure::Failed(reason)) => Err(Unreachable::timeout(format!(
                "the DNS does not say where the server of {domain} is: {reason}"
            ))),
        }
    }

    /// The addresses of a target's host, in the order in which they are tried; at least one.
    ///
    /// # Errors
    /// If it has none, or the DNS does not say.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Unreachable> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let name = name(host).ok_or_else(|| Unreachable::not_found(no_name(host)))?;
        let escaped = host.escape_debug();
        match self.ask(self.resolver.lookup_ip(name)).await {
            Ok(found) => match interleave(found.iter()) {
                none if none.is_empty() => Err(Unreachable::not_found(no_address(host))),
                addresses => Ok(addresses),
            },
            Err(Failure::Absent(again_after)) => Err(Unreachable {
                again_after,
                ..Unreachable::not_found(no_address(host))
            }),
            Err(Failure::Failed(reason)) => Err(Unreachable::timeout(format!(
                "the DNS does not say what address {escaped} has: {reason}"
            ))),
        }
    }

    pub(super) async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, NetError>>,
    ) -> Result<T, Failure> {
        let answer = async {
            // Never closed: an error would be a place all the same.
            let _place = self.places.acquire().await;
            question.await
        };
        match tokio::time::timeout(QUESTION, answer).await {
            Ok(answer) => answer.map_err(|error| failure(&error)),
            Err(_) => Err(Failure::Failed(format!(
                "no answer in {} s",
                QUESTION.as_secs()
            ))),
        }
    }
}

/// The name below which the records of a service are.
pub(crate) fn srv_name(direct: bool) -> &'static str {
    match direct {
        true => "_xmpps-server._tcp",
        false => "_xmpp-server._tcp",
    }
}

fn at_5269(host: &str) -> Service {
    Service {
        priority: 0,
        weight: 0,
        host: host.into(),
        port: PORT,
        direct: false,
    }
}

fn name_server(address: &crate::config::NameServer) -> NameServerConfig {
    let address = address.0;
    let at = |protocol| {
        let mut connection = ConnectionConfig::new(protocol);
        connection.port = address.port();
        connection
    };
    let connections = vec![at(ProtocolConfig::Udp), at(ProtocolConfig::Tcp)];
    NameServerConfig::new(address.ip(), true, connections)
}

/// A whole name, to which no search list adds anything. None if it is too long for the DNS.
pub(super) fn name(text: &str) -> Option<Name> {
    Name::from_ascii(format!("{}.", text.trim_end_matches('.'))).ok()
}

/// A target as a host name; empty for the root, which says that there is no service.
fn host(target: &Name) -> Box<str> {
    let text = target.to_ascii();
    text.trim_end_matches('.').to_ascii_lowercase().into()
}

fn no_name(domain: &str) -> String {
    format!("{} is no name in the DNS", domain.escape_debug())
}

fn no_address(host: &str) -> String {
    format!("{} has no address in the DNS", host.escape_debug())
}

/// RFC 2308: no such name and no such record are answers; anything else is none.
fn failure(error: &NetError) -> Failure {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none))
            if matches!(
                none.response_code,
                ResponseCode::NXDomain | ResponseCode::NoError
            ) =>
        {
            let ttl = none.negative_ttl.map(|s| Duration::from_secs(s.into()));
            Failure::Absent(ttl)
        }
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            Failure::Failed(none.response_code.to_string())
        }
        NetError::Dns(DnsError::ResponseCode(code)) => Failure::Failed(code.to_string()),
        NetError::Timeout => Failure::Failed("its servers do not answer".to_owned()),
        other => Failure::Failed(other.to_string()),
    }
}

/// A number in `0..=most`.
fn random(most: u32) -> u32 {
    let mut bytes = [0; 8];
    // Without randomness the first is as good as any.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    let wide = u64::from_le_bytes(bytes) % (u64::from(most) + 1);
    u32::try_from(wide).unwrap_or(0)
}
