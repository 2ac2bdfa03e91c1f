//! Credentials that nothing ends, and that are refused instead: by a denial that is shared, written whole, and never
//! forgets one that lives.

use super::{HOUR, SECOND};
use futures_util::future::{join, join_all};
use leasehold_core::broker::{Abandon, Issued, RevokeError, Revoked, RoleWrite, Until};
use leasehold_core::limits::{
    DENIAL_KEPT, DENIAL_LANDS_WITHIN, DENIAL_READ_EVERY, DENIAL_TURN, DENY_WITHIN, ISSUE_WITHIN,
};
use leasehold_core::time::Clock;
use leasehold_integration_tests::world::target::{Mood, SimulatedTarget};
use leasehold_integration_tests::world::{ROOT, World, request};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_mins(1);

/// A world with a role whose credentials live for an hour, and can be refused.
async fn world() -> (World, Arc<SimulatedTarget>) {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    write_role(&world, json!({"lives": 3600, "denied_at": "there"})).await;
    (world, target)
}

async fn write_role(world: &World, fields: Value) {
    write_role_of(world, "app", fields).await;
}

async fn write_role_of(world: &World, name: &str, fields: Value) {
    let write = RoleWrite {
        mount: "database/".into(),
        name: name.into(),
        fields: fields.as_object().unwrap().clone(),
        ..RoleWrite::default()
    };
    world.broker().write_role(&request(ROOT), write).await.unwrap();
}

async fn lent(world: &World, many: usize) -> Vec<Issued> {
    let mut issued = Vec::new();
    for _ in 0..many {
        issued.push(world.issue("app").await.unwrap());
    }
    issued
}

async fn revoked(world: &World, issued: &Issued) -> Result<Revoked, RevokeError> {
    world.broker().revoke(&request(ROOT), &issued.lease_id, Until::Settled).await
}

fn all_denied(target: &SimulatedTarget, issued: &[Issued]) -> bool {
    issued.iter().all(|issued| target.denies(issued.lease))
}

