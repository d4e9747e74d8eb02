//! What a subscriber has decided about a subscription (XEP-0060 §6.3): whether it is notified, in which states of presence, and when the
//! subscription ends by itself (§12.19).

use tercet_core::forms::{Field, Form, FormKind};
use tercet_core::{Stanza, StanzaError, time};

use super::errors;
use crate::setting::{Choice, Place, Setting, take_form};

/// The form type of the options.
pub const NS_SUBSCRIBE: &str = "http://jabber.org/protocol/pubsub#subscribe_options";
/// The field with the end of a subscription, a date and time (XEP-0082) or nothing.
const EXPIRE: &str = "pubsub#expire";

/// States of presence, in the order of their bits.
const SHOWS: &[Choice] = &[
    ("online", "Available"),
    ("chat", "Free for chat"),
    ("away", "Away"),
    ("xa", "Away for long"),
    ("dnd", "Not to be disturbed"),
];
/// All of them.
const EVERY: u8 = 0b1_1111;

/// What a subscriber has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Notifications are sent.
    pub deliver: bool,
    /// In which states of presence: a bit for each place in the list of the form.
    pub shows: u8,
    /// When the subscription ends, in milliseconds since 1970.
    pub until_ms: Option<u64>,
}

impl Default for Options {
    /// Every notification, for good.
    fn default() -> Self {
        Options {
            deliver: true,
            shows: EVERY,
            until_ms: None,
        }
    }
}

static FIELDS: &[Setting<Options>] = &[
    Setting {
        tag: 1,
        var: "pubsub#deliver",
        label: "Notifications are sent",
        value: Place::Flag {
            get: |o| o.deliver,
            set: |o, deliver| o.deliver = deliver,
        },
    },
    Setting {
        tag: 2,
        var: "pubsub#show-values",
        label: "When they are sent",
        value: Place::Many {
            choices: SHOWS,
            get: |o| o.shows,
            set: |o, shows| o.shows = shows,
        },
    },
];

impl Options {
    /// The form with which they are set.
    pub fn form(&self) -> Form {
        let form = Form::new(NS_SUBSCRIBE).title("Subscription");
        let form = FIELDS.iter().fold(form, |f, s| f.field(s.field(self)));
        let mut until = Field::text_single(EXPIRE, "When the subscription ends");
        if let Some(at_ms) = self.until_ms {
            until = until.value(time::format(i64::try_from(at_ms).unwrap_or(i64::MAX)));
        }
        form.field(until)
    }

    /// The same to be read only.
    pub fn told(&self) -> Form {
        let mut form = self.form();
        form.kind = FormKind::Result;
        form.title = None;
        form.fields.iter_mut().for_each(|f| f.options.clear());
        form
    }

    /// The same after a submission. What it does not name stays, what is not known is left aside.
    ///
    /// # Errors
    /// `bad-request` with `invalid-options` if it is of another type, or if a value does not fit.
    pub fn submitted(&self, form: &Form, now_ms: u64) -> Result<Options, StanzaError> {
        // XEP-0060 §6.3.6.2: options that are not valid are refused by that name.
        let invalid = |_| errors::invalid_options();
        let other = form.form_type().is_some_and(|t| t != NS_SUBSCRIBE);
        if form.kind != FormKind::Submit || other {
            return Err(errors::invalid_options());
        }
        let mut options = *self;
        take_form(FIELDS, &mut options, form).map_err(invalid)?;
        if let Some(field) = form.get(EXPIRE) {
            options.until_ms = match field.values.first().map(String::as_str) {
                None | Some("") => None,
                Some(text) => {
                    let at_ms = time::parse(text).and_then(|at| u64::try_from(at).ok());
                    let at_ms = at_ms.filter(|at| *at > now_ms);
                    Some(at_ms.ok_or_else(errors::invalid_options)?)
                }
            };
        }
        Ok(options)
    }

    /// Whether the state of presence does not matter.
    pub fn always(&self) -> bool {
        self.shows == EVERY
    }

    /// Whether somebody with this presence is notified.
    pub fn takes(&self, presence: &Stanza) -> bool {
        if self.always() {
            return true;
        }
        let show = presence.own_child("show").map(|show| show.parse());
        let show = show.map_or_else(String::new, |show| show.root().text().into_owned());
        // RFC 6121 §4.7.2.1: without the element one is available.
        let place = SHOWS.iter().position(|(name, _)| *name == show.trim());
        self.shows & (1 << place.unwrap_or(0)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000_000_000;

    fn submit(fields: &[(&str, &[&str])]) -> Form {
        let mut form =
            Form::empty(FormKind::Submit).field(Field::hidden("FORM_TYPE", NS_SUBSCRIBE));
        for (var, values) in fields {
            form = form.field(Field::text_single(*var, "").values(values.iter().copied()));
        }
        form
    }

    #[test]
    fn what_is_submitted_is_shown_again_and_the_rest_stays() {
        let submitted = submit(&[
            ("pubsub#show-values", &["chat", "dnd"]),
            ("pubsub#expire", &["2026-02-28T11:59:59Z"]),
            ("pubsub#digest", &["0"]),
        ]);
        let options = Options::default().submitted(&submitted, NOW).unwrap();
        let form = options.told();
        assert_eq!(form.value("pubsub#deliver"), Some("1"));
        assert_eq!(
            form.values("pubsub#show-values").collect::<Vec<_>>(),
            ["chat", "dnd"]
        );
        assert_eq!(form.value("pubsub#expire"), Some("2026-02-28T11:59:59Z"));
        let off = submit(&[("pubsub#deliver", &["false"]), ("pubsub#expire", &[""])]);
        let off = options.submitted(&off, NOW).unwrap();
        assert_eq!(
            (off.deliver, off.shows, off.until_ms),
            (false, options.shows, None)
        );
    }

    #[test]
    fn what_fits_no_field_is_refused() {
        let other = Form::empty(FormKind::Submit).field(Field::hidden("FORM_TYPE", "urn:other"));
        for form in [
            submit(&[("pubsub#deliver", &["maybe"])]),
            submit(&[("pubsub#show-values", &["invisible"])]),
            submit(&[("pubsub#expire", &["tomorrow"])]),
            submit(&[("pubsub#expire", &["presence"])]),
            submit(&[("pubsub#expire", &["1999-12-31T00:00:00Z"])]),
            other,
            Form::result(NS_SUBSCRIBE),
        ] {
            let refused = Options::default().submitted(&form, NOW);
            assert_eq!(refused, Err(errors::invalid_options()), "{form:?}");
        }
    }

    #[test]
    fn presence_is_looked_at_where_some_states_are_left_out() {
        let presence = |show: &str| {
            let xml = format!("<presence xmlns='jabber:client'>{show}</presence>");
            Stanza::parse(xml.as_bytes()).unwrap()
        };
        let chosen = submit(&[("pubsub#show-values", &["online", "chat"])]);
        let options = Options::default().submitted(&chosen, NOW).unwrap();
        for (show, expected) in [
            ("", true),
            ("<show>chat</show>", true),
            ("<show>away</show>", false),
            ("<show>dnd</show>", false),
        ] {
            assert_eq!(options.takes(&presence(show)), expected, "{show}");
            assert!(Options::default().takes(&presence(show)));
        }
    }
}
