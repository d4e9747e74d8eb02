//! SASL EXTERNAL with a client certificate (RFC 4422 Appendix A, XEP-0178 1.2 §2).
//!
//! Left out: mapping a certificate without an address to an account (XEP-0178 allows it).

use tercet_core::{BareJid, SaslFailure};

use crate::tls::TlsInfo;

/// The addresses of the client's verified certificate that may have an account on `host`.
pub(crate) fn candidates<'a>(tls: &'a TlsInfo, host: &str) -> impl Iterator<Item = &'a BareJid> {
    let addresses = tls.peer.as_ref().map(|peer| &peer.xmpp_addrs);
    addresses
        .into_iter()
        .flatten()
        .filter(move |jid| jid.local().is_some() && jid.domain() == host)
}

/// Which of the certificate's addresses the client means.
///
/// # Errors
/// [`SaslFailure::InvalidAuthzid`] if it names one that is not in the certificate, or names none
/// and there are several; [`SaslFailure::NotAuthorized`] if there is none.
pub(crate) fn choose(message: &[u8], tls: &TlsInfo, host: &str) -> Result<BareJid, SaslFailure> {
    let authzid = std::str::from_utf8(message).map_err(|_| SaslFailure::MalformedRequest)?;
    if authzid.contains('\0') {
        return Err(SaslFailure::MalformedRequest);
    }
    let mut candidates = candidates(tls, host);
    if authzid.is_empty() {
        let first = candidates.next().ok_or(SaslFailure::NotAuthorized)?;
        // XEP-0178 §2: with several addresses the client has to say which.
        let ambiguous = candidates.any(|other| other != first);
        return if ambiguous {
            Err(SaslFailure::InvalidAuthzid)
        } else {
            Ok(first.clone())
        };
    }
    let wanted = BareJid::parse(authzid).map_err(|_| SaslFailure::InvalidAuthzid)?;
    candidates
        .any(|jid| *jid == wanted)
        .then_some(wanted)
        .ok_or(SaslFailure::InvalidAuthzid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::PeerCertificate;

    fn tls(addresses: &[&str]) -> TlsInfo {
        TlsInfo {
            peer: Some(PeerCertificate {
                xmpp_addrs: addresses
                    .iter()
                    .map(|a| BareJid::parse(a).unwrap())
                    .collect(),
            }),
            ..TlsInfo::default()
        }
    }

    #[test]
    fn the_cases_of_xep_0178() {
        let (a, b, other) = ("a@example.org", "b@example.org", "a@example.net");
        let check = |addresses: &[&str], message: &str, expected: Result<&str, SaslFailure>| {
            let chosen = choose(message.as_bytes(), &tls(addresses), "example.org");
            let expected = expected.map(|jid| BareJid::parse(jid).unwrap());
            assert_eq!(chosen, expected, "{addresses:?} {message:?}");
        };
        check(&[a], "", Ok(a));
        check(&[a, a, other], "", Ok(a));
        check(&[a, b], "", Err(SaslFailure::InvalidAuthzid));
        check(&[a, b], "B@example.org", Ok(b));
        check(&[a], b, Err(SaslFailure::InvalidAuthzid));
        check(&[a, other], other, Err(SaslFailure::InvalidAuthzid));
        check(&[a], "a", Err(SaslFailure::InvalidAuthzid));
        check(&[a], "a@example.org/r", Err(SaslFailure::InvalidAuthzid));
        check(&[a], "a@example.org\0", Err(SaslFailure::MalformedRequest));
        check(&[other], "", Err(SaslFailure::NotAuthorized));
        check(&["example.org"], "", Err(SaslFailure::NotAuthorized));
        check(&[], "", Err(SaslFailure::NotAuthorized));
    }
}
