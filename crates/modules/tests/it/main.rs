//! Conversations with a server of all modules, in this process, on a virtual clock, over the memory store: transcripts, and
//! tests for what a script cannot say.
//!
//! Those of one module lie in its folder, those of the server's core (RFC 6121) in `tests/transcripts`.
#![allow(clippy::unwrap_used)]

mod block_lists;
mod bounds;
mod caps;
mod commands;
mod copies;
mod elsewhere;
mod horizon;
mod hostile;
mod in_process;
mod interests;
mod invites;
mod large_rooms;
mod mam;
mod offline;
mod profiles;
mod push;
mod registration;
mod registry;
mod remote_rooms;
mod reports;
mod room_archive;
mod room_control;
mod room_pace;
mod rooms_kept;
mod sessions;
mod standing;
mod strangers;
mod uploads;

use std::path::{Path, PathBuf};

use in_process::InProcess;
use tercet_testkit::Transcript;

#[test]
fn every_transcript_plays_as_written() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&package.join("src"), &mut files);
    collect(&package.join("tests/transcripts"), &mut files);
    files.sort();
    assert!(!files.is_empty(), "there are transcripts");

    let failures: Vec<String> = files.iter().filter_map(|file| play(file).err()).collect();
    assert!(
        failures.is_empty(),
        "{} of {} transcripts diverge\n\n{}",
        failures.len(),
        files.len(),
        failures.join("\n")
    );
}

fn play(file: &Path) -> Result<(), String> {
    let transcript = Transcript::load(file).map_err(|error| error.to_string())?;
    let mut server = InProcess::new(&transcript.clients);
    transcript
        .run(&mut server)
        .map_err(|failure| failure.to_string())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "scs") {
            files.push(path);
        }
    }
}
