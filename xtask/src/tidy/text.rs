//! Rules over every text file.

use super::{Findings, Repo};

/// Folders whose files are data: a fuzz input ends where it ends.
const DATA: &[&str] = &["fuzz/corpus/"];

/// A text file ends with exactly one line break.
pub(super) fn ends_with_a_newline(repo: &Repo, findings: &mut Findings) {
    for file in &repo.files {
        let Some(text) = file.text.as_deref() else {
            continue;
        };
        if text.is_empty() || DATA.iter().any(|folder| file.path.starts_with(folder)) {
            continue;
        }
        if !text.ends_with('\n') {
            findings.fault_in(&file.path, "must end with a line break");
        } else if text.ends_with("\n\n") {
            findings.fault_in(&file.path, "ends with an empty line");
        }
        if text.contains('\r') {
            findings.fault_in(&file.path, "has carriage returns");
        }
    }
}

/// The repository builds anywhere: no path of one machine, no registry other than the usual.
pub(super) fn names_no_machine(repo: &Repo, findings: &mut Findings) {
    const MACHINE: &[&str] = &[
        "/work/",
        "/home/",
        "/root/",
        "/Users/",
        "[registries",
        "replace-with",
        "index-url",
        "registry=",
    ];
    const RULE: &str = "xtask/src/tidy/text.rs";
    for file in &repo.files {
        let Some(text) = file.text.as_deref() else {
            continue;
        };
        if file.path == RULE || DATA.iter().any(|folder| file.path.starts_with(folder)) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if let Some(found) = MACHINE.iter().find(|word| line.contains(**word)) {
                findings.fault(
                    &file.path,
                    number + 1,
                    format!("\"{found}\" ties the repository to one machine"),
                );
            }
            let elsewhere = file.path.ends_with("Cargo.lock")
                && line.starts_with("source = ")
                && !line.contains("registry+https://github.com/rust-lang/crates.io-index");
            if elsewhere {
                findings.fault(&file.path, number + 1, "a package from outside crates.io");
            }
        }
    }
}
