//! What goes wrong around the laws: stores that fail half-way, records nobody can read, devices that hang,
//! renewals and revocations that meet.

#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::unchecked_time_subtraction,
    reason = "whatever is not as expected fails the test at once"
)]

use leasehold_core::broker::{
    Children, IssueError, MountWrite, RenewError, Side, TargetWrite, TokenRequest, Until,
    WhichToken,
};
use leasehold_core::store::StoreError;
use leasehold_core::time::Clock;
use leasehold_integration_tests::world::target::{Mood, SimulatedTarget};
use leasehold_integration_tests::world::{ROOT, World, request};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// A world with the role `app`, and its target.
async fn world(ttl: &str) -> (Arc<World>, Arc<SimulatedTarget>) {
    let world = World::new().await;
    let target = world.target("app", ttl, "48h").await;
    (Arc::new(world), target)
}

fn uncertain() -> StoreError {
    StoreError::Uncertain("told to be".into())
}

/// Starts an issue that the target takes some time for, and returns its lease's name once it is stored.
async fn issue_slowly(
    world: &Arc<World>,
) -> (tokio::task::JoinHandle<Result<(), IssueError>>, String) {
    let asking = tokio::spawn({
        let world = Arc::clone(world);
        async move { world.issue("app").await.map(|_| ()) }
    });
    world.pass(SECOND / 2).await;
    let listed = world.broker().list_leases(&request(ROOT), "database/creds/app").await.unwrap();
    (asking, format!("database/creds/app/{}", listed.first().unwrap()))
}

fn root_token() -> TokenRequest {
    TokenRequest { policies: vec!["root".into()], ttl: Some(HOUR * 20), ..TokenRequest::default() }
}

