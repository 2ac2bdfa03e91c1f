//! Refuses credentials that nothing ends before their time, until they end by themselves.
//!
//! What refuses them stands at the target, is shared, and is always written whole, from one record in the store
//! ([`StandingDenial`]). Whoever writes takes the record first, by its revision: what is to be in it is durable before the
//! target is asked, no two processes write at once, and what is added meanwhile waits. Within a process one writes for
//! all that wait. A lease is what drives it: each whose credential is refused is kept until that has ended, and ends only
//! once it is out of the denial again; so a crash at any instant leaves leases that the sweep finds, and they write.
//!
//! **Invariant:** while a lease's credential lives and is told to be refused, every denial that is written refuses it, and
//! so does the last one that can land.

use super::Broker;
use super::lanes::Lane;
use crate::denial::{Asked, StandingDenial};
use crate::engine::denial::Denied;
use crate::engine::erased::{OpenTarget, RoleRef};
use crate::engine::{Cause as Failure, EngineError};
use crate::lease::{Cause, Lease, LeaseState};
use crate::limits::{CONFLICT_TRIES, DENIAL_KEPT, DENIAL_READ_EVERY, DENY_WITHIN, RETRY_FIRST};
use crate::store::StoreError;
use crate::store::records::Found;
use crate::time::Timestamp;
use futures_channel::oneshot;
use futures_util::future::{Either, select};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The denials that this process has written, by name.
#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<BTreeMap<String, Arc<Desk>>>);

/// Where one denial is written.
#[derive(Debug, Default)]
struct Desk {
    waiting: Mutex<Vec<Waiting>>,
    /// Held by whoever writes, for all that wait and reach it by the same way.
    turn: futures_util::lock::Mutex<()>,
    /// When this process last read what stands at the target.
    read_at: Mutex<Option<Timestamp>>,
}

/// Somebody who waits.
#[derive(Debug)]
struct Waiting {
    /// At which target. Where one's administrator may not write, or one's role says by mistake who does, that is told to
    /// nobody else.
    lane: Lane,
    asked: Asked,
    tell: Tell,
}

impl Waiting {
    fn goes_with(&self, lane: Lane, asked: &Asked) -> bool {
        (self.lane, &self.asked.deniable.reached_by) == (lane, &asked.deniable.reached_by)
    }
}

impl Desk {
    /// Whether it is not known any more what stands at the target: somebody else may have altered it.
    fn is_to_be_read(&self, now: Timestamp) -> bool {
        self.read_at.lock().is_none_or(|at| now.since(at) >= DENIAL_READ_EVERY || now < at)
    }
}

/// Where somebody who waits is told what came of writing.
type Tell = oneshot::Sender<Result<Came, EngineError>>;

/// What came of writing.
#[derive(Clone, Debug)]
struct Came {
    /// The denial as it is now; `None` if there is none any more.
    known: Option<StandingDenial>,
    /// Why those are not in it that are not.
    full: Option<String>,
}

/// What became of one write.
enum Wrote {
    As(Option<StandingDenial>),
    Full(String),
    /// Somebody else was first.
    Conflict,
}

/// A credential is refused until it has ended.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    why: String,
    /// Whether that is more than whoever asked will expect.
    is_remarkable: bool,
    look_at: Timestamp,
}

/// Why a lease goes on.
#[derive(Clone, Debug)]
pub(super) enum NotOver {
    /// Its credential is refused, and has not ended.
    Denied(Refusal),
    /// The attempt failed.
    Failed(EngineError),
}

impl From<EngineError> for NotOver {
    fn from(error: EngineError) -> Self {
        Self::Failed(error)
    }
}

impl Broker {
    /// Sees that the credential of a lease is refused for as long as it lives, and by nothing of ours any longer.
    /// `None` if it cannot be, or need not be. `there` is the time at the target, by which it ends.
    pub(super) async fn deny(
        &self,
        open: &dyn OpenTarget,
        lease: &Lease,
        role: Option<RoleRef<'_>>,
        there: Timestamp,
    ) -> Result<Option<Refusal>, EngineError> {
        if nobody_was_told(lease) {
            return Ok(None);
        }
        let Some(deniable) = open.deniable(role, lease.handle())? else { return Ok(None) };
        let now = self.clock.now();
        let asked = Asked::of(lease, deniable);
        let known = self.records.denial(&asked.deniable.denial).await.map_err(unstored)?;
        let known = known.map(|found| found.record);
        let lives = there < asked.until;
        let is_due = match &known {
            None => lives,
            // Whatever another process writes, what is refused already stays so.
            Some(known) if lives => {
                let is_due = known.is_due(there) && !known.is_written_by_another(self.boot, now);
                known.refuses(&asked).is_none() || is_due
            }
            Some(known) => known.concerns(&asked) && known.is_due(there),
        };
        let desk = self.desk(&asked);
        let is_look = !is_due && lives && desk.is_to_be_read(now);
        let came = if is_due || is_look {
            let place = lease.place();
            let lane = (place.target, place.generation);
            let came = self.ask_to_deny(open, &desk, lane, &asked, there).await;
            self.lanes.note(place, &came.as_ref().map(|_| ()).map_err(Clone::clone), now);
            // What is known is not less for it that nobody could look.
            if is_look { came.unwrap_or(Came { known, full: None }) } else { came? }
        } else {
            Came { known, full: None }
        };
        if lives {
            refusal(&asked, came, now, there).map(Some)
        } else {
            is_out(&asked, came).map(|()| None)
        }
    }

