//! XEP-0452 MUC Mention Notifications 0.2.2: who is mentioned and is not in the room gets the message nevertheless, if the owners want
//! it and the user belongs to the room. Gaps: occupant ids are looked for among 5,000 members at the most.
//!
//! Mentioned is who is named by address, by the nick that is kept for it, or by its occupant id (XEP-0513); groups are of those who are
//! here, and get the message as it is. Who may mention whom is in [`allowed`].

mod allowed;

use tercet_core::forms::Form;
use tercet_core::{BareJid, Edit, Element, Head, Jid, Stanza, StanzaError, XmlWriter, delay, ns};

use super::RoomFeature;
use super::occupant_id::RoomKey;
use crate::muc::affiliation::Affiliation;
use crate::muc::config::{Place, Setting};
use crate::muc::message::Speech;
use crate::muc::room::{Data, Enrolled, Roll, State};
pub(super) use allowed::MentionsAllowed;

const NS: &str = "urn:xmpp:mmn:0";
const REFERENCE: &str = "urn:xmpp:reference:0";
const MENTION: &str = "urn:xmpp:mentions:0";
const FORWARD: &str = "urn:xmpp:forward:0";
/// Users that hear of one message.
const MOST: usize = 20;
/// Members among whom an occupant id is looked for.
const KNOWN: usize = 5_000;

/// What a room's owners have decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Forward {
    mentions: bool,
}

static FIELDS: &[Setting<Forward>] = &[Setting {
    tag: 1,
    var: "muc#roomconfig_forwardmentions",
    label: "Forward messages to members who are mentioned and not in the room",
    value: Place::Flag {
        get: |forward| forward.mentions,
        set: |forward, mentions| forward.mentions = mentions,
    },
}];

/// Mentions.
pub(super) struct Mentions;

impl RoomFeature for Mentions {
    fn name(&self) -> &'static str {
        "mentions"
    }

    fn form(&self, room: &State, mut form: Form) -> Form {
        let forward = room.data.get::<Forward>().cloned().unwrap_or_default();
        form.fields.extend(FIELDS.iter().map(|s| s.field(&forward)));
        form
    }

    fn submit(&self, room: &State, form: &Form) -> Result<Option<Vec<u8>>, StanzaError> {
        super::submit(FIELDS, room.data.get::<Forward>(), form)
    }

    fn load(&self, data: &mut Data, kept: &[u8]) -> Option<()> {
        super::load(FIELDS, data.of::<Forward>(), kept)
    }

    fn save(&self, data: &Data) -> Option<Vec<u8>> {
        super::save(FIELDS, data.get::<Forward>())
    }

    fn message(&self, cx: &mut Speech<'_>) -> Result<(), StanzaError> {
        if !cx.state.data.get::<Forward>().is_some_and(|f| f.mentions) {
            return Ok(());
        }
        let entity = cx.call.entity;
        let room = &cx.call.room.jid;
        let key = cx.state.data.get::<RoomKey>();
        let mut users = mentioned(entity.stanza, &cx.leave_out, room, &cx.state.roll, key);
        users.retain(|user| cx.state.occupants.of_user(user.as_str()).next().is_none());
        if users.is_empty() {
            return Ok(());
        }
        let content = notice(cx);
        for user in users {
            let mut w = XmlWriter::new();
            w.start("message")
                .attr("from", room.as_str())
                .attr("to", user.as_str());
            w.raw(&content).end();
            entity.server.post(room, &user, &w.finish());
        }
        Ok(())
    }
}

/// Who is mentioned in a message, but for the children at the places `leave_out`, and belongs to the room.
fn mentioned(
    message: &Stanza,
    leave_out: &[u32],
    room: &BareJid,
    roll: &Roll,
    key: Option<&RoomKey>,
) -> Vec<BareJid> {
    let (mut users, mut ids): (Vec<BareJid>, Vec<String>) = (Vec::new(), Vec::new());
    for (place, child) in (0_u32..).zip(message.children()) {
        let is_reference = child.is("reference", REFERENCE);
        if leave_out.contains(&place) || !is_reference && !child.is("mention", MENTION) {
            continue;
        }
        let child = child.parse();
        let attr = |name| child.root().attr(name);
        let address = match is_reference {
            true if attr("type").as_deref() != Some("mention") => None,
            true => attr("uri"),
            false if is_for_others(child.root()) => None,
            false => {
                let id = attr("occupantid").filter(|_| ids.len() < MOST);
                ids.extend(id.map(|id| id.into_owned()));
                attr("jid")
            }
        };
        let Some(address) = address else { continue };
        let address = address.strip_prefix("xmpp:").unwrap_or(&address);
        let Ok(jid) = Jid::parse(address) else {
            continue;
        };
        users.extend(member(&jid, room, roll));
    }
    if let Some(key) = key.filter(|_| !ids.is_empty()) {
        let members = roll.iter().filter(|(_, e)| is_member(e));
        let known = members.take(KNOWN).map(|(user, _)| user);
        users.extend(
            known
                .filter(|user| ids.contains(&key.id(user.as_str())))
                .cloned(),
        );
    }
    let mut seen = std::collections::BTreeSet::new();
    users.retain(|user| seen.insert(user.clone()));
    users.truncate(MOST);
    users
}

