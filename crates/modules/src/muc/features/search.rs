//! XEP-0433 Extended Channel Search 0.1.0: public rooms are found by words of their names, descriptions and addresses. Gaps: none known.

use tercet_core::forms::{Field, Form};
use tercet_core::rsm::RsmRequest;
use tercet_core::{Element, ErrorType, StanzaError, XmlWriter};
use tercet_server::module::{IqCx, IqKind, IqResult, OnIq, Payload, Registrar, Reply, Target};

use crate::muc::config::Whois;
use crate::muc::disco::{self, Listed};
use crate::muc::{Core, Muc};

const NS: &str = "urn:xmpp:channel-search:0:search";
const PARAMS: &str = "urn:xmpp:channel-search:0:search-params";
const ERROR: &str = "urn:xmpp:channel-search:0:error";
const BY_USERS: &str = "{urn:xmpp:channel-search:0:order}nusers";
const BY_ADDRESS: &str = "{urn:xmpp:channel-search:0:order}address";
const ROOMS: &str = "xep-0045";
/// Rooms on a page, unless fewer are asked for.
pub(super) const PAGE: u32 = 100;
/// Words of a search, beyond which the others do not count.
const WORDS: usize = 16;

/// `<search/>`
pub(in crate::muc) struct Search {
    form: Option<Form>,
    page: RsmRequest,
}

impl Payload for Search {
    const NAME: &'static str = "search";
    const NS: &'static str = NS;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        Ok(Search {
            form: Form::parse_child(el)?,
            page: RsmRequest::parse_child(el)?.unwrap_or_default(),
        })
    }
}

/// The service answers.
pub(in crate::muc) fn register(r: &mut Registrar<'_, Muc>) {
    r.iq::<Search>(IqKind::Get, Target::Host).feature(NS);
}

impl OnIq<Search> for Muc {
    async fn on_iq(&self, cx: IqCx<'_>, search: Search) -> IqResult {
        let Some(form) = &search.form else {
            return Ok(Reply::Payload(template()));
        };
        let wish = Wish::read(form)?;
        let mut rooms = disco::listed(&self.core, &cx).await?;
        rooms.retain(|room| wish.wants(room));
        if wish.by_users {
            rooms.sort_by_key(|room| std::cmp::Reverse(room.occupants));
        }
        let (range, page) = search.page.choose(&rooms, PAGE, |room| &room.local)?;
        let mut w = XmlWriter::new();
        w.start("result").attr("xmlns", NS);
        for room in &rooms[range] {
            write(&self.core, room, &mut w);
        }
        page.write(&mut w);
        w.end();
        Ok(Reply::Payload(w.finish()))
    }
}

/// What is looked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// All of them, in small letters.
    words: Vec<String>,
    name: bool,
    description: bool,
    address: bool,
    least: usize,
    /// Rooms are among the kinds that are asked for.
    rooms: bool,
    by_users: bool,
}

fn refuse(error: StanzaError, kind: ErrorType, condition: &str, fields: &[&str]) -> StanzaError {
    let mut w = XmlWriter::new();
    w.start(condition).attr("xmlns", ERROR);
    for field in fields {
        w.text_element("var", field);
    }
    w.end();
    error.kind(kind).app(w.finish())
}

/// The words of a text, in small letters.
fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split_whitespace()
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .take(WORDS)
        .map(str::to_owned)
        .collect()
}

impl Wish {
    /// All rooms with these words anywhere; a blank text is for all rooms.
    ///
    /// # Errors
    /// `bad-request`: there is no word in the text.
    pub(super) fn of(text: &str) -> Result<Wish, StanzaError> {
        let words = words(text);
        if words.is_empty() && !text.trim().is_empty() {
            return Err(StanzaError::bad_request().text("words have letters or digits"));
        }
        Ok(Wish {
            words,
            name: true,
            description: true,
            address: true,
            least: 0,
            rooms: true,
            by_users: true,
        })
    }

    fn read(form: &Form) -> Result<Wish, StanzaError> {
        if form.form_type() != Some(PARAMS) {
            return Err(StanzaError::bad_request().text("the form is not one for searches"));
        }
        let flag = |var: &str| Ok::<bool, StanzaError>(form.boolean(var)?.unwrap_or(true));
        let text = form.value("q").filter(|q| !q.is_empty());
        let all = form.boolean("all")?.unwrap_or(false);
        let bad = StanzaError::bad_request;
        match (text, all) {
            // XEP-0433 §4.2.2.5: both at once contradict each other.
            (Some(_), true) => {
                return Err(refuse(
                    bad(),
                    ErrorType::Modify,
                    "conflicting-fields",
                    &["all", "q"],
                ));
            }
            // XEP-0433 §4.2.2.6: something has to be looked for.
            (None, false) => {
                return Err(refuse(
                    bad(),
                    ErrorType::Cancel,
                    "no-search-conditions",
                    &[],
                ));
            }
            _ => {}
        }
        let words = words(text.unwrap_or_default());
        if words.is_empty() && !all {
            // XEP-0433 §4.2.2.3: a text without a word is refused.
            let error = bad().text("words have letters or digits");
            return Err(refuse(
                error,
                ErrorType::Modify,
                "invalid-search-terms",
                &[],
            ));
        }
        let by_users = match form.value("key").unwrap_or(BY_USERS) {
            BY_USERS => true,
            BY_ADDRESS => false,
            // XEP-0433 §4.2.2.2: an order that is not known is refused.
            _ => {
                let error = StanzaError::feature_not_implemented();
                return Err(refuse(error, ErrorType::Modify, "invalid-sort-key", &[]));
            }
        };
        let least = form.value("min_users").filter(|n| !n.is_empty());
        let least = least.map_or(Ok(0), str::parse).map_err(|_| bad())?;
        Ok(Wish {
            words,
            name: flag("sinname")?,
            description: flag("sindescription")?,
            address: flag("sinaddr")? && flag("sinaddress")?,
            least,
            rooms: form.get("types").is_none_or(|types| {
                types.values.is_empty() || types.values.iter().any(|kind| kind == ROOMS)
            }),
            by_users,
        })
    }

