//! Reads a `connection_url`: a data source name as Go's driver has it, or a URL.
//!
//! It is taken apart with its placeholders in it, and they are filled in afterwards, each where it stands: no user
//! name and no password needs to be escaped, and none can become a host.

use leasehold_core::engine::FieldError;
use sqlx::mysql::MySqlConnectOptions;

/// Where servers listen as a rule.
const PORT: u16 = 3306;

/// Where a server is, and whatever else a `connection_url` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) user: String,
    pub(super) password: String,
    pub(super) place: Place,
    pub(super) database: String,
    pub(super) parameters: Vec<(String, String)>,
    /// Whether it was written as a URL.
    is_url: bool,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Host { host: String, port: Option<u16> },
    Socket(String),
}

impl Default for Place {
    fn default() -> Self {
        Self::Host { host: "localhost".to_owned(), port: None }
    }
}

/// How a connection is to be encrypted, by the words of Go's driver and of MySQL's URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    /// Nothing was said, or nothing that decides it.
    Unsaid,
    Off,
    IfThere,
    /// Encrypted, and nobody checks with whom.
    Unchecked,
    Checked,
}

/// What Go's driver knows and this client has no use for.
const IGNORED: [&str; 24] = [
    "allowallfiles",
    "allowcleartextpasswords",
    "allowfallbacktoplaintext",
    "allownativepasswords",
    "allowoldpasswords",
    "charset",
    "checkconnliveness",
    "clientfoundrows",
    "collation",
    "columnswithalias",
    "compress",
    "connectionattributes",
    "interpolateparams",
    "loc",
    "maxallowedpacket",
    "multistatements",
    "parsetime",
    "readtimeout",
    "rejectreadonly",
    "serverpubkey",
    "time_zone",
    "timeout",
    "timetruncate",
    "writetimeout",
];

/// The names of what says how to encrypt.
const TLS: [&str; 3] = ["tls", "ssl-mode", "sslmode"];

impl Address {
    /// Reads what an operator wrote.
    pub(super) fn parse(text: &str) -> Result<Self, FieldError> {
        let text = text.trim();
        let rest = text.strip_prefix("mysql://").or_else(|| text.strip_prefix("mariadb://"));
        let address = match rest {
            Some(rest) => url(rest)?,
            None => data_source_name(text)?,
        };
        for (name, _) in &address.parameters {
            let name = name.to_ascii_lowercase();
            if !IGNORED.contains(&name.as_str()) && !TLS.contains(&name.as_str()) {
                return Err(wrong(
                    "it has a parameter that is not known here; a password with a `/` or `?` in it goes into the \
                     field `password`, with `{{password}}` in its place",
                ));
            }
        }
        address.tls()?;
        Ok(address)
    }

    /// Returns the address with user name and password in place.
    pub(super) fn filled(mut self, username: &str, password: &str) -> Self {
        for (place, fallback) in [(&mut self.user, username), (&mut self.password, password)] {
            *place = if place.is_empty() {
                fallback.to_owned()
            } else {
                fill(place, username, password)
            };
        }
        self
    }

    /// Says how the connection is to be encrypted.
    pub(super) fn tls(&self) -> Result<Tls, FieldError> {
        let said = self.parameters.iter().rev().find(|(name, _)| is_tls(name));
        let Some((_, value)) = said else { return Ok(Tls::Unsaid) };
        match value.to_ascii_lowercase().as_str() {
            // A name of Vault's own, by which it refers to `tls_ca` and the like.
            "" | "custom" => Ok(Tls::Unsaid),
            "false" | "0" | "disabled" | "disable" => Ok(Tls::Off),
            "preferred" | "prefer" => Ok(Tls::IfThere),
            "skip-verify" | "required" | "require" => Ok(Tls::Unchecked),
            "true" | "1" | "verify_identity" | "verify-identity" | "verify-full" => {
                Ok(Tls::Checked)
            }
            _ => Err(wrong(
                "`tls` is not one of true, false, skip-verify, preferred, custom; a certificate authority goes into \
                 the field `tls_ca`",
            )),
        }
    }

    /// Says where the server listens.
    pub(super) fn at(&self) -> String {
        match &self.place {
            Place::Host { host, port } => {
                format!("{}:{}", host.to_ascii_lowercase(), port.unwrap_or(PORT))
            }
            Place::Socket(path) => path.clone(),
        }
    }

