//! What entities and groups give, and when it is gone.

use crate::*;
use leasehold_core::broker::{AdmitError, Children, RenewError, TokenKind, WhichToken};
use std::sync::Arc;
use std::time::Duration;

const MAKER: &str = r#"path "auth/token/create" { capabilities = ["update"] }"#;

fn is_refused(outcome: &Result<Issued, IssueError>) -> bool {
    matches!(outcome, Err(IssueError::Admit(AdmitError::Denied { .. } | AdmitError::BadToken)))
}

fn entity_of(made: &TokenMade) -> String {
    made.token.entity.unwrap().to_string()
}

#[tokio::test(start_paused = true)]
async fn a_name_that_logs_in_is_one_entity_however_it_is_written() {
    let world = world().await;
    let first = log_in(&world, "ann").await;
    let (again, upper) = (log_in(&world, "ann").await, log_in(&world, " ANN").await);
    assert_eq!(entity_of(&first), entity_of(&again));
    assert_eq!(entity_of(&first), entity_of(&upper));
    assert_eq!(world.store.count("entity/"), 1);
    let seen = own(&world, first.text.reveal()).await.unwrap();
    assert_eq!(seen.identity.unwrap().entity.aliases[0].name, "ann");
    // Another mount knows another ann.
    mount(&world, "others").await;
    user(&world, "others", "ann").await;
    let other = log_in_at(&world, "others", "ann").await.unwrap();
    assert_ne!(entity_of(&first), entity_of(&other));
}

