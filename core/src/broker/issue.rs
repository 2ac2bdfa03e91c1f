//! Issues a credential: the whole story, from the request to the secret.

mod term;

use super::access::Rights;
use super::authenticate::{AdmitError, Caller};
use super::flights::Flight;
use super::reserve::TooManyLeases;
use super::rotate::OlderSecret;
use super::{Broker, Request};
use crate::access::token::Token;
use crate::audit::Answer;
use crate::engine::erased::{Drafted, Fields, RoleRef};
use crate::engine::naming::Naming;
use crate::engine::{EngineError, FieldError, PrepareError};
use crate::ids::LeaseId;
use crate::lease::{Cause, IssueSpan, Lease, Owner, Place};
use crate::limits::{CONFLICT_TRIES, ISSUE_WITHIN, REHEARSAL_TERM, SETTLED_WITHIN};
use crate::mount::MountEntry;
use crate::quota::tallies::{Bounds, Filling};
use crate::secret::Secret;
use crate::store::leases::{RepeatKey, repeat_at};
use crate::store::mounts::{Role, Target, mount_at, role_at, target_at};
use crate::store::records::Found;
use crate::store::tokens::TokenKey;
use crate::store::{Batch, StoreError};
use crate::time::Timestamp;
use crate::time::watch::Doubt;
use futures_channel::oneshot;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// A secret, and the lease it lives under.
#[derive(Debug)]
pub struct Issued {
    /// The lease.
    pub lease: LeaseId,
    /// Its name on the wire.
    pub lease_id: String,
    /// How long it lives.
    pub ttl: Duration,
    /// What the caller asked for.
    pub secret: Arc<Secret>,
    /// Whether it can live longer.
    pub renewable: bool,
    /// Set if the role's TTL was over its maximum: what it was, and what it was capped to.
    pub capped: Option<(Duration, Duration)>,
    /// Set if its target has nearly as many credentials as it may have.
    pub filling: Option<Filling>,
}

/// No secret was handed out. Whatever there may be at the target is on a lease.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IssueError {
    /// The request was not admitted, or its answer could not be recorded.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// There is no such role.
    #[error("unknown role: {0}")]
    UnknownRole(String),
    /// The role's target is not configured.
    #[error(
        "role `{role}` is for the target `{target}`, which is not configured; write `config/{target}` first"
    )]
    UnknownTarget {
        /// The role.
        role: String,
        /// The target it names.
        target: String,
    },
    /// The target does not allow the role.
    #[error(
        "{role:?} is not an allowed role of `{target}`; add it to `allowed_roles` of `config/{target}`"
    )]
    NotAllowed {
        /// The role.
        role: String,
        /// The target it names.
        target: String,
    },
    /// The configuration or the role cannot be used.
    #[error("{0}")]
    Unusable(#[from] FieldError),
    /// No credential can be named.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// After a restore the target does not let its administrator in.
    #[error(transparent)]
    Older(#[from] OlderSecret),
    /// The token's last use: its lease would end with it before the secret is read.
    #[error(
        "this is the token's last use; a lease would end with the token. use a token with more uses"
    )]
    LastUse,
    /// The lease could not be kept, so the target was not asked.
    #[error("the lease could not be stored: {0}")]
    Store(#[from] StoreError),
    /// The target did not issue.
    #[error("{0}")]
    Target(EngineError),
    /// A quota leaves no room for another lease.
    #[error(transparent)]
    TooMany(#[from] TooManyLeases),
    /// The time that would say how long it lives is in doubt.
    #[error(transparent)]
    Clock(#[from] Doubt),
    /// The lease was revoked while the target was being asked.
    #[error("the lease was revoked while it was being issued")]
    Revoked,
}

/// What an issue is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// To be used; under the key by which its request may be repeated, if it may be.
    Use(Option<RepeatKey>),
    /// To see whether its role works: for the shortest term, and beside all quotas. What its target may have at all
    /// bounds it too.
    Rehearsal,
}

impl Purpose {
    /// Returns by which key its request may be repeated, and what may leave no room for it.
    fn bounds(self, target: &Target) -> (Option<RepeatKey>, Bounds) {
        let (repeat, by_quota) = match self {
            Self::Use(repeat) => (repeat, true),
            Self::Rehearsal => (None, false),
        };
        (repeat, Bounds { by_quota, at_target: target.credentials_max() })
    }

    /// Returns how long its lease lives of what its role says.
    fn ttl(self, ttl: Duration) -> Duration {
        match self {
            Self::Use(_) => ttl,
            Self::Rehearsal => ttl.min(REHEARSAL_TERM),
        }
    }

    /// Returns what its caller says of the credential they want.
    fn said(self, request: &Request) -> Fields {
        match (self, &request.asked.data) {
            (Self::Use(_), Some(Value::Object(said))) => said.clone(),
            _ => Fields::new(),
        }
    }
}

/// A lease that is durable, with what is prepared for the target.
struct Committed {
    lease: Found<Lease>,
    drafted: Box<dyn Drafted>,
    flight: Flight,
    capped: Option<(Duration, Duration)>,
    filling: Option<Filling>,
}

/// What a path turned out to mean, at one moment.
pub(super) struct Plan {
    pub(super) entry: Arc<MountEntry>,
    pub(super) role: Arc<Found<Role>>,
    pub(super) target: Arc<Found<Target>>,
}

impl Plan {
    /// Returns what a lease keeps of it.
    fn place(&self) -> Place {
        Place {
            mount: self.entry.mount.record.id,
            role: self.role.record.name.clone(),
            target: self.target.record.id,
            generation: self.target.record.generation,
        }
    }

    /// Returns what its target reads a recipe from.
    fn role_ref(&self) -> RoleRef<'_> {
        let Found { record, revision } = &*self.role;
        RoleRef { name: &record.name, revision: *revision, fields: &record.fields }
    }

    /// Adds to a batch that all of it is still so.
    fn expected(&self, batch: Batch) -> Batch {
        let (mount, role, target) = (&self.entry.mount, &self.role, &self.target);
        batch
            .expect(mount_at(mount.record.id), Some(mount.revision))
            .expect(role_at(mount.record.id, &role.record.name), Some(role.revision))
            .expect(target_at(mount.record.id, &target.record.name), Some(target.revision))
    }
}

