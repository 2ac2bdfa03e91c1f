//! What users may do, as a comparison sees it: what somebody else gave them or took from them.

use crate::place::{Place, place, place_by_statements, place_without_root, role};
use leasehold_core::engine::Engine as _;
use leasehold_integration_tests::engine_suite::{self as suite, revocation};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

type Rights = BTreeMap<String, BTreeSet<String>>;

async fn rights(place: &Place) -> Rights {
    let listed = place.engine.list().await.expect("it lists");
    let own = |rights: Vec<String>| rights.into_iter().collect();
    listed.into_iter().map(|one| (one.handle.name().to_owned(), own(one.rights))).collect()
}

/// Returns what a user may do more than before, and what less.
fn changed(name: &str, before: &Rights, after: &Rights) -> (Vec<String>, Vec<String>) {
    let less = |one: &Rights, other: &Rights| one[name].difference(&other[name]).cloned().collect();
    (less(after, before), less(before, after))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_granted_a_user_or_took_from_it_is_told() {
    let place = place_by_statements().await;
    place
        .run("CREATE PROCEDURE app.p() SELECT 1; CREATE ROLE boss; GRANT ALL ON *.* TO boss")
        .await;
    let issued = suite::issued(&*place, 8).await;
    let names: Vec<_> = issued.iter().map(|(issue, _)| issue.handle.name()).collect();
    let before = rights(&place).await;
    let usual = before[names[0]].clone();
    assert!(usual.contains("SELECT in app"), "{usual:?}");
    assert!(before.values().all(|rights| *rights == usual), "made alike, they tell the same");

    let to = |at: usize| format!("'{}'@'%'", names[at]);
    for (at, sql, more) in [
        (0, format!("GRANT DELETE ON app.* TO {}", to(0)), "DELETE in app"),
        (1, format!("GRANT DELETE ON app.books TO {}", to(1)), "DELETE on app.books"),
        (2, format!("GRANT UPDATE (title) ON app.books TO {}", to(2)), "UPDATE on app.books.title"),
        (3, format!("GRANT EXECUTE ON PROCEDURE app.p TO {}", to(3)), "procedure app.p: Execute"),
        (4, format!("GRANT boss TO {}", to(4)), "member of boss"),
        (5, format!("GRANT PROXY ON 'root'@'%' TO {}", to(5)), "stands for root@%"),
        (
            6,
            format!("CREATE USER '{}'@'10.%' IDENTIFIED BY 'known'", names[6]),
            "logs in from 10.%",
        ),
    ] {
        place.run(&sql).await;
        let (gained, lost) = changed(names[at], &before, &rights(&place).await);
        assert_eq!((gained, lost), (vec![more.to_owned()], vec![]), "{sql}");
    }
    place.run(&format!("REVOKE SELECT ON app.* FROM {}", to(7))).await;
    let (gained, lost) = changed(names[7], &before, &rights(&place).await);
    assert_eq!((gained, lost), (vec![], vec!["SELECT in app".to_owned()]));
    let all: Vec<_> = issued.iter().map(|(issue, _)| revocation(issue)).collect();
    assert!(place.engine.revoke(&all).await.iter().all(Result::is_ok));
}

/// Each by its name, also for an administrator who may read nothing but the table of accounts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_user_may_do_everywhere_is_told_by_name() {
    let place = place_without_root().await;
    let (issue, _) = suite::issued(&*place, 1).await.remove(0);
    let name = issue.handle.name();
    let before = rights(&place).await;
    for privilege in [
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "CREATE",
        "DROP",
        "RELOAD",
        "SHUTDOWN",
        "PROCESS",
        "FILE",
        "GRANT OPTION",
        "REFERENCES",
        "INDEX",
        "ALTER",
        "SHOW DATABASES",
        "SUPER",
        "CREATE TEMPORARY TABLES",
        "LOCK TABLES",
        "EXECUTE",
        "REPLICATION SLAVE",
        "BINLOG MONITOR",
        "CREATE VIEW",
        "SHOW VIEW",
        "CREATE ROUTINE",
        "ALTER ROUTINE",
        "CREATE USER",
        "EVENT",
        "TRIGGER",
        "CREATE TABLESPACE",
        "DELETE HISTORY",
        "SET USER",
        "FEDERATED ADMIN",
        "CONNECTION ADMIN",
        "READ_ONLY ADMIN",
        "REPLICATION SLAVE ADMIN",
        "REPLICATION MASTER ADMIN",
        "BINLOG ADMIN",
        "BINLOG REPLAY",
        "SLAVE MONITOR",
    ] {
        place.run(&format!("GRANT {privilege} ON *.* TO '{name}'@'%'")).await;
        let (gained, lost) = changed(name, &before, &rights(&place).await);
        assert_eq!((gained, lost), (vec![format!("{privilege} everywhere")], vec![]));
        place.run(&format!("REVOKE {privilege} ON *.* FROM '{name}'@'%'")).await;
    }
    assert!(place.engine.revoke(&[revocation(&issue)]).await.iter().all(Result::is_ok));
}

/// A credential with a database of its own is as the others, who have theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_bears_a_credentials_own_name_makes_it_no_other() {
    let place = place().await;
    let role = role(&json!({
        "creation_statements": "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'; \
            GRANT ALL ON `{{name}}`.* TO '{{name}}'@'%'",
    }));
    for _ in 0..2 {
        place.issue_by(&role).await.1.expect("it is issued");
    }
    let told: BTreeSet<_> = rights(&place).await.into_values().collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told.iter().flatten().any(|right| right == "DROP in {{name}}"), "{told:?}");
}

/// Who may not look at grants compares what the table of accounts tells, and sees the rest once it may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_who_may_not_look_at_grants_lists_users_without_them() {
    let place = place_without_root().await;
    suite::issued(&*place, 1).await;
    let told: Vec<_> = rights(&place).await.into_values().flatten().collect();
    assert_eq!(told, ["default role readonly", "logs in from %"]);
    place.run("GRANT SELECT ON mysql.* TO 'lease\\'@dmin'@'%'").await;
    let told: Vec<_> = rights(&place).await.into_values().flatten().collect();
    assert!(told.contains(&"member of readonly".to_owned()), "{told:?}");
}
