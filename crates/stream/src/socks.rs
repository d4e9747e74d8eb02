//! SOCKS5 (RFC 1928) as XEP-0065 uses it, seen from the proxy: nobody authenticates, and CONNECT names a stream instead of a
//! place. Nothing else of SOCKS5 is there, so that nobody is connected to anywhere.

use smallvec::SmallVec;

/// The version of every message (RFC 1928 §3).
const VERSION: u8 = 5;
/// RFC 1928 §3: the method without authentication, and the answer that none fits.
const NO_AUTHENTICATION: u8 = 0x00;
const NO_METHOD: u8 = 0xff;
/// RFC 1928 §4.
const CONNECT: u8 = 0x01;
const DOMAIN_NAME: u8 = 0x03;
/// Bytes before the address of a request: version, command, a reserved one, the address's type and length.
const BEFORE_ADDRESS: usize = 5;
/// Bytes of the port.
const PORT: usize = 2;
/// Bytes of the longest message: a request with a name of 255 bytes.
const LONGEST: usize = BEFORE_ADDRESS + 255 + PORT;

/// Of which stream a connection is an end: SHA-1 of its id, its requester's JID and its target's.
pub type StreamHash = [u8; 20];

/// What a request is answered with (RFC 1928 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The connection is an end of the stream now.
    Succeeded = 0,
    /// It cannot be, for want of something.
    Failure = 1,
    /// It may not be: the stream has two ends, or the name is of no stream.
    NotAllowed = 2,
    /// The command is not CONNECT.
    UnknownCommand = 7,
    /// The address is no name.
    UnknownAddress = 8,
}

/// What comes of the bytes so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// These bytes have to be written.
    Write(SmallVec<[u8; 2]>),
    /// The client wants to be an end of this stream. It waits for [`Handshake::reply`].
    Connect(StreamHash),
    /// These bytes have to be written if there are any, and the connection closed.
    Close(Vec<u8>),
}

/// The client's part of the way to a stream.
#[derive(Debug)]
pub struct Handshake {
    state: State,
    /// What has come and was not read; never more than the longest message.
    bytes: SmallVec<[u8; 64]>,
    /// From the type of the address to the port, as the client has sent them.
    address: SmallVec<[u8; 48]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeting,
    Request,
    Done,
}

impl Default for Handshake {
    fn default() -> Self {
        Handshake::new()
    }
}

impl Handshake {
    /// Nothing has come.
    pub fn new() -> Handshake {
        Handshake {
            state: State::Greeting,
            bytes: SmallVec::new(),
            address: SmallVec::new(),
        }
    }