impl Broker {
    /// Issues a credential of a role and returns its secret.
    ///
    /// There is no undo here. Wherever this stops, by an error, a caller who hangs up, or a machine that
    /// dies, a stored lease names the credential, and the sweep revokes it.
    pub async fn issue(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
        role: &str,
    ) -> Result<Issued, IssueError> {
        let caller = self.admit(request).await?;
        if let Some(key) = &request.idempotency_key {
            return self.issue_once(request, &caller, (mount, role), key).await;
        }
        Ok(self.issue_to(request, &caller, (mount, role), Purpose::Use(None)).await?.0)
    }

    /// Issues to a caller who has been admitted, and records the answer.
    pub(super) async fn issue_to(
        self: &Arc<Self>,
        request: &Request,
        caller: &Caller,
        (mount, role): (&str, &str),
        purpose: Purpose,
    ) -> Result<(Issued, Found<Lease>), IssueError> {
        let lent = self.lend(request, caller, (mount, role), purpose).await;
        let told = lent.as_ref().map(|(issued, _)| issued);
        let recorded = self.conclude_issue(request, caller, told).await;
        if let (Ok((_, lease)), Err(_)) = (&lent, &recorded) {
            self.give_up(lease, Cause::IssueFailed, true).await;
        }
        recorded?;
        lent
    }

    /// Records what is answered to an issue: a secret as a keyed hash.
    pub(super) async fn conclude_issue(
        self: &Arc<Self>,
        request: &Request,
        caller: &Caller,
        told: Result<&Issued, &IssueError>,
    ) -> Result<(), AdmitError> {
        let answer = match told {
            Ok(issued) => {
                Answer::secret(issued.lease_id.clone(), &issued.secret, self.trail.keys())
            }
            Err(error) => Answer::error(error),
        };
        self.conclude(request, caller, &answer).await
    }

    /// Whether this caller can be lent anything now.
    pub(super) fn may_borrow(
        &self,
        caller: &Caller,
        (mount, role): (&str, &str),
    ) -> Result<(), IssueError> {
        self.trust_clock()?;
        if caller.spent && !self.plan(mount, role)?.role.record.orphan_leases {
            return Err(IssueError::LastUse);
        }
        Ok(())
    }

