//! The payload of XEP-0050, and its answers.

use tercet_core::forms::{self, Form};
use tercet_core::{Element, StanzaError, XmlWriter};
use tercet_server::module::{Payload, Reply};

use super::{NS, Outcome};

/// `<command/>` from who asks.
pub struct Request {
    pub(crate) node: String,
    pub(crate) session: Option<String>,
    pub(crate) action: Action,
    pub(crate) form: Option<Form>,
}

/// What is to be done with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Execute,
    Cancel,
    Previous,
    Next,
    Complete,
}

impl Payload for Request {
    const NAME: &'static str = "command";
    const NS: &'static str = NS;
    // Forms have passwords in them.
    const SECRET: bool = true;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        let action = match el.attr("action").as_deref() {
            None | Some("execute") => Action::Execute,
            Some("cancel") => Action::Cancel,
            Some("prev") => Action::Previous,
            Some("next") => Action::Next,
            Some("complete") => Action::Complete,
            // XEP-0050 §4.4
            Some(_) => return Err(refuse(StanzaError::bad_request(), "malformed-action")),
        };
        let node = el.attr("node").ok_or_else(StanzaError::bad_request)?;
        let form = match el.child("x", forms::NS) {
            Some(x) => Some(Form::parse(x).map_err(|error| refuse(error, "bad-payload"))?),
            None => None,
        };
        Ok(Request {
            node: node.into_owned(),
            session: el.attr("sessionid").map(|s| s.into_owned()),
            action,
            form,
        })
    }
}

/// `error` with the application condition called `condition` (XEP-0050 §4.4).
pub(crate) fn refuse(error: StanzaError, condition: &str) -> StanzaError {
    let mut w = XmlWriter::new();
    w.leaf(condition, &[("xmlns", NS)]);
    error.app(w.finish())
}

/// A form to be filled in.
pub(crate) fn executing(node: &str, session: &str, form: &Form) -> Reply {
    command(node, session, "executing", |w| {
        // XEP-0050 §3.4: one form, then it is done.
        w.start("actions").attr("execute", "complete");
        w.leaf("complete", &[]).end();
        form.write(w);
    })
}

/// The end, with what came of it.
pub(crate) fn completed(node: &str, session: &str, outcome: &Outcome) -> Reply {
    command(node, session, "completed", |w| {
        if let Some((failed, text)) = &outcome.note {
            let kind = if *failed { "error" } else { "info" };
            w.start("note").attr("type", kind).text(text).end();
        }
        if let Some(form) = &outcome.form {
            let mut xml = XmlWriter::new();
            form.write(&mut xml);
            let mut xml = xml.finish();
            if let Some(open) = xml.strip_suffix(b"</x>") {
                let end = open.len();
                xml.splice(end..end, outcome.inside.iter().copied());
            }
            w.raw(&xml);
        }
    })
}

/// The end before anything was done.
pub(crate) fn canceled(node: &str, session: &str) -> Reply {
    command(node, session, "canceled", |_| ())
}

fn command(node: &str, session: &str, status: &str, content: impl FnOnce(&mut XmlWriter)) -> Reply {
    let mut w = XmlWriter::new();
    w.start("command")
        .attr("xmlns", NS)
        .attr("node", node)
        .attr("sessionid", session)
        .attr("status", status);
    content(&mut w);
    w.end();
    Reply::Payload(w.finish())
}
