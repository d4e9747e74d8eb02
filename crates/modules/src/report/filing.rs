//! Taking reports in, within bounds, and giving them out.

use std::sync::{Mutex, PoisonError};

use tercet_core::{BareJid, Jid};
use tercet_server::module::{IqCx, Slot, SlotFuture};
use tercet_server::{Account, Server};
use tercet_store::{Batch, Store, StoreError};

use super::forward::forward;
use super::value::Filed;
use super::{REPORTS, Report};

/// Reports that one account may file in [`WINDOW_MS`].
const PER_WINDOW: u32 = 20;
const WINDOW_MS: u64 = 60 * 60 * 1000;
/// Reports that are kept for a host; then the oldest go.
const KEPT: u64 = 10_000;
/// How many go at once.
const ROOM: usize = 100;

/// Where other modules bring reports: the blocking command does.
pub struct Intake;

/// How many reports an account has filed of late.
#[derive(Default)]
pub(super) struct Recent(Mutex<Window>);

#[derive(Default)]
struct Window {
    since_ms: u64,
    filed: u32,
}

impl Slot for Recent {
    fn load(_: &Store, _: &BareJid) -> SlotFuture<Self> {
        Box::pin(std::future::ready(Ok(Recent::default())))
    }
}

impl Recent {
    /// Counts one report; false if it is one too many.
    fn admit(&self, now_ms: u64) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now_ms.saturating_sub(window.since_ms) >= WINDOW_MS {
            *window = Window {
                since_ms: now_ms,
                filed: 0,
            };
        }
        window.filed += 1;
        window.filed <= PER_WINDOW
    }
}

impl Intake {
    /// Writes the reports of the account of `cx` about these people, so that they are kept when the returned batch is committed.
    /// Of a user who reports too much nothing more is kept for a while.
    pub async fn file(
        &self,
        cx: &IqCx<'_>,
        account: &Account,
        reports: Vec<(Jid, Report)>,
    ) -> Result<Batch, StoreError> {
        let mut batch = Batch::new();
        let now = cx.server.now_ms();
        let domain = cx.host.domain();
        for (about, report) in reports {
            let admitted = account.slot::<Recent>().is_some_and(|r| r.admit(now));
            if !admitted {
                tracing::warn!(by = %account.jid(), "too many reports; one is not kept");
                continue;
            }
            tracing::info!(by = %account.jid(), %about, reason = report.reason, "a report");
            if report.to_origin && cx.server.host(about.domain()).is_none() {
                // XEP-0377 §4: only where the user has agreed.
                let (about, report) = (about.clone(), report.clone());
                forward(cx.server, domain, about, report).wait().await;
            }
            let filed = Filed {
                by: Jid::clone(account.jid()),
                about,
                report,
            };
            batch.append(&REPORTS, domain, now, filed.to_bytes());
        }
        if batch.is_empty() {
            return Ok(batch);
        }
        let size = cx.store().log_size(&REPORTS, domain).await?;
        if size.entries >= KEPT {
            let oldest = cx.store().read_log(&REPORTS, domain, 0, ROOM).await?;
            if let Some(last) = oldest.last() {
                batch.delete_log_until(&REPORTS, domain, last.id);
            }
        }
        Ok(batch)
    }
}

/// A kept report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its place among those of the host: later ones have greater ids.
    pub id: u64,
    /// When it came, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whose it is.
    pub by: Jid,
    /// Whom it is about.
    pub about: Jid,
    /// What it says.
    pub report: Report,
}

/// A page of at most `limit` reports of users of `domain`, newest first, those with ids below `before`; and what to give as
/// `before` for the next page, `None` at the end.
pub async fn page(
    server: &Server,
    domain: &str,
    before: Option<u64>,
    limit: usize,
) -> Result<(Vec<Kept>, Option<u64>), StoreError> {
    let before = before.unwrap_or(i64::MAX.unsigned_abs());
    let log = server.store();
    let entries = log.read_log_back(&REPORTS, domain, before, limit).await?;
    let next = (entries.len() == limit)
        .then(|| entries.last().map(|e| e.id))
        .flatten();
    // What this version cannot read stays in the log.
    let read = entries.into_iter().filter_map(|entry| {
        let Filed { by, about, report } = Filed::from_bytes(&entry.value)?;
        Some(Kept {
            id: entry.id,
            at_ms: entry.at_ms,
            by,
            about,
            report,
        })
    });
    Ok((read.collect(), next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_files_so_many_reports_an_hour() {
        let recent = Recent::default();
        for _ in 0..PER_WINDOW {
            assert!(recent.admit(WINDOW_MS));
        }
        assert!(!recent.admit(2 * WINDOW_MS - 1));
        assert!(recent.admit(2 * WINDOW_MS));
    }
}
