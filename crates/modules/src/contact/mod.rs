//! XEP-0157 Contact Addresses for XMPP Services 1.1.1. Gaps: none known.
//!
//! The addresses of the host's `[contact]` table, as a form in its answer to service discovery.

use tercet_core::XmlWriter;
use tercet_core::forms::{Field, FieldType, Form};
use tercet_server::HostInfo;
use tercet_server::module::{Coverage, Module, Registrar, Target, Xep, xep};

use crate::disco;

const FORM_TYPE: &str = "http://jabber.org/network/serverinfo";

/// Tells whom to write to.
pub struct Contact {
    contacts: Vec<(String, Vec<String>)>,
}

impl Module for Contact {
    const NAME: &'static str = "contact";
    const XEPS: &'static [Xep] = &[xep(157, "1.1.1", Coverage::Complete)];
    type Config = ();

    fn new((): (), host: &HostInfo) -> Self {
        Contact {
            contacts: host.contacts.clone(),
        }
    }

    fn register(r: &mut Registrar<'_, Self>) {
        let contacts = &r.module().contacts;
        if contacts.is_empty() {
            return;
        }
        let mut form = Form::result(FORM_TYPE);
        for (kind, uris) in contacts {
            let field = Field::new(FieldType::ListMulti, format!("{kind}-addresses"));
            form = form.field(field.values(uris.iter().map(String::as_str)));
        }
        let mut w = XmlWriter::new();
        form.write(&mut w);
        r.provide(Target::Host, disco::Form(w.finish()))
            .silent("a form in the answer about the host");
    }
}
