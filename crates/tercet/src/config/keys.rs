//! Every key there is. One place for truth: types, defaults, bounds, the example file and docs/configuration.md come from here.

use std::net::IpAddr;
use std::path::PathBuf;

use tercet_core::DomainPattern;

use super::component::{Namespace, Password, Request, Text};
use super::federation::{NameServer, Route};
use super::net::Network;
use super::section::section;
use super::value::{Admin, BaseUrl, Domain, LogFilter, Period, Port, Size, Uri, choice};

mod services;

pub use services::*;

choice! {
    /// Who may make an account.
    RegistrationPolicy {
        /// Only administrators make accounts.
        Closed = "closed",
        /// Only who holds an invitation.
        Invite = "invite",
        /// Everybody, from a client.
        Open = "open",
    }
}

choice! {
    /// How log lines look.
    LogFormat {
        /// One line for people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

section! {
    /// The keys above all tables. They have to stand before the first `[table]`.
    General "" {
        /// The domain that this server serves: the part behind the `@` of its addresses.
        /// For several, or for settings of one domain alone, see `[[host]]`.
        domain: Domain = super::default_domain(), like "\"example.org\"" => Live;
        /// The folder for everything that the server keeps: accounts, messages, its own certificates, the admin socket.
        /// It is made at the first start, readable by its owner only.
        data_dir: PathBuf = PathBuf::from("data") => Restart;
        /// Accounts that may administer the server from their clients, beside those made with `tercet user add --admin`.
        admins: Vec<Admin> = Vec::new(), like "[\"you@example.org\"]" => Live;
    }
}

choice! {
    /// A port whose clients may come through a load balancer.
    BalancedPort {
        /// That of `listen.c2s`.
        C2s = "c2s",
        /// That of `listen.c2s_tls`.
        C2sTls = "c2s_tls",
        /// That of `listen.http`.
        Http = "http",
        /// That of `listen.https`.
        Https = "https",
    }
}

section! {
    /// Where the server listens. A port is a number, `0` for any free port (its number is printed at the start), or `false` for none.
    Listen "listen" {
        /// The addresses to listen on, the same for every port. Left out, it is this machine alone (`127.0.0.1` and `::1`) while every domain is
        /// `localhost`, and every address of the machine (`0.0.0.0` and `::`) otherwise.
        addresses: Option<Vec<IpAddr>> = None, like "[\"127.0.0.1\", \"::1\"]" => Restart;
        /// Clients, with STARTTLS.
        c2s: Port = Port::At(5222) => Restart;
        /// Clients, with TLS from the first byte (XEP-0368).
        c2s_tls: Port = Port::At(5223) => Restart;
        /// Other servers, with STARTTLS. Left out, it is 5269, and none while every domain is `localhost`. While neither this nor `s2s_tls` is open, no other
        /// server is reached.
        s2s: Option<Port> = None, like "5269" => Restart;
        /// Other servers, with TLS from the first byte (XEP-0368). Left out, it is 5270, and none while every domain is `localhost`.
        s2s_tls: Option<Port> = None, like "5270" => Restart;
        /// HTTP without TLS: pages for people at `/`, WebSocket at `/ws`, discovery at `/.well-known/host-meta`, health at `/status`. Open on this machine's own addresses only:
        /// on those of `addresses` that are, or on `127.0.0.1` and `::1`.
        http: Port = Port::At(5280) => Restart;
        /// HTTPS: the same with TLS, for everyone.
        https: Port = Port::At(5281) => Restart;
        /// Components (XEP-0114), such as gateways to other networks; opened where there is a `[[component]]`. Their protocol has no TLS.
        component: Port = Port::At(5347) => Restart;
        /// Streams of bytes that clients send each other through this server (XEP-0065), such as files; opened where `[proxy]` is on for a domain. Clients connect
        /// to it over plain TCP, so a firewall has to let it through.
        proxy: Port = Port::At(7777) => Restart;
        /// The addresses to listen on for components. Left out, it is this machine alone: those of `addresses` that are its own, or `127.0.0.1` and `::1`. What
        /// components say is readable on the way: name other addresses for private networks only, such as those of containers.
        component_addresses: Option<Vec<IpAddr>> = None, like "[\"10.0.3.1\"]" => Restart;
        /// Load balancers that say for whom they connect, by the PROXY protocol, version 2: addresses or networks. On the ports of `balanced` they have to;
        /// limits and logs are about the client then. Everybody else connects as usual.
        balancers: Vec<Network> = Vec::new(), like "[\"10.0.0.5\"]" => Restart;
        /// The ports to which `balancers` connect: `c2s`, `c2s_tls`, `http`, `https`.
        balanced: Vec<BalancedPort> = Vec::new(), like "[\"c2s\", \"c2s_tls\"]" => Restart;
    }
}

section! {
    /// The web: WebSocket, BOSH, discovery and pages, on the ports `listen.http` and `listen.https`.
    Http "http" {
        /// Where browsers reach this server's pages, for links that go to people: scheme, name and, if it is not the usual one, port. `DOMAIN` in it stands
        /// for the domain that the link is about. Left out, it is the port of `https` under that domain (`https://example.org:5281`), for `localhost`
        /// that of `http`. Set it where a reverse proxy stands in front.
        public_url: Option<BaseUrl> = None, like "\"https://chat.example.org\"" => Live;
        /// The addresses at which everybody reaches the ports `c2s_tls` and `https`, which the server cannot know by itself. With them, `host-meta.json` has
        /// what XEP-0487 adds; its clients then ask the DNS for nothing. Leave them out where a reverse proxy stands in front.
        public_addresses: Vec<IpAddr> = Vec::new(), like "[\"192.0.2.1\", \"2001:db8::1\"]" => Restart;
        /// Where web clients go on when this server ends, as in a cluster or before a move: the address of another WebSocket (`wss:`) or BOSH (`https:`) for the
        /// same accounts. Clients that connect from then on are sent there (RFC 7395, `see-other-uri`).
        drain_uri: Option<Uri> = None, like "\"wss://other.example.org/ws\"" => Live;
        /// Reverse proxies: addresses or networks. What they say about their clients in `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`, or in
        /// `Forwarded` (RFC 7239), is believed: limits and logs are about the client then. From everybody else it is ignored. A proxy has to set these
        /// fields itself, or to remove what a client sends in them; a request in which both kinds name different clients is refused.
        trusted_proxies: Vec<Network> = Vec::new(), like "[\"127.0.0.1\", \"::1\"]" => Restart;
        /// A folder with the files `libomemo.esm.min.js` and `curve25519_compiled.wasm` of the npm package `converse.js`. With them the web client can
        /// encrypt from end to end (OMEMO). They are not in the program because they are under another licence (GPL-3.0).
        client_assets: Option<PathBuf> = None, like "\"/etc/tercet/client\"" => Restart;
        /// Whether there is `/bosh` (XEP-0124, XEP-0206), for web clients behind proxies that let no WebSocket through.
        bosh: bool = true => Restart;
        /// Whether the push services of users' browsers, which the server posts to when something comes for somebody who has no page open (web push), may be at
        /// addresses that are not public: for push services of your own network. Users could have the server speak HTTPS to anything in there.
        private_push_services: bool = false => Restart;
    }
}

section! {
    /// Certificates. Without any, the server makes its own at the first start, signed by an authority of its own; clients trust it once they know the
    /// file `ca.crt` in the data folder.
    Tls "tls" {
        /// The certificate chain in PEM, the server's own certificate first. A changed file is noticed within seconds, and read again on reload.
        certificate: Option<PathBuf> = None, like "\"/etc/letsencrypt/live/example.org/fullchain.pem\"" => Live;
        /// The certificate's private key in PEM.
        key: Option<PathBuf> = None, like "\"/etc/letsencrypt/live/example.org/privkey.pem\"" => Live;
        /// Further certificate authorities in PEM, added to the system's; they vouch for the certificates of clients and of other servers.
        ca_file: Option<PathBuf> = None, like "\"/etc/tercet/ca.crt\"" => Live;
        /// Whether clients must use TLS before they log in. Turn it off in a laboratory only: passwords and messages travel readable without it.
        required: bool = true => Live;
        /// Whether other servers have to prove their domain by a certificate from a known authority. Otherwise those without one may do so by dialback (XEP-0220),
        /// which is as safe as the DNS.
        require_server_certificate: bool = false => Live;
    }
}

section! {
    /// How other servers are found, and what waits for them.
    Federation "federation" {
        /// The DNS servers to ask: addresses, with a port if it is not 53. Without any, those of the system are asked.
        dns_servers: Vec<NameServer> = Vec::new(), like "[\"127.0.0.1:5353\"]" => Restart;
        /// Whether answers of the DNS are validated (DNSSEC), and certificates that it names (DANE) count. The DNS servers have to pass on signatures: behind one
        /// that does not, no other server is found.
        dnssec: bool = false => Restart;
        /// A file of DNSKEY records to trust, in place of the root's keys that the server knows.
        trust_anchor: Option<PathBuf> = None, like "\"/etc/unbound/root.key\"" => Restart;
        /// Where the servers of some domains are, whatever the DNS says, as in laboratories and private networks: an address or a name, and a port; with
        /// `tls:` in front of it for TLS from the first byte.
        routes: Vec<Route> = Vec::new(), like "[\"example.org=192.0.2.1:5269\", \"example.net=tls:192.0.2.2:5270\"]" => Restart;
        /// Bytes that may wait for one other server, from one host. Of what comes then, senders are told.
        queue_bytes: Size = Size(4 << 20), in 65_536..=1 << 30 => Restart;
        /// Bytes that may wait for all other servers together.
        queue_bytes_in_all: Size = Size(64 << 20), in 65_536..=1 << 36 => Restart;
        /// How long something may wait for another server, and how long opening a stream to one may take.
        queue_time: Period = Period(120), in 5..=86_400 => Restart;
        /// Bytes that may be sent on a stream and not be acknowledged (XEP-0198) before more is sent there.
        unacknowledged_bytes: Size = Size(1 << 20), in 65_536..=1 << 30 => Restart;
        /// After which time a stream to another server ends that carries nothing; one that the other server has opened, after twice as long.
        idle: Period = Period(900), in 60..=86_400 => Live;
        /// Pairs of a host here and a domain elsewhere that something is sent for, or was a while ago.
        queues: u32 = 20_000, in 100..=1_000_000 => Restart;
        /// Streams to other servers that may be on their way to being opened at a time.
        connecting: u32 = 256, in 1..=10_000 => Restart;
        /// Other servers that one sender may have looked for in a minute, of those that nothing was sent to of late. Of what goes beyond, the sender is told.
        searches_per_minute: u32 = 60, in 1..=100_000 => Restart;
        /// How long a server that was out of reach is left alone; twice as long after each further failure.
        rest: Period = Period(2), in 1..=600 => Restart;
        /// The longest of these times.
        rest_max: Period = Period(600), in 1..=86_400 => Restart;
        /// Stanzas of one domain in a second, in the long run; ten seconds' worth may come at once. Who sends more is read no further for as long as it takes. 0: as many as come.
        stanzas_per_second: u32 = 1000, in 0..=1_000_000 => Restart;
        /// Bytes of its stanzas likewise.
        bytes_per_second: Size = Size(1 << 20), in 0..=1 << 36 => Restart;
    }
}

section! {
    /// With which other servers a domain speaks, and its rooms likewise. Domains are written as `example.org`, all below one as `*.example.org`, and all as `*`.
    Peers "peers" {
        /// With these alone. Without any, with all.
        allow: Vec<DomainPattern> = Vec::new(), like "[\"example.org\", \"*.example.org\"]" => Live;
        /// Never with these, whatever `allow` says: their streams are refused, what is sent there comes back.
        deny: Vec<DomainPattern> = Vec::new(), like "[\"spam.example\", \"*.spam.example\"]" => Live;
    }
}

choice! {
    /// Which requests are allowed.
    Rights {
        /// None.
        None = "none",
        /// Those that ask.
        Get = "get",
        /// Those that change something.
        Set = "set",
        /// All.
        Both = "both",
    }
}

choice! {
    /// What becomes of a second connection of a component that is connected.
    SecondConnection {
        /// It is refused.
        Refuse = "refuse",
        /// It takes the place of the first.
        Replace = "replace",
    }
}

section! {
    /// Components (XEP-0114): programs that speak for a domain of this server, such as gateways to other networks. One `[[component]]` table each, with at
    /// least `domain` and `secret` or `secret_file`, the same as in the program's own settings. docs/components.md has examples.
    ComponentKeys "component" {
        /// Its domain. Its users' addresses end in it.
        domain: Option<Domain> = None, like "\"irc.example.org\"" => Live;
        /// What it proves to know when it connects.
        secret: Option<Password> = None, like "\"...\"" => Live;
        /// A file with the secret in its first line, instead.
        secret_file: Option<PathBuf> = None => Live;
        /// The domain that it belongs to, whose users find it among its services. Left out, it is the one that its own domain ends in, or else the first.
        host: Option<Domain> = None, like "\"example.org\"" => Live;
        /// Whether it is listed there.
        listed: bool = true => Live;
        /// The name under which it is listed. Left out, it is its domain.
        name: Option<Text> = None, like "\"IRC\"" => Live;
        /// Whether it also speaks for all domains below its own. Other servers reach those only if they know where.
        subdomains: bool = false => Live;
        /// What becomes of a second connection under the same name: `refuse` it, or have it `replace` the first.
        second_connection: SecondConnection = SecondConnection::Refuse => Live;
        /// How long stanzas wait for it to come back after its connection has ended. Behind that, and before it has connected for the first time, their senders
        /// are told at once that it is away.
        queue_time: Period = Period(30), in 0..=3600 => Live;
        /// Bytes that may wait for it. Of what comes then, senders are told.
        queue_bytes: Size = Size(4 << 20), in 65_536..=1 << 30 => Live;
        /// What it may do with the contact lists of the users of `host` (XEP-0356): `get`, `set` or `both`. This and the next six keys let it act in the name
        /// of all of them: set them only for programs that you trust as much as this server.
        roster: Rights = Rights::None => Live;
        /// Whether it hears of changes in the lists that it may `get`.
        roster_push: bool = true => Live;
        /// Whether it may send messages in their name (XEP-0356), as gateways do for what users write elsewhere.
        messages: bool = false => Live;
        /// Whether it hears of their coming and going (XEP-0356).
        presence: bool = false => Live;
        /// Whether it hears of that of all their contacts, too (XEP-0356), wherever those are. It needs `roster` to be `get` or `both`, and includes `presence`.
        contact_presence: bool = false => Live;
        /// Requests that it may make in their name (XEP-0356): namespaces, each with `get`, `set` or `both`.
        requests: Vec<Request> = Vec::new(), like "[\"http://jabber.org/protocol/pubsub=both\"]" => Live;
        /// Namespaces of requests to `host` and to its users that it answers in their place (XEP-0355), each with the attributes that the request must have,
        /// if any, behind it.
        delegated: Vec<Namespace> = Vec::new(), like "[\"http://jabber.org/protocol/pubsub\", \"urn:xmpp:mam:2 node\"]" => Live;
    }
}

section! {
    /// How clients log in.
    Login "login" {
        /// Whether anybody may log in without an account (SASL ANONYMOUS, RFC 4505), under an address made for that session.
        anonymous: bool = false => Live;
        /// Whether clients may log in by SCRAM-SHA-256. Set it to `false` for a while after accounts have come from a server that knew SCRAM-SHA-1 alone (as Prosody
        /// does by default): clients take the best that is offered, and would fail. Accounts get the missing keys as they log in, from clients that
        /// know XEP-0480 or use PLAIN, and with each new password.
        scram_sha256: bool = true => Live;
    }
}

section! {
    /// Who may make an account.
    Registration "registration" {
        /// `closed`: administrators only (`tercet user add`). `invite`: whoever holds an invitation (`tercet invite`), from a client or in the browser.
        /// `open`: everybody, from a client (XEP-0077) or in the browser.
        policy: RegistrationPolicy = RegistrationPolicy::Closed => Live;
        /// Whether every user may invite people to make an account, from a client (XEP-0401), where `policy` is not `closed`. Administrators may in any
        /// case, and everybody may invite people who have an account elsewhere to become a contact.
        user_invitations: bool = false => Live;
        /// How long an invitation holds, unless it says otherwise.
        invitation_lifetime: Period = Period(7 * 86_400), in 60..=31_536_000 => Live;
    }
}

section! {
    /// Bounds. Who exceeds one gets the error that XMPP has for it; the server does not grow.
    Limits "limits" {
        /// Whether rates are limited and failures slowed down per address and account. Turn it off in a laboratory only.
        rates: bool = true => Live;
        /// Largest stanza before login.
        stanza_bytes_before_login: Size = Size(10 << 10), in 10_000..=1 << 20 => Live;
        /// Largest stanza after login. Clients are told (XEP-0478).
        stanza_bytes: Size = Size(256 << 10), in 10_000..=16 << 20 => Live;
        /// How deep elements may be nested in a stanza.
        depth: u32 = 64, in 16..=1000 => Live;
        /// How many attributes an element may have.
        attributes: u32 = 64, in 16..=1000 => Live;
        /// Time from the first byte to the end of login, TLS included.
        unauthenticated: Period = Period(30), in 1..=600 => Live;
        /// Silence after which a connection is closed. Clients are told (XEP-0478), and keep alive with white space or pings.
        idle: Period = Period(3600), in 30..=86_400 => Live;
        /// Bytes that may wait for a client that does not read.
        outbox_bytes: Size = Size(4 << 20), in 65_536..=1 << 30 => Restart;
        /// How long a client whose connection is lost may come back to its session (XEP-0198); 0 for not at all.
        resumption: Period = Period(600), in 0..=86_400 => Restart;
        /// How long a client may log in without its password by the token that it was given last (XEP-0484); 0: no tokens.
        login_tokens: Period = Period(21 * 86_400), in 0..=31_536_000 => Restart;
        /// Sessions of one account that may wait for their clients to come back. Of more, the one ends whose time is up first; what it was to get goes elsewhere.
        hibernating_per_account: u32 = 8, in 1..=10_000 => Restart;
        /// Bytes that may be sent to a client and not be acknowledged (XEP-0198) before it gets more.
        unacknowledged_bytes: Size = Size(2 << 20), in 65_536..=1 << 30 => Restart;
        /// Stanzas that may be sent to a client and not be acknowledged before it gets more.
        unacknowledged_stanzas: u32 = 10_000, in 100..=1_000_000 => Restart;
        /// Sessions that one account may have at a time.
        sessions_per_account: u32 = 32, in 1..=10_000 => Restart;
        /// Connections that one address (for IPv6: one /64) may have at a time.
        connections_per_address: u32 = 256, in 1..=1_000_000 => Live;
        /// Those among them that have not logged in.
        unauthenticated_per_address: u32 = 64, in 1..=1_000_000 => Live;
        /// Connections of all addresses together that have not logged in.
        unauthenticated_in_all: u32 = 8192, in 1..=10_000_000 => Live;
        /// Connections that one address may open at once.
        connection_burst: u32 = 100, in 1..=1_000_000 => Live;
        /// Connections that one address may open in a second, in the long run.
        connections_per_second: u32 = 20, in 1..=1_000_000 => Live;
        /// BOSH sessions in all.
        bosh_sessions: u32 = 8192, in 1..=1_000_000 => Restart;
        /// BOSH sessions that one address (for IPv6: one /64) may have at a time.
        bosh_sessions_per_address: u32 = 128, in 1..=1_000_000 => Restart;
        /// Registration requests that one address may make at once, where registration is open.
        registration_burst: u32 = 10, in 1..=1_000_000 => Live;
        /// Time after which an address may make one more registration request.
        registration_interval: Period = Period(60), in 1..=86_400 => Live;
        /// Logins that may fail on one connection.
        login_attempts: u32 = 10, in 1..=100 => Live;
        /// Messages kept for an account while it is offline; further ones are returned to their sender.
        offline_messages: u32 = 1000, in 0..=1_000_000 => Live;
        /// Bytes of those messages.
        offline_bytes: Size = Size(4 << 20), in 0..=1 << 40 => Live;
        /// Contacts in one account's list, requests that wait for an answer included.
        roster_items: u32 = 2000, in 10..=1_000_000 => Restart;
        /// Addresses to which one session may have sent its presence without a subscription.
        directed_presence: u32 = 2000, in 10..=1_000_000 => Restart;
        /// Connections to the relay for streams of bytes (`listen.proxy`) in all; a stream has two.
        proxy_connections: u32 = 2048, in 2..=1_000_000 => Live;
        /// Streams that one user may have begun through it at a time.
        proxy_streams_per_user: u32 = 16, in 1..=100_000 => Live;
        /// How long a connection waits for the other end, and for its stream to begin.
        proxy_wait: Period = Period(60), in 1..=3600 => Live;
        /// Silence after which a stream is ended.
        proxy_idle: Period = Period(300), in 10..=86_400 => Live;
        /// Bytes that one stream may carry in a second, each way; 0: as many as the network takes.
        proxy_bytes_per_second: Size = Size(16 << 20), in 0..=1 << 40 => Live;
        /// Bytes that one stream may carry, both ways together; then it is ended.
        proxy_stream_bytes: Size = Size(64 << 30), in 65_536..=1 << 60 => Live;
        /// Accounts kept in memory while nobody is connected to them.
        idle_accounts: u32 = 4096, in 0..=10_000_000 => Restart;
    }
}

section! {
    /// The message archive: what users send and receive is kept on the server, so that all their devices show the same history.
    Archive "archive" {
        /// Whether messages are archived (XEP-0313). Each user may still choose which (XEP-0441).
        enabled: bool = true => Live;
        /// How long. Older messages are deleted, a few at a time. Left out, they are kept until their account is deleted.
        /// `tercet user archive-keep` says otherwise for one account; a user may have them kept for a shorter time by a command of the client.
        keep: Option<Period> = None, in 86_400..=3_153_600_000, like "\"365 d\"" => Live;
    }
}

section! {
    /// Files that users share (XEP-0363). They lie in the folder `uploads` of the data folder, and go with their account.
    Upload "upload" {
        /// Largest file. Clients are told.
        file_size: Size = Size(100 << 20), in 1024..=1 << 40 => Live;
        /// Bytes of one account's files; a further upload is refused, with the time at which there will be place.
        quota: Size = Size(1 << 30), in 1024..=1 << 50 => Live;
        /// Files of one account.
        files: u32 = 4000, in 1..=100_000 => Live;
        /// Bytes of all files of the domain's users.
        host_quota: Size = Size(64 << 30), in 1024..=1 << 60 => Live;
        /// How long a file is kept that was uploaded for a message. A change holds for files that are uploaded later.
        retention: Period = Period(30 * 86_400), in 60..=100 * 366 * 86_400 => Live;
        /// Largest file for a profile, such as an avatar. Those and files that a client declares permanent are kept as long as their account.
        profile_file_size: Size = Size(2 << 20), in 1024..=1 << 40 => Live;
        /// Bytes of one account's files for its profile, which count for nothing else.
        profile_quota: Size = Size(16 << 20), in 1024..=1 << 50 => Live;
    }
}

choice! {
    /// Who may make a room.
    RoomCreation {
        /// Who has an account on this server.
        Users = "users",
        /// Everybody, users of other servers too.
        Everybody = "everybody",
        /// Administrators only.
        Admins = "admins",
    }
}

section! {
    /// Rooms for many (XEP-0045), under a domain of their own.
    Rooms "rooms" {
        /// Whether there are rooms.
        enabled: bool = true => Live;
        /// The domain of the rooms' addresses. Left out, it is `rooms.` before the domain that they belong to.
        domain: Option<Domain> = None, like "\"rooms.example.org\"" => Restart;
        /// Who may make a room: `users` with an account on this server, `everybody`, or `admins` only.
        creation: RoomCreation = RoomCreation::Users => Live;
        /// Rooms that one user may own, beyond which no more can be made.
        per_user: u32 = 100, in 1..=1_000_000 => Live;
        /// Occupants of one room at the most, whatever its own settings say.
        occupants: u32 = 20_000, in 2..=1_000_000 => Live;
        /// Occupants beyond which a room is large: who comes, goes or shows something else is told to the others within half a second
        /// instead of at once, together with what else happens meanwhile.
        large: u32 = 500, in 0..=1_000_000 => Live;
        /// How often a user may enter rooms in a minute; a minute's worth may come at once. 0: as often as it likes.
        joins_per_minute: u32 = 120, in 0..=60_000 => Live;
        /// Messages of one occupant in a minute, to all and in private; a fifth of them may come at once. Moderators write as they
        /// like. 0: everybody does.
        messages_per_minute: u32 = 300, in 0..=60_000 => Live;
        /// How long those who are new in a room, and no members, wait before they may write: against spam.
        newcomers_wait: Period = Period(0), in 0..=86_400 => Live;
        /// After how long without use a room that would stay is destroyed. Left out, none is.
        idle: Option<Period> = None, in 86_400..=3_153_600_000, like "\"365 d\"" => Live;
        /// Whether a room whose owner has not said otherwise stays when nobody is in it.
        default_persistent: bool = false => Live;
        /// Whether it is listed for everybody.
        default_public: bool = true => Live;
        /// Whether only its members enter it.
        default_members_only: bool = false => Live;
        /// Whether those who are no members may only listen.
        default_moderated: bool = false => Live;
        /// Whether only its moderators see who is who.
        default_anonymous: bool = true => Live;
        /// Messages that those who enter are shown.
        default_history: u32 = 50, in 0..=500 => Live;
        /// Whether it has an archive.
        default_archived: bool = true => Live;
    }
}

choice! {
    /// Who may make a node.
    NodeCreation {
        /// Who has an account on this server.
        Users = "users",
        /// Everybody, users of other servers too.
        Everybody = "everybody",
        /// Administrators only.
        Admins = "admins",
    }
}

section! {
    /// Nodes that are published to and subscribed to: those of each account (XEP-0163), and those of a service for all (XEP-0060),
    /// under a domain of its own.
    PubSub "pubsub" {
        /// Whether there is a service for all.
        service: bool = true => Live;
        /// The domain of that service. Left out, it is `pubsub.` before the domain that it belongs to.
        domain: Option<Domain> = None, like "\"pubsub.example.org\"" => Restart;
        /// Who may make nodes at the service: `users` with an account on this server, `everybody`, or `admins` only.
        creation: NodeCreation = NodeCreation::Users => Live;
        /// Nodes of one account, and nodes of the service that one user may own.
        nodes: u32 = 250, in 1..=1_000_000 => Live;
        /// Items of one node at the most, whatever its own settings say.
        items: u32 = 1000, in 1..=1_000_000 => Live;
        /// The largest item.
        item_size: Size = Size(192 << 10), in 1024..=16_777_216 => Live;
        /// Together, the items of one account, and those of one node of the service.
        quota: Size = Size(32 << 20), in 65_536..=1_099_511_627_776 => Live;
        /// Subscriptions to one node, and names on its lists.
        node_subscriptions: u32 = 10_000, in 1..=1_000_000 => Live;
        /// Nodes of the service that one user may be subscribed to or on the lists of.
        user_subscriptions: u32 = 1000, in 1..=1_000_000 => Live;
    }
}

section! {
    /// Whom to ask: addresses that everybody may see (XEP-0157), as in `["mailto:abuse@example.org", "xmpp:help@example.org"]`.
    Contact "contact" {
        /// For reports of abuse.
        abuse: Vec<Uri> = Vec::new(), like "[\"mailto:abuse@example.org\"]" => Live;
        /// For reaching the administrators.
        admin: Vec<Uri> = Vec::new(), like "[\"mailto:admin@example.org\", \"xmpp:admin@example.org\"]" => Live;
        /// For comments.
        feedback: Vec<Uri> = Vec::new() => Live;
        /// For customers.
        sales: Vec<Uri> = Vec::new() => Live;
        /// For reports of weaknesses.
        security: Vec<Uri> = Vec::new() => Live;
        /// Where the state of the service is shown.
        status: Vec<Uri> = Vec::new(), like "[\"https://status.example.org\"]" => Live;
        /// For help.
        support: Vec<Uri> = Vec::new() => Live;
    }
}

section! {
    /// What is written to standard error. Passwords and messages never are.
    Log "log" {
        /// `error`, `warn`, `info`, `debug`, `trace` or `off`; also by part, as in `"info,tercet_stream=debug"`.
        level: LogFilter = LogFilter("info".into()) => Live;
        /// `text` for people, `json` for machines.
        format: LogFormat = LogFormat::Text => Restart;
    }
}
