//! What a log line looks like.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Formats events.
pub(super) struct Lines {
    pub(super) json: bool,
    pub(super) colour: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut spans = String::new();
        if let Some(scope) = context.event_scope() {
            for span in scope.from_root() {
                spans.push_str(span.name());
                let extensions = span.extensions();
                if let Some(fields) = extensions.get::<FormattedFields<N>>()
                    && !fields.is_empty()
                {
                    spans.push('{');
                    spans.push_str(fields);
                    spans.push('}');
                }
                spans.push_str(": ");
            }
        }
        match self.json {
            true => json(&mut out, &time, &spans, event),
            false => self.text(&mut out, &time, &spans, event),
        }
    }
}

impl Lines {
    fn text(
        &self,
        out: &mut Writer<'_>,
        time: &str,
        spans: &str,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        match self.colour {
            true => write!(out, "{time} \x1b[{}m{level:>5}\x1b[0m ", colour(level))?,
            false => write!(out, "{time} {level:>5} ")?,
        }
        let mut fields = TextFields::default();
        event.record(&mut fields);
        let target = event.metadata().target();
        let line = format!("{target}: {spans}{}{}", fields.message, fields.rest);
        escape(&line, out)?;
        out.write_char('\n')
    }
}

fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    }
}

fn json(out: &mut Writer<'_>, time: &str, spans: &str, event: &Event<'_>) -> fmt::Result {
    let mut fields = JsonFields::default();
    fields.0.insert("time".into(), time.into());
    fields
        .0
        .insert("level".into(), event.metadata().level().as_str().into());
    fields
        .0
        .insert("target".into(), event.metadata().target().into());
    if !spans.is_empty() {
        fields
            .0
            .insert("span".into(), spans.trim_end_matches(": ").into());
    }
    event.record(&mut fields);
    // JSON escapes what it must; the rest of what a terminal might act on is escaped here, in JSON's way.
    for c in serde_json::Value::Object(fields.0).to_string().chars() {
        match is_unsafe(c) {
            true => write!(out, "\\u{:04x}", u32::from(c))?,
            false => out.write_char(c)?,
        }
    }
    out.write_char('\n')
}

/// Writes `text` with everything escaped that a terminal or a reader of lines might act on.
fn escape(text: &str, out: &mut Writer<'_>) -> fmt::Result {
    for c in text.chars() {
        match is_unsafe(c) {
            true => write!(out, "{}", c.escape_unicode())?,
            false => out.write_char(c)?,
        }
    }
    Ok(())
}

/// Control characters, line and paragraph separators, and marks that change the direction of writing. All are below U+10000.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[derive(Default)]
struct TextFields {
    message: String,
    rest: String,
}

impl Visit for TextFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        // A quoted value cannot be taken for further fields.
        match field.name() {
            "message" => self.message.push_str(value),
            name => self.rest.push_str(&format!(" {name}={value:?}")),
        }
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message.push_str(&format!("{value:?}")),
            name => self.rest.push_str(&format!(" {name}={value:?}")),
        }
    }
}

#[derive(Default)]
struct JsonFields(serde_json::Map<String, serde_json::Value>);

impl Visit for JsonFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().into(), value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().into(), value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().into(), value.into());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0
            .insert(field.name().into(), format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(json: bool, log: impl FnOnce()) -> String {
        let out = Shared::default();
        let writer = out.clone();
        let layer = tracing_subscriber::fmt::layer()
            .event_format(Lines {
                json,
                colour: false,
            })
            .with_ansi(false)
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        String::from_utf8(out.0.lock().unwrap().clone()).unwrap()
    }

    const NASTY: &str = "a\nINFO forged\r\x1b[2J\u{202e}\u{85}\u{7f}";

    #[test]
    fn what_peers_send_cannot_break_a_line_or_reach_the_terminal() {
        for json in [false, true] {
            let text = logged(json, || {
                let span = tracing::info_span!("connection", peer = NASTY);
                let _in = span.enter();
                tracing::info!(jid = NASTY, shown = %NASTY, debug = ?NASTY, "it said {NASTY}");
            });
            let line = text.strip_suffix('\n').unwrap();
            assert!(!line.contains(is_unsafe), "{line:?}");
            assert!(line.contains("forged"), "{line:?}");
            assert!(line.contains("connection"), "{line:?}");
        }
    }

    #[test]
    fn json_lines_have_named_fields() {
        let text = logged(true, || {
            tracing::warn!(port = 5222u64, ok = true, "listening")
        });
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["level"], "WARN");
        assert_eq!(value["message"], "listening");
        assert_eq!(value["port"], 5222);
        assert_eq!(value["ok"], true);
        assert!(value["time"].as_str().unwrap().ends_with('Z'));
    }
}
