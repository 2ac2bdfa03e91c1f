//! A store of an earlier hour meets a world that went on; and a copy of it meets the original.

#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::unchecked_time_subtraction,
    reason = "whatever is not as expected fails the test at once"
)]

use leasehold_core::broker::{
    IdempotencyKey, IssueError, MountWrite, RenewError, Request, RevokeError, TakeOverError,
    TargetWrite, TokenRequest, Until, WhichToken,
};
use leasehold_core::ids::LeaseId;
use leasehold_core::restore::goes_into_a_copy;
use leasehold_core::store::Key;
use leasehold_core::store::holds::HoldCause;
use leasehold_core::time::Clock;
use leasehold_integration_tests::world::target::{Mood, SimulatedTarget};
use leasehold_integration_tests::world::{ROOT, World, request};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

fn id_of(lease_id: &str) -> LeaseId {
    lease_id.rsplit('/').next().unwrap().parse().unwrap()
}

async fn world() -> (World, Arc<SimulatedTarget>) {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    (world, target)
}

/// Issues, and returns the lease's name.
async fn lend(world: &World) -> String {
    world.issue("app").await.unwrap().lease_id
}

async fn renew(world: &World, lease_id: &str, by: Duration) {
    world.broker().renew(&request(ROOT), lease_id, Some(by)).await.unwrap();
}

async fn revoke(world: &World, lease_id: &str) {
    world.broker().revoke(&request(ROOT), lease_id, Until::Settled).await.unwrap();
}

/// What happened after the backup of a world.
struct WentOn {
    backup: Vec<u8>,
    /// Lent before the backup, and left alone.
    kept: String,
    /// Lent before, and renewed since for ten hours.
    renewed: String,
    /// Lent before, and revoked since.
    revoked: String,
    /// Lent since.
    since: String,
}

/// Takes a backup, and lets the world go on for an hour and a half.
async fn goes_on(world: &World) -> WentOn {
    let (kept, renewed, revoked) = (lend(world).await, lend(world).await, lend(world).await);
    let backup = world.back_up().await;
    world.pass(MINUTE * 30).await;
    renew(world, &renewed, HOUR * 10).await;
    revoke(world, &revoked).await;
    world.pass(MINUTE * 15).await;
    let since = lend(world).await;
    world.pass(MINUTE * 45 - SECOND).await;
    WentOn { backup, kept, renewed, revoked, since }
}

fn lives(target: &SimulatedTarget, lease_id: &str) -> bool {
    target.credentials().contains_key(&id_of(lease_id))
}

