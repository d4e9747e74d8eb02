//! Bringing accounts in.

use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

use tercet_core::{BareJid, Jid};
use tercet_modules::portable::{Event, Incoming, Piece};
use tercet_store::Batch;

use super::report::{Report, some};
use super::walk::{Place, walk};
use crate::admin::{Answer, Operation, Secret, Way};
use crate::cli::args::{Existing, Import};
use crate::cli::{Failure, output};
use crate::config::Config;

/// Bytes of pieces that are sent at once.
const SENT_BYTES: usize = 512 << 10;

/// Reads the file, and brings its accounts in if nothing is in the way.
pub(in crate::cli) fn import(config: &Config, wanted: &Import, json: bool) -> Result<(), Failure> {
    let mut way = Way::open(config)?;
    if wanted.existing == Existing::Replace && matches!(way, Way::Socket(_)) {
        let text = "accounts are replaced only while the server does not run: stop it first";
        return Err(Failure::Other(text.into()));
    }
    let mut look = Look::new(&mut way, wanted.existing);
    walk(&wanted.file, &mut |event, place| look.see(event, place))?;
    let Look {
        mut report,
        wanted: accounts,
        there,
        ..
    } = look;
    if wanted.existing == Existing::Refuse && !there.is_empty() {
        return Err(Failure::Other(format!(
            "nothing was imported: {} accounts are there already ({}); see --existing",
            there.len(),
            some(&there)
        )));
    }
    if wanted.existing == Existing::Skip {
        report.there = there;
    }
    if wanted.strict && !report.is_all() {
        report.print(false, json);
        if !json {
            output::line("Nothing was imported.");
        }
        return Err(Failure::Said);
    }
    if wanted.check {
        report.print(false, json);
        return Ok(());
    }
    let mut bring = Bring {
        way: &mut way,
        replace: wanted.existing == Existing::Replace,
        accounts,
        host: String::new(),
        under_way: None,
        arrived: 0,
        locked: Vec::new(),
    };
    let brought = walk(&wanted.file, &mut |event, _| bring.see(event));
    if let Err(failure) = brought {
        let arrived = bring.arrived;
        bring.give_up();
        return Err(Failure::Other(format!(
            "{failure}\n{arrived} accounts have been imported, and none in part; --existing skip goes on behind them"
        )));
    }
    report.accounts = bring.arrived;
    report.locked = bring.locked;
    report.print(true, json);
    Ok(())
}

/// The first pass: everything is read and converted, and nothing is kept.
struct Look<'a> {
    way: &'a mut Way,
    existing: Existing,
    report: Report,
    host: String,
    now_ms: u64,
    account: Option<Incoming>,
    /// Accounts that are to come.
    wanted: HashSet<BareJid>,
    there: Vec<String>,
}

impl<'a> Look<'a> {
    fn new(way: &'a mut Way, existing: Existing) -> Self {
        Look {
            way,
            existing,
            report: Report::default(),
            host: String::new(),
            now_ms: now_ms(),
            account: None,
            wanted: HashSet::new(),
            there: Vec::new(),
        }
    }

    fn see(&mut self, event: Event, place: &Place) -> Result<(), Failure> {
        match event {
            Event::Host(host) => self.host = host,
            Event::User(name, _) => self.user(&name, place)?,
            Event::Piece(piece) => {
                let Some(account) = &mut self.account else {
                    return Ok(());
                };
                let taken = account.take(&piece, &mut Batch::new());
                match taken {
                    Ok(()) => self.report.take(piece.section),
                    Err(why) => self.report.leave(piece.section.as_str(), why, place),
                }
            }
            Event::UserEnd => self.account = None,
            Event::Left(what, why) => self.report.leave(&what, why, place),
            Event::Include(..) => {}
        }
        Ok(())
    }

