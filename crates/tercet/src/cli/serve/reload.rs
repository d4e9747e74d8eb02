//! SIGHUP: the configuration is read again. It is checked first; if anything in it is faulty, everything stays as it was.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::super::configuration;
use super::{Running, missing_names, with_ports};
use crate::assemble;
use crate::config::Config;
use crate::config::section::Effect;
use crate::listen::{CertificateSettings, Settings};

impl Running<'_> {
    /// Reads configuration and certificates again and applies them, or says why not.
    pub(super) fn reload(&mut self) {
        let applied = self.read().and_then(|new| {
            let effective = self.effective(new.clone());
            self.apply(&effective)?;
            Ok((new, effective))
        });
        match applied {
            Ok((new, effective)) => {
                self.report(&new);
                self.current = effective;
            }
            Err(reason) => {
                for line in reason.lines() {
                    tracing::error!("not reloaded, the old settings stay: {}", line.trim());
                }
            }
        }
    }

    fn read(&self) -> Result<Config, String> {
        let mut new = configuration(self.arguments).map_err(|e| e.to_string())?;
        // The folder has been taken under its full path.
        if let Ok(full) = new.data_dir.canonicalize() {
            new.data_dir = full;
        }
        Ok(new)
    }

    /// `new` as far as it can take effect without a restart.
    fn effective(&self, mut new: Config) -> Config {
        new.data_dir = self.started.data_dir.clone();
        // A domain that was taken away has sessions, which go on until the next start.
        for host in &self.current.hosts {
            if new.hosts.iter().all(|other| other.domain != host.domain) {
                new.hosts.push(host.clone());
            }
        }
        new
    }

    fn apply(&self, new: &Config) -> Result<(), String> {
        let files = CertificateSettings::new(new, SystemTime::now()).map_err(|e| e.to_string())?;
        assemble::configure(&self.server, &with_ports(new, self.listeners.bound()))
            .map_err(|e| e.to_string())?;
        if let Err(error) = self.certificates.replace(files.files, files.ca_files) {
            // It has been in force until now, so it has no faults.
            let _ = assemble::configure(
                &self.server,
                &with_ports(&self.current, self.listeners.bound()),
            );
            return Err(error.to_string());
        }
        missing_names(new, &self.certificates);
        self.listeners.reload(Settings::new(new, &self.server));
        self.logging.set_level(&new.log.level);
        Ok(())
    }

    /// Says what was applied, and what waits for a restart.
    fn report(&self, new: &Config) {
        let names = |from: &Config, wanted: Effect| -> BTreeSet<String> {
            let changes = from.changes(new).into_iter();
            changes
                .filter(|change| change.1 == wanted)
                .map(|change| change.0)
                .collect()
        };
        let listed = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(", ");
        let applied = names(&self.current, Effect::Live);
        match applied.is_empty() {
            true => {
                tracing::info!("reloaded: certificates were read again, no setting has changed")
            }
            false => tracing::info!(
                "reloaded: certificates were read again, applied {}",
                listed(applied)
            ),
        }
        let mut waiting = names(&self.started, Effect::Restart);
        waiting.extend(names(&self.current, Effect::Restart));
        if !waiting.is_empty() {
            tracing::warn!(
                "these changes take effect at the next start: {}",
                listed(waiting)
            );
        }
    }
}
