//! The pages for people: what they show, and what their forms do.

use tercet_modules::invites::{self, Invitation, Purpose, Request};
use tercet_server::Registration;

use super::*;

/// A scene whose host has every module.
fn scene(registration: Registration, configure: impl FnOnce(&mut Settings)) -> Scene {
    let scene = Scene::new(configure);
    let info = HostInfo {
        domain: "localhost".into(),
        registration,
        contacts: vec![("abuse".into(), vec!["mailto:abuse@\"<b>".into()])],
        ..HostInfo::default()
    };
    scene
        .server
        .configure(vec![info], tercet_modules::modules)
        .unwrap();
    scene
}

impl Scene {
    fn invite(&self, by: Option<&str>, purpose: Purpose, uses: u32) -> Invitation {
        let host = self.server.host("localhost").unwrap();
        let request = Request {
            by: by.map(|by| BareJid::parse(by).unwrap()),
            purpose,
            lifetime_ms: None,
            uses,
        };
        let made = invites::create(&self.server, &host, request);
        self.runtime.block_on(made).unwrap()
    }

    fn post(&self, path: &str, fields: &str, body: &str) -> (u16, String) {
        let (head, body) = self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n{fields}\r\n{body}",
            body.len()
        ));
        (status(&head), body)
    }

    fn logs_in(&self, name: &str, password: &str) -> bool {
        let account = BareJid::parse(&format!("{name}@localhost")).unwrap();
        let check = self.server.check_password(&account, password.to_owned());
        self.runtime.block_on(check).unwrap()
    }
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

fn account(username: Option<&str>) -> Purpose {
    Purpose::Account {
        username: username.map(str::to_owned),
        friend: false,
    }
}

fn form(name: &str, password: &str, again: &str) -> String {
    format!("username={name}&password={password}&again={again}")
}

#[test]
fn the_first_page_says_where_to_connect_and_loads_nothing() {
    let scene = scene(Registration::Open, |_| {});
    let (head, body) = scene.get("/", "User-Agent: X (Linux; Android 14)\r\n");
    assert_eq!(status(&head), 200);
    assert!(head.contains("content-security-policy: default-src 'none'; style-src 'sha256-"));
    assert!(!head.contains("set-cookie"));
    for purpose in [crate::listen::Purpose::C2s, crate::listen::Purpose::C2sTls] {
        let port = scene.address(purpose).port();
        assert!(body.contains(&format!("<code>{port}</code>")), "{body}");
    }
    assert!(body.contains("you@localhost") && body.contains("href=\"/register\""));
    // Contacts are text, not markup.
    assert!(body.contains("abuse@&quot;&lt;b&gt;") && !body.contains("<b>"));
    for outside in [
        "<script",
        "src=",
        "<link rel=\"stylesheet",
        "@import",
        "url(",
    ] {
        assert!(!body.contains(outside), "{outside}");
    }
    // The digest in the policy is that of the style sheet in the page.
    let style = body.split("<style>").nth(1).unwrap();
    let style = style.split("</style>").next().unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, style.as_bytes());
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    let digest = BASE64_STANDARD.encode(digest).to_ascii_lowercase();
    assert!(head.contains(&format!("'sha256-{digest}'")));
}

#[test]
fn who_may_register_is_told_by_the_policy() {
    for (policy, of_get, link) in [
        (Registration::Open, 200, true),
        (Registration::Invite, 403, false),
        (Registration::Closed, 403, false),
    ] {
        let scene = scene(policy, |_| {});
        assert_eq!(status(&scene.get("/register", "").0), of_get);
        let (_, home) = scene.get("/", "");
        assert_eq!(home.contains("href=\"/register\""), link, "{policy:?}");
        let (made, _) = scene.post("/register", "", &form("nurse", "x", "x"));
        assert_eq!(made, if link { 201 } else { 403 }, "{policy:?}");
        assert_eq!(scene.logs_in("nurse", "x"), link);
    }
}

#[test]
fn an_account_is_made_by_a_form_once() {
    let scene = scene(Registration::Invite, |_| {});
    let friend = Purpose::Account {
        username: None,
        friend: true,
    };
    let made = scene.invite(Some("romeo@localhost"), friend, 1);
    let path = format!("/invite/{}", made.token);
    let (head, page) = scene.get(&path, "");
    assert_eq!(status(&head), 200);
    assert!(
        head.contains("cache-control: no-store") && head.contains("referrer-policy: same-origin")
    );
    assert!(page.contains("romeo@localhost invites you"));
    let uri = format!("href=\"xmpp:localhost?register;preauth={}\"", made.token);
    assert!(page.contains(&uri) && page.contains("<svg class=\"qr\""));
    assert!(page.contains(&format!("action=\"{path}\"")));
    let (status, page) = scene.post(&path, "", &form("Nurse", "a+b%26", "a+b%26"));
    assert_eq!(status, 201, "{page}");
    assert!(
        page.contains("nurse@localhost") && page.contains("romeo@localhost is in your contacts")
    );
    assert!(scene.logs_in("nurse", "a b&"));
    let (again, page) = scene.post(&path, "", &form("peter", "x", "x"));
    assert_eq!(again, 404);
    assert!(page.contains("This invitation is not valid"));
}

#[test]
fn links_that_do_not_hold_have_one_answer() {
    let scene = scene(Registration::Invite, |_| {});
    let used = scene.invite(None, account(None), 1);
    let path = format!("/invite/{}", used.token);
    scene.post(&path, "", &form("nurse", "x", "x"));
    let revoked = scene.invite(None, account(None), 1);
    let ended = invites::revoke(&scene.server, &revoked.token);
    assert!(scene.runtime.block_on(ended).unwrap());
    let get = |path: &str| {
        let (head, body) = scene.get(path, "");
        (status(&head), body)
    };
    let unknown = get("/invite/aaaaaaaaaaaaaaaaaaaaaaaa");
    assert_eq!(unknown.0, 404);
    for token in [
        &used.token,
        &revoked.token,
        "x",
        "%F0%9F%8C%B9",
        &"a".repeat(2000),
    ] {
        assert_eq!(get(&format!("/invite/{token}")), unknown, "{token}");
    }
}

