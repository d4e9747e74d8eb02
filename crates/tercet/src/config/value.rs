//! The types a configuration key can have: how each is read from TOML, written back and described.

use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;

use tercet_core::BareJid;
use toml::Spanned;
use toml::de::DeValue;

use super::fault::{Problem, nearest};
pub use super::measure::{Period, Size};

/// A type that a key can have.
pub trait Value: Clone + PartialEq {
    /// What belongs here, for people, as in `a whole number`.
    fn expects() -> String;
    /// Reads the value; pushes what is wrong with it and returns `None` if it cannot be used.
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<Self>;
    /// The value as TOML; `None` where it is not set.
    fn write(&self) -> Option<String>;
    /// The number that a key's bounds are compared with: bytes for sizes, seconds for periods.
    fn magnitude(&self) -> Option<u64> {
        None
    }
    /// A bound in the unit people write, as in `16 MiB`.
    fn bound(magnitude: u64) -> String {
        magnitude.to_string()
    }
}

/// Reads with `parse` from a string; what it refuses is reported with its reason.
pub(super) fn from_string<T>(
    value: &Spanned<DeValue<'_>>,
    expects: String,
    problems: &mut Vec<Problem>,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    let DeValue::String(text) = value.get_ref() else {
        problems.push(wrong_type(value, &expects));
        return None;
    };
    match parse(text) {
        Ok(parsed) => Some(parsed),
        Err(reason) => {
            problems.push(Problem::new(value.span(), reason));
            None
        }
    }
}

fn wrong_type(value: &Spanned<DeValue<'_>>, expects: &str) -> Problem {
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    Problem::new(value.span(), format!("expected {expects}, found {found}"))
}

/// `text` as a TOML string; safe to show on a terminal.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn whole(value: &DeValue<'_>) -> Option<i128> {
    match value {
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
}

pub(super) fn number<T: TryFrom<i128>>(
    value: &Spanned<DeValue<'_>>,
    expects: &str,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let Some(number) = whole(value.get_ref()) else {
        problems.push(wrong_type(value, expects));
        return None;
    };
    let fits = T::try_from(number).ok();
    if fits.is_none() {
        problems.push(Problem::new(
            value.span(),
            format!("{number} is out of range"),
        ));
    }
    fits
}

