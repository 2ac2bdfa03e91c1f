//! Proofs of death: when one is given, when it is not, and that it never takes the place of a revocation.

use super::{DAY, HOUR, SECOND, id_of};
use leasehold_core::broker::{Until, Whose};
use leasehold_core::engine::rotation::Verify;
use leasehold_core::lease::death::Death;
use leasehold_integration_tests::world::target::{Mood, SimulatedTarget, Twist};
use leasehold_integration_tests::world::{ROOT, World, request};
use std::sync::Arc;

async fn world() -> (World, Arc<SimulatedTarget>) {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    world.prove_deaths("app").await;
    (world, target)
}

async fn issued(world: &World) -> String {
    world.issue("app").await.unwrap().lease_id
}

async fn revoke(world: &World, lease_id: &str) -> bool {
    world.broker().revoke(&request(ROOT), lease_id, Until::Settled).await.is_ok()
}

async fn whose(world: &World, lease_id: &str) -> Whose {
    let mut whois = world.broker().whois(&request(ROOT), lease_id).await.unwrap();
    whois.leases.pop().unwrap()
}

async fn death(world: &World, lease_id: &str) -> Death {
    whose(world, lease_id).await.death.unwrap()
}

async fn why_not(world: &World, lease_id: &str) -> String {
    match death(world, lease_id).await {
        Death::NotProven { why } => why,
        proven @ Death::Proven { .. } => format!("it is proven: {proven:?}"),
    }
}

fn counted(world: &World) -> [u64; 3] {
    world.broker().readings().deaths.map(|(_, count)| count)
}

#[tokio::test(start_paused = true)]
async fn a_death_is_proven_by_a_login_that_worked_before() {
    let (world, target) = world().await;
    let lease_id = issued(&world).await;
    assert!(revoke(&world, &lease_id).await);
    let proven = death(&world, &lease_id).await;
    assert!(matches!(proven, Death::Proven { by: Verify::Login, .. }), "{proven:?}");
    assert_eq!(counted(&world), [1, 0, 0]);
    let recorded = world.audit.lines();
    let line = recorded.iter().rfind(|line| line.contains(r#""operation":"revoke""#)).unwrap();
    assert!(line.contains(r#""proof_of_death":{"by":"login","proven":true"#), "{line}");
    let armed = target.armed_with();
    assert_eq!(armed.len(), 1);
    let opened = world.opened().await;
    let told = |text: &str| armed.iter().any(|secret| text.contains(secret.as_str()));
    assert!(!opened.iter().any(|(_, record)| told(record)), "its secret is stored");
    assert!(!recorded.iter().any(|line| told(line)), "its secret is recorded");
}

#[tokio::test(start_paused = true)]
async fn a_lapse_is_proven_as_well() {
    let (world, target) = world().await;
    let lease_id = issued(&world).await;
    world.pass(HOUR + SECOND * 5).await;
    assert!(matches!(death(&world, &lease_id).await, Death::Proven { .. }));
    assert_eq!(target.credentials().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_role_that_asks_for_none_is_asked_for_none() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let lease_id = issued(&world).await;
    let asked = target.asked_times();
    assert!(revoke(&world, &lease_id).await);
    assert_eq!(target.asked_times(), asked + 1, "it was asked for more than the revocation");
    assert_eq!(whose(&world, &lease_id).await.death, None);
    assert_eq!(counted(&world), [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_without_a_login_that_worked_proves_nothing() {
    for (twist, said) in [
        (Twist::Forgetful, "the control login was refused"),
        (Twist::Unarmed, "it could not be armed"),
        (Twist::RefusingLogins, "the control login did not work"),
        (Twist::RefusingLoginsAfterwards, "not refused by the target's word"),
    ] {
        let (world, target) = world().await;
        let lease_id = issued(&world).await;
        target.twist(twist);
        assert!(revoke(&world, &lease_id).await, "{twist:?} holds up the revocation");
        let why = why_not(&world, &lease_id).await;
        assert!(why.contains(said), "{twist:?}: {why}");
        assert_eq!((target.credentials().len(), counted(&world)), (0, [0, 0, 1]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_is_still_let_in_is_not_settled() {
    let (world, target) = world().await;
    let lease_id = issued(&world).await;
    target.twist(Twist::Lying);
    assert!(!revoke(&world, &lease_id).await, "what still logs in is not gone");
    world.pass(DAY).await;
    assert_eq!((world.leases(), counted(&world)), (1, [0, 0, 0]));
    let told = whose(&world, &lease_id).await.lease.revoke_error.unwrap();
    assert!(told.contains("still lets it in"), "{told}");
    target.twist(Twist::None);
    world.pass(HOUR).await;
    assert_eq!((world.leases(), target.credentials().len()), (0, 0));
    assert!(matches!(death(&world, &lease_id).await, Death::Proven { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_control_login_is_good_for_the_next_attempt_but_not_for_the_next_process() {
    for restarted in [false, true] {
        let (world, target) = world().await;
        let lease_id = issued(&world).await;
        target.mood(Mood::RefusingRevocations);
        assert!(!revoke(&world, &lease_id).await);
        let first = target.armed_with();
        // What happens in the next attempt before it is asked to revoke is the same as after a lost answer.
        target.forget(id_of(&lease_id));
        target.mood(Mood::Well);
        if restarted {
            world.restart().await;
        }
        world.pass(HOUR).await;
        assert_eq!(world.leases(), 0);
        assert_eq!(target.armed_with(), first, "it was armed again");
        let death = death(&world, &lease_id).await;
        assert_eq!(matches!(death, Death::NotProven { .. }), restarted, "{death:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hanging_login_holds_up_a_revocation_for_a_moment_only() {
    let (world, target) = world().await;
    let lease_id = issued(&world).await;
    target.mood(Mood::Hanging);
    assert!(!revoke(&world, &lease_id).await);
    target.mood(Mood::Well);
    world.pass(HOUR).await;
    assert_eq!((world.leases(), target.credentials().len()), (0, 0));
    assert!(whose(&world, &lease_id).await.death.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_rehearsal_proves_the_death_that_its_role_asks_for() {
    let (world, target) = world().await;
    let role = ("database/", "app");
    let rehearsal = world.broker().rehearse(&request(ROOT), role).await.unwrap();
    assert_eq!(rehearsal.failed(), None, "{rehearsal:?}");
    target.twist(Twist::Unarmed);
    let rehearsal = world.broker().rehearse(&request(ROOT), role).await.unwrap();
    let failed = rehearsal.failed().unwrap_or_default().to_owned();
    assert!(failed.contains("could not be given"), "{rehearsal:?}");
}