#[test]
fn what_is_wrong_is_said_beside_the_field() {
    let scene = scene(Registration::Invite, |_| {});
    let made = scene.invite(None, account(None), 1);
    let path = format!("/invite/{}", made.token);
    let check = |body: &str, status: u16, text: &str| {
        let (got, page) = scene.post(&path, "", body);
        assert_eq!(got, status, "{body}: {page}");
        assert!(page.contains(text), "{body}: {page}");
        assert!(!page.contains("s3cret"), "{body}");
    };
    let (long_name, long_password) = ("a".repeat(1024), "s3cret".repeat(200));
    check("", 422, "Choose a name.");
    check(
        &form("a+b", "s3cret", "s3cret"),
        422,
        "This name cannot be used",
    );
    check(
        &form("%22%3E%3Cscript", "s3cret", "x"),
        422,
        "&quot;&gt;&lt;script",
    );
    check(&form(&long_name, "s3cret", "s3cret"), 422, "too long");
    check(
        &form("stra%C3%9Fe", "s3cret", "s3cret"),
        422,
        "for another one",
    );
    check(&form("nurse", "", ""), 422, "Choose a password.");
    check(
        &form("nurse", "s3cret", "other"),
        422,
        "not the same password",
    );
    check(
        &form("nurse", &long_password, &long_password),
        422,
        "longer than 1024 bytes",
    );
    check(
        &form("nurse", "s3cret%07", "s3cret%07"),
        422,
        "Choose another password",
    );
    check(
        &form("Romeo", "s3cret", "s3cret"),
        409,
        "This name is taken",
    );
    assert_eq!(scene.post(&path, "", &"x".repeat(20_000)).0, 413);
    assert_eq!(
        scene.post(&path, "", &form("nurse", "s3cret", "s3cret")).0,
        201
    );
}

#[test]
fn an_invitation_for_a_name_makes_no_other() {
    let scene = scene(Registration::Open, |_| {});
    let made = scene.invite(None, account(Some("nurse")), 1);
    assert_eq!(scene.post("/register", "", &form("nurse", "x", "x")).0, 409);
    let path = format!("/invite/{}", made.token);
    let (_, page) = scene.get(&path, "");
    assert!(page.contains("value=\"nurse\"") && page.contains(" readonly"));
    assert_eq!(scene.post(&path, "", &form("other", "x", "x")).0, 422);
    assert_eq!(scene.post(&path, "", &form("nurse", "x", "x")).0, 201);
}

/// security.md, line 12.
#[test]
fn forms_of_other_sites_are_refused() {
    let scene = scene(Registration::Open, |_| {});
    for (fields, expected) in [
        ("Sec-Fetch-Site: cross-site\r\n", 403),
        ("Sec-Fetch-Site: same-site\r\n", 403),
        ("Origin: https://evil.example\r\n", 403),
        ("Origin: null\r\n", 403),
        (
            "Sec-Fetch-Site: same-origin\r\nOrigin: http://localhost\r\n",
            201,
        ),
    ] {
        let (status, page) = scene.post("/register", fields, &form("nurse", "x", "x"));
        assert_eq!(status, expected, "{fields}: {page}");
    }
    let (head, _) = scene.ask(
        "POST /register HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\na=",
    );
    assert_eq!(status(&head), 415);
    let (head, _) = scene.ask(
        "PUT /register HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(status(&head), 405);
    let post_home =
        "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(status(&scene.ask(post_home).0), 405);
}

/// security.md, line 4.
#[test]
fn accounts_made_by_forms_and_in_streams_count_together() {
    let scene = scene(Registration::Open, |settings| {
        settings.gate.registrations = 2
    });
    // What is wrong with an entry costs nothing.
    for _ in 0..5 {
        assert_eq!(scene.post("/register", "", &form("a+b", "x", "x")).0, 422);
    }
    assert_eq!(scene.post("/register", "", &form("a", "x", "x")).0, 201);
    let gate = &scene.listeners.as_ref().unwrap().c2s.gate;
    assert!(gate.may_register("127.0.0.1".parse().unwrap(), std::time::Instant::now()));
    let (status, page) = scene.post("/register", "", &form("b", "x", "x"));
    assert_eq!(status, 429);
    assert!(page.contains("Try again in a few minutes"));
}

#[test]
fn a_password_is_not_taken_where_others_listen_in() {
    let scene = scene(Registration::Open, |settings| {
        settings.web.trusted = vec![crate::config::Network::parse("127.0.0.1").unwrap()];
    });
    let from = |proto| format!("X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: {proto}\r\n");
    let body = form("nurse", "x", "x");
    assert_eq!(scene.post("/register", &from("http"), &body).0, 403);
    assert_eq!(scene.post("/register", &from("https"), &body).0, 201);
}

#[test]
fn a_contacts_invitation_without_registration_has_no_form() {
    let scene = scene(Registration::Closed, |_| {});
    let contact = Purpose::Contact { register: false };
    let made = scene.invite(Some("romeo@localhost"), contact, 1);
    let path = format!("/invite/{}", made.token);
    let (head, page) = scene.get(&path, "");
    assert_eq!(status(&head), 200);
    assert!(!page.contains("<form") && page.contains("xmpp:romeo@localhost?roster;preauth="));
    assert_eq!(scene.post(&path, "", &form("nurse", "x", "x")).0, 404);
}
