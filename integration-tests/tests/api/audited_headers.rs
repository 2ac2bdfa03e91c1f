//! Headers of requests in the record: those that an operator names, and as they say.

#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

use leasehold_integration_tests::server::{Place, Server};
use serde_json::{Value, json};
use std::fs;

const AT: &str = "sys/config/auditing/request-headers";

/// Asks with these lines in the head; returns the request's headers as the record shows them at both ends.
fn recorded(place: &Place, server: &Server, path: &str, lines: &str) -> [Value; 2] {
    let token = &server.token;
    let answer =
        server.raw(&format!("GET /v1/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Vault-Token: {token}\r\n{lines}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    let record = fs::read_to_string(place.path("audit")).unwrap();
    let lines = record.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_path = |line: &Value| line["request"]["path"] == path;
    let mut found: Vec<_> =
        lines.filter(of_path).map(|line| line["request"]["headers"].clone()).collect();
    let answered = found.pop().unwrap();
    [found.pop().unwrap(), answered]
}

async fn hash(server: &Server, text: &str) -> String {
    let told = server.post("sys/audit-hash/first", json!({ "input": text })).await.expect(200);
    told.at("/data/hash").to_owned()
}

#[tokio::test]
async fn a_header_is_recorded_once_it_is_named_and_hidden_where_that_is_asked() {
    let place = Place::new();
    let server = place.found().await;
    let sent = "X-Clear: one\r\nx-clear: two\r\nX-Hidden: three\r\nX-Other: four\r\n";
    assert_eq!(recorded(&place, &server, "sys/mounts", sent), [Value::Null, Value::Null]);

    let _ = server.post(&format!("{AT}/X-Clear"), json!({})).await.expect(204);
    let _ = server.post(&format!("{AT}/x-hidden"), json!({ "hmac": true })).await.expect(204);
    let three = hash(&server, "three").await;
    let shown = json!({ "x-clear": ["one", "two"], "x-hidden": [three] });
    assert_eq!(recorded(&place, &server, "sys/mounts", sent), [shown.clone(), shown.clone()]);
    // Of a request that is refused, and of one that needs no token, as well.
    let refused = recorded(&place, &server, "sys/nope", sent);
    assert_eq!(refused, [shown.clone(), shown.clone()]);
    // A request without them has none.
    assert_eq!(recorded(&place, &server, "sys/mounts", ""), [Value::Null, Value::Null]);
    // What is told of them by the server is what was written, also after a start.
    let listed = json!({ "x-clear": { "hmac": false }, "x-hidden": { "hmac": true } });
    let server_token = server.token.clone();
    assert!(server.end().success());
    let mut server = place.start();
    server.token = server_token;
    assert_eq!(server.get(AT).await.expect(200).data()["headers"], listed);
    assert_eq!(recorded(&place, &server, "sys/mounts", sent)[0], shown);

    let _ = server.delete(&format!("{AT}/X-CLEAR")).await.expect(204);
    let _ = server.delete(&format!("{AT}/X-CLEAR")).await.expect(204);
    let left = recorded(&place, &server, "sys/mounts", sent);
    assert_eq!(left[0], json!({ "x-hidden": [three] }));
}

#[tokio::test]
async fn no_header_carries_a_secret_or_much_else_into_the_record() {
    let place = Place::new();
    let server = place.found().await;
    for name in ["X-Vault-Token", "authorization", "Cookie"] {
        let at = format!("{AT}/{name}");
        let refused = server.post(&at, json!({ "hmac": false })).await.expect(400);
        assert!(refused.errors().contains("`hmac=true` only"), "{}", refused.text);
        let _ = server.get(&at).await.expect(400);
    }
    let odd = server.post(&format!("{AT}/a%20b"), json!({})).await.expect(400);
    assert!(odd.errors().contains("no name of a header"), "{}", odd.text);
    let _ = server.post(&format!("{AT}/X-Vault-Token"), json!({ "hmac": true })).await.expect(204);
    let _ = server.post(&format!("{AT}/X-Clear"), json!({})).await.expect(204);
    let _ = server.post(&format!("{AT}/X-Hidden"), json!({ "hmac": true })).await.expect(204);
    let token = hash(&server, &server.token).await;
    // A token in a header that nobody thinks of is hidden as well.
    let sent = format!("X-Clear: see {}\r\n", server.token);
    let see = hash(&server, &format!("see {}", server.token)).await;
    let shown = json!({ "x-clear": [see], "x-vault-token": [token] });
    assert_eq!(recorded(&place, &server, "sys/mounts", &sent)[0], shown);
    // However long, and however many: a line stays short.
    for sent in [format!("X-Clear: {}\r\n", "x".repeat(5000)), "X-Hidden: x\r\n".repeat(80)] {
        let strangers = server.raw(&format!(
            "GET /v1/sys/mounts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{sent}\r\n"
        ));
        assert!(strangers.starts_with("HTTP/1.1 403"), "{strangers}");
    }
    let record = fs::read_to_string(place.path("audit")).unwrap();
    assert!(!record.contains("xxxxx") && !record.contains(&server.token));
    let last: Value = serde_json::from_str(record.lines().last().unwrap()).unwrap();
    assert!(last["request"]["headers"]["length"].as_u64().unwrap() > 80, "{last}");
    assert!(record.lines().all(|line| line.len() < 3000));
}
