//! Putting a server together from its configuration: the store with everything that is kept in it, the hosts with their modules.

use std::path::Path;
use std::sync::Arc;

use tercet_core::Peers;
use tercet_server::{
    Access, Archiving, Bytestreams, Clock, Component, Delegated, Entry, External, HostInfo,
    Invitations, Limits, PubSub, RoomDefaults, Rooms, Secret, Server, Uploads,
};
use tercet_store::{Kind, Store, StoreError};

use crate::config::{
    self, Config, Host, NodeCreation, Password, Place, Port, RegistrationPolicy, RelayUsers,
    Rights, RoomCreation, Service, ServiceEntry, Uri,
};

/// Why a server could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The store failed.
    #[error("the store cannot be used: {0}")]
    Store(#[from] StoreError),
    /// Modules refuse their settings.
    #[error("{}", .0.join("\n"))]
    Modules(Vec<String>),
}

/// Everything that is kept in the store.
pub fn catalogue() -> Vec<&'static Kind> {
    let server = tercet_server::KINDS.iter();
    server.chain(tercet_modules::KINDS).copied().collect()
}

/// Opens the store in the data folder, which is made if it does not exist, and is ours alone from here on.
pub fn store(folder: &Path) -> Result<Store, StoreError> {
    Store::sqlite(folder, &catalogue())
}

/// A server over `store` with the configured hosts, without listeners.
pub async fn server(config: &Config, store: Store) -> Result<Arc<Server>, AssembleError> {
    let server = Server::new(store, limits(config), Clock::System).await?;
    configure(&server, config)?;
    tercet_modules::block_lists::keep_up(&server);
    tercet_modules::push::web::prepare(&server).await?;
    tercet_modules::mam::keep_to_retention(&server);
    tercet_modules::muc::keep_up(&server);
    tercet_modules::pubsub::keep_up(&server);
    Ok(server)
}

/// Gives `server` the hosts of `config`; on faults it keeps those it has.
pub fn configure(server: &Server, config: &Config) -> Result<(), AssembleError> {
    let hosts = config.hosts.iter().map(|host| info(config, host)).collect();
    server
        .configure(hosts, tercet_modules::modules)
        .map_err(AssembleError::Modules)?;
    tercet_modules::block_lists::reconfigured(server);
    Ok(())
}

/// The bounds that hold for every account.
fn limits(config: &Config) -> Limits {
    let limits = &config.limits;
    Limits {
        outbox_bytes: bytes(limits.outbox_bytes.0),
        sessions: bytes(limits.sessions_per_account.into()),
        roster_items: bytes(limits.roster_items.into()),
        directed_presence: bytes(limits.directed_presence.into()),
        offline_messages: limits.offline_messages.into(),
        offline_bytes: limits.offline_bytes.0,
        idle_accounts: bytes(limits.idle_accounts.into()),
        stanza_bytes: bytes(limits.stanza_bytes.0),
        resume_ms: limits.resumption.0 * 1000,
        hibernating: bytes(limits.hibernating_per_account.into()),
        unacked_bytes: bytes(limits.unacknowledged_bytes.0),
        unacked_stanzas: bytes(limits.unacknowledged_stanzas.into()),
        token_ms: limits.login_tokens.0 * 1000,
    }
}

