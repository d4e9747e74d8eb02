//! Writing to standard output. A reader that has left, as in `tercet user list | head`, is no error.

use std::fmt::Display;
use std::io::Write as _;

/// Prints one line.
pub(super) fn line(text: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints text that ends its own lines.
pub(super) fn text(text: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}
