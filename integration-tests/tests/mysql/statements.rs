//! Statements that operators write, and the passwords in them.

use crate::place::{Place, by_statements, place, place_of, role};
use leasehold_core::engine::{Cause, Engine as _, EngineError, Renewed, Revocation, Sharing};
use leasehold_integration_tests::engine_suite::{
    self as suite, PATIENCE, Site as _, prepared, revocation,
};
use leasehold_integration_tests::mariadb::{ROOT, ROOT_PASSWORD, Server};
use serde_json::json;
use std::sync::Arc;

/// Both in the table of accounts and in the server's own record of statements there is a hash.
#[tokio::test]
async fn no_password_reaches_the_servers_record_of_statements() {
    let server = Server::start_with(&["--general-log"], &[]);
    let place = place_of(server, (ROOT, ROOT_PASSWORD), by_statements()).await;
    for role in [by_statements(), role(&json!({"grant_roles": ["readonly"]}))] {
        let (issue, login) = place.issue_by(&role).await;
        let login = login.expect("it is issued");
        let mut session = place.log_in(&login).await.expect("it logs in");
        assert!(place.works(&mut session).await);
        let record = place.server.statements();
        assert!(record.contains(issue.handle.name()), "{record}");
        assert!(!record.contains(&login.password), "{record}");
    }
    let engine = place.open(&json!({"password_authentication": "password"}));
    let issue = prepared(&engine, &by_statements(), ("tester", "app"), PATIENCE);
    let answer = engine.issue(std::slice::from_ref(&issue)).await.remove(0);
    let login = suite::Login::of(&answer.expect("it is issued"));
    place.log_in(&login).await.expect("it logs in");
}

/// An error quotes what the server did not understand, and the server cuts it off anywhere.
#[tokio::test]
async fn no_password_is_in_an_error() {
    let place = place().await;
    for padding in ["", "123456789", "1234567890123456789012345678901"] {
        let text = format!("CREATE USER nonsense '{padding}' '{{{{password}}}}' x '{{{{name}}}}'");
        let (issue, answer) = place.issue_by(&role(&json!({"creation_statements": text}))).await;
        let error = answer.expect_err("it is nonsense").to_string();
        assert!(error.contains("nonsense") || error.contains("near"), "{error}");
        let secret = format!("{:?}", issue.draft);
        assert_eq!(secret, "Draft(..)");
        let quoted = error.rsplit("near").next().unwrap_or_default();
        assert!(quoted.contains("[password]"), "{error}");
    }
}

#[tokio::test]
async fn every_host_of_a_name_is_revoked() {
    let place = place().await;
    let hosts = role(&json!({
        "creation_statements": "CREATE USER '{{name}}'@'127.%' IDENTIFIED BY '{{password}}', '{{name}}'@'::1'; \
            GRANT SELECT ON app.* TO '{{name}}'@'127.%'",
    }));
    let (issue, login) = place.issue_by(&hosts).await;
    let login = login.expect("it is issued");
    let mut session = place.log_in(&login).await.expect("it logs in");
    assert!(place.works(&mut session).await);
    // Whoever made it, an account of a lease's name is the lease's.
    place.run(&format!("CREATE USER '{}'@'localhost'", login.username)).await;
    assert_eq!(place.hosts(&login.username).await.as_deref(), Some("127.% ::1 localhost"));
    assert_eq!(place.engine.list().await.expect("it lists").len(), 1, "it is one credential");
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    assert_eq!(place.hosts(&login.username).await, None);
    assert!(!place.works(&mut session).await);
}

/// A session of a default role survives the drop of its user; not here.
#[tokio::test]
async fn an_open_session_of_a_default_role_is_dead_after_the_revocation() {
    let place = place().await;
    let (issue, login) = suite::issued(&*place, 1).await.pop().expect("one was issued");
    let mut session = place.log_in(&login).await.expect("it logs in");
    assert!(place.works(&mut session).await);
    place.run(&format!("DROP USER '{}'@'%'", login.username)).await;
    assert!(
        place.works(&mut session).await,
        "it survives a bare drop: if not, this test is of no use"
    );
    let (second, login) = suite::issued(&*place, 1).await.pop().expect("one was issued");
    let mut other = place.log_in(&login).await.expect("it logs in");
    assert_eq!(place.engine.revoke(&[revocation(&second)]).await, [Ok(())]);
    assert!(!place.works(&mut other).await);
    drop(issue);
}

/// Each statement commits alone: what went before a failure stays and is answered for, what comes after is not lost.
#[tokio::test]
async fn a_poisoned_member_of_a_batch_fails_alone() {
    let place = place().await;
    let role = role(&json!({
        "creation_statements": "CREATE USER '{{name}}'@'localhost'; CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'",
    }));
    let ask = || prepared(&*place.engine, &role, ("tester", "app"), PATIENCE);
    let asked: Vec<_> = (0..6).map(|_| ask()).collect();
    assert_eq!(place.engine.sharing(&role, &asked[0].handle).group, Some(0), "they share a batch");
    // One is taken for a host that is not looked at beforehand, and one fails half-way.
    place.run(&format!("CREATE USER '{}'@'localhost'", asked[2].handle.name())).await;
    let answers = place.engine.issue(&asked).await;
    for (at, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_ok(), at != 2, "{at}: {answer:?}");
        if let Ok(secret) = answer {
            let login = suite::Login::of(secret);
            assert_eq!(login.username, asked[at].handle.name(), "each has its own answer");
            place.log_in(&login).await.expect("it logs in");
        }
    }
    let error = answers[2].as_ref().expect_err("it is taken");
    assert!(matches!(error, EngineError::Uncertain(_)), "it may be our own: {error:?}");
    assert_eq!(place.hosts(asked[2].handle.name()).await.as_deref(), Some("localhost"));
}

