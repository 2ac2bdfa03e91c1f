//! The order in which what waits is served.

use super::Asked;
use super::cost::Cost;
use crate::engine::{Engine, Issue, Renewal, Renewed, Revocation, Sharing};
use crate::limits::{
    BATCH_TIME, ISSUE_BATCH_MAX, REVOKE_BATCH_MAX, REVOKE_BATCH_TIME, REVOKE_BATCH_TIME_ASIDE,
    UNDIVIDED_TIME,
};
use crate::metrics::Verb;
use crate::secret::Secret;
use futures_channel::oneshot;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// All that waits for one target.
#[derive(Debug)]
pub(super) struct Waiting<E: Engine> {
    /// Issues by who may share a batch; the group that has waited longest is first.
    groups: VecDeque<Group<E>>,
    pub(super) renewals: VecDeque<Asked<Renewal<E>, Renewed>>,
    pub(super) revocations: VecDeque<Asked<Revocation<E>, ()>>,
    at_work: usize,
    lane_taken: bool,
    /// How many of those at work revoke.
    revoking: usize,
    turn: Turn,
    costs: VecDeque<(Arc<E::Role>, Cost)>,
    revoke_cost: Cost,
}

#[derive(Debug)]
struct Group<E: Engine> {
    sharing: Sharing,
    members: VecDeque<Asked<Issue<E>, Secret>>,
}

/// Whose turn it is. They alternate, so that neither a storm of lapses nor one of callers starves the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Turn {
    #[default]
    Issues,
    Renewals,
    Revocations,
}

/// A batch to work on.
#[derive(Debug)]
pub(super) enum Job<E: Engine> {
    Issue { members: Vec<Asked<Issue<E>, Secret>>, one_lane: bool },
    Renew(Vec<Asked<Renewal<E>, Renewed>>),
    Revoke(Vec<Asked<Revocation<E>, ()>>),
}

/// How many batches the target works on at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// In all.
    pub(super) connections: usize,
    /// Of revocations.
    pub(super) revocations: usize,
}

/// What a batch takes besides a connection, and gives back once it is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Takes {
    #[default]
    Nothing,
    /// The lane of issues of which only one may be at the target.
    Lane,
    /// A place among the revocations.
    Revocation,
}

/// Roles whose cost is remembered at one target.
const COSTS_MAX: usize = 64;

impl<E: Engine> Default for Waiting<E> {
    fn default() -> Self {
        Self {
            groups: VecDeque::new(),
            renewals: VecDeque::new(),
            revocations: VecDeque::new(),
            at_work: 0,
            lane_taken: false,
            revoking: 0,
            turn: Turn::default(),
            costs: VecDeque::new(),
            revoke_cost: Cost::default(),
        }
    }
}

impl<E: Engine> Job<E> {
    pub(super) fn takes(&self) -> Takes {
        match self {
            Self::Issue { one_lane: true, .. } => Takes::Lane,
            Self::Revoke(_) => Takes::Revocation,
            Self::Issue { one_lane: false, .. } | Self::Renew(_) => Takes::Nothing,
        }
    }

    /// What the target is asked, and for how many.
    pub(super) fn asks(&self) -> (Verb, usize) {
        match self {
            Self::Issue { members, .. } => (Verb::Issue, members.len()),
            Self::Renew(members) => (Verb::Renew, members.len()),
            Self::Revoke(members) => (Verb::Revoke, members.len()),
        }
    }
}

impl<E: Engine> Waiting<E> {
    /// How many questions wait.
    pub(super) fn len(&self) -> usize {
        let issues =
            self.groups.iter().fold(0_usize, |sum, group| sum.saturating_add(group.members.len()));
        issues.saturating_add(self.renewals.len()).saturating_add(self.revocations.len())
    }

    /// Puts an issue to those it may share a batch with.
    pub(super) fn join_issue(
        &mut self,
        issue: Issue<E>,
        sharing: Sharing,
        answer: oneshot::Sender<Result<Secret, crate::engine::EngineError>>,
    ) {
        let shares = |group: &&mut Group<E>| {
            sharing.group.is_some()
                && group.sharing == sharing
                && group
                    .members
                    .front()
                    .is_some_and(|(first, _)| Arc::ptr_eq(&first.role, &issue.role))
        };
        match self.groups.iter_mut().find(shares) {
            Some(group) => group.members.push_back((issue, answer)),
            None => self.groups.push_back(Group { sharing, members: [(issue, answer)].into() }),
        }
    }

    /// A worker starts, if there is a connection and work for it.
    pub(super) fn hire(&mut self, room: Room) -> Option<Job<E>> {
        if self.at_work >= room.connections.max(1) {
            return None;
        }
        let job = self.take(room)?;
        self.at_work = self.at_work.saturating_add(1);
        Some(job)
    }

