//! Whether a host's certificate can be used, and will be trusted for the host's name.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Finding;
use crate::config::{Config, Domain, Host};
use crate::tls::CertificateNames;

/// Certificates that end sooner are worth a warning; automatic renewals happen earlier.
const SOON_DAYS: i64 = 14;
const DAY: i64 = 86_400;

pub(super) fn look(config: &Config, host: &Host) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(file) = &host.tls.ca_file {
        let subject = format!("tls.ca_file of {}", host.domain.as_str());
        if let Err(message) = certificates(file) {
            findings.push(Finding::fault(
                subject,
                message,
                "Correct or remove tls.ca_file.",
            ));
        }
    }
    let subject = format!("certificate of {}", host.domain.as_str());
    let (Some(chain), Some(key)) = (&host.tls.certificate, &host.tls.key) else {
        findings.push(own(config, host, subject));
        return findings;
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        });
    let before = findings.len();
    findings.extend(configured(&subject, &host.domain, chain, key, now));
    if findings.len() == before {
        findings.push(Finding::ok(subject, chain.display().to_string()));
    }
    if config.federates() {
        findings.extend(services(config, host));
    }
    findings
}

/// Services that no configured certificate is for: other servers are shown that of their host.
fn services(config: &Config, host: &Host) -> Option<Finding> {
    let files = config
        .hosts
        .iter()
        .filter_map(|h| h.tls.certificate.as_ref());
    let own = files.filter_map(|file| certificates(file).ok()?.into_iter().next());
    let names: Vec<CertificateNames> = own.map(|own| CertificateNames::read(&own)).collect();
    let covered = |service: &String| names.iter().any(|names| names.cover(service));
    let missing: Vec<String> = host.services().filter(|s| !covered(s)).collect();
    if missing.is_empty() || names.is_empty() {
        return None;
    }
    let missing = missing.join(", ");
    Some(Finding::warning(
        format!("services of {}", host.domain.as_str()),
        format!("no certificate is for {missing}: servers that require one refuse them"),
        format!("Get a certificate that names {missing}, or all below the domain by a wildcard."),
    ))
}

/// No certificate is configured: the server makes one.
fn own(config: &Config, host: &Host, subject: String) -> Finding {
    let authority = config.data_dir.join("ca.crt");
    match host.domain.is_local() {
        true => Finding::ok(
            subject,
            format!("made by the server, signed by {}", authority.display()),
        ),
        false => Finding::warning(
            subject,
            "none is configured; the server makes its own, which no client trusts by itself",
            format!(
                "Set certificate and key in [tls] (from Let's Encrypt, for example), or give clients {}.",
                authority.display()
            ),
        ),
    }
}

/// What is wrong with a configured certificate at `now`, seconds since 1970; nothing if all is well.
fn configured(subject: &str, domain: &Domain, chain: &Path, key: &Path, now: i64) -> Vec<Finding> {
    let mut findings = Vec::new();
    let fault = |message: String, mend: &str| Finding::fault(subject, message, mend);
    let chain_der = certificates(chain);
    if let Err(message) = &chain_der {
        findings.push(fault(
            message.clone(),
            "Correct tls.certificate: a PEM file, the server's own certificate first.",
        ));
    }
    let key_der = PrivateKeyDer::from_pem_file(key);
    if let Err(error) = &key_der {
        let message = format!("{}: {}", key.display(), pem_error(error));
        findings.push(fault(
            message,
            "Correct tls.key: a PEM file with the private key.",
        ));
    } else if fs::metadata(key).is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0) {
        findings.push(Finding::warning(
            subject,
            format!(
                "everybody on this machine may read the private key {}",
                key.display()
            ),
            format!("Run `chmod o-rwx {}`.", key.display()),
        ));
    }
    let Ok(chain_der) = chain_der else {
        return findings;
    };
    if let Ok(key_der) = key_der {
        findings.extend(pair(subject, &chain_der, key_der));
    }
    // Parsed once already.
    if let Some(Ok((_, certificate))) = chain_der.first().map(|der| X509Certificate::from_der(der))
    {
        findings.extend(times(subject, &certificate, now));
        findings.extend(names(subject, domain, &certificate));
    }
    findings
}

