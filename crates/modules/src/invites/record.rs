//! What an invitation says, its durable form, and its links.

use tercet_core::BareJid;
use tercet_server::VHost;

use super::lets_register;

/// The first byte of the durable form.
const FORMAT: u8 = 1;

/// What an invitation is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// An account on the host.
    Account {
        /// The name it is to have; `None`: whom it is for chooses.
        username: Option<String>,
        /// Whether it and the inviter become contacts.
        friend: bool,
    },
    /// Becoming the inviter's contact, from whatever server.
    Contact {
        /// Whether it lets people without an account make one on the host.
        register: bool,
    },
}

/// An invitation that exists; whether it still holds is another matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// What is passed on: 24 characters of `a`-`z` and `2`-`7`, 120 bits.
    pub token: String,
    /// The host that it is for.
    pub host: String,
    /// Who invites; `None`: the server's operators.
    pub by: Option<BareJid>,
    /// What for.
    pub purpose: Purpose,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it ends, in milliseconds since 1970.
    pub expires_ms: u64,
    /// How often it may be used.
    pub uses: u32,
    /// How often it has been used.
    pub used: u32,
}

impl Invitation {
    /// Whether it may still be used, as far as it is by itself.
    pub fn is_open(&self, now_ms: u64) -> bool {
        self.is_left() && now_ms < self.expires_ms
    }

    /// Whether a use is left, whatever the time.
    pub fn is_left(&self) -> bool {
        self.used < self.uses
    }

    /// Whether it lets somebody make an account on `host`.
    pub fn is_for(&self, host: &VHost) -> bool {
        let registers = !matches!(self.purpose, Purpose::Contact { register: false });
        registers && self.host == host.domain() && lets_register(host)
    }

    /// The name that the account must have.
    pub fn username(&self) -> Option<&str> {
        match &self.purpose {
            Purpose::Account { username, .. } => username.as_deref(),
            Purpose::Contact { .. } => None,
        }
    }

    /// Who becomes the new account's contact.
    pub fn friend(&self) -> Option<&BareJid> {
        match self.purpose {
            Purpose::Account { friend: false, .. } => None,
            _ => self.by.as_ref(),
        }
    }

    /// The `xmpp:` URI (RFC 5122), for clients. `host`: that of the invitation, if it is still served.
    pub fn uri(&self, host: Option<&VHost>) -> String {
        let token = &self.token;
        match &self.purpose {
            // XEP-0401 §5.4: the name, if it is given.
            Purpose::Account { username, .. } => {
                let local = username.as_ref().map(|name| format!("{}@", escaped(name)));
                let local = local.unwrap_or_default();
                format!(
                    "xmpp:{local}{}?register;preauth={token}",
                    escaped(&self.host)
                )
            }
            Purpose::Contact { .. } => {
                // XEP-0401 §5.1: `ibr` only where accounts can be made with it.
                let ibr = if host.is_some_and(|host| self.is_for(host)) {
                    ";ibr=y"
                } else {
                    ""
                };
                let by = self
                    .by
                    .as_ref()
                    .map_or_else(|| escaped(&self.host), address);
                format!("xmpp:{by}?roster;preauth={token}{ibr}")
            }
        }
    }

    /// The page for people; `None` where the host has none.
    pub fn landing(&self, host: &VHost) -> Option<String> {
        let base = host.info().public_url.as_ref()?;
        Some(format!("{base}/invite/{}", self.token))
    }

    /// What is stored under the token, but for the token and the uses.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let (kind, username) = match &self.purpose {
            Purpose::Account { username, friend } => (u8::from(*friend), username.as_deref()),
            Purpose::Contact { register } => (2 + u8::from(*register), None),
        };
        let mut out = vec![FORMAT, kind];
        out.extend_from_slice(&self.created_ms.to_be_bytes());
        out.extend_from_slice(&self.expires_ms.to_be_bytes());
        out.extend_from_slice(&self.uses.to_be_bytes());
        // None of them has a space in it.
        let by = self.by.as_ref().map_or("", |by| by.as_str());
        let texts = format!("{} {by} {}", self.host, username.unwrap_or_default());
        out.extend_from_slice(texts.as_bytes());
        out
    }

    /// Reads what [`Invitation::to_bytes`] wrote; `None` if it is something else.
    pub(super) fn from_bytes(token: &str, used: u32, bytes: &[u8]) -> Option<Invitation> {
        let [FORMAT, kind, rest @ ..] = bytes else {
            return None;
        };
        let (created, rest) = rest.split_first_chunk()?;
        let (expires, rest) = rest.split_first_chunk()?;
        let (uses, texts) = rest.split_first_chunk()?;
        let mut texts = std::str::from_utf8(texts).ok()?.split(' ');
        let mut text = || texts.next().filter(|text| !text.is_empty());
        let host = text()?.to_owned();
        let by = text().map(BareJid::parse).transpose().ok()?;
        let username = text().map(str::to_owned);
        let purpose = match kind {
            0 | 1 => Purpose::Account {
                username,
                friend: *kind == 1,
            },
            2 | 3 => Purpose::Contact {
                register: *kind == 3,
            },
            _ => return None,
        };
        Some(Invitation {
            token: token.to_owned(),
            host,
            by,
            purpose,
            created_ms: u64::from_be_bytes(*created),
            expires_ms: u64::from_be_bytes(*expires),
            uses: u32::from_be_bytes(*uses),
            used,
        })
    }
}

/// A bare JID as it stands in a URI.
fn address(jid: &BareJid) -> String {
    let domain = escaped(jid.domain());
    match jid.local() {
        Some(local) => format!("{}@{domain}", escaped(local)),
        None => domain,
    }
}

/// RFC 5122 §2.2: what may not stand in a URI by itself is percent-encoded.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            b'-' | b'.' | b'_' | b'~' | b'[' | b']' | b':' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
