//! Plans of revocations: every lease is shown once, whatever its target does, and nothing is changed by looking.

use super::{HOUR, SECOND, id_of};
use leasehold_core::broker::{
    AdmitError, MassRevocationError, PlanAsked, PlanOf, Planned, RevocationPlan, Until,
};
use leasehold_core::engine::in_use::{InUse, Owned};
use leasehold_core::store::mass_revocations::Asked;
use leasehold_core::time::Clock as _;
use leasehold_integration_tests::world::target::{Mood, SimulatedTarget};
use leasehold_integration_tests::world::{ROOT, World, request};
use std::collections::BTreeSet;
use std::sync::Arc;

async fn world(leases: usize) -> (World, Arc<SimulatedTarget>) {
    let world = World::new().await;
    let target = world.target("app", "10h", "24h").await;
    for _ in 0..leases {
        world.issue("app").await.unwrap();
    }
    (world, target)
}

fn prefix(text: &str) -> PlanOf {
    PlanOf::Many(Asked::Prefix(text.to_owned()))
}

async fn planned(
    world: &World,
    of: PlanOf,
    limit: usize,
    before: Option<&RevocationPlan>,
) -> Result<RevocationPlan, MassRevocationError> {
    let after = before.and_then(|before| before.after.clone());
    let asked = PlanAsked { of, after, limit };
    world.broker().plan_revocation(&request(ROOT), asked).await
}

/// All pages of a plan of everything.
async fn pages(world: &World, limit: usize) -> Vec<RevocationPlan> {
    let mut pages = vec![planned(world, prefix("database"), limit, None).await.unwrap()];
    while pages.last().unwrap().after.is_some() {
        let next = planned(world, prefix("database"), limit, pages.last()).await.unwrap();
        pages.push(next);
    }
    pages
}

fn ids(pages: &[RevocationPlan]) -> Vec<&str> {
    pages.iter().flat_map(|page| &page.leases).map(|one| one.lease_id.as_str()).collect()
}

fn why(one: &Planned) -> String {
    one.seen.as_ref().unwrap_err().to_string()
}

#[tokio::test(start_paused = true)]
async fn a_plan_shows_every_lease_once_page_by_page_and_changes_nothing() {
    let (world, target) = world(20).await;
    world.target("other", "10h", "24h").await;
    for _ in 0..5 {
        world.issue("other").await.unwrap();
    }
    let (kept, commits, there) = (world.store.bytes(), world.store.commits(), target.credentials());
    for limit in [1, 7, 25, 1000] {
        let pages = pages(&world, limit).await;
        let ids = ids(&pages);
        assert_eq!(ids.len(), 25, "{limit}");
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 25, "{limit}");
        assert!(pages.iter().all(|page| page.leases.len() <= limit));
        assert_eq!(pages.len(), 25_usize.div_ceil(limit), "{limit}");
    }
    let of_role = planned(&world, prefix("database/creds/other"), 3, None).await.unwrap();
    let rest = planned(&world, prefix("database/creds/other"), 3, Some(&of_role)).await.unwrap();
    assert_eq!((of_role.leases.len(), rest.leases.len(), rest.after), (3, 2, None));
    let of_target = PlanOf::Many(Asked::Target("database/other".into()));
    let of_target = planned(&world, of_target, 9, None).await.unwrap();
    assert_eq!((of_target.leases.len(), of_target.after), (5, None));
    assert_eq!((world.store.bytes(), world.store.commits()), (kept, commits));
    assert_eq!(target.credentials(), there);
}

