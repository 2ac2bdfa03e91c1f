//! Logins that make batch tokens: stored nowhere, and good only as long as the method is there that made them.

use crate::{from, log_in, mount, secret, ttls, user};
use leasehold_core::access::params::{ParamsWrite, TokenType};
use leasehold_core::access::policy::Right;
use leasehold_core::access::token::TokenKind;
use leasehold_core::broker::{
    IssueError, Issued, LoginError, MountTune, Request, Side, TokenMade, Until, WhichToken,
};
use leasehold_integration_tests::world::{ROOT, World, request};
use std::time::Duration;

const HOME: &str = "192.0.2.1";
const HOUR: Duration = Duration::from_hours(1);

fn batch() -> ParamsWrite {
    ParamsWrite {
        policies: Some(vec!["lent".into()]),
        token_type: Some(TokenType::Batch),
        ..ParamsWrite::default()
    }
}

/// A world with a target, and a method whose user `ann` gets batch tokens that may be lent to.
async fn world() -> World {
    let world = World::new().await;
    mount(&world, "userpass").await;
    let policy = "path \"test\" { capabilities = [\"update\"] }
        path \"database/creds/app\" { capabilities = [\"read\"] }";
    world.broker().write_policy(&request(ROOT), "lent", policy).await.unwrap();
    user(&world, "ann", batch()).await;
    world
}

fn by(made: &TokenMade) -> Request {
    let right = Right::Policy;
    Request { token: Some(secret(made.text.reveal())), right, ..from(HOME) }
}

async fn lent(world: &World, made: &TokenMade) -> Result<Issued, IssueError> {
    world.broker().issue(&by(made), "database/", "app").await
}

