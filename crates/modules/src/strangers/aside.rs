//! Messages of strangers that were put aside, and the commands by which their recipient looks at them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tercet_core::forms::{Field, Form, FormKind};
use tercet_core::{BareJid, Stanza, StanzaError, time};
use tercet_server::module::{Effect, Flow, IqCx, Side, Slot, SlotFuture, StanzaCx};
use tercet_server::{Account, store_failure};
use tercet_store::{Batch, Kind, LogEntry, LogSize, Owner, Store};

use super::known::Known;
use crate::commands::{Command, Outcome, Who};
use crate::delay;

/// What was put aside.
pub static ASIDE: Kind = Kind {
    name: "strangers",
    owner: Owner::Account,
    what: "messages of people whom the user did not know, until the user has looked at them",
};

/// Messages that wait for one user, and their bytes; further ones go back.
const MESSAGES: u64 = 200;
const BYTES: u64 = 1 << 20;
/// Bytes of a message's text that a list shows.
const SHOWN: usize = 500;
const WHO: &str = "who";

/// How much waits for one account.
pub(super) struct Aside(Mutex<LogSize>);

impl Slot for Aside {
    fn load(store: &Store, account: &BareJid) -> SlotFuture<Self> {
        let size = store.log_size(&ASIDE, account.as_str());
        Box::pin(async move { Ok(Aside(Mutex::new(size.await?))) })
    }
}

impl Aside {
    fn size(&self) -> MutexGuard<'_, LogSize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subtract(&self, entries: u64, bytes: u64) {
        let mut size = self.size();
        size.entries = size.entries.saturating_sub(entries);
        size.bytes = size.bytes.saturating_sub(bytes);
    }
}

/// Puts a message aside.
pub(super) fn put(cx: &mut StanzaCx<'_>) -> Flow {
    let Some(aside) = cx.account.slot::<Aside>() else {
        return Flow::Continue;
    };
    if cx.stanza.own_child("body").is_none() {
        // What only says that somebody types means nothing later.
        return Flow::Drop;
    }
    let now = cx.server.now_ms();
    let mut value = Vec::new();
    cx.write(Side::Recipient, None, &mut value);
    delay::stamp(&mut value, cx.host.domain(), now, "From a stranger");
    let bytes = value.len() as u64;
    {
        let mut size = aside.size();
        if size.entries >= MESSAGES || size.bytes + bytes > BYTES {
            return Flow::Bounce(StanzaError::service_unavailable());
        }
        size.entries += 1;
        size.bytes += bytes;
    }
    let mut batch = Batch::new();
    batch.append(&ASIDE, cx.account.jid().as_str(), now, value);
    let account = cx.account.clone();
    let undo = Box::new(move || {
        if let Some(aside) = account.slot::<Aside>() {
            aside.subtract(1, bytes);
        }
    });
    cx.effects.push(Effect::Commit { batch, undo });
    Flow::Handled
}

/// The commands of users.
pub(super) fn commands() -> [Command; 3] {
    [
        Command {
            node: "strangers",
            name: "Messages from people you do not know",
            who: Who::Users,
            form: None,
            run: Box::new(|cx, _| Box::pin(list(cx))),
        },
        Command {
            node: "strangers-accept",
            name: "Take the messages of somebody you did not know",
            who: Who::Users,
            form: Some(accept_form),
            run: Box::new(|cx, form| Box::pin(accept(cx, form))),
        },
        Command {
            node: "strangers-clear",
            name: "Delete all messages from people you do not know",
            who: Who::Users,
            form: None,
            run: Box::new(|cx, _| Box::pin(clear(cx))),
        },
    ]
}

fn accept_form() -> Form {
    Form::empty(FormKind::Form)
        .title("Take the messages of somebody you did not know")
        .field(Field::jid_single(WHO, "Whose messages").required())
}

