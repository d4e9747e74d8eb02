//! The types a configuration key can have: how each is read from TOML, written back and described.

use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::fault::{Problem, nearest};

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
fn from_string<T>(
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

fn number<T: TryFrom<i128>>(
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

/// A number of bytes; written as a number or with a unit: `262144`, `"256 KiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

const SIZES: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl Value for Size {
    fn expects() -> String {
        "a size such as \"256 KiB\", or a number of bytes".into()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<Size> {
        measure(value, &Size::expects(), &SIZES, problems).map(Size)
    }
    fn write(&self) -> Option<String> {
        Some(quoted(&Size::bound(self.0)))
    }
    fn magnitude(&self) -> Option<u64> {
        Some(self.0)
    }
    fn bound(magnitude: u64) -> String {
        in_largest_unit(magnitude, &SIZES)
    }
}

/// A span of time; written as seconds or with a unit: `30`, `"30 s"`, `"15 min"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub u64);

const PERIODS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];

impl Period {
    /// As the standard library's type.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl Value for Period {
    fn expects() -> String {
        "a time such as \"30 s\", \"15 min\", \"2 h\" or \"7 d\", or a number of seconds".into()
    }
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<Period> {
        measure(value, &Period::expects(), &PERIODS, problems).map(Period)
    }
    fn write(&self) -> Option<String> {
        Some(quoted(&Period::bound(self.0)))
    }
    fn magnitude(&self) -> Option<u64> {
        Some(self.0)
    }
    fn bound(magnitude: u64) -> String {
        in_largest_unit(magnitude, &PERIODS)
    }
}

/// A whole number with one of `units`, or without a unit for the last of them.
fn measure(
    value: &Spanned<DeValue<'_>>,
    expects: &str,
    units: &[(&str, u64)],
    problems: &mut Vec<Problem>,
) -> Option<u64> {
    let DeValue::String(text) = value.get_ref() else {
        return number(value, expects, problems);
    };
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let unit = unit.trim();
    let factor = units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit));
    let count = digits.parse::<u64>().ok();
    let product = match (count, factor) {
        (Some(count), Some((_, factor))) => count.checked_mul(*factor),
        _ => None,
    };
    if product.is_none() {
        problems.push(Problem::new(
            value.span(),
            format!("expected {expects}, found {}", quoted(text)),
        ));
    }
    product
}

fn in_largest_unit(number: u64, units: &[(&str, u64)]) -> String {
    let (name, factor) = units
        .iter()
        .find(|(_, factor)| number >= *factor && number.is_multiple_of(*factor))
        .or(units.last())
        .copied()
        .unwrap_or(("", 1));
    format!("{} {name}", number / factor)
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
        let bad = text.is_empty()
            || text.len() > 1023
            || text
                .contains(|c: char| c.is_whitespace() || c.is_control() || "@/\"'<>&".contains(c));
        match bad {
            true => Err(format!("{} is not a domain", quoted(text))),
            false => Ok(Domain(text.to_lowercase())),
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
    fn sizes_and_periods_are_read_with_and_without_units_and_written_back() {
        assert_eq!(read::<Size>("10240"), Ok(Size(10_240)));
        assert_eq!(read::<Size>("\"10 KiB\""), Ok(Size(10_240)));
        assert_eq!(read::<Size>("\"1MiB\""), Ok(Size(1 << 20)));
        assert_eq!(Size(10_240).write().unwrap(), "\"10 KiB\"");
        assert_eq!(Size(10_000).write().unwrap(), "\"10000 B\"");
        assert_eq!(read::<Period>("90"), Ok(Period(90)));
        assert_eq!(read::<Period>("\"15 min\""), Ok(Period(900)));
        assert_eq!(Period(900).write().unwrap(), "\"15 min\"");
        for bad in [
            "\"10 KB\"",
            "\"KiB\"",
            "\"\"",
            "-1",
            "1.5",
            "true",
            "\"99999999999 GiB\"",
        ] {
            assert!(read::<Size>(bad).is_err(), "{bad}");
        }
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
