//! The form that makes an account: as it stands on a page, and as it comes back.

use axum::http::StatusCode;
use axum::response::Response;
use percent_encoding::percent_decode_str;
use tercet_modules::invites::Invitation;
use zeroize::Zeroizing;

use super::template::Part::{Html, Text};
use super::template::{escaped, fill};
use super::{Guest, invite};

const TEMPLATE: &str = include_str!("form.html");

/// The form, with what was entered but for passwords.
pub(super) struct Form {
    action: String,
    /// The name that the account must have.
    pub(super) fixed: Option<String>,
    pub(super) name: String,
    pub(super) name_fault: Option<String>,
    pub(super) password_fault: Option<String>,
    pub(super) again_fault: Option<String>,
    /// What is wrong with none of the fields.
    pub(super) fault: Option<String>,
}

impl Form {
    /// An empty form.
    pub(super) fn new(invitation: Option<&Invitation>) -> Form {
        let fixed = invitation.and_then(|i| i.username()).map(str::to_owned);
        Form {
            action: match invitation {
                Some(invitation) => format!("{}{}", invite::PATH, invitation.token),
                None => "/register".to_owned(),
            },
            name: fixed.clone().unwrap_or_default(),
            fixed,
            name_fault: None,
            password_fault: None,
            again_fault: None,
            fault: None,
        }
    }

    pub(super) fn has_fault(&self) -> bool {
        self.name_fault.is_some() || self.password_fault.is_some() || self.again_fault.is_some()
    }

    /// The form as a part of a page, called `title`.
    pub(super) fn html(&self, guest: &Guest<'_>, title: &str) -> String {
        let hint = match &self.fixed {
            Some(_) => "This is the name that the invitation is for.",
            None => "Letters and digits, for example; others write to you by this name.",
        };
        let name = Field::new("name", self.name_fault.as_deref(), hint);
        let password = Field::new(
            "password",
            self.password_fault.as_deref(),
            "A long one is a good one. The server keeps nothing that it could be read from.",
        );
        let again = Field::new("again", self.again_fault.as_deref(), "");
        let readonly = if self.fixed.is_some() {
            " readonly"
        } else {
            ""
        };
        let first = [&name, &password, &again]
            .into_iter()
            .position(|field| !field.class.is_empty());
        let focus = |number| {
            if first == Some(number) {
                " autofocus"
            } else {
                ""
            }
        };
        let name_attributes = format!("{}{readonly}{}", name.attributes, focus(0));
        let password_attributes = format!("{}{}", password.attributes, focus(1));
        let again_attributes = format!("{}{}", again.attributes, focus(2));
        let form = fill(
            TEMPLATE,
            &[
                ("title", Text(title)),
                ("action", Text(&self.action)),
                ("domain", Text(guest.domain())),
                ("name", Text(&self.name)),
                ("name_class", Html(name.class)),
                ("name_attributes", Html(&name_attributes)),
                ("name_note", Html(&name.note)),
                ("password_class", Html(password.class)),
                ("password_attributes", Html(&password_attributes)),
                ("password_note", Html(&password.note)),
                ("again_class", Html(again.class)),
                ("again_attributes", Html(&again_attributes)),
                ("again_note", Html(&again.note)),
            ],
        );
        let fault = self.fault.as_ref().map_or_else(String::new, |fault| {
            format!("<p class=\"notice\" role=\"alert\">{}</p>", escaped(fault))
        });
        format!("{fault}{form}")
    }

    pub(super) fn page(&self, guest: &Guest<'_>, status: StatusCode) -> Response {
        let heading = format!("Make an account on {}", guest.domain());
        let content = format!(
            "<h1>{}</h1><p class=\"lead\">All it takes is a name and a password: no e-mail address, no telephone number.</p>{}",
            escaped(&heading),
            self.html(guest, "Name and password")
        );
        let title = match self.has_fault() || self.fault.is_some() {
            true => format!("Not yet: {heading}"),
            false => heading,
        };
        guest.page(status, &title, &content)
    }
}

/// What goes with a field.
struct Field {
    class: &'static str,
    attributes: String,
    note: String,
}

impl Field {
    fn new(name: &str, fault: Option<&str>, hint: &str) -> Field {
        let (class, invalid, note) = match fault {
            Some(fault) => (" wrong", " aria-invalid=\"true\"", ("fault", fault)),
            None => ("", "", ("hint", hint)),
        };
        if note.1.is_empty() {
            return Field {
                class,
                attributes: String::new(),
                note: String::new(),
            };
        }
        Field {
            class,
            attributes: format!("{invalid} aria-describedby=\"{name}-note\""),
            note: format!(
                "<p class=\"{}\" id=\"{name}-note\">{}</p>",
                note.0,
                escaped(note.1)
            ),
        }
    }
}

/// What was filled in.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) username: String,
    pub(super) password: Zeroizing<String>,
    pub(super) again: Zeroizing<String>,
}

impl Entries {
    /// Reads a form (WHATWG URL §5.1). The first value of a field counts; others are as if they were not there.
    pub(super) fn read(body: &[u8]) -> Entries {
        let mut entries = Entries::default();
        for pair in body.split(|byte| *byte == b'&') {
            let text = String::from_utf8_lossy(pair);
            let (name, value) = text.split_once('=').unwrap_or((&text, ""));
            let plus = Zeroizing::new(value.replace('+', " "));
            let value = percent_decode_str(&plus).decode_utf8_lossy().into_owned();
            let into: &mut String = match name {
                "username" => &mut entries.username,
                "password" => &mut entries.password,
                "again" => &mut entries.again,
                _ => continue,
            };
            if into.is_empty() {
                *into = value;
            }
        }
        // People paste addresses, and white space around them.
        let name = entries.username.trim();
        entries.username = name.to_owned();
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_as_browsers_write_them() {
        let read = |body: &str| Entries::read(body.as_bytes());
        let entries = read("username=+Jul%C3%ADa+&password=a+b%26%3D%2B&again=&other=1&password=2");
        assert_eq!(entries.username, "Julía");
        assert_eq!(*entries.password, "a b&=+");
        assert_eq!(*entries.again, "");
        for odd in ["", "&&&", "username", "=x", "username=%", "username=%zz%ff"] {
            let entries = read(odd);
            assert!(entries.password.is_empty(), "{odd}");
        }
    }
}
