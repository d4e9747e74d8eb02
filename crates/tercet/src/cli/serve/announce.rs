//! What a server says at its start: what it serves, where, and what to do next.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::json;

use super::super::args::Arguments;
use super::super::output;
use crate::config::Config;
use crate::listen::Purpose;

/// What there is to say.
pub(super) struct Start<'a> {
    pub(super) config: &'a Config,
    pub(super) arguments: &'a Arguments,
    pub(super) listeners: &'a [(SocketAddr, Purpose)],
    /// The certificate of the server's own authority, where it has one.
    pub(super) authority: Option<PathBuf>,
    /// Nobody has an account yet.
    pub(super) first_account: bool,
}

impl Start<'_> {
    pub(super) fn print(&self) {
        match self.arguments.json {
            true => output::line(self.json()),
            false => output::text(self.text()),
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "Tercet {} serves {}\n",
            env!("CARGO_PKG_VERSION"),
            self.domains().join(", ")
        );
        let mut row = |name: &str, value: &str| text.push_str(&format!("  {name:<15} {value}\n"));
        for (purpose, what) in [
            (Purpose::C2s, "STARTTLS"),
            (Purpose::C2sTls, "TLS from the first byte"),
        ] {
            let places = self.places(purpose);
            if !places.is_empty() {
                row("clients", &format!("{} ({what})", places.join(", ")));
            }
        }
        for (purpose, what) in [
            (Purpose::S2s, "STARTTLS"),
            (Purpose::S2sTls, "TLS from the first byte"),
        ] {
            let places = self.places(purpose);
            if !places.is_empty() {
                row("servers", &format!("{} ({what})", places.join(", ")));
            }
        }
        let places = self.places(Purpose::Component);
        if !places.is_empty() {
            row("components", &places.join(", "));
        }
        let places = self.places(Purpose::Proxy);
        if !places.is_empty() {
            row("file relay", &places.join(", "));
        }
        for (purpose, scheme) in [(Purpose::Http, "http"), (Purpose::Https, "https")] {
            let places = self.places(purpose);
            if !places.is_empty() {
                let what = match purpose {
                    Purpose::Http => "WebSocket at /ws, for this machine alone",
                    _ => "WebSocket at /ws",
                };
                row(scheme, &format!("{} ({what})", places.join(", ")));
            }
        }
        if let Some(url) = self.url() {
            row("in a browser", &format!("{url}/"));
        }
        row("data", &self.config.data_dir.display().to_string());
        if let Some(authority) = &self.authority {
            row(
                "trust",
                &format!(
                    "{} (the authority of its certificate, for clients)",
                    authority.display()
                ),
            );
        }
        let name = if self.first_account {
            "first account"
        } else {
            "more accounts"
        };
        row(name, &self.account_command());
        text
    }

    fn json(&self) -> serde_json::Value {
        let listeners = self.listeners.iter().map(|(address, purpose)| {
            let purpose = match purpose {
                Purpose::C2s => "c2s",
                Purpose::C2sTls => "c2s_tls",
                Purpose::S2s => "s2s",
                Purpose::S2sTls => "s2s_tls",
                Purpose::Component => "component",
                Purpose::Proxy => "proxy",
                Purpose::Http => "http",
                Purpose::Https => "https",
            };
            json!({ "purpose": purpose, "address": address })
        });
        json!({
            "event": "listening",
            "version": env!("CARGO_PKG_VERSION"),
            "domains": self.domains(),
            "listeners": listeners.collect::<Vec<_>>(),
            "url": self.url(),
            "data_dir": self.config.data_dir,
            "ca_file": self.authority,
            "account_command": self.account_command(),
        })
    }

    /// Where browsers find the first host's pages, if anything listens for them.
    fn url(&self) -> Option<String> {
        let web = |purpose: &Purpose| matches!(purpose, Purpose::Http | Purpose::Https);
        let served = self.listeners.iter().any(|(_, purpose)| web(purpose));
        let url = self.config.public_url(&self.config.hosts[0]);
        url.filter(|_| served)
    }

    fn domains(&self) -> Vec<&str> {
        self.config
            .hosts
            .iter()
            .map(|host| host.domain.as_str())
            .collect()
    }

    fn places(&self, wanted: Purpose) -> Vec<String> {
        let of = self
            .listeners
            .iter()
            .filter(|(_, purpose)| *purpose == wanted);
        of.map(|(address, _)| address.to_string()).collect()
    }

    /// The command that makes an account, to be copied into another terminal.
    fn account_command(&self) -> String {
        // `tercet` if that is how we were called: then it is found.
        let program = std::env::args()
            .next()
            .unwrap_or_else(|| "tercet".to_owned());
        let mut words = vec![quoted(&program)];
        if let Some(file) = &self.arguments.config {
            words.extend(["--config".to_owned(), quoted(&file.to_string_lossy())]);
        }
        let admin = if self.first_account { " --admin" } else { "" };
        format!(
            "{} user add you@{}{admin}",
            words.join(" "),
            self.domains()[0]
        )
    }
}

