use super::{FORM_TYPE, Field, FieldType, Form, FormKind, NS};
use crate::xml::{OwnedElement, XmlWriter};
use crate::{Condition, StanzaError};

fn written(form: &Form) -> String {
    let mut w = XmlWriter::new();
    form.write(&mut w);
    String::from_utf8(w.finish()).unwrap()
}

fn parse(xml: &str) -> Result<Form, StanzaError> {
    Form::parse(
        OwnedElement::parse(xml.as_bytes(), "jabber:client")
            .unwrap()
            .root(),
    )
}

/// A form with one field of each type.
fn all_types() -> Form {
    Form::new("jabber:bot")
        .title("Bot Configuration")
        .instructions("Fill out this form & configure your new bot!")
        .instructions("Second paragraph")
        .field(Field::hidden("form_no", "3"))
        .field(Field::fixed("Section 1: Bot Info"))
        .field(Field::text_single("botname", "The name of your bot"))
        .field(Field::text_multi("description", "Helpful description").lines("one\ntwo"))
        .field(Field::boolean("public", "Public bot?", true).required())
        .field(Field::text_private(
            "password",
            "Password for special access",
        ))
        .field(
            Field::list_multi("features", "Features")
                .desc("What will the bot support?")
                .option("contests", "Contests")
                .option("news", "News")
                .value("news"),
        )
        .field(
            Field::list_single("maxsubs", "Maximum number of subscribers")
                .value("20")
                .option("10", "10")
                .option("20", "20"),
        )
        .field(Field::jid_single("admin", "Administrator"))
        .field(Field::jid_multi("invitelist", "People to invite"))
}

#[test]
fn a_form_parses_to_what_was_written() {
    let form = all_types();
    assert_eq!(parse(&written(&form)), Ok(form));
}

#[test]
fn a_field_is_written_as_in_the_extension() {
    let field = Field::list_single("maxsubs", "Most")
        .desc("d")
        .required()
        .value("20")
        .option("10", "Ten");
    let form = Form::empty(FormKind::Form).field(field);
    assert_eq!(
        written(&form),
        format!(
            "<x xmlns='{NS}' type='form'><field var='maxsubs' type='list-single' label='Most'><desc>d</desc><required/>\
             <value>20</value><option label='Ten'><value>10</value></option></field></x>"
        )
    );
}

#[test]
fn results_and_tables_do_without_types_but_where_they_tell() {
    let form = Form::result("urn:a")
        .field(Field::text_single("os", "System").value("Linux"))
        .column(Field::jid_single("jid", "Address"))
        .row(vec![Field::new(FieldType::JidSingle, "jid").value("a@b")]);
    assert_eq!(
        written(&form),
        format!(
            "<x xmlns='{NS}' type='result'><field var='{FORM_TYPE}' type='hidden'><value>urn:a</value></field>\
             <field var='os' label='System'><value>Linux</value></field>\
             <reported><field var='jid' type='jid-single' label='Address'/></reported>\
             <item><field var='jid'><value>a@b</value></field></item></x>"
        )
    );
    let parsed = parse(&written(&form)).unwrap();
    assert_eq!(parsed.form_type(), Some("urn:a"));
    assert_eq!(parsed.reported, form.reported);
    assert_eq!(parsed.items[0][0].values, ["a@b"]);
}

#[test]
fn submissions_are_read() {
    let form = parse(&format!(
        "<x xmlns='{NS}' type='submit'><field var='{FORM_TYPE}'><value>jabber:bot</value></field>\
         <field var='public'><value>true</value></field><field var='public'><value>0</value></field>\
         <field var='d'><value>a</value><value>b&lt;</value></field><field var='empty'><value/></field><field var='none'/>\
         <field var='odd' type='no-such-type'><value>7</value><foreign xmlns='b'/></field><foreign xmlns='b'/></x>"
    ))
    .unwrap();
    assert_eq!(form.kind, FormKind::Submit);
    assert_eq!(form.form_type(), Some("jabber:bot"));
    assert_eq!(form.boolean("public"), Ok(Some(true)));
    assert_eq!(form.boolean("missing"), Ok(None));
    assert_eq!(form.boolean("none"), Ok(None));
    assert_eq!(
        form.boolean("odd").map_err(|e| e.condition),
        Err(Condition::NotAcceptable)
    );
    assert_eq!(form.values("d").collect::<Vec<_>>(), ["a", "b<"]);
    assert_eq!(form.text("d").as_deref(), Some("a\nb<"));
    assert_eq!((form.value("empty"), form.value("none")), (Some(""), None));
    assert_eq!(form.get("odd").unwrap().kind, FieldType::TextSingle);
}

