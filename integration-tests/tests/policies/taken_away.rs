//! What is written by a right that is taken away before it is kept: nothing. By one that is still there: what was asked.

use super::*;
use leasehold_core::access::params::ParamsWrite;
use leasehold_core::access::password_hash::PasswordHash;
use leasehold_core::broker::{
    Abandon, AppRoleWrite, DifferenceKind, MountTune, MountWrite, Repair, RotationWrite,
    SecretIdWrite, StaticRoleWrite, UserWrite, WhichSecretId,
};
use leasehold_core::ids::{PlanId, RevocationId};
use leasehold_core::schedule::PlanWrite;
use leasehold_core::seal::shares::Split;
use leasehold_core::seal::splits::Purpose;
use leasehold_core::store::mass_revocations::Asked as Meant;
use leasehold_core::store::mounts::LeaseConfig;
use leasehold_integration_tests::world::target::{ADMINISTRATOR, SimulatedTarget};
use std::fmt::Display;

const DATABASE: (Side, &str) = (Side::Engines, "database");
const APPROLE: &str = "auth/approle/";
/// What a caller is told whom no policy allows what they ask.
const DENIED: &str = "permission denied";

type Told = Result<(), String>;

/// A world in which there is something to be changed of every kind.
struct Stage {
    world: World,
    target: Arc<SimulatedTarget>,
    lease: String,
    secret_id: String,
    plan: PlanId,
    paused: RevocationId,
}

/// Tells what the accounts have that could be rotated.
fn passwords(target: &SimulatedTarget) -> [Option<String>; 2] {
    ["billing", ADMINISTRATOR].map(|account| target.password_of(account))
}

async fn stage() -> Stage {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let (broker, root) = (world.broker(), request(ROOT));
    let rules = "length=20\nrule \"charset\" { charset = \"abcdefghij\" }";
    broker.write_password_policy(&root, "there", rules).await.unwrap();
    broker.audit_header(&root, "x-there", false).await.unwrap();
    target.set_password("billing", "what-the-operator-set");
    let billing = StaticRoleWrite {
        mount: "database/".into(),
        name: "billing".into(),
        username: Some("billing".into()),
        target: Some("app".into()),
        plan: PlanWrite { period: Some(Duration::from_hours(24)), ..PlanWrite::default() },
        ..StaticRoleWrite::default()
    };
    broker.write_static_role(&root, billing).await.unwrap();
    // One that is gone, and whose lease is left.
    let _old = world.target("old", "1h", "24h").await;
    world.issue("old").await.unwrap();
    broker.delete_target(&root, "database/", "old", false).await.unwrap();
    broker.delete_role(&root, "database/", "old", false).await.unwrap();
    let lease = world.issue("app").await.unwrap().lease_id;
    let plan = broker.reconcile(&root, "database/", "app").await.unwrap().plan;
    let asked = Meant::Prefix("database/creds/app".into());
    let secret_id = secret_id(&world).await;
    let job = broker.begin_mass_revocation(&root, asked).await.unwrap().job.id;
    let paused = broker.pause_mass_revocation(&root, job).await.unwrap().job.id;
    Stage { world, target, lease, secret_id, plan, paused }
}

/// Mounts the methods, makes a secret id, and returns its accessor.
async fn secret_id(world: &World) -> String {
    let (broker, root) = (world.broker(), request(ROOT));
    for kind in ["approle", "userpass"] {
        let (side, path, kind) = (Side::Methods, kind.into(), kind.into());
        let method = MountWrite { side, path, kind, ..MountWrite::default() };
        broker.enable_mount(&root, method).await.unwrap();
    }
    let (mount, name, params) = (APPROLE.into(), "r".into(), ParamsWrite::default());
    let role = AppRoleWrite { mount, name, params, ..AppRoleWrite::default() };
    broker.write_approle(&root, role).await.unwrap();
    let made = broker.make_secret_id(&root, (APPROLE, "r"), SecretIdWrite::default()).await;
    made.unwrap().secret_id.accessor.to_string()
}

fn told<T, E: Display>(outcome: Result<T, E>) -> Told {
    outcome.map(drop).map_err(|error| error.to_string())
}

async fn mounts(Stage { world, .. }: &Stage, asked: &Request, what: &str) -> Told {
    let broker = world.broker();
    let mount = |side, kind: &str| {
        let (path, kind) = ("fresh".into(), kind.into());
        MountWrite { side, path, kind, ..MountWrite::default() }
    };
    match what {
        "a new mount" => told(broker.enable_mount(asked, mount(Side::Engines, "database")).await),
        "a new method" => told(broker.enable_mount(asked, mount(Side::Methods, "userpass")).await),
        "a tuned mount" => {
            let tune = MountTune { description: Some("other".into()), ..MountTune::default() };
            told(broker.tune_mount(asked, DATABASE, tune).await)
        }
        "a disabled mount" => told(broker.disable_mount(asked, DATABASE).await),
        "a moved mount" => told(broker.remount(asked, "database", "elsewhere").await),
        _ => {
            let config = LeaseConfig { ttl: HOUR, max_ttl: HOUR };
            told(broker.write_lease_config(asked, "database/", config).await)
        }
    }
}

