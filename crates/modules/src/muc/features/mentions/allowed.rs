//! XEP-0513 Explicit Mentions 0.1.0: who may mention whom, and how many, as the owners say (§3.6); what goes beyond is left out of messages
//! to all. Gaps: mentions of spaces and of servers are passed on as they are.

use std::collections::BTreeSet;

use tercet_core::forms::{Field, Form, FormKind};
use tercet_core::{
    Element, IqType, SharedStanza, Stanza, StanzaError, StanzaKind, XmlWriter, forms,
};
use tercet_server::Routed;

use super::MENTION;
use crate::muc::affiliation::{Affiliation, Role};
use crate::muc::config::{Choice, Place, Setting};
use crate::muc::features::{self, RoomFeature};
use crate::muc::message::Speech;
use crate::muc::room::{Data, State};
use crate::muc::{Call, leave};

const NAME: &str = "mentions_allowed";
/// The most mentions in one message that owners may allow.
const MOST: u32 = 100;
/// The groups that rooms know (§3.2), as discovery has them.
const GROUPS: [&str; 3] = [
    "urn:xmpp:mentions:0#channel",
    "urn:xmpp:mentions:0#associations",
    "urn:xmpp:mentions:0#hats",
];

const WHO: &[Choice] = &[
    ("participants", "Participants"),
    ("moderators", "Moderators Only"),
    ("none", "Nobody"),
];

/// Sorts of mentions that are allowed separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Individual,
    Channel,
    Associations,
    Hats,
}

/// What the owners allow: how many, and for each sort the place of who may in [`WHO`].
#[derive(Debug, Clone, PartialEq, Eq)]
struct Allowed {
    count: u32,
    who: [usize; 4],
}

impl Default for Allowed {
    fn default() -> Self {
        Allowed {
            count: 20,
            who: [0; 4],
        }
    }
}

macro_rules! who {
    ($tag:literal $sort:ident $var:literal $label:literal) => {
        Setting {
            tag: $tag,
            var: $var,
            label: $label,
            value: Place::One {
                choices: WHO,
                get: |allowed| allowed.who[Sort::$sort as usize],
                set: |allowed, who| allowed.who[Sort::$sort as usize] = who,
            },
        }
    };
}

static FIELDS: &[Setting<Allowed>] = &[
    Setting {
        tag: 1,
        var: "mentions#count",
        label: "How many mentions are allowed in a message?",
        value: Place::Number {
            least: 0,
            most: MOST,
            offered: &[],
            none: None,
            get: |allowed| Some(allowed.count),
            set: |allowed, count| allowed.count = count.unwrap_or(0),
        },
    },
    who!(2 Individual "mentions#individual" "Who can mention individual users?"),
    who!(3 Channel "mentions#channel" "Who can mention rooms?"),
    who!(4 Associations "mentions#associations" "Who can mention roles/affiliations?"),
    who!(5 Hats "mentions#hats" "Who can mention hats?"),
];

/// Who may mention whom.
pub(in crate::muc::features) struct MentionsAllowed;

impl RoomFeature for MentionsAllowed {
    fn name(&self) -> &'static str {
        NAME
    }

    fn disco(&self, _: &State, features: &mut BTreeSet<&'static str>) {
        // XEP-0513 §2, §3.2: what is supported is advertised.
        features.insert(MENTION);
        features.extend(GROUPS);
    }

    fn info(&self, room: &State, _: u64, mut form: Form) -> Form {
        let allowed = of(room);
        // Without what could be chosen: a result has no options, and there are clients that end the stream over one.
        let field =
            |s: &Setting<Allowed>| Field::text_single(s.var, s.label).values(s.values(&allowed));
        form.fields.extend(FIELDS.iter().map(field));
        form
    }

    fn load(&self, data: &mut Data, kept: &[u8]) -> Option<()> {
        features::load(FIELDS, data.of::<Allowed>(), kept)
    }

    fn save(&self, data: &Data) -> Option<Vec<u8>> {
        features::save(FIELDS, data.get::<Allowed>())
    }

    fn message(&self, cx: &mut Speech<'_>) -> Result<(), StanzaError> {
        let allowed = of(cx.state);
        let role = cx.state.occupants.at(cx.place).role;
        let stanza = cx.call.entity.stanza;
        cx.leave_out.extend(too_many(stanza, &allowed, role));
        Ok(())
    }

    fn request(&self, call: &Call<'_>) -> Option<Routed> {
        let cx = call.entity;
        let payload = cx.stanza.payload()?;
        if cx.to.is_full() || !payload.is("query", MENTION) {
            return None;
        }
        if cx.stanza.iq_type() == Some(IqType::Get) {
            cx.answer(&form(&of(&call.room.lock())));
            return Some(Routed::Done);
        }
        let parked = call.park();
        Some(Routed::later(async move {
            let call = parked.call();
            match set(&call).await {
                Ok(()) => call.entity.answer(&[]),
                Err(error) => call.entity.refuse(&error),
            }
        }))
    }
}

