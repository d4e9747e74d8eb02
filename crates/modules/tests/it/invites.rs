//! Invitations from their making to their end (XEP-0401, XEP-0445, XEP-0379).

use std::sync::Arc;

use tercet_core::{BareJid, OwnedElement, Stanza};
use tercet_modules::invites::{
    self, Invitation, InviteError, PARS, Purpose, Request, create, find, list, present, revoke,
};
use tercet_modules::register::{Application, Refusal, apply, preauth};
use tercet_server::{Server, VHost};
use tercet_testkit::{Arrival, Client, Peer};

use crate::in_process::{InProcess, block_on};

const DAY_MS: u64 = 24 * 3600 * 1000;

fn client(name: &str, jid: &str) -> Client {
    Client {
        name: name.into(),
        jid: jid.into(),
        password: "password".into(),
        resource: Some("home".into()),
    }
}

/// A server with Romeo on it, connected and waiting for news of his contacts.
struct Scene(InProcess);

impl Scene {
    fn new(registration: &str) -> Scene {
        let romeo = client("Romeo", "romeo@localhost");
        let mut server = InProcess::new(std::slice::from_ref(&romeo));
        server
            .configure(&format!(
                "admins = ['bard@localhost']\nregistration = {{ {registration} }}"
            ))
            .unwrap();
        let mut scene = Scene(server);
        scene.connect("Romeo");
        scene
    }

    fn connect(&mut self, name: &str) {
        let jid = format!("{}@localhost", name.to_lowercase());
        self.0.connect(&client(name, &jid)).unwrap();
        self.0
            .send(
                name,
                "<presence/><iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>",
            )
            .unwrap();
        self.received(name);
    }

    fn server(&self) -> &Arc<Server> {
        self.0.server()
    }

    fn host(&self) -> Arc<VHost> {
        self.0.host()
    }

    fn received(&mut self, name: &str) -> Vec<String> {
        let mut all = Vec::new();
        while let Arrival::Element(element) = self.0.receive(name).unwrap() {
            all.push(element);
        }
        all
    }

    fn create(&self, purpose: Purpose, uses: u32) -> Result<Invitation, InviteError> {
        let by = match &purpose {
            Purpose::Account { friend: false, .. } => None,
            _ => Some(jid("romeo")),
        };
        let request = Request {
            by,
            purpose,
            lifetime_ms: None,
            uses,
        };
        block_on(create(self.server(), &self.host(), request))
    }

    fn apply(&self, token: Option<&str>, username: &str) -> Result<BareJid, Refusal> {
        let application = Application {
            username,
            password: "secret",
            token,
            in_time: false,
        };
        block_on(apply(self.server(), &self.host(), application))
    }

    /// What a stream is told that shows a token.
    fn present(&self, token: &str) -> (String, Option<String>) {
        let xml = format!("<iq type='set' id='p'><preauth xmlns='{PARS}' token='{token}'/></iq>");
        let stanza = Stanza::parse(xml.as_bytes()).unwrap();
        let shown = block_on(present(self.server(), "localhost", &stanza));
        (String::from_utf8(shown.reply).unwrap(), shown.token)
    }

    fn ibr(&self, token: Option<&str>, kind: &str, content: &str) -> String {
        let xml = format!(
            "<iq type='{kind}' id='r'><query xmlns='jabber:iq:register'>{content}</query></iq>"
        );
        let stanza = Stanza::parse(xml.as_bytes()).unwrap();
        let done = block_on(preauth(self.server(), "localhost", &stanza, token));
        String::from_utf8(done.reply).unwrap()
    }

    /// Runs a command without a form as `name`; returns its form's fields.
    fn command(&mut self, name: &str, command: &str) -> OwnedElement {
        self.0
            .send(
                name,
                &format!("<iq type='set' id='c' to='localhost'>{command}</iq>"),
            )
            .unwrap();
        let answers = self.received(name);
        let answer = answers.iter().find(|a| a.contains("id='c'")).unwrap();
        OwnedElement::parse(answer.as_bytes(), "jabber:client").unwrap()
    }

    fn kept(&self) -> usize {
        let kinds = [&invites::INVITATION, &invites::INVITED, &invites::RESERVED];
        let owners = kinds.map(|kind| block_on(self.server().store().owners(kind, None, 100)));
        owners.into_iter().map(|owners| owners.unwrap().len()).sum()
    }
}

