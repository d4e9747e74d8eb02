//! The XMPP extensions, one folder each, and the one list of them.
//!
//! Adding one: its folder, its line in [`modules`], its kinds of stored data in [`KINDS`]. CONTRIBUTING.md has the recipe.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod admin;
pub mod avatars;
pub mod block_lists;
pub mod blocking;
pub mod bytestreams;
pub mod caps;
pub mod carbons;
pub mod clients;
pub mod commands;
pub mod contact;
pub mod csi;
pub mod delay;
pub mod delegation;
pub mod disco;
pub mod displayed;
mod due;
pub mod escape;
pub mod external;
pub mod hints;
pub mod invites;
pub mod last;
pub mod mam;
pub mod muc;
pub mod notable;
pub mod offline;
pub mod outage;
pub mod ping;
pub mod portable;
pub mod private;
pub mod privilege;
pub mod pubsub;
pub mod push;
pub mod register;
pub mod report;
pub mod roster;
pub mod setting;
pub mod stable_id;
pub mod standing;
pub mod strangers;
pub mod time;
pub mod upload;
pub mod vcard;
pub mod vcard4;
pub mod version;

use tercet_server::{HostBuilder, HostInfo, Role};
use tercet_store::Kind;

/// The modules of a host, by what it is there for.
pub fn modules(b: &mut HostBuilder<'_>) {
    match b.host().role {
        Role::Accounts => accounts(b),
        Role::Rooms => rooms(b),
        Role::PubSub => nodes(b),
        Role::Bytestreams => relay(b),
    }
}

/// Every module of a host with accounts, in the order in which they stand inside a stage.
fn accounts(b: &mut HostBuilder<'_>) {
    b.add::<disco::Disco>();
    b.add::<caps::Caps>();
    b.add::<delegation::Delegation>();
    b.add::<privilege::Privilege>();
    b.add::<contact::Contact>();
    b.add::<outage::Outages>();
    b.add::<escape::Escape>();
    b.add::<register::Register>();
    b.add::<invites::Invites>();
    b.add::<clients::Clients>();
    b.add::<commands::Commands>();
    b.add::<admin::Admin>();
    b.add::<delay::Delay>();
    b.add::<stable_id::StableId>();
    b.add::<mam::Mam>();
    b.add::<carbons::Carbons>();
    b.add::<blocking::Blocking>();
    b.add::<block_lists::BlockLists>();
    b.add::<strangers::Strangers>();
    b.add::<standing::Standing>();
    b.add::<report::Reporting>();
    b.add::<roster::RosterModule>();
    b.add::<offline::Offline>();
    b.add::<push::Push>();
    b.add::<ping::Ping>();
    b.add::<version::Version>();
    b.add::<time::Time>();
    b.add::<csi::ClientState>();
    b.add::<last::Last>();
    b.add::<private::Private>();
    b.add::<vcard::VCard>();
    b.add::<vcard4::VCard4>();
    b.add::<avatars::Avatars>();
    b.add::<upload::FileUpload>();
    b.add::<external::ExternalServices>();
    b.add::<portable::Portable>();
    b.add::<pubsub::PubSub>();
    b.add::<displayed::Displayed>();
}

/// Whether the host's configuration leaves a module on, for those that need it.
fn is_on(host: &HostInfo, module: &str) -> bool {
    let table = host.modules.get(module);
    table.and_then(|table| table.get("enabled")?.as_bool()) != Some(false)
}

/// Every module of a service for rooms.
fn rooms(b: &mut HostBuilder<'_>) {
    b.add::<disco::Disco>();
    b.add::<contact::Contact>();
    b.add::<ping::Ping>();
    b.add::<version::Version>();
    b.add::<time::Time>();
    b.add::<last::Last>();
    b.add::<block_lists::BlockLists>();
    b.add::<muc::Muc>();
}

/// Every module of a service for nodes.
fn nodes(b: &mut HostBuilder<'_>) {
    b.add::<disco::Disco>();
    b.add::<contact::Contact>();
    b.add::<ping::Ping>();
    b.add::<version::Version>();
    b.add::<time::Time>();
    b.add::<last::Last>();
    b.add::<pubsub::PubSub>();
}

/// Every module of a service that relays streams of bytes.
fn relay(b: &mut HostBuilder<'_>) {
    b.add::<disco::Disco>();
    b.add::<contact::Contact>();
    b.add::<ping::Ping>();
    b.add::<version::Version>();
    b.add::<time::Time>();
    b.add::<last::Last>();
    b.add::<bytestreams::Relaying>();
}

/// What the modules keep in the store.
pub static KINDS: &[&Kind] = &[
    &avatars::AVATAR,
    &block_lists::LISTED,
    &blocking::BLOCKED,
    &invites::INVITATION,
    &invites::INVITED,
    &invites::RESERVED,
    &last::LAST,
    &mam::ARCHIVE,
    &mam::ARCHIVE_KEEP,
    &mam::ARCHIVE_PREFS,
    &muc::ROOM,
    &muc::ROOM_ARCHIVE,
    &muc::AFFILIATED,
    &muc::AFFILIATION,
    &muc::ROOM_DATA,
    &offline::OFFLINE,
    &offline::ABSENT,
    &outage::OUTAGE,
    &private::PRIVATE,
    &push::PUSH,
    &push::web::VAPID,
    &pubsub::ACCOUNTS.node,
    &pubsub::ACCOUNTS.item,
    &pubsub::ACCOUNTS.payload,
    &pubsub::ACCOUNTS.member,
    &pubsub::SERVICE.node,
    &pubsub::SERVICE.item,
    &pubsub::SERVICE.payload,
    &pubsub::SERVICE.member,
    &pubsub::JOINED,
    &report::REPORTS,
    &strangers::ASIDE,
    &strangers::KNOWN,
    &vcard::VCARD,
    &upload::UPLOADS,
    &upload::INDEX,
];
