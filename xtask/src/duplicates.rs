//! Packages that are built in more than one version: each costs build time and size, so each needs a reason.

use std::collections::{BTreeMap, BTreeSet};

use crate::repo::cargo_output;

/// Known duplicates, each with the reason why it cannot go now.
const ALLOWED: &[(&str, &str)] = &[
    (
        "syn",
        "asn1-rs 0.7 (through x509-parser) derives with syn 2; clap, serde and icu with syn 3",
    ),
    (
        "synstructure",
        "the same two generations of derive macros, build time only",
    ),
    (
        "untrusted",
        "aws-lc-rs 1.19 has 0.7 in its interface, rustls-webpki uses 0.9; both are a few hundred lines",
    ),
];

/// Fails with one line for each package in several versions that has no reason, and for each reason no longer needed.
pub(crate) fn run() -> Result<(), String> {
    let tree = cargo_output(&[
        "tree",
        "--workspace",
        "--locked",
        "--duplicates",
        "--depth",
        "0",
        "--prefix",
        "none",
    ])?;
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in tree.lines() {
        let mut words = line.split_whitespace();
        // The same version listed twice is one package with two sets of features: not our matter.
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            versions.entry(name).or_default().insert(version);
        }
    }
    versions.retain(|_, versions| versions.len() > 1);
    let mut faults: Vec<String> = versions
        .iter()
        .filter(|(name, _)| !ALLOWED.iter().any(|(allowed, _)| allowed == *name))
        .map(|(name, versions)| {
            let versions: Vec<&str> = versions.iter().copied().collect();
            format!(
                "{name} is built as {}: see `cargo tree --invert {name}`, or give a reason in xtask/src/duplicates.rs",
                versions.join(" and ")
            )
        })
        .collect();
    for (name, reason) in ALLOWED {
        if !versions.contains_key(name) {
            faults.push(format!(
                "{name} is no longer a duplicate: take it off the list in xtask/src/duplicates.rs ({reason})"
            ));
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(faults.join("\n"))
}
