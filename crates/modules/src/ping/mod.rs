//! XEP-0199 XMPP Ping 2.0.1. Gaps: none known; the server's own pings are whitespace, which costs clients less.

use tercet_server::HostInfo;
use tercet_server::empty_payload;
use tercet_server::module::{
    Coverage, IqCx, IqKind, IqResult, Module, OnIq, Registrar, Reply, Target, Xep, xep,
};

const NS: &str = "urn:xmpp:ping";

empty_payload!(
    /// `<ping/>`
    Request, "ping", NS
);

/// Answers pings to the server and to the own account.
pub struct Ping;

impl Module for Ping {
    const NAME: &'static str = "ping";
    const XEPS: &'static [Xep] = &[xep(199, "2.0.1", Coverage::Complete)];
    type Config = ();

    fn new((): (), _: &HostInfo) -> Self {
        Ping
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.iq::<Request>(IqKind::Get, Target::Host).feature(NS);
        r.iq::<Request>(IqKind::Get, Target::Own).feature(NS);
    }
}

impl OnIq<Request> for Ping {
    async fn on_iq(&self, _: IqCx<'_>, _: Request) -> IqResult {
        Ok(Reply::Empty)
    }
}
