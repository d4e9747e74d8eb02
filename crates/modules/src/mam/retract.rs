//! XEP-0424: in the archives, what was retracted is replaced by a tombstone.

use std::sync::Arc;

use tercet_core::{BareJid, Jid, Stanza, XmlWriter, ns};
use tercet_server::module::{Effect, Side};
use tercet_server::{Routed, Server};
use tercet_store::{ArchiveQuery, Batch, Pending};

use super::{ARCHIVE, stamp_of};

/// The feature and the namespace.
pub(crate) const NS: &str = "urn:xmpp:message-retract:1";
/// The feature of archives.
pub(crate) const TOMBSTONES: &str = "urn:xmpp:message-retract:1#tombstone";

/// Messages of the conversation, newest first, among which the retracted one is looked for. Others' devices have it anyway; an old
/// one stays, followed by its retraction.
const LOOK_AT: usize = 5_000;

/// A retraction that is being archived.
pub(super) struct Retraction {
    /// The id of the retracted message, as its sender gave it.
    of: String,
    /// That of the retraction.
    by: String,
    /// The id of the retraction in the archive.
    at: u64,
    author: String,
    owner: BareJid,
    peer: String,
}

impl Retraction {
    /// If `stanza` is one: in the archive of `owner`, with `peer` at the other end.
    pub(super) fn of(
        stanza: &Stanza,
        at: u64,
        owner: &BareJid,
        peer: &Jid,
        side: Side,
    ) -> Option<Retraction> {
        let retract = stanza.child("retract", NS)?.parse();
        // XEP-0424 §5: only who has sent a message retracts it.
        let author = match side {
            Side::Sender => owner.as_str(),
            Side::Recipient => peer.bare_str(),
        };
        Some(Retraction {
            of: retract.root().attr("id")?.into_owned(),
            by: stanza.id()?.into_owned(),
            at,
            author: author.to_owned(),
            owner: owner.clone(),
            peer: peer.bare_str().to_owned(),
        })
    }

    /// Replaces the message, if it is there. The sender's next stanza waits for it.
    pub(super) fn effect(self) -> Effect {
        Effect::Later(Box::new(move |server| {
            let server = server.clone();
            Routed::later(async move {
                if let Err(error) = self.carry_out(&server).await {
                    tracing::error!(%error, "a retracted message stays in an archive");
                }
            })
        }))
    }

    async fn carry_out(self, server: &Arc<Server>) -> Result<(), tercet_store::StoreError> {
        // The message may have come right before.
        server.store().flush().await?;
        let (of, author) = (self.of.clone(), self.author.clone());
        let page = server.store().read_archive(
            &ARCHIVE,
            self.owner.as_str(),
            ArchiveQuery {
                peer: Some(self.peer.clone()),
                before: Some(self.at),
                newest_first: true,
                limit: 1,
                look_at: LOOK_AT,
                filter: Some(Arc::new(move |message: &[u8]| {
                    is_meant(message, &of, &author)
                })),
                ..ArchiveQuery::default()
            },
        );
        let Some(found) = page.await?.entries.pop() else {
            return Ok(());
        };
        let Some(tombstone) = self.tombstone(&found.value) else {
            return Ok(());
        };
        let commit: Pending<()> = {
            let account = server.loaded_account(self.owner.as_str());
            let state = account.as_ref().map(|account| account.lock());
            if state.is_some_and(|state| state.removed) {
                return Ok(());
            }
            let mut batch = Batch::new();
            batch.replace_archived(&ARCHIVE, self.owner.as_str(), found.id, tombstone);
            server.store().commit(batch)
        };
        commit.await
    }

    /// XEP-0424 §4: addresses, type and id of the message, and that it was retracted by which message when.
    fn tombstone(&self, message: &[u8]) -> Option<Vec<u8>> {
        let message = Stanza::parse(message).ok()?;
        let address = |jid: Option<&Jid>| jid.map(|jid| jid.as_str().to_owned());
        let (from, to) = (address(message.from().ok()?), address(message.to().ok()?));
        let mut w = XmlWriter::new();
        w.start("message")
            .attr("xmlns", ns::CLIENT)
            .opt_attr("from", from.as_deref())
            .opt_attr("to", to.as_deref())
            .opt_attr("type", message.type_())
            .opt_attr("id", message.id().as_deref());
        let stamp = stamp_of(self.at);
        w.leaf(
            "retracted",
            &[("xmlns", NS), ("id", &self.by), ("stamp", &stamp)],
        );
        w.end();
        Some(w.finish())
    }
}

/// Whether an archived message is the one that `author` calls `id`, and can be retracted.
fn is_meant(message: &[u8], id: &str, author: &str) -> bool {
    let Ok(message) = Stanza::parse(message) else {
        return false;
    };
    let sent = message.from().ok().flatten();
    message.id().as_deref() == Some(id)
        && sent.is_some_and(|from| from.bare_str() == author)
        && message.child("retract", NS).is_none()
}
