//! What becomes of the tokens that a token made.

use super::{HOUR, SECOND};
use leasehold_core::broker::{Children, TokenRequest, WhichToken};
use leasehold_core::secret::SecretText;
use leasehold_core::store::StoreError;
use leasehold_integration_tests::world::{ROOT, World, request};

fn named(token: &str) -> WhichToken {
    WhichToken::Text(SecretText::new(token.to_owned()))
}

async fn child_of(world: &World, parent: &str) -> String {
    let wanted = TokenRequest { ttl: Some(HOUR), ..TokenRequest::default() };
    let made = world.broker().create_token(&request(parent), wanted).await.unwrap();
    made.text.reveal().to_owned()
}

async fn is_good(world: &World, token: &str) -> bool {
    world.broker().lookup_token(&request(token), &WhichToken::Own).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_to_end_alone_does_so_even_if_the_process_dies_over_it() {
    let world = World::new().await;
    let parent = child_of(&world, ROOT).await;
    let child = child_of(&world, &parent).await;
    world.store.fail(Some(StoreError::Uncertain("the process dies".into())));
    let (broker, asked, which) = (world.broker(), request(ROOT), named(&parent));
    let outcome = broker.revoke_token(&asked, &which, Children::Free).await;
    assert!(outcome.is_err());
    world.store.fail(None);
    assert!(!is_good(&world, &parent).await, "its end was stored");
    assert_eq!(world.store.count("child/"), 2, "its child is not free yet");
    world.restart().await;
    world.pass(SECOND * 30).await;
    assert!(is_good(&world, &child).await);
    let seen = world.broker().lookup_token(&request(ROOT), &named(&child)).await.unwrap();
    assert_eq!(seen.token.parent, None);
    assert_eq!((world.store.count("child/"), world.store.count("accessor/")), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_tree_of_any_depth_ends_with_its_root() {
    let world = World::new().await;
    let first = child_of(&world, ROOT).await;
    let mut last = first.clone();
    for _ in 0..2000 {
        last = child_of(&world, &last).await;
    }
    let before = world.store.count("accessor/");
    assert_eq!(before, 2002);
    let found =
        world.broker().revoke_token(&request(ROOT), &named(&first), Children::End).await.unwrap();
    assert!(found && !is_good(&world, &last).await);
    let left = ["token/", "accessor/", "child/", "token-due/"].map(|at| world.store.count(at));
    assert_eq!(left, [1, 1, 0, 0], "nothing is left but the first token of all");
}
