//! A whole server with its modules, which people of other servers write to: what reads a stanza behind the streams is reached only so.
//!
//! A script is what they write, stanza by stanza; control characters, which XML does not allow anyway, are events: SOH, STX and ETX say who
//! writes from there on, EOT has the last stanza that was sent to that one come back as an error, RS lets eleven minutes pass.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use tercet_core::{
    Frame, IqType, Jid, Limits as XmlLimits, Stanza, StanzaError, StanzaKind, StreamParser,
};
use tercet_server::{
    Clock, Elsewhere, HostInfo, Letter, Limits, RoomCreation, Rooms, Server, UnderWay,
};
use tercet_store::Store;

/// Who writes; the first owns what the set-up makes.
pub(crate) const PEOPLE: [&str; 3] = ["romeo@a.test/x", "juliet@a.test/y", "tybalt@b.test/z"];

const HEADER: &[u8] = b"<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
const ELEVEN_MINUTES_MS: u64 = 660_000;

/// What goes to other servers.
#[derive(Default)]
struct Mailbag(Mutex<Vec<Letter>>);

impl Elsewhere for Mailbag {
    fn send(&self, letter: Letter) {
        let mut letters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        letters.push(letter);
    }
}

/// The server, and what it has said.
pub(crate) struct Scene {
    /// The server.
    pub(crate) server: Arc<Server>,
    bag: Arc<Mailbag>,
    /// The way of what comes from other servers.
    under_way: Arc<UnderWay>,
    /// Who writes, as a place in [`PEOPLE`].
    writer: usize,
    parser: StreamParser,
    /// Requests that are not answered yet, less answers that nobody asked for: by who asked, whom, and id.
    open: HashMap<(String, String, String), i64>,
    /// What was sent to each of [`PEOPLE`] last.
    last: [Option<Letter>; 3],
}

impl Scene {
    /// A server for `localhost` and its services, with nothing in its store. All may make rooms, as often as they like.
    pub(crate) fn new() -> Scene {
        let catalogue = [tercet_server::KINDS, tercet_modules::KINDS].concat();
        let clock = Clock::Manual(1_704_067_200_000.into());
        let server = block_on(Server::new(
            Store::memory(&catalogue),
            Limits::default(),
            clock,
        ));
        let server = server.expect("an empty store is read");
        let info = HostInfo {
            domain: "localhost".into(),
            rooms: Some(Rooms {
                creation: RoomCreation::Everybody,
                joins_per_minute: 0,
                messages_per_minute: 0,
                large: 2,
                ..Rooms::new("rooms.localhost")
            }),
            ..HostInfo::default()
        };
        let configured = server.configure(vec![info], tercet_modules::modules);
        configured.expect("the settings are right");
        let bag = Arc::new(Mailbag::default());
        assert!(server.set_elsewhere(bag.clone()));
        Scene {
            server,
            bag,
            under_way: Arc::default(),
            writer: 0,
            parser: parser(),
            open: HashMap::new(),
            last: [None, None, None],
        }
    }

    /// Plays a script; `read` is shown all that is sent meanwhile, and may panic. What follows something that no stream lets through is
    /// left out.
    pub(crate) fn play(&mut self, script: &[u8], mut read: impl FnMut(&Stanza)) {
        let is_event = |byte: &u8| matches!(byte, 0x01..=0x04 | 0x1e);
        for piece in script.split_inclusive(is_event) {
            let (text, event) = match piece.split_last() {
                Some((event, text)) if is_event(event) => (text, Some(*event)),
                _ => (piece, None),
            };
            if !self.write(text, &mut read) {
                return;
            }
            match event {
                Some(0x1e) => {
                    self.server.advance(ELEVEN_MINUTES_MS);
                    self.settle(&mut read);
                }
                Some(0x04) => self.come_back(&mut read),
                Some(number) => self.writer = usize::from(number) - 1,
                None => {}
            }
        }
    }

    /// Every request to an address that answers for itself has got one answer, and there were no others.
    pub(crate) fn expect_answers(&self) {
        for (request, count) in &self.open {
            assert_eq!(*count, 0, "answers that are missing to {request:?}");
        }
    }

