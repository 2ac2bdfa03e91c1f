//! Auth mounts, and logins by name and password, over HTTP.

use leasehold_integration_tests::server::{Place, ROOT, Server};
use serde_json::{Value, json};
use std::fs;

async fn with_userpass(server: &Server) {
    let _ = server.post("sys/auth/userpass", json!({ "type": "userpass" })).await.expect(204);
    let user = json!({ "password": "canary-right", "token_policies": "a" });
    let _ = server.post("auth/userpass/users/ann", user).await.expect(204);
}

#[tokio::test]
async fn methods_are_enabled_shown_tuned_and_disabled() {
    let server = Server::dev();
    let wanted = json!({
        "type": "userpass", "description": "people",
        "config": { "default_lease_ttl": "1h", "max_lease_ttl": "2h" },
    });
    let _ = server.post("sys/auth/people/here", wanted).await.expect(204);
    let all = server.get("sys/auth").await.expect(200);
    for at in [&all.body["people/here/"], &all.body["data"]["people/here/"]] {
        assert_eq!(at["type"], "userpass");
        assert_eq!(at["config"]["token_type"], "default-service");
        assert!(at["accessor"].as_str().unwrap().starts_with("auth_userpass_"), "{at}");
    }
    assert_eq!(all.data()["token/"]["type"], "token");
    assert!(server.get("sys/mounts").await.data().get("auth/people/here/").is_none());
    let seen = server.get("sys/internal/ui/mounts").await.expect(200);
    assert_eq!(seen.data()["auth"]["people/here/"]["description"], "people");

    let lockout = json!({ "user_lockout_config": {
        "lockout_threshold": "2", "lockout_duration": "5m",
        "lockout_counter_reset_duration": "1m", "lockout_disable": false,
    } });
    let _ = server.post("sys/auth/people/here/tune", lockout).await.expect(204);
    let tune = server.get("sys/auth/people/here/tune").await.expect(200);
    for (name, value) in [
        ("default_lease_ttl", json!(3600)),
        ("max_lease_ttl", json!(7200)),
        ("token_type", json!("default-service")),
        ("user_lockout_threshold", json!(2)),
        ("user_lockout_duration", json!(300)),
        ("user_lockout_counter_reset_duration", json!(60)),
        ("user_lockout_disable", json!(false)),
    ] {
        assert_eq!(tune.data()[name], value, "{name}");
    }
    let user = json!({ "password": "x" });
    let _ = server.post("auth/people/here/users/bob", user.clone()).await.expect(204);
    let made = server.ask("", "POST", "auth/people/here/login/bob", user).await.expect(200);
    assert_eq!(made.body["auth"]["lease_duration"], 3600);
    let token = made.at("/auth/client_token");
    let own = server.ask(token, "GET", "auth/token/lookup-self", Value::Null).await.expect(200);
    assert_eq!(own.data()["display_name"], "people-here-bob");
    let _ = server.delete("sys/auth/people/here").await.expect(204);
    let _ = server.ask(token, "GET", "auth/token/lookup-self", Value::Null).await.expect(403);
    let _ = server.get("sys/auth/people/here").await.expect(400);
}

