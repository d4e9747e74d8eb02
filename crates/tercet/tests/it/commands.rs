//! `init`, `check`, and what is said about faults.

use crate::lab::Lab;

#[test]
fn init_writes_a_file_that_check_likes_and_never_replaces_one_unasked() {
    let lab = Lab::new();
    lab.ok("init");
    let again = lab.run("init");
    assert_eq!(again.code, 1);
    assert!(
        again.err.contains("tercet.toml exists already"),
        "{}",
        again.err
    );
    lab.write("tercet.toml", "domian = 1");
    lab.ok("init --force");
    lab.ok("init sub.toml");
    assert!(
        lab.run("init nowhere/t.toml")
            .err
            .contains("cannot write nowhere/t.toml")
    );
    let json = lab.ok("--json init other.toml").json();
    assert_eq!(json["ok"], true);
    assert_eq!(json["file"], "other.toml");
}

#[test]
fn a_faulty_file_stops_every_command_with_code_2_and_all_faults() {
    let lab = Lab::with("domian = \"example.org\"\n[registration]\npolicy = \"opne\"\n");
    for command in [
        "serve",
        "",
        "check",
        "user list",
        "--config tercet.toml user show a@b",
    ] {
        let said = lab.run(command);
        assert_eq!(said.code, 2, "{command}");
        assert_eq!(said.out, "", "{command}");
        assert_eq!(
            said.err,
            "tercet: 2 faults in tercet.toml\n  \
             tercet.toml:1:1: domian: unknown key; did you mean domain?\n  \
             tercet.toml:3:10: registration.policy: \"opne\" is not \"closed\", \"invite\" or \"open\"; did you mean \"open\"?\n",
            "{command}"
        );
    }
}

#[test]
fn faults_have_a_json_form() {
    let lab = Lab::with("[limits]\nrats = false\n");
    let said = lab.run("check --json");
    assert_eq!(said.code, 2);
    let fault = serde_json::json!({
        "line": 2, "column": 1, "key": "limits.rats", "message": "unknown key", "nearest": "limits.rates",
    });
    assert_eq!(
        said.json(),
        serde_json::json!({ "ok": false, "error": "the configuration has faults", "file": "tercet.toml", "faults": [fault] })
    );
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let said = Lab::new().run("serve --config nowhere.toml");
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("cannot read nowhere.toml"),
        "{}",
        said.err
    );
}

#[test]
fn a_mistyped_command_is_met_with_the_nearest_one() {
    let said = Lab::new().run("chekc");
    assert_eq!(said.code, 2);
    assert!(said.err.contains("check"), "{}", said.err);
}

#[test]
fn check_says_what_is_wrong_with_a_sentence_for_each_mend() {
    let lab = Lab::with(
        "domain = \"example.org\"\n[listen]\naddresses = [\"192.0.2.1\"]\nhttp = false\nhttps = false\n[tls]\ncertificate = \"chain.pem\"\nkey = \"key.pem\"\n",
    );
    let said = lab.run("check");
    assert_eq!(said.code, 1);
    for words in [
        "FAULT    certificate of example.org: ",
        "chain.pem",
        "key.pem",
        "-> Correct tls.certificate",
        "this machine has no such address",
        "-> Correct listen.addresses.",
    ] {
        assert!(said.out.contains(words), "{words}\n{}", said.out);
    }
    assert_eq!(said.err, "tercet: 5 faults, 0 warnings\n");
    let json = lab.run("check --json");
    assert_eq!(json.code, 1);
    assert_eq!(json.err, "");
    let json = json.json();
    assert_eq!(json["ok"], false);
    assert!(
        json["findings"]
            .as_array()
            .unwrap()
            .iter()
            .all(|f| f["verdict"].is_string() && f["subject"].is_string())
    );
}

#[test]
fn check_finds_nothing_in_the_way_without_a_file() {
    // Other programs may hold the standard ports of the machine that runs the test.
    let said =
        Lab::with("[listen]\nc2s = 0\nc2s_tls = 0\nproxy = 0\nhttp = 0\nhttps = 0\n").ok("check");
    assert!(
        said.out.ends_with("Nothing is in the way of a start.\n"),
        "{}",
        said.out
    );
}
