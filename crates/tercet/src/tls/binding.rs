//! Channel bindings: `tls-exporter` (RFC 9266) and `tls-server-end-point` (RFC 5929 §4).
//!
//! rustls exports keying material from its buffered connections only, so the exporter is computed here from the
//! session's exporter secret, by rustls' own HKDF and PRF (RFC 8446 §7.5, RFC 5705 §4).

use aws_lc_rs::digest;
use rustls::SupportedCipherSuite;
use rustls::crypto::tls13::OkmBlock;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::signature_algorithm::SignatureAlgorithm;

/// RFC 9266 §4.2: the label; the context is empty and the length 32 bytes.
const LABEL: &[u8] = b"EXPORTER-Channel-Binding";
const LENGTH: usize = 32;

/// What a TLS 1.2 ServerHello says that its exporter needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServerHello {
    pub(super) random: [u8; 32],
    pub(super) extended_master_secret: bool,
}

impl ServerHello {
    /// Reads a plaintext record that we are about to send. None if it is anything else.
    pub(super) fn read(record: &[u8]) -> Option<Self> {
        const EXTENDED_MASTER_SECRET: u16 = 23;
        // Record: type 22, version, length; message: type 2, length of 3 bytes, version, random.
        if *record.first()? != 22 || *record.get(5)? != 2 {
            return None;
        }
        let random = record.get(11..43)?.try_into().ok()?;
        let session_id = usize::from(*record.get(43)?);
        // The session id is followed by a cipher suite (2) and a compression method (1).
        let mut rest = record.get(44 + session_id + 3..)?;
        let mut extended_master_secret = false;
        if let Some((length, extensions)) = rest.split_first_chunk::<2>() {
            rest = extensions.get(..usize::from(u16::from_be_bytes(*length)))?;
            while let Some((head, tail)) = rest.split_first_chunk::<4>() {
                let [kind @ .., _, _] = head;
                let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
                extended_master_secret |=
                    u16::from_be_bytes([kind[0], kind[1]]) == EXTENDED_MASTER_SECRET;
                rest = tail.get(length..)?;
            }
        }
        Some(ServerHello {
            random,
            extended_master_secret,
        })
    }
}

/// The `tls-exporter` value. `secret` is the exporter secret of TLS 1.3 or the master secret of TLS 1.2.
///
/// RFC 9266 §4: in TLS 1.2 it exists only with the extended master secret (RFC 7627); otherwise None.
pub(super) fn exporter(
    suite: SupportedCipherSuite,
    secret: &[u8],
    client_random: &[u8],
    hello: Option<ServerHello>,
) -> Option<[u8; LENGTH]> {
    let mut value = [0; LENGTH];
    match suite {
        SupportedCipherSuite::Tls13(suite) => {
            let hash_of_nothing = suite.common.hash_provider.start().finish();
            let mut derived = [0; 64];
            let derived = derived.get_mut(..hash_of_nothing.as_ref().len())?;
            let master = suite.hkdf_provider.expander_for_okm(&OkmBlock::new(secret));
            expand_label(&*master, LABEL, hash_of_nothing.as_ref(), derived)?;
            let exporter = suite
                .hkdf_provider
                .expander_for_okm(&OkmBlock::new(derived));
            expand_label(
                &*exporter,
                b"exporter",
                hash_of_nothing.as_ref(),
                &mut value,
            )?;
        }
        SupportedCipherSuite::Tls12(suite) => {
            let hello = hello.filter(|hello| hello.extended_master_secret)?;
            let seed = [client_random, &hello.random].concat();
            suite
                .prf_provider
                .for_secret(&mut value, secret, LABEL, &seed);
        }
    }
    Some(value)
}

/// HKDF-Expand-Label of RFC 8446 §7.1.
fn expand_label(
    expander: &dyn rustls::crypto::tls13::HkdfExpander,
    label: &[u8],
    context: &[u8],
    output: &mut [u8],
) -> Option<()> {
    const PREFIX: &[u8] = b"tls13 ";
    let length = u16::try_from(output.len()).ok()?.to_be_bytes();
    let label_length = [u8::try_from(PREFIX.len() + label.len()).ok()?];
    let context_length = [u8::try_from(context.len()).ok()?];
    expander
        .expand_slice(
            &[
                &length,
                &label_length,
                PREFIX,
                label,
                &context_length,
                context,
            ],
            output,
        )
        .ok()
}

/// The `tls-server-end-point` value for a certificate in DER: its hash by the hash of its own signature algorithm.
/// None if that algorithm has none (RFC 5929 §4.1: the binding is then undefined).
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let algorithm = &parsed.signature_algorithm;
    let oid = match SignatureAlgorithm::try_from(algorithm) {
        Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) => {
            parameters.hash_algorithm_oid().to_id_string()
        }
        _ => algorithm.algorithm.to_id_string(),
    };
    let hash = match oid.as_str() {
        // RFC 5929 §4.1: MD5 and SHA-1 are replaced by SHA-256.
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" | "1.3.14.3.2.26"
        // with SHA-256: RSA, ECDSA, and the hash itself (RSASSA-PSS)
        | "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" | "2.16.840.1.101.3.4.2.1" => &digest::SHA256,
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" | "2.16.840.1.101.3.4.2.2" => &digest::SHA384,
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" | "2.16.840.1.101.3.4.2.3" => &digest::SHA512,
        "1.2.840.113549.1.1.14" | "1.2.840.10045.4.3.1" | "2.16.840.1.101.3.4.2.4" => &digest::SHA224,
        _ => return None,
    };
    Some(digest::digest(hash, certificate).as_ref().to_vec())
}