    fn desk(&self, asked: &Asked) -> Arc<Desk> {
        Arc::clone(self.denials.0.lock().entry(asked.deniable.denial.clone()).or_default())
    }

    /// Writes a denial anew with one more, or waits for whoever does.
    async fn ask_to_deny(
        &self,
        open: &dyn OpenTarget,
        desk: &Desk,
        lane: Lane,
        asked: &Asked,
        there: Timestamp,
    ) -> Result<Came, EngineError> {
        let (tell, told) = oneshot::channel();
        desk.waiting.lock().push(Waiting { lane, asked: asked.clone(), tell });
        let mut told = match select(told, desk.turn.lock()).await {
            Either::Left((came, _)) => return came.unwrap_or_else(|_| Err(broke_off())),
            Either::Right((_turn, mut told)) => {
                if let Ok(Some(came)) = told.try_recv() {
                    return came;
                }
                let all = std::mem::take(&mut *desk.waiting.lock());
                let (ours, others): (Vec<_>, Vec<_>) =
                    all.into_iter().partition(|one| one.goes_with(lane, asked));
                desk.waiting.lock().extend(others);
                let all = ours.iter().map(|one| one.asked.clone()).collect();
                let came = self.read_and_write_denial(open, desk, asked, all, there).await;
                for one in ours {
                    // Whoever does not wait any more is asked again by the sweep.
                    let _ = one.tell.send(came.clone());
                }
                told
            }
        };
        told.try_recv().ok().flatten().unwrap_or_else(|| Err(broke_off()))
    }

    async fn read_and_write_denial(
        &self,
        open: &dyn OpenTarget,
        desk: &Desk,
        asked: &Asked,
        all: Vec<Asked>,
        there: Timestamp,
    ) -> Result<Came, EngineError> {
        if desk.is_to_be_read(self.clock.now()) {
            self.take_up_denial(open, asked).await?;
            *desk.read_at.lock() = Some(self.clock.now());
        }
        self.write_denial(open, asked, all, there).await
    }

    /// Takes into the record what a denial is found to refuse and the store does not know of: it may be made of a backup
    /// that is older. What is in a history has ended. What it does not refuse any more, since somebody else has altered
    /// it, is written again.
    async fn take_up_denial(&self, open: &dyn OpenTarget, one: &Asked) -> Result<(), EngineError> {
        let (name, by) = (&one.deniable.denial, &one.deniable.reached_by);
        let stands = open.standing(by, self.clock.now().plus(DENY_WITHIN)).await?;
        let was = self.denial_to_write(name).await?;
        let now = self.clock.now();
        let mut found = Vec::new();
        for name in &stands.names {
            let ids = self.ids_in(name).await.map_err(unstored)?;
            let Some(id) = ids.into_iter().next() else { continue };
            let lease = self.records.lease(id).await.map_err(unstored)?;
            let is_over = self.records.history(id).await.map_err(unstored)?.is_some();
            let until = lease.map(|lease| lease.record.term().lapses_at());
            let until = until.unwrap_or(now.plus(DENIAL_KEPT));
            found.extend((!is_over).then_some((id, name.clone(), until)));
        }
        let record = was.as_ref().map(|was| was.record.clone());
        let before = record.unwrap_or_else(|| StandingDenial::new(by.clone()));
        let mut after = before.clone().with_found(found).without_undone(&stands);
        if after.is_due(now) && !before.is_due(now) {
            tracing::warn!(
                denial = %one.deniable.denial,
                "somebody else has altered what refuses credentials; it is written again"
            );
        }
        if let Some(than) = stands.older_than {
            after = after.with_older_found(than, now.plus(DENIAL_KEPT));
        }
        if after == before {
            return Ok(());
        }
        let revision = was.map(|was| was.revision);
        let kept = self.records.keep_denial(name, revision, Some(&after)).await;
        kept.map(|_| ()).map_err(unstored)
    }

