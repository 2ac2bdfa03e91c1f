//! Shows whether a role works: issues a credential, logs in with it, revokes it, and sees that it is dead.
//!
//! The credential is an ordinary lease for the shortest of terms: whatever stops a rehearsal, the sweep revokes it.

use super::authenticate::{AdmitError, Caller, Recorded};
use super::issue::{IssueError, Issued, Purpose};
use super::reconcile::ReconcileError;
use super::revoke::{RevokeError, Revoked};
use super::{Broker, Request};
use crate::audit::Answer;
use crate::engine::erased::{OpenTarget, RoleRef};
use crate::engine::rotation::{Account, AccountSecret, Tested, Verify};
use crate::engine::{EngineError, FieldError};
use crate::ids::MountId;
use crate::lease::death::Death;
use crate::lease::{Cause, Lease};
use crate::limits::{CONFLICT_TRIES, ISSUE_WITHIN};
use crate::secret::{Field, Secret, SecretText};
use crate::store::StoreError;
use crate::store::mounts::{Role, Target};
use crate::store::records::Found;
use crate::store::rehearsals::{Rehearsed, rehearsal_at};
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// How a rehearsal went.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// What was done, in order; the last one is what failed, if anything did.
    pub steps: Vec<Step>,
    /// What the credential was called, once it had a name.
    pub username: Option<String>,
    /// What it might do.
    pub rights: Vec<String>,
    /// What the administrator lacks, where something failed and the target says so.
    pub lacks: Vec<String>,
}

/// One step of a rehearsal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was done.
    pub act: Act,
    /// How long it took.
    pub took: Duration,
    /// Why it failed, if it did.
    pub failed: Option<String>,
    /// What else is to be known of it.
    pub note: Option<&'static str>,
}

/// What a rehearsal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A credential is issued.
    Issue,
    /// It logs in.
    LogIn,
    /// The target lists it as ours.
    List,
    /// It is revoked.
    Revoke,
    /// It logs in no more: the target itself says that its secret is good for nothing.
    Dead,
    /// The target lists it no more.
    Gone,
}