fn of(room: &State) -> Allowed {
    room.data.get::<Allowed>().cloned().unwrap_or_default()
}

/// The form with which it is asked and answered.
fn form(allowed: &Allowed) -> Vec<u8> {
    let form = Form::new(MENTION)
        .title("Permissions for Explicit Mentions")
        .instructions("Who may mention whom in this room, and how many in a message.");
    let fields = FIELDS.iter().map(|s| s.field(allowed).required());
    let form = fields.fold(form, Form::field);
    let mut w = XmlWriter::new();
    w.start("query").attr("xmlns", MENTION);
    form.write(&mut w);
    w.end();
    w.finish()
}

/// What an owner submits is kept, and told to all.
async fn set(call: &Call<'_>) -> Result<(), StanzaError> {
    let cx = call.entity;
    let payload = cx.stanza.payload().ok_or_else(StanzaError::bad_request)?;
    let payload = payload.parse();
    let (mut was, mut is) = (Allowed::default(), Allowed::default());
    features::keep(call, NAME, |state, _| {
        // XEP-0513 §3.6: who is no owner is told so with forbidden.
        if state.affiliation(cx.from.bare_str()) != Affiliation::Owner {
            return Err(StanzaError::forbidden());
        }
        was = of(state);
        is = submitted(payload.root(), &was)?;
        Ok(features::save(FIELDS, Some(&is)).unwrap_or_default())
    })
    .await?;
    if is == was {
        return Ok(());
    }
    let mut state = call.room.lock();
    // XEP-0513 §3.6: everybody is told what has changed.
    let changed = FIELDS.iter().filter(|s| s.values(&is) != s.values(&was));
    let news =
        Form::result(MENTION).title("Updated configuration for Explicit Mention Permissions");
    let news = changed.fold(news, |form, setting| {
        let field = setting.field(&is);
        form.field(Field::new(field.kind, setting.var).values(field.values))
    });
    let room = &call.room.jid;
    let type_ = Some("groupchat");
    let message = SharedStanza::compose(StanzaKind::Message, room.as_str(), type_, |out| {
        let mut w = XmlWriter::into(std::mem::take(out));
        news.write(&mut w);
        *out = w.finish();
    });
    state.cast_message(cx.server, room, &message);
    leave::settle(call, &mut state);
    Ok(())
}

/// What is allowed from now on; fields that are not there stay as they were.
fn submitted(query: Element<'_>, was: &Allowed) -> Result<Allowed, StanzaError> {
    let form = query.child("x", forms::NS);
    let form = Form::parse(form.ok_or_else(StanzaError::bad_request)?)?;
    if form.kind != FormKind::Submit || form.form_type() != Some(MENTION) {
        return Err(StanzaError::bad_request());
    }
    let mut is = was.clone();
    crate::muc::config::take_form(FIELDS, &mut is, &form)?;
    Ok(is)
}

/// Of which sort a `<mention/>` is; `None`: of one that rooms know nothing of.
fn sort(mention: Element<'_>) -> Option<Sort> {
    // XEP-0513 §3.1: who mentions an individual mentions no group.
    let Some(group) = mention.attr("mentions") else {
        return Some(Sort::Individual);
    };
    Some(match group.strip_prefix(MENTION)?.strip_prefix('#')? {
        "channel" => Sort::Channel,
        "moderators" | "participants" | "visitors" | "owner" | "admin" | "member" | "none" => {
            Sort::Associations
        }
        "hats" => Sort::Hats,
        _ => return None,
    })
}

