//! XEP-0049 Private XML Storage 1.2. Gaps: one element a request, as all clients ask.
//!
//! Each element is a record of its own, keyed by its name and namespace. One that a module of the host has in another format, too,
//! is shown as that has it ([`Mirror`]).

use std::pin::Pin;

use tercet_core::{Element, StanzaError, XmlWriter};
use tercet_server::module::{
    Coverage, IqCx, IqKind, IqResult, Module, OnIq, Payload, Registrar, Reply, Target, Xep, xep,
};
use tercet_server::{HostInfo, store_failure};
use tercet_store::{Batch, Kind, Owner};

const NS: &str = "jabber:iq:private";

/// What clients keep for themselves.
pub static PRIVATE: Kind = Kind {
    name: "private",
    owner: Owner::Account,
    what: "data that clients keep for their user (XEP-0049)",
};

/// How many elements of different names one account may keep.
const ELEMENTS: usize = 200;
/// How many bytes they may have together.
const BYTES: usize = 1 << 20;

/// Somebody who has an element in another format: what is provided as this type is asked.
pub struct Mirror {
    /// The element: its namespace and name, with a space between.
    pub key: &'static str,
    /// Says what the element is now, if not what was kept.
    pub read: Box<ReadFn>,
    /// Takes what is written.
    pub write: Box<WriteFn>,
}

/// See [`Mirror::read`].
pub type ReadFn =
    dyn for<'a> Fn(IqCx<'a>, Option<&'a [u8]>) -> MirrorFuture<'a, Option<Vec<u8>>> + Send + Sync;
/// See [`Mirror::write`].
pub type WriteFn = dyn for<'a> Fn(IqCx<'a>, &'a [u8]) -> MirrorFuture<'a, ()> + Send + Sync;
/// The error is for the client.
pub type MirrorFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StanzaError>> + Send + 'a>>;

/// `<query/>` with one element in a namespace of its own.
pub struct Query {
    key: String,
    name: String,
    ns: String,
    xml: Vec<u8>,
}

impl Payload for Query {
    const NAME: &'static str = "query";
    const NS: &'static str = NS;

    fn parse(el: Element<'_>) -> Result<Self, StanzaError> {
        let mut children = el.children();
        let (Some(child), None) = (children.next(), children.next()) else {
            return Err(StanzaError::bad_request().text("one element at a time"));
        };
        // XEP-0049 §2.2: elements in the protocol's own namespaces are no private data.
        if child.ns().is_empty() || child.ns() == NS || child.ns() == tercet_core::ns::CLIENT {
            return Err(
                StanzaError::not_acceptable().text("private data has a namespace of its own")
            );
        }
        let mut xml = Vec::new();
        child.to_xml(&mut xml);
        // A namespace has no space in it, so the key is unambiguous.
        let key = format!("{} {}", child.ns(), child.name());
        Ok(Query {
            key,
            name: child.name().into(),
            ns: child.ns().into(),
            xml,
        })
    }
}

/// Keeps private data.
pub struct Private;

impl Module for Private {
    const NAME: &'static str = "private";
    const XEPS: &'static [Xep] = &[xep(49, "1.2", Coverage::Complete)];
    type Config = ();

    fn new((): (), _: &HostInfo) -> Self {
        Private
    }

    fn register(r: &mut Registrar<'_, Self>) {
        r.iq::<Query>(IqKind::Get, Target::Own)
            .feature(NS)
            .host_feature(NS);
        r.iq::<Query>(IqKind::Set, Target::Own).feature(NS);
    }
}

impl OnIq<Query> for Private {
    async fn on_iq(&self, cx: IqCx<'_>, query: Query) -> IqResult {
        let account = cx.require_account()?;
        let owner = account.jid().as_str();
        let mirror = cx.host.provided::<Mirror>().find(|m| m.key == query.key);
        if cx.stanza.iq_type() == Some(tercet_core::IqType::Set) {
            let kept = cx
                .store()
                .list(&PRIVATE, owner)
                .await
                .map_err(|e| store_failure(&e))?;
            let others = kept.iter().filter(|(key, _)| *key != query.key);
            let (count, bytes) = others.fold((0, 0), |(count, bytes), (_, xml)| {
                (count + 1, bytes + xml.len())
            });
            if count >= ELEMENTS {
                return Err(StanzaError::resource_constraint().text("too many private elements"));
            }
            if bytes + query.xml.len() > BYTES {
                return Err(StanzaError::resource_constraint().text("too much private data"));
            }
            let mut batch = Batch::new();
            batch.put(&PRIVATE, owner, &query.key, query.xml.clone());
            cx.commit(batch).await?;
            if let Some(mirror) = mirror {
                (mirror.write)(cx, &query.xml).await?;
            }
            return Ok(Reply::Empty);
        }
        let kept = cx
            .store()
            .get(&PRIVATE, owner, &query.key)
            .await
            .map_err(|e| store_failure(&e))?;
        let kept = match mirror {
            Some(mirror) => (mirror.read)(cx, kept.as_deref()).await?.or(kept),
            None => kept,
        };
        let mut w = XmlWriter::new();
        w.start("query").attr("xmlns", NS);
        match kept {
            Some(xml) => w.raw(&xml),
            // XEP-0049 §2.1: what was never stored comes back empty.
            None => w.leaf(&query.name, &[("xmlns", &query.ns)]),
        };
        w.end();
        Ok(Reply::Payload(w.finish()))
    }
}
