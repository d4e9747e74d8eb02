//! Reading forms.

use super::{Choice, FORM_TYPE, Field, FieldType, Form, FormKind, NS};
use crate::StanzaError;
use crate::xml::Element;

impl Form {
    /// Reads the `<x/>` child of an element. `None`: there is none.
    ///
    /// # Errors
    /// As [`Form::parse`].
    pub fn parse_child(parent: Element<'_>) -> Result<Option<Form>, StanzaError> {
        parent.child("x", NS).map(Form::parse).transpose()
    }

    /// Reads an `<x/>`.
    ///
    /// # Errors
    /// `bad-request` if `x` is no data form, its type is missing or unknown, or a field has no name.
    pub fn parse(x: Element<'_>) -> Result<Form, StanzaError> {
        let refuse = |text: &'static str| StanzaError::bad_request().text(text);
        if !x.is("x", NS) {
            return Err(refuse("A data form is expected."));
        }
        let kind = match x.attr("type").as_deref() {
            Some("form") => FormKind::Form,
            Some("submit") => FormKind::Submit,
            Some("cancel") => FormKind::Cancel,
            Some("result") => FormKind::Result,
            _ => return Err(refuse("The type of the data form is missing or unknown.")),
        };
        let mut form = Form::empty(kind);
        for child in x.children().filter(|c| c.ns() == NS) {
            match child.name() {
                "title" => form.title = Some(child.text().into_owned()),
                "instructions" => form.instructions.push(child.text().into_owned()),
                "field" => form.fields.push(parse_field(child)?),
                "reported" => form.reported = parse_fields(child)?,
                "item" => form.items.push(parse_fields(child)?),
                _ => {}
            }
        }
        Ok(form)
    }

    /// What the form is about (XEP-0068): the value of `FORM_TYPE`, which in a form to be filled in must be hidden; in the
    /// others its type need not be said.
    pub fn form_type(&self) -> Option<&str> {
        let field = self.get(FORM_TYPE)?;
        let named = field.kind == FieldType::Hidden || self.kind == FormKind::Submit;
        named.then(|| field.values.first().map(String::as_str))?
    }

    /// The first field of this name.
    pub fn get(&self, var: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.var.as_deref() == Some(var))
    }

    /// The first value of the field. `None`: no such field, or it has no value.
    pub fn value(&self, var: &str) -> Option<&str> {
        self.get(var)?.values.first().map(String::as_str)
    }

    /// All values of the field; none if there is no such field.
    pub fn values(&self, var: &str) -> impl Iterator<Item = &str> {
        self.get(var)
            .into_iter()
            .flat_map(|f| f.values.iter().map(String::as_str))
    }

    /// The values of a field as lines of one text. `None`: no such field.
    pub fn text(&self, var: &str) -> Option<String> {
        self.get(var).map(|f| f.values.join("\n"))
    }

    /// The field as yes or no. `None`: no such field, or it has no value.
    ///
    /// # Errors
    /// `not-acceptable`: it is neither.
    pub fn boolean(&self, var: &str) -> Result<Option<bool>, StanzaError> {
        match self.value(var) {
            None => Ok(None),
            Some("1" | "true") => Ok(Some(true)),
            Some("0" | "false") => Ok(Some(false)),
            Some(_) => Err(StanzaError::not_acceptable()
                .text(format!("The field {var} is to be 1, true, 0 or false."))),
        }
    }
}

fn parse_fields(parent: Element<'_>) -> Result<Vec<Field>, StanzaError> {
    parent
        .children()
        .filter(|c| c.is("field", NS))
        .map(parse_field)
        .collect()
}

fn parse_field(element: Element<'_>) -> Result<Field, StanzaError> {
    let kind = FieldType::from_name(element.attr("type").as_deref());
    let var = element.attr("var").map(|v| v.into_owned());
    // XEP-0004 §3.2: a field of any type but `fixed` MUST have a name.
    if var.is_none() && kind != FieldType::Fixed {
        return Err(StanzaError::bad_request().text("A field of the data form has no name."));
    }
    let mut field = Field {
        var,
        kind,
        label: element.attr("label").map(|l| l.into_owned()),
        desc: None,
        required: false,
        values: Vec::new(),
        options: Vec::new(),
        integers: None,
    };
    for child in element.children().filter(|c| c.ns() == NS) {
        match child.name() {
            "desc" => field.desc = Some(child.text().into_owned()),
            "required" => field.required = true,
            "value" => field.values.push(child.text().into_owned()),
            "option" => field.options.push(Choice {
                value: child
                    .child("value", NS)
                    .map(|v| v.text().into_owned())
                    .unwrap_or_default(),
                label: child.attr("label").map(|l| l.into_owned()),
            }),
            _ => {}
        }
    }
    Ok(field)
}
