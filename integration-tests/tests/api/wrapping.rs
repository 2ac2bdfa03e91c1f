//! Answers that are wrapped, and what tokens keep for themselves, over HTTP.

use leasehold_integration_tests::server::{Answer, ROOT, Server};
use serde_json::{Value, json};

async fn wrapped(server: &Server, method: &str, path: &str, ttl: &str, body: &Value) -> Answer {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    server.send(ROOT, method, path, &[("X-Vault-Wrap-TTL", ttl)], body).await
}

async fn unwrap(server: &Server, token: &str) -> Answer {
    server.ask(token, "PUT", "sys/wrapping/unwrap", Value::Null).await
}

async fn is_good(server: &Server, token: &str) -> bool {
    server.ask(token, "GET", "auth/token/lookup-self", Value::Null).await.status == 200
}

#[tokio::test]
async fn a_wrapped_answer_says_nothing_of_itself_and_is_opened_once() {
    let server = Server::dev();
    let told = wrapped(&server, "POST", "auth/token/create", "5m", &json!({ "ttl": "1h" })).await;
    let told = told.expect(200);
    let info = &told.body["wrap_info"];
    let expected = json!({ "request_id": "", "lease_id": "", "renewable": false, "lease_duration": 0,
        "data": null, "wrap_info": info, "warnings": null, "auth": null });
    assert_eq!(told.body, expected);
    assert_eq!((&info["ttl"], &info["creation_path"]), (&json!(300), &json!("auth/token/create")));

    let token = told.at("/wrap_info/token");
    let seen = server.ask("", "POST", "sys/wrapping/lookup", json!({ "token": token })).await;
    assert_eq!(
        seen.expect(200).data(),
        &json!({ "creation_path": "auth/token/create",
        "creation_ttl": 300, "creation_time": info["creation_time"] })
    );

    let opened = unwrap(&server, token).await.expect(200);
    assert_eq!(opened.body["auth"]["accessor"], info["wrapped_accessor"]);
    assert!(opened.body["wrap_info"].is_null() && !opened.at("/request_id").is_empty());
    assert!(is_good(&server, opened.at("/auth/client_token")).await);
    let again = unwrap(&server, token).await.expect(400);
    assert_eq!(again.errors(), "wrapping token is not valid or does not exist");
}

#[tokio::test]
async fn anything_can_be_wrapped_and_wrapped_again_and_taken_out_for_another() {
    let server = Server::dev();
    let content = json!({ "a": "b", "n": [1, { "c": null }] });
    let told = wrapped(&server, "POST", "sys/wrapping/wrap", "60", &content).await.expect(200);
    let first = json!({ "token": told.at("/wrap_info/token") });
    let again = server.post("sys/wrapping/rewrap", first.clone()).await.expect(200);
    assert_eq!(again.body["wrap_info"]["ttl"], 60);
    assert_eq!(again.at("/wrap_info/creation_path"), "sys/wrapping/wrap");
    let _ = server.post("sys/wrapping/unwrap", first).await.expect(400);
    let second = json!({ "token": again.at("/wrap_info/token") });
    let opened = server.post("sys/wrapping/unwrap", second.clone()).await.expect(200);
    assert_eq!(opened.data(), &content);
    let _ = server.post("sys/wrapping/lookup", second).await.expect(400);

    // What lies open is wrapped as well; what has no body, or is no JSON, is told as ever.
    let listed = wrapped(&server, "LIST", "auth/token/accessors", "60", &Value::Null).await;
    assert!(listed.expect(200).body["wrap_info"].is_object());
    let orphan = server.post("auth/token/create", json!({ "id": "mine" })).await.expect(200);
    let text = json!({ "token": orphan.at("/auth/client_token") });
    let _ = wrapped(&server, "POST", "auth/token/revoke", "60", &text).await.expect(204);
    let page = wrapped(&server, "GET", "sys/metrics?format=prometheus", "60", &Value::Null).await;
    assert!(page.expect(200).text.contains("leasehold_"));
}

