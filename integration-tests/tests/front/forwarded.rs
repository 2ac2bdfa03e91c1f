//! Who a request comes from, as far as trusted proxies tell.

use super::place_with;
use leasehold_integration_tests::server::{Place, Server};
use serde_json::Value;
use std::fs;

/// Asks with these lines of `X-Forwarded-For`; returns from where the audit saw it come.
async fn seen(place: &Place, server: &Server, lines: &[&str]) -> String {
    let headers: Vec<_> = lines.iter().map(|line| ("X-Forwarded-For", *line)).collect();
    let path = "auth/token/lookup-self";
    let _ = server.send(&server.token, "GET", path, &headers, Vec::new()).await.expect(200);
    let audit = fs::read_to_string(place.path("audit")).unwrap();
    let last: Value = serde_json::from_str(audit.lines().last().unwrap()).unwrap();
    assert!(last["request"]["remote_port"].as_u64().unwrap() > 0);
    last["request"]["remote_address"].as_str().unwrap().to_owned()
}

/// Asks without a token; returns what it is told.
async fn refused(server: &Server, lines: &[&str]) -> String {
    let headers: Vec<_> = lines.iter().map(|line| ("X-Forwarded-For", *line)).collect();
    server.send("", "GET", "sys/health", &headers, Vec::new()).await.expect(400).errors()
}

#[tokio::test]
async fn a_trusted_proxy_says_who_asked_and_nobody_else_does() {
    let trusting =
        "tls_disable = true\n x_forwarded_for_authorized_addrs = \"127.0.0.0/8, 10.0.0.0/8\"";
    let place = place_with(trusting);
    let server = place.found().await;
    assert_eq!(seen(&place, &server, &[]).await, "127.0.0.1");
    assert_eq!(seen(&place, &server, &["192.0.2.1"]).await, "192.0.2.1");
    assert_eq!(
        seen(&place, &server, &["::1, nonsense", "192.0.2.1:99, 10.5.5.5"]).await,
        "192.0.2.1"
    );
    assert_eq!(seen(&place, &server, &["::ffff:192.0.2.1"]).await, "192.0.2.1");
    assert_eq!(seen(&place, &server, &["2001:db8::5,10.1.1.1"]).await, "2001:db8::5");
    let long = format!("{}192.0.2.1", "nonsense,".repeat(5000));
    assert_eq!(seen(&place, &server, &[&long]).await, "192.0.2.1");
    let many: Vec<_> = std::iter::repeat_n("127.0.0.1", 80).chain(["192.0.2.2"]).collect();
    assert_eq!(seen(&place, &server, &many).await, "192.0.2.2");

    let before = fs::read_to_string(place.path("audit")).unwrap();
    for lines in [&["unknown"][..], &["192.0.2.1", ""], &["192.0.2.1,"], &["canary 192.0.2.1"]] {
        let told = refused(&server, lines).await;
        assert_eq!(told, "the `X-Forwarded-For` of a trusted proxy holds what is no address");
    }
    assert_eq!(fs::read_to_string(place.path("audit")).unwrap(), before);
    assert!(!server.log().contains("canary"));
}

#[tokio::test]
async fn a_listener_refuses_what_it_is_told_to_refuse() {
    let strict = "tls_disable = true\n x_forwarded_for_authorized_addrs = [\"127.0.0.1\"]\n \
                  x_forwarded_for_reject_not_present = true\n x_forwarded_for_hop_skips = 1";
    let server = place_with(strict).start();
    let told = refused(&server, &[]).await;
    assert_eq!(told, "missing x-forwarded-for header and configured to reject when not present");
    assert!(refused(&server, &["192.0.2.1"]).await.contains("hops to skip (1)"));

    let strict = "tls_disable = true\n x_forwarded_for_authorized_addrs = [\"10.0.0.0/8\"]\n \
                  x_forwarded_for_reject_not_authorized = true";
    let place = place_with(strict);
    let server = place.found().await;
    assert_eq!(seen(&place, &server, &[]).await, "127.0.0.1");
    let told = refused(&server, &["10.0.0.1"]).await;
    assert!(told.starts_with("client address not authorized for x-forwarded-for"), "{told}");

    // One that trusts nobody sees whom it sees.
    let place = Place::new();
    let server = place.found().await;
    assert_eq!(seen(&place, &server, &["192.0.2.1"]).await, "127.0.0.1");
    assert_eq!(seen(&place, &server, &["nonsense"]).await, "127.0.0.1");
}
