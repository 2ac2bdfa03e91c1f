//! Tokens: how long they live, what they may, and what ends with them.

use leasehold_integration_tests::server::Server;
use serde_json::{Value, json};

async fn create(server: &Server, wanted: Value) -> String {
    let made = server.post("auth/token/create", wanted).await.expect(200);
    made.at("/auth/client_token").to_owned()
}

#[tokio::test]
async fn a_ttl_is_read_in_all_the_ways_that_vault_reads_it() {
    let server = Server::dev();
    for (wanted, duration, warning) in [
        (json!({}), 0, None),
        (json!({ "ttl": "0" }), 0, None),
        (json!({ "ttl": 3600 }), 3600, None),
        (json!({ "ttl": "90" }), 90, None),
        (json!({ "ttl": "1h" }), 3600, None),
        (json!({ "ttl": "1d" }), 86400, None),
        (json!({ "ttl": "1.5h" }), 5400, None),
        (json!({ "period": "30m", "ttl": "10m" }), 1800, None),
        (json!({ "policies": "default" }), 2_764_800, None),
        (
            json!({ "ttl": "99999h" }),
            2_764_800,
            Some(
                "TTL of \"99999h\" exceeded the effective max_ttl of \"768h\"; TTL value is capped accordingly",
            ),
        ),
        (
            json!({ "ttl": "3h", "explicit_max_ttl": "2h" }),
            7200,
            Some(
                "TTL of \"3h\" exceeded the effective max_ttl of \"2h\"; TTL value is capped accordingly",
            ),
        ),
    ] {
        let made = server.post("auth/token/create", wanted.clone()).await.expect(200);
        assert_eq!(made.body["auth"]["lease_duration"], duration, "{wanted}");
        assert_eq!(made.body["auth"]["renewable"], duration > 0, "{wanted}");
        assert_eq!(made.body["warnings"][0].as_str(), warning, "{wanted}");
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_is_refused() {
    let server = Server::dev();
    let _ = create(&server, json!({ "id": "my-own" })).await;
    for (wanted, error) in [
        (json!({ "ttl": "-1h" }), "ttl must be positive"),
        (json!({ "ttl": "abc" }), "time: invalid duration \"abc\""),
        (json!({ "period": -1 }), "period must be positive"),
        (json!({ "num_uses": -1 }), "number of uses cannot be negative"),
        (json!({ "id": "my-own" }), "cannot create a token with a duplicate ID"),
        (json!({ "id": "hvs.own" }), "custom token ID cannot have the 'hvs.' prefix"),
        (json!({ "id": "with.dot" }), "custom token ID cannot have a '.' in the value"),
        (json!({ "type": "batch" }), "batch tokens are not supported yet"),
        (json!({ "type": "bad" }), "invalid 'token_type' value"),
        (
            json!({ "entity_alias": "x" }),
            "'entity_alias' is only allowed in combination with token role",
        ),
        (
            json!({ "meta": "x" }),
            "Field validation failed: error converting input for field \"meta\": invalid key pair \"x\"",
        ),
    ] {
        let answer = server.post("auth/token/create", wanted).await.expect(400);
        assert_eq!(answer.errors(), error);
    }
}

#[tokio::test]
async fn a_token_without_root_may_only_see_to_itself() {
    let server = Server::dev();
    let token = create(&server, json!({ "policies": ["default"], "ttl": "1h" })).await;
    let denied = json!({ "errors": ["1 error occurred:\n\t* permission denied\n\n"] });
    for (method, path) in [
        ("GET", "sys/mounts"),
        ("POST", "sys/mounts/x"),
        ("GET", "nope/a"),
        ("GET", "sys/unknown"),
        ("POST", "auth/token/create"),
        ("PUT", "sys/leases/renew"),
        ("PUT", "sys/leases/revoke-prefix/database"),
    ] {
        let answer = server.ask(&token, method, path, Value::Null).await.expect(403);
        assert_eq!(answer.body, denied, "{path}");
    }
    let _ = server.ask(&token, "GET", "auth/token/lookup-self", Value::Null).await.expect(200);
    let renewed =
        server.ask(&token, "POST", "auth/token/renew-self", json!({ "increment": "2h" })).await;
    let renewed = renewed.expect(200);
    assert_eq!(renewed.body["auth"]["lease_duration"], 7200);
    assert_eq!(renewed.at("/auth/client_token"), token);
    let _ = server.ask(&token, "POST", "auth/token/revoke-self", Value::Null).await.expect(204);
    let _ = server.ask(&token, "GET", "auth/token/lookup-self", Value::Null).await.expect(403);
}

#[tokio::test]
async fn a_renewal_of_a_token_stays_below_its_ceiling() {
    let server = Server::dev();
    let token = create(&server, json!({ "explicit_max_ttl": "30m", "ttl": "10m" })).await;
    let renew = async |token: &str, increment: Value| {
        server.ask(token, "POST", "auth/token/renew-self", json!({ "increment": increment })).await
    };
    let renewed = renew(&token, json!("5h")).await.expect(200);
    let duration = renewed.body["auth"]["lease_duration"].as_u64().unwrap();
    assert!((1795..=1800).contains(&duration), "{duration}");
    assert!(renewed.body["warnings"][0].as_str().unwrap().starts_with("TTL of \"5h\" exceeded"));

    let periodic = create(&server, json!({ "period": "10m" })).await;
    let renewed = renew(&periodic, json!("5h")).await.expect(200);
    assert_eq!(renewed.body["auth"]["lease_duration"], 600);
    assert_eq!(renewed.body["warnings"], Value::Null);

    let plain = create(&server, json!({ "policies": "default", "ttl": "1h" })).await;
    for (increment, error) in [
        (json!("bad"), "strconv.ParseInt: parsing \"ba\": invalid syntax"),
        (json!(-5), "cannot provide negative value '-5'"),
    ] {
        let prefix = "Field validation failed: error converting input for field \"increment\": ";
        let refused = renew(&plain, increment.clone()).await.expect(400);
        assert_eq!(refused.errors(), format!("{prefix}{error}"));
        assert_eq!(renew("wrong", increment).await.expect(403).errors(), "permission denied");
    }
    let refused = renew("root", json!("1h")).await.expect(400);
    assert_eq!(refused.errors(), "lease is not renewable");
    let fixed = create(&server, json!({ "renewable": false, "ttl": "1h" })).await;
    assert_eq!(renew(&fixed, json!("1h")).await.expect(400).errors(), "lease is not renewable");
}

#[tokio::test]
async fn a_token_with_few_uses_is_good_for_no_more() {
    let server = Server::dev();
    let token = create(&server, json!({ "num_uses": 2, "ttl": "1h" })).await;
    let ask = async || server.ask(&token, "GET", "auth/token/lookup-self", Value::Null).await;
    let _ = ask().await.expect(200);
    let _ = ask().await.expect(200);
    let _ = ask().await.expect(403);
}

#[tokio::test]
async fn what_a_token_made_ends_with_it() {
    let server = Server::dev();
    let parent = create(&server, json!({ "ttl": "1h" })).await;
    let child_of = async |wanted: Value| {
        let made = server.ask(&parent, "POST", "auth/token/create", wanted).await.expect(200);
        made.at("/auth/client_token").to_owned()
    };
    let child = child_of(json!({ "ttl": "30m" })).await;
    let orphan = child_of(json!({ "ttl": "30m", "no_parent": true })).await;
    let made =
        server.ask(&parent, "POST", "auth/token/create-orphan", json!({ "ttl": "30m" })).await;
    let other_orphan = made.expect(200).at("/auth/client_token").to_owned();
    let _ = server.ask(&parent, "POST", "auth/token/revoke-self", Value::Null).await.expect(204);
    for (token, status) in [(&parent, 403), (&child, 403), (&orphan, 200), (&other_orphan, 200)] {
        let _ =
            server.ask(token, "GET", "auth/token/lookup-self", Value::Null).await.expect(status);
    }
}
