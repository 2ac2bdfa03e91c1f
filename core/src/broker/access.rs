//! What a token may do now: its policies, compiled once for all tokens that carry the same.

mod compiled;
mod making;

pub(super) use compiled::Compiled;
use making::Meant;

use super::authenticate::{AdmitError, Caller};
use super::{Broker, Request};
use crate::access::identity::Identity;
use crate::access::policy::{
    Acl, Capability, DEFAULT_POLICY, Facts, Policy, PolicyName, Question, Right,
};
use crate::access::token::{ROOT_POLICY, Token};
use crate::audit::{Asked, Operation};
use crate::ids::EntityId;
use crate::limits::{CONFLICT_TRIES, IDENTITY_POLICIES_MAX, POLICIES_MAX};
use crate::store::policies::{PolicyText, access_at};
use crate::store::records::{Found, Records};
use crate::store::{Batch, Key, Revision, StoreError};
use crate::time::Timestamp;
use std::borrow::Cow;
use std::sync::Arc;

/// What the holder of a token may do, and as of when.
#[derive(Clone, Debug)]
pub(super) struct Rights {
    pub(super) acl: Arc<Acl>,
    /// The policies by whose rules the request was allowed that they were read for.
    pub(super) granting: Arc<[String]>,
    /// Who is behind the token, if anybody is.
    pub(super) identity: Option<Arc<Identity>>,
    /// When they were read; `None` for a root token, whom no policy concerns.
    read_at: Option<ReadAt>,
    /// What told whether the request makes something or changes what is there, if that decided about it.
    about: Option<About>,
}

/// What a write is about, and which write of it was there when it was asked whether there is one.
#[derive(Clone, Debug)]
struct About(Key, Option<Revision>);

/// At which access revision something was read; before the first there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ReadAt(Option<Revision>);

impl Rights {
    /// Adds to a batch that nothing has changed of who may do what since these were read, nor has what was to be made come
    /// meanwhile, or gone what was to be changed.
    pub(super) fn expected(&self, batch: Batch) -> Batch {
        let Some(ReadAt(revision)) = self.read_at else { return batch };
        let batch = batch.expect(access_at(), revision);
        match &self.about {
            Some(About(at, was)) => batch.expect(at.clone(), *was),
            None => batch,
        }
    }

    /// Whether a caller may do what a request asks, and with `sudo`.
    pub(super) fn have_sudo(&self, request: &Request) -> bool {
        self.acl.decide(&with_sudo(request)).verdict.is_allowed()
    }
}

impl Caller {
    /// Refuses what a route lets pass without `sudo`, where what is asked for there needs it.
    pub(super) fn require_sudo(&self, request: &Request) -> Result<(), AdmitError> {
        let rights = &self.rights;
        let decision = rights.acl.decide(&with_sudo(request));
        if decision.verdict.is_allowed() {
            return Ok(());
        }
        let policies = held(&self.token.record, rights.identity.as_deref());
        Err(AdmitError::Denied {
            why: may_see_why(&rights.acl, &policies).then(|| decision.to_string()),
        })
    }
}

impl Broker {
    /// Returns what the holder of a token may do now; `None` if whoever it was made for is disabled, or gone.
    pub(super) async fn rights_of(&self, token: &Token) -> Result<Option<Rights>, StoreError> {
        if token.is_root() {
            let (acl, granting) = (Arc::new(Acl::root()), Arc::from([ROOT_POLICY.to_owned()]));
            return Ok(Some(Rights { acl, granting, identity: None, read_at: None, about: None }));
        }
        for _ in 0..CONFLICT_TRIES {
            match self.try_rights(token).await {
                Err(StoreError::Conflict) => {}
                outcome => return outcome,
            }
        }
        Err(StoreError::Conflict)
    }

    async fn try_rights(&self, token: &Token) -> Result<Option<Rights>, StoreError> {
        let read_at = ReadAt(self.records.access_revision().await?);
        let identity = match token.entity {
            None => None,
            Some(entity) => match self.identity_at(read_at, entity).await? {
                Some(identity) if !identity.entity.disabled => Some(identity),
                Some(_) | None => return Ok(None),
            },
        };
        let acl = self.acl_at(read_at, token, identity.as_deref()).await?;
        let (granting, read_at) = (Arc::default(), Some(read_at));
        Ok(Some(Rights { acl, granting, identity, read_at, about: None }))
    }

