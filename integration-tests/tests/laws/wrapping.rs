//! What is wrapped is seen by one, or by nobody; and what nobody has seen ends.

use super::{HOUR, SECOND, id_of};
use leasehold_core::access::token::Wrapped;
use leasehold_core::broker::{
    Children, CubbyholeError, TokenRequest, Unwrapped, WhichToken, WrapError, Wrapping,
};
use leasehold_core::limits::REVOKE_WITHIN;
use leasehold_core::secret::SecretText;
use leasehold_integration_tests::world::target::Mood;
use leasehold_integration_tests::world::{ROOT, World, request};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use std::time::Duration;

const TTL: Duration = Duration::from_mins(5);
const CANARY: &str = "canary-in-an-answer";

fn answer() -> Box<RawValue> {
    to_raw_value(&json!({ "data": { "password": CANARY }, "auth": null })).unwrap()
}

async fn wrap(world: &World, made: Wrapped) -> Wrapping {
    world.broker().wrap(&request(ROOT), answer(), made, TTL).await.unwrap()
}

async fn unwrap(world: &World, wrapping: &Wrapping) -> Result<Unwrapped, WrapError> {
    world.broker().unwrap(&request(wrapping.text.reveal()), None).await
}

async fn wrapped_lease(world: &World) -> Wrapping {
    let issued = world.issue("app").await.unwrap();
    wrap(world, Wrapped::Lease(id_of(&issued.lease_id))).await
}

