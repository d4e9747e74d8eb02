//! vCards: what both formats know stays the same from one to the other and back, however often, and what is written is XML.

use tercet_core::OwnedElement;
use tercet_modules::vcard4::fields::{Field, new_with, of_new, of_old, old_with};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "vcards",
    run,
    dictionary: &[
        "<vCard xmlns='vcard-temp'>",
        "</vCard>",
        "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'>",
        "</vcard>",
        "<NICKNAME>a,b</NICKNAME>",
        "<nickname><text>a,b</text></nickname>",
        "<TEL><HOME/><PREF/><NUMBER>",
        "</NUMBER></TEL>",
        "<tel><parameters><type><text>home</text></type></parameters><uri>tel:",
        "</uri></tel>",
        "<GEO><LAT>1</LAT><LON>2</LON></GEO>",
        "<geo><uri>geo:1,2;u=3</uri></geo>",
        "<impp><uri>xmpp:a@b</uri></impp>",
        "<JABBERID>xmpp:</JABBERID>",
        "<NOTE>n</NOTE>",
        "<note><text>n</text></note>",
        "<ORG><ORGUNIT>u</ORGUNIT><ORGNAME>o</ORGNAME></ORG>",
        "<n><given>g</given></n>",
        "&#13;",
        ",",
        ";",
        "tel:",
    ],
};

fn run(data: &[u8]) {
    let Ok(card) = OwnedElement::parse(data, "vcard-temp") else {
        return;
    };
    for said in [of_old(card.root()), of_new(card.root())] {
        // Names with commas are several names in the older format.
        let said = old(&said, data);
        assert_eq!(new(&said, data), said);
        assert_eq!(old(&said, data), said);
    }
}

fn old(fields: &[Field], before: &[u8]) -> Vec<Field> {
    let card = old_with(fields, Some(before));
    of_old(OwnedElement::parse(&card, "").expect("it is XML").root())
}

fn new(fields: &[Field], before: &[u8]) -> Vec<Field> {
    let card = new_with(fields, Some(before));
    of_new(OwnedElement::parse(&card, "").expect("it is XML").root())
}
