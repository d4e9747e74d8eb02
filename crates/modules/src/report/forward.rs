//! Reports that go to the server of who is reported, where the reporter has agreed (XEP-0377 §4), and those that come from other
//! servers about people here.
//!
//! They go to the address for reports that the other domain names (XEP-0157), if that is of the domain itself or below it,
//! else to the domain. Neither the reporter nor ids of the reporter's archive are in them.

use std::sync::{Arc, Mutex, PoisonError};

use tercet_core::forms::Form;
use tercet_core::{Jid, Stanza, StanzaError, XmlWriter, ns};
use tercet_server::module::{EntityCx, IqKind};
use tercet_server::{Answered, Routed, Server};
use tercet_store::Batch;

use super::value::Filed;
use super::{NS, REPORTS, Report};
use crate::disco;
use crate::due::Table;

/// XEP-0157
const SERVERINFO: &str = "http://jabber.org/network/serverinfo";
/// The element that names somebody.
const JID: &str = "urn:xmpp:jid:0";
/// How long another server may take to say where reports go.
const PATIENCE_MS: u64 = 30_000;
/// Reports of one other server that are taken at once, and the time for one more.
const AT_ONCE: u64 = 20;
const EACH_MS: u64 = 180_000;
const HELP: &str = "A report of abuse, sent by the server of somebody who was written to.";

/// How many reports other servers have sent of late.
#[derive(Default)]
struct Senders(Mutex<Table<String>>);

/// Sends a report of a user of `host` to the server of who is reported.
pub(super) fn forward(server: &Arc<Server>, host: &str, about: Jid, report: Report) -> Routed {
    let (Ok(from), Ok(to)) = (Jid::parse(host), Jid::parse(about.domain())) else {
        return Routed::Done;
    };
    let mut w = XmlWriter::new();
    w.leaf("query", &[("xmlns", disco::INFO)]);
    let (here, domain) = (from.clone(), to.clone());
    let then = move |server: &Arc<Server>, answered: Answered| {
        let named = match answered {
            Answered::Result(answer) => address(&answer, domain.as_str()),
            Answered::Error(_) | Answered::Silence | Answered::Busy => None,
        };
        let to = named.unwrap_or(domain);
        tracing::info!(%about, %to, "a report goes to the server of who is reported");
        let Ok(message) = Stanza::parse(&write(&about, &report)) else {
            return Routed::Done;
        };
        server.route(&here, &to, &message)
    };
    server.ask(IqKind::Get, &from, &to, &w.finish(), PATIENCE_MS, then)
}

/// Where a domain wants reports, by its answer to service discovery.
fn address(answer: &Stanza, domain: &str) -> Option<Jid> {
    let query = answer.payload()?.parse();
    let forms = query.root().children().filter_map(|x| Form::parse(x).ok());
    let form = forms
        .into_iter()
        .find(|f| f.form_type() == Some(SERVERINFO))?;
    let uris = ["report-addresses", "abuse-addresses"];
    let uris = uris.iter().flat_map(|kind| form.values(kind));
    let jids = uris.filter_map(|uri| {
        let jid = uri.strip_prefix("xmpp:")?;
        Jid::parse(jid.split('?').next()?).ok()
    });
    let mut own = jids.filter(|jid| {
        let below = jid.domain().strip_suffix(domain);
        // Whoever else it names has not asked to get this server's messages.
        below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    });
    own.next()
}

fn write(about: &Jid, report: &Report) -> Vec<u8> {
    let mut w = XmlWriter::new();
    w.start("message").attr("xmlns", ns::CLIENT);
    w.text_element("body", HELP);
    w.start("report")
        .attr("xmlns", NS)
        .attr("reason", &report.reason);
    w.start("jid")
        .attr("xmlns", JID)
        .text(about.bare_str())
        .end();
    for (by, id) in &report.messages {
        // Ids of other archives say whose they are.
        if Jid::parse(by).is_ok_and(|by| by.domain() == about.domain()) {
            w.leaf(
                "stanza-id",
                &[("xmlns", "urn:xmpp:sid:0"), ("by", by), ("id", id)],
            );
        }
    }
    if let Some(text) = &report.text {
        w.text_element("text", text);
    }
    w.end().end();
    w.finish()
}

/// Takes a report that another server has sent to this host; `None` if the message is something else.
pub(super) fn take(cx: &EntityCx<'_>) -> Option<Routed> {
    let report = cx.stanza.child("report", NS)?.parse();
    let about = report
        .root()
        .child("jid", JID)
        .map(|jid| Jid::parse(jid.text().trim()));
    let Some(Ok(about)) = about.filter(|_| cx.from.local().is_none()) else {
        return None;
    };
    // Only of servers, about people here.
    if about.domain() != cx.host.domain() || about.local().is_none() || cx.session.is_some() {
        return None;
    }
    let Some(report) = Report::read(report.root()) else {
        cx.refuse(&StanzaError::bad_request().text("a report has a reason"));
        return Some(Routed::Done);
    };
    let domain = cx.host.domain();
    let senders = cx.server.kept(domain, Senders::default);
    let mut senders = senders.0.lock().unwrap_or_else(PoisonError::into_inner);
    if !senders.take(cx.from.domain(), AT_ONCE, EACH_MS, cx.server.now_ms()) {
        cx.refuse(&StanzaError::resource_constraint().text("too many reports"));
        return Some(Routed::Done);
    }
    tracing::info!(by = %cx.from, %about, reason = report.reason, "a report of another server");
    let filed = Filed {
        by: cx.from.clone(),
        about,
        report,
    };
    let mut batch = Batch::new();
    batch.append(&REPORTS, domain, cx.server.now_ms(), filed.to_bytes());
    Some(cx.keep(batch))
}
