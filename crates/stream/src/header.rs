//! What stream headers of all kinds say besides who talks to whom: a version and a language (RFC 6120 §4.7).

/// RFC 6120 §4.7.5: the version of the peer's side.
pub(crate) enum Version {
    /// Not stated.
    Absent,
    /// Below 1.0, canonical, or not a version at all.
    Old(String),
    /// 1.0 or above.
    Current,
}

impl Version {
    pub(crate) fn parse(text: Option<&str>) -> Self {
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

    /// From 1.0 on there are stream features.
    pub(crate) fn has_features(&self) -> bool {
        matches!(self, Self::Current)
    }

    /// The lower one of both sides' versions; none if the peer stated none.
    pub(crate) fn response(&self) -> Option<&str> {
        match self {
            Self::Absent => None,
            Self::Old(version) => Some(version),
            Self::Current => Some("1.0"),
        }
    }
}

/// A language tag, if it looks like one (RFC 5646 §2.1, §4.4.1).
pub(crate) fn language(tag: &str) -> Option<Box<str>> {
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
