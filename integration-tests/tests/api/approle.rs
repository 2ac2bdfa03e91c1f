//! Roles for applications, and logins by secret id, over HTTP.

use leasehold_integration_tests::server::{Answer, Place, Server};
use serde_json::{Value, json};
use std::fs;

async fn with_role(server: &Server, role: Value) -> String {
    let _ = server.post("sys/auth/approle", json!({ "type": "approle" })).await.expect(204);
    let _ = server.post("auth/approle/role/app", role).await.expect(204);
    server.get("auth/approle/role/app/role-id").await.expect(200).at("/data/role_id").to_owned()
}

async fn log_in(server: &Server, role_id: &str, secret_id: &str) -> Answer {
    let proof = json!({ "role_id": role_id, "secret_id": secret_id });
    server.ask("", "POST", "auth/approle/login", proof).await
}

#[tokio::test]
async fn of_sixty_four_callers_with_one_use_one_is_let_in() {
    let place = Place::new();
    let server = place.found().await;
    let role_id = with_role(&server, json!({ "secret_id_num_uses": 1 })).await;
    let made = server.post("auth/approle/role/app/secret-id", json!({})).await.expect(200);
    let secret_id = made.at("/data/secret_id");
    let logins = (0..64).map(|_| log_in(&server, &role_id, secret_id));
    let answers = futures_util::future::join_all(logins).await;
    let let_in: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(let_in.len(), 1);
    let refused = answers.iter().filter(|answer| answer.status == 400);
    assert_eq!(refused.count(), 63);
    // The secret is nowhere: not in the record, the log, the store.
    let store = fs::read_dir(place.path("store")).unwrap();
    let kept = store.map(|file| fs::read(file.unwrap().path()).unwrap_or_default());
    let kept: Vec<u8> = kept.flatten().collect();
    let audit = fs::read_to_string(place.path("audit")).unwrap();
    let shown = format!("{audit}{}{}", server.log(), String::from_utf8_lossy(&kept));
    assert!(!shown.contains(secret_id));
    assert!(!shown.contains(let_in[0].at("/auth/client_token")));
}

#[tokio::test]
async fn every_field_of_a_role_is_written_shown_and_reset_by_its_own_path() {
    let server = Server::dev();
    with_role(&server, json!({})).await;
    for (path, written, shown, reset) in [
        (
            "policies",
            json!({ "token_policies": "b,a" }),
            json!({ "token_policies": ["a", "b"] }),
            json!([]),
        ),
        (
            "bound-cidr-list",
            json!({ "bound_cidr_list": "10.0.0.0/8" }),
            json!({ "secret_id_bound_cidrs": ["10.0.0.0/8"] }),
            json!(null),
        ),
        (
            "secret-id-bound-cidrs",
            json!({ "secret_id_bound_cidrs": ["::1"] }),
            json!({ "secret_id_bound_cidrs": ["::1"] }),
            json!(null),
        ),
        (
            "token-bound-cidrs",
            json!({ "token_bound_cidrs": "127.0.0.1/8" }),
            json!({ "token_bound_cidrs": ["127.0.0.1/8"] }),
            json!([]),
        ),
        (
            "secret-id-num-uses",
            json!({ "secret_id_num_uses": 7 }),
            json!({ "secret_id_num_uses": 7 }),
            json!(0),
        ),
        (
            "secret-id-ttl",
            json!({ "secret_id_ttl": "5m" }),
            json!({ "secret_id_ttl": 300 }),
            json!(0),
        ),
        (
            "token-num-uses",
            json!({ "token_num_uses": "2" }),
            json!({ "token_num_uses": 2 }),
            json!(0),
        ),
        ("token-ttl", json!({ "token_ttl": "1h" }), json!({ "token_ttl": 3600 }), json!(0)),
        (
            "token-max-ttl",
            json!({ "token_max_ttl": "2h" }),
            json!({ "token_max_ttl": 7200 }),
            json!(0),
        ),
    ] {
        let at = format!("auth/approle/role/app/{path}");
        let _ = server.post(&at, json!({ "other": 1 })).await.expect(400);
        let _ = server.post(&at, written).await.expect(204);
        assert_eq!(server.get(&at).await.expect(200).data(), &shown, "{path}");
        let _ = server.delete(&at).await.expect(204);
        let (name, _) = shown.as_object().unwrap().iter().next().unwrap();
        assert_eq!(server.get(&at).await.expect(200).data()[name], reset, "{path}");
        let elsewhere = format!("auth/approle/role/nope/{path}");
        let _ = server.get(&elsewhere).await.expect(404);
        let _ = server.delete(&elsewhere).await.expect(404);
    }
}

#[tokio::test]
async fn fields_with_an_older_name_and_fields_that_cannot_change_are_told_apart() {
    let server = Server::dev();
    with_role(&server, json!({})).await;
    let at = "auth/approle/role/app/period";
    let _ = server.post(at, json!({ "period": "1h" })).await.expect(204);
    let shown = json!({ "period": 3600, "token_period": 3600 });
    assert_eq!(server.get(at).await.expect(200).data(), &shown);
    let at = "auth/approle/role/app/bind-secret-id";
    let refused = server.post(at, json!({ "bind_secret_id": false })).await.expect(400);
    assert_eq!(refused.errors(), "at least one constraint should be enabled on the role");
    let _ = server.delete(at).await.expect(204);
    let at = "auth/approle/role/app/local-secret-ids";
    assert_eq!(server.get(at).await.expect(200).data(), &json!({ "local_secret_ids": false }));
    let local = json!({ "local_secret_ids": true });
    let _ = server.post("auth/approle/role/app", local).await.expect(400);
}

