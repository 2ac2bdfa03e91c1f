//! Statements that operators write.

use crate::place::{Place, fields_of, granting_directly, object, place, role};
use leasehold_core::access::password::PasswordPolicy;
use leasehold_core::broker::batch::LinePorts;
use leasehold_core::engine::erased::{KindOf, RoleRef};
use leasehold_core::engine::naming::Naming;
use leasehold_core::engine::{Engine as _, EngineError, Mark, Renewed, Revocation, Sharing};
use leasehold_core::store::Revision;
use leasehold_engines::postgres::Postgres;
use leasehold_integration_tests::engine_suite::{self as suite, PATIENCE, Site as _, revocation};
use leasehold_integration_tests::postgres::{SUPERUSER, SUPERUSER_PASSWORD, Version};
use leasehold_server::chance::SystemChance;
use leasehold_server::tasks::TokioTasks;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

async fn statements_are_run_as_written(version: Version) {
    let place = place(version).await;
    let role = granting_directly();
    let (issue, login) = place.issue_by(&role).await;
    let login = login.expect("it is issued");
    let mut session = place.log_in(&login).await.expect("it logs in");
    assert!(place.works(&mut session).await);
    let note = place.ask("app", "SELECT line FROM notes").await;
    assert_eq!(note, format!("made; for '{}'", issue.handle.name()));
    let comment = place
        .ask(
            "app",
            &format!("SELECT shobj_description('\"{}\"'::regrole, 'pg_authid')", login.username),
        )
        .await;
    assert_eq!(
        comment.parse(),
        Ok(Mark { origin: place.origin, lease: issue.lease }),
        "it is marked: {comment}"
    );
    // Grants on objects keep a role from being dropped; they are taken away first.
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    assert!(
        !place.works(&mut session).await && !place.credentials().await.contains(&login.username)
    );
}

#[tokio::test]
async fn an_operators_statements_are_run_as_written_on_the_distributions_version() {
    statements_are_run_as_written(Version::Distribution).await;
}

#[tokio::test]
async fn an_operators_statements_are_run_as_written_on_version_18() {
    statements_are_run_as_written(Version::V18).await;
}

#[tokio::test]
async fn revocation_statements_may_keep_the_role() {
    let place = place(Version::Distribution).await;
    let keeping = role(&json!({"grant_roles": ["readonly"], "scram_iterations": 1,
        "revocation_statements": ["REVOKE readonly FROM \"{{name}}\"; INSERT INTO notes VALUES ('{{name}} left')"]}));
    let (issue, login) = place.issue_by(&keeping).await;
    let login = login.expect("it is issued");
    let mut session = place.log_in(&login).await.expect("it logs in");
    for _ in 0..2 {
        assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    }
    assert!(!place.works(&mut session).await && place.log_in(&login).await.is_err());
    assert!(place.credentials().await.contains(&login.username), "it is kept");
    assert!(
        place.engine.list().await.expect("it lists").is_empty(),
        "but it is no credential any more"
    );

    let failing = role(
        &json!({"grant_roles": ["readonly"], "revocation_statements": "DROP ROLE nobody_at_all"}),
    );
    let (issue, login) = place.issue_by(&failing).await;
    let login = login.expect("it is issued");
    let bystander = suite::issued(&*place, 1).await.pop().expect("one was issued").0;
    let answers = place.engine.revoke(&[revocation(&issue), revocation(&bystander)]).await;
    assert!(answers[0].is_err() && answers[1].is_ok(), "{answers:?}");
    assert!(place.log_in(&login).await.is_err(), "it cannot log in all the same");
    // Where the role is gone, the statements as they were when it was issued count.
    let orphaned = Revocation { role: None, ..revocation(&issue) };
    assert!(place.engine.revoke(&[orphaned]).await[0].is_err());
    let mended = Revocation { role: Some(Arc::clone(&place.role)), ..revocation(&issue) };
    assert_eq!(place.engine.revoke(&[mended]).await, [Ok(())], "the role as it is now counts");
}

