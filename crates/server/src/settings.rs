//! The settings of a host: what it is there for, its bounds, and those of its extensions that routing and modules need.

use tercet_core::{BareJid, Peers};

use crate::route::Component;

/// Who may make accounts in-band.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Only the server's administrators make accounts.
    #[default]
    Closed,
    /// Who has an invitation.
    Invite,
    /// Everybody.
    Open,
}

/// Who invites people to a host, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Invitations {
    /// Whether every user may invite people to make an account; administrators may in any case.
    pub by_users: bool,
    /// How long an invitation holds, in seconds.
    pub lifetime_s: u64,
}

impl Default for Invitations {
    fn default() -> Self {
        Invitations {
            by_users: false,
            lifetime_s: 7 * 24 * 3600,
        }
    }
}

/// What a host is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// It has accounts.
    #[default]
    Accounts,
    /// A service: its addresses are rooms.
    Rooms,
    /// A service: it has the nodes that people publish to and subscribe to.
    PubSub,
    /// A service: it relays streams of bytes.
    Bytestreams,
}

/// The settings of one host that modules and routing need.
#[derive(Debug, Clone, Default)]
pub struct HostInfo {
    /// Its domain, normalised.
    pub domain: String,
    /// What it is there for. Services are made by [`Server::configure`](crate::Server::configure), from the settings of the host that they belong to.
    pub role: Role,
    /// Of a service: the domain of the host that it belongs to.
    pub parent: Option<String>,
    /// Its rooms, if it has any. A service for them has the settings of its host.
    pub rooms: Option<Rooms>,
    /// Nodes to publish to: of its accounts, and of a service if it has one, which has the settings of its host.
    pub pubsub: PubSub,
    /// The service that relays streams of bytes, if it has one, which has the settings of its host.
    pub bytestreams: Option<Bytestreams>,
    /// Who may make accounts in-band.
    pub registration: Registration,
    /// Invitations to it.
    pub invitations: Invitations,
    /// Accounts that administer the server by its configuration, of whatever host; more have the right in their record.
    pub admins: Vec<BareJid>,
    /// Contact addresses by their kind (`admin`, `abuse`, …), each a list of URIs (XEP-0157).
    pub contacts: Vec<(String, Vec<String>)>,
    /// Where browsers reach the host's pages (`https://example.org:5281`), without a slash at the end; `None` if nowhere.
    pub public_url: Option<String>,
    /// Whether and how long messages are archived.
    pub archive: Archiving,
    /// What counts by account or domain is not limited: a laboratory's setting.
    pub unpaced: bool,
    /// With which domains of other servers it speaks.
    pub peers: Peers,
    /// Bounds on the files that its users share.
    pub uploads: Uploads,
    /// Services outside XMPP that its users are told of.
    pub external: Vec<External>,
    /// The components that belong to it.
    pub components: Vec<Component>,
    /// The table `[modules]`: one table a module.
    pub modules: toml::Table,
    /// The limits.
    pub limits: Limits,
}

impl HostInfo {
    /// The services of the host, each a host of its own with the settings that matter to it.
    pub(crate) fn services(&self) -> impl Iterator<Item = HostInfo> + use<> {
        let rooms = self.rooms.clone().filter(|_| self.role == Role::Accounts);
        let service = |domain: &str, role| HostInfo {
            domain: domain.to_owned(),
            role,
            parent: Some(self.domain.clone()),
            pubsub: self.pubsub.clone(),
            admins: self.admins.clone(),
            contacts: self.contacts.clone(),
            public_url: self.public_url.clone(),
            archive: self.archive,
            unpaced: self.unpaced,
            peers: self.peers.clone(),
            modules: self.modules.clone(),
            limits: self.limits,
            ..HostInfo::default()
        };
        let rooms = rooms.map(|rooms| HostInfo {
            rooms: Some(rooms.clone()),
            ..service(&rooms.domain, Role::Rooms)
        });
        let nodes = self.pubsub.domain.as_deref();
        let nodes = nodes.filter(|_| self.role == Role::Accounts);
        let nodes = nodes.map(|domain| service(domain, Role::PubSub));
        let relay = self.bytestreams.clone();
        let relay = relay.filter(|_| self.role == Role::Accounts);
        let relay = relay.map(|relay| HostInfo {
            bytestreams: Some(relay.clone()),
            ..service(&relay.domain, Role::Bytestreams)
        });
        rooms.into_iter().chain(nodes).chain(relay)
    }
}

