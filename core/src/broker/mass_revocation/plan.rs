//! Shows what a revocation would take before it is begun: which credentials, until when, and what each is in use for.
//!
//! Page by page, in the order of the index of leases, so that neither the store nor a target is asked for everything
//! at once; each target is asked once for its leases of a page, beside the others (law 7). Nothing is stored, and
//! nothing is altered anywhere. A target that tells nothing hides no lease: the lease is shown with the reason.

use super::{MassRevocationError, Meant};
use crate::audit::Answer;
use crate::broker::authenticate::Recorded;
use crate::broker::lanes::Lane;
use crate::broker::{Broker, Request};
use crate::engine::in_use::InUse;
use crate::engine::{Cause, EngineError};
use crate::ids::{IdError, LeaseId, MountId};
use crate::lease::{Handle, Lease, LeaseState};
use crate::limits::{PLAN_AWAY, PLAN_WITHIN, READ_CHUNK};
use crate::store::StoreError;
use crate::store::leases::in_role;
use crate::store::mass_revocations::Asked;
use crate::time::Timestamp;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Of what a plan is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanAsked {
    /// Which leases.
    pub of: PlanOf,
    /// After which of them the page begins; with the first where there is none.
    pub after: Option<PlanCursor>,
    /// How many the page has at most.
    pub limit: usize,
}

/// Which leases a plan is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanOf {
    /// Those that a mass revocation would take.
    Many(Asked),
    /// One, by its name on the wire.
    Lease(String),
}

/// The last lease of a page, by which the next one is found whatever became of that lease. It is told as
/// `MOUNT/ROLE/LEASE`, the ids of mount and lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanCursor {
    mount: MountId,
    role: String,
    lease: LeaseId,
}

/// One page of what a revocation would take.
#[derive(Clone, Debug)]
pub struct RevocationPlan {
    /// The leases.
    pub leases: Vec<Planned>,
    /// Where the next page begins, if there is one.
    pub after: Option<PlanCursor>,
    /// Its targets have not all been compared with a store that was restored, and may have more than is shown.
    pub may_have_forgotten: bool,
}

/// One lease that a revocation would take.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its name on the wire.
    pub lease_id: String,
    /// What its credential is called at the target.
    pub name: String,
    /// The target, by mount and name.
    pub target: String,
    /// Until when it works unless it is renewed.
    pub lapses_at: Timestamp,
    /// The whole seconds until then.
    pub seconds_left: u64,
    /// It has been taken from its holder already.
    pub is_revoking: bool,
    /// What it is in use for, or why the target does not tell.
    pub seen: Result<InUse, EngineError>,
    cursor: PlanCursor,
}

impl fmt::Display for PlanOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Many(asked) => asked.fmt(f),
            Self::Lease(id) => f.write_str(id),
        }
    }
}

impl PlanCursor {
    fn at(lease: &Lease) -> Self {
        let place = lease.place();
        Self { mount: place.mount, role: place.role.clone(), lease: lease.id() }
    }

    /// Whether it is in a place that is looked through.
    fn is_in(&self, (mount, role): &(MountId, Option<String>)) -> bool {
        self.mount == *mount && role.as_ref().is_none_or(|role| *role == self.role)
    }
}

impl fmt::Display for PlanCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.mount, self.role, self.lease)
    }
}

impl FromStr for PlanCursor {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (mount, rest) = text.split_once('/').ok_or(IdError)?;
        let (role, lease) = rest.rsplit_once('/').ok_or(IdError)?;
        Ok(Self { mount: mount.parse()?, role: role.to_owned(), lease: lease.parse()? })
    }
}

impl Recorded for RevocationPlan {
    fn recorded(&self) -> Answer {
        Answer::data(Some(serde_json::json!({ "leases": self.leases.len() })))
    }
}

impl Broker {
    /// Shows a page of what a revocation would take.
    pub async fn plan_revocation(
        self: &Arc<Self>,
        request: &Request,
        asked: PlanAsked,
    ) -> Result<RevocationPlan, MassRevocationError> {
        self.served(request, async |_| {
            // Looked at first: the comparison may put leases back in between.
            let may_have_forgotten = self.may_have_forgotten(&asked.of.to_string());
            let (page, mut after) = self.page_of(request, &asked).await?;
            let mut leases = self.look_at_leases(page, asked.after.is_none()).await;
            // What a target had no time for begins the next page. The first is shown as it is, or that would never end.
            let first_late = leases.iter().position(|one| cause(&one.seen) == Some(Cause::TooLate));
            if let Some(at) = first_late.filter(|at| *at > 0) {
                leases.truncate(at);
                after = leases.last().map(|one| one.cursor.clone());
            }
            Ok(RevocationPlan { leases, after, may_have_forgotten })
        })
        .await
    }

    async fn page_of(
        &self,
        request: &Request,
        asked: &PlanAsked,
    ) -> Result<(Vec<Lease>, Option<PlanCursor>), MassRevocationError> {
        let one = match &asked.of {
            PlanOf::Lease(id) => id.clone(),
            PlanOf::Many(many) => match self.meant_by(many).await {
                // For one lease there is no job, but there is a plan.
                Err(MassRevocationError::OneLease(id)) => id,
                // A page before has shown leases of it, and the last of what was left has ended since.
                Err(MassRevocationError::NoSuchPrefix(_) | MassRevocationError::NoTarget(_))
                    if asked.after.is_some() =>
                {
                    return Ok((Vec::new(), None));
                }
                meant => return Ok(self.page_of_many(meant?, asked).await?),
            },
        };
        let lease = self.find_lease(request, &one).await?;
        let lease = lease.ok_or(MassRevocationError::NoLease(one))?;
        Ok((vec![lease.record], None))
    }

