//! XEP-0050 Ad-Hoc Commands 1.3.0, of the host. Gaps: commands have one form at most, so there is no way back in them.
//!
//! Nothing here knows a command: other modules provide them as [`Command`].

mod run;
mod session;
mod xml;

pub use xml::Request;
pub(crate) use xml::{Action, canceled, completed, executing, refuse};

use std::future::Future;
use std::pin::Pin;

use tercet_core::forms::Form;
use tercet_core::{StanzaError, XmlWriter};
use tercet_server::account::GUEST;
use tercet_server::module::{
    Coverage, IqCx, IqKind, IqResult, Module, OnIq, Registrar, Reply, Target, Xep, xep,
};
use tercet_server::{HostInfo, store_failure};

use crate::disco::{self, Node, Question};
use session::Sessions;

/// The namespace of the protocol, and the node under which the commands are listed.
pub const NS: &str = "http://jabber.org/protocol/commands";

/// Who sees and runs a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Administrators.
    Admins,
    /// Whoever has an account on the host; no guests.
    Users,
}

/// A command that a module provides.
pub struct Command {
    /// Its node, unlike that of any other command.
    pub node: &'static str,
    /// What people see.
    pub name: &'static str,
    /// Who sees and runs it.
    pub who: Who,
    /// What is to be filled in before it runs; `None`: nothing.
    pub form: Option<fn() -> Form>,
    /// Runs it. What was filled in fits the form; without a form it is empty.
    pub run: Box<RunFn>,
}

/// Runs a command.
pub type RunFn = dyn for<'a> Fn(IqCx<'a>, Form) -> RunFuture<'a> + Send + Sync;

/// A command at work. An error goes back as it is; what is no more than a wrong entry is an [`Outcome::failed`].
pub type RunFuture<'a> = Pin<Box<dyn Future<Output = Result<Outcome, StanzaError>> + Send + 'a>>;

/// What came of a command.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Data for who asked.
    pub form: Option<Form>,
    /// What stands in that form behind its fields.
    pub inside: Vec<u8>,
    /// What to tell people, and whether it is about a failure.
    pub note: Option<(bool, String)>,
}

impl Outcome {
    /// It is done.
    pub fn done(text: impl Into<String>) -> Outcome {
        Outcome {
            note: Some((false, text.into())),
            ..Outcome::default()
        }
    }

    /// It is done, with this result.
    pub fn result(form: Form) -> Outcome {
        Outcome {
            form: Some(form),
            ..Outcome::default()
        }
    }

    /// It could not be done.
    pub fn failed(text: impl Into<String>) -> Outcome {
        Outcome {
            note: Some((true, text.into())),
            ..Outcome::default()
        }
    }
}

/// What who asks may run: `None` if nothing. An administrator may run everything.
async fn rights(cx: IqCx<'_>) -> Result<Option<Who>, StanzaError> {
    let Some(session) = cx.session else {
        return Ok(None);
    };
    let account = session.account().jid();
    if cx.server.is_admin(account).await? {
        return Ok(Some(Who::Admins));
    }
    if account.domain() != cx.host.domain() {
        return Ok(None);
    }
    let guest = cx.store().get(&GUEST, account.as_str(), "").await;
    let guest = guest.map_err(|e| store_failure(&e))?;
    Ok(guest.is_none().then_some(Who::Users))
}

impl Command {
    /// Whether somebody with these rights sees and runs it.
    fn is_for(&self, rights: Option<Who>) -> bool {
        rights.is_some_and(|rights| rights == Who::Admins || self.who == rights)
    }
}

fn find<'a>(cx: &IqCx<'a>, node: &str) -> Option<&'a Command> {
    cx.host.provided::<Command>().find(|c| c.node == node)
}

/// Lists commands and runs them.
pub struct Commands {
    sessions: Sessions,
}

impl Module for Commands {
    const NAME: &'static str = "commands";
    const XEPS: &'static [Xep] = &[xep(50, "1.3.0", Coverage::Complete)];
    type Config = ();

    fn new((): (), _: &HostInfo) -> Self {
        Commands {
            sessions: Sessions::default(),
        }
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.iq::<Request>(IqKind::Set, Target::Host).feature(NS);
        let node = Node {
            target: Target::Host,
            answer: Box::new(|cx, node, question| Box::pin(answer(cx, node, question))),
        };
        r.provide(Target::Host, node).feature(NS);
    }
}

impl OnIq<Request> for Commands {
    async fn on_iq(&self, cx: IqCx<'_>, request: Request) -> IqResult {
        run::run(&self.sessions, cx, request).await
    }
}

/// What service discovery tells of the commands.
async fn answer(cx: IqCx<'_>, node: &str, question: Question) -> Option<IqResult> {
    let command = find(&cx, node);
    if command.is_none() && node != NS {
        return None;
    }
    let rights = match rights(cx).await {
        Ok(rights) => rights,
        Err(error) => return Some(Err(error)),
    };
    if command.is_some_and(|command| !command.is_for(rights)) {
        // XEP-0050 §2.2: not for this asker.
        return Some(Err(StanzaError::forbidden()));
    }
    let mut w = XmlWriter::new();
    w.start("query");
    match question {
        Question::Info => {
            let (kind, name) =
                command.map_or(("command-list", "Commands"), |c| ("command-node", c.name));
            w.attr("xmlns", disco::INFO).attr("node", node);
            w.start("identity")
                .attr("category", "automation")
                .attr("type", kind)
                .attr("name", name)
                .end();
            w.leaf("feature", &[("var", NS)]);
            w.leaf("feature", &[("var", tercet_core::forms::NS)]);
        }
        Question::Items => {
            w.attr("xmlns", disco::ITEMS).attr("node", node);
            if command.is_none() {
                let commands = cx.host.provided::<Command>();
                for command in commands.filter(|command| command.is_for(rights)) {
                    w.leaf(
                        "item",
                        &[
                            ("jid", cx.host.domain()),
                            ("node", command.node),
                            ("name", command.name),
                        ],
                    );
                }
            }
        }
    }
    w.end();
    Some(Ok(Reply::Payload(w.finish())))
}
