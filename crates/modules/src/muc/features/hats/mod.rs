//! XEP-0317 Hats 0.3.1: what somebody is besides an affiliation, shown in its presence; managed by the room's owners and admins with
//! commands (XEP-0050). Gaps: titles have no language.
//!
//! Whoever is not banned may wear one, until it is taken off or destroyed, or its wearer loses an affiliation, or its account goes.

mod worn;

use std::collections::BTreeSet;

use tercet_core::forms::{self, Field, FieldType, Form, FormKind};
use tercet_core::{BareJid, IqType, Jid, StanzaError, XmlWriter};
use tercet_server::Routed;
use tercet_server::module::{Payload, Reply};
use tercet_store::Batch;

use super::RoomFeature;
use crate::commands::{self, Action, Outcome, Request};
use crate::disco;
use crate::muc::affiliation::Affiliation;
use crate::muc::occupant::Occupant;
use crate::muc::room::{Data, Enrolled, State};
use crate::muc::status::Status;
use crate::muc::{Call, leave, presence, records, show};
use worn::{Hat, Hats};

const NS: &str = "urn:xmpp:hats:0";
const FORM: &str = "urn:xmpp:hats:commands";
const NAME: &str = "hats";
const TITLE: &str = "hats#title";
const URI: &str = "hats#uri";
const HUE: &str = "hats#hue";
const JID: &str = "hats#jid";
const HASH: &str = "hats#hash";

/// What can be done with hats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Create,
    Destroy,
    List,
    Assign,
    Unassign,
    ListAssigned,
}

/// The commands: deed, node, and what people see.
const COMMANDS: [(Deed, &str, &str); 6] = [
    (
        Deed::Create,
        "urn:xmpp:hats:commands:create",
        "Create or change a hat",
    ),
    (
        Deed::Destroy,
        "urn:xmpp:hats:commands:destroy",
        "Destroy a hat",
    ),
    (Deed::List, "urn:xmpp:hats:commands:list", "List the hats"),
    (
        Deed::Assign,
        "urn:xmpp:hats:commands:assign",
        "Assign a hat",
    ),
    (
        Deed::Unassign,
        "urn:xmpp:hats:commands:unassign",
        "Remove a hat from somebody",
    ),
    (
        Deed::ListAssigned,
        "urn:xmpp:hats:commands:list-assigned",
        "List who wears which hat",
    ),
];

/// The hats.
pub(super) struct Wardrobe;

impl RoomFeature for Wardrobe {
    fn name(&self) -> &'static str {
        NAME
    }

    fn disco(&self, _: &State, features: &mut BTreeSet<&'static str>) {
        // XEP-0317 §2: a room that supports hats advertises it.
        features.insert(NS);
        features.insert(commands::NS);
    }

    fn info(&self, room: &State, _: u64, mut form: Form) -> Form {
        if let Some(hash) = room.data.get::<Hats>().and_then(Hats::hash) {
            form.fields
                .push(Field::text_single(HASH, "Hats hash").value(hash));
        }
        form
    }

    fn load(&self, data: &mut Data, kept: &[u8]) -> Option<()> {
        data.put(Hats::from_bytes(kept)?);
        Some(())
    }

    fn save(&self, data: &Data) -> Option<Vec<u8>> {
        data.get::<Hats>().map(Hats::to_bytes)
    }

    fn presence(&self, _: &Jid, room: &State, occupant: &Occupant, out: &mut Vec<u8>) {
        let Some(hats) = room.data.get::<Hats>() else {
            return;
        };
        let mut worn = hats.of(occupant.user.as_str()).peekable();
        if worn.peek().is_none() {
            return;
        }
        let mut w = XmlWriter::into(std::mem::take(out));
        w.start("hats").attr("xmlns", NS);
        for hat in worn {
            // XEP-0317 §3.1: a hat has a URI and a title, and may have a hue.
            w.start("hat")
                .attr("title", &hat.title)
                .attr("uri", &hat.uri)
                .opt_attr("hue", Some(&*hat.hue).filter(|hue| !hue.is_empty()))
                .end();
        }
        w.end();
        *out = w.finish();
    }

    fn request(&self, call: &Call<'_>) -> Option<Routed> {
        let cx = call.entity;
        let payload = cx.stanza.payload()?;
        if cx.to.is_full() {
            return None;
        }
        if payload.is("command", commands::NS) {
            let set = cx.stanza.iq_type() == Some(IqType::Set);
            let request = match set {
                true => Request::parse(payload.parse().root()),
                false => Err(StanzaError::bad_request()),
            };
            let parked = call.park();
            return Some(Routed::later(async move {
                let call = parked.call();
                let done = match request {
                    Ok(request) => run(&call, request).await,
                    Err(error) => Err(error),
                };
                answer(&call, done);
            }));
        }
        let items = payload.is("query", disco::ITEMS);
        if !items && !payload.is("query", disco::INFO) {
            return None;
        }
        let asked = payload.parse();
        let node = asked.root().attr("node")?.into_owned();
        let told = discover(call, &node, items)?;
        answer(call, told);
        Some(Routed::Done)
    }
}

