//! Administration on this machine: typed operations, and the ways to a server that carries them out.
//!
//! [`Operation`] is the one list: the command line, the admin socket in the data folder, and whatever comes later speak it. While a server runs,
//! operations go to it through the socket ([`socket`]); while none does, the command line opens the
//! store itself ([`way`]); the store's lock on the data folder keeps it to one process.

mod archive;
mod block_lists;
mod components;
pub mod execute;
mod invites;
mod metrics;
pub mod operation;
mod outages;
mod peers;
mod portable;
mod push;
mod rooms;
mod secret;
pub mod socket;
mod uploads;
mod way;

pub use block_lists::{BlockList, BlockListed};
pub use components::ComponentLine;
pub use operation::{
    Answer, Invite, Operation, PushDevice, Reason, Refusal, Report, RoomAffiliation, RoomLine,
    RoomShown, UploadedFile, User,
};
pub use secret::Secret;
pub use way::{AdminError, Way, ask};
