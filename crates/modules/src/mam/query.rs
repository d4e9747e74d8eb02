//! What is asked of an archive.

use tercet_core::forms::{Form, FormKind};
use tercet_core::rsm::RsmRequest;
use tercet_core::{Element, Jid, StanzaError, XmlWriter, time};
use tercet_server::empty_payload;
use tercet_server::module::Payload;
use tercet_store::Store;

use super::{NS, read_id, search};

/// How many ids one query may ask for.
const IDS: usize = 250;

empty_payload!(
    /// `<metadata/>`
    Metadata, "metadata", NS
);

/// `<query/>`
pub struct Query {
    /// What the client calls it.
    pub(crate) queryid: Option<String>,
    pub(crate) filter: Filter,
    /// XEP-0313 §4.2.
    pub(crate) page: RsmRequest,
    /// XEP-0313 §4.3.3: the page is sent newest first.
    pub(crate) flip: bool,
}

/// Which messages are meant.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) with: Option<Jid>,
    /// Ids from this on.
    pub(crate) first: Option<u64>,
    /// Ids below this.
    pub(crate) end: Option<u64>,
    pub(crate) after_id: Option<u64>,
    pub(crate) before_id: Option<u64>,
    pub(crate) ids: Option<Vec<u64>>,
    pub(crate) text: Option<String>,
}

impl Payload for Query {
    const NAME: &'static str = "query";
    const NS: &'static str = NS;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        if el.attr("node").is_some() {
            // XEP-0442: nodes have no archives here.
            return Err(StanzaError::item_not_found());
        }
        let form = Form::parse_child(el)?;
        Ok(Query {
            queryid: el.attr("queryid").map(|id| id.into_owned()),
            filter: form.map_or_else(|| Ok(Filter::default()), |form| Filter::read(&form))?,
            page: RsmRequest::parse_child(el)?.unwrap_or_default(),
            flip: el.child("flip-page", NS).is_some(),
        })
    }
}

impl Filter {
    fn read(form: &Form) -> Result<Filter, StanzaError> {
        let bad = |text: &'static str| StanzaError::bad_request().text(text);
        // XEP-0313 §4.1: the form is of this type.
        if form.kind != FormKind::Submit || form.form_type() != Some(NS) {
            return Err(bad("the form is not one of urn:xmpp:mam:2"));
        }
        let mut filter = Filter::default();
        for field in &form.fields {
            let Some(var) = field.var.as_deref() else {
                continue;
            };
            let value = field.values.first().map(String::as_str);
            let value = value.filter(|value| !value.is_empty());
            match (var, value) {
                ("FORM_TYPE", _) => {}
                ("ids", _) => filter.ids = ids(&field.values)?,
                // XEP-0313 §4.1.4: rooms keep their own archives, so this changes nothing.
                ("include-groupchat", _) => {
                    form.boolean(var)?;
                }
                ("with" | "start" | "end" | "before-id" | "after-id" | search::FIELD, None) => {}
                ("with", Some(with)) => {
                    filter.with = Some(Jid::parse(with).map_err(|_| StanzaError::jid_malformed())?);
                }
                ("start", Some(start)) => filter.first = Some(moment(start)?),
                // XEP-0313 §4.1.2: to the millisecond, that one included.
                ("end", Some(end)) => filter.end = Some(after(moment(end)?)),
                ("before-id", Some(id)) => filter.before_id = Some(known(id)?),
                ("after-id", Some(id)) => filter.after_id = Some(known(id)?),
                (search::FIELD, Some(text)) => filter.text = Some(text.to_owned()),
                // XEP-0313 §4.1.5: fields that are not known are refused.
                _ => {
                    return Err(StanzaError::feature_not_implemented()
                        .text("a field of the form is not known here"));
                }
            }
        }
        Ok(filter)
    }
}

/// The first id of that time.
fn moment(text: &str) -> Result<u64, StanzaError> {
    let ms = time::parse(text).ok_or_else(|| {
        StanzaError::bad_request().text("start and end are times as in 2010-06-07T00:00:00Z")
    })?;
    // Nothing is older than 1970.
    Ok(Store::archive_id_from(u64::try_from(ms).unwrap_or(0)))
}

/// The first id of the millisecond after the one that begins with `id`.
fn after(id: u64) -> u64 {
    Store::archive_id_from(Store::archive_time(id) + 1)
}

/// XEP-0313 §4.1.3: an id that is not in the archive.
pub(crate) fn known(id: &str) -> Result<u64, StanzaError> {
    read_id(id).ok_or_else(StanzaError::item_not_found)
}

fn ids(values: &[String]) -> Result<Option<Vec<u64>>, StanzaError> {
    if values.len() > IDS {
        return Err(StanzaError::resource_constraint().text(format!("at most {IDS} ids at a time")));
    }
    let mut ids: Vec<u64> = values
        .iter()
        .map(|id| known(id))
        .collect::<Result<_, _>>()?;
    ids.sort_unstable();
    ids.dedup();
    Ok(Some(ids).filter(|ids| !ids.is_empty()))
}

/// XEP-0313 §4.1.5: the fields that there are. Archives of accounts have one more, which is about those of rooms.
pub(crate) fn form(groupchat: bool) -> Vec<u8> {
    let mut w = XmlWriter::new();
    w.start("query").attr("xmlns", NS);
    w.start("x")
        .attr("xmlns", "jabber:x:data")
        .attr("type", "form");
    w.start("field")
        .attr("type", "hidden")
        .attr("var", "FORM_TYPE")
        .text_element("value", NS)
        .end();
    for (kind, var) in [
        ("jid-single", "with"),
        ("text-single", "start"),
        ("text-single", "end"),
        ("text-single", "before-id"),
        ("text-single", "after-id"),
    ] {
        w.leaf("field", &[("type", kind), ("var", var)]);
    }
    // The list is open: it is not told which ids there are (XEP-0122).
    w.start("field")
        .attr("type", "list-multi")
        .attr("var", "ids");
    w.start("validate")
        .attr("xmlns", "http://jabber.org/protocol/xdata-validate")
        .attr("datatype", "xs:string")
        .leaf("open", &[])
        .end();
    w.end();
    if groupchat {
        w.leaf(
            "field",
            &[("type", "boolean"), ("var", "include-groupchat")],
        );
    }
    w.leaf("field", &[("type", "text-single"), ("var", search::FIELD)]);
    w.end().end();
    w.finish()
}
