//! Notifications on their way, and what comes of them. All of it happens as jobs of the server's agenda: no sender of a message
//! waits for an app server.

use std::sync::{Arc, OnceLock};

use tercet_core::{BareJid, Jid};
use tercet_server::module::IqKind;
use tercet_server::{Account, Routed, Server};
use tercet_store::Batch;

use super::PUSH;
use super::devices::{Devices, Entry, State};
use super::rules::{After, Outcome, after};
use super::web::{self, Subscription};
use super::xml::{Summary, publish};

/// How long an app server may take to answer.
const PATIENCE_MS: u64 = 30_000;
/// The least time between two notifications to one device: what happens meanwhile is told together.
const BETWEEN_MS: u64 = 1000;

/// The outcome of a notification that an administrator has asked for, once there is one.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The device.
    pub id: String,
    /// What came of it, for people.
    pub outcome: Arc<OnceLock<String>>,
}

/// Sees to it that a notification goes out when the time has come, if that is not so already.
pub(super) fn schedule(server: &Server, account: &BareJid, entry: &mut Entry) {
    match &mut entry.state {
        State::Due => {}
        State::Asked { again } => *again = true,
        State::Idle => {
            let at = entry.device.not_before_ms.max(server.now_ms());
            let (account, id) = (account.clone(), entry.device.id.clone());
            if server.at(at, move |server| due(server, account, id, None)) {
                entry.state = State::Due;
            }
        }
    }
}

/// Sends a notification to all devices of an account, connected or not, however their app servers have failed. `None` if there is
/// no such account.
pub async fn test(server: &Arc<Server>, account: &BareJid) -> Option<Vec<Trial>> {
    let live = server.account(account).await.ok()??;
    let ids = live.slot::<Devices>()?.with(|entries| {
        let ids = entries.iter().map(|e| e.device.id.clone());
        ids.collect::<Vec<_>>()
    });
    let mut trials = Vec::new();
    for id in ids {
        let trial = Trial {
            id: id.clone(),
            outcome: Arc::default(),
        };
        let (account, outcome) = (account.clone(), trial.outcome.clone());
        server.at(server.now_ms(), move |server| {
            due(server, account, id, Some(outcome))
        });
        trials.push(trial);
    }
    Some(trials)
}

/// What a notification takes.
enum Letter {
    /// To an app server.
    App {
        from: Jid,
        service: Jid,
        payload: Vec<u8>,
    },
    /// To a browser.
    Web {
        subscription: Option<Subscription>,
        summary: Summary,
    },
}

/// The time has come for a notification to the device called `id`.
fn due(
    server: &Arc<Server>,
    account: BareJid,
    id: String,
    trial: Option<Arc<OnceLock<String>>>,
) -> Routed {
    let server = server.clone();
    Routed::later(async move {
        let live = match server.account(&account).await {
            Ok(Some(live)) => live,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "an account's devices could not be read");
                return;
            }
        };
        let Some(letter) = write(&live, &id, trial.is_some()) else {
            return;
        };
        let (from, service, payload) = match letter {
            Letter::App {
                from,
                service,
                payload,
            } => (from, service, payload),
            Letter::Web {
                subscription,
                summary,
            } => {
                let outcome = web::bring(&server, &account, subscription, &summary).await;
                return settle(&server, &account, &id, outcome, trial).await;
            }
        };
        let then = move |server: &Arc<Server>, answered| {
            let server = server.clone();
            let outcome = Outcome::of(answered);
            Routed::later(async move { settle(&server, &account, &id, outcome, trial).await })
        };
        server
            .ask(IqKind::Set, &from, &service, &payload, PATIENCE_MS, then)
            .wait()
            .await;
    })
}

