//! XEP-0203 2.0: delayed delivery. Writing only; whether a stamp is to be believed is for those who relay it.

use crate::xml::XmlWriter;

use super::time;

/// The namespace of `<delay/>`.
pub const NS: &str = "urn:xmpp:delay";

/// Writes `<delay/>`: when a stanza was first sent, or stored, by `from`.
///
/// `from` is the JID of whoever held it back; `stamp_ms` counts from 1970 in UTC; `reason` is for people.
///
/// ```
/// use tercet_core::{XmlWriter, grammar::delay};
/// let mut w = XmlWriter::new();
/// delay::write(&mut w, Some("capulet.example"), 1_031_699_305_000, Some("Offline Storage"));
/// assert_eq!(
///     w.finish(),
///     b"<delay xmlns='urn:xmpp:delay' from='capulet.example' stamp='2002-09-10T23:08:25Z'>Offline Storage</delay>",
/// );
/// ```
pub fn write(w: &mut XmlWriter, from: Option<&str>, stamp_ms: i64, reason: Option<&str>) {
    w.start("delay")
        .attr("xmlns", NS)
        .opt_attr("from", from)
        .attr("stamp", &time::format(stamp_ms));
    w.text(reason.unwrap_or_default()).end();
}
