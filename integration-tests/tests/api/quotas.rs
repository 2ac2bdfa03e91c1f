//! How many leases there may be, as callers meet it.

use crate::lending::{Lending, Lent};
use serde_json::json;

#[tokio::test]
async fn where_a_quota_leaves_no_room_for_a_lease_nothing_is_lent_until_one_has_ended() {
    let lending = Lending::start().await;
    let server = &lending.server;
    for (body, told) in [
        (json!({}), "'max_leases' is invalid"),
        (json!({ "max_leases": 0 }), "'max_leases' is invalid"),
        (json!({ "max_leases": -1 }), "'max_leases' is invalid"),
        (json!({ "max_leases": "x" }), "expected a whole number"),
        (json!({ "max_leases": 1, "path": "auth/token" }), "has no leases to count"),
        (json!({ "max_leases": 1, "path": "nope" }), "invalid mount path"),
        (json!({ "max_leases": 1, "rate": 1 }), "unknown field \"rate\""),
        (
            json!({ "max_leases": 1, "path": "database/creds/app", "role": "app" }),
            "both a path suffix and a role",
        ),
    ] {
        let refused = server.post("sys/quotas/lease-count/q", body.clone()).await.expect(400);
        assert!(refused.errors().contains(told), "{body}: {}", refused.errors());
    }
    let _ = server.list("sys/quotas/lease-count").await.expect(404);
    let first = Lent::of(&server.get("database/creds/app").await);
    let quota = json!({ "max_leases": 2, "path": "database", "role": "app" });
    let _ = server.post("sys/quotas/lease-count/q", quota).await.expect(204);
    let read = server.get("sys/quotas/lease-count/q").await.expect(200);
    let expected = json!({
        "type": "lease-count", "name": "q", "path": "database/", "role": "app", "max_leases": 2, "inheritable": false,
    });
    assert_eq!(read.data(), &expected);
    assert_eq!(server.list("sys/quotas/lease-count").await.data()["keys"], json!(["q"]));

    let _second = Lent::of(&server.get("database/creds/app").await);
    let refused = server.get("database/creds/app").await.expect(429);
    let begins = "request path \"database/creds/app\": lease count quota exceeded; the quota \"q\" allows 2 leases";
    assert!(refused.errors().starts_with(begins), "{}", refused.errors());
    assert_eq!(refused.headers["retry-after"], "5");
    let revoke = json!({ "lease_id": first.lease_id });
    let _ = server.post("sys/leases/revoke", revoke).await.expect(204);
    let _third = Lent::of(&server.get("database/creds/app").await);
    let _ = server.get("database/creds/app").await.expect(429);
    let _ = server.delete("sys/quotas/lease-count/q").await.expect(204);
    let _fourth = Lent::of(&server.get("database/creds/app").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_has_as_many_credentials_as_its_configuration_lets_it_have_and_warns_before() {
    let lending = Lending::start().await;
    let server = &lending.server;
    let bad = server.post("database/config/pg", json!({ "max_credentials": -1 })).await;
    assert_eq!(bad.status, 400, "{}", bad.text);
    let _ = server.post("database/config/pg", json!({ "max_credentials": 2 })).await.expect(204);
    let read = server.get("database/config/pg").await.expect(200);
    assert_eq!(read.body["data"]["max_credentials"], 2, "{}", read.text);
    let first = server.get("database/creds/app").await.expect(200);
    assert!(first.body["warnings"].is_null(), "{}", first.text);
    let last = server.get("database/creds/app").await.expect(200);
    let warned = last.body["warnings"].to_string();
    assert!(warned.contains("has 2 of the 2 credentials"), "{}", last.text);
    let full = server.get("database/creds/app").await;
    assert_eq!(full.status, 429, "{}", full.text);
    assert!(full.text.contains("`database/pg` may have 2 credentials"), "{}", full.text);
    assert_eq!(lending.users().await.len(), 2);
    let metrics = server.get("sys/metrics?format=prometheus").await;
    for line in ["leasehold_target_credentials{", "leasehold_target_credentials_max{"] {
        let told = metrics.text.lines().find(|told| told.starts_with(line));
        assert!(told.is_some_and(|told| told.ends_with(" 2")), "{told:?}");
    }
}
