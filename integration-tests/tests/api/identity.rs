//! Entities, aliases and groups over HTTP.

use leasehold_integration_tests::server::{ROOT, Server};
use serde_json::{Value, json};

/// A server with the user `ann` of `userpass`; returns the accessor of that mount too.
async fn with_ann() -> (Server, String) {
    let server = Server::dev();
    let _ = server.post("sys/auth/userpass", json!({ "type": "userpass" })).await.expect(204);
    let _ = server.post("auth/userpass/users/ann", json!({ "password": "x" })).await.expect(204);
    let accessor = server.get("sys/auth").await.at("/data/userpass~1/accessor").to_owned();
    (server, accessor)
}

async fn log_in(server: &Server) -> (String, String) {
    let login = server.ask("", "POST", "auth/userpass/login/ann", json!({ "password": "x" })).await;
    let login = login.expect(200);
    (login.at("/auth/client_token").to_owned(), login.at("/auth/entity_id").to_owned())
}

#[tokio::test]
async fn whoever_logs_in_is_an_entity_that_can_be_named_disabled_and_found() {
    let (server, accessor) = with_ann().await;
    let (token, id) = log_in(&server).await;
    let own = server.ask(&token, "GET", "auth/token/lookup-self", Value::Null).await.expect(200);
    assert_eq!(own.at("/data/entity_id"), id);
    let wanted = json!({ "name": "Ann B.", "metadata": { "team": "shop" }, "policies": "b,A " });
    let _ = server.post(&format!("identity/entity/id/{id}"), wanted).await.expect(204);
    let seen = server.get("identity/entity/name/ann%20b.").await.expect(200);
    assert_eq!((seen.at("/data/id"), seen.at("/data/name")), (id.as_str(), "Ann B."));
    assert_eq!(seen.data()["policies"], json!(["b", "a"]));
    assert_eq!(seen.at("/data/aliases/0/name"), "ann");
    assert_eq!(seen.at("/data/aliases/0/mount_path"), "auth/userpass/");
    let looked_for = json!({ "alias_name": "ANN", "alias_mount_accessor": accessor });
    let found = server.post("identity/lookup/entity", looked_for).await.expect(200);
    assert_eq!(found.at("/data/id"), id);
    let accessor = own.at("/data/accessor");
    let whois = server.post("sys/whois", json!({ "name": accessor })).await.expect(200);
    assert_eq!(whois.data()["token"]["entity"], json!({ "id": id, "name": "Ann B." }));

    let disabled = json!({ "disabled": true });
    let _ = server.post(&format!("identity/entity/id/{id}"), disabled).await.expect(204);
    let own = server.ask(&token, "GET", "auth/token/lookup-self", Value::Null).await.expect(403);
    assert_eq!(own.errors(), "permission denied");
    let password = json!({ "password": "x" });
    let login = server.ask("", "POST", "auth/userpass/login/ann", password).await.expect(403);
    assert_eq!(login.errors(), "permission denied");
}

#[tokio::test]
async fn lists_are_told_in_parts() {
    let server = Server::dev();
    for name in ["bob", "Ann", "carl"] {
        let _ = server.post("identity/entity", json!({ "name": name })).await.expect(200);
        let _ = server.post("identity/group", json!({ "name": name })).await.expect(200);
    }
    for kind in ["entity", "group"] {
        let all = server.get(&format!("identity/{kind}/name?list=true")).await.expect(200);
        assert_eq!(all.data()["keys"], json!(["Ann", "bob", "carl"]));
        let path = format!("identity/{kind}/name?list=true&after=ann&limit=1");
        assert_eq!(server.get(&path).await.expect(200).data()["keys"], json!(["bob"]));
        let all = server.get(&format!("identity/{kind}/id?list=true")).await.expect(200);
        let keys = all.data()["keys"].as_array().unwrap().clone();
        let second = keys[1].as_str().unwrap();
        let path = format!("identity/{kind}/id?list=true&after={second}");
        assert_eq!(server.get(&path).await.expect(200).data()["keys"], json!([keys[2]]));
        let path = format!("identity/{kind}/id?list=true&after=nope");
        let _ = server.get(&path).await.expect(400);
    }
    let _ = server.get("identity/entity-alias/id?list=true").await.expect(404);
}

