//! Web push (RFC 8030): browsers that have no page open are woken through the push services of their makers.
//!
//! The host itself is the app server of XEP-0357 then: a client enables notifications with the host's domain as the service, a
//! node of its choice, and a form of type publish-options whose fields `endpoint`, `p256dh` and `auth` are those of its
//! subscription (Push API). Subscriptions are made for [`public_key`]. Everything else about devices is as with any app server.

mod content;
mod endpoint;
mod subscription;
mod vapid;

use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use tercet_core::BareJid;
use tercet_server::{HostInfo, Server, VHost};
use tercet_store::{Batch, Kind, Owner, StoreError};

pub use endpoint::Endpoint;
pub(super) use subscription::Subscription;
use vapid::VapidKey;

use super::rules::Outcome;
use super::xml::Summary;

/// The key by which push services know this server: one record.
pub static VAPID: Kind = Kind {
    name: "vapid",
    owner: Owner::Host,
    what: "the key for which browsers make their push subscriptions",
};

/// How long a push service keeps a message for a browser that is not there: a week.
const TTL_S: u32 = 7 * 24 * 60 * 60;

/// What a browser is told of what has come. It is encrypted for it: no push service can read it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Told {
    /// Nothing at all: there is no web push.
    Off,
    /// How many messages there are.
    Count,
    /// Who sent the last one, too.
    #[default]
    Sender,
    /// Its text, too, unless it is encrypted.
    Body,
}

/// Marks the hosts that have web push.
pub(super) struct Offered;

/// A request to a push service (RFC 8030 §5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    /// Where it is posted.
    pub endpoint: Endpoint,
    /// The field `Authorization` (RFC 8292 §3).
    pub authorization: String,
    /// The field `TTL`, in seconds.
    pub ttl_s: u32,
    /// The field `Urgency`.
    pub urgency: &'static str,
    /// The field `Topic`: a message takes the place of an earlier one.
    pub topic: &'static str,
    /// The content, in the coding `aes128gcm`; 4096 bytes at most.
    pub body: Vec<u8>,
}

/// What has come of an [`Errand`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// The push service has answered.
    Answered {
        /// With this status.
        status: u16,
        /// It wants to be left alone for so long.
        retry_after_s: Option<u64>,
    },
    /// It is where nothing is ever posted to: why, for people.
    Refused(String),
    /// It could not be reached: why, for people.
    Failed(String),
    /// It was not tried: too much is under way.
    Busy,
}

/// Who posts to push services.
pub trait Courier: Send + Sync {
    /// Posts, within 30 s.
    fn post(&self, errand: Errand) -> Pin<Box<dyn Future<Output = Arrival> + Send + '_>>;
}

/// What web push needs, for all hosts.
#[derive(Default)]
struct Means {
    key: OnceLock<VapidKey>,
    courier: OnceLock<Arc<dyn Courier>>,
}

fn means(server: &Server) -> Arc<Means> {
    server.kept("", Means::default)
}

/// Reads the server's key, which is made at the first start. Before this there is no web push.
///
/// # Errors
/// If the store fails.
pub async fn prepare(server: &Server) -> Result<(), StoreError> {
    let store = server.store();
    let kept = store.get(&VAPID, "*", "key").await?;
    let kept = match kept {
        Some(kept) => kept,
        None => {
            let Ok(made) = VapidKey::generate() else {
                tracing::error!("no key for web push could be made");
                return Ok(());
            };
            let mut batch = Batch::new();
            batch.put(&VAPID, "*", "key", made.clone());
            store.commit(batch).await?;
            made
        }
    };
    match VapidKey::read(&kept) {
        Ok(key) => drop(means(server).key.set(key)),
        Err(error) => tracing::error!(%error, "the key for web push cannot be read"),
    }
    Ok(())
}

/// Names who posts to push services. The first call counts.
pub fn set_courier(server: &Server, courier: Arc<dyn Courier>) {
    let _ = means(server).courier.set(courier);
}

/// The key for which the browsers of a host's users make their subscriptions (`applicationServerKey`, in base64url). `None`
/// if there is no web push.
pub fn public_key(server: &Server, host: &VHost) -> Option<String> {
    host.provided::<Offered>().next()?;
    Some(means(server).key.get()?.public.clone())
}

/// What the content of a push message is, in JSON.
#[derive(Serialize)]
struct Content<'a> {
    /// The account that it is for.
    to: &'a str,
    /// How many messages there are.
    count: u32,
    /// Who sent the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    /// Its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
}

