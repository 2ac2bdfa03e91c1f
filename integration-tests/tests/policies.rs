//! Policies in simulated worlds: what they grant is done, what they do not is not, and a change counts at once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "policies/kept.rs"]
mod kept;
#[path = "policies/taken_away.rs"]
mod taken_away;
#[path = "policies/told_apart.rs"]
mod told_apart;

use leasehold_core::access::policy::Right;
use leasehold_core::audit::{Asked, Operation};
use leasehold_core::broker::{
    AdmitError, IdempotencyKey, IssueError, Issued, PolicyError, RenewError, Request, RevokeError,
    RoleError, RoleWrite, Side, TargetError, TokenError, TokenRequest, TokenRoleWrite, Until,
    WhichToken,
};
use leasehold_core::secret::SecretText;
use leasehold_integration_tests::world::target::Mood;
use leasehold_integration_tests::world::{ROOT, World, request};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);
const APP: &str = r#"path "database/creds/app" { capabilities = ["read"] }
    path "sys/leases/renew" { capabilities = ["update"] }"#;

fn asks(token: &str, operation: Operation, path: &str) -> Request {
    let asked = Asked { operation, path: path.into(), ..Asked::default() };
    Request { asked, token: Some(SecretText::new(token.into())), ..Request::default() }
}

async fn write(world: &World, name: &str, text: &str) {
    world.broker().write_policy(&request(ROOT), name, text).await.unwrap();
}

/// Makes a token with these policies and no other.
async fn holder(world: &World, policies: &[&str]) -> String {
    let wanted = TokenRequest {
        policies: policies.iter().map(|&name| name.into()).collect(),
        no_default_policy: true,
        ttl: Some(HOUR),
        ..TokenRequest::default()
    };
    let made = world.broker().create_token(&request(ROOT), wanted).await.unwrap();
    made.text.reveal().to_owned()
}

async fn lend(world: &World, token: &str, role: &str) -> Result<Issued, IssueError> {
    let asked = asks(token, Operation::Read, &format!("database/creds/{role}"));
    world.broker().issue(&asked, "database/", role).await
}

fn is_denied<T>(outcome: &Result<T, IssueError>) -> bool {
    matches!(outcome, Err(IssueError::Admit(AdmitError::Denied { .. })))
}

