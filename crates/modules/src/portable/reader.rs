//! Finding accounts and their pieces in a file: which element of the format is what. No IO: whoever reads the file gives its bytes,
//! and opens the files that it includes.

use std::collections::VecDeque;

use tercet_core::xml::{DocumentError, DocumentParser, Limits, Piece as Part};
use tercet_core::{Element, OwnedElement, ns};

use super::{NS, NS_INCLUDE, NS_MAM, NS_PRIVACY, NS_SCRAM, PIECE_BYTES, Piece, Section};

/// What a document and each element of it may cost. What nobody knows may be bigger than what is taken, and is passed over.
const LIMITS: Limits = Limits {
    stanza_bytes: 16 << 20,
    depth: 128,
    attributes: 256,
    children: 1 << 20,
    name_bytes: 1024,
    namespaces: 256,
};

/// Where in the format a document is: its root is a child of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Nothing: the root is `<server-data/>`.
    Document,
    /// `<server-data/>`: the root is a host.
    Server,
    /// `<host/>`: the root is a user.
    Host,
    /// `<user/>`: the root is something of an account.
    User,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The accounts that follow are of this host.
    Host(String),
    /// An account begins: the localpart, and its password if the file has it.
    User(String, Option<String>),
    /// A piece of it.
    Piece(Piece),
    /// It ends.
    UserEnd,
    /// What another file has belongs here.
    Include(String, Level),
    /// Something that is not taken: what, and why.
    Left(String, String),
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {fault}")]
pub struct Fault {
    /// From 1 on.
    pub line: u64,
    /// In bytes, from 1 on.
    pub column: u64,
    /// What is wrong.
    pub fault: String,
}

impl From<DocumentError> for Fault {
    fn from(error: DocumentError) -> Fault {
        Fault {
            line: error.line,
            column: error.column,
            fault: error.error.to_string(),
        }
    }
}

/// Reads a document.
#[derive(Debug)]
pub struct Reader {
    parser: DocumentParser,
    /// Where the root is.
    outside: Place,
    /// What is entered.
    open: Vec<Place>,
    /// What the element that is being taken is.
    taking: Option<Taking>,
    told: VecDeque<Event>,
    /// Where the element that was told of last begins.
    began: (u64, u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Level(Level),
    Roster,
    Private,
    Offline,
    NodeOwner,
    Nodes,
    Items(String),
    Archive,
}

#[derive(Debug, Clone)]
enum Taking {
    Piece(Section, Option<String>),
    Left,
    Nothing,
}

/// What is to be done with an element.
enum Verdict {
    Enter(Place),
    Take(Section, Option<String>),
    Include(Level),
    Unknown,
    Fault(String),
}

impl Reader {
    /// A reader of a document whose root is a child of `level`.
    pub fn new(level: Level) -> Reader {
        Reader {
            parser: DocumentParser::new(LIMITS),
            outside: Place::Level(level),
            open: Vec::new(),
            taking: None,
            told: VecDeque::new(),
            began: (1, 1),
        }
    }

    /// Further bytes. To be called when [`Reader::next`] has given `None`.
    pub fn push(&mut self, bytes: &[u8]) {
        self.parser.push(bytes);
    }

    /// Line and column where the element begins of which was told last.
    pub fn position(&self) -> (u64, u64) {
        self.began
    }

    /// What comes next; `None`: bytes are missing, or the document has ended.
    ///
    /// # Errors
    /// What is against XML, the limits, or the format.
    #[expect(
        clippy::should_implement_trait,
        reason = "it fails, and goes on after `None`"
    )]
    pub fn next(&mut self) -> Result<Option<Event>, Fault> {
        loop {
            if let Some(event) = self.told.pop_front() {
                return Ok(Some(event));
            }
            match self.parser.next()? {
                None => return Ok(None),
                Some(Part::Start(tag)) => self.start(&tag)?,
                Some(Part::Whole(element)) => self.whole(&element),
                Some(Part::End) => {
                    if self.open.pop() == Some(Place::Level(Level::User)) {
                        self.told.push_back(Event::UserEnd);
                    }
                }
            }
        }
    }

    /// To be called when there are no more bytes.
    ///
    /// # Errors
    /// The document does not end there.
    pub fn finish(&self) -> Result<(), Fault> {
        Ok(self.parser.finish()?)
    }

    fn start(&mut self, tag: &OwnedElement) -> Result<(), Fault> {
        self.began = self.parser.position();
        let tag = tag.root();
        let place = self.open.last().unwrap_or(&self.outside);
        match verdict(place, tag) {
            Verdict::Enter(place) => {
                match &place {
                    Place::Level(Level::Host) => {
                        let jid = tag.attr("jid").unwrap_or_default().into_owned();
                        self.told.push_back(Event::Host(jid));
                    }
                    Place::Level(Level::User) => {
                        let name = tag.attr("name").unwrap_or_default().into_owned();
                        let password = tag.attr("password").map(|text| text.into_owned());
                        let password = password.filter(|text| !text.is_empty());
                        self.told.push_back(Event::User(name, password));
                        self.tell_attributes(tag);
                    }
                    _ => {}
                }
                self.open.push(place);
                self.parser.enter();
            }
            Verdict::Take(section, node) => {
                self.taking = Some(Taking::Piece(section, node));
                self.parser.take();
            }
            Verdict::Include(level) => {
                let href = tag.attr("href").unwrap_or_default().into_owned();
                self.told.push_back(Event::Include(href, level));
                self.taking = Some(Taking::Nothing);
                self.parser.take();
            }
            Verdict::Unknown => {
                self.taking = Some(Taking::Left);
                self.parser.take();
            }
            Verdict::Fault(fault) => {
                let (line, column) = self.parser.position();
                return Err(Fault {
                    line,
                    column,
                    fault,
                });
            }
        }
        Ok(())
    }

    /// Attributes of an account that are in no namespace of the format: other servers keep settings there.
    fn tell_attributes(&mut self, tag: Element<'_>) {
        for attribute in tag.attrs() {
            let known = attribute.ns.is_empty() && matches!(attribute.name, "name" | "password");
            if !known {
                let what = format!("the attribute {} of <user/>", attribute.name);
                self.told.push_back(Event::Left(what, UNKNOWN.into()));
            }
        }
    }

    fn whole(&mut self, element: &OwnedElement) {
        let root = element.root();
        match self.taking.take() {
            Some(Taking::Piece(section, _)) if root.raw().len() > PIECE_BYTES => {
                let what = section.as_str().to_owned();
                let why = format!("bigger than {PIECE_BYTES} bytes");
                self.told.push_back(Event::Left(what, why));
            }
            Some(Taking::Piece(section, node)) => {
                let xml = String::from_utf8_lossy(root.raw()).into_owned();
                self.told
                    .push_back(Event::Piece(Piece { section, node, xml }));
            }
            Some(Taking::Left) => {
                let what = format!("<{}/> in the namespace {:?}", root.name(), root.ns());
                self.told.push_back(Event::Left(what, UNKNOWN.into()));
            }
            Some(Taking::Nothing) | None => {}
        }
    }
}

