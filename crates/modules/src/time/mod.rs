//! XEP-0202 Entity Time 2.0. Gaps: none known; the server's time zone is UTC.

use tercet_core::{XmlWriter, grammar::time};
use tercet_server::HostInfo;
use tercet_server::empty_payload;
use tercet_server::module::{
    Coverage, IqCx, IqKind, IqResult, Module, OnIq, Registrar, Reply, Target, Xep, xep,
};

const NS: &str = "urn:xmpp:time";

empty_payload!(
    /// `<time/>`
    Query, "time", NS
);

/// Tells the server's time.
pub struct Time;

impl Module for Time {
    const NAME: &'static str = "time";
    const XEPS: &'static [Xep] = &[xep(202, "2.0", Coverage::Complete)];
    type Config = ();

    fn new((): (), _: &HostInfo) -> Self {
        Time
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.iq::<Query>(IqKind::Get, Target::Host).feature(NS);
    }
}

impl OnIq<Query> for Time {
    async fn on_iq(&self, cx: IqCx<'_>, _: Query) -> IqResult {
        let mut w = XmlWriter::new();
        w.start("time").attr("xmlns", NS);
        w.text_element("tzo", "+00:00");
        w.text_element(
            "utc",
            &time::format(i64::try_from(cx.server.now_ms()).unwrap_or(i64::MAX)),
        );
        w.end();
        Ok(Reply::Payload(w.finish()))
    }
}
