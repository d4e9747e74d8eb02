//! Figures for monitoring.

use std::fmt::Write as _;
use std::sync::Arc;

use tercet_modules::block_lists;
use tercet_server::{AccountError, Server};

use super::components;
use super::operation::{Answer, Refusal};
use crate::listen::Figures;
use crate::peers::{Peers, Totals};
use crate::tls::Expiries;

/// All figures, in the text form of OpenMetrics 1.0.
pub(super) async fn all(server: &Arc<Server>) -> Result<Answer, Refusal> {
    let mut text = String::new();
    streams(server, &mut text);
    certificates(server, &mut text);
    components(server, &mut text);
    block_lists(server, &mut text).await?;
    text.push_str("# EOF\n");
    Ok(Answer::Metrics { text })
}

fn streams(server: &Arc<Server>, text: &mut String) {
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
        text,
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
        text,
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
}

fn certificates(server: &Arc<Server>, text: &mut String) {
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
        text,
        "tercet_certificate_remaining_seconds",
        "gauge",
        "Time until a certificate expires; below zero once it has.",
        &samples,
    );
}

fn components(server: &Arc<Server>, text: &mut String) {
    let all = components::all(server);
    if all.is_empty() {
        return;
    }
    let names: Vec<String> = all
        .iter()
        .map(|(_, component, _)| format!("component={:?}", component.domain))
        .collect();
    let mut write = |name, kind, help, value: fn(&Figures) -> u64| {
        let values = all.iter().map(|(_, _, figures)| value(figures));
        let samples: Vec<(&str, u64)> = names.iter().map(String::as_str).zip(values).collect();
        family(text, name, kind, help, &samples);
    };
    write(
        "tercet_component_connected",
        "gauge",
        "1 while a component is connected.",
        |figures| figures.connected.is_some().into(),
    );
    write(
        "tercet_component_connections",
        "counter",
        "How often a component has connected since the start.",
        |figures| figures.connections,
    );
    write(
        "tercet_component_received_stanzas",
        "counter",
        "Stanzas that a component has sent.",
        |figures| figures.received,
    );
    write(
        "tercet_component_sent_stanzas",
        "counter",
        "Stanzas that were written to a component.",
        |figures| figures.sent,
    );
    write(
        "tercet_component_returned_stanzas",
        "counter",
        "Stanzas for a component that went back to their senders.",
        |figures| figures.returned,
    );
    write(
        "tercet_component_waiting_bytes",
        "gauge",
        "Bytes of stanzas that wait for a component.",
        |figures| figures.waiting_bytes as u64,
    );
}

async fn block_lists(server: &Arc<Server>, text: &mut String) -> Result<(), Refusal> {
    let lists = block_lists::show(server).await;
    let lists = lists.map_err(AccountError::Store)?;
    if lists.is_empty() {
        return Ok(());
    }
    let name = |list: &block_lists::Shown| {
        format!("host={:?},list={:?}", list.host, list.list.to_string())
    };
    let names: Vec<String> = lists.iter().map(name).collect();
    let samples = |value: fn(&block_lists::Shown) -> u64| -> Vec<(&str, u64)> {
        let values = lists.iter().map(value);
        names.iter().map(String::as_str).zip(values).collect()
    };
    family(
        text,
        "tercet_block_list_entries",
        "gauge",
        "Entries of a block list.",
        &samples(|list| list.entries as u64),
    );
    family(
        text,
        "tercet_block_list_faulty",
        "gauge",
        "1 while something is wrong with a block list, such as its service being out of reach.",
        &samples(|list| list.error.is_some().into()),
    );
    family(
        text,
        "tercet_block_list_updated_seconds",
        "gauge",
        "When a block list was last read or changed since the start, in seconds since 1970; 0: not yet.",
        &samples(|list| list.updated_ms.unwrap_or_default() / 1000),
    );
    family(
        text,
        "tercet_block_list_refused",
        "counter",
        "Stanzas refused because of a block list, and occupants who had to leave a room.",
        &samples(|list| list.refused),
    );
    Ok(())
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
