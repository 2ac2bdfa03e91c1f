//! Another key for a user that an operator named, and for the administrator.

use crate::place::{Place, place};
use leasehold_core::engine::rotation::{Account, AccountSecret, Intent, Rotated, Tested, Verify};
use leasehold_core::engine::{Cause, Engine as _, EngineError};
use leasehold_core::secret::SecretText;
use leasehold_integration_tests::engine_suite::rotation::{account, intent};
use leasehold_integration_tests::engine_suite::skew::wrong_clock;
use leasehold_integration_tests::engine_suite::{Opening, PATIENCE, Site as _, now};
use serde_json::json;
use std::sync::Arc;

/// Returns the ids of a user's keys.
async fn keys(place: &Place, name: &str) -> Vec<String> {
    let listed = place.account.iam().list_access_keys().user_name(name).send().await;
    let listed = listed.expect("they are listed");
    listed.access_key_metadata.into_iter().filter_map(|key| key.access_key_id).collect()
}

async fn new_key(place: &Place, name: &str) -> AccountSecret {
    let made = place.account.iam().create_access_key().user_name(name).send().await;
    let made = made.expect("a key").access_key.expect("it is told");
    secret(&made.access_key_id, &made.secret_access_key)
}

fn secret(id: &str, secret: &str) -> AccountSecret {
    let text = |text: &str| SecretText::new(text.to_owned());
    AccountSecret::new([("access_key", text(id)), ("secret_key", text(secret))])
}

async fn tested(place: &Place, account: &Account, secret: &AccountSecret) -> Tested {
    let tested = place.engine.tested(account, secret, now().plus(PATIENCE)).await;
    tested.expect("it can be found out")
}

async fn intended(place: &Place, account: &Account) -> Intent {
    let intended = place.engine.intend(account, intent(), now().plus(PATIENCE)).await;
    intended.expect("it is intended")
}

async fn rotated(place: &Place, account: &Account, intent: &Intent) -> AccountSecret {
    let rotated = place.engine.rotate(account, intent, now().plus(PATIENCE)).await;
    let Ok(Rotated::Given(secret)) = rotated else { panic!("{rotated:?}") };
    secret
}

/// The old key works until the new one has; what an attempt left of which nobody knows is gone with the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_one_key_again_after_each_rotation_however_often_it_was_begun() {
    let place = place();
    place.plant("robot").await;
    let old = new_key(&place, "robot").await;
    place.account.judge(json!({"stale": 2})).await;
    let account = account("robot");
    let intent = intended(&place, &account).await;
    assert_eq!(keys(&place, "robot").await.len(), 1, "nothing is altered by intending");
    let lost = rotated(&place, &account, &intent).await;
    let new = rotated(&place, &account, &intent).await;
    assert_eq!(tested(&place, &account, &lost).await, Tested::Denied);
    for verify in [Verify::Login, Verify::Catalog] {
        let account = Account { verify, ..account.clone() };
        assert_eq!(tested(&place, &account, &new).await, Tested::Works);
        assert_eq!(tested(&place, &account, &old).await, Tested::Works);
    }
    for _ in 0..2 {
        let dropped = place.engine.drop_replaced(&account, &intent, &new, now().plus(PATIENCE));
        assert_eq!(dropped.await, Ok(()));
    }
    assert_eq!(tested(&place, &account, &old).await, Tested::Denied);
    assert_eq!(tested(&place, &account, &new).await, Tested::Works);
    assert_eq!(keys(&place, "robot").await.len(), 1);
}

/// Which key came after the intent is told by AWS's clock: ours may be another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_ours_is_known_however_wrong_our_clock_is() {
    for is_ahead in [true, false] {
        let place = place();
        place.plant("robot").await;
        let clock = wrong_clock(is_ahead);
        let opening = Opening { clock: Arc::clone(&clock), ..Opening::of(&*place) };
        let (engine, account) = (place.opened_again(&opening), account("robot"));
        let by = || clock.now().plus(PATIENCE);
        let intent = engine.intend(&account, intent(), by()).await.expect("it is intended");
        for _ in 0..2 {
            let rotated = engine.rotate(&account, &intent, by()).await;
            assert!(matches!(rotated, Ok(Rotated::Given(_))), "{is_ahead}: {rotated:?}");
        }
        assert_eq!(keys(&place, "robot").await.len(), 1, "what the first had drawn is gone");
    }
}

#[tokio::test]
async fn a_key_that_is_not_ours_is_never_deleted() {
    let place = place();
    place.plant("robot").await;
    let account = account("robot");
    let answer = place.engine.rotate(&account, &intent(), now().plus(PATIENCE)).await;
    assert!(matches!(answer, Err(EngineError::Refused(_))), "AWS draws keys: {answer:?}");
    new_key(&place, "robot").await;
    new_key(&place, "robot").await;
    let ids = keys(&place, "robot").await;
    let answer = place.engine.intend(&account, intent(), now().plus(PATIENCE)).await;
    let error = answer.expect_err("there is no room for a third");
    assert_eq!(error.reason().cause, Cause::NeedsOperator);
    assert!(ids.iter().all(|id| error.to_string().contains(id.as_str())), "{error}");
    // One that was there before the intent and is not on its list is somebody's.
    let since = now().plus(PATIENCE);
    let older = Intent::Given { before: vec![ids[0].clone()], since };
    let answer = place.engine.rotate(&account, &older, now().plus(PATIENCE)).await;
    assert!(matches!(answer, Err(EngineError::Refused(_))), "{answer:?}");
    assert_eq!(keys(&place, "robot").await, ids);
    let absent = leasehold_integration_tests::engine_suite::rotation::account("nobody");
    let none = Intent::Given { before: Vec::new(), since: now() };
    let answer = place.engine.rotate(&absent, &none, now().plus(PATIENCE)).await;
    assert!(matches!(answer, Err(EngineError::Refused(_))), "none is ever made: {answer:?}");
    let late = place.engine.rotate(&account, &none, now()).await;
    assert_eq!(late.expect_err("it is late").reason().cause, Cause::TooLate);
}
