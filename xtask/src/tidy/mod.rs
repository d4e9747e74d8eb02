//! Our own rules about the sources, each a function from the repository to the faults it found.

mod manifests;
mod modules;
mod namespaces;
mod sources;
mod tests_named;
mod text;

use crate::repo::{self, File};
use crate::rust_source::RustSource;

/// The repository, read once for all rules.
pub(crate) struct Repo {
    files: Vec<File>,
    rust: Vec<RustFile>,
}

/// A Rust file and its parts.
struct RustFile {
    path: String,
    source: RustSource,
}

impl Repo {
    fn read() -> Result<Self, String> {
        let files = repo::files()?;
        let rust = files
            .iter()
            .filter(|file| file.path.ends_with(".rs"))
            .filter_map(|file| {
                Some(RustFile {
                    path: file.path.clone(),
                    source: RustSource::parse(file.text.as_deref()?),
                })
            })
            .collect();
        Ok(Repo { files, rust })
    }
}

/// What a rule has to say about one place.
#[derive(Default)]
pub(crate) struct Findings {
    faults: Vec<String>,
    warnings: Vec<String>,
}

impl Findings {
    fn fault(&mut self, path: &str, line: usize, what: impl std::fmt::Display) {
        self.faults.push(format!("{path}:{line}: {what}"));
    }

    fn fault_in(&mut self, path: &str, what: impl std::fmt::Display) {
        self.faults.push(format!("{path}: {what}"));
    }

    fn warning(&mut self, path: &str, what: impl std::fmt::Display) {
        self.warnings.push(format!("{path}: {what}"));
    }
}

/// A rule adds what it finds.
type Rule = fn(&Repo, &mut Findings);

const RULES: &[Rule] = &[
    manifests::every_package_shares_the_lints,
    manifests::imports_point_one_way,
    manifests::pure_crates_know_no_runtime,
    modules::folders_and_list_agree,
    namespaces::stay_where_they_belong,
    sources::files_are_short,
    sources::no_leftovers,
    sources::tests_do_not_wait,
    tests_named::exist,
    text::ends_with_a_newline,
    text::names_no_machine,
];

/// Runs all rules; warnings are printed, faults are the error.
pub(crate) fn run() -> Result<(), String> {
    let repo = Repo::read()?;
    let mut findings = Findings::default();
    for rule in RULES {
        rule(&repo, &mut findings);
    }
    for warning in &findings.warnings {
        eprintln!("warning: {warning}");
    }
    if findings.faults.is_empty() {
        return Ok(());
    }
    Err(findings.faults.join("\n"))
}
