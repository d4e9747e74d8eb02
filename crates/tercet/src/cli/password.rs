//! Asking a person for a password, or a program for a line.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::process::exit;
use std::thread;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::Failure;
use crate::admin::Secret;

/// Longest line that is read as a password, in bytes.
const MAX_LINE: u64 = 4096;

/// The password for `jid`: typed twice, unseen, at a terminal; otherwise one line of standard input.
pub(super) fn ask(jid: &str) -> Result<Secret, Failure> {
    if !io::stdin().is_terminal() {
        return line();
    }
    let _quiet = Quiet::start();
    let first = prompted(&format!("Password for {jid}: "))?;
    let again = prompted("The same again: ")?;
    match first == again {
        true => Ok(first),
        false => Err(Failure::Other(
            "the two passwords differ; nothing was done".into(),
        )),
    }
}

/// Asks a question that is answered with yes or no; no answer is no.
pub(super) fn confirm(question: &str) -> Result<bool, Failure> {
    eprint!("{question} [y/N] ");
    let answer = line()?;
    Ok(matches!(answer.reveal(), "y" | "Y" | "yes"))
}

fn prompted(prompt: &str) -> Result<Secret, Failure> {
    eprint!("{prompt}");
    let _ = io::stderr().flush();
    let typed = line();
    eprintln!();
    typed
}

fn line() -> Result<Secret, Failure> {
    let mut text = String::new();
    let read = io::stdin().lock().take(MAX_LINE).read_line(&mut text);
    match read {
        Ok(0) => Err(Failure::Other(
            "no password: give --password, or one line on standard input".into(),
        )),
        Ok(_) => {
            let length = text.trim_end_matches(['\r', '\n']).len();
            text.truncate(length);
            Ok(Secret::new(text))
        }
        Err(error) => Err(Failure::Other(format!("cannot read the password: {error}"))),
    }
}

/// The terminal shows nothing of what is typed until this is dropped, or until the person gives up with Ctrl-C.
struct Quiet(Option<Termios>);

impl Quiet {
    /// Where the terminal cannot be told, what is typed is seen.
    fn start() -> Quiet {
        let Ok(before) = tcgetattr(io::stdin()) else {
            return Quiet(None);
        };
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &quiet);
        restore_on_interrupt(before.clone());
        Quiet(Some(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, before);
        }
    }
}

/// Ctrl-C ends the process with the terminal as it was.
fn restore_on_interrupt(before: Termios) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build();
    let Ok(runtime) = runtime else {
        return;
    };
    thread::spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &before);
            eprintln!();
            exit(130);
        }
    });
}
