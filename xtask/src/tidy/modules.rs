//! Extensions: a folder each in `crates/modules/src`, and the one list in its `lib.rs`.

use std::collections::BTreeSet;

use super::{Findings, Repo};

const FOLDER: &str = "crates/modules/src/";
const LIST: &str = "crates/modules/src/lib.rs";

/// Each folder with an `impl Module` is declared and named again in the list; each declaration has its folder.
pub(super) fn folders_and_list_agree(repo: &Repo, findings: &mut Findings) {
    let Some(lib) = repo.rust.iter().find(|file| file.path == LIST) else {
        findings.fault_in(LIST, "is missing");
        return;
    };
    let folders: BTreeSet<&str> = repo
        .rust
        .iter()
        .filter_map(|file| file.path.strip_prefix(FOLDER)?.strip_suffix("/mod.rs"))
        .filter(|folder| !folder.contains('/'))
        .collect();
    let code = &lib.source.code;
    let declared: BTreeSet<&str> = code.lines().filter_map(declared_module).collect();
    for folder in &folders {
        if !declared.contains(folder) {
            findings.fault_in(
                &format!("{FOLDER}{folder}"),
                "is a folder that lib.rs does not declare",
            );
        }
        let is_module = repo.rust.iter().any(|file| {
            file.path.starts_with(&format!("{FOLDER}{folder}/"))
                && file.source.code.contains("impl Module for ")
        });
        let is_listed = code
            .lines()
            .any(|line| declared_module(line).is_none() && line.contains(&format!("{folder}::")));
        if is_module && !is_listed {
            findings.fault_in(
                &format!("{FOLDER}{folder}"),
                "implements Module and is not in the list in lib.rs",
            );
        }
    }
}

/// The name in `mod name;`, with any visibility.
fn declared_module(line: &str) -> Option<&str> {
    let line = line.trim();
    let line = line.strip_prefix("pub ").unwrap_or(line);
    line.strip_prefix("mod ")?.strip_suffix(';')
}
