//! Targets that an operator says are gone for ever: law 2's only exit.

use super::{DAY, HOUR, SECOND, id_of};
use leasehold_core::broker::{
    Abandon, AbandonError, DifferenceKind as Kind, Gone, IssueError, Repair, Side, Stage, Until,
};
use leasehold_core::lease::Cause;
use leasehold_core::store::StoreError;
use leasehold_core::time::Clock;
use leasehold_integration_tests::world::target::{Mood, SimulatedTarget};
use leasehold_integration_tests::world::{ROOT, World, request};
use std::sync::Arc;
use std::time::Duration;

const REASON: &str = "scrapped with its rack";

/// A target that is down for good, with so many leases, and its configuration deleted.
async fn deleted(leases: usize) -> (World, Arc<SimulatedTarget>, Vec<String>) {
    let world = World::new().await;
    let target = world.target("app", "10h", "24h").await;
    let mut lent = Vec::new();
    for _ in 0..leases {
        lent.push(world.issue("app").await.unwrap().lease_id);
    }
    target.mood(Mood::Down);
    world.broker().delete_target(&request(ROOT), "database/", "app", false).await.unwrap();
    (world, target, lent)
}

fn wanted() -> Abandon {
    let (mount, name) = ("database/".to_owned(), "app".to_owned());
    Abandon { mount, name, reason: REASON.to_owned(), generation: None }
}

async fn abandon(world: &World) -> Result<Gone, AbandonError> {
    world.broker().abandon(&request(ROOT), wanted()).await
}

/// What is left under the name: leases, and whether it was abandoned.
async fn left(world: &World) -> Vec<(usize, bool)> {
    let all = world.broker().gone(&request(ROOT), "database/", "app").await.unwrap();
    all.0.iter().map(|gone| (gone.leases, gone.abandonment.is_some())).collect()
}

#[tokio::test(start_paused = true)]
async fn the_leases_of_an_abandoned_target_end_without_asking_it() {
    let (world, target, lent) = deleted(5).await;
    // Three are being revoked, which fails; two are held.
    for lease in &lent[..3] {
        world.broker().revoke(&request(ROOT), lease, Until::Marked).await.unwrap();
    }
    world.pass(HOUR).await;
    assert_eq!((world.leases(), left(&world).await), (5, vec![(5, false)]));
    let asked = target.asked_times();

    assert_eq!(abandon(&world).await.unwrap().leases, 5);
    world.pass(SECOND).await;
    assert_eq!((world.leases(), world.store.count("due/"), world.store.count("of-")), (0, 0, 0));
    assert_eq!(target.asked_times(), asked, "it is not asked");
    assert_eq!(target.credentials().len(), 5, "they are left where they are");
    world.broker().housekeep().await.unwrap();
    assert_eq!(world.store.count("retired/"), 0, "its administrator's secret is forgotten");
    assert_eq!(left(&world).await, [(0, true)]);
}

