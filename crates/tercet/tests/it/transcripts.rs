//! The transcripts of `crates/modules`, which run there in process, played against the program over TCP: what the modules say
//! is what arrives.

use std::path::{Path, PathBuf};

use tercet_testkit::{Action, TcpPeer, Transcript};

use crate::lab::{Lab, Served};

const CONFIG: &str = "[listen]\naddresses = [\"127.0.0.1\"]\nc2s = 0\nc2s_tls = 0\nproxy = 0\n[tls]\nrequired = false\n[limits]\nrates = false\n";

#[test]
fn transcripts_play_over_tcp_as_they_do_in_process() {
    let lab = Lab::with(CONFIG);
    let served = lab.serve();
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../modules");
    let mut files = Vec::new();
    collect(&modules.join("src"), &mut files);
    collect(&modules.join("tests/transcripts"), &mut files);
    files.sort();

    let mut played = 0;
    let mut failures = Vec::new();
    for file in &files {
        let transcript = Transcript::load(file).unwrap();
        if needs_the_same_process(&transcript) {
            continue;
        }
        played += 1;
        failures.extend(play(&lab, &served, &transcript).err());
    }
    assert!(
        played > 10,
        "most transcripts need no more than TCP: {played} of {}",
        files.len()
    );
    assert!(
        failures.is_empty(),
        "{} of {played} transcripts diverge\n\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert_eq!(served.end(), Some(0));
}

/// Whether the script moves the clock or configures the server, or has clients on several hosts.
fn needs_the_same_process(transcript: &Transcript) -> bool {
    let elsewhere = transcript
        .clients
        .iter()
        .any(|client| !client.jid.ends_with("@localhost"));
    elsewhere
        || !transcript.config.is_empty()
        || transcript
            .steps
            .iter()
            .any(|step| matches!(step.action, Action::Clock(_)))
}

/// Plays with fresh accounts, which go afterwards.
fn play(lab: &Lab, served: &Served, transcript: &Transcript) -> Result<(), String> {
    let mut accounts: Vec<(&str, &str)> = transcript
        .clients
        .iter()
        .map(|client| (client.jid.as_str(), client.password.as_str()))
        .collect();
    accounts.sort_unstable();
    accounts.dedup();
    for (jid, password) in &accounts {
        lab.ok(&format!("user add {jid} --password {password}"));
    }
    let address = served.address("c2s").parse().unwrap();
    let outcome = transcript.run(&mut TcpPeer::new(address));
    for (jid, _) in &accounts {
        // A script may have removed its account.
        lab.run(&format!("user delete {jid}"));
    }
    outcome.map_err(|failure| failure.to_string())
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
