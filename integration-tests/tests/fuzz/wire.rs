//! Readers that are reached over HTTP: the real server is sent paths, headers and bodies as they are made.

use crate::hand::Hand;
use leasehold_integration_tests::server::{Place, ROOT, Server};
use std::io::{Read, Write};

/// Of a connection for each input only so many are made.
const SHARE: usize = 8;

/// Sends bytes on a connection of their own; returns the status of the answer, if it is one.
fn status(server: &Server, bytes: &[u8]) -> Option<u16> {
    let mut stream = server.connect();
    // Who is refused early is told before all is read.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// Sends each input in a request that is made of it. The server answers each, breaks at none, and is there afterwards.
async fn feed(server: &Server, reader: &str, request: impl Fn(&[u8]) -> Vec<u8>) {
    for input in Hand::of(reader).slower(SHARE).inputs() {
        let status = status(server, &request(&input));
        // What is no request may be answered by the end of its connection.
        let is_told = status.is_none_or(|status| (200..500).contains(&status) || status == 503);
        assert!(is_told, "{status:?}: {}", input.escape_ascii());
    }
    let _ = server.get("sys/health").await.expect(200);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_token_or_body_breaks_the_server() {
    let server = Server::dev();
    feed(&server, "path", |path| {
        let rest =
            format!(" HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {ROOT}\r\nConnection: close\r\n\r\n");
        [b"GET /v1/", path, rest.as_bytes()].concat()
    })
    .await;
    feed(&server, "token", |token| {
        let head = b"GET /v1/auth/token/lookup-self HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Vault-Token: ";
        [head.as_slice(), token, b"\r\n\r\n"].concat()
    })
    .await;
    feed(&server, "body", |body| {
        let head = format!(
            "POST /v1/auth/token/roles/r HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {ROOT}\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_proxy_forwards_breaks_the_server() {
    let place = Place::new();
    let written = std::fs::read_to_string(place.path("config.hcl")).unwrap();
    let trusting = "tls_disable = true\n x_forwarded_for_authorized_addrs = [\"127.0.0.1\"]";
    place.configure(&written.replace("tls_disable = true", trusting));
    let server = place.found().await;
    feed(&server, "forwarded", |line| {
        let head =
            b"GET /v1/sys/mounts HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: ";
        [head.as_slice(), line, b"\r\n\r\n"].concat()
    })
    .await;
}
