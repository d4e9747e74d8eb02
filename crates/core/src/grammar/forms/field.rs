//! The fields of a form.

use crate::xml::XmlWriter;

macro_rules! field_types {
    ($($(#[$doc:meta])* $variant:ident $name:literal)*) => {
        /// How a field is filled in (§3.3).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum FieldType {
            $($(#[$doc])* $variant,)*
        }

        impl FieldType {
            /// Every type.
            pub const ALL: &'static [FieldType] = &[$(FieldType::$variant),*];

            /// The value of the `type` attribute.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(FieldType::$variant => $name,)*
                }
            }
        }
    };
}

field_types! {
    /// Yes or no.
    Boolean "boolean"
    /// Text for the reader, nothing to fill in.
    Fixed "fixed"
    /// Not shown.
    Hidden "hidden"
    /// Any number of JIDs.
    JidMulti "jid-multi"
    /// One JID.
    JidSingle "jid-single"
    /// Any number of the choices.
    ListMulti "list-multi"
    /// One of the choices.
    ListSingle "list-single"
    /// Lines of text, a value each.
    TextMulti "text-multi"
    /// A line of text that is not shown, such as a password.
    TextPrivate "text-private"
    /// A line of text.
    TextSingle "text-single"
}

impl FieldType {
    /// The type with this name. §3.3: one that is not known counts as `text-single`, as does none.
    pub fn from_name(name: Option<&str>) -> FieldType {
        FieldType::ALL
            .iter()
            .copied()
            .find(|t| Some(t.as_str()) == name)
            .unwrap_or(FieldType::TextSingle)
    }

    /// Whether a field of this type has any number of values.
    pub fn is_multi(self) -> bool {
        matches!(
            self,
            FieldType::JidMulti | FieldType::ListMulti | FieldType::TextMulti | FieldType::Hidden
        )
    }
}

/// One of the choices in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is sent.
    pub value: String,
    /// What is shown.
    pub label: Option<String>,
}

/// A field of a form, a column or a cell of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name; only `fixed` fields go without.
    pub var: Option<String>,
    /// Its type. In parsed forms `text-single` unless it was said.
    pub kind: FieldType,
    /// For people: what it is.
    pub label: Option<String>,
    /// For people: what it means.
    pub desc: Option<String>,
    /// Whether it must be filled in.
    pub required: bool,
    /// Its values.
    pub values: Vec<String>,
    /// What a list offers.
    pub options: Vec<Choice>,
    /// The least and the most, if its value is to be an integer (XEP-0122): written, not checked.
    pub integers: Option<(u32, u32)>,
}

impl Field {
    /// A field without label and value.
    pub fn new(kind: FieldType, var: impl Into<String>) -> Field {
        Field {
            var: Some(var.into()),
            kind,
            label: None,
            desc: None,
            required: false,
            values: Vec::new(),
            options: Vec::new(),
            integers: None,
        }
    }

    /// A value that is not shown.
    pub fn hidden(var: impl Into<String>, value: impl Into<String>) -> Field {
        Field::new(FieldType::Hidden, var).value(value)
    }

    /// A paragraph or heading among the fields.
    pub fn fixed(text: impl Into<String>) -> Field {
        Field {
            var: None,
            ..Field::new(FieldType::Fixed, "").value(text)
        }
    }

    /// Yes or no.
    pub fn boolean(var: impl Into<String>, label: impl Into<String>, value: bool) -> Field {
        Field::new(FieldType::Boolean, var)
            .label(label)
            .value(if value { "1" } else { "0" })
    }

    /// A line of text.
    pub fn text_single(var: impl Into<String>, label: impl Into<String>) -> Field {
        Field::new(FieldType::TextSingle, var).label(label)
    }

    /// A line of text that is not shown.
    pub fn text_private(var: impl Into<String>, label: impl Into<String>) -> Field {
        Field::new(FieldType::TextPrivate, var).label(label)
    }

    /// Lines of text.
    pub fn text_multi(var: impl Into<String>, label: impl Into<String>) -> Field {
        Field::new(FieldType::TextMulti, var).label(label)
    }

    /// One JID.
    pub fn jid_single(var: impl Into<String>, label: impl Into<String>) -> Field {
        Field::new(FieldType::JidSingle, var).label(label)
    }

    /// Any number of JIDs.
    pub fn jid_multi(var: impl Into<String>, label: impl Into<String>) -> Field {
        Field::new(FieldType::JidMulti, var).label(label)
    }

    /// One of the choices.
    pub fn list_single(var: impl Into<String>, label: impl Into<String>) -> Field {
        Field::new(FieldType::ListSingle, var).label(label)
    }

    /// Any number of the choices.
    pub fn list_multi(var: impl Into<String>, label: impl Into<String>) -> Field {
        Field::new(FieldType::ListMulti, var).label(label)
    }

    /// With a label.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// With a description.
    #[must_use]
    pub fn desc(mut self, desc: impl Into<String>) -> Self {
        self.desc = Some(desc.into());
        self
    }

    /// Marked as one that must be filled in.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// With one more value.
    #[must_use]
    pub fn value(mut self, value: impl Into<String>) -> Self {
        self.values.push(value.into());
        self
    }

    /// With more values.
    #[must_use]
    pub fn values<V: Into<String>>(mut self, values: impl IntoIterator<Item = V>) -> Self {
        self.values.extend(values.into_iter().map(Into::into));
        self
    }

    /// With the lines of a text as values (§3.3: no value of `text-multi` has line ends in it).
    #[must_use]
    pub fn lines(self, text: &str) -> Self {
        self.values(text.lines())
    }

    /// With one more choice.
    #[must_use]
    pub fn option(mut self, value: impl Into<String>, label: impl Into<String>) -> Self {
        self.options.push(Choice {
            value: value.into(),
            label: Some(label.into()),
        });
        self
    }

    /// Its value is an integer within these bounds (XEP-0122 §3.2.2).
    #[must_use]
    pub fn integers(mut self, least: u32, most: u32) -> Self {
        self.integers = Some((least, most));
        self
    }

    pub(super) fn write(&self, w: &mut XmlWriter, typed: bool) {
        w.start("field").opt_attr("var", self.var.as_deref());
        // A field without a name is `fixed`, and only its type says so.
        if typed || self.var.is_none() {
            w.attr("type", self.kind.as_str());
        }
        w.opt_attr("label", self.label.as_deref());
        if let Some(desc) = &self.desc {
            w.text_element("desc", desc);
        }
        if self.required {
            w.leaf("required", &[]);
        }
        if let Some((least, most)) = self.integers {
            w.start("validate")
                .attr("xmlns", "http://jabber.org/protocol/xdata-validate")
                .attr("datatype", "xs:integer");
            w.leaf(
                "range",
                &[("min", &least.to_string()), ("max", &most.to_string())],
            );
            w.end();
        }
        for value in &self.values {
            w.text_element("value", value);
        }
        for option in &self.options {
            w.start("option").opt_attr("label", option.label.as_deref());
            w.text_element("value", &option.value).end();
        }
        w.end();
    }
}
