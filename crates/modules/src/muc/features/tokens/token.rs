//! Tokens as such: which there are, how long they hold, and what they do at the door.

use tercet_core::{BareJid, Element, StanzaError, XmlWriter};

use super::NS_TOKENS;
use crate::muc::affiliation::{Affiliation, Standing};
use crate::muc::config::RoomConfig;

/// The most tokens that a room has at a time.
const MAX_TOKENS: usize = 100;
/// The longest time that a token holds, in seconds, and how long one does for which nothing was said: 30 days.
const MAX_SECONDS: u32 = 30 * 24 * 3600;
/// The most uses of a token for which a number was asked.
const MAX_USES: u32 = 10_000;

/// The first byte of the durable form.
const FORMAT: u8 = 1;

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// What is passed on.
    pub(super) secret: String,
    /// Who made it.
    pub(super) by: BareJid,
    /// When it ends, in milliseconds since 1970.
    pub(super) expires_ms: u64,
    /// How often it may still be used; `None`: as often as one likes.
    pub(super) uses: Option<u32>,
}

/// The tokens of a room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tokens(Vec<Token>);

/// What is asked of the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenRequest {
    /// A new token.
    Make {
        /// How long it is to hold, in seconds.
        delay: Option<u32>,
        /// How often it is to hold.
        counter: Option<u32>,
    },
    /// Those that one may revoke.
    List,
    /// This one is to hold no longer.
    Revoke(String),
}

impl TokenRequest {
    /// Reads the payload of a request, of which `set` says whether it is one of that kind; `None`: it is of no kind known here.
    ///
    /// # Errors
    /// `bad-request`: a limit is no number, or zero.
    pub(super) fn parse(
        payload: Element<'_>,
        set: bool,
    ) -> Option<Result<TokenRequest, StanzaError>> {
        Some(Ok(match (payload.name(), set) {
            ("request", true) => match (number(payload, "delay"), number(payload, "counter")) {
                (Ok(delay), Ok(counter)) => TokenRequest::Make { delay, counter },
                (Err(error), _) | (_, Err(error)) => return Some(Err(error)),
            },
            ("tokens", false) => TokenRequest::List,
            ("revoke", true) => TokenRequest::Revoke(payload.text().trim().to_owned()),
            _ => return None,
        }))
    }
}

fn number(payload: Element<'_>, name: &str) -> Result<Option<u32>, StanzaError> {
    let Some(value) = payload.attr(name) else {
        return Ok(None);
    };
    match value.trim().parse() {
        Ok(0) | Err(_) => Err(StanzaError::bad_request()
            .text(format!("the attribute {name} is to be a number above zero"))),
        Ok(number) => Ok(Some(number)),
    }
}

/// Whether somebody may make tokens: who could make members, or members who may invite.
pub(super) fn may_make(config: &RoomConfig, who: Standing) -> bool {
    who.administers() || (who.affiliation == Affiliation::Member && config.allow_invites)
}

/// Whether somebody, who is `user`, may see and revoke a token: its maker, and all moderators.
fn may_revoke(token: &Token, user: &BareJid, who: Standing) -> bool {
    token.by == *user || who.moderates()
}

impl Tokens {
    /// Makes a token of that secret.
    ///
    /// # Errors
    /// `resource-constraint`: the room has too many.
    pub(super) fn make(
        &mut self,
        secret: String,
        by: &BareJid,
        delay: Option<u32>,
        counter: Option<u32>,
        now_ms: u64,
    ) -> Result<&Token, StanzaError> {
        self.sweep(now_ms);
        if self.0.len() >= MAX_TOKENS {
            let text = format!("a room has at most {MAX_TOKENS} tokens");
            return Err(StanzaError::resource_constraint().text(text));
        }
        // XEP-0488 §3.3: the limits may be other ones than were asked for.
        let seconds = delay.unwrap_or(MAX_SECONDS).min(MAX_SECONDS);
        let place = self.0.len();
        self.0.push(Token {
            secret,
            by: by.clone(),
            expires_ms: now_ms.saturating_add(u64::from(seconds) * 1000),
            uses: counter.map(|n| n.min(MAX_USES)),
        });
        Ok(&self.0[place])
    }