fn jid(name: &str) -> BareJid {
    BareJid::parse(&format!("{name}@localhost")).unwrap()
}

fn account(username: Option<&str>) -> Purpose {
    Purpose::Account {
        username: username.map(str::to_owned),
        friend: false,
    }
}

fn field(answer: &OwnedElement, var: &str) -> Option<String> {
    let command = answer.root().first_child()?;
    let form = command.child("x", "jabber:x:data")?;
    let field = form
        .children()
        .find(|f| f.attr("var").as_deref() == Some(var))?;
    Some(field.child("value", "jabber:x:data")?.text().into_owned())
}

#[test]
fn an_invitation_lets_one_in_and_no_more() {
    let scene = Scene::new("policy = 'invite'");
    assert!(matches!(
        scene.apply(None, "juliet"),
        Err(Refusal::Uninvited)
    ));
    let made = scene.create(account(None), 1).unwrap();
    let token = Some(made.token.as_str());
    assert_eq!(scene.present(&made.token).1.as_deref(), token);
    // XEP-0445 §4: a token that was shown is not a token used, nor is one that came to nothing.
    assert!(matches!(
        scene.apply(token, "romeo"),
        Err(Refusal::Taken(_))
    ));
    assert!(matches!(scene.apply(token, "a b"), Err(Refusal::Name(_))));
    assert_eq!(scene.apply(token, "Juliet").unwrap(), jid("juliet"));
    assert!(matches!(
        scene.apply(token, "nurse"),
        Err(Refusal::Invitation)
    ));
    assert_eq!(scene.present(&made.token).1, None);
}

#[test]
fn a_group_gets_in_by_its_number() {
    let scene = Scene::new("policy = 'invite'");
    let made = scene.create(account(None), 3).unwrap();
    for name in ["a", "b", "c"] {
        assert!(scene.apply(Some(&made.token), name).is_ok());
    }
    let fourth = scene.apply(Some(&made.token), "d");
    assert!(matches!(fourth, Err(Refusal::Invitation)));
}

#[test]
fn of_many_at_once_as_many_get_in_as_the_invitation_says() {
    let scene = Scene::new("policy = 'invite'");
    let made = scene.create(account(None), 2).unwrap();
    let in_all = std::thread::scope(|threads| {
        let tries: Vec<_> = (0..8)
            .map(|number| {
                let (scene, token) = (&scene, &made.token);
                threads.spawn(move || scene_apply(scene.server(), &scene.host(), token, number))
            })
            .collect();
        let joined = tries.into_iter().map(|t| t.join().unwrap());
        joined.filter(|ok| *ok).count()
    });
    assert_eq!(in_all, 2);
    let accounts = scene
        .server()
        .store()
        .owners(&tercet_server::account::ACCOUNT, None, 100);
    assert_eq!(block_on(accounts).unwrap().len(), 3);
}

fn scene_apply(server: &Arc<Server>, host: &VHost, token: &str, number: usize) -> bool {
    let username = format!("user{number}");
    let application = Application {
        username: &username,
        password: "secret",
        token: Some(token),
        in_time: false,
    };
    block_on(apply(server, host, application)).is_ok()
}

#[test]
fn tokens_that_do_not_hold_are_told_apart_by_nobody() {
    let scene = Scene::new("policy = 'invite'");
    let [used, revoked, expired] = [1, 1, 1].map(|uses| scene.create(account(None), uses).unwrap());
    scene.apply(Some(&used.token), "juliet").unwrap();
    assert!(block_on(revoke(scene.server(), &revoked.token)).unwrap());
    assert!(!block_on(revoke(scene.server(), &revoked.token)).unwrap());
    scene.server().advance(7 * DAY_MS);
    let expected = scene.present("aaaaaaaaaaaaaaaaaaaaaaaa").0;
    assert!(expected.contains("<item-not-found "), "{expected}");
    assert!(expected.contains("The provided token is invalid or expired"));
    for token in [
        &used.token,
        &revoked.token,
        &expired.token,
        "",
        "x",
        "é",
        &"a".repeat(5000),
    ] {
        assert_eq!(scene.present(token), (expected.clone(), None), "{token}");
        assert!(matches!(
            scene.apply(Some(token), "nurse"),
            Err(Refusal::Invitation)
        ));
    }
}

