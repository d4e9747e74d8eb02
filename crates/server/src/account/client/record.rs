//! What is kept of a client, and how its tokens are checked and follow one another.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use tercet_stream::UserAgent;
use tercet_stream::sasl::{Mechanism, TokenProof};
use zeroize::Zeroizing;

use super::NOTED_MS;
use super::count::Count;

/// A client of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRecord {
    /// When it was first used, in milliseconds since 1970.
    pub first_ms: u64,
    /// When it was used last, within an hour.
    pub last_ms: u64,
    /// It has logged in without a token: it knows the password, or has a certificate.
    pub password: bool,
    /// What it calls itself.
    pub software: Option<String>,
    /// What it calls its device.
    pub device: Option<String>,
    pub(super) tokens: Tokens,
}

/// The first byte of the durable form.
const FORMAT: u8 = 1;

impl ClientRecord {
    pub(super) fn new(now_ms: u64) -> ClientRecord {
        ClientRecord {
            first_ms: now_ms,
            last_ms: 0,
            password: false,
            software: None,
            device: None,
            tokens: Tokens::default(),
        }
    }

    /// Whether it has a token that holds.
    pub fn has_token(&self, now_ms: u64) -> bool {
        let tokens = [&self.tokens.current, &self.tokens.fresh];
        let mut tokens = tokens.into_iter().flatten();
        tokens.any(|token| token.expires_ms > now_ms)
    }

    /// It is used now. Whether that has to be kept.
    pub(super) fn is_seen(&mut self, agent: &UserAgent, now_ms: u64) -> bool {
        let named = self.software == agent.software && self.device == agent.device;
        self.software.clone_from(&agent.software);
        self.device.clone_from(&agent.device);
        let stale = self.last_ms + NOTED_MS <= now_ms;
        if stale || !named {
            self.last_ms = now_ms;
        }
        stale || !named
    }

    /// The durable form.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![FORMAT, u8::from(self.password)];
        out.extend_from_slice(&self.first_ms.to_be_bytes());
        out.extend_from_slice(&self.last_ms.to_be_bytes());
        for text in [&self.software, &self.device] {
            let text = text.as_deref().unwrap_or_default();
            // Names are cut to fewer bytes when they come.
            out.push(u8::try_from(text.len()).unwrap_or(0));
            out.extend_from_slice(&text.as_bytes()[..usize::from(*out.last().unwrap_or(&0))]);
        }
        out.extend_from_slice(&self.tokens.count.to_be_bytes());
        let tokens = &self.tokens;
        for token in [&tokens.current, &tokens.fresh, &tokens.spent] {
            match token {
                Some(token) => token.write(&mut out),
                None => out.push(0),
            }
        }
        out
    }

    /// Reads what [`ClientRecord::to_bytes`] wrote.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<ClientRecord> {
        let [FORMAT, password, rest @ ..] = bytes else {
            return None;
        };
        let (first, rest) = rest.split_first_chunk()?;
        let (last, mut rest) = rest.split_first_chunk()?;
        let mut text = || {
            let (&length, behind) = rest.split_first()?;
            let (text, behind) = behind.split_at_checked(usize::from(length))?;
            rest = behind;
            let text = std::str::from_utf8(text).ok()?;
            Some((!text.is_empty()).then(|| text.to_owned()))
        };
        let (software, device) = (text()?, text()?);
        let (count, mut rest) = rest.split_first_chunk()?;
        let mut token = || Token::read(&mut rest);
        let tokens = Tokens {
            current: token()?,
            fresh: token()?,
            spent: token()?,
            count: u32::from_be_bytes(*count),
        };
        rest.is_empty().then_some(ClientRecord {
            first_ms: u64::from_be_bytes(*first),
            last_ms: u64::from_be_bytes(*last),
            password: *password != 0,
            software,
            device,
            tokens,
        })
    }
}

/// The tokens of a client (XEP-0484 §5.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    current: Option<Token>,
    /// Given and not used yet.
    fresh: Option<Token>,
    /// The one before the current one.
    spent: Option<Token>,
    /// How many times the current one has been used, as the client says.
    count: u32,
}

/// What a token was good for.
pub(super) struct Used {
    /// The server's proof.
    pub(super) answer: Vec<u8>,
    /// When it was given.
    pub(super) issued_ms: u64,
    /// The tokens are others than before.
    pub(super) changed: bool,
    /// How many times the token has been used by now, if the client counts.
    pub(super) count: Option<Count>,
}

/// Why a token does not log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is none.
    Wrong,
    /// It was one.
    Expired,
    /// Somebody has used it before who is not the one that has it, or the other way round.
    Stolen,
}

