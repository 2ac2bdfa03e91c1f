//! A mount that is moved to another path, with all that lives under it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use leasehold_core::access::policy::Right;
use leasehold_core::audit::Operation;
use leasehold_core::broker::{
    IssueError, MountError, MountWrite, QuotaWrite, RenewError, Request, Side, TokenRequest, Until,
};
use leasehold_core::store::quotas::{Limit, QuotaKind};
use leasehold_integration_tests::world::target::Mood;
use leasehold_integration_tests::world::{ROOT, World, request};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

async fn moved(world: &World, from: &str, to: &str) -> Result<(), MountError> {
    world.broker().remount(&request(ROOT), from, to).await.map(|_| ())
}

async fn mount(world: &World, side: Side, path: &str, kind: &str) {
    let wanted = MountWrite { side, path: path.into(), kind: kind.into(), ..MountWrite::default() };
    world.broker().enable_mount(&request(ROOT), wanted).await.unwrap();
}

/// The same lease under its new path.
fn renamed(lease_id: &str, to: &str) -> String {
    lease_id.replacen("database/", to, 1)
}

#[tokio::test(start_paused = true)]
async fn leases_live_on_and_are_known_by_their_last_segment() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let [lapses, renewed, revoked] = [
        world.issue("app").await.unwrap().lease_id,
        world.issue("app").await.unwrap().lease_id,
        world.issue("app").await.unwrap().lease_id,
    ];
    moved(&world, "database/", "team/db").await.unwrap();
    let (broker, root) = (world.broker(), request(ROOT));
    // However it is named, it is the same one, and it says where it is now.
    for name in [renewed.clone(), renamed(&renewed, "team/db/")] {
        let shown = broker.lookup_lease(&root, &name).await.unwrap();
        assert_eq!(shown.lease_id, renamed(&renewed, "team/db/"));
    }
    let told = broker.renew(&root, &renewed, Some(HOUR * 2)).await.unwrap();
    assert_eq!(told.lease_id, renamed(&renewed, "team/db/"));
    broker.revoke(&root, &revoked, Until::Settled).await.unwrap();
    assert_eq!((world.leases(), target.credentials().len()), (2, 2));
    // Nothing is lent at the old path, and all as before at the new one.
    let nowhere = world.issue("app").await.unwrap_err();
    assert!(!matches!(nowhere, IssueError::Admit(_)), "{nowhere}");
    assert!(broker.issue(&root, "team/db/", "app").await.is_ok());
    world.pass(HOUR + SECOND * 10).await;
    assert!(broker.lookup_lease(&root, &lapses).await.is_err());
    assert_eq!((world.leases(), target.credentials().len()), (1, 1));
    // A process that starts later knows it there, and what is disabled there is clean.
    world.restart().await;
    let root = request(ROOT);
    world.broker().disable_mount(&root, (Side::Engines, "team/db")).await.unwrap();
    world.pass(SECOND * 30).await;
    assert_eq!((world.leases(), target.credentials().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_issue_that_is_under_way_is_decided_anew_or_its_lease_follows() {
    for mood in [Mood::Well, Mood::Slow(SECOND * 10), Mood::LosingAnswers] {
        let world = World::new().await;
        let target = world.target("app", "1h", "24h").await;
        target.mood(mood);
        let issued = world.ask_amid(world.issue("app"), async {
            moved(&world, "database", "elsewhere").await.unwrap();
        });
        // It was recorded by its old path, at which nothing is lent any more.
        assert!(issued.await.is_err(), "{mood:?}");
        target.mood(Mood::Well);
        world.pass(HOUR * 2).await;
        assert_eq!((world.leases(), target.credentials().len()), (0, 0), "{mood:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_by_whoever_may_ask_for_it_at_its_new_path() {
    let world = World::new().await;
    world.target("app", "1h", "24h").await;
    let (broker, root) = (world.broker(), request(ROOT));
    let text = r#"path "database/creds/app" { capabilities = ["read"] }
        path "sys/leases/renew" { capabilities = ["update"] }"#;
    broker.write_policy(&root, "app", text).await.unwrap();
    let wanted = TokenRequest { policies: vec!["app".into()], ..Default::default() };
    let made = broker.create_token(&root, wanted).await.unwrap();
    let holder = made.text.reveal().to_owned();
    let asks = |operation, path: &str| {
        let mut asks = request(&holder);
        (asks.asked.operation, asks.asked.path) = (operation, path.to_owned());
        Request { right: Right::Policy, ..asks }
    };
    let issue = asks(Operation::Read, "database/creds/app");
    let lease_id = broker.issue(&issue, "database/", "app").await.unwrap().lease_id;
    let asks = asks(Operation::Update, "sys/leases/renew");
    assert!(broker.renew(&asks, &lease_id, None).await.is_ok());
    moved(&world, "database", "db").await.unwrap();
    // The policy names a path at which nothing is lent any more.
    let refused = broker.renew(&asks, &lease_id, None).await.unwrap_err();
    let by_old = matches!(&refused, RenewError::OwnerMayNot(path) if path == "db/creds/app");
    assert!(by_old, "{refused}");
    let text = text.replace("database/", "db/");
    broker.write_policy(&root, "app", &text).await.unwrap();
    assert!(broker.renew(&asks, &lease_id, None).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn quotas_follow_and_count_on() {
    let world = World::new().await;
    world.target("app", "1h", "24h").await;
    let (broker, root) = (world.broker(), request(ROOT));
    let wanted = QuotaWrite {
        name: "two".into(),
        path: "database/".into(),
        role: String::new(),
        inheritable: None,
        limit: Limit::Leases { max_leases: 2 },
    };
    broker.write_quota(&root, wanted).await.unwrap();
    world.issue("app").await.unwrap();
    moved(&world, "database", "db").await.unwrap();
    let quota = broker.read_quota(&root, QuotaKind::LeaseCount, "two").await.unwrap();
    assert_eq!(quota.record.scope.mount, "db/");
    assert!(broker.issue(&root, "db/", "app").await.is_ok());
    let full = broker.issue(&root, "db/", "app").await;
    assert!(matches!(full, Err(IssueError::TooMany(_))), "{full:?}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_moved_stays_where_it_is() {
    let world = World::new().await;
    mount(&world, Side::Engines, "other/db", "database").await;
    mount(&world, Side::Methods, "people", "userpass").await;
    for (from, to, error) in [
        ("nope", "x", "no matching mount at \"nope/\""),
        ("auth/nope", "auth/x", "no matching mount at \"auth/nope/\""),
        ("database", "other/db", "path already in use at \"other/db/\""),
        ("database", "other", "path already in use at \"other/db/\""),
        ("database", "other/db/sub", "path already in use at \"other/db/\""),
        ("database", "database", "path already in use at \"database/\""),
        ("sys", "x", "cannot remount \"sys/\""),
        ("cubbyhole", "x", "cannot remount \"cubbyhole/\""),
        ("auth/token", "auth/x", "cannot remount \"auth/token/\""),
        ("database", "sys/x", "cannot mount \"sys/x/\""),
        ("database", "auth/x", "from `auth/` to `auth/`"),
        ("auth/people", "people", "from `auth/` to `auth/`"),
        ("auth/people", "auth/token", "path is already in use at token/"),
        ("database", "a b", "holds empty segments"),
        ("database", "", "a mount needs a path"),
        ("database", "x/tune", "the path ends in `/tune`"),
        ("auth/people", "auth/x/tune", "the path ends in `/tune`"),
    ] {
        let refused = moved(&world, from, to).await.unwrap_err();
        assert!(refused.to_string().contains(error), "{from} {to}: {refused}");
    }
    let engines = world.broker().list_mounts(&request(ROOT), Side::Engines).await.unwrap();
    let paths: Vec<_> = engines.iter().map(|entry| entry.mount.record.path.as_str()).collect();
    assert_eq!(paths, ["database/", "other/db/"]);
    // Into its own path is elsewhere, once it has left.
    moved(&world, "database", "database/sub").await.unwrap();
    mount(&world, Side::Engines, "database/other", "database").await;
}

#[tokio::test(start_paused = true)]
async fn of_two_who_move_two_mounts_to_one_path_one_does() {
    let world = Arc::new(World::new().await);
    mount(&world, Side::Engines, "other", "database").await;
    let moves = ["database", "other"].map(|from| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { moved(&world, from, "one").await })
    });
    let done = futures_util::future::join_all(moves).await;
    assert_eq!(done.into_iter().filter(|done| done.as_ref().unwrap().is_ok()).count(), 1);
}
