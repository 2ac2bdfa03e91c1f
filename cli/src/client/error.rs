//! Why there is no good answer, what became of the request, and what its sender may try next.

use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;
use std::error::Error;
use std::fmt::{self, Write};

/// How much of an answer that nobody understands is shown, in characters.
const RAW_CHARS_MAX: usize = 500;

/// What was asked, for messages. It holds no token.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) with_token: bool,
}

/// Why there is no good answer.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// The path leads nowhere; nothing was sent.
    Path(String),
    /// The server was not reached; nothing was done.
    Unreached(Box<Asked>, Unreached),
    /// The request was sent, and no whole answer came; the server may have done what was asked.
    Unanswered(Box<Asked>, Unanswered),
    /// The server answered that it will not, or that it failed.
    Answered(Answered),
    /// The server did what was asked but did not wrap the answer, as was asked too. With the id of
    /// the lease that was made.
    NotWrapped(Option<String>),
    /// Something answered that is not such a server.
    Stranger(Box<Asked>, Stranger),
}

/// What kept a request from the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unreached {
    /// Nobody listens there, or the network does not lead there.
    NoServer(String),
    /// Nobody knows such a host.
    NoHost(String),
    /// The server speaks plain HTTP where TLS was expected.
    PlainServer,
    /// Its certificate is not good enough, or it wants one of ours.
    Tls(String),
    /// Its certificate is one of those that sign others.
    Authority,
}

/// How an answer failed to come.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// It took too long.
    TimedOut,
    /// The connection broke.
    Broken(String),
    /// The answer is longer than any answer should be: so many bytes.
    TooLong(usize),
}

/// What another kind of server answered.
#[derive(Debug)]
pub(crate) enum Stranger {
    /// Not HTTP, though HTTP was expected: most likely TLS.
    NotHttp,
    /// Something that is not JSON.
    NotJson(String),
    /// A redirect, to where it says if it says.
    Redirect(StatusCode, Option<String>),
}

/// The server said no.
#[derive(Debug)]
pub(crate) struct Answered {
    asked: Box<Asked>,
    /// The status.
    pub(crate) status: StatusCode,
    /// The server's own words.
    pub(crate) errors: Vec<String>,
    /// What it sent, if that was not the usual form.
    raw: Option<String>,
}

impl Asked {
    /// Finds out what a failure of the transport means.
    pub(super) fn failed(&self, error: &reqwest::Error) -> RequestError {
        let asked = Box::new(self.clone());
        let reason = innermost(error);
        if let Some(tls) = tls_error(error) {
            let unreached = match tls {
                TlsError::PlainServer => Unreached::PlainServer,
                TlsError::Authority => Unreached::Authority,
                TlsError::Refused => Unreached::Tls(reason),
            };
            return RequestError::Unreached(asked, unreached);
        }
        if error.is_dns() {
            return RequestError::Unreached(asked, Unreached::NoHost(reason));
        }
        if error.is_connect() {
            return RequestError::Unreached(asked, Unreached::NoServer(reason));
        }
        if error.is_timeout() {
            return RequestError::Unanswered(asked, Unanswered::TimedOut);
        }
        // hyper's words for a first line that is not HTTP's; a test holds them.
        if reason.starts_with("invalid HTTP") {
            return RequestError::Stranger(asked, Stranger::NotHttp);
        }
        RequestError::Unanswered(asked, Unanswered::Broken(reason))
    }

    /// The answer is longer than `bytes`.
    pub(super) fn too_long(&self, bytes: usize) -> RequestError {
        RequestError::Unanswered(Box::new(self.clone()), Unanswered::TooLong(bytes))
    }

    /// A success, in a form that nobody understands.
    pub(super) fn not_json(self: Box<Self>, text: &[u8]) -> RequestError {
        RequestError::Stranger(self, Stranger::NotJson(excerpt(text)))
    }

    /// The answer sends the caller elsewhere.
    pub(super) fn redirected(
        self: Box<Self>,
        status: StatusCode,
        location: Option<&HeaderValue>,
    ) -> RequestError {
        let to = location.and_then(|to| to.to_str().ok()).map(str::to_owned);
        RequestError::Stranger(self, Stranger::Redirect(status, to))
    }

    /// The server said no, in the usual form or in another.
    pub(super) fn answered(
        self: Box<Self>,
        status: StatusCode,
        body: Option<&Value>,
        text: &[u8],
    ) -> RequestError {
        let errors = body.and_then(|body| body.get("errors")).and_then(Value::as_array);
        let raw = errors.is_none().then(|| excerpt(text));
        let errors = errors.into_iter().flatten().map(|error| match error {
            Value::String(text) => text.trim_end().to_owned(),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => error.to_string(),
        });
        let errors = errors.collect();
        RequestError::Answered(Answered { asked: self, status, errors, raw })
    }
}