/// `word` as a shell takes it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Says that every listener accepts.
pub(super) fn ready(arguments: &Arguments) {
    match arguments.json {
        true => output::line(json!({ "event": "ready" })),
        false => output::line("ready"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn start<'a>(
        config: &'a Config,
        arguments: &'a Arguments,
        listeners: &'a [(SocketAddr, Purpose)],
    ) -> Start<'a> {
        Start {
            config,
            arguments,
            listeners,
            authority: Some("/d/ca.crt".into()),
            first_account: true,
        }
    }

    #[test]
    fn the_start_is_told_in_a_few_lines() {
        let config = Config {
            data_dir: "/d".into(),
            ..Config::default()
        };
        let arguments = Arguments::parse_from(["tercet", "--config", "my file.toml"]);
        let listeners = [
            ("127.0.0.1:5222".parse().unwrap(), Purpose::C2s),
            ("[::1]:5222".parse().unwrap(), Purpose::C2s),
            ("127.0.0.1:5223".parse().unwrap(), Purpose::C2sTls),
            ("127.0.0.1:5280".parse().unwrap(), Purpose::Http),
            ("127.0.0.1:5281".parse().unwrap(), Purpose::Https),
        ];
        let text = start(&config, &arguments, &listeners).text();
        let lines: Vec<&str> = text.lines().skip(1).map(str::trim).collect();
        assert_eq!(
            &lines[..7],
            [
                "clients         127.0.0.1:5222, [::1]:5222 (STARTTLS)",
                "clients         127.0.0.1:5223 (TLS from the first byte)",
                "http            127.0.0.1:5280 (WebSocket at /ws, for this machine alone)",
                "https           127.0.0.1:5281 (WebSocket at /ws)",
                "in a browser    http://localhost:5280/",
                "data            /d",
                "trust           /d/ca.crt (the authority of its certificate, for clients)",
            ]
        );
        assert!(lines[7].starts_with("first account"), "{text}");
        assert!(
            lines[7].ends_with(" --config 'my file.toml' user add you@localhost --admin"),
            "{text}"
        );
    }

    #[test]
    fn the_start_has_a_json_form() {
        let config = Config::default();
        let arguments = Arguments::parse_from(["tercet", "--json"]);
        let listeners = [("127.0.0.1:5222".parse().unwrap(), Purpose::C2s)];
        let json = start(&config, &arguments, &listeners).json();
        assert_eq!(json["event"], "listening");
        assert_eq!(json["domains"], json!(["localhost"]));
        assert_eq!(
            json["listeners"],
            json!([{ "purpose": "c2s", "address": "127.0.0.1:5222" }])
        );
        assert_eq!(json["ca_file"], "/d/ca.crt");
        // Nothing listens for browsers.
        assert_eq!(json["url"], serde_json::Value::Null);
    }
}
