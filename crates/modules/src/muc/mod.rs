//! XEP-0045 Multi-User Chat 1.35.5. Gaps: none known.
//!
//! The addresses of a service are rooms and their occupants; the service's own domain is a host like any other, whose requests the
//! modules of its list answer. `service` has the rooms, `room` is one, behind its lock; what occupants do is in a file for
//! each deed (`enter`, `leave`, `message`, `admin`, `owner`, …), what rooms can do besides in `features`. What is durable of a room
//! (`records`) is changed in the store first; then everybody hears of it, and the one who asked gets an answer.

mod admin;
pub mod affiliation;
pub mod config;
pub mod control;
mod disco;
mod enter;
pub mod features;
mod gather;
pub mod history;
mod invite;
mod leave;
pub mod message;
mod nick;
pub mod occupant;
mod owner;
mod pace;
pub mod presence;
mod records;
mod relay;
pub mod room;
pub mod service;
mod show;
pub mod status;
mod upkeep;
mod voice;

pub use features::archive::ROOM_ARCHIVE;
pub use records::{AFFILIATED, AFFILIATION, ROOM, ROOM_DATA};
pub use upkeep::keep_up;

use std::sync::{Arc, OnceLock};

use tercet_core::{BareJid, IqType, StanzaError, StanzaKind};
use tercet_server::module::{
    Coverage, EntityCx, Module, OnEntity, OnRemoval, Parked, Registrar, Target, Xep, xep,
};
use tercet_server::{HostInfo, Rooms, Routed, Server, store_failure};

use crate::disco::{Identity, Items};
use config::{RoomConfig, RoomLimits, Whois};
use features::Features;
use room::{Room, State};
use service::Service;

/// The namespace of rooms.
pub const MUC: &str = "http://jabber.org/protocol/muc";

/// The rooms of one service.
pub struct Muc {
    core: Arc<Core>,
}

/// What all rooms of a service share.
pub struct Core {
    /// The service's domain.
    pub domain: String,
    /// Its settings.
    pub settings: Rooms,
    /// What rooms can do.
    pub features: Features,
    service: OnceLock<Arc<Service>>,
}

/// A stanza for a room that is in memory.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The stanza, with its addresses.
    pub entity: EntityCx<'a>,
    /// What all rooms of the service share.
    pub core: &'a Arc<Core>,
    /// The room.
    pub room: &'a Arc<Room>,
}

/// A [`Call`] that can be kept.
pub struct ParkedCall {
    entity: Parked,
    core: Arc<Core>,
    room: Arc<Room>,
}

impl Call<'_> {
    /// The same, owned, for what comes later.
    pub fn park(&self) -> ParkedCall {
        ParkedCall {
            entity: self.entity.park(),
            core: self.core.clone(),
            room: self.room.clone(),
        }
    }
}

impl ParkedCall {
    /// What was kept.
    pub fn call(&self) -> Call<'_> {
        Call {
            entity: self.entity.cx(),
            core: &self.core,
            room: &self.room,
        }
    }
}

impl Core {
    /// The rooms, which outlive changes of the settings.
    pub fn service(&self, server: &Server) -> &Arc<Service> {
        self.service
            .get_or_init(|| server.kept(&self.domain, Service::default))
    }

    /// The configuration of a room that nobody has configured.
    pub fn defaults(&self) -> RoomConfig {
        let defaults = &self.settings.defaults;
        RoomConfig {
            persistent: defaults.persistent,
            public: defaults.public,
            members_only: defaults.members_only,
            moderated: defaults.moderated,
            whois: match defaults.anonymous {
                true => Whois::Moderators,
                false => Whois::Anyone,
            },
            max_history: defaults.history.min(self.limits().history),
            archiving: defaults.archived,
            ..RoomConfig::default()
        }
    }

    /// A room that is being made, with nobody on its lists.
    pub fn new_room(&self, server: &Server) -> State {
        let mut state = State::new(self.defaults(), server.now_ms());
        for feature in self.features.iter() {
            feature.made(server, &mut state.data);
        }
        state
    }

    /// What rooms may be configured for.
    pub fn limits(&self) -> RoomLimits {
        RoomLimits {
            users: u32::try_from(self.settings.occupants).unwrap_or(u32::MAX),
            ..RoomLimits::default()
        }
    }
}

/// The server is ending: all rooms are closed, and their occupants told. Nobody enters any more.
pub fn shut_down(server: &Arc<Server>) {
    for core in control::cores(server) {
        for room in core.service(server).close() {
            let mut state = room.lock();
            state.gone = true;
            leave::shut_down(server, &core, &mut state);
        }
    }
}

/// When a room in memory was made, in milliseconds since 1970.
fn live_since(server: &Server, room: &BareJid) -> Option<u64> {
    let service = server.kept(room.domain(), Service::default);
    let room = service.get(room.local().unwrap_or_default())?;
    let created_ms = room.lock().created_ms;
    Some(created_ms)
}

