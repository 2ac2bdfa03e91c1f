//! How the nodes of a target are found, reached and administered: Vault's fields, and ours for Sentinel and Cluster.

use super::address::{Address, PORT, SENTINEL_PORT};
use super::name::TEMPLATE;
use crate::fields::Fields;
use crate::hidden::Hidden;
use leasehold_core::engine::FieldError;
use leasehold_core::engine::naming::Template;
use leasehold_core::secret::SecretText;
use redis::{
    Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo,
    TlsCertificates,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// How many batches a target works on at once if its operator says nothing.
const CONNECTIONS_DEFAULT: u32 = 4;

/// A server has one thread for all of them, so more gain nothing.
const CONNECTIONS_MAX: u32 = 64;

/// How a target is reached and administered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    nodes: Finding,
    username: String,
    password: Hidden,
    tls: bool,
    insecure_tls: bool,
    ca_cert: String,
    tls_certificate: String,
    private_key: Hidden,
    max_open_connections: u32,
    username_template: Option<Template>,
    retired_nodes: Vec<Address>,
}

/// How the nodes of a target are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Finding {
    /// There is one, here.
    Alone(Address),
    /// Sentinels know the primary and its replicas.
    Sentinel {
        sentinels: Vec<Address>,
        master: String,
        username: String,
        password: SentinelPassword,
    },
    /// Every node of a cluster knows all the others; this is one.
    Cluster(Address),
}

/// The password of the Sentinels themselves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SentinelPassword(Hidden);

impl PartialEq for SentinelPassword {
    fn eq(&self, other: &Self) -> bool {
        self.0.reveal() == other.0.reveal()
    }
}

impl Eq for SentinelPassword {}

/// What `connection_url` says, if it was written.
#[derive(Debug, Default)]
struct Url {
    address: Option<Address>,
    tls: bool,
    username: Option<String>,
    password: Option<String>,
}

impl Config {
    /// Parses and checks what an operator wrote.
    pub(super) fn parse(written: &Map<String, Value>) -> Result<Self, FieldError> {
        let mut fields = Fields::new(written);
        let url = Url::parse(&fields.text("connection_url")?)?;
        let (username, password) = (fields.text("username")?, fields.text("password")?);
        let nodes = finding(&mut fields, &url)?;
        let open = fields.number("max_open_connections")?.filter(|open| *open > 0);
        let open = u32::try_from(open.unwrap_or(CONNECTIONS_DEFAULT.into())).ok();
        let config = Self {
            nodes,
            username: if username.is_empty() { url.username.unwrap_or_default() } else { username },
            password: Hidden::from(if password.is_empty() {
                url.password.unwrap_or_default()
            } else {
                password
            }),
            tls: fields.truth("tls")? || url.tls,
            insecure_tls: fields.truth("insecure_tls")?,
            ca_cert: pem(&mut fields, "ca_cert")?,
            tls_certificate: pem(&mut fields, "tls_certificate")?,
            private_key: Hidden::from(pem(&mut fields, "private_key")?),
            max_open_connections: open.filter(|open| *open <= CONNECTIONS_MAX).ok_or_else(
                || FieldError(format!("`max_open_connections` can be at most {CONNECTIONS_MAX}")),
            )?,
            username_template: fields.template("username_template")?,
            retired_nodes: addresses(&mut fields, "retired_nodes", PORT)?,
        };
        fields.finish("a Redis target")?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), FieldError> {
        let wrong = |why: &str| Err(FieldError(why.to_owned()));
        if self.username.is_empty() {
            return wrong("username cannot be empty");
        }
        if self.password.reveal().is_empty() {
            return wrong("password cannot be empty");
        }
        if self.tls_certificate.is_empty() != self.private_key.reveal().is_empty() {
            return wrong("`tls_certificate` and `private_key` go together");
        }
        let has_tls =
            !self.ca_cert.is_empty() || self.insecure_tls || !self.tls_certificate.is_empty();
        if has_tls && !self.tls {
            return wrong("`ca_cert`, `insecure_tls` and `tls_certificate` need `tls=true`");
        }
        if self.insecure_tls && !self.ca_cert.is_empty() {
            return wrong("`insecure_tls` checks nothing, so it cannot go with `ca_cert`");
        }
        self.client(&Address { host: "localhost".to_owned(), port: PORT }).map(|_| ())
    }

