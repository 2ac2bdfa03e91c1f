//! What waits for a target, formed into batches. Engines only execute them.
//!
//! A line has one worker for each connection of its target, and each worker takes the next batch as soon
//! as it is free: what waits is divided over the free workers, so nothing ever waits for a batch to fill,
//! and a lone caller is as fast as without batches. A batch holds one role's issues only, and no more
//! than keep a connection busy for [`BATCH_TIME`], as measured.

mod cost;
mod run;
mod waiting;

use crate::access::password::PasswordPolicy;
use crate::chance::Chance;
use crate::engine::denial::{Deniable, Denial, Denied, Standing};
use crate::engine::erased::{
    Chosen, Drafted, Fields, Listed, OpenTarget, Recipe, RoleRef, ToPutBack, ToRenew, ToRevoke,
};
use crate::engine::in_use::InUse;
use crate::engine::naming::Naming;
use crate::engine::own_end::Choice;
use crate::engine::rotation::{Account, AccountSecret, Intent, Rotated, Tested};
use crate::engine::{
    Cause, Draft, Engine, EngineError, FieldError, Identity, Issue, Marked, PrepareError, PutBack,
    Renewal, Renewed, Revocation,
};
use crate::ids::LeaseId;
use crate::lease::Handle;
use crate::limits::WAITING_MAX;
use crate::metrics::{TargetMeter, Verb};
use crate::secret::Secret;
use crate::store::Revision;
use crate::tasks::{Pending, Tasks};
use crate::time::{Clock, Timestamp};
use futures_channel::oneshot;
use futures_util::future::{Either, select};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use waiting::{Job, Room, Takes, Waiting};

/// What a line needs of the world.
#[derive(Clone, Debug)]
pub struct LinePorts {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for the jitter of retries.
    pub chance: Arc<dyn Chance>,
    /// Work beside the caller.
    pub tasks: Arc<dyn Tasks>,
    /// What counts how the target does.
    pub meter: Arc<TargetMeter>,
}

/// How long past its deadline an answer is waited for: the deadline is the target's own as well, and its
/// answer that time was up is worth more than silence.
const GRACE: Duration = Duration::from_secs(3);

/// The line before one target, with the engine that stands for it.
#[derive(Debug)]
pub struct Line<E: Engine>(Arc<Inner<E>>);

#[derive(Debug)]
struct Inner<E: Engine> {
    engine: E,
    ports: LinePorts,
    roles: Mutex<HashMap<String, KnownRole<E>>>,
    waiting: Mutex<Waiting<E>>,
}

/// A role as it was parsed at one write of it.
type KnownRole<E> = (Revision, Arc<<E as Engine>::Role>);

/// One question and where its answer goes.
type Asked<Q, A> = (Q, oneshot::Sender<Result<A, EngineError>>);

impl<E: Engine> Line<E> {
    /// Stands before a target.
    #[must_use]
    pub fn new(engine: E, ports: LinePorts) -> Self {
        let waiting = Mutex::new(Waiting::default());
        Self(Arc::new(Inner { engine, ports, roles: Mutex::default(), waiting }))
    }
}

impl<E: Engine> Inner<E> {
    /// Parses a role once for each write of it, so that its issues can be told to belong together.
    fn typed_role(&self, role: RoleRef<'_>) -> Result<Arc<E::Role>, FieldError> {
        let mut roles = self.roles.lock();
        if let Some((_, known)) = roles.get(role.name).filter(|(at, _)| *at == role.revision) {
            return Ok(Arc::clone(known));
        }
        let parsed = Arc::new(E::role(role.fields)?);
        roles.insert(role.name.to_owned(), (role.revision, Arc::clone(&parsed)));
        Ok(parsed)
    }

