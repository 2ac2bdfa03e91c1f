//! Credentials from their issue to their end, with a real PostgreSQL behind the server.

use crate::lending::{Lending, Lent, role, until};
use serde_json::{Value, json};
use sqlx::{Connection, Executor};
use std::io::{Read, Write};
use std::time::Duration;

#[tokio::test]
async fn a_credential_works_from_its_issue_to_its_revocation_and_no_longer() {
    let lending = Lending::start().await;
    let server = &lending.server;
    let issued = server.get("database/creds/app").await.expect(200);
    let lent = Lent::of(&issued);
    assert_eq!(issued.body["lease_duration"], 3600);
    assert_eq!(issued.body["renewable"], true);
    assert_eq!(issued.body["warnings"], Value::Null);
    let names: Vec<_> = issued.data().as_object().unwrap().keys().collect();
    assert_eq!(names, ["password", "username"]);
    assert!(lent.lease_id.starts_with("database/creds/app/"), "{}", lent.lease_id);
    let mut session = lending.log_in(&lent).await.unwrap();

    let by_id = json!({ "lease_id": lent.lease_id });
    let shown = server.post("sys/leases/lookup", by_id.clone()).await.expect(200);
    assert_eq!(shown.at("/data/path"), "database/creds/app");
    assert_eq!(shown.data()["last_renewal"], Value::Null);
    assert_eq!(shown.data()["renewable"], true);
    let ttl = shown.data()["ttl"].as_u64().unwrap();
    assert!((3590..=3600).contains(&ttl), "{ttl}");

    let renew = json!({ "lease_id": lent.lease_id, "increment": "2h" });
    let renewed = server.post("sys/leases/renew", renew).await.expect(200);
    assert_eq!(renewed.body["lease_duration"], 7200);
    assert_eq!(renewed.at("/lease_id"), lent.lease_id);
    assert_eq!(renewed.data(), &Value::Null);
    session.execute("SELECT 1").await.unwrap();

    let revoked = server.post("sys/leases/revoke", by_id.clone()).await.expect(204);
    assert_eq!(revoked.text, "");
    session.execute("SELECT 1").await.unwrap_err();
    lending.log_in(&lent).await.unwrap_err();
    assert!(lending.users().await.is_empty());

    assert_eq!(
        server.post("sys/leases/lookup", by_id.clone()).await.expect(400).errors(),
        "invalid lease"
    );
    assert_eq!(
        server.post("sys/leases/renew", by_id.clone()).await.expect(400).errors(),
        "lease not found"
    );
    let _ = server.post("sys/leases/revoke", by_id).await.expect(204);
}