/// Bounds fit: the table of keys has its own.
fn bytes(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn info(config: &Config, host: &Host) -> HostInfo {
    HostInfo {
        domain: host.domain.as_str().to_owned(),
        registration: match host.registration.policy {
            RegistrationPolicy::Closed => tercet_server::Registration::Closed,
            RegistrationPolicy::Invite => tercet_server::Registration::Invite,
            RegistrationPolicy::Open => tercet_server::Registration::Open,
        },
        invitations: Invitations {
            by_users: host.registration.user_invitations,
            lifetime_s: host.registration.invitation_lifetime.0,
        },
        admins: config.admins.iter().map(|admin| admin.0.clone()).collect(),
        contacts: contacts(host),
        public_url: config.public_url(host),
        archive: Archiving {
            enabled: host.archive.enabled,
            keep_ms: host.archive.keep.map(|keep| keep.0.saturating_mul(1000)),
        },
        unpaced: !config.limits.rates,
        peers: Peers {
            allow: host.peers.allow.clone(),
            deny: host.peers.deny.clone(),
        },
        uploads: uploads(host),
        rooms: host.rooms_domain().map(|domain| Rooms {
            domain,
            creation: match host.rooms.creation {
                RoomCreation::Users => tercet_server::RoomCreation::Users,
                RoomCreation::Everybody => tercet_server::RoomCreation::Everybody,
                RoomCreation::Admins => tercet_server::RoomCreation::Admins,
            },
            per_user: bytes(host.rooms.per_user.into()),
            occupants: bytes(host.rooms.occupants.into()),
            large: bytes(host.rooms.large.into()),
            // What counts by account is lifted with all rates.
            joins_per_minute: rate(config, host.rooms.joins_per_minute),
            messages_per_minute: rate(config, host.rooms.messages_per_minute),
            newcomers_wait_ms: host.rooms.newcomers_wait.0.saturating_mul(1000),
            idle_ms: host.rooms.idle.map(|idle| idle.0.saturating_mul(1000)),
            defaults: room_defaults(&host.rooms),
        }),
        components: config
            .components
            .iter()
            .filter(|component| component.host == host.domain)
            .map(self::component)
            .collect(),
        pubsub: nodes(host),
        bytestreams: relay(config, host),
        external: config
            .services
            .iter()
            .filter(|service| service.host.as_ref().is_none_or(|h| *h == host.domain))
            .map(external)
            .collect(),
        modules: host.modules.0.clone(),
        limits: limits(config),
        ..HostInfo::default()
    }
}

fn nodes(host: &Host) -> PubSub {
    let nodes = &host.pubsub;
    PubSub {
        domain: host.nodes_domain(),
        creation: match nodes.creation {
            NodeCreation::Users => tercet_server::NodeCreation::Users,
            NodeCreation::Everybody => tercet_server::NodeCreation::Everybody,
            NodeCreation::Admins => tercet_server::NodeCreation::Admins,
        },
        nodes: bytes(nodes.nodes.into()),
        items: nodes.items,
        item_bytes: bytes(nodes.item_size.0),
        owner_bytes: nodes.quota.0,
        node_subscriptions: bytes(nodes.node_subscriptions.into()),
        user_subscriptions: bytes(nodes.user_subscriptions.into()),
    }
}

/// The service for streams of bytes, where there is a port for them.
fn relay(config: &Config, host: &Host) -> Option<Bytestreams> {
    let domain = host.relay_domain();
    let domain = domain.filter(|_| config.listen.proxy != Port::Off)?;
    let address = host.proxy.address.as_ref();
    Some(Bytestreams {
        domain,
        address: address
            .map_or(host.domain.as_str(), Place::as_str)
            .to_owned(),
        everybody: host.proxy.users == RelayUsers::Everybody,
    })
}

fn external(service: &Service) -> External {
    let secret = |password: &Password| Secret(password.reveal().to_owned());
    External {
        kind: service.kind.word(),
        host: service.address.as_str().to_owned(),
        port: service.port,
        transport: service.transport.word(),
        name: service.name.clone(),
        entry: match &service.entry {
            ServiceEntry::Open => Entry::Open,
            ServiceEntry::Made(shared, lifetime) => Entry::Made {
                secret: secret(shared),
                lifetime_s: lifetime.0,
            },
            ServiceEntry::Fixed(username, password) => Entry::Fixed {
                username: username.clone(),
                password: secret(password),
            },
        },
    }
}

fn component(component: &config::Component) -> Component {
    let access = |rights| Access {
        get: matches!(rights, Rights::Get | Rights::Both),
        set: matches!(rights, Rights::Set | Rights::Both),
    };
    let requests = component.requests.iter();
    let delegated = component.delegated.iter();
    Component {
        domain: component.domain.as_str().to_owned(),
        name: component.name.clone().unwrap_or_default(),
        roster: access(component.roster),
        roster_push: component.roster_push,
        messages: component.messages,
        presence: component.presence,
        contact_presence: component.contact_presence,
        requests: requests
            .map(|request| (request.ns.clone(), access(request.rights)))
            .collect(),
        delegated: delegated
            .map(|delegated| Delegated {
                ns: delegated.ns.clone(),
                attributes: delegated.attributes.clone(),
            })
            .collect(),
    }
}

fn rate(config: &Config, per_minute: u32) -> u32 {
    if config.limits.rates { per_minute } else { 0 }
}

fn room_defaults(rooms: &config::Rooms) -> RoomDefaults {
    RoomDefaults {
        persistent: rooms.default_persistent,
        public: rooms.default_public,
        members_only: rooms.default_members_only,
        moderated: rooms.default_moderated,
        anonymous: rooms.default_anonymous,
        history: rooms.default_history,
        archived: rooms.default_archived,
    }
}

fn uploads(host: &Host) -> Uploads {
    let upload = &host.upload;
    Uploads {
        file_bytes: upload.file_size.0,
        profile_file_bytes: upload.profile_file_size.0,
        user_bytes: upload.quota.0,
        profile_bytes: upload.profile_quota.0,
        user_files: bytes(upload.files.into()),
        host_bytes: upload.host_quota.0,
        retention_ms: upload.retention.0.saturating_mul(1000),
    }
}

/// The addresses by their kind, those that are there.
fn contacts(host: &Host) -> Vec<(String, Vec<String>)> {
    let contact = &host.contact;
    let kinds: [(&str, &[Uri]); 7] = [
        ("abuse", &contact.abuse),
        ("admin", &contact.admin),
        ("feedback", &contact.feedback),
        ("sales", &contact.sales),
        ("security", &contact.security),
        ("status", &contact.status),
        ("support", &contact.support),
    ];
    let named = kinds
        .into_iter()
        .filter(|(_, addresses)| !addresses.is_empty());
    named
        .map(|(kind, addresses)| {
            (
                kind.to_owned(),
                addresses.iter().map(|a| a.0.clone()).collect(),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use tercet_core::Limits as XmlLimits;

    use super::*;
    use crate::listen::Settings;
    use crate::listen::gate::GateLimits;

    #[test]
    fn the_defaults_of_the_configuration_are_those_of_the_parts() {
        let config = Config::default();
        let own = format!("{:?}", Limits::default());
        assert_eq!(format!("{:?}", limits(&config)), own);
        assert_eq!(uploads(&config.hosts[0]), Uploads::default());

        let server = Server::new(Store::memory(&catalogue()), limits(&config), Clock::System);
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let server = runtime.unwrap().block_on(server).unwrap();
        configure(&server, &config).unwrap();
        let settings = Settings::new(&config, &server);
        assert_eq!(settings.gate, GateLimits::default());
        assert_eq!(settings.streams.before_login, XmlLimits::BEFORE_LOGIN);
        assert_eq!(settings.streams.after_login, XmlLimits::AFTER_LOGIN);
    }

    #[test]
    fn contact_addresses_go_to_their_host_by_kind() {
        let text = "contact.abuse = [\"mailto:a@b\"]\n[[host]]\ndomain = \"x\"\ncontact.status = [\"https://s\"]\n";
        let (config, faults) = Config::parse(text, Path::new(""));
        assert_eq!(faults, []);
        let expected = [
            ("abuse".to_owned(), vec!["mailto:a@b".to_owned()]),
            ("status".to_owned(), vec!["https://s".to_owned()]),
        ];
        assert_eq!(info(&config, &config.hosts[0]).contacts, expected);
    }
}
