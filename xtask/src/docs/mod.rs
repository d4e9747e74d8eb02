//! Documents generated from the code, and whether those in the repository are fresh.

mod conformance;
mod modules;

use std::fs;

use crate::repo;

/// A document: where it lives and what makes it.
type Document = (&'static str, fn() -> Result<String, String>);

const DOCUMENTS: &[Document] = &[
    ("docs/conformance.md", conformance::generate),
    ("docs/modules.md", modules::generate),
    ("docs/doap.xml", modules::doap),
    ("docs/configuration.md", configuration),
];

/// The reference of all keys, as the binary prints it.
fn configuration() -> Result<String, String> {
    repo::cargo_output(&[
        "run",
        "--quiet",
        "--locked",
        "--package",
        "tercet",
        "--",
        "reference",
    ])
}

/// Writes every document that is not as the code says.
pub(crate) fn write() -> Result<(), String> {
    for (path, generate) in DOCUMENTS {
        let text = generate()?;
        if repo::read(path).is_ok_and(|old| old == text) {
            continue;
        }
        let file = repo::root().join(path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).map_err(|error| format!("{path}: {error}"))?;
        }
        fs::write(&file, text).map_err(|error| format!("{path}: {error}"))?;
        eprintln!("wrote {path}");
    }
    Ok(())
}

/// Fails with the names of the documents that are not as the code says.
pub(crate) fn check() -> Result<(), String> {
    let mut stale = Vec::new();
    for (path, generate) in DOCUMENTS {
        let text = generate()?;
        if repo::read(path).ok().as_deref() != Some(text.as_str()) {
            stale.push(*path);
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} is not as the code says: run `cargo xtask docs`",
        stale.join(", ")
    ))
}
