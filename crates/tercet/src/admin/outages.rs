//! What those who run the server say about outages (XEP-0455).

use std::sync::Arc;

use tercet_core::time;
use tercet_modules::outage::{OUTAGE, Outage};
use tercet_server::{AccountError, Server};
use tercet_store::Batch;

use super::execute::served;
use super::operation::{Answer, Reason, Refusal};

/// Bytes of what is said.
const BYTES: usize = 16 * 1024;

/// Says it; durable when this resolves.
pub(super) async fn set(
    server: &Arc<Server>,
    domain: &str,
    outage: &Outage,
) -> Result<Answer, Refusal> {
    let invalid = |text: String| Err(Refusal::new(Reason::Invalid, text));
    let domain = served(server, domain)?;
    for moment in [Some(&outage.beginning), outage.expected_end.as_ref()] {
        if let Some(moment) = moment
            && time::parse(moment).is_none()
        {
            return invalid(format!(
                "{moment:?} is not a time such as 2030-01-31T12:00:00Z"
            ));
        }
    }
    if !outage.is_for_everybody() {
        return invalid("there is a message in some languages, and none for all others".into());
    }
    let text = serde_json::to_vec(outage)
        .map_err(|error| Refusal::new(Reason::Failed, error.to_string()))?;
    if text.len() > BYTES {
        return invalid(format!("the message is longer than {BYTES} bytes"));
    }
    let mut batch = Batch::new();
    batch.put(&OUTAGE, &domain, "", text);
    commit(server, batch).await?;
    tracing::info!(domain, "an outage is told");
    Ok(Answer::Done {})
}

/// It is over; durable when this resolves.
pub(super) async fn clear(server: &Arc<Server>, domain: &str) -> Result<Answer, Refusal> {
    let domain = served(server, domain)?;
    let mut batch = Batch::new();
    batch.delete(&OUTAGE, &domain, "");
    commit(server, batch).await?;
    tracing::info!(domain, "the outage is over");
    Ok(Answer::Done {})
}

/// What is said at the moment.
pub(super) async fn show(server: &Arc<Server>, domain: &str) -> Result<Answer, Refusal> {
    let domain = served(server, domain)?;
    let kept = server.store().get(&OUTAGE, &domain, "").await;
    let kept = kept.map_err(AccountError::Store)?;
    let outage = kept.and_then(|text| serde_json::from_slice(&text).ok());
    Ok(Answer::Outage { outage })
}

async fn commit(server: &Server, batch: Batch) -> Result<(), Refusal> {
    let committed = server.store().commit(batch).await;
    Ok(committed.map(drop).map_err(AccountError::Store)?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tercet_store::Store;

    use super::*;
    use crate::admin::execute::execute;
    use crate::admin::operation::Operation;
    use crate::assemble;
    use crate::config::Config;

    #[test]
    fn an_outage_is_told_until_it_is_over() {
        let (config, _) = Config::parse("domain = \"a.test\"", Path::new(""));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let store = Store::memory(&assemble::catalogue());
        let server = runtime.block_on(assemble::server(&config, store)).unwrap();
        let ask = |operation| runtime.block_on(execute(&server, operation));
        let domain = "a.test".to_owned();
        let outage = Outage {
            planned: true,
            beginning: "2030-01-31T12:00:00Z".into(),
            expected_end: None,
            message: [("default".to_owned(), "A new disk".to_owned())].into(),
        };
        let set = |domain: &str, change: fn(&mut Outage)| {
            let mut outage = outage.clone();
            change(&mut outage);
            let domain = domain.to_owned();
            ask(Operation::SetOutage { domain, outage })
        };
        let show = || {
            ask(Operation::ShowOutage {
                domain: domain.clone(),
            })
        };
        assert_eq!(show(), Ok(Answer::Outage { outage: None }));
        assert_eq!(set("a.test", |_| {}), Ok(Answer::Done {}));
        let told = Answer::Outage {
            outage: Some(outage.clone()),
        };
        assert_eq!(show(), Ok(told));
        for (domain, change, reason) in [
            ("b.test", (|_| {}) as fn(&mut Outage), Reason::Missing),
            (
                "a.test",
                |outage| outage.beginning = "tomorrow".into(),
                Reason::Invalid,
            ),
            (
                "a.test",
                |outage| outage.expected_end = Some(String::new()),
                Reason::Invalid,
            ),
            (
                "a.test",
                |outage| outage.message = [("en".into(), "x".into())].into(),
                Reason::Invalid,
            ),
            (
                "a.test",
                |outage| outage.message = [("default".into(), "x".repeat(BYTES))].into(),
                Reason::Invalid,
            ),
        ] {
            assert_eq!(set(domain, change).unwrap_err().reason, reason);
        }
        let clear = ask(Operation::ClearOutage {
            domain: domain.clone(),
        });
        assert_eq!(clear, Ok(Answer::Done {}));
        assert_eq!(show(), Ok(Answer::Outage { outage: None }));
    }
}