impl RequestError {
    /// Returns what the server said, if it said that there is no such thing.
    pub(crate) fn not_found(&self) -> Option<&[String]> {
        match self {
            Self::Answered(answered) if answered.status == StatusCode::NOT_FOUND => {
                Some(&answered.errors)
            }
            Self::Answered(_)
            | Self::Path(_)
            | Self::Unreached(..)
            | Self::Unanswered(..)
            | Self::NotWrapped(_)
            | Self::Stranger(..) => None,
        }
    }

    /// Returns one piece of advice, where what to do next can be known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Path(_) => None,
            Self::Unreached(asked, why) => Some(unreached_hint(asked, why)),
            Self::Unanswered(asked, Unanswered::Broken(_)) if asked.url.scheme() == "http" => {
                Some(format!(
                    "The server may have done what was asked: look before asking again. If it \
                     speaks TLS, use {}.",
                    asked.server_with("https")
                ))
            }
            Self::Unanswered(..) => Some(
                "The server may have done what was asked: look before asking again, for example \
                 with `leasehold lease list`."
                    .to_owned(),
            ),
            Self::Answered(answered) => answered.hint(),
            Self::NotWrapped(None) => {
                Some("Ask without -wrap-ttl, LEASEHOLD_WRAP_TTL and VAULT_WRAP_TTL.".to_owned())
            }
            Self::NotWrapped(Some(lease)) => Some(format!(
                "A lease was made: `leasehold lease revoke {lease}` ends it. Then ask without \
                 -wrap-ttl, LEASEHOLD_WRAP_TTL and VAULT_WRAP_TTL."
            )),
            Self::Stranger(asked, Stranger::NotHttp) => {
                Some(format!("It may speak TLS: try -address={}.", asked.server_with("https")))
            }
            Self::Stranger(_, Stranger::Redirect(_, Some(to))) => Some(format!(
                "Redirects are not followed, because the token would go along. If {to} is where \
                 your server is, set LEASEHOLD_ADDR (or VAULT_ADDR) to that address."
            )),
            Self::Stranger(..) => Some(
                "Is that a Leasehold server? Set LEASEHOLD_ADDR (or VAULT_ADDR), or use -address."
                    .to_owned(),
            ),
        }
    }
}

impl Asked {
    /// Returns the address of the server, as `scheme` would have it.
    fn server_with(&self, scheme: &str) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(
            || format!("{scheme}://{host}"),
            |port| format!("{scheme}://{host}:{port}"),
        )
    }
}

fn unreached_hint(asked: &Asked, why: &Unreached) -> String {
    match why {
        Unreached::NoServer(_) => "Start one with `leasehold server -dev`, or say where yours \
             listens: set LEASEHOLD_ADDR (or VAULT_ADDR), or use -address."
            .to_owned(),
        Unreached::NoHost(_) => {
            "Say where the server listens: set LEASEHOLD_ADDR (or VAULT_ADDR), or use -address."
                .to_owned()
        }
        Unreached::PlainServer => format!(
            "The server speaks plain HTTP, as one started with `-dev` does: set \
             LEASEHOLD_ADDR={} (or VAULT_ADDR).",
            asked.server_with("http")
        ),
        Unreached::Tls(_) => "If the certificate comes from an authority of your own, name it \
             with -ca-cert=FILE or LEASEHOLD_CACERT (or VAULT_CACERT)."
            .to_owned(),
        Unreached::Authority => "Give the server a certificate that is signed by that one, or \
             make it anew as what it is used for: with `openssl req -x509`, add `-addext \
             basicConstraints=critical,CA:FALSE` and the server's name as `subjectAltName`."
            .to_owned(),
    }
}

impl Answered {
    fn says(&self, words: &str) -> bool {
        let found = |text: &String| text.to_ascii_lowercase().contains(words);
        self.errors.iter().any(found) || self.raw.as_ref().is_some_and(found)
    }

