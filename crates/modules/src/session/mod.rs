//! The session request of RFC 3921 §3, which RFC 6121 has dropped, for clients that address it to their server. What they send
//! without an address their stream answers itself.

use tercet_core::ns;
use tercet_server::module::{IqCx, IqKind, IqResult, Module, OnIq, Registrar, Reply, Target, Xep};
use tercet_server::{HostInfo, empty_payload};

empty_payload!(
    /// `<session/>`
    Start, "session", ns::SESSION
);

/// Answers that all is well.
pub struct SessionRequest;

impl Module for SessionRequest {
    const NAME: &'static str = "session";
    const XEPS: &'static [Xep] = &[];
    type Config = ();

    fn new((): (), _: &HostInfo) -> Self {
        SessionRequest
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.iq::<Start>(IqKind::Set, Target::Host)
            .silent("RFC 3921 announces it as a stream feature, which the stream does");
    }
}

impl OnIq<Start> for SessionRequest {
    async fn on_iq(&self, _: IqCx<'_>, _: Start) -> IqResult {
        Ok(Reply::Empty)
    }
}
