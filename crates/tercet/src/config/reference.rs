//! The example file and docs/configuration.md, made from the table of keys.

use std::fmt::Write as _;

use super::keys::{
    Archive, ComponentKeys, Contact, Federation, General, Http, Limits, Listen, Log, Login, Peers,
    Proxy, PubSub, Registration, Rooms, ServiceKeys, Tls, Upload,
};
use super::section::{Effect, Key, Section};

/// A table as the reference shows it.
struct Table {
    name: &'static str,
    doc: &'static str,
    keys: Vec<Key>,
    /// Whether it may stand inside `[[host]]` too.
    per_host: bool,
    /// Whether there may be several, none at first.
    list: bool,
}

fn table<S: Section>(per_host: bool) -> Table {
    Table {
        name: S::TABLE,
        doc: S::DOC,
        keys: S::keys(),
        per_host,
        list: false,
    }
}

fn tables() -> [Table; 18] {
    [
        table::<General>(false),
        table::<Listen>(false),
        table::<Http>(false),
        table::<Tls>(true),
        table::<Federation>(false),
        table::<Peers>(true),
        table::<Login>(true),
        table::<Registration>(true),
        table::<Limits>(false),
        table::<Archive>(true),
        table::<Upload>(true),
        table::<Rooms>(true),
        table::<PubSub>(true),
        table::<Proxy>(true),
        table::<Contact>(true),
        table::<Log>(false),
        Table {
            list: true,
            ..table::<ComponentKeys>(false)
        },
        Table {
            list: true,
            ..table::<ServiceKeys>(false)
        },
    ]
}

const HOST: &str = "Further domains, one `[[host]]` table each, and settings of one domain alone. Each has a `domain`; the tables \
    `[host.tls]`, `[host.peers]`, `[host.login]`, `[host.registration]`, `[host.archive]`, `[host.upload]`, `[host.rooms]`, `[host.pubsub]`, `[host.proxy]` and `[host.contact]` below it change what the tables of the same name say for the whole \
    server. With `[[host]]` tables and no `domain` above, only those domains are served. A further domain is served from the next reload on; one that is taken away, until the next restart.";

const HOST_EXAMPLE: &str = "[[host]]\ndomain = \"example.net\"\n[host.tls]\ncertificate = \"/etc/tercet/example.net.pem\"\nkey = \"/etc/tercet/example.net.key\"\n[host.registration]\npolicy = \"open\"\n";

const MODULES: &str = "The extensions, one `[modules.NAME]` table each, for one domain alone `[host.modules.NAME]`. Every extension is on; \
    `enabled = false` switches it off, and what it announces goes with it. docs/modules.md has the names. A change takes effect on reload. \
    `push` has three settings more: `sender = true` and `body = true` tell app servers who sent the last message, and its text. \
    Browsers that are woken without a page of the web client (web push) are told `web`: `\"sender\"` unless you say otherwise, `\"count\"`, `\"body\"` for the text too, or `\"off\"` for no web push; \
    the services of their makers, which carry it, cannot read it. \
    `strangers` is about messages of people of other servers whom their recipient does not know: `policy` delivers (`\"allow\"`), puts aside (`\"quarantine\"`) or returns (`\"refuse\"`) them; \
    `per_user = 60` and `per_domain = 600` are how many may come in a minute, `requests = 200` how many of their requests may wait for one user. \
    `block_lists` has in `lists` those that others keep, such as `[\"xmppbl.org/muc_bans_sha256\"]` (a PubSub service and its node): whom they name gets neither to users who do not know them nor into rooms, \
    unless as a member; `interval = 3600` is after how many seconds they are read again, `entries = 100000` how many of one are kept. Who keeps a list decides who is heard here: choose with care.";

const MODULES_EXAMPLE: &str = "[modules.last]\nenabled = false\n[modules.push]\nsender = true\n";

