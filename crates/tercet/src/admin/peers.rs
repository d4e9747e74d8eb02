//! What has happened with other servers, and figures for monitoring.

use std::fmt::Write as _;
use std::sync::Arc;

use tercet_server::Server;

use super::operation::{Answer, Secret};
use crate::peers::{Peers, Totals};
use crate::tls::Expiries;

/// Other servers on one page.
const PAGE: usize = 200;

/// One of them, or a page of all.
pub(super) fn list(server: &Arc<Server>, domain: Option<&str>, after: Option<&str>) -> Answer {
    let peers = Peers::of(server);
    if let Some(domain) = domain {
        return Answer::Peers {
            peers: peers.show(domain).into_iter().collect(),
            next: None,
        };
    }
    let page = peers.list(after, PAGE);
    let next = page.last().filter(|_| page.len() == PAGE);
    Answer::Peers {
        next: next.map(|peer| peer.domain.clone()),
        peers: page,
    }
}

/// The secret of dialback keys.
pub(super) fn dialback_secret(server: &Arc<Server>) -> Answer {
    let secret = server.derive_secret(crate::listen::DIALBACK);
    let digits = secret.iter().map(|byte| format!("{byte:02x}"));
    Answer::DialbackSecret {
        secret: Secret::new(digits.collect()),
    }
}

/// All figures, in the text form of OpenMetrics 1.0.
pub(super) fn metrics(server: &Arc<Server>) -> Answer {
    let mut text = String::new();
    let Totals {
        outgoing_negotiating,
        incoming_negotiating,
        outgoing_open,
        incoming_open,
        outgoing_opened,
        incoming_opened,
        outgoing_failed,
        incoming_failed,
    } = Peers::of(server).totals();
    family(
        &mut text,
        "tercet_s2s_streams",
        "gauge",
        "Streams with other servers, those that are open by domain.",
        &[
            (
                "direction=\"out\",state=\"negotiating\"",
                u64::from(outgoing_negotiating),
            ),
            ("direction=\"out\",state=\"open\"", outgoing_open.into()),
            (
                "direction=\"in\",state=\"negotiating\"",
                incoming_negotiating.into(),
            ),
            ("direction=\"in\",state=\"open\"", incoming_open.into()),
        ],
    );
    family(
        &mut text,
        "tercet_s2s_outcomes",
        "counter",
        "Streams with other servers that came about or failed since the start.",
        &[
            ("direction=\"out\",outcome=\"opened\"", outgoing_opened),
            ("direction=\"out\",outcome=\"failed\"", outgoing_failed),
            ("direction=\"in\",outcome=\"opened\"", incoming_opened),
            ("direction=\"in\",outcome=\"failed\"", incoming_failed),
        ],
    );
    let certificates = Expiries::of(server).all();
    let labels: Vec<(String, i64)> = certificates
        .iter()
        .map(|one| {
            (
                format!("file={:?}", one.file),
                one.seconds_left(server.now_ms()),
            )
        })
        .collect();
    let samples: Vec<(&str, i64)> = labels.iter().map(|(l, s)| (l.as_str(), *s)).collect();
    family(
        &mut text,
        "tercet_certificate_remaining_seconds",
        "gauge",
        "Time until a certificate expires; below zero once it has.",
        &samples,
    );
    text.push_str("# EOF\n");
    Answer::Metrics { text }
}

fn family<T: std::fmt::Display>(
    text: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    samples: &[(&str, T)],
) {
    let total = if kind == "counter" { "_total" } else { "" };
    let _ = writeln!(text, "# TYPE {name} {kind}\n# HELP {name} {help}");
    for (labels, value) in samples {
        let _ = writeln!(text, "{name}{total}{{{labels}}} {value}");
    }
}
