//! A table of the configuration file: declared once by `section!`, which derives the type, its reader and its documentation.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Problem, nearest, position};
use super::modules::Modules;
use super::value::Value;

/// When a changed key takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// On reload (SIGHUP).
    Live,
    /// When the server is started again.
    Restart,
}

/// What is known of one key: everything the reference says about it.
#[derive(Debug, Clone)]
pub struct Key {
    /// Name inside its table.
    pub name: &'static str,
    /// What it means, for people; several lines are several sentences or paragraphs.
    pub doc: &'static str,
    /// What belongs there.
    pub expects: String,
    /// The default as TOML; `None` when it is unset by default.
    pub default: Option<String>,
    /// A value to show in the example file where the default is unset or empty.
    pub example: Option<&'static str>,
    /// Smallest and largest value, as people write them.
    pub bounds: Option<(String, String)>,
    /// When a change takes effect.
    pub effect: Effect,
}

/// A table of the configuration.
pub trait Section: Clone + PartialEq + Default {
    /// The table's name; empty for the keys above all tables.
    const TABLE: &'static str;
    /// What the table is about.
    const DOC: &'static str;
    /// Its keys, in the order of the reference.
    fn keys() -> Vec<Key>;
    /// Reads the table; what it does not say is taken from `base`.
    fn read(reader: &mut Reader<'_>, base: &Self) -> Self;
    /// Each key's value as TOML.
    fn values(&self) -> Vec<(&'static str, Option<String>)>;
}

/// Declares a [`Section`]: `name: Type = default, in LOW..=HIGH, like "example" => Effect;` with doc comments that become the reference.
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])*
        $name:ident $table:literal {
            $(
                $(#[doc = $doc:literal])*
                $key:ident : $type:ty = $default:expr $(, in $range:expr)? $(, like $example:literal)? => $effect:ident;
            )*
        }
    ) => {
        $(#[doc = $section_doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $key: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $( $key: $default, )* }
            }
        }

        impl $crate::config::section::Section for $name {
            const TABLE: &'static str = $table;
            const DOC: &'static str = concat!($($section_doc, "\n"),*);

            fn keys() -> Vec<$crate::config::section::Key> {
                let default = $name::default();
                vec![$(
                    $crate::config::section::key::<$type>(
                        stringify!($key),
                        concat!($($doc, "\n"),*),
                        &default.$key,
                        $crate::config::section::section!(@range $($range)?),
                        $crate::config::section::section!(@example $($example)?),
                        $crate::config::section::Effect::$effect,
                    ),
                )*]
            }

            fn read(reader: &mut $crate::config::section::Reader<'_>, base: &Self) -> Self {
                $name {
                    $( $key: reader.value(stringify!($key), &base.$key, $crate::config::section::section!(@range $($range)?)), )*
                }
            }

            fn values(&self) -> Vec<(&'static str, Option<String>)> {
                vec![$( (stringify!($key), $crate::config::value::Value::write(&self.$key)), )*]
            }
        }
    };
    (@range) => { None };
    (@range $range:expr) => { Some($range) };
    (@example) => { None };
    (@example $example:literal) => { Some($example) };
}
pub(super) use section;

/// Describes one key; used by `section!`.
pub fn key<T: Value>(
    name: &'static str,
    doc: &'static str,
    default: &T,
    range: Option<RangeInclusive<u64>>,
    example: Option<&'static str>,
    effect: Effect,
) -> Key {
    Key {
        name,
        doc,
        expects: T::expects(),
        default: default.write(),
        example,
        bounds: range.map(|range| (T::bound(*range.start()), T::bound(*range.end()))),
        effect,
    }
}

