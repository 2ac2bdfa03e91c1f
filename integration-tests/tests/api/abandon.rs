//! A real PostgreSQL that is gone for ever, and comes back all the same.

use crate::lending::{Lending, config, until};
use serde_json::{Value, json};
use std::time::Duration;

const PATH: &str = "sys/abandon/database/pg";

fn field(answer: &Value, pointer: &str) -> Value {
    answer.pointer(pointer).cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_gone_for_ever_keeps_no_leases_and_is_known_when_it_comes_back() {
    let lending = Lending::start().await;
    let lent = [lending.lend().await, lending.lend().await];
    lending.target.kill();

    let refused = lending.server.post(PATH, json!({ "reason": "scrapped" })).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(refused.text.contains("delete its configuration first"), "{}", refused.text);
    let _ = lending.server.delete("database/config/pg?revoke=true").await.expect(204);
    let shown = lending.server.get(PATH).await;
    assert_eq!(field(&shown.body, "/data/generations/0/leases"), 2, "{}", shown.text);
    let unsaid = lending.server.post(PATH, json!({})).await;
    assert_eq!(unsaid.status, 400, "{}", unsaid.text);

    let done = lending.server.post(PATH, json!({ "reason": "scrapped" })).await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert_eq!(field(&done.body, "/data/abandoned/reason"), "scrapped");
    until("no lease is left", async || {
        let shown = lending.server.get(PATH).await;
        field(&shown.body, "/data/generations/0/leases") == 0
    })
    .await;
    let name = json!({ "name": lent[0].username });
    let whose = lending.server.post("sys/whois", name).await;
    assert_eq!(field(&whose.body, "/data/leases/0/state"), "abandoned", "{}", whose.text);
    assert_eq!(field(&whose.body, "/data/leases/0/abandoned/reason"), "scrapped");

    lending.target.restart();
    assert!(lending.log_in(&lent[0]).await.is_ok(), "what nobody was asked to remove is there");
    let _ = lending.server.post("database/config/pg", config(&lending.target)).await.expect(204);
    let compared = lending.server.post("sys/reconcile/database/pg", json!({})).await;
    assert_eq!(field(&compared.body, "/data/abandoned"), 2, "{}", compared.text);
    let plan = json!({ "plan": compared.at("/data/plan"), "kinds": "abandoned", "force": true });
    let repaired = lending.server.post("sys/reconcile/database/pg", plan).await;
    assert_eq!(field(&repaired.body, "/data/removed"), 2, "{}", repaired.text);
    tokio::time::timeout(Duration::from_mins(1), lending.until_no_users()).await.unwrap();
}

#[tokio::test]
async fn nothing_of_an_unknown_target_can_be_abandoned() {
    let lending = Lending::start().await;
    for (path, body, status, told) in [
        ("sys/abandon/pg", json!({ "reason": "x" }), 400, "name mount and target"),
        ("sys/abandon/database/none", json!({ "reason": "x" }), 404, "`database/none`"),
        (PATH, json!({ "reason": "x".repeat(1001) }), 400, "`reason` must say why"),
        (PATH, json!({ "reason": ["x"] }), 400, "reason"),
    ] {
        let answer = lending.server.post(path, body).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        assert!(answer.text.contains(told), "{path}: {}", answer.text);
    }
}
