//! Runs the targets: first each input of the corpus as it is, then mutations for a bounded time.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tercet_fuzz::mutate::{Random, mutate};
use tercet_fuzz::{TARGETS, Target};

/// Nothing that a peer sends may take deep recursion: a target gets less stack than a thread of the server.
const STACK_BYTES: usize = 512 * 1024;

/// One input of at most 16 KiB that takes longer is a way to stop the server.
const SLOWEST_INPUT: Duration = Duration::from_secs(2);

const USAGE: &str = "usage: runner [--seconds N] [--seed N] [--target NAME] [--keep-last]";

struct Options {
    seconds: u64,
    seed: u64,
    target: Option<String>,
    /// Write each input to a file before it runs, to find the one that kills the process.
    keep_last: bool,
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut failed = false;
    for target in TARGETS {
        if options
            .target
            .as_deref()
            .is_none_or(|name| name == target.name)
            && let Err(message) = watch(*target, &options)
        {
            eprintln!("fuzz {}: {message}", target.name);
            failed = true;
        }
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        seconds: 10,
        seed: 1,
        target: None,
        keep_last: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or_else(|| format!("{argument} needs a value"))
        };
        let number = |text: String| text.parse().map_err(|_| format!("{text} is not a number"));
        match argument.as_str() {
            "--seconds" => options.seconds = number(value()?)?,
            "--seed" => options.seed = number(value()?)?,
            "--target" => {
                let name = value()?;
                if !TARGETS.iter().any(|target| target.name == name) {
                    return Err(format!("no target is called {name}"));
                }
                options.target = Some(name);
            }
            "--keep-last" => options.keep_last = true,
            _ => return Err(format!("{argument} is unknown")),
        }
    }
    Ok(options)
}

/// Runs one target on a thread of its own and ends the process when an input hangs.
fn watch(target: Target, options: &Options) -> Result<(), String> {
    let corpus = corpus(target.name)?;
    let (progress, watched) = channel();
    let (seconds, seed, keep_last) = (options.seconds, options.seed, options.keep_last);
    let worker = std::thread::Builder::new()
        .name(format!("fuzz {}", target.name))
        .stack_size(STACK_BYTES)
        .spawn(move || {
            work(
                target,
                &corpus,
                Duration::from_secs(seconds),
                seed,
                keep_last,
                &progress,
            )
        })
        .map_err(|error| format!("no thread: {error}"))?;
    loop {
        match watched.recv_timeout(SLOWEST_INPUT * 10) {
            Ok(()) => {}
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!(
                    "an input hangs: run with --seed {seed} --target {} --keep-last",
                    target.name
                ));
            }
        }
    }
    worker
        .join()
        .unwrap_or_else(|_| Err("the runner itself failed".into()))
}

fn work(
    target: Target,
    corpus: &[Vec<u8>],
    time: Duration,
    seed: u64,
    keep_last: bool,
    progress: &Sender<()>,
) -> Result<(), String> {
    let started = Instant::now();
    let mut cases = 0_u64;
    let mut run = |input: &[u8]| {
        if keep_last {
            keep(target.name, "last", input)?;
        }
        let begun = Instant::now();
        if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
            let kept = keep(target.name, &format!("{:016x}", fingerprint(input)), input)?;
            return Err(format!("the input in {} fails", kept.display()));
        }
        if begun.elapsed() > SLOWEST_INPUT {
            let kept = keep(target.name, "slow", input)?;
            return Err(format!(
                "the input in {} takes {:?}",
                kept.display(),
                begun.elapsed()
            ));
        }
        cases += 1;
        if cases.is_multiple_of(64) {
            // The watcher may be gone only when the process ends.
            let _ = progress.send(());
        }
        Ok(())
    };
    corpus.iter().try_for_each(|input| run(input))?;
    let mut random = Random::new(seed);
    while started.elapsed() < time {
        run(&mutate(&mut random, corpus, target.dictionary))?;
    }
    println!(
        "fuzz {}: {cases} inputs, {} of them kept",
        target.name,
        corpus.len()
    );
    Ok(())
}

fn corpus(target: &str) -> Result<Vec<Vec<u8>>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let entries =
        fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    files.sort();
    files
        .iter()
        .map(|file| fs::read(file).map_err(|error| format!("{}: {error}", file.display())))
        .collect()
}

fn keep(target: &str, name: &str, input: &[u8]) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("artifacts")
        .join(target);
    let file = folder.join(name);
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&file, input))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file)
}

/// FNV-1a, to name a file.
fn fingerprint(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
