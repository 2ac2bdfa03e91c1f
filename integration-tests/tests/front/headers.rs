//! What answers carry besides what they say.

use super::place_with;
use leasehold_integration_tests::server::{Answer, Server};
use serde_json::json;

fn header<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    answer.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn every_answer_is_kept_by_nobody_and_taken_for_what_it_is() {
    let server = Server::dev();
    for (token, method, path, status) in [
        ("root", "GET", "sys/mounts", 200),
        ("root", "POST", "sys/leases/revoke", 400),
        ("root", "DELETE", "sys/mounts/x", 204),
        ("wrong", "GET", "sys/mounts", 403),
        ("", "GET", "nope", 403),
        ("root", "PATCH", "sys/mounts", 405),
        ("", "GET", "sys/health", 200),
        ("", "HEAD", "sys/health", 200),
        ("", "GET", "a//b", 400),
    ] {
        let answer = server.ask(token, method, path, json!(null)).await.expect(status);
        assert_eq!(header(&answer, "cache-control"), ["no-store"], "{path}");
        assert_eq!(header(&answer, "x-content-type-options"), ["nosniff"], "{path}");
        // Without TLS it would be a promise that nobody keeps; and nobody learns what serves, or what was sent.
        let unwanted =
            ["strict-transport-security", "server", "x-powered-by", "set-cookie", "x-vault-token"];
        for unwanted in unwanted {
            assert!(header(&answer, unwanted).is_empty(), "{path}: {unwanted}");
        }
    }
}

#[tokio::test]
async fn an_operators_headers_are_in_the_answers_that_they_are_for() {
    let place = place_with(
        "tls_disable = true\n custom_response_headers {\n\
           \"default\" = { \"X-All\" = [\"a\", \"b\"], \"X-Content-Type-Options\" = [] },\n\
           \"4xx\" = { \"X-All\" = \"refused\" }\n \"404\" = { \"X-Lost\" = \"yes\" }\n }",
    );
    let server = place.found().await;
    let found = server.get("sys/mounts").await.expect(200);
    assert_eq!(header(&found, "x-all"), ["a", "b"]);
    assert!(header(&found, "x-content-type-options").is_empty());
    assert!(header(&found, "x-lost").is_empty());
    let lost = server.get("database/config").await.expect(404);
    assert_eq!((header(&lost, "x-all"), header(&lost, "x-lost")), (vec!["refused"], vec!["yes"]));
    let refused = server.ask("wrong", "GET", "sys/mounts", json!(null)).await.expect(403);
    assert_eq!(header(&refused, "x-all"), ["refused"]);
    assert_eq!(header(&refused, "cache-control"), ["no-store"]);
}
