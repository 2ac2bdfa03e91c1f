//! What of entities and groups cannot be written.

use crate::*;
use leasehold_core::limits::{GROUP_DEPTH_MAX, MEMBERSHIPS_MAX};

fn is_bad<T>(outcome: &Result<T, IdentityError>) -> bool {
    matches!(outcome, Err(IdentityError::Bad(_)))
}

#[tokio::test(start_paused = true)]
async fn a_name_is_one_entity_in_any_case_and_two_never_have_one() {
    let world = world().await;
    let ann = entity(&world, named("Ann")).await;
    assert_eq!(entity(&world, named("ANN")).await, ann);
    assert_eq!(read(&world, &ann).await.unwrap().entity.name, "Ann");
    // The Kelvin sign is a `k` in lower case.
    let kim = entity(&world, named("Kim")).await;
    assert_eq!(entity(&world, named("\u{212a}im")).await, kim);
    let taken = EntityWrite { name: Some("ann".into()), ..of(&kim) };
    assert!(is_bad(&world.broker().write_entity(&request(ROOT), taken).await));
    for name in ["", " ann", "a\u{200b}nn", "ann/..", "a\nb"] {
        assert!(
            is_bad(&world.broker().write_entity(&request(ROOT), named(name)).await),
            "{name:?}"
        );
    }
    assert_eq!(world.store.count("entity/"), 2);
    // A name that is given up is free.
    entity(&world, EntityWrite { name: Some("Kimberly".into()), ..of(&kim) }).await;
    assert_ne!(entity(&world, named("kim")).await, kim);
}

