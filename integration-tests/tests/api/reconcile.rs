//! A real PostgreSQL that somebody else has been at: what a comparison shows, and what a repair does.

use crate::lending::{Lending, Lent};
use leasehold_integration_tests::server::Answer;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor as _};
use std::collections::BTreeSet;
use std::time::Duration;

const PATH: &str = "sys/reconcile/database/pg";

async fn superuser(lending: &Lending, sql: &str) {
    let mut session = lending.target.superuser("postgres").await;
    let ran = session.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await;
    assert!(ran.is_ok(), "{sql}: {ran:?}");
}

/// What a comparison shows: kind and user name of each difference.
fn shown(answer: &Answer) -> BTreeSet<(String, String)> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let differences = answer.body["data"]["differences"].as_array().unwrap();
    let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    differences.iter().map(|one| (text(one, "kind"), text(one, "username"))).collect()
}

async fn compare(lending: &Lending) -> Answer {
    lending.server.post(PATH, json!({})).await
}

/// Compares until these are the differences.
async fn until(lending: &Lending, wanted: &BTreeSet<(String, String)>) -> Answer {
    let found = async {
        loop {
            let answer = compare(lending).await;
            if shown(&answer) == *wanted {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if let Ok(answer) = tokio::time::timeout(Duration::from_mins(1), found).await {
        return answer;
    }
    let last = compare(lending).await;
    assert_eq!(shown(&last), *wanted, "{}", last.text);
    last
}

/// Returns the mark that a credential bears.
async fn mark_of(lending: &Lending, lent: &Lent) -> String {
    let mut session = lending.target.superuser("postgres").await;
    let sql = format!(
        "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = '{}'",
        lent.username
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut session).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_did_to_credentials_is_shown_and_repaired() {
    let lending = Lending::start().await;
    let mut lent = Vec::new();
    for _ in 0..9 {
        lent.push(lending.lend().await);
    }
    assert_eq!(shown(&compare(&lending).await), BTreeSet::new());

    let [gone, locked, raised, ended, longer, endless] = [0, 1, 2, 3, 4, 5].map(|at| &lent[at]);
    let mark = mark_of(&lending, ended).await;
    let _ = lending.server.post("sys/leases/revoke", json!({ "lease_id": ended.lease_id })).await;
    let (origin, _) = mark.rsplit_once(':').unwrap();
    let forged = format!("{origin}:01jdx3m5k8v2q7t4w9y6z1b0ce");
    let [gone_name, locked_name, raised_name, ended_name, longer_name, endless_name] =
        [gone, locked, raised, ended, longer, endless].map(|lent| &lent.username);
    let sql = format!(
        "DROP ROLE \"{gone_name}\"; ALTER ROLE \"{locked_name}\" NOLOGIN; \
         ALTER ROLE \"{raised_name}\" CREATEDB; \
         CREATE ROLE \"{ended_name}\" LOGIN; COMMENT ON ROLE \"{ended_name}\" IS '{mark}'; \
         CREATE ROLE forger LOGIN; COMMENT ON ROLE forger IS '{forged}'; \
         ALTER ROLE \"{longer_name}\" VALID UNTIL '2099-01-01'; \
         ALTER ROLE \"{endless_name}\" VALID UNTIL 'infinity'"
    );
    superuser(&lending, &sql).await;

    let wanted = [
        ("missing", gone_name.as_str()),
        ("altered", locked_name),
        ("altered", raised_name),
        ("orphan", ended_name),
        ("look_alike", "forger"),
        ("altered", longer_name),
        ("altered", endless_name),
    ];
    let wanted = wanted.map(|(kind, name)| (kind.to_owned(), name.to_owned())).into();
    // What was issued within the last second may be on its way, and is not missing yet.
    let answer = until(&lending, &wanted).await;
    assert!(answer.text.contains("+ createdb"), "{}", answer.text);
    assert!(answer.text.contains("+ has no end"), "{}", answer.text);
    assert_eq!(answer.body["data"]["altered"], 4);
    let again = lending.server.get(PATH).await;
    assert_eq!(again.body["data"], answer.body["data"], "the last comparison can be read");

    // Of what is lent nothing is touched unless it is named, and then only by force: it is more than a tenth.
    let plan = answer.at("/data/plan");
    let repaired = lending.server.post(PATH, json!({ "plan": plan })).await;
    assert_eq!(
        (&repaired.body["data"]["removed"], &repaired.body["data"]["ended"]),
        (&json!(1), &json!(1))
    );
    let plan = compare(&lending).await.at("/data/plan").to_owned();
    let altered = json!({ "plan": plan, "kinds": "altered" });
    let refused = lending.server.post(PATH, altered).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("would remove 4 of"), "{}", refused.text);
    let altered = json!({ "plan": plan, "kinds": ["altered"], "force": true });
    let repaired = lending.server.post(PATH, altered).await;
    assert_eq!(repaired.body["data"]["removed"], 4, "{}", repaired.text);

    until(&lending, &[("look_alike".to_owned(), "forger".to_owned())].into()).await;
    assert!(lending.log_in(&lent[6]).await.is_ok(), "the living live on");
    for ended in &lent[..6] {
        assert!(lending.log_in(ended).await.is_err());
    }
}

#[tokio::test]
async fn bad_requests_to_compare_are_told_what_is_wrong() {
    let lending = Lending::start().await;
    for (path, body, status, told) in [
        ("sys/reconcile/pg", json!({}), 400, "name mount and target"),
        ("sys/reconcile/database/none", json!({}), 404, "no target is called `database/none`"),
        (PATH, json!({ "plan": "x" }), 400, "not the name of a plan"),
        (PATH, json!({ "force": true }), 400, "`plan` is missing"),
        (PATH, json!({ "plan": "01jdx3m5k8v2q7t4w9y6z1b0ce" }), 400, "older than ten minutes"),
        (
            PATH,
            json!({ "plan": "01jdx3m5k8v2q7t4w9y6z1b0ce", "kinds": "look_alike" }),
            400,
            "kinds",
        ),
    ] {
        let answer = lending.server.post(path, body).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        assert!(answer.text.contains(told), "{path}: {}", answer.text);
    }
    let never = lending.server.get(PATH).await;
    assert_eq!(never.status, 404);
    assert!(never.text.contains("leasehold reconcile database/pg"), "{}", never.text);
    let period = json!({ "reconcile_period": "10s" });
    let refused = lending.server.post("database/config/pg", period).await;
    assert_eq!(refused.status, 400);
    let period = json!({ "reconcile_period": "1h", "reconcile_repair": true });
    let _ = lending.server.post("database/config/pg", period).await.expect(204);
    let read = lending.server.get("database/config/pg").await;
    assert_eq!(read.body["data"]["reconcile_period"], 3600, "{}", read.text);
}