async fn world() -> World {
    let world = World::new().await;
    let _ = world.target("app", "1h", "24h").await;
    world.role("other", "app", "1h", "24h").await;
    write(&world, "app", APP).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_token_is_lent_what_its_policy_grants_and_nothing_else() {
    let world = world().await;
    let token = holder(&world, &["app"]).await;
    assert!(lend(&world, &token, "app").await.is_ok());
    assert!(is_denied(&lend(&world, &token, "other").await));
    let unknown = lend(&world, &token, "no-such-role").await;
    assert!(is_denied(&unknown), "what is not there is not told");
    let listed = world
        .broker()
        .list_mounts(&asks(&token, Operation::Read, "sys/mounts"), Side::Engines)
        .await;
    assert!(listed.is_err());
    assert_eq!(world.leases(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_changed_counts_at_once_and_after_a_restart() {
    let world = world().await;
    let token = holder(&world, &["app"]).await;
    assert!(lend(&world, &token, "app").await.is_ok());
    write(&world, "App ", r#"path "database/creds/*" { capabilities = ["deny"] }"#).await;
    assert!(is_denied(&lend(&world, &token, "app").await));
    world.restart().await;
    assert!(is_denied(&lend(&world, &token, "app").await));
    write(&world, "app", APP).await;
    assert!(lend(&world, &token, "app").await.is_ok());
    world.broker().delete_policy(&request(ROOT), "APP").await.unwrap();
    assert!(is_denied(&lend(&world, &token, "app").await));
}

#[tokio::test(start_paused = true)]
async fn policies_are_compiled_once_and_again_only_after_a_change() {
    let world = world().await;
    let (one, other) = (holder(&world, &["app"]).await, holder(&world, &["app"]).await);
    assert!(lend(&world, &one, "app").await.is_ok());
    // Whoever read them again would find nothing that can be read.
    world.store.damage("policy/app");
    assert!(lend(&world, &one, "app").await.is_ok() && lend(&world, &other, "app").await.is_ok());
    write(&world, "unrelated", "").await;
    assert!(is_denied(&lend(&world, &one, "app").await));
}

#[tokio::test(start_paused = true)]
async fn an_issue_is_committed_only_with_the_policy_that_decided_it() {
    let world = world().await;
    let token = holder(&world, &["app"]).await;
    let change = async { world.broker().delete_policy(&request(ROOT), "app").await.unwrap() };
    assert!(is_denied(&world.ask_amid(lend(&world, &token, "app"), change).await));
    assert_eq!(world.leases(), 0, "nothing was lent");
}

#[tokio::test(start_paused = true)]
async fn an_issue_goes_on_if_the_changed_policies_still_grant_it() {
    let world = world().await;
    let token = holder(&world, &["app"]).await;
    let change = write(&world, "unrelated", "");
    assert!(world.ask_amid(lend(&world, &token, "app"), change).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_made_only_with_the_policies_its_maker_still_has() {
    let world = world().await;
    write(&world, "maker", r#"path "auth/token/create" { capabilities = ["update"] }"#).await;
    let maker = holder(&world, &["maker"]).await;
    let tokens = world.store.count("token/");
    let broker = world.broker();
    let asked = asks(&maker, Operation::Update, "auth/token/create");
    let making = broker.create_token(&asked, TokenRequest::default());
    let outcome = world.ask_amid(making, write(&world, "maker", "")).await;
    assert!(matches!(outcome, Err(TokenError::Admit(AdmitError::Denied { .. }))), "{outcome:?}");
    assert_eq!(world.store.count("token/"), tokens);
}

#[tokio::test(start_paused = true)]
async fn a_repetition_is_allowed_anew() {
    let world = world().await;
    let token = holder(&world, &["app"]).await;
    let asked = || Request {
        idempotency_key: Some(IdempotencyKey::parse(b"key").unwrap()),
        ..asks(&token, Operation::Read, "database/creds/app")
    };
    let first = world.broker().issue(&asked(), "database/", "app").await.unwrap();
    let again = world.broker().issue(&asked(), "database/", "app").await.unwrap();
    assert_eq!(first.lease_id, again.lease_id);
    write(&world, "app", "").await;
    assert!(is_denied(&world.broker().issue(&asked(), "database/", "app").await));
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_only_while_its_token_could_still_be_lent_it() {
    let world = world().await;
    write(&world, "renewer", r#"path "sys/leases/renew" { capabilities = ["update"] }"#).await;
    let (token, renewer) = (holder(&world, &["app"]).await, holder(&world, &["renewer"]).await);
    let lease = lend(&world, &token, "app").await.unwrap().lease_id;
    let renew = async |token: &str| {
        let asked = asks(token, Operation::Update, "sys/leases/renew");
        world.broker().renew(&asked, &lease, None).await
    };
    for caller in [&token, &renewer, &ROOT.to_owned()] {
        assert!(renew(caller).await.is_ok(), "who may renew, may");
    }
    let without = APP.replace(r#"["read"]"#, r#"["update"]"#);
    write(&world, "app", &without).await;
    for caller in [&token, &renewer, &ROOT.to_owned()] {
        assert!(matches!(renew(caller).await, Err(RenewError::OwnerMayNot(_))));
    }
    write(&world, "app", r#"path "database/creds/app" { capabilities = ["read"] }"#).await;
    assert!(renew(&renewer).await.is_ok());
    let own = renew(&token).await;
    assert!(
        matches!(own, Err(RenewError::Admit(AdmitError::Denied { .. }))),
        "its own right to renew is gone"
    );
}

#[tokio::test(start_paused = true)]
async fn a_renewal_is_committed_only_with_the_policy_that_decided_it() {
    let world = Arc::new(World::new().await);
    let target = world.target("app", "1h", "24h").await;
    write(&world, "app", APP).await;
    let token = holder(&world, &["app"]).await;
    let lease = lend(&world, &token, "app").await.unwrap().lease_id;
    world.pass(Duration::from_mins(1)).await;
    // The renewal is decided, and the target takes its time over the longer term.
    target.mood(Mood::Slow(Duration::from_secs(5)));
    let renewing = {
        let (world, lease) = (Arc::clone(&world), lease.clone());
        tokio::spawn(async move {
            let asked = asks(ROOT, Operation::Update, "sys/leases/renew");
            world.broker().renew(&asked, &lease, None).await
        })
    };
    world.pass(Duration::from_secs(1)).await;
    write(&world, "app", "").await;
    assert!(matches!(renewing.await.unwrap(), Err(RenewError::OwnerMayNot(_))));
    world.pass(HOUR).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0), "it ended at its term");
}

#[tokio::test(start_paused = true)]
async fn cve_2026_55774_a_lease_is_named_by_its_own_path() {
    let world = world().await;
    write(
        &world,
        "narrow",
        r#"path "sys/leases/+/database/creds/app/*" { capabilities = ["update", "sudo"] }"#,
    )
    .await;
    let token = holder(&world, &["narrow"]).await;
    let broker = world.broker();
    let other = world.issue("other").await.unwrap().lease_id;
    let id = other.rsplit('/').next().unwrap();
    let named = format!("database/creds/app/{id}");
    let asked = |verb: &str, lease: &str| {
        asks(&token, Operation::Update, &format!("sys/leases/{verb}/{lease}"))
    };
    assert!(matches!(
        broker.renew(&asked("renew", &other), &other, None).await,
        Err(RenewError::Admit(_))
    ));
    assert!(matches!(
        broker.renew(&asked("renew", &named), &named, None).await,
        Err(RenewError::NoLease)
    ));
    assert!(broker.lookup_lease(&asked("lookup", &named), &named).await.is_err());
    let revoked = broker.revoke(&asked("revoke", &named), &named, Until::Settled).await;
    assert!(matches!(revoked, Err(RevokeError::NoSuchPrefix(_))), "{revoked:?}");
    let prefix = Request { right: Right::Sudo, ..asked("revoke-prefix", &named) };
    let revoked = broker.revoke_prefix(&prefix, &named, Until::Settled, false).await;
    assert!(matches!(revoked, Err(RevokeError::NoSuchPrefix(_))), "{revoked:?}");
    assert_eq!(world.leases(), 1);
    let app = world.issue("app").await.unwrap().lease_id;
    broker.revoke(&asked("revoke", &app), &app, Until::Settled).await.unwrap();
    assert_eq!(world.leases(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_created_and_what_is_there_is_updated() {
    let world = world().await;
    write(&world, "maker", r#"path "database/roles/*" { capabilities = ["create"] }"#).await;
    write(&world, "changer", r#"path "database/roles/*" { capabilities = ["update"] }"#).await;
    let (maker, changer) = (holder(&world, &["maker"]).await, holder(&world, &["changer"]).await);
    let put = async |token: &str, name: &str| {
        let asked = asks(token, Operation::Update, &format!("database/roles/{name}"));
        let role = RoleWrite {
            mount: "database/".into(),
            name: name.into(),
            target: Some("app".into()),
            ..RoleWrite::default()
        };
        world.broker().write_role(&asked, role).await.map(drop)
    };
    let denied = |outcome: &Result<(), RoleError>| {
        matches!(outcome, Err(RoleError::Admit(AdmitError::Denied { .. })))
    };
    assert!(denied(&put(&changer, "fresh").await));
    put(&maker, "fresh").await.unwrap();
    assert!(denied(&put(&maker, "fresh").await));
    put(&changer, "fresh").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_has_a_policy_that_nobody_can_read_any_more_is_refused_everything() {
    let world = world().await;
    write(&world, "lost", r#"path "database/creds/other" { capabilities = ["deny"] }"#).await;
    write(&world, "all", r#"path "*" { capabilities = ["read"] }"#).await;
    let token = holder(&world, &["lost", "all"]).await;
    let bystander = holder(&world, &["all"]).await;
    assert!(is_denied(&lend(&world, &token, "other").await));
    assert!(lend(&world, &token, "app").await.is_ok());
    world.store.damage("policy/lost");
    world.restart().await;
    for _ in 0..2 {
        assert!(is_denied(&lend(&world, &token, "other").await), "its deny is not forgotten");
        assert!(is_denied(&lend(&world, &token, "app").await));
        world.restart().await;
    }
    assert!(lend(&world, &bystander, "other").await.is_ok());
    write(&world, "lost", "").await;
    assert!(lend(&world, &token, "other").await.is_ok());
    assert_eq!(world.store.count("quarantine/"), 0);
}

#[tokio::test(start_paused = true)]
async fn the_default_policy_is_made_once_and_kept_as_an_operator_changed_it() {
    let world = world().await;
    let default = async || {
        let read = asks(ROOT, Operation::Read, "sys/policies/acl/default");
        world.broker().read_policy(&read, "default").await.unwrap()
    };
    assert!(default().await.text.contains("auth/token/lookup-self"));
    assert_eq!(default().await.written.unwrap().0, 1);
    write(&world, "default", "# none").await;
    world.restart().await;
    assert_eq!((default().await.text.as_str(), default().await.written.unwrap().0), ("# none", 2));
    let deleted = world.broker().delete_policy(&request(ROOT), " Default").await;
    assert!(matches!(deleted, Err(PolicyError::Bad(_))));
}

#[tokio::test(start_paused = true)]
async fn cve_2024_9180_nobody_but_root_gives_root_however_it_is_written() {
    let world = world().await;
    let all =
        r#"path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }"#;
    write(&world, "admin", all).await;
    let admin = holder(&world, &["admin"]).await;
    let asked = asks(&admin, Operation::Update, "auth/token/create");
    for name in ["root", " Root", "ROOT\n", "rOOt"] {
        // With an end, so that nothing but the name is in the way.
        let ttl = Some(Duration::from_mins(1));
        let wanted = TokenRequest { policies: vec![name.into()], ttl, ..TokenRequest::default() };
        let outcome = world.broker().create_token(&asked, wanted).await;
        assert!(matches!(outcome, Err(TokenError::Bad(_))), "{name:?}: {outcome:?}");
        let written = world.broker().write_policy(&asked, name, all).await;
        assert!(matches!(written, Err(PolicyError::Bad(_))), "{name:?}");
    }
    for name in ["r\u{43e}\u{43e}t", "ｒｏｏｔ", "root\u{200b}", ""] {
        let written = world.broker().write_policy(&asked, name, all).await;
        assert!(matches!(written, Err(PolicyError::Bad(_))), "{name:?}");
    }
    let wanted = TokenRequest { policies: vec!["ｒｏｏｔ".into()], ..TokenRequest::default() };
    assert!(world.broker().create_token(&asked, wanted).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn why_something_is_refused_is_told_to_those_who_may_read_the_policies() {
    let world = world().await;
    let open = format!("{APP}\npath \"sys/policies/acl/*\" {{ capabilities = [\"read\"] }}");
    write(&world, "open", &open).await;
    let (token, blind) = (holder(&world, &["open"]).await, holder(&world, &["app"]).await);
    let why = async |token: &str| match lend(&world, token, "other").await {
        Err(IssueError::Admit(AdmitError::Denied { why })) => why,
        outcome => panic!("{outcome:?}"),
    };
    assert_eq!(why(&token).await.as_deref(), Some("no rule speaks of this path"));
    assert_eq!(why(&blind).await, None);
    let narrower = format!("{open}\npath \"database/creds/+\" {{ policy = \"deny\" }}");
    write(&world, "open", &narrower).await;
    let told = "denied by policy `open`, line 4, path \"database/creds/+\"";
    assert_eq!(why(&token).await.as_deref(), Some(told));
}

#[tokio::test(start_paused = true)]
async fn who_may_do_what_is_on_record() {
    let world = world().await;
    let token = holder(&world, &["app"]).await;
    assert!(is_denied(&lend(&world, &token, "other").await));
    let lines = world.audit.lines();
    let last: serde_json::Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(last["auth"]["policy_results"]["allowed"], false);
    assert_eq!(last["error"], "permission denied");
    lend(&world, &token, "app").await.unwrap();
    let lines = world.audit.lines();
    let last: serde_json::Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    let granting = json!([{ "name": "app", "namespace_id": "root", "type": "acl" }]);
    assert_eq!(
        last["auth"]["policy_results"],
        json!({ "allowed": true, "granting_policies": granting })
    );
    let seen = world
        .broker()
        .lookup_token(&request(ROOT), &WhichToken::Text(SecretText::new(token)))
        .await;
    assert_eq!(seen.unwrap().token.policies, ["app"]);
}

/// Whether deleting a role or a target was denied.
async fn delete(world: &World, token: &str, what: &str, revoke: bool) -> bool {
    let broker = world.broker();
    let mut asked = asks(token, Operation::Delete, &format!("database/{what}/app"));
    asked.asked.data = revoke.then(|| json!({ "revoke": "true" }));
    if what == "roles" {
        let deleted = broker.delete_role(&asked, "database/", "app", revoke).await;
        return matches!(deleted, Err(RoleError::Admit(AdmitError::Denied { .. })));
    }
    let deleted = broker.delete_target(&asked, "database/", "app", revoke).await;
    matches!(deleted, Err(TargetError::Admit(AdmitError::Denied { .. })))
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_revokes_takes_sudo_as_it_does_by_prefix() {
    for what in ["roles", "config"] {
        let world = world().await;
        let target = world.target("app", "1h", "24h").await;
        world.issue("app").await.unwrap();
        let rule = |capabilities: &str| {
            format!(r#"path "database/{what}/*" {{ capabilities = [{capabilities}] }}"#)
        };
        write(&world, "deletes", &rule(r#""delete""#)).await;
        write(&world, "revokes", &rule(r#""delete", "sudo""#)).await;
        let deletes = holder(&world, &["deletes"]).await;
        assert!(delete(&world, &deletes, what, true).await, "{what}");
        world.pass(Duration::from_secs(1)).await;
        assert_eq!((world.leases(), target.credentials().len()), (1, 1));
        assert!(!delete(&world, &deletes, what, false).await, "{what}");
        assert_eq!(world.leases(), 1);
        let revokes = holder(&world, &["revokes"]).await;
        assert!(!delete(&world, &revokes, what, true).await, "{what}");
        world.pass(Duration::from_secs(1)).await;
        assert_eq!((world.leases(), target.credentials().len()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn the_parameters_of_a_deletion_are_judged() {
    let world = world().await;
    let rules = r#"path "database/*" { capabilities = ["delete", "sudo"]
        denied_parameters = { revoke = [] } required_parameters = ["db_name"] }"#;
    write(&world, "keeps", rules).await;
    let token = holder(&world, &["keeps"]).await;
    assert!(delete(&world, &token, "roles", true).await);
    assert!(!delete(&world, &token, "roles", false).await, "it need not bring what a write must");
}

#[tokio::test(start_paused = true)]
async fn what_is_written_is_committed_only_with_the_policy_that_decided_it() {
    let rules = r#"path "*" { capabilities = ["create", "update", "delete"] }"#;
    for what in ["token role", "no token role", "role", "target", "renewal"] {
        let world = world().await;
        write(&world, "writes", rules).await;
        let (token, kept) = (holder(&world, &["writes"]).await, holder(&world, &["app"]).await);
        let role = TokenRoleWrite::default();
        world.broker().write_token_role(&request(ROOT), "r", role).await.unwrap();
        let asked = asks(&token, Operation::Update, "anything");
        let deletes = asks(&token, Operation::Delete, "anything");
        let broker = world.broker();
        let asking = async {
            match what {
                "token role" => {
                    let wanted = TokenRoleWrite::default();
                    broker.write_token_role(&asked, "new", wanted).await.err()
                }
                "no token role" => broker.delete_token_role(&deletes, "r").await.err(),
                "role" => {
                    let gone = broker.delete_role(&deletes, "database/", "app", false).await;
                    return matches!(gone, Err(RoleError::Admit(AdmitError::Denied { .. })));
                }
                "target" => {
                    let gone = broker.delete_target(&deletes, "database/", "app", false).await;
                    return matches!(gone, Err(TargetError::Admit(AdmitError::Denied { .. })));
                }
                _ => {
                    let which = WhichToken::Text(SecretText::new(kept.clone()));
                    broker.renew_token(&asked, &which, None).await.err()
                }
            }
            .is_some_and(|error| matches!(error, TokenError::Admit(AdmitError::Denied { .. })))
        };
        let before = world.store.commits();
        let change =
            async { world.broker().delete_policy(&request(ROOT), "writes").await.unwrap() };
        assert!(world.ask_amid(asking, change).await, "{what}");
        assert_eq!(world.store.commits() - before, 1, "{what}: only the policy was changed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_whose_making_cannot_be_recorded_ends_at_once() {
    let world = world().await;
    world.audit.refuse_answers(true);
    let id = || Some(SecretText::new("a text that its maker knows".into()));
    let wanted = TokenRequest { id: id(), ..TokenRequest::default() };
    let refused = world.broker().create_token(&request(ROOT), wanted).await.unwrap_err();
    assert!(matches!(refused, TokenError::Admit(AdmitError::Audit(_))), "{refused}");
    world.audit.refuse_answers(false);
    let own = asks("a text that its maker knows", Operation::Read, "auth/token/lookup-self");
    let own = Request { right: Right::Own, ..own };
    let seen = world.broker().lookup_token(&own, &WhichToken::Own).await;
    assert!(matches!(seen, Err(TokenError::Admit(AdmitError::BadToken))));
}