/// Who may make rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RoomCreation {
    /// Who has an account on a host of this server.
    #[default]
    Users,
    /// Everybody, users of other servers too.
    Everybody,
    /// Administrators only.
    Admins,
}

/// The rooms of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rooms {
    /// The domain of their addresses, normalised.
    pub domain: String,
    /// Who may make one.
    pub creation: RoomCreation,
    /// Rooms that one user may own.
    pub per_user: usize,
    /// Occupants of one room at the most, whatever it allows itself.
    pub occupants: usize,
    /// Occupants beyond which a room is large: changes of presence are gathered, lists of occupants paced.
    pub large: usize,
    /// How often a user may enter rooms in a minute; 0: as often as it likes.
    pub joins_per_minute: u32,
    /// How many messages an occupant may send in a minute; 0: as many as it likes.
    pub messages_per_minute: u32,
    /// How long those without an affiliation wait before they may write, in milliseconds.
    pub newcomers_wait_ms: u64,
    /// How long nobody has to have used a kept room until it is destroyed, in milliseconds; `None`: for ever.
    pub idle_ms: Option<u64>,
    /// How rooms are that nobody has configured.
    pub defaults: RoomDefaults,
}

/// How rooms are that nobody has configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomDefaults {
    /// They stay when nobody is in them.
    pub persistent: bool,
    /// They are listed.
    pub public: bool,
    /// Only members enter.
    pub members_only: bool,
    /// Those without an affiliation have no voice.
    pub moderated: bool,
    /// Only moderators see who is who.
    pub anonymous: bool,
    /// Messages of history for who enters.
    pub history: u32,
    /// They have an archive.
    pub archived: bool,
}

impl Default for RoomDefaults {
    fn default() -> Self {
        RoomDefaults {
            persistent: false,
            public: true,
            members_only: false,
            moderated: false,
            anonymous: true,
            history: 50,
            archived: true,
        }
    }
}

impl Rooms {
    /// The usual settings, with addresses in `domain`.
    pub fn new(domain: impl Into<String>) -> Rooms {
        Rooms {
            domain: domain.into(),
            creation: RoomCreation::default(),
            per_user: 100,
            occupants: 20_000,
            large: 500,
            joins_per_minute: 120,
            messages_per_minute: 300,
            newcomers_wait_ms: 0,
            idle_ms: None,
            defaults: RoomDefaults::default(),
        }
    }
}

/// Bounds that hold for every account.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes that may wait in a session's outbox.
    pub outbox_bytes: usize,
    /// Connected resources of one account.
    pub sessions: usize,
    /// Entries in one roster, pending requests included.
    pub roster_items: usize,
    /// Entities that one session may have sent directed presence to.
    pub directed_presence: usize,
    /// Messages kept for one account while its user is away.
    pub offline_messages: u64,
    /// Bytes of those messages.
    pub offline_bytes: u64,
    /// Accounts kept in memory while nobody is connected to them.
    pub idle_accounts: usize,
    /// The largest stanza after login, in bytes.
    pub stanza_bytes: usize,
    /// How long a session waits for its client to come back, in milliseconds; 0 for not at all.
    pub resume_ms: u64,
    /// Sessions of one account that wait so at a time.
    pub hibernating: usize,
    /// Bytes sent to a client and not acknowledged, beyond which no more are sent.
    pub unacked_bytes: usize,
    /// Stanzas likewise.
    pub unacked_stanzas: usize,
    /// How long a client's token for its next login holds, in milliseconds; 0: there are none.
    pub token_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            outbox_bytes: 4 << 20,
            sessions: 32,
            roster_items: 2000,
            directed_presence: 2000,
            offline_messages: 1000,
            offline_bytes: 4 << 20,
            idle_accounts: 4096,
            stanza_bytes: 256 << 10,
            resume_ms: 600_000,
            hibernating: 8,
            unacked_bytes: 2 << 20,
            unacked_stanzas: 10_000,
            token_ms: 21 * 86_400_000,
        }
    }
}