#[test]
fn broken_forms_are_refused() {
    for xml in [
        format!("<x xmlns='{NS}'/>"),
        format!("<x xmlns='{NS}' type='error'/>"),
        "<x xmlns='a' type='submit'/>".to_owned(),
        format!("<y xmlns='{NS}' type='submit'/>"),
        format!("<x xmlns='{NS}' type='submit'><field><value>1</value></field></x>"),
    ] {
        assert_eq!(
            parse(&xml).map_err(|e| e.condition),
            Err(Condition::BadRequest),
            "{xml}"
        );
    }
    let iq = OwnedElement::parse(b"<query xmlns='a'/>", "jabber:client").unwrap();
    assert_eq!(Form::parse_child(iq.root()), Ok(None));
}

#[test]
fn a_form_type_that_is_not_hidden_is_none() {
    let form = |kind: &str, field: &str| {
        let xml = format!(
            "<x xmlns='{NS}' type='{kind}'><field var='{FORM_TYPE}'{field}><value>a</value></field></x>"
        );
        parse(&xml).unwrap().form_type().map(str::to_owned)
    };
    assert_eq!(form("result", " type='hidden'").as_deref(), Some("a"));
    assert_eq!(form("result", ""), None);
    assert_eq!(form("form", " type='text-single'"), None);
    assert_eq!(form("submit", "").as_deref(), Some("a"));
}

#[test]
fn submissions_are_checked_against_the_form() {
    let offered = all_types();
    let submit = |fields: &[(&str, &[&str])]| {
        let mut form = Form::empty(FormKind::Submit);
        for (var, values) in fields {
            form =
                form.field(Field::new(FieldType::TextSingle, *var).values(values.iter().copied()));
        }
        offered
            .accept(&form)
            .map_err(|e| (e.condition, e.text.unwrap().into_owned()))
    };
    let public: (&str, &[&str]) = ("public", &["1"]);
    for fields in [
        vec![public],
        vec![public, (FORM_TYPE, &["jabber:bot"])],
        vec![
            public,
            ("features", &["news", "contests"]),
            ("maxsubs", &["10"]),
        ],
        vec![public, ("invitelist", &["a@b", "c@d/e"]), ("admin", &[""])],
        vec![public, ("unknown", &["1", "2"])],
        vec![public, ("description", &["a", "", "b"])],
    ] {
        assert_eq!(submit(&fields), Ok(()), "{fields:?}");
    }
    for (fields, field) in [
        (vec![], "public"),
        (vec![("public", &[][..])], "public"),
        (vec![("public", &["perhaps"][..])], "public"),
        (vec![public, ("maxsubs", &["30"])], "maxsubs"),
        (vec![public, ("maxsubs", &["10", "20"])], "maxsubs"),
        (vec![public, ("features", &["news", "weather"])], "features"),
        (vec![public, ("admin", &["@"])], "admin"),
        (vec![public, ("botname", &["a", "b"])], "botname"),
    ] {
        let (condition, text) = submit(&fields).unwrap_err();
        assert_eq!(condition, Condition::NotAcceptable);
        assert!(text.contains(field), "{text}");
    }
    for form in [
        Form::empty(FormKind::Cancel),
        Form {
            kind: FormKind::Submit,
            ..Form::new("jabber:other").field(Field::hidden("public", "1"))
        },
    ] {
        assert_eq!(
            offered.accept(&form).map_err(|e| e.condition),
            Err(Condition::BadRequest)
        );
    }
}
