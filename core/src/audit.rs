//! What is recorded of every request, and of every revocation, before and after it takes effect.
//!
//! Each device has a queue, keys and a numbered chain of its own, so that a slow one keeps nobody waiting but
//! itself, and so that each record can be checked by itself.
//!
//! **Invariant:** law 8. What cannot be recorded is not done; an answer that cannot be recorded is not given.

pub mod chain;
mod entry;
mod headers;
mod hex;
mod keys;
pub mod verify;

pub use entry::{Answer, Asked, AskedMount, Operation, Who};
pub use headers::{AskedHeader, AuditedHeaders};
pub use keys::{ChainKey, DeviceKeys};

use crate::ids::InstallationId;
use crate::metrics::Counter;
use crate::secret::{Locked, SecretText};
use crate::store::StoreError;
use crate::store::audit::KeptHead;
use crate::store::records::Records;
use crate::tasks::Pending;
use crate::time::{Clock, Timestamp};
use aws_lc_rs::hmac;
use chain::Head;
use entry::Veil;
use futures_util::future::select_ok;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Keeps the record: one device. One that has no chain of its own leaves out what is about it.
pub trait Audit: fmt::Debug + Send + Sync {
    /// Returns what its operator calls it.
    fn name(&self) -> &str;

    /// Whether it says when it has a line. Only then does it count: see law 8.
    fn acknowledges(&self) -> bool {
        true
    }

    /// Goes on with the device's chain. Called once, before the first line.
    fn begin(&self, _beginning: Beginning) -> Pending<'_, Result<(), AuditError>> {
        Box::pin(async { Ok(()) })
    }

    /// Takes one line (without its newline), and returns once the device has acknowledged it. The line is in the
    /// device's queue when this returns, if there is room; who does not wait for room has it counted as missed.
    fn record(&self, line: String) -> Pending<'_, Result<(), AuditError>>;

    /// Signs what was written since the last time, and returns how far the chain reaches, durably. `last`: no line
    /// will follow.
    fn checkpoint(&self, _last: bool) -> Pending<'_, Result<Option<Head>, AuditError>> {
        Box::pin(async { Ok(None) })
    }

    /// Returns how the device does.
    fn load(&self) -> Load {
        Load::default()
    }
}

/// With what a device goes on.
#[derive(Debug)]
pub struct Beginning {
    /// What signs its chain.
    pub key: ChainKey,
    /// Where the chain was when that was last kept; nowhere yet for a new device.
    pub kept: Option<KeptHead>,
    /// Whose record it is.
    pub installation: InstallationId,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// How a device does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Lines that wait to be written.
    pub waiting: u64,
    /// Lines that found no room in its queue.
    pub missed: u64,
    /// Lines that it could not write.
    pub failed: u64,
}

/// A device did not record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("audit device `{device}` did not record: {reason}")]
pub struct AuditError {
    /// Which one; of several that were asked, all of them, with "`, `" between.
    pub device: String,
    /// Why.
    pub reason: String,
}

/// The devices, and the keys that hide what they must not show.
#[derive(Clone, Debug)]
pub struct Trail {
    devices: Arc<[Arc<dyn Audit>]>,
    /// The key of each device, in their order.
    keys: Arc<[Locked<hmac::Key>]>,
    /// What signs the chain of each, as those may know it who check it.
    public_keys: Arc<[String]>,
    /// How far the chain of each reached when that was last kept.
    kept: Arc<Mutex<Vec<Option<Head>>>>,
    /// Devices that have recorded before, and are not declared any more.
    undeclared: Arc<Mutex<Vec<String>>>,
    failures: Arc<Counter>,
}

/// A device as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceView {
    /// What its operator calls it.
    pub name: String,
    /// With what its chain is checked.
    pub public_key: String,
    /// The same of each version of its keys, also of one that is to take over.
    pub public_keys: BTreeMap<u32, String>,
    /// How it does.
    pub load: Load,
    /// How far its chain was when that was last kept.
    pub kept: Option<Head>,
}

