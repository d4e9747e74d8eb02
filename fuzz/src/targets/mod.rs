//! The targets, a file each.

pub(crate) mod jid;
