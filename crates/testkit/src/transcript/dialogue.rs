//! What was said so far, for the message when a run and its script diverge.

/// The dialogue as it happened.
#[derive(Debug, Default)]
pub(super) struct Dialogue(String);

impl Dialogue {
    /// A statement of the script that has come true.
    pub(super) fn said(&mut self, statement: &str) {
        self.0.push_str("  ");
        self.0.push_str(statement);
        self.0.push('\n');
    }

    /// XML that belongs to the last statement; `mark` is a space, `-` for expected, `+` for what came instead.
    pub(super) fn xml(&mut self, mark: char, xml: &str) {
        for line in xml.trim_end().lines() {
            self.0.push_str("  ");
            self.0.push(mark);
            self.0.push_str("   ");
            self.0.push_str(line);
            self.0.push('\n');
        }
    }

    /// The whole text.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}