async fn is_good(world: &World, made: &TokenMade, ip: &str) -> bool {
    let own = Request { token: Some(secret(made.text.reveal())), ..from(ip) };
    world.broker().lookup_token(&own, &WhichToken::Own).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_stored_of_a_batch_token_that_a_login_made() {
    let world = world().await;
    let counted = ["token", "accessor/", "child/"].map(|at| world.store.count(at));
    let made = log_in(&world, HOME, "ann", "right").await.unwrap();
    assert!(made.text.reveal().starts_with("hvb.") && made.token.kind == TokenKind::Batch);
    assert!(is_good(&world, &made, HOME).await);
    assert_eq!(counted, ["token", "accessor/", "child/"].map(|at| world.store.count(at)));
    // It is read anew from its text, by any process.
    world.restart().await;
    let seen = world.broker().lookup_token(&by_itself(&made), &WhichToken::Own).await.unwrap();
    assert_eq!((&seen.token.login, &seen.token.meta), (&made.token.login, &made.token.meta));
    assert!(!seen.token.renewable);
    let renewed = world.broker().renew_token(&by_itself(&made), &WhichToken::Own, None).await;
    assert!(renewed.is_err());
}

fn by_itself(made: &TokenMade) -> Request {
    Request { right: Right::Own, ..by(made) }
}

#[tokio::test(start_paused = true)]
async fn what_it_is_lent_ends_with_it() {
    let world = world().await;
    let target = world.target("app", "10h", "24h").await;
    user(&world, "ann", ParamsWrite { token_type: Some(TokenType::Batch), ..ttls(HOUR, HOUR) })
        .await;
    let made = log_in(&world, HOME, "ann", "right").await.unwrap();
    world.pass(HOUR / 2).await;
    let issued = lent(&world, &made).await.unwrap();
    assert_eq!(issued.ttl, HOUR / 2);
    world.pass(HOUR / 4).await;
    let renewed = world.broker().renew(&by(&made), &issued.lease_id, Some(HOUR)).await.unwrap();
    assert_eq!(renewed.ttl, HOUR / 4);
    world.pass(HOUR / 4 + Duration::from_secs(1)).await;
    assert!(!is_good(&world, &made, HOME).await);
    let left = (target.credentials().len(), world.leases(), world.store.count("of-"));
    assert_eq!(left, (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_disabled_method_takes_its_batch_tokens_with_it_and_what_they_were_lent() {
    for case in ["", "the first mark is refused", "the process dies"] {
        let world = world().await;
        let target = world.target("app", "10h", "24h").await;
        let made = log_in(&world, HOME, "ann", "right").await.unwrap();
        let other = log_in(&world, HOME, "ann", "right").await.unwrap();
        for one in [&made, &other, &made] {
            let _ = lent(&world, one).await.unwrap();
        }
        if case == "the first mark is refused" {
            world.store.refuse_one(1);
        }
        let path = (Side::Methods, "userpass");
        world.broker().disable_mount(&request(ROOT), path).await.unwrap();
        assert!(!is_good(&world, &made, HOME).await, "{case}");
        assert!(matches!(lent(&world, &made).await, Err(IssueError::Admit(_))));
        if case == "the process dies" {
            world.restart().await;
            assert!(!is_good(&world, &made, HOME).await);
        }
        world.pass(Duration::from_secs(1)).await;
        world.broker().housekeep().await.unwrap();
        world.pass(Duration::from_secs(30)).await;
        assert_eq!((target.credentials().len(), world.leases()), (0, 0), "{case}");
        // The method is kept until all that was lent by it is gone.
        world.broker().housekeep().await.unwrap();
        assert_eq!((world.store.count("of-token/"), world.store.count("mount/")), (0, 1), "{case}");
        mount(&world, "userpass").await;
        assert!(!is_good(&world, &made, HOME).await, "another one of the same path took it");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_ends_the_tokens_of_a_method_takes_from_its_batch_tokens_what_they_were_lent() {
    let world = world().await;
    let target = world.target("app", "10h", "24h").await;
    let made = log_in(&world, HOME, "ann", "right").await.unwrap();
    let _ = lent(&world, &made).await.unwrap();
    let of_others = world.issue("app").await.unwrap();
    let asked = request(ROOT);
    world.broker().revoke_prefix(&asked, "auth/userpass/", Until::Marked, false).await.unwrap();
    world.pass(Duration::from_secs(30)).await;
    assert_eq!((target.credentials().len(), world.leases()), (1, 1));
    assert!(world.broker().lookup_lease(&request(ROOT), &of_others.lease_id).await.is_ok());
    // Nothing can revoke the token itself, as nothing is kept of it.
    assert!(is_good(&world, &made, HOME).await);
}

#[tokio::test(start_paused = true)]
async fn the_mount_decides_where_the_user_leaves_it_open_and_no_bound_is_dropped_for_it() {
    let world = world().await;
    user(&world, "bob", ParamsWrite::default()).await;
    let uses = ParamsWrite { num_uses: Some(3), ..ParamsWrite::default() };
    user(&world, "eve", uses).await;
    let tune = async |token_type| {
        let tune = MountTune { token_type: Some(token_type), ..MountTune::default() };
        world.broker().tune_mount(&request(ROOT), (Side::Methods, "userpass"), tune).await.unwrap();
    };
    for (token_type, ann, bob) in [
        (TokenType::DefaultBatch, TokenKind::Batch, TokenKind::Batch),
        (TokenType::Service, TokenKind::Service, TokenKind::Service),
        (TokenType::Default, TokenKind::Batch, TokenKind::Service),
        (TokenType::Batch, TokenKind::Batch, TokenKind::Batch),
    ] {
        tune(token_type).await;
        for (name, kind) in [("ann", ann), ("bob", bob)] {
            let made = log_in(&world, HOME, name, "right").await.unwrap();
            assert_eq!(made.token.kind, kind, "{name} at {token_type:?}");
        }
    }
    let refused = log_in(&world, HOME, "eve", "right").await.unwrap_err();
    assert!(matches!(refused, LoginError::Bad(why) if why.contains("limited use count")));
}

#[tokio::test(start_paused = true)]
async fn a_batch_token_is_bound_to_where_its_login_came_from_and_to_what_fits_a_header() {
    let world = world().await;
    user(&world, "ann", ParamsWrite { strictly_bind_ip: Some(true), ..batch() }).await;
    let made = log_in(&world, HOME, "ann", "right").await.unwrap();
    assert!(is_good(&world, &made, HOME).await);
    assert!(!is_good(&world, &made, "192.0.2.2").await);
    let many = (0..900).map(|number| format!("policy-{number}")).collect();
    user(&world, "ann", ParamsWrite { policies: Some(many), ..batch() }).await;
    let refused = log_in(&world, HOME, "ann", "right").await.unwrap_err();
    assert!(matches!(refused, LoginError::Bad(why) if why.contains("too long for a header")));
}