#[tokio::test(start_paused = true)]
async fn cve_2025_5999_root_is_given_by_no_entity_and_no_group() {
    let world = world().await;
    let made = log_in(&world, "ann").await;
    let id = made.token.entity.unwrap().to_string();
    for root in ["root", " Root", "ROOT\t"] {
        let wanted = EntityWrite { policies: texts(&["app", root]), ..of(&id) };
        assert!(is_bad(&world.broker().write_entity(&request(ROOT), wanted).await), "{root:?}");
        assert!(is_bad(&try_group(&world, group_named("g", &[root])).await), "{root:?}");
    }
    let seen = own(&world, made.text.reveal()).await.unwrap();
    assert!(seen.identity.unwrap().policies.is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_group_is_in_itself_in_however_many_steps() {
    let world = world().await;
    let a = group(&world, group_named("a", &[])).await;
    let within = async |name: &str, members: &[&str]| {
        try_group(&world, GroupWrite { groups: texts(members), ..group_named(name, &[]) }).await
    };
    let b = within("b", &[&a]).await.unwrap();
    let c = within("c", &[&b]).await.unwrap();
    for (name, members) in [("a", [&a]), ("a", [&b]), ("a", [&c]), ("b", [&c])] {
        assert!(is_bad(&within(name, &[members[0].as_str()]).await), "{name} {members:?}");
    }
    assert_eq!(world.store.count("member/"), 2, "nothing was changed");
    // Two ways to one group are none to itself.
    within("d", &[&a, &b]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn groups_inside_each_other_and_memberships_are_bounded() {
    let world = world().await;
    let mut inner = group(&world, group_named("0", &[])).await;
    for depth in 1..GROUP_DEPTH_MAX {
        let wanted =
            GroupWrite { groups: texts(&[&inner]), ..group_named(&depth.to_string(), &[]) };
        inner = group(&world, wanted).await;
    }
    let wanted = || GroupWrite { groups: texts(&[&inner]), ..group_named("too deep", &[]) };
    assert!(is_bad(&try_group(&world, wanted()).await));
    let below = GroupWrite { name: Some("0".into()), ..GroupWrite::default() };
    let below =
        GroupWrite { groups: texts(&[&group(&world, group_named("x", &[])).await]), ..below };
    assert!(is_bad(&try_group(&world, below).await), "nor at the other end");

    let ann = entity(&world, named("ann")).await;
    let with_ann =
        |name: String| GroupWrite { entities: texts(&[&ann]), ..group_named(&name, &[]) };
    for number in 0..MEMBERSHIPS_MAX {
        group(&world, with_ann(format!("of-ann-{number}"))).await;
    }
    assert!(is_bad(&try_group(&world, with_ann("one more".into())).await));
}

#[tokio::test(start_paused = true)]
async fn members_that_are_none_change_nothing() {
    let world = world().await;
    let ann = entity(&world, named("ann")).await;
    let g = group(&world, GroupWrite { entities: texts(&[&ann]), ..group_named("g", &[]) }).await;
    let gone = entity(&world, named("gone")).await;
    world.broker().delete_entity(&request(ROOT), &Which::Id(gone.clone())).await.unwrap();
    let (ann_id, g_id, gone_id) = (ann.as_str(), g.as_str(), gone.as_str());
    for (entities, groups) in
        [(["nope"], &[][..]), ([gone_id], &[]), ([g_id], &[]), ([ann_id], &[ann_id])]
    {
        let wanted = GroupWrite {
            entities: texts(&entities),
            groups: texts(groups),
            ..group_named("g", &["app"])
        };
        assert!(is_bad(&try_group(&world, wanted).await), "{entities:?} {groups:?}");
    }
    let view = world.broker().read_group(&request(ROOT), &Which::Name("G".into())).await.unwrap();
    assert_eq!((view.members.entities.len(), view.group.policies.len()), (1, 0));
    // What is deleted is in no group.
    world.broker().delete_entity(&request(ROOT), &Which::Id(ann)).await.unwrap();
    let view = world.broker().read_group(&request(ROOT), &Which::Id(g)).await.unwrap();
    assert!(view.members.entities.is_empty());
    assert_eq!((world.store.count("member/"), world.store.count("member-of/")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_method_of_an_external_group_says_who_is_in_it() {
    let world = world().await;
    let ann = entity(&world, named("ann")).await;
    let external = GroupWrite { kind: Some("external".into()), ..group_named("ext", &["app"]) };
    let ext = group(&world, external).await;
    let with_ann = GroupWrite { entities: texts(&[&ann]), ..group_named("ext", &["app"]) };
    assert!(is_bad(&try_group(&world, with_ann).await));
    let internal = GroupWrite { kind: Some("internal".into()), ..group_named("ext", &["app"]) };
    assert!(is_bad(&try_group(&world, internal).await), "that is said once");
    let write = async |wanted| world.broker().write_group_alias(&request(ROOT), wanted).await;
    write(alias(&world, "userpass", "ops", &ext)).await.unwrap();
    let other = GroupWrite { kind: Some("external".into()), ..group_named("other", &[]) };
    let other = group(&world, other).await;
    assert!(is_bad(&write(alias(&world, "userpass", "OPS", &other)).await));
    let own = group(&world, group_named("own", &[])).await;
    assert!(is_bad(&write(alias(&world, "userpass", "x", &own)).await));
}

#[tokio::test(start_paused = true)]
async fn an_entity_has_one_alias_at_a_mount_and_an_alias_one_entity() {
    let world = world().await;
    let (ann, bob) = (entity(&world, named("ann")).await, entity(&world, named("bob")).await);
    let write = async |wanted| world.broker().write_entity_alias(&request(ROOT), wanted).await;
    let first = write(alias(&world, "userpass", "Ann", &ann)).await.unwrap();
    assert_eq!(first.alias.name, "ann", "as the method writes it");
    assert!(is_bad(&write(alias(&world, "userpass", "ann2", &ann)).await));
    let no_mount = AliasWrite {
        mount_accessor: Some("auth_x_1".into()),
        ..alias(&world, "userpass", "x", &bob)
    };
    assert!(is_bad(&write(no_mount).await));
    assert!(is_bad(&write(alias(&world, "userpass", "x", "nope")).await));
    assert_eq!(log_in(&world, "ann").await.token.entity.unwrap().to_string(), ann);
    // Written again for another it moves there, with who logs in by it.
    let moved = write(alias(&world, "userpass", "ann", &bob)).await.unwrap();
    assert_eq!((moved.alias.id, moved.canonical_id), (first.alias.id, bob.clone()));
    assert_eq!(log_in(&world, "ann").await.token.entity.unwrap().to_string(), bob);
    assert!(read(&world, &ann).await.unwrap().entity.aliases.is_empty());
    assert_eq!((world.store.count("entity-of/"), world.store.count("entity-alias/")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_known_at_a_mount_that_is_gone() {
    let world = world().await;
    let made = log_in(&world, "ann").await;
    let id = made.token.entity.unwrap().to_string();
    world.broker().disable_mount(&request(ROOT), (Side::Methods, "userpass")).await.unwrap();
    world.pass(std::time::Duration::from_secs(1)).await;
    world.broker().housekeep().await.unwrap();
    assert!(read(&world, &id).await.unwrap().entity.aliases.is_empty());
    assert_eq!((world.store.count("entity-of/"), world.store.count("entity-alias/")), (0, 0));
    assert_eq!(world.store.count("mount/"), 1);
}