#[test]
fn a_token_that_was_shown_in_time_may_expire_afterwards() {
    let scene = Scene::new("policy = 'invite'");
    let made = scene.create(account(None), 1).unwrap();
    scene.server().advance(7 * DAY_MS - 1000);
    assert!(scene.present(&made.token).1.is_some());
    scene.server().advance(2000);
    assert!(scene.present(&made.token).1.is_none());
    let fields = "<username>juliet</username><password>x</password>";
    let done = scene.ibr(Some(&made.token), "set", fields);
    assert!(done.contains("type='result'"), "{done}");
}

#[test]
fn a_reserved_name_is_for_whom_it_is_kept_and_free_afterwards() {
    let scene = Scene::new("policy = 'open'");
    let made = scene.create(account(Some("Juliet")), 1).unwrap();
    assert_eq!(made.username(), Some("juliet"));
    assert!(matches!(
        scene.create(account(Some("juliet")), 1),
        Err(InviteError::Taken(_))
    ));
    assert!(matches!(
        scene.create(account(Some("romeo")), 1),
        Err(InviteError::Taken(_))
    ));
    assert!(matches!(
        scene.create(account(Some("a")), 2),
        Err(InviteError::OneName)
    ));
    // For everybody else it is as taken.
    assert!(matches!(
        scene.apply(None, "JULIET"),
        Err(Refusal::Taken(_))
    ));
    let form = scene.ibr(Some(&made.token), "get", "");
    assert!(form.contains("<username>juliet</username>"), "{form}");
    assert!(matches!(
        scene.apply(Some(&made.token), "nurse"),
        Err(Refusal::OtherName(_))
    ));
    assert!(scene.apply(Some(&made.token), "juliet").is_ok());

    scene.create(account(Some("nurse")), 1).unwrap();
    scene.server().advance(7 * DAY_MS);
    assert!(scene.apply(None, "nurse").is_ok());
}

#[test]
fn who_was_invited_by_a_user_and_that_user_are_contacts() {
    let mut scene = Scene::new("policy = 'invite', user_invitations = true");
    let execute = "<command xmlns='http://jabber.org/protocol/commands' node='urn:xmpp:invite#invite' action='execute'/>";
    let answer = scene.command("Romeo", execute);
    let uri = field(&answer, "uri").unwrap();
    let token = invites::token_in(&uri).to_owned();
    assert_eq!(
        uri,
        format!("xmpp:romeo@localhost?roster;preauth={token};ibr=y")
    );
    let landing = format!("https://localhost:5281/invite/{token}");
    assert_eq!(field(&answer, "landing-url"), Some(landing));
    assert_eq!(
        field(&answer, "expire").as_deref(),
        Some("2024-01-08T00:00:00Z")
    );

    scene.apply(Some(&token), "juliet").unwrap();
    // XEP-0401 §5.5: the inviter learns of it by a push.
    let pushed = scene.received("Romeo").concat();
    assert!(
        pushed.contains("<item jid='juliet@localhost' subscription='both'/>"),
        "{pushed}"
    );
    let juliet = block_on(scene.server().account(&jid("juliet")))
        .unwrap()
        .unwrap();
    let known = juliet.lock().roster.subscription("romeo@localhost");
    assert!(known.to && known.from && !known.ask);
    scene.connect("Juliet");
    let seen = scene.received("Romeo").concat();
    assert!(
        seen.contains("<presence from='juliet@localhost/home'"),
        "{seen}"
    );
}