    /// Reads the leases of a page, and where the next one begins.
    async fn page_of_many(
        &self,
        Meant { mut places, targets }: Meant,
        asked: &PlanAsked,
    ) -> Result<(Vec<Lease>, Option<PlanCursor>), StoreError> {
        // As the index has them: then whatever is before the cursor was shown.
        places.sort();
        let mut page: Vec<Lease> = Vec::new();
        for place in places {
            let cursor = asked.after.as_ref();
            if cursor.is_some_and(|cursor| place.0 < cursor.mount) {
                continue;
            }
            let cursor = cursor.filter(|cursor| cursor.is_in(&place));
            let mut after = cursor.map(|cursor| in_role(cursor.mount, &cursor.role, cursor.lease));
            let (mount, role) = place;
            loop {
                let chunk = self
                    .records
                    .leases_of_role(mount, role.as_deref(), after.as_ref(), READ_CHUNK)
                    .await?;
                let Some((last, _)) = chunk.last() else { break };
                after = Some(last.clone());
                for (_, placed) in chunk {
                    if !targets.is_empty() && !targets.contains(&placed.target) {
                        continue;
                    }
                    let Some(lease) = self.records.lease(placed.lease).await? else { continue };
                    if page.len() >= asked.limit {
                        let after = page.last().map(PlanCursor::at);
                        return Ok((page, after));
                    }
                    page.push(lease.record);
                }
            }
        }
        Ok((page, None))
    }

    /// Asks each target for its leases of a page. Who begins anew asks all of them; afterwards those that were away a
    /// moment ago are left out.
    async fn look_at_leases(&self, page: Vec<Lease>, anew: bool) -> Vec<Planned> {
        let mut of_lane = BTreeMap::<Lane, Vec<&Lease>>::new();
        for lease in &page {
            let place = lease.place();
            of_lane.entry((place.target, place.generation)).or_default().push(lease);
        }
        let looks = of_lane.iter().map(|(lane, leases)| self.look_at_lane(*lane, leases, anew));
        let mut seen: BTreeMap<_, _> = join_all(looks).await.into_iter().flatten().collect();
        let (catalog, now) = (self.catalog(), self.clock.now());
        let planned = page.iter().map(|lease| {
            let place = lease.place();
            let target = catalog.target(place.target, place.generation);
            let target = target.map(|target| self.target_name(&target.record));
            let unasked = || Err(EngineError::refused(Cause::Unreachable, "it was not asked"));
            Planned {
                lease_id: catalog.wire_id(place, lease.id()),
                name: lease.handle().name(),
                target: target.unwrap_or_else(|| "unknown".to_owned()),
                lapses_at: lease.works_until(),
                seconds_left: lease.works_until().since(now).as_secs(),
                is_revoking: matches!(lease.state(), LeaseState::Revoking(_)),
                seen: seen.remove(&lease.id()).unwrap_or_else(unasked),
                cursor: PlanCursor::at(lease),
            }
        });
        planned.collect()
    }

    async fn look_at_lane(
        &self,
        lane: Lane,
        leases: &[&Lease],
        anew: bool,
    ) -> Vec<(LeaseId, Result<InUse, EngineError>)> {
        let now = self.clock.now();
        let known = self.mass_revocations.away.lock().get(&lane).cloned();
        let known = known.filter(|(until, _)| !anew && now < *until).map(|(_, error)| error);
        let asked: Vec<_> =
            leases.iter().map(|lease| (lease.id(), lease.handle().clone())).collect();
        let answers = match known {
            Some(error) => Err(error),
            None => self.ask_lane(lane, leases, &asked).await,
        };
        let ids = asked.iter().map(|(id, _)| *id);
        match answers {
            Ok(each) => ids.zip(each).collect(),
            Err(error) => ids.map(|id| (id, Err(error.clone()))).collect(),
        }
    }

    /// Asks a target about leases. The error is that of all of them.
    async fn ask_lane(
        &self,
        lane: Lane,
        leases: &[&Lease],
        asked: &[(LeaseId, Handle)],
    ) -> Result<Vec<Result<InUse, EngineError>>, EngineError> {
        let Some(first) = leases.first() else { return Ok(Vec::new()) };
        let open = self.open_target_of(first)?;
        let by = self.clock.now().plus(PLAN_WITHIN);
        let answers = open.in_use(asked, by).await;
        let is_away = |answer: &Result<_, _>| {
            matches!(cause(answer), Some(Cause::Unreachable | Cause::TooLate))
        };
        let mut away = self.mass_revocations.away.lock();
        match answers.first() {
            // It has answered for none of them, and would not for those of the next page.
            Some(Err(error)) if answers.iter().all(is_away) => {
                let error = EngineError::refused(Cause::Unreachable, error.to_string());
                away.insert(lane, (self.clock.now().plus(PLAN_AWAY), error.clone()));
                Err(error)
            }
            Some(_) | None => {
                away.remove(&lane);
                Ok(answers)
            }
        }
    }
}

fn cause(seen: &Result<InUse, EngineError>) -> Option<Cause> {
    seen.as_ref().err().map(|error| error.reason().cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_told_whatever_its_role_is_called() {
        let (mount, lease) = (MountId::from_bytes([1; 16]), LeaseId::from_bytes([2; 16]));
        for role in ["app", "a/b", "", "ü'\"\u{1f511}"] {
            let cursor = PlanCursor { mount, role: role.to_owned(), lease };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for text in ["", "/", "a/b/c", &format!("{mount}/{lease}"), &format!("{mount}/app/x")] {
            assert_eq!(text.parse::<PlanCursor>(), Err(IdError), "{text}");
        }
    }
}
