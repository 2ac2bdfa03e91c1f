//! `userpass`: what a guess costs, and how often one may guess.

use crate::{from, log_in, mount, own, policies, secret, ttls, user};
use leasehold_core::access::login::Proof;
use leasehold_core::access::params::ParamsWrite;
use leasehold_core::access::password_hash::PasswordHash;
use leasehold_core::broker::{LoginError, TokenError, UserWrite, WhichToken};
use leasehold_core::store::StoreError;
use leasehold_integration_tests::world::{ROOT, World, request};
use std::time::Duration;

const HOME: &str = "192.0.2.1";
const WRONG: LoginError = LoginError::Wrong("invalid username or password");

async fn world() -> World {
    let world = World::new().await;
    mount(&world, "userpass").await;
    user(&world, "ann", ParamsWrite::default()).await;
    world
}

#[tokio::test(start_paused = true)]
async fn every_answer_costs_one_hash_cve_2025_6011_cve_2023_3462() {
    let world = world().await;
    for (name, password, outcome) in [
        ("ann", "wrong", Err(WRONG)),
        ("nobody", "right", Err(WRONG)),
        ("", "right", Err(WRONG)),
        ("..", "x", Err(WRONG)),
        (&"a".repeat(3000), "right", Err(WRONG)),
        ("ann", "right", Ok(())),
    ] {
        let before = world.broker().passwords_hashed();
        assert_eq!(log_in(&world, HOME, name, password).await.map(|_| ()), outcome, "{name}");
        assert_eq!(world.broker().passwords_hashed() - before, 1, "{name}");
    }
    for name in ["ann", "nemo"] {
        for _ in 0..5 {
            assert_eq!(log_in(&world, HOME, name, "wrong").await.unwrap_err(), WRONG);
        }
        let before = world.broker().passwords_hashed();
        assert_eq!(log_in(&world, HOME, name, "wrong").await.unwrap_err(), LoginError::Denied);
        assert_eq!(log_in(&world, HOME, name, "right").await.unwrap_err(), LoginError::Denied);
        assert_eq!(world.broker().passwords_hashed() - before, 2, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_is_locked_however_it_is_written_cve_2025_6004() {
    let world = world().await;
    for name in ["ann", "Ann", " ann", "ANN ", "aNn\u{a0}"] {
        assert_eq!(log_in(&world, HOME, name, "wrong").await.unwrap_err(), WRONG, "{name:?}");
    }
    for name in ["ann", "ANN", " ann "] {
        let locked = log_in(&world, HOME, name, "right").await;
        assert_eq!(locked.unwrap_err(), LoginError::Denied, "{name:?}");
    }
    let locked = world.broker().locked_names(&request(ROOT)).await.unwrap();
    assert_eq!(locked.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["ann"]);
    // Another network is not locked out by this one, and this one is let in again by an operator.
    log_in(&world, "198.51.100.7", "ann", "right").await.unwrap();
    world.broker().unlock_name(&request(ROOT), |_| true, " Ann").await.unwrap();
    log_in(&world, HOME, "ann", "right").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn of_guesses_at_the_same_time_no_more_count_than_of_guesses_in_a_row() {
    let world = world().await;
    let guesses = (0..64).map(|_| log_in(&world, HOME, "ann", "wrong"));
    let outcomes = futures_util::future::join_all(guesses).await;
    let wrong = outcomes.iter().filter(|outcome| outcome.as_ref().unwrap_err() == &WRONG).count();
    assert_eq!(wrong, 5);
    assert_eq!(log_in(&world, HOME, "ann", "right").await.unwrap_err(), LoginError::Denied);
    world.pass(Duration::from_mins(15)).await;
    log_in(&world, HOME, "ann", "right").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_said_and_recorded_of_a_login_holds_no_secret() {
    let world = world().await;
    let mut asked = from(HOME);
    asked.asked.data = Some(serde_json::json!({ "password": "right" }));
    let proof = Proof::Password { name: "ann".into(), password: secret("right") };
    let made = world.broker().log_in(&asked, "auth/userpass/", proof).await.unwrap();
    let refused = log_in(&world, HOME, "ann", "canary-wrong").await.unwrap_err();
    let lines = world.audit.lines().join("\n");
    for secret in [made.text.reveal(), "\"right\"", "canary-wrong"] {
        assert!(!lines.contains(secret), "{secret}");
        assert!(!format!("{made:?} {refused:?}").contains(secret), "{secret}");
    }
    assert!(lines.contains("invalid username or password"), "a refused login is on record");
    assert!(lines.contains("userpass-ann"));
}

#[tokio::test(start_paused = true)]
async fn a_login_that_cannot_be_recorded_makes_no_token() {
    let world = world().await;
    let before = world.store.count("token/");
    world.audit.refuse(true);
    assert!(matches!(log_in(&world, HOME, "ann", "right").await, Err(LoginError::Audit(_))));
    assert_eq!(world.store.count("token/"), before);
    world.audit.refuse(false);
    world.audit.refuse_answers(true);
    assert!(matches!(log_in(&world, HOME, "ann", "right").await, Err(LoginError::Audit(_))));
    world.audit.refuse_answers(false);
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.store.count("token/"), before);
}

#[tokio::test(start_paused = true)]
async fn a_login_is_one_durable_write_and_a_store_that_refuses_lets_nobody_in() {
    let world = world().await;
    let before = world.store.commits();
    log_in(&world, HOME, "ann", "right").await.unwrap();
    assert_eq!(world.store.commits() - before, 1);
    let full = StoreError::Refused("full".into());
    world.store.fail(Some(full.clone()));
    let refused = log_in(&world, HOME, "ann", "right").await.unwrap_err();
    assert_eq!(refused, LoginError::Store(full));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_bound_to_the_networks_of_its_user() {
    let world = world().await;
    let bound =
        ParamsWrite { bound_cidrs: Some(vec!["192.0.2.0/24".into()]), ..ParamsWrite::default() };
    user(&world, "bound", bound).await;
    let elsewhere = log_in(&world, "198.51.100.1", "bound", "right").await;
    assert_eq!(elsewhere.unwrap_err(), LoginError::Denied);
    let made = log_in(&world, "192.0.2.9", "bound", "right").await.unwrap();
    for (ip, good) in [("192.0.2.200", true), ("198.51.100.1", false), ("", false)] {
        let mut asked = from(ip);
        asked.token = Some(secret(made.text.reveal()));
        let seen = world.broker().lookup_token(&asked, &WhichToken::Own).await;
        assert_eq!(seen.is_ok(), good, "{ip}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_asks_the_method_again() {
    let (world, hour) = (world().await, Duration::from_hours(1));
    user(&world, "ann", ttls(hour, hour * 2)).await;
    let made = log_in(&world, HOME, "ann", "right").await.unwrap();
    let renew = async || {
        let mut asked = from(HOME);
        asked.token = Some(secret(made.text.reveal()));
        let seen = world.broker().renew_token(&asked, &WhichToken::Own, None).await;
        seen.map(|seen| seen.token.seconds_left(world.broker().now()))
    };
    world.pass(Duration::from_mins(30)).await;
    assert_eq!(renew().await, Ok(3600));
    world.pass(Duration::from_mins(45)).await;
    assert_eq!(renew().await, Ok(45 * 60), "no further than its user may");
    user(&world, "ann", ttls(hour, hour)).await;
    assert!(renew().await.is_err(), "the maximum is shorter now, and is over");
    user(
        &world,
        "ann",
        ParamsWrite { policies: Some(vec!["more".into()]), ..ttls(hour, hour * 2) },
    )
    .await;
    assert_eq!(renew().await, Err(TokenError::Bad("policies have changed, not renewing".into())));
    user(&world, "ann", policies(&[])).await;
    assert_eq!(renew().await, Ok(45 * 60));
    world.broker().delete_user(&request(ROOT), "auth/userpass/", "ann").await.unwrap();
    assert!(matches!(renew().await, Err(TokenError::Bad(_))));
    assert!(own(&world, &made).await.is_some(), "it has the term it was given");
    world.pass(hour).await;
    assert!(own(&world, &made).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_user_made_anew_is_another_one_and_a_changed_password_is_the_only_one() {
    let world = world().await;
    let set = async |password: &str, must_exist| {
        let wanted = UserWrite {
            mount: "auth/userpass/".into(),
            name: "ANN".into(),
            password: Some(secret(password)),
            must_exist,
            ..UserWrite::default()
        };
        world.broker().write_user(&request(ROOT), wanted).await
    };
    set("other", true).await.unwrap();
    assert_eq!(log_in(&world, HOME, "ann", "right").await.unwrap_err(), WRONG);
    log_in(&world, HOME, "ann", "other").await.unwrap();
    world.broker().delete_user(&request(ROOT), "auth/userpass/", "Ann").await.unwrap();
    assert_eq!(log_in(&world, HOME, "ann", "other").await.unwrap_err(), WRONG);
    set("x", true).await.unwrap_err();
    set("x", false).await.unwrap();
    log_in(&world, HOME, "ann", "x").await.unwrap();
    let all = world.broker().list_users(&request(ROOT), "auth/userpass/").await.unwrap();
    assert_eq!(all, ["ann"]);
}

/// What is kept of a user's password.
async fn kept(world: &World) -> String {
    let opened = world.opened().await;
    let user = opened.iter().find(|(key, _)| key.0.starts_with(b"user/")).unwrap();
    let user: serde_json::Value = serde_json::from_str(&user.1).unwrap();
    user.pointer("/password").unwrap().to_string()
}

#[tokio::test(start_paused = true)]
async fn a_hash_that_cost_less_than_today_is_replaced_once_its_password_is_shown() {
    let world = world().await;
    world.put("password-cost", r#"{"passes":3}"#).await;
    let hashed = world.broker().passwords_hashed();
    for password in ["wrong", "Right"] {
        assert_eq!(log_in(&world, HOME, "ann", password).await.unwrap_err(), WRONG);
    }
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.broker().passwords_hashed() - hashed, 2, "a guess is worth no other hash");
    assert!(kept(&world).await.contains(r#""passes":2"#));
    let made = log_in(&world, HOME, "ann", "right").await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    assert!(kept(&world).await.contains(r#""passes":3"#));
    assert!(own(&world, &made).await.is_some());
    let hashed = world.broker().passwords_hashed();
    log_in(&world, HOME, "ann", "right").await.unwrap();
    assert_eq!(log_in(&world, HOME, "ann", "wrong").await.unwrap_err(), WRONG);
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.broker().passwords_hashed() - hashed, 2);
    // Whoever is written now is hashed at today's cost at once.
    user(&world, "ann", ParamsWrite::default()).await;
    assert!(kept(&world).await.contains(r#""passes":3"#));
}

#[tokio::test(start_paused = true)]
async fn a_hash_that_was_made_elsewhere_lets_in_and_is_replaced_then() {
    let world = world().await;
    // By libxcrypt.
    let hash = "$2b$10$WvvTPHKwdBJ3uk0Z37EMR./jPuzG9gBby2d5Bw7Ll6TASbiQ2IuQe";
    let wanted = UserWrite {
        mount: "auth/userpass/".into(),
        name: "ann".into(),
        password_hash: Some(PasswordHash::made_elsewhere(hash).unwrap()),
        ..UserWrite::default()
    };
    world.broker().write_user(&request(ROOT), wanted).await.unwrap();
    assert!(kept(&world).await.contains("$2b$10$"));
    // From now on every check costs as much, also those of names that nobody has.
    let opened = world.opened().await;
    let cost = opened.iter().find(|(key, _)| key.readable() == "password-cost").unwrap();
    assert_eq!(cost.1, r#"{"passes":2,"bcrypt":10}"#);
    for password in ["right", "correct Horse"] {
        assert_eq!(log_in(&world, HOME, "ann", password).await.unwrap_err(), WRONG);
    }
    log_in(&world, HOME, "ann", "correct horse").await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    assert!(!kept(&world).await.contains("$2b$10$"));
    log_in(&world, HOME, "ann", "correct horse").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_password_that_is_set_while_its_hash_is_replaced_stays() {
    let world = world().await;
    world.put("password-cost", r#"{"passes":3}"#).await;
    let login = log_in(&world, HOME, "ann", "right");
    let wanted = UserWrite {
        mount: "auth/userpass/".into(),
        name: "ann".into(),
        password: Some(secret("other")),
        ..UserWrite::default()
    };
    let asked = request(ROOT);
    let broker = world.broker();
    let (login, written) = tokio::join!(login, broker.write_user(&asked, wanted));
    written.unwrap();
    drop(login);
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(log_in(&world, HOME, "ann", "right").await.unwrap_err(), WRONG);
    log_in(&world, HOME, "ann", "other").await.unwrap();
}
