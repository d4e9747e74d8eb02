//! Whether a submitted form is an answer to the one that was offered.

use super::{Field, FieldType, Form, FormKind};
use crate::{Jid, StanzaError};

impl Form {
    /// Checks a submission against this form, which was offered: its type, required fields, numbers of values, and values that are yes
    /// or no, a JID, or one of the choices. Fields that this form does not have are ignored (§3.1), as are duplicate fields but the
    /// first.
    ///
    /// # Errors
    /// `bad-request` if it is no submission or of another form type; `not-acceptable` (§4) with a text that names the field.
    pub fn accept(&self, submitted: &Form) -> Result<(), StanzaError> {
        let other_type = submitted
            .form_type()
            .is_some_and(|theirs| self.form_type().is_some_and(|ours| ours != theirs));
        if submitted.kind != FormKind::Submit || other_type {
            return Err(StanzaError::bad_request().text("This is not a submission of the form."));
        }
        for field in &self.fields {
            let Some(var) = field.var.as_deref() else {
                continue;
            };
            let values = submitted.get(var).map_or(&[][..], |f| &f.values);
            if let Some(fault) = fault(field, values) {
                return Err(StanzaError::not_acceptable().text(format!("The field {var} {fault}.")));
            }
        }
        Ok(())
    }
}

/// What is wrong with the values for a field. An empty value is the same as none: a person left the field blank.
fn fault(field: &Field, values: &[String]) -> Option<&'static str> {
    let blank = values.iter().all(String::is_empty);
    if blank {
        return field.required.then_some("must be filled in");
    }
    if values.len() > 1 && !field.kind.is_multi() {
        return Some("takes one value only");
    }
    let all = |test: &dyn Fn(&str) -> bool| values.iter().all(|v| test(v));
    match field.kind {
        FieldType::Boolean if !all(&|v| matches!(v, "0" | "1" | "false" | "true")) => {
            Some("is to be 1, true, 0 or false")
        }
        FieldType::JidSingle | FieldType::JidMulti if !all(&|v| Jid::parse(v).is_ok()) => {
            Some("is to hold addresses")
        }
        FieldType::ListSingle | FieldType::ListMulti
            if !all(&|v| field.options.iter().any(|o| o.value == v)) =>
        {
            Some("takes only what is on its list")
        }
        _ => None,
    }
}
