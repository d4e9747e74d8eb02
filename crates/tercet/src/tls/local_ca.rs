//! A certificate authority of the server's own, for a first start without configured certificates.
//!
//! In the folder: `ca.crt` (to be trusted by clients), `ca.key`, `server.crt` (certificate and authority) and
//! `server.key`; keys have mode 0600. The authority lives ten years, the server's certificate one; at a start it is
//! made anew when its end is near, or when the domains are not those it carries.

use super::TlsError;
use super::certificates::{CertificateFiles, read_chain};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, OtherNameValue, SanType,
};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const AUTHORITY_LIFE: Duration = DAY.saturating_mul(3650);
const CERTIFICATE_LIFE: Duration = DAY.saturating_mul(365);
/// A certificate with less than this left is replaced at the start.
const RENEWED_BEFORE: Duration = DAY.saturating_mul(60);
/// Clocks of clients may be behind ours by this much.
const BACKDATED: Duration = DAY;

/// id-on-xmppAddr (RFC 6120 §13.7.1.4).
const XMPP_ADDR: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 8, 5];

/// Where the local authority and the certificate made by it are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalCertificate {
    /// The authority's certificate in PEM: what a client has to trust.
    pub ca_file: PathBuf,
    /// The server's certificate, for [`Certificates::load`](super::Certificates::load).
    pub files: CertificateFiles,
    /// True if the authority was made just now.
    pub new_authority: bool,
}

/// Makes sure that `folder` (made if missing, mode 0700) holds an authority and a certificate for `domains`,
/// `localhost`, `*.localhost`, 127.0.0.1 and ::1 that is good for some time from `now`.
///
/// `domains` are A-labels in lower case; each also gets a wildcard for its services, and itself as xmppAddr
/// (RFC 6120 §13.7.1.2.1).
///
/// # Errors
/// [`TlsError::File`] if a file cannot be written, [`TlsError::Make`] if a domain is no DNS name.
pub fn ensure(
    folder: &Path,
    domains: &[&str],
    now: SystemTime,
) -> Result<LocalCertificate, TlsError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| TlsError::file(folder, e))?;
    let ca_file = folder.join("ca.crt");
    let ca_key_file = folder.join("ca.key");
    let files = CertificateFiles {
        hosts: domains.iter().map(|domain| (*domain).to_owned()).collect(),
        services: Vec::new(),
        chain: folder.join("server.crt"),
        key: folder.join("server.key"),
    };

    let authority = match read_authority(&ca_file, &ca_key_file, now) {
        Some(authority) => authority,
        None => make_authority(&ca_file, &ca_key_file, now)?,
    };
    if authority.new || !is_good(&files, domains, now) {
        make_certificate(&authority, &files, domains, now)?;
    }
    Ok(LocalCertificate {
        ca_file,
        files,
        new_authority: authority.new,
    })
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    new: bool,
}

/// The authority in the files, if it is whole and outlives a certificate made now.
fn read_authority(file: &Path, key_file: &Path, now: SystemTime) -> Option<Authority> {
    let chain = read_chain(file).ok()?;
    let (_, certificate) = X509Certificate::from_der(chain.first()?).ok()?;
    if certificate.validity().not_after.timestamp() < seconds(now + CERTIFICATE_LIFE) {
        return None;
    }
    let key = KeyPair::from_pem(&fs::read_to_string(key_file).ok()?).ok()?;
    let pem = fs::read_to_string(file).ok()?;
    let issuer = Issuer::from_ca_cert_pem(&pem, key).ok()?;
    Some(Authority {
        issuer,
        pem,
        new: false,
    })
}

fn make_authority(file: &Path, key_file: &Path, now: SystemTime) -> Result<Authority, TlsError> {
    let key = KeyPair::generate().map_err(make_error)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = name("Tercet local authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + AUTHORITY_LIFE).into();
    let pem = params.self_signed(&key).map_err(make_error)?.pem();
    write(key_file, key.serialize_pem().as_bytes(), 0o600)?;
    write(file, pem.as_bytes(), 0o644)?;
    Ok(Authority {
        issuer: Issuer::new(params, key),
        pem,
        new: true,
    })
}

fn make_certificate(
    authority: &Authority,
    files: &CertificateFiles,
    domains: &[&str],
    now: SystemTime,
) -> Result<(), TlsError> {
    let key = KeyPair::generate().map_err(make_error)?;
    let mut params = CertificateParams::new(dns_names(domains)).map_err(make_error)?;
    params.distinguished_name = name(domains.first().copied().unwrap_or("localhost"));
    let names = &mut params.subject_alt_names;
    names.push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
    names.push(SanType::IpAddress(Ipv6Addr::LOCALHOST.into()));
    names.extend(domains.iter().map(|domain| {
        let value = OtherNameValue::Utf8String((*domain).to_owned());
        SanType::OtherName((XMPP_ADDR.to_vec(), value))
    }));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + CERTIFICATE_LIFE).into();
    let certificate = params
        .signed_by(&key, &authority.issuer)
        .map_err(make_error)?;
    write(&files.key, key.serialize_pem().as_bytes(), 0o600)?;
    let chain = certificate.pem() + &authority.pem;
    write(&files.chain, chain.as_bytes(), 0o644)
}

/// True if the files hold a certificate and its key that serve these domains for a while.
fn is_good(files: &CertificateFiles, domains: &[&str], now: SystemTime) -> bool {
    let Ok(chain) = read_chain(&files.chain) else {
        return false;
    };
    let Some(Ok((_, certificate))) = chain.first().map(|c| X509Certificate::from_der(c)) else {
        return false;
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return false;
    };
    let carries = |wanted: &String| {
        let names = names.value.general_names.iter();
        names
            .into_iter()
            .any(|name| matches!(name, GeneralName::DNSName(dns) if dns == wanted))
    };
    let own_key = fs::read_to_string(&files.key)
        .ok()
        .and_then(|pem| KeyPair::from_pem(&pem).ok());
    let public = &certificate.public_key().subject_public_key.data;
    certificate.validity().not_after.timestamp() >= seconds(now + RENEWED_BEFORE)
        && dns_names(domains).iter().all(carries)
        && own_key.is_some_and(|key| key.public_key_raw() == &**public)
}

/// The DNS names of a certificate for `domains`, each once.
fn dns_names(domains: &[&str]) -> Vec<String> {
    let mut names = Vec::with_capacity(domains.len() * 2 + 2);
    for domain in domains.iter().copied().chain(["localhost"]) {
        for name in [domain.to_owned(), format!("*.{domain}")] {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs().try_into().unwrap_or(i64::MAX))
}

fn make_error(error: rcgen::Error) -> TlsError {
    TlsError::Make(error.to_string())
}

/// Replaces a file as a whole, durably, with this mode from the first byte on.
fn write(path: &Path, contents: &[u8], mode: u32) -> Result<(), TlsError> {
    let error = |e| TlsError::file(path, e);
    let new = path.with_extension("new");
    // A leftover of an interrupted start may have another mode.
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&new)
        .map_err(error)?;
    file.write_all(contents)
        .and_then(|()| file.sync_all())
        .map_err(error)?;
    fs::rename(&new, path).map_err(error)
}
