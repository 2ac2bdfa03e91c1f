//! The whole server in front of AWS, in Vault's shapes, and boto3, which nobody here wrote, with what it lends.

use crate::place::role_of_a_reader;
use leasehold_integration_tests::aws::{Account, python};
use leasehold_integration_tests::server::Server;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::process::Command;

/// Returns what boto3 says of a key.
async fn boto3(account: &Account, key: &Value) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/aws/who.py");
    let text = |name: &str| key[name].as_str().expect("it is a text");
    let mut asked = Command::new(python());
    asked.env_clear().env("PYTHONDONTWRITEBYTECODE", "1").arg(script);
    asked.args([account.address(), text("access_key"), text("secret_key")]);
    asked.args(key["session_token"].as_str());
    let output = asked.output().await.expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it says so in JSON")
}

async fn configured(account: &Account) -> Server {
    let server = Server::dev();
    let _ = server.post("sys/mounts/aws", json!({"type": "aws"})).await.expect(204);
    let _ = server.post("aws/config/root", account.config()).await.expect(204);
    let _ = server.post("aws/roles/app", role_of_a_reader()).await.expect(204);
    server
}

/// Returns what is known of a name.
async fn whois(server: &Server, name: &Value) -> Value {
    server.post("sys/whois", json!({ "name": name })).await.expect(200).data().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_only_write_to_be_lent_a_key_may_renew_its_lease() {
    let account = Account::open();
    let server = configured(&account).await;
    let holder = async |capability: &str| {
        let policy = format!(
            "path \"aws/creds/app\" {{ capabilities = [\"{capability}\"] }}\n\
             path \"sys/leases/renew\" {{ capabilities = [\"update\"] }}"
        );
        let path = format!("sys/policies/acl/may-{capability}");
        let _ = server.post(&path, json!({ "policy": policy })).await.expect(204);
        let asked = json!({ "policies": [format!("may-{capability}")], "ttl": "1h" });
        let made = server.post("auth/token/create", asked).await.expect(200);
        made.at("/auth/client_token").to_owned()
    };
    for (capability, method) in [("update", "POST"), ("read", "GET")] {
        let token = holder(capability).await;
        let lent = server.ask(&token, method, "aws/creds/app", Value::Null).await.expect(200);
        let renewed = json!({ "lease_id": lent.at("/lease_id") });
        let _ = server.ask(&token, "POST", "sys/leases/renew", renewed.clone()).await.expect(200);
        // Who could be lent it no more cannot keep it longer either.
        let path = format!("sys/policies/acl/may-{capability}");
        let policy = "path \"sys/leases/renew\" { capabilities = [\"update\"] }";
        let _ = server.post(&path, json!({ "policy": policy })).await.expect(204);
        let _ = server.ask(&token, "POST", "sys/leases/renew", renewed).await.expect(403);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_lent_works_with_boto3_and_is_dead_once_its_lease_is_revoked() {
    let account = Account::open();
    account.judge(json!({"stale": 2})).await;
    let server = configured(&account).await;
    let _ = server.get("aws/config/lease").await.expect(404);
    let lease = json!({"lease": "30m", "lease_max": "12h"});
    let _ = server.post("aws/config/lease", lease).await.expect(204);
    let read = server.get("aws/config/lease").await.expect(200);
    assert_eq!(*read.data(), json!({"lease": "30m0s", "lease_max": "12h0m0s"}));

    let lent = server.get("aws/creds/app").await.expect(200);
    assert_eq!(lent.body["lease_duration"], 1800);
    assert_eq!(lent.body["renewable"], true);
    assert!(lent.at("/lease_id").starts_with("aws/creds/app/"));
    let key = lent.data().clone();
    let names: Vec<_> = key.as_object().expect("it is an object").keys().collect();
    assert_eq!(names, ["access_key", "secret_key", "security_token"]);
    assert_eq!(key["security_token"], Value::Null);
    let user = boto3(&account, &key).await["user"].as_str().expect("it is good").to_owned();
    assert!(user.starts_with("vault-token-app-"), "{user}");
    let who = server.post("sys/whois", json!({"name": user})).await.expect(200);
    assert!(who.body.to_string().contains(lent.at("/lease_id")), "{}", who.body);
    // CloudTrail has the key's id.
    let who = whois(&server, &key["access_key"]).await;
    assert_eq!(who["leases"][0]["lease_id"], lent.body["lease_id"], "{who}");
    assert_eq!(who["leases"][0]["known_as"], key["access_key"], "{who}");

    // A write lends as well, as in Vault.
    let other = server.post("aws/creds/app", json!({})).await.expect(200);
    let renewed = json!({"lease_id": lent.at("/lease_id")});
    let _ = server.post("sys/leases/renew", renewed).await.expect(200);
    let _ = server
        .post("sys/leases/revoke", json!({"lease_id": lent.at("/lease_id"), "sync": true}))
        .await
        .expect(204);
    assert_eq!(boto3(&account, &key).await, json!({"error": "InvalidClientTokenId"}));
    assert!(boto3(&account, other.data()).await["user"].is_string(), "the other is as it was");
    // A disabled mount takes all that it lent with it.
    let _ = server.delete("sys/mounts/aws").await.expect(204);
    let revoked = async { while boto3(&account, other.data()).await["user"].is_string() {} };
    tokio::time::timeout(Duration::from_mins(1), revoked).await.expect("it is revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_operators_write_is_read_back_without_secrets_and_refused_by_name() {
    let account = Account::open();
    let server = configured(&account).await;
    let root = server.get("aws/config/root").await.expect(200);
    assert_eq!(root.data()["access_key"], account.key.0.as_str());
    assert_eq!(root.data()["max_retries"], -1);
    assert!(!root.body.to_string().contains(&account.key.1), "no secret is shown");
    let role = server.get("aws/roles/app").await.expect(200);
    assert_eq!(role.data()["credential_type"], "iam_user");
    assert_eq!((&role.data()["role_arns"], &role.data()["user_path"]), (&json!([]), &json!("/")));
    assert_eq!(server.list("aws/roles").await.expect(200).data()["keys"], json!(["app"]));
    let tagged = json!({"credential_type": "iam_user", "iam_tags": "team=shop", "policy_arns": "", "iam_groups": []});
    let _ = server.post("aws/roles/tagged", tagged).await.expect(204);
    let tagged = server.get("aws/roles/tagged").await.expect(200);
    assert_eq!(tagged.data()["iam_tags"], json!({"team": "shop"}));

    for (path, body, told) in [
        ("aws/config/root", json!({"secret_key": "canary"}), "SignatureDoesNotMatch"),
        ("aws/config/root", json!({"iam_endpoint": "nowhere"}), "iam_endpoint"),
        ("aws/config/root", json!({"max_retries": "often"}), "max_retries"),
        ("aws/config/lease", json!({"lease": "1h"}), "lease_max"),
        ("aws/config/lease", json!({"lease": "2h", "lease_max": "1h"}), "lease_max"),
        ("aws/roles/bad", json!({"credential_type": "assumed"}), "credential_type"),
        ("aws/roles/bad", json!({"credential_type": "assumed_role"}), "role_arns"),
        ("aws/roles/bad", json!({"credential_type": "iam_user", "iam_groups": "no"}), "no group"),
        (
            "aws/roles/bad",
            json!({"credential_type": "iam_user", "default_sts_ttl": "1h"}),
            "default_sts_ttl",
        ),
    ] {
        let refused = server.post(path, body).await.expect(400);
        assert!(refused.errors().contains(told), "{path}: {}", refused.errors());
        assert!(!refused.errors().contains("canary"), "{}", refused.errors());
    }
    let _ = server.get("aws/creds/app").await.expect(200);
    // Each type of mount has its own kinds of targets.
    let _ = server.post("sys/mounts/database", json!({"type": "database"})).await.expect(204);
    let mixed = json!({"plugin_name": "aws", "access_key": "a", "secret_key": "b"});
    let mixed = server.post("database/config/x", mixed).await.expect(400);
    assert!(mixed.errors().contains("type `aws`"), "{}", mixed.errors());
    let unknown = server.get("aws/creds/nobody").await;
    assert!(unknown.errors().contains("unknown role"), "{}", unknown.errors());
}

/// What may be written with `update` in Vault may be written with it here: these paths know no creation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_right_is_enough_for_what_is_new_and_a_lease_config_stays_below_the_mounts() {
    let account = Account::open();
    let server = configured(&account).await;
    let policy = r#"path "aws/*" { capabilities = ["read", "update"] }"#;
    let _ = server.post("sys/policies/acl/aws", json!({"policy": policy})).await.expect(204);
    let token = server.post("auth/token/create", json!({"policies": ["aws"]})).await.expect(200);
    let token = token.at("/auth/client_token").to_owned();
    let write = async |path: &str, body: Value| server.ask(&token, "POST", path, body).await;
    let _ = write("aws/roles/new", role_of_a_reader()).await.expect(204);
    let _ = server.post("sys/mounts/aws/tune", json!({"max_lease_ttl": "10m"})).await.expect(204);
    let _ = write("aws/config/lease", json!({"lease": "5h", "lease_max": "10h"})).await.expect(204);
    let lent = write("aws/creds/new", json!({})).await.expect(200);
    assert_eq!(lent.body["lease_duration"], 600, "{}", lent.body["warnings"]);
}

/// A session as its caller asks for it, with what Vault's clients look for; it cannot be ended, and whoever ends its lease
/// is told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_lent_works_with_boto3_and_ends_by_itself() {
    let account = Account::open();
    let server = configured(&account).await;
    let arn = account.role("deploy", &json!({}), &["sts:AssumeRole"]).await;
    let role = json!({"credential_type": "assumed_role", "role_arns": arn, "max_sts_ttl": "30m"});
    let _ = server.post("aws/roles/deploy", role).await.expect(204);
    let read = server.get("aws/roles/deploy").await.expect(200);
    assert_eq!(read.data()["role_arns"], json!([arn]));
    assert_eq!(
        (&read.data()["max_sts_ttl"], &read.data()["default_sts_ttl"]),
        (&json!(1800), &json!(0))
    );

    let lent = server.get("aws/sts/deploy?ttl=900&role_session_name=ann").await.expect(200);
    assert_eq!(
        (&lent.body["lease_duration"], &lent.body["renewable"]),
        (&json!(900), &json!(false))
    );
    let key = lent.data().clone();
    let names: Vec<_> = key.as_object().expect("it is an object").keys().collect();
    assert_eq!(
        names,
        ["access_key", "arn", "secret_key", "security_token", "session_token", "ttl"]
    );
    assert_eq!((&key["ttl"], &key["security_token"]), (&json!(900), &key["session_token"]));
    let user = boto3(&account, &key).await["user"].as_str().expect("it is good").to_owned();
    assert!(user.starts_with("ann-"), "{user}");
    assert!(key["arn"].as_str().is_some_and(|arn| arn.ends_with(&format!("/deploy/{user}"))));
    let who = server.post("sys/whois", json!({"name": user})).await.expect(200);
    assert!(who.body.to_string().contains(lent.at("/lease_id")), "{}", who.body);
    let who = whois(&server, &key["access_key"]).await;
    assert_eq!(who["leases"][0]["lease_id"], lent.body["lease_id"], "{who}");

    let lease = json!({"lease_id": lent.at("/lease_id"), "sync": true});
    let renewed = server.post("sys/leases/renew", lease.clone()).await.expect(400);
    assert!(renewed.errors().contains("lease is not renewable"), "{}", renewed.errors());
    let revoked = server.post("sys/leases/revoke", lease.clone()).await.expect(200);
    let warned = revoked.body["warnings"][0].as_str().expect("it is told").to_owned();
    assert!(warned.contains("AWS ends no session before its time"), "{warned}");
    assert!(boto3(&account, &key).await["user"].is_string(), "it lives on");
    let looked = server.post("sys/leases/lookup", lease).await.expect(200);
    assert!(looked.data()["revoke_error"].as_str().is_some_and(|error| error.contains("session")));
    account.judge(json!({"later": 901})).await;
    assert_eq!(boto3(&account, &key).await, json!({"error": "ExpiredToken"}));

    // A write asks the same.
    let lent = server.post("aws/creds/deploy", json!({"ttl": "20m"})).await.expect(200);
    assert_eq!(lent.body["lease_duration"], 1200);
    for (asked, told) in [
        (json!({"ttl": 899}), "900 s"),
        (json!({"ttl": "31m"}), "1800 s"),
        (json!({"role_arn": "arn:aws:iam::1:role/other"}), "role/other"),
        (json!({"role_session_name": "x".repeat(60)}), "role_session_name"),
    ] {
        let refused = server.post("aws/sts/deploy", asked).await.expect(400);
        assert!(refused.errors().contains(told), "{}", refused.errors());
    }
    let asked = account.asked().await;
    let assumed = asked.iter().filter(|(action, _)| action == "AssumeRole").count();
    assert_eq!(assumed, 2, "what is refused here is not asked of AWS");
}

/// The key of a user that was there before, rotated in time and by request, and the administrator's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_role_tells_a_key_that_works_and_the_administrator_gets_another() {
    let account = Account::open();
    let server = configured(&account).await;
    account.iam().create_user().user_name("robot").send().await.expect("a user");
    let robot = json!({"username": "robot", "rotation_period": "1h"});
    let _ = server.post("aws/static-roles/robot", robot).await.expect(204);
    let read = server.get("aws/static-roles/robot").await.expect(200);
    assert_eq!(read.data()["username"], "robot");
    assert_eq!(
        (&read.data()["name"], &read.data()["rotation_period"]),
        (&json!("robot"), &json!(3600))
    );
    assert_eq!(read.data()["db_name"], Value::Null);
    let keys = server.list("aws/static-roles").await.expect(200);
    assert_eq!(keys.data()["keys"], json!(["robot"]));
    let first = server.get("aws/static-creds/robot").await.expect(200).data().clone();
    assert_eq!(boto3(&account, &first).await, json!({"user": "robot"}));
    let _ = server.post("aws/rotate-role/robot", json!({})).await.expect(204);
    let second = server.get("aws/static-creds/robot").await.expect(200).data().clone();
    let who = whois(&server, &second["access_key"]).await;
    assert_eq!(who["accounts"][0]["static_role"], "robot", "{who}");
    assert_eq!(who["accounts"][0]["mount"], "aws/", "{who}");
    assert_ne!(first["access_key"], second["access_key"]);
    assert_eq!(boto3(&account, &second).await, json!({"user": "robot"}));
    assert_eq!(boto3(&account, &first).await, json!({"error": "InvalidClientTokenId"}));
    let own = json!({"username": "administrator", "rotation_period": "1h"});
    let refused = server.post("aws/static-roles/own", own).await;
    assert!(refused.errors().contains("config/rotate-root"), "{}", refused.errors());

    let rotated = server.post("aws/config/rotate-root", json!({})).await.expect(200);
    let id = rotated.data()["access_key"].as_str().expect("its id is told").to_owned();
    assert_ne!(id, account.key.0);
    let who = whois(&server, &json!(id)).await;
    assert_eq!((&who["accounts"][0]["username"], &who["leases"]), (&json!(id), &json!([])));
    assert!(rotated.body["warnings"][0].as_str().is_some_and(|text| text.contains("backups")));
    let shown = server.get("aws/config/root").await.expect(200);
    assert_eq!(shown.data()["access_key"], id.as_str());
    let old = json!({"access_key": account.key.0, "secret_key": account.key.1});
    assert_eq!(boto3(&account, &old).await, json!({"error": "InvalidClientTokenId"}));
    let lent = server.get("aws/creds/app").await.expect(200).data().clone();
    assert!(boto3(&account, &lent).await["user"].is_string(), "the new key lends");
    let _ = server.delete("aws/static-roles/robot").await.expect(204);
    assert_eq!(boto3(&account, &second).await, json!({"user": "robot"}), "the account stays");
}

/// What any target may be told of itself, an account may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_gets_another_key_by_itself_and_an_account_is_compared_by_itself() {
    let account = Account::open();
    let server = configured(&account).await;
    let never = server.get("aws/config/root").await.expect(200).data().clone();
    assert_eq!(
        (&never["rotation_period"], &never["reconcile_period"]),
        (&Value::Null, &Value::Null)
    );
    let both = json!({"rotation_period": "5s", "reconcile_period": "1h", "reconcile_repair": true});
    let _ = server.post("aws/config/root", both).await.expect(204);
    let told = server.get("aws/config/root").await.expect(200).data().clone();
    assert_eq!((&told["rotation_period"], &told["reconcile_period"]), (&json!(5), &json!(3600)));
    assert_eq!(told["reconcile_repair"], true);
    let rotated = async {
        loop {
            let now = server.get("aws/config/root").await.expect(200).data().clone();
            if now["access_key"] != account.key.0.as_str() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), rotated).await.expect("its key is another");
    let lent = server.get("aws/creds/app").await.expect(200).data().clone();
    assert!(boto3(&account, &lent).await["user"].is_string(), "and lends");

    let planned = json!({"rotation_schedule": "0 3 * * 0", "rotation_window": "2h"});
    let _ = server.post("aws/config/root", planned).await.expect(204);
    let told = server.get("aws/config/root").await.expect(200).data().clone();
    assert_eq!(
        (&told["rotation_schedule"], &told["rotation_window"]),
        (&json!("0 3 * * 0"), &json!(7200))
    );
    assert_eq!(told["rotation_period"], Value::Null);
    for (asked, why) in [
        (json!({"rotation_period": "1s"}), "5 seconds"),
        (json!({"reconcile_period": "1s"}), "reconcile_period"),
    ] {
        let refused = server.post("aws/config/root", asked).await.expect(400);
        assert!(refused.errors().contains(why), "{}", refused.errors());
    }
}