/// A role was not rehearsed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RehearseError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// There is no such role, or nothing can be issued by it.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// Somebody else does it.
    #[error("`{0}` is being rehearsed; ask again when that is over")]
    UnderWay(String),
    /// It was never rehearsed.
    #[error("`{0}` was never rehearsed; `leasehold rehearse {0}` does it")]
    Never(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error(transparent)]
    Unusable(#[from] FieldError),
    #[error(transparent)]
    Target(#[from] EngineError),
    #[error(transparent)]
    List(#[from] ReconcileError),
    #[error(transparent)]
    Revoke(#[from] RevokeError),
    #[error("{0}")]
    Lives(String),
    #[error("{0}")]
    Otherwise(&'static str),
}

impl Act {
    /// Returns what operators call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::LogIn => "log_in",
            Self::List => "list",
            Self::Revoke => "revoke",
            Self::Dead => "dead",
            Self::Gone => "gone",
        }
    }
}

impl Rehearsal {
    /// Returns why it failed, if it did.
    #[must_use]
    pub fn failed(&self) -> Option<&str> {
        self.steps.iter().find_map(|step| step.failed.as_deref())
    }
}

impl Recorded for Rehearsal {
    fn recorded(&self) -> Answer {
        let steps: Vec<_> = self.steps.iter().map(|step| step.act.name()).collect();
        Answer::data(Some(serde_json::json!({ "steps": steps, "failed": self.failed() })))
    }
}

impl Recorded for Rehearsed {
    fn recorded(&self) -> Answer {
        Answer::default()
    }
}

/// A rehearsal that goes on.
struct Stage<'a> {
    broker: &'a Arc<Broker>,
    target: Arc<Found<Target>>,
    open: Arc<dyn OpenTarget>,
    rehearsal: Rehearsal,
}

impl Broker {
    /// Rehearses a role: issues a credential, logs in, revokes it, and sees that it is dead.
    pub async fn rehearse(
        self: &Arc<Self>,
        request: &Request,
        (mount, role): (&str, &str),
    ) -> Result<Rehearsal, RehearseError> {
        self.served(request, async |caller| {
            self.may_borrow(&caller, (mount, role))?;
            let plan = self.plan(mount, role)?;
            let which = (plan.entry.mount.record.id, plan.role.record.name.clone());
            let turn = self.rehearsing.take(which.clone());
            let _turn = turn.ok_or_else(|| RehearseError::UnderWay(format!("{mount}{role}")))?;
            let began = self.clock.now();
            let rehearsal = self.rehearse_with(request, &caller, (mount, role)).await?;
            let record = Rehearsed {
                at: began,
                role_written_at: plan.role.record.written_at,
                failed: rehearsal.failed().map(str::to_owned),
                rights: rehearsal.rights.clone(),
            };
            self.keep_rehearsal(which, &record).await?;
            Ok(rehearsal)
        })
        .await
    }

    async fn rehearse_with(
        self: &Arc<Self>,
        request: &Request,
        caller: &Caller,
        path: (&str, &str),
    ) -> Result<Rehearsal, RehearseError> {
        let plan = self.plan(path.0, path.1)?;
        let open = self.open_target(&plan.target).map_err(IssueError::from)?;
        let rehearsal =
            Rehearsal { steps: Vec::new(), username: None, rights: Vec::new(), lacks: Vec::new() };
        let mut stage = Stage { broker: self, target: Arc::clone(&plan.target), open, rehearsal };
        if stage.play(request, caller, path).await?.is_none() {
            stage.ask_what_is_missing(&plan.role.record).await;
        }
        Ok(stage.rehearsal)
    }

    async fn keep_rehearsal(
        &self,
        (mount, role): (MountId, String),
        record: &Rehearsed,
    ) -> Result<(), StoreError> {
        for _ in 0..CONFLICT_TRIES {
            let was = self.records.rehearsal(mount, &role).await?.map(|was| was.revision);
            match self.records.replace(rehearsal_at(mount, &role), was, record).await {
                Err(StoreError::Conflict) => {}
                outcome => return outcome.map(|_| ()),
            }
        }
        Err(StoreError::Conflict)
    }

    /// Returns how the last rehearsal of a role went.
    pub async fn last_rehearsal(
        self: &Arc<Self>,
        request: &Request,
        (mount, role): (&str, &str),
    ) -> Result<Rehearsed, RehearseError> {
        self.served(request, async |_| {
            let plan = self.plan(mount, role)?;
            let (mount_id, name) = (plan.entry.mount.record.id, &plan.role.record.name);
            let last = self.records.rehearsal(mount_id, name).await?;
            let never = || RehearseError::Never(format!("{mount}{role}"));
            last.map(|last| last.record).ok_or_else(never)
        })
        .await
    }

    /// Returns the rehearsal by which a role was seen to work as it is now, if there is one.
    pub(super) async fn proven(
        &self,
        mount: MountId,
        role: &Role,
    ) -> Result<Option<Rehearsed>, StoreError> {
        let last = self.records.rehearsal(mount, &role.name).await?.map(|last| last.record);
        Ok(last.filter(|last| last.failed.is_none() && last.role_written_at == role.written_at))
    }
}

impl Stage<'_> {
    /// Plays all steps, as far as they succeed. Whoever may not any more has learned nothing of the role.
    async fn play(
        &mut self,
        request: &Request,
        caller: &Caller,
        path: (&str, &str),
    ) -> Result<Option<()>, AdmitError> {
        let began = self.now();
        let lent = self.broker.lend(request, caller, path, Purpose::Rehearsal).await;
        if let Err(IssueError::Admit(refused)) = lent {
            return Err(refused);
        }
        let Some((issued, lease)) = self.done(Act::Issue, began, lent) else { return Ok(None) };
        Ok(self.play_on(&issued, lease.record).await)
    }

    async fn play_on(&mut self, issued: &Issued, lease: Lease) -> Option<()> {
        self.rehearsal.username = Some(lease.handle().name());
        let lived = self.see_alive(&lease, &issued.secret).await;
        // Whatever was seen, it is to be gone.
        let began = self.now();
        let revoked = self.broker.attempt(lease.id(), Cause::Asked).await;
        lived?;
        let revoked = match revoked {
            Ok(Revoked::Lives(why)) => Err(Failed::Lives(why)),
            outcome => outcome.map_err(Failed::from),
        };
        let revoked = self.done(Act::Revoke, began, revoked)?;
        if matches!(revoked, Revoked::Denied(_)) {
            // It goes on to log in, and is refused whatever it asks for then.
            self.note("it is refused until it ends by itself, which a login does not show");
            return Some(());
        }
        self.see_dead(&lease, &issued.secret).await
    }

    async fn see_alive(&mut self, lease: &Lease, secret: &Secret) -> Option<()> {
        let began = self.now();
        let tested = match self.tested(lease, secret).await {
            Ok(Tested::Works) => Ok(()),
            Ok(Tested::Denied | Tested::Barred) => {
                Err(Failed::Otherwise("the target does not let the credential in"))
            }
            Err(error) => Err(error),
        };
        self.done(Act::LogIn, began, tested)?;
        if lease.ends_itself() {
            // It is kept nowhere, so that there is nothing to list.
            return Some(());
        }
        let began = self.now();
        let listed = self.broker.list_target(&self.target).await.map_err(Failed::from);
        let found = listed.and_then(|listed| {
            let ours = listed.into_iter().find(|listed| listed.lease == lease.id());
            ours.ok_or(Failed::Otherwise(
                "the target does not list it: it bears no mark of ours, and could not be found without its lease",
            ))
        });
        self.rehearsal.rights = self.done(Act::List, began, found)?.rights;
        Some(())
    }

    async fn see_dead(&mut self, lease: &Lease, secret: &Secret) -> Option<()> {
        let began = self.now();
        let tested = match self.tested(lease, secret).await {
            // Where it was armed, a live one would be refused with this secret as well.
            Ok(Tested::Denied | Tested::Barred) => self.check_proof(lease).await,
            Ok(Tested::Works) => Err(Failed::Otherwise("it still logs in after its revocation")),
            Err(error) => Err(error),
        };
        self.done(Act::Dead, began, tested)?;
        let began = self.now();
        let listed = self.broker.list_target(&self.target).await.map_err(Failed::from);
        let gone = listed.and_then(|listed| {
            let is_there = listed.iter().any(|listed| listed.lease == lease.id());
            let still = Failed::Otherwise("the target still lists it after its revocation");
            if is_there { Err(still) } else { Ok(()) }
        });
        self.done(Act::Gone, began, gone)
    }

    /// Refuses an end that was to be proven and was not.
    async fn check_proof(&self, lease: &Lease) -> Result<(), Failed> {
        let history =
            self.broker.records.history(lease.id()).await.map_err(ReconcileError::from)?;
        let death = history.and_then(|gone| gone.record.death);
        match death {
            Some(Death::NotProven { .. }) => Err(Failed::Otherwise(
                "the role asks for a proof of death, and it could not be given; `whois` tells why",
            )),
            Some(Death::Proven { .. }) | None => Ok(()),
        }
    }

    /// Logs in with the credential as its holder would.
    async fn tested(&self, lease: &Lease, secret: &Secret) -> Result<Tested, Failed> {
        let account = Account {
            name: lease.handle().name(),
            administers: false,
            statements: Vec::new(),
            verify: Verify::Login,
        };
        let parts = secret.fields().map(|(name, field)| match field {
            Field::Open(text) => (name, SecretText::new(text.clone())),
            Field::Hidden(text) => (name, SecretText::new(text.reveal().to_owned())),
        });
        let answer_by = self.now().plus(ISSUE_WITHIN);
        Ok(self.open.tested(&account, &AccountSecret::new(parts), answer_by).await?)
    }

    /// Notes how a step went; `None` if it failed.
    fn done<T>(
        &mut self,
        act: Act,
        began: Timestamp,
        outcome: Result<T, impl std::fmt::Display>,
    ) -> Option<T> {
        let took = self.now().since(began);
        let failed = outcome.as_ref().err().map(ToString::to_string);
        self.rehearsal.steps.push(Step { act, took, failed, note: None });
        outcome.ok()
    }

    /// Says something of the step that was done last.
    fn note(&mut self, note: &'static str) {
        if let Some(step) = self.rehearsal.steps.last_mut() {
            step.note = Some(note);
        }
    }

    async fn ask_what_is_missing(&mut self, role: &Role) {
        let role = RoleRef {
            name: &role.name,
            // A revision that no stored role has: this one is asked about once.
            revision: crate::store::Revision(self.now().0),
            fields: &role.fields,
        };
        // Where it cannot say, the step that failed has said enough.
        self.rehearsal.lacks = self.open.lacks(Some(role)).await.unwrap_or_default();
    }

    fn now(&self) -> Timestamp {
        self.broker.clock.now()
    }
}