    /// Puts a question into the line, and sees that somebody works on it.
    fn ask<A: Send + 'static>(
        self: &Arc<Self>,
        verb: Verb,
        answer_by: Timestamp,
        join: impl FnOnce(&mut Waiting<E>, oneshot::Sender<Result<A, EngineError>>),
    ) -> Pending<'static, Result<A, EngineError>> {
        let meter = Arc::clone(&self.ports.meter);
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock();
            if waiting.len() >= WAITING_MAX {
                let message = format!("{WAITING_MAX} requests wait for this target already");
                let refused = Err(EngineError::refused(Cause::Contended, message));
                meter.of(verb).answered(&refused);
                return Box::pin(async { refused });
            }
            join(&mut waiting, answer);
        }
        let open = meter.of(verb).open.raise(1);
        self.hire();
        let deadline = self.ports.tasks.sleep_until(answer_by.plus(GRACE));
        Box::pin(async move {
            let answer = match select(answered, deadline).await {
                Either::Left((Ok(answer), _)) => answer,
                // The worker is gone without a word: it may have asked.
                Either::Left((Err(oneshot::Canceled), _)) => {
                    Err(EngineError::uncertain(Cause::Unreachable, "the engine broke off"))
                }
                Either::Right(_) => {
                    Err(EngineError::uncertain(Cause::TooLate, "the target did not answer in time"))
                }
            };
            drop(open);
            meter.of(verb).answered(&answer);
            answer
        })
    }

    fn room(&self) -> Room {
        let connections = self.engine.connections();
        Room { connections, revocations: self.engine.revoking_at_once().min(connections) }
    }

    /// Waits for an answer that is asked for outside the line.
    async fn answered<A>(
        &self,
        asked: impl Future<Output = Result<A, EngineError>> + Send,
        answer_by: Timestamp,
    ) -> Result<A, EngineError> {
        let deadline = self.ports.tasks.sleep_until(answer_by.plus(GRACE));
        match select(std::pin::pin!(asked), deadline).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => {
                Err(EngineError::uncertain(Cause::TooLate, "the target did not answer in time"))
            }
        }
    }

    /// Starts a worker if there is work and a connection for it.
    fn hire(self: &Arc<Self>) {
        let first = self.waiting.lock().hire(self.room());
        if let Some(job) = first {
            let line = Arc::clone(self);
            self.ports.tasks.spawn(Box::pin(async move { line.work(job).await }));
        }
    }

    async fn work(self: Arc<Self>, first: Job<E>) {
        let mut place = Place { line: &self, takes: first.takes() };
        let mut job = Some(first);
        while let Some(current) = job {
            place.takes = current.takes();
            self.run(current).await;
            job = self.waiting.lock().next_for(place.takes, self.room());
            if job.is_some() {
                // What it took was given back with the question for the next job.
                place.takes = Takes::Nothing;
            }
        }
        // The last question found nothing and has dismissed this worker already.
        std::mem::forget(place);
    }
}

/// A worker's place at the target. Dropped only when an engine panics: then the place is free again.
struct Place<'a, E: Engine> {
    line: &'a Arc<Inner<E>>,
    takes: Takes,
}

impl<E: Engine> Drop for Place<'_, E> {
    fn drop(&mut self) {
        self.line.waiting.lock().dismiss(self.takes);
        self.line.hire();
    }
}

impl<E: Engine> OpenTarget for Line<E> {
    fn bind(&self, role: RoleRef<'_>) -> Result<Arc<dyn Recipe>, FieldError> {
        let role = self.0.typed_role(role)?;
        Ok(Arc::new(Bound { line: Arc::clone(&self.0), role }))
    }

    fn renew(&self, asked: ToRenew<'_>) -> Pending<'static, Result<Renewed, EngineError>> {
        let handle = parsed::<E::Handle>(asked.handle);
        let role = self.0.typed_role(asked.role);
        let (handle, role) = match (handle, role) {
            (Ok(handle), Ok(role)) => (handle, role),
            (Err(error), _) => return Box::pin(async { Err(error) }),
            (_, Err(FieldError(message))) => {
                return Box::pin(async { Err(EngineError::refused(Cause::Rejected, message)) });
            }
        };
        let (lease, lapses_at, answer_by) = (asked.lease, asked.lapses_at, asked.answer_by);
        let renewal = Renewal { lease, handle, role, lapses_at, answer_by };
        self.0.ask(Verb::Renew, answer_by, |waiting, answer| {
            waiting.renewals.push_back((renewal, answer));
        })
    }

    fn revoke(&self, asked: ToRevoke<'_>) -> Pending<'static, Result<(), EngineError>> {
        let handle = match parsed::<E::Handle>(asked.handle) {
            Ok(handle) => handle,
            Err(error) => return Box::pin(async { Err(error) }),
        };
        // A role that no longer parses leaves the statements in the handle.
        let role = asked.role.and_then(|role| self.0.typed_role(role).ok());
        let (lease, answer_by) = (asked.lease, asked.answer_by);
        let (unanswered, lapses_at) = (asked.unanswered, asked.lapses_at);
        let revocation = Revocation { lease, handle, role, unanswered, lapses_at, answer_by };
        self.0.ask(Verb::Revoke, answer_by, |waiting, answer| {
            waiting.revocations.push_back((revocation, answer));
        })
    }

    fn list(&self) -> Pending<'_, Result<Vec<Listed>, EngineError>> {
        Box::pin(async {
            let marked = self.0.engine.list().await?;
            let listed = marked.into_iter().map(|marked| {
                let handle = written(&marked.handle)?;
                let Marked { lease, lapses_at, may_log_in, rights, everywhere, .. } = marked;
                Ok(Listed { lease, handle, lapses_at, may_log_in, rights, everywhere })
            });
            listed
                .collect::<Result<_, PrepareError>>()
                .map_err(|error| EngineError::refused(Cause::Rejected, error.to_string()))
        })
    }

    fn identity(&self) -> Pending<'_, Result<Identity, EngineError>> {
        Box::pin(self.0.engine.identity())
    }

