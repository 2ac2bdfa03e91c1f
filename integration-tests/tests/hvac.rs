//! hvac, a client that nobody here wrote, works with the server as its users know it: `hvac/flows.py` says what it does.

use leasehold_integration_tests::postgres::{self, SUPERUSER, SUPERUSER_PASSWORD, Version};
use leasehold_integration_tests::server::{Place, ROOT, Server};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

/// Returns the Python that has hvac.
fn python() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/hvac");
    let venv = std::env::var_os("LEASEHOLD_HVAC").map_or(beside, PathBuf::from);
    let python = venv.join("bin/python");
    assert!(
        python.exists(),
        "no Python with hvac in {}: run the tests by `cargo xtask test`, which installs it there, or name a virtual \
         environment with `integration-tests/tests/hvac/requirements.txt` in LEASEHOLD_HVAC",
        venv.display()
    );
    python
}

#[tokio::test]
async fn hvac_does_token_and_database_flows() {
    let target = postgres::Server::start(Version::Distribution);
    let (server, place) = (Server::dev(), Place::new());
    let new_server = place.start();
    let flows = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hvac/flows.py");
    let mut running = Command::new(python())
        .arg(flows)
        // Whatever the user of this machine has set up for a server of their own is none of these servers'.
        .env_clear()
        .env("NEW_SERVER", format!("http://{}", new_server.address()))
        .env("SERVER", format!("http://{}", server.address()))
        .env("TOKEN", ROOT)
        .env("CONNECTION_URL", target.template_url("postgres"))
        .env("USERNAME", SUPERUSER)
        .env("PASSWORD", SUPERUSER_PASSWORD)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut answers = running.stdin.take().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let mut errors = running.stderr.take().unwrap();
    let (mut done, mut flows) = (Vec::new(), 0);
    while let Some(line) = lines.next_line().await.unwrap() {
        let said: Value = serde_json::from_str(&line).unwrap();
        if let Some(credential) = said.get("log_in") {
            let text = |name: &str| credential[name].as_str().unwrap();
            let logged_in = target.log_in(text("username"), text("password"), "postgres").await;
            let answer = format!("{}\n", logged_in.is_ok());
            answers.write_all(answer.as_bytes()).await.unwrap();
        }
        done.extend(said["went_through"].as_str().map(str::to_owned));
        flows = said["flows"].as_u64().unwrap_or(flows);
    }
    let mut told = String::new();
    errors.read_to_string(&mut told).await.unwrap();
    let status = running.wait().await.unwrap();
    assert!(status.success(), "after {done:?}:\n{told}");
    assert_eq!(u64::try_from(done.len()).unwrap(), flows, "{done:?}");
    assert!(flows > 0);
}