async fn system(Stage { world, .. }: &Stage, asked: &Request, what: &str) -> Told {
    let broker = world.broker();
    match what {
        "a password policy" => {
            let rules = "length=24\nrule \"charset\" { charset = \"abcdefghij\" }";
            told(broker.write_password_policy(asked, "fresh", rules).await)
        }
        "no password policy" => told(broker.delete_password_policy(asked, "there").await),
        "a recorded header" => told(broker.audit_header(asked, "x-fresh", true).await),
        "no recorded header" => told(broker.forget_header(asked, "x-there").await),
        "other keys of a device" => told(broker.renew_audit_keys(asked, "memory").await),
        "another key of the store" => told(broker.rotate_key_ring(asked).await),
        _ => {
            let write = RotationWrite { enabled: Some(false), ..RotationWrite::default() };
            told(broker.set_rotation(asked, &write).await)
        }
    }
}

async fn others(stage: &Stage, asked: &Request, what: &str) -> Told {
    let broker = stage.world.broker();
    match what {
        "no secret id" => {
            let which = WhichSecretId::Accessor(stage.secret_id.clone());
            told(broker.destroy_secret_id(asked, (APPROLE, "r"), which).await)
        }
        "what a token keeps" => {
            let content = json!({ "a": 1 });
            told(broker.write_cubbyhole(asked, "x", content.as_object().unwrap()).await)
        }
        "what a token keeps no more" => told(broker.delete_cubbyhole(asked, "x").await),
        "the clock" => told(broker.accept_clock(asked).await),
        "a user with a hash" => {
            // By libxcrypt; from then on every check costs as much, which is kept first.
            let hash = "$2b$10$WvvTPHKwdBJ3uk0Z37EMR./jPuzG9gBby2d5Bw7Ll6TASbiQ2IuQe";
            let password_hash = Some(PasswordHash::made_elsewhere(hash).unwrap());
            let (mount, name) = ("auth/userpass/".into(), "x".into());
            let user = UserWrite { mount, name, password_hash, ..UserWrite::default() };
            told(broker.write_user(asked, user).await)
        }
        "a recovery key" => {
            let split = Split::new(1, 1).unwrap();
            told(broker.begin_rekey(asked, Purpose::Recovery, split, false, None).await)
        }
        _ => {
            let (mount, name, reason) = ("database/".into(), "old".into(), "burnt".into());
            told(broker.abandon(asked, Abandon { mount, name, generation: None, reason }).await)
        }
    }
}

async fn revocations(stage: &Stage, asked: &Request, what: &str) -> Told {
    let (broker, lease) = (stage.world.broker(), &stage.lease);
    let all = "database/creds/app";
    let by_prefix = async |prefix: &str, until, forced| {
        told(broker.revoke_prefix(asked, prefix, until, forced).await)
    };
    match what {
        "a lease" => told(broker.revoke(asked, lease, Until::Settled).await),
        "a lease, later" => told(broker.revoke(asked, lease, Until::Marked).await),
        "a lease, by prefix" => by_prefix(lease, Until::Settled, false).await,
        "all by prefix" => by_prefix(all, Until::Settled, false).await,
        "all by prefix, later" => by_prefix(all, Until::Marked, false).await,
        "all by force" => by_prefix(all, Until::Settled, true).await,
        "all as a job" => {
            let meant = Meant::Prefix(all.into());
            told(broker.begin_mass_revocation(asked, meant).await)
        }
        "a job that was paused" => told(broker.resume_mass_revocation(asked, stage.paused).await),
        "all of a role" => told(broker.delete_role(asked, "database/", "app", true).await),
        "what a role has left" => told(broker.delete_role(asked, "database/", "old", true).await),
        "all of a target" => told(broker.delete_target(asked, "database/", "app", true).await),
        "what a target has left" => {
            told(broker.delete_target(asked, "database/", "old", true).await)
        }
        "what no target has left" => {
            told(broker.delete_target(asked, "database/", "never", true).await)
        }
        _ => {
            let kinds = [DifferenceKind::Missing].into();
            let repair = Repair { plan: stage.plan, kinds, force: false };
            told(broker.repair(asked, ("database/", "app"), repair).await)
        }
    }
}

