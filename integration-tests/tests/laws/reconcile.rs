//! What a comparison of a target with the leases finds, and what a repair does and leaves alone.

use super::{HOUR, SECOND, id_of};
use leasehold_core::broker::{
    Compared, DifferenceKind as Kind, ReconcileError, Repair, Repaired, TargetWrite,
};
use leasehold_core::ids::LeaseId;
use leasehold_integration_tests::world::target::{Mood, SimulatedTarget};
use leasehold_integration_tests::world::{ROOT, World, request};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Until whatever was issued can no longer be on its way.
const SETTLED: Duration = Duration::from_secs(61);
const WHERE: (&str, &str) = ("database/", "app");

/// A target with so many credentials that are lent.
async fn lending(number: usize) -> (World, Arc<SimulatedTarget>, Vec<LeaseId>) {
    let world = World::new().await;
    let target = world.target("app", "10h", "24h").await;
    let mut leases = Vec::new();
    for _ in 0..number {
        leases.push(id_of(&world.issue("app").await.unwrap().lease_id));
    }
    world.pass(SETTLED).await;
    (world, target, leases)
}

async fn compared(world: &World) -> Compared {
    world.broker().reconcile(&request(ROOT), WHERE.0, WHERE.1).await.unwrap()
}

/// What was found: the kind and the lease of each.
fn found(compared: &Compared) -> BTreeSet<(Kind, LeaseId)> {
    compared.report.differences.iter().map(|one| (one.kind, one.lease)).collect()
}

fn left(target: &SimulatedTarget) -> BTreeSet<LeaseId> {
    target.credentials().into_keys().collect()
}

async fn repair(
    world: &World,
    compared: &Compared,
    kinds: &[Kind],
    force: bool,
) -> Result<Repaired, ReconcileError> {
    let kinds = kinds.iter().copied().collect();
    let repair = Repair { plan: compared.plan, kinds, force };
    world.broker().repair(&request(ROOT), WHERE, repair).await
}

/// Holds a credential of this installation that no lease is about: its history is forgotten.
async fn orphan(world: &World, target: &SimulatedTarget) -> LeaseId {
    let id = world.broker().new_lease_id();
    target.plant(id, None);
    world.pass(SETTLED).await;
    id
}

