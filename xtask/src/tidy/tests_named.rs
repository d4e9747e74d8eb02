//! Documents that name tests name tests that exist.

use super::{Findings, Repo};

const DOCUMENT: &str = "docs/security.md";

/// Each item of a list after `Tests:` is a test function, a transcript, or a file of the repository, in backquotes.
pub(super) fn exist(repo: &Repo, findings: &mut Findings) {
    let Some(file) = repo.files.iter().find(|file| file.path == DOCUMENT) else {
        findings.fault_in(DOCUMENT, "is missing");
        return;
    };
    for (number, line) in file.text.as_deref().unwrap_or_default().lines().enumerate() {
        let Some((_, tests)) = line.split_once("Tests:") else {
            continue;
        };
        for name in tests.split('`').skip(1).step_by(2) {
            if !is_test(repo, name) {
                findings.fault(DOCUMENT, number + 1, format!("no test is called {name}"));
            }
        }
    }
}

fn is_test(repo: &Repo, name: &str) -> bool {
    if name.contains(['/', '.']) {
        return repo
            .files
            .iter()
            .any(|file| file.path == name || file.path.starts_with(&format!("{name}/")));
    }
    let function = format!("fn {name}(");
    repo.rust
        .iter()
        .any(|file| file.source.code.contains(&function))
}
