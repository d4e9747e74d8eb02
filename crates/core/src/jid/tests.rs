use std::collections::HashMap;

use proptest::prelude::*;

use super::{BareJid, FullJid, Jid, JidError, JidPart};
use crate::{mint_local, mint_resource, nickname_key};

fn parts(s: &str) -> (Option<String>, String, Option<String>) {
    let jid = Jid::parse(s).unwrap_or_else(|e| panic!("{s:?}: {e}"));
    (
        jid.local().map(str::to_owned),
        jid.domain().to_owned(),
        jid.resource().map(str::to_owned),
    )
}

fn normal(s: &str) -> String {
    Jid::parse(s)
        .unwrap_or_else(|e| panic!("{s:?}: {e}"))
        .to_string()
}

#[test]
fn the_examples_of_the_rfc_are_jids() {
    // RFC 7622 §3.5, table 1.
    for s in [
        "juliet@example.com",
        "juliet@example.com/foo",
        "juliet@example.com/foo bar",
        "juliet@example.com/foo@bar",
        "foo\\20bar@example.com",
        "fussball@example.com",
        "fu\u{df}ball@example.com",
        "\u{3c0}@example.com",
        "\u{3c3}@example.com/foo",
        "\u{3c2}@example.com/foo",
        "king@example.com/\u{265a}",
        "example.com",
        "example.com/foobar",
        "a.example.com/b@example.net",
    ] {
        assert_eq!(normal(s), s);
    }
    assert_eq!(normal("\u{3a3}@example.com/foo"), "\u{3c3}@example.com/foo");
}

#[test]
fn the_counterexamples_of_the_rfc_are_none() {
    // RFC 7622 §3.5, table 2, but for `henry\u{2163}`, which stringprep clients may write: see the test of those.
    for s in [
        "\"juliet\"@example.com",
        "foo bar@example.com",
        "juliet@example.com/ foo\u{0}",
        "@example.com/",
        "\u{265a}@example.com",
        "juliet@",
        "/foobar",
    ] {
        assert!(Jid::parse(s).is_err(), "{s:?}");
    }
}

#[test]
fn the_first_slash_and_then_the_first_at_separate_the_parts() {
    let some = |s: &str| Some(s.to_owned());
    assert_eq!(parts("a@b/c"), (some("a"), "b".into(), some("c")));
    assert_eq!(parts("b/c@d/e"), (None, "b".into(), some("c@d/e")));
    assert_eq!(parts("a@b/c/d@e"), (some("a"), "b".into(), some("c/d@e")));
    assert_eq!(parts("b"), (None, "b".into(), None));
    assert_eq!(
        parts("\u{e4}@b/\u{e4}/@"),
        (some("\u{e4}"), "b".into(), some("\u{e4}/@"))
    );
}

#[test]
fn empty_parts_are_refused() {
    for (s, part) in [
        ("", JidPart::Domain),
        ("@", JidPart::Local),
        ("@b", JidPart::Local),
        ("a@", JidPart::Domain),
        ("a@/c", JidPart::Domain),
        ("/c", JidPart::Domain),
        ("b/", JidPart::Resource),
        ("a@b/", JidPart::Resource),
        (".", JidPart::Domain),
        ("\u{3002}", JidPart::Domain),
    ] {
        assert_eq!(Jid::parse(s), Err(JidError::Empty(part)), "{s:?}");
    }
}

#[test]
fn upper_case_is_folded_before_the_slash_only() {
    assert_eq!(
        normal("Juliet@Capulet.COM/Balcony"),
        "juliet@capulet.com/Balcony"
    );
    assert_eq!(normal("CAPULET.com"), "capulet.com");
    assert_eq!(
        normal("\u{c4}@B\u{c4}R.example/\u{c4}"),
        "\u{e4}@b\u{e4}r.example/\u{c4}"
    );
}

#[test]
fn every_ascii_character_is_judged_as_the_rfc_says() {
    for c in '\0'..='\x7f' {
        let local = c.is_ascii_graphic() && !"\"&'/:<>@".contains(c);
        let domain = c.is_ascii_alphanumeric() || "-_.".contains(c);
        let resource = c == ' ' || c.is_ascii_graphic();
        // Padded, so that neither a dot nor a hyphen stands at an end. The long way is taken with the second spelling.
        for (l, d, r) in [("", "", ""), ("\u{e4}", "\u{e4}", "\u{e4}")] {
            let from = |local: &str, domain: &str, resource: &str| {
                Jid::from_parts(Some(local), domain, Some(resource)).is_ok()
            };
            assert_eq!(from(&format!("x{c}{l}x"), "d", "r"), local, "local {c:?}");
            assert_eq!(from("l", &format!("x{c}x{d}"), "r"), domain, "domain {c:?}");
            assert_eq!(
                from("l", "d", &format!("x{c}{r}x")),
                resource,
                "resource {c:?}"
            );
        }
    }
}

