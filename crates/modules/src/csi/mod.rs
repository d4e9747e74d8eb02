//! XEP-0352 Client State Indication 1.0.0: a client that nobody looks at is not woken for presence, chat states and the like. Gaps:
//! none known. What is held back, what is dropped and what goes out at once stands in `rules`; it is not configurable but for
//! switching all of it off.
//!
//! What waits does so in the session's outbox, within its bound and a smaller one of its own, and goes out before the next
//! stanza that matters, when the client becomes active, or when the bound is reached. A session that is resumed is active.

mod rules;

use tercet_core::{Element, Stanza, XmlWriter};
use tercet_server::module::{
    Coverage, Module, OnBind, Registrar, SessionCx, StreamFeature, Target, Xep, xep,
};
use tercet_server::{Hold, HoldRule, HostInfo};

/// The namespace of the protocol.
const NS: &str = "urn:xmpp:csi:0";

/// Lets clients sleep.
pub struct ClientState;

impl Module for ClientState {
    const NAME: &'static str = "csi";
    const XEPS: &'static [Xep] = &[xep(352, "1.0.0", Coverage::Complete)];
    type Config = ();

    fn new((): (), _: &HostInfo) -> Self {
        ClientState
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.provide(Target::Host, HoldRule(hold))
            .silent("a stream feature says so");
        r.binding(Some(NS));
        let feature = StreamFeature(Box::new(|_| {
            let mut w = XmlWriter::new();
            w.leaf("csi", &[("xmlns", NS)]);
            w.finish()
        }));
        r.provide(Target::Host, feature)
            .silent("it is the stream feature");
    }
}

impl OnBind for ClientState {
    async fn bound(&self, cx: SessionCx<'_>, request: Element<'_>) -> Vec<u8> {
        // XEP-0386 §3.2.2: sessions begin active, unless the client says so.
        if request.child("inactive", NS).is_some() {
            cx.server.set_active(cx.session, false);
        }
        Vec::new()
    }
}

/// What to do with a serialised stanza.
fn hold(stanza: &[u8]) -> Hold {
    // What the server wrote is well-formed; what is not a stanza is none of ours.
    Stanza::parse(stanza).map_or(Hold::Now, |stanza| rules::hold(&stanza))
}
