//! What a table of configuration fields can do: be shown as a form, take a submission, be kept.
//!
//! A line of the table is a [`Setting`] of some configuration `C`: that of a room, of one of its features, or of a node.

use tercet_core::StanzaError;
use tercet_core::forms::{Field, FieldType, Form};

/// One field of the configuration `C`.
pub struct Setting<C: 'static> {
    /// Its number in the durable form. Never given to another field of the same table.
    pub tag: u8,
    /// Its name in forms.
    pub var: &'static str,
    /// For people: what it is.
    pub label: &'static str,
    /// Its type, and where its value is.
    pub value: Place<C>,
}

/// A choice: what is sent, what is shown.
pub type Choice = (&'static str, &'static str);

/// The type of a field, its bounds, and how to read and write it.
pub enum Place<C: 'static> {
    /// Yes or no.
    Flag {
        /// Reads it.
        get: fn(&C) -> bool,
        /// Writes it.
        set: fn(&mut C, bool),
    },
    /// A text.
    Text {
        /// At most so many bytes of UTF-8.
        most: usize,
        /// How it may look.
        looks: Looks,
        /// Reads it.
        get: fn(&C) -> &str,
        /// Writes it.
        set: fn(&mut C, String),
    },
    /// A number; `None` is "no limit", if there is a choice for that.
    Number {
        /// The least.
        least: u32,
        /// The most.
        most: u32,
        /// What is offered; any other number in the bounds is taken too. Empty: the field is a line of text.
        offered: &'static [u32],
        /// What stands for "no limit", if that may be chosen.
        none: Option<&'static str>,
        /// Reads it.
        get: fn(&C) -> Option<u32>,
        /// Writes it.
        set: fn(&mut C, Option<u32>),
    },
    /// One of the choices.
    One {
        /// What there is.
        choices: &'static [Choice],
        /// Reads it: the place in `choices`.
        get: fn(&C) -> usize,
        /// Writes it: a place in `choices`.
        set: fn(&mut C, usize),
    },
    /// Any number of at most 8 choices.
    Many {
        /// What there is.
        choices: &'static [Choice],
        /// Reads them: a bit for each place in `choices`.
        get: fn(&C) -> u8,
        /// Writes them.
        set: fn(&mut C, u8),
    },
}

/// What a text may look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looks {
    /// A line.
    Line,
    /// Lines.
    Lines,
    /// A line that is not shown.
    Secret,
    /// A language tag (RFC 5646), as far as its characters go, or nothing.
    Language,
    /// An `xmpp:` URI, or nothing.
    XmppUri,
}

impl Looks {
    fn fault(self, text: &str) -> Option<&'static str> {
        let control = |c: char| c.is_control();
        match self {
            Looks::Line | Looks::Secret if text.contains(control) => {
                Some("is to be one line without control characters")
            }
            Looks::Lines if text.contains(|c| control(c) && c != '\n' && c != '\t') => {
                Some("is to be text without control characters")
            }
            Looks::Language if !is_language(text) => Some("is to be a language tag such as en"),
            Looks::XmppUri if !is_xmpp_uri(text) => Some("is to be an XMPP URI"),
            _ => None,
        }
    }
}

fn is_language(text: &str) -> bool {
    let subtag =
        |s: &str| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric());
    text.is_empty() || text.split('-').all(subtag)
}

fn is_xmpp_uri(text: &str) -> bool {
    let rest = text.strip_prefix("xmpp:");
    text.is_empty()
        || rest.is_some_and(|r| !r.is_empty() && r.bytes().all(|b| b.is_ascii_graphic()))
}

/// The error for a field with a wrong value: `not-acceptable`, with a text that names it.
pub fn refuse(var: &str, fault: &str) -> StanzaError {
    StanzaError::not_acceptable().text(format!("The field {var} {fault}."))
}

impl<C> Setting<C> {
    /// The field of a form, with what `config` says.
    pub fn field(&self, config: &C) -> Field {
        let (kind, choices) = self.kind();
        let mut field = Field::new(kind, self.var)
            .label(self.label)
            .values(self.values(config));
        for (value, label) in choices {
            field = field.option(*value, *label);
        }
        if let Place::Number { offered, none, .. } = &self.value
            && !offered.is_empty()
        {
            // A list must hold its value, whatever it is.
            let current = field.values.first().and_then(|v| v.parse().ok());
            let mut numbers: Vec<u32> = offered.iter().copied().chain(current).collect();
            numbers.sort_unstable();
            numbers.dedup();
            for number in numbers {
                field = field.option(number.to_string(), number.to_string());
            }
            if let Some(none) = none {
                field = field.option(*none, "None");
            }
        }
        field
    }

    /// What `config` says, as the values of the field; none for an empty text.
    pub fn values(&self, config: &C) -> Vec<String> {
        match &self.value {
            Place::Flag { get, .. } => vec![if get(config) { "1" } else { "0" }.to_owned()],
            Place::Text { get, .. } => {
                let text = get(config);
                if text.is_empty() {
                    Vec::new()
                } else {
                    vec![text.to_owned()]
                }
            }
            Place::Number { get, none, .. } => {
                let none = none.unwrap_or_default();
                vec![get(config).map_or(none.to_owned(), |n| n.to_string())]
            }
            Place::One { choices, get, .. } => choices
                .get(get(config))
                .map(|(value, _)| (*value).to_owned())
                .into_iter()
                .collect(),
            Place::Many { choices, get, .. } => {
                let set = get(config);
                choices
                    .iter()
                    .enumerate()
                    .filter(|(place, _)| set & (1 << place) != 0)
                    .map(|(_, (value, _))| (*value).to_owned())
                    .collect()
            }
        }
    }