    /// Returns how the driver connects, without user, password and encryption. No statement is logged: statements
    /// hold passwords. What the driver would set of the session is set otherwise.
    pub(super) fn options(&self) -> MySqlConnectOptions {
        let mut options = MySqlConnectOptions::new()
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .statement_cache_capacity(0)
            .timezone(Some("+00:00".to_owned()));
        options = match &self.place {
            Place::Host { host, port } => options.host(host).port(port.unwrap_or(PORT)),
            Place::Socket(path) => options.socket(path),
        };
        if !self.database.is_empty() {
            options = options.database(&self.database);
        }
        sqlx::ConnectOptions::disable_statement_logging(options)
    }

    /// Returns it as an operator is shown it: what is not known to be harmless is hidden.
    pub(super) fn shown(&self) -> String {
        let mut shown = String::from(if self.is_url { "mysql://" } else { "" });
        let mut login = if self.is_url { url_escaped(&self.user) } else { self.user.clone() };
        if !self.password.is_empty() {
            login.push(':');
            login.push_str(if is_placeholder(&self.password) { &self.password } else { HIDDEN });
        }
        if !login.is_empty() {
            shown.push_str(&login);
            shown.push('@');
        }
        match (&self.place, self.is_url) {
            (Place::Host { host, port }, _) => {
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                let at = format!("{host}{port}");
                shown.extend(if self.is_url { ["", &at, ""] } else { ["tcp(", &at, ")"] });
            }
            (Place::Socket(path), true) => shown.push_str(&url_escaped(path)),
            (Place::Socket(path), false) => shown.extend(["unix(", path, ")"]),
        }
        shown.push('/');
        shown.push_str(&if self.is_url {
            url_escaped(&self.database)
        } else {
            self.database.clone()
        });
        let pairs: Vec<_> = self
            .parameters
            .iter()
            .map(|(name, value)| format!("{name}={}", if is_tls(name) { value } else { HIDDEN }))
            .collect();
        if !pairs.is_empty() {
            shown.push('?');
            shown.push_str(&pairs.join("&"));
        }
        shown
    }
}

/// Stands for what is not shown.
const HIDDEN: &str = "*****";

fn is_tls(name: &str) -> bool {
    TLS.contains(&name.to_ascii_lowercase().as_str())
}

fn is_placeholder(text: &str) -> bool {
    let inner = text.strip_prefix("{{").and_then(|text| text.strip_suffix("}}"));
    inner.is_some_and(|inner| matches!(inner.trim(), "username" | "password"))
}

/// Fills in the placeholders of a text, in one pass: a user name that holds `{{password}}` is a user name.
fn fill(text: &str, username: &str, password: &str) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, tail)) = after.split_once("}}") else { break };
        filled.push_str(before);
        match name.trim() {
            "username" => filled.push_str(username),
            "password" => filled.push_str(password),
            other => filled.extend(["{{", other, "}}"]),
        }
        rest = tail;
    }
    filled.push_str(rest);
    filled
}

/// Says what is wrong, and never what was written: it may be a part of a password.
fn wrong(why: &str) -> FieldError {
    FieldError(format!("`connection_url`: {why}"))
}

/// Reads `user:password@net(address)/database?name=value&…`.
fn data_source_name(text: &str) -> Result<Address, FieldError> {
    // As Go's driver does it: the last `/` is the one, so that a password may hold others.
    let (before, after) = text.rsplit_once('/').ok_or_else(|| {
        wrong("invalid DSN: missing the slash separating the database name; it is `user:password@tcp(host:port)/`")
    })?;
    let (login, net) = before.rsplit_once('@').unwrap_or(("", before));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (protocol, address) = match net.split_once('(') {
        Some((protocol, rest)) => {
            let address = rest.strip_suffix(')');
            (protocol, address.ok_or_else(|| wrong("the address in brackets is not closed"))?)
        }
        None => (net, ""),
    };
    let place = match protocol {
        "" | "tcp" => host_and_port(address)?,
        "unix" if !address.is_empty() => Place::Socket(address.to_owned()),
        _ => return Err(wrong("the server is reached by `tcp(host:port)` or by `unix(path)`")),
    };
    let (database, query) = after.split_once('?').unwrap_or((after, ""));
    Ok(Address {
        user: user.to_owned(),
        password: password.to_owned(),
        place,
        database: percent_decoded(database)?,
        parameters: parameters(query)?,
        is_url: false,
    })
}

