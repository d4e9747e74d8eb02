//! Tokens that let people in whose address is not known, and make them members (XEP-0488 0.1.0).

mod token;

use std::collections::BTreeSet;

use tercet_core::{Element, IqType, Jid, StanzaError, XmlWriter};
use tercet_server::{Routed, store_failure};
use tercet_store::Batch;

use super::{RoomFeature, unique};
use crate::muc::affiliation::{Affiliation, Role};
use crate::muc::room::{Data, Enrolled, State};
use crate::muc::{Call, MUC, admin, enter, records};
use token::{Entry, TokenRequest, Tokens, entry, expired, may_make};

/// The namespace, which is the feature as well.
const NS_TOKENS: &str = "urn:xmpp:muc-token-invite:0";
/// The key of the durable form.
const NAME: &str = "tokens";

/// Tokens that invite.
pub(super) struct TokenInvites;

impl RoomFeature for TokenInvites {
    fn name(&self) -> &'static str {
        NAME
    }

    fn load(&self, data: &mut Data, kept: &[u8]) -> Option<()> {
        data.put(Tokens::from_bytes(kept)?);
        Some(())
    }

    fn save(&self, data: &Data) -> Option<Vec<u8>> {
        data.get::<Tokens>().map(Tokens::to_bytes)
    }

    fn disco(&self, _: &State, features: &mut BTreeSet<&'static str>) {
        features.insert(NS_TOKENS);
    }

    fn request(&self, call: &Call<'_>) -> Option<Routed> {
        let cx = call.entity;
        let payload = cx.stanza.payload()?;
        if cx.to.is_full() || payload.ns() != NS_TOKENS {
            return None;
        }
        let set = cx.stanza.iq_type() == Some(IqType::Set);
        let wanted = TokenRequest::parse(payload.parse().root(), set)?;
        let answer = match wanted {
            Ok(TokenRequest::List) => list(call),
            Ok(wanted) => return Some(change_later(call, wanted)),
            Err(error) => Err(error),
        };
        match answer {
            Ok(payload) => cx.answer(&payload),
            Err(error) => cx.refuse(&error),
        }
        Some(Routed::Done)
    }

    fn arrive(&self, call: &Call<'_>, room: &mut State, x: Element<'_>) -> Option<Routed> {
        let cx = call.entity;
        let password = x.child("password", MUC).map(|p| p.text());
        let entry = entry(
            &room.config,
            room.data.get(),
            room.affiliation(cx.from.bare_str()),
            password.as_deref(),
            cx.server.now_ms(),
        );
        match entry {
            _ if room.locked => None,
            Entry::Pass => None,
            Entry::Expired => {
                enter::refuse(&cx, &expired());
                Some(Routed::Done)
            }
            Entry::Member => Some(redeem_later(
                call,
                password.unwrap_or_default().into_owned(),
            )),
        }
    }
}

fn list(call: &Call<'_>) -> Result<Vec<u8>, StanzaError> {
    let cx = call.entity;
    let state = call.room.lock();
    let who = state.standing(cx.from);
    // XEP-0488 §3.6: participants ask.
    if who.affiliation < Affiliation::Member && who.role == Role::None {
        return Err(StanzaError::forbidden());
    }
    let (user, now_ms) = (cx.from.to_bare(), cx.server.now_ms());
    let mut w = XmlWriter::new();
    w.start("tokens").attr("xmlns", NS_TOKENS);
    for token in state
        .data
        .get::<Tokens>()
        .into_iter()
        .flat_map(|t| t.list(&user, who, now_ms))
    {
        token.write(true, now_ms, &mut w);
    }
    w.end();
    Ok(w.finish())
}

fn change_later(call: &Call<'_>, wanted: TokenRequest) -> Routed {
    let parked = call.park();
    Routed::later(async move {
        let call = parked.call();
        match change(&call, wanted).await {
            Ok(answer) => call.entity.answer(&answer),
            Err(error) => call.entity.refuse(&error),
        }
    })
}