    /// Begins anew with the stream, and with requests.
    pub(crate) fn forget(&mut self) {
        self.parser = parser();
        self.open.clear();
    }

    /// False once the stream would have ended.
    fn write(&mut self, mut text: &[u8], read: &mut impl FnMut(&Stanza)) -> bool {
        loop {
            match self.parser.next(&mut text) {
                Ok(Some(Frame::Stanza(stanza))) => self.say(stanza, read),
                Ok(Some(Frame::Whitespace)) => {}
                Ok(None) => return true,
                _ => return false,
            }
        }
    }

    fn say(&mut self, stanza: Stanza, read: &mut impl FnMut(&Stanza)) {
        let writer = PEOPLE[self.writer];
        let stanza = stanza.with_from(Jid::parse(writer).expect("a JID"));
        let Ok(Some(to)) = stanza.to() else {
            return;
        };
        if self.server.host(to.domain()).is_none() {
            return;
        }
        let answers = matches!(stanza.iq_type(), Some(IqType::Result | IqType::Error));
        if stanza.kind() == StanzaKind::Iq
            && !answers
            && !to.is_full()
            && let Some(id) = stanza.id()
        {
            let request = (writer.to_owned(), to.as_str().to_owned(), id.into_owned());
            *self.open.entry(request).or_default() += 1;
        }
        let routed = self.server.accept_from_elsewhere(stanza, &self.under_way);
        block_on(routed.wait());
        self.settle(read);
    }

    /// The last stanza that was sent to who writes could not be brought there.
    fn come_back(&mut self, read: &mut impl FnMut(&Stanza)) {
        if let Some(letter) = self.last[self.writer].take() {
            let error = StanzaError::remote_server_timeout();
            block_on(self.server.undelivered(&letter, &error).wait());
            self.settle(read);
        }
    }

    /// Does what is due, and looks at what was sent.
    fn settle(&mut self, read: &mut impl FnMut(&Stanza)) {
        loop {
            let begun = self.server.run_due();
            if begun.is_empty() {
                break;
            }
            for rest in begun {
                block_on(rest.wait());
            }
        }
        let letters = {
            let mut letters = self.bag.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *letters)
        };
        for letter in letters {
            self.look_at(&letter, read);
            let to = PEOPLE.iter().position(|jid| *jid == letter.to.as_str());
            if let Some(to) = to {
                self.last[to] = Some(letter);
            }
        }
    }

    fn look_at(&mut self, letter: &Letter, read: &mut impl FnMut(&Stanza)) {
        let mut parser = parser();
        let mut bytes = &*letter.bytes;
        let stanza = match parser.next(&mut bytes) {
            Ok(Some(Frame::Stanza(stanza))) => stanza,
            other => panic!(
                "the server sent what no other accepts: {other:?}\n{}",
                String::from_utf8_lossy(&letter.bytes)
            ),
        };
        assert!(bytes.is_empty(), "one stanza a letter");
        let from = stanza.from().ok().flatten().expect("a sender");
        assert_eq!(
            from.bare_str(),
            letter.from.bare_str(),
            "it says whose it is"
        );
        assert!(
            self.server.host(from.domain()).is_some(),
            "nobody speaks for another domain: {}",
            String::from_utf8_lossy(&letter.bytes)
        );
        let to = stanza.to().ok().flatten().expect("a recipient");
        if stanza.kind() == StanzaKind::Iq
            && matches!(stanza.iq_type(), Some(IqType::Result | IqType::Error))
            && !from.is_full()
            && let Some(id) = stanza.id()
        {
            let request = (
                to.as_str().to_owned(),
                from.as_str().to_owned(),
                id.into_owned(),
            );
            *self.open.entry(request).or_default() -= 1;
        }
        read(&stanza);
    }
}

fn parser() -> StreamParser {
    let mut parser = StreamParser::new(XmlLimits::AFTER_LOGIN);
    let mut header = HEADER;
    let read = parser.next(&mut header);
    assert!(matches!(read, Ok(Some(Frame::Header(_)))), "{read:?}");
    parser
}

/// Runs a future to its end. Those of a server with a store in memory wait for nothing but each other.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::yield_now();
    }
}
