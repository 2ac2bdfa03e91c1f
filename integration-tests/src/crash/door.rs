//! A way in to a server that may die at any moment.

#![expect(clippy::expect_used, reason = "test support: without a client nothing can be tested")]

use reqwest::{Client, Method};
use serde_json::Value;
use std::time::Duration;

/// As long as a caller waits: the server gives up earlier.
const PATIENCE: Duration = Duration::from_secs(75);

/// Asks a server, and takes its death for an answer.
#[derive(Clone, Debug)]
pub struct Door {
    client: Client,
    address: String,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body, `null` if there is none.
    pub body: Value,
}

impl Door {
    /// Leads to the server at this address.
    #[must_use]
    pub fn to(address: &str) -> Self {
        let client = Client::builder().no_proxy().timeout(PATIENCE).build();
        Self { client: client.expect("a client"), address: address.to_owned() }
    }

    /// Asks; `None` if there was no whole answer.
    pub async fn ask(&self, token: &str, method: &str, path: &str, body: Value) -> Option<Answer> {
        self.ask_under(None, token, method, path, body).await
    }

    /// The same under an `Idempotency-Key`, if there is one.
    pub async fn ask_under(
        &self,
        key: Option<&str>,
        token: &str,
        method: &str,
        path: &str,
        body: Value,
    ) -> Option<Answer> {
        let method = Method::from_bytes(method.as_bytes()).ok()?;
        let url = format!("http://{}/v1/{path}", self.address);
        let mut request = self.client.request(method, url).header("X-Vault-Token", token);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let text = response.text().await.ok()?;
        Some(Answer { status, body: serde_json::from_str(&text).unwrap_or_default() })
    }
}