/// Who may make nodes at a service for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NodeCreation {
    /// Who has an account on a host of this server.
    #[default]
    Users,
    /// Everybody, users of other servers too.
    Everybody,
    /// Administrators only.
    Admins,
}

/// Nodes that are published to (XEP-0060, XEP-0163), and their bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PubSub {
    /// The domain of the service for nodes of everybody, normalised; `None`: there is none.
    pub domain: Option<String>,
    /// Who may make nodes there.
    pub creation: NodeCreation,
    /// Nodes of one account, and nodes of the service that one user may own.
    pub nodes: usize,
    /// Items of one node at the most, whatever it allows itself.
    pub items: u32,
    /// Bytes of one item's payload.
    pub item_bytes: usize,
    /// Bytes of all items of one account, and of all items of one node of the service.
    pub owner_bytes: u64,
    /// Subscriptions to one node, and entries on its list of affiliations.
    pub node_subscriptions: usize,
    /// Nodes of the service that one user may be subscribed to or on the lists of.
    pub user_subscriptions: usize,
}

impl Default for PubSub {
    fn default() -> Self {
        PubSub {
            domain: None,
            creation: NodeCreation::default(),
            nodes: 250,
            items: 1000,
            item_bytes: 192 << 10,
            owner_bytes: 32 << 20,
            node_subscriptions: 10_000,
            user_subscriptions: 1000,
        }
    }
}

/// What a host does with its users' messages once they are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Archiving {
    /// They are kept in an archive.
    pub enabled: bool,
    /// For so long, in milliseconds; `None` for ever.
    pub keep_ms: Option<u64>,
}

impl Default for Archiving {
    fn default() -> Self {
        Archiving {
            enabled: true,
            keep_ms: None,
        }
    }
}

/// Bounds on the files that the users of one host share (XEP-0363).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uploads {
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of one file for a profile.
    pub profile_file_bytes: u64,
    /// Bytes of one account's files, those for its profile aside.
    pub user_bytes: u64,
    /// Bytes of one account's files for its profile.
    pub profile_bytes: u64,
    /// Files of one account, of all sorts.
    pub user_files: usize,
    /// Bytes of all files of the host.
    pub host_bytes: u64,
    /// How long a file is kept, in milliseconds, unless it is for a profile or permanent.
    pub retention_ms: u64,
}

impl Default for Uploads {
    fn default() -> Self {
        Uploads {
            file_bytes: 100 << 20,
            profile_file_bytes: 2 << 20,
            user_bytes: 1 << 30,
            profile_bytes: 16 << 20,
            user_files: 4000,
            host_bytes: 64 << 30,
            retention_ms: 30 * 86_400_000,
        }
    }
}

/// A service outside XMPP that clients are told of (XEP-0215), such as one for calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    /// What it is: `stun`, `turn`, …
    pub kind: &'static str,
    /// Its name, or its IP address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `udp` or `tcp`.
    pub transport: &'static str,
    /// What it is called, for people.
    pub name: Option<String>,
    /// How users get in.
    pub entry: Entry,
}

/// How users get into a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Without a password.
    Open,
    /// With one that is made for each request, and holds for a while: by a secret that the service knows, too.
    Made {
        /// The secret.
        secret: Secret,
        /// How long a password holds, in seconds.
        lifetime_s: u64,
    },
    /// With one that is everybody's.
    Fixed {
        /// The user's name.
        username: String,
        /// The password.
        password: Secret,
    },
}

/// What is not to be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// The service that relays streams of bytes between clients (XEP-0065).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bytestreams {
    /// Its domain, normalised.
    pub domain: String,
    /// Where clients connect to: a name, or an IP address without brackets.
    pub address: String,
    /// Whether users of other servers may begin streams, too.
    pub everybody: bool,
}
