//! A process that dies at any commit of a rotation leaves a password that is known, and the next one serves it.

use crate::set_up;
use leasehold_integration_tests::postgres::{Server as Postgres, Version};
use leasehold_integration_tests::server::{Answer, Build, Place, Server};
use serde_json::json;
use sqlx::Executor as _;
use std::process::Command;
use std::time::Duration;

/// Asks until the server can answer: 503 says that a password is not tested yet, and 502 that the administrator is not let
/// in: the process has just begun to go on with what the one before it had intended.
async fn answered(server: &Server, path: &str) -> Answer {
    for _ in 0..1200 {
        let answer = server.get(path).await;
        if answer.status == 200 {
            return answer;
        }
        assert!(matches!(answer.status, 502 | 503), "{path}: {}", answer.text);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{path} was not answered for two minutes")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_commit_of_a_rotation_leaves_a_password_that_works() {
    let postgres = Postgres::start(Version::Distribution);
    let place = Place::new();
    let server = place.found().await;
    set_up(&server, &postgres, "1h").await;
    let mut superuser = postgres.superuser("postgres").await;
    superuser.execute("CREATE ROLE billing LOGIN").await.unwrap();
    let written = json!({ "db_name": "pg", "username": "billing", "rotation_period": "24h" });
    let _ = server.post("database/static-roles/billing", written).await.expect(204);
    let token = server.token.clone();
    assert!(server.end().success());
    let mut killed = 0;
    for path in ["database/rotate-role/billing", "database/rotate-root/pg"] {
        for point in ["other.before-commit", "other.after-commit"] {
            for passing in 1..=6 {
                let mut armed = Command::new(Build::KillPoints.binary());
                armed.env("LEASEHOLD_KILL_AT", format!("{point}:{passing}"));
                if let Ok(mut server) = place.try_start_by(armed) {
                    server.token.clone_from(&token);
                    let url = format!("http://{}/v1/{path}", server.address());
                    let request = reqwest::Client::new().post(url).header("X-Vault-Token", &token);
                    killed += usize::from(request.send().await.is_err());
                }
                let server = place.again(&token);
                let told = answered(&server, "database/static-creds/billing").await;
                let password = told.at("/data/password");
                let entered = postgres.log_in("billing", password, "postgres").await;
                entered.unwrap_or_else(|error| panic!("{path} {point}:{passing}: {error}"));
                answered(&server, "database/creds/app").await;
                assert!(server.end().success());
            }
        }
    }
    assert!(killed >= 8, "only {killed} processes died in a rotation");
}
