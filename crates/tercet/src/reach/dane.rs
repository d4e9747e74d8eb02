//! Which certificates the DNS names for a service (RFC 6698, RFC 7673), where its answers are validated.

use hickory_resolver::proto::rr::rdata::tlsa::{CertUsage, Matching as M, Selector as S, TLSA};
use hickory_resolver::proto::rr::{RData, RecordType};
use tercet_core::ascii_domain;

use super::failure::Unreachable;
use super::lookup::{Failure, PORT, Reach, name, srv_name};
use super::plan::Service;
use crate::tls::dane::{Matching, Selector, Tlsa, Usage};

impl Reach {
    /// The certificates that the DNS names for `target`, a service of `domain`. None where it names none, where something on the
    /// way from the domain to the record is not signed, or where DNSSEC is not validated.
    ///
    /// # Errors
    /// If the DNS does not say: who is between us and it may have taken the records away (RFC 7673 §3.4).
    pub async fn tlsa(&self, domain: &str, target: &Service) -> Result<Vec<Tlsa>, Unreachable> {
        if !self.validates
            || self.route(domain).is_some()
            || target.host.parse::<std::net::IpAddr>().is_ok()
        {
            return Ok(Vec::new());
        }
        let unknown = |reason: String| {
            Unreachable::timeout(format!(
                "the DNS does not say which certificates the server of {domain} has: {reason}"
            ))
        };
        let Some(host) = ascii_domain(domain) else {
            return Ok(Vec::new());
        };
        let is_fallback = *target.host == *host && target.port == PORT && !target.direct;
        let service = name(&format!("{}.{host}", srv_name(target.direct)));
        let place = name(&format!("_{}._tcp.{}", target.port, target.host));
        let (Some(service), Some(place)) = (service, place) else {
            return Ok(Vec::new());
        };
        // RFC 7673 §3.1: without DNSSEC for the SRV record, there is no DANE.
        match self
            .ask(self.resolver.lookup(service, RecordType::SRV))
            .await
        {
            Ok(found) => {
                let mut records = found.answers().iter();
                if !records.all(|record| record.proof.is_secure()) {
                    return Ok(Vec::new());
                }
            }
            Err(Failure::Absent(_)) if is_fallback => {}
            Err(Failure::Absent(_)) => return Ok(Vec::new()),
            Err(Failure::Failed(reason)) => return Err(unknown(reason)),
        }
        match self
            .ask(self.resolver.lookup(place, RecordType::TLSA))
            .await
        {
            Ok(found) => {
                let records = found.answers();
                if !records.iter().all(|record| record.proof.is_secure()) {
                    return Ok(Vec::new());
                }
                let records = records.iter().filter_map(|record| match &record.data {
                    RData::TLSA(tlsa) => usable(tlsa),
                    _ => None,
                });
                Ok(records.collect())
            }
            Err(Failure::Absent(_)) => Ok(Vec::new()),
            Err(Failure::Failed(reason)) => Err(unknown(reason)),
        }
    }
}

/// RFC 7671 §10.1: what is not known makes a record one that is not there.
fn usable(record: &TLSA) -> Option<Tlsa> {
    Some(Tlsa {
        usage: match record.cert_usage {
            CertUsage::PkixEe => Usage::PkixEe,
            CertUsage::DaneTa => Usage::DaneTa,
            CertUsage::DaneEe => Usage::DaneEe,
            _ => return None,
        },
        selector: match record.selector {
            S::Full => Selector::Certificate,
            S::Spki => Selector::Key,
            _ => return None,
        },
        matching: match record.matching {
            M::Raw => Matching::Whole,
            M::Sha256 => Matching::Sha256,
            M::Sha512 => Matching::Sha512,
            _ => return None,
        },
        data: record.cert_data.as_slice().into(),
    })
}
