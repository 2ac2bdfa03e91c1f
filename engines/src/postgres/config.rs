//! How a server is reached and administered: Vault's fields for this kind of target.

use super::address::{self, Address};
use super::shown;
use crate::fields::Fields;
use crate::hidden::Hidden;
use leasehold_core::engine::FieldError;
use leasehold_core::engine::naming::Template;
use leasehold_core::engine::rotation::{AccountSecret, Administrator};
use leasehold_core::secret::SecretText;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::time::Duration;
use zeroize::Zeroizing;

/// How many connections a target has if its operator says nothing: Vault's number.
const CONNECTIONS_DEFAULT: u32 = 4;

/// The most connections one target may have. PostgreSQL itself comes with 100 for everybody.
const CONNECTIONS_MAX: u32 = 500;

/// How a server is reached and administered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    connection_url: Hidden,
    username: String,
    password: Hidden,
    disable_escaping: bool,
    max_open_connections: u32,
    max_idle_connections: u32,
    max_connection_lifetime: Duration,
    username_template: Option<Template>,
    password_authentication: Authentication,
    tls_ca: String,
    tls_certificate: String,
    private_key: Hidden,
}

/// What the server is told of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Authentication {
    /// A verifier, computed here.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// The password itself, for servers that check it by other means. It may end in the server's log.
    Password,
}