    fn hint(&self) -> Option<String> {
        if self.says("http request to an https server") {
            let address = self.asked.server_with("https");
            return Some(format!("The server speaks TLS: use -address={address}."));
        }
        let hint = match self.status.as_u16() {
            401 | 403 if !self.asked.with_token => {
                "No token was sent: log in with `leasehold login`, or set LEASEHOLD_TOKEN (or \
                 VAULT_TOKEN)."
            }
            401 | 403 if self.asked.url.path().ends_with("/auth/token/lookup-self") => {
                "The server does not know this token, or it has ended: log in with another, with \
                 `leasehold login`."
            }
            401 | 403 => {
                "The token may have ended, or its policies do not allow this. `leasehold token \
                 lookup` shows which they are."
            }
            404 => "`leasehold secrets list` shows what is mounted where.",
            429 => "Too many requests for now: wait a little, then ask again.",
            503 if self.says("not initialized") || self.says("uninitialized") => {
                "Set the server up with `leasehold operator init`."
            }
            503 if self.says("sealed") => {
                "`leasehold status` shows what the seal waits for; a server that was never \
                 set up wants `leasehold operator init`."
            }
            500..=599 => "The server's log says more.",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) if path.trim_matches('/').is_empty() => {
                f.write_str("the path is empty")
            }
            Self::Path(path) => write!(f, "the path `{path}` may not have `.` and `..` in it"),
            Self::Unreached(asked, why) => {
                let server = asked.server_with(asked.url.scheme());
                match why {
                    Unreached::NoServer(reason) => {
                        write!(f, "no server answers at {server}: {reason}")
                    }
                    Unreached::NoHost(reason) => {
                        write!(f, "nobody knows the host of {server}: {reason}")
                    }
                    Unreached::PlainServer => {
                        write!(f, "the server at {server} does not speak TLS")
                    }
                    Unreached::Authority => write!(
                        f,
                        "no trusted connection to {server}: its certificate is an authority's \
                         (`CA:TRUE`), which cannot be a server's as well"
                    ),
                    Unreached::Tls(reason) => {
                        write!(f, "no trusted connection to {server}: {reason}")
                    }
                }
            }
            Self::Unanswered(asked, how) => {
                write!(f, "no answer to {} {}: ", asked.method, asked.url)?;
                match how {
                    Unanswered::TimedOut => {
                        f.write_str("the time was up (LEASEHOLD_CLIENT_TIMEOUT)")
                    }
                    Unanswered::Broken(reason) => f.write_str(reason),
                    Unanswered::TooLong(bytes) => write!(f, "it is longer than {bytes} bytes"),
                }
            }
            Self::Answered(answered) => answered.fmt(f),
            Self::NotWrapped(_) => f.write_str(
                "the server did not wrap its answer, as -wrap-ttl wants, so it is not shown",
            ),
            Self::Stranger(asked, what) => {
                write!(f, "{} {}: ", asked.method, asked.url)?;
                match what {
                    Stranger::NotHttp => f.write_str("the answer is not HTTP"),
                    Stranger::NotJson(text) => write!(f, "the answer is not JSON:\n\n{text}"),
                    Stranger::Redirect(status, _) => {
                        write!(
                            f,
                            "the server sends its callers elsewhere (code {})",
                            status.as_u16()
                        )
                    }
                }
            }
        }
    }
}

/// As Vault's client prints it: people and scripts look for these lines.
impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, url, code) = (&self.asked.method, &self.asked.url, self.status.as_u16());
        write!(f, "Error making API request.\n\nURL: {method} {url}\nCode: {code}.")?;
        if let Some(raw) = &self.raw {
            return write!(f, " Raw Message:\n\n{raw}");
        }
        if !self.errors.is_empty() {
            f.write_str(" Errors:\n")?;
        }
        for error in &self.errors {
            write!(f, "\n* {error}")?;
        }
        Ok(())
    }
}

/// Returns the last error in the chain of causes, which is the one that says what happened.
pub(super) fn innermost(error: &reqwest::Error) -> String {
    let mut innermost: &dyn Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

enum TlsError {
    PlainServer,
    Refused,
    Authority,
}

fn tls_error(error: &reqwest::Error) -> Option<TlsError> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            // The words of the library that checks certificates; a test holds them.
            let authority = tls.to_string().contains("CaUsedAsEndEntity");
            return Some(if matches!(tls, rustls::Error::InvalidMessage(_)) {
                TlsError::PlainServer
            } else if authority {
                TlsError::Authority
            } else {
                TlsError::Refused
            });
        }
        // An I/O error leaves out, as its cause, the very error that it wraps.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// Returns the beginning of an answer that is shown because nobody understands it.
fn excerpt(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let text = text.trim();
    let mut shown: String = text.chars().take(RAW_CHARS_MAX).collect();
    if text.chars().count() > RAW_CHARS_MAX {
        shown.push('…');
    }
    if shown.is_empty() {
        let _ = shown.write_str("(nothing)");
    }
    shown
}