#[tokio::test(start_paused = true)]
async fn one_that_is_revoked_is_refused_until_it_has_ended_and_then_nothing_is_left() {
    let (world, target) = world().await;
    let issued = lent(&world, 3).await;
    let (one, other) = (&issued[0], &issued[1]);
    assert!(matches!(revoked(&world, one).await, Ok(Revoked::Denied(None))));
    assert!(target.denies(one.lease) && !target.denies(other.lease));
    world.pass(MINUTE).await;
    assert!(matches!(revoked(&world, other).await, Ok(Revoked::Denied(None))));
    assert!(target.denies(one.lease) && target.denies(other.lease));
    let writes = target.denials_written();
    assert!(matches!(revoked(&world, one).await, Ok(Revoked::Denied(None))), "as often as asked");
    world.restart().await;
    world.pass(HOUR - MINUTE * 2).await;
    assert_eq!((world.leases(), target.denials_written()), (3, writes));
    world.pass(MINUTE + ISSUE_WITHIN + SECOND).await;
    assert_eq!((world.leases(), target.denial()), (0, None));
    assert_eq!(world.store.count("denial/"), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_ends_in_its_time_is_never_refused() {
    let (world, target) = world().await;
    lent(&world, 2).await;
    world.pass(HOUR + ISSUE_WITHIN + SECOND).await;
    assert_eq!((world.leases(), target.denials_written()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn many_revocations_at_once_share_a_few_writes_and_lose_none() {
    let (world, target) = world().await;
    let issued = lent(&world, 64).await;
    target.mood(Mood::Slow(SECOND));
    let all = join_all(issued.iter().map(|one| revoked(&world, one))).await;
    assert!(all.iter().all(|one| matches!(one, Ok(Revoked::Denied(None)))), "{all:?}");
    assert!(all_denied(&target, &issued));
    assert!(target.denials_written() <= 3, "{}", target.denials_written());
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_revoke_at_once_lose_none() {
    let (world, target) = world().await;
    let node = world.beside(Arc::clone(&world.store)).await;
    let issued = lent(&world, 20).await;
    target.mood(Mood::Slow(SECOND * 5));
    let (here, there) = issued.split_at(10);
    let here = join_all(here.iter().map(|one| revoked(&world, one)));
    let there = join_all(there.iter().map(|one| revoked(&node, one)));
    join(here, there).await;
    // Who came second was told to wait, and the sweep has seen to it.
    world.pass(MINUTE * 2).await;
    assert!(all_denied(&target, &issued));
    world.pass(DENIAL_LANDS_WITHIN + DENIAL_TURN * 2).await;
    assert!(all_denied(&target, &issued));
    world.pass(HOUR).await;
    assert_eq!((world.leases(), target.denial()), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_the_record_and_the_write_is_rolled_forward() {
    let (world, target) = world().await;
    let issued = lent(&world, 2).await;
    target.mood(Mood::Hanging);
    let asked = tokio::time::timeout(SECOND, revoked(&world, &issued[0])).await;
    assert!(asked.is_err(), "it hangs");
    assert_eq!((world.store.count("denial/"), target.denial()), (1, None));
    world.restart().await;
    target.mood(Mood::Well);
    world.pass(DENIAL_TURN + MINUTE * 2).await;
    assert!(target.denies(issued[0].lease));
}

/// Law 6, for what is written and not created.
#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_undoes_nothing_however_late_it_lands() {
    let (world, target) = world().await;
    let issued = lent(&world, 2).await;
    target.mood(Mood::Late(DENIAL_LANDS_WITHIN));
    revoked(&world, &issued[0]).await.unwrap_err();
    target.mood(Mood::Well);
    let told = revoked(&world, &issued[1]).await;
    assert!(matches!(&told, Ok(Revoked::Denied(Some(why))) if why.contains("again")), "{told:?}");
    assert!(all_denied(&target, &issued));
    world.pass(DENIAL_LANDS_WITHIN + SECOND).await;
    assert!(!target.denies(issued[1].lease), "what was late has landed");
    world.pass(DENY_WITHIN + DENIAL_TURN).await;
    assert!(all_denied(&target, &issued), "and is written over");
    world.pass(HOUR).await;
    assert_eq!((world.leases(), target.denial(), world.store.count("denial/")), (0, None, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_late_write_may_bring_back_is_waited_for_after_the_last_one_has_ended() {
    let (world, target) = world().await;
    let issued = lent(&world, 1).await;
    world.pass(HOUR - MINUTE * 2).await;
    target.mood(Mood::Late(DENIAL_LANDS_WITHIN));
    revoked(&world, &issued[0]).await.unwrap_err();
    target.mood(Mood::Well);
    world.pass(MINUTE * 5).await;
    assert_eq!(world.leases(), 1, "it has ended, and what refuses it may still land");
    world.pass(DENIAL_LANDS_WITHIN * 3).await;
    assert_eq!((world.leases(), target.denial(), world.store.count("denial/")), (0, None, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_there_is_no_room_for_is_told_so_and_refused_once_there_is() {
    let (world, target) = world().await;
    target.room_for_names(3);
    let early = lent(&world, 2).await;
    world.pass(MINUTE * 30).await;
    let late = lent(&world, 3).await;
    for one in early.iter().chain(&late[..1]) {
        assert!(matches!(revoked(&world, one).await, Ok(Revoked::Denied(None))));
    }
    let both = join(revoked(&world, &late[1]), revoked(&world, &late[2])).await;
    for told in [both.0, both.1] {
        assert!(matches!(&told, Ok(Revoked::Lives(why)) if why.contains("no room")), "{told:?}");
    }
    assert!(all_denied(&target, &early) && target.denies(late[0].lease));
    // The first two have ended.
    world.pass(MINUTE * 46).await;
    assert!(all_denied(&target, &late));
    world.pass(MINUTE * 30).await;
    assert_eq!((world.leases(), target.denial()), (0, None));
}

#[tokio::test(start_paused = true)]
async fn as_many_as_there_is_room_for_are_refused_of_those_that_are_revoked_together() {
    let (world, target) = world().await;
    target.room_for_names(13);
    let issued = lent(&world, 30).await;
    let all = join_all(issued.iter().map(|one| revoked(&world, one))).await;
    let refused = all.iter().filter(|told| matches!(told, Ok(Revoked::Denied(None)))).count();
    let living = all.iter().filter(|told| matches!(told, Ok(Revoked::Lives(_)))).count();
    assert_eq!((refused, living), (13, 17), "{all:?}");
    let denied = issued.iter().filter(|one| target.denies(one.lease)).count();
    assert_eq!(denied, 13);
}

#[tokio::test(start_paused = true)]
async fn where_a_role_says_so_all_that_is_older_is_refused_when_it_is_full_and_nothing_newer() {
    let (world, target) = world().await;
    target.room_for_names(2);
    let issued = lent(&world, 4).await;
    for one in &issued[..2] {
        revoked(&world, one).await.unwrap();
    }
    assert!(matches!(revoked(&world, &issued[2]).await, Ok(Revoked::Lives(_))));
    let fields = json!({"lives": 3600, "denied_at": "there", "denies_older": true});
    write_role(&world, fields).await;
    world.pass(MINUTE).await;
    let told = revoked(&world, &issued[2]).await;
    let Ok(Revoked::Denied(Some(why))) = &told else { panic!("{told:?}") };
    assert!(why.contains("all that is as old"), "{why}");
    let stands = target.denial().unwrap();
    assert_eq!(stands.names, Vec::<String>::new());
    let than = stands.older_than.unwrap();
    assert!(than <= world.clock.now());
    // One that is made later has its name written, and there is room.
    world.pass(MINUTE).await;
    let newer = lent(&world, 1).await;
    assert!(matches!(revoked(&world, &newer[0]).await, Ok(Revoked::Denied(None))));
    assert!(target.denies(newer[0].lease));
    assert_eq!(target.denial().unwrap().older_than, Some(than));
    world.pass(HOUR - MINUTE).await;
    let stands = target.denial().unwrap();
    assert_eq!((stands.older_than, stands.names.len()), (None, 1), "the older ones have ended");
    world.pass(MINUTE * 5).await;
    assert_eq!((world.leases(), target.denial()), (0, None));
}

/// By when it was made is not known better than by when its issue was over, which may be later than its revocation.
#[tokio::test(start_paused = true)]
async fn one_that_is_revoked_at_once_stays_among_what_is_older() {
    let (world, target) = world().await;
    target.room_for_names(0);
    let fields = json!({"lives": 3600, "denied_at": "there", "denies_older": true});
    write_role(&world, fields).await;
    let issued = lent(&world, 1).await;
    assert!(matches!(revoked(&world, &issued[0]).await, Ok(Revoked::Denied(Some(_)))));
    let writes = target.denials_written();
    world.pass(MINUTE).await;
    assert!(matches!(revoked(&world, &issued[0]).await, Ok(Revoked::Denied(Some(_)))));
    assert_eq!(target.denials_written(), writes);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_refused_is_told_and_tried_again_and_keeps_no_lease_past_its_end() {
    let (world, target) = world().await;
    let issued = lent(&world, 2).await;
    target.mood(Mood::Down);
    let told = revoked(&world, &issued[0]).await;
    assert!(matches!(told, Err(RevokeError::Target { .. })), "{told:?}");
    assert_eq!(world.store.count("denial/"), 0, "nothing was written, and that is known");
    target.mood(Mood::Well);
    world.pass(MINUTE * 2).await;
    assert!(target.denies(issued[0].lease));
    target.mood(Mood::Down);
    revoked(&world, &issued[1]).await.unwrap_err();
    world.pass(MINUTE).await;
    assert!(target.denies(issued[0].lease) && !target.denies(issued[1].lease));
}

#[tokio::test(start_paused = true)]
async fn one_whose_secret_nobody_was_told_takes_no_room() {
    let (world, target) = world().await;
    target.mood(Mood::LosingAnswers);
    world.issue("app").await.unwrap_err();
    target.mood(Mood::Well);
    world.pass(MINUTE * 5).await;
    assert_eq!((world.leases(), target.denial()), (1, None));
}

#[tokio::test(start_paused = true)]
async fn a_copy_takes_no_denial_over() {
    let (world, _) = world().await;
    let issued = lent(&world, 1).await;
    revoked(&world, &issued[0]).await.unwrap();
    let backup = world.back_up().await;
    let (copy, _) = world.copied(&backup).await;
    assert_eq!((world.store.count("denial/"), copy.store.count("denial/")), (1, 0));
}

/// A backup knows nothing of what was revoked after it: what refuses that stays.
#[tokio::test(start_paused = true)]
async fn a_store_that_was_restored_keeps_what_was_refused_since_its_backup() {
    let (world, target) = world().await;
    let before = lent(&world, 3).await;
    let backup = world.back_up().await;
    let after = lent(&world, 1).await;
    for one in [&before[0], &after[0]] {
        revoked(&world, one).await.unwrap();
    }
    let world = world.restored(&backup).await;
    world.pass(MINUTE).await;
    revoked(&world, &before[1]).await.unwrap();
    assert!(all_denied(&target, &before[..2]) && target.denies(after[0].lease));
    assert!(!target.denies(before[2].lease));
    world.pass(HOUR + ISSUE_WITHIN).await;
    assert_eq!(world.leases(), 0);
    assert_eq!(target.denial().unwrap().names, [after[0].lease.to_string()]);
    // Nobody knows when that ends, and the next one that is refused takes it out with it.
    world.pass(DENIAL_KEPT).await;
    let last = lent(&world, 1).await;
    revoked(&world, &last[0]).await.unwrap();
    assert_eq!(target.denial().unwrap().names, [last[0].lease.to_string()]);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_has_undone_is_written_again_within_minutes() {
    let (world, target) = world().await;
    let issued = lent(&world, 3).await;
    for one in &issued {
        revoked(&world, one).await.unwrap();
    }
    let kept = issued[0].lease.to_string();
    for keeps in [&|name: &str| name == kept, &|_: &str| false] as [&dyn Fn(&str) -> bool; 2] {
        target.alter_denial(keeps);
        let writes = target.denials_written();
        world.pass(DENIAL_READ_EVERY + SECOND * 10).await;
        assert!(all_denied(&target, &issued));
        assert_eq!(target.denials_written(), writes + 1, "once for all of them");
    }
    let writes = target.denials_written();
    world.pass(DENIAL_READ_EVERY + SECOND * 10).await;
    assert_eq!(target.denials_written(), writes, "what stands is left as it is");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_away_takes_nothing_from_what_is_known_to_be_refused() {
    let (world, target) = world().await;
    let issued = lent(&world, 1).await;
    revoked(&world, &issued[0]).await.unwrap();
    target.mood(Mood::Down);
    world.pass(DENIAL_READ_EVERY * 2).await;
    assert!(matches!(revoked(&world, &issued[0]).await, Ok(Revoked::Denied(None))));
}

/// Where somebody else has filled the room meanwhile, what had it is told so.
#[tokio::test(start_paused = true)]
async fn what_was_undone_and_has_no_room_any_more_is_not_told_to_be_refused() {
    let (world, target) = world().await;
    let issued = lent(&world, 3).await;
    for one in &issued {
        revoked(&world, one).await.unwrap();
    }
    target.alter_denial(|_| false);
    target.room_for_names(2);
    world.pass(DENIAL_READ_EVERY * 2).await;
    let denied = issued.iter().filter(|one| target.denies(one.lease)).count();
    assert_eq!(denied, 2);
    for one in &issued {
        let told = revoked(&world, one).await;
        let is_told = matches!(&told, Ok(Revoked::Denied(None)));
        assert_eq!(is_told, target.denies(one.lease), "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_denial_is_taken_away_by_whom_its_role_names_now() {
    let (world, target) = world().await;
    let issued = lent(&world, 1).await;
    revoked(&world, &issued[0]).await.unwrap();
    target.bar_writer(0);
    write_role(&world, json!({"lives": 3600, "denied_at": "there", "denied_by": 1})).await;
    world.pass(HOUR + MINUTE).await;
    assert_eq!((world.leases(), target.denial(), world.store.count("denial/")), (0, None, 0));
}

#[tokio::test(start_paused = true)]
async fn a_role_that_names_somebody_who_may_not_write_keeps_no_other_from_being_refused() {
    let (world, target) = world().await;
    let other = world.target("other", "1h", "24h").await;
    let fields = json!({"lives": 3600, "denied_at": "there", "denied_by": 1});
    write_role_of(&world, "other", fields).await;
    other.bar_writer(1);
    target.mood(Mood::Slow(SECOND));
    let issued = lent(&world, 9).await;
    let mut wrong = Vec::new();
    for _ in 0..9 {
        wrong.push(world.issue("other").await.unwrap());
    }
    let all = wrong.iter().zip(&issued).flat_map(|(wrong, right)| [wrong, right]);
    let told = join_all(all.map(|one| revoked(&world, one))).await;
    for (at, told) in told.iter().enumerate() {
        assert_eq!(told.is_ok(), at % 2 == 1, "{at}: {told:?}");
    }
    assert!(all_denied(&target, &issued));
}

/// Whoever abandons a target is told what stays there: nothing of it is asked any more.
#[tokio::test(start_paused = true)]
async fn what_refuses_credentials_of_an_abandoned_target_is_told_of() {
    let (world, target) = world().await;
    let issued = lent(&world, 2).await;
    revoked(&world, &issued[0]).await.unwrap();
    let (broker, root) = (world.broker(), request(ROOT));
    broker.delete_target(&root, "database/", "app", false).await.unwrap();
    let all = broker.gone(&root, "database/", "app").await.unwrap();
    assert_eq!(all.0[0].denials, ["there"]);
    let (mount, name) = ("database/".to_owned(), "app".to_owned());
    let wanted = Abandon { mount, name, reason: "scrapped".to_owned(), generation: None };
    assert_eq!(broker.abandon(&root, wanted).await.unwrap().denials, ["there"]);
    world.pass(SECOND).await;
    assert_eq!((world.leases(), target.denies(issued[0].lease)), (0, true));
}

#[tokio::test(start_paused = true)]
async fn a_start_with_the_clock_ahead_takes_nobody_out_who_has_not_ended_at_the_target() {
    let (world, target) = world().await;
    let issued = lent(&world, 2).await;
    revoked(&world, &issued[0]).await.unwrap();
    world.clock.step_wall_forward(HOUR * 24);
    target.set_clock_behind(HOUR * 24);
    world.restart().await;
    world.pass(MINUTE).await;
    // The other one has lapsed, by the time that there is.
    assert!(all_denied(&target, &issued));
    let later = lent(&world, 1).await;
    revoked(&world, &later[0]).await.unwrap();
    assert!(all_denied(&target, &issued), "another one is written with all that live");
    world.pass(HOUR - MINUTE * 2).await;
    assert!(all_denied(&target, &issued) && world.leases() == 3);
    world.pass(MINUTE * 2 + ISSUE_WITHIN).await;
    assert!(!target.denies(issued[0].lease) && world.leases() == 1);
}