/// Why something is left.
const UNKNOWN: &str = "this is not known here";

/// What an element is at its place.
fn verdict(place: &Place, tag: Element<'_>) -> Verdict {
    const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
    const OWNER: &str = "http://jabber.org/protocol/pubsub#owner";
    let missing = |what: &str| Verdict::Fault(format!("<{}/> without {what}", tag.name()));
    let take = |section| Verdict::Take(section, None);
    let level = |level| Verdict::Enter(Place::Level(level));
    if let Place::Level(at) = place
        && tag.ns() == NS_INCLUDE
        && tag.name() == "include"
        && *at != Level::Document
    {
        // XEP-0227 §5: relative addresses of whole XML files have to be followed, others need not be.
        let plain = tag.attr("parse").is_none_or(|parse| parse == "xml");
        return match plain && tag.attr("xpointer").is_none() && tag.attr("href").is_some() {
            true => Verdict::Include(*at),
            false => Verdict::Fault("<include/> with more than an href".into()),
        };
    }
    match place {
        Place::Level(Level::Document) if tag.is("server-data", NS) => level(Level::Server),
        Place::Level(Level::Document) => Verdict::Fault(format!(
            "this is no file of XEP-0227: it begins with <{}/> in the namespace {:?}",
            tag.name(),
            tag.ns()
        )),
        Place::Level(Level::Server) if tag.is("host", NS) => match tag.attr("jid") {
            Some(_) => level(Level::Host),
            None => missing("jid"),
        },
        Place::Level(Level::Host) if tag.is("user", NS) => match tag.attr("name") {
            // XEP-0227 §4.2: it has a name.
            Some(_) => level(Level::User),
            None => missing("name"),
        },
        Place::Level(Level::User) => match (tag.ns(), tag.name()) {
            (NS_SCRAM, "scram-credentials") => take(Section::Credentials),
            ("jabber:iq:roster", "query") => Verdict::Enter(Place::Roster),
            (ns::CLIENT, "presence") => take(Section::Request),
            ("vcard-temp", "vCard") => take(Section::Card),
            ("jabber:iq:private", "query") => Verdict::Enter(Place::Private),
            (NS_PRIVACY, "query") => take(Section::Privacy),
            ("urn:xmpp:blocking", "blocklist") => take(Section::Blocked),
            ("urn:xmpp:mam:2", "prefs") => take(Section::ArchivePrefs),
            (NS, "offline-messages") => Verdict::Enter(Place::Offline),
            (OWNER, "pubsub") => Verdict::Enter(Place::NodeOwner),
            (PUBSUB, "pubsub") => Verdict::Enter(Place::Nodes),
            (NS_MAM, "archive") => Verdict::Enter(Place::Archive),
            _ => Verdict::Unknown,
        },
        Place::Roster if tag.is("item", "jabber:iq:roster") => take(Section::Contact),
        Place::Private => take(Section::Private),
        Place::Offline if tag.is("message", ns::CLIENT) => take(Section::Offline),
        Place::NodeOwner if tag.ns() == OWNER => {
            let section = match tag.name() {
                "configure" => Section::Node,
                "affiliations" => Section::Affiliations,
                "subscriptions" => Section::Subscriptions,
                _ => return Verdict::Unknown,
            };
            match tag.attr("node") {
                Some(node) => Verdict::Take(section, Some(node.into_owned())),
                None => missing("node"),
            }
        }
        Place::Nodes if tag.is("items", PUBSUB) => match tag.attr("node") {
            Some(node) => Verdict::Enter(Place::Items(node.into_owned())),
            None => missing("node"),
        },
        Place::Items(node) if tag.is("item", PUBSUB) => {
            Verdict::Take(Section::Item, Some(node.clone()))
        }
        Place::Archive if tag.is("result", "urn:xmpp:mam:2") => take(Section::Archived),
        _ => Verdict::Unknown,
    }
}
