//! Reads a `connection_url`: a URL or a list of `key=value`, as libpq has them.

pub(super) use crate::percent::escaped as url_escaped;
use leasehold_core::engine::FieldError;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// Where a server is, and whatever else a `connection_url` says.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Address {
    /// Pairs in the order written, by libpq's names.
    pub(super) pairs: Vec<(String, String)>,
    /// How many of the pairs come before a URL's `?`; `None` for a list.
    pub(super) before_query: Option<usize>,
}

/// What libpq knows and this client has no use for.
const IGNORED: [&str; 6] = [
    "application_name",
    "timezone",
    "connect_timeout",
    "fallback_application_name",
    "client_encoding",
    "gssencmode",
];

impl Address {
    /// Reads what an operator wrote, placeholders already filled in.
    pub(super) fn parse(text: &str) -> Result<Self, FieldError> {
        let text = text.trim();
        let rest = text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://"));
        let address = match rest {
            Some(rest) => url(rest)?,
            None => Self { pairs: dsn_pairs(text)?, before_query: None },
        };
        if address.value("host").is_some_and(|host| host.contains(',')) {
            return Err(wrong("name one host; a list of hosts may lead to two different servers"));
        }
        Ok(address)
    }

    /// Returns a value; the last one written counts.
    fn value(&self, name: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn user(&self) -> Option<&str> {
        self.value("user").filter(|user| !user.is_empty())
    }

    pub(super) fn password(&self) -> Option<&str> {
        self.value("password").filter(|password| !password.is_empty())
    }

    pub(super) fn ssl_mode(&self) -> Result<PgSslMode, FieldError> {
        match self.value("sslmode") {
            None | Some("allow" | "prefer") => Ok(PgSslMode::Prefer),
            Some("disable") => Ok(PgSslMode::Disable),
            Some("require") => Ok(PgSslMode::Require),
            Some("verify-ca") => Ok(PgSslMode::VerifyCa),
            Some("verify-full") => Ok(PgSslMode::VerifyFull),
            Some(_) => Err(wrong(
                "`sslmode` is not one of disable, prefer, require, verify-ca, verify-full",
            )),
        }
    }

    /// Says where the server listens.
    pub(super) fn at(&self) -> String {
        format!("{}:{}", self.host().to_ascii_lowercase(), self.port())
    }

    fn host(&self) -> &str {
        self.value("hostaddr").or_else(|| self.value("host")).unwrap_or("localhost")
    }

    fn port(&self) -> &str {
        self.value("port").filter(|port| !port.is_empty()).unwrap_or("5432")
    }

    /// Returns how the driver connects, without user and password. Nothing is taken from the
    /// environment of this process, and no statement is logged: statements hold verifiers.
    pub(super) fn options(&self) -> Result<PgConnectOptions, FieldError> {
        let port =
            self.port().parse().map_err(|_| wrong("the port must be a number up to 65535"))?;
        let host = self.host();
        let mut options = PgConnectOptions::new_without_pgpass()
            .port(port)
            .ssl_mode(self.ssl_mode()?)
            .application_name("leasehold")
            .extra_float_digits(None)
            .disable_statement_logging();
        options = if host.starts_with('/') { options.socket(host) } else { options.host(host) };
        if let Some(database) = self.value("dbname").filter(|name| !name.is_empty()) {
            options = options.database(database);
        } else {
            options = options.database("postgres");
        }
        for (key, value) in &self.pairs {
            options = match key.as_str() {
                "user" | "password" | "host" | "hostaddr" | "port" | "dbname" | "sslmode" => {
                    options
                }
                // Whoever may write a target would have the server read any file, and show a key of its own to any host.
                "sslrootcert" | "sslcert" | "sslkey" => return Err(names_a_file(key)),
                other if IGNORED.contains(&other.to_ascii_lowercase().as_str()) => options,
                other if is_setting(other) => options.options([(other, value)]),
                _ => return Err(wrong("the name of a parameter is not that of a setting")),
            };
        }
        Ok(options)
    }
}

/// Says what is wrong, and never what was written: it may be a part of a password.
fn wrong(why: &str) -> FieldError {
    FieldError(format!("`connection_url`: {why}"))
}

fn names_a_file(parameter: &str) -> FieldError {
    let field = match parameter {
        "sslrootcert" => "tls_ca",
        "sslcert" => "tls_certificate",
        _ => "private_key",
    };
    wrong(&format!("`{parameter}` names a file; write its text into `{field}` instead"))
}

fn is_setting(name: &str) -> bool {
    !name.is_empty()
        && name.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.'))
}

/// Reads what follows `postgresql://`: `user:password@host:port/database?key=value&…`.
fn url(rest: &str) -> Result<Address, FieldError> {
    let mut pairs = Vec::new();
    let mut add = |key: &str, text: &str| -> Result<(), FieldError> {
        if !text.is_empty() {
            pairs.push((key.to_owned(), percent_decoded(text)?));
        }
        Ok(())
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, server) = authority.rsplit_once('@').unwrap_or(("", authority));
    if database.contains(['/', '@']) || query.contains('@') {
        return Err(wrong(
            "a user name or password has a `/`, `?` or `@` in it: write it as `%2F`, `%3F` or `%40`, or better \
             in the fields `username` and `password`, with `{{username}}` and `{{password}}` in the URL",
        ));
    }
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    add("user", user)?;
    add("password", password)?;
    let bracketed = server.strip_prefix('[').and_then(|server| server.split_once(']'));
    let (host, port) = match bracketed {
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or_default()),
        None => server.rsplit_once(':').unwrap_or((server, "")),
    };
    add("host", host)?;
    add("port", port)?;
    add("dbname", database)?;
    let before_query = Some(pairs.len());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(|| wrong("a parameter has no `=`"))?;
        pairs.push((percent_decoded(key)?, percent_decoded(value)?));
    }
    Ok(Address { pairs, before_query })
}

