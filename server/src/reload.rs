//! What SIGHUP does: the configuration is read again, and what can be changed while the server runs is changed.
//!
//! What cannot be read or used leaves everything as it is, and is logged; so is what takes effect at the next
//! start only.

use crate::audit::device::Device;
use crate::config::{self, Config, ConfigError, Listener, Loaded};
use crate::listener::Certificate;
use crate::logging;
use std::path::PathBuf;
use std::sync::Arc;

/// What a running server can be given anew.
#[derive(Debug)]
pub(crate) struct Reload {
    /// Where the configuration is read.
    pub(crate) paths: Vec<PathBuf>,
    /// Where a server to try things with listens; that is not in its configuration.
    pub(crate) dev_address: Option<String>,
    pub(crate) logging: logging::Reload,
    /// Whether it was said at the start how much to log: that goes before the configuration.
    pub(crate) level_is_fixed: bool,
    /// What is in effect.
    pub(crate) running: Config,
    /// What the listeners prove themselves with, in their order.
    pub(crate) certificates: Vec<Option<Arc<Certificate>>>,
    pub(crate) audits: Vec<Arc<Device>>,
}

impl Reload {
    /// Reads everything again.
    pub(crate) async fn reload(&mut self) {
        for audit in &self.audits {
            if let Err(error) = audit.reopen().await {
                tracing::error!(%error, "an audit device could not be opened anew");
            }
        }
        match self.read() {
            Ok(new) => {
                self.reload_level(&new);
                self.reload_certificates(&new.listeners);
                for key in self.running.differences(&new) {
                    tracing::warn!("`{key}` has changed, which takes effect at the next start");
                }
                tracing::info!("the configuration was read again");
            }
            Err(error) => {
                tracing::error!(%error, "the configuration cannot be used; what was read before stays in effect");
                // A certificate that was renewed in its place has nothing to do with that.
                self.reload_certificates(&[]);
            }
        }
    }

    fn read(&self) -> Result<Config, ConfigError> {
        let Loaded { mut config, warnings } = config::load(&self.paths)?;
        match &self.dev_address {
            Some(address) => config.for_dev(address)?,
            None => config.checked_for_use()?,
        }
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        Ok(config)
    }

    /// Reads the certificates again: from where the listener of the same address now has them, or else from where
    /// they were.
    fn reload_certificates(&mut self, new: &[Listener]) {
        for (running, certificate) in self.running.listeners.iter_mut().zip(&self.certificates) {
            let (Some(tls), Some(certificate)) = (&mut running.tls, certificate) else { continue };
            let address = running.address.as_str();
            let new = new.iter().find(|new| new.address == address);
            let (cert_file, key_file) = match new.and_then(|new| new.tls.as_ref()) {
                Some(new) => (new.cert_file.clone(), new.key_file.clone()),
                None => (tls.cert_file.clone(), tls.key_file.clone()),
            };
            match certificate.reload(&cert_file, &key_file) {
                Ok(()) => {
                    (tls.cert_file, tls.key_file) = (cert_file, key_file);
                    tracing::info!(address, "the certificate was read again");
                }
                Err(error) => {
                    tracing::error!(
                        address,
                        error,
                        "the certificate that was read before stays in use"
                    );
                }
            }
        }
    }

    fn reload_level(&mut self, new: &Config) {
        if !self.level_is_fixed
            && let Err(error) = self.logging.level(new.log_level.as_deref().unwrap_or_default())
        {
            tracing::error!(%error, "the log level stays as it was");
        }
        self.running.log_level.clone_from(&new.log_level);
    }
}
