//! Writing an account, a page at a time: what one page begins another may end. Each page is of one moment, the whole is not.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use tercet_core::{BareJid, Head, Jid, Stanza, StanzaError, XmlWriter, delay, ns};
use tercet_server::Server;
use tercet_server::account::{AccountError, AccountRecord};
use tercet_server::roster::{Item, ROSTER};
use tercet_store::{ArchiveQuery, Store, StoreError};
use tercet_stream::sasl::{ScramHash, ScramKeys};

use super::{NS, NS_SCRAM, nodes, privacy};
use crate::blocking::BLOCKED;
use crate::mam::{self, ARCHIVE, ARCHIVE_PREFS};
use crate::offline::OFFLINE;
use crate::private::PRIVATE;
use crate::pubsub::records::{self, ACCOUNTS};
use crate::vcard::VCARD;

/// Records that are read at once.
const SLICE: usize = 100;
/// A page of items or messages ends once it has so many bytes.
const PAGE_BYTES: usize = 256 << 10;

/// Where an export goes on. The default is the beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    part: Part,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    #[default]
    Head,
    Contacts,
    Requests,
    Private,
    Offline,
    Settings,
    Items,
    Archive,
}

impl Part {
    fn next(self) -> Option<Part> {
        Some(match self {
            Part::Head => Part::Contacts,
            Part::Contacts => Part::Requests,
            Part::Requests => Part::Private,
            Part::Private => Part::Offline,
            Part::Offline => Part::Settings,
            Part::Settings => Part::Items,
            Part::Items => Part::Archive,
            Part::Archive => return None,
        })
    }
}

/// What goes on in a part.
#[derive(Default)]
struct More {
    node: Option<String>,
    after: Option<String>,
}

/// A page of the `<user/>` of an account, and where the next one begins; `None` at the end.
///
/// # Errors
/// [`AccountError::Missing`], and the store's.
pub async fn page(
    server: &Arc<Server>,
    account: &BareJid,
    cursor: &Cursor,
) -> Result<(Vec<u8>, Option<Cursor>), AccountError> {
    let page = Page {
        store: server.store(),
        owner: account.as_str(),
        cursor,
        out: Vec::new(),
    };
    if cursor.part == Part::Head {
        let record = server.account_record(account).await?;
        let record = record.ok_or_else(|| AccountError::Missing(account.clone()))?;
        // What was delivered before is there.
        server.store().flush().await?;
        return Ok(page.head(account, &record).await?);
    }
    Ok(page.part().await?)
}

struct Page<'a> {
    store: &'a Store,
    owner: &'a str,
    cursor: &'a Cursor,
    out: Vec<u8>,
}