#[tokio::test(start_paused = true)]
async fn last_hours_backup_restored_into_a_world_that_went_on_forgets_nothing_and_kills_nothing() {
    let (world, target) = world().await;
    let story = goes_on(&world).await;
    assert!(!lives(&target, &story.kept), "its term was over before the restore");
    assert_eq!(target.credentials().len(), 2);

    let world = world.restored(&story.backup).await;
    // Until all has landed that was asked for before the restore, nobody says that a lease does not exist.
    let asked = world.broker().revoke(&request(ROOT), &story.since, Until::Settled).await;
    assert!(matches!(asked, Err(RevokeError::NotCompared)), "{asked:?}");
    world.pass(MINUTE + SECOND).await;
    // Compared by itself: what was lent since is on a lease, and what was renewed since has its later end.
    assert_eq!(world.store.count("hold/"), 0);
    assert!(lives(&target, &story.renewed) && lives(&target, &story.since));
    let adopted = world.broker().list_leases(&request(ROOT), "database/creds/adopted").await;
    assert_eq!(adopted.unwrap(), [story.since.rsplit('/').next().unwrap()]);
    // What was revoked since stays so: its lease, long over, is settled and nothing makes it anew.
    assert!(!lives(&target, &story.revoked));
    assert_eq!(world.leases(), 2);

    // The one lent since ends at its own time, within the quarter of an hour that is left to it.
    world.pass(MINUTE * 15 + SECOND * 2).await;
    assert!(!lives(&target, &story.since));
    // The renewed one lives until its later end, and can be renewed as ever.
    world.pass(HOUR * 8).await;
    assert!(lives(&target, &story.renewed), "a renewed credential died early");
    renew(&world, &story.renewed, HOUR).await;
    world.pass(HOUR + SECOND).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_store_whose_time_is_ahead_of_the_clock_is_restored_in_its_own_time() {
    let (world, target) = world().await;
    world.clock.step_wall_back(HOUR * 2);
    let accepted = world.broker().accept_clock(&request(ROOT)).await.unwrap();
    assert_eq!(accepted.ahead, HOUR * 2);
    let token = world.token(TokenRequest { ttl: Some(HOUR), ..TokenRequest::default() }).await;
    let story = goes_on(&world).await;

    let world = world.restored(&story.backup).await;
    world.pass(SECOND).await;
    assert!(lives(&target, &story.renewed), "its renewal was taken for one that the store knows");
    // The backup alone is no reason to doubt the clock, and the token has its further term from now.
    assert_eq!(world.broker().clock_state().doubt, None);
    world.issue_as(&token, "app").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn while_a_target_is_down_nothing_of_it_lapses_and_all_else_goes_on() {
    let (world, target) = world().await;
    let other = world.target("other", "1h", "24h").await;
    world.issue("other").await.unwrap();
    let story = goes_on(&world).await;
    target.mood(Mood::Down);

    let world = world.restored(&story.backup).await;
    world.pass(HOUR * 2).await;
    // The other target was compared at once, and what lapsed there is gone.
    assert_eq!(other.credentials().len(), 0);
    assert_eq!((world.store.count("hold/"), target.credentials().len()), (1, 2));
    let held = world.broker().restore_status(&request(ROOT)).await.unwrap();
    assert_eq!((held.len(), held[0].name.as_str()), (1, "database/app"));
    assert_eq!(held[0].hold.cause, HoldCause::Restored);
    let told = world.broker().readings().on_hold;
    assert_eq!(told, [(HoldCause::Restored, 1), (HoldCause::Copied, 0)]);
    assert!(held[0].attempts > 3 && held[0].error.as_deref().unwrap().contains("down"));
    assert!(held[0].retry_at.unwrap() > world.clock.now());

    // A restart changes nothing about it.
    world.restart().await;
    world.pass(HOUR).await;
    assert_eq!((world.store.count("hold/"), target.credentials().len()), (1, 2));

    target.mood(Mood::Well);
    world.pass(MINUTE * 16).await;
    assert_eq!(world.store.count("hold/"), 0);
    assert!(world.broker().restore_status(&request(ROOT)).await.unwrap().is_empty());
    // The one lent since was over long ago.
    assert!(lives(&target, &story.renewed) && !lives(&target, &story.since));
    world.pass(HOUR * 10).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn only_who_revokes_at_a_mount_that_waits_is_told_that_there_may_be_more() {
    let (world, target) = world().await;
    let mount = |path: &str| MountWrite {
        path: path.into(),
        kind: "database".into(),
        ..MountWrite::default()
    };
    world.broker().enable_mount(&request(ROOT), mount("other")).await.unwrap();
    target.mood(Mood::Down);
    let world = world.restored(&world.back_up().await).await;
    let unknown = LeaseId::from_bytes([9; 16]);
    let broker = world.broker();
    let asked = async |lease: String| broker.revoke(&request(ROOT), &lease, Until::Settled).await;
    let under =
        async |prefix| broker.revoke_prefix(&request(ROOT), prefix, Until::Marked, false).await;
    for waits in [format!("database/creds/app/{unknown}"), format!("unknown/creds/app/{unknown}")] {
        let told = asked(waits).await;
        assert!(matches!(told, Err(RevokeError::NotCompared)), "{told:?}");
    }
    asked(format!("other/creds/app/{unknown}")).await.unwrap();
    assert!(matches!(under("database/creds/app").await, Err(RevokeError::NotCompared)));
    assert!(matches!(under("database").await, Err(RevokeError::NotCompared)));
    under("other").await.unwrap();
    target.mood(Mood::Well);
    world.pass(MINUTE * 2).await;
    under("database").await.unwrap();
    asked(format!("database/creds/app/{unknown}")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn while_a_target_waits_for_its_comparison_callers_issue_renew_and_revoke() {
    let (world, target) = world().await;
    let (kept, revoked) = (lend(&world).await, lend(&world).await);
    let backup = world.back_up().await;
    let world = world.restored(&backup).await;
    // Nothing is compared while nothing is swept.
    world.stop_sweeping();
    let fresh = lend(&world).await;
    renew(&world, &kept, HOUR * 2).await;
    revoke(&world, &revoked).await;
    assert!(lives(&target, &fresh) && !lives(&target, &revoked));
    assert_eq!(world.store.count("hold/"), 1);

    world.restart().await;
    world.pass(HOUR + SECOND).await;
    assert!(lives(&target, &kept) && !lives(&target, &fresh));
    assert_eq!(world.store.count("lease/"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_comparison_that_breaks_off_anywhere_is_continued_by_the_next_process() {
    // Six leases are adopted, and then the hold is lifted.
    for at in 0..7 {
        let (world, target) = world().await;
        let backup = world.back_up().await;
        for _ in 0..6 {
            lend(&world).await;
        }
        let world = world.restored(&backup).await;
        world.pass(MINUTE - SECOND).await;
        world.store.refuse_one(at);
        world.pass(SECOND * 2).await;
        world.restart().await;
        world.pass(MINUTE + SECOND).await;
        assert_eq!((world.store.count("hold/"), world.leases()), (0, 6), "broke off at {at}");
        assert_eq!(target.credentials().len(), 6);
        world.pass(HOUR).await;
        assert_eq!((target.credentials().len(), world.leases()), (0, 0), "broke off at {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_taken_over_never_passes_the_ceiling() {
    let (world, target) = world().await;
    let lease = lend(&world).await;
    let backup = world.back_up().await;
    world.pass(MINUTE).await;
    target.plant(id_of(&lease), Some(world.clock.now().plus(HOUR * 1000)));
    let world = world.restored(&backup).await;
    world.pass(HOUR * 24 - MINUTE - SECOND * 5).await;
    assert!(lives(&target, &lease));
    world.pass(SECOND * 10).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn where_a_target_knows_no_ends_a_lease_gets_one_more_term_and_what_was_lent_since_ends() {
    let (world, target) = world().await;
    target.forget_ends();
    let lease = lend(&world).await;
    let backup = world.back_up().await;
    world.pass(MINUTE * 50).await;
    renew(&world, &lease, HOUR).await;
    lend(&world).await;
    world.pass(MINUTE * 20).await;
    let world = world.restored(&backup).await;
    world.pass(MINUTE + SECOND * 5).await;
    assert!(lives(&target, &lease));
    assert_eq!(target.credentials().len(), 1, "nobody would ever have ended the one lent since");
    world.pass(HOUR).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_good_gets_one_more_term_and_its_leases_live_on() {
    let (world, target) = world().await;
    let wanted = |ttl| TokenRequest { ttl: Some(ttl), ..TokenRequest::default() };
    let renewable = world.token(wanted(HOUR)).await;
    let bounded =
        world.token(TokenRequest { explicit_max_ttl: MINUTE * 100, ..wanted(HOUR) }).await;
    let fixed = world.token(TokenRequest { not_renewable: true, ..wanted(HOUR) }).await;
    let over = world.token(wanted(MINUTE)).await;
    let lease = world.issue_as(&renewable, "app").await.unwrap().lease_id;
    renew(&world, &lease, HOUR * 10).await;
    world.pass(MINUTE * 2).await;
    let backup = world.back_up().await;
    world.pass(MINUTE * 48).await;
    for token in [&renewable, &bounded] {
        world.broker().renew_token(&request(token), &WhichToken::Own, None).await.unwrap();
    }
    world.pass(MINUTE * 40).await;

    let world = world.restored(&backup).await;
    world.pass(SECOND).await;
    let good = async |token: &str| world.issue_as(token, "app").await.is_ok();
    assert!(good(&renewable).await && good(&bounded).await);
    assert!(!good(&fixed).await && !good(&over).await);
    assert!(lives(&target, &lease), "a lease fell with a token whose renewal was forgotten");
    // Law 4: not past its own bound, and not for ever.
    world.pass(MINUTE * 10).await;
    assert!(good(&renewable).await && !good(&bounded).await);
    world.pass(HOUR).await;
    assert!(!good(&renewable).await && !lives(&target, &lease));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_was_deleted_or_pointed_elsewhere_before_the_backup_is_compared_too() {
    let (world, target) = world().await;
    let lease = lend(&world).await;
    renew(&world, &lease, HOUR).await;
    let broker = world.broker();
    broker.delete_target(&request(ROOT), "database/", "app", false).await.unwrap();
    let backup = world.back_up().await;
    // Its mark leads to the target, so what nobody knows of is found.
    target.plant(world.broker().new_lease_id(), None);
    let world = world.restored(&backup).await;
    world.broker().housekeep().await.unwrap();
    world.pass(HOUR * 2).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
    world.broker().housekeep().await.unwrap();
    assert_eq!((world.store.count("hold/"), world.store.count("retired/")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_pointed_elsewhere_while_it_waits_is_compared_at_both_places() {
    let (world, old) = world().await;
    let backup = world.back_up().await;
    let lost = lend(&world).await;
    old.mood(Mood::Down);
    let world = world.restored(&backup).await;
    world.pass(MINUTE).await;
    let (new, fields) = SimulatedTarget::named("app");
    new.plant(world.broker().new_lease_id(), None);
    let write = TargetWrite {
        mount: "database/".into(),
        name: "app".into(),
        fields,
        moved: Some(false),
        ..TargetWrite::default()
    };
    world.broker().write_target(&request(ROOT), write).await.unwrap();
    world.pass(MINUTE).await;
    assert_eq!(new.credentials().len(), 0, "what was there was adopted, and lapsed at once");
    world.broker().housekeep().await.unwrap();
    old.mood(Mood::Well);
    world.pass(MINUTE * 16).await;
    assert!(lives(&old, &lost));
    world.pass(HOUR).await;
    assert_eq!((old.credentials().len(), world.leases(), world.store.count("hold/")), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_copy_asks_nothing_of_any_target_and_harms_nothing_of_the_original() {
    let (world, target) = world().await;
    let lease = lend(&world).await;
    let token = world.token(TokenRequest::default()).await;
    let backup = world.back_up().await;
    let asked = target.asked_times();

    let (copy, root) = world.copied(&backup).await;
    assert_ne!(copy.broker().installation(), world.broker().installation());
    for gone in ["lease/", "due/", "of-", "history", "child/", "token-due/"] {
        assert_eq!(copy.store.count(gone), 0, "{gone}");
    }
    // No token of the original is good there, and the copy's is not at the original.
    for bad in [token.as_str(), ROOT] {
        assert!(matches!(copy.issue_as(bad, "app").await, Err(IssueError::Admit(_))));
    }
    assert!(matches!(world.issue_as(&root, "app").await, Err(IssueError::Admit(_))));

    let (broker, admin) = (copy.broker(), request(&root));
    let refused = copy.issue_as(&root, "app").await.unwrap_err().to_string();
    assert!(refused.contains("leasehold operator take-over database/app"), "{refused}");
    assert!(broker.reconcile(&admin, "database/", "app").await.is_err());
    assert!(matches!(broker.renew(&admin, &lease, None).await, Err(RenewError::NoLease)));
    broker.revoke(&admin, &lease, Until::Settled).await.unwrap();
    broker.revoke_prefix(&admin, "database/", Until::Settled, false).await.unwrap();
    let write =
        TargetWrite { mount: "database/".into(), name: "app".into(), ..TargetWrite::default() };
    broker.write_target(&admin, write).await.unwrap();
    broker.housekeep().await.unwrap();
    copy.pass(MINUTE * 30).await;
    copy.restart().await;
    copy.pass(MINUTE * 20).await;
    assert_eq!(target.asked_times(), asked, "the copy asked the target something");
    assert!(lives(&target, &lease));

    // Taken over, it sees only its own.
    let broker = copy.broker();
    let held = broker.restore_status(&admin).await.unwrap();
    assert_eq!((held.len(), held[0].hold.cause), (1, HoldCause::Copied));
    let missing = broker.take_over(&admin, "database/none").await;
    assert!(matches!(missing, Err(TakeOverError::NoTarget(_))));
    broker.take_over(&admin, "database/app").await.unwrap();
    let again = broker.take_over(&admin, "database/app").await;
    assert!(matches!(again, Err(TakeOverError::NotCopied(_))));
    copy.issue_as(&root, "app").await.unwrap();
    copy.pass(MINUTE * 2).await;
    let admins = [(&broker, &admin), (&world.broker(), &request(ROOT))];
    for (broker, admin) in admins {
        let compared = broker.reconcile(admin, "database/", "app").await.unwrap();
        assert_eq!(compared.report.differences, []);
    }
    broker.revoke_prefix(&admin, "database/", Until::Settled, false).await.unwrap();
    assert_eq!(target.credentials().len(), 1);
    assert!(lives(&target, &lease), "the copy removed what is the original's");
    // And the original goes on as ever.
    renew(&world, &lease, HOUR).await;
}

#[tokio::test(start_paused = true)]
async fn the_target_of_a_copy_can_be_pointed_elsewhere_before_it_is_taken_over() {
    let (world, production) = world().await;
    lend(&world).await;
    let backup = world.back_up().await;
    let asked = production.asked_times();
    let (copy, root) = world.copied(&backup).await;
    let (staging, fields) = SimulatedTarget::named("app");
    let write = TargetWrite {
        mount: "database/".into(),
        name: "app".into(),
        fields,
        ..TargetWrite::default()
    };
    copy.broker().write_target(&request(&root), write).await.unwrap();
    assert!(copy.issue_as(&root, "app").await.is_err());
    copy.broker().housekeep().await.unwrap();
    copy.broker().take_over(&request(&root), "database/app").await.unwrap();
    copy.issue_as(&root, "app").await.unwrap();
    assert_eq!((staging.credentials().len(), production.asked_times()), (1, asked));
    assert_eq!((copy.store.count("hold/"), copy.store.count("retired/")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_backup_of_a_copy_is_restored_as_one() {
    let (world, target) = world().await;
    let (copy, root) = world.copied(&world.back_up().await).await;
    let backup = copy.back_up_as(&root).await;
    let asked = target.asked_times();
    let copy = copy.restored(&backup).await;
    copy.pass(HOUR).await;
    assert_eq!(target.asked_times(), asked);
    assert_eq!(copy.broker().restore_status(&request(&root)).await.unwrap().len(), 1);
    let told = copy.broker().readings().on_hold;
    assert_eq!(told, [(HoldCause::Restored, 0), (HoldCause::Copied, 1)]);
}

/// Whoever adds a kind of record decides here, and in `goes_into_a_copy`, whether copies have it.
#[tokio::test(start_paused = true)]
async fn a_copy_holds_what_operators_set_up_and_nothing_else() {
    let (world, _) = world().await;
    let token = world.token(TokenRequest { num_uses: 3, ..TokenRequest::default() }).await;
    let idempotency_key = Some(IdempotencyKey::parse(b"k").unwrap());
    let repeatable = Request { idempotency_key, ..request(&token) };
    world.broker().issue(&repeatable, "database/", "app").await.unwrap();
    let gone = lend(&world).await;
    revoke(&world, &gone).await;
    world.broker().housekeep().await.unwrap();
    assert_eq!((world.store.count("repeat/"), world.store.count("clock/")), (1, 1));
    let (copy, _) = world.copied(&world.back_up().await).await;
    // Its audit device has drawn keys of its own, and has a chain of its own.
    assert!(!goes_into_a_copy(&Key(b"audit-device/memory".to_vec())));
    assert!(!goes_into_a_copy(&Key(b"audit-head/memory".to_vec())));
    let known = "seal mount mount-path target role hold token accessor audit-device audit-head policy access";
    let known = known.split(' ').map(|prefix| format!("{prefix}/"));
    let counted: usize = known.map(|prefix| copy.store.count(&prefix)).sum();
    assert_eq!(counted, copy.store.count(""));
    assert_eq!((copy.store.count("policy/"), copy.store.count("access/")), (1, 1));
    assert_eq!((copy.store.count("token/"), copy.store.count("accessor/")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_nobody_may_take_or_record_is_not_taken() {
    let (world, _) = world().await;
    let broker = world.broker();
    assert!(broker.back_up(&request("nobody")).await.is_err());
    world.audit.refuse(true);
    assert!(broker.back_up(&request(ROOT)).await.is_err());
    world.audit.refuse(false);
    let running = broker.back_up(&request(ROOT)).await.unwrap();
    assert!(broker.back_up(&request(ROOT)).await.is_err());
    drop(running);
    assert!(broker.back_up(&request(ROOT)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn until_the_comparison_nobody_is_told_that_all_under_a_prefix_is_gone() {
    let (world, target) = world().await;
    let backup = world.back_up().await;
    lend(&world).await;
    let world = world.restored(&backup).await;
    let all = async || {
        let root = request(ROOT);
        world.broker().revoke_prefix(&root, "database/", Until::Settled, false).await
    };
    let early = all().await;
    assert!(matches!(early, Err(RevokeError::NotCompared)), "{early:?}");
    assert_eq!(target.credentials().len(), 1);
    world.pass(MINUTE + SECOND).await;
    all().await.unwrap();
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}
