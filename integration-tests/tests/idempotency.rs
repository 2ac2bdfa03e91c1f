//! A request that creates, sent again under one `Idempotency-Key`, in small worlds.

#![expect(
    clippy::unwrap_used,
    clippy::unchecked_time_subtraction,
    reason = "whatever is not as expected fails the test at once"
)]

use leasehold_core::broker::{IdempotencyKey, IssueError, Issued, Request, TokenRequest, Until};
use leasehold_core::limits::{ISSUE_WITHIN, OVERDUE, REMEMBERED_FOR, SETTLE};
use leasehold_core::secret::Field;
use leasehold_core::store::StoreError;
use leasehold_integration_tests::world::target::Mood;
use leasehold_integration_tests::world::{ROOT, World, request};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

fn keyed(token: &str, key: &str) -> Request {
    let idempotency_key = Some(IdempotencyKey::parse(key.as_bytes()).unwrap());
    Request { idempotency_key, ..request(token) }
}

async fn ask(world: &World, token: &str, key: &str) -> Result<Issued, IssueError> {
    world.broker().issue(&keyed(token, key), "database/", "app").await
}

fn shown(issued: &Issued) -> (String, String) {
    let (_, field) = issued.secret.fields().next().unwrap();
    let text = match field {
        Field::Open(text) => text.clone(),
        Field::Hidden(text) => text.reveal().to_owned(),
    };
    (issued.lease_id.clone(), text)
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_gets_the_same_lease_and_secret_and_what_is_left_of_its_term() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let before = world.store.commits();
    let first = ask(&world, ROOT, "k").await.unwrap();
    assert_eq!(world.store.commits() - before, 1);
    world.pass(SECOND * 90).await;
    let again = ask(&world, ROOT, "k").await.unwrap();
    assert_eq!(shown(&again), shown(&first));
    assert_eq!(again.ttl, HOUR - SECOND * 90);
    assert_eq!(world.store.commits() - before, 1);
    assert_eq!((target.credentials().len(), target.batches().len()), (1, 1));
    // A renewal is part of what the lease is now.
    world.broker().renew(&request(ROOT), &first.lease_id, Some(HOUR * 2)).await.unwrap();
    assert_eq!(ask(&world, ROOT, "k").await.unwrap().ttl, HOUR * 2);
}

#[tokio::test(start_paused = true)]
async fn sixty_four_at_once_get_one_credential() {
    let world = Arc::new(World::new().await);
    let target = world.target("app", "1h", "24h").await;
    target.mood(Mood::Slow(SECOND * 5));
    let asking = (0..64).map(|_| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { shown(&ask(&world, ROOT, "k").await.unwrap()) })
    });
    let mut answers = Vec::new();
    for answer in asking.collect::<Vec<_>>() {
        answers.push(answer.await.unwrap());
    }
    answers.dedup();
    assert_eq!((answers.len(), target.credentials().len(), world.leases()), (1, 1, 1));
    // Each was recorded, request and answer, and none shows the secret.
    let lines = world.audit.lines();
    let answered = lines.iter().filter(|line| line.contains(&answers[0].0)).count();
    assert_eq!(answered, 64);
    assert!(lines.iter().all(|line| !line.contains("canary-secret")));
}

#[tokio::test(start_paused = true)]
async fn what_differs_in_token_key_method_path_or_parameters_is_another_request() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let token = world.token(TokenRequest { ttl: Some(HOUR), ..TokenRequest::default() }).await;
    let altered = |alter: &dyn Fn(&mut Request)| {
        let mut request = keyed(ROOT, "k");
        alter(&mut request);
        request
    };
    let requests = [
        keyed(ROOT, "k"),
        keyed(&token, "k"),
        keyed(ROOT, "k2"),
        altered(&|request| request.asked.operation = leasehold_core::audit::Operation::Read),
        altered(&|request| request.asked.path = "test2".into()),
        altered(&|request| request.asked.data = Some(json!({ "field": "other" }))),
        altered(&|request| request.asked.data = None),
    ];
    let mut secrets = Vec::new();
    for request in &requests {
        secrets.push(shown(&world.broker().issue(request, "database/", "app").await.unwrap()));
    }
    secrets.sort();
    secrets.dedup();
    assert_eq!((secrets.len(), target.credentials().len()), (requests.len(), requests.len()));
}