/// Whether a mention says nothing to who is away: XEP-0513 §3.2, a group; §3.5.1, those who are active; §3.5.2, nobody is to be told.
fn is_for_others(mention: Element<'_>) -> bool {
    let has = |name| mention.child(name, MENTION).is_some();
    mention.attr("mentions").is_some() || has("active") || has("noping")
}

fn is_member(enrolled: &Enrolled) -> bool {
    enrolled.affiliation >= Affiliation::Member
}

/// The user who is meant by an address, or by the nick that is kept for it in the room.
fn member(jid: &Jid, room: &BareJid, roll: &Roll) -> Option<BareJid> {
    let (user, enrolled) = match jid.resource() {
        Some(nick) if jid.bare_str() == room.as_str() => {
            let mut kept = roll.iter();
            kept.find(|(_, e)| e.nick.as_deref() == Some(nick))?
        }
        _ => roll.get_key_value(jid.bare_str())?,
    };
    is_member(enrolled).then(|| user.clone())
}

/// The whole message, as it goes out to those who are in the room.
fn notice(cx: &mut Speech<'_>) -> Vec<u8> {
    cx.leave_out.sort_unstable();
    cx.leave_out.dedup();
    let entity = cx.call.entity;
    let room = cx.call.room.jid.as_str();
    let head = Head {
        from: Some(cx.state.occupants.at(cx.place).jid.as_str()),
        to: Some(room),
        lang: entity.lang,
        xmlns: Some(ns::CLIENT),
    };
    let edit = Edit {
        leave_out: &cx.leave_out,
        append: &cx.append,
    };
    let mut message = Vec::new();
    entity.stanza.write_edited(&mut message, head, edit);
    let mut w = XmlWriter::new();
    // XEP-0452 §3.2: forwarded whole, the room's own additions too.
    w.start("mentions").attr("xmlns", NS);
    w.start("forwarded").attr("xmlns", FORWARD);
    let now_ms = i64::try_from(entity.server.now_ms()).unwrap_or(i64::MAX);
    delay::write(&mut w, None, now_ms, None);
    w.raw(&message).end().end();
    // It waits for who is away.
    w.leaf("store", &[("xmlns", crate::hints::NS)]);
    w.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_mentioned_by_address_or_by_the_nick_that_is_kept_for_them() {
        let room = BareJid::parse("r@s").unwrap();
        let mut roll = Roll::new();
        for (user, affiliation, nick) in [
            ("hag66@a", Affiliation::Member, Some("witch")),
            ("crone1@a", Affiliation::Owner, None),
            ("banned@a", Affiliation::Outcast, None),
            ("guest@a", Affiliation::None, Some("guest")),
        ] {
            let mut enrolled = Enrolled::new(affiliation);
            enrolled.nick = nick.map(str::to_owned);
            roll.insert(BareJid::parse(user).unwrap(), enrolled);
        }
        let check = |content: &str, expected: &[&str]| {
            let xml = format!("<message>{content}</message>");
            let message = Stanza::parse(xml.as_bytes()).unwrap();
            let key = RoomKey::of([7; 32]);
            let users = mentioned(&message, &[], &room, &roll, Some(&key));
            let users: Vec<&str> = users.iter().map(|u| u.as_str()).collect();
            assert_eq!(users, expected, "{content}");
        };
        let reference = |kind: &str, uri: &str| {
            format!("<reference xmlns='{REFERENCE}' type='{kind}' uri='{uri}'/>")
        };
        check(&reference("mention", "xmpp:hag66@a"), &["hag66@a"]);
        check(&reference("mention", "xmpp:r@s/witch"), &["hag66@a"]);
        check(&reference("data", "xmpp:hag66@a"), &[]);
        check(&reference("mention", "xmpp:stranger@a"), &[]);
        check(&reference("mention", "xmpp:banned@a"), &[]);
        check(&reference("mention", "xmpp:r@s/guest"), &[]);
        check(&reference("mention", "https://a"), &[]);
        check(
            &reference("mention", "xmpp:hag66@a").repeat(2),
            &["hag66@a"],
        );
        let mention = |content: &str| {
            format!("<mention xmlns='{MENTION}' jid='crone1@a'>{content}</mention>")
        };
        check(&mention(""), &["crone1@a"]);
        check(&mention("<noping/>"), &[]);
        check(&mention("<active/>"), &[]);
        let by_id = |user: &str, more: &str| {
            let id = RoomKey::of([7; 32]).id(user);
            format!("<mention xmlns='{MENTION}' occupantid='{id}'{more}/>")
        };
        check(&by_id("hag66@a", ""), &["hag66@a"]);
        check(&by_id("guest@a", ""), &[]);
        check(&by_id("stranger@a", ""), &[]);
        check(
            &by_id("hag66@a", " mentions='urn:xmpp:mentions:0#channel'"),
            &[],
        );
        check(
            &(by_id("hag66@a", "") + &mention("")),
            &["crone1@a", "hag66@a"],
        );
        let xml = format!("<message><body/>{}</message>", by_id("hag66@a", ""));
        let message = Stanza::parse(xml.as_bytes()).unwrap();
        let key = RoomKey::of([7; 32]);
        let left_out = mentioned(&message, &[1], &room, &roll, Some(&key));
        assert!(left_out.is_empty(), "what nobody gets mentions nobody");
    }
}
