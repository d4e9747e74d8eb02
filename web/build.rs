//! Makes the bundle: fetches the pinned Converse.js with npm, which checks it against `package-lock.json`, leaves out what
//! a server does not need or may not carry, compresses the rest, and writes the table that `src/lib.rs` includes.
//!
//! Everything is made in cargo's folder for it; nothing is written into the sources. It runs again only when one of the
//! files named in `SOURCES` changes. Without the feature `bundle` the table is empty, and npm is not needed.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

use flate2::Compression;
use flate2::write::GzEncoder;

const SOURCES: &[&str] = &["build.rs", "package.json", "package-lock.json", "page"];

/// What is taken of `dist`: files by name, folders as a whole.
const FILES: &[&str] = &["converse.min.js", "converse.min.css", "emoji.json"];
const FOLDERS: &[&str] = &["chunkjs", "images", "sounds", "webfonts"];

/// The licence of Converse.js and its notice, served beside it (MPL-2.0 §3.2).
const NOTICES: &[&str] = &["LICENSE", "COPYRIGHT"];

const NO_NPM: &str = "\
the web client is fetched with npm while the server is built, and npm could not be started.
Install Node.js with npm (on Debian: apt-get install nodejs npm), or build without the web client:
    cargo build --release --no-default-features";

const NPM_FAILED: &str = "\
npm could not fetch the web client (above is what it said). It needs the network the first time, or its cache.
To build without the web client:
    cargo build --release --no-default-features";

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    if let Err(message) = run() {
        for line in message.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn run() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo names no OUT_DIR")?);
    if env::var_os("CARGO_FEATURE_BUNDLE").is_none() {
        return write(&out, &Files::new()).map_err(|error| format!("{}: {error}", out.display()));
    }
    let npm = out.join("npm");
    fetch(&npm)?;
    let modules = npm.join("node_modules");
    let mut files = BTreeMap::new();
    converse(&modules.join("converse.js"), &mut files)
        .and_then(|()| licences(&modules, &mut files))
        .and_then(|()| page(&mut files))
        .and_then(|()| write(&out, &files))
        .map_err(|error| format!("the web client could not be bundled: {error}"))?;
    // It has served its purpose, and is large.
    fs::remove_dir_all(&npm).map_err(|error| format!("{}: {error}", npm.display()))
}

/// Installs what the lock file says, without running anything of it.
fn fetch(folder: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(failed)?;
    }
    fs::create_dir_all(folder).map_err(failed)?;
    for name in ["package.json", "package-lock.json"] {
        fs::copy(name, folder.join(name)).map_err(failed)?;
    }
    let program = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let output = Command::new(program)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .args(["--prefer-offline", "--loglevel=error"])
        .current_dir(folder)
        .output()
        .map_err(|error| format!("{NO_NPM}\n({program}: {error})"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{}\n{NPM_FAILED}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        )),
    }
}

/// Path in the bundle, and content.
type Files = BTreeMap<String, Vec<u8>>;

/// The parts of Converse.js that browsers ask for. Not its source maps; and not `libomemo.esm.min.js` with its `.wasm`, which
/// are under the GPL.
fn converse(package: &Path, files: &mut Files) -> io::Result<()> {
    let dist = package.join("dist");
    for name in FILES {
        files.insert((*name).to_owned(), fs::read(dist.join(name))?);
    }
    for name in FOLDERS {
        folder(&dist.join(name), name, files)?;
    }
    for name in NOTICES {
        files.insert(format!("{name}.txt"), fs::read(package.join(name))?);
    }
    let manifest = fs::read_to_string(package.join("package.json"))?;
    let version = manifest
        .split_once("\"version\": \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(version, _)| version)
        .ok_or_else(|| io::Error::other("its package.json names no version"))?;
    println!("cargo::rustc-env=CONVERSE_VERSION={version}");
    Ok(())
}

fn folder(from: &Path, name: &str, files: &mut Files) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let last = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{name}/{last}");
        if path.is_dir() {
            folder(&path, &name, files)?;
        } else if !name.ends_with(".map") {
            files.insert(name, fs::read(&path)?);
        }
    }
    Ok(())
}

/// The licences of what Converse.js has in it, one after another.
fn licences(modules: &Path, files: &mut Files) -> io::Result<()> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(modules)? {
        let path = entry?.path();
        let scope = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('@'));
        let packages = match scope {
            true => fs::read_dir(&path)?
                .map(|entry| entry.map(|entry| entry.path()))
                .collect(),
            false => Ok(vec![path]),
        };
        for package in packages? {
            let name = package.strip_prefix(modules).unwrap_or(&package);
            let name = name.to_string_lossy().replace('\\', "/");
            if name == "converse.js" || !package.is_dir() {
                continue;
            }
            for entry in fs::read_dir(&package)? {
                let file = entry?.path();
                let last = file.file_name().unwrap_or_default().to_string_lossy();
                let last = last.to_ascii_uppercase();
                if file.is_file() && (last.starts_with("LICENSE") || last.starts_with("LICENCE")) {
                    found.insert(format!("{name}: {last}"), fs::read(&file)?);
                }
            }
        }
    }
    let mut text = b"The licences of the packages that Converse.js is built from.\n".to_vec();
    for (name, licence) in found {
        text.extend_from_slice(format!("\n\n===== {name}\n\n").as_bytes());
        text.extend_from_slice(&licence);
    }
    files.insert("licences.txt".to_owned(), text);
    Ok(())
}

/// Our own style sheet and script.
fn page(files: &mut Files) -> io::Result<()> {
    for entry in fs::read_dir("page")? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        files.insert(name.into_owned(), fs::read(&path)?);
    }
    Ok(())
}

/// Compresses the files and writes the table.
fn write(out: &Path, files: &Files) -> io::Result<()> {
    let folder = out.join("files");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir(&folder)?;
    let mut digest = DefaultHasher::new();
    let mut table = String::from("&[\n");
    for (number, (path, content)) in files.iter().enumerate() {
        (path, content).hash(&mut digest);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(content)?;
        let file = folder.join(number.to_string());
        fs::write(&file, gzip.finish()?)?;
        let length = content.len();
        let _ = writeln!(
            table,
            "    Asset {{ path: {path:?}, size: {length}, gzip: include_bytes!({file:?}) }},"
        );
    }
    table.push_str("]\n");
    fs::write(out.join("table.rs"), table)?;
    println!("cargo::rustc-env=BUNDLE_DIGEST={:016x}", digest.finish());
    Ok(())
}