    /// Returns what an operator is shown: no secret.
    pub(super) fn shown(&self) -> Map<String, Value> {
        let mut shown = Map::new();
        let mut show = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        // What tells one place from another, whichever way the nodes are found.
        let scheme = if self.tls { "rediss" } else { "redis" };
        match &self.nodes {
            Finding::Alone(address) | Finding::Cluster(address) => {
                show("host", json!(address.host));
                show("port", json!(address.port.to_string()));
                show("connection_url", json!(format!("{scheme}://{address}")));
            }
            Finding::Sentinel { sentinels, master, username, .. } => {
                show("sentinels", json!(sentinels));
                show("sentinel_master", json!(master));
                show("connection_url", json!(format!("{scheme}+sentinel://{master}")));
                if !username.is_empty() {
                    show("sentinel_username", json!(username));
                }
            }
        }
        if matches!(self.nodes, Finding::Cluster(_)) {
            show("cluster", json!(true));
        }
        show("username", json!(self.username));
        show("max_open_connections", json!(self.max_open_connections));
        for (name, truth) in [("tls", self.tls), ("insecure_tls", self.insecure_tls)] {
            if truth {
                show(name, json!(true));
            }
        }
        for (name, text) in [("ca_cert", &self.ca_cert), ("tls_certificate", &self.tls_certificate)]
        {
            if !text.is_empty() {
                show(name, json!(text));
            }
        }
        if let Some(template) = &self.username_template {
            show("username_template", json!(template.source()));
        }
        if !self.retired_nodes.is_empty() {
            show("retired_nodes", json!(self.retired_nodes));
        }
        shown
    }

    pub(super) fn finding(&self) -> &Finding {
        &self.nodes
    }

    pub(super) fn username(&self) -> &str {
        &self.username
    }

    pub(super) fn password(&self) -> SecretText {
        SecretText::new(self.password.reveal().to_owned())
    }

    pub(super) fn connections(&self) -> usize {
        usize::try_from(self.max_open_connections).unwrap_or(1)
    }

    /// Tells whether the operator has said that a node is gone for good, with all that it had.
    pub(super) fn is_retired(&self, address: &Address) -> bool {
        self.retired_nodes.contains(address)
    }

    /// Returns how credentials are called.
    pub(super) fn template(&self) -> Result<Template, FieldError> {
        match &self.username_template {
            Some(template) => Ok(template.clone()),
            None => Template::parse(TEMPLATE).map_err(|error| FieldError(error.to_string())),
        }
    }

    /// Returns how a node is connected to.
    pub(super) fn client(&self, at: &Address) -> Result<Client, FieldError> {
        self.client_as(at, &self.username, self.password.reveal())
    }

    /// Returns how a Sentinel is connected to.
    pub(super) fn sentinel_client(&self, at: &Address) -> Result<Client, FieldError> {
        match &self.nodes {
            Finding::Sentinel { username, password, .. } => {
                self.client_as(at, username, password.0.reveal())
            }
            Finding::Alone(_) | Finding::Cluster(_) => self.client(at),
        }
    }

