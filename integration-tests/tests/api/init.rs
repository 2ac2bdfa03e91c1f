//! The life of an installation: before it is one, across restarts, and what keeps it from starting.

use crate::lending::{Lending, until};
use leasehold_integration_tests::server::Place;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

#[tokio::test]
async fn before_it_is_initialized_a_server_does_nothing_else() {
    let place = Place::new();
    let server = place.start();
    let health = server.get("sys/health").await.expect(501);
    assert_eq!(health.body["initialized"], false);
    assert_eq!(health.body["sealed"], true);
    let _ = server.get("sys/health?uninitcode=298").await.expect(298);
    assert_eq!(server.get("sys/init").await.expect(200).body, json!({ "initialized": false }));
    assert_eq!(server.get("sys/seal-status").await.expect(200).body["type"], "file");
    for path in ["sys/mounts", "database/creds/app", "auth/token/lookup-self", "nope"] {
        assert_eq!(server.get(path).await.expect(503).errors(), "Vault is sealed");
    }
    for (body, error) in [
        (json!({ "pgp_keys": ["x"] }), "`pgp_keys` is not supported"),
        (json!({ "root_token_pgp_key": "x" }), "`root_token_pgp_key` is not supported"),
        (json!({ "recovery_pgp_keys": ["x"] }), "`recovery_pgp_keys` is not supported"),
        (
            json!({ "secret_shares": 7, "secret_threshold": 4 }),
            "parameters secret_shares,secret_threshold not applicable to seal type file",
        ),
        (
            json!({ "secret_shares": 5, "secret_threshold": 1 }),
            "parameters secret_shares,secret_threshold not applicable",
        ),
        (
            json!({ "recovery_shares": 2, "recovery_threshold": 1 }),
            "invalid recovery seal configuration: threshold must be greater than one",
        ),
        (json!({ "stored_shares": 3 }), "parameters stored_shares not applicable"),
    ] {
        let refused = server.post("sys/init", body).await.expect(400);
        assert!(refused.errors().starts_with(error), "{}", refused.text);
    }
    assert!(!place.path("root.key").exists());

    // As Vault's own command line sends it, whoever types it.
    let sent = json!({
        "secret_shares": 5, "secret_threshold": 3, "stored_shares": 0, "pgp_keys": null,
        "recovery_shares": 0, "recovery_threshold": 0, "recovery_pgp_keys": null, "root_token_pgp_key": "",
    });
    let made = server.ask("", "PUT", "sys/init", sent).await.expect(200);
    let root = made.at("/root_token");
    assert!(root.starts_with("hvs."));
    let warning = "`secret_shares` and `secret_threshold` do nothing with a seal of type `file`: there is no such key";
    let public_key = made.at("/audit_public_keys/first");
    assert!(public_key.len() == 64 && server.log().contains(public_key), "{}", server.log());
    assert_eq!(
        made.body,
        json!({
            "keys": [], "keys_base64": [], "root_token": root, "warnings": [warning],
            "audit_public_keys": { "first": public_key },
        })
    );
    let key = fs::metadata(place.path("root.key")).unwrap();
    assert_eq!((key.mode() & 0o777, key.len()), (0o600, 32));

    let again = server.ask("", "PUT", "sys/init", json!({})).await.expect(400);
    assert_eq!(again.errors(), "Vault is already initialized");
    let shown = server.ask(root, "GET", "auth/token/lookup-self", Value::Null).await.expect(200);
    assert_eq!(shown.at("/data/display_name"), "root");
    let _ = server.get("sys/health").await.expect(200);
}

#[tokio::test]
async fn of_many_who_initialize_one_wins() {
    let server = Place::new();
    let server = server.start();
    let asks = (0..8).map(|_| server.ask("", "PUT", "sys/init", json!({})));
    let statuses: Vec<_> =
        futures_util::future::join_all(asks).await.iter().map(|a| a.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 400).count(), 7, "{statuses:?}");
}

