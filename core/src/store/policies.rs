//! Policies in the store, and the one record that every change of who may do what raises.
//!
//! | key | record |
//! |---|---|
//! | `policy/<name>` | the policy's text |
//! | `access/revision` | nothing; which write of it this is says as of when something was decided |

use super::leases::joined;
use super::records::{Found, Records};
use super::{Batch, Key, Revision, StoreError, Value};
use crate::access::policy::PolicyName;
use crate::limits::READ_CHUNK;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The text of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyText {
    /// As it was written.
    pub text: String,
    /// How often it was written.
    pub version: u64,
    /// When it was last written.
    pub modified_at: Timestamp,
}

/// Where the access revision is. Whatever is decided by policies expects it as it was then; whatever changes what
/// policies say, or who has which, puts it.
#[must_use]
pub fn access_at() -> Key {
    joined(&[b"access/revision"])
}

/// Adds to a batch that it changes who may do what, if nothing of that has changed since.
#[must_use]
pub fn raising_access(batch: Batch, access: Option<Revision>) -> Batch {
    batch.expect(access_at(), access).put(access_at(), Value::default())
}

fn policy_at(name: &str) -> Key {
    joined(&[b"policy/", name.as_bytes()])
}

impl Records {
    /// Returns as of when something is decided now.
    pub async fn access_revision(&self) -> Result<Option<Revision>, StoreError> {
        self.revision(&access_at()).await
    }

    /// Commits what changes who may do what, if nothing of that has changed since.
    pub async fn commit_access(
        &self,
        batch: Batch,
        access: Option<Revision>,
    ) -> Result<Revision, StoreError> {
        self.commit(raising_access(batch, access)).await
    }

    /// Returns the text of a policy.
    pub async fn policy(&self, name: &str) -> Result<Option<Found<PolicyText>>, StoreError> {
        self.read(&policy_at(name)).await
    }

    /// Whether there is a policy of which nobody can say any more what it was.
    pub async fn policy_is_lost(&self, name: &str) -> Result<bool, StoreError> {
        self.is_lost(&policy_at(name)).await
    }

    /// Returns the names of all policies that are kept, in order.
    pub async fn policy_names(&self) -> Result<Vec<String>, StoreError> {
        let prefix = policy_at("");
        let to = prefix.after_prefix();
        let mut from = Some(prefix.clone());
        let mut names = Vec::new();
        while let Some(start) = from {
            let found = self.index(&start, &to, READ_CHUNK).await?;
            from = found.last().filter(|_| found.len() >= READ_CHUNK).map(|(key, _)| key.next());
            let name = |key: &Key| String::from_utf8(key.0.get(prefix.0.len()..)?.to_vec()).ok();
            names.extend(found.iter().filter_map(|(key, _)| name(key)));
        }
        Ok(names)
    }

    /// Keeps the text of a policy, if nothing has changed of who may do what since.
    pub async fn put_policy(
        &self,
        name: &PolicyName,
        text: &PolicyText,
        access: Option<Revision>,
    ) -> Result<Revision, StoreError> {
        let at = policy_at(name.as_str());
        let sealed = self.seal(&at, text)?;
        let batch = Batch::default().delete(Self::aside(&at)).put(at, sealed);
        self.commit_access(batch, access).await
    }

    /// Drops a policy, likewise.
    pub async fn drop_policy(
        &self,
        name: &PolicyName,
        access: Option<Revision>,
    ) -> Result<Revision, StoreError> {
        let at = policy_at(name.as_str());
        let batch = Batch::default().delete(Self::aside(&at)).delete(at);
        self.commit_access(batch, access).await
    }
}
