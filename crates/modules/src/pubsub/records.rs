//! What is kept: for each node a record of its own, one for each item and one for its payload, one for each of those who have to do
//! with the node. Nodes of accounts and of services are kinds of their own, since the former go with their account.

use tercet_core::{BareJid, Jid};
use tercet_store::{Batch, Kind, Owner, Store, StoreError};

use super::config::NodeConfig;
use super::node::{Affiliation, Entry, Member, State, Subscribed, Subscription};
use super::options::Options;

/// The kinds for the nodes of accounts, or of services.
pub struct Kinds {
    /// Nodes by name.
    pub node: Kind,
    /// Items by node and id.
    pub item: Kind,
    /// Their payloads, likewise.
    pub payload: Kind,
    /// Those who have to do with a node, by node and bare JID.
    pub member: Kind,
}

/// The nodes of accounts; the owner is the account.
pub static ACCOUNTS: Kinds = Kinds {
    node: Kind {
        name: "pep-node",
        owner: Owner::Account,
        what: "nodes of a user, and how they are configured (XEP-0163)",
    },
    item: Kind {
        name: "pep-item",
        owner: Owner::Account,
        what: "which items are published at a user's nodes, when and by which device",
    },
    payload: Kind {
        name: "pep-payload",
        owner: Owner::Account,
        what: "what is published at a user's nodes: avatars, bookmarks, keys of devices and the like",
    },
    member: Kind {
        name: "pep-member",
        owner: Owner::Account,
        what: "who is on the lists of a user's nodes, or subscribed to them",
    },
};

/// The nodes of services; the owner is the service's domain.
pub static SERVICE: Kinds = Kinds {
    node: Kind {
        name: "pubsub-node",
        owner: Owner::Host,
        what: "nodes of a service, and how they are configured (XEP-0060)",
    },
    item: Kind {
        name: "pubsub-item",
        owner: Owner::Host,
        what: "which items are published at a service's nodes, when and by whom",
    },
    payload: Kind {
        name: "pubsub-payload",
        owner: Owner::Host,
        what: "what is published at a service's nodes",
    },
    member: Kind {
        name: "pubsub-member",
        owner: Owner::Host,
        what: "who is on the lists of a service's nodes, or subscribed to them",
    },
};

/// The records of `pubsub-member` once more, by bare JID and node.
pub static JOINED: Kind = Kind {
    name: "pubsub-joined",
    owner: Owner::Host,
    what: "at which nodes of a service a user is subscribed or on a list",
};

/// Stands between the parts of a key: no XML has it in it.
const BETWEEN: char = '\u{1F}';
/// The first byte of each record.
const FORMAT: u8 = 1;
/// In the byte of a subscription's state: its options stand behind its address.
const WITH_OPTIONS: u8 = 0x10;
/// Records that are read at once.
const SLICE: usize = 200;

/// A key of two parts.
pub fn key(first: &str, second: &str) -> String {
    format!("{first}{BETWEEN}{second}")
}

/// The first part of a key.
pub fn first(key: &str) -> Option<&str> {
    key.split_once(BETWEEN).map(|(first, _)| first)
}

/// All records whose key has `first` as its first part, by the second.
pub async fn list(
    store: &Store,
    kind: &'static Kind,
    owner: &str,
    first: &str,
) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let prefix = key(first, "");
    let mut found = Vec::new();
    let mut after = prefix.clone();
    loop {
        let slice = store.list_after(kind, owner, Some(&after), SLICE).await?;
        let full = slice.len() == SLICE;
        for (key, value) in slice {
            let Some(second) = key.strip_prefix(&prefix) else {
                return Ok(found);
            };
            found.push((second.to_owned(), value));
            after = key;
        }
        if !full {
            return Ok(found);
        }
    }
}

/// Reads a node; `None` if there is none.
pub async fn load(
    store: &Store,
    kinds: &'static Kinds,
    owner: &str,
    name: &str,
) -> Result<Option<State>, StoreError> {
    let Some(node) = store.get(&kinds.node, owner, name).await? else {
        return Ok(None);
    };
    let corrupt = || StoreError::Corrupt(format!("the node {name:?} of {owner} cannot be read"));
    let (mut state, _) = read_node(&node).ok_or_else(corrupt)?;
    for (jid, value) in list(store, &kinds.member, owner, name).await? {
        let jid = BareJid::parse(&jid).map_err(|_| corrupt())?;
        let member = read_member(&value).ok_or_else(corrupt)?;
        state.members.insert(jid, member);
    }
    for (id, value) in list(store, &kinds.item, owner, name).await? {
        state.items.push(read_item(id, &value).ok_or_else(corrupt)?);
    }
    state.items.sort_unstable_by_key(|item| item.number);
    Ok(Some(state))
}