/// Returns where the chain of each device was when that was last kept, and keeps that another process begins: should it
/// die before anything else is kept, the next one passes over its numbers as well, where nobody can see them.
async fn begins(
    devices: &[Arc<dyn Audit>],
    records: &Records,
    now: Timestamp,
) -> Result<Vec<Option<KeptHead>>, StoreError> {
    let (mut all_kept, mut begun) = (Vec::new(), Vec::new());
    for device in devices {
        let kept = records.audit_head(device.name()).await?.map(|found| found.record);
        let new = KeptHead { head: Head::default(), ended: true, at: now, begun: 0 };
        let mut next = kept.clone().unwrap_or(new);
        next.begun = next.begun.saturating_add(1);
        begun.push((device.name(), next));
        all_kept.push(kept);
    }
    if begun.is_empty() {
        return Ok(all_kept);
    }
    if let Err(error) = records.keep_audit_heads(&begun).await {
        // Nothing of the record stops a start.
        tracing::warn!(%error, "that a process begins to record could not be kept");
    }
    Ok(all_kept)
}

impl Trail {
    /// Records on all these devices; on none, if there is none, as Vault does. Each goes on where it was: its keys
    /// and its place are in the store.
    pub(crate) async fn open(
        devices: Vec<Arc<dyn Audit>>,
        records: &Records,
        installation: InstallationId,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let (mut keys, mut public_keys) = (Vec::new(), Vec::new());
        let mut all_kept = begins(&devices, records, clock.now()).await?;
        let heads = all_kept.iter().map(|kept| kept.as_ref().map(|kept| kept.head));
        let heads = heads.map(|head| head.filter(|head| head.number > 0)).collect();
        for (device, kept) in devices.iter().zip(&mut all_kept) {
            let own = records.audit_keys(device.name(), clock.now()).await?;
            let kept = kept.take();
            keys.push(own.veil());
            let key = own.chain();
            let (name, public_key) = (device.name(), key.public());
            tracing::info!(
                name,
                public_key,
                "an audit device goes on; its record is checked with this key"
            );
            public_keys.push(public_key);
            let clock = Arc::clone(clock);
            let beginning = Beginning { key, kept, installation, clock };
            if let Err(error) = device.begin(beginning).await {
                // It may come back; until then whatever it should acknowledge is refused.
                tracing::error!(%error, "an audit device cannot go on with its record");
            }
        }
        let declared: Vec<_> = devices.iter().map(|device| device.name()).collect();
        let undeclared = records.undeclared_audit_devices(&declared).await?;
        if devices.is_empty() {
            tracing::warn!(
                "no audit device is declared: nothing that is asked or done will be recorded"
            );
        }
        for name in &undeclared {
            tracing::error!(
                name,
                "an audit device that has recorded before is not declared any more, and records nothing; if that is \
                 meant, say so on record: `leasehold delete sys/audit/NAME`"
            );
        }
        Ok(Self {
            undeclared: Arc::new(Mutex::new(undeclared)),
            devices: devices.into(),
            keys: keys.into(),
            public_keys: public_keys.into(),
            kept: Arc::new(Mutex::new(heads)),
            failures: Arc::default(),
        })
    }

    /// Returns how often one device or another did not record.
    pub fn failures(&self) -> u64 {
        self.failures.value()
    }

    /// Returns the devices that have recorded before, and are not declared any more.
    pub(crate) fn undeclared(&self) -> Vec<String> {
        self.undeclared.lock().clone()
    }

    /// One of them is meant to record no more.
    pub(crate) fn dropped(&self, name: &str) {
        self.undeclared.lock().retain(|known| known != name);
    }

    /// Returns how each device does.
    pub(crate) fn loads(&self) -> Vec<(String, Load)> {
        self.devices.iter().map(|device| (device.name().to_owned(), device.load())).collect()
    }