#[tokio::test(start_paused = true)]
async fn whois_tells_for_ever_who_abandoned_a_lease_and_why() {
    let (world, _, lent) = deleted(1).await;
    abandon(&world).await.unwrap();
    world.pass(DAY * 400).await;
    world.broker().housekeep().await.unwrap();
    let known = world.broker().whois(&request(ROOT), &lent[0]).await.unwrap();
    assert_eq!(known.leases.len(), 1, "{known:?}");
    let whose = &known.leases[0];
    assert!(matches!(whose.state, Stage::Abandoned(_)), "{whose:?}");
    let told = whose.abandonment.as_ref().unwrap();
    assert_eq!((told.by.as_str(), told.reason.as_str()), ("token", REASON));
    assert_eq!(whose.target.as_deref(), Some("app"));
    let recorded = world.audit.lines();
    let ended = recorded.iter().filter(|line| line.contains(r#""abandoned":true"#));
    assert_eq!(ended.count(), 1, "its end is on record");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_configured_cannot_be_abandoned() {
    let world = World::new().await;
    world.target("app", "10h", "24h").await;
    world.issue("app").await.unwrap();
    let refused = abandon(&world).await.unwrap_err();
    assert!(matches!(&refused, AbandonError::Configured(name) if name == "database/app"));
    let never = Abandon { name: "other".into(), ..wanted() };
    let refused = world.broker().abandon(&request(ROOT), never).await.unwrap_err();
    assert!(matches!(refused, AbandonError::Nothing(_)));
    for reason in ["", " ", &"x".repeat(1001)] {
        let wanted = Abandon { reason: reason.into(), ..wanted() };
        let refused = world.broker().abandon(&request(ROOT), wanted).await.unwrap_err();
        assert_eq!(refused, AbandonError::NoReason);
    }
    world.pass(HOUR).await;
    assert_eq!((world.leases(), world.store.count("abandoned/")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_earlier_server_is_abandoned_by_its_name_and_the_one_of_now_is_left_alone() {
    let world = World::new().await;
    let mut servers = Vec::new();
    for _ in 0..2 {
        servers.push(world.target("app", "10h", "24h").await);
        for _ in 0..3 {
            world.issue("app").await.unwrap();
        }
    }
    let refused = abandon(&world).await.unwrap_err();
    let generations = if let AbandonError::Which { generations, .. } = &refused {
        generations.as_slice()
    } else {
        &[]
    };
    assert_eq!(generations.len(), 1, "{refused}");
    let wanted = Abandon { generation: Some(generations[0].clone()), ..wanted() };
    world.broker().abandon(&request(ROOT), wanted.clone()).await.unwrap();
    world.pass(SECOND).await;
    assert_eq!(world.leases(), 3);
    assert!(servers.iter().all(|server| server.credentials().len() == 3));
    let unknown = Abandon { generation: Some("x-1".into()), ..wanted };
    assert!(world.broker().abandon(&request(ROOT), unknown).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_target_is_gone_on_with_though_the_process_dies_anywhere() {
    for failing in 0..16 {
        let (world, target, _) = deleted(5).await;
        world.store.refuse_one(failing);
        let told = abandon(&world).await;
        let is_decided = failing > 0;
        if !is_decided {
            assert_eq!(
                told.unwrap_err(),
                AbandonError::Store(StoreError::Refused("this one".into()))
            );
            assert_eq!((world.store.count("abandoned/"), world.leases()), (0, 5));
            abandon(&world).await.unwrap();
        }
        world.restart().await;
        // The write that fails may be one of these.
        let _ = world.broker().housekeep().await;
        world.broker().housekeep().await.unwrap();
        world.pass(Duration::from_mins(5)).await;
        assert_eq!(world.leases(), 0, "write {failing} failed");
        assert_eq!(target.credentials().len(), 5);
        world.broker().housekeep().await.unwrap();
        assert_eq!((world.store.count("retired/"), left(&world).await), (0, vec![(0, true)]));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_being_issued_something_at_a_target_that_is_abandoned_gets_an_error() {
    let world = World::new().await;
    let target = world.target("app", "10h", "24h").await;
    target.mood(Mood::Slow(3 * SECOND));
    let issue = world.issue("app");
    let operator = async {
        world.pass(SECOND).await;
        let (broker, root) = (world.broker(), request(ROOT));
        broker.delete_target(&root, "database/", "app", false).await.unwrap();
        abandon(&world).await.unwrap();
        world.pass(SECOND).await;
        assert_eq!(world.leases(), 1, "it waits for the answer");
    };
    let (issued, ()) = futures_util::future::join(issue, operator).await;
    assert!(matches!(issued, Err(IssueError::Revoked)), "{issued:?}");
    world.pass(2 * SECOND).await;
    assert_eq!(world.leases(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_another_process_is_issuing_ends_once_that_is_over() {
    let world = World::new().await;
    let target = world.target("app", "10h", "24h").await;
    target.mood(Mood::Slow(3 * SECOND));
    let other = world.beside(Arc::clone(&world.store)).await;
    let operator = async {
        other.pass(SECOND).await;
        let (broker, root) = (other.broker(), request(ROOT));
        broker.delete_target(&root, "database/", "app", false).await.unwrap();
        abandon(&other).await.unwrap();
    };
    let (_, ()) = futures_util::future::join(world.issue("app"), operator).await;
    assert_eq!(world.leases(), 1, "nobody knows there that it was answered");
    world.pass(Duration::from_mins(3)).await;
    assert_eq!(world.leases(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_target_in_a_mount_that_was_disabled_can_be_abandoned() {
    let world = World::new().await;
    let target = world.target("app", "10h", "24h").await;
    world.issue("app").await.unwrap();
    target.mood(Mood::Down);
    world.broker().disable_mount(&request(ROOT), (Side::Engines, "database")).await.unwrap();
    world.pass(HOUR).await;
    assert_eq!(world.leases(), 1);
    abandon(&world).await.unwrap();
    world.pass(SECOND).await;
    world.broker().housekeep().await.unwrap();
    assert_eq!((world.leases(), world.store.count("mount/")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_with_an_abandoned_server_is_told_apart_and_removed_by_a_repair() {
    let world = World::new().await;
    let target = world.target("app", "10h", "24h").await;
    let fields =
        world.broker().catalog().at("database/").unwrap().targets["app"].record.fields.0.clone();
    let mut lent = Vec::new();
    for _ in 0..3 {
        lent.push(world.issue("app").await.unwrap().lease_id);
    }
    target.mood(Mood::Down);
    world.broker().delete_target(&request(ROOT), "database/", "app", false).await.unwrap();
    abandon(&world).await.unwrap();
    world.pass(HOUR).await;
    world.broker().housekeep().await.unwrap();
    target.mood(Mood::Well);
    world.configure("app", fields).await;

    let compared = world.broker().reconcile(&request(ROOT), "database/", "app").await.unwrap();
    let found: Vec<_> = compared.report.differences.iter().map(|one| one.kind).collect();
    assert_eq!(found, [Kind::Abandoned; 3]);
    assert!(compared.report.differences[0].why[0].contains(REASON));
    let kinds = Kind::USUAL.into();
    let repair = Repair { plan: compared.plan, kinds, force: true };
    let repaired = world.broker().repair(&request(ROOT), ("database/", "app"), repair).await;
    assert_eq!(repaired.unwrap().removed, 3);
    world.pass(SECOND).await;
    assert_eq!((world.leases(), target.credentials().len()), (0, 0));
    let known = world.broker().whois(&request(ROOT), &lent[0]).await.unwrap();
    assert!(matches!(known.leases[0].state, Stage::Settled(_)), "now it was seen gone");
}

#[tokio::test(start_paused = true)]
async fn a_restore_that_waits_for_an_abandoned_target_waits_no_longer() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    world.issue("app").await.unwrap();
    let backup = world.back_up().await;
    target.mood(Mood::Down);
    let world = world.restored(&backup).await;
    world.broker().delete_target(&request(ROOT), "database/", "app", false).await.unwrap();
    world.pass(DAY).await;
    assert_eq!((world.leases(), world.store.count("hold/")), (1, 1));
    abandon(&world).await.unwrap();
    world.pass(SECOND).await;
    assert_eq!((world.leases(), world.store.count("hold/")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_lease_stays_until_its_end_is_recorded() {
    let (world, _, lent) = deleted(1).await;
    let (lease, audit) = (id_of(&lent[0]), &world.audit);
    let abandoned = abandon(&world);
    let refusing = async {
        world.pass(SECOND).await;
        audit.delay(Duration::ZERO);
        audit.refuse(true);
    };
    audit.delay(2 * SECOND);
    drop(futures_util::future::join(abandoned, refusing).await);
    world.pass(HOUR).await;
    let stored = world.opened().await;
    let stored = stored.iter().find(|(key, _)| key.0.ends_with(lease.bytes())).unwrap();
    assert!(stored.1.contains(&format!("{:?}", Cause::Abandoned).to_lowercase()), "{}", stored.1);
    audit.refuse(false);
    let waited = world.clock.now();
    world.pass(HOUR).await;
    assert!(world.clock.now() > waited);
    assert_eq!(world.leases(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_ends_all_of_a_target_ends_nothing_of_the_one_that_goes_on_with_its_id() {
    let (world, _first, _) = deleted(1).await;
    abandon(&world).await.unwrap();
    // The next ones of the name go on with the id of the one that was abandoned.
    let second = world.target("app", "10h", "24h").await;
    world.issue("app").await.unwrap();
    second.mood(Mood::Down);
    let (broker, root) = (world.broker(), request(ROOT));
    broker.delete_target(&root, "database/", "app", true).await.unwrap();
    let third = world.target("app", "10h", "24h").await;
    let held = world.issue("app").await.unwrap().lease_id;
    for _ in 0..4 {
        world.pass(HOUR).await;
        broker.housekeep().await.unwrap();
    }
    broker.renew(&root, &held, None).await.unwrap();
    assert_eq!((second.credentials().len(), third.credentials().len()), (1, 1));
    second.mood(Mood::Well);
    world.pass(2 * HOUR).await;
    assert_eq!((second.credentials().len(), third.credentials().len()), (0, 1));
}
