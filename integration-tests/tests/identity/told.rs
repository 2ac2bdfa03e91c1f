//! What logins tell of themselves: their aliases keep it, and templates read it.

use crate::*;
use futures_util::future::join_all;
use leasehold_core::access::identity::Metadata;
use leasehold_core::access::params::TokenType;
use leasehold_core::broker::{AdmitError, AppRoleWrite, SecretIdWrite};

const AT: &str = "auth/approle/";
const KINDS: [TokenType; 2] = [TokenType::Service, TokenType::Batch];

/// A world where `approle` is mounted, and a policy `own` lets a role of it borrow what is called as it is.
async fn world_of_roles() -> World {
    let world = world().await;
    let mount = MountWrite {
        side: Side::Methods,
        path: "approle".into(),
        kind: "approle".into(),
        ..MountWrite::default()
    };
    world.broker().enable_mount(&request(ROOT), mount).await.unwrap();
    let of = accessor(&world, "approle");
    let own = format!(
        "path \"database/creds/{{{{identity.entity.aliases.{of}.metadata.role_name}}}}\" {{ \
         capabilities = [\"read\"] }}"
    );
    policy(&world, "own", &own).await;
    world
}

/// Writes a role, all under one role id; returns a secret id of it.
async fn role(world: &World, name: &str, token_type: TokenType) -> String {
    let (broker, root) = (world.broker(), request(ROOT));
    let params = ParamsWrite {
        policies: texts(&["own"]),
        token_type: Some(token_type),
        ..ParamsWrite::default()
    };
    let wanted = AppRoleWrite {
        mount: AT.into(),
        name: name.into(),
        role_id: Some("shared".into()),
        params,
        ..AppRoleWrite::default()
    };
    broker.write_approle(&root, wanted).await.unwrap();
    let made = broker.make_secret_id(&root, (AT, name), SecretIdWrite::default()).await.unwrap();
    made.text.reveal().to_owned()
}

async fn log_in_by(world: &World, secret_id: &str) -> Result<TokenMade, LoginError> {
    let proof = Proof::SecretId { role_id: "shared".into(), secret_id: Some(secret(secret_id)) };
    let mut asked = request("");
    asked.token = None;
    world.broker().log_in(&asked, AT, proof).await
}

/// What is kept on the one alias of whoever a token was made for.
async fn told(world: &World, made: &TokenMade) -> Metadata {
    let id = made.token.entity.unwrap().to_string();
    read(world, &id).await.unwrap().entity.aliases.remove(0).metadata
}

fn role_name(name: &str) -> Metadata {
    Metadata::from([("role_name".to_owned(), name.to_owned())])
}

fn is_denied(outcome: &Result<Issued, IssueError>) -> bool {
    matches!(outcome, Err(IssueError::Admit(AdmitError::Denied { .. })))
}

#[tokio::test(start_paused = true)]
async fn an_alias_keeps_what_a_login_tells_and_templates_read_it() {
    for kind in KINDS {
        let world = world_of_roles().await;
        let text = role(&world, "app", kind).await;
        let made = log_in_by(&world, &text).await.unwrap();
        assert_eq!(told(&world, &made).await, role_name("app"));
        assert!(lend(&world, made.text.reveal()).await.is_ok(), "{kind:?}");
        // Passwords tell nothing.
        let ann = log_in(&world, "ann").await;
        assert_eq!(told(&world, &ann).await, Metadata::new());
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_login_tells_is_written_only_where_it_is_new() {
    // The first batch token of all draws what seals them.
    for (kind, first, each) in [(TokenType::Service, 1, 1), (TokenType::Batch, 2, 0)] {
        let world = world_of_roles().await;
        let text = role(&world, "app", kind).await;
        for commits in [first, each, each] {
            let before = world.store.commits();
            log_in_by(&world, &text).await.unwrap();
            assert_eq!(world.store.commits() - before, commits, "{kind:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_login_tells_anew_takes_what_was_given_by_what_it_told_before() {
    for kind in KINDS {
        let world = world_of_roles().await;
        let text = role(&world, "app", kind).await;
        let made = log_in_by(&world, &text).await.unwrap();
        assert!(lend(&world, made.text.reveal()).await.is_ok());
        world.broker().delete_approle(&request(ROOT), AT, "app").await.unwrap();
        let text = role(&world, "other", kind).await;
        let before = world.store.commits();
        let logins = join_all((0..8).map(|_| log_in_by(&world, &text))).await;
        let after = world.store.commits() - before;
        let again = logins.into_iter().map(Result::unwrap).last().unwrap();
        assert_eq!(after, if kind == TokenType::Batch { 1 } else { 8 }, "{kind:?}");
        assert_eq!(told(&world, &again).await, role_name("other"));
        assert_eq!(made.token.entity, again.token.entity, "who it is, is told by the role id");
        for token in [&made, &again] {
            assert!(is_denied(&lend(&world, token.text.reveal()).await), "{kind:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_alias_of_another_name_does_not_keep_what_was_told_by_the_old_one() {
    let world = world_of_roles().await;
    let text = role(&world, "app", TokenType::Service).await;
    let made = log_in_by(&world, &text).await.unwrap();
    let id = made.token.entity.unwrap().to_string();
    let alias = read(&world, &id).await.unwrap().entity.aliases.remove(0).id.to_string();
    let change = async |wanted| {
        world.broker().write_entity_alias(&request(ROOT), wanted).await.unwrap();
    };
    let custom_metadata = Some(role_name("noted by hand"));
    let wanted = AliasWrite { id: Some(alias.clone()), custom_metadata, ..AliasWrite::default() };
    change(wanted).await;
    assert_eq!(told(&world, &made).await, role_name("app"), "what people note is beside it");
    let name = Some("another role id".to_owned());
    change(AliasWrite { id: Some(alias), name, ..AliasWrite::default() }).await;
    assert_eq!(told(&world, &made).await, Metadata::new());
    assert!(is_denied(&lend(&world, made.text.reveal()).await));
}
