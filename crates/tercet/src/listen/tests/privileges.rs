//! Components that may do more: privileges (XEP-0356) and delegated namespaces (XEP-0355), over plain sockets.

use super::components::IRC;
use super::*;
use tercet_server::{Access, Component, Delegated};

const BOTH: Access = Access {
    get: true,
    set: true,
};
const GET: Access = Access {
    get: true,
    set: false,
};

/// `localhost` with all its modules, where `irc.localhost` may do what `allow` says.
fn scene(allow: impl FnOnce(&mut Component)) -> Scene {
    let mut component = Component {
        domain: IRC.into(),
        roster_push: true,
        ..Component::default()
    };
    allow(&mut component);
    let info = HostInfo {
        domain: "localhost".into(),
        components: vec![component],
        ..HostInfo::default()
    };
    Scene::of(
        info,
        tercet_modules::modules,
        Clock::System,
        components::configure,
    )
}

fn roster(kind: &str, to: &str, payload: &str) -> String {
    format!(
        "<iq type='{kind}' id='r' from='irc.localhost' to='{to}'><query xmlns='jabber:iq:roster'>{payload}</query></iq>"
    )
}

/// What a component says in the name of others.
fn privileged(inner: &str) -> String {
    format!(
        "<message from='irc.localhost' to='localhost' id='m'><privilege xmlns='urn:xmpp:privilege:2'>\
         <forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded></privilege></message>"
    )
}

fn privileged_iq(kind: &str, to: &str, inner: &str) -> String {
    format!(
        "<iq type='{kind}' id='q' from='irc.localhost' to='{to}'><privileged_iq xmlns='urn:xmpp:privilege:2'>{inner}</privileged_iq></iq>"
    )
}