#[tokio::test]
async fn a_wish_for_wrapping_that_cannot_be_is_refused_and_does_nothing() {
    let server = Server::dev();
    for (headers, error) in [
        (&[("X-Vault-Wrap-TTL", "x")][..], "error parsing X-Vault-Wrap-TTL header: time: invalid"),
        (&[("X-Vault-Wrap-TTL", "-5")], "X-Vault-Wrap-TTL header: requested wrap ttl cannot be"),
        (&[("X-Vault-Wrap-TTL", "900000h")], "a wrap ttl may be at most 876000h"),
        (&[("X-Vault-Wrap-Format", "jwt")], "leave `X-Vault-Wrap-Format` out"),
        (&[("X-Vault-Wrap-TTL", "60"), ("Idempotency-Key", "k")], "do not go together"),
    ] {
        let answer = server.send(ROOT, "POST", "auth/token/create", headers, Vec::new()).await;
        assert!(answer.errors().contains(error), "{}", answer.text);
        assert_eq!(answer.status, 400);
    }
    for none in ["", "0", "0s"] {
        let told = wrapped(&server, "GET", "auth/token/lookup-self", none, &Value::Null).await;
        assert_eq!(told.expect(200).at("/data/id"), ROOT);
    }
    let unwrapped = server.post("sys/wrapping/wrap", json!({ "a": 1 })).await.expect(400);
    assert_eq!(unwrapped.errors(), "endpoint requires response wrapping to be used");
    for token in ["", "nope"] {
        for path in ["unwrap", "rewrap", "lookup"] {
            let path = format!("sys/wrapping/{path}");
            let answer = server.ask(token, "POST", &path, Value::Null).await;
            assert_eq!(answer.status, if token.is_empty() { 403 } else { 400 }, "{}", answer.text);
        }
    }
    let odd = server.post("sys/wrapping/unwrap", json!({ "token": { "a": 1 } })).await;
    assert_eq!(odd.expect(400).errors(), "wrapping token is not valid or does not exist");
    let left = server.list("auth/token/accessors").await.expect(200);
    assert_eq!(left.data()["keys"].as_array().unwrap().len(), 1, "{}", left.text);
}

#[tokio::test]
async fn of_64_clients_one_unwraps() {
    let server = Server::dev();
    let content = json!({ "a": "b" });
    let told = wrapped(&server, "POST", "sys/wrapping/wrap", "60", &content).await.expect(200);
    let tries = (0..64).map(|_| unwrap(&server, told.at("/wrap_info/token")));
    let answers = futures_util::future::join_all(tries).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!((statuses[0], statuses[1], statuses[63]), (200, 400, 400));
}

#[tokio::test]
async fn a_wrapping_that_is_revoked_unopened_takes_what_it_wraps_with_it() {
    let server = Server::dev();
    let wanted = json!({ "id": "inside", "ttl": "1h" });
    let told = wrapped(&server, "POST", "auth/token/create", "5m", &wanted).await.expect(200);
    assert!(is_good(&server, "inside").await);
    assert!(!is_good(&server, told.at("/wrap_info/token")).await, "it is good for nothing else");
    let accessor = json!({ "accessor": told.at("/wrap_info/accessor") });
    let _ = server.post("auth/token/revoke-accessor", accessor).await.expect(204);
    assert!(!is_good(&server, "inside").await);
    let _ = unwrap(&server, told.at("/wrap_info/token")).await.expect(400);
}