    /// A worker is done and asks for more; it is dismissed if there is nothing.
    pub(super) fn next_for(&mut self, had: Takes, room: Room) -> Option<Job<E>> {
        self.give_back(had);
        let job = self.take(room);
        if job.is_none() {
            self.dismiss(Takes::Nothing);
        }
        job
    }

    /// A worker leaves.
    pub(super) fn dismiss(&mut self, had: Takes) {
        self.at_work = self.at_work.saturating_sub(1);
        self.give_back(had);
    }

    fn give_back(&mut self, had: Takes) {
        match had {
            Takes::Nothing => {}
            Takes::Lane => self.lane_taken = false,
            Takes::Revocation => self.revoking = self.revoking.saturating_sub(1),
        }
    }

    /// Notes what a batch of issues cost.
    pub(super) fn note_issue(&mut self, role: &Arc<E::Role>, members: usize, took: Duration) {
        if let Some((_, cost)) = self.costs.iter_mut().find(|(known, _)| Arc::ptr_eq(known, role)) {
            cost.note(members, took);
            return;
        }
        let mut cost = Cost::default();
        cost.note(members, took);
        self.costs.push_front((Arc::clone(role), cost));
        self.costs.truncate(COSTS_MAX);
    }

    /// Notes what a batch of revocations cost.
    pub(super) fn note_revoke(&mut self, members: usize, took: Duration) {
        self.revoke_cost.note(members, took);
    }

    /// Forgets questions whose askers have given up: what was not sent is not sent any more.
    fn forget_abandoned(&mut self) {
        for group in &mut self.groups {
            group.members.retain(|(_, answer)| !answer.is_canceled());
        }
        self.groups.retain(|group| !group.members.is_empty());
        self.renewals.retain(|(_, answer)| !answer.is_canceled());
        self.revocations.retain(|(_, answer)| !answer.is_canceled());
    }

    fn take(&mut self, room: Room) -> Option<Job<E>> {
        self.forget_abandoned();
        let free = room.connections.max(1).saturating_sub(self.at_work).max(1);
        for _ in 0..3 {
            let job = match self.turn {
                Turn::Issues => self.take_issues(free),
                Turn::Renewals => self.take_renewals(free),
                Turn::Revocations => self.take_revocations(room),
            };
            self.turn = match self.turn {
                Turn::Issues => Turn::Renewals,
                Turn::Renewals => Turn::Revocations,
                Turn::Revocations => Turn::Issues,
            };
            if job.is_some() {
                return job;
            }
        }
        None
    }

    fn take_issues(&mut self, free: usize) -> Option<Job<E>> {
        let lane_taken = self.lane_taken;
        let at = self.groups.iter().position(|group| !(group.sharing.one_lane && lane_taken))?;
        let mut group = self.groups.remove(at)?;
        let (first, _) = group.members.front()?;
        let cost = self.costs.iter().find(|(role, _)| Arc::ptr_eq(role, &first.role));
        let cost = cost.map(|(_, cost)| *cost).unwrap_or_default();
        let most = cost.members(BATCH_TIME, ISSUE_BATCH_MAX);
        let undivided = cost.members(UNDIVIDED_TIME, ISSUE_BATCH_MAX);
        let share = group.members.len().div_ceil(free).max(undivided).min(group.members.len());
        let members: Vec<_> = group.members.drain(..share.min(most)).collect();
        let one_lane = group.sharing.one_lane;
        self.lane_taken |= one_lane;
        if !group.members.is_empty() {
            self.groups.push_back(group);
        }
        Some(Job::Issue { members, one_lane })
    }

    fn take_renewals(&mut self, free: usize) -> Option<Job<E>> {
        let share = self.renewals.len().div_ceil(free).min(ISSUE_BATCH_MAX);
        (share > 0).then(|| Job::Renew(self.renewals.drain(..share).collect()))
    }

    fn take_revocations(&mut self, room: Room) -> Option<Job<E>> {
        if self.revoking >= room.revocations.max(1) {
            return None;
        }
        // Not divided over the free connections: nobody waits, and one commit for all costs the target less.
        let is_aside = room.revocations < room.connections;
        let time = if is_aside { REVOKE_BATCH_TIME_ASIDE } else { REVOKE_BATCH_TIME };
        let most = self.revoke_cost.members(time, REVOKE_BATCH_MAX);
        let share = self.revocations.len().min(most);
        if share == 0 {
            return None;
        }
        self.revoking = self.revoking.saturating_add(1);
        Some(Job::Revoke(self.revocations.drain(..share).collect()))
    }
}
