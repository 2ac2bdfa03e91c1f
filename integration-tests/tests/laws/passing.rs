//! Credentials that end by themselves: what nothing ends before outlives neither its lease nor its token, and is kept in
//! sight until it has ended.

use super::{DAY, HOUR, SECOND};
use leasehold_core::broker::{
    IssueError, Issued, RenewError, Request, Revoked, RoleWrite, StillTried, TokenRequest, Until,
};
use leasehold_core::engine::PrepareError;
use leasehold_core::lease::LeaseError;
use leasehold_core::limits::ISSUE_WITHIN;
use leasehold_integration_tests::world::target::{Mood, SimulatedTarget};
use leasehold_integration_tests::world::{ROOT, World, request};
use serde_json::{Map, json};
use std::sync::Arc;
use std::time::Duration;

/// A world with a role whose credentials live for an hour, whatever happens.
async fn world() -> (World, Arc<SimulatedTarget>) {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let write = RoleWrite {
        mount: "database/".into(),
        name: "app".into(),
        fields: Map::from_iter([("lives".into(), json!(3600))]),
        ..RoleWrite::default()
    };
    world.broker().write_role(&request(ROOT), write).await.unwrap();
    (world, target)
}

async fn lent(world: &World, token: &str, ttl: u64) -> Result<Issued, IssueError> {
    let mut asked = request(token);
    asked.asked.data = Some(json!({ "ttl": ttl }));
    world.broker().issue(&asked, "database/", "app").await
}

fn looked_at(lease_id: &str) -> Request {
    let mut asked = request(ROOT);
    asked.asked.path = format!("sys/leases/lookup/{lease_id}");
    asked
}

#[tokio::test(start_paused = true)]
async fn what_ends_by_itself_is_not_renewed_and_its_lease_ends_once_it_has() {
    let (world, _) = world().await;
    let issued = world.issue("app").await.unwrap();
    assert_eq!((issued.ttl, issued.renewable), (HOUR, false));
    let renewed = world.broker().renew(&request(ROOT), &issued.lease_id, None).await;
    assert!(matches!(renewed, Err(RenewError::Lease(LeaseError::NotRenewable))), "{renewed:?}");
    let view = world.broker().lookup_lease(&looked_at(&issued.lease_id), &issued.lease_id).await;
    let view = view.unwrap();
    assert_eq!((view.seconds_left, view.renewable, view.revoke_error), (3600, false, None));
    // It may have been made as late as it could be.
    world.pass(HOUR + ISSUE_WITHIN - SECOND).await;
    assert_eq!(world.leases(), 1);
    world.pass(SECOND * 2).await;
    assert_eq!((world.leases(), world.store.count("due/"), world.store.count("of-")), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn revoked_it_lives_on_and_so_does_its_lease_and_whoever_asks_is_told() {
    let (world, _) = world().await;
    let issued = world.issue("app").await.unwrap();
    let other = world.issue("app").await.unwrap();
    world.pass(SECOND * 60).await;
    let revoked = world.broker().revoke(&request(ROOT), &issued.lease_id, Until::Settled).await;
    assert!(matches!(&revoked, Ok(Revoked::Lives(why)) if why.contains("own end")), "{revoked:?}");
    let all = world.broker();
    let all = all.revoke_prefix(&request(ROOT), "database/", Until::Settled, false).await;
    assert_eq!(all.unwrap(), StillTried(2));
    for issued in [&issued, &other] {
        let (broker, looked_at) = (world.broker(), looked_at(&issued.lease_id));
        let view = broker.lookup_lease(&looked_at, &issued.lease_id).await.unwrap();
        assert!(view.revoke_error.is_some());
    }
    let failed = world.broker().failed_leases(&request(ROOT), 10).await.unwrap();
    assert_eq!(failed.count(), 2, "it is in sight for as long as it lives");
    world.restart().await;
    world.pass(HOUR - SECOND * 60).await;
    assert_eq!(world.leases(), 2, "neither is forgotten while it lives");
    world.pass(ISSUE_WITHIN + SECOND).await;
    assert_eq!(world.leases(), 0);
}

/// Law 4: the lease cannot fall with its token, so that it ends before it.
#[tokio::test(start_paused = true)]
async fn it_ends_before_its_token_does_or_is_not_made() {
    let (world, target) = world().await;
    let token =
        async |ttl| world.token(TokenRequest { ttl: Some(ttl), ..TokenRequest::default() }).await;
    let half_an_hour = Duration::from_mins(30);
    let issued = lent(&world, &token(half_an_hour).await, 3600).await.unwrap();
    assert_eq!(issued.ttl, half_an_hour - ISSUE_WITHIN);
    assert_eq!(issued.capped, Some((HOUR, half_an_hour - ISSUE_WITHIN)));
    let batches = target.batches().len();
    let short = lent(&world, &token(Duration::from_mins(15)).await, 3600).await;
    let Err(IssueError::Prepare(PrepareError::Role(why))) = &short else { panic!("{short:?}") };
    assert!(why.contains("a token that lives longer"), "{why}");
    assert_eq!(target.batches().len(), batches, "the target was not asked");
    world.orphan_leases("app").await;
    let free = lent(&world, &token(Duration::from_mins(15)).await, 3600).await.unwrap();
    assert_eq!(free.ttl, HOUR);
    let long = lent(&world, ROOT, 3600 * 24 * 365).await.unwrap();
    assert!(long.capped.is_some() && long.ttl <= DAY * 32, "the mount bounds it: {:?}", long.ttl);
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_not_waited_for_and_what_was_lost_is() {
    let (world, target) = world().await;
    target.mood(Mood::Down);
    assert!(matches!(world.issue("app").await, Err(IssueError::Target(_))));
    target.mood(Mood::Well);
    world.pass(SECOND).await;
    let refused = world.leases();
    target.mood(Mood::LosingAnswers);
    assert!(matches!(world.issue("app").await, Err(IssueError::Target(_))));
    target.mood(Mood::Well);
    world.pass(HOUR).await;
    assert_eq!((refused, world.leases()), (0, 1));
    world.pass(HOUR).await;
    assert_eq!(world.leases(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_comparison_does_not_miss_what_no_target_lists() {
    let (world, target) = world().await;
    world.issue("app").await.unwrap();
    world.pass(SECOND * 61).await;
    assert_eq!(target.credentials().len(), 0);
    let compared = world.broker().reconcile(&request(ROOT), "database/", "app").await.unwrap();
    assert_eq!(compared.report.differences, []);
}

/// Nobody but the target can tell: a server that was switched off for as long begins in the same way.
#[tokio::test(start_paused = true)]
async fn a_start_with_the_clock_ahead_ends_nothing_that_has_not_ended_at_the_target() {
    let (world, target) = world().await;
    let issued = world.issue("app").await.unwrap();
    world.pass(SECOND * 60).await;
    world.clock.step_wall_forward(DAY);
    target.set_clock_behind(DAY);
    target.mood(Mood::Down);
    world.restart().await;
    world.pass(SECOND * 60).await;
    assert_eq!(world.leases(), 1, "it does not say what time it is");
    target.mood(Mood::Well);
    world.pass(HOUR - SECOND * 120).await;
    assert_eq!(world.leases(), 1);
    let view = world.broker().lookup_lease(&looked_at(&issued.lease_id), &issued.lease_id).await;
    let why = view.unwrap().revoke_error.unwrap();
    assert!(why.contains("own end"), "{why}");
    world.pass(ISSUE_WITHIN + SECOND).await;
    assert_eq!(world.leases(), 0);
}
