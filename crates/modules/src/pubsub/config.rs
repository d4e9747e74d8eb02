//! The configuration of a node (XEP-0060 §16.4.4): the table from which its form, its reading and the durable form come.

use tercet_core::StanzaError;
use tercet_core::forms::{Form, FormKind};

use super::errors;
use crate::setting::{Choice, Looks, Place, Setting, decode, encode, refuse, take_form};

/// The form type of a node's configuration.
pub const NS_CONFIG: &str = "http://jabber.org/protocol/pubsub#node_config";
/// The form type of what is published with an item.
pub const NS_OPTIONS: &str = "http://jabber.org/protocol/pubsub#publish-options";
/// The form type of what is told of a node.
pub const NS_META: &str = "http://jabber.org/protocol/pubsub#meta-data";

/// The most bytes of a title and of a payload's namespace.
const MAX_TEXT: usize = 1024;
/// The most bytes of a description and of a list of groups.
const MAX_DESCRIPTION: usize = 4096;
/// The most that a number can be.
const MOST: u32 = 1_000_000_000;
/// The first byte of the durable form.
const FORMAT: u8 = 1;

/// Who may subscribe and read (§4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// Who is subscribed to the owner's presence.
    Presence,
    /// The same, from some groups of the owner's roster.
    Roster,
    /// Whom an owner lets.
    Authorize,
    /// Who has an affiliation.
    Whitelist,
}

/// Who may publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishModel {
    /// Publishers and owners.
    Publishers,
    /// Subscribers too.
    Subscribers,
    /// Everybody.
    Open,
}

/// When the last item is sent to those who did not get it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendLast {
    /// Never.
    Never,
    /// When they subscribe.
    OnSubscription,
    /// When they subscribe, and when they come online.
    OnPresence,
}

/// What an owner has decided about a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// For people.
    pub title: String,
    /// For people.
    pub description: String,
    /// The language of its items.
    pub language: String,
    /// The namespace of its payloads; empty: any.
    pub payload_ns: String,
    /// Who may read.
    pub access: Access,
    /// Groups of the owner's roster, a line each.
    pub groups: String,
    /// Who may publish.
    pub publish: PublishModel,
    /// Items are kept.
    pub persist: bool,
    /// So many, and no more; `None`: as many as there may be.
    pub max_items: Option<u32>,
    /// For so long, in seconds; `None`: for ever.
    pub expire_s: Option<u32>,
    /// The most bytes of a payload; `None`: as many as there may be.
    pub max_payload: Option<u32>,
    /// When the last item is sent.
    pub send_last: SendLast,
    /// Notifications are sent at all.
    pub notify: bool,
    /// Notifications have payloads.
    pub payloads: bool,
    /// Only those who are online are told.
    pub online_only: bool,
    /// Subscribers learn of changes of the configuration.
    pub notify_config: bool,
    /// Subscribers learn of the end of the node.
    pub notify_delete: bool,
    /// Subscribers learn of items that are taken back.
    pub notify_retract: bool,
    /// Notifications are messages of the type `headline`, not `normal`.
    pub headline: bool,
}

impl Default for NodeConfig {
    /// A node of a service.
    fn default() -> Self {
        NodeConfig {
            title: String::new(),
            description: String::new(),
            language: String::new(),
            payload_ns: String::new(),
            access: Access::Open,
            groups: String::new(),
            publish: PublishModel::Publishers,
            persist: true,
            max_items: Some(20),
            expire_s: None,
            max_payload: None,
            send_last: SendLast::OnSubscription,
            notify: true,
            payloads: true,
            online_only: false,
            notify_config: false,
            notify_delete: true,
            notify_retract: true,
            headline: true,
        }
    }
}

macro_rules! flag {
    ($field:ident) => {
        Place::Flag {
            get: |c| c.$field,
            set: |c, value| c.$field = value,
        }
    };
}

macro_rules! text {
    ($field:ident, $most:expr, $looks:ident) => {
        Place::Text {
            most: $most,
            looks: Looks::$looks,
            get: |c| &c.$field,
            set: |c, value| c.$field = value,
        }
    };
}

macro_rules! one {
    ($field:ident, $choices:ident, $values:ident) => {
        Place::One {
            choices: $choices,
            get: |c| $values.iter().position(|v| *v == c.$field).unwrap_or(0),
            set: |c, place| c.$field = $values[place],
        }
    };
}

