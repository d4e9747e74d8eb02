//! Defaults, good files, bad files: what each means and what is said about it.

use super::*;

fn good(text: &str) -> Config {
    let (config, faults) = Config::parse(text, Path::new("/etc/tercet"));
    assert_eq!(faults, [], "{text}");
    config
}

/// The faults as people see them, without the head line.
fn faults(text: &str) -> String {
    let (_, faults) = Config::parse(text, Path::new(""));
    let file = PathBuf::from("t.toml");
    let shown = ConfigError::Faulty { file, faults }.to_string();
    shown
        .lines()
        .skip(1)
        .map(str::trim)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn without_a_file_it_is_localhost_on_this_machine_alone() {
    let config = Config::default();
    assert_eq!(config.file, None);
    assert_eq!(config.data_dir, Path::new("data"));
    assert_eq!(config.hosts.len(), 1);
    assert_eq!(config.hosts[0].domain.as_str(), "localhost");
    assert!(config.hosts[0].tls.required);
    assert_eq!(
        config.hosts[0].registration.policy,
        RegistrationPolicy::Closed
    );
    assert!(config.limits.rates);
    assert_eq!(config.listen.c2s, Port::At(5222));
    assert_eq!(config.listen.c2s_tls, Port::At(5223));
    let (addresses, named) = config.addresses();
    assert_eq!(
        addresses,
        [
            "127.0.0.1".parse::<IpAddr>().unwrap(),
            "::1".parse().unwrap()
        ]
    );
    assert!(!named);
}

#[test]
fn web_clients_are_sent_to_secure_places_only() {
    let config = good("http.drain_uri = \"wss://other.example/ws\"");
    assert!(config.http.drain_uri.is_some());
    let said = faults("http.drain_uri = \"ws://other.example/ws\"");
    assert!(
        said.contains("has to begin with wss:// or https://"),
        "{said}"
    );
}

#[test]
fn trusted_proxies_are_addresses_and_networks() {
    assert_eq!(Config::default().http.trusted_proxies, []);
    let config = good("http.trusted_proxies = [\"::1\", \"10.0.0.0/8\"]");
    assert_eq!(config.http.trusted_proxies.len(), 2);
    let said = faults("http.trusted_proxies = [\"10.0.0.1/8\"]");
    let expected = "\"10.0.0.1/8\" is not an IP address, or a network";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn load_balancers_and_their_ports_belong_together() {
    assert_eq!(Config::default().listen.balancers, []);
    let config = good("listen.balancers = [\"10.0.0.5\"]\nlisten.balanced = [\"c2s\"]");
    assert_eq!(config.listen.balanced, [BalancedPort::C2s]);
    let said = faults("listen.balancers = [\"10.0.0.5\"]");
    assert!(
        said.contains("set balancers and balanced together"),
        "{said}"
    );
    let said = faults("listen.balancers = [\"10.0.0.5\"]\nlisten.balanced = [\"s2s\"]");
    assert!(said.contains("\"s2s\" is not"), "{said}");
}

#[test]
fn a_public_domain_alone_opens_every_address() {
    let (addresses, named) = good("domain = \"example.org\"").addresses();
    assert_eq!(
        addresses,
        ["0.0.0.0".parse::<IpAddr>().unwrap(), "::".parse().unwrap()]
    );
    assert!(!named);
}

#[test]
fn other_servers_are_reached_unless_every_domain_is_localhost() {
    let usual = (Port::At(5269), Port::At(5270));
    assert_eq!(good("domain = \"example.org\"").server_ports(), usual);
    assert_eq!(Config::default().server_ports(), (Port::Off, Port::Off));
    let config = good("domain = \"example.org\"\nlisten.s2s = false\nlisten.s2s_tls = 0");
    assert_eq!(config.server_ports(), (Port::Off, Port::At(0)));
    let config = good("listen.s2s = 5269");
    assert_eq!(config.server_ports(), (Port::At(5269), Port::Off));
}

#[test]
fn the_lab_profile_means_what_it_says() {
    let config = good(
        r#"
domain   = "tercet.test"              # also [[host]] tables for several
data_dir = "/path/to/data"
[listen]
addresses = ["127.0.1.4"]             # c2s 5222, direct TLS 5223, s2s 5269, HTTP 5280, HTTPS 5281, components 5347 (ports settable)
[tls]
certificate = "/path/chain.pem"
key         = "/path/key.pem"
ca_file     = "/path/ca.crt"          # added to the system's roots, for s2s and client certificates
required    = false                   # lab only: allows login without TLS
[registration]
policy = "open"                       # "closed" (default), "invite", "open"
[limits]
rates  = false                        # lab only: no rate limits or penalties per address or account
[archive]
enabled = true
"#,
    );
    assert_eq!(config.data_dir, Path::new("/path/to/data"));
    let (addresses, named) = config.addresses();
    assert_eq!(addresses, ["127.0.1.4".parse::<IpAddr>().unwrap()]);
    assert!(named);
    let [host] = &config.hosts[..] else {
        panic!("one host");
    };
    assert_eq!(host.domain.as_str(), "tercet.test");
    assert_eq!(
        host.tls.certificate.as_deref(),
        Some(Path::new("/path/chain.pem"))
    );
    assert_eq!(host.tls.key.as_deref(), Some(Path::new("/path/key.pem")));
    assert_eq!(host.tls.ca_file.as_deref(), Some(Path::new("/path/ca.crt")));
    assert!(!host.tls.required);
    assert_eq!(host.registration.policy, RegistrationPolicy::Open);
    assert!(!config.limits.rates);
    assert!(host.archive.enabled);
}

#[test]
fn hosts_inherit_what_they_do_not_set() {
    let config = good(
        r#"
domain = "example.org"
[tls]
certificate = "a.pem"
key = "a.key"
[registration]
policy = "open"
[[host]]
domain = "EXAMPLE.net"
[host.tls]
certificate = "/b.pem"
key = "b.key"
[[host]]
domain = "example.com"
registration.policy = "closed"
contact.abuse = ["mailto:abuse@example.com"]
"#,
    );
    let [org, net, com] = &config.hosts[..] else {
        panic!("three hosts");
    };
    assert_eq!(net.domain.as_str(), "example.net");
    assert_eq!(
        org.tls.certificate.as_deref(),
        Some(Path::new("/etc/tercet/a.pem"))
    );
    assert_eq!(net.tls.certificate.as_deref(), Some(Path::new("/b.pem")));
    assert_eq!(net.tls.key.as_deref(), Some(Path::new("/etc/tercet/b.key")));
    assert_eq!(net.registration.policy, RegistrationPolicy::Open);
    assert_eq!(com.tls, org.tls);
    assert_eq!(com.registration.policy, RegistrationPolicy::Closed);
    assert_eq!(com.contact.abuse, [Uri("mailto:abuse@example.com".into())]);
}

#[test]
fn module_tables_are_carried_and_merged_per_host() {
    let config = good(
        "domain = \"a\"\n[modules.ping]\nenabled = false\n[[host]]\ndomain = \"b\"\nmodules.ping.enabled = true\n",
    );
    let ping = |host: usize| {
        config.hosts[host].modules.0["ping"]
            .as_table()
            .unwrap()
            .clone()
    };
    assert_eq!(ping(0)["enabled"], toml::Value::Boolean(false));
    assert_eq!(ping(1)["enabled"], toml::Value::Boolean(true));
}

#[test]
fn module_tables_are_checked_key_by_key() {
    assert_eq!(
        faults(
            "[modules.pnig]\nenabled = false\n[modules.ping]\nenabled = 3\nevery = 5\nenabeld = true\n[modules]\nprivate = 4\n"
        ),
        "t.toml:1:10: modules.pnig: there is no such module; docs/modules.md lists them; did you mean modules.ping?\n\
         t.toml:4:11: modules.ping.enabled: expected true or false\n\
         t.toml:5:1: modules.ping.every: unknown key; known here: enabled\n\
         t.toml:6:1: modules.ping.enabeld: unknown key; did you mean enabled?\n\
         t.toml:8:11: modules.private: expected a table: write [modules.private] on a line of its own"
    );
}

#[test]
fn host_tables_alone_serve_no_other_domain() {
    let config = good("[[host]]\ndomain = \"a.example\"\n[[host]]\ndomain = \"b.example\"\n");
    let names: Vec<_> = config.hosts.iter().map(|h| h.domain.as_str()).collect();
    assert_eq!(names, ["a.example", "b.example"]);
}

#[test]
fn every_fault_of_a_file_is_reported_at_once_with_its_place() {
    let text = r#"domian = "example.org"
data_dir = ""
policy = "open"
colour = "red"
[listen]
adresses = ["127.0.0.1"]
c2s = 70000
c2s_tls = "5223"
[tls]
certificate = "chain.pem"
[registration]
policy = "opne"
[limits]
rates = "no"
stanza_bytes = "1 KiB"
idle = "soon"
[[host]]
[host.limits]
rates = false
[lgo]
level = "info"
[log]
level = "inof"
[contact]
abuse = "mailto:abuse@example.org"
"#;
    assert_eq!(
        faults(text),
        "t.toml:1:1: domian: unknown key; did you mean domain?\n\
         t.toml:2:12: data_dir: the path is empty\n\
         t.toml:3:1: policy: unknown key; did you mean registration.policy?\n\
         t.toml:4:1: colour: unknown key; known here: domain, data_dir, admins, listen, http, tls, peers, login, registration, federation, limits, archive, upload, rooms, pubsub, proxy, contact, log, modules, host, component, service\n\
         t.toml:6:1: listen.adresses: unknown key; did you mean listen.addresses?\n\
         t.toml:7:7: listen.c2s: 70000 is out of range\n\
         t.toml:8:11: listen.c2s_tls: expected a port number (0: any free one), or false for none, found a string\n\
         t.toml:9:1: tls: tls.certificate is set and tls.key is not\n\
         t.toml:12:10: registration.policy: \"opne\" is not \"closed\", \"invite\" or \"open\"; did you mean \"open\"?\n\
         t.toml:14:9: limits.rates: expected true or false, found a string\n\
         t.toml:15:16: limits.stanza_bytes: 1 KiB is outside 10000 B to 16 MiB\n\
         t.toml:16:8: limits.idle: expected a time such as \"30 s\", \"15 min\", \"2 h\" or \"7 d\", or a number of seconds, found \"soon\"\n\
         t.toml:18:7: host: every [[host]] needs its own domain\n\
         t.toml:18:7: host.limits: unknown key; known here: domain, tls, peers, login, registration, archive, upload, rooms, pubsub, proxy, contact, modules\n\
         t.toml:20:2: lgo: unknown key; did you mean log?\n\
         t.toml:23:9: log.level: \"inof\" is not error, warn, info, debug, trace or off, also by part as in \"info,tercet_stream=debug\"; did you mean \"info\"?\n\
         t.toml:25:9: contact.abuse: expected a list, each an address with its scheme, such as \"mailto:abuse@example.org\", found a string"
    );
}

#[test]
fn text_that_is_not_toml_is_reported_beside_the_other_faults() {
    let shown = faults("domain = \nlisten.c2 = 5222\n[tls\nrequired = false\n");
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("t.toml:1:"), "{shown}");
    assert!(lines[0].contains("not TOML"), "{shown}");
    assert!(
        lines.contains(&"t.toml:2:8: listen.c2: unknown key; did you mean listen.c2s?"),
        "{shown}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("t.toml:3:") && line.contains("not TOML")),
        "{shown}"
    );
}

#[test]
fn bad_values_have_a_sentence_each() {
    for (text, expected) in [
        ("domain = \"a b\"", "domain: \"a b\" is not a domain"),
        (
            "domain = \"user@example.org\"",
            "domain: \"user@example.org\" is not a domain",
        ),
        ("domain = \"\"", "domain: \"\" is not a domain"),
        ("domain = 1979-05-27", "found a date"),
        ("domain = \"a\"\ndomain = \"b\"", "t.toml:2"),
        (
            "admins = [\"example.org\"]",
            "admins: \"example.org\" is not an account such as",
        ),
        (
            "tls = 3",
            "expected a table: write [tls] on a line of its own",
        ),
        (
            "host = \"example.org\"",
            "expected tables: write [[host]] on a line of its own for each",
        ),
        ("[host]\ndomain = \"x\"", "write [[host]]"),
        (
            "domain = \"x\"\n[[host]]\ndomain = \"X\"",
            "t.toml:3:10: host.domain: x is served already",
        ),
        (
            "[tls]\nkey = \"k.pem\"",
            "tls.key is set and tls.certificate is not",
        ),
        ("limits.depth = 5", "5 is outside 16 to 1000"),
        ("limits.depth = -5", "-5 is out of range"),
        ("limits.depth = 99999999999999999999999999", "limits.depth"),
        ("limits.depth = 6.5", "found a number with a fraction"),
        (
            "listen.addresses = [\"localhost\"]",
            "\"localhost\" is not an IP address",
        ),
        ("log.format = \"jsno\"", "did you mean \"json\"?"),
    ] {
        let shown = faults(text);
        assert!(shown.contains(expected), "{text}\n{shown}");
    }
}

#[test]
fn the_example_file_changes_nothing_and_every_line_of_it_holds_when_switched_on() {
    let example = reference::example();
    assert_eq!(good(&example), good(""));
    let on: String = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let config = good(&on);
    assert_eq!(config.hosts[0].domain.as_str(), "example.org");
    assert_eq!(config.limits, Limits::default());
    assert_eq!(
        config.hosts[1].registration.policy,
        RegistrationPolicy::Open
    );
}

#[test]
fn docs_configuration_md_is_what_the_table_of_keys_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        kept == reference::markdown(),
        "docs/configuration.md is stale: run `cargo xtask docs`"
    );
}