/// Keeps a node: its configuration, and how many bytes its items have together.
pub fn put_node(
    batch: &mut Batch,
    kinds: &'static Kinds,
    owner: &str,
    name: &str,
    state: &State,
    bytes: u64,
) {
    batch.put(&kinds.node, owner, name, node(state, bytes));
}

/// The same for one that must not be there.
pub fn put_new_node(
    batch: &mut Batch,
    kinds: &'static Kinds,
    owner: &str,
    name: &str,
    state: &State,
) {
    batch.insert_new(&kinds.node, owner, name, node(state, 0));
}

fn node(state: &State, bytes: u64) -> Vec<u8> {
    let mut value = vec![FORMAT];
    value.extend_from_slice(&state.created_ms.to_be_bytes());
    value.extend_from_slice(&bytes.to_be_bytes());
    state.config.encode(&mut value);
    value
}

/// A node without items and members, and the bytes of its items.
pub fn read_node(bytes: &[u8]) -> Option<(State, u64)> {
    let (&FORMAT, rest) = bytes.split_first()? else {
        return None;
    };
    let (created, rest) = rest.split_first_chunk()?;
    let (bytes, config) = rest.split_first_chunk()?;
    let state = State::new(NodeConfig::decode(config)?, u64::from_be_bytes(*created));
    Some((state, u64::from_be_bytes(*bytes)))
}

/// Keeps an item.
pub fn put_item(
    batch: &mut Batch,
    kinds: &'static Kinds,
    owner: &str,
    node: &str,
    item: &Entry,
    payload: Vec<u8>,
) {
    let mut value = vec![FORMAT];
    value.extend_from_slice(&item.number.to_be_bytes());
    value.extend_from_slice(&item.at_ms.to_be_bytes());
    value.extend_from_slice(&item.bytes.to_be_bytes());
    value.extend_from_slice(item.publisher.as_bytes());
    let key = key(node, &item.id);
    batch.put(&kinds.item, owner, &key, value);
    batch.put(&kinds.payload, owner, &key, payload);
}

fn read_item(id: String, bytes: &[u8]) -> Option<Entry> {
    let (&FORMAT, rest) = bytes.split_first()? else {
        return None;
    };
    let (number, rest) = rest.split_first_chunk()?;
    let (at_ms, rest) = rest.split_first_chunk()?;
    let (bytes, publisher) = rest.split_first_chunk()?;
    Some(Entry {
        id: id.into(),
        number: u64::from_be_bytes(*number),
        at_ms: u64::from_be_bytes(*at_ms),
        bytes: u32::from_be_bytes(*bytes),
        publisher: std::str::from_utf8(publisher).ok()?.into(),
    })
}

/// Forgets an item.
pub fn delete_item(batch: &mut Batch, kinds: &'static Kinds, owner: &str, node: &str, id: &str) {
    let key = key(node, id);
    batch.delete(&kinds.item, owner, &key);
    batch.delete(&kinds.payload, owner, &key);
}

/// Keeps what somebody is to a node.
pub fn put_member(
    batch: &mut Batch,
    kinds: &'static Kinds,
    owner: &str,
    node: &str,
    jid: &BareJid,
    member: &Member,
) {
    let is_service = kinds.member.owner == Owner::Host;
    let (by_node, by_jid) = (key(node, jid.as_str()), key(jid.as_str(), node));
    if member.is_nobody() {
        batch.delete(&kinds.member, owner, &by_node);
        if is_service {
            batch.delete(&JOINED, owner, &by_jid);
        }
        return;
    }
    let mut value = vec![FORMAT, member.affiliation as u8];
    for one in &member.subscriptions {
        let jid = one.jid.as_str();
        let length = u16::try_from(jid.len()).expect("a JID has at most 3,071 bytes");
        let plain = one.options == Options::default();
        value.push(one.state as u8 | if plain { 0 } else { WITH_OPTIONS });
        value.extend_from_slice(&length.to_be_bytes());
        value.extend_from_slice(jid.as_bytes());
        if !plain {
            let options = one.options;
            value.extend_from_slice(&[options.deliver.into(), options.shows]);
            // No subscription ends in 1970.
            value.extend_from_slice(&options.until_ms.unwrap_or(0).to_be_bytes());
        }
    }
    batch.put(&kinds.member, owner, &by_node, value.clone());
    if is_service {
        batch.put(&JOINED, owner, &by_jid, value);
    }
}

