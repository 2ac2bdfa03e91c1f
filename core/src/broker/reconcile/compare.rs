//! What differs between a target and the leases. Changes nothing.

use super::{ReconcileError, rights};
use crate::broker::Broker;
use crate::engine::erased::Listed;
use crate::ids::LeaseId;
use crate::lease::{Lease, LeaseState};
use crate::limits::SETTLED_WITHIN;
use crate::store::StoreError;
use crate::store::mounts::Target;
use crate::store::records::Found;
use crate::time::Timestamp;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

/// How far the end that a target tells may be beyond its lease's: two clocks, and a renewal on its way.
const ENDS_APART: Duration = Duration::from_mins(1);
/// How long an issue may take from its decision until it is known to be in flight.
const JUST_NOW: Duration = Duration::from_secs(1);
/// For how long a revocation may go on before it is told of: most are over within a second.
const REVOKES_FOR: Duration = Duration::from_mins(2);

/// Where a target and the leases differed.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// When the target was listed.
    pub at: Timestamp,
    /// Credentials that bear our mark.
    pub listed: usize,
    /// Credentials that were issued too lately to be judged.
    pub young: usize,
    /// What differed.
    pub differences: Vec<Difference>,
    /// Roles of the target that nobody has seen work as they are now.
    pub unproven: Vec<String>,
}

/// One credential that is not as its lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What kind of difference.
    pub kind: Kind,
    /// The lease that its mark names.
    pub lease: LeaseId,
    /// What it is called.
    pub name: String,
    /// The role that it was made by, if that is known.
    pub role: Option<String>,
    /// What is not as it should be; for people.
    pub why: Vec<String>,
}

/// What may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It bears our mark, was made by this installation, and is on no lease.
    Orphan,
    /// Its lease was ended when its target was abandoned, and it is there all the same.
    Abandoned,
    /// It bears our mark, but nothing shows that this installation made it. It is never touched.
    LookAlike,
    /// It is lent, and not there.
    Missing,
    /// It is lent, and somebody has changed what it may do, or when it ends.
    Altered,
    /// It has been taken from its holder for a while, and may log in all the same.
    Stuck,
}

impl Kind {
    /// All there are.
    pub const ALL: [Self; 6] =
        [Self::Orphan, Self::Abandoned, Self::LookAlike, Self::Missing, Self::Altered, Self::Stuck];

    /// Returns what operators call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Orphan => "orphan",
            Self::Abandoned => "abandoned",
            Self::LookAlike => "look_alike",
            Self::Missing => "missing",
            Self::Altered => "altered",
            Self::Stuck => "stuck",
        }
    }

    /// Returns the kind that operators call so.
    #[must_use]
    pub fn called(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Report {
    /// Returns how many differences of a kind there are.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.differences.iter().filter(|one| one.kind == kind).count()
    }

    /// Returns how many credentials are there or should be.
    #[must_use]
    pub fn all(&self) -> usize {
        self.listed.saturating_add(self.count(Kind::Missing))
    }
}

/// A comparison that is being made.
struct Comparison<'a> {
    broker: &'a Broker,
    target: &'a Target,
    /// Issues that had not been answered when the listing began.
    in_flight: &'a HashSet<LeaseId>,
    report: Report,
    /// What the credentials of each role may do, of those that were made since it was written last.
    rights: BTreeMap<String, Vec<(&'a Listed, Found<Lease>)>>,
}

impl Broker {
    /// Compares a target with the leases. Lists the target first and looks each name up afterwards.
    pub(super) async fn compare(&self, target: &Found<Target>) -> Result<Report, ReconcileError> {
        Ok(self.listed_and_compared(target).await?.1)
    }

    /// The same, with what was listed.
    pub(super) async fn listed_and_compared(
        &self,
        target: &Found<Target>,
    ) -> Result<(Vec<Listed>, Report), ReconcileError> {
        let at = self.clock.now();
        let in_flight = self.issuing.all();
        let listed = self.list_target(target).await?;
        let mut comparison = Comparison {
            broker: self,
            target: &target.record,
            in_flight: &in_flight,
            report: Report { at, listed: listed.len(), ..Report::default() },
            rights: BTreeMap::new(),
        };
        for credential in &listed {
            comparison.look_up(credential).await?;
        }
        comparison.compare_rights().await?;
        comparison.look_for_missing(&listed).await?;
        comparison.look_for_unproven().await?;
        let report = comparison.report;
        Ok((listed, report))
    }