#[tokio::test(start_paused = true)]
async fn of_many_first_logins_at_once_one_entity_comes() {
    let world = Arc::new(world().await);
    let logins: Vec<_> = (0..16)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { log_in_at(&world, "userpass", "ann").await })
        })
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    for login in logins {
        // Those who lost too often are told so, and made nothing.
        seen.extend(login.await.unwrap().ok().map(|made| entity_of(&made)));
    }
    assert_eq!((seen.len(), world.store.count("entity/")), (1, 1));
    assert_eq!((world.store.count("entity-of/"), world.store.count("entity-name/")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_login_costs_one_commit_whether_its_entity_is_new_or_not() {
    let world = world().await;
    for _ in 0..2 {
        let before = world.store.commits();
        let _ = log_in(&world, "ann").await;
        assert_eq!(world.store.commits() - before, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn policies_of_an_entity_and_of_its_groups_count_at_each_request() {
    let world = world().await;
    let made = log_in(&world, "ann").await;
    let (token, id) = (made.text.reveal(), entity_of(&made));
    assert!(is_refused(&lend(&world, token).await));

    let given = EntityWrite { policies: texts(&["App "]), ..of(&id) };
    entity(&world, given).await;
    assert!(lend(&world, token).await.is_ok());
    assert_eq!(own(&world, token).await.unwrap().identity.unwrap().policies, ["app"]);
    entity(&world, EntityWrite { policies: Some(Vec::new()), ..of(&id) }).await;
    assert!(is_refused(&lend(&world, token).await));

    // By a group in a group.
    let inner = GroupWrite { entities: texts(&[&id]), ..group_named("inner", &[]) };
    let inner = group(&world, inner).await;
    let outer = GroupWrite { groups: texts(&[&inner]), ..group_named("outer", &["app"]) };
    let outer = group(&world, outer).await;
    assert!(lend(&world, token).await.is_ok());
    let view = read(&world, &id).await.unwrap();
    assert_eq!(view.direct.len() + view.inherited.len(), 2);
    world.restart().await;
    assert!(lend(&world, token).await.is_ok());
    let none = GroupWrite { id: Some(outer), groups: texts(&[]), ..GroupWrite::default() };
    group(&world, none).await;
    assert!(is_refused(&lend(&world, token).await));
}

#[tokio::test(start_paused = true)]
async fn no_token_of_a_disabled_or_deleted_entity_is_good_for_anything() {
    let world = world().await;
    policy(&world, "maker", MAKER).await;
    let made = log_in(&world, "ann").await;
    let (token, id) = (made.text.reveal(), entity_of(&made));
    entity(&world, EntityWrite { policies: texts(&["app", "maker"]), ..of(&id) }).await;
    let service = child(&world, token, TokenRequest::default()).await;
    let batch = TokenRequest { kind: Some(TokenKind::Batch), ..TokenRequest::default() };
    let batch = child(&world, token, batch).await;
    let lease = lend(&world, token).await.unwrap().lease_id;
    let all = [token, service.text.reveal(), batch.text.reveal()];
    for token in all {
        assert!(lend(&world, token).await.is_ok(), "a child is as much ann");
    }

    entity(&world, EntityWrite { disabled: Some(true), ..of(&id) }).await;
    for token in all {
        assert!(own(&world, token).await.is_none());
        assert!(is_refused(&lend(&world, token).await));
    }
    let login = log_in_at(&world, "userpass", "ann").await;
    assert!(matches!(login, Err(LoginError::Denied)), "{login:?}");
    let renewed = world.broker().renew(&request(ROOT), &lease, None).await;
    assert!(matches!(renewed, Err(RenewError::OwnerMayNot(_))), "{renewed:?}");
    world.restart().await;
    assert!(own(&world, token).await.is_none());

    entity(&world, EntityWrite { disabled: Some(false), ..of(&id) }).await;
    for token in all {
        assert!(lend(&world, token).await.is_ok());
    }
    world.broker().delete_entity(&request(ROOT), &Which::Id(id.clone())).await.unwrap();
    for token in all {
        assert!(own(&world, token).await.is_none());
    }
    // Whoever logs in now is somebody new.
    assert_ne!(entity_of(&log_in(&world, "ann").await), id);
}

#[tokio::test(start_paused = true)]
async fn an_entity_disabled_between_a_decision_and_its_commit_gives_nothing() {
    let world = world().await;
    let made = log_in(&world, "ann").await;
    let (token, id) = (made.text.reveal().to_owned(), entity_of(&made));
    entity(&world, EntityWrite { policies: texts(&["app"]), ..of(&id) }).await;
    let change = async {
        entity(&world, EntityWrite { disabled: Some(true), ..of(&id) }).await;
    };
    assert!(is_refused(&world.ask_amid(lend(&world, &token), change).await));
    assert_eq!(world.leases(), 0, "nothing was lent");
}

#[tokio::test(start_paused = true)]
async fn templates_are_filled_with_the_entity_and_nothing_that_widens_them() {
    let world = world().await;
    let _ = world.target("ann", "1h", "24h").await;
    policy(
        &world,
        "own",
        r#"path "database/creds/{{identity.entity.name}}" { capabilities = ["read"] }"#,
    )
    .await;
    policy(
        &world,
        "not-own",
        r#"path "x/{{identity.entity.metadata.team}}/*" { capabilities = ["deny"] }"#,
    )
    .await;
    let made = log_in(&world, "ann").await;
    let (token, id) = (made.text.reveal(), entity_of(&made));
    let lend = async |role: &str| {
        let asked = asks(token, Operation::Read, &format!("database/creds/{role}"));
        world.broker().issue(&asked, "database/", role).await
    };
    for (name, mine, apps) in
        [("ann", true, false), ("app", false, true), ("a+", false, false), ("*", false, false)]
    {
        let wanted = EntityWrite { name: Some(name.into()), policies: texts(&["own"]), ..of(&id) };
        entity(&world, wanted).await;
        assert_eq!((lend("ann").await.is_ok(), lend("app").await.is_ok()), (mine, apps), "{name}");
    }
    // What is denied is not known without a team, so everything is.
    entity(&world, EntityWrite { policies: texts(&["app", "not-own"]), ..of(&id) }).await;
    assert!(is_refused(&lend("app").await));
    let mut metadata = std::collections::BTreeMap::from([("team".to_owned(), "a,b".to_owned())]);
    entity(&world, EntityWrite { metadata: Some(metadata.clone()), ..of(&id) }).await;
    assert!(is_refused(&lend("app").await));
    metadata.insert("team".into(), "shop".into());
    entity(&world, EntityWrite { metadata: Some(metadata), ..of(&id) }).await;
    assert!(lend("app").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn whoever_is_in_a_group_that_cannot_be_read_is_refused_until_it_is_deleted() {
    let world = world().await;
    let made = log_in(&world, "ann").await;
    let (token, id) = (made.text.reveal(), entity_of(&made));
    let wanted = GroupWrite { entities: texts(&[&id]), ..group_named("g", &["app"]) };
    let of_group = group(&world, wanted).await;
    assert!(lend(&world, token).await.is_ok());
    world.store.damage("group/");
    world.restart().await;
    assert!(own(&world, token).await.is_none(), "it may deny something");
    world.broker().delete_group(&request(ROOT), &Which::Id(of_group)).await.unwrap();
    assert!(own(&world, token).await.is_some());
    assert_eq!((world.store.count("member/"), world.store.count("member-of/")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn leases_and_the_record_name_the_entity() {
    let world = world().await;
    let made = log_in(&world, "ann").await;
    let (token, id) = (made.text.reveal(), entity_of(&made));
    let wanted = EntityWrite { name: Some("Ann B.".into()), policies: texts(&["app"]), ..of(&id) };
    entity(&world, wanted).await;
    let lease = lend(&world, token).await.unwrap().lease_id;
    let line = world.audit.lines().into_iter().rev().find(|line| line.contains("creds/app"));
    let line = line.unwrap();
    assert!(line.contains(&format!(r#""entity_id":"{id}""#)), "{line}");
    assert!(line.contains(r#""identity_policies":["app"]"#), "{line}");
    let whois = world.broker().whois(&request(ROOT), &lease).await.unwrap();
    let (entity, name) = whois.leases[0].holder.entity.clone().unwrap();
    assert_eq!((entity.to_string(), name.as_deref()), (id.clone(), Some("Ann B.")));
    assert_eq!(whois.leases[0].granted_by, ["app"]);
    let of_holder = whois.leases[0].holder.policies.clone().unwrap();
    assert!(of_holder.contains(&"app".to_owned()), "what the entity gives counts: {of_holder:?}");
    let accessor = made.token.accessor.to_string();
    let token = world.broker().whois(&request(ROOT), &accessor).await.unwrap().token.unwrap();
    assert_eq!(token.entity.unwrap().1.as_deref(), Some("Ann B."));
    // Once the token is gone it is still known by what right it was lent.
    let which = WhichToken::Accessor(accessor);
    world.broker().revoke_token(&request(ROOT), &which, Children::End).await.unwrap();
    world.pass(Duration::from_mins(1)).await;
    let whois = world.broker().whois(&request(ROOT), &lease).await.unwrap();
    assert_eq!(whois.leases[0].holder.policies, None);
    assert_eq!(whois.leases[0].granted_by, ["app"]);
}