#[tokio::test(start_paused = true)]
async fn leases_that_are_due_while_the_store_cannot_be_read_are_not_forgotten() {
    let (world, target) = world("10m").await;
    for _ in 0..10 {
        world.issue("app").await.unwrap();
    }
    world.pass(MINUTE * 10 - SECOND).await;
    world.store.refuse_reads(true);
    world.pass(SECOND * 3).await;
    world.store.refuse_reads(false);
    world.pass(MINUTE).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_issue_that_may_have_been_stored_lapses_like_any_other() {
    let (world, _target) = world("10m").await;
    world.store.fail(Some(uncertain()));
    world.issue("app").await.unwrap_err();
    world.store.fail(None);
    world.pass(MINUTE * 11).await;
    assert_eq!(world.leases(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_may_have_been_stored_still_lapses() {
    let (world, target) = world("10m").await;
    let issued = world.issue("app").await.unwrap();
    world.pass(MINUTE).await;
    world.store.fail(Some(uncertain()));
    world.broker().renew(&request(ROOT), &issued.lease_id, None).await.unwrap_err();
    world.store.fail(None);
    world.pass(MINUTE * 11).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_revocation_that_may_have_been_stored_goes_on() {
    let (world, target) = world("24h").await;
    let issued = world.issue("app").await.unwrap();
    world.store.fail(Some(uncertain()));
    world.broker().revoke(&request(ROOT), &issued.lease_id, Until::Marked).await.unwrap_err();
    world.store.fail(None);
    world.pass(MINUTE).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_of_a_lease_whose_issue_may_still_land_makes_no_orphan() {
    let (world, target) = world("1h").await;
    target.mood(Mood::Slow(SECOND * 10));
    let (asking, lease) = issue_slowly(&world).await;
    // The process dies; what it asked lands later.
    asking.abort();
    world.restart().await;
    target.mood(Mood::Well);
    let renewed = world.broker().renew(&request(ROOT), &lease, None).await;
    assert!(matches!(renewed, Err(RenewError::Gone)), "{renewed:?}");
    world.pass(HOUR * 2).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_token_reaches_all_its_leases_whichever_write_fails() {
    for failing in 1..14 {
        let (world, target) = world("24h").await;
        let token = world.token(root_token()).await;
        for _ in 0..10 {
            world.issue_as(&token, "app").await.unwrap();
        }
        world.store.refuse_one(failing);
        let _ =
            world.broker().revoke_token(&request(&token), &WhichToken::Own, Children::End).await;
        world.pass(HOUR).await;
        assert_eq!((target.credentials().len(), world.leases()), (0, 0), "write {failing} failed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_after_its_target_was_deleted_changes_nothing() {
    let (world, _target) = world("1h").await;
    let issued = world.issue("app").await.unwrap();
    let root = request(ROOT);
    world.broker().delete_target(&root, "database/", "app", false).await.unwrap();
    let renewed = world.broker().renew(&root, &issued.lease_id, Some(HOUR * 20)).await;
    assert!(matches!(renewed, Err(RenewError::NoTarget(_))), "{renewed:?}");
    let view = world.broker().lookup_lease(&root, &issued.lease_id).await.unwrap();
    assert!(view.seconds_left <= 3600);
}

#[tokio::test(start_paused = true)]
async fn a_chain_of_three_thousand_tokens_ends_with_its_first() {
    let (world, _target) = world("1h").await;
    let first = world.token(root_token()).await;
    let mut last = first.clone();
    for _ in 0..3000 {
        let made = world.broker().create_token(&request(&last), root_token()).await.unwrap();
        made.text.reveal().clone_into(&mut last);
    }
    world.broker().revoke_token(&request(&first), &WhichToken::Own, Children::End).await.unwrap();
    world.pass(HOUR).await;
    assert!(world.broker().lookup_token(&request(&last), &WhichToken::Own).await.is_err());
    world.pass(HOUR * 10).await;
    assert_eq!(world.store.count("token/"), 1, "only the root token is left");
}

#[tokio::test(start_paused = true)]
async fn every_one_of_very_many_children_ends_with_its_parent() {
    let (world, target) = world("24h").await;
    let parent = world.token(root_token()).await;
    let mut children = Vec::new();
    for _ in 0..1100 {
        let made = world.broker().create_token(&request(&parent), root_token()).await.unwrap();
        world.issue_as(made.text.reveal(), "app").await.unwrap();
        children.push(made.text);
    }
    target.mood(Mood::Down);
    world.broker().revoke_token(&request(&parent), &WhichToken::Own, Children::End).await.unwrap();
    world.pass(SECOND).await;
    for child in &children {
        assert!(
            world.broker().lookup_token(&request(child.reveal()), &WhichToken::Own).await.is_err()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_hangs_keeps_no_credential_alive() {
    let (world, target) = world("1h").await;
    for _ in 0..3000 {
        world.issue("app").await.unwrap();
    }
    world.audit.hang(true);
    world.pass(HOUR + MINUTE * 5).await;
    assert_eq!(target.credentials().len(), 0);
    assert_eq!(world.leases(), 3000, "what is not recorded does not count");
    world.audit.hang(false);
    world.pass(HOUR).await;
    assert_eq!(world.leases(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_because_no_device_answers_is_told_which_were_asked() {
    let (world, _target) = world("1h").await;
    world.audit.hang(true);
    let refused = world.issue("app").await.unwrap_err().to_string();
    assert!(refused.contains("audit device `memory` did not record: none answered"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_answer_revokes_the_lease_even_if_it_was_revoked_or_renewed_meanwhile() {
    let (world, target) = world("10h").await;
    target.mood(Mood::Slow(SECOND * 2));
    let (asking, lease) = issue_slowly(&world).await;
    let renewed = world.broker().renew(&request(ROOT), &lease, None).await;
    assert!(matches!(renewed, Err(RenewError::NoLease)), "nobody was told of it: {renewed:?}");
    world.audit.refuse_answers(true);
    asking.await.unwrap().unwrap_err();
    world.audit.refuse_answers(false);
    target.mood(Mood::Well);
    world.pass(MINUTE).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_marked_while_it_is_issued_shows_no_secret() {
    let (world, target) = world("10h").await;
    target.mood(Mood::Slow(SECOND * 2));
    let (asking, lease) = issue_slowly(&world).await;
    world.broker().revoke(&request(ROOT), &lease, Until::Marked).await.unwrap();
    assert!(matches!(asking.await.unwrap(), Err(IssueError::Revoked)));
    world.pass(MINUTE).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn keeping_house_does_not_read_what_there_is_no_reason_to_read() {
    let (world, _target) = world("1h").await;
    for _ in 0..2000 {
        world.issue("app").await.unwrap();
    }
    world.pass(HOUR * 2).await;
    assert_eq!(world.store.count("history/"), 2000);
    let before = world.store.ranged();
    world.broker().housekeep().await.unwrap();
    assert!(world.store.ranged() - before < 100);
    world.pass(HOUR * 24 * 31).await;
    world.broker().housekeep().await.unwrap();
    assert_eq!((world.store.count("history/"), world.store.count("history-at/")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_led_to_an_unreadable_lease_holds_up_neither_its_token_nor_its_mount() {
    let (world, _target) = world("1h").await;
    let token = world.token(root_token()).await;
    world.issue_as(&token, "app").await.unwrap();
    world.store.damage("lease/");
    world.pass(HOUR * 2).await;
    world.broker().disable_mount(&request(ROOT), (Side::Engines, "database")).await.unwrap();
    world.pass(HOUR * 30).await;
    for _ in 0..3 {
        world.broker().housekeep().await.unwrap();
        world.pass(MINUTE).await;
    }
    let left = ["mount/", "of-role/", "of-token/", "due/"].map(|prefix| world.store.count(prefix));
    assert_eq!(left, [0; 4]);
    assert_eq!(world.store.count("token/"), 1, "only the root token is left");
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_lease_harms_no_other_even_if_it_cannot_be_put_aside() {
    let (world, target) = world("10m").await;
    world.issue("app").await.unwrap();
    world.store.damage("lease/");
    for _ in 0..20 {
        world.issue("app").await.unwrap();
    }
    world.pass(MINUTE * 10 - SECOND).await;
    world.store.fail(Some(StoreError::Refused("the disk is nearly full".into())));
    world.pass(SECOND * 2).await;
    world.store.fail(None);
    world.pass(MINUTE * 5).await;
    assert_eq!(target.credentials().len(), 1, "that of the unreadable one");
}

#[tokio::test(start_paused = true)]
async fn the_connections_of_a_mount_go_with_it() {
    let (world, target) = world("1h").await;
    world.issue("app").await.unwrap();
    world.broker().disable_mount(&request(ROOT), (Side::Engines, "database")).await.unwrap();
    world.pass(MINUTE).await;
    world.broker().housekeep().await.unwrap();
    // This test and the registry of simulated targets.
    assert_eq!(Arc::strong_count(&target), 2);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_written_while_its_mount_is_removed_leaves_nothing() {
    let (world, _target) = world("1h").await;
    let (target, fields) = SimulatedTarget::named("late");
    target.mood(Mood::Slow(SECOND * 5));
    let writing = tokio::spawn({
        let world = Arc::clone(&world);
        async move {
            let wanted = TargetWrite {
                mount: "database/".into(),
                name: "late".into(),
                plugin_name: Some("simulated".into()),
                fields,
                ..TargetWrite::default()
            };
            world.broker().write_target(&request(ROOT), wanted).await
        }
    });
    world.pass(SECOND).await;
    world.broker().disable_mount(&request(ROOT), (Side::Engines, "database")).await.unwrap();
    world.broker().housekeep().await.unwrap();
    assert_eq!(world.store.count("target/"), 0);
    world.pass(MINUTE).await;
    writing.await.unwrap().unwrap_err();
    assert_eq!(world.store.count("target/"), 0, "nobody would ever look for it");
}

#[tokio::test(start_paused = true)]
async fn what_is_held_back_at_a_target_is_forgotten_with_it_whichever_write_fails() {
    let (world, _target) = world("24h").await;
    let backup = world.back_up().await;
    for (failing, disables) in (0..8).flat_map(|failing| [(failing, false), (failing, true)]) {
        let (copy, root) = world.copied(&backup).await;
        let (broker, admin) = (copy.broker(), request(&root));
        let place = if disables {
            broker.disable_mount(&admin, (Side::Engines, "database/")).await.unwrap();
            "mount/"
        } else {
            broker.delete_target(&admin, "database/", "app", false).await.unwrap();
            "retired/"
        };
        assert_eq!((copy.store.count(place), copy.store.count("hold/")), (1, 1));
        copy.store.refuse_one(failing);
        let tidied = broker.housekeep().await;
        let left = copy.store.count(place);
        assert_eq!(copy.store.count("hold/"), left, "write {failing} failed of {place}");
        assert!(left == 0 || tidied.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_process_has_removed_does_not_end_the_housekeeping_of_this_one() {
    let (world, _target) = world("1h").await;
    let beside = world.beside(Arc::clone(&world.store)).await;
    world.broker().disable_mount(&request(ROOT), (Side::Engines, "database")).await.unwrap();
    // It reads of the closed mount with what it writes itself, and not of its removal.
    let other =
        MountWrite { path: "other".into(), kind: "database".into(), ..MountWrite::default() };
    beside.broker().enable_mount(&request(ROOT), other).await.unwrap();
    world.broker().housekeep().await.unwrap();
    beside.broker().housekeep().await.unwrap();
    assert_eq!(beside.broker().catalog().all_mounts().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn revoking_a_prefix_ends_though_its_role_goes_on_issuing() {
    let (world, target) = world("10h").await;
    for _ in 0..5 {
        world.issue("app").await.unwrap();
    }
    target.mood(Mood::Slow(Duration::from_millis(20)));
    let issuing = tokio::spawn({
        let world = Arc::clone(&world);
        async move {
            loop {
                let issuing = Arc::clone(&world);
                tokio::spawn(async move { issuing.issue("app").await.map(|_| ()) });
                world.pass(Duration::from_millis(10)).await;
            }
        }
    });
    world.pass(SECOND).await;
    let (broker, root) = (world.broker(), request(ROOT));
    let revoking = broker.revoke_prefix(&root, "database/creds/app", Until::Settled, false);
    tokio::time::timeout(MINUTE, revoking).await.expect("it ends").unwrap();
    issuing.abort();
}

#[tokio::test(start_paused = true)]
async fn two_mounts_made_at_once_do_not_hide_each_other() {
    let (world, _target) = world("1h").await;
    let mount = |path: &str| MountWrite {
        path: path.into(),
        kind: "database".into(),
        ..MountWrite::default()
    };
    let (broker, one, other) = (world.broker(), request(ROOT), request(ROOT));
    let made = tokio::join!(
        broker.enable_mount(&one, mount("a")),
        broker.enable_mount(&other, mount("a/b"))
    );
    assert!(made.0.is_ok() != made.1.is_ok(), "{made:?}");
}

#[tokio::test(start_paused = true)]
async fn leases_of_a_disabled_mount_are_seen_until_they_are_gone() {
    let (world, target) = world("10h").await;
    let issued = world.issue("app").await.unwrap();
    target.mood(Mood::Down);
    world.broker().disable_mount(&request(ROOT), (Side::Engines, "database")).await.unwrap();
    world.pass(MINUTE).await;
    let listed = world.broker().list_leases(&request(ROOT), "database/creds/app").await.unwrap();
    assert!(issued.lease_id.ends_with(listed.first().unwrap()));
    assert_eq!(world.broker().list_leases(&request(ROOT), "").await.unwrap(), ["database/"]);
    target.mood(Mood::Well);
    world.broker().revoke_prefix(&request(ROOT), "database", Until::Settled, false).await.unwrap();
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_needs_space_and_a_revocation_does_not() {
    let (world, target) = world("1h").await;
    let issued = world.issue("app").await.unwrap();
    world.store.keep_reserve(true);
    world.broker().renew(&request(ROOT), &issued.lease_id, None).await.unwrap_err();
    world.broker().revoke(&request(ROOT), &issued.lease_id, Until::Settled).await.unwrap();
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_comes_back_is_clean_within_seconds_of_its_next_probe() {
    let (world, target) = world("1h").await;
    let issued = world.issue("app").await.unwrap();
    target.mood(Mood::Down);
    for _ in 0..12 {
        world.broker().revoke(&request(ROOT), &issued.lease_id, Until::Settled).await.unwrap_err();
    }
    target.mood(Mood::Well);
    let before = world.clock.now();
    while world.leases() > 0 {
        world.pass(SECOND).await;
    }
    assert!(world.clock.now().since(before) < MINUTE, "who asked made it wait");
}

#[test]
fn what_is_debugged_holds_no_secret() {
    let fields = serde_json::json!({ "password": "canary" });
    let fields = fields.as_object().cloned().unwrap();
    let shown = format!("{:?}", TargetWrite { fields, ..TargetWrite::default() });
    assert!(!shown.contains("canary"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_begins_by_a_later_clock_still_waits_for_what_the_dead_one_asked() {
    let (world, target) = world("1h").await;
    world.stop_sweeping();
    target.mood(Mood::Late(SECOND * 30));
    let (asking, _lease) = issue_slowly(&world).await;
    asking.abort();
    world.clock.step_wall_forward(HOUR * 2);
    world.restart().await;
    target.mood(Mood::Well);
    world.pass(HOUR * 4).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_the_target_did_not_confirm_leaves_the_end_that_its_holder_knows() {
    for mood in [Mood::Down, Mood::LosingAnswers] {
        let (world, target) = world("1h").await;
        let issued = world.issue("app").await.unwrap();
        target.mood(mood);
        let renewed = world.broker().renew(&request(ROOT), &issued.lease_id, Some(HOUR * 20)).await;
        assert!(matches!(renewed, Err(RenewError::Target(_))), "{renewed:?}");
        target.mood(Mood::Well);
        let view = world.broker().lookup_lease(&request(ROOT), &issued.lease_id).await.unwrap();
        assert!((3500..=3600).contains(&view.seconds_left), "{} s left", view.seconds_left);
        world.pass(HOUR + MINUTE).await;
        assert_eq!((target.credentials().len(), world.leases()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_renewed_at_the_moment_it_lapses_lives_on() {
    let (world, _target) = world("1h").await;
    let wanted = TokenRequest { period: SECOND * 10, ..root_token() };
    let token = world.token(wanted).await;
    // Renewed again and again within the last millisecond, until the sweep has looked in between.
    for _ in 0..50 {
        world.pass(SECOND * 10 - Duration::from_millis(1)).await;
        let renews = world.broker();
        let request = request(&token);
        renews.renew_token(&request, &WhichToken::Own, None).await.unwrap();
    }
    world.pass(SECOND * 9).await;
    world.broker().lookup_token(&request(&token), &WhichToken::Own).await.unwrap();
}
