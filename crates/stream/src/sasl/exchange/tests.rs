use std::num::NonZeroU32;

use super::*;
use crate::sasl::ScramKeys;
use crate::tls::PeerCertificate;

/// An attempt, and what it leads to, in a few words.
struct Attempt {
    offer: Offer,
    tls: Option<TlsInfo>,
    random: Random,
    claimed: Option<String>,
}

impl Attempt {
    fn new(tls: Option<TlsInfo>) -> Self {
        Self {
            offer: Offer::new("example.org", true, tls.as_ref(), tls.is_some()),
            tls,
            random: Random::new([7; 32]),
            claimed: None,
        }
    }

    fn scope(&mut self) -> Scope<'_> {
        Scope {
            host: "example.org",
            offer: &self.offer,
            tls: self.tls.as_ref(),
            random: &mut self.random,
            token: None,
            claimed: &mut self.claimed,
        }
    }

    fn start(&mut self, mechanism: &str, initial: &str) -> Result<Step, SaslFailure> {
        Exchange::start(mechanism, Some(initial.as_bytes()), &mut self.scope())
    }
}

fn bound_tls() -> TlsInfo {
    TlsInfo {
        exporter: Some(vec![1; 32]),
        ..TlsInfo::default()
    }
}

fn romeo() -> BareJid {
    BareJid::parse("romeo@example.org").unwrap()
}

#[test]
fn messages_that_the_flags_forbid_fail_before_any_key_is_looked_up() {
    use SaslFailure::*;
    let check = |mechanism: &str, flag: &str, expected| {
        let mut attempt = Attempt::new(Some(bound_tls()));
        let step = attempt.start(mechanism, &format!("{flag},,n=romeo,r=abc"));
        assert_eq!(step.err(), expected, "{mechanism} {flag}");
    };
    check("SCRAM-SHA-256-PLUS", "p=tls-exporter", None);
    check("SCRAM-SHA-1-PLUS", "p=tls-exporter", None);
    // not available on this connection, and unknown
    check(
        "SCRAM-SHA-256-PLUS",
        "p=tls-server-end-point",
        Some(NotAuthorized),
    );
    check("SCRAM-SHA-256-PLUS", "p=tls-unique", Some(NotAuthorized));
    check("SCRAM-SHA-256-PLUS", "n", Some(MalformedRequest));
    check("SCRAM-SHA-256-PLUS", "y", Some(MalformedRequest));
    check("SCRAM-SHA-256", "p=tls-exporter", Some(MalformedRequest));
    check("SCRAM-SHA-256", "n", None);
    // -PLUS was offered: somebody hid it from the client
    check("SCRAM-SHA-256", "y", Some(NotAuthorized));
    check("SCRAM-SHA-512", "n", Some(InvalidMechanism));
    check("scram-sha-256", "n", Some(InvalidMechanism));
    check("EXTERNAL", "n", Some(InvalidMechanism));
}

#[test]
fn a_client_may_say_y_where_plus_was_not_offered() {
    let mut attempt = Attempt::new(None);
    assert!(attempt.start("SCRAM-SHA-1", "y,,n=romeo,r=abc").is_ok());
    let plus = attempt.start("SCRAM-SHA-1-PLUS", "p=tls-exporter,,n=romeo,r=abc");
    assert_eq!(plus.err(), Some(SaslFailure::InvalidMechanism));
}

#[test]
fn only_ones_own_bare_jid_is_taken_as_authorization_identity() {
    let check = |authzid: &str, expected: Option<SaslFailure>| {
        let mut attempt = Attempt::new(None);
        let plain = attempt.start("PLAIN", &format!("{authzid}\0romeo\0secret"));
        assert_eq!(plain.err(), expected, "PLAIN {authzid}");
        let scram = attempt.start("SCRAM-SHA-1", &format!("n,a={authzid},n=romeo,r=abc"));
        assert_eq!(scram.err(), expected, "SCRAM {authzid}");
    };
    check("romeo@example.org", None);
    check("Romeo@EXAMPLE.org", None);
    for other in [
        "juliet@example.org",
        "romeo@example.net",
        "romeo@example.org/orchard",
        "romeo",
        "example.org",
        "@",
    ] {
        check(other, Some(SaslFailure::InvalidAuthzid));
    }
}

#[test]
fn names_are_normalised_and_impossible_ones_are_asked_for_like_others() {
    let ask = |name: &str| {
        let mut attempt = Attempt::new(None);
        let step = attempt.start("SCRAM-SHA-1", &format!("n,,n={name},r=abc"));
        let Ok(Step::Ask(
            Question::ScramKeys {
                account,
                username,
                host,
                ..
            },
            _,
        )) = step
        else {
            panic!("no keys asked for {name}")
        };
        assert_eq!(host, "example.org");
        assert_eq!(attempt.claimed.as_deref(), Some(&*username));
        (account, username)
    };
    assert_eq!(ask("Romeo"), (Some(romeo()), "romeo".to_owned()));
    assert_eq!(ask("ro@meo"), (None, "ro@meo".to_owned()));
    assert_eq!(ask("romeo/x"), (None, "romeo/x".to_owned()));
}

#[test]
fn a_client_that_speaks_first_is_asked_to_by_an_empty_challenge() {
    for mechanism in ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"] {
        let mut attempt = Attempt::new(None);
        let step = Exchange::start(mechanism, None, &mut attempt.scope());
        let Ok(Step::Challenge(message, exchange)) = step else {
            panic!("no challenge for {mechanism}")
        };
        assert!(message.is_empty());
        let message = match mechanism {
            "PLAIN" => "\0romeo\0secret",
            _ => "n,,n=romeo,r=abc",
        };
        let step = exchange.response(message.as_bytes(), &mut attempt.scope());
        assert!(matches!(step, Ok(Step::Ask(..))), "{mechanism}");
    }
    let mut attempt = Attempt::new(None);
    let step = Exchange::start("ANONYMOUS", None, &mut attempt.scope());
    assert!(matches!(step, Ok(Step::Ask(Question::Anonymous { .. }, _))));
}

