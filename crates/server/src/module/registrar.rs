//! Registration: a module's declarations, compiled into its host's tables.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tercet_core::{Element, Stanza, StanzaError};
use tercet_store::Batch;

use super::insider::Insider;
use super::slot::SlotDef;
use super::{
    AdmittedCx, AnnounceCx, EntityCx, Flow, IqCx, IqKind, IqResult, Kinds, Module, OnAnnounce,
    OnBind, OnEntity, OnIq, OnPresence, OnSession, OnStanza, OnSubscription, Payload, SessionCx,
    Side, Slot, Stage, StanzaCx, SubscriptionCx, Target, UnknownCx,
};
use crate::route::Routed;

/// A future that borrows what its handler was given.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

type IqFn = dyn for<'a> Fn(IqCx<'a>) -> BoxFuture<'a, IqResult> + Send + Sync;
type StageFn = dyn Fn(&mut StanzaCx<'_>) -> Flow + Send + Sync;
type UnknownFn = dyn Fn(&UnknownCx<'_>) -> Flow + Send + Sync;
type AbsentFn = dyn Fn(&Stanza) -> Option<Batch> + Send + Sync;
type AvailableFn = dyn for<'a> Fn(SessionCx<'a>) -> BoxFuture<'a, ()> + Send + Sync;
type LostFn = dyn Fn(SessionCx<'_>) + Send + Sync;
type GoneFn = dyn for<'a> Fn(SessionCx<'a>, &'a Stanza) -> BoxFuture<'a, ()> + Send + Sync;

/// One payload's handler.
pub(crate) struct IqEntry {
    pub(crate) module: &'static str,
    pub(crate) ns: &'static str,
    pub(crate) name: &'static str,
    pub(crate) secret: bool,
    pub(crate) kind: IqKind,
    pub(crate) target: Target,
    pub(crate) handle: Box<IqFn>,
    pub(crate) absent: Box<dyn Fn() -> StanzaError + Send + Sync>,
    pub(crate) reads: Option<&'static tercet_store::Kind>,
}

/// One step of the pipeline.
#[derive(Clone)]
pub(crate) struct StageEntry {
    pub(crate) module: &'static str,
    pub(crate) kinds: Kinds,
    pub(crate) side: Side,
    pub(crate) stage: Stage,
    pub(crate) handle: Arc<StageFn>,
    pub(crate) absent: Arc<AbsentFn>,
    pub(crate) unknown: Arc<UnknownFn>,
}

/// Whether a module knows of a user's consent.
pub(crate) type ConsentFn =
    dyn for<'a> Fn(SubscriptionCx<'a>) -> BoxFuture<'a, Option<Batch>> + Send + Sync;

/// Who is told about sessions.
pub(crate) struct SessionEntry {
    pub(crate) available: Box<AvailableFn>,
    pub(crate) leaving: Box<PresentedFn>,
    pub(crate) gone: Box<GoneFn>,
    pub(crate) lost: Box<LostFn>,
}

type PresentedFn = dyn Fn(SessionCx<'_>, &Stanza) + Send + Sync;
type AdmittedFn = dyn Fn(AdmittedCx<'_>) + Send + Sync;

/// Who is told about presence.
pub(crate) struct PresenceEntry {
    pub(crate) presented: Box<PresentedFn>,
    pub(crate) admitted: Box<AdmittedFn>,
}

/// Completes presence.
pub(crate) type AnnounceFn = dyn Fn(AnnounceCx<'_>) -> Option<Stanza> + Send + Sync;

/// What a module does when a session begins.
pub(crate) type BoundFn =
    dyn for<'a> Fn(SessionCx<'a>, Element<'a>) -> BoxFuture<'a, Vec<u8>> + Send + Sync;

/// What is behind the addresses of a service.
pub(crate) type EntityFn = dyn Fn(EntityCx<'_>) -> Routed + Send + Sync;

/// Everything the modules of one host have declared.
#[derive(Default)]
pub(crate) struct Extension {
    pub(crate) iqs: Vec<IqEntry>,
    pub(crate) stages: Vec<StageEntry>,
    pub(crate) sessions: Vec<SessionEntry>,
    pub(crate) presence: Vec<PresenceEntry>,
    pub(crate) announcing: Vec<Box<AnnounceFn>>,
    pub(crate) bound: Vec<Box<BoundFn>>,
    /// What sessions can begin with, by its namespaces.
    pub(crate) inline: Vec<&'static str>,
    pub(crate) subscriptions: Vec<Box<ConsentFn>>,
    pub(crate) entity: Option<Box<EntityFn>>,
    pub(crate) insiders: Vec<Arc<dyn Insider>>,
    pub(crate) slots: Vec<SlotDef>,
    pub(crate) features: Vec<(Target, &'static str)>,
    pub(crate) provided: Vec<Box<dyn Any + Send + Sync>>,
}

/// Takes the declarations of module `M` for one host.
pub struct Registrar<'a, M> {
    module: &'a Arc<M>,
    into: &'a mut Extension,
}

/// What a registration returns: the only way to advertise a feature is to have registered what keeps its promise.
pub struct Feature<'a> {
    target: Target,
    features: &'a mut Vec<(Target, &'static str)>,
}

impl Feature<'_> {
    /// Advertises `var` where the handler answers: for [`Target::Own`] and [`Target::Account`] on accounts, else on the host.
    pub fn feature(self, var: &'static str) -> Self {
        self.features.push((self.target, var));
        self
    }

    /// Advertises `var` on accounts, whatever the handler's own target.
    pub fn account_feature(self, var: &'static str) -> Self {
        self.features.push((Target::Account, var));
        self
    }

    /// Advertises `var` on the host, whatever the handler's own target: for what clients look for on their server.
    pub fn host_feature(self, var: &'static str) -> Self {
        self.features.push((Target::Host, var));
        self
    }

    /// Nothing is advertised, for this reason.
    pub fn silent(self, _reason: &'static str) {}
}

impl<'a, M: Module> Registrar<'a, M> {
    pub(crate) fn new(module: &'a Arc<M>, into: &'a mut Extension) -> Self {
        Registrar { module, into }
    }

    /// The module's instance for this host, for declarations that depend on its settings.
    pub fn module(&self) -> &Arc<M> {
        self.module
    }

    /// Answers requests with payload `P`.
    pub fn iq<P: Payload>(&mut self, kind: IqKind, target: Target) -> Feature<'_>
    where
        M: OnIq<P>,
    {
        let (module, absent) = (self.module.clone(), self.module.clone());
        self.into.iqs.push(IqEntry {
            module: M::NAME,
            ns: P::NS,
            name: P::NAME,
            secret: P::SECRET,
            kind,
            target,
            reads: OnIq::<P>::reads(&**self.module),
            handle: Box::new(move |cx| {
                let module = module.clone();
                Box::pin(async move {
                    let payload = cx.parse::<P>()?;
                    OnIq::<P>::on_iq(&*module, cx, payload).await
                })
            }),
            absent: Box::new(move || OnIq::<P>::absent(&*absent)),
        });
        Feature {
            target,
            features: &mut self.into.features,
        }
    }

    /// Stands in the way of stanzas of `kinds`, for the sending or the receiving account.
    pub fn on(&mut self, kinds: Kinds, side: Side, stage: Stage) -> Feature<'_>
    where
        M: OnStanza,
    {
        let (module, other) = (self.module.clone(), self.module.clone());
        let third = self.module.clone();
        let unknown = Arc::new(move |cx: &UnknownCx<'_>| third.on_unknown(cx));
        let handle = Arc::new(move |cx: &mut StanzaCx<'_>| module.on_stanza(cx));
        let absent = Arc::new(move |stanza: &Stanza| other.absent(stanza));
        self.into.stages.push(StageEntry {
            module: M::NAME,
            kinds,
            side,
            stage,
            handle,
            absent,
            unknown,
        });
        Feature {
            target: Target::Host,
            features: &mut self.into.features,
        }
    }

    /// Is told about sessions.
    pub fn sessions(&mut self) -> Feature<'_>
    where
        M: OnSession,
    {
        let (available, gone) = (self.module.clone(), self.module.clone());
        let (leaving, lost) = (self.module.clone(), self.module.clone());
        self.into.sessions.push(SessionEntry {
            available: Box::new(move |cx| {
                let module = available.clone();
                Box::pin(async move { module.available(cx).await })
            }),
            leaving: Box::new(move |cx, presence| leaving.leaving(cx, presence)),
            gone: Box::new(move |cx, presence| {
                let module = gone.clone();
                Box::pin(async move { module.gone(cx, presence).await })
            }),
            lost: Box::new(move |cx| lost.lost(cx)),
        });
        Feature {
            target: Target::Host,
            features: &mut self.into.features,
        }
    }

    /// Is told about presence.
    pub fn presence(&mut self) -> Feature<'_>
    where
        M: OnPresence,
    {
        let (presented, admitted) = (self.module.clone(), self.module.clone());
        self.into.presence.push(PresenceEntry {
            presented: Box::new(move |cx, presence| presented.presented(cx, presence)),
            admitted: Box::new(move |cx| admitted.admitted(cx)),
        });
        Feature {
            target: Target::Host,
            features: &mut self.into.features,
        }
    }

    /// Completes the presence of the host's sessions.
    pub fn announcements(&mut self) -> Feature<'_>
    where
        M: OnAnnounce,
    {
        let module = self.module.clone();
        let announce = Box::new(move |cx: AnnounceCx<'_>| module.announce(cx));
        self.into.announcing.push(announce);
        Feature {
            target: Target::Account,
            features: &mut self.into.features,
        }
    }

    /// Has a part in how sessions begin; `inline` says what a client can ask for then (XEP-0386 §3.1).
    pub fn binding(&mut self, inline: Option<&'static str>)
    where
        M: OnBind,
    {
        let module = self.module.clone();
        self.into.bound.push(Box::new(move |cx, request| {
            let module = module.clone();
            Box::pin(async move { module.bound(cx, request).await })
        }));
        self.into.inline.extend(inline);
    }

    /// Is asked about requests for the presence of the host's accounts.
    pub fn subscriptions(&mut self) -> Feature<'_>
    where
        M: OnSubscription,
    {
        let module = self.module.clone();
        self.into.subscriptions.push(Box::new(move |cx| {
            let module = module.clone();
            Box::pin(async move { module.consents(cx).await })
        }));
        Feature {
            target: Target::Host,
            features: &mut self.into.features,
        }
    }

    /// Is behind all addresses of the host that have a localpart. One module of a host can be; the last one is.
    pub fn entities(&mut self) -> Feature<'_>
    where
        M: OnEntity,
    {
        let module = self.module.clone();
        self.into.entity = Some(Box::new(move |cx| module.on_entity(cx)));
        Feature {
            target: Target::Host,
            features: &mut self.into.features,
        }
    }

    /// Sees what goes on in the host.
    pub fn insider(&mut self) -> Feature<'_>
    where
        M: Insider,
    {
        self.into.insiders.push(self.module.clone());
        Feature {
            target: Target::Host,
            features: &mut self.into.features,
        }
    }

    /// Needs `S` of each account.
    pub fn needs<S: Slot>(&mut self) {
        let def = SlotDef::of::<S>();
        if !self.into.slots.iter().any(|d| d.id() == def.id()) {
            self.into.slots.push(def);
        }
    }

    /// Offers a value to other modules of the host, which find it by its type with `VHost::provided`. A feature that the
    /// value stands for can be advertised with the returned handle.
    pub fn provide<T: Any + Send + Sync>(&mut self, target: Target, value: T) -> Feature<'_> {
        self.into.provided.push(Box::new(value));
        Feature {
            target,
            features: &mut self.into.features,
        }
    }
}
