//! What a token may do now: its policies, compiled once for all tokens that carry the same.

use super::authenticate::{AdmitError, Caller};
use super::{Broker, Request};
use crate::access::policy::{
    Acl, Capability, DEFAULT_POLICY, Facts, Policy, PolicyName, Question, Right,
};
use crate::access::token::{ROOT_POLICY, Token};
use crate::audit::{Asked, Operation};
use crate::limits::{ACLS_MAX, CONFLICT_TRIES};
use crate::store::policies::{PolicyText, access_at};
use crate::store::records::{Found, Records};
use crate::store::{Batch, Revision, StoreError};
use crate::time::Timestamp;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the holder of a token may do, and as of when.
#[derive(Clone, Debug)]
pub(super) struct Rights {
    pub(super) acl: Arc<Acl>,
    /// The policies by whose rules the request was allowed that they were read for.
    pub(super) granting: Vec<String>,
    /// When they were read; `None` for a root token, whom no policy concerns.
    read_at: Option<ReadAt>,
}

/// At which access revision something was read; before the first there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ReadAt(Option<Revision>);

/// What has been compiled, as long as nothing changes.
#[derive(Debug, Default)]
pub(super) struct Compiled(Mutex<Sets>);

#[derive(Debug, Default)]
struct Sets {
    read_at: ReadAt,
    young: BTreeMap<Vec<String>, Arc<Acl>>,
    /// What was young before; whatever of it is used becomes young again.
    old: BTreeMap<Vec<String>, Arc<Acl>>,
}

impl Rights {
    /// Adds to a batch that nothing has changed of who may do what since these were read.
    pub(super) fn expected(&self, batch: Batch) -> Batch {
        match self.read_at {
            Some(ReadAt(revision)) => batch.expect(access_at(), revision),
            None => batch,
        }
    }
}

impl Compiled {
    fn find(&self, read_at: ReadAt, policies: &[String]) -> Option<Arc<Acl>> {
        let mut sets = self.0.lock();
        if sets.read_at != read_at {
            *sets = Sets { read_at, ..Sets::default() };
        }
        if let Some(acl) = sets.young.get(policies) {
            return Some(Arc::clone(acl));
        }
        let (policies, acl) = sets.old.remove_entry(policies)?;
        sets.keep(policies, Arc::clone(&acl));
        Some(acl)
    }

    fn keep(&self, read_at: ReadAt, policies: &[String], acl: Arc<Acl>) {
        let mut sets = self.0.lock();
        // Something may have changed since; what was compiled is then good for this once.
        if sets.read_at == read_at {
            sets.keep(policies.to_vec(), acl);
        }
    }
}

impl Sets {
    fn keep(&mut self, policies: Vec<String>, acl: Arc<Acl>) {
        if self.young.len() >= ACLS_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(policies, acl);
    }
}

impl Broker {
    /// Returns what the holder of a token may do now.
    pub(super) async fn rights_of(&self, token: &Token) -> Result<Rights, StoreError> {
        if token.is_root() {
            let granting = vec![ROOT_POLICY.to_owned()];
            return Ok(Rights { acl: Arc::new(Acl::root()), granting, read_at: None });
        }
        for _ in 0..CONFLICT_TRIES {
            let read_at = ReadAt(self.records.access_revision().await?);
            if let Some(acl) = self.compiled.find(read_at, &token.policies) {
                return Ok(Rights { acl, granting: Vec::new(), read_at: Some(read_at) });
            }
            let acl = Arc::new(self.compile(&token.policies).await?);
            // Policies that were read while some changed were never in force together.
            if ReadAt(self.records.access_revision().await?) == read_at {
                self.compiled.keep(read_at, &token.policies, Arc::clone(&acl));
                return Ok(Rights { acl, granting: Vec::new(), read_at: Some(read_at) });
            }
        }
        Err(StoreError::Conflict)
    }

    /// Compiles policies; one that is not there grants nothing.
    async fn compile(&self, names: &[String]) -> Result<Acl, StoreError> {
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
        Ok(Acl::compile(&policies, &Facts::default()))
    }

    /// Returns what the holder of a token may do now, if that is what a request asks.
    pub(super) async fn allowed_now(
        &self,
        token: &Token,
        request: &Request,
    ) -> Result<Rights, AdmitError> {
        let mut rights = self.rights_of(token).await?;
        let question = self.question(request);
        let decision = rights.acl.decide(&question);
        if !decision.verdict.is_allowed() {
            let why = may_see_why(&rights.acl, &token.policies).then(|| decision.to_string());
            return Err(AdmitError::Denied { why });
        }
        if let Some(grant) = decision.grant {
            rights.granting = grant.granting(question.capability);
        }
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

    /// Puts a request to the policies: what it does, at its path, with its parameters.
    pub(super) fn question<'a>(&self, request: &'a Request) -> Question<'a> {
        let Asked { operation, path, data, .. } = &request.asked;
        Question {
            path,
            capability: self.capability(*operation, path),
            parameters: data.as_ref().and_then(serde_json::Value::as_object),
            wrap_ttl: request.wrap_ttl,
            right: request.right,
        }
    }

    /// Returns what an operation needs: to write what is not there yet is to create it.
    fn capability(&self, operation: Operation, path: &str) -> Capability {
        match operation {
            Operation::Read => Capability::Read,
            Operation::List => Capability::List,
            Operation::Delete => Capability::Delete,
            Operation::Update if self.catalog().would_make(path) => Capability::Create,
            Operation::Update | Operation::Revoke => Capability::Update,
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

    #[test]
    fn what_is_compiled_is_bounded_and_forgotten_with_every_change() {
        let compiled = Compiled::default();
        let names = |number: usize| vec![format!("p{number}")];
        let (before, after) = (ReadAt(Some(Revision(1))), ReadAt(Some(Revision(2))));
        assert!(compiled.find(before, &names(0)).is_none());
        for number in 0..ACLS_MAX * 2 {
            compiled.keep(before, &names(number), Arc::new(Acl::default()));
            // Whatever is used stays.
            assert!(compiled.find(before, &names(0)).is_some(), "{number}");
        }
        let sets = compiled.0.lock();
        assert!(sets.young.len() + sets.old.len() <= ACLS_MAX);
        drop(sets);
        assert!(compiled.find(after, &names(0)).is_none());
        // Compiled of what was in force before.
        compiled.keep(before, &names(0), Arc::new(Acl::root()));
        assert!(compiled.find(after, &names(0)).is_none());
    }
}
