//! A stand-in for AWS for tests: each test has its own, on a free port; `tests/aws/server.py` says what it is strict about.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "an account that does not open fails the test at once"
)]

use aws_sdk_iam::config::{BehaviorVersion, Credentials, Region};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// An account with an administrator who may do everything. It is gone when dropped.
#[derive(Debug)]
pub struct Account {
    process: Child,
    /// Open for as long as the account is.
    _open: ChildStdin,
    address: String,
    /// The administrator's key: its id, and its secret.
    pub key: (String, String),
}

/// Returns the Python that has moto and boto3.
#[must_use]
pub fn python() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/moto");
    let venv = std::env::var_os("LEASEHOLD_MOTO").map_or(beside, PathBuf::from);
    let python = venv.join("bin/python");
    assert!(
        python.exists(),
        "no Python with moto in {}: run the tests by `cargo xtask test`, which installs it there, or name a virtual \
         environment with `integration-tests/tests/aws/requirements.txt` in LEASEHOLD_MOTO",
        venv.display()
    );
    python
}

impl Account {
    /// Opens an account.
    #[must_use]
    pub fn open() -> Self {
        let mut process = Command::new(python())
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/aws/server.py"))
            // Whatever the user of this machine has set up for an account of their own is not for this one.
            .env_clear()
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let open = process.stdin.take().expect("it is piped");
        let mut first = String::new();
        let mut said = BufReader::new(process.stdout.take().expect("it is piped"));
        said.read_line(&mut first).expect("it says where it is");
        let started: Value = serde_json::from_str(&first).expect("it started");
        let text = |name: &str| started[name].as_str().expect("it is a text").to_owned();
        let address = format!("http://127.0.0.1:{}", started["port"]);
        let key = (text("access_key"), text("secret_key"));
        Self { process, _open: open, address, key }
    }

    /// Returns where its IAM and STS are.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        let (_, port) = self.address.rsplit_once(':').expect("the address has a port");
        port.parse().expect("it is a number")
    }

    /// Returns what an operator writes to `config/root`.
    #[must_use]
    pub fn config(&self) -> Value {
        json!({
            "access_key": self.key.0, "secret_key": self.key.1, "region": "us-east-1",
            "iam_endpoint": self.address, "sts_endpoint": self.address,
        })
    }

    /// Tells the judge what to do.
    pub async fn judge(&self, what: Value) {
        let answer = reqwest::Client::new()
            .post(format!("{}/judge", self.address))
            .body(what.to_string())
            .send()
            .await;
        assert!(answer.expect("the judge listens").status().is_success());
    }

    /// Returns what was asked so far, each an action with its fields.
    pub async fn asked(&self) -> Vec<(String, Value)> {
        let answer = reqwest::get(format!("{}/judge", self.address)).await;
        let text = answer.expect("the judge listens").text().await.expect("it answers");
        let said: Value = serde_json::from_str(&text).expect("it answers in JSON");
        serde_json::from_value(said["asked"].clone()).expect("it lists what was asked")
    }

    /// Asks IAM as the administrator.
    #[must_use]
    pub fn iam(&self) -> aws_sdk_iam::Client {
        self.iam_as(&self.key.0, &self.key.1)
    }

    /// Asks IAM with a key.
    #[must_use]
    pub fn iam_as(&self, id: &str, secret: &str) -> aws_sdk_iam::Client {
        self.iam_with(Credentials::new(id, secret, None, None, "test"))
    }

    /// Asks IAM with the key of a session.
    #[must_use]
    pub fn iam_in_session(&self, id: &str, secret: &str, token: &str) -> aws_sdk_iam::Client {
        self.iam_with(Credentials::new(id, secret, Some(token.to_owned()), None, "test"))
    }

    fn iam_with(&self, credentials: Credentials) -> aws_sdk_iam::Client {
        let config = aws_sdk_iam::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(&self.address)
            .credentials_provider(credentials);
        aws_sdk_iam::Client::from_conf(config.build())
    }

    /// Returns the name of the user whose key this is, or why AWS does not know it.
    pub async fn who_is(&self, id: &str, secret: &str) -> Result<String, String> {
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(&self.address)
            .credentials_provider(Credentials::new(id, secret, None, None, "test"));
        let asked = aws_sdk_sts::Client::from_conf(config.build()).get_caller_identity().send();
        let told = asked.await.map_err(|error| format!("{:?}", error.into_service_error()))?;
        let arn = told.arn.expect("everybody has an ARN");
        Ok(arn.rsplit('/').next().expect("it ends in a name").to_owned())
    }

    /// Makes a role at AWS that may read a summary of the account, as everybody may assume it who meets the conditions of
    /// its trust, by these actions. Returns its ARN.
    pub async fn role(&self, name: &str, condition: &Value, trusts: &[&str]) -> String {
        let everybody = json!({"AWS": "*"});
        let trust = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": everybody, "Action": trusts, "Condition": condition},
        ]});
        let made = self.iam().create_role().role_name(name);
        let made = made.assume_role_policy_document(trust.to_string()).send().await;
        let may = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["iam:GetAccountSummary", "iam:ListUsers"], "Resource": "*"},
        ]});
        let put = self.iam().put_role_policy().role_name(name).policy_name("may");
        put.policy_document(may.to_string()).send().await.expect("it may");
        made.expect("a role").role.expect("it is told").arn
    }

    /// Suspends the account: whatever is asked waits.
    pub fn suspend(&self) {
        crate::process::suspend(self.pid());
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(nix::sys::signal::Signal::SIGCONT);
    }

    fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.process.id()).expect("a process id is small"))
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(self.pid(), signal).expect("it runs");
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
