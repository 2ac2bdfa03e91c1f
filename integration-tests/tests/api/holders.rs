//! What the holders of key shares do together: root tokens, and keys that are split anew.

use crate::seal::{Told, init, place, show, split, unsealed};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use leasehold_integration_tests::server::{Answer, Place, Server};
use serde_json::{Value, json};
use std::fs;

const FILE: &str = "seal \"file\" { path = \"{folder}/root.key\" }\n";
const ATTEMPT: &str = "sys/generate-root/attempt";

/// Asks without a token.
async fn ask(server: &Server, method: &str, path: &str, body: Value) -> Answer {
    server.ask("", method, path, body).await
}

async fn works(server: &Server, token: &str) -> bool {
    server.ask(token, "GET", "sys/mounts", Value::Null).await.status == 200
}

/// Has the holders make a root token.
async fn generated(server: &Server, shares: &[String]) -> String {
    let begun = ask(server, "PUT", ATTEMPT, json!({ "key": shares[0] })).await.expect(200);
    let mut last = None;
    for share in shares {
        let body = json!({ "key": share, "nonce": begun.at("/nonce") });
        last = Some(ask(server, "PUT", "sys/generate-root/update", body).await.expect(200));
    }
    let last = last.unwrap();
    assert_eq!((&last.body["complete"], &last.body["otp"]), (&json!(true), &json!("")));
    let encoded = STANDARD_NO_PAD.decode(last.at("/encoded_token")).unwrap();
    let pairs = encoded.iter().zip(begun.at("/otp").bytes());
    String::from_utf8(pairs.map(|(one, other)| one ^ other).collect()).unwrap()
}

#[tokio::test]
async fn holders_make_a_root_token_when_every_token_is_lost() {
    let place = place("");
    let (server, told) = unsealed(&place).await;
    let _ = server.post("auth/token/revoke-self", json!({})).await.expect(204);
    assert!(!works(&server, &told.root).await);
    let token = generated(&server, &told.shares[1..]).await;
    assert!(token.starts_with("hvs.") && works(&server, &token).await);
    let after = ask(&server, "GET", ATTEMPT, Value::Null).await.expect(200);
    let none = (&json!(false), &json!(2), &json!(47));
    assert_eq!((&after.body["started"], &after.body["required"], &after.body["otp_length"]), none);
    // What was asked is on record, and nothing secret of it is.
    let audit = fs::read_to_string(place.path("audit")).unwrap();
    assert_eq!(audit.matches("\"path\":\"sys/generate-root/update\"").count(), 4);
    for secret in told.shares.iter().chain([&token]) {
        assert!(!audit.contains(secret.as_str()) && !server.log().contains(secret.as_str()));
    }
}

#[tokio::test]
async fn a_root_token_that_cannot_be_made_so_is_refused() {
    let place = place("");
    let (server, told) = unsealed(&place).await;
    let update = "sys/generate-root/update";
    let shown = |nonce: &str| json!({ "key": told.shares[0], "nonce": nonce });
    let refused = ask(&server, "PUT", update, shown("x")).await.expect(400);
    assert_eq!(refused.errors(), "no root generation in progress");
    for (body, error) in [
        (json!({ "otp": "short" }), "`otp` must have 47 characters"),
        (json!({ "pgp_key": "x" }), "`pgp_key` is not supported"),
    ] {
        let refused = server.ask(&told.root, "PUT", ATTEMPT, body).await.expect(400);
        assert!(refused.errors().starts_with(error), "{}", refused.text);
    }
    let begun = server.ask(&told.root, "PUT", ATTEMPT, json!({})).await.expect(200);
    let nonce = begun.at("/nonce");
    let again = server.ask(&told.root, "PUT", ATTEMPT, json!({})).await.expect(400);
    assert_eq!(again.errors(), "root generation already in progress");
    let other = ask(&server, "PUT", update, shown("x")).await.expect(400);
    assert!(other.errors().contains(nonce), "{}", other.text);
    let wrong = json!({ "key": "ab".repeat(33), "nonce": nonce });
    let wrong = ask(&server, "PUT", update, wrong).await.expect(400);
    assert!(wrong.errors().starts_with("the key share is not one"), "{}", wrong.text);
    let one = ask(&server, "PUT", update, shown(nonce)).await.expect(200);
    assert_eq!((&one.body["progress"], &one.body["complete"]), (&json!(1), &json!(false)));
    // What was begun ends with the seal.
    let _ = server.ask(&told.root, "PUT", "sys/seal", json!({})).await.expect(204);
    assert_eq!(
        ask(&server, "GET", ATTEMPT, Value::Null).await.expect(503).errors(),
        "Vault is sealed"
    );
    for share in &told.shares[..2] {
        show(&server, share).await;
    }
    assert_eq!(ask(&server, "GET", ATTEMPT, Value::Null).await.expect(200).body["started"], false);
}

