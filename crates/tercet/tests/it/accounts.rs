//! `tercet user …` without a running server.

use crate::lab::Lab;

const CONFIG: &str = "domain = \"tercet.test\"\n[[host]]\ndomain = \"second.test\"\n";

#[test]
fn an_account_is_made_listed_shown_changed_and_deleted() {
    let lab = Lab::with(CONFIG);
    let made = lab.ok("--config tercet.toml user add Admin@tercet.test --password admin --admin");
    assert_eq!(made.out, "Made Admin@tercet.test, an administrator.\n");
    lab.ok("user add romeo@second.test --password rose");
    assert_eq!(
        lab.ok("user list").out,
        "admin@tercet.test  (admin)\nromeo@second.test\n"
    );
    assert_eq!(lab.ok("user list second.test").out, "romeo@second.test\n");
    let shown = lab.ok("user show admin@tercet.test").out;
    assert!(
        shown.contains("administrator  yes") && shown.contains("online         nowhere"),
        "{shown}"
    );
    lab.ok("user password romeo@second.test --password thorn");
    assert_eq!(
        lab.ok("user delete romeo@second.test").out,
        "Deleted romeo@second.test and everything kept for it.\n"
    );
    assert_eq!(lab.run("user show romeo@second.test").code, 1);
}

#[test]
fn how_long_messages_are_kept_is_said_for_one_account() {
    let lab = Lab::with(&format!("{CONFIG}[archive]\nkeep = \"90 d\"\n"));
    lab.ok("user add romeo@tercet.test --password rose");
    let keep = |wish: &str| {
        let said = lab.ok(&format!(
            "--json user archive-keep romeo@tercet.test {wish}"
        ));
        said.json()
    };
    assert_eq!(
        keep("")["in_force"],
        serde_json::json!({ "seconds": 90 * 86_400 })
    );
    assert_eq!(keep("forever")["said"]["admin"], "forever");
    assert_eq!(
        keep("7")["in_force"],
        serde_json::json!({ "seconds": 7 * 86_400 })
    );
    let shown = lab.ok("user archive-keep romeo@tercet.test").out;
    assert!(shown.starts_with("Messages are kept: 7 days\n"), "{shown}");
    assert_eq!(keep("default")["said"]["admin"], serde_json::Value::Null);
    assert_eq!(lab.run("user archive-keep romeo@tercet.test 0").code, 2);
    assert_eq!(lab.run("user archive-keep nobody@tercet.test 7").code, 1);
}

#[test]
fn the_files_of_a_user_are_listed() {
    let lab = Lab::with(CONFIG);
    lab.ok("user add romeo@tercet.test --password rose");
    assert_eq!(
        lab.ok("upload list romeo@tercet.test").out,
        "0 files, 0 bytes\n"
    );
    let listed = lab.ok("--json upload list romeo@tercet.test").json();
    assert_eq!(listed, serde_json::json!({ "ok": true, "uploads": [] }));
    assert_eq!(lab.run("upload list nobody@tercet.test").code, 1);
}

#[test]
fn an_account_that_exists_is_not_made_again() {
    let lab = Lab::with(CONFIG);
    lab.ok("user add admin@tercet.test --password admin --admin");
    let again = lab.run("user add ADMIN@tercet.test --password other");
    assert_eq!(again.code, 1);
    assert_eq!(again.out, "");
    assert_eq!(
        again.err,
        "tercet: the account admin@tercet.test exists already\n"
    );
    assert!(
        lab.ok("user show admin@tercet.test")
            .out
            .contains("administrator  yes")
    );
}

#[test]
fn the_configuration_names_administrators_too() {
    let lab = Lab::with("admins = [\"Romeo@localhost\"]");
    lab.ok("user add romeo@localhost --password rose");
    assert_eq!(lab.ok("user list").out, "romeo@localhost  (admin)\n");
}

