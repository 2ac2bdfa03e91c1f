//! Sends one request to the server and reads its answer, or says exactly why there is none.
//!
//! Nothing is ever sent twice: a `GET` of a credential creates one, so a retry could create two.
//! Redirects are not followed either, because the token would go along to whoever the answer names.

mod error;

pub(crate) use error::RequestError;

use crate::answer::Answer;
use crate::connection::Connection;
use reqwest::header::{HOST, HeaderName, HeaderValue};
use reqwest::{Certificate, Identity, Method, StatusCode, Url};
use serde_json::Value;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest answer that is read, in bytes; servers refuse request bodies above the same bound.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// How long to wait for a connection. With a bound of its own, a server that cannot be reached is
/// told from one that was asked and does not answer: only the latter may have done something.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// How long something may take that is fetched part by part, each in its time: a day is more than a backup takes.
const FETCH_TIMEOUT_MAX: Duration = Duration::from_hours(24);

const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-vault-token");
/// Proxies that guard against forged requests let only those with this header pass.
const REQUEST_HEADER: HeaderName = HeaderName::from_static("x-vault-request");

const WRAP_HEADER: HeaderName = HeaderName::from_static("x-vault-wrap-ttl");

/// A server, and what it takes to ask it.
pub(crate) struct Client {
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    base: Url,
    /// The `Host` to name, where the URL names another for the sake of the certificate.
    host: Option<HeaderValue>,
    token: Option<HeaderValue>,
    wrap_ttl: Option<u64>,
}

/// Why this machine cannot even ask.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// A file cannot be read.
    #[error("the file `{}` cannot be read: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// A file holds something else than it should.
    #[error("the file `{}` holds no {what} in PEM form", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// The name for the certificate cannot be used.
    #[error("`{name}` cannot be the name of the server: {reason}")]
    ServerName {
        /// As given.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The client cannot be made.
    #[error("TLS cannot be set up: {0}; name the authorities to trust with `-ca-cert=FILE`")]
    Tls(String),
    /// The runtime cannot be made.
    #[error("no network connections can be made: {0}")]
    Runtime(std::io::Error),
}

/// How a fetch ended.
pub(crate) enum Fetched<F> {
    /// All of it came.
    Whole,
    /// Whoever took the parts gave up.
    Stopped(F),
    /// There is no good answer.
    Failed(RequestError),
}

/// One thing to ask.
pub(crate) struct Request {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    body: Option<Value>,
}

impl Request {
    /// Asks for what is at `path`, which is relative to `/v1`.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// Asks for the keys under `path`. A `GET`, because not every proxy lets `LIST` pass.
    pub(crate) fn list(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path).query(vec![("list".to_owned(), "true".to_owned())])
    }

    /// Writes `body` to `path`.
    pub(crate) fn put(path: impl Into<String>, body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::PUT, path) }
    }

    /// Writes nothing in particular to `path`.
    pub(crate) fn put_nothing(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path)
    }

    /// Posts `body` to `path`.
    pub(crate) fn post(path: impl Into<String>, body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::POST, path) }
    }

    /// Deletes what is at `path`.
    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// Ends what is at `path`, by somebody whom `body` proves.
    pub(crate) fn delete_by(path: impl Into<String>, body: Value) -> Self {
        Self { body: Some(body), ..Self::delete(path) }
    }

    /// Adds parameters.
    pub(crate) fn query(self, query: Vec<(String, String)>) -> Self {
        Self { query, ..self }
    }

    fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: Vec::new(), body: None }
    }
}

