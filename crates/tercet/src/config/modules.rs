//! The tables `[modules.NAME]`: each extension's own settings.
//!
//! Their types lie with the modules, which read them from plain TOML without places. So each key is tried on its module alone: what the module says
//! about it belongs to that key's line.

use std::ops::Range;

use tercet_server::{HostInfo, Role, VHost};
use toml::de::{DeTable, DeValue};

use super::fault::{Problem, nearest};

/// The settings of the modules of one host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Modules(pub toml::Table);

impl Modules {
    /// What `table` says, over what holds for the whole server.
    pub(super) fn read(table: &DeTable<'_>, shared: &Modules) -> Modules {
        let mut merged = shared.0.clone();
        for (name, value) in table.iter() {
            let own = plain(value.get_ref());
            match (merged.get_mut(name.get_ref().as_ref()), own) {
                (Some(toml::Value::Table(shared)), toml::Value::Table(own)) => shared.extend(own),
                (_, own) => {
                    merged.insert(name.get_ref().to_string(), own);
                }
            }
        }
        Modules(merged)
    }

    /// What is wrong with `table`, each with the name of the key below `modules`.
    pub(super) fn check(table: &DeTable<'_>) -> Vec<(String, Problem)> {
        let known = names();
        let mut faults = Vec::new();
        for (name, value) in table.iter() {
            let module = name.get_ref().as_ref();
            let settings = match value.get_ref() {
                _ if !known.contains(&module) => {
                    let mut problem = Problem::new(
                        name.span(),
                        "there is no such module; docs/modules.md lists them",
                    );
                    problem.nearest = nearest(module, known.iter().copied())
                        .map(|near| format!("modules.{near}"));
                    faults.push((module.to_owned(), problem));
                    continue;
                }
                DeValue::Table(settings) => settings,
                _ => {
                    let message =
                        format!("expected a table: write [modules.{module}] on a line of its own");
                    faults.push((module.to_owned(), Problem::new(value.span(), message)));
                    continue;
                }
            };
            for (key, value) in settings.iter() {
                let full = format!("{module}.{}", key.get_ref());
                let problem = match (key.get_ref().as_ref(), value.get_ref()) {
                    ("enabled", DeValue::Boolean(_)) => continue,
                    ("enabled", _) => Problem::new(value.span(), "expected true or false"),
                    (key_name, value_read) => match refused(module, key_name, plain(value_read)) {
                        None => continue,
                        Some(reason) => described(key_name, key.span(), value.span(), &reason),
                    },
                };
                faults.push((full, problem));
            }
        }
        faults
    }

    /// Each setting's full name and value, for comparison.
    pub(super) fn flat(&self) -> Vec<(String, String)> {
        let tables = self
            .0
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_table()?)));
        tables
            .flat_map(|(name, table)| {
                table.iter().map(move |(key, value)| {
                    (format!("modules.{name}.{key}"), format!("{value:?}"))
                })
            })
            .collect()
    }
}

/// The names of all modules.
fn names() -> Vec<&'static str> {
    let mut names = Vec::new();
    for role in ROLES {
        // A host without settings has every module of its role, and nothing to refuse.
        let info = HostInfo {
            role,
            ..HostInfo::default()
        };
        if let Ok(host) = VHost::build(info, tercet_modules::modules) {
            names.extend(host.modules().iter().map(|module| module.0));
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// The roles of hosts; a module is there for at least one.
const ROLES: [Role; 3] = [Role::Accounts, Role::Rooms, Role::PubSub];

/// Why `module` refuses a setting, in the words of its type.
fn refused(module: &str, key: &str, value: toml::Value) -> Option<String> {
    let settings = toml::Table::from_iter([(key.to_owned(), value)]);
    let build = |role| {
        let info = HostInfo {
            role,
            modules: toml::Table::from_iter([(
                module.to_owned(),
                toml::Value::Table(settings.clone()),
            )]),
            ..HostInfo::default()
        };
        VHost::build(info, tercet_modules::modules).err()
    };
    let reasons = ROLES.into_iter().find_map(build)?;
    let reason = reasons.first()?;
    let reason = reason
        .split_once("]: ")
        .map_or(reason.as_str(), |(_, reason)| reason);
    Some(reason.lines().next().unwrap_or_default().to_owned())
}

/// The reason as said elsewhere in this file format: an unknown key at the key, a bad value at the value.
fn described(key: &str, at_key: Range<usize>, at_value: Range<usize>, reason: &str) -> Problem {
    // `x`, expected `a` or `b`: the words in back quotes behind the first are the known ones. A module without settings says that it expected a unit.
    let known = match (
        reason.strip_prefix("unknown field "),
        reason.contains("expected unit"),
    ) {
        (Some(known), _) => known,
        (None, true) => "",
        (None, false) => return Problem::new(at_value, reason),
    };
    let known = known.split('`').skip(1).step_by(2).skip(1);
    let known: Vec<&str> = known.chain(["enabled"]).collect();
    match nearest(key, known.iter().copied()) {
        Some(near) => Problem {
            span: at_key,
            message: "unknown key".into(),
            nearest: Some(near.to_owned()),
        },
        None => Problem::new(
            at_key,
            format!("unknown key; known here: {}", known.join(", ")),
        ),
    }
}

/// The value without its places. The parser bounds how deep values are nested.
fn plain(value: &DeValue<'_>) -> toml::Value {
    match value {
        DeValue::String(text) => toml::Value::String(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => toml::Value::Integer(number),
            // No setting is that large: whatever reads it refuses the text.
            Err(_) => toml::Value::String(number.to_string()),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => toml::Value::Float(number),
            Err(_) => toml::Value::String(number.to_string()),
        },
        DeValue::Boolean(flag) => toml::Value::Boolean(*flag),
        DeValue::Datetime(time) => toml::Value::Datetime(*time),
        DeValue::Array(items) => {
            toml::Value::Array(items.iter().map(|item| plain(item.get_ref())).collect())
        }
        DeValue::Table(table) => {
            let entries = table
                .iter()
                .map(|(key, value)| (key.get_ref().to_string(), plain(value.get_ref())));
            toml::Value::Table(entries.collect())
        }
    }
}
