//! Certificates by host name: loading, choosing by SNI, and replacing while connections go on.

use super::TlsError;
use super::binding::end_point;
use super::expiry::Expiry;
use super::names::CertificateNames;
use super::peer::Trust;
use arc_swap::ArcSwap;
use rustls::CipherSuite;
use rustls::crypto::CryptoProvider;
use rustls::server::ProducesTickets;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use tercet_core::ascii_domain;
use x509_parser::prelude::{FromDer, X509Certificate};

/// One configured certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// Domains it is for, besides the names it carries. May be empty.
    pub hosts: Vec<String>,
    /// Domains of the services of those, such as that of their rooms: it is for them as well where no other names them.
    pub services: Vec<String>,
    /// PEM file: the certificate, then its intermediates.
    pub chain: PathBuf,
    /// PEM file: the private key.
    pub key: PathBuf,
}

/// All certificates of the server, shared by its listeners and swapped as a whole.
///
/// A host's certificate is found by the domain it is configured for, then by a name it carries, then by a wildcard of
/// one label it carries (RFC 6125 §6.4.3); a service that none of them names has that of its host; the first configured
/// certificate serves everyone else.
pub struct Certificates {
    provider: Arc<CryptoProvider>,
    current: ArcSwap<Snapshot>,
    loaded: Mutex<Loaded>,
}

/// What the current snapshot was made from.
struct Loaded {
    files: Vec<CertificateFiles>,
    ca_files: Vec<PathBuf>,
    stamps: Vec<Option<SystemTime>>,
}

/// An immutable set of certificates with what depends on it.
pub(super) struct Snapshot {
    by_name: HashMap<Box<str>, Arc<HostCertificate>>,
    /// Those of their hosts.
    services: HashMap<Box<str>, Arc<HostCertificate>>,
    default: Arc<HostCertificate>,
    /// New with every set, so that no ticket outlives the certificate it was issued under: a resumed session's
    /// `tls-server-end-point` is then the same on both sides.
    pub(super) tickets: Arc<dyn ProducesTickets>,
    /// When each of the files' certificates ends, in their order.
    expiries: Vec<Expiry>,
    /// Who judges the certificates of peers.
    pub(super) trust: Arc<Trust>,
}

/// A chain with its key and its `tls-server-end-point` value.
pub(super) struct HostCertificate {
    pub(super) key: Arc<CertifiedKey>,
    /// None if the signature algorithm defines no hash (RFC 5929 §4.1).
    pub(super) end_point: Option<Box<[u8]>>,
    /// Its end: seconds since 1970.
    not_after: i64,
}

impl Certificates {
    /// Loads `files`; the first is the default. `ca_files` hold further roots for the certificates of peers, in PEM.
    ///
    /// # Errors
    /// [`TlsError::File`] for the first file that cannot be used, [`TlsError::NoCertificate`] if there is none.
    pub fn load(
        files: Vec<CertificateFiles>,
        ca_files: Vec<PathBuf>,
    ) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(provider());
        let stamps = stamps(&files, &ca_files);
        let snapshot = Snapshot::load(&provider, &files, &ca_files)?;
        Ok(Arc::new(Certificates {
            provider,
            current: ArcSwap::from_pointee(snapshot),
            loaded: Mutex::new(Loaded {
                files,
                ca_files,
                stamps,
            }),
        }))
    }

    /// Reads all files again, as on SIGHUP. On failure the certificates in use stay.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn reload(&self) -> Result<(), TlsError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(|e| e.into_inner());
        self.reload_locked(&mut loaded)
    }

    /// Takes another list of files, as after a change of the configuration. On failure everything stays as it was.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn replace(
        &self,
        files: Vec<CertificateFiles>,
        ca_files: Vec<PathBuf>,
    ) -> Result<(), TlsError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(|e| e.into_inner());
        let mut new = Loaded {
            files,
            ca_files,
            stamps: Vec::new(),
        };
        self.reload_locked(&mut new)?;
        *loaded = new;
        Ok(())
    }

    /// Reads the files again if one of them has another modification time than when it was last read. True if there
    /// is a new set now.
    ///
    /// # Errors
    /// As [`load`](Self::load); the same files are not tried again until they change once more.
    pub fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(|e| e.into_inner());
        if stamps(&loaded.files, &loaded.ca_files) == loaded.stamps {
            return Ok(false);
        }
        self.reload_locked(&mut loaded).map(|()| true)
    }

    fn reload_locked(&self, loaded: &mut Loaded) -> Result<(), TlsError> {
        // Taken before reading: a file written meanwhile is read once more, never missed.
        loaded.stamps = stamps(&loaded.files, &loaded.ca_files);
        let snapshot = Snapshot::load(&self.provider, &loaded.files, &loaded.ca_files)?;
        self.current.store(Arc::new(snapshot));
        Ok(())
    }

    /// When the certificates that are in use expire, the default one first.
    pub fn expiries(&self) -> Vec<Expiry> {
        self.current.load().expiries.clone()
    }

    /// Whether what is shown for `domain`, which is normalised (RFC 7622), names it.
    pub fn cover(&self, domain: &str) -> bool {
        let shown = self.current.load().choose(Some(&sni(domain)));
        let own = shown.key.cert.first();
        own.is_some_and(|own| CertificateNames::read(own).cover(domain))
    }

    pub(super) fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    pub(super) fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("names", &self.by_name.len())
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    fn load(
        provider: &Arc<CryptoProvider>,
        files: &[CertificateFiles],
        ca: &[PathBuf],
    ) -> Result<Self, TlsError> {
        let mut roots = Vec::new();
        for path in ca {
            roots.extend(read_chain(path)?);
        }
        let loaded = files
            .iter()
            .map(|f| Ok((f, Arc::new(HostCertificate::load(provider, f)?))))
            .collect::<Result<Vec<_>, TlsError>>()?;
        let default = loaded.first().ok_or(TlsError::NoCertificate)?.1.clone();
        let (mut by_name, mut services) = (HashMap::new(), HashMap::new());
        for (files, certificate) in &loaded {
            for (map, domains) in [
                (&mut by_name, &files.hosts),
                (&mut services, &files.services),
            ] {
                for domain in domains {
                    map.entry(sni(domain))
                        .or_insert_with(|| certificate.clone());
                }
            }
        }
        for (_, certificate) in &loaded {
            for name in certificate.names() {
                by_name.entry(name).or_insert_with(|| certificate.clone());
            }
        }
        let expiries = loaded.iter().map(|(files, certificate)| Expiry {
            file: files.chain.clone(),
            not_after: certificate.not_after,
        });
        let expiries = expiries.collect();
        let tickets = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        Ok(Snapshot {
            by_name,
            services,
            default,
            expiries,
            tickets,
            trust: Arc::new(Trust::new(provider.clone(), roots)),
        })
    }

    /// The certificate for a host name as it stands in SNI (lower case, A-labels), or the default one.
    pub(super) fn choose(&self, host: Option<&str>) -> Arc<HostCertificate> {
        let found = host.and_then(|host| {
            let by_wildcard = || {
                let (_, parent) = host.split_once('.')?;
                self.by_name.get(format!("*.{parent}").as_str())
            };
            let by_name = self.by_name.get(host).or_else(by_wildcard);
            by_name.or_else(|| self.services.get(host))
        });
        found.unwrap_or(&self.default).clone()
    }
}

