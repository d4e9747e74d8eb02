//! Keys of what clients are helped to reach each other by: the relay for streams of bytes, services for calls.

use std::path::PathBuf;

use super::super::component::{Password, Text};
use super::super::net::Place;
use super::super::section::section;
use super::super::value::{Domain, Period, Port, choice};

choice! {
    /// Who may begin streams through the relay.
    RelayUsers {
        /// Who has an account on the domain that it belongs to.
        Users = "users",
        /// Everybody, users of other servers too.
        Everybody = "everybody",
    }
}

section! {
    /// A relay for streams of bytes (XEP-0065), such as files that clients send each other and that no other way leads to. It is a service under a domain of its own,
    /// and a port, `listen.proxy`. `limits.proxy_…` bounds it.
    Proxy "proxy" {
        /// Whether there is one.
        enabled: bool = true => Live;
        /// The domain of the service. Left out, it is `proxy.` before the domain that it belongs to.
        domain: Option<Domain> = None, like "\"proxy.example.org\"" => Restart;
        /// Where clients connect to: a name or an IP address, which has to lead to `listen.proxy` of this machine. Left out, it is the domain that the relay
        /// belongs to.
        address: Option<Place> = None, like "\"files.example.org\"" => Live;
        /// Who may begin streams through it: `users` with an account on the domain, or `everybody`. The other end may be anybody.
        users: RelayUsers = RelayUsers::Users => Live;
    }
}

choice! {
    /// What a service is.
    ServiceKind {
        /// Tells clients their address (RFC 8489).
        Stun = "stun",
        /// The same over TLS.
        Stuns = "stuns",
        /// Relays calls (RFC 8656).
        Turn = "turn",
        /// The same over TLS.
        Turns = "turns",
    }
}

choice! {
    /// How a service is reached.
    Transport {
        /// Datagrams.
        Udp = "udp",
        /// Connections.
        Tcp = "tcp",
    }
}

section! {
    /// Services outside XMPP that clients are told of (XEP-0215), for calls above all: one `[[service]]` table each, with at least `kind` and `address`. A TURN server such as
    /// coturn (`use-auth-secret`, `static-auth-secret`) shares a `secret` with this server; each user then gets passwords of its own that hold for a while.
    ServiceKeys "service" {
        /// What it is: `stun`, `stuns`, `turn` or `turns` (the same over TLS).
        kind: Option<ServiceKind> = None, like "\"turn\"" => Live;
        /// Its name or IP address, as clients reach it.
        address: Option<Place> = None, like "\"turn.example.org\"" => Live;
        /// Its port. Left out, it is 3478, with TLS 5349.
        port: Option<Port> = None, like "3478" => Live;
        /// `udp` or `tcp`. Left out, it is `udp`, with TLS `tcp`.
        transport: Option<Transport> = None, like "\"udp\"" => Live;
        /// What clients may show of it.
        name: Option<Text> = None, like "\"Calls\"" => Live;
        /// The secret that it shares with this server.
        secret: Option<Password> = None, like "\"...\"" => Live;
        /// A file with the secret in its first line, instead.
        secret_file: Option<PathBuf> = None => Live;
        /// How long a password that is made by the secret holds.
        lifetime: Period = Period(86_400), in 60..=31_536_000 => Live;
        /// Where there is no secret: the name that all users have there.
        username: Option<Text> = None => Live;
        /// Its password.
        password: Option<Password> = None => Live;
        /// The domain whose users are told of it. Left out, those of every domain are.
        host: Option<Domain> = None, like "\"example.org\"" => Live;
    }
}
