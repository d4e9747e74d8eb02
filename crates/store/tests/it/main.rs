//! The promises of the store, against each backend.
#![allow(clippy::unwrap_used)]

#[macro_use]
mod battery;
mod folder;
mod kill;
mod temp;

use tercet_store::Store;

use battery::{CATALOGUE, Subject};
use temp::TempFolder;

battery!(memory, crate::in_memory);
battery!(sqlite, crate::sqlite_in_temp_folder);

fn in_memory() -> Subject {
    Subject::new(Store::memory(CATALOGUE), None)
}

fn sqlite_in_temp_folder() -> Subject {
    let folder = TempFolder::new();
    let store = Store::sqlite(folder.path(), CATALOGUE).unwrap();
    Subject::new(store, Some(folder))
}
