//! What is refused, with which status, and that nothing came of it.

use leasehold_integration_tests::server::Server;
use serde_json::{Value, json};

#[tokio::test]
async fn who_comes_without_a_good_token_learns_nothing() {
    let server = Server::dev();
    for token in ["", "wrong", "hvs.wrong", "\u{e9}"] {
        for (method, path) in [
            ("GET", "nope/a"),
            ("POST", "nope/a"),
            ("LIST", "nope/a"),
            ("DELETE", "nope/a"),
            ("GET", "sys/mounts"),
            ("GET", "sys/unknown"),
            ("DELETE", "sys/mounts"),
            ("GET", "database/creds/app"),
            ("PUT", "sys/leases/lookup"),
            ("GET", "auth/token/lookup-self"),
        ] {
            let answer = server.ask(token, method, path, Value::Null).await.expect(403);
            assert_eq!(answer.body, json!({ "errors": ["permission denied"] }), "{token} {path}");
        }
    }
    let bearer = [("Authorization", "Bearer root")];
    let _ = server.send("", "GET", "sys/mounts", &bearer, Vec::new()).await.expect(200);
    for header in ["Basic root", "Bearer", "Bearer ", "root"] {
        let headers = [("Authorization", header)];
        let _ = server.send("", "GET", "sys/mounts", &headers, Vec::new()).await.expect(403);
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_as_vault_tells_it() {
    let server = Server::dev();
    let _ = server.post("sys/mounts/database", json!({ "type": "database" })).await.expect(204);
    let unsupported_path = "1 error occurred:\n\t* unsupported path\n\n";
    let unsupported_operation = "1 error occurred:\n\t* unsupported operation\n\n";
    for (method, path, status, error) in [
        ("GET", "nope/a", 404, "no handler for route \"nope/a\". route entry not found."),
        ("GET", "", 404, "no handler for route \"\". route entry not found."),
        ("GET", "sys/unknown", 404, unsupported_path),
        ("GET", "sys/mounts/", 404, unsupported_path),
        ("DELETE", "sys/mounts", 405, unsupported_operation),
        ("DELETE", "sys/mounts/database/tune", 405, unsupported_operation),
        ("GET", "database/nope", 404, unsupported_path),
        ("GET", "database/creds/a/b", 404, unsupported_path),
        ("LIST", "database/creds", 404, unsupported_path),
        ("POST", "database/creds/app", 405, unsupported_operation),
        ("GET", "database/creds/app", 400, "unknown role: app"),
        ("POST", "database/roles/", 400, "cannot write to a path ending in '/'"),
        ("GET", "database/roles/app", 404, ""),
        ("GET", "database/config/pg", 404, ""),
        ("LIST", "database/roles", 404, ""),
        ("LIST", "database/config/", 404, ""),
        ("GET", "database/roles?list=true", 404, ""),
        ("DELETE", "database/roles/app", 204, ""),
        ("DELETE", "database/config/pg", 204, ""),
        ("LIST", "sys/leases/lookup/database/creds/", 404, ""),
        ("PUT", "sys/leases/revoke-prefix/nope/", 404, "no mount or role has the prefix `nope`"),
        ("HEAD", "database/creds/app", 405, ""),
        ("PATCH", "sys/mounts/x", 405, ""),
    ] {
        let answer = server.ask("root", method, path, Value::Null).await.expect(status);
        assert!(answer.errors().starts_with(error), "{method} {path}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_changes_nothing() {
    let server = Server::dev();
    let deep = format!("{{\"type\":\"database\",\"x\":{}1{}}}", "[".repeat(80), "]".repeat(80));
    let many = format!("{{\"type\":\"database\",\"x\":[{}\"\"]}}", "\"\",".repeat(30_000));
    let big = format!("{{\"type\":\"database\",\"x\":\"{}\"}}", "x".repeat(33 << 20));
    let unreadable = "failed to decode JSON input: ";
    for (body, status, error) in [
        ("{not json", 400, unreadable),
        ("[]", 400, "failed to decode JSON input: json: cannot unmarshal array into Go value"),
        (
            "\"str\"",
            400,
            "failed to decode JSON input: json: cannot unmarshal string into Go value",
        ),
        ("{}garbage", 400, unreadable),
        ("\u{0}", 400, unreadable),
        ("", 400, "backend type must be specified as a string"),
        ("null", 400, "backend type must be specified as a string"),
        ("{\"type\":5}", 400, "plugin not found in the catalog: 5"),
        (
            "{\"type\":[]}",
            400,
            "Field validation failed: error converting input for field \"type\"",
        ),
        ("{\"type\":\"database\",\"type\":\"nope\"}", 400, "plugin not found in the catalog: nope"),
        ("{\"type\":\"database\",\"config\":\"x\"}", 400, "Field validation failed"),
        (
            "{\"type\":\"database\",\"config\":{\"default_lease_ttl\":\"bad\"}}",
            400,
            "unable to parse default TTL of bad: strconv.ParseInt: parsing \"ba\": invalid syntax",
        ),
        ("{\"type\":\"database\",\"local\":true}", 400, "`local` is not supported"),
        (deep.as_str(), 400, "the body nests deeper than 64"),
        (many.as_str(), 400, "the body holds more than 20000 strings"),
        (big.as_str(), 413, "the request body is larger than 32 MiB"),
    ] {
        let sent = server.send("root", "POST", "sys/mounts/x", &[], body.as_bytes().to_vec()).await;
        let answer = sent.expect(status);
        let shown = body.get(..60.min(body.len())).unwrap_or_default();
        assert!(answer.errors().starts_with(error), "{shown}: {}", answer.text);
    }
    let listed = server.get("sys/mounts").await.expect(200);
    assert_eq!(listed.data().as_object().unwrap().len(), 3);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let sent = server.send("root", "POST", "sys/mounts/x", &form, b"type=database".to_vec()).await;
    let _ = sent.expect(204);
}

#[tokio::test]
async fn a_mount_that_cannot_be_is_refused() {
    let server = Server::dev();
    let _ = server.post("sys/mounts/db", json!({ "type": "database" })).await.expect(204);
    for (path, body, error) in [
        ("db", json!({ "type": "database" }), "path is already in use at db/"),
        ("db/sub", json!({ "type": "database" }), "path is already in use at db/"),
        ("bad", json!({ "type": "kv" }), "plugin not found in the catalog: kv"),
        ("bad", json!({ "type": "nope" }), "plugin not found in the catalog: nope"),
        ("bad", json!({ "type": "cubbyhole" }), "mount type of \"cubbyhole\" is not mountable"),
        ("bad", json!({}), "backend type must be specified as a string"),
        ("sys", json!({ "type": "database" }), "cannot mount \"sys/\""),
        ("auth/x", json!({ "type": "database" }), "cannot mount \"auth/x/\""),
        (
            "bad",
            json!({ "type": "database", "config": { "default_lease_ttl": "5h", "max_lease_ttl": "1h" } }),
            "given default lease TTL greater than given max lease TTL",
        ),
    ] {
        let answer = server.post(&format!("sys/mounts/{path}"), body).await.expect(400);
        assert_eq!(answer.body["errors"][0].as_str().unwrap().split(';').next(), Some(error));
    }
    let refused = server.delete("sys/mounts/sys").await.expect(400);
    assert_eq!(refused.errors(), "cannot unmount \"sys/\"");
}

#[tokio::test]
async fn a_path_with_two_readings_is_refused() {
    let server = Server::dev();
    let zero = "the path holds a zero byte";
    for (path, error) in [
        ("/v1/sys/../sys/mounts", "relative paths not supported"),
        ("/v1/sys/%2e%2e/mounts", "relative paths not supported"),
        ("/v1/database%2f..%2fsys/mounts", "relative paths not supported"),
        ("/v1/sys//mounts", "the path holds empty segments"),
        ("/v1/sys/%2fmounts", "the path holds empty segments"),
        ("/v1/sys/mounts/a%00b", zero),
        ("/v1/sys/mounts/a%0db", "the path holds control characters"),
        ("/v1/sys/mounts/a%ffb", "the path is not UTF-8 once it is decoded"),
        ("/v1/sys/mounts/%zz", "the path holds a `%` without two hexadecimal digits after it"),
    ] {
        let answer = server.raw(&format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nX-Vault-Token: root\r\nConnection: close\r\n\r\n"
        ));
        assert!(answer.starts_with("HTTP/1.1 400 "), "{path}: {answer}");
        assert!(answer.contains(error), "{path}: {answer}");
    }
    // `%2F` is a `/` to everybody: what it leads to needs the same token, and there is no other way to it.
    for (token, path, status) in [
        ("root", "sys%2fmounts", 200),
        ("wrong", "sys%2Fmounts", 403),
        ("", "sys%2finit", 200),
        ("wrong", "sys%2finit%2fx", 403),
        ("root", "sys%252fmounts", 404),
        ("root", "secret/data/a%2fb", 404),
    ] {
        let _ = server.ask(token, "GET", path, Value::Null).await.expect(status);
    }
    for path in ["/", "/v1", "/v2/sys/health", "/ui/"] {
        let answer =
            server.raw(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let server = Server::dev();
    let long = "x".repeat(200_000);
    let answer =
        server.raw(&format!("GET /v1/sys/health HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"));
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    let _ = server.get("sys/health").await.expect(200);
}

#[tokio::test]
async fn what_is_not_supported_is_refused_rather_than_ignored() {
    let server = Server::dev();
    for (header, value) in [("X-Vault-Wrap-Format", "jwt"), ("X-Vault-Namespace", "team/")] {
        let headers = [(header, value)];
        let sent = server.send("root", "POST", "auth/token/create", &headers, Vec::new()).await;
        assert!(sent.expect(400).errors().contains(header));
    }
    let headers = [("X-Vault-Namespace", ""), ("X-Vault-Request", "true")];
    let _ = server.send("root", "GET", "sys/mounts", &headers, Vec::new()).await.expect(200);
}
