//! JIDs: what is accepted is normal, and stays as it is however it is taken apart.

use tercet_core::Jid;

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "jid",
    run,
    dictionary: &[
        "@",
        "/",
        ".",
        "xn--",
        "localhost",
        "[::1]",
        "\u{df}",
        "\u{3a3}",
        "\u{130}",
        "\u{200d}",
        "\u{ff0e}",
        "\u{1f600}",
        "\u{fb01}",
        "\u{e9}",
        "e\u{301}",
        "\\20",
        "\u{0}",
        " ",
    ],
};

fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(jid) = Jid::parse(text) else {
        return;
    };
    let normal = jid.as_str();
    let again = Jid::parse(normal).expect("a normalised JID is a JID");
    assert_eq!(
        again.as_str(),
        normal,
        "normalising twice is normalising once"
    );
    assert_eq!(again, jid, "equal text, equal JID");

    let parts = Jid::from_parts(jid.local(), jid.domain(), jid.resource())
        .expect("the parts of a JID make a JID");
    assert_eq!(parts, jid, "the parts make the same JID");
    for part in [jid.local(), Some(jid.domain()), jid.resource()]
        .into_iter()
        .flatten()
    {
        assert!(
            (1..=1023).contains(&part.len()),
            "RFC 7622 §3.1: each part has 1 to 1023 bytes"
        );
    }
    assert_eq!(jid.to_bare().as_str(), jid.bare_str());
    assert_eq!(jid.to_full().is_some(), jid.resource().is_some());
}
