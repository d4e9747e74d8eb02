//! What can be asked of a server by those who run it, and what it answers. Plain data with a stable JSON form.

use serde::{Deserialize, Serialize};
use tercet_modules::mam::{Keep, Kept};
use tercet_modules::outage::Outage;
use tercet_modules::portable::{Cursor, Piece};

use super::block_lists::{BlockList, BlockListed};
use super::components::ComponentLine;
pub use super::secret::Secret;
use crate::peers::Peer;

/// One administrative operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// Makes an account.
    AddUser {
        /// Its bare JID.
        jid: String,
        /// Its password.
        password: Secret,
        /// Whether it may administer the server.
        admin: bool,
    },
    /// Gives an account another password. Open sessions go on.
    SetPassword {
        /// Its bare JID.
        jid: String,
        /// The new password.
        password: Secret,
    },
    /// A page of the accounts, ordered by address.
    ListUsers {
        /// Only those of this domain.
        domain: Option<String>,
        /// Only those behind this one.
        after: Option<String>,
    },
    /// One account.
    ShowUser {
        /// Its bare JID.
        jid: String,
    },
    /// Deletes an account and everything that is kept for it, and ends its sessions.
    DeleteUser {
        /// Its bare JID.
        jid: String,
    },
    /// A page of an account in the format of XEP-0227.
    ExportUser {
        /// Its bare JID.
        jid: String,
        /// Where the page begins.
        cursor: Cursor,
    },
    /// Whether an account of that name could be brought in.
    CheckImport {
        /// Its bare JID.
        jid: String,
    },
    /// Begins to bring an account in.
    BeginImport {
        /// Its bare JID.
        jid: String,
        /// Its password, if the file has it.
        password: Option<Secret>,
        /// One that is there goes. Only while the server does not run.
        replace: bool,
    },
    /// Goes on to.
    ImportPieces {
        /// The import's id.
        import: String,
        /// What it has.
        pieces: Vec<Piece>,
    },
    /// Ends an import.
    EndImport {
        /// Its id.
        import: String,
        /// Whether the account is to be there.
        keep: bool,
    },
    /// How long the messages of an account are kept.
    ShowArchiveKeep {
        /// Its bare JID.
        jid: String,
    },
    /// Has the messages of an account kept so long, longer or shorter than its domain keeps them.
    SetArchiveKeep {
        /// Its bare JID.
        jid: String,
        /// `None`: as the domain does.
        keep: Option<Keep>,
    },
    /// Makes an invitation.
    CreateInvite {
        /// To which domain.
        domain: String,
        /// The name that the account is to have.
        user: Option<String>,
        /// The account that the new one becomes a contact of.
        contact: Option<String>,
        /// For how long, in seconds; `None`: as the domain has it.
        lifetime: Option<u64>,
        /// How often it may be used.
        uses: u32,
    },
    /// A page of the invitations, ordered by token; some that have ended are among them.
    ListInvites {
        /// Only those behind this one.
        after: Option<String>,
    },
    /// Ends an invitation.
    RevokeInvite {
        /// Its token.
        token: String,
    },
    /// Says what is wrong with a domain (XEP-0455).
    SetOutage {
        /// The domain.
        domain: String,
        /// What clients are told.
        outage: Outage,
    },
    /// Nothing is wrong with it any more.
    ClearOutage {
        /// The domain.
        domain: String,
    },
    /// What clients are told about a domain.
    ShowOutage {
        /// The domain.
        domain: String,
    },
    /// A page of what users of one domain have reported, newest first.
    ListReports {
        /// The domain.
        domain: String,
        /// Only those before this one.
        before: Option<u64>,
    },
    /// A page of the files that an account has uploaded, in no order that means anything.
    ListUploads {
        /// Its bare JID.
        jid: String,
        /// Only those behind this one.
        after: Option<String>,
    },
    /// A page of the rooms of a service, ordered by name.
    ListRooms {
        /// The domain of their addresses.
        domain: String,
        /// Only those behind this one.
        after: Option<String>,
    },
    /// The domains that have rooms.
    ListRoomServices {},
    /// One room.
    ShowRoom {
        /// Its address.
        room: String,
    },
    /// Makes a persistent room.
    CreateRoom {
        /// Its address.
        room: String,
        /// Who owns it.
        owner: String,
        /// Names of fields of its configuration, with or without `muc#roomconfig_`, and values.
        settings: Vec<(String, String)>,
    },
    /// Destroys a room.
    DestroyRoom {
        /// Its address.
        room: String,
        /// What those in it are told.
        reason: Option<String>,
        /// The room where they are to go.
        alternative: Option<String>,
    },
    /// A page of a room's lists, ordered by address.
    ListAffiliations {
        /// The room's address.
        room: String,
        /// Only those behind this one.
        after: Option<String>,
    },
    /// A page of what was said in a room, oldest first.
    ListRoomMessages {
        /// The room's address.
        room: String,
        /// Only those behind this one.
        after: Option<u64>,
    },
    /// Makes a user something else to a room.
    SetAffiliation {
        /// The room's address.
        room: String,
        /// The user's bare JID.
        user: String,
        /// `owner`, `admin`, `member`, `outcast` or `none`.
        affiliation: String,
        /// Why.
        reason: Option<String>,
    },
    /// What has happened with other servers since the start: with one, or a page of all, ordered by domain.
    ListPeers {
        /// Only this one.
        domain: Option<String>,
        /// Only those behind this one.
        after: Option<String>,
    },
    /// The components.
    ListComponents {},
    /// The block lists that hosts have subscribed to.
    ListBlockLists {},
    /// The block lists that an address is on.
    CheckBlockLists {
        /// The address: of a user, or a domain.
        jid: String,
    },
    /// Figures for monitoring.
    Metrics {},
    /// The secret of the server's dialback keys (XEP-0185), for trying them.
    DialbackSecret {},
    /// The devices of an account that are woken by push notifications, with what came of the last ones.
    ListPush {
        /// Its bare JID.
        jid: String,
    },
    /// Sends a notification to each of them, and says what came of it.
    TestPush {
        /// Its bare JID.
        jid: String,
    },
}