/// Whether certificate and key belong together.
fn pair(
    subject: &str,
    chain: &[CertificateDer<'static>],
    key: PrivateKeyDer<'static>,
) -> Option<Finding> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let reason = match provider.key_provider.load_private_key(key) {
        Err(error) => format!("the private key cannot be used: {error}"),
        Ok(key) => match CertifiedKey::new(chain.to_vec(), key).keys_match() {
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
                "certificate and key do not belong together".to_owned()
            }
            _ => return None,
        },
    };
    let mend = "Point tls.certificate and tls.key to files that were made together.";
    Some(Finding::fault(subject, reason, mend))
}

fn times(subject: &str, certificate: &X509Certificate<'_>, now: i64) -> Option<Finding> {
    let validity = certificate.validity();
    let (from, until) = (
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    );
    let mend = "Renew the certificate; a running server reads it again on SIGHUP.";
    if now < from {
        let mend = "Set this machine's clock, or wait.";
        return Some(Finding::fault(
            subject,
            format!("is not valid before {}", validity.not_before),
            mend,
        ));
    }
    if now > until {
        return Some(Finding::fault(
            subject,
            format!("ended on {}", validity.not_after),
            mend,
        ));
    }
    let days = (until - now) / DAY;
    (days < SOON_DAYS).then(|| {
        Finding::warning(
            subject,
            format!("ends in {days} days, on {}", validity.not_after),
            mend,
        )
    })
}

/// Whether the certificate is for the domain (RFC 6120 §13.7.1.2, RFC 6125 §6.4).
fn names(subject: &str, domain: &Domain, certificate: &X509Certificate<'_>) -> Option<Finding> {
    let names = CertificateNames::of(certificate);
    if names.cover(domain.as_str()) {
        return None;
    }
    let names = names.all();
    let found = match names.is_empty() {
        true => "no domain at all".to_owned(),
        false => names.join(", "),
    };
    Some(Finding::fault(
        subject,
        format!("is for {found}, not for {}", domain.as_str()),
        format!(
            "Get a certificate that names {} (as DNS subjectAltName).",
            domain.as_str()
        ),
    ))
}

/// The certificates in a PEM file, each of which can be parsed; at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Err(error) => Err(format!("{}: {}", file.display(), pem_error(&error))),
        Ok(chain) if chain.is_empty() => {
            Err(format!("{}: there is no certificate in it", file.display()))
        }
        Ok(chain) => match chain
            .iter()
            .find_map(|der| X509Certificate::from_der(der).err())
        {
            Some(error) => Err(format!(
                "{}: unreadable certificate: {error}",
                file.display()
            )),
            None => Ok(chain),
        },
    }
}

