//! Tokens: how long they live, what they may, and what ends with them.

use leasehold_integration_tests::server::Server;
use serde_json::{Map, Value, json};

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
async fn a_token_whose_uses_are_counted_makes_none_whose_are_not() {
    let server = Server::dev();
    for uses in [1, 2, 50] {
        let token = create(&server, json!({ "num_uses": uses })).await;
        let child = server.ask(&token, "POST", "auth/token/create", json!({})).await;
        assert_eq!(child.status, 400, "{uses}: {}", child.text);
        assert!(child.text.contains("restricted use token cannot generate child tokens"));
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
        (json!({ "type": "batch" }), "batch tokens cannot be root tokens"),
        (json!({ "type": "batch", "num_uses": 2 }), "batch tokens cannot have \"num_uses\" set"),
        (json!({ "type": "batch", "period": 60 }), "batch tokens cannot have \"period\" set"),
        (
            json!({ "type": "batch", "policies": "default", "id": "own" }),
            "batch tokens cannot have \"id\" set",
        ),
        (json!({ "type": "bad" }), "invalid 'token_type' value"),
        (
            json!({ "entity_alias": "x" }),
            "'entity_alias' is only allowed in combination with token role",
        ),
        (
            json!({ "meta": { "k": "x".repeat(20 << 20) } }),
            "keys of metadata have 1 to 128 bytes, values at most 512",
        ),
        (
            json!({ "meta": (0..65).map(|n| (n.to_string(), json!("x"))).collect::<Map<_, _>>() }),
            "metadata has at most 64 pairs",
        ),
        (json!({ "display_name": "x".repeat(507) }), "a display name has 512 bytes at most"),
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
        ("POST", "auth/token/create-orphan"),
        ("POST", "auth/token/lookup"),
        ("POST", "auth/token/lookup-accessor"),
        ("POST", "auth/token/renew"),
        ("POST", "auth/token/renew-accessor"),
        ("POST", "auth/token/revoke"),
        ("POST", "auth/token/revoke-accessor"),
        ("POST", "auth/token/revoke-orphan"),
        ("POST", "auth/token/tidy"),
        ("LIST", "auth/token/accessors"),
        ("POST", "sys/mounts/x/tune"),
        ("GET", "sys/auth"),
        ("GET", "sys/leases?type=irrevocable"),
        ("GET", "sys/leases/count?type=irrevocable"),
        ("POST", "sys/leases/tidy"),
        ("PUT", "sys/renew/database/creds/app/x"),
        ("PUT", "sys/revoke/database/creds/app/x"),
        ("PUT", "sys/revoke-prefix/database"),
        ("PUT", "sys/revoke-force/database"),
        ("PUT", "sys/leases/revoke"),
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
    let lookup = json!({ "token": token });
    let seen = server.post("auth/token/lookup", lookup.clone()).await.expect(200);
    assert_eq!(seen.data()["num_uses"], 2);
    assert_eq!(ask().await.expect(200).data()["num_uses"], 1);
    let seen = server.post("auth/token/lookup", lookup).await.expect(200);
    assert_eq!(seen.data()["num_uses"], 1);
    // Zero would say that there is no limit.
    assert_eq!(ask().await.expect(200).data()["num_uses"], -1);
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

/// A token of ours, by text and by accessor.
async fn made(server: &Server, by: &str, wanted: Value) -> (String, String) {
    let made = server.ask(by, "POST", "auth/token/create", wanted).await.expect(200);
    (made.at("/auth/client_token").to_owned(), made.at("/auth/accessor").to_owned())
}

async fn is_good(server: &Server, token: &str) -> bool {
    let answer = server.ask(token, "GET", "auth/token/lookup-self", Value::Null).await;
    assert!(matches!(answer.status, 200 | 403), "{}", answer.text);
    answer.status == 200
}

#[tokio::test]
async fn a_token_is_looked_up_by_its_text_and_by_its_accessor() {
    let server = Server::dev();
    let wanted = json!({ "ttl": "1h", "meta": { "a": "b" }, "policies": "default" });
    let (token, accessor) = made(&server, "root", wanted).await;
    let own = server.ask(&token, "GET", "auth/token/lookup-self", Value::Null).await.expect(200);
    let by_text = server.post("auth/token/lookup", json!({ "token": token })).await.expect(200);
    let by_accessor = json!({ "accessor": accessor });
    let by_accessor = server.post("auth/token/lookup-accessor", by_accessor).await.expect(200);
    let without_ttl = |answer: &Value| {
        let mut data = answer.clone();
        assert!(data["ttl"].take().as_u64().is_some_and(|ttl| ttl <= 3600));
        data
    };
    assert_eq!(without_ttl(by_text.data()), without_ttl(own.data()));
    let mut expected = without_ttl(own.data());
    expected["id"] = json!("");
    assert_eq!(without_ttl(by_accessor.data()), expected);

    // Without a text it is the caller's own.
    let root = server.post("auth/token/lookup", json!({})).await.expect(200);
    assert_eq!((root.at("/data/id"), root.at("/data/path")), ("root", "auth/token/create"));
    let wrapped = |error: &str| format!("1 error occurred:\n\t* {error}\n\n");
    for (path, body, status, error) in [
        ("lookup", json!({ "token": "nope" }), 403, "bad token".to_owned()),
        ("lookup-accessor", json!({ "accessor": "nope" }), 400, wrapped("invalid accessor")),
        ("lookup-accessor", json!({ "accessor": token }), 400, wrapped("invalid accessor")),
        ("lookup-accessor", json!({}), 400, wrapped("missing accessor")),
        ("renew", json!({ "token": "nope" }), 400, "token not found".to_owned()),
        ("renew", json!({}), 400, "missing token ID".to_owned()),
        ("renew-accessor", json!({ "accessor": "nope" }), 400, wrapped("invalid accessor")),
        ("revoke", json!({}), 400, "missing token ID".to_owned()),
        ("revoke-accessor", json!({}), 400, wrapped("missing accessor")),
        ("revoke-orphan", json!({ "token": "nope" }), 400, "token to revoke not found".to_owned()),
    ] {
        let answer = server.post(&format!("auth/token/{path}"), body.clone()).await.expect(status);
        assert_eq!(answer.errors(), error, "{path} {body}");
    }
}

#[tokio::test]
async fn a_token_is_renewed_by_its_text_and_by_its_accessor() {
    let server = Server::dev();
    let wanted = json!({ "ttl": "1h", "policies": "default" });
    let (token, accessor) = made(&server, "root", wanted).await;
    let by_text = json!({ "token": token, "increment": 600 });
    let renewed = server.post("auth/token/renew", by_text).await.expect(200);
    assert_eq!(renewed.body["auth"]["lease_duration"], 600);
    assert_eq!(renewed.at("/auth/client_token"), token);
    let by_accessor = json!({ "accessor": accessor, "increment": "20m" });
    let renewed = server.post("auth/token/renew-accessor", by_accessor).await.expect(200);
    assert_eq!(renewed.body["auth"]["lease_duration"], 1200);
    assert_eq!(renewed.body["auth"]["client_token"], "");
    assert_eq!(renewed.at("/auth/accessor"), accessor);
    let seen = server.ask(&token, "GET", "auth/token/lookup-self", Value::Null).await.expect(200);
    assert!((1190..=1200).contains(&seen.data()["ttl"].as_u64().unwrap()), "{}", seen.text);
    assert!(seen.data()["last_renewal_time"].is_u64());
}

#[tokio::test]
async fn a_token_is_revoked_by_its_text_and_by_its_accessor_with_its_whole_tree() {
    let server = Server::dev();
    let (first, _) = made(&server, "root", json!({ "ttl": "1h" })).await;
    let mut tree = vec![first.clone()];
    for _ in 0..40 {
        let (child, _) = made(&server, tree.last().unwrap(), json!({ "ttl": "1h" })).await;
        tree.push(child);
    }
    let (beside, accessor) = made(&server, "root", json!({ "ttl": "1h" })).await;
    let _ = server.post("auth/token/revoke", json!({ "token": first })).await.expect(204);
    for token in &tree {
        assert!(!is_good(&server, token).await);
    }
    assert!(is_good(&server, &beside).await);
    let by_accessor = json!({ "accessor": accessor });
    let _ = server.post("auth/token/revoke-accessor", by_accessor.clone()).await.expect(204);
    assert!(!is_good(&server, &beside).await);

    // What has ended already is no error; an accessor that names nothing is worth a warning.
    let _ = server.post("auth/token/revoke", json!({ "token": first })).await.expect(204);
    let again = server.post("auth/token/revoke-accessor", by_accessor).await.expect(200);
    assert_eq!(again.body["warnings"], json!(["No token found with this accessor"]));
    let left = server.list("auth/token/accessors").await.expect(200);
    assert_eq!(left.data()["keys"].as_array().unwrap().len(), 1, "{}", left.text);
}

#[tokio::test]
async fn the_children_of_a_token_that_is_revoked_alone_live_on_as_orphans() {
    let server = Server::dev();
    let (grandparent, _) = made(&server, "root", json!({ "ttl": "1h" })).await;
    let (parent, _) = made(&server, &grandparent, json!({ "ttl": "1h" })).await;
    let (child, _) = made(&server, &parent, json!({ "ttl": "1h" })).await;
    let (grandchild, _) = made(&server, &child, json!({ "ttl": "1h" })).await;
    let _ = server.post("auth/token/revoke-orphan", json!({ "token": parent })).await.expect(204);
    for (token, good) in
        [(&grandparent, true), (&parent, false), (&child, true), (&grandchild, true)]
    {
        assert_eq!(is_good(&server, token).await, good);
    }
    let orphan = async |token: &str| {
        let seen = server.ask(token, "GET", "auth/token/lookup-self", Value::Null).await;
        seen.expect(200).data()["orphan"].clone()
    };
    assert_eq!((orphan(&child).await, orphan(&grandchild).await), (json!(true), json!(false)));

    // It no longer ends with those it came from, and what it made still ends with it.
    let _ = server.post("auth/token/revoke", json!({ "token": grandparent })).await.expect(204);
    assert!(is_good(&server, &child).await);
    let _ = server.post("auth/token/revoke", json!({ "token": child })).await.expect(204);
    assert!(!is_good(&server, &grandchild).await);
}

#[tokio::test]
async fn the_accessors_of_all_good_tokens_are_listed() {
    let server = Server::dev();
    let (_, first) = made(&server, "root", json!({ "ttl": "1h" })).await;
    let (second_token, second) = made(&server, "root", json!({ "ttl": "1h" })).await;
    for path in ["auth/token/accessors", "auth/token/accessors/"] {
        let listed = server.list(path).await.expect(200);
        let keys = listed.data()["keys"].as_array().unwrap();
        assert_eq!(keys.len(), 3, "{}", listed.text);
        assert!(keys.contains(&json!(first)) && keys.contains(&json!(second)));
    }
    let _ = server.post("auth/token/revoke", json!({ "token": second_token })).await.expect(204);
    let listed = server.get("auth/token/accessors?list=true").await.expect(200);
    assert!(!listed.data()["keys"].as_array().unwrap().contains(&json!(second)));
    for flag in ["1", "t", "T", "TRUE", "True"] {
        let again = server.get(&format!("auth/token/accessors?list={flag}")).await.expect(200);
        assert_eq!(again.data(), listed.data(), "{flag}");
    }
    for flag in ["", "0", "f", "F", "false", "FALSE", "False"] {
        let _ = server.get(&format!("auth/token/accessors?list={flag}")).await.expect(405);
    }
    for flag in ["yes", "tRUE", "2", "%20"] {
        let refused = server.get(&format!("auth/token/accessors?list={flag}")).await.expect(400);
        assert!(refused.errors().contains("\"list\": expected a truth value"), "{}", refused.text);
    }
    let tidied = server.post("auth/token/tidy", Value::Null).await.expect(202);
    assert!(tidied.body["warnings"][0].as_str().unwrap().starts_with("Tidy operation"));
}

#[tokio::test]
async fn a_batch_token_is_all_in_its_text() {
    let server = Server::dev();
    let wanted =
        json!({ "type": "batch", "policies": "default", "ttl": "1h", "meta": { "a": "b" } });
    let made = server.post("auth/token/create", wanted).await.expect(200);
    let auth = &made.body["auth"];
    assert_eq!((&auth["token_type"], &auth["accessor"]), (&json!("batch"), &json!("")));
    assert_eq!((&auth["renewable"], &auth["lease_duration"]), (&json!(false), &json!(3600)));
    let token = made.at("/auth/client_token");
    assert!(token.starts_with("hvb."), "{token}");
    let own = server.ask(token, "GET", "auth/token/lookup-self", Value::Null).await.expect(200);
    assert_eq!((own.at("/data/type"), own.at("/data/meta/a")), ("batch", "b"));
    let listed = server.list("auth/token/accessors").await.expect(200);
    assert_eq!(listed.data()["keys"].as_array().unwrap().len(), 1);
    for (path, error) in [
        ("renew-self", "batch tokens cannot be renewed"),
        ("revoke-self", "batch tokens cannot be revoked"),
    ] {
        let refused = server.ask(token, "POST", &format!("auth/token/{path}"), json!({})).await;
        assert_eq!(refused.expect(400).errors(), error);
    }
    for altered in [format!("{token}A"), token.replace("hvb.", "hvb.A"), "hvb.".to_owned()] {
        assert!(!is_good(&server, &altered).await, "{altered}");
    }
    let parent = server.post("auth/token/create", json!({ "ttl": "1h" })).await.expect(200);
    let parent = parent.at("/auth/client_token");
    let wanted = json!({ "type": "batch", "policies": "default" });
    let child = server.ask(parent, "POST", "auth/token/create", wanted).await.expect(200);
    let child = child.at("/auth/client_token");
    assert!(is_good(&server, child).await);
    let _ = server.post("auth/token/revoke", json!({ "token": parent })).await.expect(204);
    assert!(!is_good(&server, child).await);
}

#[tokio::test]
async fn policies_are_named_as_vault_reads_them_and_unknown_ones_are_warned_of() {
    let server = Server::dev();
    let unknown = |name: &str| format!("Policy {name:?} does not exist");
    for (wanted, policies, warnings) in [
        (
            json!({ "policies": ["default", "a", "A", "b", "a"] }),
            vec!["a", "b", "default"],
            vec!["a", "b"],
        ),
        (json!({ "policies": "a,b" }), vec!["a,b", "default"], vec!["a,b"]),
        (json!({ "policies": ["a"], "no_default_policy": true }), vec!["a"], vec!["a"]),
        (json!({ "policies": ["a", "root"] }), vec!["root"], vec![]),
        (json!({ "policies": "" }), vec!["root"], vec![]),
    ] {
        let made = server.post("auth/token/create", wanted.clone()).await.expect(200);
        assert_eq!(made.body["auth"]["policies"], json!(policies), "{wanted}");
        let expected: Vec<_> = warnings.into_iter().map(unknown).collect();
        let expected = if expected.is_empty() { Value::Null } else { json!(expected) };
        assert_eq!(made.body["warnings"], expected, "{wanted}");
    }
}
