//! The licences of all dependencies, on every platform, against the list of those we may link.

use serde_json::Value;

use crate::repo::{self, cargo_output};

/// What the web client is built from.
const NPM_LOCK: &str = "web/package-lock.json";

/// Licences that ask for no more than attribution, or (MPL-2.0) for the source of changed files only.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
];

/// Fails with one line for each package whose licence expression is missing or cannot be met by [`ALLOWED`].
pub(crate) fn run() -> Result<(), String> {
    let metadata = cargo_output(&["metadata", "--locked", "--format-version", "1"])?;
    let metadata: Value =
        serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata["packages"]
        .as_array()
        .ok_or("cargo metadata lists no packages")?;
    let mut faults = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let version = package["version"].as_str().unwrap_or_default();
        match package["license"].as_str() {
            Some(expression) if is_allowed(expression) => {}
            Some(expression) => faults.push(format!(
                "{name} {version}: licence \"{expression}\" is not on the list in xtask/src/licences.rs"
            )),
            None => faults.push(format!("{name} {version}: no licence expression")),
        }
    }
    npm(&mut faults)?;
    if faults.is_empty() {
        return Ok(());
    }
    Err(faults.join("\n"))
}

/// The same for the packages of npm's lock file, each of which must have its hash, and no address of a registry.
fn npm(faults: &mut Vec<String>) -> Result<(), String> {
    let lock: Value = serde_json::from_str(&repo::read(NPM_LOCK)?)
        .map_err(|error| format!("{NPM_LOCK}: {error}"))?;
    let packages = lock["packages"].as_object();
    for (path, package) in packages.ok_or(format!("{NPM_LOCK} lists no packages"))? {
        // The list itself, a folder within a package, and what points to one.
        let within = path.starts_with("node_modules/converse.js/src/");
        if path.is_empty() || within || package["link"] == true {
            continue;
        }
        let fault = match package["license"].as_str() {
            _ if package["integrity"].as_str().is_none() => "no integrity hash".to_owned(),
            _ if package["resolved"].as_str().is_some() => "tied to a registry".to_owned(),
            Some(expression) if is_allowed(expression) => continue,
            Some(expression) => {
                format!("licence \"{expression}\" is not on the list in xtask/src/licences.rs")
            }
            None => "no licence expression".to_owned(),
        };
        faults.push(format!("{NPM_LOCK}: {path}: {fault}"));
    }
    Ok(())
}

/// Whether an SPDX expression can be met: any side of OR (or the old `/`), all sides of AND.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace(" or ", " OR ")
        .replace(" WITH ", "\u{1}WITH\u{1}");
    let tokens: Vec<String> = spaced
        .split(' ')
        .filter(|token| !token.is_empty())
        .map(|token| token.replace('\u{1}', " "))
        .collect();
    let mut position = 0;
    any(&tokens, &mut position) == Some(true) && position == tokens.len()
}

/// `a OR b`; `None` when the expression ends too early.
fn any(tokens: &[String], position: &mut usize) -> Option<bool> {
    let mut allowed = all(tokens, position)?;
    while tokens.get(*position).is_some_and(|token| token == "OR") {
        *position += 1;
        allowed |= all(tokens, position)?;
    }
    Some(allowed)
}

/// `a AND b`, which binds more tightly.
fn all(tokens: &[String], position: &mut usize) -> Option<bool> {
    let mut allowed = one(tokens, position)?;
    while tokens.get(*position).is_some_and(|token| token == "AND") {
        *position += 1;
        allowed &= one(tokens, position)?;
    }
    Some(allowed)
}

/// A licence, or an expression in parentheses.
fn one(tokens: &[String], position: &mut usize) -> Option<bool> {
    let token = tokens.get(*position)?;
    *position += 1;
    if token != "(" {
        return Some(ALLOWED.contains(&token.as_str()));
    }
    let allowed = any(tokens, position)?;
    let closed = tokens.get(*position).is_some_and(|token| token == ")");
    *position += 1;
    closed.then_some(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_side_of_or_and_both_sides_of_and_count() {
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "MIT/Apache-2.0",
            "MIT or GPL-2.0",
            "(MIT OR GPL-3.0) AND ISC",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
            "ISC AND (Apache-2.0 OR OpenSSL)",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "",
            "MIT OR",
            "(MIT",
            "MIT ISC",
        ] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }
}
