//! XEP-0092 Software Version 1.1. Gaps: the operating system is not told.

use tercet_core::XmlWriter;
use tercet_server::HostInfo;
use tercet_server::empty_payload;
use tercet_server::module::{
    Coverage, IqCx, IqKind, IqResult, Module, OnIq, Registrar, Reply, Target, Xep, xep,
};

const NS: &str = "jabber:iq:version";

empty_payload!(
    /// `<query/>`
    Query, "query", NS
);

/// Tells the server's name and version.
pub struct Version;

impl Module for Version {
    const NAME: &'static str = "version";
    const XEPS: &'static [Xep] = &[xep(92, "1.1", Coverage::Complete)];
    type Config = ();

    fn new((): (), _: &HostInfo) -> Self {
        Version
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.iq::<Query>(IqKind::Get, Target::Host).feature(NS);
    }
}

impl OnIq<Query> for Version {
    async fn on_iq(&self, _: IqCx<'_>, _: Query) -> IqResult {
        let mut w = XmlWriter::new();
        w.start("query").attr("xmlns", NS);
        w.text_element("name", "Tercet");
        w.text_element("version", env!("CARGO_PKG_VERSION"));
        w.end();
        Ok(Reply::Payload(w.finish()))
    }
}