fn answer(call: &Call<'_>, done: Result<Reply, StanzaError>) {
    match done {
        Ok(Reply::Payload(payload)) => call.entity.answer(&payload),
        Ok(Reply::Empty | Reply::Last(_)) => call.entity.answer(&[]),
        Err(error) => call.entity.refuse(&error),
    }
}

impl Deed {
    fn changes_list(self) -> bool {
        matches!(self, Deed::Create | Deed::Destroy)
    }

    /// Whether who asks may do it: owners and admins, and those who see the hats may list them.
    fn is_for(self, call: &Call<'_>, state: &State) -> bool {
        let real = call.entity.from;
        let least = match self {
            Deed::List if state.occupants.of(real).is_some() => return true,
            Deed::List => Affiliation::Member,
            _ => Affiliation::Admin,
        };
        state.affiliation(real.bare_str()) >= least
    }

    /// What is to be filled in; `None`: nothing.
    fn form(self, hats: &Hats) -> Option<Form> {
        let which = || {
            let all = hats.all.iter();
            all.fold(Field::list_single(URI, "Hat"), |field, hat| {
                field.option(&hat.uri, &hat.title)
            })
            .required()
        };
        let who = || Field::jid_single(JID, "User Address").required();
        let form = Form::new(FORM);
        Some(match self {
            Deed::Create => form
                .title("Creating a Hat")
                .field(Field::text_single(TITLE, "Hat Title").required())
                .field(Field::text_single(URI, "Hat URI").required())
                .field(Field::text_single(HUE, "Hat Hue")),
            Deed::Destroy => form.title("Destroying a Hat").field(which()),
            Deed::Assign => form.title("Assigning a Hat").field(who()).field(which()),
            Deed::Unassign => form.title("Removing a Hat").field(who()).field(which()),
            Deed::List | Deed::ListAssigned => return None,
        })
    }

    /// What there is to see.
    fn listed(self, hats: &Hats) -> Form {
        let column = |var| Field::new(FieldType::TextSingle, var);
        let hat = |hat: &Hat| {
            [(TITLE, &hat.title), (URI, &hat.uri), (HUE, &hat.hue)]
                .map(|(var, value)| column(var).value(value.as_str()))
        };
        let form = [TITLE, URI, HUE]
            .into_iter()
            .fold(Form::result(FORM), |form, var| form.column(column(var)));
        if self == Deed::List {
            let all = hats.all.iter();
            return all.fold(form.title("Hats List"), |form, one| {
                form.row(hat(one).into())
            });
        }
        let mut form = form.title("Assigned Hats List").column(column(JID));
        for user in hats.worn.keys() {
            for one in hats.of(user.as_str()) {
                let mut row = Vec::from(hat(one));
                row.push(column(JID).value(user.as_str()));
                form = form.row(row);
            }
        }
        form
    }

