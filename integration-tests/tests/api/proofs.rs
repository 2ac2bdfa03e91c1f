//! Roles that ask for a proof of death, at a real PostgreSQL: where it is told.

use crate::lending::{Lending, Lent};
use serde_json::{Value, json};

async fn lending() -> Lending {
    let lending = Lending::start().await;
    let asked = json!({ "proof_of_death": true });
    let _ = lending.server.post("database/roles/app", asked).await.expect(204);
    lending
}

async fn revoked(lending: &Lending, lent: &Lent) -> Value {
    let asked = json!({ "lease_id": lent.lease_id, "sync": true });
    let _ = lending.server.post("sys/leases/revoke", asked).await.expect(204);
    let whois = lending.server.post("sys/whois", json!({ "name": lent.username })).await;
    whois.expect(200).body["data"]["leases"][0]["proof_of_death"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_is_told_by_whois_and_counted() {
    let lending = lending().await;
    let shown = lending.server.get("database/roles/app").await.expect(200);
    assert_eq!(shown.body["data"]["proof_of_death"], true, "{}", shown.text);
    let proof = revoked(&lending, &lending.lend().await).await;
    assert_eq!((&proof["proven"], &proof["by"]), (&json!(true), &json!("login")), "{proof}");
    assert!(proof["time"].is_string(), "{proof}");
    let exposed = lending.server.get("sys/metrics?format=prometheus").await.expect(200);
    assert!(exposed.text.contains("leasehold_deaths_total{proof=\"login\"} 1"), "{}", exposed.text);
    let _ = lending.server.post("database/roles/app", json!({ "proof_of_death": false })).await;
    assert_eq!(revoked(&lending, &lending.lend().await).await, Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_not_log_in_is_revoked_and_its_proof_says_why_not() {
    let lending = lending().await;
    let statements = "CREATE ROLE \"{{name}}\" NOLOGIN PASSWORD '{{password}}'";
    let role = json!({ "creation_statements": statements });
    let _ = lending.server.post("database/roles/app", role).await.expect(204);
    let proof = revoked(&lending, &lending.lend().await).await;
    assert_eq!(proof["proven"], false, "{proof}");
    assert!(proof["why"].as_str().unwrap().contains("may not log in"), "{proof}");
    assert_eq!(lending.users().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_neither_yes_nor_no_is_refused() {
    let lending = Lending::start().await;
    let refused =
        lending.server.post("database/roles/app", json!({ "proof_of_death": "so" })).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
}