impl Page<'_> {
    async fn head(
        mut self,
        account: &BareJid,
        record: &AccountRecord,
    ) -> Result<(Vec<u8>, Option<Cursor>), StoreError> {
        self.out.extend_from_slice(b"<user name='");
        tercet_core::escape_attr(account.local().unwrap_or_default(), &mut self.out);
        self.out.extend_from_slice(b"'>");
        let mut w = XmlWriter::into(std::mem::take(&mut self.out));
        for keys in record.credentials.iter().flat_map(|keys| keys.all()) {
            write_keys(keys, &mut w);
        }
        for kind in [&VCARD, &ARCHIVE_PREFS] {
            if let Some(xml) = self.store.get(kind, self.owner, "").await? {
                w.raw(&xml);
            }
        }
        let blocked = self.store.list(&BLOCKED, self.owner).await?;
        privacy::write(blocked.iter().map(|(jid, _)| jid.as_str()), &mut w);
        self.out = w.finish();
        self.end(None)
    }

    async fn part(mut self) -> Result<(Vec<u8>, Option<Cursor>), StoreError> {
        let first = self.cursor.after.is_none() && self.cursor.node.is_none();
        let (open, close): (&str, &str) = match self.cursor.part {
            Part::Contacts => ("<query xmlns='jabber:iq:roster'>", "</query>"),
            Part::Private => ("<query xmlns='jabber:iq:private'>", "</query>"),
            Part::Offline => ("<offline-messages>", "</offline-messages>"),
            Part::Settings => (
                "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'>",
                "</pubsub>",
            ),
            Part::Items => (
                "<pubsub xmlns='http://jabber.org/protocol/pubsub'>",
                "</pubsub>",
            ),
            Part::Archive => ("<archive xmlns='urn:xmpp:pie:0#mam'>", "</archive>"),
            Part::Head | Part::Requests => ("", ""),
        };
        let more = match self.cursor.part {
            Part::Head => None,
            Part::Contacts => self.contacts(false).await?,
            Part::Requests => self.contacts(true).await?,
            Part::Private => self.private().await?,
            Part::Offline => self.offline().await?,
            Part::Settings => self.settings().await?,
            Part::Items => self.items().await?,
            Part::Archive => self.archive().await?,
        };
        // What has nothing in it is left out: ejabberd refuses an account with an empty one.
        let is_there = !first || more.is_some() || !self.out.is_empty();
        if first && is_there {
            self.out.splice(0..0, open.bytes());
        }
        if more.is_none() && is_there {
            self.out.extend_from_slice(close.as_bytes());
        }
        self.end(more)
    }

    /// The page, with where the next one begins.
    fn end(mut self, more: Option<More>) -> Result<(Vec<u8>, Option<Cursor>), StoreError> {
        let next = match more {
            Some(More { node, after }) => Some(Cursor {
                part: self.cursor.part,
                node,
                after,
            }),
            None => self.cursor.part.next().map(|part| Cursor {
                part,
                ..Cursor::default()
            }),
        };
        if next.is_none() {
            self.out.extend_from_slice(b"</user>");
        }
        Ok((self.out, next))
    }

    fn after(&self) -> Option<&str> {
        self.cursor.after.as_deref()
    }

    /// Contacts, or the requests that wait.
    async fn contacts(&mut self, requests: bool) -> Result<Option<More>, StoreError> {
        let after = self.after();
        let records = self.store.list_after(&ROSTER, self.owner, after, SLICE);
        let records = records.await?;
        let mut w = XmlWriter::into(std::mem::take(&mut self.out));
        for (jid, value) in &records {
            let (Ok(jid), Some(item)) = (BareJid::parse(jid), Item::from_bytes(value)) else {
                tracing::error!(owner = self.owner, item = ?jid, "a roster item cannot be read and is not exported");
                continue;
            };
            if !requests && item.in_roster {
                item.write(&jid, &mut w);
            }
            if requests && item.subscription.pending {
                w.raw(&request(&jid, item.request.as_deref()));
            }
        }
        self.out = w.finish();
        Ok(more(&records, SLICE))
    }

    async fn private(&mut self) -> Result<Option<More>, StoreError> {
        let after = self.after();
        let records = self
            .store
            .list_after(&PRIVATE, self.owner, after, 1)
            .await?;
        for (_, xml) in &records {
            self.out.extend_from_slice(xml);
        }
        Ok(more(&records, 1))
    }

    async fn offline(&mut self) -> Result<Option<More>, StoreError> {
        let after = self.after().and_then(|after| after.parse().ok());
        let entries = self
            .store
            .read_log(&OFFLINE, self.owner, after.unwrap_or(0), SLICE)
            .await?;
        let mut last = None;
        for entry in &entries {
            write_stanza(&entry.value, &mut self.out);
            last = Some(entry.id);
            if self.out.len() >= PAGE_BYTES {
                break;
            }
        }
        Ok(last.map(after_number))
    }

    async fn settings(&mut self) -> Result<Option<More>, StoreError> {
        let after = self.after();
        let records = self.store.list_after(&ACCOUNTS.node, self.owner, after, 1);
        let records = records.await?;
        let mut w = XmlWriter::into(std::mem::take(&mut self.out));
        for (name, _) in &records {
            if let Some(state) = records::load(self.store, &ACCOUNTS, self.owner, name).await? {
                nodes::write_settings(name, &state, &mut w);
            }
        }
        self.out = w.finish();
        Ok(more(&records, 1))
    }

    /// Items of one node: of that in the cursor behind the one with the number in it, or of the next.
    async fn items(&mut self) -> Result<Option<More>, StoreError> {
        let begun = self.cursor.after.is_some();
        let name = match (&self.cursor.node, begun) {
            (Some(name), true) => name.clone(),
            (node, _) => {
                let next = self
                    .store
                    .list_after(&ACCOUNTS.node, self.owner, node.as_deref(), 1)
                    .await?;
                let Some((name, _)) = next.into_iter().next() else {
                    return Ok(None);
                };
                name
            }
        };
        let state = records::load(self.store, &ACCOUNTS, self.owner, &name).await?;
        let entries = state.map(|state| state.items).unwrap_or_default();
        let after = self.after().and_then(|after| after.parse::<u64>().ok());
        if !begun {
            self.out.extend_from_slice(b"<items node='");
            tercet_core::escape_attr(&name, &mut self.out);
            self.out.extend_from_slice(b"'>");
        }
        for entry in &entries {
            if after.is_some_and(|after| entry.number <= after) {
                continue;
            }
            let key = records::key(&name, &entry.id);
            // Taken back since.
            let payload = self.store.get(&ACCOUNTS.payload, self.owner, &key).await?;
            if let Some(payload) = payload {
                let mut w = XmlWriter::into(std::mem::take(&mut self.out));
                nodes::write_item(entry, &payload, &mut w);
                self.out = w.finish();
            }
            if self.out.len() >= PAGE_BYTES {
                return Ok(Some(More {
                    node: Some(name),
                    after: Some(entry.number.to_string()),
                }));
            }
        }
        self.out.extend_from_slice(b"</items>");
        Ok(Some(More {
            node: Some(name),
            after: None,
        }))
    }

    async fn archive(&mut self) -> Result<Option<More>, StoreError> {
        let query = ArchiveQuery {
            after: self.after().and_then(|after| after.parse().ok()),
            limit: 10 * SLICE,
            bytes: PAGE_BYTES,
            ..ArchiveQuery::default()
        };
        let page = self.store.read_archive(&ARCHIVE, self.owner, query).await?;
        for entry in &page.entries {
            // XEP-0227 §4.10: in the order of time.
            self.out
                .extend_from_slice(b"<result xmlns='urn:xmpp:mam:2' id='");
            self.out
                .extend_from_slice(mam::wire_id(entry.id).as_bytes());
            self.out
                .extend_from_slice(b"'><forwarded xmlns='urn:xmpp:forward:0'>");
            let stamp = i64::try_from(Store::archive_time(entry.id)).unwrap_or(i64::MAX);
            let mut w = XmlWriter::into(std::mem::take(&mut self.out));
            delay::write(&mut w, None, stamp, None);
            self.out = w.finish();
            write_stanza(&entry.value, &mut self.out);
            self.out.extend_from_slice(b"</forwarded></result>");
        }
        Ok(page.reached.filter(|_| !page.complete).map(after_number))
    }
}

