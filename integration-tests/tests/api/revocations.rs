//! Mass revocations at a real PostgreSQL: what is asked and answered.

use crate::lending::{Lending, until};
use leasehold_integration_tests::server::Answer;
use serde_json::json;

async fn until_done(lending: &Lending, id: &str) -> Answer {
    let path = format!("sys/revocations/{id}");
    let is_done = async || lending.server.get(&path).await.at("/data/state") == "done";
    until("the mass revocation is done", is_done).await;
    lending.server.get(&path).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mass_revocation_answers_at_once_and_is_done_when_the_target_has_nothing_left() {
    let lending = Lending::start().await;
    for _ in 0..20 {
        lending.lend().await;
    }
    let of_target = json!({ "target": "database/pg" });
    let begun = lending.server.post("sys/revocations", of_target).await.expect(200);
    let id = begun.at("/data/id").to_owned();
    assert_eq!(begun.at("/data/target"), "database/pg");
    assert_eq!(begun.body["data"]["state"], "running");
    let done = until_done(&lending, &id).await;
    let data = &done.body["data"];
    assert_eq!(
        (&data["leases"], &data["marked"], &data["gone"]),
        (&json!(20), &json!(20), &json!(20))
    );
    assert_eq!(
        (&data["tried"], &data["waiting"], &data["errors"]),
        (&json!(0), &json!(0), &json!([]))
    );
    assert_eq!(lending.users().await, Vec::<String>::new());
    let listed = lending.server.list("sys/revocations").await.expect(200);
    assert_eq!(listed.body["data"]["keys"], json!([id]));
    assert_eq!(listed.body["data"]["key_info"][&id]["state"], "done");
    let over = lending.server.post(&format!("sys/revocations/{id}/pause"), json!({})).await;
    assert_eq!(over.status, 400, "{}", over.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mass_revocation_that_cannot_be_is_refused_with_what_to_do() {
    let lending = Lending::start().await;
    let lent = lending.lend().await;
    let server = &lending.server;
    let _ = server.post("sys/auth/userpass", json!({ "type": "userpass" })).await.expect(204);
    for (body, status, why) in [
        (json!({}), 400, "either `prefix`"),
        (json!({ "prefix": "database", "target": "database/pg" }), 400, "either `prefix`"),
        (json!({ "prefix": ["database"] }), 400, "prefix"),
        (json!({ "prefix": "none" }), 404, "leasehold lease list"),
        (json!({ "target": "database/none" }), 404, "leasehold list database/config"),
        (json!({ "prefix": lent.lease_id }), 400, "one lease"),
        (json!({ "prefix": "auth/userpass" }), 400, "tokens"),
    ] {
        let refused = server.post("sys/revocations", body.clone()).await;
        assert_eq!(refused.status, status, "{body}: {}", refused.text);
        assert!(refused.text.contains(why), "{body}: {}", refused.text);
    }
    for path in ["sys/revocations/none", "sys/revocations/01jdx3m5k8v2q7t4w9y6z1b0ce"] {
        let answer = server.get(path).await;
        assert!([400, 404].contains(&answer.status), "{path}: {}", answer.text);
    }
    assert_eq!(lending.users().await, [lent.username]);
}
