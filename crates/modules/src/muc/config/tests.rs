use tercet_core::forms::{FORM_TYPE, Field, FieldType, Form, FormKind};
use tercet_core::{BareJid, Condition, OwnedElement, XmlWriter};

use super::*;

fn jid(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

/// What an owner sends: each field with its values.
fn submit(fields: &[(&str, &[&str])]) -> Form {
    let form = Form::empty(FormKind::Submit).field(Field::hidden(FORM_TYPE, NS_CONFIG));
    fields.iter().fold(form, |form, (var, values)| {
        form.field(Field::new(FieldType::TextSingle, *var).values(values.iter().copied()))
    })
}

fn apply(config: &RoomConfig, form: &Form) -> Result<Submission, (Condition, String)> {
    config
        .submitted(form, RoomLimits::default(), |var| {
            var == "urn:example:feature#x"
        })
        .map_err(|e| (e.condition, e.text.unwrap_or_default().into_owned()))
}

/// A configuration in which nothing is as in the default.
fn other() -> RoomConfig {
    RoomConfig {
        name: "A Dark Cave".to_owned(),
        description: "The place for all\ngood witches!".to_owned(),
        lang: "en-GB".to_owned(),
        persistent: true,
        public: false,
        members_only: true,
        allow_invites: true,
        password_protected: true,
        secret: "cauldronburn <&>".to_owned(),
        moderated: true,
        change_subject: true,
        private_messages: PrivateMessages::Moderators,
        whois: Whois::Anyone,
        presence_broadcast: RoleSet::NONE.with(Role::Moderator).with(Role::Visitor),
        member_list: RoleSet::NONE,
        max_users: Some(7),
        max_history: 0,
        archiving: false,
        public_logging: true,
        pubsub: "xmpp:pubsub.shakespeare.lit?;node=the-coven-node".to_owned(),
    }
}

#[test]
fn the_table_has_every_field_of_the_registrar_once() {
    let form = configuration_form(&RoomConfig::default(), Lists::default());
    for var in [
        "allowpm",
        "allowinvites",
        "changesubject",
        "enablelogging",
        "getmemberlist",
        "lang",
        "pubsub",
        "maxusers",
        "membersonly",
        "moderatedroom",
        "passwordprotectedroom",
        "persistentroom",
        "presencebroadcast",
        "publicroom",
        "roomadmins",
        "roomdesc",
        "roomname",
        "roomowners",
        "roomsecret",
        "whois",
    ] {
        assert!(
            form.get(&format!("muc#roomconfig_{var}")).is_some(),
            "{var}"
        );
    }
    assert!(form.get("muc#maxhistoryfetch").is_some());
    let mut tags: Vec<u8> = FIELDS.iter().map(|s| s.tag).collect();
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(tags.len(), FIELDS.len(), "a tag is given twice");
    for setting in FIELDS {
        assert_eq!(FIELDS.iter().filter(|s| s.var == setting.var).count(), 1);
        assert!(!setting.label.is_empty());
        if let Place::Text { most, .. } = setting.value {
            assert!(most < usize::from(u16::MAX), "{}", setting.var);
        }
    }
}

#[test]
fn a_form_that_comes_back_as_it_was_changes_nothing() {
    let (owners, admins) = (
        [jid("crone1@shakespeare.lit")],
        [jid("hag66@shakespeare.lit")],
    );
    let lists = Lists {
        owners: &owners,
        admins: &admins,
    };
    for config in [RoomConfig::default(), other()] {
        let mut w = XmlWriter::new();
        configuration_form(&config, lists).write(&mut w);
        let xml = String::from_utf8(w.finish())
            .unwrap()
            .replace("type='form'", "type='submit'");
        let element = OwnedElement::parse(xml.as_bytes(), "jabber:client").unwrap();
        let form = Form::parse(element.root()).unwrap();
        // Each current value of a list is among its options.
        configuration_form(&config, lists).accept(&form).unwrap();
        let submission = apply(&config, &form).unwrap();
        assert_eq!(submission.config, config);
        assert_eq!(submission.owners.as_deref(), Some(&owners[..]));
        assert_eq!(submission.admins.as_deref(), Some(&admins[..]));
    }
}

#[test]
fn a_whole_form_makes_another_room_and_absent_fields_stay() {
    let target = other();
    let form = configuration_form(&target, Lists::default());
    let mut values = Form::empty(FormKind::Submit);
    values.fields = form.fields;
    values
        .fields
        .retain(|f| f.var.as_deref() != Some("muc#roomconfig_roomowners"));
    let submission = apply(&RoomConfig::default(), &values).unwrap();
    assert_eq!(submission.config, target);
    assert_eq!((submission.owners, submission.admins), (None, Some(vec![])));

    let one = apply(&target, &submit(&[("muc#roomconfig_roomname", &["New"])])).unwrap();
    let expected = RoomConfig {
        name: "New".to_owned(),
        ..target.clone()
    };
    assert_eq!(one.config, expected);

    // §10.1.2: an instant room.
    let instant = apply(&target, &Form::empty(FormKind::Submit)).unwrap();
    assert_eq!(instant.config, target);
}

#[test]
fn blank_texts_are_emptied_and_other_blank_fields_left() {
    let form = submit(&[
        ("muc#roomconfig_roomname", &[]),
        ("muc#roomconfig_roomdesc", &[""]),
        ("muc#roomconfig_persistentroom", &[]),
        ("muc#roomconfig_whois", &[""]),
        ("muc#roomconfig_maxusers", &[""]),
        ("muc#roomconfig_presencebroadcast", &[]),
    ]);
    let config = apply(&other(), &form).unwrap().config;
    let expected = RoomConfig {
        name: String::new(),
        description: String::new(),
        max_users: None,
        presence_broadcast: RoleSet::NONE,
        ..other()
    };
    assert_eq!(config, expected);
}

#[test]
fn a_room_that_needs_no_password_keeps_none() {
    let form = submit(&[("muc#roomconfig_passwordprotectedroom", &["false"])]);
    let config = apply(&other(), &form).unwrap().config;
    assert_eq!((config.secret.as_str(), config.password()), ("", None));
}

#[test]
fn bad_values_are_not_acceptable_and_named() {
    let long = "x".repeat(MAX_DESCRIPTION + 1);
    let many: Vec<String> = (0..=MAX_LISTED).map(|n| format!("u{n}@a")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let cases: &[(&str, &[&str])] = &[
        ("roomname", &[&long[..MAX_NAME + 1]]),
        ("roomname", &["a\nb"]),
        ("roomname", &["a", "b"]),
        ("roomdesc", &[&long]),
        ("roomdesc", &["bell\u{7}"]),
        ("roomsecret", &[&long[..MAX_SECRET + 1]]),
        ("lang", &["not a tag"]),
        ("pubsub", &["http://example.org/"]),
        ("persistentroom", &["yes"]),
        ("publicroom", &["1", "0"]),
        ("allowpm", &["everyone"]),
        ("whois", &["none"]),
        ("presencebroadcast", &["moderator", "owner"]),
        ("getmemberlist", &["none"]),
        ("maxusers", &["0"]),
        ("maxusers", &["-1"]),
        ("maxusers", &["100001"]),
        ("maxusers", &["99999999999999999999"]),
        ("roomowners", &["@"]),
        ("roomadmins", &many),
    ];
    for (name, values) in cases {
        let var = format!("muc#roomconfig_{name}");
        let form = submit(&[("muc#roomconfig_lang", &["de"]), (&var, values)]);
        // A field that comes twice is another fault.
        let form = if *name == "lang" {
            submit(&[(&var, values)])
        } else {
            form
        };
        let (condition, text) = apply(&RoomConfig::default(), &form).unwrap_err();
        assert_eq!(condition, Condition::NotAcceptable, "{var}: {text}");
        assert!(text.contains(&var), "{text}");
    }
    let (condition, text) = apply(
        &RoomConfig::default(),
        &submit(&[("muc#maxhistoryfetch", &["none"])]),
    )
    .unwrap_err();
    assert_eq!(condition, Condition::NotAcceptable);
    assert!(text.contains("muc#maxhistoryfetch"), "{text}");
}

#[test]
fn a_password_protected_room_needs_its_password() {
    for fields in [
        &[("muc#roomconfig_passwordprotectedroom", &["1"][..])][..],
        &[
            ("muc#roomconfig_passwordprotectedroom", &["1"][..]),
            ("muc#roomconfig_roomsecret", &[""][..]),
        ],
    ] {
        let (condition, text) = apply(&RoomConfig::default(), &submit(fields)).unwrap_err();
        assert_eq!(condition, Condition::NotAcceptable);
        assert!(text.contains("muc#roomconfig_roomsecret"), "{text}");
    }
    let kept = submit(&[("muc#roomconfig_passwordprotectedroom", &["1"])]);
    assert_eq!(apply(&other(), &kept).unwrap().config, other());
}

#[test]
fn forms_of_the_wrong_shape_are_bad_requests() {
    let field = Field::new(FieldType::TextSingle, "muc#roomconfig_roomname").value("a");
    let mut twice = submit(&[("muc#roomconfig_roomname", &["a"])]);
    twice.fields.push(field.clone());
    let mut form = submit(&[]);
    form.kind = FormKind::Form;
    for (form, named) in [
        (
            Form::empty(FormKind::Submit).field(field.clone()),
            FORM_TYPE,
        ),
        (
            Form::empty(FormKind::Submit)
                .field(Field::hidden(FORM_TYPE, "jabber:bot"))
                .field(field),
            FORM_TYPE,
        ),
        (form, ""),
        (Form::empty(FormKind::Cancel), ""),
        (twice, "muc#roomconfig_roomname"),
        (
            submit(&[("muc#roomconfig_profanityfilter", &["1"])]),
            "muc#roomconfig_profanityfilter",
        ),
    ] {
        let (condition, text) = apply(&RoomConfig::default(), &form).unwrap_err();
        assert_eq!(condition, Condition::BadRequest, "{text}");
        assert!(text.contains(named), "{text}");
    }
    // A field of a feature is for the feature.
    let form = submit(&[("urn:example:feature#x", &["1"])]);
    assert!(apply(&RoomConfig::default(), &form).is_ok());
}

#[test]
fn a_type_that_does_not_fit_is_refused() {
    for (var, kind, fits) in [
        ("muc#roomconfig_roomname", FieldType::TextPrivate, true),
        ("muc#roomconfig_roomname", FieldType::JidMulti, false),
        ("muc#roomconfig_roomname", FieldType::Boolean, true),
        ("muc#roomconfig_persistentroom", FieldType::Boolean, true),
        (
            "muc#roomconfig_persistentroom",
            FieldType::ListSingle,
            false,
        ),
        (
            "muc#roomconfig_presencebroadcast",
            FieldType::ListMulti,
            true,
        ),
        (
            "muc#roomconfig_presencebroadcast",
            FieldType::JidSingle,
            false,
        ),
        ("muc#roomconfig_roomadmins", FieldType::JidMulti, true),
        ("muc#roomconfig_roomadmins", FieldType::Boolean, false),
    ] {
        let form = submit(&[]).field(Field::new(kind, var));
        let result = apply(&RoomConfig::default(), &form);
        assert_eq!(result.is_ok(), fits, "{var} {kind:?}");
        if let Err((condition, text)) = result {
            assert_eq!(condition, Condition::NotAcceptable);
            assert!(text.contains(var), "{text}");
        }
    }
}

#[test]
fn the_limits_of_the_service_hold() {
    let limits = RoomLimits {
        users: 20,
        history: 10,
    };
    let quiet = RoomConfig {
        max_history: 5,
        ..RoomConfig::default()
    };
    for (var, value, fine) in [
        ("muc#roomconfig_maxusers", "20", true),
        ("muc#roomconfig_maxusers", "none", true),
        ("muc#roomconfig_maxusers", "21", false),
        ("muc#maxhistoryfetch", "10", true),
        ("muc#maxhistoryfetch", "11", false),
    ] {
        let result = quiet.submitted(&submit(&[(var, &[value])]), limits, |_| false);
        assert_eq!(result.is_ok(), fine, "{var} {value}");
    }
}

#[test]
fn lists_of_people_are_bare_and_named_once() {
    let form = submit(&[
        (
            "muc#roomconfig_roomowners",
            &["b@x/phone", "a@x", "b@x", " "],
        ),
        ("muc#roomconfig_roomadmins", &["a@x", "c@x"]),
    ]);
    let submission = apply(&RoomConfig::default(), &form).unwrap();
    assert_eq!(submission.owners, Some(vec![jid("a@x"), jid("b@x")]));
    assert_eq!(submission.admins, Some(vec![jid("c@x")]));
    let nobody = submit(&[("muc#roomconfig_roomowners", &[])]);
    let (condition, _) = apply(&RoomConfig::default(), &nobody).unwrap_err();
    assert_eq!(condition, Condition::Conflict);
}

#[test]
fn changes_entail_their_status_codes() {
    let config = RoomConfig::default();
    let change = |edit: &dyn Fn(&mut RoomConfig)| {
        let mut new = config.clone();
        edit(&mut new);
        let codes = |a: &RoomConfig, b: &RoomConfig| {
            a.status_codes(b)
                .iter()
                .map(|s| s.code())
                .collect::<Vec<_>>()
        };
        (codes(&new, &config), codes(&config, &new))
    };
    assert_eq!(change(&|_| {}), (vec![], vec![]));
    assert_eq!(change(&|c| c.public_logging = true), (vec![170], vec![171]));
    assert_eq!(change(&|c| c.whois = Whois::Anyone), (vec![172], vec![173]));
    assert_eq!(change(&|c| c.name = "A".to_owned()), (vec![104], vec![104]));
    assert_eq!(
        change(&|c| *c = other()),
        (vec![170, 172, 104], vec![171, 173, 104])
    );
}

#[test]
fn the_durable_form_is_read_as_it_was_written() {
    for config in [RoomConfig::default(), other()] {
        let bytes = config.to_bytes();
        assert_eq!(RoomConfig::from_bytes(&bytes), Some(config.clone()));
        // A later version has more fields.
        let mut later = bytes.clone();
        later.extend_from_slice(&[250, 0, 3, b'a', b'b', b'c']);
        assert_eq!(RoomConfig::from_bytes(&later), Some(config));
        for cut in (0..bytes.len()).filter(|cut| !is_boundary(&bytes, *cut)) {
            assert_eq!(RoomConfig::from_bytes(&bytes[..cut]), None, "{cut}");
        }
    }
    // Nothing of an earlier version is missed, and nothing is guessed.
    assert_eq!(RoomConfig::from_bytes(&[1]), Some(RoomConfig::default()));
    assert_eq!(RoomConfig::from_bytes(&[2]), None);
    assert_eq!(RoomConfig::from_bytes(&[]), None);
    assert_eq!(RoomConfig::from_bytes(&[1, 6, 0, 1, b'x']), None);
}

fn is_boundary(bytes: &[u8], cut: usize) -> bool {
    let mut at = 1;
    while at < cut {
        at += 3 + usize::from(u16::from_be_bytes([bytes[at + 1], bytes[at + 2]]));
    }
    at == cut
}

#[test]
fn what_occupants_may_do_follows_the_configuration() {
    let roles = [
        Role::None,
        Role::Visitor,
        Role::Participant,
        Role::Moderator,
    ];
    let config = RoomConfig::default();
    let which = |test: &dyn Fn(Role) -> bool| roles.map(test);
    assert_eq!(
        which(&|r| config.may_change_subject(r)),
        [false, false, false, true]
    );
    assert_eq!(
        which(&|r| other().may_change_subject(r)),
        [false, false, true, true]
    );
    for (private_messages, expected) in [
        (PrivateMessages::Anyone, [false, true, true, true]),
        (PrivateMessages::Participants, [false, false, true, true]),
        (PrivateMessages::Moderators, [false, false, false, true]),
        (PrivateMessages::Nobody, [false; 4]),
    ] {
        let config = RoomConfig {
            private_messages,
            ..RoomConfig::default()
        };
        assert_eq!(which(&|r| config.may_send_private(r)), expected);
    }
    assert_eq!(
        which(&|r| config.shows_addresses_to(r)),
        [false, false, false, true]
    );
}

#[test]
fn invitations_into_a_members_only_room_are_for_those_who_may() {
    let who = |affiliation, role| Standing { affiliation, role };
    let cases = [
        (
            who(Affiliation::None, Role::Participant),
            [true, false, false],
        ),
        (who(Affiliation::None, Role::None), [false, false, false]),
        (
            who(Affiliation::Member, Role::Participant),
            [true, false, true],
        ),
        (who(Affiliation::Admin, Role::Moderator), [true, true, true]),
        (who(Affiliation::Owner, Role::None), [true, true, true]),
        (who(Affiliation::Outcast, Role::None), [false, false, false]),
    ];
    for (who, expected) in cases {
        let rooms = [(false, false), (true, false), (true, true)];
        let result = rooms.map(|(members_only, allow_invites)| {
            let config = RoomConfig {
                members_only,
                allow_invites,
                ..RoomConfig::default()
            };
            config.may_invite(who)
        });
        assert_eq!(result, expected, "{who:?}");
    }
}

#[test]
fn lists_are_read_by_those_who_see_addresses() {
    use Affiliation as A;
    let who = |affiliation, role| Standing { affiliation, role };
    let lists = [A::Outcast, A::None, A::Member, A::Admin, A::Owner];
    for (who, semi, open) in [
        (who(A::None, Role::None), [false; 5], [false; 5]),
        (
            who(A::None, Role::Participant),
            [false; 5],
            [false, false, true, true, true],
        ),
        (
            who(A::Member, Role::None),
            [false; 5],
            [false, false, true, true, true],
        ),
        (
            who(A::None, Role::Moderator),
            [false, false, true, false, false],
            [false, false, true, true, true],
        ),
        (
            who(A::Admin, Role::Moderator),
            [true, false, true, false, false],
            [true, false, true, true, true],
        ),
        (
            who(A::Owner, Role::None),
            [true, false, true, true, true],
            [true, false, true, true, true],
        ),
    ] {
        for (whois, expected) in [(Whois::Moderators, semi), (Whois::Anyone, open)] {
            let config = RoomConfig {
                whois,
                ..RoomConfig::default()
            };
            assert_eq!(
                lists.map(|l| config.may_list(who, l)),
                expected,
                "{who:?} {whois:?}"
            );
        }
    }
    let config = RoomConfig {
        whois: Whois::Anyone,
        member_list: RoleSet::NONE.with(Role::Moderator),
        ..RoomConfig::default()
    };
    assert!(!config.may_list(who(A::None, Role::Participant), A::Member));
}

#[test]
fn disco_tells_what_the_room_is() {
    assert_eq!(
        RoomConfig::default().features(),
        [
            "muc_public",
            "muc_temporary",
            "muc_open",
            "muc_unmoderated",
            "muc_semianonymous",
            "muc_unsecured"
        ]
    );
    assert_eq!(
        other().features(),
        [
            "muc_hidden",
            "muc_persistent",
            "muc_membersonly",
            "muc_moderated",
            "muc_nonanonymous",
            "muc_passwordprotected"
        ]
    );
    let contacts = [jid("crone1@shakespeare.lit")];
    let form = other().info_form(Info {
        occupants: 3,
        subject: Some("Spells"),
        contacts: &contacts,
    });
    for (var, value) in [
        (
            "muc#roominfo_description",
            "The place for all\ngood witches!",
        ),
        ("muc#roominfo_contactjid", "crone1@shakespeare.lit"),
        ("muc#roominfo_subject", "Spells"),
        ("muc#roominfo_subjectmod", "1"),
        ("muc#roominfo_occupants", "3"),
        ("muc#roominfo_lang", "en-GB"),
        ("muc#maxhistoryfetch", "0"),
        ("muc#roomconfig_allowpm", "moderators"),
    ] {
        assert_eq!(form.value(var), Some(value), "{var}");
    }
    assert!(form.fields.iter().all(|f| !f.values.is_empty()));
    assert!(form.get("muc#roomconfig_roomsecret").is_none());
    let plain = RoomConfig::default().info_form(Info::default());
    assert!(plain.get("muc#roominfo_subject").is_none());
}