impl HostCertificate {
    fn load(provider: &CryptoProvider, files: &CertificateFiles) -> Result<Self, TlsError> {
        let chain = read_chain(&files.chain)?;
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|e| TlsError::file(&files.key, format!("no private key: {e}")))?;
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|e| TlsError::file(&files.key, format!("unusable private key: {e}")))?;
        let own = chain.first().map(|own| X509Certificate::from_der(own));
        let not_after = match own {
            Some(Ok((_, own))) => own.validity().not_after.timestamp(),
            // `read_chain` gives at least one, and all can be read.
            _ => i64::MAX,
        };
        let end_point = chain
            .first()
            .and_then(|c| end_point(c))
            .map(Vec::into_boxed_slice);
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(e) => {
                let reason = format!("does not fit {}: {e}", files.key.display());
                return Err(TlsError::file(&files.chain, reason));
            }
        }
        Ok(HostCertificate {
            key: Arc::new(key),
            end_point,
            not_after,
        })
    }

    /// The DNS names the certificate carries, wildcards as they are written.
    fn names(&self) -> Vec<Box<str>> {
        let own = self.key.cert.first();
        let names = own
            .map(|own| CertificateNames::read(own))
            .unwrap_or_default();
        let dns = names.dns.iter();
        dns.map(|name| name.to_ascii_lowercase().into_boxed_str())
            .collect()
    }
}

/// A domain as it stands in SNI: A-labels, lower case.
fn sni(domain: &str) -> Box<str> {
    let ascii = ascii_domain(domain).unwrap_or(domain.into());
    ascii.to_ascii_lowercase().into_boxed_str()
}

/// rustls' ciphers, with AES-128 before AES-256: it is as safe here, and its SHA-256 is done by the processor, which saves
/// some of each login. ChaCha20 stays for clients that have nothing else.
pub(super) fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // A stable sort: everything else stays as it is.
    provider.cipher_suites.sort_by_key(|suite| {
        !matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    });
    provider
}

/// Reads all certificates of a PEM file.
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(chain) if chain.is_empty() => Err(TlsError::file(path, "no certificate in it")),
        Ok(chain) => {
            for certificate in &chain {
                X509Certificate::from_der(certificate)
                    .map_err(|e| TlsError::file(path, format!("unreadable certificate: {e}")))?;
            }
            Ok(chain)
        }
        Err(e) => Err(TlsError::file(path, e)),
    }
}

fn stamps(files: &[CertificateFiles], ca: &[PathBuf]) -> Vec<Option<SystemTime>> {
    let paths = files
        .iter()
        .flat_map(|f| [f.chain.as_path(), f.key.as_path()])
        .chain(ca.iter().map(PathBuf::as_path));
    paths
        .map(|path| std::fs::metadata(path).and_then(|m| m.modified()).ok())
        .collect()
}