    /// Whether this installation is known to have made a lease: its history says so, or its id does.
    pub(in crate::broker) async fn has_made(&self, id: LeaseId) -> Result<bool, StoreError> {
        Ok(self.lease_ids.made(id) || self.records.history(id).await?.is_some())
    }
}

impl<'a> Comparison<'a> {
    /// Looks up the lease of one credential.
    async fn look_up(&mut self, listed: &'a Listed) -> Result<(), StoreError> {
        let Some(lease) = self.broker.records.lease(listed.lease).await? else {
            return self.without_lease(listed).await;
        };
        let place = lease.record.place();
        if (place.target, place.generation) != (self.target.id, self.target.generation) {
            let why = "its lease is at another identity of this target; a copy of that server bears the same marks";
            self.differs(Kind::LookAlike, listed, vec![why.to_owned()]);
            return Ok(());
        }
        let (name, of_lease) = (listed.handle.name(), lease.record.handle().name());
        if name != of_lease {
            let why = format!("it bears the mark of the lease of `{of_lease}`");
            self.differs(Kind::LookAlike, listed, vec![why]);
            return Ok(());
        }
        match lease.record.state() {
            LeaseState::Held => self.of_held(listed, lease),
            LeaseState::Revoking(revoking) => {
                let lasts = self.report.at.since(revoking.since);
                if listed.may_log_in && lasts > REVOKES_FOR {
                    let mut why = vec![format!("it is being revoked for {} s", lasts.as_secs())];
                    why.extend(revoking.error.clone());
                    let role = lease.record.place().role.clone();
                    self.report.differences.push(Difference {
                        role: Some(role),
                        ..difference(Kind::Stuck, listed, why)
                    });
                }
            }
        }
        Ok(())
    }

    async fn without_lease(&mut self, listed: &Listed) -> Result<(), StoreError> {
        let history = self.broker.records.history(listed.lease).await?;
        // One that was revoked since it was listed is gone.
        if history.as_ref().is_some_and(|gone| gone.record.settled_at >= self.report.at) {
            return Ok(());
        }
        let is_young = listed.lease.made_at().plus(SETTLED_WITHIN) > self.report.at;
        if let Some(gone) = history.as_ref().filter(|gone| gone.record.abandoned) {
            let place = gone.record.lease.place();
            let catalog = self.broker.catalog();
            let said = catalog.abandonment(place.target, place.generation);
            let said = said.map_or_else(String::new, |said| {
                format!(" {} abandoned its target then: {}", said.by, said.reason)
            });
            let ended_at = gone.record.settled_at.rfc3339();
            let why = format!("its lease ended at {ended_at}, and nobody saw it gone.{said}");
            self.differs(Kind::Abandoned, listed, vec![why]);
        } else if let Some(gone) = history {
            let settled_at = gone.record.settled_at.rfc3339();
            let why = format!("its lease ended at {settled_at}, when it was seen to be gone");
            self.differs(Kind::Orphan, listed, vec![why]);
        } else if !self.broker.lease_ids.made(listed.lease) {
            let why = "it bears our mark, with an id that this installation did not make";
            self.differs(Kind::LookAlike, listed, vec![why.to_owned()]);
        } else if is_young {
            self.report.young = self.report.young.saturating_add(1);
        } else {
            self.differs(Kind::Orphan, listed, vec!["it is on no lease".to_owned()]);
        }
        Ok(())
    }

    /// Looks at what its target tells of a credential that is lent.
    fn of_held(&mut self, listed: &'a Listed, lease: Found<Lease>) {
        // Where it takes several steps to make one, it may have been listed amid them.
        if !self.was_there(&lease.record) {
            return;
        }
        let mut why = Vec::new();
        if !listed.may_log_in {
            why.push("it may not log in".to_owned());
        }
        let lapses_at = lease.record.term().lapses_at();
        if let Some(end) = listed.lapses_at.filter(|end| end.since(lapses_at) > ENDS_APART) {
            let (end, lapses_at) = (end.rfc3339(), lapses_at.rfc3339());
            why.push(format!("its own end is {end}, past that of its lease, {lapses_at}"));
        }
        if !why.is_empty() {
            let role = Some(lease.record.place().role.clone());
            self.report
                .differences
                .push(Difference { role, ..difference(Kind::Altered, listed, why) });
            return;
        }
        let catalog = self.broker.catalog();
        let role = catalog.role_of(lease.record.place());
        if role.is_some_and(|role| lease.record.issued_at() >= role.record.written_at) {
            let alike = self.rights.entry(lease.record.place().role.clone()).or_default();
            alike.push((listed, lease));
        }
    }

