//! XEP-0363 HTTP File Upload 1.2.0. Gaps: none known.
//!
//! The host itself is the upload service: it announces the feature, the identity `store/file` and the form with the largest size.
//! Every client looks at its own domain before it looks at the domain's items, and so a name like `upload.example.org`, which would
//! need a certificate and a place in routing, is not needed.
//!
//! Here slots are granted, and it is noted what is kept of whom; the bytes come and go over HTTP (`tercet`'s `listen/http/upload`),
//! which asks the [`ledger`]. An upload is a record of its account, so that it is exported and erased with it, and an entry in the
//! index by which a URL finds the account. The id in the URL is random: whoever knows it may read the file. Only the uploader knows the
//! second random number, the token, and it opens the slot once.

pub mod ledger;
mod quota;
mod record;
mod xml;

pub use record::{Entry, Id, Purpose, State, Upload};
pub use xml::{Request, file_path};

use tercet_core::forms::{Field, FieldType, Form};
use tercet_core::{StanzaError, XmlWriter, time};
use tercet_server::account::GUEST;
use tercet_server::module::{
    Coverage, IqCx, IqKind, IqResult, Module, OnIq, Registrar, Reply, Target, Xep, xep,
};
use tercet_server::{HostInfo, Uploads, store_failure};
use tercet_store::{Batch, Kind, Owner};
use tokio::sync::Mutex;

use crate::disco;
use quota::Refusal;

/// The namespace of the protocol.
pub(crate) const NS: &str = "urn:xmpp:http:upload:0";
/// How long a slot is open for its upload to begin: XEP-0363 §8 recommends about 300 s.
const SLOT_MS: u64 = 300_000;

/// What is known of each file: under the account that uploaded it, by its id.
pub static UPLOADS: Kind = Kind {
    name: "upload",
    owner: Owner::Account,
    what: "files that the user has uploaded: name, type, size, time and how long they are kept",
};

/// Whose file an id is.
pub static INDEX: Kind = Kind {
    name: "upload.index",
    owner: Owner::Host,
    what: "by the ids of uploaded files: whose they are, their sizes and when they go",
};

/// Grants slots on one host.
pub struct FileUpload {
    domain: String,
    /// Where browsers and clients reach the files; without it there is no service.
    base: Option<String>,
    limits: Uploads,
}

/// Bytes of all files of a host, granted slots included; `None` until somebody asks. Held while a slot is granted, so that no two are
/// granted where there is place for one.
#[derive(Default)]
pub struct Usage(Mutex<Option<u64>>);

impl Usage {
    /// So many bytes are no longer there.
    pub async fn release(&self, bytes: u64) {
        if let Some(used) = &mut *self.0.lock().await {
            *used = used.saturating_sub(bytes);
        }
    }
}

impl Module for FileUpload {
    const NAME: &'static str = "upload";
    const XEPS: &'static [Xep] = &[xep(363, "1.2.0", Coverage::Complete)];
    type Config = ();

    fn new((): (), host: &HostInfo) -> Self {
        FileUpload {
            domain: host.domain.clone(),
            base: host.public_url.clone(),
            limits: host.uploads,
        }
    }

    fn register(r: &mut Registrar<'_, Self>) {
        if r.module().base.is_none() {
            return;
        }
        let largest = quota::largest(&r.module().limits, Purpose::Message);
        r.iq::<Request>(IqKind::Get, Target::Host)
            .feature(NS)
            // XEP-0363 §5: each purpose that has a meaning here.
            .feature("urn:xmpp:http:upload:purpose:0#message")
            .feature("urn:xmpp:http:upload:purpose:0#profile")
            .feature("urn:xmpp:http:upload:purpose:0#ephemeral")
            .feature("urn:xmpp:http:upload:purpose:0#permanent");
        let identity = disco::Identity {
            target: Target::Host,
            category: "store",
            kind: "file",
            name: "HTTP File Upload",
        };
        r.provide(Target::Host, identity).silent("an identity");
        // XEP-0363 §3: the largest size, in bytes.
        let size = Field::new(FieldType::TextSingle, "max-file-size").value(largest.to_string());
        let mut w = XmlWriter::new();
        Form::result(NS).field(size).write(&mut w);
        r.provide(Target::Host, disco::Form(w.finish()))
            .silent("a form in the answer about the host");
        r.provide(Target::Host, Usage::default())
            .silent("a count for those who delete files");
    }
}