/// Makes a token or revokes one: durable if the room is, then answered.
async fn change(call: &Call<'_>, wanted: TokenRequest) -> Result<Vec<u8>, StanzaError> {
    let cx = call.entity;
    let _alone = call.room.changing.lock().await;
    let (tokens, answer, commit) = {
        let mut state = call.room.lock();
        if state.gone {
            return Err(StanzaError::item_not_found());
        }
        let (who, user, now_ms) = (
            state.standing(cx.from),
            cx.from.to_bare(),
            cx.server.now_ms(),
        );
        let mut tokens = state.data.of::<Tokens>().clone();
        let mut w = XmlWriter::new();
        match wanted {
            // XEP-0488 §3.2, §3.7: who may make no tokens is told so with forbidden.
            _ if !may_make(&state.config, who) && !who.moderates() => {
                return Err(StanzaError::forbidden());
            }
            TokenRequest::Make { .. } if !may_make(&state.config, who) => {
                return Err(StanzaError::forbidden());
            }
            TokenRequest::Make { delay, counter } => {
                let secret = unique::name(cx.server.random());
                let token = tokens.make(secret, &user, delay, counter, now_ms)?;
                token.write(false, now_ms, &mut w);
            }
            TokenRequest::Revoke(secret) => tokens.revoke(&secret, &user, who)?,
            TokenRequest::List => {}
        }
        let commit = state.config.persistent.then(|| {
            let mut batch = Batch::new();
            records::put_data(&mut batch, &call.room.jid, NAME, tokens.to_bytes());
            cx.server.store().commit(batch)
        });
        (tokens, w.finish(), commit)
    };
    if let Some(commit) = commit {
        commit.await.map_err(|e| store_failure(&e))?;
    }
    call.room.lock().data.put(tokens);
    Ok(answer)
}

/// Those whom a token has let in a moment ago, and who come again to enter: what they give is no password.
#[derive(Default)]
struct Admitted(Vec<Jid>);

/// Whether a token has let in who stands at the door.
pub(super) fn has_admitted(room: &State, real: &Jid) -> bool {
    let admitted = room.data.get::<Admitted>();
    admitted.is_some_and(|a| a.0.contains(real))
}

fn redeem_later(call: &Call<'_>, secret: String) -> Routed {
    let parked = call.park();
    Routed::later(async move {
        let call = parked.call();
        let cx = call.entity;
        if let Err(error) = redeem(&call, &secret).await {
            return enter::refuse(&cx, &error);
        }
        // XEP-0488 §4: now a member, and as such at the door again.
        let entered = enter::presence(&call);
        call.room
            .lock()
            .data
            .of::<Admitted>()
            .0
            .retain(|real| real != cx.from);
        match entered {
            Some(routed) => routed.wait().await,
            None => enter::refuse(&cx, &StanzaError::item_not_found()),
        }
    })
}

/// Uses a token up, and makes who brings it a member.
async fn redeem(call: &Call<'_>, secret: &str) -> Result<(), StanzaError> {
    let cx = call.entity;
    let _alone = call.room.changing.lock().await;
    let user = cx.from.to_bare();
    let (mut tokens, mut enrolled) = {
        let mut state = call.room.lock();
        let enrolled = state.roll.get(&user).cloned();
        let tokens = state.data.of::<Tokens>().clone();
        (tokens, enrolled.unwrap_or(Enrolled::new(Affiliation::None)))
    };
    if enrolled.affiliation != Affiliation::None {
        // Another device of the user was faster.
        call.room
            .lock()
            .data
            .of::<Admitted>()
            .0
            .push(cx.from.clone());
        return Ok(());
    }
    if !tokens.spend(secret, cx.server.now_ms()) {
        return Err(expired());
    }
    enrolled.affiliation = Affiliation::Member;
    let mut batch = Batch::new();
    records::put_data(&mut batch, &call.room.jid, NAME, tokens.to_bytes());
    let then = |state: &mut State| {
        state.data.put(tokens);
        state.data.of::<Admitted>().0.push(cx.from.clone());
    };
    admin::enlist(call, &user, enrolled, batch, then).await
}