    /// Returns who is behind a token, disabled or not, if anybody is.
    pub(super) async fn identity_of(
        &self,
        token: &Token,
    ) -> Result<Option<Arc<Identity>>, StoreError> {
        let Some(entity) = token.entity else { return Ok(None) };
        for _ in 0..CONFLICT_TRIES {
            let read_at = ReadAt(self.records.access_revision().await?);
            match self.identity_at(read_at, entity).await {
                Err(StoreError::Conflict) => {}
                outcome => return outcome,
            }
        }
        Err(StoreError::Conflict)
    }

    async fn identity_at(
        &self,
        read_at: ReadAt,
        entity: EntityId,
    ) -> Result<Option<Arc<Identity>>, StoreError> {
        if let Some(identity) = self.compiled.identity(read_at, entity) {
            return Ok(Some(identity));
        }
        let identity = self.identity(entity).await?.map(Arc::new);
        self.still(read_at).await?;
        if let Some(identity) = &identity {
            self.compiled.keep_identity(read_at, entity, identity);
        }
        Ok(identity)
    }

    async fn acl_at(
        &self,
        read_at: ReadAt,
        token: &Token,
        identity: Option<&Identity>,
    ) -> Result<Arc<Acl>, StoreError> {
        let policies = held(token, identity);
        let entity = identity.map(|identity| identity.entity.id);
        if let Some(acl) = self.compiled.acl(read_at, &policies, entity) {
            return Ok(acl);
        }
        let nothing = Facts::default();
        let facts = identity.map_or(&nothing, |identity| &identity.facts);
        let acl = Arc::new(self.compile(&policies, facts).await?);
        self.still(read_at).await?;
        self.compiled.keep_acl(read_at, policies.into_owned(), entity, &acl);
        Ok(acl)
    }

    /// Whether nothing has changed since: what was read meanwhile was never in force together.
    async fn still(&self, read_at: ReadAt) -> Result<(), StoreError> {
        let now = ReadAt(self.records.access_revision().await?);
        if now == read_at { Ok(()) } else { Err(StoreError::Conflict) }
    }

    /// Compiles policies; one that is not there grants nothing.
    async fn compile(&self, names: &[String], facts: &Facts) -> Result<Acl, StoreError> {
        if names.len() > POLICIES_MAX.saturating_add(IDENTITY_POLICIES_MAX) {
            tracing::error!(policies = names.len(), "whoever has so many policies is refused");
            return Ok(Acl::overfull(names.len()));
        }
        let mut policies = Vec::with_capacity(names.len());
        for name in names {
            // What is not a name is not one of a policy either.
            let Ok(parsed) = PolicyName::parse(name) else { continue };
            match self.records.policy(parsed.as_str()).await? {
                Some(found) => match Policy::parse(parsed, &found.record.text) {
                    Ok(policy) => policies.push(policy),
                    Err(error) => {
                        tracing::error!(policy = name, %error, "a policy cannot be read any more; whoever has it is refused");
                        return Ok(Acl::refusing(name));
                    }
                },
                None if self.records.policy_is_lost(parsed.as_str()).await? => {
                    tracing::error!(
                        policy = name,
                        "a policy is lost; whoever has it is refused until it is written again"
                    );
                    return Ok(Acl::refusing(name));
                }
                None => {}
            }
        }
        Ok(Acl::compile(&policies, facts))
    }

    /// Returns what the holder of a token may do now, if that is what a request asks.
    pub(super) async fn allowed_now(
        &self,
        token: &Token,
        request: &Request,
    ) -> Result<Rights, AdmitError> {
        let mut rights = self.rights_of(token).await?.ok_or(AdmitError::BadToken)?;
        let (capability, about) = self.capability(token, request).await?;
        let question = Question { capability, ..question(request) };
        let decision = rights.acl.decide(&question);
        if !decision.verdict.is_allowed() {
            let why = may_see_why(&rights.acl, &held(token, rights.identity.as_deref()))
                .then(|| decision.to_string());
            return Err(AdmitError::Denied { why });
        }
        if let Some(grant) = decision.grant {
            rights.granting = grant.granting(question.capability).into();
        }
        rights.about = about;
        Ok(rights)
    }

