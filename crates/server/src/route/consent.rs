//! Requests for presence to which the user has agreed before they came: modules know of them.

use std::sync::Arc;

use tercet_core::{BareJid, StanzaError};
use tercet_store::{Batch, StoreError};

use super::{ChangeError, Passage};
use crate::account::Account;
use crate::module::SubscriptionCx;
use crate::roster::{Event, Item, Subscription};
use crate::server::Server;

impl Server {
    /// What is to be written if a module knows that the user has agreed to this request before it came.
    pub(super) async fn consent(
        self: &Arc<Self>,
        account: &Arc<Account>,
        contact: &BareJid,
        passage: Passage<'_>,
    ) -> Option<Batch> {
        let host = self.host(account.jid().domain())?;
        let known = account.lock().roster.subscription(contact.as_str());
        if known.from && (known.to || known.ask) {
            return None;
        }
        for consents in host.subscription_handlers() {
            let cx = SubscriptionCx {
                server: self,
                host: &host,
                account,
                from: contact,
                stanza: passage.stanza,
            };
            if let Some(also) = consents(cx).await {
                return Some(also);
            }
        }
        None
    }

    /// Accepts a contact's request, and asks for the contact's presence in turn. False if it could not be, and nothing has
    /// changed.
    pub(super) async fn befriend(
        self: &Arc<Self>,
        account: &Arc<Account>,
        contact: &BareJid,
        also: Batch,
    ) -> bool {
        let accept = |item: &mut Item| {
            let before = item.subscription;
            item.subscription = Subscription {
                from: true,
                pending: false,
                ask: !before.to,
                ..before
            };
            item.in_roster = true;
            item.request = None;
            before
        };
        let changed = self.change_with(account, contact, also, accept, |_, _| ());
        let before = match changed.await {
            Ok(before) => before,
            // Somebody else was faster: what was agreed to holds no more.
            Err(ChangeError::Store(StoreError::Exists)) => return false,
            Err(error) => {
                let error = StanzaError::from(error);
                tracing::debug!(account = %account.jid(), ?error, "a contact who was invited has to wait");
                return false;
            }
        };
        self.send_event(account, Event::Subscribed, contact).await;
        if !before.from {
            self.admit(account, contact);
        }
        if !before.to && !before.ask {
            self.send_event(account, Event::Subscribe, contact).await;
        }
        true
    }
}
