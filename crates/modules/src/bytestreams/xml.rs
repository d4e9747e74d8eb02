//! The queries that a proxy answers, and its address.

use tercet_core::{Element, Jid, StanzaError, XmlWriter};
use tercet_server::empty_payload;
use tercet_server::module::Payload;

use super::NS;

/// The longest id of a stream, in bytes.
const SID_BYTES: usize = 1024;

empty_payload!(
    /// `<query/>`: where the proxy is.
    AddressQuery, "query", NS
);

/// `<query sid=''><activate/></query>`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// The stream's id.
    pub sid: String,
    /// Its target.
    pub target: Jid,
}

impl Payload for Activation {
    const NAME: &'static str = "query";
    const NS: &'static str = NS;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        let bad = |text| StanzaError::bad_request().text(text);
        let sid = el.attr("sid").filter(|sid| !sid.is_empty());
        let sid = sid.ok_or_else(|| bad("the stream has no id"))?;
        if sid.len() > SID_BYTES {
            return Err(bad("the stream's id is longer than 1024 bytes"));
        }
        let activate = el.child("activate", NS);
        let activate = activate.ok_or_else(|| bad("nothing is to be activated"))?;
        // XEP-0065 §6.3.2: JIDs are prepared before they are hashed.
        let target = Jid::parse(activate.text().trim());
        let target = target.map_err(|_| StanzaError::jid_malformed())?;
        Ok(Activation {
            sid: sid.into_owned(),
            target,
        })
    }
}

/// Tells the address of the service `jid`.
pub(super) fn address(host: &str, jid: &str, port: u16) -> Vec<u8> {
    let mut w = XmlWriter::new();
    w.start("query").attr("xmlns", NS);
    let port = port.to_string();
    w.leaf(
        "streamhost",
        &[("host", host), ("jid", jid), ("port", &port)],
    );
    w.end();
    w.finish()
}