/// What an operation gives back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done, and durable.
    Done {},
    /// The account asked for.
    User(User),
    /// Accounts.
    Users {
        /// The page.
        users: Vec<User>,
        /// What to put into `after` for the next page; `None` at the end.
        next: Option<String>,
    },
    /// Some of an account.
    Exported {
        /// The page.
        xml: String,
        /// Where the next one begins; `None` at the end.
        next: Option<Cursor>,
    },
    /// An account of that name could be brought in.
    Importable {
        /// Whether there is one already.
        exists: bool,
    },
    /// An import has begun.
    Import {
        /// Its id.
        import: String,
    },
    /// An import has ended.
    Imported {
        /// Whether its user can log in with a password.
        login: bool,
    },
    /// How long the messages of an account are kept, by whom.
    ArchiveKeep(Kept),
    /// The invitation that was made.
    Invite(Invite),
    /// Invitations.
    Invites {
        /// The page.
        invites: Vec<Invite>,
        /// What to put into `after` for the next page; `None` at the end.
        next: Option<String>,
    },
    /// What clients are told; `None`: nothing is wrong.
    Outage {
        /// As it was set.
        outage: Option<Outage>,
    },
    /// Other servers.
    Peers {
        /// The page.
        peers: Vec<Peer>,
        /// What to put into `after` for the next page; `None` at the end.
        next: Option<String>,
    },
    /// Components.
    Components {
        /// Those of all hosts, in order.
        components: Vec<ComponentLine>,
    },
    /// Block lists.
    BlockLists {
        /// Those of all hosts, in order.
        lists: Vec<BlockList>,
    },
    /// Block lists that somebody is on.
    BlockListed {
        /// All of them.
        found: Vec<BlockListed>,
    },
    /// The secret of dialback keys, in hexadecimal digits.
    DialbackSecret {
        /// 32 bytes.
        secret: Secret,
    },
    /// Figures, in the text form of OpenMetrics.
    Metrics {
        /// All of them.
        text: String,
    },
    /// Devices that are woken.
    Push {
        /// All of the account.
        devices: Vec<PushDevice>,
    },
    /// What came of a notification to each device: its name, and words for people.
    PushTest {
        /// In the order of the devices.
        outcomes: Vec<(String, String)>,
    },
    /// Uploaded files.
    Uploads {
        /// The page.
        uploads: Vec<UploadedFile>,
        /// What to put into `after` for the next page; `None` at the end.
        next: Option<String>,
    },
    /// Rooms.
    Rooms {
        /// The page.
        rooms: Vec<RoomLine>,
        /// What to put into `after` for the next page; `None` at the end.
        next: Option<String>,
    },
    /// Domains that have rooms.
    RoomServices {
        /// All of them.
        domains: Vec<String>,
    },
    /// The room asked for.
    Room(RoomShown),
    /// What users are to a room.
    Affiliations {
        /// The page.
        affiliations: Vec<RoomAffiliation>,
        /// What to put into `after` for the next page; `None` at the end.
        next: Option<String>,
    },
    /// What was said in a room.
    RoomMessages {
        /// The page.
        messages: Vec<RoomMessage>,
        /// What to put into `after` for the next page; `None` at the end.
        next: Option<u64>,
    },
    /// Reports.
    Reports {
        /// The page.
        reports: Vec<Report>,
        /// What to put into `before` for the next page; `None` at the end.
        next: Option<u64>,
    },
}

/// An invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// What names it, and lets its bearer in.
    pub token: String,
    /// The domain it is for.
    pub domain: String,
    /// The page for people, where the domain has pages.
    pub url: Option<String>,
    /// The link for apps.
    pub uri: String,
    /// Whose contact one becomes.
    pub contact: Option<String>,
    /// The name that the account will have, if it is given.
    pub user: Option<String>,
    /// When it was made, by XEP-0082.
    pub created: String,
    /// When it ends, by XEP-0082.
    pub expires: String,
    /// How often it may be used.
    pub uses: u32,
    /// How often it has been.
    pub used: u32,
    /// Whether it still may be.
    pub open: bool,
}