#[test]
fn users_invite_contacts_only_unless_they_may_more() {
    let execute = |node| {
        format!(
            "<command xmlns='http://jabber.org/protocol/commands' node='urn:xmpp:invite#{node}'/>"
        )
    };
    for policy in [
        "policy = 'invite'",
        "policy = 'closed', user_invitations = true",
    ] {
        let mut scene = Scene::new(policy);
        let answer = scene.command("Romeo", &execute("invite"));
        let uri = field(&answer, "uri").unwrap();
        assert!(!uri.contains("ibr"), "{policy}: {uri}");
        let token = invites::token_in(&uri);
        assert!(scene.apply(Some(token), "juliet").is_err());
        let refused = scene.command("Romeo", &execute("create-account"));
        assert_eq!(refused.root().attr("type").as_deref(), Some("error"));
    }
    // Where everybody may register, a contact's invitation is as good.
    let mut scene = Scene::new("policy = 'open'");
    let answer = scene.command("Romeo", &execute("invite"));
    assert!(field(&answer, "uri").unwrap().ends_with(";ibr=y"));
    // An administrator's lets people in.
    let mut scene = Scene::new("policy = 'invite'");
    scene.connect("Bard");
    let answer = scene.command("Bard", &execute("invite"));
    assert!(field(&answer, "uri").unwrap().ends_with(";ibr=y"));
}

#[test]
fn an_administrator_invites_to_an_account_with_a_name() {
    let mut scene = Scene::new("policy = 'invite'");
    scene.connect("Bard");
    let node = "urn:xmpp:invite#create-account";
    let command = "http://jabber.org/protocol/commands";
    let form = scene.command(
        "Bard",
        &format!("<command xmlns='{command}' node='{node}'/>"),
    );
    let session = form.root().first_child().unwrap();
    let session = session.attr("sessionid").unwrap().into_owned();
    let submitted = format!(
        "<command xmlns='{command}' node='{node}' sessionid='{session}'><x xmlns='jabber:x:data' type='submit'>\
         <field var='username'><value>juliet</value></field>\
         <field var='roster-subscription'><value>true</value></field></x></command>"
    );
    let answer = scene.command("Bard", &submitted);
    let uri = field(&answer, "uri").unwrap();
    let token = invites::token_in(&uri).to_owned();
    assert_eq!(
        uri,
        format!("xmpp:juliet@localhost?register;preauth={token}")
    );
    scene.apply(Some(&token), "juliet").unwrap();
    let pushed = scene.received("Bard").concat();
    assert!(
        pushed.contains("<item jid='juliet@localhost' subscription='both'/>"),
        "{pushed}"
    );
}

#[test]
fn a_request_with_a_contacts_token_needs_no_answer_once() {
    let mut scene = Scene::new("policy = 'closed'");
    scene.connect("Juliet");
    scene.connect("Nurse");
    let made = scene
        .create(Purpose::Contact { register: false }, 1)
        .unwrap();
    let ask = format!(
        "<presence to='romeo@localhost' type='subscribe'><preauth xmlns='{PARS}' token='{}'/></presence>",
        made.token
    );
    let approve = "<presence to='romeo@localhost' type='subscribed'/>";
    scene.0.send("Juliet", &format!("{approve}{ask}")).unwrap();
    let romeo = block_on(scene.server().account(&jid("romeo")))
        .unwrap()
        .unwrap();
    let known = romeo.lock().roster.subscription("juliet@localhost");
    assert!(
        known.to && known.from && !known.ask && !known.pending,
        "{known:?}"
    );
    let juliet = block_on(scene.server().account(&jid("juliet")))
        .unwrap()
        .unwrap();
    let known = juliet.lock().roster.subscription("romeo@localhost");
    assert!(known.to && known.from && !known.ask, "{known:?}");
    let romeo_heard = scene.received("Romeo").concat();
    assert!(!romeo_heard.contains("type='subscribe'"), "{romeo_heard}");
    assert!(
        romeo_heard.contains("<presence from='juliet@localhost/home'"),
        "{romeo_heard}"
    );
    let juliet_heard = scene.received("Juliet").concat();
    assert!(
        juliet_heard.contains("<presence from='romeo@localhost/home'"),
        "{juliet_heard}"
    );

    // XEP-0379 §5.2: for the next one it is a request as any other, with which Romeo's client deals.
    scene.0.send("Nurse", &ask).unwrap();
    let romeo_heard = scene.received("Romeo").concat();
    assert!(romeo_heard.contains("type='subscribe'"), "{romeo_heard}");
    let known = romeo.lock().roster.subscription("nurse@localhost");
    assert!(known.pending && !known.from);
}

