//! Push notifications, for those who run the server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tercet_core::{BareJid, time};
use tercet_modules::push;
use tercet_server::{AccountError, Server};

use super::operation::{Answer, PushDevice, Refusal};

/// How long outcomes are waited for: app servers have 30 s.
const PATIENCE: Duration = Duration::from_secs(35);
/// How often they are looked for.
const CHECKED: Duration = Duration::from_millis(50);

/// The devices of an account.
pub(super) async fn list(server: &Arc<Server>, account: BareJid) -> Result<Answer, Refusal> {
    let devices = push::list(server, &account).await;
    let devices = devices.map_err(AccountError::Store)?;
    let devices = devices.ok_or(AccountError::Missing(account))?;
    let devices = devices.into_iter().map(|d| device(server, d));
    Ok(Answer::Push {
        devices: devices.collect(),
    })
}

fn device(server: &Server, device: push::Device) -> PushDevice {
    let time = |ms: u64| time::format(ms.cast_signed());
    let paused = device.failures > 0 && device.not_before_ms > server.now_ms();
    PushDevice {
        id: device.id,
        service: device.service.to_string(),
        node: device.node,
        resource: device.resource,
        since: time(device.since_ms),
        failures: device.failures,
        paused_until: paused.then(|| time(device.not_before_ms)),
        log: device
            .log
            .into_iter()
            .map(|(at, s)| (time(at), s))
            .collect(),
    }
}

/// Waits until all app servers have answered, or have not in time.
pub(super) async fn test(server: &Arc<Server>, account: BareJid) -> Result<Answer, Refusal> {
    let trials = push::test(server, &account).await;
    let trials = trials.ok_or(AccountError::Missing(account))?;
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE && trials.iter().any(|t| t.outcome.get().is_none()) {
        // Where no listener keeps the time for the server, it passes here.
        for rest in server.run_due() {
            tokio::spawn(rest.wait());
        }
        tokio::time::sleep(CHECKED).await;
    }
    let outcomes = trials.into_iter().map(|trial| {
        let outcome = trial.outcome.get().cloned();
        (trial.id, outcome.unwrap_or_else(|| "no answer".to_owned()))
    });
    Ok(Answer::PushTest {
        outcomes: outcomes.collect(),
    })
}