#[tokio::test]
async fn what_is_wrong_with_a_role_or_a_secret_id_is_told_and_changes_nothing() {
    let server = Server::dev();
    let role = json!({ "secret_id_num_uses": 2, "secret_id_ttl": "1h", "token_policies": "a" });
    let role_id = with_role(&server, role).await;
    let before = server.get("auth/approle/role/app").await;
    for (path, body, error) in [
        ("role/app", json!({ "token_policies": " ROOT" }), "`root` is given"),
        (
            "role/app",
            json!({ "secret_id_num_uses": -1 }),
            "'secret_id_num_uses' cannot be negative",
        ),
        ("role/app", json!({ "secret_id_ttl": "x" }), "field \"secret_id_ttl\""),
        ("role/app", json!({ "secret_id_bound_cidrs": "10.0.0.0/99" }), "bound CIDR"),
        ("role/app", json!({ "token_type": "x" }), "invalid 'token_type' value"),
        ("role/app", json!({ "token_type": "batch", "token_num_uses": 1 }), "limited use count"),
        ("role/app/secret-id", json!({ "num_uses": 3 }), "num_uses cannot be higher"),
        ("role/app/secret-id", json!({ "ttl": "2h" }), "ttl cannot be longer"),
        ("role/app/secret-id", json!({ "metadata": "{canary" }), "JSON string in `metadata`"),
        ("role/app/secret-id", json!({ "metadata": { "a": [1] } }), "field \"metadata\""),
        (
            "role/app/secret-id",
            json!({ "metadata": { "k": "x".repeat(513) } }),
            "keys of metadata have 1 to 128 bytes, values at most 512",
        ),
        ("role/app/custom-secret-id", json!({}), "missing secret_id"),
        ("role/app/secret-id/lookup", json!({}), "missing secret_id"),
        ("role/app/secret-id-accessor/destroy", json!({}), "missing secret_id_accessor"),
        ("role/app/role-id", json!({}), "missing role_id"),
    ] {
        let refused = server.post(&format!("auth/approle/{path}"), body.clone()).await.expect(400);
        assert!(refused.errors().contains(error), "{path} {body}: {}", refused.text);
        assert!(!refused.text.contains("canary"), "{}", refused.text);
    }
    let after = server.get("auth/approle/role/app").await;
    assert_eq!(before.data(), after.data());
    let _ = server.list("auth/approle/role/app/secret-id").await.expect(404);

    let wanted = json!({ "metadata": "{\"k\":\"v\"}", "num_uses": 1, "cidr_list": "127.0.0.0/8" });
    let made = server.post("auth/approle/role/app/secret-id", wanted).await.expect(200);
    let (text, accessor) = (made.at("/data/secret_id"), made.at("/data/secret_id_accessor"));
    let listed = server.list("auth/approle/role/app/secret-id").await.expect(200);
    assert_eq!(listed.data()["keys"], json!([accessor]));
    let named = json!({ "secret_id_accessor": accessor });
    let at = "auth/approle/role/app/secret-id-accessor/lookup";
    let seen = server.post(at, named).await.expect(200);
    assert_eq!(seen.data()["metadata"], json!({ "k": "v" }));
    assert!(!seen.text.contains(text));
    let let_in = log_in(&server, &role_id, text).await.expect(200);
    assert_eq!(let_in.body["auth"]["metadata"], json!({ "k": "v", "role_name": "app" }));
    assert_eq!(let_in.body["auth"]["orphan"], true);
    let _ = log_in(&server, &role_id, text).await.expect(400);
    let unknown = json!({ "secret_id": text });
    let _ = server.post("auth/approle/role/app/secret-id/lookup", unknown).await.expect(204);
}

#[tokio::test]
async fn a_role_of_batch_tokens_gives_tokens_that_nobody_can_renew_or_revoke() {
    let server = Server::dev();
    let role_id = with_role(&server, json!({ "token_type": "batch", "token_ttl": "1h" })).await;
    let role = server.get("auth/approle/role/app").await.expect(200);
    assert_eq!(role.data()["token_type"], "batch");
    let made = server.post("auth/approle/role/app/secret-id", json!({})).await.expect(200);
    let login = json!({ "role_id": role_id, "secret_id": made.at("/data/secret_id") });
    let told = server.ask("", "POST", "auth/approle/login", login).await.expect(200);
    let auth = &told.body["auth"];
    assert_eq!((&auth["token_type"], &auth["renewable"]), (&json!("batch"), &json!(false)));
    assert_eq!((&auth["accessor"], &auth["lease_duration"]), (&json!(""), &json!(3600)));
    assert_eq!(auth["metadata"]["role_name"], "app");
    let entity = format!("identity/entity/id/{}", told.at("/auth/entity_id"));
    let alias = server.get(&entity).await.expect(200).data()["aliases"][0].clone();
    let kept = (&alias["metadata"], &alias["custom_metadata"]);
    assert_eq!(kept, (&json!({ "role_name": "app" }), &Value::Null));
    let token = told.at("/auth/client_token");
    let own = server.ask(token, "GET", "auth/token/lookup-self", Value::Null).await.expect(200);
    assert_eq!((&own.data()["type"], &own.data()["orphan"]), (&json!("batch"), &json!(true)));
    for verb in ["renew-self", "revoke-self"] {
        let refused = server.ask(token, "POST", &format!("auth/token/{verb}"), json!({})).await;
        let refused = refused.expect(400);
        assert!(refused.errors().contains("batch tokens cannot be"), "{}", refused.text);
    }
    let _ = server.delete("sys/auth/approle").await.expect(204);
    let _ = server.ask(token, "GET", "auth/token/lookup-self", Value::Null).await.expect(403);
}
