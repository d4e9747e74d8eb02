//! The grammar of transcripts.

use std::time::Duration;

use super::{Action, Client, ParseError, Step, Transcript};

impl Transcript {
    /// Parses `text`; `name` is for messages.
    ///
    /// # Errors
    /// Names the first line that is not part of the grammar.
    pub fn parse(name: &str, text: &str) -> Result<Self, ParseError> {
        let mut parser = Parser {
            lines: text.lines().enumerate().peekable(),
            transcript: Transcript {
                name: name.to_owned(),
                clients: Vec::new(),
                config: String::new(),
                steps: Vec::new(),
            },
        };
        parser.run().map_err(|(line, what)| ParseError {
            name: name.to_owned(),
            line,
            what,
        })?;
        Ok(parser.transcript)
    }
}

/// The line and what is wrong with it.
type Fault = (usize, String);

struct Parser<'a> {
    lines: std::iter::Peekable<std::iter::Enumerate<std::str::Lines<'a>>>,
    transcript: Transcript,
}

impl Parser<'_> {
    fn run(&mut self) -> Result<(), Fault> {
        while let Some((index, line)) = self.lines.next() {
            let number = index + 1;
            let line = line.trim_end();
            if let Some(comment) = line.strip_prefix('#') {
                self.comment(number, comment.trim())?;
            } else if let Some(name) = line.strip_prefix("[Client]") {
                self.client(number, name.trim())?;
            } else if line.starts_with([' ', '\t']) {
                return Err((number, "an indented line that belongs to nothing".into()));
            } else if !line.is_empty() && !is_rule(line) {
                let action = self.statement(number, line)?;
                self.transcript.steps.push(Step {
                    line: number,
                    action,
                });
            }
        }
        if self.transcript.steps.is_empty() {
            return Err((0, "nothing happens".into()));
        }
        Ok(())
    }

    fn comment(&mut self, number: usize, comment: &str) -> Result<(), Fault> {
        let Some(extra) = comment.strip_prefix('@') else {
            return Ok(());
        };
        match extra.split_once(' ').unwrap_or((extra, "")) {
            ("config", line) => {
                self.transcript.config.push_str(line);
                self.transcript.config.push('\n');
            }
            ("clock", by) => {
                let by = duration(by.trim())
                    .ok_or_else(|| (number, format!("\"{by}\" is not a time like +1h30m")))?;
                self.transcript.steps.push(Step {
                    line: number,
                    action: Action::Clock(by),
                });
            }
            (other, _) => return Err((number, format!("unknown extra \"@{other}\""))),
        }
        Ok(())
    }

    fn client(&mut self, number: usize, name: &str) -> Result<(), Fault> {
        if name.is_empty() || self.transcript.clients.iter().any(|c| c.name == name) {
            return Err((number, format!("\"{name}\" is no name for a client")));
        }
        let mut client = Client {
            name: name.to_owned(),
            jid: String::new(),
            password: String::new(),
            resource: None,
        };
        for (number, line) in self.block() {
            if line.trim().is_empty() {
                continue;
            }
            let (key, value) = line
                .trim()
                .split_once(':')
                .ok_or_else(|| (number, "a property is written `key: value`".to_owned()))?;
            let value = value.trim().to_owned();
            match key {
                "jid" => match value.split_once('/') {
                    Some((bare, resource)) => {
                        client.jid = bare.to_owned();
                        client.resource = Some(resource.to_owned());
                    }
                    None => client.jid = value,
                },
                "password" => client.password = value,
                "resource" => client.resource = Some(value),
                _ => return Err((number, format!("a client has no \"{key}\""))),
            }
        }
        if client.jid.is_empty() {
            return Err((number, format!("{name} has no jid")));
        }
        self.transcript.clients.push(client);
        Ok(())
    }

    fn statement(&mut self, number: usize, line: &str) -> Result<Action, Fault> {
        const WITH_BLOCK: &[&str] = &[" sends:", " receives:", " receives in any order:"];
        const ALONE: &[&str] = &[
            " connects",
            " disconnects",
            " receives nothing",
            " is disconnected",
        ];
        let verb = WITH_BLOCK
            .iter()
            .chain(ALONE)
            .find(|verb| line.ends_with(**verb))
            .ok_or_else(|| (number, format!("\"{line}\" is no statement")))?;
        let name = &line[..line.len() - verb.len()];
        let client = self
            .transcript
            .clients
            .iter()
            .position(|client| client.name == name)
            .ok_or_else(|| (number, format!("nobody is called \"{name}\"")))?;
        let mut xml = String::new();
        if WITH_BLOCK.contains(verb) {
            xml = unindented(&self.block());
            if xml.trim().is_empty() {
                return Err((number, "no XML follows, indented".into()));
            }
        }
        Ok(match *verb {
            " sends:" => Action::Send(client, xml),
            " receives:" => Action::Receive {
                client,
                xml,
                in_order: true,
            },
            " receives in any order:" => Action::Receive {
                client,
                xml,
                in_order: false,
            },
            " connects" => Action::Connect(client),
            " disconnects" => Action::Disconnect(client),
            " receives nothing" => Action::ReceiveNothing(client),
            _ => Action::IsDisconnected(client),
        })
    }

    /// The indented lines that follow, with empty ones between them.
    fn block(&mut self) -> Vec<(usize, String)> {
        let mut block = Vec::new();
        while let Some((index, line)) = self
            .lines
            .next_if(|(_, line)| line.trim().is_empty() || line.starts_with([' ', '\t']))
        {
            block.push((index + 1, line.trim_end().to_owned()));
        }
        while block.last().is_some_and(|(_, line)| line.is_empty()) {
            block.pop();
        }
        block
    }
}

/// A line of dashes, which ends the introductions.
fn is_rule(line: &str) -> bool {
    line.len() >= 3 && line.bytes().all(|byte| byte == b'-')
}

/// The lines without the indentation that they share.
fn unindented(block: &[(usize, String)]) -> String {
    let shared = block
        .iter()
        .filter(|(_, line)| !line.is_empty())
        .map(|(_, line)| line.len() - line.trim_start().len())
        .min()
        .unwrap_or(0);
    let mut out = String::new();
    for (_, line) in block {
        out.push_str(line.get(shared..).unwrap_or_default());
        out.push('\n');
    }
    out
}

/// `+1h30m`, in days, hours, minutes, seconds and milliseconds.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+')?;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..]
            .find(|c: char| c.is_ascii_digit())
            .map_or(rest.len(), |end| digits + end);
        let milliseconds = match &rest[digits..unit_end] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total += Duration::from_millis(number.checked_mul(milliseconds)?);
        rest = &rest[unit_end..];
    }
    Some(total)
}
