//! What is recorded of every request, and of every revocation, before and after it takes effect.
//!
//! **Invariant:** law 8. What cannot be recorded is not done; an answer that cannot be recorded is not given.

mod entry;

pub use entry::{Answer, Asked, AskedMount, Operation, Who};

use crate::metrics::Counter;
use crate::tasks::Pending;
use aws_lc_rs::hmac;
use std::fmt;
use std::sync::Arc;

/// Keeps the record.
pub trait Audit: fmt::Debug + Send + Sync {
    /// Writes one line (without its newline) and returns once the device has acknowledged it.
    fn record(&self, line: String) -> Pending<'_, Result<(), AuditError>>;
}

/// A device did not record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("audit device `{device}` did not record: {reason}")]
pub struct AuditError {
    /// Which one.
    pub device: String,
    /// Why.
    pub reason: String,
}

/// The devices, and the key that hides what they must not show.
#[derive(Clone, Debug)]
pub struct Trail {
    devices: Arc<[Arc<dyn Audit>]>,
    key: hmac::Key,
    failures: Arc<Counter>,
}

impl Trail {
    /// Records on all these devices; on none, if there is none, as Vault does.
    #[must_use]
    pub fn new(devices: Vec<Arc<dyn Audit>>, key: hmac::Key) -> Self {
        Self { devices: devices.into(), key, failures: Arc::default() }
    }

    /// Returns how often one device or another did not record.
    pub fn failures(&self) -> u64 {
        self.failures.value()
    }

    /// Records what is asked, before it is done.
    pub async fn asked(
        &self,
        asked: &Asked,
        who: Option<&Who>,
        now: crate::time::Timestamp,
    ) -> Result<(), AuditError> {
        if self.devices.is_empty() {
            return Ok(());
        }
        self.record(entry::asked(asked, who, None, now, &self.key)).await
    }

    /// Records what is asked and that it is refused, before the caller is told. Nothing was done.
    pub async fn refused(
        &self,
        asked: &Asked,
        who: &Who,
        why: String,
        now: crate::time::Timestamp,
    ) -> Result<(), AuditError> {
        if self.devices.is_empty() {
            return Ok(());
        }
        self.record(entry::asked(asked, Some(who), Some(&why), now, &self.key)).await?;
        self.record(entry::answered(asked, Some(who), &Answer::error(why), now, &self.key)).await
    }

    /// Records what was answered, before the caller is told.
    pub async fn answered(
        &self,
        asked: &Asked,
        who: Option<&Who>,
        answer: &Answer,
        now: crate::time::Timestamp,
    ) -> Result<(), AuditError> {
        if self.devices.is_empty() {
            return Ok(());
        }
        self.record(entry::answered(asked, who, answer, now, &self.key)).await
    }

    /// Recorded means: at least one device has acknowledged the line.
    async fn record(&self, line: Result<String, serde_json::Error>) -> Result<(), AuditError> {
        let line = line.map_err(|error| AuditError {
            device: "any".into(),
            reason: format!("the line could not be written: {error}"),
        })?;
        let mut recorded =
            Err(AuditError { device: "none".into(), reason: "there is no device".into() });
        let lines = self.devices.iter().map(|device| device.record(line.clone()));
        for outcome in futures_util::future::join_all(lines).await {
            match outcome {
                Ok(()) => recorded = Ok(()),
                Err(error) => {
                    self.failures.one();
                    tracing::error!(%error, "an audit device failed");
                    if recorded.is_err() {
                        recorded = Err(error);
                    }
                }
            }
        }
        recorded
    }
}