    /// Writes a denial anew, with as many more as it has room for, and reaches it as one of them says.
    async fn write_denial(
        &self,
        open: &dyn OpenTarget,
        one: &Asked,
        all: Vec<Asked>,
        there: Timestamp,
    ) -> Result<Came, EngineError> {
        let (name, by) = (one.deniable.denial.as_str(), &one.deniable.reached_by);
        let mut left: Vec<_> = all.into_iter().filter(|asked| there < asked.until).collect();
        let (mut at_once, mut sheds, mut conflicts) = (left.len(), false, 0_usize);
        loop {
            let was = self.denial_to_write(name).await?;
            let base = was.as_ref().map(|was| was.record.clone());
            let base = base.unwrap_or_else(|| StandingDenial::new(by.clone())).without_ended(there);
            let shed = base.clone().without_unwritten();
            let base = shed.clone().filter(|_| sheds).unwrap_or(base);
            let wanted = base.with(left.get(..at_once).unwrap_or_default());
            let as_it_is = was.as_ref().map_or(wanted.is_over(), |was| was.record == wanted);
            let wrote = if as_it_is && !wanted.is_due(there) {
                Wrote::As(was.map(|was| was.record))
            } else {
                self.write_once(open, name, was.as_ref(), wanted.reached_by(by)).await?
            };
            match wrote {
                Wrote::As(known) => {
                    left.drain(..at_once);
                    at_once = at_once.min(left.len());
                    if left.is_empty() {
                        return Ok(Came { known, full: None });
                    }
                }
                Wrote::Conflict if conflicts < CONFLICT_TRIES => {
                    conflicts = conflicts.saturating_add(1);
                }
                Wrote::Conflict => return Err(unstored(StoreError::Conflict)),
                // What a process has left that died may be too much; whoever asked for it asks again.
                Wrote::Full(_) if !sheds && shed.is_some() => sheds = true,
                Wrote::Full(_) if at_once > 1 => at_once = at_once.div_ceil(2),
                Wrote::Full(why) => return self.deny_older(open, name, &left, why).await,
            }
        }
    }

    /// There is no room for another name: refuses all that are as old, if that is wanted.
    async fn deny_older(
        &self,
        open: &dyn OpenTarget,
        name: &str,
        left: &[Asked],
        why: String,
    ) -> Result<Came, EngineError> {
        let was = self.denial_to_write(name).await?;
        let wanted = left.iter().find(|asked| asked.deniable.may_deny_older).map(|one| {
            let base = was.as_ref().map(|was| was.record.clone());
            let by = &one.deniable.reached_by;
            let base = base.unwrap_or_else(|| StandingDenial::new(by.clone()));
            base.reached_by(by).with_older(left, self.clock.now())
        });
        let Some(wanted) = wanted else {
            return Ok(Came { known: was.map(|was| was.record), full: Some(why) });
        };
        match self.write_once(open, name, was.as_ref(), wanted).await? {
            Wrote::As(known) => {
                tracing::warn!(denial = name, "a denial is full; all that is older is refused");
                Ok(Came { known, full: None })
            }
            Wrote::Full(why) => Ok(Came { known: was.map(|was| was.record), full: Some(why) }),
            Wrote::Conflict => Err(unstored(StoreError::Conflict)),
        }
    }

    /// Returns a denial that this process may write now.
    async fn denial_to_write(
        &self,
        name: &str,
    ) -> Result<Option<Found<StandingDenial>>, EngineError> {
        let was = self.records.denial(name).await.map_err(unstored)?;
        let now = self.clock.now();
        if was.as_ref().is_some_and(|was| was.record.is_written_by_another(self.boot, now)) {
            let why = "another process writes what refuses it; it is looked at again";
            return Err(EngineError::refused(Failure::Contended, why));
        }
        Ok(was)
    }

    /// Takes the turn, asks the target, and keeps what came of it.
    async fn write_once(
        &self,
        open: &dyn OpenTarget,
        name: &str,
        was: Option<&Found<StandingDenial>>,
        wanted: StandingDenial,
    ) -> Result<Wrote, EngineError> {
        let now = self.clock.now();
        let begun = wanted.begun(self.boot, now);
        let revision = was.map(|was| was.revision);
        let begun_at = match self.records.keep_denial(name, revision, Some(&begun)).await {
            Ok(at) => Some(at),
            Err(StoreError::Conflict) => return Ok(Wrote::Conflict),
            Err(error) => return Err(unstored(error)),
        };
        let refused = match open.deny(&begun.at_target(), now.plus(DENY_WITHIN)).await {
            Ok(Denied::Written) => {
                let known = Some(begun.written()).filter(|it| !it.is_over());
                let kept = self.records.keep_denial(name, begun_at, known.as_ref()).await;
                return kept.map(|_| Wrote::As(known)).map_err(unstored);
            }
            Ok(Denied::Full(why)) => Ok(Wrote::Full(why)),
            Err(error @ EngineError::Refused(_)) => Err(error),
            // Whoever comes next takes this write for one that may still land.
            Err(error @ EngineError::Uncertain(_)) => return Err(error),
        };
        let was = was.map(|was| &was.record);
        if !was.is_some_and(StandingDenial::is_begun) {
            // It is as it was, and that is known.
            self.records.keep_denial(name, begun_at, was).await.map_err(unstored)?;
        }
        refused
    }

