//! What is allowed to be made is made, what is allowed to be changed is changed, and neither is taken for the other
//! where the thing comes or goes before the write is kept.

use super::*;
use leasehold_core::broker::{AppRoleWrite, MountWrite, StaticRoleWrite, TargetWrite, UserWrite};
use leasehold_core::schedule::PlanWrite;
use leasehold_integration_tests::world::target::SimulatedTarget;
use std::cell::Cell;
use std::fmt::Display;

const DENIED: &str = "permission denied";
/// The paths at which `create` and `update` are told apart.
const PATHS: [&str; 7] = [
    "auth/token/roles/x",
    "cubbyhole/x",
    "database/config/x",
    "database/roles/x",
    "database/static-roles/x",
    "auth/userpass/users/x",
    "auth/approle/role/x",
];

type Told = Result<(), String>;

fn told<T, E: Display>(outcome: Result<T, E>) -> Told {
    outcome.map(drop).map_err(|error| error.to_string())
}

async fn stage() -> World {
    let world = World::new().await;
    world.target("app", "1h", "24h").await.set_password("x", "what-the-operator-set");
    for kind in ["userpass", "approle"] {
        let (side, path, kind) = (Side::Methods, kind.into(), kind.into());
        let method = MountWrite { side, path, kind, ..MountWrite::default() };
        world.broker().enable_mount(&request(ROOT), method).await.unwrap();
    }
    world
}

/// Writes what is at a path, whether it is there or not.
async fn put(world: &World, token: &str, path: &str) -> Told {
    let (broker, asked) = (world.broker(), asks(token, Operation::Update, path));
    let (name, target) = (String::from("x"), Some(String::from("app")));
    let mount = |path: &str| String::from(path);
    match path {
        "auth/token/roles/x" => {
            told(broker.write_token_role(&asked, "x", TokenRoleWrite::default()).await)
        }
        "cubbyhole/x" => {
            let content = json!({ "a": 1 });
            told(broker.write_cubbyhole(&asked, "x", content.as_object().unwrap()).await)
        }
        "database/config/x" => {
            let (mount, fields) = (mount("database/"), SimulatedTarget::named("x").1);
            let plugin_name = Some("simulated".into());
            let wanted = TargetWrite { mount, name, plugin_name, fields, ..TargetWrite::default() };
            told(broker.write_target(&asked, wanted).await)
        }
        "database/roles/x" => {
            let wanted =
                RoleWrite { mount: mount("database/"), name, target, ..RoleWrite::default() };
            told(broker.write_role(&asked, wanted).await)
        }
        "database/static-roles/x" => {
            let plan = PlanWrite { period: Some(HOUR), ..PlanWrite::default() };
            let (mount, username) = (mount("database/"), Some("x".into()));
            let wanted = StaticRoleWrite {
                mount,
                name,
                target,
                username,
                plan,
                ..StaticRoleWrite::default()
            };
            told(broker.write_static_role(&asked, wanted).await)
        }
        "auth/userpass/users/x" => {
            let password = Some(SecretText::new("correct horse".into()));
            let mount = mount("auth/userpass/");
            told(
                broker
                    .write_user(&asked, UserWrite { mount, name, password, ..UserWrite::default() })
                    .await,
            )
        }
        _ => {
            let wanted =
                AppRoleWrite { mount: mount("auth/approle/"), name, ..AppRoleWrite::default() };
            told(broker.write_approle(&asked, wanted).await)
        }
    }
}

async fn delete(world: &World, token: &str, path: &str) -> Told {
    let (broker, asked) = (world.broker(), asks(token, Operation::Delete, path));
    match path {
        "auth/token/roles/x" => told(broker.delete_token_role(&asked, "x").await),
        "cubbyhole/x" => told(broker.delete_cubbyhole(&asked, "x").await),
        "database/config/x" => told(broker.delete_target(&asked, "database/", "x", false).await),
        "database/roles/x" => told(broker.delete_role(&asked, "database/", "x", false).await),
        "database/static-roles/x" => {
            told(broker.delete_static_role(&asked, "database/", "x").await)
        }
        "auth/userpass/users/x" => told(broker.delete_user(&asked, "auth/userpass/", "x").await),
        _ => told(broker.delete_approle(&asked, "auth/approle/", "x").await),
    }
}

/// Writes what is at a path by this one capability, and does something else there while the request is recorded. Returns
/// what the caller is told, and how often anything was kept for them.
async fn write_amid(world: &World, path: &str, capability: &str, amid: &str) -> (Told, u64) {
    let rule = |capabilities: &str| {
        format!(r#"path "{path}" {{ capabilities = [{capabilities}, "delete"] }}"#)
    };
    write(world, "one", &rule(r#""create", "update""#)).await;
    // What a token keeps for itself nobody else comes at.
    let token = holder(world, &["one"]).await;
    if capability == "update" {
        put(world, &token, path).await.unwrap();
    }
    write(world, "one", &rule(&format!("{capability:?}"))).await;
    let (before, others) = (world.store.commits(), Cell::new(0));
    let change = async {
        let before = world.store.commits();
        match amid {
            "it comes" => put(world, &token, path).await.unwrap(),
            "it goes" => delete(world, &token, path).await.unwrap(),
            _ => {}
        }
        others.set(world.store.commits().saturating_sub(before));
    };
    let outcome = world.ask_amid(put(world, &token, path), change).await;
    let kept = world.store.commits().saturating_sub(before).saturating_sub(others.get());
    (outcome, kept)
}

#[tokio::test(start_paused = true)]
async fn what_comes_or_goes_meanwhile_is_neither_replaced_by_who_may_create_nor_made_by_who_may_update()
 {
    let mut wrong = Vec::new();
    for path in PATHS {
        for (capability, amid) in
            [("create", "it comes"), ("update", "it goes"), ("create", ""), ("update", "")]
        {
            let (outcome, kept) = write_amid(&stage().await, path, capability, amid).await;
            let is_right = match amid {
                "" => outcome.is_ok() && kept > 0,
                _ => outcome == Err(DENIED.into()) && kept == 0,
            };
            if !is_right {
                wrong.push((path, capability, amid, outcome, kept));
            }
        }
    }
    assert!(wrong.is_empty(), "where, by what, amid what, the answer, commits: {wrong:#?}");
}