#[test]
fn domains_are_names_or_addresses() {
    for (s, expect) in [
        ("example.org.", "example.org"),
        ("b\u{fc}cher.example", "b\u{fc}cher.example"),
        ("xn--bcher-kva.example", "b\u{fc}cher.example"),
        ("XN--BCHER-KVA.example", "b\u{fc}cher.example"),
        ("bu\u{308}cher.example", "b\u{fc}cher.example"),
        ("\u{ff45}xample\u{3002}org\u{ff0e}", "example.org"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[0:0::0001]", "[::1]"),
        ("[2001:DB8::A]", "[2001:db8::a]"),
        ("my_host", "my_host"),
        ("a--b.example", "a--b.example"),
        ("fa\u{df}.example", "fa\u{df}.example"),
    ] {
        assert_eq!(normal(s), expect, "{s:?}");
        assert_eq!(
            normal(&format!("l@{s}/r")),
            format!("l@{expect}/r"),
            "{s:?}"
        );
    }
    for s in [
        "a..b",
        ".a",
        "a..",
        "-a",
        "a-",
        "a.-b",
        "a-.b",
        "xn--",
        "xn--a",
        "xn--xn--bcher-kSva.example",
        "xn--\u{fc}",
        "a b",
        "[::1",
        "::1]",
        "[]",
        "[::g]",
        "[127.0.0.1]",
        "[fe80::1%eth0]",
        "a@b@c",
        "\u{2603}.example",
        "\u{fffd}",
        "a\u{0}b",
        "\u{5d0}a.example",
        "\u{ad}",
    ] {
        assert!(Jid::parse(s).is_err(), "{s:?}");
    }
}

#[test]
fn a_part_may_have_1023_bytes_and_no_more() {
    let fits = "a".repeat(1023);
    let long = "a".repeat(1024);
    let all = format!("{fits}@{fits}/{fits}");
    assert_eq!(normal(&all), all);
    assert_eq!(FullJid::parse(&all).unwrap().resource(), fits);
    for (s, part) in [
        (format!("{long}@b"), JidPart::Local),
        (long.clone(), JidPart::Domain),
        (format!("b/{long}"), JidPart::Resource),
        (format!("{}@b", "\u{e4}".repeat(512)), JidPart::Local),
        (format!("b/{}", "\u{e4}".repeat(512)), JidPart::Resource),
        (format!("b/{}", "\u{e4}".repeat(500_000)), JidPart::Resource),
        ("\u{e4}".repeat(500_000), JidPart::Domain),
    ] {
        assert_eq!(Jid::parse(&s), Err(JidError::TooLong(part)));
    }
    // The size counts after preparation: full-width letters are three bytes each before.
    assert_eq!(
        normal(&format!("{}@b", "\u{ff41}".repeat(1023))),
        format!("{fits}@b")
    );
}

#[test]
fn what_differs_between_precis_and_stringprep_is_decided_by_precis_first() {
    for (s, expect) in [
        // Both agree.
        ("\u{ff21}b@d", "ab@d"),
        ("e\u{301}@d", "\u{e9}@d"),
        // Nodeprep would fold these; PRECIS accepts them as they are.
        ("stra\u{df}e@d", "stra\u{df}e@d"),
        ("\u{3c2}@d", "\u{3c2}@d"),
        // Resourceprep would fold these.
        ("d/\u{fb01}", "d/\u{fb01}"),
        ("d/\u{2163}", "d/\u{2163}"),
        ("d/x\u{a0}y", "d/x y"),
        // PRECIS refuses; stringprep maps to what PRECIS accepts.
        ("henry\u{2163}@d", "henryiv@d"),
        ("o\u{fb03}ce@d", "office@d"),
        ("ad\u{ad}min@d", "admin@d"),
        ("\u{feff}admin@d", "admin@d"),
        ("a\u{200b}b@d", "ab@d"),
        ("\u{212a}@d", "k@d"),
        ("d/soft\u{ad}hyphen", "d/softhyphen"),
        ("d/\u{2764}\u{fe0f}", "d/\u{2764}"),
    ] {
        assert_eq!(normal(s), expect, "{s:?}");
    }
    for s in [
        // Mapped to something with an excluded character.
        "\u{ff20}x@d",
        "\u{2105}@d",
        "a\u{ff0f}b@d",
        // Mapped to nothing.
        "\u{ad}@d",
        "d/\u{ad}",
        // Symbols, spaces and controls are in neither.
        "\u{2665}@d",
        "a\u{a0}b@d",
        "a\u{2028}b@d",
        "d/a\u{85}b",
        "d/a\u{2028}b",
        "d/\u{e000}",
        "d/\u{fdd0}",
        // Unassigned.
        "\u{378}@d",
        "d/\u{378}",
        "d/\u{e0fff}",
        // Old Hangul Jamo.
        "\u{1100}@d",
    ] {
        assert!(Jid::parse(s).is_err(), "{s:?}");
    }
}

#[test]
fn writing_directions_are_not_mixed_in_a_localpart() {
    assert_eq!(normal("\u{5d0}\u{5d1}@d"), "\u{5d0}\u{5d1}@d");
    assert_eq!(normal("\u{5d0}1@d"), "\u{5d0}1@d");
    for s in [
        "a\u{5d0}@d",
        "\u{5d0}a@d",
        "1\u{5d0}@d",
        "\u{5d0}\u{661}1@d",
        "\u{202e}nimda@d",
        "d/\u{202e}x\u{0}",
    ] {
        assert!(Jid::parse(s).is_err(), "{s:?}");
    }
}

#[test]
fn characters_in_context_are_allowed_where_idna_allows_them() {
    for s in [
        // Persian, with a non-joiner between joining letters; Devanagari, after a virama.
        "\u{646}\u{627}\u{645}\u{647}\u{200c}\u{627}\u{6cc}@d",
        "\u{915}\u{94d}\u{200d}\u{937}@d",
        "\u{915}\u{94d}\u{200c}\u{937}@d",
        "col\u{b7}legi@d",
        "\u{375}\u{3b1}@d",
        "\u{5d0}\u{5f3}@d",
        "\u{30a2}\u{30fb}@d",
        "\u{627}\u{661}\u{662}@d",
        // Vowel signs in the middle of a right-to-left name.
        "\u{5e9}\u{5b8}\u{5dc}\u{5d5}\u{5b9}\u{5dd}@d",
        "\u{5e9}\u{5dc}.\u{5d5}\u{5dd}@d",
        "\u{627}\u{301}1@d",
    ] {
        assert_eq!(normal(s), s, "{s:?}");
    }
    // Out of context: refused, or taken out as stringprep does.
    assert_eq!(normal("a\u{200d}b@d"), "ab@d");
    for s in [
        "a\u{b7}b@d",
        "\u{375}a@d",
        "\u{5f3}\u{5d0}@d",
        "a\u{30fb}@d",
        "\u{627}\u{661}\u{6f1}@d",
        "\u{5d0}!@d",
    ] {
        assert!(Jid::parse(s).is_err(), "{s:?}");
    }
}

#[test]
fn letters_and_emoji_younger_than_the_standards_are_known() {
    for s in [
        // Unicode 11, 8, 13.
        "d/\u{1f970}",
        "d/\u{1f914}\u{1f3fd}",
        "\u{31a0}\u{31bb}@d",
        "\u{1e900}\u{1e944}@d",
    ] {
        assert!(Jid::parse(s).is_ok(), "{s:?}");
    }
    // What joins them is not shown, and goes.
    assert_eq!(
        normal("d/\u{1f469}\u{200d}\u{1f680}\u{fe0f}"),
        "d/\u{1f469}\u{1f680}"
    );
}

#[test]
fn nul_and_other_controls_are_refused_everywhere() {
    for c in [
        '\0',
        '\t',
        '\n',
        '\r',
        '\x1b',
        '\x7f',
        '\u{85}',
        '\u{fffe}',
        '\u{10ffff}',
    ] {
        for s in [format!("a{c}@d"), format!("d{c}"), format!("d/a{c}")] {
            assert!(Jid::parse(&s).is_err(), "{s:?}");
        }
    }
}

#[test]
fn names_handed_out_look_the_same_to_both_standards() {
    assert_eq!(mint_local("Juliet").unwrap(), "juliet");
    assert_eq!(mint_local("\u{e4}").unwrap(), "\u{e4}");
    for s in ["stra\u{df}e", "\u{3bf}\u{3b4}\u{3cc}\u{3c2}"] {
        assert_eq!(
            mint_local(s),
            Err(JidError::Ambiguous(JidPart::Local)),
            "{s}"
        );
    }
    assert_eq!(mint_resource("Balcony 1").unwrap(), "Balcony 1");
    assert_eq!(mint_resource("\u{fb01}x").unwrap(), "fix");
    assert_eq!(mint_resource("\u{265a}").unwrap(), "\u{265a}");
}

#[test]
fn the_types_know_whether_there_is_a_resourcepart() {
    assert_eq!(BareJid::parse("a@b/c"), Err(JidError::UnexpectedResource));
    assert_eq!(FullJid::parse("a@b"), Err(JidError::MissingResource));
    let full = FullJid::parse("a@b/c").unwrap();
    assert_eq!(full.resource(), "c");
    assert_eq!(full.bare().as_str(), "a@b");
    assert_eq!(full.bare().with_resource("c").unwrap(), full);
    assert!(full.bare().with_resource("").is_err());
    assert_eq!(full.to_full().as_ref(), Some(&full));
    assert_eq!(full.bare().to_full(), None);
    assert!(full.is_full() && full.bare().is_bare());
}

#[test]
fn maps_are_looked_up_by_text() {
    let mut map = HashMap::new();
    map.insert(BareJid::parse("A@b").unwrap(), 1);
    assert_eq!(map.get("a@b"), Some(&1));
    assert_eq!(map.get("A@b"), None);
    let jid = Jid::parse("a@b").unwrap();
    assert_eq!(map.get(&jid), Some(&1));
}

#[test]
fn parts_do_not_smuggle_separators() {
    for (local, domain, resource) in [
        (Some("a@b"), "c", None),
        (Some("a/b"), "c", None),
        (Some(""), "c", None),
        (None, "a@b", None),
        (None, "a/b", None),
        (None, "c", Some("")),
    ] {
        assert!(Jid::from_parts(local, domain, resource).is_err());
    }
    let jid = Jid::from_parts(Some("A"), "C.", Some("x/y@z")).unwrap();
    assert_eq!(jid.as_str(), "a@c/x/y@z");
    assert_eq!(jid, Jid::parse("a@c/x/y@z").unwrap());
}

#[test]
fn a_jid_is_small() {
    assert_eq!(size_of::<Option<FullJid>>(), 24);
}

/// Characters from where the rules get interesting.
fn texts() -> impl Strategy<Value = String> {
    let interesting = prop_oneof![
        4 => proptest::char::range('\0', '\x7f'),
        2 => proptest::char::range('\u{80}', '\u{24f}'),
        1 => proptest::char::range('\u{300}', '\u{6ff}'),
        1 => proptest::char::range('\u{900}', '\u{97f}'),
        1 => proptest::char::range('\u{1100}', '\u{11ff}'),
        1 => proptest::char::range('\u{2000}', '\u{218f}'),
        1 => proptest::char::range('\u{3000}', '\u{30ff}'),
        1 => proptest::char::range('\u{f900}', '\u{ffff}'),
        1 => proptest::char::any(),
    ];
    proptest::collection::vec(interesting, 0..24).prop_map(|v| v.into_iter().collect())
}

proptest! {
    #[test]
    fn a_nicks_key_is_its_own_key(s in texts()) {
        let key = nickname_key(&s).into_owned();
        prop_assert_eq!(nickname_key(&key), &*key);
        prop_assert!(!key.starts_with(' ') && !key.ends_with(' ') && !key.contains("  "));
    }

    #[test]
    fn a_prepared_jid_parses_to_itself(s in texts()) {
        if let Ok(jid) = Jid::parse(&s) {
            let again = Jid::parse(jid.as_str()).unwrap();
            prop_assert_eq!(again.as_str(), jid.as_str());
            prop_assert_eq!((again.local(), again.domain(), again.resource()), (jid.local(), jid.domain(), jid.resource()));
        }
    }

    #[test]
    fn each_part_prepares_to_itself(l in texts(), d in texts(), r in texts()) {
        for jid in [
            Jid::from_parts(Some(&l), "d", None),
            Jid::from_parts(None, &d, None),
            Jid::from_parts(None, "d", Some(&r)),
        ].into_iter().flatten() {
            let again = Jid::parse(jid.as_str()).unwrap();
            prop_assert_eq!(again.as_str(), jid.as_str());
        }
    }

    #[test]
    fn the_short_way_agrees_with_the_long_one(s in "[ -~]{0,20}") {
        // A resourcepart outside ASCII forces the long way for the rest.
        let bare = s.split('/').next().unwrap_or_default();
        let short = Jid::parse(bare).map(|j| j.to_string());
        let long = Jid::parse(&format!("{bare}/\u{e4}")).map(|j| j.bare_str().to_owned());
        prop_assert_eq!(short, long);
    }

    #[test]
    fn what_is_handed_out_prepares_to_itself(s in texts()) {
        if let Ok(local) = mint_local(&s) {
            prop_assert_eq!(mint_local(&local).unwrap(), &*local);
        }
        if let Ok(resource) = mint_resource(&s) {
            prop_assert_eq!(mint_resource(&resource).unwrap(), &*resource);
        }
    }
}