#[tokio::test]
async fn a_cubbyhole_is_written_read_listed_and_deleted_by_its_own_token() {
    let server = Server::dev();
    let content = json!({ "a": "b", "n": { "c": [1, 2] } });
    for path in ["cubbyhole/one", "cubbyhole/in/two", "cubbyhole/in/deep/three"] {
        let _ = server.post(path, content.clone()).await.expect(204);
    }
    assert_eq!(server.get("cubbyhole/in/two").await.expect(200).data(), &content);
    for (path, keys) in [
        ("cubbyhole", json!(["in/", "one"])),
        ("cubbyhole/", json!(["in/", "one"])),
        ("cubbyhole/in", json!(["deep/", "two"])),
        ("cubbyhole/in/", json!(["deep/", "two"])),
    ] {
        assert_eq!(server.list(path).await.expect(200).data()["keys"], keys, "{path}");
    }
    let other = server.post("auth/token/create", json!({ "ttl": "1h" })).await.expect(200);
    let other = other.at("/auth/client_token");
    let theirs = server.ask(other, "GET", "cubbyhole/one", Value::Null).await.expect(404);
    assert_eq!(theirs.body, json!({ "errors": [] }));
    let _ = server.ask(other, "LIST", "cubbyhole", Value::Null).await.expect(404);

    let _ = server.delete("cubbyhole/one").await.expect(204);
    let _ = server.delete("cubbyhole/one").await.expect(204);
    let _ = server.get("cubbyhole/one").await.expect(404);
    let bad = server.post("cubbyhole/x", Value::Null).await.expect(400);
    assert_eq!(bad.errors(), "missing data fields");
    let folder = server.post("cubbyhole/x/", content).await.expect(400);
    assert_eq!(folder.errors(), "cannot write to a path ending in '/'");
    let large = server.post("cubbyhole/x", json!({ "x": "y".repeat(2 << 20) })).await.expect(400);
    assert!(large.errors().contains("at most 1048576 bytes"), "{}", large.text);
}

#[tokio::test]
async fn a_wrapped_secret_id_is_good_only_for_whoever_takes_it_out() {
    let server = Server::dev();
    let _ = server.post("sys/auth/approle", json!({ "type": "approle" })).await.expect(204);
    let _ = server.post("auth/approle/role/app", json!({ "role_id": "app" })).await.expect(204);
    for taken_out in [true, false] {
        let path = "auth/approle/role/app/secret-id";
        let told = wrapped(&server, "POST", path, "5m", &Value::Null).await.expect(200);
        if taken_out {
            let opened = unwrap(&server, told.at("/wrap_info/token")).await.expect(200);
            let login = json!({ "role_id": "app", "secret_id": opened.at("/data/secret_id") });
            let _ = server.post("auth/approle/login", login).await.expect(200);
        } else {
            let accessor = json!({ "accessor": told.at("/wrap_info/accessor") });
            let _ = server.post("auth/token/revoke-accessor", accessor).await.expect(204);
        }
        let left = server.list("auth/approle/role/app/secret-id").await.expect(200);
        assert_eq!(left.data()["keys"].as_array().unwrap().len(), 1, "{}", left.text);
    }
}

#[tokio::test]
async fn a_policy_says_for_how_long_answers_must_be_wrapped() {
    let server = Server::dev();
    let policy = r#"path "cubbyhole/a" { capabilities = ["create", "update"] }
        path "cubbyhole/+" { capabilities = ["create", "update"] min_wrapping_ttl = "1s" }
        path "sys/wrapping/wrap" { capabilities = ["update"] min_wrapping_ttl = "10s" max_wrapping_ttl = "1m" }"#;
    let policy = json!({ "policy": policy });
    let _ = server.post("sys/policies/acl/wraps", policy).await.expect(204);
    let wanted = json!({ "policies": ["wraps"], "no_default_policy": true, "ttl": "1h" });
    let made = server.post("auth/token/create", wanted).await.expect(200);
    let token = made.at("/auth/client_token");
    let send = async |path: &str, ttl: &str| {
        let headers: &[_] = if ttl.is_empty() { &[] } else { &[("X-Vault-Wrap-TTL", ttl)] };
        let body = json!({ "a": "b" }).to_string().into_bytes();
        server.send(token, "POST", path, headers, body).await
    };
    for (ttl, status) in [("", 403), ("9", 403), ("10s", 200), ("60", 200), ("61s", 403)] {
        let told = send("sys/wrapping/wrap", ttl).await;
        assert_eq!(told.status, status, "{ttl:?}: {}", told.text);
        assert_eq!(told.text.contains("wrap_info\":{"), status == 200, "{}", told.text);
    }
    for (path, ttl, status) in
        [("cubbyhole/a", "", 204), ("cubbyhole/b", "", 403), ("cubbyhole/b", "1s", 204)]
    {
        let told = send(path, ttl).await;
        assert_eq!(told.status, status, "{path} {ttl:?}: {}", told.text);
    }
}