/// Begins something by a share, and sees that no stranger begins it, or ends it.
async fn strangers_change_nothing(server: &Server, told: &Told, path: &str, asked: Value) {
    let with = |key: &str| {
        let mut body = asked.clone();
        body["key"] = json!(key);
        body
    };
    let wrong = "ab".repeat(33);
    let nobody = ask(server, "PUT", path, asked.clone()).await.expect(403);
    assert_eq!(nobody.errors(), "permission denied");
    let _ = server.ask("hvs.unknown", "PUT", path, asked.clone()).await.expect(403);
    let _ = ask(server, "PUT", path, with(&wrong)).await.expect(400);
    assert_eq!(ask(server, "GET", path, Value::Null).await.expect(200).body["started"], false);

    let begun = ask(server, "PUT", path, with(&told.shares[0])).await.expect(200);
    let nonce = begun.at("/nonce").to_owned();
    let _ = ask(server, "DELETE", path, Value::Null).await.expect(403);
    let _ = ask(server, "DELETE", path, json!({ "nonce": nonce })).await.expect(403);
    let _ = ask(server, "DELETE", path, json!({ "key": wrong })).await.expect(400);
    let _ = server.ask("hvs.unknown", "DELETE", path, Value::Null).await.expect(403);
    assert_eq!(ask(server, "GET", path, Value::Null).await.expect(200).at("/nonce"), nonce);

    let _ = ask(server, "DELETE", path, json!({ "key": told.shares[2] })).await.expect(204);
    assert_eq!(ask(server, "GET", path, Value::Null).await.expect(200).body["started"], false);
    let _ = server.ask(&told.root, "PUT", path, asked.clone()).await.expect(200);
    let _ = server.ask(&told.root, "DELETE", path, Value::Null).await.expect(204);
    // Where nothing is there is nothing to end.
    let _ = ask(server, "DELETE", path, Value::Null).await.expect(204);
}

#[tokio::test]
async fn cve_2025_4656_a_stranger_cancels_no_rekey() {
    let place = place("");
    let (server, told) = unsealed(&place).await;
    let asked = json!({ "secret_shares": 3, "secret_threshold": 2 });
    strangers_change_nothing(&server, &told, "sys/rekey/init", asked).await;
}

#[tokio::test]
async fn cve_2025_52894_a_stranger_cancels_no_rekey_of_the_recovery_key() {
    let place = place(FILE);
    let server = place.start();
    let told = init(&server, "recovery", 3).await;
    let asked = json!({ "secret_shares": 3, "secret_threshold": 2 });
    strangers_change_nothing(&server, &told, "sys/rekey-recovery-key/init", asked).await;
}

#[tokio::test]
async fn cve_2026_5807_a_stranger_neither_begins_nor_cancels_a_root_generation() {
    let place = place("");
    let (server, told) = unsealed(&place).await;
    strangers_change_nothing(&server, &told, ATTEMPT, json!({})).await;
}

/// Has the holders split a key anew; returns what they were told at the end.
async fn rekeyed(server: &Server, base: &str, shares: &[String], asked: Value) -> Answer {
    let mut asked = asked;
    asked["key"] = json!(shares[0]);
    let begun = ask(server, "PUT", &format!("{base}/init"), asked).await.expect(200);
    let mut last = None;
    for share in shares {
        let body = json!({ "key": share, "nonce": begun.at("/nonce") });
        last = Some(ask(server, "PUT", &format!("{base}/update"), body).await.expect(200));
    }
    last.unwrap()
}

fn keys(answer: &Answer) -> Vec<String> {
    let keys = answer.body["keys_base64"].as_array().unwrap().iter();
    keys.map(|key| key.as_str().unwrap().to_owned()).collect()
}

fn restart(server: Server, place: &Place) -> Server {
    assert!(server.end().success());
    place.start()
}

async fn opens(server: &Server, shares: &[String]) -> bool {
    let mut sealed = true;
    for share in shares {
        let shown = ask(server, "PUT", "sys/unseal", json!({ "key": share })).await;
        sealed = shown.status != 200 || shown.body["sealed"] == true;
    }
    !sealed
}