    /// Commits the lease, then asks the target.
    pub(super) async fn lend(
        self: &Arc<Self>,
        request: &Request,
        caller: &Caller,
        path: (&str, &str),
        purpose: Purpose,
    ) -> Result<(Issued, Found<Lease>), IssueError> {
        self.may_borrow(caller, path)?;
        let Committed { mut lease, drafted, flight, capped, filling } =
            self.commit_lease(request, caller, path, purpose).await?;

        let record = &lease.record;
        self.unanswered.lock().insert(record.id());
        let answer = drafted.issue(record.term().lapses_at(), record.issue().issue_by).await;
        if !matches!(answer, Err(EngineError::Uncertain(_))) {
            self.unanswered.lock().remove(&record.id());
        }
        if let Some(name) = answer.as_ref().ok().and_then(Secret::own_name)
            && let Err(error) = self.keep_own_name(&mut lease, name).await
        {
            self.give_up(&lease, Cause::IssueFailed, true).await;
            return Err(error.into());
        }
        let record = &lease.record;
        match answer {
            // Whoever waits to revoke it goes on once the flight is dropped, below.
            Ok(_) if flight.is_unwanted() => Err(IssueError::Revoked),
            Ok(secret) => {
                let lease_id = self.catalog().wire_id(record.place(), record.id());
                let ttl = record.works_until().since(record.issued_at());
                let (secret, renewable) = (Arc::new(secret), !record.ends_itself());
                let issued = Issued {
                    lease: record.id(),
                    lease_id,
                    ttl,
                    secret,
                    renewable,
                    capped,
                    filling,
                };
                Ok((issued, lease))
            }
            Err(error) => {
                let refused = matches!(error, EngineError::Refused(_));
                let never_made = refused && lease.record.ends_itself();
                let cause = if never_made { Cause::NeverMade } else { Cause::IssueFailed };
                self.give_up(&lease, cause, refused).await;
                Err(IssueError::Target(error))
            }
        }
    }

