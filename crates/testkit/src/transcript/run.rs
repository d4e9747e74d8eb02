//! Running a transcript against a peer.

use tercet_core::{Element, escape_attr};

use super::dialogue::Dialogue;
use super::{Action, Failure, Transcript, compare};
use crate::{Arrival, Peer, PeerError};

impl Transcript {
    /// Plays the script, step by step, until its end or until the peer does something else.
    ///
    /// # Errors
    /// The place where they diverge, with all that was said until then.
    pub fn run(&self, peer: &mut dyn Peer) -> Result<(), Failure> {
        let mut run = Run {
            transcript: self,
            peer,
            full_jids: vec![None; self.clients.len()],
            dialogue: Dialogue::default(),
        };
        let mut line = 0;
        let outcome = run.configure().and_then(|()| {
            self.steps.iter().try_for_each(|step| {
                line = step.line;
                run.step(&step.action)
            })
        });
        outcome.map_err(|what| Failure {
            name: self.name.clone(),
            line,
            what,
            dialogue: run.dialogue.into_text(),
        })
    }
}

struct Run<'a> {
    transcript: &'a Transcript,
    peer: &'a mut dyn Peer,
    /// The address that each client has bound.
    full_jids: Vec<Option<String>>,
    dialogue: Dialogue,
}

/// What differs, in one sentence.
type Outcome = Result<(), String>;

impl<'a> Run<'a> {
    fn configure(&mut self) -> Outcome {
        let config = &self.transcript.config;
        if config.is_empty() {
            return Ok(());
        }
        self.peer.configure(config).map_err(text)
    }

    fn step(&mut self, action: &Action) -> Outcome {
        match action {
            Action::Connect(client) => self.connect(*client),
            Action::Disconnect(client) => {
                let name = self.name(*client);
                self.dialogue.said(&format!("{name} disconnects"));
                self.peer.disconnect(name).map_err(text)
            }
            Action::Send(client, xml) => {
                let name = self.name(*client);
                let xml = self.fill_in(xml)?;
                self.dialogue.said(&format!("{name} sends:"));
                self.dialogue.xml(' ', &xml);
                self.peer.send(name, xml.trim()).map_err(text)
            }
            Action::Receive {
                client,
                xml,
                in_order,
            } => self.receive(*client, xml, *in_order),
            Action::ReceiveNothing(client) => {
                let name = self.name(*client);
                self.dialogue.said(&format!("{name} receives nothing"));
                match self.peer.receive(name).map_err(text)? {
                    Arrival::Nothing => Ok(()),
                    arrival => {
                        Err(self.unexpected(&arrival, &format!("{name} receives something")))
                    }
                }
            }
            Action::IsDisconnected(client) => {
                let name = self.name(*client);
                self.dialogue.said(&format!("{name} is disconnected"));
                match self.peer.receive(name).map_err(text)? {
                    Arrival::Closed => Ok(()),
                    arrival => {
                        Err(self.unexpected(&arrival, &format!("{name} is still connected")))
                    }
                }
            }
            Action::Clock(by) => {
                self.dialogue.said(&format!("# {by:?} pass"));
                self.peer.advance(*by).map_err(text)
            }
        }
    }

    fn connect(&mut self, client: usize) -> Outcome {
        let name = self.name(client);
        self.dialogue.said(&format!("{name} connects"));
        let full_jid = self
            .peer
            .connect(&self.transcript.clients[client])
            .map_err(text)?;
        self.full_jids[client] = Some(full_jid);
        Ok(())
    }

    fn receive(&mut self, client: usize, xml: &str, in_order: bool) -> Outcome {
        let name = self.name(client);
        let xml = self.fill_in(xml)?;
        let expected = compare::parse(&xml)?;
        let mut missing: Vec<_> = expected.root().children().collect();
        if missing.is_empty() {
            return Err("the script shows no stanza".into());
        }
        let order = if in_order { "" } else { " in any order" };
        self.dialogue.said(&format!("{name} receives{order}:"));
        while !missing.is_empty() {
            let arrival = self.peer.expect(name).map_err(text)?;
            let candidates = if in_order { 1 } else { missing.len() };
            let what = match &arrival {
                Arrival::Element(came) => match position(&missing[..candidates], came)? {
                    Ok(found) => {
                        let matched = missing.remove(found);
                        self.dialogue.xml(' ', &shown(matched));
                        continue;
                    }
                    Err(what) if candidates == 1 => what,
                    Err(_) => format!("none of the {candidates} expected stanzas is this one"),
                },
                Arrival::Nothing => format!("{name} receives nothing"),
                Arrival::Closed => format!("the stream of {name} is closed"),
            };
            for expected in &missing[..candidates] {
                self.dialogue.xml('-', &shown(*expected));
            }
            return Err(self.unexpected(&arrival, &what));
        }
        Ok(())
    }

    /// Shows in the dialogue what came, and returns `what`.
    fn unexpected(&mut self, arrival: &Arrival, what: &str) -> String {
        let came = match arrival {
            Arrival::Element(xml) => xml.as_str(),
            Arrival::Nothing => "(nothing)",
            Arrival::Closed => "(the stream is closed)",
        };
        self.dialogue.xml('+', came);
        what.to_owned()
    }

    fn name(&self, client: usize) -> &'a str {
        &self.transcript.clients[client].name
    }

    /// Fills in `${Romeo's full JID}` and its kin.
    fn fill_in(&self, xml: &str) -> Result<String, String> {
        let mut out = String::with_capacity(xml.len());
        let mut rest = xml;
        while let Some((before, after)) = rest.split_once("${") {
            let (variable, behind) = after
                .split_once('}')
                .ok_or_else(|| "a variable that does not end".to_owned())?;
            out.push_str(before);
            out.push_str(&escaped(&self.variable(variable)?));
            rest = behind;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn variable(&self, variable: &str) -> Result<String, String> {
        let (name, part) = variable
            .rsplit_once("'s ")
            .ok_or_else(|| format!("${{{variable}}} is not known"))?;
        let client = self
            .transcript
            .clients
            .iter()
            .position(|client| client.name == name)
            .ok_or_else(|| format!("${{{variable}}}: nobody is called {name}"))?;
        if part == "JID" {
            return Ok(self.transcript.clients[client].jid.clone());
        }
        let full_jid = self.full_jids[client]
            .as_deref()
            .ok_or_else(|| format!("${{{variable}}}: {name} is not connected yet"))?;
        match part {
            "full JID" => Ok(full_jid.to_owned()),
            "resource" => Ok(full_jid
                .split_once('/')
                .map_or_else(String::new, |(_, resource)| resource.to_owned())),
            _ => Err(format!("${{{variable}}} is not known")),
        }
    }
}

/// The first of `expected` that `came` matches; what differs from the first when none does. The outer error is for bytes that
/// are no stanza.
fn position(expected: &[Element<'_>], came: &str) -> Result<Result<usize, String>, String> {
    let came = compare::parse(came)?;
    let came = came.root().first_child().ok_or("an empty stanza came")?;
    let mut difference = String::new();
    for (index, expected) in expected.iter().enumerate() {
        match compare::stanza(*expected, came) {
            Ok(()) => return Ok(Ok(index)),
            Err(what) if index == 0 => difference = what,
            Err(_) => {}
        }
    }
    Ok(Err(difference))
}

/// The stanza as the script has it.
fn shown(element: Element<'_>) -> String {
    String::from_utf8_lossy(element.raw()).into_owned()
}

fn escaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    escape_attr(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn text(error: PeerError) -> String {
    error.to_string()
}