    /// Looks for credentials that may do other things than the one that their role was rehearsed with, or than most of
    /// their role.
    async fn compare_rights(&mut self) -> Result<(), StoreError> {
        for (role, credentials) in std::mem::take(&mut self.rights) {
            let by_lease: HashMap<_, _> =
                credentials.iter().map(|(listed, _)| (listed.lease, *listed)).collect();
            let of_role: Vec<_> = credentials
                .iter()
                .map(|(listed, _)| (listed.lease, listed.rights.as_slice()))
                .collect();
            let rehearsed = self.rehearsed(&role).await?;
            for (lease, why) in rights::unusual(&of_role, rehearsed.as_deref()) {
                let Some(listed) = by_lease.get(&lease) else { continue };
                let role = Some(role.clone());
                self.report
                    .differences
                    .push(Difference { role, ..difference(Kind::Altered, listed, why) });
            }
        }
        Ok(())
    }

    /// What a credential of a role might do when it was rehearsed, as the role is now.
    async fn rehearsed(&self, role: &str) -> Result<Option<Vec<String>>, StoreError> {
        let (broker, mount) = (self.broker, self.target.mount);
        let catalog = broker.catalog();
        let role = catalog.mount(mount).and_then(|entry| entry.roles.get(role));
        let Some(role) = role else { return Ok(None) };
        Ok(broker.proven(mount, &role.record).await?.map(|proven| proven.rights))
    }

    /// Looks for leases whose credentials were not listed.
    async fn look_for_missing(&mut self, listed: &[Listed]) -> Result<(), StoreError> {
        let there: HashSet<_> = listed.iter().map(|listed| listed.lease).collect();
        let (target, records) = (self.target, &self.broker.records);
        let (lane, mut after) = ((target.id, target.generation), None);
        while let Some((last, here)) = records.leases_at(target.mount, lane, after.as_ref()).await?
        {
            after = Some(last);
            for id in here.into_iter().filter(|id| !there.contains(id)) {
                let Some(lease) = records.lease(id).await? else { continue };
                let lease = lease.record;
                // What ends by itself is kept nowhere, so that no target lists it.
                let is_listed = !lease.ends_itself();
                if is_listed && lease.state() == &LeaseState::Held && self.was_there(&lease) {
                    self.report.differences.push(Difference {
                        kind: Kind::Missing,
                        lease: lease.id(),
                        name: lease.handle().name(),
                        role: Some(lease.place().role.clone()),
                        why: vec!["it is lent, and not at the target".to_owned()],
                    });
                }
            }
        }
        Ok(())
    }

    /// Looks for roles that were not rehearsed since they were written.
    async fn look_for_unproven(&mut self) -> Result<(), StoreError> {
        let catalog = self.broker.catalog();
        let Some(entry) = catalog.mount(self.target.mount) else { return Ok(()) };
        let roles = entry.roles.values().filter(|role| role.record.target == self.target.name);
        for role in roles {
            if self.broker.proven(self.target.mount, &role.record).await?.is_none() {
                self.report.unproven.push(role.record.name.clone());
            }
        }
        Ok(())
    }

    /// Whether a credential that is lent was at the target when that was listed, unless somebody removed it: its issue
    /// was answered before, or can no longer be on its way.
    fn was_there(&self, lease: &Lease) -> bool {
        let was_answered = self.broker.is_answered(lease)
            && !self.in_flight.contains(&lease.id())
            && lease.issued_at().plus(JUST_NOW) < self.report.at;
        was_answered || lease.issue().settles_at < self.report.at
    }

    fn differs(&mut self, kind: Kind, listed: &Listed, why: Vec<String>) {
        self.report.differences.push(difference(kind, listed, why));
    }
}

fn difference(kind: Kind, listed: &Listed, why: Vec<String>) -> Difference {
    Difference { kind, lease: listed.lease, name: listed.handle.name(), role: None, why }
}
