use super::*;

fn sha256(password: &str) -> ScramKeys {
    let few = NonZeroU32::new(2).unwrap();
    ScramKeys::derive(ScramHash::Sha256, password, b"salt", few).unwrap()
}

#[test]
fn derived_keys_verify_their_password_only() {
    let keys = sha256("pencil");
    assert!(verify_plain(&keys, "pencil"));
    assert!(!verify_plain(&keys, "pencil "));
    assert!(!verify_plain(&keys, ""));
    assert!(!verify_plain(&keys, "pen\u{7}cil"));
}

#[test]
fn passwords_are_compared_after_saslprep() {
    // RFC 4013 §3: soft hyphen mapped to nothing, feminine ordinal to "a", Roman nine to "IX".
    assert!(verify_plain(&sha256("I\u{AD}X"), "\u{2168}"));
    assert!(verify_plain(&sha256("a"), "\u{AA}"));
    for forbidden in ["", "\u{7}", "\u{627}1", "\u{AD}"] {
        let few = NonZeroU32::new(2).unwrap();
        let keys = ScramKeys::derive(ScramHash::Sha1, forbidden, b"salt", few);
        assert_eq!(keys.unwrap_err(), KeyError::Password, "{forbidden:?}");
    }
}

#[test]
fn fake_keys_are_stable_per_name_and_fit_no_password() {
    let keys = |secret: &[u8], name| ScramKeys::fake(secret, ScramHash::Sha256, name);
    let (a, again) = (keys(b"s", "romeo"), keys(b"s", "romeo"));
    assert_eq!(a.to_bytes(), again.to_bytes());
    assert_ne!(a.salt(), keys(b"s", "juliet").salt());
    assert_ne!(a.salt(), keys(b"t", "romeo").salt());
    let sha1 = ScramKeys::fake(b"s", ScramHash::Sha1, "romeo");
    assert_ne!(a.salt(), sha1.salt());
    let real = Credentials::derive("pencil", [7; 32]).unwrap();
    let real = real.keys(ScramHash::Sha256).unwrap();
    assert_eq!(a.salt().len(), real.salt().len());
    assert_eq!(a.iterations(), real.iterations());
    assert!(!verify_plain(&a, "pencil"));
}

#[test]
fn stored_forms_come_back_and_nothing_else_is_read() {
    let both = Credentials::derive("pencil", [7; 32]).unwrap();
    let bytes = both.to_bytes();
    let again = Credentials::from_bytes(&bytes).unwrap();
    assert_eq!(again.to_bytes(), bytes);
    assert!(again.verify("pencil"));
    let one = both.keys(ScramHash::Sha1).unwrap();
    // With one hash function's keys alone it is whole, too.
    let whole = one.to_bytes().len();
    for cut in (0..bytes.len()).filter(|cut| *cut != whole) {
        assert_eq!(
            Credentials::from_bytes(&bytes[..cut]).unwrap_err(),
            KeyError::Encoding
        );
    }
    let one = one.to_bytes();
    assert_eq!(ScramKeys::from_bytes(&one).unwrap().to_bytes(), one);
    assert!(ScramKeys::from_bytes(&bytes).is_err());
    assert!(Credentials::from_bytes(&[&bytes[..], b"x"].concat()).is_err());
}

#[test]
fn keys_of_one_hash_function_are_enough_for_a_password_and_are_completed() {
    for hash in [ScramHash::Sha1, ScramHash::Sha256] {
        let few = NonZeroU32::new(2).unwrap();
        let keys = ScramKeys::derive(hash, "pencil", b"salt", few).unwrap();
        let credentials = Credentials::of([keys]).unwrap();
        let again = Credentials::from_bytes(&credentials.to_bytes()).unwrap();
        assert!(again.verify("pencil") && !again.verify("pen"));
        assert!(!again.are_complete());
        let whole = again.or(Credentials::derive("pencil", [7; 32]).unwrap());
        assert!(whole.are_complete());
        // What was there stays.
        assert_eq!(whole.keys(hash).unwrap().iterations(), few);
    }
    assert!(Credentials::of([]).is_none());
}

#[test]
fn the_binary_form_does_not_change() {
    let keys = ScramKeys::new(
        ScramHash::Sha1,
        b"ab",
        NonZeroU32::new(258).unwrap(),
        &[3; 20],
        &[4; 20],
    );
    let expected = [&[1, 1, 0, 0, 1, 2, 2][..], b"ab", &[3; 20], &[4; 20]].concat();
    assert_eq!(keys.unwrap().to_bytes(), expected);
}

#[test]
fn debug_shows_no_key() {
    let text = format!("{:?}", sha256("pencil"));
    assert_eq!(text, "ScramKeys { hash: Sha256, iterations: 2, .. }");
}
