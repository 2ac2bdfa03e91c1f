//! The record of tokens that end: each has a line of its own, whoever asked for it, and if nobody did.

use crate::{log_in, mount, secret, user};
use leasehold_core::access::params::ParamsWrite;
use leasehold_core::access::policy::Right;
use leasehold_core::broker::{Children, Side, TokenMade, TokenRequest, WhichToken};
use leasehold_core::limits::SPENT_WITHIN;
use leasehold_integration_tests::world::target::Mood;
use leasehold_integration_tests::world::{ROOT, World, request};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

async fn made(world: &World, by: &str, wanted: TokenRequest) -> TokenMade {
    let wanted = TokenRequest { ttl: Some(HOUR), ..wanted };
    world.broker().create_token(&request(by), wanted).await.unwrap()
}

async fn child_of(world: &World, parent: &TokenMade) -> TokenMade {
    made(world, parent.text.reveal(), TokenRequest::default()).await
}

async fn revoke(world: &World, token: &TokenMade, children: Children) {
    let which = WhichToken::Text(secret(token.text.reveal()));
    assert!(world.broker().revoke_token(&request(ROOT), &which, children).await.unwrap());
}

/// The lines that tell of an end, as `(path, display name, cause)`.
fn ends(world: &World) -> Vec<(String, String, String)> {
    let lines = world.audit.lines();
    let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let told = lines.filter(|line| !line["response"]["token_ended"].is_null());
    let told = told.map(|line| {
        assert_eq!(
            (&line["type"], &line["request"]["operation"]),
            (&json!("response"), &json!("revoke"))
        );
        assert_eq!(line["auth"], Value::Null, "nobody sent it");
        let auth = &line["response"]["auth"];
        assert!(auth["accessor"].as_str().unwrap().starts_with("hmac-sha256:"));
        let texts = [
            &line["request"]["path"],
            &auth["display_name"],
            &line["response"]["token_ended"]["cause"],
        ];
        texts.map(|text| text.as_str().unwrap().to_owned()).into()
    });
    let mut told: Vec<_> = told.collect();
    told.sort();
    told
}

