use tercet_core::BareJid;
use tercet_server::{HostInfo, Registration, VHost};

use super::book::{mint, token_in};
use super::{Invitation, Purpose};

fn host(registration: Registration) -> VHost {
    let info = HostInfo {
        domain: "montague.example".into(),
        registration,
        public_url: Some("https://chat.montague.example".into()),
        ..HostInfo::default()
    };
    VHost::build(info, crate::modules).unwrap()
}

fn invitation(by: Option<&str>, purpose: Purpose) -> Invitation {
    Invitation {
        token: mint([7; 15]),
        host: "montague.example".into(),
        by: by.map(|by| BareJid::parse(by).unwrap()),
        purpose,
        created_ms: 1,
        expires_ms: 2,
        uses: 3,
        used: 0,
    }
}

fn account(username: Option<&str>) -> Purpose {
    Purpose::Account {
        username: username.map(str::to_owned),
        friend: username.is_some(),
    }
}

#[test]
fn the_durable_form_is_read_back() {
    for (by, purpose) in [
        (None, account(None)),
        (None, account(Some("juliet"))),
        (Some("romeo@montague.example"), account(Some("juliet"))),
        (
            Some("romeo@montague.example"),
            Purpose::Contact { register: true },
        ),
    ] {
        let made = invitation(by, purpose);
        let bytes = made.to_bytes();
        assert_eq!(
            Invitation::from_bytes(&made.token, 0, &bytes),
            Some(made.clone())
        );
        for end in 0..20 {
            assert_eq!(Invitation::from_bytes("", 0, &bytes[..end]), None);
        }
    }
}

#[test]
fn links_are_those_of_the_specifications() {
    let (open, closed) = (host(Registration::Invite), host(Registration::Closed));
    let token = mint([7; 15]);
    let romeo = Some("romeo@montague.example");
    for (by, purpose, expected) in [
        (
            None,
            account(None),
            "xmpp:montague.example?register;preauth=TOKEN",
        ),
        (
            None,
            account(Some("juliet")),
            "xmpp:juliet@montague.example?register;preauth=TOKEN",
        ),
        (
            None,
            account(Some("j&ü?#")),
            "xmpp:j%26%C3%BC%3F%23@montague.example?register;preauth=TOKEN",
        ),
        (
            romeo,
            Purpose::Contact { register: true },
            "xmpp:romeo@montague.example?roster;preauth=TOKEN;ibr=y",
        ),
        (
            romeo,
            Purpose::Contact { register: false },
            "xmpp:romeo@montague.example?roster;preauth=TOKEN",
        ),
    ] {
        let made = invitation(by, purpose);
        assert_eq!(made.uri(Some(&open)), expected.replace("TOKEN", &token));
        assert!(!made.uri(Some(&closed)).contains("ibr"));
        let page = format!("https://chat.montague.example/invite/{token}");
        assert_eq!(made.landing(&open), Some(page));
    }
}

#[test]
fn tokens_are_base32_and_as_long_as_their_randomness() {
    assert_eq!(mint([0; 15]), "a".repeat(24));
    assert_eq!(mint([255; 15]), "7".repeat(24));
    let mut one = [0; 15];
    one[14] = 1;
    assert_eq!(mint(one), format!("{}b", "a".repeat(23)));
}

#[test]
fn a_token_is_found_in_what_was_copied() {
    let token = mint([9; 15]);
    for text in [
        "TOKEN",
        " TOKEN\n",
        "https://example.org/invite/TOKEN",
        "https://example.org:5281/invite/TOKEN?x#y",
        "xmpp:example.org?register;preauth=TOKEN",
        "xmpp:a@example.org?roster;preauth=TOKEN;ibr=y",
    ] {
        assert_eq!(token_in(&text.replace("TOKEN", &token)), token, "{text}");
    }
}

#[test]
fn nobody_registers_by_invitation_where_a_part_of_it_is_off() {
    assert!(super::lets_register(&host(Registration::Open)));
    assert!(!super::lets_register(&host(Registration::Closed)));
    for module in ["invites", "register"] {
        let info = HostInfo {
            registration: Registration::Open,
            modules: format!("{module} = {{ enabled = false }}").parse().unwrap(),
            ..HostInfo::default()
        };
        let off = VHost::build(info, crate::modules).unwrap();
        assert!(!super::lets_register(&off), "{module}");
    }
}
