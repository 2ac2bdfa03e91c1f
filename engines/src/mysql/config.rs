//! How a server is reached and administered: Vault's fields for this kind of target.

use super::address::{Address, Place, Tls};
use crate::fields::Fields;
use crate::hidden::Hidden;
use leasehold_core::engine::FieldError;
use leasehold_core::engine::naming::Template;
use leasehold_core::engine::rotation::{AccountSecret, Administrator};
use leasehold_core::secret::SecretText;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use std::time::Duration;

/// How many connections a target has if its operator says nothing: Vault's number.
const CONNECTIONS_DEFAULT: u32 = 4;

/// The most connections one target may have. Servers come with 151 for everybody.
const CONNECTIONS_MAX: u32 = 500;

/// How a server is reached and administered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    connection_url: Hidden,
    username: String,
    password: Hidden,
    /// Kept and shown; user name and password are filled in where they stand, so nothing is escaped.
    disable_escaping: bool,
    max_open_connections: u32,
    max_idle_connections: u32,
    max_connection_lifetime: Duration,
    username_template: Option<Template>,
    password_authentication: Authentication,
    tls_ca: String,
    tls_certificate_key: Hidden,
    tls_server_name: String,
    tls_skip_verify: bool,
}

/// What the server is told of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Authentication {
    /// A hash, where the server takes one.
    Hash,
    /// The password itself, for servers that judge passwords.
    Password,
}

impl Authentication {
    fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Password => "password",
        }
    }
}

impl Config {
    /// Parses and checks what an operator wrote.
    pub(super) fn parse(written: &Map<String, Value>) -> Result<Self, FieldError> {
        let mut fields = Fields::new(written);
        let connection_url = fields.text("connection_url")?;
        if connection_url.trim().is_empty() {
            return Err(FieldError("`connection_url` cannot be empty".to_owned()));
        }
        let open = connections(&mut fields, "max_open_connections")?
            .filter(|open| *open > 0)
            .unwrap_or(CONNECTIONS_DEFAULT);
        let config = Self {
            connection_url: Hidden::from(connection_url),
            username: fields.text("username")?,
            password: Hidden::from(fields.text("password")?),
            disable_escaping: fields.truth("disable_escaping")?,
            max_open_connections: open,
            max_idle_connections: connections(&mut fields, "max_idle_connections")?
                .filter(|idle| *idle > 0)
                .unwrap_or(open)
                .min(open),
            max_connection_lifetime: fields.span("max_connection_lifetime")?,
            username_template: fields.template("username_template")?,
            password_authentication: authentication(&fields.text("password_authentication")?)?,
            tls_ca: fields.text("tls_ca")?,
            tls_certificate_key: Hidden::from(fields.text("tls_certificate_key")?),
            tls_server_name: fields.text("tls_server_name")?,
            tls_skip_verify: fields.truth("tls_skip_verify")?,
        };
        fields.finish("a MySQL target")?;
        config.connect_options()?;
        Ok(config)
    }

    /// Returns what an operator is shown: no secret.
    pub(super) fn shown(&self) -> Map<String, Value> {
        let mut shown = Map::new();
        let mut show = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        let address = Address::parse(self.connection_url.reveal());
        let address = address.map(|address| address.shown());
        let unreadable = "(not shown, since it cannot be read)";
        show("connection_url", json!(address.unwrap_or_else(|_| unreadable.to_owned())));
        show("max_open_connections", json!(self.max_open_connections));
        show("max_idle_connections", json!(self.max_idle_connections));
        let lifetime = format!("{}s", self.max_connection_lifetime.as_secs());
        show("max_connection_lifetime", json!(lifetime));
        show("password_authentication", json!(self.password_authentication.name()));
        for (name, text) in [
            ("username", &self.username),
            ("tls_ca", &self.tls_ca),
            ("tls_server_name", &self.tls_server_name),
        ] {
            if !text.is_empty() {
                show(name, json!(text));
            }
        }
        if let Some(template) = &self.username_template {
            show("username_template", json!(template.source()));
        }
        for (name, set) in
            [("disable_escaping", self.disable_escaping), ("tls_skip_verify", self.tls_skip_verify)]
        {
            if set {
                show(name, json!(true));
            }
        }
        shown
    }

    pub(super) fn connections(&self) -> u32 {
        self.max_open_connections
    }

    pub(super) fn idle_connections(&self) -> u32 {
        self.max_idle_connections
    }

    /// Returns how long a connection is used; `None` for as long as it works.
    pub(super) fn lifetime(&self) -> Option<Duration> {
        Some(self.max_connection_lifetime).filter(|span| !span.is_zero())
    }

    pub(super) fn authentication(&self) -> Authentication {
        self.password_authentication
    }

    pub(super) fn template(&self) -> Option<Template> {
        self.username_template.clone()
    }