#[tokio::test(start_paused = true)]
async fn a_page_goes_on_where_the_one_before_ended_though_that_lease_is_gone() {
    let (world, _target) = world(10).await;
    let first = planned(&world, prefix("database"), 4, None).await.unwrap();
    let (broker, root) = (world.broker(), request(ROOT));
    let last = &first.leases.last().unwrap().lease_id;
    broker.revoke(&root, last, Until::Settled).await.unwrap();
    let second = planned(&world, prefix("database"), 100, Some(&first)).await.unwrap();
    assert_eq!((second.leases.len(), second.after.is_none()), (6, true));
    let both = [first, second];
    assert_eq!(ids(&both).into_iter().collect::<BTreeSet<_>>().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn the_last_page_is_empty_where_all_that_was_left_has_ended_since_the_one_before() {
    let (world, _target) = world(3).await;
    let (broker, root) = (world.broker(), request(ROOT));
    let of_role = prefix("database/creds/app");
    let of_target = PlanOf::Many(Asked::Target("database/app".into()));
    let mut first = Vec::new();
    for of in [&of_role, &of_target] {
        first.push(planned(&world, of.clone(), 1, None).await.unwrap());
    }
    broker.delete_role(&root, "database/", "app", false).await.unwrap();
    broker.delete_target(&root, "database/", "app", true).await.unwrap();
    world.pass(HOUR).await;
    broker.housekeep().await.unwrap();
    assert_eq!(world.leases(), 0);
    for (of, first) in [of_role, of_target].iter().zip(&first) {
        let next = planned(&world, of.clone(), 1, Some(first)).await.unwrap();
        assert_eq!((next.leases.len(), next.after), (0, None));
        // Whoever begins with it is told that there is nothing.
        assert!(planned(&world, of.clone(), 1, None).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_credential_is_in_use_for_is_told_with_its_lease() {
    let (world, target) = world(1).await;
    let issued = world.issue("app").await.unwrap();
    let id = id_of(&issued.lease_id);
    let table = Owned {
        kind: "table".into(),
        within: Some("app".into()),
        count: 7,
        names: vec!["public.books".into()],
    };
    let in_use = InUse { sessions: Some(2), owned: Some(vec![table]), ..InUse::default() };
    target.uses(id, in_use.clone());
    let plan = planned(&world, PlanOf::Lease(issued.lease_id.clone()), 10, None).await.unwrap();
    let [one] = plan.leases.as_slice() else { panic!("{plan:?}") };
    assert_eq!((&one.lease_id, one.target.as_str()), (&issued.lease_id, "database/app"));
    let ten_hours = world.clock.now().plus(10 * HOUR);
    assert_eq!((one.lapses_at, one.seconds_left), (ten_hours, 36_000));
    assert_eq!(one.seen, Ok(InUse { is_there: Some(true), ..in_use }));
    assert_eq!(one.seen.as_ref().unwrap().owned_count(), 7);
    // A prefix may be a whole lease id, as where it is revoked.
    let same = planned(&world, prefix(&issued.lease_id), 10, None).await.unwrap();
    assert_eq!(ids(&[same]), [issued.lease_id.as_str()]);

    target.mood(Mood::Down);
    let (broker, root) = (world.broker(), request(ROOT));
    broker.revoke(&root, &issued.lease_id, Until::Marked).await.unwrap();
    target.mood(Mood::Well);
    let again = planned(&world, PlanOf::Lease(issued.lease_id), 10, None).await.unwrap();
    assert!(again.leases[0].is_revoking && !plan.leases[0].is_revoking);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_down_hides_no_lease_and_is_not_asked_at_every_page() {
    let (world, target) = world(20).await;
    let other = world.target("other", "10h", "24h").await;
    for _ in 0..20 {
        world.issue("other").await.unwrap();
    }
    target.mood(Mood::Down);
    let before = (target.asked_times(), other.asked_times());
    let pages = pages(&world, 4).await;
    assert_eq!(ids(&pages).len(), 40);
    for one in pages.iter().flat_map(|page| &page.leases) {
        match one.target.as_str() {
            "database/app" => assert!(why(one).contains("the target is down"), "{one:?}"),
            _ => assert_eq!(one.seen.as_ref().unwrap().is_there, Some(true)),
        }
    }
    assert_eq!(target.asked_times() - before.0, 1, "once is enough");
    assert_eq!(other.asked_times() - before.1, 5, "once for each page that has leases of it");
    // Whoever begins anew wants to know it as it is now.
    target.mood(Mood::Well);
    let again = planned(&world, prefix("database/creds/app"), 4, None).await.unwrap();
    assert!(again.leases.iter().all(|one| one.seen.is_ok()), "{again:?}");
    let next = planned(&world, prefix("database/creds/app"), 4, Some(&again)).await.unwrap();
    assert!(next.leases.iter().all(|one| one.seen.is_ok()), "{next:?}");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_keeps_a_plan_waiting_for_a_bounded_time_and_once() {
    let (world, target) = world(10).await;
    target.mood(Mood::Hanging);
    let began = world.clock.now();
    let pages = pages(&world, 2).await;
    let took = world.clock.now().since(began);
    assert!(took >= 20 * SECOND && took < 30 * SECOND, "{took:?}");
    assert_eq!(ids(&pages).len(), 10);
    let mut all = pages.iter().flat_map(|page| &page.leases);
    assert!(all.all(|one| why(one).contains("did not answer in time")));
}

#[tokio::test(start_paused = true)]
async fn what_a_target_had_no_time_for_begins_the_next_page() {
    let (world, target) = world(10).await;
    target.tells_at_once(3);
    let pages = pages(&world, 100).await;
    assert_eq!(pages.iter().map(|page| page.leases.len()).collect::<Vec<_>>(), [3, 3, 3, 1]);
    assert_eq!(ids(&pages).into_iter().collect::<BTreeSet<_>>().len(), 10);
    assert!(pages.iter().flat_map(|page| &page.leases).all(|one| one.seen.is_ok()));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_planned_is_refused_and_what_cannot_be_recorded_asks_no_target() {
    let (world, target) = world(1).await;
    let issued = world.issue("app").await.unwrap();
    let unknown = issued.lease_id.replace(&id_of(&issued.lease_id).to_string(), "x");
    for (of, expected) in [
        (prefix("nothing"), MassRevocationError::NoSuchPrefix("nothing".into())),
        (prefix(""), MassRevocationError::NoSuchPrefix(String::new())),
        (
            PlanOf::Many(Asked::Target("database/none".into())),
            MassRevocationError::NoTarget("database/none".into()),
        ),
        (PlanOf::Lease(unknown.clone()), MassRevocationError::NoLease(unknown)),
        (PlanOf::Lease(String::new()), MassRevocationError::NoLease(String::new())),
    ] {
        assert_eq!(planned(&world, of, 10, None).await.unwrap_err(), expected);
    }
    let (asked, lines) = (target.asked_times(), world.audit.lines().len());
    planned(&world, prefix("database"), 10, None).await.unwrap();
    assert_eq!((target.asked_times(), world.audit.lines().len()), (asked + 1, lines + 2));
    world.audit.refuse(true);
    let unrecorded = planned(&world, prefix("database"), 10, None).await.unwrap_err();
    let is_unrecorded = matches!(unrecorded, MassRevocationError::Admit(AdmitError::Audit(_)));
    assert!(is_unrecorded, "{unrecorded:?}");
    assert_eq!(target.asked_times(), asked + 1);
}
