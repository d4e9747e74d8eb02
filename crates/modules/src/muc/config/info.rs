//! What disco tells of a room: features (XEP-0045 §15.3) and `muc#roominfo` (§6.4, §15.5.4).

use tercet_core::BareJid;
use tercet_core::forms::{Field, Form};

use super::{RoomConfig, Whois};

/// The form type of information about rooms.
pub const NS_INFO: &str = "http://jabber.org/protocol/muc#roominfo";

/// What the room knows and its configuration does not.
#[derive(Debug, Clone, Copy, Default)]
pub struct Info<'a> {
    /// How many occupants there are.
    pub occupants: usize,
    /// What is being talked of.
    pub subject: Option<&'a str>,
    /// Whom to turn to; nobody's address goes out that is not in here.
    pub contacts: &'a [BareJid],
}

impl RoomConfig {
    /// The disco features that say what kind of room it is.
    pub fn features(&self) -> [&'static str; 6] {
        let pick = |is: bool, yes, no| if is { yes } else { no };
        [
            pick(self.public, "muc_public", "muc_hidden"),
            pick(self.persistent, "muc_persistent", "muc_temporary"),
            pick(self.members_only, "muc_membersonly", "muc_open"),
            pick(self.moderated, "muc_moderated", "muc_unmoderated"),
            pick(
                self.whois == Whois::Anyone,
                "muc_nonanonymous",
                "muc_semianonymous",
            ),
            pick(
                self.password_protected,
                "muc_passwordprotected",
                "muc_unsecured",
            ),
        ]
    }

    /// The information form. Fields without a value are left out; a feature adds its own behind.
    pub fn info_form(&self, info: Info<'_>) -> Form {
        let boolean = |value: bool| if value { "1" } else { "0" }.to_owned();
        let contacts = info.contacts.iter().map(|c| c.as_str().to_owned());
        let mut form = Form::result(NS_INFO);
        let mut add = |field: Field| {
            if !field.values.is_empty() {
                form.fields.push(field);
            }
        };
        let text = |var: &str, label: &str, value: &str| {
            let field = Field::text_single(var, label);
            if value.is_empty() {
                field
            } else {
                field.value(value)
            }
        };
        add(text("muc#roomconfig_roomname", "Name", &self.name));
        add(text(
            "muc#roominfo_description",
            "Description",
            &self.description,
        ));
        add(text(
            "muc#roominfo_lang",
            "Language of discussions",
            &self.lang,
        ));
        add(text(
            "muc#roominfo_subject",
            "Current subject",
            info.subject.unwrap_or_default(),
        ));
        add(text(
            "muc#roominfo_occupants",
            "Number of occupants",
            &info.occupants.to_string(),
        ));
        add(text(
            "muc#maxhistoryfetch",
            "The most messages of the past that the room sends",
            &self.max_history.to_string(),
        ));
        add(Field::jid_multi("muc#roominfo_contactjid", "Contact addresses").values(contacts));
        for (var, label, value) in [
            (
                "muc#roominfo_subjectmod",
                "Participants may change the subject",
                self.change_subject,
            ),
            (
                "muc#roomconfig_changesubject",
                "Participants may change the subject",
                self.change_subject,
            ),
            (
                "muc#roomconfig_allowinvites",
                "Members may invite others",
                self.allow_invites || !self.members_only,
            ),
        ] {
            add(Field::text_single(var, label).value(boolean(value)));
        }
        if let Some(setting) = super::FIELDS
            .iter()
            .find(|s| s.var == "muc#roomconfig_allowpm")
        {
            add(Field::text_single(setting.var, setting.label).values(setting.values(self)));
        }
        add(text(
            "muc#roomconfig_pubsub",
            "Associated PubSub node",
            &self.pubsub,
        ));
        form
    }
}