/// A device that is woken by push notifications (XEP-0357).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushDevice {
    /// Its name, given by the server.
    pub id: String,
    /// The app server.
    pub service: String,
    /// The app server's name for it.
    pub node: Option<String>,
    /// The resource of the session that asked for it.
    pub resource: String,
    /// When that was, by XEP-0082.
    pub since: String,
    /// How often the app server has failed in a row.
    pub failures: u32,
    /// Until when it is left alone for that, by XEP-0082.
    pub paused_until: Option<String>,
    /// What came of the last notifications, oldest first: when, and what.
    pub log: Vec<(String, String)>,
}

/// A file that a user has uploaded, or a slot for one (XEP-0363). Whoever knows the id can read the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadedFile {
    /// The random part of its address, which is its name on the disk.
    pub id: String,
    /// The name that the client gave.
    pub name: String,
    /// Its media type, if the client named one.
    pub content_type: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Whether it is there; else its slot is open, or was used in vain.
    pub stored: bool,
    /// When the slot was granted, by XEP-0082.
    pub created: String,
    /// When it goes, by XEP-0082; `None`: with the account.
    pub expires: Option<String>,
}

/// A room in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomLine {
    /// Its address.
    pub room: String,
    /// Its name for people, if it has one.
    pub name: Option<String>,
    /// Whether it is listed for everybody.
    pub public: bool,
    /// Whether it stays when nobody is in it.
    pub persistent: bool,
    /// Whether only members enter.
    pub members_only: bool,
    /// Whether it has a password.
    pub password: bool,
    /// How many are in it now.
    pub occupants: u64,
    /// When it was made, by XEP-0082.
    pub created: String,
}

/// A room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomShown {
    /// What the list says of it.
    #[serde(flatten)]
    pub line: RoomLine,
    /// What it is about.
    pub subject: Option<String>,
    /// Its configuration but for the password: names of fields and their values.
    pub settings: Vec<(String, Vec<String>)>,
    /// How many have which affiliation.
    pub affiliations: Vec<(String, u64)>,
    /// Who is in it, no more than a hundred.
    pub present: Vec<RoomOccupant>,
}

/// Somebody in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomOccupant {
    /// The nick.
    pub nick: String,
    /// The bare JID.
    pub user: String,
    /// The affiliation.
    pub affiliation: String,
    /// The role.
    pub role: String,
    /// How many devices.
    pub sessions: u64,
}

/// What a user is to a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomAffiliation {
    /// The bare JID.
    pub user: String,
    /// The affiliation.
    pub affiliation: String,
    /// The nick that is kept for it.
    pub nick: Option<String>,
    /// Why it is so.
    pub reason: Option<String>,
}

/// Something that was said in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomMessage {
    /// The id that the room gave it.
    pub id: String,
    /// When, by XEP-0082.
    pub at: String,
    /// The real address of who said it.
    pub by: String,
    /// The message to all, as XML.
    pub message: String,
}

/// What a user has reported of somebody (XEP-0377).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When, by XEP-0082.
    pub at: String,
    /// Whose report it is.
    pub by: String,
    /// Whom it is about.
    pub about: String,
    /// Why: a URI.
    pub reason: String,
    /// In the user's words.
    pub text: Option<String>,
    /// The messages it is about: who gave the id, and the id.
    pub messages: Vec<(String, String)>,
}

/// What is known of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its bare JID.
    pub jid: String,
    /// Whether it may administer the server.
    pub admin: bool,
    /// When it was made, by XEP-0082.
    pub created: String,
    /// The resources that are connected now.
    pub online: Vec<String>,
}

/// Why an operation was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// For programs.
    pub reason: Reason,
    /// For people: a sentence without a full stop.
    pub text: String,
}

impl Refusal {
    /// A refusal with its sentence.
    pub fn new(reason: Reason, text: impl Into<String>) -> Refusal {
        Refusal {
            reason,
            text: text.into(),
        }
    }
}

/// The sorts of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// What was asked makes no sense: a malformed address, a password that cannot be used, an unknown operation.
    Invalid,
    /// It exists already.
    Exists,
    /// It does not exist.
    Missing,
    /// The server failed; its log says more.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_a_stable_json_form() {
        let add = Operation::AddUser {
            jid: "a@b".into(),
            password: Secret::new("pw".into()),
            admin: true,
        };
        let json = r#"{"operation":"add_user","jid":"a@b","password":"pw","admin":true}"#;
        assert_eq!(serde_json::to_string(&add).unwrap(), json);
        assert_eq!(serde_json::from_str::<Operation>(json).unwrap(), add);
        let list = r#"{"operation":"list_users","domain":null,"after":null}"#;
        assert!(serde_json::from_str::<Operation>(list).is_ok());
        for bad in [
            r#"{"operation":"add_user","jid":"a@b"}"#,
            r#"{"operation":"show_user","jid":"a@b","more":1}"#,
            r#"{"operation":"rm"}"#,
            "[]",
        ] {
            assert!(serde_json::from_str::<Operation>(bad).is_err(), "{bad}");
        }
        let done = serde_json::to_string(&Answer::Done {}).unwrap();
        assert_eq!(done, r#"{"done":{}}"#);
    }
}