impl Authentication {
    fn name(self) -> &'static str {
        match self {
            Self::ScramSha256 => "scram-sha-256",
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
        let open = connections(&mut fields, "max_open_connections")?.unwrap_or(CONNECTIONS_DEFAULT);
        let open = if open == 0 { CONNECTIONS_DEFAULT } else { open };
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
            tls_certificate: fields.text("tls_certificate")?,
            private_key: Hidden::from(fields.text("private_key")?),
        };
        fields.finish("a PostgreSQL target")?;
        config.connect_options()?;
        Ok(config)
    }

    /// Returns what an operator is shown: no secret.
    pub(super) fn shown(&self) -> Map<String, Value> {
        let mut shown = Map::new();
        let mut show = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        let template = self.filled("{{username}}", "{{password}}", str::to_owned);
        show("connection_url", json!(shown::shown(&template)));
        show("max_open_connections", json!(self.max_open_connections));
        show("max_idle_connections", json!(self.max_idle_connections));
        show(
            "max_connection_lifetime",
            json!(format!("{}s", self.max_connection_lifetime.as_secs())),
        );
        show("password_authentication", json!(self.password_authentication.name()));
        for (name, text) in [
            ("username", &self.username),
            ("tls_ca", &self.tls_ca),
            ("tls_certificate", &self.tls_certificate),
        ] {
            if !text.is_empty() {
                show(name, json!(text));
            }
        }
        if let Some(template) = &self.username_template {
            show("username_template", json!(template.source()));
        }
        if self.disable_escaping {
            show("disable_escaping", json!(true));
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

    /// Returns how credentials are called.
    pub(super) fn template(&self) -> Template {
        self.username_template.clone().unwrap_or_default()
    }

    /// Returns the `connection_url` with user name and password in place.
    fn filled_url(&self) -> Zeroizing<String> {
        let is_url = self.connection_url.reveal().contains("://");
        self.filled(&self.username, self.password.reveal(), |text| {
            match (self.disable_escaping, is_url) {
                (true, _) => text.to_owned(),
                (false, true) => address::url_escaped(text),
                (false, false) => address::dsn_escaped(text),
            }
        })
    }

    fn filled(
        &self,
        username: &str,
        password: &str,
        escaped: impl Fn(&str) -> String,
    ) -> Zeroizing<String> {
        // One pass: a user name that holds `{{password}}` must not be filled in again.
        let mut filled = Zeroizing::new(String::new());
        let mut rest = self.connection_url.reveal();
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, tail)) = after.split_once("}}") else { break };
            filled.push_str(before);
            match name.trim() {
                "username" => filled.push_str(&escaped(username)),
                "password" => filled.push_str(&escaped(password)),
                other => filled.extend(["{{", other, "}}"]),
            }
            rest = tail;
        }
        filled.push_str(rest);
        filled
    }

    /// Returns who administers the server; `None` where nobody logs in with a password.
    pub(super) fn administrator(&self) -> Option<Administrator> {
        let address = Address::parse(&self.filled_url()).ok()?;
        let name = address.user().unwrap_or(&self.username).to_owned();
        let password = address.password().unwrap_or(self.password.reveal());
        let secret = AccountSecret::of_password(SecretText::new(password.to_owned()));
        let at = address.at();
        (!password.is_empty()).then_some(Administrator { name, at, secret })
    }

    /// Returns how the driver connects.
    pub(super) fn connect_options(&self) -> Result<PgConnectOptions, FieldError> {
        let address = Address::parse(&self.filled_url())?;
        let user = address.user().unwrap_or(&self.username);
        if user.is_empty() {
            return Err(FieldError(
                "`username` is empty and `connection_url` names no user".to_owned(),
            ));
        }
        let password = address.password().unwrap_or(self.password.reveal());
        let mut options = address.options()?.username(user).password(password);
        if !self.tls_ca.is_empty() {
            // An authority that is named is there to be checked, whatever the mode's name promises.
            let mode = match address.ssl_mode()? {
                PgSslMode::Disable | PgSslMode::Allow => {
                    return Err(FieldError(
                        "`tls_ca` needs an `sslmode` other than disable".to_owned(),
                    ));
                }
                PgSslMode::Prefer | PgSslMode::Require | PgSslMode::VerifyCa => PgSslMode::VerifyCa,
                PgSslMode::VerifyFull => PgSslMode::VerifyFull,
            };
            options = options.ssl_mode(mode).ssl_root_cert_from_pem(pem("tls_ca", &self.tls_ca)?);
        }
        if self.tls_certificate.is_empty() != self.private_key.reveal().is_empty() {
            return Err(FieldError("`tls_certificate` and `private_key` go together".to_owned()));
        }
        if !self.tls_certificate.is_empty() {
            options = options
                .ssl_client_cert_from_pem(pem("tls_certificate", &self.tls_certificate)?)
                .ssl_client_key_from_pem(pem("private_key", self.private_key.reveal())?);
        }
        Ok(options)
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
        "" | "scram-sha-256" => Ok(Authentication::ScramSha256),
        "password" => Ok(Authentication::Password),
        other => Err(FieldError(format!(
            "`password_authentication` cannot be `{other}`; it is `scram-sha-256` or `password`"
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

    fn parsed(written: &Value) -> Result<Config, FieldError> {
        Config::parse(written.as_object().unwrap())
    }

    #[test]
    fn user_name_and_password_are_escaped_into_the_url() {
        let config = parsed(&json!({
            "connection_url": "postgresql://{{username}}:{{password}}@h:1/db?sslmode=disable",
            "username": "ad: min/{{password}}", "password": "p@ss:w/o?rd%",
        }))
        .unwrap();
        let address = Address::parse(&config.filled_url()).unwrap();
        assert_eq!(address.user(), Some("ad: min/{{password}}"));
        assert_eq!(address.password(), Some("p@ss:w/o?rd%"));
        assert_eq!(config.connect_options().unwrap().get_host(), "h");
    }

    #[test]
    fn a_list_is_filled_in_as_well() {
        let config = parsed(&json!({
            "connection_url": "host=h user={{username}} password='{{password}}'",
            "username": "admin", "password": "it's \\ here",
        }))
        .unwrap();
        let address = Address::parse(&config.filled_url()).unwrap();
        assert_eq!(address.password(), Some("it's \\ here"));
    }

    #[test]
    fn no_secret_is_shown_or_printed() {
        let config = parsed(&json!({
            "connection_url": "postgres://admin:geheim@h/db", "password": "geheim",
        }))
        .unwrap();
        let shown = Value::Object(config.shown()).to_string();
        assert!(!shown.contains("geheim") && !format!("{config:?}").contains("geheim"), "{shown}");
        assert_eq!(config.shown()["max_open_connections"], 4);
    }

    #[test]
    fn a_template_is_shown_as_a_template() {
        let config = parsed(&json!({
            "connection_url": "host=h user={{ username }} password={{ password }}",
            "username": "admin", "password": "geheim",
        }))
        .unwrap();
        let shown = &config.shown()["connection_url"];
        assert_eq!(shown, "host=h user={{username}} password={{password}}");
    }

    #[test]
    fn a_configuration_reads_back_from_the_store() {
        let config = parsed(&json!({
            "connection_url": "postgres://admin:geheim@h/db", "max_connection_lifetime": "5m",
            "max_open_connections": "8",
        }))
        .unwrap();
        let stored = serde_json::to_string(&config).unwrap();
        let read: Config = serde_json::from_str(&stored).unwrap();
        assert_eq!(read.connections(), 8);
        assert_eq!(read.lifetime(), Some(Duration::from_mins(5)));
        assert!(read.filled_url().contains("geheim"));
    }

    #[test]
    fn another_secret_of_the_administrator_takes_the_place_of_the_first() {
        let secret = AccountSecret::of_password(SecretText::new("n@w:/?#%".into()));
        let changed = |written: Value| with_secret(written.as_object().unwrap(), &secret);
        for url in ["postgres://{{username}}:{{password}}@h/db", "postgres://h/db", "host=h"] {
            let written = json!({"connection_url": url, "username": "admin", "password": "old", "max_open_connections": 3});
            let changed = Config::parse(&changed(written).unwrap()).unwrap();
            assert_eq!(changed.connections(), 3);
            let administrator = changed.administrator().unwrap();
            assert_eq!(administrator.name, "admin");
            assert!(administrator.secret.ct_eq(&secret));
        }
        for written in [
            json!({"connection_url": "postgres://admin:old@h/db"}),
            json!({"connection_url": "postgres://{{username}}:{{password}}@h/db", "username": "admin",
                "password": "old", "disable_escaping": true}),
        ] {
            assert!(changed(written).is_err());
        }
        let without = parsed(&json!({"connection_url": "postgres://admin@h/db"})).unwrap();
        assert!(without.administrator().is_none());
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        for (written, named) in [
            (json!({}), "connection_url"),
            (
                json!({"connection_url": "postgres://a@h/", "max_open_connections": 5000}),
                "max_open_connections",
            ),
            (
                json!({"connection_url": "postgres://a@h/", "password_authentication": "md5"}),
                "password_authentication",
            ),
            (json!({"connection_url": "postgres://h/"}), "username"),
            (json!({"connection_url": "postgres://a@h/", "tls_ca": "x"}), "tls_ca"),
            (json!({"connection_url": "postgres://a@h/", "private_key": "x"}), "private_key"),
            (json!({"connection_url": "postgres://a@h/", "conection_url": "x"}), "conection_url"),
        ] {
            let refused = parsed(&written).unwrap_err();
            assert!(refused.0.contains(named), "{refused}");
        }
    }
}
