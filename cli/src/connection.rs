//! Which server a command asks, with which token, and whom it trusts: from flags and environment.

use crate::arguments::truth;
use crate::duration::parse_seconds;
use crate::environment::{Environment, NotText};
use crate::token_file::{self, TokenFileError};
use reqwest::Url;
use reqwest::header::HeaderValue;
use std::path::PathBuf;
use std::time::Duration;

/// Where a server is looked for if nobody says: Vault's default, and encrypted.
pub(crate) const DEFAULT_ADDRESS: &str = "https://127.0.0.1:8200";

/// How long a request may take if nobody says. Vault's clients wait as long.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);

/// How to reach the server. LEASEHOLD_… variables win over VAULT_… ones; a flag wins over both.
#[derive(Clone, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionFlags {
    /// Where the server listens [env: LEASEHOLD_ADDR, VAULT_ADDR] [default: https://127.0.0.1:8200]
    #[arg(long, value_name = "URL")]
    pub(crate) address: Option<String>,
    /// Token to act with; other users of this machine can see flags, so prefer the environment
    /// [env: LEASEHOLD_TOKEN, VAULT_TOKEN] [default: what `leasehold login` left in ~/.leasehold-token, or
    /// else the content of ~/.vault-token]
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// PEM file with the authorities that may vouch for the server
    /// [env: LEASEHOLD_CACERT, VAULT_CACERT] [default: those of this machine]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// PEM file with the certificate to show to the server
    /// [env: LEASEHOLD_CLIENT_CERT, VAULT_CLIENT_CERT]
    #[arg(long, value_name = "FILE")]
    pub(crate) client_cert: Option<PathBuf>,
    /// PEM file with the key of that certificate [env: LEASEHOLD_CLIENT_KEY, VAULT_CLIENT_KEY]
    #[arg(long, value_name = "FILE")]
    pub(crate) client_key: Option<PathBuf>,
    /// Name that the server's certificate must carry
    /// [env: LEASEHOLD_TLS_SERVER_NAME, VAULT_TLS_SERVER_NAME] [default: the host of the address]
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,
    /// Believe any certificate: whoever stands between can then read everything, the token included
    /// [env: LEASEHOLD_SKIP_VERIFY, VAULT_SKIP_VERIFY] [default: false]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = clap::builder::BoolishValueParser::new(),
        hide_possible_values = true
    )]
    pub(crate) tls_skip_verify: Option<bool>,
    /// Ask for the answer in a wrapping token that lives so long; a server that does not wrap
    /// refuses [env: LEASEHOLD_WRAP_TTL, VAULT_WRAP_TTL]
    #[arg(long, value_name = "SPAN", value_parser = parse_seconds)]
    pub(crate) wrap_ttl: Option<u64>,
}

/// What flags and environment say about the server.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Where the server listens.
    pub(crate) address: Url,
    /// The token; marked sensitive, so that no `Debug` shows it.
    pub(crate) token: Option<HeaderValue>,
    /// The authorities that may vouch for the server, if not those of the machine.
    pub(crate) ca_cert: Option<PathBuf>,
    /// What to show to the server: certificate and key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    /// The name the server's certificate must carry, if not the host of the address.
    pub(crate) server_name: Option<String>,
    /// Any certificate will do.
    pub(crate) danger_skip_verify: bool,
    /// How long a request may take.
    pub(crate) timeout: Duration,
    /// How long a token that wraps the answer should live, if one should: seconds above 0.
    pub(crate) wrap_ttl: Option<u64>,
}