    /// Takes the values for the field into `config`. A choice or a yes or no that was left blank stays as it was; a blank text
    /// is an empty one, and a blank number is "no limit" where there is such a choice.
    ///
    /// # Errors
    /// `not-acceptable` with a text that names the field; `config` is as before.
    pub fn take(&self, config: &mut C, values: &[String]) -> Result<(), StanzaError> {
        let refuse = |fault: &str| Err(refuse(self.var, fault));
        let several = matches!(&self.value, Place::Many { .. })
            || matches!(
                &self.value,
                Place::Text {
                    looks: Looks::Lines,
                    ..
                }
            );
        if values.len() > 1 && !several {
            return refuse("takes one value only");
        }
        let first = values.first().map_or("", String::as_str);
        match &self.value {
            Place::Flag { set, .. } => match first {
                "1" | "true" => set(config, true),
                "0" | "false" => set(config, false),
                "" => {}
                _ => return refuse("is to be 1, true, 0 or false"),
            },
            Place::Text {
                most, looks, set, ..
            } => {
                let text = values.join("\n");
                if text.len() > *most {
                    return refuse(&format!("has more than {most} bytes"));
                }
                if let Some(fault) = looks.fault(&text) {
                    return refuse(fault);
                }
                set(config, text);
            }
            Place::Number {
                least,
                most,
                none,
                set,
                ..
            } => {
                let number = match first {
                    word if none.is_some_and(|none| word == none || word.is_empty()) => None,
                    digits => match digits.parse::<u32>() {
                        Ok(number) if (*least..=*most).contains(&number) => Some(number),
                        _ => return refuse(&format!("is to be a number from {least} to {most}")),
                    },
                };
                set(config, number);
            }
            Place::One { choices, set, .. } => {
                let place = choices.iter().position(|(value, _)| *value == first);
                match place {
                    Some(place) => set(config, place),
                    None if first.is_empty() => {}
                    None => return refuse("takes only what is on its list"),
                }
            }
            Place::Many { choices, set, .. } => {
                let mut chosen = 0;
                for value in values.iter().filter(|v| !v.is_empty()) {
                    match choices.iter().position(|(name, _)| name == value) {
                        Some(place) => chosen |= 1 << place,
                        None => return refuse("takes only what is on its list"),
                    }
                }
                set(config, chosen);
            }
        }
        Ok(())
    }

    fn kind(&self) -> (FieldType, &'static [Choice]) {
        match &self.value {
            Place::Flag { .. } => (FieldType::Boolean, &[]),
            Place::Text {
                looks: Looks::Secret,
                ..
            } => (FieldType::TextPrivate, &[]),
            Place::Text { .. } => (FieldType::TextSingle, &[]),
            Place::Number { offered: [], .. } => (FieldType::TextSingle, &[]),
            Place::Number { .. } => (FieldType::ListSingle, &[]),
            Place::One { choices, .. } => (FieldType::ListSingle, choices),
            Place::Many { choices, .. } => (FieldType::ListMulti, choices),
        }
    }
}

/// Takes what a submission says of the fields of `table` into `config`; fields that it does not have keep their values.
///
/// # Errors
/// As [`Setting::take`], and `not-acceptable` for a field that came with a type which does not fit. `config` may then be changed
/// in part: work on a copy.
pub fn take_form<C>(table: &[Setting<C>], config: &mut C, form: &Form) -> Result<(), StanzaError> {
    for setting in table {
        if let Some(field) = form.get(setting.var) {
            check_type(field, setting.kind().0)?;
            setting.take(config, &field.values)?;
        }
    }
    Ok(())
}

/// Checks the type that a submitted field claims. None need be said (XEP-0004 §3.2), then it counts as `text-single`.
///
/// # Errors
/// `not-acceptable`: one value was asked for, and the type is one of lists, or the other way round.
pub fn check_type(field: &Field, kind: FieldType) -> Result<(), StanzaError> {
    let unsaid = matches!(field.kind, FieldType::TextSingle | FieldType::Hidden);
    if unsaid || field.kind == kind || (!field.kind.is_multi() && !kind.is_multi() && is_text(kind))
    {
        return Ok(());
    }
    Err(refuse(
        field.var.as_deref().unwrap_or_default(),
        &format!("is of the type {}", kind.as_str()),
    ))
}

fn is_text(kind: FieldType) -> bool {
    matches!(kind, FieldType::TextSingle | FieldType::TextPrivate)
}

/// The durable form of the fields of a table: for each its tag, the bytes of its values (two, big-endian), and the values, a
/// line each but for texts, which are as they are.
pub fn encode<C>(table: &[Setting<C>], config: &C, out: &mut Vec<u8>) {
    for setting in table {
        let text = setting.values(config).join("\n");
        let length = u16::try_from(text.len()).expect("texts are bounded far below 64 KiB");
        out.push(setting.tag);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    }
}

/// Reads what [`encode`] wrote into `config`. Fields that are not there keep their values; tags that the table does not have,
/// of a later version, are passed over.
///
/// `None`: it is cut off, or a value is not one of the field. Nothing is guessed then: a room must not open by mistake.
pub fn decode<C>(table: &[Setting<C>], config: &mut C, mut bytes: &[u8]) -> Option<()> {
    while let Some((tag, rest)) = bytes.split_first() {
        let (length, rest) = rest.split_first_chunk()?;
        let (text, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        bytes = rest;
        if let Some(setting) = table.iter().find(|s| s.tag == *tag) {
            let text = std::str::from_utf8(text).ok()?;
            let values: Vec<String> = match &setting.value {
                Place::Many { .. } => text.lines().map(str::to_owned).collect(),
                _ => vec![text.to_owned()],
            };
            setting.take(config, &values).ok()?;
        }
    }
    Some(())
}
