//! Which part of a file a request is for (RFC 9110 §14).

use axum::http::header::{self, HeaderMap, HeaderValue};

/// What is to be sent of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// From the first to the last byte named.
    Between(u64, u64),
    /// Nothing: it has no such part.
    Outside,
}

/// The part of a file of `size` bytes that is asked for. What is not understood, and more than one range, means the whole.
pub(super) fn asked(headers: &HeaderMap, etag: &str, size: u64) -> Part {
    // RFC 9110 §13.1.5: another file than the client has begun with is sent whole.
    if headers.get(header::IF_RANGE).is_some_and(|is| is != etag) {
        return Part::Whole;
    }
    let mut fields = headers.get_all(header::RANGE).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return Part::Whole;
    };
    field
        .to_str()
        .ok()
        .and_then(|text| range(text, size))
        .unwrap_or(Part::Whole)
}

fn range(text: &str, size: u64) -> Option<Part> {
    let (unit, spec) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = spec.trim().split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // A number beyond all sizes is as good as the largest.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let end = size.checked_sub(1);
    Some(match (first, last) {
        // The last so many bytes.
        ("", last) => match (number(last)?, end) {
            (0, _) | (_, None) => Part::Outside,
            (count, Some(end)) => Part::Between(size.saturating_sub(count), end),
        },
        (first, last) => {
            let first = number(first)?;
            let last = match last {
                "" => u64::MAX,
                last => number(last)?,
            };
            match end {
                _ if last < first => return None,
                Some(end) if first <= end => Part::Between(first, last.min(end)),
                _ => Part::Outside,
            }
        }
    })
}

/// Whether the client has the file already (RFC 9110 §13.1.2).
pub(super) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let fields = headers.get_all(header::IF_NONE_MATCH).iter();
    let texts = fields.filter_map(|field: &HeaderValue| field.to_str().ok());
    let mut tags = texts.flat_map(|text| text.split(','));
    tags.any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields.iter();
        let pairs = fields.map(|(name, value)| {
            (
                header::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        pairs.collect()
    }

    #[test]
    fn one_range_is_served_and_what_is_not_understood_is_the_whole() {
        for (range, expected) in [
            ("bytes=0-3", Part::Between(0, 3)),
            ("bytes=4-", Part::Between(4, 9)),
            ("bytes=-4", Part::Between(6, 9)),
            ("bytes=-40", Part::Between(0, 9)),
            ("bytes=9-100", Part::Between(9, 9)),
            ("Bytes=0-0", Part::Between(0, 0)),
            ("bytes=10-", Part::Outside),
            ("bytes=-0", Part::Outside),
            ("bytes=99999999999999999999999-", Part::Outside),
            ("bytes=5-4", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("", Part::Whole),
        ] {
            let headers = fields(&[("range", range)]);
            assert_eq!(asked(&headers, "\"e\"", 10), expected, "{range}");
        }
        let twice = {
            let mut headers = fields(&[("range", "bytes=0-1")]);
            headers.append(header::RANGE, HeaderValue::from_static("bytes=2-3"));
            headers
        };
        assert_eq!(asked(&twice, "\"e\"", 10), Part::Whole);
        assert_eq!(asked(&HeaderMap::new(), "\"e\"", 10), Part::Whole);
    }

    #[test]
    fn the_range_of_another_file_is_not_served() {
        let same = fields(&[("range", "bytes=0-1"), ("if-range", "\"e\"")]);
        assert_eq!(asked(&same, "\"e\"", 10), Part::Between(0, 1));
        let other = fields(&[("range", "bytes=0-1"), ("if-range", "\"f\"")]);
        assert_eq!(asked(&other, "\"e\"", 10), Part::Whole);
    }

    #[test]
    fn a_file_is_known_by_its_tag() {
        for (tags, known) in [
            ("\"e\"", true),
            ("W/\"e\"", true),
            ("\"a\", \"e\"", true),
            ("*", true),
            ("\"a\"", false),
            ("e", false),
        ] {
            let headers = fields(&[("if-none-match", tags)]);
            assert_eq!(is_known(&headers, "\"e\""), known, "{tags}");
        }
    }
}
