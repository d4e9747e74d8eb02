//! XEP-0055 Jabber Search 1.3, of public rooms, for clients without XEP-0433, whose search it is. Gaps: none known; rooms have
//! neither first nor last names nor addresses of e-mail, so that of the old fields only `nick` is asked for.

use tercet_core::forms::{Field, FieldType, Form};
use tercet_core::rsm::RsmRequest;
use tercet_core::{Element, IqType, StanzaError, XmlWriter};
use tercet_server::module::{IqCx, IqKind, IqResult, OnIq, Payload, Registrar, Reply, Target};

use super::search::{PAGE, Wish};
use crate::muc::disco::{self, Listed};
use crate::muc::{Core, Muc};

const NS: &str = "jabber:iq:search";
const NICK: &str = "nick";
const WORDS: &str = "Words of the names, descriptions and addresses of rooms";

/// `<query/>`
pub(in crate::muc) struct Query {
    /// What was filled in; `None`: nothing was.
    words: Option<String>,
    form: Option<Form>,
    page: Option<RsmRequest>,
}

impl Payload for Query {
    const NAME: &'static str = "query";
    const NS: &'static str = NS;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        Ok(Query {
            words: el.child(NICK, NS).map(|nick| nick.text().into_owned()),
            form: Form::parse_child(el)?,
            page: RsmRequest::parse_child(el)?,
        })
    }
}

/// The service answers.
pub(in crate::muc) fn register(r: &mut Registrar<'_, Muc>) {
    r.iq::<Query>(IqKind::Get, Target::Host).feature(NS);
    r.iq::<Query>(IqKind::Set, Target::Host).feature(NS);
}

fn offered() -> Form {
    Form::new(NS)
        .title("Search for rooms")
        .field(Field::text_single(NICK, WORDS))
}

impl OnIq<Query> for Muc {
    async fn on_iq(&self, cx: IqCx<'_>, query: Query) -> IqResult {
        let mut w = XmlWriter::new();
        w.start("query").attr("xmlns", NS);
        if cx.stanza.iq_type() != Some(IqType::Set) {
            // XEP-0055 §2.1: which fields there are.
            w.text_element("instructions", "Fill in words to search for rooms.");
            w.leaf(NICK, &[]);
            offered().write(&mut w);
            w.end();
            return Ok(Reply::Payload(w.finish()));
        }
        if let Some(form) = &query.form {
            offered().accept(form)?;
        }
        let in_form = query.form.as_ref().and_then(|form| form.value(NICK));
        let words = in_form.or(query.words.as_deref()).unwrap_or_default();
        let wish = Wish::of(words)?;
        let mut rooms = disco::listed(&self.core, &cx).await?;
        rooms.retain(|room| wish.wants(room));
        rooms.sort_by_key(|room| std::cmp::Reverse(room.occupants));
        let asked = query.page.is_some();
        let page = query.page.unwrap_or_default();
        let (range, page) = page.choose(&rooms, PAGE, |room| &room.local)?;
        // XEP-0055 §2.2: where nothing is found the query is empty.
        let found = &rooms[range];
        match query.form {
            _ if found.is_empty() => {}
            Some(_) => table(&self.core, found).write(&mut w),
            None => found.iter().for_each(|room| item(&self.core, room, &mut w)),
        }
        if asked {
            page.write(&mut w);
        }
        w.end();
        Ok(Reply::Payload(w.finish()))
    }
}

fn address(core: &Core, room: &Listed) -> String {
    format!("{}@{}", room.local, core.domain)
}

/// A room in the old fields, all of which are there.
fn item(core: &Core, room: &Listed, w: &mut XmlWriter) {
    w.start("item").attr("jid", &address(core, room));
    w.leaf("first", &[]).leaf("last", &[]);
    w.text_element(NICK, room.name());
    w.leaf("email", &[]).end();
}

/// Rooms in a form.
fn table(core: &Core, rooms: &[Listed]) -> Form {
    const COLUMNS: [(FieldType, &str, &str); 4] = [
        (FieldType::JidSingle, "jid", "Address"),
        (FieldType::TextSingle, NICK, "Name"),
        (FieldType::TextSingle, "x-description", "Description"),
        (FieldType::TextSingle, "x-occupants", "Occupants"),
    ];
    let columns = COLUMNS.into_iter();
    let form = columns.fold(Form::result(NS), |form, (kind, var, label)| {
        form.column(Field::new(kind, var).label(label))
    });
    rooms.iter().fold(form, |form, room| {
        let values = [
            address(core, room),
            room.name().to_owned(),
            room.config.description.clone(),
            room.occupants.to_string(),
        ];
        let row = COLUMNS.iter().zip(values);
        let row = row.map(|((kind, var, _), value)| Field::new(*kind, *var).value(value));
        form.row(row.collect())
    })
}
