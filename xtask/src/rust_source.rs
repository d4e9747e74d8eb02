//! Just enough of Rust's lexical grammar to tell code, strings and comments apart, and tests from the rest.

/// A Rust file taken apart. Line numbers count from 1.
pub(crate) struct RustSource {
    /// The text with comments and the inside of strings and characters replaced by spaces; lines stay where they were.
    pub(crate) code: String,
    /// String literals as written between the quotes, each with the line it starts on.
    pub(crate) strings: Vec<(usize, String)>,
    /// Comments without their markers (`//`, `///`, `//!`, `/* */`), a line each.
    pub(crate) comments: Vec<(usize, String)>,
    /// For each line, whether it belongs to a `#[cfg(test)]` item.
    test_lines: Vec<bool>,
}

impl RustSource {
    /// Takes `text` apart. Text that is not Rust gives some result, never an error: clippy is the judge of that.
    pub(crate) fn parse(text: &str) -> Self {
        let mut scanner = Scanner {
            rest: text,
            line: 1,
            code: String::with_capacity(text.len()),
            strings: Vec::new(),
            comments: Vec::new(),
        };
        scanner.run();
        let test_lines = test_lines(&scanner.code);
        RustSource {
            code: scanner.code,
            strings: scanner.strings,
            comments: scanner.comments,
            test_lines,
        }
    }

    /// Whether `line` is part of a `#[cfg(test)]` item.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.test_lines.get(line - 1).copied().unwrap_or(false)
    }

    /// Lines outside `#[cfg(test)]` items.
    pub(crate) fn production_lines(&self) -> usize {
        self.test_lines.iter().filter(|is_test| !**is_test).count()
    }
}

/// Whether the whole file is test code: integration tests, benches, `tests.rs` and a store's battery.
pub(crate) fn is_test_file(path: &str) -> bool {
    let stem = path.rsplit('/').next().unwrap_or(path);
    path.contains("/tests/")
        || path.contains("/benches/")
        || path.contains("/battery/")
        || path.starts_with("fuzz/")
        || stem == "tests.rs"
        || stem.ends_with("_tests.rs")
}

struct Scanner<'a> {
    rest: &'a str,
    line: usize,
    code: String,
    strings: Vec<(usize, String)>,
    comments: Vec<(usize, String)>,
}

impl<'a> Scanner<'a> {
    fn run(&mut self) {
        let mut previous = ' ';
        while let Some(next) = self.rest.chars().next() {
            let in_word = previous.is_alphanumeric() || previous == '_';
            if self.rest.starts_with("//") {
                self.line_comment();
            } else if self.rest.starts_with("/*") {
                self.block_comment();
            } else if next == '"' {
                self.string();
            } else if let (false, Some(hashes)) = (in_word, raw_string(self.rest)) {
                self.raw_string(hashes);
            } else if next == '\'' && is_char_literal(self.rest) {
                self.character();
            } else {
                self.keep(next.len_utf8());
            }
            previous = next;
        }
    }

    /// Moves `length` bytes to the code as they are.
    fn keep(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.line += taken.matches('\n').count();
        self.code.push_str(taken);
        taken
    }

    /// Moves `length` bytes to the code as spaces, keeping line breaks.
    fn blank(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.line += taken.matches('\n').count();
        self.code
            .extend(taken.chars().map(|c| if c == '\n' { c } else { ' ' }));
        taken
    }

    fn line_comment(&mut self) {
        let line = self.line;
        let length = self.rest.find('\n').unwrap_or(self.rest.len());
        let comment = self.blank(length);
        let body = comment.trim_start_matches('/').trim_start_matches('!');
        self.comments.push((line, body.trim().to_owned()));
    }

    fn block_comment(&mut self) {
        let first = self.line;
        let mut depth = 0;
        let mut length = 0;
        while length < self.rest.len() {
            let rest = &self.rest[length..];
            if rest.starts_with("/*") {
                depth += 1;
                length += 2;
            } else if rest.starts_with("*/") {
                depth -= 1;
                length += 2;
                if depth == 0 {
                    break;
                }
            } else {
                length += rest.chars().next().map_or(1, char::len_utf8);
            }
        }
        let comment = self.blank(length);
        for (offset, line) in comment.lines().enumerate() {
            let body = line.trim().trim_matches(['/', '*', '!']).trim();
            self.comments.push((first + offset, body.to_owned()));
        }
    }

