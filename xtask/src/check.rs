//! `cargo xtask check`: the parts, in the order in which they are cheap to mend.

use std::time::Instant;

use crate::repo::{self, cargo};
use crate::{docs, duplicates, fuzz, licences, tidy};

/// Seconds of mutation that each fuzz target gets in the check.
const FUZZ_SECONDS: &str = "3";

type Part = (&'static str, fn() -> Result<(), String>);

const PARTS: &[Part] = &[
    ("fmt", format),
    ("tidy", tidy::run),
    ("licences", licences::run),
    ("duplicates", duplicates::run),
    ("clippy", clippy),
    ("docs", docs::check),
    ("fuzz", || fuzz::check(FUZZ_SECONDS)),
];

/// The formatter over both workspaces: the fuzz targets are one of their own.
fn format() -> Result<(), String> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["fmt", "--manifest-path", fuzz::MANIFEST, "--check"])
}

/// The lints over both workspaces; no warning is allowed.
fn clippy() -> Result<(), String> {
    cargo(&[
        "clippy",
        "--quiet",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ])?;
    cargo(&[
        "clippy",
        "--quiet",
        "--locked",
        "--manifest-path",
        fuzz::MANIFEST,
        "--target-dir",
        "target",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ])
}

/// Runs the named parts (all of them when none is named) and reports each; an error if any fails or is unknown.
pub(crate) fn run(names: &[&str]) -> Result<(), String> {
    if let Some(unknown) = names
        .iter()
        .find(|name| !PARTS.iter().any(|(part, _)| part == *name))
    {
        let known: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
        return Err(format!(
            "check has no part \"{unknown}\"; it has {}",
            known.join(", ")
        ));
    }
    let mut failed = Vec::new();
    for (name, part) in PARTS {
        if !names.is_empty() && !names.contains(name) {
            continue;
        }
        let started = Instant::now();
        let outcome = part();
        let seconds = started.elapsed().as_secs_f32();
        match outcome {
            Ok(()) => eprintln!("ok      {name} ({seconds:.1} s)"),
            Err(message) => {
                eprintln!("{message}\nFAILED  {name} ({seconds:.1} s)");
                failed.push(*name);
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!(
        "check failed in {} ({})",
        failed.join(", "),
        repo::root().display()
    ))
}