    fn user(&mut self, name: &str, place: &Place) -> Result<(), Failure> {
        self.account = None;
        let jid = match address(name, &self.host) {
            Ok(jid) => jid,
            Err(why) => {
                self.report.leave("accounts", why, place);
                return Ok(());
            }
        };
        if self.wanted.contains(&jid) {
            let why = format!("{jid} is in the file twice");
            self.report.leave("accounts", why, place);
            return Ok(());
        }
        let operation = Operation::CheckImport {
            jid: jid.to_string(),
        };
        let found = self.way.ask(&operation);
        let found = found.map_err(|error| Failure::Other(format!("{place}: {error}")))?;
        let exists = matches!(found, Answer::Importable { exists: true });
        if exists {
            self.there.push(jid.to_string());
        }
        if !exists || self.existing == Existing::Replace {
            self.report.accounts += 1;
            self.account = Some(Incoming::new(jid.clone(), self.now_ms));
            self.wanted.insert(jid);
        }
        Ok(())
    }
}

/// The second pass.
struct Bring<'a> {
    way: &'a mut Way,
    replace: bool,
    /// Those that are still to come.
    accounts: HashSet<BareJid>,
    host: String,
    under_way: Option<UnderWay>,
    arrived: u64,
    locked: Vec<String>,
}

struct UnderWay {
    jid: BareJid,
    import: String,
    pieces: Vec<Piece>,
    bytes: usize,
}

impl Bring<'_> {
    fn see(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Host(host) => self.host = host,
            Event::User(name, password) => {
                let jid = address(&name, &self.host).ok();
                // Of two of a name the first counts.
                let jid = jid.filter(|jid| self.accounts.remove(jid));
                if let Some(jid) = jid {
                    self.begin(jid, password)?;
                }
            }
            Event::Piece(piece) => {
                let Some(under_way) = &mut self.under_way else {
                    return Ok(());
                };
                under_way.bytes += piece.xml.len();
                under_way.pieces.push(piece);
                if under_way.bytes >= SENT_BYTES {
                    self.send()?;
                }
            }
            Event::UserEnd => self.end()?,
            Event::Left(..) | Event::Include(..) => {}
        }
        Ok(())
    }

    fn begin(&mut self, jid: BareJid, password: Option<String>) -> Result<(), Failure> {
        let operation = Operation::BeginImport {
            jid: jid.to_string(),
            password: password.map(Secret::new),
            replace: self.replace,
        };
        if let Answer::Import { import } = self.way.ask(&operation)? {
            self.under_way = Some(UnderWay {
                jid,
                import,
                pieces: Vec::new(),
                bytes: 0,
            });
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), Failure> {
        let Some(under_way) = &mut self.under_way else {
            return Ok(());
        };
        under_way.bytes = 0;
        let operation = Operation::ImportPieces {
            import: under_way.import.clone(),
            pieces: std::mem::take(&mut under_way.pieces),
        };
        self.way.ask(&operation)?;
        Ok(())
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.send()?;
        let Some(under_way) = self.under_way.take() else {
            return Ok(());
        };
        let operation = Operation::EndImport {
            import: under_way.import,
            keep: true,
        };
        if let Answer::Imported { login: false } = self.way.ask(&operation)? {
            self.locked.push(under_way.jid.to_string());
        }
        self.arrived += 1;
        Ok(())
    }

    /// Forgets the account that is under way.
    fn give_up(self) {
        if let Some(under_way) = self.under_way {
            let operation = Operation::EndImport {
                import: under_way.import,
                keep: false,
            };
            let _ = self.way.ask(&operation);
        }
    }
}

/// The account of that name, which is not escaped by the file (XEP-0227 §4.2).
fn address(name: &str, host: &str) -> Result<BareJid, String> {
    let jid = Jid::from_parts(Some(name), host, None);
    let jid = jid.map_err(|error| format!("{name:?} at {host:?} is no address: {error}"))?;
    Ok(jid.to_bare())
}

fn now_ms() -> u64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH);
    let passed = passed.map(|passed| passed.as_millis());
    passed.map_or(0, |ms| u64::try_from(ms).unwrap_or(u64::MAX))
}
