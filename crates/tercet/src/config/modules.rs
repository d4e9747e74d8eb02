//! The tables `[modules.NAME]`: each extension's own settings. Their types lie with the modules; here they are only carried, with their places.

use toml::de::{DeTable, DeValue};

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
