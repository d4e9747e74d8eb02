//! What goes to and fro in registrations, and the forms in it.

use tercet_core::forms::{Field, Form, FormKind};
use tercet_core::{BareJid, Element, Jid, StanzaError, XmlWriter, prepare_resource};

/// The namespace of registration (XEP-0077).
pub(super) const NS_REGISTRATION: &str = "jabber:iq:register";
/// The form type, which is a feature of rooms as well.
pub(super) const NS_REGISTER: &str = "http://jabber.org/protocol/muc#register";
/// The most bytes of each answer in the form.
pub(super) const MAX_ANSWER: usize = 512;

const NICK: &str = "muc#register_roomnick";
const ALLOW: &str = "muc#register_allow";
/// Not the registrar's: whom the admin's answer is about.
const USER: &str = "muc#register_jid";

/// What people tell of themselves, as they like: names of fields and labels.
pub(super) const ABOUT: [(&str, &str); 5] = [
    ("muc#register_first", "Given name"),
    ("muc#register_last", "Family name"),
    ("muc#register_url", "A web page"),
    ("muc#register_email", "Email address"),
    ("muc#register_faqentry", "About you"),
];

/// What is asked of the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Registration {
    /// What is needed?
    Ask,
    /// Here it is.
    Submit(Application),
    /// No longer.
    Remove,
}

/// Who wants to register, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Application {
    /// The nick that is wished for, prepared.
    pub(super) nick: String,
    /// What else the form says, by the place in the list of fields; for the admins.
    pub(super) about: Vec<(usize, String)>,
}

impl Registration {
    /// Reads `<query/>` of `jabber:iq:register`; `set` says whether the request is one of that kind.
    ///
    /// # Errors
    /// `bad-request` without a valid form, `not-acceptable` if an answer is missing, too long or no nick.
    pub(super) fn parse(query: Element<'_>, set: bool) -> Result<Registration, StanzaError> {
        if !set {
            return Ok(Registration::Ask);
        }
        if query.child("remove", NS_REGISTRATION).is_some() {
            return Ok(Registration::Remove);
        }
        // XEP-0045 §7.10: a registration without a valid form is a bad-request.
        let form = Form::parse_child(query)?.filter(|f| f.kind == FormKind::Submit);
        match form.filter(|f| f.form_type() == Some(NS_REGISTER)) {
            Some(form) => Ok(Registration::Submit(Application::read(&form)?)),
            None => Err(StanzaError::bad_request().text("The registration form is missing.")),
        }
    }
}

impl Application {
    fn read(form: &Form) -> Result<Application, StanzaError> {
        let refuse = |var: &str, fault: &str| {
            StanzaError::not_acceptable().text(format!("The field {var} {fault}."))
        };
        let wish = form.value(NICK).unwrap_or_default();
        let nick = match prepare_resource(wish) {
            // XEP-0045 §17.1: a nick that nobody sees is none.
            Ok(nick) if !nick.trim().is_empty() => nick.into_owned(),
            _ => return Err(refuse(NICK, "is to hold a nickname")),
        };
        let mut about = Vec::new();
        for (place, (var, _)) in ABOUT.iter().enumerate() {
            let answer = form.text(var).unwrap_or_default();
            if answer.len() > MAX_ANSWER {
                return Err(refuse(var, &format!("has more than {MAX_ANSWER} bytes")));
            }
            if !answer.is_empty() {
                about.push((place, answer));
            }
        }
        Ok(Application { nick, about })
    }

    /// What admins are asked: whether `user` may register so.
    pub(super) fn approval(&self, user: &BareJid) -> Form {
        let form = Form::new(NS_REGISTER)
            .title("Registration request")
            .instructions(
                "To let this person register, check the box and send the form. To leave the request alone, cancel it.",
            )
            .field(Field::jid_single(USER, "User ID").value(user.as_str()))
            .field(Field::text_single(NICK, "Desired nickname").value(&*self.nick));
        let form = self.about.iter().fold(form, |form, (place, answer)| {
            let (var, label) = ABOUT[*place];
            form.field(about_field(var, label).lines(answer))
        });
        form.field(Field::boolean(
            ALLOW,
            "Allow this person to register with the room?",
            false,
        ))
    }
}

/// What an admin says of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Approval {
    /// Who asked.
    pub(super) user: BareJid,
    /// Whether it becomes a member.
    pub(super) allow: bool,
}

impl Approval {
    /// Reads a form in a message; `None`: it is another one, or cancelled.
    ///
    /// # Errors
    /// `bad-request` if it names nobody, `jid-malformed`, `not-acceptable` if it is neither yes nor no.
    pub(super) fn parse(form: &Form) -> Option<Result<Approval, StanzaError>> {
        if form.kind != FormKind::Submit || form.form_type() != Some(NS_REGISTER) {
            return None;
        }
        let read = || {
            let (Some(user), Some(allow)) = (form.value(USER), form.boolean(ALLOW)?) else {
                return Err(StanzaError::bad_request().text("The form is not filled in."));
            };
            Ok(Approval {
                user: Jid::parse(user)?.to_bare(),
                allow,
            })
        };
        Some(read())
    }
}

