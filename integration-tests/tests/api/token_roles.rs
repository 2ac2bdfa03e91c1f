//! Token roles: what is written of them, and what tokens they make.

use leasehold_integration_tests::server::{Answer, Server};
use serde_json::{Value, json};

async fn write(server: &Server, role: Value) {
    let _ = server.post("auth/token/roles/app", role).await.expect(204);
}

async fn made(server: &Server, wanted: Value) -> Answer {
    server.post("auth/token/create/app", wanted).await
}

#[tokio::test]
async fn a_role_is_written_field_by_field_shown_listed_and_deleted() {
    let server = Server::dev();
    let _ = server.list("auth/token/roles").await.expect(404);
    let _ = server.get("auth/token/roles/app").await.expect(404);
    write(&server, json!({ "allowed_policies": "A, b,a", "period": "1h", "orphan": true })).await;
    write(&server, json!({ "path_suffix": "here/", "token_num_uses": 3, "renewable": "false" }))
        .await;
    let none: [&str; 0] = [];
    let shown = server.get("auth/token/roles/app").await.expect(200);
    let expected = json!({
        "allowed_entity_aliases": none, "allowed_policies": ["a", "b"],
        "allowed_policies_glob": none, "disallowed_policies": none,
        "disallowed_policies_glob": none, "explicit_max_ttl": 0, "name": "app", "orphan": true,
        "path_suffix": "here", "period": 3600, "renewable": false, "token_explicit_max_ttl": 0,
        "token_no_default_policy": false, "token_num_uses": 3, "token_period": 3600,
        "token_type": "default-service",
    });
    assert_eq!(shown.data(), &expected);
    let ignored = server.post("auth/token/roles/app", json!({ "nope": 1 })).await.expect(200);
    assert!(ignored.body["warnings"][0].as_str().unwrap().contains("[nope]"));
    assert_eq!(server.list("auth/token/roles").await.expect(200).data()["keys"], json!(["app"]));
    let _ = server.delete("auth/token/roles/app").await.expect(204);
    let _ = server.get("auth/token/roles/app").await.expect(404);
    let gone = made(&server, json!({})).await.expect(400);
    assert_eq!(gone.errors(), "unknown role app");
}

