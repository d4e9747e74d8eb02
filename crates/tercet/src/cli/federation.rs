//! `tercet federation …`: what has happened with other servers since the start; `tercet metrics`: figures for monitoring.

use serde_json::json;
use tercet_core::time;

use super::args::Federation as Command;
use super::{Failure, output};
use crate::admin::{self, Answer, Operation};
use crate::config::Config;
use crate::peers::{Peer, Streams};

pub(super) fn run(config: &Config, command: &Command, json: bool) -> Result<(), Failure> {
    let wanted = match command {
        Command::List => None,
        Command::Show { domain } => {
            let jid = tercet_core::BareJid::parse(domain);
            let jid = jid.map_err(|_| Failure::Other(format!("{domain} is no domain")))?;
            Some(jid.domain().to_owned())
        }
    };
    let mut administration = admin::Way::open(config)?;
    let mut all: Vec<Peer> = Vec::new();
    let mut after = None;
    loop {
        let domain = wanted.clone();
        let operation = Operation::ListPeers { domain, after };
        let Answer::Peers { peers, next } = administration.ask(&operation)? else {
            break;
        };
        all.extend(peers);
        after = next;
        if after.is_none() {
            break;
        }
    }
    match (&wanted, json) {
        (_, true) => output::line(json!({ "ok": true, "peers": all })),
        (None, false) => {
            for peer in &all {
                output::line(line(peer));
            }
            output::line(format!("{} servers since this one's start", all.len()));
        }
        (Some(domain), false) => match all.first() {
            Some(peer) => output::line(shown(peer)),
            None => output::line(format!(
                "nothing has happened with {domain} since the start; `tercet explain domain {domain}` goes there now"
            )),
        },
    }
    Ok(())
}

pub(super) fn metrics(config: &Config, json: bool) -> Result<(), Failure> {
    if let Answer::Metrics { text } = admin::ask(config, &Operation::Metrics {})? {
        match json {
            true => output::line(json!({ "ok": true, "metrics": text })),
            false => output::text(text),
        }
    }
    Ok(())
}

/// One server in a line.
fn line(peer: &Peer) -> String {
    let way = |name: &str, streams: &Streams| {
        format!(
            "{name} {} open, {} opened, {} failed",
            streams.open, streams.opened, streams.failed
        )
    };
    format!(
        "{}  {}; {}",
        peer.domain.escape_debug(),
        way("out", &peer.outgoing),
        way("in", &peer.incoming)
    )
}

/// All that is known of one.
fn shown(peer: &Peer) -> String {
    let mut text = peer.domain.escape_debug().to_string();
    for (name, streams) in [("to it", &peer.outgoing), ("from it", &peer.incoming)] {
        text.push_str(&format!(
            "\n  streams {name}: {} open, {} opened, {} failed since the start",
            streams.open, streams.opened, streams.failed
        ));
        if let Some(at) = streams.last_opened {
            let proof = streams.proof.as_deref().unwrap_or("nothing");
            text.push_str(&format!("\n    last opened {}, by {proof}", moment(at)));
        }
        if let Some(at) = streams.last_failed {
            let reason = streams.reason.as_deref().unwrap_or("?");
            let reason = reason.escape_debug();
            text.push_str(&format!("\n    last failed {}: {reason}", moment(at)));
        }
    }
    text
}

fn moment(ms: u64) -> String {
    time::format(ms.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_is_escaped() {
        let mut peer = Peer {
            domain: "b.example".into(),
            ..Peer::default()
        };
        peer.incoming.failed = 1;
        peer.incoming.last_failed = Some(0);
        peer.incoming.reason = Some("\x1b[31m\n".into());
        let text = shown(&peer);
        assert!(text.contains("1970-01-01T00:00:00"), "{text}");
        assert!(text.ends_with("\\u{1b}[31m\\n"), "{text}");
        assert!(line(&peer).contains("in 0 open, 0 opened, 1 failed"));
    }
}