/// The full name of a key called `name`, when exactly one table has one.
pub(super) fn key_elsewhere(name: &str) -> Option<String> {
    let mut found = tables()
        .into_iter()
        .filter(|table| !table.list)
        .flat_map(|table| {
            let path = table.name;
            let keys = table.keys.into_iter().filter(|key| key.name == name);
            keys.map(move |key| match path.is_empty() {
                true => key.name.to_owned(),
                false => format!("{path}.{}", key.name),
            })
        });
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// A `tercet.toml` that says everything and changes nothing: each key is there, explained, commented out, with its default.
pub fn example() -> String {
    let mut out = String::from(
        "# Configuration of Tercet. Everything here is optional: a line that starts with # is off, and shows the default or an example.\n\
         # `tercet check` tells what is wrong with this file; a running server reads it again on SIGHUP.\n",
    );
    for table in tables() {
        out.push('\n');
        comment(&mut out, table.doc);
        if table.list {
            let _ = writeln!(out, "#[[{}]]", table.name);
        } else if !table.name.is_empty() {
            let _ = writeln!(out, "[{}]", table.name);
        }
        for key in table.keys {
            out.push('\n');
            comment(&mut out, key.doc);
            let value = match (&key.default, key.example) {
                (_, Some(example)) => example.to_owned(),
                (Some(default), None) => default.clone(),
                (None, None) => continue,
            };
            let _ = writeln!(out, "#{} = {value}", key.name);
        }
    }
    for (text, example) in [(MODULES, MODULES_EXAMPLE), (HOST, HOST_EXAMPLE)] {
        out.push('\n');
        comment(&mut out, text);
        for line in example.lines() {
            let _ = writeln!(out, "#{line}");
        }
    }
    out
}

/// The reference, docs/configuration.md.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         <!-- Generated by `cargo xtask docs` from crates/tercet/src/config/keys.rs; change it there. -->\n\n\
         One file, `tercet.toml`, in which every key may be left out. `tercet --config FILE` names it; without that, `tercet.toml` in the current \
         folder is read if there is one, and the defaults hold if there is none. Relative paths are meant from the file's own folder.\n\n\
         An unknown key or a bad value stops the start with exit code 2, and every fault is reported at once, with line, key and the nearest known \
         name. `tercet check` looks further: certificates, ports, the data folder. A running server reads the file again on SIGHUP; if it has faults, \
         the old settings stay.\n\n\
         Sizes are numbers of bytes or strings such as `\"256 KiB\"`; times are numbers of seconds or strings such as `\"15 min\"`.\n",
    );
    for table in tables() {
        let title = match table.name {
            "" => "Top of the file".to_owned(),
            name if table.list => format!("`[[{name}]]`"),
            name => format!("`[{name}]`"),
        };
        let _ = write!(out, "\n## {title}\n\n{}\n", paragraph(table.doc));
        if table.per_host {
            let _ = write!(out, "\nFor one domain alone: `[host.{}]`.\n", table.name);
        }
        out.push_str(
            "\n| key | default | change takes effect | meaning |\n| --- | --- | --- | --- |\n",
        );
        for key in table.keys {
            let default = key.default.map_or("unset".to_owned(), |d| format!("`{d}`"));
            let effect = match key.effect {
                Effect::Live => "on reload",
                Effect::Restart => "at restart",
            };
            let mut meaning = paragraph(key.doc);
            if let Some((low, high)) = key.bounds {
                let _ = write!(meaning, " From {low} to {high}.");
            }
            let meaning = meaning.replace('|', "\\|");
            let _ = writeln!(out, "| `{}` | {default} | {effect} | {meaning} |", key.name);
        }
    }
    let _ = write!(
        out,
        "\n## `[modules.NAME]`\n\n{MODULES}\n\n```toml\n{MODULES_EXAMPLE}```\n\n## `[[host]]`\n\n{HOST}\n\n```toml\n{HOST_EXAMPLE}```\n"
    );
    out
}

fn paragraph(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Writes `doc` as comment lines of at most 110 characters.
fn comment(out: &mut String, doc: &str) {
    let mut line = String::from("#");
    for word in doc.split_whitespace() {
        if line.len() + word.len() > 110 {
            let _ = writeln!(out, "{line}");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(out, "{line}");
}