/// Why flags and environment do not say which server to ask.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    /// A variable is not text.
    #[error(transparent)]
    NotText(#[from] NotText),
    /// The address has no scheme, or one that is not HTTP.
    #[error(
        "the address `{0}` does not begin with `http://` or `https://`: write \
         `-address=https://HOST:PORT`, or `http://` for a server started with `-dev`"
    )]
    NoScheme(String),
    /// The address is not one.
    #[error("the address `{address}` is not valid: {reason}")]
    Address {
        /// As it was given.
        address: String,
        /// What the parser says.
        reason: String,
    },
    /// The address carries what would end up in messages and logs.
    #[error("the address may not hold a user name or password; a token goes into LEASEHOLD_TOKEN")]
    AddressWithCredentials,
    /// The token cannot be sent.
    #[error("the token holds characters that no token has; was it copied whole?")]
    Token,
    /// The file with the token is there and cannot be read.
    #[error(transparent)]
    TokenFile(#[from] TokenFileError),
    /// A certificate without its key, or the other way round.
    #[error(
        "a client certificate and its key go together: set both `-client-cert` and `-client-key`"
    )]
    HalfAnIdentity,
    /// A variable that is true or false is neither.
    #[error("`{name}` is `{value}`; it must be `true` or `false`")]
    NotABool {
        /// The variable.
        name: &'static str,
        /// What it holds.
        value: String,
    },
    /// What should be a span of time is none.
    #[error("`{name}` is `{value}`: {reason}")]
    NotASpan {
        /// The variable.
        name: &'static str,
        /// What it holds.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl ConnectionFlags {
    /// Puts flags and environment together.
    pub(crate) fn resolve(self, environment: &Environment) -> Result<Connection, ConnectionError> {
        let file = |flag: Option<PathBuf>, names: &[&'static str]| match flag {
            Some(path) => Ok(Some(path)),
            None => environment.first(names).map(|found| found.map(|(_, path)| path.into())),
        };
        let ca_cert = file(self.ca_cert, &["LEASEHOLD_CACERT", "VAULT_CACERT"])?;
        let client_cert = file(self.client_cert, &["LEASEHOLD_CLIENT_CERT", "VAULT_CLIENT_CERT"])?;
        let client_key = file(self.client_key, &["LEASEHOLD_CLIENT_KEY", "VAULT_CLIENT_KEY"])?;
        let identity = match (client_cert, client_key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(ConnectionError::HalfAnIdentity),
        };
        let text = |flag: Option<String>, names: &[&'static str]| match flag {
            Some(text) => Ok(Some(text)),
            None => environment.first(names).map(|found| found.map(|(_, text)| text)),
        };
        let address = text(self.address, &["LEASEHOLD_ADDR", "VAULT_ADDR"])?;
        let server_name =
            text(self.tls_server_name, &["LEASEHOLD_TLS_SERVER_NAME", "VAULT_TLS_SERVER_NAME"])?;
        Ok(Connection {
            address: parse_address(address.as_deref().unwrap_or(DEFAULT_ADDRESS))?,
            token: token(self.token, environment)?,
            ca_cert,
            identity,
            server_name,
            danger_skip_verify: skip_verify(self.tls_skip_verify, environment)?,
            timeout: timeout(environment)?,
            wrap_ttl: wrap_ttl(self.wrap_ttl, environment)?,
        })
    }
}

fn parse_address(text: &str) -> Result<Url, ConnectionError> {
    // `localhost:8200` parses as a URL, with the scheme `localhost`; so the text is asked first.
    let lower = text.to_ascii_lowercase();
    if !lower.starts_with("http://") && !lower.starts_with("https://") {
        let shown = if text.contains('@') { "…" } else { text };
        return Err(ConnectionError::NoScheme(shown.to_owned()));
    }
    if text.contains('@') {
        return Err(ConnectionError::AddressWithCredentials);
    }
    let url = Url::parse(text).map_err(|error| ConnectionError::Address {
        address: text.to_owned(),
        reason: error.to_string(),
    })?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(ConnectionError::Address {
            address: text.to_owned(),
            reason: "an address ends with its path, without `?` and `#`".to_owned(),
        });
    }
    Ok(url)
}

fn token(
    flag: Option<String>,
    environment: &Environment,
) -> Result<Option<HeaderValue>, ConnectionError> {
    let named = match flag {
        Some(token) => Some(token),
        None => environment.first(&["LEASEHOLD_TOKEN", "VAULT_TOKEN"])?.map(|(_, token)| token),
    };
    let token = match named {
        Some(token) => Some(token),
        None => token_file::read(environment)?,
    };
    let Some(token) = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty())
    else {
        return Ok(None);
    };
    let mut header = HeaderValue::from_str(&token).map_err(|_| ConnectionError::Token)?;
    header.set_sensitive(true);
    Ok(Some(header))
}

fn skip_verify(flag: Option<bool>, environment: &Environment) -> Result<bool, ConnectionError> {
    if let Some(skip) = flag {
        return Ok(skip);
    }
    let Some((name, value)) = environment.first(&["LEASEHOLD_SKIP_VERIFY", "VAULT_SKIP_VERIFY"])?
    else {
        return Ok(false);
    };
    truth(&value).ok_or(ConnectionError::NotABool { name, value })
}

