//! Hands the audit record to an HTTP server, which acknowledges it with a status of 200 to 299.
//!
//! All lines that wait go in one request, one line each, so that a server far away keeps up with many callers.

use super::device::Device;
use super::{Broken, OpenError, Sink};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Handle;

/// Sends to the server at `uri`.
pub(crate) fn open(
    name: &str,
    uri: &str,
    headers: &BTreeMap<String, String>,
    timeout: Duration,
    runtime: Handle,
) -> Result<Device, OpenError> {
    let unusable = |reason: String| OpenError::Unusable { path: Path::new(uri).to_owned(), reason };
    let mut sent = HeaderMap::new();
    sent.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    for (name, value) in headers {
        let header = HeaderName::try_from(name.as_str()).ok();
        // What is wrong with the value is not told: it may be a secret.
        let value = HeaderValue::try_from(value.as_str()).ok();
        let pair = header
            .zip(value)
            .ok_or_else(|| unusable(format!("the header `{name}` cannot be sent")))?;
        sent.insert(pair.0, pair.1);
    }
    let client = reqwest::Client::builder()
        .default_headers(sent)
        .timeout(timeout)
        // The record goes where the configuration says, and nowhere else.
        .redirect(Policy::none())
        .no_proxy()
        .build();
    let client = client.map_err(|error| unusable(error.to_string()))?;
    Device::start(name, true, HttpSink { client, uri: uri.to_owned(), runtime })
}

struct HttpSink {
    client: reqwest::Client,
    uri: String,
    runtime: Handle,
}

impl Sink for HttpSink {
    fn take(&mut self, lines: &[u8]) -> Result<(), Broken> {
        let request = self.client.post(&self.uri).body(lines.to_vec());
        // The client asks for a runtime as soon as it is used.
        let answer = self.runtime.block_on(async { request.send().await });
        let reason = match answer {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => format!("the server answered {}", answer.status()),
            Err(error) => error.without_url().to_string(),
        };
        // It may have them all the same: they keep their numbers.
        Err(Broken { arrived: 0, reason })
    }
}