/// A message that was put aside.
fn read(entry: &LogEntry) -> Option<(Stanza, BareJid)> {
    let stanza = Stanza::parse(&entry.value).ok()?;
    let from = stanza.from().ok()??.to_bare();
    Some((stanza, from))
}

async fn waiting(cx: &IqCx<'_>, account: &Account) -> Result<Vec<LogEntry>, StanzaError> {
    let store = cx.store();
    // What is queued is read, too.
    store.flush().await.map_err(|e| store_failure(&e))?;
    let most = usize::try_from(MESSAGES).unwrap_or(usize::MAX);
    let page = store.read_log(&ASIDE, account.jid().as_str(), 0, most);
    page.await.map_err(|e| store_failure(&e))
}

async fn list(cx: IqCx<'_>) -> Result<Outcome, StanzaError> {
    let account = cx.require_session()?.account();
    let entries = waiting(&cx, account).await?;
    if entries.is_empty() {
        return Ok(Outcome::done("There are none."));
    }
    let mut form = Form::empty(FormKind::Result).title("Messages from people you do not know");
    for (number, entry) in entries.iter().enumerate() {
        let Some((stanza, from)) = read(entry) else {
            continue;
        };
        let body = stanza
            .own_child("body")
            .map(|body| body.parse().root().text().into_owned());
        let body = body.unwrap_or_default();
        let text = &body[..body.floor_char_boundary(SHOWN)];
        let at = time::format(i64::try_from(entry.at_ms).unwrap_or(i64::MAX));
        let field = Field::text_single(format!("message-{}", number + 1), format!("{from}, {at}"));
        form = form.field(field.value(text));
    }
    Ok(Outcome::result(form))
}

async fn accept(cx: IqCx<'_>, form: Form) -> Result<Outcome, StanzaError> {
    let account = cx.require_session()?.account();
    let Ok(who) = BareJid::parse(form.value(WHO).unwrap_or_default()) else {
        return Ok(Outcome::failed("That is no address."));
    };
    let entries = waiting(&cx, account).await?;
    let mut taken = Vec::new();
    let (mut left, mut bytes) = (Batch::new(), 0);
    let owner = account.jid().as_str();
    if let Some(last) = entries.last() {
        left.delete_log_until(&ASIDE, owner, last.id);
    }
    for entry in entries {
        match read(&entry) {
            Some((stanza, from)) if from == who => {
                bytes += entry.value.len() as u64;
                taken.push(stanza);
            }
            _ => drop(left.append(&ASIDE, owner, entry.at_ms, entry.value)),
        }
    }
    if taken.is_empty() {
        return Ok(Outcome::failed(format!("There is nothing from {who}.")));
    }
    if let Some(known) = account.slot::<Known>() {
        known.add(account.jid(), who.as_str(), cx.server.now_ms(), &mut left);
    }
    // First they are on their way: better twice than never.
    let count = taken.len();
    for stanza in taken {
        if let (Ok(Some(from)), Ok(Some(to))) = (stanza.from(), stanza.to()) {
            cx.server.route(from, to, &stanza).wait().await;
        }
    }
    cx.commit(left).await?;
    if let Some(aside) = account.slot::<Aside>() {
        aside.subtract(count as u64, bytes);
    }
    Ok(Outcome::done(format!("{count} messages of {who}.")))
}

async fn clear(cx: IqCx<'_>) -> Result<Outcome, StanzaError> {
    let account = cx.require_session()?.account();
    let entries = waiting(&cx, account).await?;
    let Some(last) = entries.last() else {
        return Ok(Outcome::done("There are none."));
    };
    let mut batch = Batch::new();
    batch.delete_log_until(&ASIDE, account.jid().as_str(), last.id);
    cx.commit(batch).await?;
    if let Some(aside) = account.slot::<Aside>() {
        let bytes = entries.iter().map(|entry| entry.value.len() as u64).sum();
        aside.subtract(entries.len() as u64, bytes);
    }
    Ok(Outcome::done("They are gone."))
}