macro_rules! number {
    ($field:ident, $least:literal, $none:literal) => {
        Place::Number {
            least: $least,
            most: MOST,
            offered: &[],
            none: Some($none),
            get: |c| c.$field,
            set: |c, value| c.$field = value,
        }
    };
}

const ACCESS: &[Choice] = &[
    ("open", "Everybody"),
    ("presence", "Those who see the owner's presence"),
    ("roster", "Some groups of the owner's contacts"),
    ("authorize", "Those whom an owner lets"),
    ("whitelist", "Those on the node's list"),
];
const ACCESS_VALUES: [Access; 5] = [
    Access::Open,
    Access::Presence,
    Access::Roster,
    Access::Authorize,
    Access::Whitelist,
];
const PUBLISH: &[Choice] = &[
    ("publishers", "Publishers"),
    ("subscribers", "Subscribers"),
    ("open", "Everybody"),
];
const PUBLISH_VALUES: [PublishModel; 3] = [
    PublishModel::Publishers,
    PublishModel::Subscribers,
    PublishModel::Open,
];
const LAST: &[Choice] = &[
    ("never", "Never"),
    ("on_sub", "On subscribing"),
    ("on_sub_and_presence", "On subscribing and on coming online"),
];
const LAST_VALUES: [SendLast; 3] = [
    SendLast::Never,
    SendLast::OnSubscription,
    SendLast::OnPresence,
];
const TYPES: &[Choice] = &[("headline", "Headlines"), ("normal", "Messages")];

macro_rules! table {
    ($($tag:literal $var:literal $label:literal $value:expr;)*) => {
        &[$(Setting {
            tag: $tag,
            var: concat!("pubsub#", $var),
            label: $label,
            value: $value,
        }),*]
    };
}

/// Every field, in the order of the form.
pub static FIELDS: &[Setting<NodeConfig>] = table! {
    1 "title" "Title" text!(title, MAX_TEXT, Line);
    2 "description" "Description" text!(description, MAX_DESCRIPTION, Lines);
    3 "language" "Language of the items" text!(language, 35, Language);
    4 "type" "Namespace of the payloads" text!(payload_ns, MAX_TEXT, Line);
    5 "access_model" "Who may subscribe and read" one!(access, ACCESS, ACCESS_VALUES);
    6 "roster_groups_allowed" "Groups of contacts that may subscribe and read" text!(groups, MAX_DESCRIPTION, Lines);
    7 "publish_model" "Who may publish" one!(publish, PUBLISH, PUBLISH_VALUES);
    8 "persist_items" "Items are kept" flag!(persist);
    9 "max_items" "How many items are kept" number!(max_items, 0, "max");
    10 "item_expire" "For how many seconds items are kept" number!(expire_s, 0, "max");
    11 "max_payload_size" "Bytes of an item at the most" number!(max_payload, 1, "max");
    12 "send_last_published_item" "When the last item is sent" one!(send_last, LAST, LAST_VALUES);
    13 "deliver_notifications" "Notifications are sent" flag!(notify);
    14 "deliver_payloads" "Notifications have the items' content" flag!(payloads);
    15 "presence_based_delivery" "Only those who are online are notified" flag!(online_only);
    16 "notify_config" "Subscribers learn of a changed configuration" flag!(notify_config);
    17 "notify_delete" "Subscribers learn of the node's end" flag!(notify_delete);
    18 "notify_retract" "Subscribers learn of items that are taken back" flag!(notify_retract);
    19 "notification_type" "What notifications are sent as" Place::One {
        choices: TYPES,
        get: |c| usize::from(!c.headline),
        set: |c, place| c.headline = place == 0,
    };
};

impl NodeConfig {
    /// A node of an account (XEP-0163 §7).
    pub fn personal() -> NodeConfig {
        NodeConfig {
            access: Access::Presence,
            max_items: Some(1),
            send_last: SendLast::OnPresence,
            ..NodeConfig::default()
        }
    }

    /// The form with which it is configured.
    pub fn form(&self) -> Form {
        FIELDS
            .iter()
            .fold(Form::new(NS_CONFIG).title("Node"), |form, setting| {
                form.field(setting.field(self))
            })
    }

