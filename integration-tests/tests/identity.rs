//! Entities and groups in simulated worlds: what they give, who may give it, and that it counts at once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "identity/giving.rs"]
mod giving;
#[path = "identity/merging.rs"]
mod merging;
#[path = "identity/rights.rs"]
mod rights;
#[path = "identity/told.rs"]
mod told;
#[path = "identity/writes.rs"]
mod writes;

use leasehold_core::access::login::Proof;
use leasehold_core::access::params::ParamsWrite;
use leasehold_core::access::policy::Right;
use leasehold_core::audit::{Asked, Operation};
use leasehold_core::broker::{
    AliasWrite, EntityView, EntityWrite, GroupWrite, IdentityError, IssueError, Issued, LoginError,
    MountWrite, Request, Side, TokenMade, TokenRequest, TokenView, UserWrite, Which, WhichToken,
};
use leasehold_core::secret::SecretText;
use leasehold_integration_tests::world::{ROOT, World, request};

const APP: &str = r#"path "database/creds/app" { capabilities = ["read"] }
    path "sys/leases/renew" { capabilities = ["update"] }"#;

fn secret(text: &str) -> SecretText {
    SecretText::new(text.to_owned())
}

fn asks(token: &str, operation: Operation, path: &str) -> Request {
    let asked = Asked { operation, path: path.into(), ..Asked::default() };
    Request { asked, token: Some(secret(token)), ..Request::default() }
}

fn texts<T: From<Vec<String>>>(texts: &[&str]) -> T {
    texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>().into()
}

/// A world with a role `app`, a policy `app` that lets borrow it, and the user `ann` of `userpass`.
async fn world() -> World {
    let world = World::new().await;
    let _ = world.target("app", "1h", "24h").await;
    policy(&world, "app", APP).await;
    mount(&world, "userpass").await;
    user(&world, "userpass", "ann").await;
    world
}

async fn policy(world: &World, name: &str, text: &str) {
    world.broker().write_policy(&request(ROOT), name, text).await.unwrap();
}

/// Mounts `userpass` at `auth/<at>/`.
async fn mount(world: &World, at: &str) {
    let mount = MountWrite {
        side: Side::Methods,
        path: at.into(),
        kind: "userpass".into(),
        ..MountWrite::default()
    };
    world.broker().enable_mount(&request(ROOT), mount).await.unwrap();
}

fn accessor(world: &World, at: &str) -> String {
    let catalog = world.broker().catalog();
    catalog.at(&format!("auth/{at}/")).unwrap().mount.record.accessor()
}

async fn user(world: &World, at: &str, name: &str) {
    let wanted = UserWrite {
        mount: format!("auth/{at}/"),
        name: name.into(),
        password: Some(secret("right")),
        password_hash: None,
        params: ParamsWrite::default(),
        must_exist: false,
    };
    world.broker().write_user(&request(ROOT), wanted).await.unwrap();
}

async fn log_in_at(world: &World, at: &str, name: &str) -> Result<TokenMade, LoginError> {
    let proof = Proof::Password { name: name.into(), password: secret("right") };
    let mut asked = request("");
    asked.token = None;
    world.broker().log_in(&asked, &format!("auth/{at}/"), proof).await
}

async fn log_in(world: &World, name: &str) -> TokenMade {
    log_in_at(world, "userpass", name).await.unwrap()
}

/// Looks a token up by itself; `None` if it is good for nothing.
async fn own(world: &World, token: &str) -> Option<TokenView> {
    let asked =
        Request { right: Right::Own, ..asks(token, Operation::Read, "auth/token/lookup-self") };
    world.broker().lookup_token(&asked, &WhichToken::Own).await.ok()
}

async fn lend(world: &World, token: &str) -> Result<Issued, IssueError> {
    let asked = asks(token, Operation::Read, "database/creds/app");
    world.broker().issue(&asked, "database/", "app").await
}

/// Writes an entity as root; returns its id.
async fn entity(world: &World, wanted: EntityWrite) -> String {
    world.broker().write_entity(&request(ROOT), wanted).await.unwrap().id
}

fn named(name: &str) -> EntityWrite {
    EntityWrite { name: Some(name.into()), ..EntityWrite::default() }
}

fn of(id: &str) -> EntityWrite {
    EntityWrite { id: Some(id.into()), ..EntityWrite::default() }
}

/// Writes a group as root; returns its id.
async fn group(world: &World, wanted: GroupWrite) -> String {
    try_group(world, wanted).await.unwrap()
}

async fn try_group(world: &World, wanted: GroupWrite) -> Result<String, IdentityError> {
    Ok(world.broker().write_group(&request(ROOT), wanted).await?.id)
}

fn group_named(name: &str, policies: &[&str]) -> GroupWrite {
    GroupWrite { name: Some(name.into()), policies: texts(policies), ..GroupWrite::default() }
}

async fn read(world: &World, id: &str) -> Result<EntityView, IdentityError> {
    world.broker().read_entity(&request(ROOT), &Which::Id(id.into())).await
}

/// Ties a name at a mount to an entity.
fn alias(world: &World, at: &str, name: &str, entity: &str) -> AliasWrite {
    AliasWrite {
        name: Some(name.into()),
        mount_accessor: Some(accessor(world, at)),
        canonical_id: Some(entity.into()),
        ..AliasWrite::default()
    }
}

/// Makes a token that ends with its maker.
async fn child(world: &World, of: &str, wanted: TokenRequest) -> TokenMade {
    let asked = asks(of, Operation::Update, "auth/token/create");
    world.broker().create_token(&asked, wanted).await.unwrap()
}