async fn is_good(world: &World, token: &str) -> bool {
    world.broker().lookup_token(&request(token), &WhichToken::Own).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn of_64_who_unwrap_at_once_one_has_the_answer() {
    let world = World::new().await;
    let wrapping = wrap(&world, Wrapped::Answer).await;
    let tries = (0..64).map(|_| unwrap(&world, &wrapping));
    let mut taken = 0;
    for outcome in futures_util::future::join_all(tries).await {
        match outcome {
            Ok(unwrapped) => {
                assert!(unwrapped.answer.get().contains(CANARY));
                taken += 1;
            }
            Err(error) => assert_eq!(error, WrapError::NotValid),
        }
    }
    assert_eq!(taken, 1);
    assert_eq!(world.store.count("cubbyhole/"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrapped_is_nowhere_in_the_store_even_for_whoever_opens_its_seal() {
    let world = World::new().await;
    let wrapping = wrap(&world, Wrapped::Answer).await;
    let opened = world.opened().await;
    let holds = |needle: &str| opened.iter().any(|(_, plain)| plain.contains(needle));
    assert!(holds("response-wrapping"), "the records are not opened at all");
    assert!(!holds(CANARY) && !holds(wrapping.text.reveal()));
    let lines = world.audit.lines().concat();
    assert!(!lines.contains(CANARY) && !lines.contains(wrapping.text.reveal()));
    assert!(lines.contains("wrap_info"), "that it was wrapped is on record");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_taken_out_lives_on_as_if_it_had_never_been_wrapped() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let wrapping = wrapped_lease(&world).await;
    unwrap(&world, &wrapping).await.unwrap();
    world.pass(TTL * 2).await;
    assert_eq!((target.credentials().len(), world.leases()), (1, 1));
    world.pass(HOUR).await;
    assert_eq!((target.credentials().len(), world.leases(), world.store.count("of-")), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_nobody_takes_out_is_revoked_when_its_wrapping_lapses_or_is_revoked() {
    for case in ["lapsed", "lapsed while the server was down", "revoked", "revoked before a crash"]
    {
        let world = World::new().await;
        let target = world.target("app", "1h", "24h").await;
        let wrapping = wrapped_lease(&world).await;
        if case == "lapsed while the server was down" {
            world.stop_sweeping();
        }
        if case.starts_with("lapsed") {
            world.pass(TTL - SECOND).await;
            assert_eq!(target.credentials().len(), 1, "it died early");
            world.pass(SECOND * 2).await;
        } else {
            target.mood(Mood::Down);
            let which = WhichToken::Accessor(wrapping.token.accessor.to_string());
            // Not even whoever would free what it made keeps what it wraps.
            world.broker().revoke_token(&request(ROOT), &which, Children::Free).await.unwrap();
            target.mood(Mood::Well);
        }
        if matches!(case, "lapsed while the server was down" | "revoked before a crash") {
            assert_eq!(target.credentials().len(), 1);
            world.restart().await;
        }
        // An attempt that the process died over may still be at work until its time is up.
        world.pass(REVOKE_WITHIN + SECOND * 30).await;
        let left = (target.credentials().len(), world.leases(), world.store.count("of-"));
        assert_eq!((left, world.store.count("cubbyhole/")), ((0, 0, 0), 0), "{case}");
        assert_eq!(unwrap(&world, &wrapping).await.unwrap_err(), WrapError::NotValid);
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_down_keeps_a_lapsed_wrapping_until_its_lease_is_revoked() {
    let world = World::new().await;
    let target = world.target("app", "10h", "24h").await;
    let _ = wrapped_lease(&world).await;
    target.mood(Mood::Down);
    world.pass(HOUR).await;
    assert_eq!((target.credentials().len(), world.leases()), (1, 1));
    target.mood(Mood::Well);
    world.pass(HOUR).await;
    assert_eq!(
        (target.credentials().len(), world.leases(), world.store.count("token/")),
        (0, 0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_nobody_takes_out_ends_with_its_wrapping() {
    let world = World::new().await;
    for taken_out in [true, false] {
        let wanted = TokenRequest { ttl: Some(HOUR), ..TokenRequest::default() };
        let made = world.broker().create_token(&request(ROOT), wanted).await.unwrap();
        let wrapping = wrap(&world, Wrapped::Token(made.token.key)).await;
        assert_eq!(wrapping.wrapped_accessor, Some(made.token.accessor));
        if taken_out {
            unwrap(&world, &wrapping).await.unwrap();
        }
        world.pass(TTL + SECOND * 30).await;
        assert_eq!(is_good(&world, made.text.reveal()).await, taken_out);
    }
    let left = ["token/", "child/", "accessor/"].map(|at| world.store.count(at));
    assert_eq!(left, [2, 1, 2], "the root token, and the one that was taken out");
}

#[tokio::test(start_paused = true)]
async fn what_is_wrapped_again_is_good_only_in_its_new_wrapping_and_still_ends_unseen() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let first = wrapped_lease(&world).await;
    world.pass(TTL / 2).await;
    let second = world.broker().rewrap(&request(first.text.reveal()), None).await.unwrap();
    assert_eq!((&second.token.path, second.token.creation_ttl), (&first.token.path, TTL));
    assert_eq!(unwrap(&world, &first).await.unwrap_err(), WrapError::NotValid);
    world.pass(TTL - SECOND).await;
    assert_eq!(target.credentials().len(), 1, "it is as new as its wrapping");
    world.pass(SECOND * 30).await;
    assert_eq!((target.credentials().len(), world.store.count("cubbyhole/")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_wrapped_or_recorded_is_told_to_nobody_and_ends() {
    for case in ["store", "audit", "unwrapping"] {
        let world = World::new().await;
        let target = world.target("app", "1h", "24h").await;
        let lease = id_of(&world.issue("app").await.unwrap().lease_id);
        let wraps = async || {
            let broker = world.broker();
            broker.wrap(&request(ROOT), answer(), Wrapped::Lease(lease), TTL).await
        };
        match case {
            "store" => {
                world.store.refuse_one(0);
                assert!(matches!(wraps().await, Err(WrapError::Store(_))));
            }
            "audit" => {
                world.audit.refuse_answers(true);
                assert!(matches!(wraps().await, Err(WrapError::Admit(_))));
            }
            _ => {
                let wrapping = wraps().await.unwrap();
                world.audit.refuse_answers(true);
                assert!(matches!(unwrap(&world, &wrapping).await, Err(WrapError::Admit(_))));
            }
        }
        world.audit.refuse_answers(false);
        world.pass(SECOND * 30).await;
        assert_eq!((target.credentials().len(), world.leases()), (0, 0), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrapping_token_does_nothing_but_open_what_it_wraps() {
    let world = World::new().await;
    world.target("app", "1h", "24h").await;
    let wrapping = wrap(&world, Wrapped::Answer).await;
    let text = wrapping.text.reveal();
    assert!(!is_good(&world, text).await);
    assert!(world.issue_as(text, "app").await.is_err());
    let broker = world.broker();
    let kept = broker.read_cubbyhole(&request(text), "response").await;
    assert!(matches!(kept, Err(CubbyholeError::Admit(_))));
    let seen = broker.look_up_wrapping(&request(text), None).await.unwrap();
    assert_eq!((seen.creation_ttl, seen.accessor), (TTL, wrapping.token.accessor));
    assert_eq!(broker.unwrap(&request(ROOT), None).await.unwrap_err(), WrapError::NotValid);
    // Whoever may unwrap takes it out for another.
    let other = SecretText::new(text.to_owned());
    assert!(broker.unwrap(&request(ROOT), Some(&other)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn after_a_restore_no_wrapping_of_before_opens_a_second_time_or_takes_a_lease_with_it() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let wrapping = wrapped_lease(&world).await;
    let backup = world.back_up().await;
    unwrap(&world, &wrapping).await.unwrap();
    let world = world.restored(&backup).await;
    assert_eq!(unwrap(&world, &wrapping).await.unwrap_err(), WrapError::NotValid);
    world.pass(TTL * 2).await;
    assert_eq!(target.credentials().len(), 1, "it was taken out, and is in use");
    assert_eq!(world.store.count("cubbyhole/"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_token_keeps_for_itself_is_for_nobody_else_and_gone_with_it() {
    let world = World::new().await;
    let wanted = || TokenRequest { ttl: Some(HOUR), ..TokenRequest::default() };
    let (one, other) = (world.token(wanted()).await, world.token(wanted()).await);
    let broker = world.broker();
    let content = json!({ "password": CANARY });
    let content = content.as_object().unwrap();
    broker.write_cubbyhole(&request(&one), "a/b", content).await.unwrap();
    let read = broker.read_cubbyhole(&request(&one), "a/b").await.unwrap();
    assert!(read.0.get().contains(CANARY));
    for token in [&other, ROOT] {
        let read = broker.read_cubbyhole(&request(token), "a/b").await;
        assert_eq!(read.unwrap_err(), CubbyholeError::Empty);
    }
    assert!(!world.opened().await.iter().any(|(_, plain)| plain.contains(CANARY)));
    assert!(!world.audit.lines().concat().contains(CANARY));
    broker.revoke_token(&request(&one), &WhichToken::Own, Children::End).await.unwrap();
    assert_eq!(world.store.count("cubbyhole/"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_keeps_no_more_than_its_bounds_and_nothing_is_lost_over_it() {
    let world = World::new().await;
    let broker = world.broker();
    let content = |bytes: usize| json!({ "x": "y".repeat(bytes) }).as_object().unwrap().clone();
    let write = async |path: &str, bytes: usize| {
        broker.write_cubbyhole(&request(ROOT), path, &content(bytes)).await
    };
    write("a", 1 << 19).await.unwrap();
    assert!(matches!(write("b", 1 << 19).await, Err(CubbyholeError::Bad(_))));
    assert_eq!(broker.list_cubbyhole(&request(ROOT), "").await.unwrap(), ["a"]);
    broker.delete_cubbyhole(&request(ROOT), "a").await.unwrap();
    write("b", 1 << 19).await.unwrap();
    for number in 1..1024 {
        write(&format!("c/{number}"), 0).await.unwrap();
    }
    assert!(matches!(write("one more", 0).await, Err(CubbyholeError::Bad(_))));
    write("b", 5).await.unwrap();
}
