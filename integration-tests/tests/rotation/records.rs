//! Rotations that nobody asked for: each is on the audit trail, or does not begin.

use super::{HOUR, MINUTE, every, told, world_with};
use leasehold_core::broker::WhoisError;
use leasehold_integration_tests::world::target::{ADMINISTRATOR, FIRST_PASSWORD, Mood};
use leasehold_integration_tests::world::{ROOT, World, request};

/// The lines of rotations that nobody asked for.
fn lines(world: &World, path: &str) -> Vec<String> {
    let path = format!(r#""path":"{path}""#);
    world.audit.lines().into_iter().filter(|line| line.contains(&path)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_rotation_by_the_clock_is_on_record_before_and_after() {
    let (world, target) = world_with(every(HOUR)).await;
    let path = "database/rotate-role/billing";
    assert_eq!(lines(&world, path).len(), 0);
    world.pass(HOUR + 2 * MINUTE).await;
    let recorded = lines(&world, path);
    let [request, response] = recorded.as_slice() else { panic!("two lines: {recorded:?}") };
    assert!(request.contains(r#""type":"request""#), "{request}");
    assert!(response.contains(r#""type":"response""#), "{response}");
    assert!(recorded.iter().all(|line| !line.contains(r#""error""#)), "{recorded:?}");
    let password = target.password_of("billing").unwrap();
    assert!(!recorded.concat().contains(&password));
    let readings = world.broker().readings();
    assert_eq!((readings.rotated, readings.unrotated, readings.overdue.0), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_recorded_is_not_rotated() {
    let (world, target) = world_with(every(HOUR)).await;
    let before = told(&world).await.unwrap();
    world.audit.refuse(true);
    world.pass(HOUR * 2).await;
    assert_eq!(target.password_of("billing"), Some(before.clone()));
    let readings = world.broker().readings();
    assert_eq!((readings.rotated, readings.overdue.0), (1, 1));
    assert!(readings.unrotated > 0 && readings.overdue.1 > HOUR / 2, "{readings:?}");
    world.audit.refuse(false);
    world.pass(HOUR / 2).await;
    assert_ne!(told(&world).await.unwrap(), before);
    assert_eq!(world.broker().readings().overdue.0, 0);
}

#[tokio::test(start_paused = true)]
async fn a_try_that_failed_is_on_record_with_the_reason() {
    let (world, target) = world_with(every(HOUR)).await;
    target.mood(Mood::Down);
    world.pass(HOUR + 2 * MINUTE).await;
    let recorded = lines(&world, "database/rotate-role/billing");
    assert!(recorded.iter().any(|line| line.contains("the target is down")), "{recorded:?}");
    let readings = world.broker().readings();
    assert_eq!((readings.rotated, readings.overdue.0), (1, 1));
    assert_eq!(target.password_of(ADMINISTRATOR).as_deref(), Some(FIRST_PASSWORD));
}

#[tokio::test(start_paused = true)]
async fn whois_tells_by_what_an_account_is_rotated_and_nothing_by_its_secret() {
    let (world, _target) = world_with(every(HOUR)).await;
    let whois = async |name: &str| world.broker().whois(&request(ROOT), name).await;
    let found = whois("billing").await.unwrap().accounts.remove(0);
    let role = (found.mount.as_deref(), &*found.target, found.static_role.as_deref());
    assert_eq!(role, (Some("database/"), "app", Some("billing")));
    assert!(found.rotated_at.is_some());
    let found = whois(ADMINISTRATOR).await.unwrap().accounts.remove(0);
    assert_eq!((&*found.target, found.static_role), ("app", None));
    let secret = told(&world).await.unwrap();
    assert_eq!(whois(&secret).await.unwrap_err(), WhoisError::Nobody);
}