    fn lacks<'a>(
        &'a self,
        role: Option<RoleRef<'a>>,
    ) -> Pending<'a, Result<Vec<String>, EngineError>> {
        Box::pin(async move {
            let role = role.map(|role| self.0.typed_role(role)).transpose();
            let role =
                role.map_err(|FieldError(message)| EngineError::refused(Cause::Rejected, message))?;
            self.0.engine.lacks(role.as_deref()).await
        })
    }

    fn intend<'a>(
        &'a self,
        account: &'a Account,
        chosen: Intent,
        answer_by: Timestamp,
    ) -> Pending<'a, Result<Intent, EngineError>> {
        Box::pin(self.0.engine.intend(account, chosen, answer_by))
    }

    fn rotate<'a>(
        &'a self,
        account: &'a Account,
        intent: &'a Intent,
        answer_by: Timestamp,
    ) -> Pending<'a, Result<Rotated, EngineError>> {
        Box::pin(self.0.engine.rotate(account, intent, answer_by))
    }

    fn tested<'a>(
        &'a self,
        account: &'a Account,
        secret: &'a AccountSecret,
        answer_by: Timestamp,
    ) -> Pending<'a, Result<Tested, EngineError>> {
        Box::pin(self.0.engine.tested(account, secret, answer_by))
    }

    fn drop_replaced<'a>(
        &'a self,
        account: &'a Account,
        intent: &'a Intent,
        secret: &'a AccountSecret,
        answer_by: Timestamp,
    ) -> Pending<'a, Result<(), EngineError>> {
        Box::pin(self.0.engine.drop_replaced(account, intent, secret, answer_by))
    }

    fn put_back_as(&self, handle: &Handle) -> Result<Handle, EngineError> {
        let handle = self.0.engine.put_back_as(&parsed::<E::Handle>(handle)?);
        written(&handle)
            .map_err(|error| EngineError::refused(Cause::NeedsOperator, error.to_string()))
    }

    fn put_back(&self, asked: Vec<ToPutBack>) -> Pending<'_, Vec<Result<(), EngineError>>> {
        Box::pin(async move {
            // Each member's handle was written by this engine a moment ago, so that all of them parse or none does.
            let typed = asked.iter().map(|one| {
                let (lease, issue_by) = (one.lease, one.issue_by);
                parsed::<E::Handle>(&one.handle).map(|handle| PutBack { lease, handle, issue_by })
            });
            match typed.collect::<Result<Vec<_>, _>>() {
                Ok(typed) => self.0.engine.put_back(&typed).await,
                Err(error) => asked.iter().map(|_| Err(error.clone())).collect(),
            }
        })
    }

    fn armed_as(&self, handle: &Handle, answer_by: Timestamp) -> Result<Handle, EngineError> {
        let handle = self.0.engine.armed_as(&parsed::<E::Handle>(handle)?, answer_by);
        written(&handle)
            .map_err(|error| EngineError::refused(Cause::NeedsOperator, error.to_string()))
    }

    fn arm<'a>(
        &'a self,
        lease: LeaseId,
        handle: &'a Handle,
        secret: &'a Intent,
        answer_by: Timestamp,
    ) -> Pending<'a, Result<Account, EngineError>> {
        Box::pin(async move {
            let handle = parsed::<E::Handle>(handle)?;
            self.0.engine.arm(lease, &handle, secret, answer_by).await
        })
    }

    fn in_use<'a>(
        &'a self,
        asked: &'a [(LeaseId, Handle)],
        answer_by: Timestamp,
    ) -> Pending<'a, Vec<Result<InUse, EngineError>>> {
        Box::pin(async move {
            // One that cannot be read hides none of the others.
            let (mut typed, mut unreadable) = (Vec::with_capacity(asked.len()), Vec::new());
            for (lease, handle) in asked {
                match parsed::<E::Handle>(handle) {
                    Ok(handle) => {
                        typed.push((*lease, handle));
                        unreadable.push(None);
                    }
                    Err(error) => unreadable.push(Some(error)),
                }
            }
            let asking = async { Ok(self.0.engine.in_use(&typed, answer_by).await) };
            let answers = self.0.answered(asking, answer_by).await;
            let answers =
                answers.unwrap_or_else(|error| typed.iter().map(|_| Err(error.clone())).collect());
            let mut answers = answers.into_iter();
            let missing =
                || Err(EngineError::uncertain(Cause::Unreachable, "the engine broke off"));
            let each = unreadable.into_iter().map(|error| match error {
                Some(error) => Err(error),
                None => answers.next().unwrap_or_else(missing),
            });
            each.collect()
        })
    }

    fn deniable(
        &self,
        role: Option<RoleRef<'_>>,
        handle: &Handle,
    ) -> Result<Option<Deniable<Handle>>, EngineError> {
        // A role that no longer parses leaves what the handle says.
        let role = role.and_then(|role| self.0.typed_role(role).ok());
        let Some(typed) = E::deniable(role.as_deref(), &parsed::<E::Handle>(handle)?) else {
            return Ok(None);
        };
        let reached_by = written(&typed.reached_by)
            .map_err(|error| EngineError::refused(Cause::NeedsOperator, error.to_string()))?;
        let Deniable { denial, name, may_deny_older, .. } = typed;
        Ok(Some(Deniable { denial, reached_by, name, may_deny_older }))
    }

    fn deny<'a>(
        &'a self,
        denial: &'a Denial<Handle>,
        answer_by: Timestamp,
    ) -> Pending<'a, Result<Denied, EngineError>> {
        Box::pin(async move {
            let denial = denial.reached(parsed::<E::Handle>)?;
            self.0.answered(self.0.engine.deny(&denial, answer_by), answer_by).await
        })
    }

    fn standing<'a>(
        &'a self,
        reached_by: &'a Handle,
        answer_by: Timestamp,
    ) -> Pending<'a, Result<Standing, EngineError>> {
        Box::pin(async move {
            let reached_by = parsed::<E::Handle>(reached_by)?;
            self.0.answered(self.0.engine.standing(&reached_by, answer_by), answer_by).await
        })
    }
}

