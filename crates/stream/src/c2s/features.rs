//! The stream features (RFC 6120 §4.3.2): what may be negotiated next.

use tercet_core::{XmlWriter, ns};

use super::config::TlsPolicy;
use super::context::Context;
use super::{sasl2, sm};
use crate::limits;
use crate::sasl::{Mechanism, Offer};

/// XEP-0440 0.4.2.
const CHANNEL_BINDING: &str = "urn:xmpp:sasl-cb:0";
/// XEP-0077 2.4 §8.
const REGISTER: &str = "http://jabber.org/features/iq-register";
/// XEP-0445 0.2.0 §3.
const INVITATION: &str = "urn:xmpp:ibr-token:0";

/// Writes the features for a client that has logged in, or not yet.
pub(super) fn write(cx: &mut Context, logged_in: bool) {
    let mut w = XmlWriter::new();
    w.start("stream:features");
    if logged_in {
        after_login(cx, &mut w);
    } else {
        before_login(cx, &mut w);
    }
    w.end();
    let features = w.finish();
    cx.write(|_, out| out.extend_from_slice(&features));
}

/// Writes the features of a client that has bound a resource without asking for them; `counts`: its stanzas are counted already.
pub(super) fn write_bound(cx: &mut Context, counts: bool) {
    let mut w = XmlWriter::new();
    w.start("stream:features");
    of_a_session(cx, counts, &mut w);
    w.end();
    let features = w.finish();
    cx.write(|_, out| out.extend_from_slice(&features));
}

/// What this client is offered to log in with; nothing before TLS where that is required.
pub(super) fn offer(cx: &Context) -> Offer {
    if !cx.secure_enough() {
        return Offer::default();
    }
    let host = cx.host();
    let private = cx.tls.is_some() || cx.framer.is_private();
    let tokens = host.tokens && private;
    let mut offer = Offer::new(&host.domain, host.anonymous, cx.tls.as_deref(), tokens);
    if !host.sha256 {
        let other =
            |m: &mut Mechanism| !matches!(m, Mechanism::ScramSha256 | Mechanism::ScramSha256Plus);
        offer.mechanisms.retain(other);
    }
    offer
}

/// What a client that has not logged in can negotiate, but for the version of that.
pub(super) fn unversioned(cx: &Context) -> Vec<u8> {
    let mut w = XmlWriter::new();
    negotiable(cx, &mut w);
    w.finish()
}

fn before_login(cx: &Context, w: &mut XmlWriter) {
    let features = unversioned(cx);
    w.raw(&features);
    if cx.secure_enough() {
        sasl2::write_version(&features, w);
    }
}

fn negotiable(cx: &Context, w: &mut XmlWriter) {
    let host = cx.host();
    if cx.may_start_tls() {
        // RFC 6120 §5.4.1: required where nothing else can be negotiated first.
        w.start("starttls").attr("xmlns", ns::TLS);
        if host.tls == TlsPolicy::Required {
            w.leaf("required", &[]);
        }
        w.end();
    }
    let offer = offer(cx);
    if !offer.mechanisms.is_empty() {
        // RFC 6120 §6.4.1: in the order of preference.
        w.start("mechanisms").attr("xmlns", ns::SASL);
        for mechanism in &offer.mechanisms {
            w.text_element("mechanism", mechanism.name());
        }
        w.end();
        sasl2::write_features(cx, &offer, w);
    }
    if !offer.bindings.is_empty() {
        w.start("sasl-channel-binding")
            .attr("xmlns", CHANNEL_BINDING);
        for binding in &offer.bindings {
            w.leaf("channel-binding", &[("type", binding.name())]);
        }
        w.end();
    }
    if host.registration && cx.secure_enough() {
        w.leaf("register", &[("xmlns", REGISTER)]);
        if host.invitations {
            // XEP-0445 §3: where a token can be shown.
            w.leaf("register", &[("xmlns", INVITATION)]);
        }
    }
    limits::write(w, cx.config.before_login.stanza_bytes, None);
}

fn after_login(cx: &Context, w: &mut XmlWriter) {
    // RFC 6120 §7.4.
    w.leaf("bind", &[("xmlns", ns::BIND)]);
    // RFC 3921 §3, for clients that insist; a no-op, which <optional/> says.
    w.start("session").attr("xmlns", ns::SESSION);
    w.leaf("optional", &[]).end();
    of_a_session(cx, false, w);
}

fn of_a_session(cx: &Context, counts: bool, w: &mut XmlWriter) {
    // XEP-0198 §3: behind the binding of a resource, or in its place; once.
    if !counts {
        w.leaf("sm", &[("xmlns", sm::NS)]);
    }
    w.raw(cx.host().features.as_bytes());
    let idle = cx.config.idle_timeout.filter(|_| !cx.framer.is_watched());
    let idle = idle.map(|timeout| timeout.as_secs());
    limits::write(w, cx.config.after_login.stanza_bytes, idle);
}
