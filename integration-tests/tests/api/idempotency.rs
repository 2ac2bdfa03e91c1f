//! A credential asked for again under one `Idempotency-Key`, with a real PostgreSQL behind the server.

use crate::lending::{Lending, Lent};
use leasehold_integration_tests::server::{Answer, Place, Server};
use std::io::Write;

async fn creds(server: &Server, key: &str) -> Answer {
    let headers = [("Idempotency-Key", key)];
    server.send(&server.token, "GET", "database/creds/app", &headers, Vec::new()).await
}

#[tokio::test]
async fn a_retry_gets_the_same_credential_and_sixty_four_at_once_get_one() {
    let lending = Lending::start().await;
    let server = &lending.server;
    let asked = (0..64).map(|_| creds(server, "deploy-17"));
    let answers = futures_util::future::join_all(asked).await;
    let first = Lent::of(&answers[0]);
    for answer in &answers {
        let again = Lent::of(answer);
        assert_eq!(
            (again.lease_id, again.password),
            (first.lease_id.clone(), first.password.clone())
        );
    }
    assert_eq!(lending.users().await, [first.username.as_str()]);
    let _ = lending.log_in(&first).await.unwrap();
    // Without a key, and under another one, each request is one of its own.
    assert_ne!(lending.lend().await.username, first.username);
    assert_ne!(Lent::of(&creds(server, "deploy-18").await).username, first.username);
    assert_eq!(lending.users().await.len(), 3);
    assert!(!server.log().contains("deploy-17") && !server.log().contains(&first.password));
}

#[tokio::test]
async fn a_caller_who_hangs_up_and_asks_again_finds_the_credential_that_was_made() {
    let lending = Lending::start().await;
    let server = &lending.server;
    let mut stream = server.connect();
    let head = format!(
        "GET /v1/database/creds/app HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {}\r\nIdempotency-Key: k\r\n\r\n",
        server.token
    );
    stream.write_all(head.as_bytes()).unwrap();
    drop(stream);
    let lent = Lent::of(&creds(server, "k").await);
    assert_eq!(lending.users().await, [lent.username]);
}

#[tokio::test]
async fn after_a_restart_a_retry_gets_a_fresh_credential_and_the_first_is_revoked() {
    let place = Place::new();
    let lending = Lending::on(place.found().await).await;
    let first = Lent::of(&creds(&lending.server, "k").await);
    let Lending { server, target } = lending;
    let token = server.token.clone();
    assert!(server.end().success());
    let lending = Lending { server: place.again(&token), target };
    let second = Lent::of(&creds(&lending.server, "k").await);
    assert_ne!(second.lease_id, first.lease_id);
    let _ = lending.log_in(&second).await.unwrap();
    crate::lending::until("the first is gone", async || {
        lending.users().await == [second.username.clone()]
    })
    .await;
    lending.log_in(&first).await.unwrap_err();
}

#[tokio::test]
async fn a_key_that_cannot_be_one_is_refused_with_the_rule() {
    let server = Server::dev();
    let long = "x".repeat(257);
    for key in ["", "two words", &long, "\u{e4}"] {
        let refused = creds(&server, key).await.expect(400);
        assert_eq!(
            refused.errors(),
            "`Idempotency-Key` must be 1 to 256 visible ASCII characters, sent once"
        );
    }
    let headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")];
    let path = "database/creds/app";
    let twice = server.send(&server.token, "GET", path, &headers, Vec::new()).await.expect(400);
    assert!(twice.errors().contains("sent once"), "{}", twice.text);
    // A key that can be one changes nothing about what is not there.
    let _ = creds(&server, &"x".repeat(256)).await.expect(404);
}
