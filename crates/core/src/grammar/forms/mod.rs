//! XEP-0004 2.13.2: data forms, built and written, parsed and checked; form types as in XEP-0068 1.3.0.
//!
//! Left out: elements of other namespaces inside a form (XEP-0122, XEP-0141, XEP-0221), which are dropped when parsed.

mod check;
mod field;
mod parse;
#[cfg(test)]
mod tests;

pub use field::{Choice, Field, FieldType};

use crate::xml::XmlWriter;

/// The namespace of data forms.
pub const NS: &str = "jabber:x:data";

/// The field that names what a form is about (XEP-0068).
pub const FORM_TYPE: &str = "FORM_TYPE";

/// What a form is for (§3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FormKind {
    /// To be filled in.
    Form,
    /// Filled in.
    Submit,
    /// Declined.
    Cancel,
    /// Data, from a search or about a thing.
    Result,
}

impl FormKind {
    /// The value of the `type` attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            FormKind::Form => "form",
            FormKind::Submit => "submit",
            FormKind::Cancel => "cancel",
            FormKind::Result => "result",
        }
    }
}

/// A data form.
///
/// ```
/// use tercet_core::{XmlWriter, forms::{Field, Form}};
/// let form = Form::new("urn:example:search")
///     .title("Search")
///     .field(Field::text_single("name", "Whom do you look for?").required());
/// let mut w = XmlWriter::new();
/// form.write(&mut w);
/// assert_eq!(
///     String::from_utf8(w.finish()).unwrap(),
///     "<x xmlns='jabber:x:data' type='form'><title>Search</title>\
///      <field var='FORM_TYPE' type='hidden'><value>urn:example:search</value></field>\
///      <field var='name' type='text-single' label='Whom do you look for?'><required/></field></x>",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// What it is for.
    pub kind: FormKind,
    /// For people.
    pub title: Option<String>,
    /// For people, a paragraph each.
    pub instructions: Vec<String>,
    /// The fields in order, `FORM_TYPE` among them.
    pub fields: Vec<Field>,
    /// The columns of a table (§3.4); only in results.
    pub reported: Vec<Field>,
    /// The rows of a table (§3.4); only in results.
    pub items: Vec<Vec<Field>>,
}

impl Form {
    /// A form without fields.
    pub fn empty(kind: FormKind) -> Form {
        Form {
            kind,
            title: None,
            instructions: Vec::new(),
            fields: Vec::new(),
            reported: Vec::new(),
            items: Vec::new(),
        }
    }

    /// A form to be filled in, of this type (XEP-0068).
    pub fn new(form_type: &str) -> Form {
        Form::empty(FormKind::Form).field(Field::hidden(FORM_TYPE, form_type))
    }

    /// Data of this form type.
    pub fn result(form_type: &str) -> Form {
        Form::empty(FormKind::Result).field(Field::hidden(FORM_TYPE, form_type))
    }

    /// With a title.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// With one more paragraph of instructions.
    #[must_use]
    pub fn instructions(mut self, paragraph: impl Into<String>) -> Self {
        self.instructions.push(paragraph.into());
        self
    }

    /// With one more field.
    #[must_use]
    pub fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// With one more column: a field with type and label but no value.
    #[must_use]
    pub fn column(mut self, field: Field) -> Self {
        self.reported.push(field);
        self
    }

    /// With one more row: fields that have a value for each column.
    #[must_use]
    pub fn row(mut self, fields: Vec<Field>) -> Self {
        self.items.push(fields);
        self
    }

    /// Writes `<x/>`.
    pub fn write(&self, w: &mut XmlWriter) {
        w.start("x")
            .attr("xmlns", NS)
            .attr("type", self.kind.as_str());
        if let Some(title) = &self.title {
            w.text_element("title", title);
        }
        for paragraph in &self.instructions {
            w.text_element("instructions", paragraph);
        }
        // XEP-0004 §3.2: the type of a field goes without saying, but in forms to be filled in and in columns.
        let typed = self.kind == FormKind::Form;
        for field in &self.fields {
            field.write(w, typed || field.var.as_deref() == Some(FORM_TYPE));
        }
        if !self.reported.is_empty() {
            w.start("reported");
            for field in &self.reported {
                field.write(w, true);
            }
            w.end();
        }
        for item in &self.items {
            w.start("item");
            for field in item {
                field.write(w, false);
            }
            w.end();
        }
        w.end();
    }
}
