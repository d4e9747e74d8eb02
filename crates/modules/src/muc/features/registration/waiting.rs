//! Those who wait for an admin's word.

use tercet_core::{BareJid, StanzaError};

use super::form::{ABOUT, Application};

/// The most requests that wait in a room.
const MAX_WAITING: usize = 100;
/// The first byte of the durable form.
const FORMAT: u8 = 1;

/// Requests that wait for an admin, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Waiting(Vec<(BareJid, Application)>);

impl Waiting {
    /// One more; a second request of a user takes the place of the first.
    ///
    /// # Errors
    /// `resource-constraint`: too many wait.
    pub(super) fn add(
        &mut self,
        user: BareJid,
        application: Application,
    ) -> Result<(), StanzaError> {
        self.0.retain(|(jid, _)| *jid != user);
        if self.0.len() >= MAX_WAITING {
            let text = "too many requests wait for the admins of this room";
            return Err(StanzaError::resource_constraint().text(text));
        }
        self.0.push((user, application));
        Ok(())
    }

    /// The request of a user, which waits no longer.
    pub(super) fn take(&mut self, user: &BareJid) -> Option<Application> {
        let place = self.0.iter().position(|(jid, _)| jid == user)?;
        Some(self.0.remove(place).1)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&BareJid, &Application)> {
        self.0.iter().map(|(jid, application)| (jid, application))
    }

    /// The durable form: a version, then texts, each with its length in two bytes: address, nick, and an answer for each field.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        let mut text = |text: &str| {
            let length = u16::try_from(text.len()).expect("JIDs and answers have less than 64 KiB");
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        };
        for (user, application) in self.iter() {
            text(user.as_str());
            text(&application.nick);
            for field in 0..ABOUT.len() {
                let mut about = application.about.iter();
                text(
                    about
                        .find(|(place, _)| *place == field)
                        .map_or("", |(_, answer)| answer),
                );
            }
        }
        out
    }

    /// Reads what [`Waiting::to_bytes`] wrote.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Waiting> {
        let (&FORMAT, mut rest) = bytes.split_first()? else {
            return None;
        };
        let mut text = || -> Option<String> {
            let (length, after) = rest.split_first_chunk()?;
            let (text, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
            rest = after;
            String::from_utf8(text.to_vec()).ok()
        };
        let mut waiting = Vec::new();
        while let Some(user) = text() {
            let (user, nick) = (BareJid::parse(&user).ok()?, text()?);
            let mut about = Vec::new();
            for place in 0..ABOUT.len() {
                let answer = text()?;
                if !answer.is_empty() {
                    about.push((place, answer));
                }
            }
            waiting.push((user, Application { nick, about }));
        }
        rest.is_empty().then_some(Waiting(waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tercet_core::Condition;

    #[test]
    fn requests_that_wait_are_read_as_they_were_written() {
        let jid = |text: &str| BareJid::parse(text).unwrap();
        let application = |nick: &str| Application {
            nick: nick.to_owned(),
            about: vec![(0, "Brunhilde".to_owned()), (4, "é\nx".to_owned())],
        };
        let mut waiting = Waiting::default();
        waiting.add(jid("a@x"), application("1")).unwrap();
        waiting.add(jid("b@x"), application("2")).unwrap();
        waiting.add(jid("a@x"), application("3")).unwrap();
        let bytes = waiting.to_bytes();
        assert_eq!(Waiting::from_bytes(&bytes), Some(waiting.clone()));
        assert_eq!(Waiting::from_bytes(&[1]), Some(Waiting::default()));
        for broken in [&bytes[..bytes.len() - 1], &bytes[..7], &[2], &[]] {
            assert_eq!(Waiting::from_bytes(broken), None);
        }
        assert_eq!(waiting.take(&jid("a@x")), Some(application("3")));
        assert_eq!(waiting.take(&jid("a@x")), None);
        assert_eq!(waiting.iter().count(), 1);
        for n in 1..MAX_WAITING {
            waiting
                .add(jid(&format!("{n}@x")), application("n"))
                .unwrap();
        }
        let full = waiting.add(jid("z@x"), application("z")).unwrap_err();
        assert_eq!(full.condition, Condition::ResourceConstraint);
        assert!(waiting.add(jid("1@x"), application("z")).is_ok());
    }
}