/// Writes the answer to who is not registered: the form.
pub(super) fn write_form(w: &mut XmlWriter) {
    let form = Form::new(NS_REGISTER)
        .title("Registration with the room")
        .instructions("Choose the nickname that is to be yours in this room; tell as much of yourself as you like.")
        .field(Field::text_single(NICK, "Desired nickname").required());
    let form = ABOUT.iter().fold(form, |form, (var, label)| {
        form.field(about_field(var, label))
    });
    w.start("query").attr("xmlns", NS_REGISTRATION);
    w.text_element(
        "instructions",
        "Registration needs a client that shows forms.",
    );
    form.write(w);
    w.end();
}

/// Writes the answer to who is registered.
pub(super) fn write_registered(nick: &str, w: &mut XmlWriter) {
    w.start("query").attr("xmlns", NS_REGISTRATION);
    w.leaf("registered", &[]);
    w.text_element("username", nick).end();
}

fn about_field(var: &str, label: &str) -> Field {
    if var == "muc#register_faqentry" {
        Field::text_multi(var, label)
    } else {
        Field::text_single(var, label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tercet_core::{Condition, OwnedElement};

    fn parse(content: &str, set: bool) -> Result<Registration, Condition> {
        let xml = format!("<query xmlns='{NS_REGISTRATION}'>{content}</query>");
        let element = OwnedElement::parse(xml.as_bytes(), "jabber:client").unwrap();
        Registration::parse(element.root(), set).map_err(|e| e.condition)
    }

    fn form(fields: &[(&str, &str)]) -> String {
        let head = ("FORM_TYPE", NS_REGISTER);
        let fields: String = std::iter::once(&head)
            .chain(fields)
            .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
            .collect();
        format!("<x xmlns='jabber:x:data' type='submit'>{fields}</x>")
    }

    #[test]
    fn requests_are_read() {
        assert_eq!(parse("", false), Ok(Registration::Ask));
        assert_eq!(parse("<remove/>", true), Ok(Registration::Remove));
        let submitted = form(&[
            (NICK, "thirdwitch"),
            ("muc#register_last", "E-T"),
            ("other", "1"),
        ]);
        assert_eq!(
            parse(&submitted, true),
            Ok(Registration::Submit(Application {
                nick: "thirdwitch".to_owned(),
                about: vec![(1, "E-T".to_owned())],
            }))
        );
        let long = "x".repeat(MAX_ANSWER + 1);
        for (content, condition) in [
            (String::new(), Condition::BadRequest),
            ("<username>a</username>".to_owned(), Condition::BadRequest),
            (
                form(&[(NICK, "a")]).replace(NS_REGISTER, "jabber:bot"),
                Condition::BadRequest,
            ),
            (
                form(&[(NICK, "a")]).replace("submit", "cancel"),
                Condition::BadRequest,
            ),
            (form(&[]), Condition::NotAcceptable),
            (form(&[(NICK, "")]), Condition::NotAcceptable),
            (form(&[(NICK, "  ")]), Condition::NotAcceptable),
            (
                form(&[(NICK, "a"), ("muc#register_url", &long)]),
                Condition::NotAcceptable,
            ),
        ] {
            assert_eq!(parse(&content, true), Err(condition), "{content}");
        }
    }

    #[test]
    fn an_admin_s_form_tells_whom_it_is_about() {
        let Ok(Registration::Submit(application)) = parse(
            &form(&[
                (NICK, "thirdwitch"),
                ("muc#register_faqentry", "Just another witch."),
            ]),
            true,
        ) else {
            panic!("it is a submission");
        };
        let user = BareJid::parse("hag66@shakespeare.lit").unwrap();
        let mut form = application.approval(&user);
        assert_eq!(
            form.value("muc#register_faqentry"),
            Some("Just another witch.")
        );
        assert_eq!(form.value(NICK), Some("thirdwitch"));
        assert!(Approval::parse(&form).is_none());
        form.kind = FormKind::Submit;
        let allow = false;
        assert_eq!(
            Approval::parse(&form),
            Some(Ok(Approval {
                user: user.clone(),
                allow
            }))
        );
        form.fields.retain(|f| f.var.as_deref() != Some(ALLOW));
        let answer = Approval::parse(&form).map(|a| a.map_err(|e| e.condition));
        assert_eq!(answer, Some(Err(Condition::BadRequest)));
        form.kind = FormKind::Cancel;
        assert_eq!(Approval::parse(&form), None);
    }

    #[test]
    fn answers_are_written_as_in_the_extension() {
        let mut w = XmlWriter::new();
        write_registered("thirdwitch", &mut w);
        assert_eq!(
            w.finish(),
            b"<query xmlns='jabber:iq:register'><registered/><username>thirdwitch</username></query>"
        );
        let mut w = XmlWriter::new();
        write_form(&mut w);
        let xml = w.finish();
        let query = OwnedElement::parse(&xml, "jabber:client").unwrap();
        let form = Form::parse_child(query.root()).unwrap().unwrap();
        assert_eq!(form.form_type(), Some(NS_REGISTER));
        assert!(form.get(NICK).unwrap().required);
        assert_eq!(form.fields.len(), 2 + ABOUT.len());
    }
}
