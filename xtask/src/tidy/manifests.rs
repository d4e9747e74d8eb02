//! Rules over the manifests: the shared lints, and which crate may import which.

use super::{Findings, Repo};

/// What each of our crates may import in the program, the architecture in one table.
const IMPORTS: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("stream", &["core"]),
    ("store", &["core"]),
    ("server", &["core", "stream", "store"]),
    ("modules", &["core", "stream", "store", "server"]),
    (
        "tercet",
        &["core", "stream", "store", "server", "modules", "web"],
    ),
    ("testkit", &["core"]),
    ("web", &[]),
];

/// Crates that do no IO, and what they must not name in manifest or code, tests included.
const PURE: &[&str] = &["core", "stream"];
const IO: &[&str] = &["tokio", "rustls", "rusqlite"];

/// Every package takes the workspace's lints, and these forbid `unsafe`.
pub(super) fn every_package_shares_the_lints(repo: &Repo, findings: &mut Findings) {
    for file in &repo.files {
        let Some(text) = file.text.as_deref() else {
            continue;
        };
        if !file.path.ends_with("Cargo.toml") {
            continue;
        }
        if file.path == "Cargo.toml" || file.path == "fuzz/Cargo.toml" {
            if !section(text, "workspace.lints.rust")
                .any(|(_, line)| line == "unsafe_code = \"forbid\"")
            {
                findings.fault_in(
                    &file.path,
                    "[workspace.lints.rust] must say unsafe_code = \"forbid\"",
                );
            }
            if file.path == "Cargo.toml" {
                continue;
            }
        }
        if !section(text, "lints").any(|(_, line)| line == "workspace = true") {
            findings.fault_in(&file.path, "must have [lints] workspace = true");
        }
    }
}

/// Each crate names only crates above it; testkit is for tests alone.
pub(super) fn imports_point_one_way(repo: &Repo, findings: &mut Findings) {
    for file in &repo.files {
        let Some((folder, text)) = crate_manifest(&file.path).zip(file.text.as_deref()) else {
            continue;
        };
        let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == folder) else {
            findings.fault_in(
                &file.path,
                "a new crate must be placed in IMPORTS in xtask/src/tidy/manifests.rs",
            );
            continue;
        };
        for (line, name) in ours(text, "dependencies").chain(ours(text, "build-dependencies")) {
            if !allowed.contains(&name) {
                findings.fault(&file.path, line, format!("{folder} must not import {name}"));
            }
        }
        for (line, name) in ours(text, "dev-dependencies") {
            if name != "testkit" && !allowed.contains(&name) {
                findings.fault(
                    &file.path,
                    line,
                    format!("the tests of {folder} must not import {name}"),
                );
            }
        }
    }
}

/// `core` and `stream` name no runtime, no TLS library and no database.
pub(super) fn pure_crates_know_no_runtime(repo: &Repo, findings: &mut Findings) {
    for file in &repo.files {
        let Some((folder, text)) = crate_manifest(&file.path).zip(file.text.as_deref()) else {
            continue;
        };
        if !PURE.contains(&folder) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            if IO.contains(&name) {
                findings.fault(
                    &file.path,
                    number + 1,
                    format!("{folder} does no IO and must not name {name}"),
                );
            }
        }
    }
    for file in &repo.rust {
        let Some(folder) = PURE
            .iter()
            .find(|folder| file.path.starts_with(&format!("crates/{folder}/")))
        else {
            continue;
        };
        for (number, line) in file.source.code.lines().enumerate() {
            if let Some(name) = IO.iter().find(|name| line.contains(&format!("{name}::"))) {
                findings.fault(
                    &file.path,
                    number + 1,
                    format!("{folder} does no IO and must not name {name}"),
                );
            }
        }
    }
}

/// The folder name of one of our crates, if `path` is its manifest. `web` stands at the root: much of it is no Rust.
fn crate_manifest(path: &str) -> Option<&str> {
    let folder = path.strip_suffix("/Cargo.toml")?;
    if folder == "web" {
        return Some(folder);
    }
    let folder = folder.strip_prefix("crates/")?;
    (!folder.contains('/')).then_some(folder)
}

/// Our crates (without the `tercet-`) that a section of a manifest names, with their lines.
fn ours<'a>(manifest: &'a str, name: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    section(manifest, name).filter_map(|(number, line)| {
        let name = line.split(['.', '=', ' ']).next()?;
        match name.strip_prefix("tercet-") {
            Some(folder) => Some((number, folder)),
            None => (name == "tercet").then_some((number, name)),
        }
    })
}

/// The lines of one `[section]`, numbered from 1.
fn section<'a>(manifest: &'a str, name: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let mut inside = false;
    manifest
        .lines()
        .enumerate()
        .filter_map(move |(number, line)| {
            let line = line.trim();
            if let Some(header) = line.strip_prefix('[') {
                inside = header.strip_suffix(']') == Some(name);
                return None;
            }
            inside.then_some((number + 1, line))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_their_own_section_only() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\ntercet-core.workspace = true\nserde = \"1\"\n[dev-dependencies]\ntercet-testkit = { path = \"../testkit\" }\n";
        assert_eq!(
            ours(manifest, "dependencies").collect::<Vec<_>>(),
            [(4, "core")]
        );
        assert_eq!(
            ours(manifest, "dev-dependencies").collect::<Vec<_>>(),
            [(7, "testkit")]
        );
    }
}
