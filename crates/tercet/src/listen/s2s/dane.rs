//! Certificates of other servers that the DNS names (DANE): of those that we have connected to, and of those that have connected to us.

use crate::reach::{Reach, Service, Unreachable};
use crate::tls::PeerCertificate;
use crate::tls::dane::Tlsa;

/// What the DNS says of the certificate at the other end of a connection that we have made.
pub(super) struct Named {
    domain: Box<str>,
    host: Box<str>,
    records: Vec<Tlsa>,
}

impl Named {
    /// For the service that was reached.
    ///
    /// # Errors
    /// If the DNS does not say.
    pub(super) async fn ask(
        domain: &str,
        target: &Service,
        reach: &Reach,
    ) -> Result<Named, Unreachable> {
        Ok(Named {
            records: reach.tlsa(domain, target).await?,
            domain: domain.into(),
            host: target.host.clone(),
        })
    }

    /// Whether it is this one; `None` if the DNS does not name any for `domain`.
    pub(super) fn is(&self, certificate: &PeerCertificate, domain: &str) -> Option<bool> {
        if *self.domain != *domain {
            return None;
        }
        certificate.is_named(&self.records, domain, &self.host)
    }
}

/// Whether the DNS names `certificate` for one of the services of `domain` (RFC 7712 §4.1 asks for the services of who connects).
pub(super) async fn is_named(certificate: &PeerCertificate, domain: &str, reach: &Reach) -> bool {
    let Ok(targets) = reach.targets(domain).await else {
        return false;
    };
    for target in &targets {
        let Ok(named) = Named::ask(domain, target, reach).await else {
            continue;
        };
        if named.is(certificate, domain) == Some(true) {
            return true;
        }
    }
    false
}