#[test]
fn a_token_is_its_inviters_and_goes_with_the_account() {
    let mut scene = Scene::new("policy = 'invite', user_invitations = true");
    scene.connect("Juliet");
    let made = scene
        .create(Purpose::Contact { register: true }, 1)
        .unwrap();
    let ask = |to: &str| {
        format!(
            "<presence to='{to}@localhost' type='subscribe'><preauth xmlns='{PARS}' token='{}'/></presence>",
            made.token
        )
    };
    scene.connect("Nurse");
    scene.0.send("Nurse", &ask("juliet")).unwrap();
    let juliet = block_on(scene.server().account(&jid("juliet")))
        .unwrap()
        .unwrap();
    assert!(juliet.lock().roster.subscription("nurse@localhost").pending);

    block_on(scene.server().delete_account(&jid("romeo"), None)).unwrap();
    assert_eq!(block_on(find(scene.server(), &made.token)).unwrap(), None);
    assert!(matches!(
        scene.apply(Some(&made.token), "tybalt"),
        Err(Refusal::Invitation)
    ));
    // Nor has who takes the name any part in it.
    block_on(scene.server().create_account(&jid("romeo"), "other", false)).unwrap();
    scene.0.send("Nurse", &ask("romeo")).unwrap();
    let romeo = block_on(scene.server().account(&jid("romeo")))
        .unwrap()
        .unwrap();
    assert!(romeo.lock().roster.subscription("nurse@localhost").pending);
}

#[test]
fn a_user_has_100_open_invitations() {
    let scene = Scene::new("policy = 'invite'");
    let contact = || scene.create(Purpose::Contact { register: false }, 1);
    for _ in 0..100 {
        contact().unwrap();
    }
    assert!(matches!(contact(), Err(InviteError::TooMany(_))));
    scene.server().advance(7 * DAY_MS);
    assert!(contact().is_ok());
}

#[test]
fn what_has_ended_is_removed_in_time() {
    let scene = Scene::new("policy = 'invite'");
    scene.create(account(Some("juliet")), 1).unwrap();
    scene
        .create(Purpose::Contact { register: true }, 1)
        .unwrap();
    assert_eq!(scene.kept(), 4);
    // Each that is made looks at some of the others.
    for _ in 0..40 {
        scene.server().advance(DAY_MS);
        scene.create(account(None), 1).unwrap();
    }
    let (all, _) = block_on(list(scene.server(), None, 100)).unwrap();
    assert!(all.len() < 20, "{}", all.len());
    assert!(all.iter().all(|i| i.username().is_none() && i.by.is_none()));
    assert_eq!(scene.kept(), all.len());
}

#[test]
fn pages_hold_every_invitation_once() {
    let scene = Scene::new("policy = 'invite'");
    let mut made: Vec<_> = (0..7)
        .map(|_| scene.create(account(None), 1).unwrap())
        .collect();
    made.sort_by(|a, b| a.token.cmp(&b.token));
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let (page, next) = block_on(list(scene.server(), after.as_deref(), 3)).unwrap();
        found.extend(page);
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, made);
}

#[test]
fn what_cannot_be_is_not_promised() {
    let scene = Scene::new("policy = 'invite'");
    let by_nobody = |uses, lifetime_ms| {
        let request = Request {
            by: None,
            purpose: account(None),
            lifetime_ms,
            uses,
        };
        block_on(create(scene.server(), &scene.host(), request))
    };
    assert!(matches!(by_nobody(0, None), Err(InviteError::Uses)));
    assert!(matches!(by_nobody(10_001, None), Err(InviteError::Uses)));
    assert!(matches!(by_nobody(1, Some(0)), Err(InviteError::Lifetime)));
    assert!(matches!(
        by_nobody(1, Some(u64::MAX)),
        Err(InviteError::Lifetime)
    ));
    assert!(matches!(
        scene.create(account(Some("a b")), 1),
        Err(InviteError::Name(_))
    ));
    let closed = Scene::new("policy = 'closed'");
    assert!(matches!(
        closed.create(account(None), 1),
        Err(InviteError::Closed(_))
    ));
    let stranger = Request {
        by: Some(jid("nobody")),
        purpose: Purpose::Contact { register: false },
        lifetime_ms: None,
        uses: 1,
    };
    let made = block_on(create(scene.server(), &scene.host(), stranger));
    assert!(matches!(made, Err(InviteError::Inviter(_))));
}