impl Module for Muc {
    const NAME: &'static str = "muc";
    const XEPS: &'static [Xep] = &[
        xep(45, "1.35.5", Coverage::Complete),
        xep(55, "1.3", Coverage::Complete),
        xep(307, "0.1", Coverage::Complete),
        xep(317, "0.3.1", Coverage::Partial("titles have no language")),
        xep(410, "1.1.0", Coverage::Complete),
        xep(421, "1.0.1", Coverage::Complete),
        xep(425, "0.3.0", Coverage::Complete),
        xep(
            463,
            "0.2.0",
            Coverage::Partial(
                "lists of more than 5,000 names are asked for; outcasts have no versions",
            ),
        ),
        xep(488, "0.1.0", Coverage::Complete),
        xep(433, "0.1.0", Coverage::Complete),
        xep(452, "0.2.2", Coverage::Complete),
        xep(486, "0.1.0", Coverage::Complete),
        xep(500, "0.1.1", Coverage::Complete),
        xep(502, "0.1.0", Coverage::Complete),
        xep(
            513,
            "0.1.0",
            Coverage::Partial("spaces and servers are no groups for rooms"),
        ),
    ];
    type Config = ();

    fn new((): (), host: &HostInfo) -> Self {
        let rooms = host.rooms.clone();
        Muc {
            core: Arc::new(Core {
                domain: host.domain.clone(),
                settings: rooms.unwrap_or_else(|| Rooms::new(host.domain.clone())),
                features: features::features(host),
                service: OnceLock::new(),
            }),
        }
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.entities()
            .feature(MUC)
            .feature("http://jabber.org/protocol/muc#stable_id");
        let identity = Identity {
            target: Target::Host,
            category: "conference",
            kind: "text",
            name: "Rooms",
        };
        r.provide(Target::Host, identity).silent("an identity");
        let core = r.module().core.clone();
        let items = Items(Box::new(move |cx, page| {
            let core = core.clone();
            Box::pin(async move { disco::rooms(&core, cx, page).await })
        }));
        r.provide(Target::Host, items).silent("items");
        r.provide(Target::Host, OnRemoval(upkeep::on_removal))
            .silent("nobody asks for it");
        features::unique::register(r);
        features::search::register(r);
        features::directory::register(r);
        let control = control::Control(r.module().core.clone());
        r.provide(Target::Host, control)
            .silent("for those who run the server");
    }
}

impl OnEntity for Muc {
    fn on_entity(&self, cx: EntityCx<'_>) -> Routed {
        let core = &self.core;
        if core.service(cx.server).is_closed() {
            enter::refuse_any(&cx, &service::closed());
            return Routed::Done;
        }
        let name = cx.to.local().unwrap_or_default();
        if let Some(room) = core.service(cx.server).get(name) {
            let call = Call {
                entity: cx,
                core,
                room: &room,
            };
            if let Some(routed) = in_room(&call) {
                return routed;
            }
        }
        if !needs_room(&cx) {
            return Routed::Done;
        }
        let (core, parked) = (core.clone(), cx.park());
        Routed::later(async move {
            let cx = parked.cx();
            match cx.stanza.kind() {
                StanzaKind::Presence => enter::presence_to_unloaded(&core, cx).await,
                StanzaKind::Message | StanzaKind::Iq => to_unloaded(&core, cx).await,
            }
        })
    }
}

/// Whether a stanza for a room that is not in memory, where nobody is, makes a difference.
fn needs_room(cx: &EntityCx<'_>) -> bool {
    use tercet_core::PresenceType;
    match cx.stanza.kind() {
        StanzaKind::Presence => cx.stanza.presence_type() == Some(PresenceType::Available),
        StanzaKind::Message => cx.stanza.may_bounce(),
        StanzaKind::Iq => matches!(cx.stanza.iq_type(), Some(IqType::Get | IqType::Set)),
    }
}

/// A stanza for a room in memory. `None`: it has gone meanwhile.
fn in_room(call: &Call<'_>) -> Option<Routed> {
    match call.entity.stanza.kind() {
        StanzaKind::Message => message::message(call),
        StanzaKind::Presence => enter::presence(call),
        StanzaKind::Iq => relay::request(call),
    }
}

/// A message or request for a room that is not in memory.
async fn to_unloaded(core: &Arc<Core>, cx: EntityCx<'_>) {
    // A room that goes meanwhile is looked for again; not for ever.
    for _ in 0..8 {
        let jid = cx.to.to_bare();
        let found = core.service(cx.server);
        let room = match found.find(cx.server, &core.features, &jid).await {
            Ok(Some(room)) => room,
            Ok(None) if found.is_closed() => return cx.refuse(&service::closed()),
            Ok(None) => {
                return cx.refuse(&StanzaError::item_not_found().text("there is no such room"));
            }
            Err(error) => return cx.refuse(&store_failure(&error)),
        };
        let call = Call {
            entity: cx,
            core,
            room: &room,
        };
        if let Some(routed) = in_room(&call) {
            return routed.wait().await;
        }
    }
    cx.refuse(&StanzaError::resource_constraint());
}
