//! XEP-0106 JID Escaping 1.1.1. Gaps: none known.
//!
//! The server compares escaped localparts as they stand (XEP-0106 §5.3); the transformations are in `tercet_core::jid::escape`.

use tercet_server::HostInfo;
use tercet_server::module::{Coverage, Module, Registrar, Target, Xep, xep};

/// That localparts with escape sequences may be registered and reached as they are.
struct Escaped;

/// Announces that escaped localparts work here.
pub struct Escape;

impl Module for Escape {
    const NAME: &'static str = "escape";
    const XEPS: &'static [Xep] = &[xep(106, "1.1.1", Coverage::Complete)];
    type Config = ();

    fn new((): (), _: &HostInfo) -> Self {
        Escape
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.provide(Target::Host, Escaped).feature("jid\\20escaping");
    }
}