impl Allowed {
    fn lets(&self, role: Role, sort: Sort) -> bool {
        match self.who[sort as usize] {
            0 => role >= Role::Participant,
            1 => role == Role::Moderator,
            _ => false,
        }
    }
}

/// The places of the mentions that are not allowed to somebody of that role: all, if there are too many.
fn too_many(message: &Stanza, allowed: &Allowed, role: Role) -> Vec<u32> {
    let children = message.children().enumerate();
    let mentions: Vec<_> = children.filter(|(_, c)| c.is("mention", MENTION)).collect();
    // XEP-0513 §3.6: of a message with more than are allowed, none counts.
    let flood = mentions.len() > allowed.count as usize;
    let refused = mentions.into_iter().filter(|(_, mention)| {
        let sort = sort(mention.parse().root());
        flood || sort.is_some_and(|sort| !allowed.lets(role, sort))
    });
    refused
        .filter_map(|(place, _)| u32::try_from(place).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tercet_core::{Condition, OwnedElement};

    fn refused(content: &str, allowed: &Allowed, role: Role) -> Vec<u32> {
        let xml = format!("<message><body>x</body>{content}</message>");
        too_many(&Stanza::parse(xml.as_bytes()).unwrap(), allowed, role)
    }

    fn mention(attrs: &str) -> String {
        format!("<mention xmlns='{MENTION}' {attrs}/>")
    }

    #[test]
    fn mentions_beyond_what_is_allowed_are_left_out() {
        let group = |name: &str| mention(&format!("mentions='{MENTION}#{name}'"));
        let all: String = [
            mention("occupantid='a'"),
            group("channel"),
            group("moderators"),
            group("hats"),
            group("space"),
            mention("mentions='urn:other'"),
        ]
        .concat();
        let free = Allowed::default();
        assert_eq!(refused(&all, &free, Role::Participant), [0; 0]);
        assert_eq!(refused(&all, &free, Role::Visitor), [1, 2, 3, 4]);
        let strict = Allowed {
            count: 6,
            who: [0, 1, 2, 1],
        };
        assert_eq!(refused(&all, &strict, Role::Participant), [2, 3, 4]);
        assert_eq!(refused(&all, &strict, Role::Moderator), [3]);
        let few = Allowed { count: 5, ..free };
        assert_eq!(refused(&all, &few, Role::Moderator), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn what_is_allowed_is_submitted_and_kept() {
        let submit = |fields: &str| {
            let xml = format!(
                "<query xmlns='{MENTION}'><x xmlns='jabber:x:data' type='submit'>\
                 <field var='FORM_TYPE'><value>{MENTION}</value></field>{fields}</x></query>"
            );
            let query = OwnedElement::parse(xml.as_bytes(), "").unwrap();
            submitted(query.root(), &Allowed::default()).map_err(|e| e.condition)
        };
        let field = |var: &str, value: &str| {
            format!("<field var='mentions#{var}'><value>{value}</value></field>")
        };
        let is = submit(&(field("count", "1") + &field("hats", "none"))).unwrap();
        assert_eq!((is.count, is.who), (1, [0, 0, 0, 2]));
        let bad = Err(Condition::NotAcceptable);
        assert_eq!(submit(&field("count", "101")), bad);
        assert_eq!(submit(&field("individual", "visitors")), bad);
        let (mut data, mut again) = (Data::default(), Data::default());
        data.put(is.clone());
        let kept = MentionsAllowed.save(&data).unwrap();
        MentionsAllowed.load(&mut again, &kept).unwrap();
        assert_eq!(again.get::<Allowed>(), Some(&is));
        let other = format!("<query xmlns='{MENTION}'/>");
        let other = OwnedElement::parse(other.as_bytes(), "").unwrap();
        assert!(submitted(other.root(), &is).is_err());
    }
}