#[test]
fn a_component_without_rights_has_none_and_is_told_nothing() {
    let scene = scene(|_| {});
    let mut irc = scene.component(IRC);
    let mut romeo = scene.session("romeo");
    irc.send(&roster("get", "romeo@localhost", ""));
    let answer = irc.expect("</iq>");
    assert!(
        answer.contains("<forbidden") && !answer.contains("privilege"),
        "{answer}"
    );
    irc.send(&privileged("<message xmlns='jabber:client' from='romeo@localhost' to='juliet@localhost'><body>forged</body></message>"));
    assert!(irc.expect("</message>").contains("type='error'"));
    let request = "<iq xmlns='jabber:client' type='get' id='i' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>";
    irc.send(&privileged_iq("get", "romeo@localhost", request));
    assert!(irc.expect("</iq>").contains("type='error'"));
    romeo.send("<presence/>");
    romeo.settle();
    irc.send("<iq type='get' id='p' from='irc.localhost' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
    let rest = irc.expect("id='p'");
    assert!(!rest.contains("<presence"), "{rest}");
}

#[test]
fn a_component_reads_and_changes_rosters_and_hears_of_changes() {
    let scene = scene(|component| component.roster = BOTH);
    let mut irc = scene.component(IRC);
    let told = irc.expect("</message>");
    assert!(
        told.contains("from='localhost'")
            && told.contains("<perm access='roster' type='both' push='true'/>"),
        "{told}"
    );
    irc.send(&roster(
        "set",
        "romeo@localhost",
        "<item jid='friend@irc.localhost' name='Friend'><group>IRC</group></item>",
    ));
    let push = irc.expect("</query></iq>");
    assert!(
        push.contains("from='romeo@localhost'") && push.contains("type='set'"),
        "{push}"
    );
    assert!(
        push.contains("jid='friend@irc.localhost'") && push.contains("<group>IRC</group>"),
        "{push}"
    );
    // The answer comes before it or behind it.
    if !push.contains("type='result'") {
        irc.expect("type='result'");
    }
    let mut romeo = scene.session("romeo");
    romeo.send("<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>");
    assert!(romeo.expect("</iq>").contains("name='Friend'"));
    irc.send(&roster("get", "romeo@localhost", ""));
    let answer = irc.expect("</iq>");
    assert!(
        answer.contains("friend@irc.localhost") && answer.contains("from='romeo@localhost'"),
        "{answer}"
    );
    romeo.send("<iq type='set' id='s'><query xmlns='jabber:iq:roster'><item jid='friend@irc.localhost' subscription='remove'/></query></iq>");
    assert!(irc.expect("</iq>").contains("subscription='remove'"));
    // Of its own contacts it says who sees whom, of others it does not.
    irc.send(&roster(
        "set",
        "romeo@localhost",
        "<item jid='x@irc.localhost' subscription='both'/>",
    ));
    let push = irc.expect("</query></iq>");
    assert!(push.contains("subscription='both'"), "{push}");
    irc.send(&roster(
        "set",
        "romeo@localhost",
        "<item jid='juliet@localhost' subscription='both'/>",
    ));
    let push = irc.expect("</query></iq>");
    assert!(push.contains("subscription='none'"), "{push}");
    romeo.send("<presence/>");
    irc.expect("to='x@irc.localhost'");
    irc.send("<iq type='get' id='settled' from='irc.localhost' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
    irc.expect("id='settled'");
    // An address behind the component is somebody else.
    let other = roster("get", "romeo@localhost", "")
        .replace("from='irc.localhost'", "from='x@irc.localhost'");
    irc.send(&other);
    assert!(irc.expect("</iq>").contains("<forbidden"));
    for nobody in ["nobody@localhost", "localhost"] {
        irc.send(&roster("get", nobody, ""));
        assert!(irc.expect("</iq>").contains("type='error'"), "{nobody}");
    }
}

#[test]
fn a_component_that_may_only_read_does_not_write() {
    let scene = scene(|component| (component.roster, component.roster_push) = (GET, false));
    let mut irc = scene.component(IRC);
    assert!(irc.expect("</message>").contains("type='get' push='false'"));
    irc.send(&roster("set", "romeo@localhost", "<item jid='a@b'/>"));
    assert!(irc.expect("</iq>").contains("<forbidden"));
    irc.send(&roster("get", "romeo@localhost", ""));
    let answer = irc.expect("</iq>");
    assert!(
        answer.contains("type='result'") && !answer.contains("a@b"),
        "{answer}"
    );
}

#[test]
fn a_component_sends_messages_in_the_name_of_users_which_their_devices_see() {
    let scene = scene(|component| component.messages = true);
    let mut irc = scene.component(IRC);
    assert!(
        irc.expect("</message>")
            .contains("<perm access='message' type='outgoing'/>")
    );
    let mut romeo = scene.session("romeo");
    let mut juliet = scene.session("juliet");
    romeo.send("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
    romeo.expect("id='c'");
    for client in [&mut romeo, &mut juliet] {
        client.send("<presence/>");
        client.settle();
    }
    let body = "<body>from elsewhere</body>";
    irc.send(&privileged(&format!("<message xmlns='jabber:client' from='romeo@localhost' to='juliet@localhost' type='chat' id='x'>{body}</message>")));
    let got = juliet.expect(body);
    assert!(
        got.contains("from='romeo@localhost'") && !got.contains("privilege"),
        "{got}"
    );
    assert!(romeo.expect(body).contains("urn:xmpp:carbons:2"));
    // The same to somebody behind the component.
    irc.send(&privileged(&format!("<message xmlns='jabber:client' from='romeo@localhost' to='friend@irc.localhost' type='chat'>{body}</message>")));
    assert!(irc.expect(body).contains("from='romeo@localhost'"));
    irc.send(&privileged("<message xmlns='jabber:client' from='localhost' to='juliet@localhost'><body>news</body></message>"));
    juliet.expect("<body>news</body>");
    for (from, condition) in [
        ("romeo@localhost/romeo", "<forbidden"),
        ("romeo@irc.localhost", "<forbidden"),
        ("romeo@elsewhere.test", "<forbidden"),
        ("nobody@localhost", "<forbidden"),
        ("", "error"),
    ] {
        irc.send(&privileged(&format!("<message xmlns='jabber:client' from='{from}' to='juliet@localhost'><body>forged</body></message>")));
        let error = irc.expect("</error></message>");
        assert!(
            error.contains(condition) && error.contains("id='m'"),
            "{from}: {error}"
        );
    }
    irc.send(&privileged(
        "<message xmlns='jabber:component:accept' from='romeo@localhost' to='juliet@localhost'/>",
    ));
    assert!(irc.expect("</error></message>").contains("<bad-request"));
    assert!(!juliet.settle().contains("forged"));
}

#[test]
fn a_component_hears_who_comes_and_goes_and_of_nothing_in_between() {
    let scene = scene(|component| component.presence = true);
    let mut romeo = scene.session("romeo");
    romeo.send("<presence><status>first</status></presence>");
    romeo.settle();
    let mut irc = scene.component(IRC);
    irc.expect("<perm access='presence' type='managed_entity'/>");
    let seen = irc.expect("</presence>");
    assert!(
        seen.contains("from='romeo@localhost/romeo'") && seen.contains("first"),
        "{seen}"
    );
    romeo.send("<presence><status>second</status></presence>");
    romeo.settle();
    let mut juliet = scene.session("juliet");
    juliet.send("<presence><status>third</status></presence>");
    let seen = irc.expect("</presence>");
    assert!(
        seen.contains("juliet") && !seen.contains("second"),
        "{seen}"
    );
    romeo.send("</stream:stream>");
    let gone = irc.expect("type='unavailable'");
    assert!(gone.contains("from='romeo@localhost/romeo'"), "{gone}");
}

#[test]
fn a_component_asks_in_the_name_of_users_what_it_may_ask() {
    let scene = scene(|component| {
        component.requests = vec![
            ("urn:xmpp:ping".into(), GET),
            ("jabber:iq:private".into(), BOTH),
        ];
    });
    let mut irc = scene.component(IRC);
    assert!(
        irc.expect("</message>")
            .contains("<namespace ns='urn:xmpp:ping' type='get'/>")
    );
    let mut juliet = scene.session("juliet");
    let ping = "<iq xmlns='jabber:client' type='get' id='in' to='juliet@localhost/juliet'><ping xmlns='urn:xmpp:ping'/></iq>";
    irc.send(&privileged_iq("get", "romeo@localhost", ping));
    let asked = juliet.expect("</iq>");
    assert!(asked.contains("from='romeo@localhost'"), "{asked}");
    let id = asked
        .split(" id='")
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap()
        .to_owned();
    juliet.send(&format!(
        "<iq type='result' id='{id}' to='romeo@localhost'/>"
    ));
    let answer = irc.expect("</privilege></iq>");
    assert!(
        answer.contains("id='q'") && answer.contains("from='romeo@localhost'"),
        "{answer}"
    );
    assert!(answer.contains("<forwarded xmlns='urn:xmpp:forward:0'><iq xmlns='jabber:client' type='result' from='juliet@localhost/juliet' to='romeo@localhost' id='in'"), "{answer}");
    // What the account itself keeps.
    for (kind, payload) in [
        ("set", "<a xmlns='urn:a'>kept</a>"),
        ("get", "<a xmlns='urn:a'/>"),
    ] {
        irc.send(&privileged_iq(kind, "romeo@localhost", &format!("<iq xmlns='jabber:client' type='{kind}' id='in'><query xmlns='jabber:iq:private'>{payload}</query></iq>")));
        let answer = irc.expect("</privilege></iq>");
        assert!(answer.contains("type='result'"), "{answer}");
        assert!(kind == "set" || answer.contains("kept"), "{answer}");
    }
    // An error is an answer.
    irc.send(&privileged_iq(
        "get",
        "romeo@localhost",
        &ping.replace("juliet@localhost/juliet", "juliet@localhost/gone"),
    ));
    let answer = irc.expect("</privilege></iq>");
    assert!(
        answer.contains("type='error'") && answer.contains("<service-unavailable"),
        "{answer}"
    );
    for (kind, to, inner) in [
        ("set", "romeo@localhost", ping.replace("'get'", "'set'")),
        ("set", "romeo@localhost", ping.to_owned()),
        (
            "get",
            "romeo@localhost",
            ping.replace("urn:xmpp:ping", "urn:other"),
        ),
        (
            "get",
            "romeo@localhost",
            ping.replace("to=", "from='juliet@localhost' to="),
        ),
        (
            "get",
            "romeo@localhost",
            ping.replace("to=", "from='romeo@localhost/x' to="),
        ),
        (
            "get",
            "romeo@localhost",
            ping.replace("jabber:client", "jabber:component:accept"),
        ),
        ("get", "romeo@localhost", "<x xmlns='urn:x'/>".to_owned()),
        ("get", "localhost", ping.to_owned()),
    ] {
        irc.send(&privileged_iq(kind, to, &inner));
        let error = irc.expect("</error></iq>");
        assert!(error.contains("<forbidden"), "{kind} {to} {inner}: {error}");
    }
}

const ECHO: &str = "urn:example:echo";
const INFO: &str = "http://jabber.org/protocol/disco#info";

/// Answers the questions about features that come first.
fn describe(irc: &mut Client) {
    irc.expect("<delegation xmlns='urn:xmpp:delegation:2'>");
    irc.expect("</message>");
    for feature in ["echo#host", "echo#bare"] {
        let asked = irc.expect("</iq>");
        let node = asked
            .split(" node='")
            .nth(1)
            .unwrap()
            .split('\'')
            .next()
            .unwrap();
        let id = asked
            .split(" id='")
            .nth(1)
            .unwrap()
            .split('\'')
            .next()
            .unwrap();
        let bare = if feature.ends_with("bare") {
            ":bare:"
        } else {
            "::"
        };
        assert_eq!(node, format!("urn:xmpp:delegation:2{bare}{ECHO}"));
        irc.send(&format!("<iq type='result' id='{id}' from='irc.localhost' to='localhost'><query xmlns='{INFO}' node='{node}'>\
             <identity category='pubsub' type='pep'/><feature var='urn:example:{feature}'/></query></iq>"));
    }
}

/// The request in what a component is asked, its outer id, and its inner id.
fn forwarded(irc: &mut Client) -> (String, String, String) {
    let asked = irc.expect("</delegation></iq>");
    let id = |text: &str| {
        text.split(" id='")
            .nth(1)
            .unwrap()
            .split('\'')
            .next()
            .unwrap()
            .to_owned()
    };
    let at = asked.find("<forwarded").unwrap();
    let (outer, inner) = asked.split_at(at);
    (asked.clone(), id(outer), id(inner))
}

fn answer(outer: &str, inner: &str) -> String {
    format!(
        "<iq type='result' id='{outer}' from='irc.localhost' to='localhost'><delegation xmlns='urn:xmpp:delegation:2'>\
         <forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded></delegation></iq>"
    )
}

#[test]
fn a_component_answers_for_a_namespace_and_is_seen_in_discovery() {
    let scene = scene(|component| {
        component.delegated = vec![Delegated {
            ns: ECHO.into(),
            attributes: vec!["node".into()],
        }];
    });
    let mut irc = scene.component(IRC);
    describe(&mut irc);
    let mut romeo = scene.session("romeo");
    for (to, inner_to) in [
        ("", "romeo@localhost"),
        (" to='romeo@localhost'", "romeo@localhost"),
        (" to='localhost'", "localhost"),
    ] {
        romeo.send(&format!(
            "<iq type='get' id='e'{to}><say xmlns='{ECHO}' node='n'>hi</say></iq>"
        ));
        let (asked, outer, inner) = forwarded(&mut irc);
        assert!(
            asked.contains("from='romeo@localhost/romeo'") && asked.contains(">hi</say>"),
            "{asked}"
        );
        assert_eq!(inner, "e");
        irc.send(&answer(&outer, &format!("<iq xmlns='jabber:client' type='result' id='e' from='{inner_to}' to='romeo@localhost/romeo'><said xmlns='{ECHO}'/></iq>")));
        let got = romeo.expect("</iq>");
        assert!(got.contains("<said"), "{got}");
        assert!(
            got.contains("type='result'") && got.contains("id='e'") && !got.contains("delegation"),
            "{got}"
        );
    }
    // What is no right answer is none, and so is an error.
    for wrong in [
        "<iq xmlns='jabber:client' type='result' id='f' to='romeo@localhost/romeo'/>",
        "<iq xmlns='jabber:client' type='result' id='e' to='juliet@localhost/x'/>",
        "<iq xmlns='jabber:client' type='result' id='e' from='juliet@localhost' to='romeo@localhost/romeo'/>",
        "<iq xmlns='jabber:client' type='error' id='e' to='romeo@localhost/romeo'/>",
    ] {
        romeo.send(&format!(
            "<iq type='set' id='e' to='localhost'><say xmlns='{ECHO}' node='n'/></iq>"
        ));
        let (_, outer, _) = forwarded(&mut irc);
        irc.send(&answer(&outer, wrong));
        assert!(
            romeo.expect("</iq>").contains("<service-unavailable"),
            "{wrong}"
        );
    }
    // Without the attribute it is nobody's; nor is what the component asks.
    romeo.send(&format!(
        "<iq type='get' id='e' to='localhost'><say xmlns='{ECHO}'/></iq>"
    ));
    assert!(romeo.expect("</iq>").contains("<service-unavailable"));
    irc.send(&format!("<iq type='get' id='own' from='irc.localhost' to='localhost'><say xmlns='{ECHO}' node='n'/></iq>"));
    let own = irc.expect("</iq>");
    assert!(
        own.contains("<service-unavailable") && own.contains("id='own'"),
        "{own}"
    );
    for (to, feature) in [("localhost", "echo#host"), ("romeo@localhost", "echo#bare")] {
        romeo.send(&format!(
            "<iq type='get' id='d' to='{to}'><query xmlns='{INFO}'/></iq>"
        ));
        let info = romeo.expect("</iq>");
        assert!(
            info.contains(&format!("<feature var='urn:example:{feature}'/>")),
            "{info}"
        );
        assert!(
            info.contains("category='pubsub'") || info.contains("category=\"pubsub\""),
            "{info}"
        );
        assert!(
            to != "localhost" || info.contains("<feature var='urn:xmpp:delegation:2'/>"),
            "{info}"
        );
    }
    // Nobody is there.
    irc.send("</stream:stream>");
    irc.rest();
    romeo.send(&format!(
        "<iq type='get' id='e' to='localhost'><say xmlns='{ECHO}' node='n'/></iq>"
    ));
    assert!(romeo.expect("</iq>").contains("<service-unavailable"));
}

#[test]
fn a_delegated_namespace_of_the_server_is_the_components_and_not_announced_twice() {
    let scene = scene(|component| {
        component.delegated = vec![Delegated {
            ns: "jabber:iq:private".into(),
            attributes: Vec::new(),
        }];
    });
    let mut irc = scene.component(IRC);
    irc.expect("<delegated namespace='jabber:iq:private'/>");
    irc.expect("</message>");
    for _ in 0..2 {
        let asked = irc.expect("</iq>");
        let id = asked
            .split(" id='")
            .nth(1)
            .unwrap()
            .split('\'')
            .next()
            .unwrap();
        irc.send(&format!("<iq type='result' id='{id}' from='irc.localhost' to='localhost'><query xmlns='{INFO}'/></iq>"));
    }
    let mut romeo = scene.session("romeo");
    romeo.send(
        "<iq type='get' id='e'><query xmlns='jabber:iq:private'><a xmlns='urn:a'/></query></iq>",
    );
    let (asked, ..) = forwarded(&mut irc);
    assert!(asked.contains("jabber:iq:private"));
    for to in ["localhost", "romeo@localhost"] {
        romeo.send(&format!(
            "<iq type='get' id='d' to='{to}'><query xmlns='{INFO}'/></iq>"
        ));
        let info = romeo.expect("</iq>");
        assert!(!info.contains("jabber:iq:private"), "{info}");
    }
    // Another's is neither read nor given away by the server.
    let mut juliet = scene.session("juliet");
    juliet.send("<iq type='get' id='j' to='romeo@localhost'><query xmlns='jabber:iq:private'><a xmlns='urn:a'/></query></iq>");
    assert!(juliet.expect("</iq>").contains("<forbidden"));
}

#[test]
fn a_component_hears_of_the_presence_of_contacts_once_and_of_nobody_else() {
    let scene = scene(|component| {
        component.roster = GET;
        component.contact_presence = true;
    });
    let mut irc = scene.component(IRC);
    let told = irc.expect("</message>");
    assert!(
        told.contains("<perm access='presence' type='roster'/>"),
        "{told}"
    );
    let mut wide = scene.component("wide.localhost");
    let mut romeo = scene.session("romeo");
    let mut juliet = scene.session("juliet");
    for (user, name) in [(&mut romeo, "romeo"), (&mut juliet, "juliet")] {
        user.send("<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>");
        user.expect("</iq>");
        user.send("<presence type='subscribe' to='friend@wide.localhost'/>");
        wide.expect("type='subscribe'");
        wide.send(&format!(
            "<presence type='subscribed' from='friend@wide.localhost' to='{name}@localhost'/>"
        ));
        user.expect("subscription='to'");
    }
    // Nobody is available, and they are no contacts of each other.
    let to = |from: &str, name: &str, content: &str| {
        format!("<presence from='{from}@wide.localhost/x' to='{name}@localhost'{content}")
    };
    let settle = "<iq type='get' id='settled' from='irc.localhost' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>";
    for name in ["romeo", "juliet"] {
        wide.send(&to("friend", name, "><show>away</show></presence>"));
        wide.send(&to("stranger", name, "/>"));
    }
    wide.send(&to("friend", "romeo", "/>"));
    let first = irc.expect("from='friend@wide.localhost/x'");
    assert!(!first.contains("stranger"), "{first}");
    irc.expect("<show>away</show></presence>");
    let second = irc.expect("from='friend@wide.localhost/x'");
    assert!(!second.contains("stranger") && !second.contains("away"));
    // Who comes later is shown the same, and users.
    romeo.send("<presence/>");
    irc.expect("from='romeo@localhost/");
    romeo.send("<presence><status>changed</status></presence>");
    irc.send("</stream:stream>");
    irc.rest();
    let mut irc = scene.component(IRC);
    irc.expect("from='romeo@localhost/");
    irc.expect("from='friend@wide.localhost/x'");
    // Its end, from whomever it comes first.
    for name in ["romeo", "juliet"] {
        wide.send(&to("friend", name, " type='unavailable'/>"));
    }
    wide.send("<iq type='get' id='w' from='wide.localhost' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
    wide.expect("id='w'");
    irc.expect("type='unavailable'");
    irc.send(settle);
    let rest = irc.expect("id='settled'");
    assert!(!rest.contains("<presence"), "{rest}");
}