/// Reads `key=value key='va lue'`; a backslash escapes.
fn dsn_pairs(text: &str) -> Result<Vec<(String, String)>, FieldError> {
    let mut pairs = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|char| char.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(pairs);
        }
        let mut key = String::new();
        while let Some(char) = chars.next_if(|&char| char != '=' && !char.is_whitespace()) {
            key.push(char);
        }
        while chars.next_if(|char| char.is_whitespace()).is_some() {}
        if chars.next() != Some('=') || key.is_empty() {
            return Err(wrong("it is neither a URL (`postgresql://…`) nor a list of `key=value`"));
        }
        while chars.next_if(|char| char.is_whitespace()).is_some() {}
        let quoted = chars.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        loop {
            match chars.next_if(|char| quoted || !char.is_whitespace()) {
                Some('\'') if quoted => break,
                Some('\\') => value.extend(chars.next()),
                Some(char) => value.push(char),
                None if quoted => return Err(wrong("a quoted value is not closed")),
                None => break,
            }
        }
        pairs.push((key, value));
    }
}

fn percent_decoded(text: &str) -> Result<String, FieldError> {
    crate::percent::decoded(text).map_err(wrong)
}

/// Returns a text as it may stand between single quotes in a list of `key=value`, or bare there.
pub(super) fn dsn_escaped(text: &str) -> String {
    let mut escaped = String::new();
    for char in text.chars() {
        if char.is_whitespace() || matches!(char, '\\' | '\'') {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> PgConnectOptions {
        Address::parse(text).unwrap().options().unwrap()
    }

    #[test]
    fn a_url_and_a_list_say_the_same() {
        let url = "postgresql://ad%40min:p%3Aw@db.example:6432/app?sslmode=require";
        let list =
            "host=db.example port = 6432 dbname=app user='ad@min' password='p:w' sslmode=require";
        for text in [url, list] {
            let options = read(text);
            assert_eq!(options.get_host(), "db.example");
            assert_eq!(options.get_port(), 6432);
            assert_eq!(options.get_database(), Some("app"));
            let address = Address::parse(text).unwrap();
            assert_eq!((address.user(), address.password()), (Some("ad@min"), Some("p:w")));
            assert_eq!(
                address.ssl_mode().map(|mode| format!("{mode:?}")),
                Ok("Require".to_owned())
            );
        }
    }

    #[test]
    fn hosts_may_be_sockets_and_numbers() {
        assert_eq!(read("postgres://a@[::1]:5433/x").get_host(), "::1");
        assert_eq!(
            read("postgres://a@%2Frun%2Fpg/x").get_socket().unwrap().to_str(),
            Some("/run/pg")
        );
        assert_eq!(read("host=/run/pg user=a").get_socket().unwrap().to_str(), Some("/run/pg"));
        assert_eq!(read("postgres:///x").get_host(), "localhost");
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in [
            "nonsense",
            "postgres://a@h:99999/x",
            "postgres://a@h1,h2/x",
            "postgres://a%zz@h/x",
            "user='a",
            "postgres://h/x?sslmode=maybe",
            "postgres://h/x?a b=c",
            "postgres://a:geheim/geheim@h/x",
            "postgres://a:1?geheim=geheim@h/x",
            "postgres://h/x?geheim-geheim=1",
            "postgres://h/x?sslmode=geheim",
            "postgres://h/x?sslkey=/geheim",
            "postgres://h/x?sslcert=geheim",
            "host=h sslrootcert=/geheim",
            "postgres://a:geheim?geheim",
            "host=h geheim",
        ] {
            let read = Address::parse(text).and_then(|address| address.options());
            let error = read.unwrap_err().to_string();
            assert!(!error.contains("geheim") && !error.contains("maybe"), "{error}");
        }
    }
}