impl Client {
    /// Gets ready to ask; nothing is sent yet.
    pub(crate) fn new(connection: Connection) -> Result<Self, ClientError> {
        let mut builder = reqwest::Client::builder()
            .timeout(connection.timeout)
            .read_timeout(connection.timeout)
            .connect_timeout(connection.timeout.min(CONNECT_TIMEOUT_MAX))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!("leasehold/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&connection.address) {
            // A proxy would look for the server on its own machine.
            builder = builder.no_proxy();
        }
        if connection.danger_skip_verify {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        builder = match &connection.ca_cert {
            Some(path) => builder.tls_certs_only(authorities(path)?),
            // The machine's authorities are not needed, and a bare container has none.
            None if connection.address.scheme() == "http" => builder.tls_certs_only([]),
            None => builder,
        };
        if let Some((certificate, key)) = &connection.identity {
            builder = builder.identity(identity(certificate, key)?);
        }
        let (mut base, mut host) = (connection.address, None);
        if let Some(name) = connection.server_name {
            let addresses =
                base.socket_addrs(|| None).map_err(|error| ClientError::ServerName {
                    name: name.clone(),
                    reason: format!("the address cannot be resolved: {error}"),
                })?;
            host = Some(rename_host(&mut base, &name)?);
            builder = builder.resolve_to_addrs(&name, &addresses);
        }
        let http = builder.build().map_err(|error| ClientError::Tls(error::innermost(&error)))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ClientError::Runtime)?;
        let (token, wrap_ttl) = (connection.token, connection.wrap_ttl);
        Ok(Self { runtime, http, base, host, token, wrap_ttl })
    }

    /// Sends the request, once, and returns the server's answer if it is a good one.
    ///
    /// As Vault's client has it, a 404 that carries data or warnings is a good answer.
    pub(crate) fn send(&self, request: Request) -> Result<Answer, RequestError> {
        self.runtime.block_on(self.exchange(request))
    }

    async fn exchange(&self, request: Request) -> Result<Answer, RequestError> {
        let (response, asked) = self.ask(request, None).await?;
        let answer = answer(response, asked).await?;
        // Whoever asks for a wrapped secret means to hand it on unseen, so an open one is not shown.
        if self.wrap_ttl.is_some() && answer.is_open() {
            return Err(RequestError::NotWrapped(answer.lease_id()));
        }
        Ok(answer)
    }

    /// Reads what is at `path` part by part, however long it is. The time-out bounds the wait for each part.
    pub(crate) fn fetch<F>(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), F>,
    ) -> Fetched<F> {
        self.runtime.block_on(async {
            let (mut response, asked) =
                match self.ask(Request::get(path), Some(FETCH_TIMEOUT_MAX)).await {
                    Ok(asked) => asked,
                    Err(error) => return Fetched::Failed(error),
                };
            if !response.status().is_success() {
                return match answer(response, asked.clone()).await {
                    Ok(_) => Fetched::Failed(asked.not_json(b"")),
                    Err(error) => Fetched::Failed(error),
                };
            }
            loop {
                match response.chunk().await {
                    Ok(Some(part)) => {
                        if let Err(stopped) = take(&part) {
                            return Fetched::Stopped(stopped);
                        }
                    }
                    Ok(None) => return Fetched::Whole,
                    Err(error) => return Fetched::Failed(asked.failed(&error)),
                }
            }
        })
    }

    /// Sends the request and returns the beginning of its answer.
    async fn ask(
        &self,
        request: Request,
        timeout: Option<Duration>,
    ) -> Result<(reqwest::Response, Box<error::Asked>), RequestError> {
        let url = self.url(&request)?;
        let asked = Box::new(error::Asked {
            method: request.method.clone(),
            url: url.clone(),
            with_token: self.token.is_some(),
        });
        let mut builder = self.http.request(request.method, url).header(REQUEST_HEADER, "true");
        if let Some(host) = &self.host {
            builder = builder.header(HOST, host.clone());
        }
        if let Some(token) = &self.token {
            builder = builder.header(TOKEN_HEADER, token.clone());
        }
        if let Some(seconds) = self.wrap_ttl {
            builder = builder.header(WRAP_HEADER, format!("{seconds}s"));
        }
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        if let Some(timeout) = timeout {
            builder = builder.timeout(timeout);
        }
        match builder.send().await {
            Ok(response) => Ok((response, asked)),
            Err(error) => Err(asked.failed(&error)),
        }
    }

    fn url(&self, request: &Request) -> Result<Url, RequestError> {
        let path = request.path.trim_matches('/');
        let mut url = self.base.clone();
        if path.is_empty() || path.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(RequestError::Path(request.path.clone()));
        }
        match url.path_segments_mut() {
            Ok(mut segments) => segments.pop_if_empty().push("v1").extend(path.split('/')),
            Err(()) => return Err(RequestError::Path(request.path.clone())),
        };
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        Ok(url)
    }
}

