//! Status codes of `muc#user`, as XEP-0045 §16.6 registers them.

use tercet_core::XmlWriter;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident $code:literal)*) => {
        /// A `<status/>` of `http://jabber.org/protocol/muc#user`: what happened, for machines.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Status {
            $($(#[$doc])* $variant = $code,)*
        }

        impl Status {
            /// Every code, in their order.
            pub const ALL: &'static [Status] = &[$(Status::$variant),*];
        }
    };
}

codes! {
    /// Anybody in the room sees the full JID of this user. Message, or the presence of who enters.
    NonAnonymous 100
    /// The affiliation of the user changed while it was not in the room. Message to the bare JID of who belongs to the room, or did.
    AffiliationChanged 101
    /// The room now shows members that are not in it. Message. Not sent: there is no field of the configuration for it.
    ShowsUnavailable 102
    /// The room no longer shows members that are not in it. Message. Not sent, as the one before.
    HidesUnavailable 103
    /// The configuration changed, but nothing that privacy hangs on. Message.
    ConfigurationChanged 104
    /// This presence is the recipient's own. Any presence from the room.
    SelfPresence 110
    /// What is said in the room is now logged in public. Message, or the first presence.
    LoggingOn 170
    /// What is said in the room is no longer logged in public. Message.
    LoggingOff 171
    /// The room is now non-anonymous. Message.
    NowNonAnonymous 172
    /// The room is now semi-anonymous. Message.
    NowSemiAnonymous 173
    /// The room was created by this very presence. Presence of who enters.
    RoomCreated 201
    /// The service changed the nick: it is prepared (RFC 7622 §3.4), and the client wrote it otherwise. Presence of who enters or
    /// changes its nick.
    NickAssigned 210
    /// Out of the room: banned. Presence.
    Banned 301
    /// Gone under this nick, to come back under the one in the item. Presence.
    NickChanged 303
    /// Out of the room: kicked. Presence.
    Kicked 307
    /// Out of the room: the affiliation changed. Presence.
    RemovedByAffiliation 321
    /// Out of the room: it became members-only, and the user is no member. Presence.
    RemovedByMembersOnly 322
    /// Out of the room: the service stops. Presence.
    ServiceShutdown 332
    /// Out of the room: a stanza to the user came back as an error. Presence.
    RemovedByError 333
}

impl Status {
    /// The number.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// Writes `<status/>`, inside `<x/>` of `muc#user`.
    pub fn write(self, w: &mut XmlWriter) {
        w.leaf("status", &[("code", &self.code().to_string())]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_of_the_registrar() {
        let codes: Vec<u16> = Status::ALL.iter().map(|s| s.code()).collect();
        assert_eq!(
            codes,
            [
                100, 101, 102, 103, 104, 110, 170, 171, 172, 173, 201, 210, 301, 303, 307, 321,
                322, 332, 333
            ]
        );
        let mut w = XmlWriter::new();
        Status::SelfPresence.write(&mut w);
        assert_eq!(w.finish(), b"<status code='110'/>");
    }
}
