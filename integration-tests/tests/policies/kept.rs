//! What is configured by a right that is taken away before it is kept: nothing.

use super::*;
use leasehold_core::broker::{StaticRoleError, StaticRoleWrite, TargetWrite};
use leasehold_core::schedule::PlanWrite;
use leasehold_integration_tests::world::target::SimulatedTarget;

const AT: &str = "database/";
const OLD: &str = "what-the-operator-set";

fn named(name: &str) -> RoleWrite {
    let (mount, name, target) = (AT.to_owned(), name.to_owned(), Some("app".to_owned()));
    RoleWrite {
        mount,
        name,
        target,
        default_ttl: Some(std::time::Duration::from_mins(30)),
        ..RoleWrite::default()
    }
}

fn at_target(name: &str) -> TargetWrite {
    TargetWrite {
        mount: AT.into(),
        name: name.into(),
        plugin_name: Some("simulated".into()),
        allowed_roles: Some(vec!["*".into()]),
        ..TargetWrite::default()
    }
}

/// A static role for the account of its own name.
fn account(name: &str) -> StaticRoleWrite {
    StaticRoleWrite {
        mount: AT.into(),
        name: name.into(),
        username: Some(name.into()),
        target: Some("app".into()),
        plan: PlanWrite { period: Some(HOUR), ..PlanWrite::default() },
        ..StaticRoleWrite::default()
    }
}

/// A world with a static role, and another account.
async fn with_accounts() -> (World, Arc<SimulatedTarget>) {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    target.set_password("billing", OLD);
    target.set_password("fresh", OLD);
    world.broker().write_static_role(&request(ROOT), account("billing")).await.unwrap();
    (world, target)
}

/// Asks for a change; tells whether it was denied.
async fn ask(world: &World, asked: &Request, what: &str) -> bool {
    let broker = world.broker();
    let elsewhere = || SimulatedTarget::named("elsewhere").1;
    let role = async |name| {
        let told = broker.write_role(asked, named(name)).await;
        matches!(told, Err(RoleError::Admit(AdmitError::Denied { .. })))
    };
    let target = async |wanted| {
        let told = broker.write_target(asked, wanted).await;
        matches!(told, Err(TargetError::Admit(AdmitError::Denied { .. })))
    };
    let static_role = |told| matches!(told, Err(StaticRoleError::Admit(AdmitError::Denied { .. })));
    match what {
        "a role" => role("app").await,
        "a new role" => role("new").await,
        "a target" => target(at_target("app")).await,
        "a target that is another one" => {
            target(TargetWrite { fields: elsewhere(), ..at_target("app") }).await
        }
        "a new target" => target(TargetWrite { fields: elsewhere(), ..at_target("new") }).await,
        "a static role" => static_role(broker.write_static_role(asked, account("billing")).await),
        "a new static role" => static_role(broker.write_static_role(asked, account("fresh")).await),
        _ => static_role(broker.delete_static_role(asked, AT, "billing").await),
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_configured_is_committed_only_with_the_policy_that_decided_it() {
    for what in [
        "a role",
        "a new role",
        "a target",
        "a target that is another one",
        "a new target",
        "a static role",
        "a new static role",
        "no static role",
    ] {
        let (world, _target) = with_accounts().await;
        let rules = r#"path "*" { capabilities = ["create", "update"] }"#;
        write(&world, "configures", rules).await;
        let token = holder(&world, &["configures"]).await;
        let asked = asks(&token, Operation::Update, "anything");
        assert!(!ask(&world, &asked, what).await, "{what}: it may be done");

        let (world, still) = with_accounts().await;
        write(&world, "configures", rules).await;
        let token = holder(&world, &["configures"]).await;
        let asked = asks(&token, Operation::Update, "anything");
        let before = world.store.commits();
        let change =
            async { world.broker().delete_policy(&request(ROOT), "configures").await.unwrap() };
        assert!(world.ask_amid(ask(&world, &asked, what), change).await, "{what}");
        assert_eq!(world.store.commits() - before, 1, "{what}: only the policy was changed");
        assert_eq!(still.password_of("fresh").as_deref(), Some(OLD), "{what}");
    }
}
