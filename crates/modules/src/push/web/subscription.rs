//! What a browser tells of its subscription, in the form that goes with XEP-0357's `<enable/>`.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::GeneralPurposeConfig;
use tercet_core::OwnedElement;
use tercet_core::forms::{Form, NS as FORMS};

use super::content::Keys;
use super::endpoint::Endpoint;

/// Base64url, padded or not.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A browser's subscription at its push service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::push) struct Subscription {
    /// Where messages for it are posted.
    pub(super) endpoint: Endpoint,
    /// Whom they are encrypted for.
    pub(super) keys: Keys,
}

impl Subscription {
    /// Reads the form with the fields `endpoint`, `p256dh` and `auth`, named as in the Push API. `None` if one is missing or
    /// cannot be what it should.
    pub(in crate::push) fn parse(form: &[u8]) -> Option<Subscription> {
        let form = OwnedElement::parse(form, FORMS).ok()?;
        let form = Form::parse(form.root()).ok()?;
        let bytes = |field| BASE64URL.decode(form.value(field)?).ok();
        Some(Subscription {
            endpoint: Endpoint::parse(form.value("endpoint")?)?,
            keys: Keys::new(&bytes("p256dh")?, &bytes("auth")?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";

    fn parse(endpoint: &str, key: &str, auth: &str) -> Option<Subscription> {
        let field = |var, value| format!("<field var='{var}'><value>{value}</value></field>");
        let [endpoint, key, auth] = [("endpoint", endpoint), ("p256dh", key), ("auth", auth)]
            .map(|(var, value)| field(var, value));
        let form = format!("<x xmlns='jabber:x:data' type='submit'>{endpoint}{key}{auth}</x>");
        Subscription::parse(form.as_bytes())
    }

    #[test]
    fn a_subscription_is_an_address_and_two_keys() {
        let (address, auth) = ("https://push.example/a", "BTBZMqHH6r4Tts7J_aSIgg");
        let subscription = parse(address, KEY, auth).unwrap();
        assert_eq!(subscription.endpoint.authority(), "push.example");
        assert_eq!(
            parse(address, &format!("{KEY}="), &format!("{auth}==")),
            Some(subscription)
        );
        assert_eq!(parse("http://push.example/a", KEY, auth), None);
        assert_eq!(parse(address, "", auth), None);
        assert_eq!(parse(address, &KEY[4..], auth), None);
        assert_eq!(parse(address, KEY, "BTBZ"), None);
        assert_eq!(parse(address, KEY, "*"), None);
        assert_eq!(Subscription::parse(b"<x/>"), None);
        assert_eq!(Subscription::parse(b""), None);
    }
}