/// The content for a browser: what fits of it.
fn content(account: &BareJid, summary: &Summary) -> Vec<u8> {
    let mut content = Content {
        to: account.as_str(),
        count: summary.messages,
        from: summary.sender.as_deref(),
        body: summary.body.as_deref(),
    };
    let mut shorter: [fn(&mut Content<'_>); 3] =
        [|c| c.body = None, |c| c.from = None, |c| c.to = ""];
    let mut shorter = shorter.iter_mut();
    loop {
        let written = serde_json::to_vec(&content).unwrap_or_default();
        if written.len() <= content::CONTENT {
            return written;
        }
        match shorter.next() {
            Some(shorten) => shorten(&mut content),
            None => return Vec::new(),
        }
    }
}

/// Posts a notification to a browser's push service.
pub(super) async fn bring(
    server: &Server,
    account: &BareJid,
    subscription: Option<Subscription>,
    summary: &Summary,
) -> Outcome {
    let Some(subscription) = subscription else {
        return Outcome::gone("the subscription cannot be read");
    };
    let means = means(server);
    let (Some(key), Some(courier)) = (means.key.get(), means.courier.get()) else {
        return Outcome::failed("nothing can be posted from here");
    };
    let contact = match server.host(account.domain()) {
        Some(host) => contact(host.info()),
        None => return Outcome::Busy,
    };
    let now_s = server.now_ms() / 1000;
    let authorization = key.authorization(&subscription.endpoint.origin(), &contact, now_s);
    let body = subscription.keys.encrypt(&content(account, summary)).ok();
    let (Some(authorization), Some(body)) = (authorization, body) else {
        return Outcome::failed("it could not be encrypted");
    };
    let arrival = courier.post(Errand {
        endpoint: subscription.endpoint,
        authorization,
        ttl_s: TTL_S,
        // RFC 8030 §5.3: what a call is, and what is to be read.
        urgency: if summary.calling { "high" } else { "normal" },
        topic: "messages",
        body,
    });
    judged(arrival.await)
}

/// Who is to be told when something is wrong with our requests (RFC 8292 §2.1).
fn contact(host: &HostInfo) -> String {
    let kinds = ["admin", "support", "abuse"];
    let addresses = kinds.iter().filter_map(|kind| {
        let (_, addresses) = host.contacts.iter().find(|(of, _)| of == kind)?;
        let known = |a: &&String| a.starts_with("mailto:") || a.starts_with("https:");
        addresses.iter().find(known).cloned()
    });
    let own = host.public_url.clone().filter(|u| u.starts_with("https:"));
    let own = own.unwrap_or_else(|| format!("https://{}", host.domain));
    addresses.chain([own]).next().unwrap_or_default()
}

/// What the push service's answer means.
fn judged(arrival: Arrival) -> Outcome {
    match arrival {
        Arrival::Answered {
            status: 200..=299, ..
        } => Outcome::Told,
        // RFC 8030 §7.3: there is no such subscription any more.
        Arrival::Answered {
            status: status @ (404 | 410),
            ..
        } => Outcome::gone(format!("the push service says {status}")),
        // RFC 8030 §8.4: how long it wants to be left alone.
        Arrival::Answered {
            status,
            retry_after_s,
        } => Outcome::Failed {
            what: format!("the push service says {status}"),
            gone: false,
            pause_ms: retry_after_s.map(|s| s.saturating_mul(1000)),
        },
        Arrival::Refused(what) => Outcome::gone(what),
        Arrival::Failed(what) => Outcome::failed(what),
        Arrival::Busy => Outcome::Busy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(summary: &Summary) -> String {
        let account = BareJid::parse("juliet@capulet.example").unwrap();
        String::from_utf8(content(&account, summary)).unwrap()
    }

    #[test]
    fn a_browser_is_told_what_fits() {
        let mut summary = Summary {
            messages: 2,
            ..Summary::default()
        };
        assert_eq!(
            text(&summary),
            r#"{"to":"juliet@capulet.example","count":2}"#
        );
        summary.sender = Some("romeo@montague.example".into());
        summary.body = Some("\"Hi\"\n".into());
        assert_eq!(
            text(&summary),
            r#"{"to":"juliet@capulet.example","count":2,"from":"romeo@montague.example","body":"\"Hi\"\n"}"#
        );
        summary.body = Some("\u{1}".repeat(600));
        summary.sender = Some("r".repeat(600));
        assert!(!text(&summary).contains("body"));
        assert!(text(&summary).contains("from"));
        summary.sender = Some("r".repeat(4000));
        assert!(text(&summary).ends_with(r#""count":2}"#));
    }

    #[test]
    fn an_answer_ends_a_subscription_only_if_it_says_so() {
        let answered = |status, retry_after_s| {
            judged(Arrival::Answered {
                status,
                retry_after_s,
            })
        };
        for status in [200, 201, 202, 204] {
            assert_eq!(answered(status, None), Outcome::Told);
        }
        for status in [404, 410] {
            let outcome = answered(status, Some(1));
            assert!(matches!(outcome, Outcome::Failed { gone: true, .. }));
        }
        for (status, asked, pause) in [
            (429, Some(60), Some(60_000)),
            (500, None, None),
            (503, Some(u64::MAX), Some(u64::MAX)),
            (301, None, None),
            (400, None, None),
            (401, None, None),
            (413, None, None),
        ] {
            let outcome = answered(status, asked);
            let Outcome::Failed { gone, pause_ms, .. } = outcome else {
                panic!("{status}: {outcome:?}");
            };
            assert!(!gone, "{status}");
            assert_eq!(pause_ms, pause, "{status}");
        }
        assert_eq!(judged(Arrival::Busy), Outcome::Busy);
    }

    #[test]
    fn push_services_are_told_whom_to_ask() {
        let mut host = HostInfo {
            domain: "example.org".into(),
            ..HostInfo::default()
        };
        assert_eq!(contact(&host), "https://example.org");
        host.public_url = Some("http://localhost:5280".into());
        assert_eq!(contact(&host), "https://example.org");
        host.public_url = Some("https://chat.example.org".into());
        assert_eq!(contact(&host), "https://chat.example.org");
        let of = |kind: &str, address: &str| (kind.to_owned(), vec![address.to_owned()]);
        host.contacts = vec![
            of("abuse", "mailto:abuse@example.org"),
            of("admin", "xmpp:admin@example.org"),
        ];
        assert_eq!(contact(&host), "mailto:abuse@example.org");
    }
}