#[tokio::test]
async fn a_rule_for_the_name_of_an_entity_holds_however_the_name_is_written() {
    let server = Server::dev();
    let _ = server.post("identity/entity", json!({ "name": "Ann" })).await.expect(200);
    let _ = server.post("identity/entity", json!({ "name": "bob" })).await.expect(200);
    let text = "path \"identity/entity/name/*\" { capabilities = [\"read\"] }
        path \"identity/entity/name/ann\" { capabilities = [\"deny\"] }";
    let _ = server.post("sys/policies/acl/reader", json!({ "policy": text })).await.expect(204);
    let made = server.post("auth/token/create", json!({ "policies": ["reader"] })).await;
    let made = made.expect(200);
    let token = made.at("/auth/client_token");
    let read = async |name: &str| {
        server.ask(token, "GET", &format!("identity/entity/name/{name}"), Value::Null).await.status
    };
    assert_eq!(read("bob").await, 200);
    for name in ["ann", "Ann", "ANN", "%41NN", "ann/"] {
        assert_ne!(read(name).await, 200, "{name}");
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_reason() {
    let (server, accessor) = with_ann().await;
    let group = server.post("identity/group", json!({ "name": "g" })).await.expect(200);
    let entity = server.post("identity/entity", json!({ "name": "e" })).await.expect(200);
    let (group, entity) = (group.at("/data/id"), entity.at("/data/id"));
    let long = "x".repeat(600);
    for (path, body, error) in [
        ("identity/entity", json!({ "name": long }), "the name must have 1 to 512 bytes"),
        ("identity/entity", json!({ "name": "a\u{200b}" }), "characters that nobody sees"),
        ("identity/entity", json!({ "name": "a", "policies": ["Root "] }), "cannot contain root"),
        ("identity/entity", json!({ "name": "a", "metadata": { "k": long } }), "metadata"),
        ("identity/entity", json!({ "name": "a", "disabled": "perhaps" }), "a truth value"),
        ("identity/entity", json!({ "id": group, "name": "a" }), "entity not found from id"),
        ("identity/entity/id/nope", json!({}), "entity not found from id"),
        ("identity/entity/batch-delete", json!({}), "missing entity ids to delete"),
        ("identity/entity/merge", json!({ "to_entity_id": entity }), "missing from_entity_ids"),
        (
            "identity/entity/merge",
            json!({ "to_entity_id": entity, "from_entity_ids": entity }),
            "to_entity_id should not be present in from_entity_ids",
        ),
        ("identity/entity-alias", json!({ "name": "x" }), "missing mount_accessor"),
        (
            "identity/entity-alias",
            json!({ "name": "x", "mount_accessor": "nope" }),
            "invalid mount accessor \"nope\"",
        ),
        (
            "identity/entity-alias",
            json!({ "name": "x", "mount_accessor": accessor, "canonical_id": group }),
            "invalid canonical ID",
        ),
        (
            "identity/group",
            json!({ "name": "h", "type": "odd" }),
            "group type \"odd\" is not valid",
        ),
        (
            "identity/group",
            json!({ "name": "g", "member_group_ids": [group] }),
            "a group cannot be in itself",
        ),
        ("identity/group", json!({ "name": "g", "policies": ["ROOT"] }), "cannot contain root"),
        (
            "identity/group-alias",
            json!({ "name": "x", "mount_accessor": accessor, "canonical_id": group }),
            "only an external group has an alias",
        ),
        ("identity/lookup/entity", json!({ "alias_name": "x" }), "go together"),
        ("identity/lookup/group", json!({ "name": "g", "id": group }), "by one parameter"),
    ] {
        let answer = server.post(path, body.clone()).await.expect(400);
        assert!(answer.errors().contains(error), "{path} {body}: {}", answer.errors());
    }
    let entities = server.get("identity/entity/name?list=true").await.expect(200);
    assert_eq!(entities.data()["keys"], json!(["e"]), "nothing was made");
    assert_eq!(server.get("identity/group/name/g").await.data()["policies"], json!([]));
    let refused = server.ask("", "GET", "identity/entity/name/e", Value::Null).await;
    let _ = refused.expect(403);
    let _ = server.ask(ROOT, "POST", "identity/entity/nope", json!({})).await.expect(404);
}
