//! Writes, shows, deletes and tries password policies, and says which one counts for a target.

use super::authenticate::{AdmitError, Caller, Recorded};
use super::{Broker, Request};
use crate::access::password::PasswordPolicy;
use crate::access::password_text::{self, PasswordTextError};
use crate::audit::Answer;
use crate::engine::FieldError;
use crate::secret::{Field, Secret, SecretText};
use crate::store::mounts::Target;
use crate::store::{Batch, StoreError};
use std::sync::Arc;

/// The password policies are as they were.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordPolicyError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// There is no such policy.
    #[error("policy does not exist")]
    NoPolicy,
    /// There is none at all.
    #[error("no value found")]
    Empty,
    /// Nothing was written.
    #[error("missing policy")]
    Missing,
    /// The text is none of a password policy.
    #[error(transparent)]
    Text(#[from] PasswordTextError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Broker {
    /// Lists the password policies there are.
    pub async fn list_password_policies(
        self: &Arc<Self>,
        request: &Request,
    ) -> Result<Vec<String>, PasswordPolicyError> {
        self.served(request, async |_| {
            let names = self.records.password_policy_names().await?;
            if names.is_empty() { Err(PasswordPolicyError::Empty) } else { Ok(names) }
        })
        .await
    }

    /// Shows the text of a password policy.
    pub async fn read_password_policy(
        self: &Arc<Self>,
        request: &Request,
        name: &str,
    ) -> Result<PasswordPolicyText, PasswordPolicyError> {
        self.served(request, async |_| {
            let text = self.records.password_policy(name).await?;
            text.map(PasswordPolicyText).ok_or(PasswordPolicyError::NoPolicy)
        })
        .await
    }

    /// Writes a password policy. Passwords that were drawn before stay as they are.
    pub async fn write_password_policy(
        self: &Arc<Self>,
        request: &Request,
        name: &str,
        text: &str,
    ) -> Result<(), PasswordPolicyError> {
        self.written(request, async |caller: Caller| {
            if text.is_empty() {
                return Err(PasswordPolicyError::Missing);
            }
            password_text::parse(text)?;
            let batch = caller.rights.expected(Batch::default());
            Ok(self.records.put_password_policy(name, text, batch).await?)
        })
        .await
    }

    /// Deletes a password policy. A target that names it issues and rotates nothing until there is one again.
    pub async fn delete_password_policy(
        self: &Arc<Self>,
        request: &Request,
        name: &str,
    ) -> Result<(), PasswordPolicyError> {
        self.written(request, async |caller: Caller| {
            let batch = caller.rights.expected(Batch::default());
            Ok(self.records.drop_password_policy(name, batch).await?)
        })
        .await
    }

    /// Draws a password by a policy, for nothing.
    pub async fn generate_password(
        self: &Arc<Self>,
        request: &Request,
        name: &str,
    ) -> Result<SecretText, PasswordPolicyError> {
        let caller = self.admit(request).await?;
        let outcome = match self.records.passwords_of(name).await {
            Ok(Some(policy)) => Ok(policy.generate(&*self.chance)),
            Ok(None) => Err(PasswordPolicyError::NoPolicy),
            Err(error) => Err(error.into()),
        };
        let answer = match &outcome {
            Ok(drawn) => {
                let hidden = Field::Hidden(SecretText::new(drawn.reveal().to_owned()));
                let secret = Secret::new(vec![("password", hidden)]);
                Answer::secret(String::new(), &secret, self.trail.keys())
            }
            Err(error) => Answer::error(error),
        };
        self.conclude(request, &caller, &answer).await?;
        outcome
    }

    /// Returns what the passwords of a target look like: as its policy says, or as Vault's standard one does.
    pub(super) async fn passwords_of(
        &self,
        target: &Target,
    ) -> Result<Result<PasswordPolicy, FieldError>, StoreError> {
        let name = &target.password_policy;
        if name.is_empty() {
            return Ok(Ok(PasswordPolicy::default()));
        }
        let missing = || {
            FieldError(format!(
                "the target `{}` names the password policy `{name}`, which is not there; write \
                 `sys/policies/password/{name}`, or set another `password_policy`",
                target.name
            ))
        };
        Ok(self.records.passwords_of(name).await?.ok_or_else(missing))
    }
}

/// The text of a password policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordPolicyText(pub String);

impl Recorded for PasswordPolicyText {
    fn recorded(&self) -> Answer {
        Answer::data(Some(serde_json::json!({ "policy": self.0 })))
    }
}
