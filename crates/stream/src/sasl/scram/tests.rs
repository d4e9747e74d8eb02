use std::num::NonZeroU32;

use super::*;
use crate::sasl::ScramHash;

const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

fn keys(hash: ScramHash, salt: &str) -> ScramKeys {
    let salt = BASE64_STANDARD.decode(salt).unwrap();
    ScramKeys::derive(hash, "pencil", &salt, ITERATIONS).unwrap()
}

/// The exchange of RFC 5802 §5 up to the challenge.
fn rfc5802(client_first: &str) -> (String, Proof) {
    let first = ClientFirst::parse(client_first.as_bytes()).unwrap();
    let keys = keys(ScramHash::Sha1, "QSXCR+Q6sek8bf92");
    first.challenge(keys, "3rfcNHYJY1ZVvWVs7j", None, None)
}

const FIRST: &str = "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL";
const FINAL: &str =
    "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";

#[test]
fn the_exchange_of_rfc_5802_succeeds() {
    let (server_first, proof) = rfc5802(FIRST);
    assert_eq!(
        server_first,
        "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"
    );
    let server_final = proof.check(FINAL.as_bytes());
    assert_eq!(
        server_final.as_deref(),
        Ok("v=rmF9pqV8S7suAoZWja4dJRkFsKQ=")
    );
}

