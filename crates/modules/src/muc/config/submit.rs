//! The configuration form, and what comes back.

use tercet_core::forms::{FORM_TYPE, Field, FieldType, Form, FormKind};
use tercet_core::{BareJid, Jid, StanzaError};

use super::{FIELDS, MAX_LISTED, NS_CONFIG, RoomConfig, RoomLimits, check_type, refuse, take_form};

const OWNERS: &str = "muc#roomconfig_roomowners";
const ADMINS: &str = "muc#roomconfig_roomadmins";

/// Who owns and administers the room.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lists<'a> {
    /// The owners.
    pub owners: &'a [BareJid],
    /// The admins.
    pub admins: &'a [BareJid],
}

/// What an owner wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The whole configuration, valid.
    pub config: RoomConfig,
    /// All owners, without duplicates; `None`: nothing was said of them. Never empty.
    pub owners: Option<Vec<BareJid>>,
    /// All admins, without duplicates and without those who are in `owners`; `None`: nothing was said of them.
    pub admins: Option<Vec<BareJid>>,
}

/// The form with what is now. A feature adds its own fields behind.
pub fn configuration_form(config: &RoomConfig, lists: Lists<'_>) -> Form {
    let form = Form::new(NS_CONFIG).title("Configuration of the room");
    let form = FIELDS
        .iter()
        .fold(form, |form, setting| form.field(setting.field(config)));
    let jids = |list: &[BareJid]| {
        list.iter()
            .map(|j| j.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    form.field(Field::jid_multi(ADMINS, "All admins").values(jids(lists.admins)))
        .field(Field::jid_multi(OWNERS, "All owners").values(jids(lists.owners)))
}

impl RoomConfig {
    /// Reads a submission; fields that are not in it keep their values. A submission without any field accepts what is
    /// (§10.1.2). `others` says which further fields there are, those of features.
    ///
    /// # Errors
    /// The whole form is refused, with a text that names the field: `bad-request` if it is no submission, its type is missing or
    /// another, or a field is unknown or comes twice; `not-acceptable` if a value is (§10.1.3).
    pub fn submitted(
        &self,
        form: &Form,
        limits: RoomLimits,
        others: impl Fn(&str) -> bool,
    ) -> Result<Submission, StanzaError> {
        check_shape(form, others)?;
        let mut config = self.clone();
        take_form(FIELDS, &mut config, form)?;
        config.validate(limits)?;
        if !config.password_protected {
            config.secret.clear();
        }
        let owners = addresses(form, OWNERS)?;
        // XEP-0045 §10.2: a room has an owner at any time.
        if owners.as_ref().is_some_and(Vec::is_empty) {
            return Err(StanzaError::conflict().text(format!("The field {OWNERS} names nobody.")));
        }
        let mut admins = addresses(form, ADMINS)?;
        if let (Some(admins), Some(owners)) = (&mut admins, &owners) {
            admins.retain(|a| !owners.contains(a));
        }
        Ok(Submission {
            config,
            owners,
            admins,
        })
    }
}

fn check_shape(form: &Form, others: impl Fn(&str) -> bool) -> Result<(), StanzaError> {
    let bad = |text: String| Err(StanzaError::bad_request().text(text));
    if form.kind != FormKind::Submit {
        return bad("This is not a submission of the form.".to_owned());
    }
    if form.fields.is_empty() {
        return Ok(());
    }
    if form.form_type() != Some(NS_CONFIG) {
        return bad(format!("The field {FORM_TYPE} is to be {NS_CONFIG}."));
    }
    for (place, field) in form.fields.iter().enumerate() {
        let Some(var) = field.var.as_deref() else {
            continue;
        };
        let known = matches!(var, FORM_TYPE | OWNERS | ADMINS)
            || FIELDS.iter().any(|s| s.var == var)
            || others(var);
        if !known {
            return bad(format!("The field {} is unknown here.", clip(var)));
        }
        if form.fields[..place]
            .iter()
            .any(|f| f.var.as_deref() == Some(var))
        {
            return bad(format!("The field {var} comes twice."));
        }
    }
    Ok(())
}

/// A name from outside, short enough to be repeated.
fn clip(var: &str) -> String {
    var.chars().filter(|c| !c.is_control()).take(64).collect()
}

fn addresses(form: &Form, var: &str) -> Result<Option<Vec<BareJid>>, StanzaError> {
    let Some(field) = form.get(var) else {
        return Ok(None);
    };
    check_type(field, FieldType::JidMulti)?;
    if field.values.len() > MAX_LISTED {
        return Err(refuse(
            var,
            &format!("takes at most {MAX_LISTED} addresses"),
        ));
    }
    let mut list = Vec::new();
    for value in field.values.iter().filter(|v| !v.trim().is_empty()) {
        // XEP-0045 §10.3: a full JID stands for its bare JID.
        match Jid::parse(value.trim()) {
            Ok(jid) => list.push(jid.to_bare()),
            Err(_) => return Err(refuse(var, "is to hold addresses")),
        }
    }
    list.sort();
    list.dedup();
    Ok(Some(list))
}
