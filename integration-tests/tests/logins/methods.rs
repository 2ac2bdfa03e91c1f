//! Mounts of methods, and what ends with them.

use crate::{log_in, mount, own, user};
use leasehold_core::access::params::ParamsWrite;
use leasehold_core::broker::{LoginError, Side, Until};
use leasehold_integration_tests::world::{ROOT, World, request};
use std::time::Duration;

const HOME: &str = "192.0.2.1";

async fn world() -> World {
    let world = World::new().await;
    mount(&world, "userpass").await;
    user(&world, "ann", ParamsWrite::default()).await;
    world
}

async fn disable(world: &World) {
    world.broker().disable_mount(&request(ROOT), (Side::Methods, "userpass")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_disabled_method_ends_all_tokens_that_it_made() {
    let world = world().await;
    let mut made = Vec::new();
    for _ in 0..80 {
        made.push(log_in(&world, HOME, "ann", "right").await.unwrap());
    }
    assert_eq!(world.store.count("token-of/"), 80);
    disable(&world).await;
    for one in &made {
        assert!(own(&world, one).await.is_none());
    }
    assert!(matches!(log_in(&world, HOME, "ann", "right").await, Err(LoginError::NoMount(_))));
    world.pass(Duration::from_secs(1)).await;
    assert_eq!((world.store.count("token-of/"), world.store.count("token/")), (0, 1));
    world.broker().housekeep().await.unwrap();
    assert_eq!((world.store.count("user/"), world.store.count("mount/")), (0, 1));
    // What is enabled at the same path is another one, without users.
    mount(&world, "userpass").await;
    assert!(matches!(log_in(&world, HOME, "ann", "right").await, Err(LoginError::Wrong(_))));
}

#[tokio::test(start_paused = true)]
async fn tokens_of_a_disabled_method_are_good_for_nothing_while_the_store_refuses_to_end_them() {
    let world = world().await;
    let made = log_in(&world, HOME, "ann", "right").await.unwrap();
    // The second write from now, the end of the token, is refused: the method is closed all the same.
    world.store.refuse_one(1);
    disable(&world).await;
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.store.count("token-of/"), 1);
    assert!(own(&world, &made).await.is_none());
    // A process that starts now goes on with it.
    world.restart().await;
    assert!(own(&world, &made).await.is_none());
    world.broker().housekeep().await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.store.count("token-of/"), 0);
    world.broker().housekeep().await.unwrap();
    assert_eq!(world.store.count("mount/"), 1);
}

#[tokio::test(start_paused = true)]
async fn revoking_by_the_prefix_of_a_method_ends_its_tokens_and_leaves_it() {
    let world = world().await;
    let made = log_in(&world, HOME, "ann", "right").await.unwrap();
    let ended =
        world.broker().revoke_prefix(&request(ROOT), "auth/userpass", Until::Marked, false).await;
    ended.unwrap();
    assert!(own(&world, &made).await.is_none());
    log_in(&world, HOME, "ann", "right").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_token_with_uses_that_a_login_made_ends_with_the_last_of_them() {
    let world = world().await;
    user(&world, "ann", ParamsWrite { num_uses: Some(2), ..ParamsWrite::default() }).await;
    let made = log_in(&world, HOME, "ann", "right").await.unwrap();
    assert_eq!(made.token.num_uses, 2);
    for _ in 0..2 {
        assert!(own(&world, &made).await.is_some());
    }
    assert!(own(&world, &made).await.is_none());
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.store.count("token-of/"), 0);
}
