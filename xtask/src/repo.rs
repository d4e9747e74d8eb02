//! The repository as files, and cargo as a child process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Folders that hold what is made, not what is written (the same as in `.gitignore`).
const GENERATED: &[&str] = &[
    ".git",
    "target",
    "fuzz/target",
    "fuzz/artifacts",
    "data",
    "node_modules",
    "__pycache__",
];

/// One file of the repository.
pub(crate) struct File {
    /// Path from the root, with `/` between the parts.
    pub(crate) path: String,
    /// The text; `None` when the file is not UTF-8 text.
    pub(crate) text: Option<String>,
}

/// The root of the repository: the parent of this package.
pub(crate) fn root() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package
        .parent()
        .expect("the package is a folder of the repository")
        .to_owned()
}

/// Reads one file under the root.
pub(crate) fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(root().join(path)).map_err(|error| format!("{path}: {error}"))
}

/// All files that belong to the repository, ordered by path.
pub(crate) fn files() -> Result<Vec<File>, String> {
    let root = root();
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries {
            let entry = entry.map_err(|error| format!("{}: {error}", folder.display()))?;
            let path = entry.path();
            let name = relative(&root, &path);
            if is_generated(&name) {
                continue;
            }
            // A symbolic link is not followed: it would show files twice, or lead outside.
            let kind = entry
                .file_type()
                .map_err(|error| format!("{name}: {error}"))?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let bytes = fs::read(&path).map_err(|error| format!("{name}: {error}"))?;
                let text = String::from_utf8(bytes)
                    .ok()
                    .filter(|text| !text.contains('\0'));
                files.push(File { path: name, text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn relative(root: &Path, path: &Path) -> String {
    let parts: Vec<_> = path
        .strip_prefix(root)
        .expect("the walk starts at the root")
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    parts.join("/")
}

fn is_generated(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    GENERATED.iter().any(|entry| {
        *entry == path
            || (*entry == name && matches!(name, "node_modules" | "__pycache__" | ".git"))
    }) || name.ends_with(".log")
}

/// Runs cargo at the root, its output going to ours.
pub(crate) fn cargo(arguments: &[&str]) -> Result<(), String> {
    let status = cargo_command(arguments)
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("cargo {} failed", arguments.join(" ")))
}

/// Runs cargo at the root and returns what it wrote on standard output.
pub(crate) fn cargo_output(arguments: &[&str]) -> Result<String, String> {
    let output = cargo_command(arguments)
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "cargo {} failed\n{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("cargo: {error}"))
}

fn cargo_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}
