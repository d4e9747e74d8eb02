//! XEP-0490 Message Displayed Synchronization 1.0.1: the server's help, by which one message tells the contact and the user's other
//! devices. Gaps: none known; the node itself is one like others.

use std::sync::Arc;

use tercet_core::{Jid, MessageType};
use tercet_server::module::{
    Coverage, Effect, Flow, Kinds, Module, OnStanza, Registrar, Side, Stage, StanzaCx, Xep, xep,
};
use tercet_server::{Account, HostInfo, Routed, Server};

use crate::pubsub::config::{Access, NodeConfig, SendLast};
use crate::pubsub::follow::Nodes;
use crate::pubsub::publish::publish_for_user;
use crate::pubsub::xml::NewItem;

/// The node, and the namespace of its items.
const NS: &str = "urn:xmpp:mds:displayed:0";

/// Publishes what messages say their user has seen.
pub struct Displayed {
    /// Accounts have nodes.
    on: bool,
}

impl Module for Displayed {
    const NAME: &'static str = "displayed";
    const XEPS: &'static [Xep] = &[xep(490, "1.0.1", Coverage::Complete)];
    type Config = ();

    fn new((): (), host: &HostInfo) -> Self {
        Displayed {
            on: crate::is_on(host, "pubsub"),
        }
    }

    fn register(r: &mut Registrar<'_, Self>) {
        if r.module().on {
            r.on(Kinds::MESSAGE, Side::Sender, Stage::Annotate)
                .account_feature("urn:xmpp:mds:server-assist:0");
        }
    }
}

impl OnStanza for Displayed {
    fn on_stanza(&self, cx: &mut StanzaCx<'_>) -> Flow {
        let mut children = cx.stanza.children().enumerate();
        let found = children.find(|(_, child)| child.is("displayed", NS));
        let Some((place, child)) = found else {
            return Flow::Continue;
        };
        // XEP-0490 §4.5: it goes no further, neither to the archive nor into copies.
        cx.effects.edits().leave_out(place);
        for (place, _) in children.filter(|(_, child)| child.is("displayed", NS)) {
            cx.effects.edits().leave_out(place);
        }
        if cx.stanza.message_type() == MessageType::Error {
            return Flow::Continue;
        }
        let mut payload = Vec::new();
        child.parse().root().to_xml(&mut payload);
        let (account, from, chat) = (cx.account.clone(), cx.from.clone(), cx.to.to_string());
        let publish = move |server: &Arc<Server>| {
            let server = server.clone();
            Routed::later(async move { note(&server, &account, &from, chat, payload).await })
        };
        cx.effects.push(Effect::Later(Box::new(publish)));
        Flow::Continue
    }
}

/// Publishes that the user has seen what `payload` names of the chat.
async fn note(
    server: &Arc<Server>,
    account: &Arc<Account>,
    from: &Jid,
    chat: String,
    payload: Vec<u8>,
) {
    let host = server.host(account.jid().domain());
    let Some(place) = host.and_then(|host| Nodes::of(&host, server, account)) else {
        return;
    };
    // XEP-0490 §5.2: a node that is made by this is the user's alone.
    let config = NodeConfig {
        access: Access::Whitelist,
        max_items: None,
        send_last: SendLast::Never,
        ..place.defaults()
    };
    let item = NewItem {
        id: Some(chat),
        payload: Some(payload),
        ns: NS.into(),
    };
    // The message is on its way: its sender is told nothing of this. A store that fails has said so.
    if let Err(error) = publish_for_user(&place, from, NS, config, item).await {
        tracing::debug!(account = %account.jid(), ?error, "what was displayed is not published");
    }
}
