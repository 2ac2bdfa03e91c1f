//! How often a sender may ask, by the real binary.

use super::place_with;
use leasehold_integration_tests::server::{Answer, Server};
use serde_json::json;
use std::fs;

/// Trusts this machine to say who asks, so that a test can be many senders.
const TRUSTING: &str = "tls_disable = true\n x_forwarded_for_authorized_addrs = \"127.0.0.1\"";

async fn ask_as(server: &Server, sender: &str, token: &str, method: &str, path: &str) -> Answer {
    server.send(token, method, path, &[("X-Forwarded-For", sender)], Vec::new()).await
}

fn seconds(answer: &Answer, name: &str) -> u64 {
    answer.headers[name].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_sender_who_asks_too_often_is_told_when_to_come_again() {
    let place = place_with(TRUSTING);
    let server = place.found().await;
    let root = server.token.clone();
    let limit = json!({ "path": "sys/mounts", "rate": 3, "interval": "1h" });
    let _ = server.post("sys/quotas/rate-limit/mounts", limit).await.expect(204);
    let read = server.get("sys/quotas/rate-limit/mounts").await.expect(200);
    let expected = json!({
        "type": "rate-limit", "name": "mounts", "path": "sys/mounts", "role": "", "rate": 3, "interval": 3600,
        "block_interval": 0, "inheritable": false,
    });
    assert_eq!(read.data(), &expected);

    let ask =
        async |sender: &str, token: &str| ask_as(&server, sender, token, "GET", "sys/mounts").await;
    for _ in 0..2 {
        let answer = ask("192.0.2.1", &root).await.expect(200);
        assert!(!answer.headers.contains_key("x-ratelimit-limit"));
    }
    // Whatever is asked counts, with a good token or without.
    let _ = ask("192.0.2.1", "wrong").await.expect(403);
    let audited = fs::read_to_string(place.path("audit")).unwrap();
    for token in [root.as_str(), "wrong", ""] {
        let refused = ask("192.0.2.1", token).await.expect(429);
        assert_eq!(refused.errors(), "request path \"sys/mounts\": rate limit quota exceeded");
        assert!((3500..=3600).contains(&seconds(&refused, "retry-after")));
    }
    assert_eq!(fs::read_to_string(place.path("audit")).unwrap(), audited);
    // Others are not kept waiting, and neither is the sender elsewhere.
    let _ = ask("192.0.2.2", &root).await.expect(200);
    let _ = ask_as(&server, "192.0.2.1", &root, "GET", "sys/mounts/x").await.expect(400);
    // All addresses of IPv6 that one sender may draw are one.
    for (address, status) in
        [("::1", 200), ("::2", 200), ("::2:3", 200), ("::5:6:7", 429), ("1::", 200)]
    {
        let _ = ask(&format!("2001:db8:1{address}"), &root).await.expect(status);
    }

    let told = json!({
        "enable_rate_limit_response_headers": true, "enable_rate_limit_audit_logging": true,
    });
    let _ = server.post("sys/quotas/config", told).await.expect(204);
    let config = server.get("sys/quotas/config").await.expect(200);
    assert_eq!(config.data()["rate_limit_exempt_paths"].as_array().unwrap().len(), 7);
    let answer = ask("192.0.2.2", &root).await.expect(200);
    assert_eq!(seconds(&answer, "x-ratelimit-limit"), 3);
    assert_eq!(seconds(&answer, "x-ratelimit-remaining"), 1);
    assert!((3500..=3600).contains(&seconds(&answer, "x-ratelimit-reset")));
    let refused = ask("192.0.2.1", "canary").await.expect(429);
    assert_eq!(seconds(&refused, "x-ratelimit-remaining"), 0);
    let audited = fs::read_to_string(place.path("audit")).unwrap();
    let last = audited.lines().last().unwrap();
    assert!(last.contains("rate limit quota exceeded") && last.contains("192.0.2.1"), "{last}");
    assert!(!last.contains("canary"));

    // It holds after a start, and until it is taken away.
    drop(server);
    let server = place.again(&root);
    for status in [200, 200, 200, 429] {
        let _ = ask_as(&server, "192.0.2.1", &root, "GET", "sys/mounts").await.expect(status);
    }
    for _ in 0..2 {
        let _ = server.delete("sys/quotas/rate-limit/mounts").await.expect(204);
    }
    let _ = ask_as(&server, "192.0.2.1", &root, "GET", "sys/mounts").await.expect(200);
    let _ = server.list("sys/quotas/rate-limit").await.expect(404);
}

#[tokio::test]
async fn the_whole_server_may_have_a_rate_but_its_exempt_paths() {
    let place = place_with(TRUSTING);
    let server = place.found().await;
    let root = server.token.clone();
    let limit = json!({ "rate": 2, "interval": "1h", "block_interval": "2h" });
    let _ = server.post("sys/quotas/rate-limit/all", limit).await.expect(204);
    let read = server.get("sys/quotas/rate-limit/all").await.expect(200);
    assert_eq!((&read.data()["path"], &read.data()["inheritable"]), (&json!(""), &json!(true)));
    let sender = "198.51.100.7";
    for path in ["nope/x", "sys/internal/ui/mounts"] {
        let answer = ask_as(&server, sender, "", "GET", path).await;
        assert_ne!(answer.status, 429, "{path}");
    }
    for path in ["nope/x", "sys/init", "sys/leader", "sys/mounts"] {
        let refused = ask_as(&server, sender, "", "GET", path).await.expect(429);
        assert!(seconds(&refused, "retry-after") > 7000, "{path}");
    }
    for path in ["sys/health", "sys/seal-status"] {
        let _ = ask_as(&server, sender, "", "GET", path).await.expect(200);
    }
    // Of two, the more specific one counts, and only that.
    let limit = json!({ "rate": 1, "interval": "1h", "path": "sys/init" });
    let _ = ask_as(&server, "192.0.2.9", &root, "GET", "sys/mounts").await.expect(200);
    let body = limit.to_string().into_bytes();
    let path = "sys/quotas/rate-limit/init";
    let headers = [("X-Forwarded-For", "192.0.2.9")];
    let _ = server.send(&root, "POST", path, &headers, body).await.expect(204);
    for (path, status) in [("sys/init", 200), ("sys/init", 429), ("sys/leader", 429)] {
        let _ = ask_as(&server, "192.0.2.9", &root, "GET", path).await.expect(status);
    }
}

#[tokio::test]
async fn a_quota_that_cannot_be_is_refused_and_changes_nothing() {
    let server = Server::dev();
    for (name, body, told) in [
        ("a", json!({}), "'rate' is invalid"),
        ("a", json!({ "rate": 0 }), "'rate' is invalid"),
        ("a", json!({ "rate": -1 }), "'rate' is invalid"),
        ("a", json!({ "rate": "NaN" }), "'rate' is invalid"),
        ("a", json!({ "rate": "inf" }), "'rate' is invalid"),
        ("a", json!({ "rate": 1e-300 }), "'rate' is invalid"),
        ("a", json!({ "rate": "x" }), "expected a number"),
        ("a", json!({ "rate": [1] }), "expected a number"),
        ("a", json!({ "rate": 1, "interval": -5 }), "cannot provide negative value"),
        ("a", json!({ "rate": 1, "interval": "1000000h" }), "at most 876000h"),
        ("a", json!({ "rate": 1, "block_interval": "-1s" }), "cannot provide negative value"),
        ("a", json!({ "rate": 1, "path": "nope" }), "invalid mount path \"nope/\""),
        (
            "a",
            json!({ "rate": 1, "path": "sys", "role": "x" }),
            "does not support use with role-based",
        ),
        ("a", json!({ "rate": 1, "role": "x" }), "`role` needs the mount"),
        ("a", json!({ "rate": 1, "path": "sys", "inheritable": true }), "`inheritable`"),
        ("a", json!({ "rate": 1, "path": "x".repeat(2000) }), "1024 bytes at most"),
        ("a", json!({ "rate": 1, "burst": 5 }), "unknown field \"burst\""),
    ] {
        let answer = server.post(&format!("sys/quotas/rate-limit/{name}"), body.clone()).await;
        assert!(answer.expect(400).errors().contains(told), "{body}");
    }
    let _ = server.list("sys/quotas/rate-limit").await.expect(404);
    for body in [json!({ "enable": true }), json!({ "rate_limit_exempt_paths": { "a": 1 } })] {
        let _ = server.post("sys/quotas/config", body).await.expect(400);
    }
    for name in ["-a", "a/b", "%2e%2e"] {
        let path = format!("sys/quotas/rate-limit/{name}");
        let answer = server.post(&path, json!({ "rate": 1 })).await;
        assert!(matches!(answer.status, 400 | 404), "{name}: {}", answer.text);
    }

    let _ = server.post("sys/quotas/rate-limit/a", json!({ "rate": 5000 })).await.expect(204);
    let twice = server.post("sys/quotas/rate-limit/b", json!({ "rate": 5000 })).await.expect(400);
    let told = "quota rule with similar properties exists under the name \"a\"";
    assert_eq!(twice.errors(), told);
    // Whoever has no right to it learns nothing of it.
    let made = server.post("auth/token/create", json!({ "policies": ["default"] })).await;
    let weak = made.at("/auth/client_token").to_owned();
    for (method, path) in [("GET", "a"), ("DELETE", "a"), ("POST", "b")] {
        let path = format!("sys/quotas/rate-limit/{path}");
        let _ = server.ask(&weak, method, &path, json!({ "rate": 1 })).await.expect(403);
    }
    assert_eq!(server.list("sys/quotas/rate-limit").await.data()["keys"], json!(["a"]));
}