    /// Returns who administers the server; `None` where nobody logs in with a password.
    pub(super) fn administrator(&self) -> Option<Administrator> {
        let address = Address::parse(self.connection_url.reveal()).ok()?;
        let at = address.at();
        let Address { user: name, password, .. } =
            address.filled(&self.username, self.password.reveal());
        let secret = AccountSecret::of_password(SecretText::new(password.clone()));
        (!password.is_empty()).then_some(Administrator { name, at, secret })
    }

    /// Returns how the driver connects.
    pub(super) fn connect_options(&self) -> Result<MySqlConnectOptions, FieldError> {
        let address = Address::parse(self.connection_url.reveal())?
            .filled(&self.username, self.password.reveal());
        if address.user.is_empty() {
            return Err(FieldError(
                "`username` is empty and `connection_url` names no user".to_owned(),
            ));
        }
        let mut options =
            address.options().username(&address.user).ssl_mode(self.ssl_mode(&address)?);
        // Without one none is sent; with an empty one the server would be shown the hash of nothing.
        if !address.password.is_empty() {
            options = options.password(&address.password);
        }
        if !self.tls_ca.is_empty() {
            options = options.ssl_ca_from_pem(pem("tls_ca", &self.tls_ca)?);
        }
        let own = self.tls_certificate_key.reveal();
        if !own.is_empty() {
            let both = pem("tls_certificate_key", own)?;
            if !own.contains("PRIVATE KEY-----") || !own.contains("-----BEGIN CERTIFICATE-----") {
                return Err(FieldError(
                    "`tls_certificate_key` must hold a certificate and its private key".to_owned(),
                ));
            }
            options = options.ssl_client_cert_from_pem(both.clone()).ssl_client_key_from_pem(both);
        }
        Ok(options)
    }

    /// Says how the connection is encrypted. An authority that is named is there to be checked.
    fn ssl_mode(&self, address: &Address) -> Result<MySqlSslMode, FieldError> {
        let wanted = !self.tls_ca.is_empty() || !self.tls_certificate_key.reveal().is_empty();
        let tls = address.tls()?;
        if !self.tls_server_name.is_empty() {
            let is_the_host =
                matches!(&address.place, Place::Host { host, .. } if *host == self.tls_server_name);
            if !is_the_host {
                return Err(FieldError(
                    "`tls_server_name` must be the host in `connection_url`: the name in the server's certificate \
                     is checked against it".to_owned(),
                ));
            }
        }
        match tls {
            Tls::Off if wanted || self.tls_skip_verify => Err(FieldError(
                "`connection_url` says `tls=false`, and a `tls_` field needs the connection encrypted"
                    .to_owned(),
            )),
            Tls::Off => Ok(MySqlSslMode::Disabled),
            _ if self.tls_skip_verify => Ok(MySqlSslMode::Required),
            Tls::Checked => Ok(MySqlSslMode::VerifyIdentity),
            _ if wanted => Ok(MySqlSslMode::VerifyIdentity),
            Tls::Unchecked => Ok(MySqlSslMode::Required),
            Tls::IfThere | Tls::Unsaid => Ok(MySqlSslMode::Preferred),
        }
    }
}

/// Returns what an operator would have written had the administrator this secret.
pub(super) fn with_secret(
    written: &Map<String, Value>,
    secret: &AccountSecret,
) -> Result<Map<String, Value>, FieldError> {
    let password = secret.part("password");
    let password = password.ok_or_else(|| FieldError("the secret has no password".to_owned()))?;
    let mut written = written.clone();
    written.insert("password".to_owned(), json!(password.reveal()));
    // Where the password is written into the address itself, it would go on counting.
    let logs_in_with = Config::parse(&written)?.administrator().map(|admin| admin.secret);
    if logs_in_with.is_some_and(|logs_in_with| logs_in_with.ct_eq(secret)) {
        return Ok(written);
    }
    Err(FieldError(
        "the administrator's password cannot be rotated while it is a part of `connection_url`; write \
         `{{username}}` and `{{password}}` there, and `username` and `password` beside it"
            .to_owned(),
    ))
}

fn connections(fields: &mut Fields<'_>, name: &'static str) -> Result<Option<u32>, FieldError> {
    let Some(number) = fields.number(name)? else { return Ok(None) };
    u32::try_from(number.max(0))
        .ok()
        .filter(|number| *number <= CONNECTIONS_MAX)
        .map(Some)
        .ok_or_else(|| FieldError(format!("`{name}` can be at most {CONNECTIONS_MAX}")))
}

fn authentication(text: &str) -> Result<Authentication, FieldError> {
    match text {
        "" | "hash" => Ok(Authentication::Hash),
        "password" => Ok(Authentication::Password),
        other => Err(FieldError(format!(
            "`password_authentication` cannot be `{other}`; it is `hash` or `password`"
        ))),
    }
}