    /// Whether the room is among what is looked for.
    pub(super) fn wants(&self, room: &Listed) -> bool {
        let text = |on: bool, text: &str| {
            if on {
                text.to_lowercase()
            } else {
                String::new()
            }
        };
        let texts = [
            text(self.name, room.name()),
            text(self.description, &room.config.description),
            text(self.address, &room.local),
        ];
        let found = |word: &String| texts.iter().any(|text| text.contains(word.as_str()));
        self.rooms && room.occupants >= self.least && self.words.iter().all(found)
    }
}

/// XEP-0433 §4.2.1: every field with what it is if it is left out.
fn template() -> Vec<u8> {
    let form = Form::new(PARAMS)
        .field(Field::text_single("q", "Search for"))
        .field(Field::boolean(
            "all",
            "All rooms, whatever is searched for",
            false,
        ))
        .field(Field::boolean("sinname", "Search in names", true))
        .field(Field::boolean(
            "sindescription",
            "Search in descriptions",
            true,
        ))
        .field(Field::boolean("sinaddr", "Search in addresses", true))
        .field(Field::text_single("min_users", "At least so many occupants").value("0"))
        .field(
            Field::list_multi("types", "Kinds of service")
                .value(ROOMS)
                .option(ROOMS, "Rooms"),
        )
        .field(
            Field::list_single("key", "In the order of")
                .value(BY_USERS)
                .option(BY_USERS, "Occupants")
                .option(BY_ADDRESS, "Addresses"),
        );
    let mut w = XmlWriter::new();
    w.start("search").attr("xmlns", NS);
    form.write(&mut w);
    w.end();
    w.finish()
}

/// XEP-0433 §6.2: what a room is.
fn write(core: &Core, room: &Listed, w: &mut XmlWriter) {
    let config = &room.config;
    w.start("item")
        .attr("address", &format!("{}@{}", room.local, core.domain));
    w.text_element("name", room.name());
    for (name, text) in [
        ("description", &config.description),
        ("language", &config.lang),
    ] {
        if !text.is_empty() {
            w.text_element(name, text);
        }
    }
    w.text_element("nusers", &room.occupants.to_string());
    w.text_element("service-type", ROOMS);
    if !config.members_only && config.password().is_none() {
        w.leaf("is-open", &[]);
    }
    w.text_element(
        "anonymity-mode",
        match config.whois {
            Whois::Anyone => "{urn:xmpp:channel-search:0:anonymity}none",
            Whois::Moderators => "muc_semianonymous",
        },
    );
    w.end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::muc::config::RoomConfig;
    use tercet_core::forms::{FORM_TYPE, FormKind};

    fn wish(fields: &[(&str, &str)]) -> Result<Wish, StanzaError> {
        let form = Form::empty(FormKind::Submit).field(Field::hidden(FORM_TYPE, PARAMS));
        let form = fields.iter().fold(form, |form, (var, value)| {
            form.field(Field::text_single(*var, "").value(*value))
        });
        Wish::read(&form)
    }

    fn room() -> Listed {
        Listed {
            local: "coven".into(),
            config: RoomConfig {
                name: "A Dark Cave".into(),
                description: "Three witches meet".into(),
                ..RoomConfig::default()
            },
            occupants: 3,
        }
    }

    #[test]
    fn rooms_are_found_by_all_words_where_they_are_looked_for() {
        let found = |fields: &[(&str, &str)]| wish(fields).unwrap().wants(&room());
        assert!(found(&[("q", "dark WITCH")]));
        assert!(found(&[("q", "coven")]));
        assert!(found(&[("all", "1")]));
        assert!(!found(&[("q", "dark castle")]));
        assert!(!found(&[("q", "dark"), ("sinname", "0")]));
        assert!(!found(&[("q", "witch"), ("sindescription", "false")]));
        assert!(!found(&[("q", "coven"), ("sinaddr", "0")]));
        assert!(found(&[("all", "1"), ("min_users", "3")]));
        assert!(!found(&[("all", "1"), ("min_users", "4")]));
        assert!(!found(&[("all", "1"), ("types", "xep-0369")]));
        assert!(found(&[
            ("all", "1"),
            ("types", "xep-0045"),
            ("unknown", "x")
        ]));
    }

    #[test]
    fn searches_for_nothing_and_contradictions_are_refused() {
        let refused = |fields: &[(&str, &str)]| {
            let error = wish(fields).unwrap_err();
            error.condition.as_str()
        };
        assert_eq!(refused(&[]), "bad-request");
        assert_eq!(refused(&[("q", "x"), ("all", "1")]), "bad-request");
        assert_eq!(refused(&[("q", "?!")]), "bad-request");
        assert_eq!(
            refused(&[("q", "x"), ("key", "size")]),
            "feature-not-implemented"
        );
        assert_eq!(
            refused(&[("all", "1"), ("min_users", "few")]),
            "bad-request"
        );
        assert!(Wish::read(&Form::empty(FormKind::Submit)).is_err());
    }

    #[test]
    fn a_text_alone_is_looked_for_everywhere_and_a_blank_one_is_for_all() {
        for text in ["", " ", "dark", "WITCH", "coven dark"] {
            assert!(Wish::of(text).unwrap().wants(&room()), "{text}");
        }
        assert!(!Wish::of("castle").unwrap().wants(&room()));
        assert!(Wish::of("?!").is_err());
    }
}