fn after_number(number: u64) -> More {
    More {
        after: Some(number.to_string()),
        ..More::default()
    }
}

/// Where to go on behind a slice of records.
fn more(records: &[(String, Vec<u8>)], slice: usize) -> Option<More> {
    let last = records.last().filter(|_| records.len() == slice)?;
    Some(More {
        after: Some(last.0.clone()),
        ..More::default()
    })
}

fn write_keys(keys: &ScramKeys, w: &mut XmlWriter) {
    let mechanism = match keys.hash() {
        ScramHash::Sha1 => "SCRAM-SHA-1",
        ScramHash::Sha256 => "SCRAM-SHA-256",
    };
    w.start("scram-credentials")
        .attr("xmlns", NS_SCRAM)
        .attr("mechanism", mechanism);
    // XEP-0227 §4.3: one of each.
    w.text_element("iter-count", &keys.iterations().to_string());
    w.text_element("salt", &BASE64.encode(keys.salt()));
    w.text_element("server-key", &BASE64.encode(keys.server_key()));
    w.text_element("stored-key", &BASE64.encode(keys.stored_key()));
    w.end();
}

/// A request as it came, or one that says no more than who asks.
fn request(from: &BareJid, kept: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(kept) = kept {
        write_stanza(kept, &mut out);
    }
    if out.is_empty() {
        let mut w = XmlWriter::new();
        let attributes = [
            ("xmlns", ns::CLIENT),
            ("type", "subscribe"),
            ("from", from.as_str()),
        ];
        w.leaf("presence", &attributes);
        out = w.finish();
    }
    out
}

/// A stanza that was kept, such that it stands anywhere.
fn write_stanza(kept: &[u8], out: &mut Vec<u8>) {
    let Ok(stanza) = Stanza::parse(kept) else {
        tracing::error!("a kept stanza cannot be read and is not exported");
        return;
    };
    let address = |jid: Result<Option<&Jid>, StanzaError>| match jid {
        Ok(Some(jid)) => Some(jid.as_str().to_owned()),
        Ok(None) | Err(_) => None,
    };
    let (from, to) = (address(stanza.from()), address(stanza.to()));
    let head = Head {
        from: from.as_deref(),
        to: to.as_deref(),
        xmlns: Some(ns::CLIENT),
        ..Head::default()
    };
    stanza.write(out, head);
}

/// What stands before the accounts of a host.
pub fn begin(host: &str) -> Vec<u8> {
    let mut out = b"<?xml version='1.0' encoding='UTF-8'?>\n<server-data xmlns='".to_vec();
    out.extend_from_slice(NS.as_bytes());
    out.extend_from_slice(b"'>\n");
    begin_host(host, &mut out);
    out
}

/// What stands before the accounts of a further host.
pub fn begin_host(host: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<host jid='");
    tercet_core::escape_attr(host, out);
    out.extend_from_slice(b"'>\n");
}

/// What stands behind the accounts of a host.
pub const END_HOST: &[u8] = b"\n</host>\n";
/// What stands at the end.
pub const END: &[u8] = b"</server-data>\n";