    /// Does it, as `form` says, which fits. Says who looks different now.
    fn apply(
        self,
        hats: &mut Hats,
        state: &State,
        form: &Form,
    ) -> Result<Vec<BareJid>, StanzaError> {
        let value = |var| form.value(var).unwrap_or_default();
        let user = || {
            let jid = Jid::parse(value(JID)).map_err(|_| StanzaError::jid_malformed());
            jid.map(|jid| jid.to_bare())
        };
        match self {
            Deed::Create => hats.create(Hat::new(value(URI), value(TITLE), value(HUE))?),
            Deed::Destroy => hats.destroy(value(URI)),
            Deed::Assign => {
                let user = user()?;
                if state.affiliation(user.as_str()) == Affiliation::Outcast {
                    let text = "who is banned wears no hats";
                    return Err(StanzaError::not_acceptable().text(text));
                }
                hats.assign(&user, value(URI))
            }
            Deed::Unassign => hats.unassign(&user()?, value(URI)),
            Deed::List | Deed::ListAssigned => Ok(Vec::new()),
        }
    }
}

fn find(node: &str) -> Option<&'static (Deed, &'static str, &'static str)> {
    COMMANDS.iter().find(|(_, known, _)| *known == node)
}

/// A step of a command. A form says all by itself, so that nothing is kept between the steps, and who knows what to fill in sends it at
/// once.
async fn run(call: &Call<'_>, request: Request) -> Result<Reply, StanzaError> {
    let &(deed, node, _) = find(&request.node).ok_or_else(StanzaError::item_not_found)?;
    let hats = {
        let state = call.room.lock();
        may(deed, call, &state)?;
        state.data.get::<Hats>().cloned().unwrap_or_default()
    };
    let session = request.session.unwrap_or_else(|| {
        let id: [u8; 12] = call.entity.server.random();
        id.iter().map(|b| format!("{b:02x}")).collect()
    });
    match request.action {
        Action::Cancel => return Ok(commands::canceled(node, &session)),
        // XEP-0050 §4.4: there is one form, with nothing before it or behind it.
        Action::Previous | Action::Next => {
            return Err(commands::refuse(StanzaError::bad_request(), "bad-action"));
        }
        Action::Execute | Action::Complete => {}
    }
    let Some(offered) = deed.form(&hats) else {
        let outcome = Outcome::result(deed.listed(&hats));
        return Ok(commands::completed(node, &session, &outcome));
    };
    let Some(submitted) = request.form else {
        return Ok(commands::executing(node, &session, &offered));
    };
    if submitted.kind == FormKind::Cancel {
        return Ok(commands::canceled(node, &session));
    }
    let fits = offered.accept(&submitted);
    fits.map_err(|error| commands::refuse(error, "bad-payload"))?;
    change(call, deed, &submitted).await?;
    Ok(commands::completed(node, &session, &Outcome::default()))
}

fn may(deed: Deed, call: &Call<'_>, state: &State) -> Result<(), StanzaError> {
    match deed.is_for(call, state) {
        true => Ok(()),
        false => Err(StanzaError::forbidden()),
    }
}

async fn change(call: &Call<'_>, deed: Deed, form: &Form) -> Result<(), StanzaError> {
    let mut touched = Vec::new();
    super::keep(call, NAME, |state, batch| {
        may(deed, call, state)?;
        let mut hats = state.data.get::<Hats>().cloned().unwrap_or_default();
        touched = deed.apply(&mut hats, state, form)?;
        index(batch, &call.room.jid, state, &hats);
        Ok(hats.to_bytes())
    })
    .await?;
    let mut state = call.room.lock();
    // XEP-0317 §3: who looks different now is shown anew.
    for user in &touched {
        show(call, &mut state, user);
    }
    if deed.changes_list() {
        // XEP-0317 §3.2: everybody is told that something about the room has changed.
        let message = presence::statuses(&call.room.jid, &[Status::ConfigurationChanged]);
        state.cast_message(call.entity.server, &call.room.jid, &message);
    }
    leave::settle(call, &mut state);
    Ok(())
}