#[tokio::test]
async fn a_token_is_what_its_role_makes_of_it() {
    let server = Server::dev();
    write(
        &server,
        json!({ "allowed_policies": ["app", "ops"], "allowed_policies_glob": ["team-*"],
            "disallowed_policies_glob": ["*-admin"], "orphan": true, "renewable": false,
            "path_suffix": "x", "token_num_uses": 5, "token_explicit_max_ttl": "2h" }),
    )
    .await;
    let token = made(&server, json!({ "explicit_max_ttl": "9h", "num_uses": 9 })).await.expect(200);
    let auth = &token.body["auth"];
    assert_eq!(auth["policies"], json!(["app", "default", "ops"]));
    assert_eq!((&auth["orphan"], &auth["renewable"]), (&json!(true), &json!(false)));
    assert_eq!((&auth["num_uses"], &auth["lease_duration"]), (&json!(5), &json!(7200)));
    let text = json!({ "token": token.at("/auth/client_token") });
    let seen = server.post("auth/token/lookup", text).await.expect(200);
    assert_eq!(seen.at("/data/path"), "auth/token/create/app/x");
    let few = made(&server, json!({ "policies": "team-a", "num_uses": 2 })).await.expect(200);
    assert_eq!(few.body["auth"]["policies"], json!(["default", "team-a"]));
    assert_eq!(few.body["auth"]["num_uses"], 2);
    for (policies, error) in [
        (
            json!(["other"]),
            r#"token policies (["other"]) must be subset of the role's allowed policies (["app" "ops"]) or glob policies (["team-*"])"#,
        ),
        (json!(["team-admin"]), r#"token policy "team-admin" is disallowed by this role"#),
    ] {
        let refused = made(&server, json!({ "policies": policies })).await.expect(400);
        assert_eq!(refused.errors(), error);
    }
    write(&server, json!({ "disallowed_policies": "default" })).await;
    let without = made(&server, json!({})).await.expect(200);
    assert_eq!(without.body["auth"]["policies"], json!(["app", "ops"]));
    let alias = made(&server, json!({ "entity_alias": "x" })).await.expect(400);
    assert_eq!(alias.errors(), "invalid 'entity_alias' value");
}

#[tokio::test]
async fn a_renewal_goes_by_what_the_role_says_then_and_by_none_that_is_gone() {
    let server = Server::dev();
    let allowed_policies = ["default"];
    write(&server, json!({ "period": "1h", "allowed_policies": allowed_policies })).await;
    let one = made(&server, json!({})).await.expect(200);
    let token = one.at("/auth/client_token");
    let renew = async || server.ask(token, "POST", "auth/token/renew-self", json!({})).await;
    assert_eq!(renew().await.expect(200).body["auth"]["lease_duration"], 3600);
    write(&server, json!({ "period": "10m" })).await;
    assert_eq!(renew().await.expect(200).body["auth"]["lease_duration"], 600);
    let _ = server.delete("auth/token/roles/app").await.expect(204);
    let refused = renew().await.expect(400);
    assert_eq!(refused.errors(), "original token role \"app\" could not be found, not renewing");
    // It is good until its term ends, and another role of this name is asked like the first.
    let _ = server.ask(token, "GET", "auth/token/lookup-self", Value::Null).await.expect(200);
    write(&server, json!({ "period": "20m", "explicit_max_ttl": "5m" })).await;
    let left = renew().await.expect(200).body["auth"]["lease_duration"].as_u64().unwrap();
    assert!((200..=300).contains(&left), "{left}");
}

#[tokio::test]
async fn no_role_gives_root_whoever_asks_and_however_it_is_written() {
    let server = Server::dev();
    let refused = json!({ "allowed_policies": ["a", "Root "] });
    let refused = server.post("auth/token/roles/app", refused).await.expect(400);
    assert!(refused.errors().contains("no token role gives the policy `root`"), "{}", refused.text);
    for role in [
        json!({ "orphan": false }),
        json!({ "allowed_policies_glob": "*" }),
        json!({ "allowed_policies_glob": "", "disallowed_policies": "x" }),
    ] {
        write(&server, role.clone()).await;
        for wanted in [json!({ "policies": "root" }), json!({ "policies": ["x-y", "ROOT"] })] {
            let refused = made(&server, wanted.clone()).await.expect(400);
            assert!(refused.errors().contains("`root`"), "{role} {wanted} {}", refused.text);
        }
    }
    // The maker's own policies are `root` here, and are not handed on either.
    let own = made(&server, json!({})).await.expect(400);
    assert!(own.errors().contains("`root`"), "{}", own.text);
}

#[tokio::test]
async fn a_role_says_how_its_tokens_are_kept() {
    let server = Server::dev();
    for (role, asked, kind) in [
        ("default-service", json!({}), "service"),
        ("default-service", json!({ "type": "batch" }), "batch"),
        ("default-batch", json!({}), "batch"),
        ("default-batch", json!({ "type": "service" }), "service"),
        ("batch", json!({ "type": "service" }), "batch"),
        ("service", json!({ "type": "batch" }), "service"),
    ] {
        write(&server, json!({ "allowed_policies": "a", "token_type": role })).await;
        let token = made(&server, asked.clone()).await.expect(200);
        assert_eq!(token.at("/auth/token_type"), kind, "{role} {asked}");
    }
    for (role, error) in [
        (json!({ "token_type": "batch", "token_period": "1h" }), "generate periodic tokens"),
        (json!({ "token_type": "batch", "token_num_uses": 1 }), "with limited use count"),
        (json!({ "token_type": "nope" }), "invalid 'token_type' value"),
        (json!({ "token_num_uses": -1 }), "'token_num_uses' cannot be negative"),
        (json!({ "path_suffix": "a/../b" }), "path suffix contains invalid characters"),
        (json!({ "period": "x" }), "time: invalid duration"),
    ] {
        let refused = server.post("auth/token/roles/app", role.clone()).await.expect(400);
        assert!(refused.errors().contains(error), "{role} {}", refused.text);
    }
}

#[tokio::test]
async fn a_token_is_somebodys_whom_its_role_allows() {
    let server = Server::dev();
    write(&server, json!({ "allowed_policies": "default", "allowed_entity_aliases": "Ann, ci-*" }))
        .await;
    let shown = server.get("auth/token/roles/app").await.expect(200);
    assert_eq!(shown.data()["allowed_entity_aliases"], json!(["ann", "ci-*"]));
    // Who is named for the first time is a new entity; however they are written, they are the same after.
    let ann = made(&server, json!({ "entity_alias": "ANN " })).await.expect(200);
    let entity = ann.at("/auth/entity_id").to_owned();
    let again = made(&server, json!({ "entity_alias": "ann", "type": "batch" })).await.expect(200);
    let other = made(&server, json!({ "entity_alias": "ci-1", "type": "batch" })).await.expect(200);
    assert_eq!((entity.len(), again.at("/auth/entity_id")), (26, entity.as_str()));
    assert_ne!(other.at("/auth/entity_id"), entity);
    let token = ann.at("/auth/client_token");
    let own = server.ask(token, "GET", "auth/token/lookup-self", Value::Null).await.expect(200);
    assert_eq!(own.data()["entity_id"], json!(entity));
    let known = server.get(&format!("identity/entity/id/{entity}")).await.expect(200);
    let alias = &known.data()["aliases"][0];
    let accessor = server.get("sys/auth").await.expect(200).data()["token/"]["accessor"].clone();
    assert_eq!(
        json!([alias["name"], alias["mount_accessor"], alias["mount_path"], alias["mount_type"]]),
        json!(["ann", accessor, "auth/token/", "token"])
    );
    // An operator may know somebody before, and what the entity may, the token may.
    let policy = json!({ "policy": "path \"sys/mounts\" { capabilities = [\"read\"] }" });
    let _ = server.post("sys/policies/acl/see", policy).await.expect(204);
    let bob = server.post("identity/entity", json!({ "name": "bob", "policies": "see" })).await;
    let bob = bob.expect(200).at("/data/id").to_owned();
    let alias = json!({ "name": "CI-bob", "canonical_id": bob, "mount_accessor": accessor });
    let _ = server.post("identity/entity-alias", alias).await.expect(200);
    let token = made(&server, json!({ "entity_alias": "ci-bob" })).await.expect(200);
    assert_eq!(token.at("/auth/entity_id"), bob);
    let text = token.at("/auth/client_token");
    let _ = server.ask(text, "GET", "sys/mounts", Value::Null).await.expect(200);
    // Whoever is disabled has no tokens, of before or new ones.
    let _ = server.post(&format!("identity/entity/id/{bob}"), json!({ "disabled": true })).await;
    let _ = server.ask(text, "GET", "sys/mounts", Value::Null).await.expect(403);
    let refused = made(&server, json!({ "entity_alias": "ci-bob" })).await.expect(400);
    assert_eq!(refused.errors(), "the entity of 'entity_alias' is disabled");
}

#[tokio::test]
async fn nobody_becomes_somebody_whom_no_role_allows() {
    let server = Server::dev();
    write(&server, json!({ "allowed_policies": "default", "allowed_entity_aliases": "ann" })).await;
    for alias in ["bob", "ann2", "*", "annn"] {
        let refused = made(&server, json!({ "entity_alias": alias })).await.expect(400);
        assert_eq!(refused.errors(), "invalid 'entity_alias' value", "{alias}");
    }
    let only = "'entity_alias' is only allowed in combination with token role";
    let refused = server.post("auth/token/create", json!({ "entity_alias": "ann" })).await;
    assert_eq!(refused.expect(400).errors(), only);
    let _ = made(&server, json!({ "entity_alias": "a".repeat(600) })).await.expect(400);
    // Nothing was made of any of them.
    let _ = server.list("identity/entity/id").await.expect(404);
    write(&server, json!({ "allowed_entity_aliases": [] })).await;
    let _ = made(&server, json!({ "entity_alias": "ann" })).await.expect(400);
}

#[tokio::test]
async fn a_token_of_a_role_is_good_only_from_where_the_role_says() {
    let server = Server::dev();
    let bad = json!({ "token_bound_cidrs": "10.0.0.0/33" });
    let refused = server.post("auth/token/roles/app", bad).await.expect(400);
    assert!(refused.errors().contains("10.0.0.0/33"), "{}", refused.text);
    for (networks, status) in [("127.0.0.0/8,::1", 200), ("198.51.100.0/24", 403)] {
        for kind in ["service", "batch"] {
            let role = json!({ "token_bound_cidrs": networks, "token_type": kind });
            write(&server, role).await;
            let shown = server.get("auth/token/roles/app").await.expect(200);
            let shown = shown.data()["token_bound_cidrs"].as_array().unwrap().len();
            assert_eq!(shown, networks.split(',').count());
            let token = made(&server, json!({ "policies": "default" })).await.expect(200);
            let text = token.at("/auth/client_token");
            let used = server.ask(text, "GET", "auth/token/lookup-self", Value::Null).await;
            assert_eq!(used.status, status, "{kind} from {networks}: {}", used.text);
        }
    }
}