    /// Returns the devices, in the order in which they were declared, with their public keys.
    pub(crate) fn devices(&self) -> impl Iterator<Item = (&Arc<dyn Audit>, &String)> {
        self.devices.iter().zip(&*self.public_keys)
    }

    /// Returns how far the chain of each device reached when that was last kept.
    pub(crate) fn kept(&self) -> Vec<Option<Head>> {
        self.kept.lock().clone()
    }

    /// Notes how far they reach now; of one that did not say, nothing.
    pub(crate) fn keep(&self, heads: Vec<Option<Head>>) {
        for (kept, head) in self.kept.lock().iter_mut().zip(heads) {
            *kept = head.or(*kept);
        }
    }

    /// Returns what those are called that acknowledge, or those that do not, as an error names them.
    pub(crate) fn names(&self, acknowledge: bool) -> String {
        let devices = self.devices.iter().filter(|device| device.acknowledges() == acknowledge);
        let names: Vec<_> = devices.map(|device| device.name()).collect();
        names.join("`, `")
    }

    /// Returns what hides texts, a key for each device.
    pub(crate) fn keys(&self) -> &[Locked<hmac::Key>] {
        &self.keys
    }

    /// Returns the keyed hash by which the record of a device shows a text.
    pub(crate) fn hash(&self, device: &str, text: &SecretText) -> Option<String> {
        let at = self.devices.iter().position(|known| known.name() == device)?;
        Some(entry::hash(self.keys.get(at)?, text))
    }

    /// Records what is asked, before it is done.
    pub async fn asked(
        &self,
        asked: &Asked,
        who: Option<&Who>,
        now: Timestamp,
    ) -> Result<(), AuditError> {
        self.record(|veil| entry::asked(asked, who, None, now, veil)).await
    }

    /// Records what is asked and that it is refused, before the caller is told. Nothing was done.
    pub async fn refused(
        &self,
        asked: &Asked,
        who: &Who,
        why: String,
        now: Timestamp,
    ) -> Result<(), AuditError> {
        self.record(|veil| entry::asked(asked, Some(who), Some(&why), now, veil)).await?;
        let answer = Answer::error(&why);
        self.record(|veil| entry::answered(asked, Some(who), &answer, now, veil)).await
    }

    /// Records what was answered, before the caller is told.
    pub async fn answered(
        &self,
        asked: &Asked,
        who: Option<&Who>,
        answer: &Answer,
        now: Timestamp,
    ) -> Result<(), AuditError> {
        self.record(|veil| entry::answered(asked, who, answer, now, veil)).await
    }

    /// Recorded means: at least one device that acknowledges has acknowledged the line. The others have it in their
    /// queues, and nobody waits for them.
    async fn record(
        &self,
        line: impl Fn(Veil<'_>) -> Result<String, serde_json::Error>,
    ) -> Result<(), AuditError> {
        let mut waiting = Vec::new();
        // Every device has the line before any is waited for.
        for (at, (device, key)) in self.devices.iter().zip(&*self.keys).enumerate() {
            let line = line(Veil { key, at }).map_err(|error| AuditError {
                device: device.name().to_owned(),
                reason: format!("the line could not be written: {error}"),
            })?;
            let recording = device.record(line);
            if device.acknowledges() {
                if self.devices.len() == 1 {
                    return recording.await.inspect_err(|_| self.failures.one());
                }
                let failures = &self.failures;
                let told = async move { recording.await.inspect_err(|_| failures.one()) };
                waiting.push(Box::pin(told));
            }
        }
        if self.devices.is_empty() {
            return Ok(());
        }
        if waiting.is_empty() {
            let reason =
                "no device acknowledges what it records; add one of the kind `file` or `http`";
            return Err(AuditError { device: self.names(false), reason: reason.into() });
        }
        select_ok(waiting).await.map(|_| ())
    }
}
