//! Rules over Rust files: length, leftovers of work, tests that wait.

use super::{Findings, Repo};
use crate::rust_source::is_test_file;

/// Lines of production code: more than the first gets a warning, more than the second is a fault.
const LONG: usize = 500;
const TOO_LONG: usize = 600;

/// Files split by concern before they grow out of hand; tests do not count.
pub(super) fn files_are_short(repo: &Repo, findings: &mut Findings) {
    for file in &repo.rust {
        if is_test_file(&file.path) {
            continue;
        }
        let lines = file.source.production_lines();
        if lines > TOO_LONG {
            findings.fault_in(
                &file.path,
                format!("{lines} lines without tests: split it by concern ({TOO_LONG} at most)"),
            );
        } else if lines > LONG {
            findings.warning(
                &file.path,
                format!("{lines} lines without tests: near the {TOO_LONG} where tidy refuses it"),
            );
        }
    }
}

/// Nothing half-done is left in the code. Lints say most of this too; tidy says it in code that is not compiled here as well.
pub(super) fn no_leftovers(repo: &Repo, findings: &mut Findings) {
    const LEFTOVERS: &[&str] = &["dbg!(", "todo!(", "unimplemented!("];
    const NOTES: &[&str] = &["TODO", "FIXME", "XXX", "HACK"];
    for file in &repo.rust {
        for (number, line) in file.source.code.lines().enumerate() {
            if let Some(leftover) = LEFTOVERS.iter().find(|leftover| line.contains(**leftover)) {
                findings.fault(&file.path, number + 1, format!("{leftover}…) is left over"));
            }
        }
        for (line, comment) in &file.source.comments {
            let noted = comment
                .split(|c: char| !c.is_ascii_alphanumeric())
                .find(|word| NOTES.contains(word));
            if let Some(note) = noted {
                findings.fault(
                    &file.path,
                    *line,
                    format!("{note}: do it, or open an issue"),
                );
            }
        }
    }
}

/// Tests are never skipped and never sleep.
pub(super) fn tests_do_not_wait(repo: &Repo, findings: &mut Findings) {
    for file in &repo.rust {
        let all_tests = is_test_file(&file.path);
        for (number, line) in file.source.code.lines().enumerate() {
            let number = number + 1;
            if line.contains("#[ignore") {
                findings.fault(&file.path, number, "a test is never ignored");
            }
            if line.contains("thread::sleep") && (all_tests || file.source.is_test(number)) {
                findings.fault(
                    &file.path,
                    number,
                    "a test never sleeps: use the virtual clock, or wait for the event",
                );
            }
        }
    }
}