    /// Returns what a caller is by now, if they still may do what they ask: their token, and what it may do.
    pub(super) async fn caller_now(
        &self,
        caller: &Caller,
        request: &Request,
    ) -> Result<(Arc<Found<Token>>, Rights), AdmitError> {
        let found = self.token_again(&caller.token.record).await?;
        let now = self.clock.now();
        let is_good = |token: &Token| token.is_held(now) && self.may_come(token, request);
        let held = found.filter(|found| is_good(&found.record));
        let token = held.ok_or(AdmitError::BadToken)?;
        let rights = self.allowed_now(&token.record, request).await?;
        Ok((Arc::new(token), rights))
    }

    /// Returns what a request needs of a token's policies, and what told that: to write what is not there yet is to
    /// create it.
    async fn capability(
        &self,
        token: &Token,
        request: &Request,
    ) -> Result<(Capability, Option<About>), StoreError> {
        let usual = question(request).capability;
        if request.asked.operation != Operation::Update {
            return Ok((usual, None));
        }
        Ok(match self.meant(token, request).await? {
            Some(Meant { is_there: false, about }) => (Capability::Create, Some(about)),
            Some(Meant { is_there: true, about }) => (usual, Some(about)),
            None => (usual, None),
        })
    }
}

/// Puts a request to the policies: what it does, at its path, with its parameters.
fn question(request: &Request) -> Question<'_> {
    let Asked { operation, path, data, .. } = &request.asked;
    Question {
        path,
        capability: match operation {
            Operation::Read => Capability::Read,
            Operation::List => Capability::List,
            Operation::Delete => Capability::Delete,
            Operation::Update | Operation::Revoke => Capability::Update,
        },
        parameters: data.as_ref().and_then(serde_json::Value::as_object),
        wrap_ttl: request.wrap_ttl,
        right: request.right,
    }
}

/// The same, with `sudo`.
fn with_sudo(request: &Request) -> Question<'_> {
    Question { right: Right::Sudo, ..question(request) }
}

/// Returns all policies that the holder of a token has: the token's own, and those of who is behind it.
#[must_use]
pub fn held<'a>(token: &'a Token, identity: Option<&Identity>) -> Cow<'a, [String]> {
    match identity.map(|identity| identity.policies.as_slice()) {
        None | Some([]) => Cow::Borrowed(&token.policies),
        Some(more) => {
            let mut all: Vec<_> = token.policies.iter().chain(more).cloned().collect();
            all.sort();
            all.dedup();
            Cow::Owned(all)
        }
    }
}

/// Makes the policy that every token carries, in a store that never had any. An operator may have changed it, so it is
/// made once.
pub(super) async fn make_default_policy(
    records: &Records,
    now: Timestamp,
) -> Result<(), StoreError> {
    if records.access_revision().await?.is_some() {
        return Ok(());
    }
    let Ok(name) = PolicyName::parse(DEFAULT_POLICY) else { return Ok(()) };
    let text = include_str!("access/default.hcl").to_owned();
    let text = PolicyText { text, version: 1, modified_at: now };
    match records.put_policy(&name, &text, None).await {
        // Another node was first.
        Ok(_) | Err(StoreError::Conflict) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Why something is refused tells what policies say, so it is told to those who may read them all.
fn may_see_why(acl: &Acl, policies: &[String]) -> bool {
    policies.iter().all(|policy| {
        let path = format!("sys/policies/acl/{policy}");
        let question = Question {
            path: &path,
            capability: Capability::Read,
            parameters: None,
            wrap_ttl: None,
            right: Right::Policy,
        };
        acl.decide(&question).verdict.is_allowed()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::policy::Right;

    #[test]
    fn the_default_policy_lets_a_token_see_to_itself_and_no_more() {
        let name = PolicyName::parse(DEFAULT_POLICY).unwrap();
        let policy = Policy::parse(name, include_str!("access/default.hcl")).unwrap();
        assert_eq!(policy.warnings(), []);
        let acl = Acl::compile([&policy], &Facts::default());
        let may = |path, capability| {
            let parameters = None;
            let right = Right::Policy;
            acl.decide(&Question { path, capability, parameters, wrap_ttl: None, right })
                .verdict
                .is_allowed()
        };
        assert!(may("auth/token/lookup-self", Capability::Read));
        assert!(may("auth/token/renew-self", Capability::Update));
        assert!(may("auth/token/revoke-self", Capability::Update));
        assert!(may("sys/leases/renew", Capability::Update));
        assert!(may("cubbyhole/x", Capability::Create));
        for path in ["sys/mounts", "sys/leases/revoke", "auth/token/create", "database/creds/app"] {
            for capability in Capability::ALL {
                assert!(!may(path, capability), "{capability:?} {path}");
            }
        }
    }
}