#[tokio::test]
async fn methods_that_cannot_be_are_refused() {
    let server = Server::dev();
    with_userpass(&server).await;
    for (path, body, error) in [
        ("sys/auth/userpass", json!({ "type": "userpass" }), "path is already in use at userpass/"),
        ("sys/auth/userpass/x", json!({ "type": "userpass" }), "path is already in use at"),
        ("sys/auth/token", json!({ "type": "userpass" }), "path is already in use at token/"),
        ("sys/auth/x", json!({ "type": "token" }), "not mountable"),
        ("sys/auth/x", json!({ "type": "database" }), "plugin not found in the catalog: database"),
        ("sys/auth/x", json!({ "type": "ldap" }), "it is not supported yet"),
        ("sys/auth/x", json!({}), "backend type must be specified as a string"),
        ("sys/mounts/x", json!({ "type": "userpass" }), "plugin not found in the catalog"),
        ("sys/mounts/auth/x", json!({ "type": "database" }), "cannot mount \"auth/x/\""),
        ("sys/auth/userpass/tune", json!({ "token_type": "x" }), "invalid value for 'token_type'"),
        (
            "sys/auth/userpass/tune",
            json!({ "user_lockout_config": { "nope": 1 } }),
            "no field `nope`",
        ),
        (
            "sys/auth/userpass/tune",
            json!({ "user_lockout_config": { "lockout_threshold": 0 } }),
            "`lockout_threshold` is at least 1",
        ),
        (
            "auth/userpass/users/x",
            json!({ "password": "x", "policies": "Root " }),
            "`root` is given",
        ),
        (
            "auth/userpass/users/x",
            json!({ "password": "x", "token_type": "batch", "token_period": "1h" }),
            "set to generate periodic tokens",
        ),
        ("auth/userpass/users/x", json!({ "password": "x", "token_num_uses": -1 }), "negative"),
        ("auth/userpass/users/x", json!({ "password": "x", "token_bound_cidrs": "nope" }), "CIDR"),
        ("auth/userpass/users/x", json!({ "password_hash": "$2a$10$x" }), "is one of bcrypt"),
        (
            "auth/userpass/users/x",
            json!({ "password_hash": "$2a$04$WvvTPHKwdBJ3uk0Z37EMR./jPuzG9gBby2d5Bw7Ll6TASbiQ2IuQe" }),
            "is 10 to 12",
        ),
        (
            "auth/userpass/users/x",
            json!({
                "password": "x",
                "password_hash": "$2a$10$WvvTPHKwdBJ3uk0Z37EMR./jPuzG9gBby2d5Bw7Ll6TASbiQ2IuQe",
            }),
            "only one of password and password_hash",
        ),
        ("auth/userpass/users/x", json!({ "password": "x".repeat(5000) }), "4096 bytes at most"),
        ("auth/userpass/users/x", json!({ "password": { "a": 1 } }), "field \"password\""),
    ] {
        let refused = server.post(path, body.clone()).await.expect(400);
        assert!(refused.errors().contains(error), "{path} {body}: {}", refused.text);
    }
    let _ = server.delete("sys/auth/token").await.expect(400);
    let _ = server.get("auth/userpass/users/x").await.expect(404);
    let _ = server.post("auth/nope/login/ann", json!({ "password": "x" })).await.expect(404);
}

#[tokio::test]
async fn strangers_learn_nothing_and_hold_little() {
    let place = Place::new();
    let server = place.found().await;
    with_userpass(&server).await;
    let ask = async |path: &str, body: Value| server.ask("", "POST", path, body).await;
    let path = "auth/userpass/login/ann";
    let made = ask(path, json!({ "password": "canary-right" })).await.expect(200);
    assert!(made.headers.get("connection").is_none(), "whoever is let in keeps the connection");
    let wrong = ask(path, json!({ "password": "canary-wrong" })).await.expect(400);
    assert_eq!(wrong.headers["connection"], "close");
    let unknown = ask("auth/userpass/login/nemo", json!({ "password": "canary-wrong" })).await;
    assert_eq!((wrong.status, wrong.errors()), (unknown.status, unknown.errors()));
    for body in [json!({}), json!({ "password": "" }), json!({ "password": ["canary-wrong"] })] {
        let refused = ask(path, body).await.expect(400);
        assert!(!refused.text.contains("canary"), "{}", refused.text);
    }
    let large = json!({ "password": "x".repeat(70_000) });
    let _ = ask(path, large).await.expect(413);
    let _ = server.ask("", "GET", path, Value::Null).await.expect(405);
    // All that was said, and that was refused, is on record, and no password is.
    let audit = fs::read_to_string(place.path("audit")).unwrap();
    let refused = audit.lines().filter(|line| line.contains("invalid username or password"));
    assert_eq!(refused.count(), 2);
    assert!(audit.contains("missing password"));
    let store = fs::read_dir(place.path("store")).unwrap();
    let kept = store.map(|file| fs::read(file.unwrap().path()).unwrap_or_default());
    let kept: Vec<u8> = kept.flatten().collect();
    let shown = format!("{audit}{}{}", server.log(), String::from_utf8_lossy(&kept));
    assert!(!shown.contains("canary") && !shown.contains(made.at("/auth/client_token")));
}

