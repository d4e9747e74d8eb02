//! XEP-0082 1.1.1: dates and times in texts. Left out: the profiles for a date or a time of day alone, years beyond 9999
//! or before 0.
//!
//! A moment is a number of milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.

const DAY_MS: i64 = 86_400_000;
/// 0000-01-01T00:00:00Z and 9999-12-31T23:59:59.999Z.
const FIRST_MS: i64 = -62_167_219_200_000;
const LAST_MS: i64 = 253_402_300_799_999;

/// Writes a moment as `CCYY-MM-DDThh:mm:ssZ`, with `.sss` before the `Z` if it is no full second. Moments outside the years
/// 0 to 9999 are written as the nearest one inside.
///
/// ```
/// use tercet_core::grammar::time;
/// assert_eq!(time::format(0), "1970-01-01T00:00:00Z");
/// assert_eq!(time::format(1_031_699_305_250), "2002-09-10T23:08:25.250Z");
/// ```
pub fn format(unix_ms: i64) -> String {
    let unix_ms = unix_ms.clamp(FIRST_MS, LAST_MS);
    let (year, month, day) = civil_from_days(unix_ms.div_euclid(DAY_MS));
    let ms = unix_ms.rem_euclid(DAY_MS);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let date_time = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    match ms % 1000 {
        0 => format!("{date_time}Z"),
        fraction => format!("{date_time}.{fraction:03}Z"),
    }
}

/// Reads a `DateTime` (§3.2): `CCYY-MM-DDThh:mm:ss`, a fraction of any length, which counts to the millisecond, and `Z` or an
/// offset of up to 14 hours. As in XML Schema, 24:00:00 is the next day's beginning. `None` if it is none.
///
/// ```
/// use tercet_core::grammar::time;
/// assert_eq!(time::parse("1969-07-20T21:56:15-05:00"), time::parse("1969-07-21T02:56:15Z"));
/// assert_eq!(time::parse("yesterday"), None);
/// ```
pub fn parse(text: &str) -> Option<i64> {
    let mut rest = text.as_bytes();
    let year = digits(&mut rest, 4)?;
    expect(&mut rest, b'-')?;
    let month = digits(&mut rest, 2)?;
    expect(&mut rest, b'-')?;
    let day = digits(&mut rest, 2)?;
    expect(&mut rest, b'T')?;
    let hour = digits(&mut rest, 2)?;
    expect(&mut rest, b':')?;
    let minute = digits(&mut rest, 2)?;
    expect(&mut rest, b':')?;
    let second = digits(&mut rest, 2)?;
    let fraction = match rest.split_first() {
        Some((b'.', after)) => {
            rest = after;
            milliseconds(&mut rest)?
        }
        _ => 0,
    };
    let offset_minutes = match rest.split_first()? {
        (b'Z', after) => {
            rest = after;
            0
        }
        (sign @ (b'+' | b'-'), after) => {
            rest = after;
            let hours = digits(&mut rest, 2)?;
            expect(&mut rest, b':')?;
            let minutes = digits(&mut rest, 2)?;
            let offset = hours * 60 + minutes;
            if minutes > 59 || offset > 14 * 60 {
                return None;
            }
            if *sign == b'+' { offset } else { -offset }
        }
        _ => return None,
    };
    let time_of_day = ((hour * 60 + minute) * 60 + second) * 1000 + fraction;
    let valid = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && minute < 60
        && second < 60
        && (hour < 24 || time_of_day == DAY_MS);
    if !valid || !rest.is_empty() {
        return None;
    }
    Some(days_from_civil(year, month, day) * DAY_MS + time_of_day - offset_minutes * 60_000)
}

/// Takes exactly `count` digits.
fn digits(rest: &mut &[u8], count: usize) -> Option<i64> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    taken.iter().try_fold(0, |number, b| {
        b.is_ascii_digit()
            .then(|| number * 10 + i64::from(b - b'0'))
    })
}