#[tokio::test]
async fn a_renewal_is_read_as_vault_reads_it() {
    let lending = Lending::start().await;
    let lent = lending.lend().await;
    let renew = async |increment: Value| {
        let asked = json!({ "lease_id": lent.lease_id, "increment": increment });
        lending.server.post("sys/leases/renew", asked).await
    };
    for (increment, duration) in [
        (json!(1800), 1800),
        (json!("60"), 60),
        (json!("1d"), 86400),
        (json!("1.5h"), 5400),
        (json!("0"), 3600),
        (Value::Null, 3600),
    ] {
        let given = renew(increment.clone()).await.expect(200).body["lease_duration"].as_u64();
        // A day is the ceiling, and some of it has passed.
        assert!(
            given.is_some_and(|given| given <= duration && given + 60 > duration),
            "{increment}"
        );
    }
    let capped = renew(json!("99999h")).await.expect(200);
    let warning = "TTL of \"99999h\" exceeded the effective max_ttl of \"24h\"; TTL value is capped accordingly";
    assert_eq!(capped.body["warnings"], json!([warning]));
    for (increment, error) in [
        (json!(-5), "cannot provide negative value '-5'"),
        (json!("bad"), "strconv.ParseInt: parsing \"ba\": invalid syntax"),
    ] {
        let prefix = "Field validation failed: error converting input for field \"increment\": ";
        assert_eq!(renew(increment).await.expect(400).errors(), format!("{prefix}{error}"));
    }
    let path = format!("sys/leases/renew/{}", lent.lease_id);
    let by_path = lending.server.post(&path, json!({ "increment": 60 })).await.expect(200);
    assert_eq!(by_path.body["lease_duration"], 60);
    let two = lending
        .server
        .post(&path, json!({ "lease_id": "database/creds/app/other" }))
        .await
        .expect(400);
    assert_eq!(two.errors(), "the path and `lease_id` name different leases");
    for (path, error) in [
        ("sys/leases/renew", "lease_id must be specified"),
        ("sys/leases/lookup", "lease_id must be specified"),
        ("sys/leases/revoke", "lease_id must be specified"),
    ] {
        assert_eq!(lending.server.post(path, json!({})).await.expect(400).errors(), error);
    }
    for id in ["nope", "database/creds/app/nope", "database/creds/app/01arz3ndektsv4rrffq69g5fav"] {
        let asked = json!({ "lease_id": id });
        let _ = lending.server.post("sys/leases/renew", asked.clone()).await.expect(400);
        let _ = lending.server.post("sys/leases/lookup", asked.clone()).await.expect(400);
        let _ = lending.server.post("sys/leases/revoke", asked).await.expect(204);
    }
    lending.log_in(&lent).await.unwrap();
}

#[tokio::test]
async fn a_ttl_over_the_maximum_is_capped_with_a_warning() {
    let lending = Lending::start().await;
    let _ = lending.server.post("database/roles/app", role("48h", "24h")).await;
    let _ = lending.server.post("database/roles/long", json!({ "db_name": "pg" })).await;
    let capped = json!({ "type": "database", "config": { "default_lease_ttl": "1h", "max_lease_ttl": "2h" } });
    let _ = lending.server.post("sys/mounts/short", capped).await.expect(204);
    let config = crate::lending::config(&lending.target);
    let _ = lending.server.post("short/config/pg", config).await.expect(204);
    let mut wanted = role("5h", "");
    wanted.as_object_mut().unwrap().remove("max_ttl");
    let _ = lending.server.post("short/roles/app", wanted).await.expect(204);
    let issued = lending.server.get("short/creds/app").await.expect(200);
    assert_eq!(issued.body["lease_duration"], 7200);
    let warning =
        "TTL of \"5h\" exceeded the effective max_ttl of \"2h\"; TTL value is capped accordingly";
    assert_eq!(issued.body["warnings"], json!([warning]));
}

#[tokio::test]
async fn a_lapsed_credential_is_gone_and_cannot_be_renewed() {
    let lending = Lending::start().await;
    let _ = lending.server.post("database/roles/app", role("2s", "1m")).await.expect(204);
    let lent = lending.lend().await;
    let mut session = lending.log_in(&lent).await.unwrap();
    lending.until_no_users().await;
    session.execute("SELECT 1").await.unwrap_err();
    let renewed =
        lending.server.post("sys/leases/renew", json!({ "lease_id": lent.lease_id })).await;
    // Gone from the target, it is on its way out of the store.
    let refused = renewed.expect(400).errors();
    assert!(matches!(refused.as_str(), "lease expired" | "lease not found"), "{refused}");
}

