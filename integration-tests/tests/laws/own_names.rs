//! Names that a target chooses itself, as AWS does the ids of keys: kept before anybody is told the credential.

use super::{HOUR, SECOND};
use leasehold_core::broker::{IssueError, RoleWrite, Stage, StillTried, Until, Whois, WhoisError};
use leasehold_core::store::StoreError;
use leasehold_integration_tests::world::target::{Mood, SimulatedTarget};
use leasehold_integration_tests::world::{ROOT, World, request};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const NAME: &str = "KEY1";

/// A world with a role whose target chooses the names.
async fn world() -> (World, Arc<SimulatedTarget>) {
    let world = World::new().await;
    let target = world.target("app", "10h", "24h").await;
    let fields = json!({ "names_them": true }).as_object().cloned().unwrap_or_default();
    let (mount, name) = ("database/".to_owned(), "app".to_owned());
    let role = RoleWrite { mount, name, fields, ..RoleWrite::default() };
    world.broker().write_role(&request(ROOT), role).await.unwrap();
    (world, target)
}

async fn whois(world: &World, name: &str) -> Result<Whois, WhoisError> {
    world.broker().whois(&request(ROOT), name).await
}

#[tokio::test(start_paused = true)]
async fn a_credential_is_found_by_what_its_target_calls_it_until_it_is_forgotten() {
    let (world, _target) = world().await;
    let before = world.store.commits();
    let issued = world.issue("app").await.unwrap();
    assert_eq!(world.store.commits() - before, 2, "the lease, and then its name");
    assert_eq!(issued.secret.own_name(), Some(NAME));
    let seen = async |stage: fn(Stage) -> bool| {
        let told = whois(&world, NAME).await.unwrap().leases.remove(0);
        assert_eq!(told.lease.lease_id, issued.lease_id);
        assert_eq!(told.known_as.as_deref(), Some(NAME));
        assert!(stage(told.state), "{:?}", told.state);
    };
    seen(|stage| stage == Stage::Held).await;
    world.restart().await;
    seen(|stage| stage == Stage::Held).await;
    world.broker().renew(&request(ROOT), &issued.lease_id, None).await.unwrap();
    seen(|stage| stage == Stage::Held).await;
    world.pass(10 * HOUR + SECOND).await;
    seen(|stage| matches!(stage, Stage::Settled(_))).await;
    assert!(whois(&world, "KEY2").await.is_err() && whois(&world, "key1").await.is_err());
    world.pass(Duration::from_hours(31 * 24)).await;
    world.broker().housekeep().await.unwrap();
    assert_eq!(whois(&world, NAME).await.unwrap_err(), WhoisError::Nobody);
    assert_eq!((world.store.count("known-as/"), world.store.count("history")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_credential_whose_own_name_is_not_kept_is_told_to_nobody_and_revoked() {
    for uncertain in [false, true] {
        let (world, target) = world().await;
        if uncertain {
            target.mood(Mood::Slow(2 * SECOND));
            let failing = Some(StoreError::Uncertain("the disk is slow".into()));
            let issue = async {
                let told = world.issue("app").await;
                world.store.fail(None);
                told
            };
            let fails = async {
                world.pass(SECOND).await;
                world.store.fail(failing);
            };
            let (told, ()) = futures_util::future::join(issue, fails).await;
            assert!(matches!(told, Err(IssueError::Store(StoreError::Uncertain(_)))), "{told:?}");
            target.mood(Mood::Well);
        } else {
            world.store.refuse_one(1);
            let told = world.issue("app").await;
            assert!(matches!(told, Err(IssueError::Store(StoreError::Refused(_)))), "{told:?}");
        }
        world.pass(10 * SECOND).await;
        assert_eq!((target.credentials().len(), world.leases()), (0, 0), "{uncertain}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_is_revoked_while_it_is_made_is_found_by_its_name_as_well() {
    let (world, target) = world().await;
    target.mood(Mood::Slow(5 * SECOND));
    let revoked = async {
        world.pass(SECOND).await;
        let (broker, root) = (world.broker(), request(ROOT));
        let told = broker.revoke_prefix(&root, "database/creds/app", Until::Marked, false).await;
        assert_eq!(told.unwrap(), StillTried(0));
    };
    let (told, ()) = futures_util::future::join(world.issue("app"), revoked).await;
    assert!(matches!(told, Err(IssueError::Revoked)), "{told:?}");
    target.mood(Mood::Well);
    world.pass(HOUR).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
    let told = whois(&world, NAME).await.unwrap();
    assert!(matches!(told.leases[0].state, Stage::Settled(_)), "{:?}", told.leases);
}
