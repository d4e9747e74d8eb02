//! The presence of users and of their contacts, as components have been shown it: so that they are told of changes only, and hear
//! the rest when they come.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tercet_core::{Head, Jid, PresenceType, Stanza, XmlWriter};

/// Addresses, and bytes of their presence, that are remembered of one host. Of others all that comes is told.
const JIDS: usize = 20_000;
const BYTES: usize = 16 << 20;

/// What has been seen.
#[derive(Default)]
pub(super) struct Seen(Mutex<State>);

#[derive(Default)]
struct State {
    /// By full JID: the presence, without the recipient.
    of: HashMap<Jid, Arc<[u8]>>,
    bytes: usize,
}

impl State {
    fn remove(&mut self, jid: &Jid) -> bool {
        let gone = self.of.remove(jid);
        self.bytes -= gone.as_ref().map_or(0, |presence| presence.len());
        gone.is_some()
    }

    fn is_full(&self, more: usize) -> bool {
        self.of.len() >= JIDS || self.bytes + more > BYTES
    }
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a presence of `jid`, available or not. What is to be told of it: nothing if it is known, and for a bare JID that is gone
    /// that each of its resources is.
    pub(super) fn take(&self, jid: &Jid, presence: &Stanza) -> Vec<(Jid, Stanza)> {
        let mut state = self.lock();
        match presence.presence_type() {
            Some(PresenceType::Available) if jid.is_full() => {
                let bytes = without_recipient(jid, presence);
                if state.of.get(jid).is_some_and(|known| **known == *bytes) {
                    return Vec::new();
                }
                state.remove(jid);
                if !state.is_full(bytes.len()) {
                    state.bytes += bytes.len();
                    state.of.insert(jid.clone(), bytes.into());
                }
                vec![(jid.clone(), presence.clone())]
            }
            Some(PresenceType::Unavailable) if jid.is_full() => {
                match state.remove(jid) || state.is_full(0) {
                    true => vec![(jid.clone(), presence.clone())],
                    false => Vec::new(),
                }
            }
            Some(PresenceType::Unavailable) => {
                let of = state.of.keys().filter(|k| k.bare_str() == jid.as_str());
                let gone: Vec<Jid> = of.cloned().collect();
                for jid in &gone {
                    state.remove(jid);
                }
                let told = gone.into_iter().map(|jid| (jid, presence.clone()));
                told.collect()
            }
            _ => Vec::new(),
        }
    }

    /// Everybody who is available.
    pub(super) fn all(&self) -> Vec<(Jid, Stanza)> {
        let state = self.lock();
        let all = state.of.iter();
        all.filter_map(|(jid, presence)| Some((jid.clone(), Stanza::parse(presence).ok()?)))
            .collect()
    }

    /// Those of a domain, each with unavailable presence.
    pub(super) fn of_domain(&self, domain: &str) -> Vec<(Jid, Stanza)> {
        let mut w = XmlWriter::new();
        w.leaf("presence", &[("type", "unavailable")]);
        let Ok(gone) = Stanza::parse(&w.finish()) else {
            return Vec::new();
        };
        let state = self.lock();
        let those = state.of.keys().filter(|jid| jid.domain() == domain);
        those.map(|jid| (jid.clone(), gone.clone())).collect()
    }
}

/// The same for everybody who gets it.
fn without_recipient(jid: &Jid, presence: &Stanza) -> Vec<u8> {
    let mut bytes = Vec::new();
    let head = Head {
        from: Some(jid.as_str()),
        to: Some(jid.domain()),
        ..Head::default()
    };
    presence.write(&mut bytes, head);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(seen: &Seen, jid: &str, presence: &str) -> Vec<String> {
        let presence = Stanza::parse(presence.as_bytes()).unwrap();
        let told = seen.take(&Jid::parse(jid).unwrap(), &presence);
        let mut told: Vec<String> = told.iter().map(|(jid, _)| jid.to_string()).collect();
        told.sort();
        told
    }

    #[test]
    fn what_several_users_get_is_told_once() {
        let seen = Seen::default();
        let (here, gone) = ("<presence to='a@x'/>", "<presence type='unavailable'/>");
        assert_eq!(take(&seen, "r@y/1", here), ["r@y/1"]);
        assert!(take(&seen, "r@y/1", "<presence to='b@x'/>").is_empty());
        assert_eq!(
            take(&seen, "r@y/1", "<presence><show>away</show></presence>"),
            ["r@y/1"]
        );
        assert_eq!(take(&seen, "r@y/2", here), ["r@y/2"]);
        assert_eq!(seen.all().len(), 2);
        assert_eq!(take(&seen, "r@y/1", gone), ["r@y/1"]);
        assert!(take(&seen, "r@y/1", gone).is_empty());
        assert_eq!(take(&seen, "r@y/1", here), ["r@y/1"]);
        assert_eq!(seen.of_domain("y").len(), 2);
        // All that is known of somebody who is gone.
        assert_eq!(take(&seen, "r@y", gone), ["r@y/1", "r@y/2"]);
        assert!(take(&seen, "r@y", gone).is_empty());
        assert_eq!((seen.all().len(), seen.lock().bytes), (0, 0));
        assert!(take(&seen, "r@y/1", "<presence type='subscribe'/>").is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_rest_is_told() {
        let seen = Seen::default();
        let text = format!(
            "<presence><status>{}</status></presence>",
            "x".repeat(1 << 20)
        );
        for number in 0..20 {
            let jid = format!("r{number}@y/1");
            assert_eq!(take(&seen, &jid, &text), [jid.as_str()]);
        }
        assert!(seen.lock().bytes <= BYTES && seen.lock().of.len() == 15);
        // Whoever is not remembered is told of each time.
        assert_eq!(take(&seen, "r19@y/1", &text).len(), 1);
    }
}
