//! The payloads of XEP-0357.

use tercet_core::forms::{Field, FieldType, Form, FormKind};
use tercet_core::{Element, Jid, StanzaError, XmlWriter};
use tercet_server::module::Payload;

/// The namespace of the protocol.
pub(super) const NS: &str = "urn:xmpp:push:0";
const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
const OPTIONS: &str = "http://jabber.org/protocol/pubsub#publish-options";
const SUMMARY: &str = "urn:xmpp:push:summary";
/// Bytes that a node's name may have.
const NODE: usize = 1024;
/// Bytes that the options of one device may have.
const OPTIONS_BYTES: usize = 4096;

/// `<enable/>`
pub struct Enable {
    /// The app server.
    pub(super) service: Jid,
    /// Its node for the device.
    pub(super) node: Option<String>,
    /// What it wants to be given with each notification: a data form.
    pub(super) options: Option<Vec<u8>>,
}

/// `<disable/>`
pub struct Disable {
    pub(super) service: Jid,
    /// Only this node; all of the service without.
    pub(super) node: Option<String>,
}

/// What a notification says beside that there is one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Summary {
    pub(super) messages: u32,
    pub(super) sender: Option<String>,
    pub(super) body: Option<String>,
    /// Somebody calls.
    pub(super) calling: bool,
}

fn service(el: Element<'_>) -> Result<Jid, StanzaError> {
    // XEP-0357 §5: it has a jid.
    let jid = el
        .attr("jid")
        .ok_or_else(|| StanzaError::bad_request().text("which service?"))?;
    Ok(Jid::parse(&jid)?)
}

fn node(el: Element<'_>) -> Result<Option<String>, StanzaError> {
    match el.attr("node") {
        Some(node) if node.len() > NODE => {
            Err(StanzaError::not_acceptable().text("the name of the node is too long"))
        }
        node => Ok(node.map(Into::into)),
    }
}

impl Payload for Enable {
    const NAME: &'static str = "enable";
    const NS: &'static str = NS;
    // There may be secrets of the app server in the form.
    const SECRET: bool = true;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        let options = match Form::parse_child(el)? {
            None => None,
            Some(mut form) => {
                if form.form_type() != Some(OPTIONS) {
                    let text = "the form has another type than publish-options";
                    return Err(StanzaError::bad_request().text(text));
                }
                let named = |f: &&mut Field| f.var.as_deref() == Some("FORM_TYPE");
                if let Some(field) = form.fields.iter_mut().find(named) {
                    field.kind = FieldType::Hidden;
                }
                let mut w = XmlWriter::new();
                form.write(&mut w);
                Some(w.finish())
            }
        };
        if options.as_ref().is_some_and(|o| o.len() > OPTIONS_BYTES) {
            return Err(StanzaError::not_acceptable().text("the form is too long"));
        }
        Ok(Enable {
            service: service(el)?,
            node: node(el)?,
            options,
        })
    }
}

impl Payload for Disable {
    const NAME: &'static str = "disable";
    const NS: &'static str = NS;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        Ok(Disable {
            service: service(el)?,
            node: node(el)?,
        })
    }
}

/// XEP-0357 §7: the request that publishes a notification.
pub(super) fn publish(node: Option<&str>, options: Option<&[u8]>, summary: &Summary) -> Vec<u8> {
    let field = |var, value: &str| Field::new(FieldType::TextSingle, var).value(value);
    let mut form = Form::empty(FormKind::Submit)
        .field(Field::hidden("FORM_TYPE", SUMMARY))
        .field(field("message-count", &summary.messages.to_string()));
    if let Some(sender) = &summary.sender {
        form = form.field(field("last-message-sender", sender));
    }
    if let Some(body) = &summary.body {
        form = form.field(field("last-message-body", body));
    }
    let mut w = XmlWriter::new();
    w.start("pubsub").attr("xmlns", PUBSUB);
    w.start("publish").opt_attr("node", node).start("item");
    w.start("notification").attr("xmlns", NS);
    form.write(&mut w);
    w.end().end().end();
    if let Some(options) = options {
        // XEP-0357 §7: what the app server has asked for.
        w.start("publish-options").raw(options).end();
    }
    w.end();
    w.finish()
}
