//! Targets and roles that are deleted with their leases, whatever breaks off on the way.

use super::{HOUR, SECOND};
use leasehold_core::broker::{MountError, RoleError, Side, StillTried, TargetError, Until};
use leasehold_core::store::StoreError;
use leasehold_integration_tests::world::target::{Mood, SimulatedTarget};
use leasehold_integration_tests::world::{ROOT, World, request};
use std::sync::Arc;

/// A target with five leases, and five more of before it was another server.
async fn repointed() -> (World, [Arc<SimulatedTarget>; 2]) {
    let world = World::new().await;
    let mut servers = Vec::new();
    for _ in 0..2 {
        servers.push(world.target("app", "10h", "24h").await);
        for _ in 0..5 {
            world.issue("app").await.unwrap();
        }
    }
    (world, servers.try_into().unwrap())
}

async fn delete(world: &World) -> Result<(), TargetError> {
    world.broker().delete_target(&request(ROOT), "database/", "app", true).await
}

fn left(servers: &[Arc<SimulatedTarget>]) -> usize {
    servers.iter().map(|server| server.credentials().len()).sum()
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_deleted_again_takes_what_is_left_of_its_leases() {
    for failing in 0..11 {
        let (world, servers) = repointed().await;
        world.store.refuse_one(failing);
        let told = delete(&world).await;
        assert!(matches!(told, Err(TargetError::Store(StoreError::Refused(_)))), "{told:?}");
        world.pass(SECOND).await;
        // The first write retires it. After that, one lease that cannot be marked keeps no other.
        assert_eq!(left(&servers), if failing == 0 { 10 } else { 1 }, "write {failing} failed");
        delete(&world).await.unwrap();
        world.pass(SECOND).await;
        assert_eq!((left(&servers), world.leases()), (0, 0), "write {failing} failed");
        world.broker().housekeep().await.unwrap();
        assert_eq!(world.store.count("retired/"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_being_deleted_with_its_leases_takes_them_though_the_process_dies() {
    for failing in 1..11 {
        let (world, servers) = repointed().await;
        world.store.refuse_one(failing);
        delete(&world).await.unwrap_err();
        world.restart().await;
        world.broker().housekeep().await.unwrap();
        world.pass(HOUR).await;
        assert_eq!((left(&servers), world.leases()), (0, 0), "write {failing} failed");
    }
}

#[tokio::test(start_paused = true)]
async fn leases_of_a_deleted_target_may_still_be_taken_by_its_name() {
    let (world, servers) = repointed().await;
    let (broker, root) = (world.broker(), request(ROOT));
    broker.delete_target(&root, "database/", "app", false).await.unwrap();
    world.pass(HOUR).await;
    broker.housekeep().await.unwrap();
    world.pass(HOUR).await;
    assert_eq!(left(&servers), 10, "nobody has asked for them");
    delete(&world).await.unwrap();
    world.pass(SECOND).await;
    assert_eq!((left(&servers), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_role_that_is_deleted_again_takes_what_is_left_of_its_leases() {
    for failing in 1..11 {
        let (world, servers) = repointed().await;
        let (broker, root) = (world.broker(), request(ROOT));
        world.store.refuse_one(failing);
        let told = broker.delete_role(&root, "database/", "app", true).await;
        assert!(matches!(told, Err(RoleError::Store(StoreError::Refused(_)))), "{told:?}");
        world.pass(SECOND).await;
        assert_eq!(left(&servers), 1, "write {failing} failed");
        broker.delete_role(&root, "database/", "app", true).await.unwrap();
        world.pass(SECOND).await;
        assert_eq!((left(&servers), world.leases()), (0, 0), "write {failing} failed");
    }
}

#[tokio::test(start_paused = true)]
async fn everything_of_a_role_includes_what_a_process_has_issued_whose_clock_was_ahead() {
    let (world, servers) = repointed().await;
    // Less than is stored of the time between two looks.
    world.clock.step_wall_back(10 * SECOND);
    world.restart().await;
    let (broker, root) = (world.broker(), request(ROOT));
    let revoked = broker.revoke_prefix(&root, "database/creds/app", Until::Marked, false).await;
    assert_eq!(revoked.unwrap(), StillTried(0));
    world.pass(SECOND).await;
    assert_eq!((left(&servers), world.leases()), (0, 0));
}

async fn disable(world: &World) -> Result<(), MountError> {
    world.broker().disable_mount(&request(ROOT), (Side::Engines, "database")).await
}

#[tokio::test(start_paused = true)]
async fn cve_2026_42186_a_mount_that_is_disabled_again_takes_what_is_left_of_its_leases() {
    for dies in [false, true] {
        for failing in 0..24 {
            let (world, servers) = repointed().await;
            // One that was deleted before is behind the closed mount as well.
            world.broker().delete_target(&request(ROOT), "database/", "app", false).await.unwrap();
            for server in &servers {
                server.mood(Mood::Down);
            }
            world.store.refuse_one(failing);
            let told = disable(&world).await;
            assert_eq!(told.is_err(), failing == 0, "only its first write is waited for");
            if dies {
                world.restart().await;
            } else {
                world.pass(SECOND).await;
            }
            disable(&world).await.unwrap();
            assert!(world.issue("app").await.is_err());
            assert_eq!(left(&servers), 10, "they are down");
            world.pass(SECOND).await;
            for server in &servers {
                server.mood(Mood::Well);
            }
            // The write that fails may be one of these.
            let _ = world.broker().housekeep().await;
            world.broker().housekeep().await.unwrap();
            world.pass(HOUR).await;
            let told = format!("write {failing} failed, the process died: {dies}");
            assert_eq!((left(&servers), world.leases()), (0, 0), "{told}");
            world.broker().housekeep().await.unwrap();
            let kept = ["mount/", "role/", "target/", "retired/"];
            assert!(kept.iter().all(|prefix| world.store.count(prefix) == 0), "{told}");
        }
    }
}
