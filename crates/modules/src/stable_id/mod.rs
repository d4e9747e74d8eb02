//! XEP-0359 Unique and Stable Stanza IDs 0.7.0: `stanza-id`s in the name of an account or of this server are this server's alone.
//! What is archived gets one (`mam`); `origin-id`s pass as they came. Gaps: none known.

use tercet_core::{BareJid, Child, Jid, Stanza, XmlWriter};
use tercet_server::HostInfo;
use tercet_server::module::{
    Coverage, Flow, Kinds, Module, OnStanza, Registrar, Side, Stage, StanzaCx, Xep, xep,
};

/// The namespace of the elements, and the feature.
pub(crate) const NS: &str = "urn:xmpp:sid:0";

/// Takes out forged ids.
pub struct StableId;

impl Module for StableId {
    const NAME: &'static str = "stable_id";
    const XEPS: &'static [Xep] = &[xep(359, "0.7.0", Coverage::Complete)];
    type Config = ();

    fn new((): (), _: &HostInfo) -> Self {
        StableId
    }

    fn register(r: &mut Registrar<'_, Self>) {
        for side in [Side::Sender, Side::Recipient] {
            r.on(Kinds::MESSAGE, side, Stage::Validate)
                .feature(NS)
                .account_feature(NS);
        }
    }
}

impl OnStanza for StableId {
    fn on_stanza(&self, cx: &mut StanzaCx<'_>) -> Flow {
        for (place, child) in cx.stanza.children().enumerate() {
            let ours = |domain: &str| cx.server.host(domain).is_some();
            if child.is("stanza-id", NS) && is_forged(child, cx.account.jid(), ours) {
                // XEP-0359 §3.2: ids in the name under which we would set them are deleted, even where we set none.
                cx.effects.edits().leave_out(place);
            }
        }
        Flow::Continue
    }
}

/// Whether a `stanza-id` claims to be of `account`, or of a host that is `ours`; or could be taken for such, since it is not
/// clear whose it is.
fn is_forged(id: Child<'_>, account: &Jid, ours: impl Fn(&str) -> bool) -> bool {
    match id.parse().root().attr("by").map(|by| Jid::parse(&by)) {
        Some(Ok(by)) => {
            by.bare_str() == account.as_str() || (by.local().is_none() && ours(by.domain()))
        }
        // XEP-0359 §3.5: it has to say.
        Some(Err(_)) | None => true,
    }
}

/// Appends the id that the archive of `by` gives.
pub fn stamp(id: &str, by: &str, out: &mut Vec<u8>) {
    // All at once: markup, and what is rarely escaped.
    out.reserve(48 + NS.len() + id.len() + by.len());
    let mut w = XmlWriter::into(std::mem::take(out));
    w.leaf("stanza-id", &[("xmlns", NS), ("id", id), ("by", by)]);
    *out = w.finish();
}

/// Whether a message that was delivered has the id of the archive of `by`: what others claim was taken out on the way.
pub fn is_stamped(message: &Stanza, by: &BareJid) -> bool {
    message.children().any(|child| {
        child.is("stanza-id", NS) && child.parse().root().attr("by").as_deref() == Some(by.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_in_the_name_of_the_account_or_of_a_host_are_forged() {
        let forged = |by: &str| {
            let xml = format!("<message><stanza-id xmlns='{NS}' id='1' {by}/></message>");
            let stanza = Stanza::parse(xml.as_bytes()).unwrap();
            let account = Jid::parse("to@ours").unwrap();
            is_forged(stanza.payload().unwrap(), &account, |d| d == "ours")
        };
        for by in ["to@ours", "TO@Ours", "to@ours/x", "ours", "OURS", "@", ""] {
            assert!(forged(&format!("by='{by}'")), "{by}");
        }
        assert!(forged(""));
        for by in ["theirs", "to@theirs", "other@ours", "room@rooms.ours"] {
            assert!(!forged(&format!("by='{by}'")), "{by}");
        }
    }

    #[test]
    fn an_id_is_written_with_whose_it_is() {
        let mut out = b"<a/>".to_vec();
        stamp("7", "a'b@ours", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "<a/><stanza-id xmlns='urn:xmpp:sid:0' id='7' by='a&apos;b@ours'/>"
        );
    }
}