    /// Returns how somebody connects to a node.
    pub(super) fn client_as(
        &self,
        at: &Address,
        username: &str,
        password: &str,
    ) -> Result<Client, FieldError> {
        let wrong = |error: redis::RedisError| {
            FieldError(format!("`ca_cert` or `tls_certificate`: {error}"))
        };
        let mut settings = RedisConnectionInfo::default().set_skip_set_lib_name();
        if !username.is_empty() {
            settings = settings.set_username(username);
        }
        if !password.is_empty() {
            settings = settings.set_password(password);
        }
        let (host, port) = (at.host.clone(), at.port);
        let addr = if self.tls {
            ConnectionAddr::TcpTls { host, port, insecure: self.insecure_tls, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let info = addr.into_connection_info().map_err(wrong)?.set_redis_settings(settings);
        if !self.tls || (self.ca_cert.is_empty() && self.tls_certificate.is_empty()) {
            return Client::open(info).map_err(wrong);
        }
        let bytes = |text: &str| text.as_bytes().to_vec();
        let client_tls = (!self.tls_certificate.is_empty()).then(|| ClientTlsConfig {
            client_cert: bytes(&self.tls_certificate),
            client_key: bytes(self.private_key.reveal()),
        });
        let root_cert = (!self.ca_cert.is_empty()).then(|| bytes(&self.ca_cert));
        Client::build_with_tls(info, TlsCertificates { client_tls, root_cert }).map_err(wrong)
    }
}

fn finding(fields: &mut Fields<'_>, url: &Url) -> Result<Finding, FieldError> {
    let wrong = |why: &str| Err(FieldError(why.to_owned()));
    let (host, port) = (fields.text("host")?, fields.number("port")?);
    let sentinels = addresses(fields, "sentinels", SENTINEL_PORT)?;
    let master = fields.text("sentinel_master")?;
    let username = fields.text("sentinel_username")?;
    let password = SentinelPassword(Hidden::from(fields.text("sentinel_password")?));
    let is_cluster = fields.truth("cluster")?;
    if !sentinels.is_empty() || !master.is_empty() {
        if sentinels.is_empty() || master.is_empty() {
            return wrong("`sentinels` and `sentinel_master` go together");
        }
        if is_cluster || !host.is_empty() || url.address.is_some() {
            return wrong(
                "Sentinels find the nodes: leave out `host`, `connection_url` and `cluster`",
            );
        }
        return Ok(Finding::Sentinel { sentinels, master, username, password });
    }
    let port = u16::try_from(port.unwrap_or(PORT.into())).ok().filter(|port| *port > 0);
    let Some(port) = port else { return wrong("`port` must be from 1 to 65535") };
    let address = match (&url.address, host.as_str()) {
        (Some(_), host) if !host.is_empty() => {
            return wrong("set either `host` or `connection_url`, not both");
        }
        (Some(address), _) => address.clone(),
        (None, "") => return wrong("host cannot be empty"),
        (None, host) => {
            let parsed = Address::parse(host, port)?;
            // A port in `host` would silently lose to the other one.
            if parsed.port != port
                || (host.contains(':') && !host.starts_with('[') && parsed.host != host)
            {
                return wrong("`host` names no port; write it into `port`");
            }
            parsed
        }
    };
    Ok(if is_cluster { Finding::Cluster(address) } else { Finding::Alone(address) })
}

impl Url {
    fn parse(text: &str) -> Result<Self, FieldError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let wrong = || {
            FieldError(
                "`connection_url` must be `redis://`, `rediss://`, `valkey://` or `valkeys://` and `user:password@host:port`"
                    .to_owned(),
            )
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let tls = match scheme {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err(wrong()),
        };
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        // Databases share one list of users, so which one is named says nothing.
        let place = place.split(['/', '?']).next().unwrap_or_default();
        let address = Address::parse(place, PORT).map_err(|_| wrong())?;
        let (username, password) =
            match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
                Some((username, password)) => (
                    Some(unescaped(username).ok_or_else(wrong)?),
                    Some(unescaped(password).ok_or_else(wrong)?),
                ),
                None => (None, None),
            };
        Ok(Self { address: Some(address), tls, username, password })
    }
}

/// Reads `%40` and the like.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

fn addresses(
    fields: &mut Fields<'_>,
    name: &'static str,
    port: u16,
) -> Result<Vec<Address>, FieldError> {
    let texts = fields.texts(name)?;
    let each = texts.iter().flat_map(|text| text.split(',')).map(str::trim);
    let read = each.filter(|text| !text.is_empty()).map(|text| Address::parse(text, port));
    read.collect::<Result<_, _>>().map_err(|FieldError(why)| FieldError(format!("`{name}`: {why}")))
}

fn pem(fields: &mut Fields<'_>, name: &'static str) -> Result<String, FieldError> {
    let text = fields.text(name)?;
    if text.is_empty() || text.contains("-----BEGIN ") {
        return Ok(text);
    }
    Err(FieldError(format!("`{name}` must be in PEM form (`-----BEGIN …`)")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(written: &Value) -> Result<Config, FieldError> {
        let mut all = json!({"username": "default", "password": "geheim"});
        all.as_object_mut().unwrap().extend(written.as_object().unwrap().clone());
        Config::parse(all.as_object().unwrap())
    }

    #[test]
    fn a_target_is_written_as_for_vault() {
        let config = parsed(&json!({"host": "h", "port": "7000"})).unwrap();
        assert_eq!(config.finding(), &Finding::Alone(Address { host: "h".into(), port: 7000 }));
        let url = parsed(
            &json!({"connection_url": "valkeys://a:p%40ss@h:7000/0", "username": "", "password": ""}),
        );
        let url = url.unwrap();
        assert_eq!((url.username(), url.password.reveal(), url.tls), ("a", "p@ss", true));
        assert_eq!(url.finding(), config.finding());
        let found = parsed(&json!({"sentinels": "a,b:7", "sentinel_master": "m"})).unwrap();
        assert!(
            matches!(found.finding(), Finding::Sentinel { sentinels, .. } if sentinels.len() == 2)
        );
        let found = parsed(&json!({"host": "h", "cluster": "true"})).unwrap();
        assert!(matches!(found.finding(), Finding::Cluster(_)));
    }

    #[test]
    fn no_secret_is_shown_or_printed_and_a_configuration_reads_back() {
        let written =
            json!({"connection_url": "redis://admin:geheim@h", "sentinel_password": "geheim"});
        let config = parsed(&written).unwrap();
        let shown = Value::Object(config.shown()).to_string();
        assert!(!shown.contains("geheim") && !format!("{config:?}").contains("geheim"), "{shown}");
        let stored = serde_json::to_string(&config).unwrap();
        let read: Config = serde_json::from_str(&stored).unwrap();
        assert_eq!(read.shown(), config.shown());
    }

    #[test]
    fn what_cannot_work_is_refused_by_name_and_without_a_secret() {
        for (written, named) in [
            (json!({}), "host cannot be empty"),
            (json!({"host": "h", "username": ""}), "username"),
            (json!({"host": "h", "password": ""}), "password"),
            (json!({"host": "h:7", "port": 8}), "port"),
            (json!({"host": "a b"}), "host"),
            (json!({"host": "h", "port": 0}), "port"),
            (json!({"host": "h", "port": 70000}), "port"),
            (json!({"host": "h", "ca_cert": "x"}), "ca_cert"),
            (json!({"host": "h", "insecure_tls": true}), "tls=true"),
            (json!({"host": "h", "tls": true, "private_key": "-----BEGIN X"}), "tls_certificate"),
            (json!({"host": "h", "max_open_connections": 65}), "max_open_connections"),
            (json!({"host": "h", "connection_url": "redis://h"}), "connection_url"),
            (json!({"connection_url": "http://a:geheim@h"}), "connection_url"),
            (json!({"connection_url": "redis://a:%zzgeheim@h"}), "connection_url"),
            (json!({"sentinels": "a"}), "sentinel_master"),
            (json!({"sentinels": "a", "sentinel_master": "m", "cluster": true}), "cluster"),
            (json!({"host": "h", "retired_nodes": "x:y"}), "retired_nodes"),
            (json!({"host": "h", "hots": "x"}), "hots"),
        ] {
            let refused = parsed(&written).expect_err(&written.to_string());
            assert!(refused.0.contains(named) && !refused.0.contains("geheim"), "{refused}");
        }
    }
}