#[test]
fn the_exchange_of_rfc_7677_succeeds() {
    let first = ClientFirst::parse(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
    assert_eq!(first.username, "user");
    assert_eq!(first.cbind, CbindFlag::Unsupported);
    let (server_first, proof) = first.challenge(
        keys(ScramHash::Sha256, "W22ZaJ0SNY7soEsUEjb6gQ=="),
        "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        None,
        None,
    );
    assert_eq!(
        server_first,
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    let server_final = proof.check(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    );
    assert_eq!(
        server_final.as_deref(),
        Ok("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    );
}

/// With the version of TLS beside the hash of XEP-0474.
#[test]
fn the_exchange_of_xep_0515_succeeds() {
    let first =
        ClientFirst::parse(b"p=tls-exporter,,n=user,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6")
            .unwrap();
    let (_, proof) = first.challenge(
        keys(ScramHash::Sha1, "QSXCR+Q6sek8bf92"),
        "a09117a6-ac50-4f2f-93f1-93799c2bddf6",
        Some(b"THIS IS FAKE CB DATA"),
        Some("h=G6k/rBLDqgOhRRaCuuatSDFkJ08=,t=0304"),
    );
    let server_final = proof.check(
        b"c=cD10bHMtZXhwb3J0ZXIsLFRISVMgSVMgRkFLRSBDQiBEQVRB,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,p=KHUfN8dSy1K95crT4D5y1ItLJfs=",
    );
    assert_eq!(
        server_final.as_deref(),
        Ok("v=3w34ZIMVRkx2f2Ozb3/ecRPVdv4=")
    );
}

/// Channel binding, the downgrade hash and an extension in the client's last message.
#[test]
fn the_exchange_of_xep_0474_succeeds() {
    let first =
        ClientFirst::parse(b"p=tls-exporter,,n=user,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6")
            .unwrap();
    assert_eq!(first.cbind, CbindFlag::Used("tls-exporter".into()));
    let (server_first, proof) = first.challenge(
        keys(ScramHash::Sha1, "QSXCR+Q6sek8bf92"),
        "a09117a6-ac50-4f2f-93f1-93799c2bddf6",
        Some(b"THIS IS FAKE CB DATA"),
        Some("h=G6k/rBLDqgOhRRaCuuatSDFkJ08="),
    );
    assert_eq!(
        server_first,
        "r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,s=QSXCR+Q6sek8bf92,i=4096,h=G6k/rBLDqgOhRRaCuuatSDFkJ08="
    );
    let server_final = proof.check(
        b"c=cD10bHMtZXhwb3J0ZXIsLFRISVMgSVMgRkFLRSBDQiBEQVRB,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,x=19C6532F-1CF4-4A27-A18D-DC9CEA41BBB3,p=M/SIDjT+dfcxUh89jZEypRvFxB4=",
    );
    assert_eq!(
        server_final.as_deref(),
        Ok("v=MQrMPvv7yv4x4Cq4W4Ih25EqS2c=")
    );
}

#[test]
fn client_first_messages_outside_the_grammar_are_malformed() {
    for message in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=user",
        "n,,r=nonce,n=user",
        "n,,n=,r=nonce",
        "n,,n=user,r=",
        "n,,n=user,r=no\u{e9}nce",
        "n,,n=user,r=non ce",
        "n,,m=x,n=user,r=nonce",
        "n,,n=user,r=nonce,m=x",
        "n,,n=user,r=nonce,",
        "n,,n=user,r=nonce,x",
        "n,,n=user,r=nonce,x=",
        "n,,n=us=er,r=nonce",
        "n,,n=us=2c,r=nonce",
        "n,,n=us=2,r=nonce",
        "n,a=,n=user,r=nonce",
        "n,b=x,n=user,r=nonce",
        "p=,,n=user,r=nonce",
        "q,,n=user,r=nonce",
        "n,,n=us\0er,r=nonce",
    ] {
        assert_eq!(
            ClientFirst::parse(message.as_bytes()),
            Err(SaslFailure::MalformedRequest),
            "{message:?}"
        );
    }
    let not_utf8 = ClientFirst::parse(b"n,,n=us\xffer,r=nonce");
    assert_eq!(not_utf8, Err(SaslFailure::MalformedRequest));
}

#[test]
fn names_are_unescaped() {
    let first = ClientFirst::parse(b"y,a=a=3Db,n==2C=3D=2C,r=nonce,x=y").unwrap();
    assert_eq!(first.username, ",=,");
    assert_eq!(first.authzid.as_deref(), Some("a=b"));
    assert_eq!(first.cbind, CbindFlag::NotOffered);
}

#[test]
fn client_final_messages_outside_the_grammar_are_malformed() {
    for message in [
        "",
        "c=biws",
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
        "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,c=biws,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "c=bi,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X",
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8",
        // bits set behind the end
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Tt=",
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,m=x,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=,x=y",
    ] {
        let (_, proof) = rfc5802(FIRST);
        let result = proof.check(message.as_bytes());
        assert_eq!(result, Err(SaslFailure::MalformedRequest), "{message:?}");
    }
}

#[test]
fn wrong_nonce_binding_or_proof_is_not_authorized() {
    for message in [
        // the client's nonce alone, one of another exchange, and one grown at the end
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7k,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7jj,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        // "y,," where "n,," was said
        "c=eSws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=w0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,x=y,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    ] {
        let (_, proof) = rfc5802(FIRST);
        let result = proof.check(message.as_bytes());
        assert_eq!(result, Err(SaslFailure::NotAuthorized), "{message:?}");
    }
}

#[test]
fn a_recorded_exchange_fails_against_a_new_nonce() {
    let first = ClientFirst::parse(FIRST.as_bytes()).unwrap();
    let keys = keys(ScramHash::Sha1, "QSXCR+Q6sek8bf92");
    let (_, proof) = first.challenge(keys, "another", None, None);
    assert_eq!(
        proof.check(FINAL.as_bytes()),
        Err(SaslFailure::NotAuthorized)
    );
}

#[test]
fn fake_keys_answer_with_the_same_messages_and_fail() {
    let first = ClientFirst::parse(FIRST.as_bytes()).unwrap();
    let keys = ScramKeys::fake(b"secret", ScramHash::Sha1, "user");
    let (server_first, proof) = first.challenge(keys, "server", None, None);
    assert!(server_first.ends_with(",i=10000"), "{server_first}");
    let client_final = "c=biws,r=fyko+d2lbbFgONRv9qkxdawLserver,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
    assert_eq!(
        proof.check(client_final.as_bytes()),
        Err(SaslFailure::NotAuthorized)
    );
}
