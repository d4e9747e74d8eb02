//! A folder of its own for each test, and the program run in it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long something may take on a busy machine before it counts as not happening.
const PATIENCE: Duration = Duration::from_secs(30);

/// A temporary folder, removed at the end of the test.
pub(crate) struct Lab(PathBuf);

/// What the program said.
pub(crate) struct Said {
    /// Its exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Said {
    /// Standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Said {
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Lab {
    /// An empty folder.
    pub(crate) fn new() -> Lab {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "tercet-it-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Lab(path)
    }

    /// A folder with a `tercet.toml`.
    pub(crate) fn with(config: &str) -> Lab {
        let lab = Lab::new();
        lab.write("tercet.toml", config);
        lab
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    /// The program with `arguments`, separated by spaces, to be run in the folder.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tercet"));
        command
            .args(arguments.split_whitespace())
            .current_dir(&self.0)
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &str) -> Said {
        self.command(arguments).output().unwrap().into()
    }

    /// Runs the program to its end with `input` on standard input.
    pub(crate) fn run_with(&self, arguments: &str, input: &str) -> Said {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that does not read its input may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap().into()
    }

    /// Runs the program and expects it to succeed.
    pub(crate) fn ok(&self, arguments: &str) -> Said {
        let said = self.run(arguments);
        assert_eq!(said.code, 0, "{arguments}: {}{}", said.out, said.err);
        said
    }
}

/// A server that runs in a lab's folder, on ports that the system chose.
pub(crate) struct Served {
    child: Child,
    /// What it said before it was ready.
    pub(crate) start: serde_json::Value,
    out: BufReader<ChildStdout>,
}

impl Lab {
    /// Starts the server and waits until it is ready.
    pub(crate) fn serve(&self) -> Served {
        let mut command = self.command("serve --json");
        command
            .stdout(Stdio::piped())
            .stderr(File::create(self.0.join("log")).unwrap());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut lines = [String::new(), String::new()];
        for line in &mut lines {
            out.read_line(line).unwrap();
        }
        assert_eq!(
            lines[1],
            "{\"event\":\"ready\"}\n",
            "{}{}",
            lines[0],
            self.log()
        );
        let start = serde_json::from_str(&lines[0]).unwrap();
        Served { child, start, out }
    }

    /// What the server has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.0.join("log")).unwrap()
    }

    /// Waits until the server has logged `words`.
    pub(crate) fn logs(&self, words: &str) {
        let began = Instant::now();
        while !self.log().contains(words) {
            assert!(
                began.elapsed() < PATIENCE,
                "{words:?} was not logged:\n{}",
                self.log()
            );
            std::thread::yield_now();
        }
    }
}

impl Served {
    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The address of the first listener for `purpose`.
    pub(crate) fn address(&self, purpose: &str) -> String {
        let listeners = self.start["listeners"].as_array().unwrap();
        let listener = listeners
            .iter()
            .find(|listener| listener["purpose"] == purpose);
        listener.unwrap()["address"].as_str().unwrap().to_owned()
    }

    /// Tells the server to end; returns its exit code once it has.
    pub(crate) fn end(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "nothing more is said on standard output");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