#[tokio::test]
async fn whoever_logs_in_when_too_many_do_is_told_to_come_again() {
    let server = Server::dev();
    with_userpass(&server).await;
    let asks = (0..400).map(|_| {
        server.ask("", "POST", "auth/userpass/login/ann", json!({ "password": "canary-right" }))
    });
    let answers = futures_util::future::join_all(asks).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!(count(200) + count(429), 400);
    assert!(count(200) > 90 && count(429) > 0, "{} were let in", count(200));
    let refused = answers.iter().find(|answer| answer.status == 429).unwrap();
    assert_eq!(refused.headers["retry-after"], "5");
    let _ = server.ask(ROOT, "GET", "sys/auth", Value::Null).await.expect(200);
}

#[tokio::test]
async fn a_locked_name_is_listed_and_let_in_again_by_an_operator() {
    let server = Server::dev();
    with_userpass(&server).await;
    let path = "auth/userpass/login/Ann";
    for _ in 0..5 {
        let _ = server.ask("", "POST", path, json!({ "password": "x" })).await.expect(400);
    }
    let right = json!({ "password": "canary-right" });
    let _ = server.ask("", "POST", path, right.clone()).await.expect(403);
    let locked = server.get("sys/locked-users").await.expect(200);
    assert_eq!(locked.data()["total"], 1);
    let of_mount = &locked.data()["by_namespace"][0]["mount_accessors"][0];
    assert_eq!(of_mount["alias_identifiers"], json!(["ann"]));
    let accessor = of_mount["mount_accessor"].as_str().unwrap();
    let unlock = format!("sys/locked-users/{accessor}/unlock/ann");
    let _ = server.ask("", "POST", &unlock, json!({})).await.expect(403);
    let _ = server.post("sys/locked-users/auth_userpass_0/unlock/ann", json!({})).await.expect(400);
    let _ = server.post("sys/locked-users/nope", json!({})).await.expect(400);
    let _ = server.post(&unlock, json!({})).await.expect(204);
    let _ = server.ask("", "POST", path, right).await.expect(200);
    assert_eq!(server.get("sys/locked-users").await.data()["total"], 0);
}

#[tokio::test]
async fn a_user_may_be_written_with_a_hash_by_bcrypt() {
    let server = Server::dev();
    with_userpass(&server).await;
    // By libxcrypt.
    let hash = "$2b$10$WvvTPHKwdBJ3uk0Z37EMR./jPuzG9gBby2d5Bw7Ll6TASbiQ2IuQe";
    let user = json!({ "password_hash": hash, "token_type": "batch" });
    let _ = server.post("auth/userpass/users/bob", user).await.expect(204);
    let changed = json!({ "password_hash": hash });
    let _ = server.post("auth/userpass/users/ann/password", changed).await.expect(204);
    for name in ["ann", "bob"] {
        let path = format!("auth/userpass/login/{name}");
        let wrong = json!({ "password": "canary-right" });
        let _ = server.ask("", "POST", &path, wrong).await.expect(400);
        let right = json!({ "password": "correct horse" });
        let told = server.ask("", "POST", &path, right).await.expect(200);
        let kind = if name == "ann" { "service" } else { "batch" };
        assert_eq!(told.at("/auth/token_type"), kind);
    }
}

/// A network alone may have 96 logins wait; 2 are looked at, at a time.
#[tokio::test]
async fn who_logs_in_too_often_at_once_is_told_when_to_come_again() {
    let server = Server::dev();
    with_userpass(&server).await;
    let wrong = json!({ "password": "wrong" });
    let logins = (0..400).map(|number| {
        let (server, wrong) = (&server, wrong.clone());
        async move {
            let path = format!("auth/userpass/login/nobody-{number}");
            server.ask("", "POST", &path, wrong).await
        }
    });
    let answers = futures_util::future::join_all(logins).await;
    let (full, wrong): (Vec<_>, Vec<_>) = answers.iter().partition(|one| one.status == 429);
    assert!(!full.is_empty(), "the queue was never full");
    for answer in full {
        assert!(answer.errors().contains("too many logins at once"), "{}", answer.text);
        let after: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!(after > 0);
    }
    for answer in wrong {
        assert_eq!(answer.status, 400, "{}", answer.text);
        assert_eq!(answer.errors(), "invalid username or password");
    }
    // Once those are done that wait there is room again.
    let right = json!({ "password": "canary-right" });
    let _ = server.ask("", "POST", "auth/userpass/login/ann", right).await.expect(200);
}