fn timeout(environment: &Environment) -> Result<Duration, ConnectionError> {
    let names = ["LEASEHOLD_CLIENT_TIMEOUT", "VAULT_CLIENT_TIMEOUT"];
    let Some((name, value)) = environment.first(&names)? else {
        return Ok(DEFAULT_TIMEOUT);
    };
    match parse_seconds(&value) {
        Ok(0) => Err(ConnectionError::NotASpan {
            name,
            value,
            reason: "no request is that fast".to_owned(),
        }),
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(error) => Err(ConnectionError::NotASpan { name, value, reason: error.to_string() }),
    }
}

/// As with Vault's, 0 means that the answer is not to be wrapped.
fn wrap_ttl(flag: Option<u64>, environment: &Environment) -> Result<Option<u64>, ConnectionError> {
    let seconds = match flag {
        Some(seconds) => seconds,
        None => match environment.first(&["LEASEHOLD_WRAP_TTL", "VAULT_WRAP_TTL"])? {
            None => 0,
            Some((name, value)) => match parse_seconds(&value) {
                Ok(seconds) => seconds,
                Err(error) => {
                    let reason = error.to_string();
                    return Err(ConnectionError::NotASpan { name, value, reason });
                }
            },
        },
    };
    Ok(Some(seconds).filter(|seconds| *seconds > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_flags() -> ConnectionFlags {
        ConnectionFlags {
            address: None,
            token: None,
            ca_cert: None,
            client_cert: None,
            client_key: None,
            tls_server_name: None,
            tls_skip_verify: None,
            wrap_ttl: None,
        }
    }

    #[test]
    fn flags_go_before_our_variables_and_ours_before_vaults() {
        let both = [("LEASEHOLD_ADDR", "http://ours:1"), ("VAULT_ADDR", "http://vaults:2")];
        let resolved = no_flags().resolve(&Environment::of(&both)).unwrap();
        assert_eq!(resolved.address.as_str(), "http://ours:1/");
        let resolved = no_flags().resolve(&Environment::of(&both[1..])).unwrap();
        assert_eq!(resolved.address.as_str(), "http://vaults:2/");
        let flags = ConnectionFlags { address: Some("http://flag:3".to_owned()), ..no_flags() };
        let resolved = flags.resolve(&Environment::of(&both)).unwrap();
        assert_eq!(resolved.address.as_str(), "http://flag:3/");
        let resolved = no_flags().resolve(&Environment::of(&[("LEASEHOLD_ADDR", "")])).unwrap();
        assert_eq!(resolved.address.as_str(), "https://127.0.0.1:8200/");
    }

    #[test]
    fn an_address_says_its_scheme_and_no_password() {
        for text in ["127.0.0.1:8200", "localhost:8200", "unix:///run/x", "", "ftp://x"] {
            let error = parse_address(text).unwrap_err();
            assert!(matches!(error, ConnectionError::NoScheme(_)), "{text}: {error}");
        }
        for text in ["http://me:s3cret@host", "me:s3cret@host:8200"] {
            assert!(!parse_address(text).unwrap_err().to_string().contains("s3cret"));
        }
        for text in ["http://", "http://host:port", "http://host?x=1"] {
            let error = parse_address(text).unwrap_err();
            assert!(matches!(error, ConnectionError::Address { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn no_message_and_no_debug_shows_the_token() {
        let environment = Environment::of(&[("VAULT_TOKEN", "hvs.s3cret")]);
        let resolved = no_flags().resolve(&environment).unwrap();
        assert_eq!(resolved.token.as_ref().unwrap().to_str().unwrap(), "hvs.s3cret");
        assert!(!format!("{resolved:?}").contains("s3cret"));
        let broken = Environment::of(&[("VAULT_TOKEN", "hvs.s3\ncret")]);
        let error = no_flags().resolve(&broken).unwrap_err();
        assert!(!error.to_string().contains("s3"), "{error}");
    }

    #[test]
    fn variables_that_mean_nothing_are_refused() {
        for (name, value) in [
            ("VAULT_SKIP_VERIFY", "maybe"),
            ("VAULT_CLIENT_TIMEOUT", "soon"),
            ("LEASEHOLD_CLIENT_TIMEOUT", "0"),
            ("VAULT_CLIENT_CERT", "/x.pem"),
            ("VAULT_WRAP_TTL", "soon"),
        ] {
            assert!(no_flags().resolve(&Environment::of(&[(name, value)])).is_err(), "{name}");
        }
        let environment =
            Environment::of(&[("VAULT_SKIP_VERIFY", "1"), ("VAULT_CLIENT_TIMEOUT", "2m")]);
        let resolved = no_flags().resolve(&environment).unwrap();
        assert!(resolved.danger_skip_verify);
        assert_eq!(resolved.timeout, Duration::from_mins(2));
    }
}