fn told(path: &str, name: &str, cause: &str) -> (String, String, String) {
    (path.to_owned(), name.to_owned(), cause.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_token_and_all_below_it_are_told_of_once_each_and_why() {
    let world = World::new().await;
    let first = made(&world, ROOT, TokenRequest::default()).await;
    let below = child_of(&world, &first).await;
    child_of(&world, &below).await;
    revoke(&world, &first, Children::End).await;
    let by = |cause| told("auth/token/create", "token", cause);
    assert_eq!(ends(&world), [by("asked"), by("parent_ended"), by("parent_ended")]);
    world.pass(HOUR * 2).await;
    assert_eq!(ends(&world).len(), 3, "they do not end again");
}

#[tokio::test(start_paused = true)]
async fn a_child_that_lives_on_is_told_of_when_it_lapses() {
    let world = World::new().await;
    let parent = made(&world, ROOT, TokenRequest::default()).await;
    child_of(&world, &parent).await;
    revoke(&world, &parent, Children::Free).await;
    let by = |cause| told("auth/token/create", "token", cause);
    assert_eq!(ends(&world), [by("asked")]);
    world.pass(HOUR + SECOND).await;
    assert_eq!(ends(&world), [by("asked"), by("lapsed")]);
}

#[tokio::test(start_paused = true)]
async fn the_last_use_of_a_token_is_told_of_as_its_end() {
    let world = World::new().await;
    let once =
        TokenRequest { num_uses: 1, display_name: Some("once".into()), ..TokenRequest::default() };
    let token = made(&world, ROOT, once).await;
    let asked = request(token.text.reveal());
    world.broker().lookup_token(&asked, &WhichToken::Own).await.unwrap();
    world.pass(SECOND).await;
    assert_eq!(ends(&world), [told("auth/token/create", "token-once", "spent")]);
}

#[tokio::test(start_paused = true)]
async fn a_last_use_that_is_refused_or_cannot_be_recorded_ends_the_token_with_what_it_was_lent() {
    for is_recorded in [true, false] {
        let world = World::new().await;
        let target = world.target("app", "1h", "24h").await;
        let twice = TokenRequest { num_uses: 2, ..TokenRequest::default() };
        let token = made(&world, ROOT, twice).await;
        world.issue_as(token.text.reveal(), "app").await.unwrap();
        world.audit.refuse(!is_recorded);
        let mut asked = request(token.text.reveal());
        asked.asked.from = None;
        asked.right = Right::Own;
        let which = WhichToken::Accessor("nobody's".to_owned());
        assert!(world.broker().lookup_token(&asked, &which).await.is_err());
        world.audit.refuse(false);
        world.pass(SECOND * 20).await;
        assert_eq!(ends(&world), [told("auth/token/create", "token", "spent")]);
        assert_eq!((target.credentials().len(), world.leases()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_ends_after_its_last_use_even_if_the_process_dies_over_it() {
    let world = Arc::new(World::new().await);
    let once = TokenRequest { num_uses: 1, ..TokenRequest::default() };
    let token = made(&world, ROOT, once).await;
    world.audit.hang(true);
    let asking = Arc::clone(&world);
    let text = token.text.reveal().to_owned();
    let dies = tokio::spawn(async move {
        asking.broker().lookup_token(&request(&text), &WhichToken::Own).await.is_ok()
    });
    world.pass(SECOND).await;
    dies.abort();
    world.restart().await;
    world.audit.hang(false);
    world.pass(SPENT_WITHIN + SECOND).await;
    assert_eq!(ends(&world), [told("auth/token/create", "token", "spent")]);
}

#[tokio::test(start_paused = true)]
async fn none_of_very_many_is_told_of_twice_however_long_it_takes() {
    let world = World::new().await;
    let parent = made(&world, ROOT, TokenRequest::default()).await;
    for _ in 0..300 {
        child_of(&world, &parent).await;
    }
    // Longer than the sweep waits before it looks again.
    world.audit.delay(SECOND * 6);
    revoke(&world, &parent, Children::End).await;
    world.audit.delay(Duration::ZERO);
    world.pass(HOUR).await;
    assert_eq!(ends(&world).len(), 301);
    assert_eq!(world.store.count("token/"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_token_is_told_at_once_though_its_leases_wait_for_a_target_that_is_down() {
    let world = World::new().await;
    let target = world.target("app", "10h", "24h").await;
    let parent = made(&world, ROOT, TokenRequest::default()).await;
    let child = child_of(&world, &parent).await;
    world.issue_as(child.text.reveal(), "app").await.unwrap();
    target.mood(Mood::Down);
    revoke(&world, &parent, Children::End).await;
    let by = |cause| told("auth/token/create", "token", cause);
    assert_eq!(ends(&world), [by("asked"), by("parent_ended")]);
    world.pass(HOUR * 3).await;
    assert_eq!((ends(&world).len(), world.store.count("token/")), (2, 3));
    target.mood(Mood::Well);
    world.pass(HOUR * 3).await;
    assert_eq!((ends(&world).len(), world.store.count("token/")), (2, 1));
    assert_eq!(target.credentials().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_lent_to_a_tree_ends_at_once_though_no_end_can_be_recorded() {
    for depth in [1, 3] {
        let world = World::new().await;
        let target = world.target("app", "10h", "24h").await;
        let mut tokens = vec![made(&world, ROOT, TokenRequest::default()).await];
        for at in 0..depth {
            tokens.push(child_of(&world, &tokens[at]).await);
        }
        for token in &tokens {
            world.issue_as(token.text.reveal(), "app").await.unwrap();
        }
        world.audit.refuse_answers(true);
        let which = WhichToken::Text(secret(tokens[0].text.reveal()));
        let answered = world.broker().revoke_token(&request(ROOT), &which, Children::End).await;
        answered.unwrap_err();
        world.pass(SECOND).await;
        assert_eq!(target.credentials().len(), 0, "{depth}");
        world.audit.refuse_answers(false);
        world.pass(HOUR).await;
        assert_eq!((ends(&world).len(), world.leases()), (depth + 1, 0));
        assert_eq!(world.store.count("token/"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_disabled_method_tells_of_each_token_that_it_made() {
    let world = World::new().await;
    mount(&world, "userpass").await;
    user(&world, "ann", ParamsWrite::default()).await;
    log_in(&world, "192.0.2.1", "ann", "right").await.unwrap();
    log_in(&world, "192.0.2.1", "ann", "right").await.unwrap();
    world.broker().disable_mount(&request(ROOT), (Side::Methods, "userpass")).await.unwrap();
    world.pass(SECOND).await;
    let by = told("test", "userpass-ann", "method_disabled");
    assert_eq!(ends(&world), [by.clone(), by]);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_nobody_could_be_told_of_is_told_of_later() {
    let world = World::new().await;
    mount(&world, "userpass").await;
    user(&world, "ann", ParamsWrite::default()).await;
    world.audit.refuse_answers(true);
    assert!(log_in(&world, "192.0.2.1", "ann", "right").await.is_err());
    world.pass(SECOND).await;
    assert_eq!(world.store.count("token-of/"), 1, "it stays until its end is on record");
    world.audit.refuse_answers(false);
    world.pass(SECOND * 10).await;
    assert_eq!(ends(&world), [told("test", "userpass-ann", "untold")]);
    assert_eq!(world.store.count("token-of/"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_whose_end_cannot_be_recorded_is_good_for_nothing_all_the_same() {
    let world = World::new().await;
    let parent = made(&world, ROOT, TokenRequest::default()).await;
    let child = child_of(&world, &parent).await;
    world.audit.hang(true);
    let before = world.store.count("token/");
    world.pass(HOUR + SECOND).await;
    assert_eq!(world.store.count("token/"), before);
    world.audit.hang(false);
    let asked = request(child.text.reveal());
    assert!(world.broker().lookup_token(&asked, &WhichToken::Own).await.is_err());
    // A process that starts now goes on with it.
    world.restart().await;
    world.pass(HOUR).await;
    let told = ends(&world);
    assert!(told.iter().all(|(_, _, cause)| cause == "lapsed" || cause == "parent_ended"));
    assert_eq!((told.len(), world.store.count("token/")), (2, before - 2));
}