#[tokio::test(start_paused = true)]
async fn after_two_minutes_the_secret_is_forgotten_and_a_fresh_credential_replaces_the_first() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let issued = ask(&world, ROOT, "k").await.unwrap();
    let (secret, first) = (Arc::downgrade(&issued.secret), shown(&issued));
    drop(issued);
    world.pass(REMEMBERED_FOR - SECOND).await;
    assert!(secret.upgrade().is_some());
    world.pass(SECOND * 2).await;
    assert!(secret.upgrade().is_none(), "the secret outlived its two minutes");
    let again = ask(&world, ROOT, "k").await.unwrap();
    assert_ne!(shown(&again), first);
    world.pass(SECOND).await;
    assert_eq!((target.credentials().len(), world.leases()), (1, 1));
    assert!(world.broker().lookup_lease(&request(ROOT), &again.lease_id).await.is_ok());
    // The place is the second one's now, and the end of the first has not taken it.
    assert_eq!(shown(&ask(&world, ROOT, "k").await.unwrap()), shown(&again));
    world.pass(HOUR).await;
    assert_eq!((world.leases(), world.store.count("repeat/")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_the_first_lease_is_revoked_and_a_fresh_one_is_given() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let first = ask(&world, ROOT, "k").await.unwrap();
    world.restart().await;
    let again = ask(&world, ROOT, "k").await.unwrap();
    assert_ne!(shown(&again), shown(&first));
    world.pass(ISSUE_WITHIN + SETTLE + SECOND).await;
    assert_eq!(
        (target.credentials().len(), world.leases(), world.store.count("repeat/")),
        (1, 1, 1)
    );
    assert!(world.broker().lookup_lease(&request(ROOT), &first.lease_id).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_dies_anywhere_leaves_one_credential_to_whoever_asks_again() {
    // One commit takes the first lease from its holder, the next one is the fresh lease.
    for refused in 0..2 {
        let world = World::new().await;
        let target = world.target("app", "1h", "24h").await;
        ask(&world, ROOT, "k").await.unwrap();
        world.restart().await;
        world.stop_sweeping();
        world.store.refuse_one(refused);
        assert!(matches!(ask(&world, ROOT, "k").await, Err(IssueError::Store(_))));
        world.restart().await;
        let last = ask(&world, ROOT, "k").await.unwrap();
        world.pass(ISSUE_WITHIN + SETTLE + SECOND).await;
        let held = target.credentials().into_keys().map(|id| id.to_string()).collect::<Vec<_>>();
        assert_eq!(held, [last.lease_id.rsplit('/').next().unwrap()], "refused {refused}");
        assert_eq!((world.leases(), world.store.count("repeat/")), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn an_uncertain_commit_leaves_no_second_credential_under_the_key() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    world.store.fail(Some(StoreError::Uncertain("gone".into())));
    assert!(matches!(ask(&world, ROOT, "k").await, Err(IssueError::Store(_))));
    world.store.fail(None);
    ask(&world, ROOT, "k").await.unwrap();
    world.pass(ISSUE_WITHIN + SETTLE + SECOND).await;
    assert_eq!(
        (target.credentials().len(), world.leases(), world.store.count("repeat/")),
        (1, 1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn if_the_first_failed_those_who_wait_fail_alike_and_the_next_one_begins_anew() {
    let world = Arc::new(World::new().await);
    let target = world.target("app", "1h", "24h").await;
    target.mood(Mood::Hanging);
    let asking = (0..8).map(|_| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { ask(&world, ROOT, "k").await.map(|_| ()) })
    });
    for answer in asking.collect::<Vec<_>>() {
        assert!(matches!(answer.await.unwrap(), Err(IssueError::Target(_))));
    }
    assert_eq!(target.batches().len(), 1, "each of them asked the target");
    target.mood(Mood::Well);
    ask(&world, ROOT, "k").await.unwrap();
    world.pass(ISSUE_WITHIN + SETTLE + HOUR / 2).await;
    assert_eq!((target.credentials().len(), world.leases()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_first_request_that_is_cut_off_keeps_nobody_waiting() {
    let world = Arc::new(World::new().await);
    let target = world.target("app", "1h", "24h").await;
    target.mood(Mood::Slow(SECOND));
    let spawn = || {
        let world = Arc::clone(&world);
        tokio::spawn(async move { ask(&world, ROOT, "k").await.map(|issued| shown(&issued)) })
    };
    let first = spawn();
    world.pass(Duration::from_millis(500)).await;
    let second = spawn();
    world.pass(Duration::from_millis(100)).await;
    first.abort();
    let (lease_id, _) = second.await.unwrap().unwrap();
    world.pass(ISSUE_WITHIN + SETTLE + SECOND).await;
    let held = target.credentials().into_keys().map(|id| id.to_string()).collect::<Vec<_>>();
    assert_eq!(held, [lease_id.rsplit('/').next().unwrap()]);
    assert_eq!(world.leases(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_lease_is_not_told_again() {
    for until in [Until::Marked, Until::Settled] {
        let world = World::new().await;
        let target = world.target("app", "1h", "24h").await;
        let first = ask(&world, ROOT, "k").await.unwrap();
        let (lease_id, secret) = (first.lease_id.clone(), Arc::downgrade(&first.secret));
        drop(first);
        world.broker().revoke(&request(ROOT), &lease_id, until).await.unwrap();
        assert!(secret.upgrade().is_none(), "a revoked secret is remembered");
        let again = ask(&world, ROOT, "k").await.unwrap();
        assert_ne!(again.lease_id, lease_id);
        world.pass(SECOND).await;
        assert_eq!((target.credentials().len(), world.leases()), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_revoked_while_its_answer_is_recorded_is_not_remembered() {
    let world = Arc::new(World::new().await);
    let target = world.target("app", "1h", "24h").await;
    world.audit.delay(SECOND * 2);
    let asking = tokio::spawn({
        let world = Arc::clone(&world);
        async move { ask(&world, ROOT, "k").await }
    });
    world.pass(SECOND * 3).await;
    assert_eq!(target.credentials().len(), 1, "the answer is being recorded by now");
    world.audit.delay(Duration::ZERO);
    let role = "database/creds/app";
    world.broker().revoke_prefix(&request(ROOT), role, Until::Settled, false).await.unwrap();
    let issued = asking.await.unwrap().unwrap();
    let secret = Arc::downgrade(&issued.secret);
    let first = shown(&issued);
    drop(issued);
    assert!(secret.upgrade().is_none(), "a revoked secret is remembered");
    assert_ne!(shown(&ask(&world, ROOT, "k").await.unwrap()), first);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_is_admitted_anew() {
    let world = World::new().await;
    world.target("app", "1h", "24h").await;
    let counted = TokenRequest { ttl: Some(HOUR), num_uses: 3, ..TokenRequest::default() };
    let token = world.token(counted).await;
    let first = ask(&world, &token, "k").await.unwrap();
    assert_eq!(shown(&ask(&world, &token, "k").await.unwrap()), shown(&first));
    assert!(matches!(ask(&world, &token, "k").await, Err(IssueError::LastUse)));
    assert!(matches!(ask(&world, &token, "k").await, Err(IssueError::Admit(_))));
    world.pass(SECOND).await;
    assert_eq!(world.leases(), 0, "the lease outlived its token");
}

#[tokio::test(start_paused = true)]
async fn a_repetition_that_cannot_be_recorded_is_told_nothing_and_ends_nothing() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let first = ask(&world, ROOT, "k").await.unwrap();
    world.audit.refuse_answers(true);
    assert!(matches!(ask(&world, ROOT, "k").await, Err(IssueError::Admit(_))));
    world.audit.refuse_answers(false);
    world.pass(SECOND).await;
    assert_eq!(target.credentials().len(), 1);
    assert_eq!(shown(&ask(&world, ROOT, "k").await.unwrap()), shown(&first));
    // A first answer that cannot be recorded is another matter: its lease is revoked, and never told.
    world.audit.refuse_answers(true);
    assert!(matches!(ask(&world, ROOT, "k2").await, Err(IssueError::Admit(_))));
    world.audit.refuse_answers(false);
    ask(&world, ROOT, "k2").await.unwrap();
    world.pass(SECOND).await;
    assert_eq!((target.credentials().len(), world.leases()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_token_made_again_with_the_same_text_is_another_token() {
    let world = World::new().await;
    world.target("app", "1h", "24h").await;
    let wanted = || TokenRequest {
        id: Some(leasehold_core::secret::SecretText::new("chosen-text".into())),
        ttl: Some(HOUR),
        ..TokenRequest::default()
    };
    let token = world.token(wanted()).await;
    let first = ask(&world, &token, "k").await.unwrap();
    let which = leasehold_core::broker::WhichToken::Own;
    world
        .broker()
        .revoke_token(&request(&token), &which, leasehold_core::broker::Children::End)
        .await
        .unwrap();
    world.pass(SECOND * 30).await;
    let token = world.token(wanted()).await;
    assert_ne!(shown(&ask(&world, &token, "k").await.unwrap()), shown(&first));
}

#[tokio::test(start_paused = true)]
async fn a_role_that_is_gone_lends_nothing_again() {
    let world = World::new().await;
    world.target("app", "1h", "24h").await;
    ask(&world, ROOT, "k").await.unwrap();
    world.broker().delete_role(&request(ROOT), "database/", "app", false).await.unwrap();
    assert!(matches!(ask(&world, ROOT, "k").await, Err(IssueError::UnknownRole(_))));
}

#[tokio::test(start_paused = true)]
async fn the_store_holds_neither_the_key_nor_the_secret() {
    let world = World::new().await;
    world.target("app", "1h", "24h").await;
    let issued = ask(&world, ROOT, "canary-idempotency-key").await.unwrap();
    let bytes = world.store.bytes();
    for canary in ["canary-idempotency-key", &shown(&issued).1] {
        assert!(!bytes.windows(canary.len()).any(|window| window == canary.as_bytes()), "{canary}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_are_asked_at_once_leave_one_credential() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let one = world.broker();
    world.restart().await;
    let other = world.broker();
    let (first, second) = (keyed(ROOT, "k"), keyed(ROOT, "k"));
    let (first, second) = futures_util::future::join(
        one.issue(&first, "database/", "app"),
        other.issue(&second, "database/", "app"),
    )
    .await;
    assert!(first.is_ok() || second.is_ok());
    // Each asks for what the other one holds, and so takes it away.
    for node in [&one, &other, &one] {
        node.issue(&keyed(ROOT, "k"), "database/", "app").await.unwrap();
    }
    let last = other.issue(&keyed(ROOT, "k"), "database/", "app").await.unwrap();
    // One node sweeps, and finds in the store what the other one has marked.
    world.pass(OVERDUE + SECOND).await;
    other.housekeep().await.unwrap();
    world.pass(ISSUE_WITHIN + SETTLE).await;
    let held = target.credentials().into_keys().map(|id| id.to_string()).collect::<Vec<_>>();
    assert_eq!(held, [last.lease_id.rsplit('/').next().unwrap()]);
    assert_eq!((world.leases(), world.store.count("repeat/")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn parameters_are_the_same_in_any_order() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let mut answers = Vec::new();
    for written in [r#"{"a":1,"b":{"c":2,"d":3}}"#, r#"{ "b": {"d":3, "c":2}, "a":1 }"#] {
        let mut request = keyed(ROOT, "k");
        request.asked.data = Some(serde_json::from_str(written).unwrap());
        answers.push(shown(&world.broker().issue(&request, "database/", "app").await.unwrap()));
    }
    answers.dedup();
    assert_eq!((answers.len(), target.credentials().len()), (1, 1));
}