#[tokio::test]
async fn old_shares_open_the_store_until_enough_of_the_new_ones_did() {
    let place = place("");
    let (server, told) = unsealed(&place).await;
    let asked = json!({ "secret_shares": 4, "secret_threshold": 3 });
    let done = rekeyed(&server, "sys/rekey", &told.shares[..2], asked).await;
    assert_eq!(done.body["complete"], true);
    let new = keys(&done);
    assert_eq!(new.len(), 4);
    let server = restart(server, &place);
    assert!(opens(&server, &told.shares[1..]).await, "the old ones");
    let server = restart(server, &place);
    assert!(!opens(&server, &[told.shares[0].clone(), new[0].clone(), new[1].clone()]).await);
    assert!(opens(&server, &new[3..]).await, "the new ones");
    let server = restart(server, &place);
    assert!(!opens(&server, &told.shares).await, "the old ones, after the new ones were shown");
    assert!(opens(&server, &new[1..]).await);
    assert!(works(&server, &told.root).await);
}

#[tokio::test]
async fn new_shares_that_are_to_be_verified_can_be_given_up() {
    let place = place("");
    let (mut server, told) = unsealed(&place).await;
    let asked =
        || json!({ "secret_shares": 2, "secret_threshold": 2, "require_verification": true });
    let done = rekeyed(&server, "sys/rekey", &told.shares[..2], asked()).await;
    let given_up = keys(&done);
    let pending = ask(&server, "GET", "sys/rekey/verify", Value::Null).await.expect(200);
    assert_eq!(pending.at("/nonce"), done.at("/verification_nonce"));
    let _ = ask(&server, "DELETE", "sys/rekey/init", Value::Null).await.expect(403);
    let own = json!({ "key": told.shares[0] });
    let _ = ask(&server, "DELETE", "sys/rekey/init", own).await.expect(204);

    let done = rekeyed(&server, "sys/rekey", &told.shares[..2], asked()).await;
    let new = keys(&done);
    let verify = |key: &str| json!({ "key": key, "nonce": done.at("/verification_nonce") });
    for wrong in [&given_up[0], &told.shares[0]] {
        let _ = ask(&server, "PUT", "sys/rekey/verify", verify(wrong)).await.expect(400);
    }
    let one = ask(&server, "PUT", "sys/rekey/verify", verify(&new[0])).await.expect(200);
    assert_eq!((&one.body["progress"], &one.body["required"]), (&json!(1), &json!(2)));
    let all = ask(&server, "PUT", "sys/rekey/verify", verify(&new[1])).await.expect(200);
    assert_eq!((&all.body["complete"], &all.body["keys"]), (&json!(true), &Value::Null));
    // The first time the root key becomes another one.
    for _ in 0..2 {
        server = restart(server, &place);
        assert!(!opens(&server, &told.shares).await);
        assert!(opens(&server, &new).await);
        assert!(works(&server, &told.root).await);
        let renewals = server.log().matches("the root key is another one now").count();
        assert_eq!(renewals, 1, "once is enough");
        let key = server.ask(&told.root, "GET", "sys/key-status", Value::Null).await.expect(200);
        assert_eq!(key.body["data"]["term"], 2, "nobody of before has the key that seals");
    }
}

#[tokio::test]
async fn a_recovery_key_that_nobody_had_is_made_by_who_may_and_decides_from_then_on() {
    let place = place(FILE);
    let server = place.found().await;
    let root = server.token.clone();
    let asked = json!({ "secret_shares": 2, "secret_threshold": 2 });
    let none = server.post(ATTEMPT, json!({})).await.expect(400);
    assert!(none.errors().starts_with("nobody holds shares"), "{}", none.text);
    let not_split = server.post("sys/rekey/init", asked.clone()).await.expect(400);
    assert!(not_split.errors().contains("is not split"), "{}", not_split.text);
    let path = "sys/rekey-recovery-key/init";
    let _ = ask(&server, "PUT", path, asked.clone()).await.expect(403);
    assert_eq!(split(&server).await, json!([0, 0, true]));
    let first = keys(&server.post(path, asked.clone()).await.expect(200));
    assert_eq!(split(&server).await, json!([2, 2, true]));
    let token = generated(&server, &first).await;
    assert!(works(&server, &token).await && works(&server, &root).await);
    let second = keys(&rekeyed(&server, "sys/rekey-recovery-key", &first, asked).await);
    let token = generated(&server, &second).await;
    assert!(works(&server, &token).await);
    // Enough of the new ones were shown.
    let _ = ask(&server, "PUT", ATTEMPT, json!({ "key": first[0] })).await.expect(400);
}