#[tokio::test]
async fn statements_that_make_their_own_transactions_run_step_by_step() {
    let place = place(Version::V18).await;
    let stepwise = role(&json!({
        "creation_statements": ["CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}'", "CREATE DATABASE \"{{name}}\" OWNER \"{{name}}\""],
        "revocation_statements": ["DROP DATABASE IF EXISTS \"{{name}}\" WITH (FORCE)", "DROP ROLE IF EXISTS \"{{name}}\""],
        "renew_statements": "ALTER ROLE \"{{name}}\" VALID UNTIL '{{expiration}}'",
    }));
    let (issue, login) = place.issue_by(&stepwise).await;
    let login = login.expect("it is issued");
    assert_eq!(
        place.engine.sharing(&stepwise, &issue.handle),
        Sharing { group: None, one_lane: true }
    );
    place
        .server
        .log_in(&login.username, &login.password, &login.username)
        .await
        .expect("its database is there");
    let end = suite::now().plus(Duration::from_secs(500));
    assert_eq!(place.engine.renew(&[suite::renewal(&issue, end)]).await, [Ok(Renewed::Extended)]);
    let listed = place.engine.list().await.expect("it lists").remove(0);
    let told = listed.lapses_at.expect("the server knows an end");
    // Seconds are cut off, and the two clocks were compared to a few milliseconds.
    assert!(
        end.since(told) < Duration::from_millis(1500)
            && told.since(end) < Duration::from_millis(500)
    );
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    assert!(!place.credentials().await.contains(&login.username));
    // What stops half-way may have left something, and says so.
    let half = role(
        &json!({"creation_statements": ["CREATE ROLE \"{{name}}\" LOGIN", "CREATE DATABASE app"]}),
    );
    let (issue, answer) = place.issue_by(&half).await;
    assert!(matches!(answer, Err(EngineError::Uncertain(_))));
    assert!(place.credentials().await.contains(issue.handle.name()));
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
}

/// Grants on shared objects from several connections at once fail with "tuple concurrently updated". In its line
/// they go one after the other; what others run meanwhile is in the way all the same, and then they are tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_that_meet_at_a_shared_object_are_issued_in_the_end() {
    let place = place(Version::Distribution).await;
    let clock = suite::clock();
    let ports = LinePorts {
        clock: Arc::clone(&clock),
        chance: Arc::new(SystemChance),
        tasks: Arc::new(TokioTasks::new(Handle::current(), clock)),
        meter: Arc::default(),
    };
    let fields = fields_of(&place.server, (SUPERUSER, SUPERUSER_PASSWORD), &Value::Null);
    let line = KindOf::<Postgres>::new()
        .open(object(&fields), place.origin, ports)
        .expect("the target opens");
    let fields = serde_json::to_value(&*granting_directly()).expect("a role is an object");
    let role = RoleRef { name: "direct", revision: Revision(1), fields: object(&fields) };
    let recipe = line.bind(role).expect("the role binds");
    let interfering = interfere(Arc::clone(&place));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let recipe = Arc::clone(&recipe);
        tasks.spawn(async move {
            for _ in 0..15 {
                let naming = Naming {
                    lease: suite::lease(),
                    display_name: "tester",
                    role_name: "direct",
                    now: suite::now(),
                };
                let mut drafted = recipe
                    .prepare(&naming, &PasswordPolicy::default(), &SystemChance)
                    .expect("it is prepared");
                drafted.derive();
                let (now, hour) = (suite::now(), Duration::from_hours(1));
                let answer = drafted.issue(now.plus(hour), now.plus(PATIENCE)).await;
                answer.expect("it is issued in the end");
            }
        });
    }
    tasks.join_all().await;
    interfering.abort();
}

/// Somebody else who grants on the same tables, again and again.
fn interfere(place: Arc<Place>) -> tokio::task::AbortHandle {
    let granting = tokio::spawn(async move {
        let mut superuser = place.server.superuser("app").await;
        loop {
            // It may fail as well; it is only there to be in the way.
            let grant = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO readonly";
            let _ = sqlx::raw_sql(grant).execute(&mut superuser).await;
        }
    });
    granting.abort_handle()
}
