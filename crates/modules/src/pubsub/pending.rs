//! The command with which owners at a service ask for the requests that wait for them (XEP-0060 §8.7).
//!
//! It keeps nothing between its two steps: the second one says all that there is to be known.

use tercet_core::forms::{Field, Form, FormKind};
use tercet_core::{Jid, StanzaError, XmlWriter};
use tercet_server::module::{IqCx, IqResult, Reply};

use super::node::Affiliation;
use super::place::Place;
use super::{approve, create};
use crate::commands::{self, Action, Outcome, Request, canceled, completed, executing, refuse};
use crate::disco::{INFO, ITEMS, Question};

/// The name of the command.
pub const COMMAND: &str = "http://jabber.org/protocol/pubsub#get-pending";
const TITLE: &str = "Requests to subscribe";
const NODE: &str = "pubsub#node";

/// A step of the command.
pub async fn run(place: &Place, from: &Jid, request: Request) -> IqResult {
    if request.node != COMMAND {
        return Err(StanzaError::item_not_found());
    }
    let id = match &request.session {
        Some(id) => id.clone(),
        None => create::fresh_id(place),
    };
    match (request.action, request.form) {
        (Action::Cancel, _) => Ok(canceled(COMMAND, &id)),
        (Action::Previous | Action::Next, _) => {
            Err(refuse(StanzaError::bad_request(), "bad-action"))
        }
        (Action::Execute | Action::Complete, Some(form)) => {
            if form.kind == FormKind::Cancel {
                return Ok(canceled(COMMAND, &id));
            }
            let node = form.value(NODE).filter(|node| !node.is_empty());
            let node = node.ok_or_else(|| refuse(StanzaError::bad_request(), "bad-payload"))?;
            ask_again(place, from, node).await?;
            Ok(completed(COMMAND, &id, &Outcome::default()))
        }
        (Action::Execute | Action::Complete, None) => {
            let mut field = Field::list_single(NODE, "Node");
            for name in waiting(place, from).await? {
                field = field.option(name.clone(), name);
            }
            let form = Form::new(approve::NS_AUTHORIZATION)
                .title(TITLE)
                .field(field);
            Ok(executing(COMMAND, &id, &form))
        }
    }
}

/// The nodes of an owner for which somebody waits.
async fn waiting(place: &Place, from: &Jid) -> Result<Vec<String>, StanzaError> {
    let mut names = Vec::new();
    let mut owns = false;
    for (name, member) in place.joined(from.bare_str()).await? {
        if member.affiliation != Affiliation::Owner {
            continue;
        }
        owns = true;
        if let Some(node) = place.look(&name).await?
            && !approve::pending(&node).is_empty()
        {
            names.push(name);
        }
    }
    match owns {
        true => Ok(names),
        // XEP-0060 §8.7.3.3: who owns nothing has nothing to approve.
        false => Err(StanzaError::forbidden()),
    }
}

/// §8.7.4: each request that waits is sent to the owner once more.
async fn ask_again(place: &Place, from: &Jid, name: &str) -> Result<(), StanzaError> {
    let node = place.owned(name, from).await?;
    for subscriber in approve::pending(&node) {
        approve::ask_one(place, name, &subscriber, from);
    }
    Ok(())
}

/// What service discovery tells of the command; `None`: of another node.
pub fn answer(cx: &IqCx<'_>, node: &str, question: Question) -> Option<IqResult> {
    let (kind, name) = match node {
        COMMAND => ("command-node", TITLE),
        commands::NS => ("command-list", "Commands"),
        _ => return None,
    };
    let mut w = XmlWriter::new();
    w.start("query");
    match question {
        Question::Info => {
            w.attr("xmlns", INFO).attr("node", node);
            w.leaf(
                "identity",
                &[("category", "automation"), ("type", kind), ("name", name)],
            );
            w.leaf("feature", &[("var", commands::NS)]);
            w.leaf("feature", &[("var", tercet_core::forms::NS)]);
        }
        Question::Items => {
            w.attr("xmlns", ITEMS).attr("node", node);
            if node == commands::NS {
                w.leaf(
                    "item",
                    &[
                        ("jid", cx.host.domain()),
                        ("node", COMMAND),
                        ("name", TITLE),
                    ],
                );
            }
        }
    }
    w.end();
    Some(Ok(Reply::Payload(w.finish())))
}
