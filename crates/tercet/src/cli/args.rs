//! The command line's grammar.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use tercet_modules::mam::{BadKeep, Keep};

use crate::config::Period;

/// Tercet, an XMPP server.
#[derive(Debug, Parser)]
#[command(name = "tercet", version, about, disable_help_subcommand = true)]
pub struct Arguments {
    /// The configuration file [default: tercet.toml in this folder, if there is one]
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do; `serve` if left out
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server (this is what `tercet` alone does)
    Serve,
    /// Write a commented tercet.toml
    Init(Init),
    /// Say what is wrong with the configuration, certificates, ports and data folder, and how to mend it
    Check,
    /// Say step by step what happens
    #[command(subcommand)]
    Explain(Explain),
    /// Make, change, show and delete accounts
    #[command(subcommand)]
    User(User),
    /// Write accounts with all they have into a file that other servers read (XEP-0227)
    Export(Export),
    /// Bring accounts in from such a file
    Import(Import),
    /// Invite people to make an account
    #[command(subcommand)]
    Invite(Invite),
    /// Show and test how users' devices are woken
    #[command(subcommand)]
    Push(Push),
    /// Show, make and destroy rooms, and say who is what to them
    #[command(subcommand)]
    Room(Room),
    /// Show the files that users have uploaded
    #[command(subcommand)]
    Upload(Upload),
    /// Show what users have reported of others
    #[command(subcommand)]
    Report(Report),
    /// Tell users' clients about an outage
    #[command(subcommand)]
    Outage(Outage),
    /// Show what has happened with other servers
    #[command(subcommand)]
    Federation(Federation),
    /// Show the components: gateways and other programs that speak for domains of this server
    #[command(subcommand)]
    Component(Component),
    /// Show the block lists that keep strangers away, and who is on them
    #[command(subcommand)]
    BlockList(BlockList),
    /// Print figures for monitoring, in the text form of OpenMetrics
    Metrics,
    /// Print docs/configuration.md
    #[command(hide = true)]
    Reference,
}

/// What to explain. Works whether the server runs or not.
#[derive(Debug, Subcommand)]
pub enum Explain {
    /// Go the way to another server: DNS, TCP, TLS, certificate and authentication, each with its result and the mend
    Domain {
        /// The other server's domain
        domain: String,
        /// The domain of this server from which to go [default: the first one]
        #[arg(long, value_name = "DOMAIN")]
        from: Option<String>,
    },
}

/// What to show of other servers: what has happened since this one's start.
#[derive(Debug, Subcommand)]
pub enum Federation {
    /// List the servers with which there were streams, or were to be
    List,
    /// Show one: open streams, the last that came about, the last that failed and why
    Show {
        /// Its domain
        domain: String,
    },
}

/// What to show of components (`[[component]]`).
#[derive(Debug, Subcommand)]
pub enum Component {
    /// List them: since when and from where each is connected, what it has sent and got since the start, and what waits for it
    List,
}

/// What to show of block lists (`lists` in `[modules.block_lists]`).
#[derive(Debug, Subcommand)]
pub enum BlockList {
    /// List them: how many they name, when they were last read or changed, and what is wrong with them
    List,
    /// Say which of them somebody is on
    Check {
        /// The address: of a user, or a domain
        jid: String,
    },
}

/// Where to write the configuration file.
#[derive(Debug, Args)]
pub struct Init {
    /// The file to write
    #[arg(default_value = "tercet.toml")]
    pub path: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub force: bool,
}

/// Which accounts to write, and where to. Works whether the server runs or not.
#[derive(Debug, Args)]
pub struct Export {
    /// Addresses of accounts [default: all]
    #[arg(value_name = "ADDRESS")]
    pub jids: Vec<String>,
    /// All accounts of this domain
    #[arg(long, value_name = "DOMAIN", conflicts_with = "jids")]
    pub host: Option<String>,
    /// The file to write, which must not be there [default: standard output]
    #[arg(long, value_name = "FILE", conflicts_with = "folder")]
    pub out: Option<PathBuf>,
    /// Write a file for each account into this folder, named by its address, as Prosody's xep0227 storage wants them
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
}

/// Which file to read, and how. Works whether the server runs or not.
#[derive(Debug, Args)]
pub struct Import {
    /// The file; other files that it includes lie beside it
    pub file: PathBuf,
    /// What to do if an account is there already: import nothing, leave it as it is, or put the file's in its place (only
    /// while the server does not run)
    #[arg(long, value_enum, default_value = "refuse")]
    pub existing: Existing,
    /// Import nothing if anything in the file cannot be taken
    #[arg(long)]
    pub strict: bool,
    /// Only say what would be done
    #[arg(long)]
    pub check: bool,
}

/// What becomes of accounts that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Existing {
    /// Nothing is imported at all.
    Refuse,
    /// They stay as they are.
    Skip,
    /// They go.
    Replace,
}

/// What to do with accounts. Works whether the server runs or not.
#[derive(Debug, Subcommand)]
pub enum User {
    /// Make an account
    Add {
        /// Its address, as in you@example.org
        jid: String,
        /// Where the password comes from
        #[command(flatten)]
        password: NewPassword,
        /// Let it administer the server
        #[arg(long)]
        admin: bool,
    },
    /// Set an account's password
    Password {
        /// Its address
        jid: String,
        /// Where the password comes from
        #[command(flatten)]
        password: NewPassword,
    },
    /// List all accounts, or those of one domain
    List {
        /// Only this domain
        domain: Option<String>,
    },
    /// Show one account
    Show {
        /// Its address
        jid: String,
    },
    /// Show or say how long a user's messages are kept
    ArchiveKeep {
        /// The user's address
        jid: String,
        /// A number of days, forever, or default for what the domain does; without this it is shown
        #[arg(value_name = "DAYS|forever|default")]
        keep: Option<ArchiveKeep>,
    },
    /// Delete an account and everything kept for it
    Delete {
        /// Its address
        jid: String,
        /// Do not ask whether it is meant
        #[arg(long, short)]
        yes: bool,
    },
}

