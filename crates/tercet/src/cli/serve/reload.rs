//! SIGHUP: the configuration is read again. It is checked first; if anything in it is faulty, everything stays as it was.

use std::time::SystemTime;

use super::super::configuration;
use super::Running;
use crate::assemble;
use crate::config::Config;
use crate::config::section::Effect;
use crate::listen::{CertificateSettings, Settings};

impl Running<'_> {
    /// Reads the configuration again and applies it, or says why not. Certificates are read again either way.
    pub(super) fn reload(&mut self) {
        match self.read_and_apply() {
            Ok(new) => self.report(new),
            Err(reason) => {
                for line in reason.lines() {
                    tracing::error!("not reloaded, the old settings stay: {}", line.trim());
                }
            }
        }
    }

    fn read_and_apply(&self) -> Result<Config, String> {
        let mut new = configuration(self.arguments).map_err(|e| e.to_string())?;
        // The folder has been taken under its full path.
        if let Ok(full) = new.data_dir.canonicalize() {
            new.data_dir = full;
        }
        let mut effective = new.clone();
        effective.data_dir = self.started.data_dir.clone();
        let files =
            CertificateSettings::new(&effective, SystemTime::now()).map_err(|e| e.to_string())?;
        assemble::configure(&self.server, &effective).map_err(|e| e.to_string())?;
        if let Err(error) = self.certificates.replace(files.files, files.ca_files) {
            // It has been in force until now, so it has no faults.
            let _ = assemble::configure(&self.server, &self.current);
            return Err(error.to_string());
        }
        self.listeners
            .reload(Settings::new(&effective, &self.server));
        self.logging.set_level(&effective.log.level);
        Ok(new)
    }

    /// Says what was applied, and what waits for a restart.
    fn report(&mut self, new: Config) {
        let names = |from: &Config, wanted: Effect| {
            let changes = from.changes(&new).into_iter();
            let names: Vec<String> = changes
                .filter(|change| change.1 == wanted)
                .map(|change| change.0)
                .collect();
            names.join(", ")
        };
        let applied = names(&self.current, Effect::Live);
        let waiting = names(&self.started, Effect::Restart);
        match applied.is_empty() {
            true => {
                tracing::info!("reloaded: certificates were read again, no setting has changed")
            }
            false => tracing::info!("reloaded: certificates were read again, applied {applied}"),
        }
        if !waiting.is_empty() {
            tracing::warn!("these changes take effect at the next start: {waiting}");
        }
        self.current = new;
    }
}
