//! The payloads of XEP-0191.

use tercet_core::{Element, Jid, StanzaError, XmlWriter};
use tercet_server::empty_payload;
use tercet_server::module::Payload;

use crate::report::Report;

/// The namespace of the protocol.
pub(super) const NS: &str = "urn:xmpp:blocking";
/// The namespace of its error.
pub(super) const ERRORS: &str = "urn:xmpp:blocking:errors";

empty_payload!(
    /// `<blocklist/>`
    Get, "blocklist", NS
);

/// `<block/>` with at least one item.
pub struct Block {
    pub(super) jids: Vec<Jid>,
    /// What is reported of those who are blocked (XEP-0377).
    pub(super) reports: Vec<(Jid, Report)>,
}

/// `<unblock/>`; without items, everybody.
pub struct Unblock(pub(super) Vec<Jid>);

impl Payload for Block {
    const NAME: &'static str = "block";
    const NS: &'static str = NS;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        let items = items(el)?;
        if items.is_empty() {
            // XEP-0191 §3.3
            return Err(StanzaError::bad_request().text("whom?"));
        }
        let reports = items
            .iter()
            .filter_map(|(jid, item)| Some((jid.clone(), Report::of(*item)?)))
            .collect();
        let jids = items.into_iter().map(|(jid, _)| jid).collect();
        Ok(Block { jids, reports })
    }
}

impl Payload for Unblock {
    const NAME: &'static str = "unblock";
    const NS: &'static str = NS;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        let items = items(el)?;
        Ok(Unblock(items.into_iter().map(|(jid, _)| jid).collect()))
    }
}

fn items(el: Element<'_>) -> Result<Vec<(Jid, Element<'_>)>, StanzaError> {
    let items = el.children().filter(|c| c.is("item", NS));
    items
        .map(|item| {
            let jid = item
                .attr("jid")
                .ok_or_else(|| StanzaError::bad_request().text("an item has a jid"))?;
            Ok((Jid::parse(&jid)?, item))
        })
        .collect()
}

/// An element called `name` with these items.
pub(super) fn write<'a>(name: &str, jids: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut w = XmlWriter::new();
    w.start(name).attr("xmlns", NS);
    for jid in jids {
        w.leaf("item", &[("jid", jid)]);
    }
    w.end();
    w.finish()
}
