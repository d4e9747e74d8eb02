//! XEP-0377 Spam Reporting 0.4.1: reports that come with a block (XEP-0191) are kept for those who run the server. Those of
//! people of other servers go there, too, where the reporter agrees, and those of other servers about people here are kept. Gaps: third
//! parties are told nothing; that opt-in is kept. Reports name the messages
//! they are about by the ids of the archive, and hold no copies of them.

mod filing;
mod forward;
mod value;

pub use filing::{Intake, Kept, page};
pub use value::Report;

use tercet_server::HostInfo;
use tercet_server::module::{Coverage, HostMessages, Module, Registrar, Target, Xep, xep};
use tercet_store::{Kind, Owner};

use filing::Recent;

/// The namespace of the protocol.
pub(crate) const NS: &str = "urn:xmpp:reporting:1";

/// The reports: a log for each host, of whose users they come.
pub static REPORTS: Kind = Kind {
    name: "reports",
    owner: Owner::Host,
    what: "reports of spam and abuse: who reported whom, when, why and about which messages",
};

/// Takes reports.
pub struct Reporting;

impl Module for Reporting {
    const NAME: &'static str = "report";
    const XEPS: &'static [Xep] = &[xep(
        377,
        "0.4.1",
        Coverage::Partial("third parties are told nothing"),
    )];
    type Config = ();

    fn new((): (), _: &HostInfo) -> Self {
        Reporting
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.needs::<Recent>();
        r.provide(Target::Own, Intake).feature(NS).host_feature(NS);
        r.provide(Target::Host, HostMessages(forward::take))
            .silent("a report of another server");
    }
}