impl Tokens {
    /// Checks what a client shows. XEP-0484 §5.1: the one given last first, which takes the place of the current one by its use.
    pub(super) fn check(
        &mut self,
        proof: &TokenProof,
        count: Option<u32>,
        now_ms: u64,
    ) -> Result<Used, Refused> {
        // All three, whichever it is.
        let fits = |token: &Option<Token>| {
            let token = token.as_ref()?;
            // XEP-0484 §3.4: for the mechanism that it was asked for alone.
            proof
                .answer(token.text().as_bytes())
                .filter(|_| token.mechanism == proof.mechanism())
        };
        let (fresh, current) = (fits(&self.fresh), fits(&self.current));
        if fits(&self.spent).is_some() {
            return Err(Refused::Stolen);
        }
        let mut changed = false;
        let answer = match (fresh, current) {
            (Some(answer), _) => {
                if self.fresh.as_ref().is_some_and(|t| t.expires_ms > now_ms) {
                    self.spent = self.current.take();
                    self.current = self.fresh.take();
                    self.count = 0;
                    changed = true;
                }
                answer
            }
            (None, Some(answer)) => answer,
            (None, None) => return Err(Refused::Wrong),
        };
        let Some(token) = self.current.as_ref().filter(|t| t.expires_ms > now_ms) else {
            return Err(Refused::Expired);
        };
        if let Some(count) = count {
            // XEP-0484 §3.4: never the same count twice.
            if count <= self.count {
                return Err(Refused::Stolen);
            }
            self.count = count;
        }
        let issued_ms = token.issued_ms;
        Ok(Used {
            answer,
            issued_ms,
            changed,
            count: count.map(|count| Count { issued_ms, count }),
        })
    }

    /// Takes what is known of the current token's use. Whether that was news.
    pub(super) fn catch_up(&mut self, known: Count) -> bool {
        let current = self.current.as_ref();
        let news = current.is_some_and(|token| token.issued_ms == known.issued_ms)
            && self.count < known.count;
        if news {
            self.count = known.count;
        }
        news
    }

    /// How many times the current one has been used.
    #[cfg(test)]
    pub(super) fn uses(&self) -> u32 {
        self.count
    }

    /// Another token. XEP-0484 §3.5: it takes the place of one that was not used, and leaves the current one.
    pub(super) fn give(&mut self, token: Token) {
        self.fresh = Some(token);
    }
}

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    mechanism: Mechanism,
    secret: Zeroizing<[u8; 32]>,
    issued_ms: u64,
    expires_ms: u64,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({}, ..)", self.mechanism.name())
    }
}

impl Token {
    /// A token of random bytes.
    pub(super) fn new(
        mechanism: Mechanism,
        random: [u8; 32],
        issued_ms: u64,
        expires_ms: u64,
    ) -> Token {
        Token {
            mechanism,
            secret: Zeroizing::new(random),
            issued_ms,
            expires_ms,
        }
    }

    /// As clients see it: 43 characters.
    pub(super) fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(*self.secret))
    }

    pub(super) fn expires_ms(&self) -> u64 {
        self.expires_ms
    }

    fn write(&self, out: &mut Vec<u8>) {
        let code = CODES.iter().position(|known| *known == self.mechanism);
        // Tokens are made for these alone.
        out.push(code.map_or(0, |at| at as u8 + 1));
        out.extend_from_slice(&*self.secret);
        out.extend_from_slice(&self.issued_ms.to_be_bytes());
        out.extend_from_slice(&self.expires_ms.to_be_bytes());
    }

    /// The next one in `bytes`, if there is one; `None` if that cannot be read.
    fn read(bytes: &mut &[u8]) -> Option<Option<Token>> {
        let (&code, rest) = bytes.split_first()?;
        *bytes = rest;
        let Some(at) = code.checked_sub(1) else {
            return Some(None);
        };
        let mechanism = *CODES.get(usize::from(at))?;
        let (secret, rest) = rest.split_first_chunk::<32>()?;
        let (issued, rest) = rest.split_first_chunk()?;
        let (expires, rest) = rest.split_first_chunk()?;
        *bytes = rest;
        Some(Some(Token::new(
            mechanism,
            *secret,
            u64::from_be_bytes(*issued),
            u64::from_be_bytes(*expires),
        )))
    }
}

/// The mechanisms by the numbers that are kept for them, from one.
const CODES: [Mechanism; 3] = [
    Mechanism::TokenExporter,
    Mechanism::TokenEndPoint,
    Mechanism::TokenUnbound,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_nothing_else_is() {
        let mut client = ClientRecord::new(7);
        let plain = client.to_bytes();
        assert_eq!(ClientRecord::from_bytes(&plain), Some(client.clone()));
        let agent = UserAgent {
            id: "id".into(),
            software: Some("Verse".into()),
            device: None,
        };
        assert!(client.is_seen(&agent, 9));
        assert!(!client.is_seen(&agent, NOTED_MS));
        client.password = true;
        for mechanism in CODES {
            client.tokens.spent = client.tokens.current.take();
            client.tokens.current = client.tokens.fresh.take();
            client
                .tokens
                .give(Token::new(mechanism, [mechanism as u8; 32], 1, 2));
        }
        let bytes = client.to_bytes();
        assert_eq!(ClientRecord::from_bytes(&bytes), Some(client));
        for length in 0..bytes.len() {
            assert_eq!(ClientRecord::from_bytes(&bytes[..length]), None);
        }
        assert_eq!(ClientRecord::from_bytes(&[&bytes[..], &[0]].concat()), None);
    }
}
