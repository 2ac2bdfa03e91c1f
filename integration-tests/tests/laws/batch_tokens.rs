//! Batch tokens: nothing of one is stored, and nothing that it was lent outlives it.

use super::{HOUR, SECOND};
use leasehold_core::access::policy::Right;
use leasehold_core::access::token::{BatchRing, Token, TokenKind};
use leasehold_core::broker::{
    Children, CubbyholeError, IssueError, RenewError, Request, TokenError, TokenMade, TokenRequest,
    WhichToken,
};
use leasehold_core::chance::Chance;
use leasehold_core::limits::REVOKE_WITHIN;
use leasehold_core::secret::SecretText;
use leasehold_integration_tests::world::{ROOT, World, request};
use std::time::Duration;

const LIVES: Duration = Duration::from_mins(30);

#[derive(Debug)]
struct Sevens;

impl Chance for Sevens {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn wanted() -> TokenRequest {
    TokenRequest {
        kind: Some(TokenKind::Batch),
        policies: vec!["default".into()],
        ttl: Some(LIVES),
        ..TokenRequest::default()
    }
}

async fn made(world: &World, parent: &str, wanted: TokenRequest) -> TokenMade {
    world.broker().create_token(&request(parent), wanted).await.unwrap()
}

/// Returns the text of the same token, if it could do everything: nobody is given one, but this one can be lent to.
async fn unbound(world: &World, made: &TokenMade) -> String {
    let opened = world.opened().await;
    let (_, ring) = opened.iter().find(|(key, _)| key.readable() == "batch-ring").unwrap();
    let ring: BatchRing = serde_json::from_str(ring).unwrap();
    let token = Token { policies: vec!["root".into()], ..made.token.clone() };
    let text = ring.seal(&token, world.broker().installation(), &Sevens).unwrap();
    text.reveal().to_owned()
}

async fn is_good(world: &World, token: &str) -> bool {
    let own = Request { right: Right::Own, ..request(token) };
    world.broker().lookup_token(&own, &WhichToken::Own).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn cve_2020_25816_leases_of_a_batch_token_end_with_it_however_they_are_renewed() {
    for orphan in [false, true] {
        let world = World::new().await;
        let target = world.target("app", "1h", "24h").await;
        let made = made(&world, ROOT, TokenRequest { no_parent: orphan, ..wanted() }).await;
        let token = unbound(&world, &made).await;
        world.pass(LIVES / 2).await;
        let issued = world.issue_as(&token, "app").await.unwrap();
        assert_eq!((issued.ttl, issued.capped), (LIVES / 2, Some((HOUR, LIVES / 2))));
        world.pass(LIVES / 4).await;
        let asked = Some(HOUR * 9);
        let by_itself = request(&token);
        let renewed = world.broker().renew(&by_itself, &issued.lease_id, asked).await.unwrap();
        assert_eq!(renewed.ttl, LIVES / 4, "a renewal passed the end of the token");
        world.pass(LIVES / 4 - SECOND / 2).await;
        assert_eq!(target.credentials().len(), 1, "it died early");
        // What a token may do that is stored nowhere is known only while it is shown.
        let by_another = world.broker().renew(&request(ROOT), &issued.lease_id, None).await;
        assert_eq!(orphan, matches!(by_another, Err(RenewError::OwnerMayNot(_))));
        let late = world.broker().renew(&by_itself, &issued.lease_id, asked).await;
        assert!(matches!(late, Err(RenewError::Lease(_))));
        let late = world.issue_as(&token, "app").await;
        assert!(matches!(late, Err(IssueError::Admit(_))), "there is no whole second left");
        world.pass(SECOND).await;
        let left = (target.credentials().len(), world.leases(), world.store.count("of-"));
        assert_eq!(left, (0, 0, 0));
        assert!(!is_good(&world, &token).await);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_batch_token_was_lent_falls_with_the_token_that_made_it() {
    for how in ["revoked", "lapsed", "revoked before a crash"] {
        let world = World::new().await;
        let target = world.target("app", "1h", "24h").await;
        let lives = TokenRequest { ttl: Some(LIVES / 2), ..TokenRequest::default() };
        let parent = world.token(lives).await;
        let made = made(&world, &parent, wanted()).await;
        let token = unbound(&world, &made).await;
        let _ = world.issue_as(&token, "app").await.unwrap();
        if how == "lapsed" {
            world.pass(LIVES / 2).await;
        } else {
            let which = WhichToken::Text(SecretText::new(parent));
            let broker = world.broker();
            broker.revoke_token(&request(ROOT), &which, Children::Free).await.unwrap();
        }
        if how == "revoked before a crash" {
            world.restart().await;
        }
        assert!(!is_good(&world, &token).await, "{how}");
        assert!(matches!(world.issue_as(&token, "app").await, Err(IssueError::Admit(_))));
        // An attempt that the process died over may still be at work until its time is up.
        world.pass(REVOKE_WITHIN + SECOND * 30).await;
        assert_eq!((target.credentials().len(), world.leases()), (0, 0), "{how}");
        assert_eq!(world.store.count("token/"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_outlives_its_token_only_if_its_role_says_so_and_never_its_ceiling() {
    for batch in [false, true] {
        let world = World::new().await;
        let target = world.target("app", "1h", "2h").await;
        let parent =
            world.token(TokenRequest { ttl: Some(LIVES), ..TokenRequest::default() }).await;
        let token = if batch {
            unbound(&world, &made(&world, &parent, wanted()).await).await
        } else {
            parent.clone()
        };
        let bound = world.issue_as(&token, "app").await.unwrap();
        world.orphan_leases("app").await;
        let free = world.issue_as(&token, "app").await.unwrap();
        assert_eq!((free.ttl, free.capped), (HOUR, None));
        assert_eq!(bound.ttl, if batch { LIVES } else { HOUR });
        let which = WhichToken::Text(SecretText::new(parent));
        world.broker().revoke_token(&request(ROOT), &which, Children::End).await.unwrap();
        world.pass(SECOND * 30).await;
        assert_eq!((target.credentials().len(), world.leases()), (1, 1));
        let renewed = world.broker().renew(&request(ROOT), &free.lease_id, Some(HOUR * 9)).await;
        assert_eq!(renewed.unwrap().ttl, HOUR * 2 - SECOND * 30, "its ceiling holds");
        world.pass(HOUR * 2).await;
        let left = (target.credentials().len(), world.leases(), world.store.count("of-"));
        assert_eq!(left, (0, 0, 0));
    }
    // So a token's last use is good for such a role.
    let world = World::new().await;
    let _ = world.target("app", "1h", "2h").await;
    let once = || TokenRequest { num_uses: 1, ..TokenRequest::default() };
    let token = world.token(once()).await;
    assert!(matches!(world.issue_as(&token, "app").await, Err(IssueError::LastUse)));
    world.orphan_leases("app").await;
    let token = world.token(once()).await;
    world.issue_as(&token, "app").await.unwrap();
    world.pass(SECOND * 30).await;
    assert_eq!(world.leases(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_token_is_nowhere_in_the_store_and_good_after_a_restart_and_in_no_copy() {
    let world = World::new().await;
    let first = made(&world, ROOT, wanted()).await;
    let before = (world.store.commits(), world.store.count("token/"));
    let made = made(&world, ROOT, wanted()).await;
    assert_eq!((world.store.commits(), world.store.count("token/")), before);
    let text = made.text.reveal();
    assert!(text.starts_with("hvb.") && text != first.text.reveal());
    assert!(!world.audit.lines().concat().contains(text));
    world.restart().await;
    let own = Request { right: Right::Own, ..request(text) };
    let seen = world.broker().lookup_token(&own, &WhichToken::Own).await.unwrap();
    assert_eq!((seen.token.kind, seen.token.policies), (TokenKind::Batch, made.token.policies));
    let backup = world.back_up().await;
    let (copy, root) = world.copied(&backup).await;
    assert!(!is_good(&copy, text).await && is_good(&copy, &root).await);
    world.pass(LIVES).await;
    assert!(!is_good(&world, text).await);
}

#[tokio::test(start_paused = true)]
async fn what_takes_a_record_of_its_own_is_refused_to_batch_tokens() {
    let world = World::new().await;
    let made = made(&world, ROOT, wanted()).await;
    let token = unbound(&world, &made).await;
    let broker = world.broker();
    let bad = |message: &str| TokenError::Bad(message.into());
    let own = request(&token);
    let child = broker.create_token(&own, TokenRequest::default()).await;
    assert_eq!(child.unwrap_err(), bad("batch tokens cannot create more tokens"));
    for which in [WhichToken::Own, WhichToken::Text(SecretText::new(token.clone()))] {
        let renewed = broker.renew_token(&own, &which, None).await;
        assert_eq!(renewed.unwrap_err(), bad("batch tokens cannot be renewed"));
        let revoked = broker.revoke_token(&own, &which, Children::End).await;
        assert_eq!(revoked.unwrap_err(), bad("batch tokens cannot be revoked"));
    }
    let kept = broker.list_cubbyhole(&own, "").await.unwrap_err();
    assert!(matches!(kept, CubbyholeError::Bad(_)), "{kept}");
    let meta = (0..10).map(|number| (number.to_string(), "x".repeat(500))).collect();
    let long = broker.create_token(&request(ROOT), TokenRequest { meta, ..wanted() }).await;
    let refused = long.unwrap_err();
    assert!(matches!(&refused, TokenError::Bad(_)), "{refused:?}");
    assert!(refused.to_string().contains("too long for a header"), "{refused}");
}