/// Shows the occupants that are `user` to all, and to themselves.
fn show(call: &Call<'_>, state: &mut State, user: &BareJid) {
    let of_user = state.occupants.of_user(user.as_str());
    let of_user = of_user.filter_map(|o| state.occupants.place_of_nick(o.nick()));
    for place in of_user.collect::<Vec<_>>() {
        state.occupants.at_mut(place).changed();
        show::changed(call, state, place);
        let sessions = state.occupants.at(place).sessions.iter();
        for session in sessions.map(|s| s.jid.clone()).collect::<Vec<_>>() {
            show::say_self(call, state, place, &session, &[Status::SelfPresence], &[]);
        }
    }
}

/// What service discovery tells of the commands; `None`: the node is none of theirs.
fn discover(call: &Call<'_>, node: &str, items: bool) -> Option<Result<Reply, StanzaError>> {
    let command = find(node);
    if command.is_none() && node != commands::NS {
        return None;
    }
    let state = call.room.lock();
    if command.is_some_and(|(deed, ..)| !deed.is_for(call, &state)) {
        // XEP-0050 §2.2: not for this asker.
        return Some(Err(StanzaError::forbidden()));
    }
    let mut w = XmlWriter::new();
    let ns = if items { disco::ITEMS } else { disco::INFO };
    w.start("query").attr("xmlns", ns).attr("node", node);
    match (command, items) {
        (None, true) => {
            for (_, node, name) in COMMANDS.iter().filter(|(d, ..)| d.is_for(call, &state)) {
                let jid = ("jid", call.room.jid.as_str());
                w.leaf("item", &[jid, ("node", node), ("name", name)]);
            }
        }
        (Some(_), true) => {}
        (command, false) => {
            let (kind, name) = match command {
                Some((.., name)) => ("command-node", *name),
                None => ("command-list", "Commands"),
            };
            w.leaf(
                "identity",
                &[("category", "automation"), ("type", kind), ("name", name)],
            );
            w.leaf("feature", &[("var", commands::NS)]);
            w.leaf("feature", &[("var", forms::NS)]);
        }
    }
    w.end();
    Some(Ok(Reply::Payload(w.finish())))
}

/// Notes who wears hats and is on no list: when the account goes, so do the hats.
fn index(batch: &mut Batch, room: &BareJid, state: &State, hats: &Hats) {
    let others = hats.worn.keys();
    for user in others.filter(|user| !state.roll.contains_key(*user)) {
        records::put_wearer(batch, room, user);
    }
}

/// The same for a room that was not kept before.
pub(in crate::muc) fn index_all(batch: &mut Batch, room: &BareJid, state: &State) {
    if let Some(hats) = state.data.get::<Hats>() {
        index(batch, room, state, hats);
    }
}

/// Whether `user` wears a hat in the room.
pub(in crate::muc) fn wears(state: &State, user: &BareJid) -> bool {
    let hats = state.data.get::<Hats>();
    hats.is_some_and(|hats| hats.worn.contains_key(user))
}

/// Takes the hats of those who lose their affiliation, as they are kept: whoever is later taken in under the name has none.
pub(in crate::muc) fn put_without<'a>(
    batch: &mut Batch,
    room: &BareJid,
    state: &State,
    changes: impl Iterator<Item = (&'a BareJid, &'a Enrolled)>,
) {
    let Some(hats) = state.data.get::<Hats>() else {
        return;
    };
    let mut left = hats.clone();
    for (user, _) in changes.filter(|(_, e)| e.affiliation < Affiliation::Member) {
        left.worn.remove(user);
    }
    if left != *hats {
        records::put_data(batch, room, NAME, left.to_bytes());
    }
}

/// Takes the hats of `user`, if it loses its affiliation.
pub(in crate::muc) fn enrolling(state: &mut State, user: &BareJid, affiliation: Affiliation) {
    if affiliation < Affiliation::Member && state.data.get::<Hats>().is_some() {
        state.data.of::<Hats>().worn.remove(user);
    }
}