#[test]
fn changes_are_named_with_the_time_at_which_they_take_effect() {
    let old = good("[listen]\nc2s = 5222\n[[host]]\ndomain = \"a\"\n");
    let new = good(
        "[listen]\nc2s = 5322\n[limits]\nrates = false\n[[host]]\ndomain = \"a\"\n[host.tls]\nrequired = false\n[[host]]\ndomain = \"b\"\n",
    );
    let changes = old.changes(&new);
    let of = |name: &str| changes.iter().find(|c| c.0 == name).map(|c| c.1);
    assert_eq!(of("listen.c2s"), Some(Effect::Restart));
    assert_eq!(of("limits.rates"), Some(Effect::Live));
    assert_eq!(of("host a: tls.required"), Some(Effect::Live));
    assert_eq!(of("host b"), Some(Effect::Live));
    assert_eq!(of("host b: tls.required"), None);
    assert_eq!(of("host a: tls.certificate"), None);
    let back = new.changes(&old);
    let gone = ("host b taken away".to_owned(), Effect::Restart);
    assert!(back.contains(&gone), "{back:?}");
    assert_eq!(old.changes(&old), []);
}

#[test]
fn links_lead_where_browsers_reach_the_pages() {
    for (text, expected) in [
        ("", Some("http://localhost:5280")),
        ("listen.http = false", Some("https://localhost:5281")),
        ("listen = { http = false, https = false }", None),
        ("listen = { http = 0, https = 0 }", None),
        ("domain = \"example.org\"", Some("https://example.org:5281")),
        (
            "domain = \"example.org\"\nlisten.https = 443",
            Some("https://example.org"),
        ),
        ("domain = \"example.org\"\nlisten.https = false", None),
        (
            "domain = \"example.org\"\nhttp.public_url = \"https://chat.DOMAIN/\"",
            Some("https://chat.example.org"),
        ),
    ] {
        let config = good(text);
        let url = config.public_url(&config.hosts[0]);
        assert_eq!(url.as_deref(), expected, "{text}");
    }
    for bad in [
        "",
        "example.org",
        "https://",
        "https://a/b",
        "ftp://a",
        "https://a b",
    ] {
        let (_, faults) = Config::parse(&format!("http.public_url = \"{bad}\""), Path::new(""));
        assert_eq!(faults.len(), 1, "{bad}");
    }
}