#[test]
fn refusals_are_sentences() {
    let lab = Lab::with(CONFIG);
    for (command, expected) in [
        (
            "user add tercet.test --password x",
            "\"tercet.test\" is not an account's address: nothing stands before the domain",
        ),
        (
            "user add a@elsewhere.test --password x",
            "\"elsewhere.test\" is not a domain of this server, which serves second.test, tercet.test",
        ),
        (
            "user add a@@b --password x",
            "\"a@@b\" is not an account's address",
        ),
        (
            "user add a@tercet.test/phone --password x",
            "is not an account's address",
        ),
        (
            "user password nobody@tercet.test --password x",
            "there is no account nobody@tercet.test",
        ),
        (
            "user delete nobody@tercet.test",
            "there is no account nobody@tercet.test",
        ),
        (
            "user show nobody@tercet.test",
            "there is no account nobody@tercet.test",
        ),
        (
            "user list elsewhere.test",
            "\"elsewhere.test\" is not a domain of this server",
        ),
        (
            "user add a@tercet.test --password=",
            "this password cannot be used",
        ),
        (
            "user add a@tercet.test",
            "no password: give --password, or one line on standard input",
        ),
    ] {
        let said = lab.run(command);
        assert_eq!(said.code, 1, "{command}: {}{}", said.out, said.err);
        assert!(said.err.contains(expected), "{command}: {}", said.err);
        assert_eq!(said.err.lines().count(), 1, "{command}: {}", said.err);
    }
    assert_eq!(lab.ok("user list").out, "");
}

#[test]
fn the_password_may_come_from_standard_input() {
    let lab = Lab::with(CONFIG);
    let said = lab.run_with("user add juliet@tercet.test", "thorn\nthorn\n");
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(said.out, "Made juliet@tercet.test.\n");
}

#[test]
fn every_answer_has_a_json_form() {
    let lab = Lab::with(CONFIG);
    let made = lab.ok("--json user add a@tercet.test --password x").json();
    assert_eq!(
        made,
        serde_json::json!({ "ok": true, "jid": "a@tercet.test" })
    );
    let shown = lab.ok("user show a@tercet.test --json").json();
    assert_eq!(shown["ok"], true);
    assert_eq!(shown["user"]["jid"], "a@tercet.test");
    assert_eq!(shown["user"]["admin"], false);
    assert_eq!(shown["user"]["online"], serde_json::json!([]));
    assert!(shown["user"]["created"].as_str().unwrap().ends_with('Z'));
    let listed = lab.ok("user --json list").json();
    assert_eq!(listed["users"], serde_json::json!([shown["user"]]));
    let refused = lab.run("--json user add a@tercet.test --password x");
    assert_eq!(refused.code, 1);
    assert_eq!(refused.err, "");
    assert_eq!(
        refused.json(),
        serde_json::json!({ "ok": false, "error": "the account a@tercet.test exists already" })
    );
    lab.ok("--json user password a@tercet.test --password y");
    assert_eq!(
        lab.ok("--json user delete a@tercet.test").json()["ok"],
        true
    );
}

#[test]
fn without_a_file_accounts_live_in_the_folder_data_for_localhost() {
    let lab = Lab::new();
    lab.ok("user add romeo@localhost --password rose");
    assert!(lab.path().join("data").is_dir());
}

#[test]
fn reports_are_listed_by_domain() {
    let lab = Lab::with(CONFIG);
    assert_eq!(lab.ok("report list").out, "");
    assert_eq!(
        lab.ok("report list second.test --json").out,
        "{\"ok\":true,\"reports\":[]}\n"
    );
    assert_eq!(lab.run("report list elsewhere.test").code, 1);
}

#[test]
fn devices_that_are_woken_are_listed_and_tested() {
    let lab = Lab::with(CONFIG);
    lab.ok("user add romeo@tercet.test --password rose");
    for command in ["list", "log", "test"] {
        assert_eq!(lab.ok(&format!("push {command} romeo@tercet.test")).out, "");
        assert_eq!(
            lab.run(&format!("push {command} nobody@tercet.test")).code,
            1
        );
    }
    assert_eq!(
        lab.ok("push list romeo@tercet.test --json").out,
        "{\"devices\":[],\"ok\":true}\n"
    );
}