fn expect(rest: &mut &[u8], byte: u8) -> Option<()> {
    *rest = rest.strip_prefix(&[byte])?;
    Some(())
}

/// Takes one or more digits behind the point; those after the third are checked and dropped.
fn milliseconds(rest: &mut &[u8]) -> Option<i64> {
    let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (taken, after) = rest.split_at(count);
    *rest = after;
    let place = |i: usize| taken.get(i).map_or(0, |b| i64::from(b - b'0'));
    (count > 0).then(|| place(0) * 100 + place(1) * 10 + place(2))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that the leap day comes last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    // The months from March have 31, 30, 31, 30, 31 days, over and over: 153 in five of them.
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    // 400 years have 146,097 days; from 0000-03-01 to 1970-01-01 there are 719,468.
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`]: year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    // Take out the leap days of the 4-, 100- and 400-year cycles; what is left has years of 365 days.
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (year_of_era * 365 + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::{
        FIRST_MS, LAST_MS, civil_from_days, days_from_civil, days_in_month, format, parse,
    };

    #[test]
    fn every_day_of_ten_thousand_years_goes_there_and_back() {
        let mut days = days_from_civil(0, 1, 1);
        for year in 0..=9999 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(days_from_civil(year, month, day), days);
                    assert_eq!(civil_from_days(days), (year, month, day));
                    days += 1;
                }
            }
        }
        assert_eq!(days_from_civil(1970, 1, 1), 0);
    }

    #[test]
    fn moments_are_written_and_read() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (1_031_699_305_000, "2002-09-10T23:08:25Z"),
            (951_782_400_007, "2000-02-29T00:00:00.007Z"),
            (-14_159_025_000, "1969-07-21T02:56:15Z"),
            (FIRST_MS, "0000-01-01T00:00:00Z"),
            (LAST_MS, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(format(ms), text);
            assert_eq!(parse(text), Some(ms));
        }
        assert_eq!(format(i64::MIN), "0000-01-01T00:00:00Z");
        assert_eq!(format(i64::MAX), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn offsets_and_fractions_are_understood() {
        let noon = parse("2010-06-01T12:00:00Z").unwrap();
        for (text, after) in [
            ("2010-06-01T14:00:00+02:00", 0),
            ("2010-06-01T06:30:00-05:30", 0),
            ("2010-06-02T02:00:00+14:00", 0),
            ("2010-06-01T12:00:00.5Z", 500),
            ("2010-06-01T12:00:00.1234567890123456789Z", 123),
            ("2010-06-01T24:00:00Z", 12 * 3_600_000),
            ("2010-06-01T12:00:00.000-00:00", 0),
        ] {
            assert_eq!(parse(text), Some(noon + after), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "2010",
            "2010-06-01",
            "2010-06-01T12:00:00",
            "2010-06-01 12:00:00Z",
            "2010-06-01t12:00:00Z",
            "2010-06-01T12:00:00z",
            "2010-13-01T12:00:00Z",
            "2010-00-01T12:00:00Z",
            "2010-02-29T12:00:00Z",
            "1900-02-29T12:00:00Z",
            "2010-06-00T12:00:00Z",
            "2010-06-31T12:00:00Z",
            "2010-06-01T24:00:01Z",
            "2010-06-01T25:00:00Z",
            "2010-06-01T12:60:00Z",
            "2010-06-01T12:00:60Z",
            "2010-06-01T12:00:00.Z",
            "2010-06-01T12:00:00+15:00",
            "2010-06-01T12:00:00+14:01",
            "2010-06-01T12:00:00+1:00",
            "2010-06-01T12:00:00+01:60",
            "2010-06-01T12:00:00Zx",
            "2010-06-01T12:00:00ZZ",
            " 2010-06-01T12:00:00Z",
            "-2010-06-01T12:00:00Z",
            "+010-06-01T12:00:00Z",
            "12010-06-01T12:00:00Z",
            "2010-6-1T12:00:00Z",
            "20100601T12:00:00",
            "２０１０-06-01T12:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