/// A client's side of SCRAM-SHA-256, as far as these tests need it.
fn proof_for(first: &str, server_first: &str, cbind: &str, keys: &ScramKeys) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    let nonce = server_first.split(',').next().unwrap();
    let (cbind, hash) = (BASE64_STANDARD.encode(cbind), keys.hash());
    let without_proof = format!("c={cbind},{nonce}");
    let message = format!("{first},{server_first},{without_proof}");
    let salted = {
        // password "pencil" with the salt of `keys`
        let mut out = [0; 32];
        aws_lc_rs::pbkdf2::derive(
            aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256,
            keys.iterations(),
            keys.salt(),
            b"pencil",
            &mut out,
        );
        out
    };
    let client_key = hash.hmac(&salted, b"Client Key");
    let signature = hash.hmac(keys.stored_key(), message.as_bytes());
    let proof = signature.xor(client_key.as_slice());
    format!(
        "{without_proof},p={}",
        BASE64_STANDARD.encode(proof.as_slice())
    )
}

fn scram_with(account: Result<BareJid, SaslFailure>, cbind: &str) -> Result<Step, SaslFailure> {
    let mut attempt = Attempt::new(Some(bound_tls()));
    let keys = ScramKeys::derive(
        ScramHash::Sha256,
        "pencil",
        b"salt",
        NonZeroU32::new(2).unwrap(),
    );
    let keys = keys.unwrap();
    let step = attempt.start("SCRAM-SHA-256-PLUS", "p=tls-exporter,,n=romeo,r=abc");
    let Ok(Step::Ask(_, exchange)) = step else {
        panic!("keys are not asked for")
    };
    let answer = Answer::ScramKeys {
        keys: keys.clone(),
        account,
    };
    let Ok(Step::Challenge(message, exchange)) = exchange.answer(answer, &mut attempt.scope())
    else {
        panic!("no challenge")
    };
    let server_first = String::from_utf8(message).unwrap();
    let protection = attempt
        .offer
        .protection(ScramHash::Sha256, attempt.tls.as_ref());
    assert!(server_first.ends_with(&format!(",i=2,{protection}")));
    let response = proof_for("n=romeo,r=abc", &server_first, cbind, &keys);
    exchange.response(response.as_bytes(), &mut attempt.scope())
}

#[test]
fn a_bound_login_succeeds_with_the_data_of_its_own_channel_only() {
    let own = format!("p=tls-exporter,,{}", "\u{1}".repeat(32));
    let Ok(Step::Success(success)) = scram_with(Ok(romeo()), &own) else {
        panic!("no success")
    };
    assert_eq!(success.account, romeo());
    assert_eq!(success.mechanism, Mechanism::ScramSha256Plus);
    assert!(success.data.is_some_and(|data| data.starts_with(b"v=")));
    let other = format!("p=tls-exporter,,{}", "\u{2}".repeat(32));
    let failure = scram_with(Ok(romeo()), &other).err();
    assert_eq!(failure, Some(SaslFailure::NotAuthorized));
}

#[test]
fn what_is_wrong_with_an_account_shows_only_after_the_proof() {
    let own = format!("p=tls-exporter,,{}", "\u{1}".repeat(32));
    let disabled = Err(SaslFailure::AccountDisabled);
    let failure = scram_with(disabled.clone(), &own).err();
    assert_eq!(failure, Some(SaslFailure::AccountDisabled));
    let failure = scram_with(disabled, "n,,").err();
    assert_eq!(failure, Some(SaslFailure::NotAuthorized));
}

#[test]
fn answers_that_do_not_fit_are_a_temporary_failure() {
    let mut attempt = Attempt::new(None);
    let Ok(Step::Ask(_, exchange)) = attempt.start("SCRAM-SHA-256", "n,,n=romeo,r=abc") else {
        panic!("keys are not asked for")
    };
    let answer = Answer::ScramKeys {
        keys: ScramKeys::fake(b"s", ScramHash::Sha1, "romeo"),
        account: Ok(romeo()),
    };
    let failure = exchange.answer(answer, &mut attempt.scope()).err();
    assert_eq!(failure, Some(SaslFailure::TemporaryAuthFailure));
    let Ok(Step::Ask(_, exchange)) = attempt.start("SCRAM-SHA-256", "n,,n=romeo,r=abc") else {
        panic!("keys are not asked for")
    };
    let failure = exchange.answer(Answer::Account(Ok(romeo())), &mut attempt.scope());
    assert_eq!(failure.err(), Some(SaslFailure::TemporaryAuthFailure));
}

#[test]
fn a_certificate_logs_in_the_account_it_names() {
    let mut attempt = Attempt::new(Some(TlsInfo {
        peer: Some(PeerCertificate {
            xmpp_addrs: vec![romeo()],
        }),
        ..TlsInfo::default()
    }));
    let Ok(Step::Ask(Question::External { account }, exchange)) = attempt.start("EXTERNAL", "")
    else {
        panic!("the account is not asked for")
    };
    assert_eq!(account, romeo());
    assert_eq!(attempt.claimed.as_deref(), Some("romeo"));
    let step = exchange.answer(Answer::Account(Ok(account)), &mut attempt.scope());
    assert!(matches!(step, Ok(Step::Success(_))));
}
