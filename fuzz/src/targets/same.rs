//! Whether two pieces of XML mean the same, for whatever comes out of a parser again.

use tercet_core::{Child, Element, Stanza};

/// Panics unless both elements have the same name, attributes, text and children.
pub(crate) fn elements(one: Element<'_>, other: Element<'_>) {
    assert_eq!(one.name(), other.name(), "the local name");
    assert_eq!(one.ns(), other.ns(), "the namespace of {}", one.name());
    assert_eq!(
        one.attrs().count(),
        other.attrs().count(),
        "the number of attributes of {}",
        one.name()
    );
    for attribute in one.attrs() {
        let value = other.attr_ns(attribute.ns, attribute.name);
        assert_eq!(
            value.as_deref(),
            Some(&*attribute.value),
            "the attribute {}",
            attribute.name
        );
    }
    assert_eq!(one.text(), other.text(), "the text of {}", one.name());
    assert_eq!(
        one.children().count(),
        other.children().count(),
        "the number of children of {}",
        one.name()
    );
    // The depth is bounded by the limits of the parser that made both.
    for (one, other) in one.children().zip(other.children()) {
        elements(one, other);
    }
}

/// Panics unless both stanzas are the same but for their addresses.
pub(crate) fn stanzas(one: &Stanza, other: &Stanza) {
    assert_eq!(one.kind(), other.kind(), "the kind");
    assert_eq!(one.id(), other.id(), "the id");
    assert_eq!(one.type_(), other.type_(), "the type");
    assert_eq!(one.lang(), other.lang(), "the language");
    assert_eq!(
        one.children().count(),
        other.children().count(),
        "the number of children"
    );
    for (one, other) in one.children().zip(other.children()) {
        children(&one, &other);
    }
}

fn children(one: &Child<'_>, other: &Child<'_>) {
    assert_eq!(one.name(), other.name(), "the name of a child");
    assert_eq!(
        one.ns(),
        other.ns(),
        "the namespace of the child {}",
        one.name()
    );
    elements(one.parse().root(), other.parse().root());
}
