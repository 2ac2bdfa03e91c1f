//! Tokens are looked up and made, beside a server that reads requests and always answers the same.

use crate::server::{Ask, Leasehold, rate};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const LOOK_UP: Ask = ("GET", "auth/token/lookup-self", "");
const CREATE: Ask = ("POST", "auth/token/create", r#"{"ttl":"1h"}"#);

/// Rates in requests per second.
pub(crate) struct Round {
    /// Of a server that does nothing: what the load itself can do on this machine.
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
    let bare = rate(&bare_server().await, requests, LOOK_UP, token).await;
    let look_up = rate(&server.address, requests, LOOK_UP, token).await;
    let create = rate(&server.address, requests / 4, CREATE, &server.token).await;
    Round { bare, look_up, create }
}

/// Starts one that answers whatever it is asked with as many bytes as a look-up has; returns its address.
async fn bare_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_all(stream));
        }
    });
    address
}

async fn answer_all(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let body = "x".repeat(600);
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut read = Vec::with_capacity(4096);
    // No request of this load has a body.
    while stream.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
        if read.ends_with(b"\r\n\r\n") {
            read.clear();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }
}
