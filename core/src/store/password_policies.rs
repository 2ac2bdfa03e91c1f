//! Password policies in the store.
//!
//! | key | record |
//! |---|---|
//! | `password-policy/<name>` | its text, as an operator wrote it |

use super::leases::joined;
use super::records::Records;
use super::{Batch, Key, StoreError};
use crate::access::password::PasswordPolicy;
use crate::access::password_text;

fn password_policy_at(name: &str) -> Key {
    joined(&[b"password-policy/", name.as_bytes()])
}

impl Records {
    /// Returns the text of a password policy.
    pub async fn password_policy(&self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(self.read::<String>(&password_policy_at(name)).await?.map(|found| found.record))
    }

    /// Returns what passwords of this policy look like; `None` if there is none that can be read.
    pub async fn passwords_of(&self, name: &str) -> Result<Option<PasswordPolicy>, StoreError> {
        let text = self.password_policy(name).await?;
        Ok(text.and_then(|text| password_text::parse(&text).ok()))
    }

    /// Returns the names of all password policies, in order.
    pub async fn password_policy_names(&self) -> Result<Vec<String>, StoreError> {
        self.names_under(&password_policy_at("")).await
    }

    /// Keeps the text of a password policy; here and below, if all is as the batch expects.
    pub async fn put_password_policy(
        &self,
        name: &str,
        text: &str,
        batch: Batch,
    ) -> Result<(), StoreError> {
        let at = password_policy_at(name);
        let sealed = self.seal(&at, &text)?;
        self.commit(batch.put(at, sealed)).await.map(|_| ())
    }

    /// Drops a password policy, if there is one.
    pub async fn drop_password_policy(&self, name: &str, batch: Batch) -> Result<(), StoreError> {
        self.commit(batch.delete(password_policy_at(name))).await.map(|_| ())
    }
}
