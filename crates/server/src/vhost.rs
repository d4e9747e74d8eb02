//! A virtual host: what its modules declared, compiled into tables. Immutable; replaced whole when the configuration changes.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use tercet_core::StanzaKind;

use crate::module::Insider;
use crate::module::{
    AnnounceFn, BoundFn, ConsentFn, EntityFn, Extension, IqEntry, IqKind, Module, Phase,
    PresenceEntry, Registrar, SessionEntry, Side, SlotDef, Stage, StageEntry, StreamFeature,
    Target, Xep,
};
use crate::settings::{HostInfo, Role};

/// One domain that this server speaks for.
pub struct VHost {
    info: HostInfo,
    iqs: HashMap<&'static str, Vec<IqEntry>>,
    stages: [Vec<StageEntry>; 6],
    extension: Extension,
    modules: Vec<(&'static str, &'static [Xep])>,
}

/// Takes the modules of one host, in the order in which they stand inside a stage.
pub struct HostBuilder<'a> {
    info: &'a HostInfo,
    extension: Extension,
    modules: Vec<(&'static str, &'static [Xep])>,
    faults: Vec<String>,
}

impl HostBuilder<'_> {
    /// Adds a module, unless the host's configuration switches it off (`[modules.NAME] enabled = false`).
    pub fn add<M: Module>(&mut self) {
        let mut table = match self.info.modules.get(M::NAME) {
            Some(toml::Value::Table(table)) => table.clone(),
            _ => toml::Table::new(),
        };
        if table.remove("enabled") == Some(toml::Value::Boolean(false)) {
            return;
        }
        let config = if table.is_empty() {
            M::Config::default()
        } else {
            match toml::Value::Table(table).try_into() {
                Ok(config) => config,
                Err(error) => return self.faults.push(format!("[modules.{}]: {error}", M::NAME)),
            }
        };
        let module = Arc::new(M::new(config, self.info));
        M::register(&mut Registrar::new(&module, &mut self.extension));
        self.modules.push((M::NAME, M::XEPS));
    }

    /// The host that is being built.
    pub fn host(&self) -> &HostInfo {
        self.info
    }
}

impl VHost {
    /// Compiles a host from what `modules` adds. All faults of module settings are returned at once.
    pub fn build(info: HostInfo, modules: fn(&mut HostBuilder<'_>)) -> Result<VHost, Vec<String>> {
        let mut builder = HostBuilder {
            info: &info,
            extension: Extension::default(),
            modules: Vec::new(),
            faults: Vec::new(),
        };
        modules(&mut builder);
        let HostBuilder {
            mut extension,
            modules,
            faults,
            ..
        } = builder;
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut iqs: HashMap<&'static str, Vec<IqEntry>> = HashMap::new();
        for entry in extension.iqs.drain(..) {
            iqs.entry(entry.ns).or_default().push(entry);
        }
        let mut stages: [Vec<StageEntry>; 6] = Default::default();
        for entry in extension.stages.drain(..) {
            for kind in [StanzaKind::Message, StanzaKind::Presence, StanzaKind::Iq] {
                if entry.kinds.contains(kind) {
                    stages[lane(kind, entry.side)].push(entry.clone());
                }
            }
        }
        for lane in &mut stages {
            // A stable sort: inside a stage the order of the module list holds.
            lane.sort_by_key(|e| e.stage);
        }
        extension
            .features
            .sort_unstable_by_key(|(target, var)| (*target as u8, *var));
        extension.features.dedup();
        Ok(VHost {
            info,
            iqs,
            stages,
            extension,
            modules,
        })
    }

    /// Its domain.
    pub fn domain(&self) -> &str {
        &self.info.domain
    }

    /// Its settings.
    pub fn info(&self) -> &HostInfo {
        &self.info
    }

    /// The features of `target`, without doubles, in order.
    pub fn features(&self, target: Target) -> impl Iterator<Item = &'static str> {
        self.extension
            .features
            .iter()
            .filter(move |(t, _)| *t == target)
            .map(|(_, var)| *var)
    }

    /// The values of type `T` that modules provide.
    pub fn provided<T: Any>(&self) -> impl Iterator<Item = &T> {
        self.extension
            .provided
            .iter()
            .filter_map(|v| v.downcast_ref())
    }