#[tokio::test]
async fn a_restart_keeps_tokens_mounts_and_leases() {
    let place = Place::new();
    let lending = Lending::on(place.found().await).await;
    let first = lending.lend().await;
    let root = lending.server.token.clone();
    let Lending { server, target } = lending;
    assert!(server.end().success());

    let lending = Lending { server: place.again(&root), target };
    let shown =
        lending.server.post("sys/leases/lookup", json!({ "lease_id": first.lease_id })).await;
    assert_eq!(shown.expect(200).at("/data/id"), first.lease_id);
    let _ = lending
        .server
        .post("sys/leases/renew", json!({ "lease_id": first.lease_id }))
        .await
        .expect(200);
    lending.log_in(&first).await.unwrap();
    let second = lending.lend().await;

    // A crash is a restart as well.
    let Lending { mut server, target } = lending;
    server.kill();
    let lending = Lending { server: place.again(&root), target };
    // Issues of another run are taken for unanswered, which may take a while to settle; then nothing is left.
    let path = "sys/leases/revoke-prefix/database/creds/app";
    let _ = lending.server.post(path, json!({ "sync": false })).await.expect(202);
    lending.until_no_users().await;
    lending.log_in(&second).await.unwrap_err();
}

#[tokio::test]
async fn a_server_without_its_key_does_not_start() {
    let place = Place::new();
    assert!(place.found().await.end().success());
    let key = place.path("root.key");
    let refused = |what: &str| {
        let error = place.try_start().unwrap_err();
        assert!(error.contains(what), "{error}");
    };
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    refused("may be read by others (mode 0644)");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let right = fs::read(&key).unwrap();
    fs::write(&key, b"too short").unwrap();
    refused("has 9 bytes; a root key has 32");
    fs::write(&key, [7; 32]).unwrap();
    refused("the root key does not open this store");
    fs::remove_file(&key).unwrap();
    refused("is missing");
    fs::write(&key, right).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let _ = place.start().get("sys/health").await.expect(200);
}

#[tokio::test]
async fn what_keeps_a_server_from_starting_is_named() {
    let place = Place::new();
    let running = place.start();
    let second = place.try_start().unwrap_err();
    assert!(second.contains("store") && second.contains(&running.pid().to_string()), "{second}");
    drop(running);

    let listener = "listener \"tcp\" {\n address = \"127.0.0.1:0\"\n tls_disable = true\n}\n";
    let seal = "seal \"file\" { path = \"{folder}/root.key\" }\n";
    let storage = "storage \"embedded\" { path = \"{folder}/store\" }\n";
    fs::write(place.path("plain"), "a file").unwrap();
    for (written, error) in [
        (
            format!("storage \"embedded\" {{ path = \"{{folder}}/plain\" }}\n{seal}{listener}"),
            "plain",
        ),
        (format!("{seal}{listener}"), "no `storage`"),
        (format!("{storage}{seal}"), "no `listener`"),
        (format!("{storage}{seal}{listener}stroage = 1"), "unknown key `stroage`"),
        (format!("{storage}{seal}listener \"tcp\" {{}}"), "`tls_cert_file` is needed"),
        (
            format!(
                "{storage}{seal}listener \"tcp\" {{\n address = \"256.0.0.1:1\"\n tls_disable = true\n}}"
            ),
            "cannot listen on `256.0.0.1:1`",
        ),
        (
            format!(
                "{storage}{seal}listener \"tcp\" {{\n tls_cert_file = \"/none\"\n tls_key_file = \"/none\"\n}}"
            ),
            "`tls_cert_file` `/none` cannot be used",
        ),
        (
            format!(
                "{storage}{seal}{listener}audit \"file\" \"x\" {{\n options {{ file_path = \"{{folder}}/plain/x\" }}\n}}"
            ),
            "plain/x",
        ),
        (
            format!("{storage}{seal}{listener}log_level = \"loud\""),
            "config.hcl:7: `log_level` must be",
        ),
    ] {
        place.configure(&written);
        let refused = place.try_start().expect_err(error);
        assert!(refused.contains(error), "{error}: {refused}");
    }
}

