//! Settings of a host for some of its extensions: nodes, archives, files, streams of bytes.

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