impl OnIq<Request> for FileUpload {
    async fn on_iq(&self, cx: IqCx<'_>, request: Request) -> IqResult {
        let session = cx.require_session()?;
        // Promise 12 of the bad-input list: a host keeps the files of its own users only.
        if session.jid().domain() != self.domain {
            return Err(StanzaError::forbidden().text("only users of this server can upload here"));
        }
        let owner = session.account().jid();
        let failed = |error| store_failure(&error);
        let guest = cx.store().get(&GUEST, owner.as_str(), "").await;
        if guest.map_err(failed)?.is_some() {
            return Err(StanzaError::forbidden().text("guests cannot upload files"));
        }
        let now = cx.server.now_ms();
        if matches!(request.purpose, Purpose::Ephemeral { until_ms } if until_ms <= now) {
            return Err(StanzaError::not_acceptable().text("expire-before has passed"));
        }
        let usage = cx.host.provided::<Usage>().next();
        let usage = usage.ok_or_else(StanzaError::internal_server_error)?;
        let mut used = usage.0.lock().await;
        let in_all = match *used {
            Some(bytes) => bytes,
            None => ledger::bytes_of(cx.store(), &self.domain)
                .await
                .map_err(failed)?,
        };
        *used = Some(in_all);
        let kept = cx.store().list(&UPLOADS, owner.as_str()).await;
        let kept: Vec<Upload> = kept
            .map_err(failed)?
            .iter()
            .filter_map(|(_, value)| Upload::from_bytes(value))
            .collect();
        quota::judge(&self.limits, &request, &kept, in_all, now).map_err(error_of)?;

        let (id, token) = (Id(cx.server.random()), cx.server.random());
        let size = request.size;
        let slot = Upload {
            state: State::Open { token },
            size,
            created_ms: now,
            expires_ms: request.purpose.expiry(now, SLOT_MS).min(now + SLOT_MS),
            purpose: request.purpose,
            content_type: request.content_type,
            name: request.name,
        };
        let mut batch = Batch::new();
        ledger::put(&mut batch, id, owner, &slot);
        cx.commit(batch).await?;
        *used = Some(in_all.saturating_add(size));
        // Without it nothing would have been registered.
        let base = self.base.as_deref().unwrap_or_default();
        Ok(Reply::Payload(xml::slot(base, id, &token, &slot.name)))
    }
}

fn error_of(refusal: Refusal) -> StanzaError {
    let mut w = XmlWriter::new();
    match refusal {
        // XEP-0363 §6: with the size that would do.
        Refusal::TooLarge { most } => {
            w.start("file-too-large").attr("xmlns", NS);
            w.text_element("max-file-size", &most.to_string()).end();
            StanzaError::not_acceptable()
                .text(format!(
                    "File too large. The maximum file size is {most} bytes"
                ))
                .app(w.finish())
        }
        // XEP-0363 §6: with the time at which there will be place.
        Refusal::Full {
            what,
            retry_ms: Some(at),
        } => {
            let stamp = time::format(i64::try_from(at).unwrap_or(i64::MAX));
            w.leaf("retry", &[("xmlns", NS), ("stamp", &stamp)]);
            StanzaError::resource_constraint()
                .text(what)
                .app(w.finish())
        }
        Refusal::Full {
            what,
            retry_ms: None,
        } => StanzaError::resource_constraint().text(what),
    }
}