    /// What is told of it when it has changed (§8.2.5): nothing in it is to be filled in.
    pub fn told(&self) -> Form {
        let mut form = self.form();
        form.kind = FormKind::Result;
        form.title = None;
        form.fields
            .iter_mut()
            .for_each(|field| field.options.clear());
        form
    }

    /// The same after a submission; `most` items are the most there may be.
    ///
    /// # Errors
    /// `bad-request` if it is of another type, `not-acceptable` if a value does not fit.
    pub fn submitted(&self, form: &Form, most: u32) -> Result<NodeConfig, StanzaError> {
        let other = form.form_type().is_some_and(|t| t != NS_CONFIG);
        if form.kind != FormKind::Submit || other {
            return Err(StanzaError::bad_request().text("this is no submission of the form"));
        }
        self.taken(form, most)
    }

    /// The same with the values that are preconditions of a publication (§7.1.5).
    ///
    /// # Errors
    /// `precondition-not-met` for fields that are not known, else as [`NodeConfig::submitted`].
    pub fn preconditions(&self, form: &Form, most: u32) -> Result<NodeConfig, StanzaError> {
        // XEP-0060 §7.1.5: the form has this type.
        if form.form_type() != Some(NS_OPTIONS) {
            return Err(errors::invalid_options());
        }
        // XEP-0060 §7.1.5: a publication with unknown fields is rejected.
        let unknown = form.fields.iter().filter_map(|f| f.var.as_deref());
        let mut unknown = unknown.filter(|var| *var != tercet_core::forms::FORM_TYPE);
        if unknown.any(|var| FIELDS.iter().all(|setting| setting.var != var)) {
            return Err(errors::precondition_not_met());
        }
        self.taken(form, most)
    }

    fn taken(&self, form: &Form, most: u32) -> Result<NodeConfig, StanzaError> {
        let mut config = self.clone();
        take_form(FIELDS, &mut config, form)?;
        if config.max_items.is_some_and(|n| n > most) {
            let fault = format!("is to be at most {most}");
            return Err(refuse("pubsub#max_items", &fault));
        }
        // Zero seconds are no time: clients mean that items do not expire.
        config.expire_s = config.expire_s.filter(|s| *s > 0);
        Ok(config)
    }

    /// What everybody who may see the node is told of it (§5.4).
    pub fn meta(&self, created_ms: u64, owners: &[String], subscribers: usize) -> Form {
        use tercet_core::forms::Field;
        let told = ["title", "description", "language", "type", "access_model"];
        let told = told.iter().chain(&["publish_model", "max_items"]);
        let mut form = Form::result(NS_META);
        for name in told {
            let setting = FIELDS.iter().find(|s| &s.var["pubsub#".len()..] == *name);
            let field = setting.map(|s| s.field(self));
            if let Some(mut field) = field.filter(|f| !f.values.is_empty()) {
                // Nothing is to be filled in.
                field.options.clear();
                form = form.field(field);
            }
        }
        let created = tercet_core::time::format(i64::try_from(created_ms).unwrap_or(i64::MAX));
        form = form
            .field(Field::text_single("pubsub#creation_date", "Made at").value(created))
            .field(
                Field::text_single("pubsub#num_subscribers", "Subscribers")
                    .value(subscribers.to_string()),
            );
        if !owners.is_empty() {
            form = form.field(Field::jid_multi("pubsub#owner", "Owners").values(owners.to_vec()));
        }
        form
    }

    /// How many items it keeps, where `most` are the most there may be.
    pub fn keeps(&self, most: u32) -> usize {
        // A node that keeps anything keeps one item.
        let wanted = self.max_items.unwrap_or(most).min(most).max(1);
        if self.persist { wanted as usize } else { 0 }
    }

    /// Whether a group of the owner's roster has access.
    pub fn allows_group(&self, group: &str) -> bool {
        self.groups.lines().any(|allowed| allowed == group)
    }

    /// The durable form: a version, then the fields.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        encode(FIELDS, self, out);
    }

    /// Reads what [`NodeConfig::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Option<NodeConfig> {
        let (&FORMAT, fields) = bytes.split_first()? else {
            return None;
        };
        let mut config = NodeConfig::default();
        decode(FIELDS, &mut config, fields)?;
        Some(config)
    }
}