/// Reads what follows `mysql://`: `user:password@host:port/database?name=value&…`.
fn url(rest: &str) -> Result<Address, FieldError> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    if database.contains(['/', '@']) || query.contains('@') {
        return Err(wrong(
            "a user name or password has a `/`, `?` or `@` in it: write it as `%2F`, `%3F` or `%40`, or better \
             in the fields `username` and `password`, with `{{username}}` and `{{password}}` in the URL",
        ));
    }
    let (login, server) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let server = percent_decoded(server)?;
    let place =
        if server.starts_with('/') { Place::Socket(server) } else { host_and_port(&server)? };
    Ok(Address {
        user: percent_decoded(user)?,
        password: percent_decoded(password)?,
        place,
        database: percent_decoded(database)?,
        parameters: parameters(query)?,
        is_url: true,
    })
}

fn host_and_port(text: &str) -> Result<Place, FieldError> {
    if text.contains(',') {
        return Err(wrong("name one host; a list of hosts may lead to two different servers"));
    }
    let bracketed = text.strip_prefix('[').and_then(|text| text.split_once(']'));
    let (host, port) = match bracketed {
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or_default()),
        None => text.rsplit_once(':').unwrap_or((text, "")),
    };
    let port = match port {
        "" => None,
        port => Some(port.parse().map_err(|_| wrong("the port must be a number up to 65535"))?),
    };
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    Ok(Place::Host { host: host.to_owned(), port })
}

fn parameters(query: &str) -> Result<Vec<(String, String)>, FieldError> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) =
                pair.split_once('=').ok_or_else(|| wrong("a parameter has no `=`"))?;
            Ok((percent_decoded(name)?, percent_decoded(value)?))
        })
        .collect()
}

fn percent_decoded(text: &str) -> Result<String, FieldError> {
    crate::percent::decoded(text).map_err(wrong)
}

fn url_escaped(text: &str) -> String {
    if is_placeholder(text) { text.to_owned() } else { crate::percent::escaped(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Address {
        Address::parse(text).unwrap().filled("ad@min:/", "p@s/s:{{username}}")
    }

    #[test]
    fn a_data_source_name_and_a_url_say_the_same() {
        for text in [
            "{{username}}:{{password}}@tcp(db.example:3307)/app?tls=true&parseTime=true",
            "mysql://{{username}}:{{password}}@db.example:3307/app?tls=true",
            "tcp(db.example:3307)/app?tls=true",
        ] {
            let address = read(text);
            assert_eq!(
                (address.user.as_str(), address.password.as_str()),
                ("ad@min:/", "p@s/s:{{username}}")
            );
            let place = Place::Host { host: "db.example".to_owned(), port: Some(3307) };
            assert_eq!((address.place.clone(), address.database.as_str()), (place, "app"));
            assert_eq!(address.tls(), Ok(Tls::Checked));
        }
        let written = read("a:b@c/d:e@tcp(h)/");
        assert_eq!((written.user.as_str(), written.password.as_str()), ("a", "b@c/d:e"));
        let written = read("mysql://a%40b:c%2Fd@[::1]/x%20y");
        assert_eq!((written.user.as_str(), written.password.as_str()), ("a@b", "c/d"));
        assert_eq!(written.place, Place::Host { host: "::1".to_owned(), port: None });
        assert_eq!(read("a@unix(/run/x.sock)/").place, Place::Socket("/run/x.sock".to_owned()));
        assert_eq!(read("mysql://a@%2Frun%2Fx/").place, Place::Socket("/run/x".to_owned()));
    }

    #[test]
    fn it_is_shown_without_its_secrets() {
        for (text, wanted) in [
            (
                "{{username}}:{{password}}@tcp(127.0.0.1:3306)/",
                "{{username}}:{{password}}@tcp(127.0.0.1:3306)/",
            ),
            (
                "a:geheim@tcp(h)/db?tls=skip-verify&charset=geheim",
                "a:*****@tcp(h)/db?tls=skip-verify&charset=*****",
            ),
            ("a:x{{password}}geheim@unix(/s)/", "a:*****@unix(/s)/"),
            ("mysql://{{username}}:geheim@h:1/a%20b", "mysql://{{username}}:*****@h:1/a%20b"),
        ] {
            assert_eq!(Address::parse(text).unwrap().shown(), wanted);
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_not_repeated() {
        for text in [
            "geheim",
            "a:geheim@tcp(h:geheim)/",
            "a:b@geheim(h)/",
            "a:b@tcp(geheim/",
            "a:b@tcp(h,geheim)/",
            "a:b@tcp(h)/x?geheim=1",
            "a:b@tcp(h)/x?tls=geheim",
            "a:b@tcp(h)/x?geheim",
            "mysql://a:geheim/geheim@h/x",
            "mysql://a:b@h/x%zz",
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(!error.contains("geheim"), "{error}");
        }
    }
}