/// A role bound to the line of its target.
#[derive(Debug)]
struct Bound<E: Engine> {
    line: Arc<Inner<E>>,
    role: Arc<E::Role>,
}

impl<E: Engine> Recipe for Bound<E> {
    fn prepare(
        &self,
        naming: &Naming<'_>,
        passwords: &PasswordPolicy,
        chance: &dyn Chance,
    ) -> Result<Box<dyn Drafted>, PrepareError> {
        let (typed, draft) = self.line.engine.prepare(&self.role, naming, passwords, chance)?;
        let handle = written(&typed)?;
        let (line, role) = (Arc::clone(&self.line), Arc::clone(&self.role));
        Ok(Box::new(OneDraft { line, role, lease: naming.lease, handle, typed, draft }))
    }

    fn choose(&self, said: &Fields) -> Result<Option<Chosen>, PrepareError> {
        let Some(Choice { role, own_end }) = E::choose(&self.role, said)? else { return Ok(None) };
        let bound = Self { line: Arc::clone(&self.line), role: Arc::new(role) };
        Ok(Some((Arc::new(bound), own_end)))
    }
}

/// The one implementation of [`Drafted`].
struct OneDraft<E: Engine> {
    line: Arc<Inner<E>>,
    role: Arc<E::Role>,
    lease: LeaseId,
    handle: Handle,
    typed: E::Handle,
    draft: E::Draft,
}

impl<E: Engine> Drafted for OneDraft<E> {
    fn handle(&self) -> &Handle {
        &self.handle
    }

    fn derives_for_long(&self) -> bool {
        self.line.engine.derives_for_long(&self.role)
    }

    fn derive(&mut self) {
        self.line.engine.derive(&self.role, &mut self.draft);
    }

    fn issue(
        self: Box<Self>,
        lapses_at: Timestamp,
        issue_by: Timestamp,
    ) -> Pending<'static, Result<Secret, EngineError>> {
        let Self { line, role, lease, typed, draft, .. } = *self;
        let sharing = line.engine.sharing(&role, &typed);
        let issue = Issue { lease, handle: typed, draft: Draft(draft), role, lapses_at, issue_by };
        line.ask(Verb::Issue, issue_by, |waiting, answer| {
            waiting.join_issue(issue, sharing, answer);
        })
    }
}

fn parsed<H: DeserializeOwned>(handle: &Handle) -> Result<H, EngineError> {
    serde_json::from_str(handle.0.get()).map_err(|error| {
        let message = format!("the lease's handle cannot be read: {error}");
        EngineError::refused(Cause::NeedsOperator, message)
    })
}

fn written<H: serde::Serialize>(handle: &H) -> Result<Handle, PrepareError> {
    serde_json::value::to_raw_value(handle)
        .map(Handle)
        .map_err(|error| PrepareError::Role(format!("the handle cannot be written down: {error}")))
}