#[tokio::test(start_paused = true)]
async fn a_target_that_agrees_has_no_differences() {
    let (world, target, _) = lending(5).await;
    let compared = compared(&world).await;
    assert_eq!((compared.report.listed, compared.report.differences.len()), (5, 0));
    assert_eq!(target.credentials().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_orphan_is_found_and_removed_by_its_plan() {
    let (world, target, leases) = lending(5).await;
    let lost = orphan(&world, &target).await;
    let compared = compared(&world).await;
    assert_eq!(found(&compared), [(Kind::Orphan, lost)].into());
    assert_eq!(target.credentials().len(), 6, "a comparison changes nothing");

    let repaired = repair(&world, &compared, &Kind::USUAL, false).await.unwrap();
    assert_eq!(repaired, Repaired { removed: 1, ..Repaired::default() });
    world.pass(SECOND).await;
    assert_eq!(left(&target), leases.into_iter().collect(), "the living live on");
    assert_eq!(world.leases(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_somebody_else_marked_is_told_and_never_touched() {
    let (world, target, _) = lending(1).await;
    let forged = LeaseId::from_bytes([9; 16]);
    target.plant(forged, None);
    let compared = compared(&world).await;
    assert_eq!(found(&compared), [(Kind::LookAlike, forged)].into());
    let repaired = repair(&world, &compared, &Kind::ALL, true).await.unwrap();
    assert_eq!(repaired, Repaired::default());
    world.pass(HOUR).await;
    assert!(target.credentials().contains_key(&forged));
}

#[tokio::test(start_paused = true)]
async fn what_was_issued_lately_is_not_judged() {
    let (world, target, _) = lending(1).await;
    target.plant(world.broker().new_lease_id(), None);
    let early = compared(&world).await;
    assert_eq!((early.report.young, found(&early).len()), (1, 0));
    world.pass(SETTLED).await;
    assert_eq!(compared(&world).await.report.count(Kind::Orphan), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_credential_is_missing_ends_by_its_plan() {
    let (world, target, leases) = lending(3).await;
    target.forget(leases[1]);
    let compared = compared(&world).await;
    assert_eq!(found(&compared), [(Kind::Missing, leases[1])].into());
    let repaired = repair(&world, &compared, &Kind::USUAL, false).await.unwrap();
    assert_eq!(repaired, Repaired { ended: 1, ..Repaired::default() });
    world.pass(SECOND).await;
    assert_eq!((world.leases(), target.credentials().len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn one_that_may_do_more_than_the_others_of_its_role_is_altered() {
    let (world, target, leases) = lending(5).await;
    target.grant(leases[3], "superuser");
    target.lock(leases[4]);
    let compared = compared(&world).await;
    assert_eq!(found(&compared), [(Kind::Altered, leases[3]), (Kind::Altered, leases[4])].into());
    let why = compared.report.differences.iter().find(|one| one.lease == leases[3]).unwrap();
    assert_eq!((why.role.as_deref(), &why.why[..]), (Some("app"), &["+ superuser".to_owned()][..]));

    // They are lent: without being named they are left alone.
    assert_eq!(repair(&world, &compared, &Kind::USUAL, false).await.unwrap(), Repaired::default());
    let compared = self::compared(&world).await;
    let refused = repair(&world, &compared, &[Kind::Altered], false).await.unwrap_err();
    assert!(matches!(refused, ReconcileError::TooMuch { removes: 2, all: 5 }), "{refused}");
    let repaired = repair(&world, &compared, &[Kind::Altered], true).await.unwrap();
    assert_eq!(repaired, Repaired { removed: 2, ..Repaired::default() });
    world.pass(SECOND).await;
    assert_eq!(left(&target), leases[..3].iter().copied().collect());
}

#[tokio::test(start_paused = true)]
async fn credentials_of_before_a_role_was_written_anew_are_not_held_against_it() {
    let (world, target, old) = lending(3).await;
    world.role("app", "app", "10h", "24h").await;
    for lease in &old {
        target.grant(*lease, "reads what the old recipe granted");
    }
    for _ in 0..4 {
        world.issue("app").await.unwrap();
    }
    world.pass(SETTLED).await;
    assert_eq!(found(&compared(&world).await), BTreeSet::new());
}

#[tokio::test(start_paused = true)]
async fn one_whose_own_end_was_moved_past_its_leases_is_altered() {
    let (world, target, leases) = lending(2).await;
    target.plant(leases[0], Some(world.broker().now().plus(HOUR * 1000)));
    assert_eq!(found(&compared(&world).await), [(Kind::Altered, leases[0])].into());
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_revoked_is_stuck_and_is_tried_again_at_once() {
    let (world, target, leases) = lending(2).await;
    target.mood(Mood::RefusingRevocations);
    let lease_id = format!("database/creds/app/{}", leases[0]);
    let until = leasehold_core::broker::Until::Marked;
    world.broker().revoke(&request(ROOT), &lease_id, until).await.unwrap();
    world.pass(Duration::from_mins(30)).await;
    let compared = compared(&world).await;
    assert_eq!(found(&compared), [(Kind::Stuck, leases[0])].into());
    target.mood(Mood::Well);
    let repaired = repair(&world, &compared, &Kind::USUAL, false).await.unwrap();
    assert_eq!(repaired, Repaired { tried: 1, ..Repaired::default() });
    world.pass(SECOND).await;
    assert_eq!(target.credentials().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_good_for_ten_minutes_and_once() {
    let (world, target, _) = lending(12).await;
    orphan(&world, &target).await;
    let old = compared(&world).await;
    world.pass(Duration::from_mins(10)).await;
    assert_eq!(repair(&world, &old, &Kind::USUAL, false).await, Err(ReconcileError::NoPlan));
    let replaced = compared(&world).await;
    let last = compared(&world).await;
    assert_eq!(repair(&world, &replaced, &Kind::USUAL, false).await, Err(ReconcileError::NoPlan));
    assert_eq!(repair(&world, &last, &Kind::USUAL, false).await.unwrap().removed, 1);
    assert_eq!(repair(&world, &last, &Kind::USUAL, false).await, Err(ReconcileError::NoPlan));
}

#[tokio::test(start_paused = true)]
async fn what_has_changed_since_it_was_shown_is_left_alone() {
    let (world, target, leases) = lending(12).await;
    target.forget(leases[0]);
    let compared = compared(&world).await;
    target.plant(leases[0], None);
    let repaired = repair(&world, &compared, &Kind::USUAL, false).await.unwrap();
    assert_eq!(repaired, Repaired { changed: 1, ..Repaired::default() });
    world.pass(SECOND).await;
    assert_eq!(target.credentials().len(), 12);
}

#[tokio::test(start_paused = true)]
async fn more_than_a_tenth_is_removed_only_by_force() {
    let (world, target, leases) = lending(8).await;
    for _ in 0..2 {
        orphan(&world, &target).await;
    }
    let compared = compared(&world).await;
    let refused = repair(&world, &compared, &Kind::USUAL, false).await.unwrap_err();
    assert!(matches!(refused, ReconcileError::TooMuch { removes: 2, all: 10 }), "{refused}");
    assert_eq!(target.credentials().len(), 10, "nothing was changed");
    assert_eq!(repair(&world, &compared, &Kind::USUAL, true).await.unwrap().removed, 2);
    world.pass(SECOND).await;
    assert_eq!(left(&target), leases.into_iter().collect());
}

/// Writes how often the target is compared, and whether it is repaired then.
async fn every_minute(world: &World, reconcile_repair: bool) {
    let write = TargetWrite {
        mount: "database/".into(),
        name: "app".into(),
        reconcile_period: Some(Duration::from_mins(1)),
        reconcile_repair: Some(reconcile_repair),
        ..TargetWrite::default()
    };
    world.broker().write_target(&request(ROOT), write).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn by_itself_a_target_is_compared_and_repaired_only_where_it_says_so() {
    let (world, target, _) = lending(12).await;
    orphan(&world, &target).await;
    let last = || async {
        let last = world.broker().last_comparison(&request(ROOT), WHERE.0, WHERE.1).await;
        last.map(|last| last.report.count(Kind::Orphan))
    };
    assert!(matches!(last().await, Err(ReconcileError::NotCompared(_))));
    every_minute(&world, false).await;
    world.broker().housekeep().await.unwrap();
    world.pass(SECOND).await;
    assert_eq!(last().await.unwrap(), 1);
    assert_eq!(target.credentials().len(), 13, "it only reports");
    every_minute(&world, true).await;
    world.pass(SETTLED).await;
    world.broker().housekeep().await.unwrap();
    world.pass(SECOND).await;
    assert_eq!(target.credentials().len(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_not_there_cannot_be_compared() {
    let (world, target, _) = lending(1).await;
    let missing = world.broker().reconcile(&request(ROOT), "database/", "none").await;
    assert!(matches!(missing, Err(ReconcileError::NoTarget(_))));
    target.mood(Mood::Down);
    let down = world.broker().reconcile(&request(ROOT), WHERE.0, WHERE.1).await;
    assert!(matches!(down, Err(ReconcileError::Target(_))));
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_has_marked_is_not_adopted_after_a_restore() {
    let (world, target, _) = lending(0).await;
    let backup = world.back_up().await;
    let (ours, forged) = (world.broker().new_lease_id(), LeaseId::from_bytes([9; 16]));
    target.plant(ours, None);
    target.plant(forged, None);
    let world = world.restored(&backup).await;
    world.pass(HOUR).await;
    assert_eq!(target.credentials().into_keys().collect::<Vec<_>>(), [forged]);
    assert_eq!((world.leases(), world.store.count("hold/")), (0, 0));
}
