//! Through the real binary: mount, configuration, role, credentials, login, revocation, and a restart of the target.

use crate::place::{eventually, log_in, works};
use leasehold_integration_tests::engine_suite::Login;
use leasehold_integration_tests::redis::{PASSWORD, Server as Target, Users};
use leasehold_integration_tests::server::Server;
use serde_json::{Value, json};

fn login(data: &Value) -> Login {
    let text = |name: &str| data[name].as_str().expect("it is a text").to_owned();
    Login { username: text("username"), password: text("password") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_lent_put_back_after_a_restart_and_revoked() {
    let (server, target) = (Server::dev(), Target::start(Users::Nowhere));
    let _ = server.post("sys/mounts/database", json!({ "type": "database" })).await.expect(204);
    let _ = server.post("database/config/cache", target.config()).await.expect(204);
    let shown = server.get("database/config/cache").await.expect(200);
    let details = &shown.data()["connection_details"];
    assert_eq!(details["port"], target.port().to_string());
    assert!(!details.to_string().contains(PASSWORD), "{details}");
    let role = json!({ "db_name": "cache", "default_ttl": "1h" });
    let _ = server.post("database/roles/app", role).await.expect(204);

    let lent = server.get("database/creds/app").await.expect(200);
    let (own, lease) = (login(lent.data()), lent.at("/lease_id").to_owned());
    assert!(
        own.username.starts_with("V_ROOT_APP_") || own.username.starts_with("V_TOKEN_APP_"),
        "{own:?}"
    );
    let mut session = log_in(&target, &own).await.expect("it logs in");
    assert!(works(&mut session).await);
    let whose = server.post("sys/whois", json!({ "name": own.username })).await.expect(200);
    assert_eq!(whose.at("/data/leases/0/lease_id"), lease);
    let verifier = target.ask(&["ACL", "GETUSER", &own.username]).await.expect("it is there");
    let hash = format!("{verifier:?}");
    let mut words = hash.split(|char: char| !char.is_ascii_hexdigit());
    let hash = words.find(|word| word.len() == 64).expect("the server has a hash").to_owned();
    assert!(!whose.data().to_string().contains(&hash), "nobody is shown the verifier");

    target.restart();
    eventually("the credential is put back", async || log_in(&target, &own).await.is_ok()).await;
    let renewal = json!({ "lease_id": lease, "increment": "2h" });
    let _ = server.post("sys/leases/renew", renewal).await.expect(200);
    let mut session = log_in(&target, &own).await.expect("it logs in");

    let revocation = json!({ "lease_id": lease, "sync": true });
    let _ = server.post("sys/leases/revoke", revocation).await.expect(204);
    assert!(!works(&mut session).await, "its session has ended");
    assert!(log_in(&target, &own).await.is_err(), "it logs in no more");
    target.restart();
    assert!(log_in(&target, &own).await.is_err(), "and is not put back");
    assert!(!server.log().contains(&hash) && !server.log().contains(&own.password));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_right_is_refused_and_what_should_be_thought_over_is_told() {
    let (server, target) = (Server::dev(), Target::start(Users::Nowhere));
    let _ = server.post("sys/mounts/database", json!({ "type": "database" })).await.expect(204);
    let mut valkey = target.config();
    valkey["plugin_name"] = json!("valkey-database-plugin");
    let _ = server.post("database/config/cache", valkey).await.expect(204);

    let wide = json!({ "db_name": "cache", "creation_statements": "[\"~*\", \"+@all\"]" });
    let told = server.post("database/roles/wide", wide).await.expect(200);
    let warnings = &told.body["warnings"];
    assert!(
        warnings.to_string().contains("`ACL`") && warnings.to_string().contains("`CONFIG`"),
        "{warnings}"
    );

    for (statements, said) in
        [(json!("[\">geheim\"]"), "leave them out"), (json!(["~*", "+@nope"]), "+@nope")]
    {
        let role = json!({ "db_name": "cache", "creation_statements": statements });
        let refused = server.post("database/roles/wrong", role).await.expect(400).errors();
        assert!(refused.contains(said) && !refused.contains("geheim"), "{refused}");
    }
    let mut wrong = target.config();
    wrong["password"] = json!("not it");
    let refused = server.post("database/config/other", wrong).await.expect(400).errors();
    assert!(
        refused.contains("does not let the administrator in") && !refused.contains("not it"),
        "{refused}"
    );
}