/// What no member can do refuses each of them, and creates nothing.
#[tokio::test]
async fn a_statement_that_cannot_be_run_refuses_all_and_creates_nothing() {
    let place = place().await;
    let before = place.credentials().await;
    let role = role(&json!({"creation_statements": "CREATE USER nonsense nonsense '{{name}}'"}));
    let asked: Vec<_> =
        (0..3).map(|_| prepared(&*place.engine, &role, ("tester", "app"), PATIENCE)).collect();
    for answer in place.engine.issue(&asked).await {
        let error = answer.expect_err("it is nonsense");
        assert!(matches!(error, EngineError::Refused(_)), "{error:?}");
        assert_eq!(error.reason().cause, Cause::Rejected);
    }
    assert_eq!(place.credentials().await, before);
    let (_, late) = place
        .issue_by(&crate::place::role(&json!({
            "creation_statements": "CREATE USER '{{name}}'@'%'; GRANT nonsense",
        })))
        .await;
    let error = late.expect_err("the second statement is nonsense");
    assert!(matches!(error, EngineError::Uncertain(_)), "the first one stays: {error:?}");
}

#[tokio::test]
async fn statements_that_change_their_session_run_step_by_step_in_one_of_their_own() {
    let place = place().await;
    place
        .run(
            "CREATE PROCEDURE app.make(IN who varchar(80), IN word varchar(80)) BEGIN \
             EXECUTE IMMEDIATE CONCAT('CREATE USER ''', who, '''@''%'' IDENTIFIED BY ''', word, ''''); \
             SELECT 'made'; END",
        )
        .await;
    let role = role(&json!({
        "creation_statements": ["SET SESSION sql_mode = 'ANSI_QUOTES'; USE app", "CALL make('{{name}}', '{{password}}')"],
        "revocation_statements": ["USE app", "DROP USER '{{name}}'@'%'"],
    }));
    let (issue, login) = place.issue_by(&role).await;
    let login = login.expect("it is issued");
    assert_eq!(
        place.engine.sharing(&role, &issue.handle),
        Sharing { group: None, one_lane: false }
    );
    place.log_in(&login).await.expect("it logs in");
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    assert!(place.log_in(&login).await.is_err());
    suite::life::a_credential_lives_and_dies(&place).await;
}

#[tokio::test]
async fn revocation_statements_may_keep_the_user() {
    let place = place().await;
    let keeping = role(&json!({
        "grant_roles": ["readonly"],
        "revocation_statements": ["REVOKE readonly FROM '{{name}}'@'%'; INSERT INTO app.notes VALUES ('{{name}} left')"],
    }));
    let (issue, login) = place.issue_by(&keeping).await;
    let login = login.expect("it is issued");
    let mut session = place.log_in(&login).await.expect("it logs in");
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    assert!(!place.works(&mut session).await && place.log_in(&login).await.is_err());
    let note = place.ask("SELECT line FROM app.notes").await;
    assert_eq!(note, Some(format!("{} left", login.username)));
    assert_eq!(place.hosts(&login.username).await.as_deref(), Some("%"), "it is kept");
    assert!(
        place.engine.list().await.expect("it lists").is_empty(),
        "but is no credential any more"
    );
    let freeing = role(&json!({
        "grant_roles": ["readonly"],
        "revocation_statements": "ALTER USER '{{name}}'@'%' ACCOUNT UNLOCK",
    }));
    let unlocked = Revocation { role: Some(freeing), ..revocation(&issue) };
    assert!(place.engine.revoke(&[unlocked]).await[0].is_err(), "who may log in is not revoked");

    let failing = role(&json!({
        "grant_roles": ["readonly"], "revocation_statements": "DROP USER nobody_at_all",
    }));
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
async fn renewal_statements_are_told_the_new_end() {
    let place = place().await;
    let role = role(&json!({
        "grant_roles": ["readonly"],
        "renew_statements": "INSERT INTO app.notes VALUES ('{{name}} until {{expiration}}')",
    }));
    let (issue, login) = place.issue_by(&role).await;
    login.expect("it is issued");
    let end = leasehold_core::time::Timestamp(1_995_314_365_678);
    assert_eq!(place.engine.renew(&[suite::renewal(&issue, end)]).await, [Ok(Renewed::Extended)]);
    let note = place.ask("SELECT line FROM app.notes").await.expect("a note");
    let wanted = format!("{} until 2033-03-2", issue.handle.name());
    assert!(note.starts_with(&wanted) && note.ends_with("+0000"), "{note}");
    drop::<Arc<Place>>(place);
}
