//! XEP-0203 Delayed Delivery 2.0, on which others build: the stamp of this server, and that nobody else writes it. Gaps: none
//! known.

use tercet_core::delay::{self, NS};
use tercet_core::{Jid, Stanza, StanzaError, XmlWriter};
use tercet_server::HostInfo;
use tercet_server::module::{
    Coverage, Flow, Kinds, Module, OnStanza, Registrar, Side, Stage, StanzaCx, Xep, xep,
};

/// XEP-0091, which some clients still read.
const OLD_NS: &str = "jabber:x:delay";

/// Refuses stamps in this server's name.
pub struct Delay;

impl Module for Delay {
    const NAME: &'static str = "delay";
    const XEPS: &'static [Xep] = &[xep(203, "2.0", Coverage::Complete)];
    type Config = ();

    fn new((): (), _: &HostInfo) -> Self {
        Delay
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.on(
            Kinds::MESSAGE | Kinds::PRESENCE,
            Side::Sender,
            Stage::Validate,
        )
        .feature(NS);
    }
}

impl OnStanza for Delay {
    fn on_stanza(&self, cx: &mut StanzaCx<'_>) -> Flow {
        // Promise 7 of the bad-input list: what this server stamps nobody else has stamped.
        if is_forged(cx.stanza, cx.to, |domain| cx.server.host(domain).is_some()) {
            return Flow::Bounce(
                StanzaError::not_acceptable().text("a stamp that this server has not given"),
            );
        }
        Flow::Continue
    }
}

/// Whether a stamp claims to be of a host that is `ours`, or of the account that it is sent to: a delay, old or new.
fn is_forged(stanza: &Stanza, to: &Jid, ours: impl Fn(&str) -> bool) -> bool {
    stanza.children().any(|child| {
        if !matches!((child.name(), child.ns()), ("delay", NS) | ("x", OLD_NS)) {
            return false;
        }
        let stamp = child.parse();
        let Some(Ok(by)) = stamp.root().attr("from").map(|by| Jid::parse(&by)) else {
            return false;
        };
        ours(by.domain()) && (by.as_str() == by.domain() || by.as_str() == to.bare_str())
    })
}

/// Whether `message` has the stamp of `domain`, which nobody else gives it.
pub fn is_stamped(message: &Stanza, domain: &str) -> bool {
    message.children().any(|child| {
        child.is("delay", NS) && child.parse().root().attr("from").as_deref() == Some(domain)
    })
}

/// Adds the stamp of `domain` to a serialised `message` that has content.
pub fn stamp(message: &mut Vec<u8>, domain: &str, at_ms: u64, reason: &str) {
    const END: &[u8] = b"</message>";
    if !message.ends_with(END) {
        return;
    }
    message.truncate(message.len() - END.len());
    let mut w = XmlWriter::into(std::mem::take(message));
    let at_ms = i64::try_from(at_ms).unwrap_or(i64::MAX);
    delay::write(&mut w, Some(domain), at_ms, Some(reason));
    *message = w.finish();
    message.extend_from_slice(END);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_goes_behind_the_content() {
        let mut message = b"<message to='a@b'><body>Hi</body></message>".to_vec();
        stamp(&mut message, "b", 1_031_699_305_000, "Offline storage");
        assert_eq!(
            String::from_utf8(message).unwrap(),
            "<message to='a@b'><body>Hi</body><delay xmlns='urn:xmpp:delay' from='b' \
             stamp='2002-09-10T23:08:25Z'>Offline storage</delay></message>"
        );
    }

    #[test]
    fn only_stamps_in_our_name_are_forged() {
        let forged = |child: &str| {
            let xml = format!("<message>{child}</message>");
            let to = Jid::parse("to@ours/x").unwrap();
            is_forged(&Stanza::parse(xml.as_bytes()).unwrap(), &to, |d| {
                d == "ours"
            })
        };
        for name in ["ours", "OURS", "to@ours", "TO@ours"] {
            assert!(forged(&format!(
                "<delay xmlns='urn:xmpp:delay' from='{name}'/>"
            )));
            assert!(forged(&format!(
                "<x xmlns='jabber:x:delay' from='{name}'/>"
            )));
        }
        for name in ["theirs", "a@ours/b", "a@ours", "to@theirs", "@"] {
            assert!(!forged(&format!(
                "<delay xmlns='urn:xmpp:delay' from='{name}'/>"
            )));
        }
        assert!(!forged("<delay xmlns='urn:xmpp:delay'/>"));
        assert!(!forged(
            "<a xmlns='u:a'><delay xmlns='urn:xmpp:delay' from='ours'/></a>"
        ));
    }
}
