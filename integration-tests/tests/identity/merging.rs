//! Entities that become one.

use crate::*;
use leasehold_core::broker::{LookedFor, Merge};

async fn merge(world: &World, to: &str, from: &[&str], keep: &[&str]) -> Result<(), IdentityError> {
    let merge = Merge { to: to.into(), from: texts(from), keep: texts(keep) };
    world.broker().merge_entities(&request(ROOT), merge).await
}

fn is_bad<T>(outcome: &Result<T, IdentityError>) -> bool {
    matches!(outcome, Err(IdentityError::Bad(_)))
}

fn entity_of(made: &TokenMade) -> String {
    made.token.entity.unwrap().to_string()
}

#[tokio::test(start_paused = true)]
async fn what_was_merged_lives_on_as_the_survivor() {
    let world = world().await;
    mount(&world, "others").await;
    user(&world, "others", "ann").await;
    let one = log_in(&world, "ann").await;
    let other = log_in_at(&world, "others", "ann").await.unwrap();
    let (from, to) = (entity_of(&one), entity_of(&other));
    entity(&world, EntityWrite { policies: texts(&["a", "b"]), ..of(&from) }).await;
    entity(&world, EntityWrite { policies: texts(&["b"]), ..of(&to) }).await;
    let both = GroupWrite { entities: texts(&[&from, &to]), ..group_named("both", &[]) };
    group(&world, both).await;
    let only = GroupWrite { entities: texts(&[&from]), ..group_named("only", &["app"]) };
    group(&world, only).await;

    let before = world.store.commits();
    merge(&world, &to, &[&from, &from], &[]).await.unwrap();
    assert_eq!(world.store.commits() - before, 1, "one write");
    for token in [one.text.reveal(), other.text.reveal()] {
        let seen = own(&world, token).await.unwrap().identity.unwrap();
        assert_eq!(seen.entity.id.to_string(), to);
        assert_eq!(seen.policies, ["b", "a", "app"]);
        assert!(lend(&world, token).await.is_ok());
    }
    assert_eq!(entity_of(&log_in(&world, "ann").await), to);
    assert!(matches!(read(&world, &from).await, Err(IdentityError::Nothing)));
    let looked_for = LookedFor::Itself(Which::Id(from.clone()));
    let found = world.broker().lookup_entity(&request(ROOT), &looked_for).await.unwrap();
    let view = found.unwrap();
    assert_eq!((view.entity.id.to_string(), view.direct.len()), (to.clone(), 2));
    assert_eq!((view.entity.aliases.len(), view.entity.merged.len()), (2, 1));
    assert_eq!(world.store.count("member/"), 2);

    // Merged again, all of them are the last one.
    let last = entity(&world, named("last")).await;
    merge(&world, &last, &[&to], &[]).await.unwrap();
    let seen = own(&world, one.text.reveal()).await.unwrap().identity.unwrap();
    assert_eq!((seen.entity.id.to_string(), seen.entity.merged.len()), (last.clone(), 2));
    world.broker().delete_entity(&request(ROOT), &Which::Id(last)).await.unwrap();
    assert!(own(&world, one.text.reveal()).await.is_none());
    for prefix in ["entity", "member"] {
        assert_eq!(world.store.count(prefix), 0, "{prefix}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_aliases_at_one_mount_the_one_stays_that_is_named() {
    let world = world().await;
    user(&world, "userpass", "bob").await;
    let (ann, bob) = (log_in(&world, "ann").await, log_in(&world, "bob").await);
    let (to, from) = (entity_of(&ann), entity_of(&bob));
    assert!(is_bad(&merge(&world, &to, &[&from], &[]).await));
    let alias_of =
        async |id: &str| read(&world, id).await.unwrap().entity.aliases[0].id.to_string();
    let (anns, bobs) = (alias_of(&to).await, alias_of(&from).await);
    assert!(is_bad(&merge(&world, &to, &[&from], &[&anns, &bobs]).await));
    let third = entity(&world, named("third")).await;
    assert!(is_bad(&merge(&world, &to, &[&from, &third], &[&bobs]).await), "one at a time");
    assert_eq!(entity_of(&log_in(&world, "bob").await), from, "nothing was changed");

    merge(&world, &to, &[&from], &[&bobs]).await.unwrap();
    assert_eq!(entity_of(&log_in(&world, "bob").await), to);
    let somebody_new = entity_of(&log_in(&world, "ann").await);
    assert!(somebody_new != to && somebody_new != from);
}

#[tokio::test(start_paused = true)]
async fn merges_that_cannot_be_change_nothing() {
    let world = world().await;
    let (ann, bob) = (entity(&world, named("ann")).await, entity(&world, named("bob")).await);
    for (to, from) in
        [("nope", &[bob.as_str()][..]), (&ann, &["nope"]), (&ann, &[&ann]), (&ann, &[])]
    {
        assert!(is_bad(&merge(&world, to, from, &[]).await), "{to} {from:?}");
    }
    entity(&world, EntityWrite { disabled: Some(true), ..of(&bob) }).await;
    assert!(is_bad(&merge(&world, &ann, &[&bob], &[]).await), "nobody is enabled by a merge");
    assert_eq!(world.store.count("entity/"), 2);
}
