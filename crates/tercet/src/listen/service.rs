//! What all client connections share, and the answers to their streams' questions.

use super::gate::{Gate, GateLimits};
use super::registry::Registry;
use crate::tls::{TlsAcceptor, TlsInfo, TlsVersion};
use arc_swap::ArcSwap;
use std::future::Future;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tercet_core::{
    BareJid, ErrorType, IqType, Limits, SaslFailure, Stanza, StanzaError, error_reply,
};
use tercet_server::{AccountError, Outbox, Server, Session, TokenLogin, VHost};
use tercet_stream::sasl::Mechanism;
use tercet_stream::{Answer, BindInline, Bound, C2sConfig, C2sStream, Framing, Question, Ticket};

/// What client connections share.
pub(super) struct C2s {
    pub(super) server: Arc<Server>,
    pub(super) registry: Arc<Registry>,
    pub(super) gate: Arc<Gate>,
    /// TLS within a stream.
    pub(super) starttls: TlsAcceptor,
    /// TLS from the first byte.
    pub(super) direct: TlsAcceptor,
    streams: ArcSwap<C2sConfig>,
    /// Turns account names into the gate's keys.
    hasher: std::hash::RandomState,
}

/// Something that a connection waits for before it goes on with what its client sent.
pub(super) enum Work {
    /// The rest of a stanza's way.
    Routing(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// The answer to a question.
    Ask(Pin<Box<dyn Future<Output = WorkDone> + Send>>),
}

/// What came of it.
pub(super) enum WorkDone {
    Routed,
    Answer(Ticket, Answer),
    Bound(Ticket, Option<Arc<Session>>, Answer),
    /// With the stanzas that the client has handled of the session.
    Resumed(Ticket, Option<(Arc<Session>, u32)>, Answer),
    /// With the account of an anonymous client, if there is one now.
    Guest(Ticket, Option<BareJid>, Answer),
}

impl Work {
    /// `rest`, once `earlier` is done.
    pub(super) fn after(
        earlier: Option<Work>,
        rest: Pin<Box<dyn Future<Output = ()> + Send>>,
    ) -> Work {
        match earlier {
            Some(Work::Routing(earlier)) => Work::Routing(Box::pin(async move {
                earlier.await;
                rest.await;
            })),
            // A session that is bound has no question outstanding.
            Some(Work::Ask(_)) | None => Work::Routing(rest),
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<WorkDone> {
        match self {
            Work::Routing(rest) => rest.as_mut().poll(cx).map(|()| WorkDone::Routed),
            Work::Ask(answer) => answer.as_mut().poll(cx),
        }
    }
}

impl C2s {
    pub(super) fn new(
        server: Arc<Server>,
        starttls: TlsAcceptor,
        direct: TlsAcceptor,
        gate: GateLimits,
        streams: C2sConfig,
    ) -> Arc<C2s> {
        Arc::new(C2s {
            server,
            registry: Registry::new(),
            gate: Gate::new(gate),
            starttls,
            direct,
            streams: ArcSwap::from_pointee(streams),
            hasher: std::hash::RandomState::new(),
        })
    }

    /// Streams that begin later have these settings.
    pub(super) fn set(&self, gate: GateLimits, streams: C2sConfig) {
        self.gate.set_limits(gate);
        self.streams.store(Arc::new(streams));
    }

    pub(super) fn stream(&self, framing: Framing, now: Instant) -> C2sStream {
        C2sStream::new(self.streams.load_full(), framing, now, self.server.random())
    }

    /// The host whose domain is `name` or has it as a subdomain; where there is none, the first in the configuration.
    pub(super) fn host_for(&self, name: &str) -> Option<Arc<VHost>> {
        let parents = name.match_indices('.').map(|(dot, _)| &name[dot + 1..]);
        let named = std::iter::once(name)
            .chain(parents)
            .find_map(|domain| self.server.host(domain).filter(|h| h.has_accounts()));
        named.or_else(|| self.server.host(self.streams.load().default_domain()))
    }

    /// The bounds on what is read before and after a login.
    pub(super) fn limits(&self) -> (Limits, Limits) {
        let streams = self.streams.load();
        (streams.before_login, streams.after_login)
    }

    pub(super) fn outbox_bytes(&self) -> usize {
        self.server.limits().outbox_bytes
    }

    /// Notes a failed login; returns how long its answer is held back.
    pub(super) fn login_failed(
        &self,
        address: IpAddr,
        username: Option<&str>,
        now: Instant,
    ) -> Duration {
        let account = username.map(|name| self.hasher.hash_one(name));
        self.gate.login_failed(address, account, now)
    }

    /// Sets about answering a question of the client at `peer`. Nothing in it depends on whether an account exists until the
    /// answer is given.
    pub(super) fn ask(
        &self,
        ticket: Ticket,
        question: Question,
        peer: IpAddr,
        outbox: &Arc<Outbox>,
        lang: Option<&str>,
        guest: bool,
    ) -> Work {
        let server = self.server.clone();
        match question {
            Question::Bind {
                account,
                resource,
                fallback,
                inline,
            } => {
                let (outbox, lang) = (outbox.clone(), lang.map(str::to_owned));
                Work::Ask(Box::pin(async move {
                    let lang = lang.as_deref();
                    let begun = match inline {
                        Some(inline) => {
                            begin(&server, &account, fallback, &inline, outbox, lang, !guest).await
                        }
                        None => {
                            let resource = resource.unwrap_or(fallback);
                            let bound = server.bind(&account, Some(&resource), outbox, lang);
                            bound.await.map(|session| (session, Vec::new()))
                        }
                    };
                    match begun {
                        Ok((session, inline)) => {
                            let jid = session.jid().clone();
                            let answer = Answer::Bound(Ok(Bound { jid, inline }));
                            WorkDone::Bound(ticket, Some(session), answer)
                        }
                        Err(error) => WorkDone::Bound(ticket, None, Answer::Bound(Err(error))),
                    }
                }))
            }
            Question::Resume {
                account,
                previd,
                handled,
            } => Work::Ask(Box::pin(async move {
                match server.resume(&account, &previd, handled).await {
                    Ok(resumed) => {
                        let answer = Answer::Resumed(Ok(tercet_stream::Resumed {
                            jid: resumed.session.jid().clone(),
                            handled: resumed.handled,
                        }));
                        WorkDone::Resumed(ticket, Some((resumed.session, handled)), answer)
                    }
                    Err(why) => {
                        let answer = Answer::Resumed(Err(why));
                        WorkDone::Resumed(ticket, None, answer)
                    }
                }
            })),
            Question::Anonymous { host } => Work::Ask(Box::pin(async move {
                let guest = server.create_guest(&host).await;
                let answer = Answer::Account(guest.as_ref().cloned().map_err(failure));
                WorkDone::Guest(ticket, guest.ok(), answer)
            })),
            Question::Register {
                host,
                stanza,
                invitation,
            } => {
                let is_request = stanza.iq_type() == Some(IqType::Set);
                let allowed = !is_request || self.gate.may_register(peer, Instant::now());
                Work::Ask(Box::pin(async move {
                    let reply = match allowed {
                        true => register(&server, &host, &stanza, invitation, peer).await,
                        false => too_many_registrations(&host, &stanza),
                    };
                    WorkDone::Answer(ticket, Answer::Xml(reply))
                }))
            }
            // Nobody guesses a token; how often one stream may try is for the stream.
            Question::Invitation { host, stanza } => Work::Ask(Box::pin(async move {
                let shown = tercet_modules::invites::present(&server, &host, &stanza).await;
                let (reply, token) = (shown.reply, shown.token);
                WorkDone::Answer(ticket, Answer::Invitation { reply, token })
            })),
            question => Work::Ask(Box::pin(async move {
                WorkDone::Answer(ticket, answer(&server, question).await)
            })),
        }
    }
}

/// Binds a session by XEP-0386 and begins it as its client wants; what comes with it is for the client.
async fn begin(
    server: &Arc<Server>,
    account: &BareJid,
    fallback: String,
    inline: &BindInline,
    outbox: Arc<Outbox>,
    lang: Option<&str>,
    resumable: bool,
) -> Result<(Arc<Session>, Vec<u8>), StanzaError> {
    let own = match &inline.client {
        Some(id) => server.client_resource(account, id),
        None => fallback,
    };
    let resource = match &inline.tag {
        Some(tag) => format!("{tag}/{own}"),
        None => own,
    };
    let mut told = Vec::new();
    let count = |session: &Arc<Session>| {
        if let Some(enable) = &inline.enable {
            told = server.begin_managed(session, enable, resumable);
        }
    };
    let session = server
        .bind_with(account, Some(&resource), outbox, lang, count)
        .await?;
    if let Some(id) = &inline.client {
        server.identify(&session, id).await;
    }
    if let Some(request) = inline.request() {
        told.extend(server.begin(&session, request).await);
    }
    Ok((session, told))
}

/// Answers a question that needs nothing of the connection.
async fn answer(server: &Arc<Server>, question: Question) -> Answer {
    match question {
        Question::ScramKeys {
            host,
            account,
            username,
            hash,
        } => match server
            .scram_keys_of(&owner(&host, &account, &username), hash)
            .await
        {
            Ok((exists, keys)) => Answer::ScramKeys {
                keys,
                account: account.filter(|_| exists).ok_or(SaslFailure::NotAuthorized),
            },
            Err(error) => Answer::Account(Err(failure(&error))),
        },
        Question::CheckPassword {
            host,
            account,
            username,
            password,
        } => Answer::Account(
            match server
                .credentials_of(&owner(&host, &account, &username))
                .await
            {
                Ok((exists, credentials)) => {
                    let complete = credentials.are_complete();
                    let check = {
                        let password = password.clone();
                        move || credentials.verify(password.as_str())
                    };
                    let fits = tokio::task::spawn_blocking(check).await.unwrap_or(false);
                    let account = account.filter(|_| exists && fits);
                    if let Some(account) = account.as_ref().filter(|_| !complete)
                        && let Err(error) = server
                            .complete_credentials(account, password.as_str())
                            .await
                    {
                        tracing::warn!(%account, %error, "its SCRAM keys could not be completed");
                    }
                    account.ok_or(SaslFailure::NotAuthorized)
                }
                Err(error) => Err(failure(&error)),
            },
        ),
        Question::Token {
            host,
            account,
            username,
            client,
            proof,
            count,
            invalidate,
            wants,
        } => {
            let login = TokenLogin {
                account: &owner(&host, &account, &username),
                client: &client,
                proof: &proof,
                count,
                invalidate,
                wants,
            };
            match server.token_login(login).await {
                Ok((proof, token)) => Answer::Token {
                    account: account.ok_or(SaslFailure::NotAuthorized),
                    proof,
                    token,
                },
                Err(failure) => Answer::Account(Err(failure)),
            }
        }
        // Who is nobody in particular does not come back.
        Question::Client {
            mechanism: Mechanism::Anonymous,
            ..
        } => Answer::Client(None),
        Question::Client {
            account,
            client,
            wants,
            ..
        } => match server.note_client(&account, &client, wants).await {
            Ok(token) => Answer::Client(token),
            Err(error) => {
                // It is logged in all the same.
                tracing::error!(%account, %error, "a client could not be noted");
                Answer::Client(None)
            }
        },
        Question::LacksKeys { account, hash } => {
            Answer::LacksKeys(match server.lacks_keys(&account, hash).await {
                Ok(lacks) => lacks,
                Err(error) => {
                    // It is logged in all the same, and may do it next time.
                    tracing::error!(%account, %error, "its SCRAM keys could not be looked at");
                    false
                }
            })
        }
        Question::KeepKeys { account, keys } => {
            match server.add_keys(&account, keys).await {
                Ok(()) => {
                    tracing::info!(%account, "SCRAM keys of a further hash function are kept")
                }
                Err(error) => {
                    tracing::error!(%account, %error, "its SCRAM keys could not be kept");
                }
            }
            Answer::KeysKept
        }
        Question::External { account } => Answer::Account(match server.account(&account).await {
            Ok(Some(_)) => Ok(account),
            Ok(None) => Err(SaslFailure::NotAuthorized),
            Err(error) => Err(failure(&error.into())),
        }),
        // `C2s::ask` answers these.
        Question::Anonymous { .. }
        | Question::Register { .. }
        | Question::Invitation { .. }
        | Question::Bind { .. }
        | Question::Resume { .. } => Answer::Xml(Vec::new()),
    }
}

/// Answers a registration request (XEP-0077) of someone who has not logged in.
async fn register(
    server: &Arc<Server>,
    host: &str,
    stanza: &Stanza,
    invitation: Option<String>,
    peer: IpAddr,
) -> Vec<u8> {
    let token = invitation.as_deref();
    let registered = tercet_modules::register::preauth(server, host, stanza, token).await;
    if let Some(account) = registered.created {
        tracing::info!(%account, %peer, "account registered");
    }
    registered.reply
}

fn too_many_registrations(host: &str, stanza: &Stanza) -> Vec<u8> {
    let error = StanzaError::resource_constraint()
        .kind(ErrorType::Wait)
        .text("too many registrations from your address");
    let mut reply = Vec::new();
    error_reply(stanza, &error, Some(host), None, &mut reply);
    reply
}

/// Under which name the store is asked for the account: for a name that no account can have, one that finds nothing.
fn owner(host: &str, account: &Option<BareJid>, username: &str) -> String {
    match account {
        Some(account) => account.as_str().to_owned(),
        None => format!("{username}@{host}"),
    }
}

/// What a client is told when the server failed; the reason goes to the log.
fn failure(error: &AccountError) -> SaslFailure {
    tracing::error!(%error, "login not possible");
    SaslFailure::TemporaryAuthFailure
}

/// What a WebSocket's stream has to know of its TLS. There is no channel binding: no browser has any, and where a reverse proxy
/// stands between, the client's channel ends there.
pub(super) fn web_stream_info(info: &TlsInfo) -> tercet_stream::TlsInfo {
    tercet_stream::TlsInfo {
        version: stream_version(info.version),
        direct: true,
        ..tercet_stream::TlsInfo::default()
    }
}

fn stream_version(version: TlsVersion) -> tercet_stream::TlsVersion {
    match version {
        TlsVersion::Tls12 => tercet_stream::TlsVersion::Tls12,
        TlsVersion::Tls13 => tercet_stream::TlsVersion::Tls13,
    }
}

/// What a stream has to know of its TLS.
pub(super) fn stream_info(info: TlsInfo, direct: bool) -> tercet_stream::TlsInfo {
    tercet_stream::TlsInfo {
        exporter: info.exporter.map(Into::into),
        end_point: info.end_point.map(Into::into),
        version: stream_version(info.version),
        peer: info.peer.filter(|peer| peer.is_trusted()).map(|peer| {
            tercet_stream::PeerCertificate {
                xmpp_addrs: peer
                    .xmpp_addresses()
                    .iter()
                    .filter_map(|address| BareJid::parse(address).ok())
                    .collect(),
            }
        }),
        direct,
    }
}