/// Writes the notification, unless none is due any more.
fn write(account: &Account, id: &str, is_trial: bool) -> Option<Letter> {
    // XEP-0357 §7: the server is who publishes.
    let from = Jid::from_parts(None, account.jid().domain(), None).ok()?;
    let state = account.lock();
    account.slot::<Devices>()?.with(|entries| {
        let entry = entries.iter_mut().find(|e| e.device.id == id)?;
        if let State::Asked { again } = &mut entry.state {
            *again |= !is_trial;
            if !is_trial {
                return None;
            }
        }
        if !is_trial && entry.is_live(&state) {
            // The device has come by itself.
            entry.state = State::Idle;
            entry.summary = Summary::default();
            return None;
        }
        if !matches!(entry.state, State::Asked { .. }) {
            entry.state = State::Asked { again: false };
        }
        let device = &entry.device;
        let options = device.options.as_deref();
        let mut summary = entry.summary.clone();
        summary.messages = summary.messages.max(1);
        Some(match device.is_browser(account.jid()) {
            true => Letter::Web {
                subscription: options.and_then(Subscription::parse),
                summary,
            },
            false => Letter::App {
                from,
                service: device.service.clone(),
                payload: publish(device.node.as_deref(), options, &summary),
            },
        })
    })
}

/// Something has come of a notification, if only silence.
async fn settle(
    server: &Arc<Server>,
    account: &BareJid,
    id: &str,
    outcome: Outcome,
    trial: Option<Arc<OnceLock<String>>>,
) {
    let Ok(Some(live)) = server.account(account).await else {
        return;
    };
    let Some(devices) = live.slot::<Devices>() else {
        return;
    };
    let commit = {
        let state = live.lock();
        if state.removed {
            return;
        }
        let judged = devices.with(|entries| {
            let place = entries.iter().position(|e| e.device.id == id)?;
            let entry = &mut entries[place];
            let mut batch = Batch::new();
            let (text, keeps) = judge(server.now_ms(), entry, outcome);
            if keeps {
                batch.put(&PUSH, account.as_str(), id, entry.device.to_bytes());
                let again = std::mem::replace(&mut entry.state, State::Idle);
                let failed = entry.device.failures > 0 && entry.summary.messages > 0;
                if failed || again == (State::Asked { again: true }) {
                    schedule(server, account, entry);
                }
            } else {
                tracing::info!(%account, service = %entry.device.service, "a device is woken no more: {text}");
                batch.delete(&PUSH, account.as_str(), id);
                entries.remove(place);
            }
            Some((text, batch))
        });
        let Some((text, batch)) = judged else {
            return;
        };
        if let Some(trial) = trial {
            let _ = trial.set(text);
        }
        server.store().commit(batch)
    };
    if let Err(error) = commit.await {
        tracing::error!(%error, "what came of a notification could not be kept");
    }
}

/// Notes what came of a notification. Returns it in words, and whether the device stays.
fn judge(now_ms: u64, entry: &mut Entry, outcome: Outcome) -> (String, bool) {
    let device = &mut entry.device;
    let (what, gone, asked_ms) = match outcome {
        Outcome::Told => {
            device.failures = 0;
            device.not_before_ms = now_ms + BETWEEN_MS;
            let text = "notified";
            device.note(now_ms, text);
            return (text.into(), true);
        }
        Outcome::Busy => {
            // Our own fault, not the app server's.
            device.not_before_ms = now_ms + PATIENCE_MS;
            let text = "not sent: too much is under way";
            device.note(now_ms, text);
            entry.state = State::Asked { again: true };
            return (text.into(), true);
        }
        Outcome::Failed {
            what,
            gone,
            pause_ms,
        } => (what, gone, pause_ms),
    };
    device.failures = device.failures.saturating_add(1);
    match after(gone, device.failures, asked_ms) {
        After::Pause(pause) => {
            device.not_before_ms = now_ms + pause;
            let text = format!("{what}; again in {} s", pause / 1000);
            device.note(now_ms, text.clone());
            (text, true)
        }
        After::GiveUp => (format!("{what}; forgotten"), false),
    }
}