async fn accounts(stage: &Stage, asked: &Request, what: &str) -> Told {
    let broker = stage.world.broker();
    match what {
        "an account" => told(broker.rotate_role(asked, "database/", "billing").await),
        "an administrator" => told(broker.rotate_root(asked, "database/", "app").await),
        "a lease that is renewed" => told(broker.renew(asked, &stage.lease, None).await),
        _ => told(broker.rehearse(asked, ("database/", "app")).await),
    }
}

/// Asks for each of these by a policy that allows everything, and which goes or stays while the request is recorded.
async fn judge(writes: &[&str], ask: impl AsyncFn(&Stage, &Request, &str) -> Told) {
    let rules = r#"path "*" { capabilities = ["create", "read", "update", "delete", "sudo"] }"#;
    let mut wrong = Vec::new();
    for what in writes {
        for stays in [true, false] {
            let stage = stage().await;
            let (world, before) = (&stage.world, passwords(&stage.target));
            write(world, "writes", rules).await;
            let asked = asks(&holder(world, &["writes"]).await, Operation::Update, "anything");
            let commits = world.store.commits().saturating_add(1);
            let change = async {
                if stays {
                    write(world, "unrelated", "").await;
                } else {
                    world.broker().delete_policy(&request(ROOT), "writes").await.unwrap();
                }
            };
            let outcome = world.ask_amid(ask(&stage, &asked, what), change).await;
            let kept = world.store.commits().saturating_sub(commits);
            let is_right = if stays {
                outcome.is_ok() && kept > 0
            } else {
                outcome == Err(DENIED.into()) && kept == 0 && passwords(&stage.target) == before
            };
            if !is_right {
                wrong.push((what, stays, outcome, kept));
            }
        }
    }
    assert!(wrong.is_empty(), "what, whether the policy stays, the answer, commits: {wrong:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_mount_is_changed_only_with_the_policy_that_decided_it() {
    let writes = [
        "a new mount",
        "a new method",
        "a tuned mount",
        "a disabled mount",
        "a moved mount",
        "how long leases live",
    ];
    judge(&writes, mounts).await;
}

#[tokio::test(start_paused = true)]
async fn what_holds_for_the_whole_installation_is_changed_only_with_the_policy_that_decided_it() {
    let writes = [
        "a password policy",
        "no password policy",
        "a recorded header",
        "no recorded header",
        "other keys of a device",
        "another key of the store",
        "when another key is due",
    ];
    judge(&writes, system).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_of_tokens_and_targets_is_kept_only_with_the_policy_that_decided_it() {
    let writes = [
        "no secret id",
        "what a token keeps",
        "what a token keeps no more",
        "the clock",
        "a user with a hash",
        "a recovery key",
        "an abandoned target",
    ];
    judge(&writes, others).await;
}

#[tokio::test(start_paused = true)]
async fn a_revocation_begins_only_with_the_policy_that_decided_it() {
    let writes = [
        "a lease",
        "a lease, later",
        "a lease, by prefix",
        "all by prefix",
        "all by prefix, later",
        "all by force",
        "all as a job",
        "a job that was paused",
        "all of a role",
        "what a role has left",
        "all of a target",
        "what a target has left",
        "what no target has left",
        "what a comparison has found",
    ];
    judge(&writes, revocations).await;
}

#[tokio::test(start_paused = true)]
async fn a_rotation_and_a_renewal_are_kept_only_with_the_policy_that_decided_them() {
    judge(&["an account", "an administrator", "a lease that is renewed", "a rehearsal"], accounts)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_target_is_taken_over_only_with_the_policy_that_decided_it() {
    for stays in [true, false] {
        let world = world().await;
        write(&world, "takes", r#"path "*" { capabilities = ["update", "sudo"] }"#).await;
        let backup = world.back_up().await;
        let (copy, root) = world.copied(&backup).await;
        let (wanted, admin) = (TokenRequest::default(), request(&root));
        let wanted = TokenRequest { policies: vec!["takes".into()], ttl: Some(HOUR), ..wanted };
        let token = copy.broker().create_token(&admin, wanted).await.unwrap().text;
        let asked = asks(token.reveal(), Operation::Update, "anything");
        let broker = copy.broker();
        let change = async {
            let name = if stays { "app" } else { "takes" };
            broker.delete_policy(&admin, name).await.unwrap();
        };
        let outcome = copy.ask_amid(broker.take_over(&asked, "database/app"), change).await;
        assert_eq!(outcome.is_ok(), stays, "{outcome:?}");
        let held = broker.restore_status(&admin).await.unwrap();
        assert_eq!(held.is_empty(), stays, "{held:?}");
    }
}