    /// The children of the stream features after login that modules provide.
    pub fn stream_features(&self) -> Vec<u8> {
        self.provided::<StreamFeature>()
            .flat_map(|f| (f.0)(self))
            .collect()
    }

    /// The modules that are on, with their specifications.
    pub fn modules(&self) -> &[(&'static str, &'static [Xep])] {
        &self.modules
    }

    /// The order in which the modules' stages see a stanza: stage and module, for operators and tests.
    pub fn pipeline(
        &self,
        kind: StanzaKind,
        side: Side,
    ) -> impl Iterator<Item = (Stage, &'static str)> {
        self.stages[lane(kind, side)]
            .iter()
            .map(|e| (e.stage, e.module))
    }

    /// The requests that are answered: namespace, element, kind, target and module.
    pub fn requests(
        &self,
    ) -> impl Iterator<Item = (&'static str, &'static str, IqKind, Target, &'static str)> {
        self.iqs
            .values()
            .flatten()
            .map(|e| (e.ns, e.name, e.kind, e.target, e.module))
    }

    /// The steps of one part of a stanza's way.
    pub(crate) fn stages(&self, kind: StanzaKind, side: Side, phase: Phase) -> &[StageEntry] {
        let lane = &self.stages[lane(kind, side)];
        let first = |stage| lane.partition_point(|e| e.stage < stage);
        let archive = first(Stage::Archive);
        let (copy, fallback) = (first(Stage::Copy), first(Stage::Fallback));
        match phase {
            Phase::Before => &lane[..archive],
            Phase::Policy => &lane[first(Stage::Policy)..first(Stage::Annotate)],
            Phase::Archive => &lane[archive..copy],
            Phase::Copy => &lane[copy..fallback],
            Phase::Fallback => &lane[fallback..],
        }
    }

    pub(crate) fn slots(&self) -> &[SlotDef] {
        &self.extension.slots
    }

    /// What sessions can begin with, by its namespaces (XEP-0386 §3.1).
    pub fn inline(&self) -> &[&'static str] {
        &self.extension.inline
    }

    pub(crate) fn bound_handlers(&self) -> &[Box<BoundFn>] {
        &self.extension.bound
    }

    pub(crate) fn announcing(&self) -> &[Box<AnnounceFn>] {
        &self.extension.announcing
    }

    pub(crate) fn session_handlers(&self) -> &[SessionEntry] {
        &self.extension.sessions
    }

    pub(crate) fn presence_handlers(&self) -> &[PresenceEntry] {
        &self.extension.presence
    }

    pub(crate) fn subscription_handlers(&self) -> &[Box<ConsentFn>] {
        &self.extension.subscriptions
    }

    /// The modules that see what goes on.
    pub(crate) fn insiders(&self) -> &[Arc<dyn Insider>] {
        &self.extension.insiders
    }

    /// Whether one of them wants to hear of the presence of contacts.
    pub(crate) fn hears_contacts(&self) -> bool {
        let mut insiders = self.extension.insiders.iter();
        insiders.any(|insider| insider.hears_contacts())
    }

    /// What is behind the host's addresses with a localpart, where these are no accounts.
    pub(crate) fn entity(&self) -> Option<&EntityFn> {
        self.extension.entity.as_deref()
    }

    /// Whether the host has accounts; a service has none.
    pub fn has_accounts(&self) -> bool {
        self.info.role == Role::Accounts
    }

    pub(crate) fn iq(
        &self,
        ns: &str,
        name: &str,
        kind: IqKind,
        target: Target,
    ) -> Option<&IqEntry> {
        self.iqs
            .get(ns)?
            .iter()
            .find(|e| e.name == name && e.kind == kind && e.target == target)
    }
}

/// The row of the stage table.
fn lane(kind: StanzaKind, side: Side) -> usize {
    let kind = match kind {
        StanzaKind::Message => 0,
        StanzaKind::Presence => 1,
        StanzaKind::Iq => 2,
    };
    kind * 2 + usize::from(side == Side::Recipient)
}

impl std::fmt::Debug for VHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("VHost").field(&self.info.domain).finish()
    }
}
