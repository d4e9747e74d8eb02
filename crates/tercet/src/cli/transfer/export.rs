//! Writing accounts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use tercet_core::BareJid;
use tercet_modules::portable::{Cursor, export as format};

use crate::admin::{AdminError, Answer, Operation, Reason, Way};
use crate::cli::args::Export;
use crate::cli::{Failure, output};
use crate::config::Config;

/// Writes the accounts that are wanted.
pub(in crate::cli) fn export(config: &Config, wanted: &Export, json: bool) -> Result<(), Failure> {
    let mut way = Way::open(config)?;
    let hosts = wanted_hosts(config, wanted)?;
    let mut written = 0;
    match (&wanted.folder, &wanted.out) {
        (Some(folder), _) => {
            fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
            each(&mut way, &hosts, &mut |way, host, jid| {
                let path = folder.join(format!("{jid}.xml"));
                let mut file = Target::new(&path)?;
                file.write(&format::begin(host))?;
                let there = account(way, jid, &mut file)?;
                file.write(format::END_HOST)?;
                file.write(format::END)?;
                if there {
                    written += 1;
                    return file.keep();
                }
                Ok(())
            })?;
        }
        (None, Some(path)) => {
            let mut file = Target::new(path)?;
            written = document(&mut way, &hosts, &mut file)?;
            file.keep()?;
        }
        (None, None) => {
            let mut out = Target::output();
            document(&mut way, &hosts, &mut out)?;
            // Standard output has the accounts, and nothing else.
            return out.keep();
        }
    }
    let place = wanted.folder.as_ref().or(wanted.out.as_ref());
    let place = place.map(|path| path.display().to_string());
    match json {
        true => output::line(json!({ "ok": true, "accounts": written, "written": place })),
        false => output::line(format!(
            "Wrote {written} accounts to {}. It has what logs in to them: keep it from others.",
            place.unwrap_or_default()
        )),
    }
    Ok(())
}

/// The accounts of a domain that are wanted; none: all.
type Hosts = BTreeMap<String, Vec<String>>;

fn wanted_hosts(config: &Config, wanted: &Export) -> Result<Hosts, Failure> {
    let mut hosts = Hosts::new();
    for jid in &wanted.jids {
        let account = crate::admin::execute::address(jid);
        let account = account.map_err(|refusal| Failure::Other(refusal.to_string()))?;
        let of_host = hosts.entry(account.domain().to_owned()).or_default();
        if !of_host.iter().any(|known| *known == account.as_str()) {
            of_host.push(account.to_string());
        }
    }
    if hosts.is_empty() {
        let all = config
            .hosts
            .iter()
            .map(|host| host.domain.as_str().to_owned());
        let one = wanted.host.clone().map(|host| vec![host]);
        let domains = one.unwrap_or_else(|| all.collect());
        hosts.extend(domains.into_iter().map(|domain| (domain, Vec::new())));
    }
    Ok(hosts)
}

/// Writes one file with all of them. Says how many there were.
fn document(way: &mut Way, hosts: &Hosts, out: &mut Target) -> Result<u64, Failure> {
    let mut written = 0;
    let mut open: Option<String> = None;
    each(way, hosts, &mut |way, host, jid| {
        match &open {
            Some(known) if known == host => {}
            Some(_) => {
                let mut text = format::END_HOST.to_vec();
                format::begin_host(host, &mut text);
                out.write(&text)?;
            }
            None => out.write(&format::begin(host))?,
        }
        open = Some(host.to_owned());
        written += u64::from(account(way, jid, out)?);
        Ok(())
    })?;
    if open.is_none() {
        return Err(Failure::Other("there is no account to export".into()));
    }
    out.write(format::END_HOST)?;
    out.write(format::END)?;
    Ok(written)
}

/// Calls `visit` with each account and its host.
fn each(
    way: &mut Way,
    hosts: &Hosts,
    visit: &mut dyn FnMut(&mut Way, &str, &str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for (host, named) in hosts {
        for jid in named {
            // One that was asked for by name has to be there.
            way.ask(&Operation::ShowUser { jid: jid.clone() })?;
            visit(way, host, jid)?;
        }
        let mut after = None;
        while named.is_empty() {
            let operation = Operation::ListUsers {
                domain: Some(host.clone()),
                after,
            };
            let Answer::Users { users, next } = way.ask(&operation)? else {
                break;
            };
            for user in users {
                let domain = BareJid::parse(&user.jid).map(|jid| jid.domain().to_owned());
                visit(way, domain.as_deref().unwrap_or(host), &user.jid)?;
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(())
}

/// Writes one account. False if it is gone since, or a guest's.
fn account(way: &mut Way, jid: &str, out: &mut Target) -> Result<bool, Failure> {
    let mut cursor = Some(Cursor::default());
    let mut begun = false;
    while let Some(at) = cursor {
        let operation = Operation::ExportUser {
            jid: jid.to_owned(),
            cursor: at,
        };
        match way.ask(&operation) {
            Ok(Answer::Exported { xml, next }) => {
                out.write(xml.as_bytes())?;
                cursor = next;
                begun = true;
            }
            Ok(_) => return Ok(false),
            Err(AdminError::Refused(refusal)) if refusal.reason == Reason::Missing && !begun => {
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// Where an export goes. A file that was not [kept](Target::keep) is removed.
struct Target {
    out: BufWriter<Box<dyn Write>>,
    path: Option<PathBuf>,
}

impl Target {
    /// A new file, which others cannot read.
    fn new(path: &Path) -> Result<Target, Failure> {
        // XEP-0227 §6: not accessible to others.
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| failed(path, &error))?;
        Ok(Target {
            out: BufWriter::new(Box::new(file)),
            path: Some(path.to_owned()),
        })
    }

    fn output() -> Target {
        Target {
            out: BufWriter::new(Box::new(io::stdout())),
            path: None,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.out.write_all(bytes);
        written.map_err(|error| self.failed(&error))
    }

    fn keep(mut self) -> Result<(), Failure> {
        let flushed = self.out.flush();
        flushed.map_err(|error| self.failed(&error))?;
        self.path = None;
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> Failure {
        let output = Path::new("standard output");
        failed(self.path.as_deref().unwrap_or(output), error)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::Other(format!("writing {}: {error}", path.display()))
}
