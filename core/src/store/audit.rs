//! What is kept of audit devices.
//!
//! | key | record |
//! |---|---|
//! | `audit-device/<name>` | the device's keys |
//! | `audit-headers` | which headers of requests are recorded |
//! | `audit-head/<name>` | how far its chain reached when that was last kept |
//! | `audit-dropped/<name>` | an operator has said that it is meant to record no more |

use super::leases::joined;
use super::records::{Found, Records};
use super::{Batch, Key, Revision, StoreError, Value};
use crate::audit::chain::Head;
use crate::audit::{AuditedHeaders, DeviceKeys};
use crate::limits::CONFLICT_TRIES;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// How far a chain reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptHead {
    /// The last line that was kept.
    pub head: Head,
    /// Whether the process ended with it, so that no line can have followed.
    pub ended: bool,
    /// When it was kept.
    pub at: Timestamp,
    /// How many processes have begun since, each of which may have written.
    #[serde(default)]
    pub begun: u64,
}

fn device_at(name: &str) -> Key {
    joined(&[b"audit-device/", name.as_bytes()])
}

fn head_at(name: &str) -> Key {
    joined(&[b"audit-head/", name.as_bytes()])
}

fn dropped_at(name: &str) -> Key {
    joined(&[b"audit-dropped/", name.as_bytes()])
}

fn headers_at() -> Key {
    Key(b"audit-headers".to_vec())
}

impl KeptHead {
    /// Returns of how many processes nobody knows what they have written after it.
    #[must_use]
    pub fn unseen(&self) -> u64 {
        self.begun.saturating_add(u64::from(!self.ended))
    }
}

impl Records {
    /// Returns which headers of requests are recorded.
    pub async fn audited_headers(&self) -> Result<Option<Found<AuditedHeaders>>, StoreError> {
        self.read(&headers_at()).await
    }

    /// Keeps which headers of requests are recorded, in place of what was read, if all is as the batch expects.
    pub async fn put_audited_headers(
        &self,
        was: Option<Revision>,
        headers: &AuditedHeaders,
        batch: Batch,
    ) -> Result<Revision, StoreError> {
        self.replace_if(headers_at(), was, headers, batch).await
    }

    /// Returns the keys of a device; draws them for one that has none yet.
    pub async fn audit_keys(&self, name: &str, now: Timestamp) -> Result<DeviceKeys, StoreError> {
        let at = device_at(name);
        for _ in 0..CONFLICT_TRIES {
            if let Some(found) = self.read(&at).await? {
                return Ok(found.record);
            }
            let keys = DeviceKeys::draw(self.chance(), now);
            let batch = Batch::default().expect(at.clone(), None);
            match self.commit(batch.put(at.clone(), self.seal(&at, &keys)?)).await {
                Ok(_) => return Ok(keys),
                // Another process was first.
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Refused(format!("the keys of the audit device `{name}` cannot be read")))
    }

    /// Returns the devices that have recorded before and are not among those that are declared, unless an operator has
    /// said that this is meant. One that is declared again is not dropped any more.
    pub async fn undeclared_audit_devices(
        &self,
        declared: &[&str],
    ) -> Result<Vec<String>, StoreError> {
        let dropped = self.names_under(&dropped_at("")).await?;
        let again = dropped.iter().filter(|name| declared.contains(&name.as_str()));
        let again: Vec<_> = again.map(|name| dropped_at(name)).collect();
        if !again.is_empty() {
            self.commit(Batch { deletes: again, spends_reserve: true, ..Batch::default() }).await?;
        }
        let mut known = self.names_under(&device_at("")).await?;
        known.retain(|name| !declared.contains(&name.as_str()) && !dropped.contains(name));
        Ok(known)
    }

    /// Keeps that a device is meant to record no more; here and below, if all is as the batch expects.
    pub async fn drop_audit_device(
        &self,
        name: &str,
        batch: Batch,
    ) -> Result<Revision, StoreError> {
        self.commit(batch.put(dropped_at(name), Value::default())).await
    }

    /// Draws other keys for a device, which take over when its record is begun next; returns them.
    pub async fn renew_audit_keys(
        &self,
        name: &str,
        now: Timestamp,
        batch: Batch,
    ) -> Result<DeviceKeys, StoreError> {
        let at = device_at(name);
        let was = self.read::<DeviceKeys>(&at).await?;
        let was = was.ok_or_else(|| StoreError::Refused("the device has no keys".into()))?;
        let keys = was.record.next(self.chance(), now);
        self.replace_if(at, Some(was.revision), &keys, batch).await?;
        Ok(keys)
    }

    /// Returns how far the chain of a device reached.
    pub async fn audit_head(&self, name: &str) -> Result<Option<Found<KeptHead>>, StoreError> {
        self.read(&head_at(name)).await
    }

    /// Keeps how far chains reach.
    pub async fn keep_audit_heads(
        &self,
        heads: &[(&str, KeptHead)],
    ) -> Result<Revision, StoreError> {
        // A full disk is no reason to lose what was recorded.
        let mut batch = Batch { spends_reserve: true, ..Batch::default() };
        for (name, kept) in heads {
            let at = head_at(name);
            batch = batch.put(at.clone(), self.seal(&at, kept)?);
        }
        self.commit(batch).await
    }
}
