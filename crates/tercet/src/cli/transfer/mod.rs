//! `tercet export` and `tercet import`: accounts in the files of XEP-0227, whether the server runs or not.
//!
//! An import reads the file twice: first it looks whether all of it can be read and what of it is taken, and then, if nothing is in
//! the way, it brings in one account after the other. In memory is one element of the file at a time.

mod export;
mod import;
mod report;
mod walk;

pub(super) use export::export;
pub(super) use import::import;
