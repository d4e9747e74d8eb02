//! Opening a stream: judging the client's header, answering it (RFC 6120 §4.7, §4.8).

use std::sync::Arc;

use tercet_core::{BareJid, Jid, StreamCondition, StreamError, StreamHeader, ns};

use super::config::HostConfig;
use super::context::Context;
use super::features;
use super::state::State;
use crate::header::{Version, language};

/// The checks come in the order of the RFC; the response header is sent in any case, before an
/// error and before the features.
pub(super) fn on_header(
    cx: &mut Context,
    account: Option<BareJid>,
    header: &StreamHeader,
) -> Result<State, StreamError> {
    let host = host(cx, header.to.as_deref());
    if let Ok(host) = &host {
        cx.host = Some(host.clone());
    }
    let version = Version::parse(header.version.as_deref());
    let to = response_to(account.as_ref(), header.from.as_deref());
    cx.write_header(to.as_deref(), version.response());

    // RFC 6120 §4.8.1, §4.8.2: the stream's namespace, and that of its content.
    if !header.stream_ns_ok || header.content_ns != ns::CLIENT {
        return Err(StreamCondition::InvalidNamespace.into());
    }
    host?;
    // RFC 6120 §4.7.5: without a version it is 0.9; from 1.0 on there are features.
    if !version.has_features() {
        return Err(StreamCondition::UnsupportedVersion.into());
    }
    cx.lang = header.lang.as_deref().and_then(language);
    features::write(cx, account.is_some());
    Ok(match account {
        None => State::Negotiating,
        Some(account) => State::Unbound { account },
    })
}

/// RFC 6120 §4.7.2, §4.9.3.6: the host that the client wants, which does not change any more when
/// the stream is opened anew.
fn host(cx: &Context, to: Option<&str>) -> Result<Arc<HostConfig>, StreamError> {
    let Some(to) = to else {
        let assumed = cx.host.as_ref().or(cx.config.only_host());
        return assumed.cloned().ok_or_else(|| {
            StreamError::new(StreamCondition::ImproperAddressing).text("which host? to is missing")
        });
    };
    Jid::parse(to)
        .ok()
        .filter(|jid| jid.local().is_none() && jid.is_bare())
        .and_then(|jid| cx.config.host(jid.domain()).cloned())
        .filter(|found| {
            cx.host
                .as_ref()
                .is_none_or(|host| host.domain == found.domain)
        })
        .ok_or_else(|| StreamCondition::HostUnknown.into())
}

/// RFC 6120 §4.7.2: the client, as far as it is known or says so.
fn response_to(account: Option<&BareJid>, from: Option<&str>) -> Option<String> {
    match account {
        Some(account) => Some(account.as_str().to_owned()),
        None => Some(Jid::parse(from?).ok()?.as_str().to_owned()),
    }
}