#[tokio::test]
async fn what_is_asked_is_recorded_and_no_secret_is() {
    let place = Place::new();
    let lending = Lending::on(place.found().await).await;
    let lent = lending.lend().await;
    let _ = lending
        .server
        .post("sys/mounts/canary", json!({ "type": ["canary-in-a-list"] }))
        .await
        .expect(400);
    let _ = lending.server.ask("canary-token", "GET", "sys/mounts", Value::Null).await.expect(403);
    let audit = fs::read_to_string(place.path("audit")).unwrap();
    let log = lending.server.log();
    for secret in [
        lent.password.as_str(),
        lending.server.token.as_str(),
        leasehold_integration_tests::postgres::SUPERUSER_PASSWORD,
        "canary-token",
        "canary-in-a-list",
    ] {
        assert!(!audit.contains(secret), "{secret} is in the audit");
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    let lines: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |path: &str| lines.iter().filter(|line| line["request"]["path"] == path).count();
    assert_eq!(of("database/creds/app"), 2);
    assert_eq!(of("database/config/pg"), 2);
    // What is refused is recorded as asked and as answered, as is what is served.
    assert_eq!((of("sys/mounts"), of("sys/mounts/canary")), (2, 2));
    let denied: Vec<_> =
        lines.iter().filter(|line| line["request"]["path"] == "sys/mounts").collect();
    for (line, kind) in denied.iter().zip(["request", "response"]) {
        assert_eq!((&line["type"], &line["error"]), (&json!(kind), &json!("permission denied")));
        assert_eq!(line["auth"]["policy_results"]["allowed"], false);
    }
    let guess = denied[0]["request"]["client_token"].as_str().unwrap();
    assert!(guess.starts_with("hmac-sha256:"), "{guess}");
    let shown = lines.iter().find(|line| line["response"]["secret"]["lease_id"] == lent.lease_id);
    let shown = shown.unwrap();
    let password = shown["response"]["data"]["password"].as_str().unwrap();
    assert!(password.starts_with("hmac-sha256:"), "{password}");
    assert_eq!(shown["auth"]["client_token"], shown["request"]["client_token"]);
    assert_eq!(shown["auth"]["accessor"], shown["request"]["client_token_accessor"]);
    assert_ne!(shown["request"]["client_token"], guess);
    assert_eq!(shown["request"]["namespace"], json!({ "id": "root" }));
    let mounts = lending.server.get("sys/mounts").await.expect(200);
    for (path, mount) in [("database/creds/app", "database/"), ("sys/mounts/canary", "sys/")] {
        let line = lines.iter().find(|line| line["request"]["path"] == path).unwrap();
        let request = &line["request"];
        assert_eq!(request["mount_point"], mount);
        assert_eq!(request["mount_type"], mounts.data()[mount]["type"]);
        assert_eq!(request["mount_accessor"], mounts.data()[mount]["accessor"]);
    }

    // The file is moved away, and the next line goes into a new one.
    fs::rename(place.path("audit"), place.path("audit.1")).unwrap();
    lending.server.signal(nix::sys::signal::Signal::SIGHUP);
    until("there is a new file", async || place.path("audit").exists()).await;
    let _ = lending.server.get("sys/mounts").await.expect(200);
    let audit = fs::read_to_string(place.path("audit")).unwrap();
    assert_eq!(audit.lines().filter(|line| line.contains("\"request\":")).count(), 2);
}

#[tokio::test]
async fn a_token_that_is_made_is_recorded_without_its_text() {
    let place = Place::new();
    let server = place.found().await;
    let made = server.post("auth/token/create", json!({ "policies": ["p"] })).await.expect(200);
    let (token, accessor) = (made.at("/auth/client_token"), made.at("/auth/accessor"));
    let _ = server.ask(token, "GET", "sys/mounts", Value::Null).await.expect(403);
    let audit = fs::read_to_string(place.path("audit")).unwrap();
    assert!(!audit.contains(token) && !audit.contains(accessor), "{audit}");
    let lines: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |path: &'static str| lines.iter().filter(move |line| line["request"]["path"] == path);
    let told = of("auth/token/create").find(|line| line["type"] == "response").unwrap();
    let told = &told["response"]["auth"];
    // It is asked for with the same hash afterwards, so that what it does can be found; and denied, on record.
    for line in of("sys/mounts") {
        assert_eq!(line["request"]["client_token"], told["client_token"]);
        assert_eq!(line["auth"]["accessor"], told["accessor"]);
        assert_eq!(line["auth"]["policy_results"], json!({ "allowed": false }));
        assert_eq!(line["error"], "permission denied");
    }
    let kinds: Vec<_> = of("sys/mounts").map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["request", "response"]);
}

#[tokio::test]
async fn a_server_that_is_told_to_end_as_soon_as_it_listens_ends_in_order() {
    let place = Place::new();
    let server = place.found().await;
    let token = server.token.clone();
    assert!(server.end().success());
    for _ in 0..10 {
        assert!(place.again(&token).end().success());
    }
}
