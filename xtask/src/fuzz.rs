//! `cargo xtask fuzz`: builds and runs the small runner in `fuzz/`, on stable and without further tools.

use std::fs;

use crate::repo::{self, cargo};

/// The manifest of the fuzz targets.
pub(crate) const MANIFEST: &str = "fuzz/Cargo.toml";

/// Runs the fuzz targets; the options are the runner's.
pub(crate) fn run(options: &[&str]) -> Result<(), String> {
    // One target folder for both workspaces: the dependencies are built once.
    let mut arguments = vec![
        "run",
        "--quiet",
        "--locked",
        "--manifest-path",
        MANIFEST,
        "--target-dir",
        "target",
        "--",
    ];
    arguments.extend_from_slice(options);
    cargo(&arguments).map_err(|error| {
        format!("{error}\n(after a change of dependencies: cargo xtask fuzz --relock)")
    })
}

/// The part of the check: the targets' own tests, then `seconds` of mutation for each.
pub(crate) fn check(seconds: &str) -> Result<(), String> {
    cargo(&[
        "test",
        "--quiet",
        "--locked",
        "--manifest-path",
        MANIFEST,
        "--target-dir",
        "target",
        "--lib",
    ])?;
    run(&["--seconds", seconds])
}

/// Makes `fuzz/Cargo.lock` name the same versions as the main one.
pub(crate) fn relock() -> Result<(), String> {
    let root = repo::root();
    fs::copy(root.join("Cargo.lock"), root.join("fuzz/Cargo.lock"))
        .map_err(|error| format!("fuzz/Cargo.lock: {error}"))?;
    cargo(&[
        "update",
        "--quiet",
        "--workspace",
        "--manifest-path",
        MANIFEST,
    ])
}