fn pem(name: &str, text: &str) -> Result<Vec<u8>, FieldError> {
    if text.contains("-----BEGIN ") {
        return Ok(text.as_bytes().to_vec());
    }
    Err(FieldError(format!("`{name}` must be in PEM form (`-----BEGIN …`)")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CA: &str = "-----BEGIN CERTIFICATE-----\nx";

    fn parsed(written: &Value) -> Result<Config, FieldError> {
        Config::parse(written.as_object().unwrap())
    }

    #[test]
    fn no_secret_is_shown_or_printed() {
        let config = parsed(&json!({
            "connection_url": "admin:geheim@tcp(h)/", "password": "geheim",
            "tls_certificate_key": "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----geheim",
        }))
        .unwrap();
        let shown = Value::Object(config.shown()).to_string();
        assert!(!shown.contains("geheim") && !format!("{config:?}").contains("geheim"), "{shown}");
        assert_eq!(config.shown()["max_open_connections"], 4);
        assert_eq!(config.shown()["connection_url"], "admin:*****@tcp(h)/");
    }

    #[test]
    fn a_configuration_reads_back_from_the_store() {
        let config = parsed(&json!({
            "connection_url": "{{username}}:{{password}}@tcp(h:1)/", "username": "a", "password": "geheim",
            "max_connection_lifetime": "5m", "max_open_connections": "8",
        }))
        .unwrap();
        let read: Config = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
        assert_eq!((read.connections(), read.idle_connections()), (8, 8));
        assert_eq!(read.lifetime(), Some(Duration::from_mins(5)));
        let options = read.connect_options().unwrap();
        assert_eq!((options.get_username(), options.get_port()), ("a", 1));
    }

    #[test]
    fn an_authority_is_checked_unless_an_operator_says_not_to() {
        for (url, more, wanted) in [
            ("a@tcp(h)/", json!({}), "Preferred"),
            ("a@tcp(h)/?tls=false", json!({}), "Disabled"),
            ("a@tcp(h)/?tls=skip-verify", json!({}), "Required"),
            ("a@tcp(h)/?tls=skip-verify", json!({"tls_ca": CA}), "VerifyIdentity"),
            ("a@tcp(h)/?tls=preferred", json!({"tls_ca": CA}), "VerifyIdentity"),
            (
                "a@tcp(h)/?tls=custom",
                json!({"tls_ca": CA, "tls_server_name": "h"}),
                "VerifyIdentity",
            ),
            ("a@tcp(h)/?tls=true", json!({}), "VerifyIdentity"),
            ("a@tcp(h)/", json!({"tls_ca": CA, "tls_skip_verify": true}), "Required"),
        ] {
            let mut written = more;
            written["connection_url"] = json!(url);
            let config = parsed(&written).unwrap();
            let address = Address::parse(url).unwrap();
            assert_eq!(format!("{:?}", config.ssl_mode(&address).unwrap()), wanted, "{written}");
        }
    }

    #[test]
    fn another_secret_of_the_administrator_takes_the_place_of_the_first() {
        let secret = AccountSecret::of_password(SecretText::new("n@w:/?#%".into()));
        let changed = |written: Value| with_secret(written.as_object().unwrap(), &secret);
        for url in ["{{username}}:{{password}}@tcp(h)/db", "tcp(h)/", "mysql://{{username}}@h/"] {
            let written = json!({"connection_url": url, "username": "admin", "password": "old"});
            let changed = Config::parse(&changed(written).unwrap()).unwrap();
            let administrator = changed.administrator().unwrap();
            assert_eq!(administrator.name, "admin");
            assert!(administrator.secret.ct_eq(&secret));
        }
        assert!(changed(json!({"connection_url": "admin:old@tcp(h)/"})).is_err());
        let without = parsed(&json!({"connection_url": "admin@tcp(h)/"})).unwrap();
        assert!(without.administrator().is_none());
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        for (written, named) in [
            (json!({}), "connection_url"),
            (json!({"connection_url": "junk"}), "missing the slash"),
            (
                json!({"connection_url": "a@/", "max_open_connections": 5000}),
                "max_open_connections",
            ),
            (
                json!({"connection_url": "a@/", "password_authentication": "md5"}),
                "password_authentication",
            ),
            (json!({"connection_url": "tcp(h)/"}), "username"),
            (json!({"connection_url": "a@/", "tls_ca": "x"}), "tls_ca"),
            (json!({"connection_url": "a@/?tls=false", "tls_ca": CA}), "tls=false"),
            (json!({"connection_url": "a@/", "tls_certificate_key": CA}), "private key"),
            (json!({"connection_url": "a@tcp(h)/", "tls_server_name": "other"}), "tls_server_name"),
            (json!({"connection_url": "a@/", "conection_url": "x"}), "conection_url"),
        ] {
            let refused = parsed(&written).unwrap_err();
            assert!(refused.0.contains(named), "{refused}");
        }
    }
}