fn pem_error(error: &rustls_pki_types::pem::Error) -> String {
    match error {
        rustls_pki_types::pem::Error::Io(error) => error.to_string(),
        rustls_pki_types::pem::Error::NoItemsFound => {
            "there is nothing of that sort in it".to_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rcgen::{CertificateParams, KeyPair};

    use super::super::Verdict;
    use super::*;

    struct Files(PathBuf);

    impl Files {
        /// A certificate for `names`, valid in 2020 to 2030, and its key.
        fn new(test: &str, names: &[&str]) -> Files {
            let folder = std::env::temp_dir()
                .join(format!("tercet-certificate-{}-{test}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut params = CertificateParams::new(names).unwrap();
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2030, 1, 1);
            let key = KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            fs::write(folder.join("chain.pem"), certificate.pem()).unwrap();
            fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
            fs::set_permissions(folder.join("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
            Files(folder)
        }

        fn look(&self, domain: &str, now: i64) -> Vec<(Verdict, String)> {
            let domain = Domain::parse(domain).unwrap();
            let found = configured(
                "c",
                &domain,
                &self.0.join("chain.pem"),
                &self.0.join("key.pem"),
                now,
            );
            found
                .into_iter()
                .map(|finding| (finding.verdict, finding.message))
                .collect()
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const IN_2025: i64 = 1_750_000_000;
    const IN_2019: i64 = 1_550_000_000;
    const DAYS_BEFORE_THE_END: i64 = 1_893_456_000 - 3 * DAY;
    const IN_2031: i64 = 1_930_000_000;

    #[test]
    fn a_good_certificate_has_no_findings() {
        let files = Files::new("good", &["example.org", "*.example.net"]);
        assert_eq!(files.look("example.org", IN_2025), []);
        assert_eq!(files.look("chat.example.net", IN_2025), []);
    }

    #[test]
    fn services_that_no_certificate_is_for_are_pointed_out() {
        let files = Files::new("services", &["example.org", "*.example.org"]);
        let config = |text: &str| {
            let (chain, key) = (files.0.join("chain.pem"), files.0.join("key.pem"));
            let tls = format!("[tls]\ncertificate = {chain:?}\nkey = {key:?}\n");
            let text = format!("domain = \"example.org\"\n{text}\n{tls}");
            let (config, faults) = Config::parse(&text, Path::new(""));
            assert_eq!(faults, []);
            config
        };
        let missing = |text: &str| {
            let config = config(text);
            let found = services(&config, &config.hosts[0])?;
            assert_eq!(found.verdict, Verdict::Warning);
            Some(found.message)
        };
        assert_eq!(missing(""), None);
        let message = missing("rooms.domain = \"chat.example.net\"").unwrap();
        assert!(message.starts_with("no certificate is for chat.example.net:"));
    }

    #[test]
    fn time_and_name_are_looked_at() {
        let files = Files::new("time", &["example.org", "*.example.net"]);
        let one = |domain: &str, now: i64| match &files.look(domain, now)[..] {
            [finding] => finding.clone(),
            other => panic!("{other:?}"),
        };
        let expect = |found: (Verdict, String), verdict, words: &str| {
            assert_eq!(found.0, verdict, "{}", found.1);
            assert!(found.1.contains(words), "{}", found.1);
        };
        expect(one("example.org", IN_2031), Verdict::Fault, "ended on");
        expect(
            one("example.org", IN_2019),
            Verdict::Fault,
            "is not valid before",
        );
        expect(
            one("example.org", DAYS_BEFORE_THE_END),
            Verdict::Warning,
            "ends in 3 days",
        );
        let other = one("a.b.example.net", IN_2025);
        expect(
            other,
            Verdict::Fault,
            "is for example.org, *.example.net, not for a.b.example.net",
        );
    }

    #[test]
    fn files_that_are_missing_foreign_or_open_to_all_are_pointed_out() {
        let files = Files::new("mine", &["example.org"]);
        let others = Files::new("others", &["example.org"]);
        fs::copy(others.0.join("key.pem"), files.0.join("key.pem")).unwrap();
        let found = files.look("example.org", IN_2025);
        assert_eq!(
            found,
            [(
                Verdict::Fault,
                "certificate and key do not belong together".to_owned()
            )]
        );

        fs::set_permissions(others.0.join("key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(others.look("example.org", IN_2025)[0].0, Verdict::Warning);

        fs::remove_file(files.0.join("key.pem")).unwrap();
        fs::write(files.0.join("chain.pem"), "nothing").unwrap();
        let found = files.look("example.org", IN_2025);
        assert!(
            found[0].1.ends_with("there is no certificate in it"),
            "{found:?}"
        );
        assert!(found[1].1.contains("No such file"), "{found:?}");
    }
}
