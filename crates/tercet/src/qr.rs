//! Codes for cameras (QR, ISO/IEC 18004), for terminals and for pages.

use std::fmt::Write as _;

use qrcodegen::{QrCode, QrCodeEcc};

/// White around a code that sits on a coloured ground, in modules.
const QUIET: i32 = 4;

/// A code.
pub struct Qr(QrCode);

impl Qr {
    /// The code of `text`; `None` if it is too long for one (some 2,300 bytes).
    pub fn of(text: &str) -> Option<Qr> {
        QrCode::encode_text(text, QrCodeEcc::Medium).ok().map(Qr)
    }

    /// For a terminal: two rows of modules a line, black on white whatever the terminal's colours are.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let range = -QUIET..self.0.size() + QUIET;
        for y in range.clone().step_by(2) {
            out.push_str("\x1b[38;5;16m\x1b[48;5;231m");
            for x in range.clone() {
                out.push(
                    match (self.0.get_module(x, y), self.0.get_module(x, y + 1)) {
                        (true, true) => '█',
                        (true, false) => '▀',
                        (false, true) => '▄',
                        (false, false) => ' ',
                    },
                );
            }
            out.push_str("\x1b[0m\n");
        }
        out
    }

    /// As an SVG element for a page, dark on white, called `label` for those who do not see it. It is as large as its place.
    pub fn svg(&self, label: &str) -> String {
        let size = self.0.size() + 2 * QUIET;
        let mut path = String::new();
        for y in 0..self.0.size() {
            for x in (0..self.0.size()).filter(|x| self.0.get_module(*x, y)) {
                // Writing to a string does not fail.
                let _ = write!(path, "M{},{}h1v1h-1z", x + QUIET, y + QUIET);
            }
        }
        format!(
            "<svg class=\"qr\" viewBox=\"0 0 {size} {size}\" role=\"img\" aria-label=\"{label}\" shape-rendering=\"crispEdges\">\
             <rect width=\"{size}\" height=\"{size}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_three_corners_in_a_quiet_zone() {
        let code = Qr::of("xmpp:localhost?register;preauth=abc").unwrap();
        let lines: Vec<String> = code.text().lines().map(str::to_owned).collect();
        let size = code.0.size();
        assert_eq!(lines.len(), (size + 2 * QUIET + 1) as usize / 2);
        assert!(lines[0].contains(&" ".repeat(size as usize)));
        assert!(lines[2].contains("    █▀▀▀▀▀█ "), "{}", lines[2]);
        let svg = code.svg("Code");
        assert!(svg.contains("M4,4h1v1h-1z") && svg.contains("aria-label=\"Code\""));
        assert!(Qr::of(&"x".repeat(3000)).is_none());
    }
}