impl Value for bool {
    fn expects() -> String {
        "true or false".into()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<bool> {
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            _ => {
                problems.push(wrong_type(value, &bool::expects()));
                None
            }
        }
    }
    fn write(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for u32 {
    fn expects() -> String {
        "a whole number".into()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<u32> {
        number(value, &u32::expects(), problems)
    }
    fn write(&self) -> Option<String> {
        Some(self.to_string())
    }
    fn magnitude(&self) -> Option<u64> {
        Some(u64::from(*self))
    }
}

/// Where a listener listens: a port number, `0` for any free one, or `false` for nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// Not opened.
    Off,
    /// Opened here; 0 lets the system choose.
    At(u16),
}

impl Value for Port {
    fn expects() -> String {
        "a port number (0: any free one), or false for none".into()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<Port> {
        match value.get_ref() {
            DeValue::Boolean(false) => Some(Port::Off),
            _ => number(value, &Port::expects(), problems).map(Port::At),
        }
    }
    fn write(&self) -> Option<String> {
        Some(match self {
            Port::Off => "false".into(),
            Port::At(port) => port.to_string(),
        })
    }
}

impl Value for IpAddr {
    fn expects() -> String {
        "an IP address".into()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<IpAddr> {
        from_string(value, IpAddr::expects(), problems, |text| {
            text.parse()
                .map_err(|_| format!("{} is not an IP address", quoted(text)))
        })
    }
    fn write(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl Value for PathBuf {
    fn expects() -> String {
        "a path".into()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<PathBuf> {
        from_string(value, PathBuf::expects(), problems, |text| {
            match text.is_empty() {
                true => Err("the path is empty".into()),
                false => Ok(PathBuf::from(text)),
            }
        })
    }
    fn write(&self) -> Option<String> {
        Some(quoted(&self.to_string_lossy()))
    }
}

/// An XMPP domain, normalised.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Domain(String);

impl Domain {
    /// Normalises `text`; the error says why it is no domain.
    pub fn parse(text: &str) -> Result<Domain, String> {
        match tercet_core::prepare_domain(text) {
            Ok(domain) => Ok(Domain(domain.into_owned())),
            Err(error) => Err(format!("{} is not a domain: {error}", quoted(text))),
        }
    }

    /// The normalised text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it can only mean this machine: `localhost`, or a name below it.
    pub fn is_local(&self) -> bool {
        self.0 == "localhost" || self.0.ends_with(".localhost")
    }
}

impl Value for Domain {
    fn expects() -> String {
        "a domain such as \"example.org\"".into()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<Domain> {
        from_string(value, Domain::expects(), problems, Domain::parse)
    }
    fn write(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

/// The bare JID of an administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin(pub BareJid);

impl Value for Admin {
    fn expects() -> String {
        "an account such as \"you@example.org\"".into()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<Admin> {
        from_string(
            value,
            Admin::expects(),
            problems,
            |text| match BareJid::parse(text) {
                Ok(jid) if jid.local().is_some() => Ok(Admin(jid)),
                Ok(_) => Err(format!("{} is not {}", quoted(text), Admin::expects())),
                Err(error) => Err(format!("{} is not an account: {error}", quoted(text))),
            },
        )
    }
    fn write(&self) -> Option<String> {
        Some(quoted(self.0.as_str()))
    }
}

/// An address for people, as in `mailto:abuse@example.org` or `xmpp:help@example.org` (XEP-0157 §2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri(pub String);

impl Value for Uri {
    fn expects() -> String {
        "an address with its scheme, such as \"mailto:abuse@example.org\"".into()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<Uri> {
        from_string(value, Uri::expects(), problems, |text| {
            let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
            let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
            match named && !text.contains(|c: char| c.is_whitespace() || c.is_control()) {
                true => Ok(Uri(text.to_owned())),
                false => Err(format!("{} is not {}", quoted(text), Uri::expects())),
            }
        })
    }
    fn write(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

/// Where a web server is found: `https://example.org` or `http://localhost:5280`, without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// What stands for the domain that a link is about.
    const DOMAIN: &str = "DOMAIN";

    /// Reads `https://chat.example.org`; `DOMAIN` in it stands for the domain that a link is about.
    pub fn parse(text: &str) -> Option<BaseUrl> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let authority = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
        let good = !authority.is_empty() && !authority.starts_with(':');
        (good && authority.chars().all(plain)).then(|| BaseUrl(text.to_owned()))
    }

    /// The URL for links about `domain`, without a slash at the end.
    pub fn of(&self, domain: &str) -> String {
        self.0.replace(BaseUrl::DOMAIN, domain)
    }
}

impl Value for BaseUrl {
    fn expects() -> String {
        "a web address without a path, such as \"https://chat.example.org\"".into()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<BaseUrl> {
        from_string(value, BaseUrl::expects(), problems, |text| {
            BaseUrl::parse(text)
                .ok_or_else(|| format!("{} is not {}", quoted(text), BaseUrl::expects()))
        })
    }
    fn write(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

/// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`), or levels by part as in `info,tercet_stream=debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(pub String);

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

impl Value for LogFilter {
    fn expects() -> String {
        "error, warn, info, debug, trace or off, also by part as in \"info,tercet_stream=debug\""
            .into()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<LogFilter> {
        let DeValue::String(text) = value.get_ref() else {
            problems.push(wrong_type(value, &LogFilter::expects()));
            return None;
        };
        for directive in text.split(',') {
            let (part, level) = directive.split_once('=').unwrap_or(("tercet", directive));
            let named = !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_:-".contains(c));
            if !named || !LEVELS.contains(&level) {
                problems.push(Problem {
                    span: value.span(),
                    message: format!("{} is not {}", quoted(directive), LogFilter::expects()),
                    nearest: nearest(level, LEVELS).map(quoted),
                });
                return None;
            }
        }
        Some(LogFilter(text.to_string()))
    }
    fn write(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

impl<T: Value> Value for Option<T> {
    fn expects() -> String {
        T::expects()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<Option<T>> {
        T::read(value, problems).map(Some)
    }
    fn write(&self) -> Option<String> {
        self.as_ref().and_then(T::write)
    }
    fn magnitude(&self) -> Option<u64> {
        self.as_ref().and_then(T::magnitude)
    }
    fn bound(magnitude: u64) -> String {
        T::bound(magnitude)
    }
}

impl<T: Value> Value for Vec<T> {
    fn expects() -> String {
        format!("a list, each {}", T::expects())
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<Vec<T>> {
        let DeValue::Array(array) = value.get_ref() else {
            problems.push(wrong_type(value, &Self::expects()));
            return None;
        };
        // Each element is read even when an earlier one failed: all faults at once.
        let read: Vec<Option<T>> = array.iter().map(|item| T::read(item, problems)).collect();
        read.into_iter().collect()
    }
    fn write(&self) -> Option<String> {
        let items: Vec<String> = self.iter().filter_map(T::write).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

/// Reports a string that is none of `known`.
pub fn unknown_choice(span: Range<usize>, text: &str, known: &[&'static str]) -> Problem {
    Problem {
        span,
        message: format!("{} is not {}", quoted(text), one_of(known)),
        nearest: nearest(text, known.iter().copied()).map(quoted),
    }
}

/// `"a", "b" or "c"`.
pub fn one_of(known: &[&str]) -> String {
    let mut quoted: Vec<String> = known.iter().map(|word| self::quoted(word)).collect();
    match quoted.pop() {
        Some(last) if !quoted.is_empty() => format!("{} or {last}", quoted.join(", ")),
        Some(last) => last,
        None => String::new(),
    }
}

/// Declares an enum whose variants are words in the configuration.
macro_rules! choice {
    ($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $variant_doc:literal])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[doc = $variant_doc])* $variant),+ }

        impl $name {
            /// The word in the configuration.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }

        impl $crate::config::value::Value for $name {
            fn expects() -> String {
                $crate::config::value::one_of(&[$($word),+])
            }
            fn read(
                value: &toml::Spanned<toml::de::DeValue<'_>>,
                problems: &mut Vec<$crate::config::fault::Problem>,
            ) -> Option<Self> {
                let word = $crate::config::value::word(value, &Self::expects(), problems)?;
                match word {
                    $($word => Some($name::$variant),)+
                    other => {
                        problems.push($crate::config::value::unknown_choice(value.span(), other, &[$($word),+]));
                        None
                    }
                }
            }
            fn write(&self) -> Option<String> {
                Some($crate::config::value::quoted(self.word()))
            }
        }
    };
}
pub(super) use choice;

/// The string in `value`, or a problem.
pub fn word<'a>(
    value: &'a Spanned<DeValue<'_>>,
    expects: &str,
    problems: &mut Vec<Problem>,
) -> Option<&'a str> {
    match value.get_ref() {
        DeValue::String(text) => Some(text),
        _ => {
            problems.push(wrong_type(value, expects));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Value>(toml: &str) -> Result<T, Vec<String>> {
        let value = DeValue::parse(toml).unwrap();
        let mut problems = Vec::new();
        let read = T::read(&value, &mut problems);
        read.ok_or_else(|| problems.into_iter().map(|p| p.message).collect())
    }

    #[test]
    fn ports_are_numbers_or_false() {
        assert_eq!(read::<Port>("5222"), Ok(Port::At(5222)));
        assert_eq!(read::<Port>("0"), Ok(Port::At(0)));
        assert_eq!(read::<Port>("false"), Ok(Port::Off));
        for bad in ["true", "65536", "-1", "\"5222\""] {
            assert!(read::<Port>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_bad_element_of_a_list_is_reported() {
        let problems = read::<Vec<IpAddr>>("[\"::1\", \"nowhere\", 7]").unwrap_err();
        assert_eq!(
            problems,
            [
                "\"nowhere\" is not an IP address",
                "expected an IP address, found a number"
            ]
        );
    }

    #[test]
    fn log_filters_are_levels_or_levels_by_part() {
        for good in ["\"info\"", "\"warn,tercet_stream=debug\"", "\"off\""] {
            assert!(read::<LogFilter>(good).is_ok(), "{good}");
        }
        for bad in ["\"inof\"", "\"=debug\"", "\"a b=debug\"", "3", "\"\""] {
            assert!(read::<LogFilter>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn contact_addresses_need_a_scheme() {
        assert!(read::<Uri>("\"mailto:abuse@example.org\"").is_ok());
        for bad in [
            "\"abuse@example.org\"",
            "\":x\"",
            "\"mailto:a b\"",
            "\"1a:b\"",
        ] {
            assert!(read::<Uri>(bad).is_err(), "{bad}");
        }
    }
}