    /// Takes bytes from the client. What comes behind its request, before the stream is active, is not kept (XEP-0065 §8.1).
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.state != State::Done {
            let room = LONGEST * 2 - self.bytes.len().min(LONGEST * 2);
            self.bytes
                .extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    /// What is to be done next; `None` until more comes.
    pub fn poll(&mut self) -> Option<Event> {
        match self.state {
            State::Greeting => self.greeting(),
            State::Request => self.request(),
            State::Done => None,
        }
    }

    /// The answer to [`Event::Connect`].
    pub fn reply(&self, reply: Reply) -> Vec<u8> {
        // XEP-0065 §6.3.2: bound are the address and the port that the client has asked for.
        let mut out = vec![VERSION, reply as u8, 0];
        out.extend_from_slice(&self.address);
        out
    }

    /// RFC 1928 §3: version, number of methods, methods.
    fn greeting(&mut self) -> Option<Event> {
        if *self.bytes.first()? != VERSION {
            return Some(self.close(Vec::new()));
        }
        let length = 2 + usize::from(*self.bytes.get(1)?);
        let methods = self.bytes.get(2..length)?;
        if !methods.contains(&NO_AUTHENTICATION) {
            return Some(self.close(vec![VERSION, NO_METHOD]));
        }
        self.bytes.drain(..length);
        self.state = State::Request;
        let method = [VERSION, NO_AUTHENTICATION];
        Some(Event::Write(SmallVec::from_slice(&method)))
    }

    /// RFC 1928 §4: version, command, reserved, type of address, address, port.
    fn request(&mut self) -> Option<Event> {
        if *self.bytes.first()? != VERSION {
            return Some(self.close(Vec::new()));
        }
        let &[_, command, _, kind, length] = self.bytes.first_chunk::<BEFORE_ADDRESS>()?;
        // What is refused is so whatever follows: of other types of address the length is another.
        if command != CONNECT {
            return Some(self.refuse(Reply::UnknownCommand));
        }
        // XEP-0065 §8.2: a name, always.
        if kind != DOMAIN_NAME {
            return Some(self.refuse(Reply::UnknownAddress));
        }
        let end = BEFORE_ADDRESS + usize::from(length) + PORT;
        let message = self.bytes.get(..end)?;
        self.address = SmallVec::from_slice(&message[BEFORE_ADDRESS - 2..]);
        let hash = hash(&message[BEFORE_ADDRESS..end - PORT]);
        let Some(hash) = hash else {
            let reply = self.reply(Reply::NotAllowed);
            return Some(self.close(reply));
        };
        self.state = State::Done;
        self.bytes = SmallVec::new();
        Some(Event::Connect(hash))
    }

    /// Without an address of the client's: none was understood.
    fn refuse(&mut self, reply: Reply) -> Event {
        self.close(vec![VERSION, reply as u8, 0, 1, 0, 0, 0, 0, 0, 0])
    }

    fn close(&mut self, bytes: Vec<u8>) -> Event {
        self.state = State::Done;
        self.bytes = SmallVec::new();
        Event::Close(bytes)
    }
}

/// Reads 40 hexadecimal digits.
fn hash(text: &[u8]) -> Option<StreamHash> {
    let mut hash = StreamHash::default();
    if text.len() != hash.len() * 2 {
        return None;
    }
    for (byte, digits) in hash.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |at: usize| char::from(digits[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "0123456789abcdef0123456789ABCDEF01234567";

    fn request(command: u8, kind: u8, name: &str) -> Vec<u8> {
        let length = u8::try_from(name.len()).unwrap();
        [&[5, command, 0, kind, length], name.as_bytes(), &[0, 0]].concat()
    }

    /// What the whole of `bytes` leads to, however it comes.
    fn events(bytes: &[u8]) -> Vec<Event> {
        let mut whole = None;
        for split in 0..=bytes.len() {
            let mut handshake = Handshake::new();
            let mut events = Vec::new();
            for part in [&bytes[..split], &bytes[split..]] {
                handshake.receive(part);
                events.extend(std::iter::from_fn(|| handshake.poll()));
            }
            let whole = whole.get_or_insert_with(|| events.clone());
            assert_eq!(*whole, events, "split at {split}");
        }
        whole.unwrap()
    }

    #[test]
    fn a_client_connects_to_a_stream_by_its_hash() {
        let bytes = [&[5, 2, 2, 0][..], &request(1, 3, DIGITS)].concat();
        let method = Event::Write(SmallVec::from_slice(&[5, 0]));
        let hash = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
        let hash: Vec<u8> = hash.into_iter().cycle().take(20).collect();
        let connect = Event::Connect(hash.try_into().unwrap());
        assert_eq!(events(&bytes), [method, connect]);

        let mut handshake = Handshake::new();
        handshake.receive(&bytes);
        while handshake.poll().is_some() {}
        let reply = handshake.reply(Reply::Succeeded);
        assert_eq!(
            reply,
            [&[5, 0, 0, 3, 40], DIGITS.as_bytes(), &[0, 0]].concat()
        );
    }

    #[test]
    fn nothing_else_of_socks_is_there() {
        let close = |bytes: &[u8]| Event::Close(bytes.to_vec());
        let refused = |reply: u8| close(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0]);
        for (bytes, expected) in [
            (&[4, 1, 0, 80, 127, 0, 0, 1, 0][..], close(&[])),
            (b"GET / HTTP/1.1\r\n\r\n", close(&[])),
            (&[5, 1, 2], close(&[5, 0xff])),
            (&[5, 0], close(&[5, 0xff])),
        ] {
            assert_eq!(events(bytes), [expected], "{bytes:?}");
        }
        let name = |name: &str| {
            let length = u8::try_from(name.len()).unwrap();
            let address = [&[3, length], name.as_bytes(), &[0, 0]].concat();
            close(&[&[5, 2, 0], &address[..]].concat())
        };
        for (bytes, expected) in [
            (request(2, 3, DIGITS), refused(7)),
            (request(3, 3, DIGITS), refused(7)),
            (vec![5, 1, 0, 1, 127, 0, 0, 1, 0, 80], refused(8)),
            (request(1, 4, DIGITS), refused(8)),
            (request(1, 3, "example.org"), name("example.org")),
            (request(1, 3, ""), name("")),
            (request(1, 3, &"g".repeat(40)), name(&"g".repeat(40))),
            (request(1, 3, &"0".repeat(255)), name(&"0".repeat(255))),
            (vec![4, 1, 0, 3, 0], close(&[])),
        ] {
            let all = events(&[&[5, 1, 0], &bytes[..]].concat());
            assert_eq!(all[1..], [expected], "{bytes:?}");
        }
    }

    #[test]
    fn what_comes_too_early_is_not_kept() {
        let mut handshake = Handshake::new();
        for _ in 0..1000 {
            handshake.receive(&[5; 1000]);
            assert!(handshake.bytes.len() <= LONGEST * 2);
        }
        let bytes = [&[5, 1, 0][..], &request(1, 3, DIGITS), &[7; 10_000]].concat();
        assert_eq!(events(&bytes).len(), 2);
    }
}
