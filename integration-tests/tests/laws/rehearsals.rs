//! Rehearsals: what they show of a role that works and of one that does not, and what they leave behind.

use super::HOUR;
use futures_util::future::{join, join_all};
use leasehold_core::broker::{Act, Rehearsal, RehearseError};
use leasehold_integration_tests::world::target::{Mood, SimulatedTarget};
use leasehold_integration_tests::world::{ROOT, World, request};
use std::sync::Arc;

const ROLE: (&str, &str) = ("database/", "app");

async fn world() -> (World, Arc<SimulatedTarget>) {
    let world = World::new().await;
    let target = world.target("app", "10h", "24h").await;
    (world, target)
}

async fn rehearse(world: &World) -> Rehearsal {
    world.broker().rehearse(&request(ROOT), ROLE).await.unwrap()
}

fn acts(rehearsal: &Rehearsal) -> Vec<Act> {
    rehearsal.steps.iter().map(|step| step.act).collect()
}

async fn is_proven(world: &World) -> bool {
    let compared = world.broker().reconcile(&request(ROOT), ROLE.0, "app").await.unwrap();
    compared.report.unproven.is_empty()
}

#[tokio::test(start_paused = true)]
async fn a_role_that_works_is_seen_to_until_it_is_written_anew() {
    let (world, target) = world().await;
    assert!(!is_proven(&world).await);
    let rehearsal = rehearse(&world).await;
    assert_eq!(rehearsal.failed(), None, "{rehearsal:?}");
    let all = [Act::Issue, Act::LogIn, Act::List, Act::Revoke, Act::Dead, Act::Gone];
    assert_eq!(acts(&rehearsal), all);
    assert_eq!((target.credentials().len(), world.leases()), (0, 0), "nothing is left");
    assert!(is_proven(&world).await);
    world.restart().await;
    assert!(is_proven(&world).await);
    let last = world.broker().last_rehearsal(&request(ROOT), ROLE).await.unwrap();
    assert_eq!(last.failed, None);
    world.pass(HOUR).await;
    world.role("app", "app", "1h", "24h").await;
    assert!(!is_proven(&world).await);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_down_is_told_and_leaves_nothing() {
    let (world, target) = world().await;
    target.mood(Mood::Down);
    let rehearsal = rehearse(&world).await;
    assert_eq!(acts(&rehearsal), [Act::Issue]);
    assert!(rehearsal.failed().unwrap().contains("the target is down"), "{rehearsal:?}");
    target.mood(Mood::Well);
    world.pass(HOUR).await;
    assert!(!is_proven(&world).await);
    assert_eq!(world.leases(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_cannot_be_revoked_is_told_and_goes_later() {
    let (world, target) = world().await;
    target.mood(Mood::RefusingRevocations);
    let rehearsal = rehearse(&world).await;
    assert_eq!(acts(&rehearsal).last(), Some(&Act::Revoke));
    assert!(rehearsal.failed().unwrap().contains("nothing is removed"), "{rehearsal:?}");
    let last = world.broker().last_rehearsal(&request(ROOT), ROLE).await.unwrap();
    assert!(last.failed.is_some());
    target.mood(Mood::Well);
    world.pass(HOUR).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_role_that_was_never_rehearsed_or_is_not_there_says_so() {
    let (world, _) = world().await;
    let never = world.broker().last_rehearsal(&request(ROOT), ROLE).await.unwrap_err();
    assert!(matches!(never, RehearseError::Never(_)), "{never}");
    let missing = world.broker().rehearse(&request(ROOT), ("database/", "none")).await;
    assert!(matches!(missing, Err(RehearseError::Issue(_))), "{missing:?}");
}

#[tokio::test(start_paused = true)]
async fn one_role_is_rehearsed_by_one_at_a_time() {
    let (world, target) = world().await;
    target.mood(Mood::Slow(std::time::Duration::from_secs(2)));
    let (broker, admin) = (world.broker(), request(ROOT));
    let (one, other) = join(broker.rehearse(&admin, ROLE), broker.rehearse(&admin, ROLE)).await;
    let refused = [one, other].into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert!(matches!(refused[..], [RehearseError::UnderWay(_)]), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_is_refused_while_a_role_is_rehearsed_lets_nobody_else_in() {
    let (world, target) = world().await;
    target.mood(Mood::Slow(std::time::Duration::from_secs(2)));
    let (broker, admin) = (world.broker(), request(ROOT));
    let all = join_all((0..4).map(|_| broker.rehearse(&admin, ROLE))).await;
    let refused = all.into_iter().filter_map(Result::err);
    let under_way = refused.filter(|error| matches!(error, RehearseError::UnderWay(_)));
    assert_eq!(under_way.count(), 3, "one of them rehearses it");
}
