//! Opening a stream: judging the client's header, answering it (RFC 6120 §4.7, §4.8).

use std::sync::Arc;

use tercet_core::{BareJid, Jid, StreamCondition, StreamError, StreamHeader, ns};

use super::config::HostConfig;
use super::context::Context;
use super::features;
use super::state::State;

/// The checks come in the order of the RFC; the response header is sent in any case, before an
/// error and before the features.
pub(super) fn on_header(
    cx: &mut Context,
    account: Option<BareJid>,
    header: &StreamHeader,
) -> Result<State, StreamError> {
    let host = host(cx, header.to.as_deref());
    if let Ok(host) = &host {
        cx.host = Some(host.clone());
    }
    let version = Version::parse(header.version.as_deref());
    let to = response_to(account.as_ref(), header.from.as_deref());
    cx.write_header(to.as_deref(), version.response());

    // RFC 6120 §4.8.1, §4.8.2: the stream's namespace, and that of its content.
    if !header.stream_ns_ok || header.content_ns != ns::CLIENT {
        return Err(StreamCondition::InvalidNamespace.into());
    }
    host?;
    // RFC 6120 §4.7.5: without a version it is 0.9; from 1.0 on there are features.
    if !version.has_features() {
        return Err(StreamCondition::UnsupportedVersion.into());
    }
    cx.lang = header.lang.as_deref().and_then(language);
    features::write(cx, account.is_some());
    Ok(match account {
        None => State::Negotiating,
        Some(account) => State::Unbound { account },
    })
}

/// RFC 6120 §4.7.2, §4.9.3.6: the host that the client wants, which does not change any more when
/// the stream is opened anew.
fn host(cx: &Context, to: Option<&str>) -> Result<Arc<HostConfig>, StreamError> {
    let Some(to) = to else {
        let assumed = cx.host.as_ref().or(cx.config.only_host());
        return assumed.cloned().ok_or_else(|| {
            StreamError::new(StreamCondition::ImproperAddressing).text("which host? to is missing")
        });
    };
    Jid::parse(to)
        .ok()
        .filter(|jid| jid.local().is_none() && jid.is_bare())
        .and_then(|jid| cx.config.host(jid.domain()).cloned())
        .filter(|found| {
            cx.host
                .as_ref()
                .is_none_or(|host| host.domain == found.domain)
        })
        .ok_or_else(|| StreamCondition::HostUnknown.into())
}

/// RFC 6120 §4.7.2: the client, as far as it is known or says so.
fn response_to(account: Option<&BareJid>, from: Option<&str>) -> Option<String> {
    match account {
        Some(account) => Some(account.as_str().to_owned()),
        None => Some(Jid::parse(from?).ok()?.as_str().to_owned()),
    }
}

/// RFC 6120 §4.7.5: the version of the client's side.
enum Version {
    /// Not stated.
    Absent,
    /// Below 1.0, canonical, or not a version at all.
    Old(String),
    /// 1.0 or above.
    Current,
}

impl Version {
    fn parse(text: Option<&str>) -> Self {
        let Some(text) = text else {
            return Self::Absent;
        };
        let number = |digits: &str| {
            let digits_only = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            digits_only.then(|| digits.trim_start_matches('0').to_owned())
        };
        let parts = text.split_once('.');
        match parts.and_then(|(major, minor)| Some((number(major)?, number(minor)?))) {
            Some((major, _)) if !major.is_empty() => Self::Current,
            // Major number 0.
            Some((_, minor)) if minor.len() < 6 => Self::Old(format!("0.{minor:0>1}")),
            _ => Self::Old("1.0".to_owned()),
        }
    }

    fn has_features(&self) -> bool {
        matches!(self, Self::Current)
    }

    /// The lower one of both sides' versions; none if the client stated none.
    fn response(&self) -> Option<&str> {
        match self {
            Self::Absent => None,
            Self::Old(version) => Some(version),
            Self::Current => Some("1.0"),
        }
    }
}

/// A language tag, if it looks like one (RFC 5646 §2.1, §4.4.1).
fn language(tag: &str) -> Option<Box<str>> {
    let plausible = (1..=35).contains(&tag.len())
        && tag.split('-').all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
        });
    plausible.then(|| tag.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_two_numbers() {
        for (text, expected, current) in [
            (None, None, false),
            (Some("1.0"), Some("1.0"), true),
            (Some("1.10"), Some("1.0"), true),
            (Some("01.0"), Some("1.0"), true),
            (Some("2.0"), Some("1.0"), true),
            (Some("99999999999999999999.0"), Some("1.0"), true),
            (Some("0.9"), Some("0.9"), false),
            (Some("0.0"), Some("0.0"), false),
            (Some("00.09"), Some("0.9"), false),
            (Some(""), Some("1.0"), false),
            (Some("1"), Some("1.0"), false),
            (Some("1."), Some("1.0"), false),
            (Some(".1"), Some("1.0"), false),
            (Some("-1.0"), Some("1.0"), false),
            (Some("one.two"), Some("1.0"), false),
        ] {
            let version = Version::parse(text);
            assert_eq!(version.response(), expected, "{text:?}");
            assert_eq!(version.has_features(), current, "{text:?}");
        }
    }

    #[test]
    fn implausible_languages_are_not_kept() {
        assert_eq!(language("de-CH-1996").as_deref(), Some("de-CH-1996"));
        for text in ["", "-", "en-", "en us", "abcdefghi", "en'", "\u{e9}n"] {
            assert_eq!(language(text), None, "{text:?}");
        }
    }
}
