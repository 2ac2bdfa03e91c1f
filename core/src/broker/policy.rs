//! Writes, shows and deletes policies, and tells what a token's policies grant.

use super::authenticate::{AdmitError, Caller, Recorded};
use super::{Broker, Cautions, Request, TokenError, WhichToken};
use crate::access::policy::{BadPolicy, Capabilities, Policy, PolicyName};
use crate::access::token::ROOT_POLICY;
use crate::audit::Answer;
use crate::limits::CONFLICT_TRIES;
use crate::store::StoreError;
use crate::store::policies::PolicyText;
use crate::time::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A policy as operators see it.
#[derive(Clone, Debug)]
pub struct PolicyView {
    /// What it is called.
    pub name: PolicyName,
    /// As it was written; nothing for the one that allows everything.
    pub text: String,
    /// How often it was written, and when last; nobody wrote the one that allows everything.
    pub written: Option<(u64, Timestamp)>,
}

/// What a token's policies grant.
#[derive(Clone, Debug)]
pub enum Granted {
    /// Everything.
    Root,
    /// These, at each of the paths that were asked about.
    At(Vec<(String, Capabilities)>),
}

/// All that the caller's policies grant.
#[derive(Clone, Debug, Default)]
pub struct AllGranted {
    /// Everything.
    pub root: bool,
    /// By paths that are written out.
    pub exact: Vec<(String, Capabilities)>,
    /// By patterns, and by beginnings.
    pub patterns: Vec<(String, Capabilities)>,
}

/// The policies are as they were.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// There is no such policy.
    #[error("there is no policy `{0}`")]
    NoPolicy(String),
    /// The text is none of a policy.
    #[error("failed to parse policy: {0}")]
    Unreadable(#[from] BadPolicy),
    /// What was asked for cannot be.
    #[error("{0}")]
    Bad(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Recorded for PolicyView {
    fn recorded(&self) -> Answer {
        let data = serde_json::json!({ "name": self.name.as_str(), "policy": self.text });
        Answer::data(Some(data))
    }
}

impl Recorded for Granted {
    fn recorded(&self) -> Answer {
        Answer::default()
    }
}

impl Recorded for AllGranted {
    fn recorded(&self) -> Answer {
        Answer::default()
    }
}

impl Broker {
    /// Lists the policies there are.
    pub async fn list_policies(
        self: &Arc<Self>,
        request: &Request,
    ) -> Result<Vec<String>, PolicyError> {
        self.served(request, async |_| {
            let names = self.records.policy_names().await?.into_iter();
            let all: BTreeSet<_> = names.chain([ROOT_POLICY.to_owned()]).collect();
            Ok(all.into_iter().collect())
        })
        .await
    }

    /// Shows a policy.
    pub async fn read_policy(
        self: &Arc<Self>,
        request: &Request,
        name: &str,
    ) -> Result<PolicyView, PolicyError> {
        self.served(request, async |_| {
            let none = || PolicyError::NoPolicy(name.to_owned());
            let name = PolicyName::parse(name).map_err(|_| none())?;
            if name.is_root() {
                return Ok(PolicyView { name, text: String::new(), written: None });
            }
            let found = self.records.policy(name.as_str()).await?.ok_or_else(none)?.record;
            let written = Some((found.version, found.modified_at));
            Ok(PolicyView { name, text: found.text, written })
        })
        .await
    }

    /// Writes a policy. Whatever is decided after this returns is decided by it.
    pub async fn write_policy(
        self: &Arc<Self>,
        request: &Request,
        name: &str,
        text: &str,
    ) -> Result<Cautions, PolicyError> {
        self.served(request, async |caller: Caller| {
            let name = named(name)?;
            if name.is_root() {
                return Err(PolicyError::Bad("cannot update \"root\" policy".into()));
            }
            let warnings = Policy::parse(name.clone(), text)?.warnings();
            for _ in 0..CONFLICT_TRIES {
                let access = self.records.access_revision().await?;
                // A right that was taken away before this is written does not write it.
                self.allowed_now(&caller.token.record, request).await?;
                let was = self.records.policy(name.as_str()).await?;
                let version = was.map_or(0, |was| was.record.version).saturating_add(1);
                let modified_at = self.clock.now();
                let kept = PolicyText { text: text.to_owned(), version, modified_at };
                match self.records.put_policy(&name, &kept, access).await {
                    Ok(_) => {
                        return Ok(Cautions(warnings.iter().map(ToString::to_string).collect()));
                    }
                    Err(StoreError::Conflict) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(StoreError::Conflict.into())
        })
        .await
    }

    /// Deletes a policy. Whoever has it may do no more by it.
    pub async fn delete_policy(
        self: &Arc<Self>,
        request: &Request,
        name: &str,
    ) -> Result<(), PolicyError> {
        self.served(request, async |caller: Caller| {
            let name = named(name)?;
            if name.is_root() {
                return Err(PolicyError::Bad("cannot delete \"root\" policy".into()));
            }
            if name.is_default() {
                return Err(PolicyError::Bad("cannot delete default policy".into()));
            }
            for _ in 0..CONFLICT_TRIES {
                let access = self.records.access_revision().await?;
                self.allowed_now(&caller.token.record, request).await?;
                match self.records.drop_policy(&name, access).await {
                    Ok(_) => return Ok(()),
                    Err(StoreError::Conflict) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(StoreError::Conflict.into())
        })
        .await
    }

    /// Tells what the policies of a token grant at some paths.
    pub async fn capabilities(
        self: &Arc<Self>,
        request: &Request,
        which: &WhichToken,
        paths: Vec<String>,
    ) -> Result<Granted, TokenError> {
        self.served(request, async |caller: Caller| {
            let none = || match which {
                WhichToken::Own => AdmitError::BadToken.into(),
                WhichToken::Text(_) => TokenError::NoToken,
                WhichToken::Accessor(_) => TokenError::NoAccessor,
            };
            let token = self.named(which, &caller).await?.ok_or_else(none)?;
            let acl = self.rights_of(&token.record).await?.ok_or_else(none)?.acl;
            if acl.is_root() {
                return Ok(Granted::Root);
            }
            let at = paths.into_iter().map(|path| {
                let granted = acl.capabilities(path.trim_start_matches('/'));
                (path, granted)
            });
            Ok(Granted::At(at.collect()))
        })
        .await
    }

    /// Tells all that the caller's policies grant.
    pub async fn all_granted(
        self: &Arc<Self>,
        request: &Request,
    ) -> Result<AllGranted, PolicyError> {
        self.served(request, async |caller: Caller| {
            let acl = caller.rights.acl;
            let owned = |(path, granted): (&str, Capabilities)| (path.to_owned(), granted);
            Ok(AllGranted {
                root: acl.is_root(),
                exact: acl.exact().map(owned).collect(),
                patterns: acl.patterns().map(owned).collect(),
            })
        })
        .await
    }
}

fn named(written: &str) -> Result<PolicyName, PolicyError> {
    PolicyName::parse(written).map_err(|error| PolicyError::Bad(error.to_string()))
}
