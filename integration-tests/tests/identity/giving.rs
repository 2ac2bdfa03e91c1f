//! What callers without `sudo` cannot give themselves or others, whichever way they try.

use crate::*;
use leasehold_core::broker::Merge;

const ADMIN: &str =
    r#"path "identity/*" { capabilities = ["create", "read", "update", "delete"] }"#;

fn is_not_theirs<T>(outcome: &Result<T, IdentityError>) -> bool {
    matches!(outcome, Err(IdentityError::NotTheirs(_)))
}

/// An identity admin without `sudo`, with an entity of their own; and what they ask with.
async fn admin(world: &World) -> (Request, String) {
    policy(world, "admin", ADMIN).await;
    let made = log_in(world, "ann").await;
    let id = made.token.entity.unwrap().to_string();
    entity(world, EntityWrite { policies: texts(&["admin"]), ..of(&id) }).await;
    (asks(made.text.reveal(), Operation::Update, "identity/any"), id)
}

#[tokio::test(start_paused = true)]
async fn without_sudo_nobody_gives_policies_that_they_have_not() {
    let world = world().await;
    let (admin, _) = admin(&world).await;
    let broker = world.broker();
    let bob = entity(&world, named("bob")).await;
    let mighty = entity(&world, EntityWrite { policies: texts(&["app"]), ..named("mighty") }).await;
    let strong = group(&world, group_named("strong", &["app"])).await;
    let weak = group(&world, GroupWrite { groups: texts(&[]), ..group_named("weak", &[]) }).await;
    let in_strong = GroupWrite { groups: texts(&[&weak]), ..group_named("strong", &["app"]) };
    group(&world, in_strong).await;
    let ext = GroupWrite { kind: Some("external".into()), ..group_named("ext", &["app"]) };
    let ext = group(&world, ext).await;

    let gives = EntityWrite { policies: texts(&["admin", "app"]), ..of(&bob) };
    assert!(is_not_theirs(&broker.write_entity(&admin, gives).await), "by an entity's policies");
    let gives = group_named("new", &["app"]);
    assert!(is_not_theirs(&broker.write_group(&admin, gives).await), "by a group's policies");
    for name in ["strong", "weak"] {
        let joins = GroupWrite {
            name: Some(name.into()),
            entities: texts(&[&bob]),
            ..GroupWrite::default()
        };
        assert!(is_not_theirs(&broker.write_group(&admin, joins).await), "by being in {name}");
    }
    let inner = group(&world, group_named("inner", &[])).await;
    let joins =
        GroupWrite { name: Some("weak".into()), groups: texts(&[&inner]), ..GroupWrite::default() };
    assert!(is_not_theirs(&broker.write_group(&admin, joins).await), "by a group being in it");
    let logs_in = alias(&world, "userpass", "bob", &mighty);
    assert!(is_not_theirs(&broker.write_entity_alias(&admin, logs_in).await), "by an alias");
    let known = alias(&world, "userpass", "ops", &ext);
    assert!(is_not_theirs(&broker.write_group_alias(&admin, known).await), "by a group's alias");
    for (to, from) in [(&bob, &mighty), (&mighty, &bob)] {
        let merge = Merge { to: to.clone(), from: vec![from.clone()], keep: Vec::new() };
        assert!(is_not_theirs(&broker.merge_entities(&admin, merge).await), "by a merge");
    }
    assert!(read(&world, &bob).await.unwrap().entity.policies.is_empty());

    // What they have themselves they give; and with `sudo` anything.
    let gives = EntityWrite { policies: texts(&["admin"]), ..of(&bob) };
    broker.write_entity(&admin, gives).await.unwrap();
    policy(&world, "admin", &ADMIN.replace("\"read\"", "\"read\", \"sudo\"")).await;
    let gives = EntityWrite { policies: texts(&["app"]), ..of(&bob) };
    broker.write_entity(&admin, gives).await.unwrap();
    let _ = strong;
}

#[tokio::test(start_paused = true)]
async fn without_sudo_nobody_changes_what_they_are_themselves() {
    let world = world().await;
    let (admin, own) = admin(&world).await;
    let broker = world.broker();
    let mine = GroupWrite { entities: texts(&[&own]), ..group_named("mine", &[]) };
    let mine = group(&world, mine).await;
    let bob = entity(&world, named("bob")).await;

    // A template may read a name or a note, and a policy may deny.
    let team = std::collections::BTreeMap::from([("team".to_owned(), "prod".to_owned())]);
    for wanted in [
        EntityWrite { name: Some("bob2".into()), ..of(&own) },
        EntityWrite { metadata: Some(team.clone()), ..of(&own) },
        EntityWrite { policies: Some(Vec::new()), ..of(&own) },
    ] {
        assert!(is_not_theirs(&broker.write_entity(&admin, wanted.clone()).await), "{wanted:?}");
    }
    assert!(is_not_theirs(&broker.delete_entity(&admin, &Which::Id(own.clone())).await));
    for wanted in [
        GroupWrite { metadata: Some(team), ..group_named("mine", &[]) },
        GroupWrite { entities: texts(&[]), ..group_named("mine", &[]) },
        GroupWrite { entities: texts(&[&own]), ..group_named("other", &[]) },
        GroupWrite { groups: texts(&[&mine]), ..group_named("other", &[]) },
    ] {
        assert!(is_not_theirs(&broker.write_group(&admin, wanted.clone()).await), "{wanted:?}");
    }
    assert!(is_not_theirs(&broker.delete_group(&admin, &Which::Id(mine)).await));
    let moved = alias(&world, "userpass", "ann", &bob);
    assert!(is_not_theirs(&broker.write_entity_alias(&admin, moved).await));
    let alias_id = read(&world, &own).await.unwrap().entity.aliases[0].id.to_string();
    assert!(is_not_theirs(&broker.delete_entity_alias(&admin, &alias_id).await));
    let merge = Merge { to: bob, from: vec![own], keep: Vec::new() };
    assert!(is_not_theirs(&broker.merge_entities(&admin, merge).await));
}
