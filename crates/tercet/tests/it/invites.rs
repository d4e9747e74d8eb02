//! `tercet invite …`, with a server that runs and without one.

use crate::lab::Lab;

const CONFIG: &str = "domain = \"tercet.test\"\nregistration.policy = \"invite\"\n[listen]\naddresses = [\"127.0.0.1\"]\nc2s = 0\nc2s_tls = 0\nproxy = 0\nhttp = 0\n";

/// The token of a link.
fn token(link: &str) -> String {
    link.trim().rsplit('/').next().unwrap().to_owned()
}

#[test]
fn an_invitation_is_made_listed_and_revoked() {
    let lab = Lab::with(CONFIG);
    let link = lab.ok("invite create").out;
    // One line, without a code, for programs.
    let token = token(&link);
    assert_eq!(link, format!("https://tercet.test:5281/invite/{token}\n"));
    assert_eq!(token.len(), 24);
    let named = lab.ok("invite create --user Juliet --expires 12h").out;
    lab.ok("user add romeo@tercet.test --password rose");
    lab.ok("invite create --contact romeo@tercet.test --uses 3");
    let listed = lab.ok("invite list").out;
    assert_eq!(listed.lines().count(), 3, "{listed}");
    for words in [
        "for juliet",
        "contact of romeo@tercet.test",
        "used 0 of 3 times",
    ] {
        assert!(listed.contains(words), "{words}: {listed}");
    }
    lab.ok(&format!("invite revoke {token}"));
    lab.ok(&format!("invite revoke {}", named.trim()));
    assert_eq!(lab.ok("invite list").out.lines().count(), 1);
    let again = lab.run(&format!("invite revoke {token}"));
    assert_eq!(again.code, 1);
    assert_eq!(again.err, "tercet: there is no such invitation\n");
}

#[test]
fn every_answer_about_invitations_has_a_json_form() {
    let lab = Lab::with(CONFIG);
    let made = lab.ok("invite create --user juliet --json").json();
    let invite = &made["invite"];
    assert_eq!(made["ok"], true);
    let token = invite["token"].as_str().unwrap();
    assert_eq!(
        invite["url"],
        format!("https://tercet.test:5281/invite/{token}")
    );
    assert_eq!(
        invite["uri"],
        format!("xmpp:juliet@tercet.test?register;preauth={token}")
    );
    assert_eq!(invite["user"], "juliet");
    assert_eq!(
        (&invite["uses"], &invite["used"], &invite["open"]),
        (&1.into(), &0.into(), &true.into())
    );
    assert_eq!(lab.ok("invite list --json").json()["invites"][0], *invite);
    assert_eq!(
        lab.ok(&format!("invite revoke {token} --json")).json()["ok"],
        true
    );
    assert_eq!(
        lab.ok("invite list --json").json()["invites"],
        serde_json::json!([])
    );
}

#[test]
fn invitations_that_cannot_be_are_refused_with_a_sentence() {
    let lab = Lab::with(CONFIG);
    lab.ok("user add romeo@tercet.test --password rose");
    for (command, code, expected) in [
        (
            "invite create --user romeo",
            1,
            "the name romeo is taken or reserved",
        ),
        ("invite create --user a@b", 1, "this name cannot be used"),
        (
            "invite create --user a --uses 2",
            1,
            "can be used once only",
        ),
        ("invite create --uses 0", 1, "1 to 10000 times"),
        ("invite create --expires 5", 1, "a minute at least"),
        ("invite create --expires 20y", 2, "expected a time such as"),
        (
            "invite create --host b.test",
            1,
            "\"b.test\" is not a domain of this server",
        ),
        (
            "invite create --contact nobody@tercet.test",
            1,
            "there is no account nobody@tercet.test here",
        ),
        (
            "invite create --contact x",
            1,
            "is not an account's address",
        ),
        ("invite revoke nothing", 1, "there is no such invitation"),
    ] {
        let said = lab.run(command);
        assert_eq!(said.code, code, "{command}: {}{}", said.out, said.err);
        assert!(said.err.contains(expected), "{command}: {}", said.err);
    }
    let closed = Lab::with("domain = \"tercet.test\"");
    let said = closed.run("invite create");
    assert_eq!(said.code, 1);
    let expected =
        "tercet: nobody can register on tercet.test: registration.policy is \"closed\" there\n";
    assert_eq!(said.err, expected);
}

#[test]
fn a_server_that_runs_makes_the_links_to_its_own_ports() {
    let lab = Lab::with(&CONFIG.replace("http = 0", "http = 0\nhttps = 0"));
    let served = lab.serve();
    let port = served
        .address("https")
        .rsplit(':')
        .next()
        .unwrap()
        .to_owned();
    let link = lab.ok("invite create").out;
    let token = token(&link);
    assert_eq!(link, format!("https://tercet.test:{port}/invite/{token}\n"));
    assert!(lab.ok("invite list").out.contains(&token));
    assert_eq!(served.end(), Some(0));
    // What was made is there without the server, which nobody can reach then.
    let found = lab.ok("invite list --json").json();
    assert_eq!(found["invites"][0]["token"], token.as_str());
    assert_eq!(found["invites"][0]["url"], serde_json::Value::Null);
    assert!(!lab.log().contains(&token), "a token is a secret");
}