/// Reads an answer to its end, and returns it if it is a good one.
async fn answer(
    response: reqwest::Response,
    asked: Box<error::Asked>,
) -> Result<Answer, RequestError> {
    let status = response.status();
    let location = response.headers().get(reqwest::header::LOCATION).cloned();
    let text = read(response, &asked).await?;
    judge(status, location.as_ref(), &text, asked)
}

/// Reads the body of an answer, up to the bound.
async fn read(
    mut response: reqwest::Response,
    asked: &error::Asked,
) -> Result<Vec<u8>, RequestError> {
    let mut text = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                if text.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
                    return Err(asked.too_long(ANSWER_BYTES_MAX));
                }
                text.extend_from_slice(&chunk);
            }
            Ok(None) => return Ok(text),
            Err(error) => return Err(asked.failed(&error)),
        }
    }
}

/// Tells a good answer from all others.
fn judge(
    status: StatusCode,
    location: Option<&HeaderValue>,
    text: &[u8],
    asked: Box<error::Asked>,
) -> Result<Answer, RequestError> {
    let parsed = serde_json::from_slice::<Value>(text).ok();
    if status.is_success() {
        let queued = status == StatusCode::ACCEPTED;
        return match parsed {
            Some(body) => Ok(Answer::new(body).raw(text).queued(queued)),
            None if text.is_empty() => Ok(Answer::empty().queued(queued)),
            None => Err(asked.not_json(text)),
        };
    }
    if status.is_redirection() {
        return Err(asked.redirected(status, location));
    }
    if status == StatusCode::NOT_FOUND
        && let Some(body) = &parsed
        && Answer::tells_something(body)
    {
        return Ok(Answer::new(body.clone()).raw(text));
    }
    Err(asked.answered(status, parsed.as_ref(), text))
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, ClientError> {
    let not_pem = || ClientError::NotPem { path: path.to_owned(), what: "certificate" };
    let certificates = Certificate::from_pem_bundle(&file(path)?).map_err(|_| not_pem())?;
    if certificates.is_empty() { Err(not_pem()) } else { Ok(certificates) }
}

fn identity(certificate: &Path, key: &Path) -> Result<Identity, ClientError> {
    let mut pem = file(key)?;
    pem.push(b'\n');
    pem.extend(file(certificate)?);
    Identity::from_pem(&pem).map_err(|_| ClientError::NotPem {
        path: certificate.to_owned(),
        what: "certificate that goes with a private key",
    })
}

fn file(path: &Path) -> Result<Vec<u8>, ClientError> {
    std::fs::read(path).map_err(|reason| ClientError::File { path: path.to_owned(), reason })
}

/// Makes the URL name `name`, so that the certificate is asked for it and checked against it, and
/// returns the `Host` that the URL named before.
fn rename_host(base: &mut Url, name: &str) -> Result<HeaderValue, ClientError> {
    let fail =
        |reason: &str| ClientError::ServerName { name: name.to_owned(), reason: reason.to_owned() };
    if name.parse::<IpAddr>().is_ok() {
        return Err(fail("it is an IP address; write that into the address itself"));
    }
    let host = match (base.host_str(), base.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => return Err(fail("the address has no host")),
    };
    base.set_host(Some(name)).map_err(|error| fail(&error.to_string()))?;
    HeaderValue::from_str(&host).map_err(|_| fail("the address has no valid host"))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