    /// Whether this is a token that holds.
    fn holds(&self, secret: &str, now_ms: u64) -> bool {
        self.0
            .iter()
            .any(|t| t.secret == secret && t.is_open(now_ms))
    }

    /// Takes one use of a token. False, and nothing changes: it does not hold.
    pub(super) fn spend(&mut self, secret: &str, now_ms: u64) -> bool {
        let token = self
            .0
            .iter_mut()
            .find(|t| t.secret == secret && t.is_open(now_ms));
        let spent = token.is_some();
        if let Some(uses) = token.and_then(|t| t.uses.as_mut()) {
            *uses -= 1;
        }
        self.sweep(now_ms);
        spent
    }

    /// Those that somebody may revoke.
    pub(super) fn list<'a>(
        &'a self,
        user: &'a BareJid,
        who: Standing,
        now_ms: u64,
    ) -> impl Iterator<Item = &'a Token> {
        let open = self.0.iter().filter(move |t| t.is_open(now_ms));
        open.filter(move |t| may_revoke(t, user, who))
    }

    /// Ends a token.
    ///
    /// # Errors
    /// `item-not-found`: there is none that this user may revoke.
    pub(super) fn revoke(
        &mut self,
        secret: &str,
        user: &BareJid,
        who: Standing,
    ) -> Result<(), StanzaError> {
        let theirs = |t: &Token| t.secret == secret && may_revoke(t, user, who);
        match self.0.iter().position(theirs) {
            Some(place) => {
                self.0.remove(place);
                Ok(())
            }
            None => Err(StanzaError::item_not_found()),
        }
    }

    /// Lets go of those that hold no longer.
    fn sweep(&mut self, now_ms: u64) {
        self.0.retain(|t| t.is_open(now_ms));
    }

    /// The durable form: a version; for each token its end, the uses left (all bits set: any), and two texts, each with its
    /// length in two bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        for token in &self.0 {
            out.extend_from_slice(&token.expires_ms.to_be_bytes());
            out.extend_from_slice(&token.uses.unwrap_or(u32::MAX).to_be_bytes());
            for text in [&token.secret, token.by.as_str()] {
                let length = u16::try_from(text.len()).expect("a JID has less than 64 KiB");
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
        out
    }

    /// Reads what [`Tokens::to_bytes`] wrote.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Tokens> {
        let (&FORMAT, mut rest) = bytes.split_first()? else {
            return None;
        };
        let mut tokens = Vec::new();
        while !rest.is_empty() {
            let (expires, after) = rest.split_first_chunk()?;
            let (uses, after) = after.split_first_chunk()?;
            let (secret, after) = text(after)?;
            let (by, after) = text(after)?;
            rest = after;
            let uses = u32::from_be_bytes(*uses);
            tokens.push(Token {
                secret: secret.to_owned(),
                by: BareJid::parse(by).ok()?,
                expires_ms: u64::from_be_bytes(*expires),
                uses: (uses != u32::MAX).then_some(uses),
            });
        }
        Some(Tokens(tokens))
    }
}

fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

impl Token {
    fn is_open(&self, now_ms: u64) -> bool {
        self.uses != Some(0) && now_ms < self.expires_ms
    }

    /// Writes `<token/>` with what is left of its limits, inside an element of the namespace if `inside`.
    pub(super) fn write(&self, inside: bool, now_ms: u64, w: &mut XmlWriter) {
        let left = self.expires_ms.saturating_sub(now_ms).div_ceil(1000);
        w.start("token");
        if !inside {
            w.attr("xmlns", NS_TOKENS);
        }
        w.attr("delay", &left.to_string())
            .opt_attr("counter", self.uses.map(|n| n.to_string()).as_deref())
            .attr("creator", self.by.as_str())
            .text(&self.secret)
            .end();
    }
}

/// What becomes of somebody at the door who gives a password, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// No token has a part in it.
    Pass,
    /// It is a token: who enters becomes a member, and needs neither a password nor a place on the list.
    Member,
    /// It was one, as it seems, and holds no longer.
    Expired,
}