    fn string(&mut self) {
        self.keep(1);
        let line = self.line;
        let mut length = 0;
        let bytes = self.rest.as_bytes();
        while length < bytes.len() && bytes[length] != b'"' {
            length += if bytes[length] == b'\\' { 2 } else { 1 };
        }
        let body = self.blank(length.min(bytes.len()));
        self.strings.push((line, body.to_owned()));
        if !self.rest.is_empty() {
            self.keep(1);
        }
    }

    fn raw_string(&mut self, hashes: usize) {
        let open = self.rest.find('"').expect("raw_string saw the quote") + 1;
        self.keep(open);
        let line = self.line;
        let close = format!("\"{}", "#".repeat(hashes));
        let length = self.rest.find(&close).unwrap_or(self.rest.len());
        let body = self.blank(length);
        self.strings.push((line, body.to_owned()));
        self.keep(close.len().min(self.rest.len()));
    }

    fn character(&mut self) {
        self.keep(1);
        let bytes = self.rest.as_bytes();
        let mut length = 0;
        while length < bytes.len() && bytes[length] != b'\'' {
            length += if bytes[length] == b'\\' { 2 } else { 1 };
        }
        self.blank(length.min(bytes.len()));
        if !self.rest.is_empty() {
            self.keep(1);
        }
    }
}

/// The number of `#` if a raw string (`r"`, `r#"`, `br#"`) starts here.
fn raw_string(rest: &str) -> Option<usize> {
    let rest = rest.strip_prefix('b').unwrap_or(rest).strip_prefix('r')?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    rest[hashes..].starts_with('"').then_some(hashes)
}

/// Whether the quote starts a character, not a lifetime.
fn is_char_literal(rest: &str) -> bool {
    let mut characters = rest[1..].chars();
    match characters.next() {
        Some('\\') => true,
        Some(_) => characters.next() == Some('\''),
        None => false,
    }
}

fn test_lines(code: &str) -> Vec<bool> {
    let mut marks = vec![false; code.lines().count()];
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let start = from + found;
        let end = item_end(code, start);
        let first = code[..start].matches('\n').count();
        let last = code[..end].matches('\n').count();
        for mark in marks.iter_mut().take(last + 1).skip(first) {
            *mark = true;
        }
        from = end.max(start + 1);
    }
    marks
}

/// The end of the item that starts at `start`: its closing brace, or a semicolon before any brace.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code.as_bytes().iter().enumerate().skip(start) {
        match byte {
            b';' if depth == 0 => return offset,
            b'{' => depth += 1,
            b'}' if depth <= 1 => return offset,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_code_are_told_apart() {
        let source = RustSource::parse(
            "let a = \"x // y\"; // RFC 1 §2: why\nlet b = r#\"q\"q\"#; let c = '\"'; fn f<'a>() {} /* two\nlines */ end",
        );
        let strings: Vec<&str> = source.strings.iter().map(|(_, s)| s.as_str()).collect();
        assert_eq!(strings, ["x // y", "q\"q"]);
        assert_eq!(source.comments[0], (1, "RFC 1 §2: why".to_owned()));
        assert_eq!(source.comments[1], (2, "two".to_owned()));
        assert_eq!(source.comments[2], (3, "lines".to_owned()));
        assert!(source.code.contains("fn f<'a>() {}"));
        assert!(source.code.ends_with("end"));
        assert!(!source.code.contains("x //"));
    }

    #[test]
    fn lines_of_a_test_module_are_not_production_lines() {
        let source = RustSource::parse(
            "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn t() {}\n}\nfn b() {}\n",
        );
        assert_eq!(source.production_lines(), 2);
        assert!(source.is_test(4));
        assert!(!source.is_test(6));
    }

    #[test]
    fn a_test_module_in_its_own_file_marks_one_line() {
        let source = RustSource::parse("#[cfg(test)]\nmod tests;\nfn a() {}\n");
        assert_eq!(source.production_lines(), 1);
    }
}