#[tokio::test]
async fn a_prefix_is_revoked_by_whole_segments() {
    let lending = Lending::start().await;
    let server = &lending.server;
    let _ = server.post("database/roles/app2", role("1h", "24h")).await.expect(204);
    let other = Lent::of(&server.get("database/creds/app2").await);
    let many = futures_util::future::join_all((0..10).map(|_| lending.lend())).await;
    assert_eq!(lending.users().await.len(), 11);

    let level = async |prefix: &str| {
        let listed = server.list(&format!("sys/leases/lookup/{prefix}")).await.expect(200);
        listed.data()["keys"].as_array().unwrap().clone()
    };
    assert_eq!(level("").await, [json!("database/")]);
    assert_eq!(level("database").await, [json!("creds/")]);
    assert_eq!(level("database/creds/").await, [json!("app/"), json!("app2/")]);
    let ids = level("database/creds/app").await;
    assert_eq!(ids.len(), 10);
    assert!(
        many.iter().all(|lent| ids.iter().any(|id| lent.lease_id.ends_with(id.as_str().unwrap())))
    );

    let _ = server.post("sys/leases/revoke-prefix/database/creds/app", json!({})).await.expect(204);
    assert_eq!(lending.users().await, [other.username.as_str()]);
    lending.log_in(&other).await.unwrap();
    let asked = json!({ "sync": false });
    let _ =
        server.ask("root", "PUT", "sys/leases/revoke-prefix/database/", asked).await.expect(202);
    lending.until_no_users().await;
}

#[tokio::test]
async fn a_revocation_that_nobody_waits_for_comes_all_the_same() {
    let lending = Lending::start().await;
    let lent = lending.lend().await;
    let path = format!("sys/leases/revoke/{}", lent.lease_id);
    let _ = lending.server.ask("root", "PUT", &path, json!({ "sync": false })).await.expect(202);
    lending.until_no_users().await;
    lending.log_in(&lent).await.unwrap_err();
}

#[tokio::test]
async fn leases_end_with_the_token_they_were_issued_to() {
    let lending = Lending::start().await;
    let made = lending.server.post("auth/token/create", json!({ "ttl": "1h" })).await.expect(200);
    let token = made.at("/auth/client_token");
    let lent = Lent::of(&lending.server.ask(token, "GET", "database/creds/app", Value::Null).await);
    let mine = lending.lend().await;
    let _ =
        lending.server.ask(token, "POST", "auth/token/revoke-self", Value::Null).await.expect(204);
    let gone = async || !lending.users().await.contains(&lent.username);
    until("the credential of the token is gone", gone).await;
    lending.log_in(&mine).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn an_end_of_the_server_waits_for_what_has_begun() {
    let lending = Lending::start().await;
    let leases = async || {
        let listed = lending.server.list("sys/leases/lookup/database/creds/app").await;
        listed.data()["keys"].as_array().map_or(0, Vec::len)
    };
    lending.lend().await;
    lending.target.suspend();
    let mut stream = lending.server.connect();
    let request = "GET /v1/database/creds/app HTTP/1.1\r\nHost: x\r\nX-Vault-Token: root\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    until("the lease is stored, before the target answers", async || leases().await == 2).await;
    lending.server.signal(nix::sys::signal::Signal::SIGTERM);
    lending.target.resume();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(lending.server.end().success());
}

#[tokio::test]
async fn a_caller_who_hangs_up_leaves_no_credential_without_a_lease() {
    let lending = Lending::start().await;
    let request = "GET /v1/database/creds/app HTTP/1.1\r\nHost: x\r\nX-Vault-Token: root\r\n\r\n";
    for ms in [0, 1, 2, 5, 10, 20] {
        let mut stream = lending.server.connect();
        stream.write_all(request.as_bytes()).unwrap();
        // The hang-up comes at another moment each time; none of them may matter.
        tokio::time::sleep(Duration::from_millis(ms)).await;
        drop(stream);
    }
    let mut whole = lending.server.connect();
    whole.write_all(request.as_bytes()).unwrap();
    let mut first = [0; 12];
    whole.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let leases = async || {
        let listed = lending.server.list("sys/leases/lookup/database/creds/app").await;
        listed.data()["keys"].as_array().map_or(0, Vec::len)
    };
    // Whatever was begun ends by itself; then every user is on a lease.
    let each_on_a_lease = async || leases().await == lending.users().await.len();
    until("every user is on a lease", each_on_a_lease).await;
    let _ = lending.server.post("sys/leases/revoke-prefix/database", json!({})).await.expect(204);
    assert!(lending.users().await.is_empty());
}
