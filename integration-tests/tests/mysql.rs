//! The MySQL engine on real servers: the distribution's MariaDB.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests may fail a test"
)]

#[path = "mysql/in_use.rs"]
mod in_use;
#[path = "mysql/place.rs"]
mod place;
#[path = "mysql/rights.rs"]
mod rights;
#[path = "mysql/rotation.rs"]
mod rotation;
#[path = "mysql/statements.rs"]
mod statements;
#[path = "mysql/tls.rs"]
mod tls;
#[path = "mysql/trouble.rs"]
mod trouble;

use leasehold_core::engine::Engine as _;
use leasehold_engines::mysql::MySql;
use leasehold_integration_tests::engine_suite::table::MYSQL;
use leasehold_integration_tests::engine_suite::{self as suite, Site as _, revocation};
use place::{config, fields_of, granting, place, place_by_statements, place_without_root, role};
use serde_json::{Value, json};
use std::time::Duration;

leasehold_integration_tests::engine_suite! {
    MYSQL;
    root => place().await;
    no_more_than_is_needed => place_without_root().await;
    own_statements => place_by_statements().await;
}

#[tokio::test]
async fn an_administrator_who_may_do_what_is_needed_lacks_nothing() {
    let place = place_without_root().await;
    assert_eq!(place.engine.lacks(Some(&place.role)).await, Ok(Vec::new()));
}

#[tokio::test]
async fn the_server_says_which_one_it_is() {
    let (one, other) = (place().await, place().await);
    let first = one.engine.identity().await.expect("it says");
    assert_eq!(first.server, one.ask("SELECT @@server_uid").await);
    assert!(first.server.is_some() && first.version.contains("MariaDB"), "{first:?}");
    let off = first.clock.since(suite::now()).max(suite::now().since(first.clock));
    assert!(off < Duration::from_secs(5), "{off:?}");
    assert_ne!(other.engine.identity().await.expect("it says").server, first.server);
}

/// Every privilege in turn is taken away, asked for by its own statement, and given by running that.
#[tokio::test]
async fn an_administrator_is_told_which_grant_is_missing() {
    let place = place_without_root().await;
    for (what, _) in place::NEEDED {
        place.run(&format!("REVOKE {what} FROM 'lease\\'@dmin'@'%'")).await;
        let fields = fields_of(
            &place.server,
            (place::ADMINISTRATOR, place::ADMINISTRATOR_PASSWORD),
            &Value::Null,
        );
        let engine = MySql::open(config(&fields), place.origin, suite::clock()).expect("it opens");
        let lacks = engine.lacks(Some(&place.role)).await.expect("it is asked");
        let sentence = lacks.first().unwrap_or_else(|| panic!("{what} is not missed"));
        assert_eq!(lacks.len(), 1, "{what}: {lacks:?}");
        let (_, statement) = sentence.rsplit_once("run `").expect("it says what to run");
        place.run(statement.strip_suffix('`').expect("it ends in the statement")).await;
        assert_eq!(engine.lacks(Some(&place.role)).await, Ok(Vec::new()), "{statement}");
    }
    let unknown = role(&json!({"grant_roles": ["nobody"]}));
    let lacks = place.engine.lacks(Some(&unknown)).await.expect("it is asked");
    assert!(lacks[0].ends_with("run `CREATE ROLE `nobody``"), "{lacks:?}");
}

/// Who may not see the sessions of others would take a live one for none.
#[tokio::test]
async fn without_leave_to_see_sessions_no_revocation_counts() {
    let place = place_without_root().await;
    let (issue, login) = suite::issued(&*place, 1).await.pop().expect("one was issued");
    let mut session = place.log_in(&login).await.expect("it logs in");
    place.run("REVOKE PROCESS ON *.* FROM 'lease\\'@dmin'@'%'").await;
    let fields = fields_of(
        &place.server,
        (place::ADMINISTRATOR, place::ADMINISTRATOR_PASSWORD),
        &Value::Null,
    );
    let engine = MySql::open(config(&fields), place.origin, suite::clock()).expect("it opens");
    let answer = engine.revoke(&[revocation(&issue)]).await.remove(0);
    let error = answer.expect_err("it does not count");
    assert!(error.to_string().contains("run `GRANT PROCESS ON *.* TO"), "{error}");
    assert!(place.log_in(&login).await.is_err(), "it logs in no more all the same");
    place.run("GRANT PROCESS ON *.* TO 'lease\\'@dmin'@'%'").await;
    assert_eq!(engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    assert!(!place.works(&mut session).await);
}

/// A server that was not reached since the start is of an unknown kind, and a name has to fit both.
#[tokio::test]
async fn a_name_is_right_before_and_after_the_server_is_known() {
    let place = place().await;
    let mut names = Vec::new();
    for most in [32, 80] {
        let (issue, login) = place.issue_by(&granting()).await;
        login.expect("it is issued");
        let name = issue.handle.name().to_owned();
        assert!(name.len() <= most && name.contains(&issue.lease.to_string()), "{name}");
        names.push(name);
    }
    assert!(names[1].starts_with("v-tester-app-"), "{names:?}");
    let mut listed: Vec<_> = place
        .engine
        .list()
        .await
        .expect("it lists")
        .into_iter()
        .map(|marked| marked.handle.name().to_owned())
        .collect();
    listed.sort();
    names.sort();
    assert_eq!(listed, names);
}
