//! The grammar that extensions share: forms, result sets, dates. What is read is written so that it is read the same again.

use tercet_core::grammar::forms::Form;
use tercet_core::grammar::rsm::RsmRequest;
use tercet_core::grammar::time;
use tercet_core::{OwnedElement, XmlWriter};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "grammar",
    run,
    dictionary: &[
        "<x xmlns='jabber:x:data' type='submit'>",
        "</x>",
        "<field var='a' type='list-single'>",
        "</field>",
        "<value>",
        "</value>",
        "<value/>",
        "<option label='b'>",
        "</option>",
        "<required/>",
        "<reported>",
        "</reported>",
        "<item>",
        "</item>",
        " type='boolean'",
        " type='jid-multi'",
        "<set xmlns='http://jabber.org/protocol/rsm'>",
        "</set>",
        "<max>10</max>",
        "<before/>",
        "<after>x</after>",
        "<index>0</index>",
        "2024-02-29T23:59:60Z",
        "-00:30",
        "+14:00",
        ".123456789",
        "9999",
        "\n",
    ],
};

fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    moment(text);
    let Ok(element) = OwnedElement::parse(data, "jabber:client") else {
        return;
    };
    if let Ok(form) = Form::parse(element.root()) {
        let written = write(&form);
        let again = OwnedElement::parse(&written, "jabber:client").expect("a written form is XML");
        let again = Form::parse(again.root()).expect("a written form is a form");
        // A submission is written without the types, which the form told: so it is the text that stays the same.
        assert_eq!(
            write(&again),
            written,
            "a form that was written once is written the same again"
        );
        // Whatever the answer is: it is an answer.
        let _ = form.accept(&again);
    }
    if let Ok(request) = RsmRequest::parse(element.root()) {
        pages(&request);
    }
}

/// A page is a part of the list, in its order, no longer than asked for.
fn pages(request: &RsmRequest) {
    let items: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    if let Ok((page, result)) = request.choose(&items, 7, String::as_str) {
        assert!(page.len() <= 7, "no page is longer than the bound");
        let page = &items[page];
        let first = result.first.map(|(id, _)| id);
        assert_eq!(
            first.as_ref(),
            page.first(),
            "what the answer calls the first is it"
        );
        assert_eq!(
            result.last.as_ref(),
            page.last(),
            "what the answer calls the last is it"
        );
    }
}

fn moment(text: &str) {
    // An offset can lead out of the years that can be written; what is written stays.
    if let Some(ms) = time::parse(text) {
        let written = time::format(ms);
        let again = time::parse(&written).expect("a written moment is one");
        assert_eq!(
            time::format(again),
            written,
            "a moment that was written is read again"
        );
    }
}

fn write(form: &Form) -> Vec<u8> {
    let mut writer = XmlWriter::new();
    form.write(&mut writer);
    writer.finish()
}
