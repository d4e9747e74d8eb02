//! `tercet room …` without a running server.

use crate::lab::Lab;

const ROOM: &str = "garden@rooms.tercet.test";

#[test]
fn a_room_is_made_listed_shown_exported_and_destroyed() {
    let lab = Lab::with("domain = \"tercet.test\"\n");
    let create = format!(
        "room create {ROOM} --owner romeo@tercet.test --set roomname=Garden --set membersonly=1 --set maxusers=20"
    );
    assert_eq!(lab.ok(&create).out, format!("Made {ROOM}.\n"));
    let again = lab.run(&create);
    assert_eq!(again.code, 1);
    assert_eq!(
        again.err,
        format!("tercet: the room {ROOM} exists already\n")
    );
    assert_eq!(
        lab.ok("room list").out,
        format!("{ROOM}  Garden  (members only)\n")
    );
    assert_eq!(
        lab.ok("room list rooms.tercet.test").out,
        lab.ok("room list").out
    );
    lab.ok(&format!(
        "room affiliation {ROOM} juliet@tercet.test member --reason Love"
    ));
    let lists = lab.ok(&format!("room affiliation {ROOM}")).out;
    assert_eq!(
        lists,
        "member  juliet@tercet.test  (Love)\nowner  romeo@tercet.test\n"
    );
    let shown = lab.ok(&format!("--json room show {ROOM}")).json();
    assert_eq!(shown["room"]["persistent"], true);
    assert_eq!(
        shown["room"]["affiliations"],
        serde_json::json!([["owner", 1], ["admin", 0], ["member", 1], ["outcast", 0]])
    );
    let settings = shown["room"]["settings"].to_string();
    assert!(
        settings.contains(r#"["muc#roomconfig_maxusers",["20"]]"#),
        "{settings}"
    );
    let exported = lab.ok(&format!("room export {ROOM}")).out;
    let lines: Vec<serde_json::Value> = exported
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["room"]["name"], "Garden");
    assert_eq!(lines[1]["affiliation"]["reason"], "Love");
    lab.ok(&format!("room destroy {ROOM} --yes"));
    assert_eq!(lab.ok("room list").out, "");
    assert_eq!(lab.run(&format!("room show {ROOM}")).code, 1);
}

#[test]
fn what_a_room_cannot_be_is_refused_by_a_sentence() {
    let lab = Lab::with("domain = \"tercet.test\"\n");
    let owner = "--owner romeo@tercet.test";
    for (command, said) in [
        (
            format!("room create {ROOM} {owner} --set colour=red"),
            "colour",
        ),
        (
            format!("room create {ROOM} {owner} --set maxusers=many"),
            "muc#roomconfig_maxusers",
        ),
        (
            format!("room create garden@tercet.test {owner}"),
            "is no domain of rooms",
        ),
        (
            format!("room create rooms.tercet.test {owner}"),
            "nothing stands before the domain",
        ),
        ("room list tercet.test".into(), "is no domain of rooms"),
        (format!("room destroy {ROOM} --yes"), "there is no room"),
        (format!("room affiliation {ROOM}"), "there is no room"),
    ] {
        let refused = lab.run(&command);
        assert_eq!(refused.code, 1, "{command}");
        assert!(refused.err.contains(said), "{command}: {}", refused.err);
    }
    lab.ok(&format!("room create {ROOM} {owner}"));
    let last = lab.run(&format!("room affiliation {ROOM} romeo@tercet.test none"));
    assert!(last.err.contains("without an owner"), "{}", last.err);
    let unknown = lab.run(&format!("room affiliation {ROOM} romeo@tercet.test king"));
    assert!(
        unknown.err.contains("is not owner, admin"),
        "{}",
        unknown.err
    );
    assert_eq!(
        lab.run(&format!("room affiliation {ROOM} romeo@tercet.test"))
            .code,
        2
    );
}
