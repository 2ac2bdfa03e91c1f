//! Tokens are looked up and made, beside what the same server answers without looking at a token or recording anything.

use crate::server::{Ask, Leasehold};

const BARE: Ask = ("GET", "sys/health", "");
const LOOK_UP: Ask = ("GET", "auth/token/lookup-self", "");
const CREATE: Ask = ("POST", "auth/token/create", r#"{"ttl":"1h"}"#);

/// Rates in requests per second.
pub(crate) struct Round {
    /// Health, which is neither admitted nor recorded.
    pub(crate) bare: f64,
    /// A token looks itself up.
    pub(crate) look_up: f64,
    /// A token makes another, which is stored durably.
    pub(crate) create: f64,
}

/// Measures all, one after the other.
pub(crate) async fn round(requests: usize) -> Round {
    let server = Leasehold::start().await;
    let made = server.ask("POST", "auth/token/create", r#"{"policies":["default"]}"#).await;
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let token = made["auth"]["client_token"].as_str().unwrap();
    let bare = server.rate(requests, BARE, "").await;
    let look_up = server.rate(requests, LOOK_UP, token).await;
    let create = server.rate(requests / 4, CREATE, &server.token).await;
    Round { bare, look_up, create }
}
