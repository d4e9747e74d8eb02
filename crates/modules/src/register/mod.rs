//! XEP-0077 In-Band Registration 2.4. Gaps: no redirection (§5), and no form, as name and password are all that is asked for;
//! a form that a client submits all the same is understood.
//!
//! A user who is logged in changes the password and removes the account, whatever the policy: always the own account, since
//! nothing in the request but its sender says whose it is. [`preauth`] answers streams that have not logged in; there the
//! host's policy decides, as it does for whoever else makes accounts with [`apply`].

mod account;
mod preauth;

pub use account::{Application, Refusal, apply, may_apply};
pub use preauth::{Registered, preauth};

use tercet_core::forms::{Form, FormKind};
use tercet_core::{Element, StanzaError, StreamCondition, StreamError, XmlWriter, prepare_local};
use tercet_server::module::{
    Coverage, IqCx, IqKind, IqResult, Module, OnIq, Payload, Registrar, Reply, Target, Xep, xep,
};
use tercet_server::{HostInfo, VHost};

const NS: &str = "jabber:iq:register";

tercet_server::empty_payload!(
    /// Asking what is to be filled in.
    Get, "query", NS
);

/// A registration, a password change or a removal.
pub enum Set {
    /// `<remove/>`
    Remove,
    /// Name and password, as far as they were given.
    Fields {
        /// The localpart, as it was written.
        username: Option<String>,
        /// The password, as it was written.
        password: Option<String>,
    },
}

impl Payload for Set {
    const NAME: &'static str = "query";
    const NS: &'static str = NS;
    // XEP-0077 §3.3: a password is not sent back.
    const SECRET: bool = true;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        if el.child("remove", NS).is_some() {
            // XEP-0077 §3.2: with anything else in it, nobody knows what is meant.
            return match el.children().count() {
                1 => Ok(Set::Remove),
                _ => Err(StanzaError::bad_request().text("a removal comes alone")),
            };
        }
        // XEP-0077 §4: a form takes precedence.
        if let Some(form) = Form::parse_child(el)? {
            if form.kind != FormKind::Submit {
                return Err(StanzaError::bad_request().text("the form is not filled in"));
            }
            let value = |var| form.value(var).map(str::to_owned);
            return Ok(Set::Fields {
                username: value("username"),
                password: value("password"),
            });
        }
        // Fields that were not asked for are ignored.
        let text = |name| el.child(name, NS).map(|c| c.text().into_owned());
        Ok(Set::Fields {
            username: text("username"),
            password: text("password"),
        })
    }
}

/// That the host answers [`preauth`].
struct Preauth;

/// Whether people may register on `host` at all, if its policy lets them.
pub fn is_on(host: &VHost) -> bool {
    host.provided::<Preauth>().next().is_some()
}

/// Changes passwords and removes accounts.
pub struct Register;

impl Module for Register {
    const NAME: &'static str = "register";
    const XEPS: &'static [Xep] = &[xep(
        77,
        "2.4",
        Coverage::Partial("redirection is not offered"),
    )];
    type Config = ();

    fn new((): (), _: &HostInfo) -> Self {
        Register
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.iq::<Get>(IqKind::Get, Target::Host).feature(NS);
        r.iq::<Set>(IqKind::Set, Target::Host).feature(NS);
        // XEP-0077 §3.2: to the home server without an address.
        r.iq::<Get>(IqKind::Get, Target::Own).feature(NS);
        r.iq::<Set>(IqKind::Set, Target::Own).feature(NS);
        r.provide(Target::Host, Preauth)
            .silent("a stream feature announces it");
    }
}

/// The localpart of who asks, if the asker has an account on the host.
fn own_name<'a>(cx: &IqCx<'a>) -> Result<&'a str, StanzaError> {
    let own = cx.session.is_some() && cx.from.domain() == cx.host.domain();
    cx.from
        .local()
        .filter(|_| own)
        .ok_or_else(StanzaError::registration_required)
}

impl OnIq<Get> for Register {
    async fn on_iq(&self, cx: IqCx<'_>, _: Get) -> IqResult {
        let name = own_name(&cx)?;
        let mut w = XmlWriter::new();
        w.start("query").attr("xmlns", NS);
        w.leaf("registered", &[]);
        w.text_element("username", name);
        // XEP-0077 §3.1.1: what is not told is shown to be there.
        w.leaf("password", &[]).end();
        Ok(Reply::Payload(w.finish()))
    }
}

impl OnIq<Set> for Register {
    async fn on_iq(&self, cx: IqCx<'_>, set: Set) -> IqResult {
        let name = own_name(&cx)?;
        let account = cx.from.to_bare();
        let (username, password) = match set {
            Set::Remove => {
                cx.server
                    .delete_account(&account, cx.session.map(|s| &**s))
                    .await?;
                // XEP-0077 §3.2: the result, then the end of all sessions.
                let end = StreamError::new(StreamCondition::NotAuthorized)
                    .text("the account has been removed");
                return Ok(Reply::Last(Box::new(end)));
            }
            Set::Fields { username, password } => (username, password),
        };
        // A name is not needed to know who asks; another's is no way to that account.
        let theirs = username.is_none_or(|u| prepare_local(&u).is_ok_and(|u| u == name));
        if !theirs {
            return Err(StanzaError::not_allowed().text("this is another account's name"));
        }
        let password = password.ok_or_else(|| StanzaError::bad_request().text("no password"))?;
        if password.is_empty() {
            // XEP-0077 §3.3: the password stays as it is.
            return Err(StanzaError::bad_request().text("the password is empty"));
        }
        cx.server.set_password(&account, &password).await?;
        Ok(Reply::Empty)
    }
}
