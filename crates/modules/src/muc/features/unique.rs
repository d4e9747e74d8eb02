//! Names for rooms that nobody has (XEP-0307 0.1).

use tercet_core::XmlWriter;
use tercet_server::empty_payload;
use tercet_server::module::{IqCx, IqKind, IqResult, OnIq, Registrar, Reply, Target};

use crate::muc::Muc;

/// The namespace, which is the feature of the service as well.
const NS_UNIQUE: &str = "http://jabber.org/protocol/muc#unique";

/// What a name is made of: base32 (RFC 4648 §6) in small letters.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

empty_payload!(
    /// `<unique/>`
    Request, "unique", NS_UNIQUE
);

/// The service answers.
pub(in crate::muc) fn register(r: &mut Registrar<'_, Muc>) {
    r.iq::<Request>(IqKind::Get, Target::Host)
        .feature(NS_UNIQUE);
}

impl OnIq<Request> for Muc {
    async fn on_iq(&self, cx: IqCx<'_>, _: Request) -> IqResult {
        let mut w = XmlWriter::new();
        write(&name(cx.server.random()), &mut w);
        Ok(Reply::Payload(w.finish()))
    }
}

/// A localpart of 24 characters from 120 random bits: nobody else will get or guess it, so that nothing need be reserved.
pub(super) fn name(random: [u8; 15]) -> String {
    let mut name = String::with_capacity(24);
    for five in random.chunks(5) {
        let bits = five
            .iter()
            .fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        for place in (0..8).rev() {
            let digit = usize::try_from(bits >> (5 * place) & 31).unwrap_or_default();
            name.push(char::from(ALPHABET[digit]));
        }
    }
    name
}

fn write(name: &str, w: &mut XmlWriter) {
    w.start("unique").attr("xmlns", NS_UNIQUE).text(name).end();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_localparts_and_differ() {
        let (one, other) = (name([0xa5; 15]), name([0xa4; 15]));
        assert_ne!(one, other);
        assert_eq!(name([0; 15]), "a".repeat(24));
        assert_eq!(name([0xff; 15]), "7".repeat(24));
        assert_eq!(tercet_core::mint_local(&one).unwrap(), one);
        let mut w = XmlWriter::new();
        write("abc", &mut w);
        assert_eq!(
            w.finish(),
            b"<unique xmlns='http://jabber.org/protocol/muc#unique'>abc</unique>"
        );
    }
}
