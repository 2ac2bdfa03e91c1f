//! Roles that are rehearsed at a real PostgreSQL, and what a comparison warns of.

use crate::lending::{self, Lending};
use leasehold_integration_tests::server::Answer;
use serde_json::{Value, json};

const PATH: &str = "sys/rehearse/database/app";

fn steps(answer: &Answer) -> Vec<&str> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let steps = answer.body["data"]["steps"].as_array().unwrap();
    steps.iter().map(|step| step["step"].as_str().unwrap()).collect()
}

async fn warnings(lending: &Lending) -> Value {
    let compared = lending.server.post("sys/reconcile/database/pg", json!({})).await.expect(200);
    compared.body["warnings"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_was_seen_to_work_is_compared_without_a_warning() {
    let lending = Lending::start().await;
    let warned = warnings(&lending).await;
    assert!(warned[0].as_str().unwrap().contains("leasehold rehearse database/app"), "{warned}");
    let answer = lending.server.post(PATH, json!({})).await;
    assert_eq!(steps(&answer), ["issue", "log_in", "list", "revoke", "dead", "gone"]);
    assert_eq!(answer.body["data"]["ok"], true, "{}", answer.text);
    assert_eq!(lending.users().await, Vec::<String>::new(), "nothing is left");
    assert_eq!(warnings(&lending).await, Value::Null);
    let last = lending.server.get(PATH).await.expect(200);
    assert_eq!(
        (&last.body["data"]["ok"], &last.body["data"]["rights"]),
        (&json!(true), &json!([]))
    );
    let _ = lending.server.post("database/roles/app", lending::role("2h", "24h")).await.expect(204);
    assert_ne!(warnings(&lending).await, Value::Null, "what was seen was another role");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_whose_credentials_cannot_log_in_or_bear_no_mark_is_told_why() {
    let lending = Lending::start().await;
    let write = async |statements: &str| {
        let role = json!({ "db_name": "pg", "creation_statements": statements });
        let _ = lending.server.post("database/roles/app", role).await.expect(204);
    };
    write("CREATE ROLE \"{{name}}\" NOLOGIN PASSWORD '{{password}}'").await;
    let answer = lending.server.post(PATH, json!({})).await;
    assert_eq!(steps(&answer), ["issue", "log_in"]);
    assert_eq!(answer.body["data"]["ok"], false, "{}", answer.text);
    write("CREATE ROLE \"{{name}}\" LOGIN").await;
    let answer = lending.server.post(PATH, json!({})).await;
    assert_eq!(steps(&answer), ["issue", "log_in"]);
    assert!(
        answer.at("/data/failed").contains("does not let the credential in"),
        "{}",
        answer.text
    );
    assert_eq!(lending.users().await, Vec::<String>::new(), "nothing is left");
    assert_ne!(warnings(&lending).await, Value::Null);
    let missing = lending.server.post("sys/rehearse/database/none", json!({})).await;
    assert_eq!(missing.status, 400, "{}", missing.text);
    let never = lending.server.get("sys/rehearse/app").await;
    assert_eq!(never.status, 400, "{}", never.text);
}