/// Reads one table, collecting every fault.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    table: &'a DeTable<'a>,
    /// Full name of the table, as in `host.tls`; empty for the top.
    path: &'a str,
    known: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    /// A reader over `table`, a part of `text`; faults name its keys below `path`.
    pub fn new(text: &'a str, path: &'a str, table: &'a DeTable<'a>) -> Reader<'a> {
        Reader {
            text,
            table,
            path,
            known: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// The value of `name`, or `base` if it is not there or not usable; then a fault says why.
    pub fn value<T: Value>(
        &mut self,
        name: &'static str,
        base: &T,
        range: Option<RangeInclusive<u64>>,
    ) -> T {
        let Some(value) = self.raw(name) else {
            return base.clone();
        };
        let mut problems = Vec::new();
        let read = T::read(value, &mut problems);
        if let (Some(range), Some(magnitude)) = (range, read.as_ref().and_then(T::magnitude))
            && !range.contains(&magnitude)
        {
            problems.push(Problem::new(
                value.span(),
                format!(
                    "{} is outside {} to {}",
                    T::bound(magnitude),
                    T::bound(*range.start()),
                    T::bound(*range.end())
                ),
            ));
        }
        let name = self.full_name(name);
        for problem in problems {
            self.push(name.clone(), problem);
        }
        read.unwrap_or_else(|| base.clone())
    }

    /// The table `S` below this one; a copy of `base` if it is not there.
    pub fn section<S: Section>(&mut self, base: &S) -> S {
        let path = self.full_name(S::TABLE);
        let Some(value) = self.raw(S::TABLE) else {
            return base.clone();
        };
        match value.get_ref() {
            DeValue::Table(table) => {
                let mut reader = Reader::new(self.text, &path, table);
                let read = S::read(&mut reader, base);
                self.faults.extend(reader.finish());
                read
            }
            _ => {
                let problem = Problem::new(
                    value.span(),
                    format!("expected a table: write [{path}] on a line of its own"),
                );
                self.push(path.clone(), problem);
                base.clone()
            }
        }
    }

    /// The tables `[modules.NAME]`, over what `shared` says.
    pub fn modules(&mut self, shared: &Modules) -> Modules {
        let Some(value) = self.raw("modules") else {
            return shared.clone();
        };
        let DeValue::Table(table) = value.get_ref() else {
            let problem = Problem::new(
                value.span(),
                "expected a table: write [modules.NAME] on a line of its own",
            );
            self.push(self.full_name("modules"), problem);
            return shared.clone();
        };
        for (name, problem) in Modules::check(table) {
            self.push(format!("{}.{name}", self.full_name("modules")), problem);
        }
        Modules::read(table, shared)
    }

    /// The tables of the list `name` (`[[name]]`), each with the place where it starts.
    pub fn tables(&mut self, name: &'static str) -> Vec<&'a DeTable<'a>> {
        let Some(value) = self.raw(name) else {
            return Vec::new();
        };
        let mut tables = Vec::new();
        let mut wrong = Vec::new();
        match value.get_ref() {
            DeValue::Array(items) => {
                for item in items.iter() {
                    match item.get_ref() {
                        DeValue::Table(table) => tables.push(table),
                        _ => wrong.push(item.span()),
                    }
                }
            }
            _ => wrong.push(value.span()),
        }
        for span in wrong {
            let message =
                format!("expected tables: write [[{name}]] on a line of its own for each");
            self.push(self.full_name(name), Problem::new(span, message));
        }
        tables
    }

    /// The value under `name` as it stands, which makes `name` a known key.
    pub fn raw(&mut self, name: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(name);
        self.table.get(name)
    }

    /// Whether the table says anything about `name`.
    pub fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// Adds a fault at the value of `name`, or at the start of the table if it is not there.
    pub fn fault(&mut self, name: &str, message: impl Into<String>) {
        let span = match self.table.get_key_value(name) {
            Some((_, value)) => value.span(),
            None => self.start(),
        };
        self.push(self.full_name(name), Problem::new(span, message));
    }

    /// Takes over the faults of a table below this one.
    pub fn adopt(&mut self, faults: Vec<Fault>) {
        self.faults.extend(faults);
    }

    /// All faults, those for keys that nobody asked for included.
    pub fn finish(mut self) -> Vec<Fault> {
        let unknown: Vec<_> = self
            .table
            .keys()
            .filter(|key| !self.known.contains(&key.get_ref().as_ref()))
            .map(|key| (key.get_ref().to_string(), key.span()))
            .collect();
        for (name, span) in unknown {
            let near = nearest(&name, self.known.iter().copied())
                .map(|near| self.full_name(near))
                .or_else(|| super::reference::key_elsewhere(&name));
            let message = match near {
                Some(_) => "unknown key".to_owned(),
                None => format!("unknown key; known here: {}", self.known.join(", ")),
            };
            let problem = Problem {
                span,
                message,
                nearest: near,
            };
            let name = self.full_name(&name);
            self.push(name, problem);
        }
        self.faults
    }

    fn full_name(&self, name: &str) -> String {
        match (self.path.is_empty(), name.is_empty()) {
            (true, _) => name.to_owned(),
            (false, true) => self.path.to_owned(),
            (false, false) => format!("{}.{name}", self.path),
        }
    }

    fn start(&self) -> std::ops::Range<usize> {
        let first = self.table.keys().map(Spanned::span).min_by_key(|s| s.start);
        first.unwrap_or(0..0)
    }

    fn push(&mut self, key: String, problem: Problem) {
        let (line, column) = position(self.text, problem.span.start);
        self.faults.push(Fault {
            line,
            column,
            key,
            message: problem.message,
            nearest: problem.nearest,
        });
    }
}