/// What a password does that is given at the door.
pub(super) fn entry(
    config: &RoomConfig,
    tokens: Option<&Tokens>,
    affiliation: Affiliation,
    password: Option<&str>,
    now_ms: u64,
) -> Entry {
    // XEP-0488 §4: a token that somebody brings who is affiliated already is ignored.
    let Some(password) = password.filter(|_| affiliation == Affiliation::None) else {
        return Entry::Pass;
    };
    if tokens.is_some_and(|t| t.holds(password, now_ms)) {
        return Entry::Member;
    }
    // §4: who gives a password where none is needed gives a token that has expired.
    if config.members_only && !config.password_protected {
        return Entry::Expired;
    }
    Entry::Pass
}

/// What who brings an expired token is told.
pub(super) fn expired() -> StanzaError {
    let mut w = XmlWriter::new();
    w.leaf("expired-token", &[("xmlns", NS_TOKENS)]);
    StanzaError::not_authorized().app(w.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::muc::affiliation::Role;
    use tercet_core::{Condition, OwnedElement};

    fn jid(text: &str) -> BareJid {
        BareJid::parse(text).unwrap()
    }

    fn who(affiliation: Affiliation, role: Role) -> Standing {
        Standing { affiliation, role }
    }

    const MEMBER: Standing = Standing {
        affiliation: Affiliation::Member,
        role: Role::Participant,
    };

    #[test]
    fn requests_are_read() {
        let parse = |xml: &str, set| {
            let element = OwnedElement::parse(xml.as_bytes(), "jabber:client").unwrap();
            let request = TokenRequest::parse(element.root(), set);
            request.map(|r| r.map_err(|e| e.condition))
        };
        let ns = NS_TOKENS;
        let make = |delay, counter| Some(Ok(TokenRequest::Make { delay, counter }));
        assert_eq!(
            parse(&format!("<request xmlns='{ns}'/>"), true),
            make(None, None)
        );
        assert_eq!(
            parse(
                &format!("<request xmlns='{ns}' delay='9' counter='5'/>"),
                true
            ),
            make(Some(9), Some(5))
        );
        for bad in ["delay='0'", "counter='-1'", "delay='a'", "counter=''"] {
            assert_eq!(
                parse(&format!("<request xmlns='{ns}' {bad}/>"), true),
                Some(Err(Condition::BadRequest))
            );
        }
        assert_eq!(
            parse(&format!("<tokens xmlns='{ns}'/>"), false),
            Some(Ok(TokenRequest::List))
        );
        assert_eq!(
            parse(&format!("<revoke xmlns='{ns}'>abc</revoke>"), true),
            Some(Ok(TokenRequest::Revoke("abc".to_owned())))
        );
        assert_eq!(
            parse(&format!("<revoke xmlns='{ns}'>abc</revoke>"), false),
            None
        );
    }

    #[test]
    fn a_token_holds_until_its_time_or_its_uses_are_over() {
        let (by, mut tokens) = (jid("louise@example.org"), Tokens::default());
        tokens
            .make("a".to_owned(), &by, Some(10), Some(2), 1000)
            .unwrap();
        tokens.make("b".to_owned(), &by, None, None, 1000).unwrap();
        assert!(tokens.holds("a", 10_999) && !tokens.holds("a", 11_000));
        assert!(tokens.spend("a", 2000) && tokens.spend("a", 3000) && !tokens.spend("a", 4000));
        for _ in 0..5 {
            assert!(tokens.spend("b", 5000));
        }
        let end = 1000 + u64::from(MAX_SECONDS) * 1000;
        assert!(tokens.holds("b", end - 1) && !tokens.holds("b", end));
        assert!(!tokens.holds("c", 0) && !tokens.holds("", 0));
    }

    #[test]
    fn limits_are_cut_to_those_of_the_room() {
        let (by, mut tokens) = (jid("louise@example.org"), Tokens::default());
        let token = tokens.make("a".to_owned(), &by, Some(u32::MAX), Some(u32::MAX), 0);
        let mut w = XmlWriter::new();
        token.unwrap().write(false, 500, &mut w);
        assert_eq!(
            String::from_utf8(w.finish()).unwrap(),
            format!(
                "<token xmlns='{NS_TOKENS}' delay='{MAX_SECONDS}' counter='{MAX_USES}' creator='louise@example.org'>a</token>"
            )
        );
        for n in 1..MAX_TOKENS {
            tokens.make(n.to_string(), &by, None, None, 0).unwrap();
        }
        let error = tokens.make("z".to_owned(), &by, None, None, 0).unwrap_err();
        assert_eq!(error.condition, Condition::ResourceConstraint);
        // Those that have ended make room.
        let later = u64::from(MAX_SECONDS) * 1000;
        assert!(tokens.make("z".to_owned(), &by, None, None, later).is_ok());
    }

    #[test]
    fn tokens_are_revoked_by_their_maker_and_by_moderators() {
        let (by, other) = (jid("louise@example.org"), jid("peter@example.org"));
        let mut tokens = Tokens::default();
        for secret in ["a", "b"] {
            tokens.make(secret.to_owned(), &by, None, None, 0).unwrap();
        }
        let moderator = who(Affiliation::None, Role::Moderator);
        let seen = |tokens: &Tokens, user, who| tokens.list(user, who, 1).count();
        assert_eq!(seen(&tokens, &by, MEMBER), 2);
        assert_eq!(seen(&tokens, &other, MEMBER), 0);
        assert_eq!(seen(&tokens, &other, moderator), 2);
        assert!(tokens.revoke("a", &other, MEMBER).is_err());
        assert!(tokens.revoke("a", &by, MEMBER).is_ok());
        assert!(tokens.revoke("a", &by, MEMBER).is_err());
        assert!(tokens.revoke("b", &other, moderator).is_ok());
        assert_eq!(tokens, Tokens::default());
    }

    #[test]
    fn tokens_are_made_by_those_who_may_make_members() {
        let open = RoomConfig::default();
        let inviting = RoomConfig {
            allow_invites: true,
            ..RoomConfig::default()
        };
        for (standing, expected) in [
            (who(Affiliation::None, Role::Moderator), [false, false]),
            (MEMBER, [false, true]),
            (who(Affiliation::Admin, Role::None), [true, true]),
        ] {
            assert_eq!([&open, &inviting].map(|c| may_make(c, standing)), expected);
        }
    }

    #[test]
    fn a_token_opens_the_door_to_those_without_affiliation() {
        let mut tokens = Tokens::default();
        tokens
            .make("a".to_owned(), &jid("l@x"), None, None, 0)
            .unwrap();
        let tokens = Some(&tokens);
        let members = RoomConfig {
            members_only: true,
            ..RoomConfig::default()
        };
        let secret = RoomConfig {
            members_only: true,
            password_protected: true,
            secret: "s".to_owned(),
            ..RoomConfig::default()
        };
        let open = RoomConfig::default();
        let (none, member) = (Affiliation::None, Affiliation::Member);
        for (config, affiliation, password, expected) in [
            (&members, none, Some("a"), Entry::Member),
            (&members, none, Some("b"), Entry::Expired),
            (&members, none, None, Entry::Pass),
            (&members, member, Some("a"), Entry::Pass),
            (&members, Affiliation::Outcast, Some("a"), Entry::Pass),
            (&secret, none, Some("a"), Entry::Member),
            (&secret, none, Some("s"), Entry::Pass),
            (&open, none, Some("a"), Entry::Member),
            (&open, none, Some("b"), Entry::Pass),
        ] {
            assert_eq!(entry(config, tokens, affiliation, password, 1), expected);
        }
        assert_eq!(entry(&members, None, none, Some("a"), 1), Entry::Expired);
        assert_eq!(
            expired().application.as_deref(),
            Some(&b"<expired-token xmlns='urn:xmpp:muc-token-invite:0'/>"[..])
        );
    }

    #[test]
    fn the_durable_form_is_read_as_it_was_written() {
        let mut tokens = Tokens::default();
        tokens
            .make("a".to_owned(), &jid("l@x"), None, None, 7)
            .unwrap();
        tokens
            .make("é".to_owned(), &jid("l@x"), Some(1), Some(3), 7)
            .unwrap();
        let bytes = tokens.to_bytes();
        assert_eq!(Tokens::from_bytes(&bytes), Some(tokens));
        assert_eq!(Tokens::from_bytes(&[1]), Some(Tokens::default()));
        for broken in [&bytes[..bytes.len() - 1], &[2], &[]] {
            assert_eq!(Tokens::from_bytes(broken), None);
        }
    }
}