    /// Returns the denials that refuse credentials of a target, or may: whose are refused for being old is not known.
    pub(super) async fn denials_of(&self, lane: Lane) -> Result<Vec<String>, StoreError> {
        let mut denials = Vec::new();
        for (name, denial) in self.records.denials().await? {
            let mut is_its = denial.refuses_older();
            for id in denial.leases() {
                let lease = self.records.lease(id).await?;
                is_its |= lease.is_some_and(|lease| {
                    let place = lease.record.place();
                    (place.target, place.generation) == lane
                });
            }
            denials.extend(is_its.then_some(name));
        }
        Ok(denials)
    }

    /// Keeps the lease until its credential has ended. Returns what whoever asked is to be told.
    pub(super) async fn note_denied(
        &self,
        claimed: &Found<Lease>,
        refusal: Refusal,
    ) -> Option<String> {
        let Refusal { why, is_remarkable, look_at } = refusal;
        let lease = self.catalog().wire_id(claimed.record.place(), claimed.record.id());
        let is_known = match claimed.record.state() {
            LeaseState::Held => false,
            LeaseState::Revoking(revoking) => revoking.error.as_ref() == Some(&why),
        };
        if !is_known {
            tracing::info!(%lease, %why, "a credential is refused until it ends by itself");
        }
        let denied = claimed.record.clone().denied(why.clone(), look_at);
        if let Err(error) = self.keep_lease(claimed, &denied).await {
            tracing::warn!(%lease, %error, "that a credential is refused could not be stored; it is looked at again");
        }
        is_remarkable.then_some(why)
    }
}

/// Whether nobody has the secret of a lease.
fn nobody_was_told(lease: &Lease) -> bool {
    match lease.state() {
        LeaseState::Held => false,
        LeaseState::Revoking(revoking) => {
            matches!(revoking.cause, Cause::IssueFailed | Cause::NeverMade)
        }
    }
}

/// Says that a credential is refused, if it is.
fn refusal(
    asked: &Asked,
    came: Came,
    now: Timestamp,
    there: Timestamp,
) -> Result<Refusal, EngineError> {
    let until = asked.until;
    let ends_at = now.plus(until.since(there));
    let refused = came.known.as_ref().and_then(|known| known.refuses(asked));
    let Some(as_older) = refused else {
        return Err(match came.full {
            Some(why) => EngineError::refused(Failure::Lives(ends_at), why),
            None => unstored(StoreError::Conflict),
        });
    };
    let doubt = came.known.and_then(|known| known.doubtful_until());
    let mut why = format!(
        "its target refuses it until it ends by itself, by {}; its lease is kept until then",
        until.rfc3339()
    );
    if as_older {
        why.push_str(". there was no room for its name, so all that is as old is refused with it");
    }
    if let Some(at) = doubt {
        let again = format!(
            ". an earlier answer of the target was lost, and may undo this until {}: it is written again then",
            at.rfc3339()
        );
        why.push_str(&again);
    }
    // It is read at its target meanwhile, for as long as it refuses anybody.
    let look_at = doubt.map_or(ends_at, |at| at.min(ends_at)).min(now.plus(DENIAL_READ_EVERY));
    let look_at = look_at.max(now.plus(RETRY_FIRST));
    Ok(Refusal { why, is_remarkable: as_older || doubt.is_some(), look_at })
}

/// Sees that nothing at the target is about a credential that has ended.
fn is_out(asked: &Asked, came: Came) -> Result<(), EngineError> {
    let doubt = came.known.filter(|known| known.concerns(asked));
    match doubt.and_then(|known| known.doubtful_until()) {
        None => Ok(()),
        Some(at) => {
            let why = format!(
                "it has ended; what refused it is taken away after {}, when no earlier write of it can land any more",
                at.rfc3339()
            );
            Err(EngineError::refused(Failure::Contended, why))
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
fn unstored(error: StoreError) -> EngineError {
    EngineError::refused(Failure::Contended, format!("what refuses it could not be kept: {error}"))
}

fn broke_off() -> EngineError {
    EngineError::uncertain(Failure::Unreachable, "writing what refuses it broke off")
}