/// Reads what [`put_member`] wrote.
pub fn read_member(bytes: &[u8]) -> Option<Member> {
    let [FORMAT, affiliation, rest @ ..] = bytes else {
        return None;
    };
    let mut rest = rest;
    let mut known = Affiliation::ALL.into_iter();
    let mut member = Member {
        affiliation: known.find(|a| *a as u8 == *affiliation)?,
        subscriptions: Vec::new(),
    };
    while let Some((state, more)) = rest.split_first() {
        let with_options = state & WITH_OPTIONS != 0;
        let state = match state & !WITH_OPTIONS {
            1 => Subscribed::Pending,
            2 => Subscribed::Yes,
            _ => return None,
        };
        let (length, more) = more.split_first_chunk()?;
        let (jid, more) = more.split_at_checked(u16::from_be_bytes(*length).into())?;
        let jid = Jid::parse(std::str::from_utf8(jid).ok()?).ok()?;
        let mut options = Options::default();
        rest = more;
        if with_options {
            let ([deliver, shows], more) = more.split_first_chunk()?;
            let (until, more) = more.split_first_chunk()?;
            options = Options {
                deliver: *deliver != 0,
                shows: *shows,
                until_ms: Some(u64::from_be_bytes(*until)).filter(|at| *at > 0),
            };
            rest = more;
        }
        member.subscriptions.push(Subscription {
            jid,
            state,
            options,
        });
    }
    Some(member)
}

/// Forgets a node with all that belongs to it.
pub fn delete_node(
    batch: &mut Batch,
    kinds: &'static Kinds,
    owner: &str,
    name: &str,
    state: &State,
) {
    batch.delete(&kinds.node, owner, name);
    for item in &state.items {
        delete_item(batch, kinds, owner, name, &item.id);
    }
    for jid in state.members.keys() {
        put_member(batch, kinds, owner, name, jid, &Member::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> State {
        let mut state = State::new(NodeConfig::personal(), 42);
        state.config.title = "Über uns".into();
        state.config.max_items = None;
        let mut member = Member {
            affiliation: Affiliation::Publisher,
            ..Member::default()
        };
        let full = Jid::parse("romeo@montague.lit/orchard").unwrap();
        member.set_subscription(&full.to_bare(), Some(Subscribed::Yes));
        member.set_subscription(&full, Some(Subscribed::Pending));
        let options = Options {
            deliver: false,
            shows: 3,
            until_ms: Some(u64::MAX),
        };
        member.set_options(&full, options);
        state.members.insert(full.to_bare(), member);
        state
    }

    #[tokio::test]
    async fn a_node_comes_back_as_it_was_kept_and_does_not_see_its_neighbours() {
        let store = Store::memory(crate::KINDS);
        let mut state = sample();
        let mut batch = Batch::new();
        let owner = "pubsub.example.org";
        put_new_node(&mut batch, &SERVICE, owner, "a", &state);
        for (number, id) in [(2, "x"), (1, "y")] {
            let item = Entry {
                id: id.into(),
                number,
                at_ms: 7,
                publisher: "romeo@montague.lit/orchard".into(),
                bytes: 4,
            };
            put_item(&mut batch, &SERVICE, owner, "a", &item, b"<a/>".to_vec());
            // A node whose name begins with the other's.
            put_item(&mut batch, &SERVICE, owner, "a b", &item, Vec::new());
            state.items.insert(0, item);
        }
        for (jid, member) in &state.members {
            put_member(&mut batch, &SERVICE, owner, "a", jid, member);
        }
        store.commit(batch).await.unwrap();
        let again = load(&store, &SERVICE, owner, "a").await.unwrap().unwrap();
        assert_eq!(again, state);

        let mut batch = Batch::new();
        delete_node(&mut batch, &SERVICE, owner, "a", &state);
        store.commit(batch).await.unwrap();
        for kind in [&SERVICE.node, &SERVICE.member, &JOINED] {
            assert!(store.list(kind, owner).await.unwrap().is_empty());
        }
        assert_eq!(store.list(&SERVICE.payload, owner).await.unwrap().len(), 2);
    }
}