    /// Keeps what the target calls a new credential, where it chose that itself, so that whoever meets that name in a log
    /// finds the lease by it. A credential of which it is not kept is told to nobody.
    async fn keep_own_name(&self, lease: &mut Found<Lease>, name: &str) -> Result<(), StoreError> {
        for _ in 0..CONFLICT_TRIES {
            let named = lease.record.clone().known_as(name);
            match self.records.replace_lease(lease, &named, Batch::default()).await {
                // It may have been taken from its holder meanwhile.
                Err(StoreError::Conflict) => {
                    let found = self.records.lease(named.id()).await?;
                    *lease = found.ok_or(StoreError::Conflict)?;
                }
                Ok(revision) => {
                    *lease = Found { record: named, revision };
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }

    /// Decides on an issue and commits the decision, anew if what it rests on changed meanwhile.
    async fn commit_lease(
        self: &Arc<Self>,
        request: &Request,
        caller: &Caller,
        (mount, role): (&str, &str),
        purpose: Purpose,
    ) -> Result<Committed, IssueError> {
        let (mut token, mut rights) = (Arc::clone(&caller.token), caller.rights.clone());
        let plan = self.plan(mount, role)?;
        let of = (plan.entry.mount.record.id, plan.role.record.name.as_str());
        self.bound_leases(&token.record, of).await?;
        for _ in 0..CONFLICT_TRIES {
            let plan = self.plan(mount, role)?;
            match self.try_commit(request, (&token, &rights), &plan, purpose).await {
                Err(IssueError::Store(StoreError::Conflict)) => {
                    self.reload().await?;
                    (token, rights) = self.caller_now(caller, request).await?;
                }
                outcome => return outcome,
            }
        }
        Err(StoreError::Conflict.into())
    }

    pub(super) fn plan(&self, mount: &str, role: &str) -> Result<Plan, IssueError> {
        let catalog = self.catalog();
        let unknown = || IssueError::UnknownRole(role.to_owned());
        let entry = Arc::clone(catalog.at(mount).ok_or_else(unknown)?);
        let role = Arc::clone(entry.roles.get(role).ok_or_else(unknown)?);
        let (name, target) = (role.record.name.clone(), role.record.target.clone());
        let Some(found) = entry.targets.get(&target).map(Arc::clone) else {
            return Err(IssueError::UnknownTarget { role: name, target });
        };
        if !found.record.allows(&name) {
            return Err(IssueError::NotAllowed { role: name, target });
        }
        Ok(Plan { entry, role, target: found })
    }

    async fn try_commit(
        self: &Arc<Self>,
        request: &Request,
        (token, rights): (&Found<Token>, &Rights),
        plan: &Plan,
        purpose: Purpose,
    ) -> Result<Committed, IssueError> {
        let (role, target) = (&plan.role, &plan.target);
        self.require_no_older_secret(&target.record)?;
        let (now, id) = (self.clock.now(), self.new_lease_id());
        let owner = Owner {
            token: ends_with(&token.record, &role.record),
            accessor: token.record.accessor,
            display_name: token.record.display_name.clone(),
            entity: rights.identity.as_ref().map(|identity| identity.entity.id),
            granted_by: rights.granting.to_vec(),
            request: request.asked.id.clone(),
        };
        let passwords = self.passwords_of(&target.record).await??;
        let recipe = self.open_target(target)?.bind(plan.role_ref())?;
        let (recipe, own_end) = term::chosen(recipe, &purpose.said(request))?;
        let naming = Naming {
            lease: id,
            display_name: &owner.display_name,
            role_name: &role.record.name,
            now,
        };
        let drafted = recipe.prepare(&naming, &passwords, &*self.chance)?;

        let (repeat, bounds) = purpose.bounds(&target.record);
        let (term, capped) = self.term_for(plan, &token.record, (purpose, own_end), now)?;
        let lease = Lease::new(
            id,
            plan.place(),
            owner,
            drafted.handle().clone(),
            self.issue_span(now),
            term,
            now,
        )
        .repeatable(repeat)
        .ending_itself(own_end.is_some());
        let mut batch = rights.expected(plan.expected(Batch::default()));
        if let Some(at) = token.record.rests_on().at() {
            batch = batch.expect(at, Some(token.revision));
        }
        if let Some(key) = &repeat {
            batch = batch.expect(repeat_at(key), self.supersede(key).await?);
        }
        let batch = self.records.put_new_lease(batch, &lease)?;

        let (room, filling) = self.reserve(id, lease.place(), bounds)?;
        // Ids are not reused, so nobody else can be in this flight.
        let flight = self.issuing.begin(id).ok_or(StoreError::Conflict)?;
        let derived = self.derive(drafted);
        let committed = self.records.commit(batch).await;
        room.ended(&committed, self.clock.now());
        if matches!(committed, Ok(_) | Err(StoreError::Uncertain(_))) {
            self.due(id, lease.due_at());
        }
        let lease = Found { record: lease, revision: committed? };
        self.metrics.made.one();
        let drafted = derived.await.map_err(|oneshot::Canceled| {
            IssueError::Unusable(FieldError("the credential could not be prepared".into()))
        })?;
        Ok(Committed { lease, drafted, flight, capped, filling })
    }

    pub(super) fn issue_span(&self, now: Timestamp) -> IssueSpan {
        let (issue_by, settles_at) = (now.plus(ISSUE_WITHIN), now.plus(SETTLED_WITHIN));
        IssueSpan { boot: self.boot, issue_by, settles_at }
    }

    /// Computes what the target will be sent while the lease is being committed.
    fn derive(&self, mut drafted: Box<dyn Drafted>) -> oneshot::Receiver<Box<dyn Drafted>> {
        let (done, derived) = oneshot::channel();
        if !drafted.derives_for_long() {
            drafted.derive();
            // It waits in the channel until the commit is done.
            let _ = done.send(drafted);
            return derived;
        }
        self.tasks.compute(Box::new(move || {
            drafted.derive();
            // Nobody waits if the commit failed.
            let _ = done.send(drafted);
        }));
        derived
    }

    /// The secret goes to nobody: the lease is to be revoked, whatever else became of it meanwhile.
    async fn give_up(self: &Arc<Self>, lease: &Found<Lease>, cause: Cause, answered: bool) {
        let id = lease.record.id();
        if !answered {
            self.unanswered.lock().insert(id);
        }
        if let Err(error) = self.mark(id, cause).await {
            tracing::error!(lease = %id, %error, "a lease that failed waits for its term");
        }
    }
}

/// Returns with which token a lease ends: with the one it is lent to, or the stored one that a batch token rests on.
fn ends_with(token: &Token, role: &Role) -> TokenKey {
    if role.orphan_leases { TokenKey::NONE } else { token.owner_key() }
}
