//! What a file is told to be: a list of types that browsers may show, and the field that has the name.

/// Types that a browser may show where it finds them: what has no scripts. All others are downloads, HTML and SVG among them.
const SHOWN: [&str; 34] = [
    "audio/3gpp",
    "audio/aac",
    "audio/amr",
    "audio/flac",
    "audio/mp4",
    "audio/mpeg",
    "audio/ogg",
    "audio/opus",
    "audio/vnd.wave",
    "audio/wav",
    "audio/webm",
    "audio/x-flac",
    "audio/x-m4a",
    "audio/x-wav",
    "image/apng",
    "image/avif",
    "image/bmp",
    "image/gif",
    "image/heic",
    "image/heif",
    "image/jpeg",
    "image/jpg",
    "image/jxl",
    "image/png",
    "image/webp",
    "text/plain",
    "video/3gpp",
    "video/mp4",
    "video/mpeg",
    "video/ogg",
    "video/quicktime",
    "video/webm",
    "video/x-m4v",
    "video/x-matroska",
];

/// A type without its parameters, if it is one that can be noted; else nothing.
pub(super) fn named(content_type: &str) -> &str {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let good = |b: u8| b.is_ascii_alphanumeric() || b"/!#$&-^_.+".contains(&b);
    match essence.len() <= 255 && essence.bytes().all(good) {
        true => essence,
        false => "",
    }
}

/// Whether two types are one, parameters aside.
pub(super) fn same_kind(one: &str, other: &str) -> bool {
    let essence = |text: &str| {
        let essence = text.split(';').next().unwrap_or_default().trim();
        essence.to_ascii_lowercase()
    };
    essence(one) == essence(other)
}

/// What a browser is told of a file of this type: the type, and whether to show it.
pub(super) fn told(content_type: &str) -> (&'static str, bool) {
    let known = SHOWN.iter().find(|known| same_kind(known, content_type));
    match known.copied() {
        Some("text/plain") => ("text/plain; charset=utf-8", true),
        Some(known) => (known, true),
        None => ("application/octet-stream", false),
    }
}

/// The value of `Content-Disposition` (RFC 6266 §4), with the name in the two forms that clients know (RFC 8187 §3.2).
pub(super) fn disposition(shown: bool, name: &str) -> String {
    let mut value = String::from(if shown { "inline" } else { "attachment" });
    value.push_str("; filename=\"");
    // RFC 6266 §4.3: for clients that know no better; what such a client could misread is replaced.
    value.extend(name.chars().map(|c| match c {
        '"' | '\\' | '%' => '_',
        ' '..='~' => c,
        _ => '_',
    }));
    value.push_str("\"; filename*=UTF-8''");
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => value.push(char::from(byte)),
            b'!' | b'#' | b'$' | b'&' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~' => {
                value.push(char::from(byte));
            }
            _ => value.push_str(&format!("%{byte:02X}")),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// security.md, line 12.
    #[test]
    fn html_and_svg_and_whatever_is_not_known_are_downloads() {
        for content_type in [
            "",
            "text/html",
            "TEXT/HTML; charset=utf-8",
            "image/svg+xml",
            "Image/SVG+XML",
            "application/xhtml+xml",
            "text/xml",
            "application/javascript",
            "application/pdf",
            "image/png2",
            "image",
            "text/plain/html",
        ] {
            let expected = ("application/octet-stream", false);
            assert_eq!(told(content_type), expected, "{content_type}");
        }
        assert_eq!(told("IMAGE/PNG"), ("image/png", true));
        assert_eq!(told("image/png; q=<script>"), ("image/png", true));
        assert_eq!(told("text/plain"), ("text/plain; charset=utf-8", true));
    }

    #[test]
    fn a_name_cannot_leave_its_field() {
        for (name, expected) in [
            (
                "a.png",
                "inline; filename=\"a.png\"; filename*=UTF-8''a.png",
            ),
            (
                "très \"cool\".jpg",
                "inline; filename=\"tr_s _cool_.jpg\"; filename*=UTF-8''tr%C3%A8s%20%22cool%22.jpg",
            ),
            (
                "a\";b=c\r\n.txt",
                "inline; filename=\"a_;b=c__.txt\"; filename*=UTF-8''a%22%3Bb%3Dc%0D%0A.txt",
            ),
        ] {
            assert_eq!(disposition(true, name), expected);
        }
        assert!(disposition(false, "a").starts_with("attachment;"));
    }

    #[test]
    fn a_type_that_no_header_takes_is_not_noted() {
        assert_eq!(named("image/png; a=b"), "image/png");
        assert_eq!(named("image/p\"ng"), "");
        assert_eq!(named("a b/c"), "");
    }
}