/// How long messages are kept; `None`: as the domain does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveKeep(pub Option<Keep>);

impl FromStr for ArchiveKeep {
    type Err = BadKeep;

    fn from_str(text: &str) -> Result<Self, BadKeep> {
        match text {
            "default" => Ok(ArchiveKeep(None)),
            keep => Ok(ArchiveKeep(Some(keep.parse()?))),
        }
    }
}

/// What to do with push notifications.
#[derive(Debug, Subcommand)]
pub enum Push {
    /// List the devices of a user and the app servers that wake them
    List {
        /// The user's address
        jid: String,
    },
    /// Show what came of the last notifications
    Log {
        /// The user's address
        jid: String,
    },
    /// Send a notification to each device and say what came of it
    Test {
        /// The user's address
        jid: String,
    },
}

/// What to do with rooms. Works whether the server runs or not.
#[derive(Debug, Subcommand)]
pub enum Room {
    /// List the rooms, those that are not public too
    List {
        /// The domain of their addresses [default: all]
        domain: Option<String>,
    },
    /// Show one room: its configuration, and who is in it
    Show {
        /// Its address
        room: String,
    },
    /// Make a room that stays
    Create {
        /// Its address, as in garden@rooms.example.org
        room: String,
        /// Who owns it
        #[arg(long, value_name = "ADDRESS")]
        owner: String,
        /// A setting, as in roomname=Garden or membersonly=1; may be repeated
        #[arg(long = "set", value_name = "FIELD=VALUE", value_parser = setting)]
        settings: Vec<(String, String)>,
    },
    /// Destroy a room and everything kept for it
    Destroy {
        /// Its address
        room: String,
        /// What those in it are told
        #[arg(long)]
        reason: Option<String>,
        /// The room where they are to go
        #[arg(long, value_name = "ROOM")]
        alternative: Option<String>,
        /// Do not ask whether it is meant
        #[arg(long, short)]
        yes: bool,
    },
    /// List who is what to a room, or say it of one user
    Affiliation {
        /// The room's address
        room: String,
        /// The user's address
        #[arg(requires = "affiliation")]
        user: Option<String>,
        /// owner, admin, member, outcast or none
        affiliation: Option<String>,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Print all that is kept of a room: one JSON object a line, first the room, then its lists, then what was said
    Export {
        /// Its address
        room: String,
    },
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a setting is FIELD=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What to do with uploaded files. Works whether the server runs or not.
#[derive(Debug, Subcommand)]
pub enum Upload {
    /// List the files of a user, with the names under which they lie on the disk
    List {
        /// The user's address
        jid: String,
    },
}

/// What to do with reports. Works whether the server runs or not.
#[derive(Debug, Subcommand)]
pub enum Report {
    /// List what users have reported, newest first
    List {
        /// Only those of this domain's users
        domain: Option<String>,
    },
}

/// What to tell about an outage (XEP-0455). Works whether the server runs or not.
#[derive(Debug, Subcommand)]
pub enum Outage {
    /// Say that there is one, or that there will be
    Set {
        /// What people read
        message: String,
        /// The domain [default: all]
        #[arg(long)]
        domain: Option<String>,
        /// It is planned
        #[arg(long)]
        planned: bool,
        /// When it begins, as in 2030-01-31T12:00:00Z [default: now]
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// When it ends, if that is known
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    /// Say that it is over
    Clear {
        /// The domain [default: all]
        #[arg(long)]
        domain: Option<String>,
    },
    /// Show what is told
    Show {
        /// The domain [default: all]
        #[arg(long)]
        domain: Option<String>,
    },
}

/// What to do with invitations. Works whether the server runs or not.
#[derive(Debug, Subcommand)]
pub enum Invite {
    /// Make an invitation and print its link
    Create {
        /// The domain of the account [default: the contact's, or the first one]
        #[arg(long, value_name = "DOMAIN")]
        host: Option<String>,
        /// The name of the account, if it is not to be chosen
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// For how long it holds, as in 12h or 30d [default: registration.invitation_lifetime]
        #[arg(long, value_name = "TIME")]
        expires: Option<Period>,
        /// How many people may use it
        #[arg(long, value_name = "NUMBER", default_value_t = 1)]
        uses: u32,
        /// An account here that the new one becomes a contact of
        #[arg(long, value_name = "ADDRESS")]
        contact: Option<String>,
    },
    /// List the invitations
    List,
    /// End an invitation
    Revoke {
        /// Its link, or the last part of it
        invitation: String,
    },
}

/// Where the password comes from.
#[derive(Debug, Args)]
pub struct NewPassword {
    /// The password; without this it is asked for, or read as one line from standard input
    #[arg(long = "password", value_name = "PASSWORD")]
    pub given: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_configuration_may_be_named_before_and_behind_the_command() {
        for line in [
            "tercet --config f user add a@b --admin --json",
            "tercet user add a@b --admin --config f --json",
            "tercet user --json --config f add --admin a@b",
        ] {
            let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(arguments.config, Some("f".into()), "{line}");
            assert!(arguments.json, "{line}");
        }
    }
}
