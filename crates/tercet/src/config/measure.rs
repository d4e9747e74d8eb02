//! Sizes and times: numbers with units.

use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::fault::Problem;
use super::value::{Value, number, quoted};

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

impl std::str::FromStr for Period {
    type Err = String;

    /// As in the configuration file: `7 d`, `90 s`, `90`.
    fn from_str(text: &str) -> Result<Period, String> {
        let plain = text.parse().ok();
        let seconds = plain.or_else(|| in_units(text, &PERIODS));
        seconds
            .map(Period)
            .ok_or_else(|| format!("expected {}", Period::expects()))
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
    let product = in_units(text, units);
    if product.is_none() {
        problems.push(Problem::new(
            value.span(),
            format!("expected {expects}, found {}", quoted(text)),
        ));
    }
    product
}

/// The number that `text` says with one of `units`.
fn in_units(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let unit = unit.trim();
    let (_, factor) = units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Value>(toml: &str) -> Option<T> {
        T::read(&DeValue::parse(toml).unwrap(), &mut Vec::new())
    }

    #[test]
    fn sizes_and_periods_are_read_with_and_without_units_and_written_back() {
        assert_eq!(read::<Size>("10240"), Some(Size(10_240)));
        assert_eq!(read::<Size>("\"10 KiB\""), Some(Size(10_240)));
        assert_eq!(read::<Size>("\"1MiB\""), Some(Size(1 << 20)));
        assert_eq!(Size(10_240).write().unwrap(), "\"10 KiB\"");
        assert_eq!(Size(10_000).write().unwrap(), "\"10000 B\"");
        assert_eq!(read::<Period>("90"), Some(Period(90)));
        assert_eq!(read::<Period>("\"15 min\""), Some(Period(900)));
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
            assert!(read::<Size>(bad).is_none(), "{bad}");
        }
    }
}
