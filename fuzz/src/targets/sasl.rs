//! SCRAM: no message ends in a panic, and no message that was not made with the password ends in a login.

use tercet_core::SaslFailure;
use tercet_stream::sasl::{ClientFirst, ScramHash, ScramKeys};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "sasl",
    run,
    dictionary: &[
        "n,,",
        "y,,",
        "p=tls-exporter,,",
        "n,a=romeo,",
        "n=",
        "r=",
        ",r=",
        "c=biws",
        ",p=",
        "m=",
        "=2C",
        "=3D",
        "=",
        ",",
        "\n",
        "\0",
        "i=4096",
        "rOprNGfwEbeRWgbNEkqOserver",
        "\u{e9}",
        "\u{ad}",
    ],
};

/// The first line is the client's first message, the rest its final one; in the final one, `NONCE` stands for the server's answer to the first,
/// so that inputs get past it.
fn run(data: &[u8]) {
    keys(data);
    let split = data
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(data.len());
    let (first, last) = data.split_at(split);
    let last = last.strip_prefix(b"\n").unwrap_or(last);
    let Ok(first) = ClientFirst::parse(first) else {
        return;
    };
    let hash = if first.username.len().is_multiple_of(2) {
        ScramHash::Sha1
    } else {
        ScramHash::Sha256
    };
    let keys = ScramKeys::fake(b"secret", hash, &first.username);
    let (challenge, proof) = first.challenge(keys, "server", None, None);
    let nonce = challenge
        .strip_prefix("r=")
        .and_then(|rest| rest.split(',').next());
    let nonce = nonce.expect("RFC 5802 §5.1: the challenge begins with the nonce");
    assert!(
        nonce.len() > "server".len() && nonce.ends_with("server"),
        "the server's nonce extends the client's"
    );
    let last = String::from_utf8_lossy(last).replace("NONCE", nonce);
    match proof.check(last.as_bytes()) {
        Ok(_) => panic!("a proof without the password"),
        Err(
            SaslFailure::MalformedRequest
            | SaslFailure::IncorrectEncoding
            | SaslFailure::NotAuthorized,
        ) => {}
        Err(other) => panic!("an unexpected failure: {other:?}"),
    }
}

/// What is read as stored keys is written as it was.
fn keys(data: &[u8]) {
    if let Ok(keys) = ScramKeys::from_bytes(data) {
        assert_eq!(keys.to_bytes(), data, "stored keys have one form");
    }
}
