//! How an account is reached and administered: Vault's fields of `aws/config/root`.

use crate::fields::Fields;
use crate::hidden::Hidden;
use leasehold_core::engine::FieldError;
use leasehold_core::engine::naming::Template;
use leasehold_core::engine::rotation::{AccountSecret, Administrator};
use leasehold_core::secret::SecretText;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// How users are called where no template was given: Vault's shape, with the lease's id, in at most 62 of the 64
/// characters that IAM takes.
const STANDARD: &str = "{{ printf \"vault-%s-%s-%s\" (.DisplayName | truncate 14) (.RoleName | truncate 14) .LeaseID }}";

/// Where IAM is one for all regions, and what Vault takes if it is not told.
const REGION_DEFAULT: &str = "us-east-1";

/// How often a call that may be repeated is tried again if nobody says otherwise. Each waits longer, and none longer
/// than its caller.
const RETRIES_DEFAULT: u32 = 8;
/// More than any caller waits for.
const RETRIES_MAX: u32 = 100;

/// How to reach and administer one AWS account.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    access_key: String,
    secret_key: Hidden,
    region: String,
    iam_endpoint: String,
    sts_endpoint: String,
    sts_region: String,
    /// `None` for [`RETRIES_DEFAULT`].
    max_retries: Option<u32>,
    username_template: Option<Template>,
}

impl Config {
    /// Parses and checks what an operator wrote.
    pub(super) fn parse(written: &Map<String, Value>) -> Result<Self, FieldError> {
        let mut fields = Fields::new(written);
        let config = Self {
            access_key: fields.text("access_key")?,
            secret_key: Hidden::from(fields.text("secret_key")?),
            region: fields.text("region")?,
            iam_endpoint: endpoint(&mut fields, "iam_endpoint")?,
            sts_endpoint: endpoint(&mut fields, "sts_endpoint")?,
            sts_region: fields.text("sts_region")?,
            max_retries: retries(&mut fields)?,
            username_template: fields.template("username_template")?,
        };
        fields.finish("`config/root`")?;
        // Whoever Leasehold's own machine is at AWS may be more than an operator of this mount is meant to use.
        if config.access_key.is_empty() || config.secret_key.reveal().is_empty() {
            return Err(FieldError(
                "`access_key` and `secret_key` are needed: those of the machine are not taken in their place"
                    .to_owned(),
            ));
        }
        let words = [&config.access_key, &config.region, &config.sts_region];
        if words.iter().any(|word| word.chars().any(|char| !char.is_ascii_graphic())) {
            return Err(FieldError(
                "`access_key`, `region` and `sts_region` are words without spaces".to_owned(),
            ));
        }
        config.template()?;
        Ok(config)
    }

    /// Returns what an operator is shown: no secret.
    pub(super) fn shown(&self) -> Map<String, Value> {
        let template = self.username_template.as_ref().map_or("", |template| template.source());
        let shown = [
            ("access_key", json!(self.access_key)),
            ("region", json!(self.region)),
            ("iam_endpoint", json!(self.iam_endpoint)),
            ("sts_endpoint", json!(self.sts_endpoint)),
            ("sts_region", json!(self.sts_region)),
            ("max_retries", self.max_retries.map_or(json!(-1), |retries| json!(retries))),
            ("username_template", json!(template)),
        ];
        shown.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Returns how users are called.
    pub(super) fn template(&self) -> Result<Template, FieldError> {
        match &self.username_template {
            Some(template) => Ok(template.clone()),
            None => Template::parse(STANDARD).map_err(|error| FieldError(error.to_string())),
        }
    }

    /// Returns the administrator's key: its id, and its secret.
    pub(super) fn key(&self) -> (&str, &str) {
        (&self.access_key, self.secret_key.reveal())
    }

    /// Returns the administrator, called by its key: whoever asks by it need not say who they are.
    pub(super) fn administrator(&self) -> Administrator {
        let text = |text: &str| SecretText::new(text.to_owned());
        let (id, secret) = (text(&self.access_key), text(self.secret_key.reveal()));
        let secret = AccountSecret::new([("access_key", id), ("secret_key", secret)]);
        // In which account, the key tells.
        Administrator { name: self.access_key.clone(), at: String::new(), secret }
    }

    /// Returns where users are made: the region that calls are signed for, and the address if it is not AWS's own.
    pub(super) fn iam(&self) -> (&str, Option<&str>) {
        (or(&self.region, REGION_DEFAULT), set(&self.iam_endpoint))
    }

    /// Returns the same for where keys are tried. An address of its own may be of another region.
    pub(super) fn sts(&self) -> (&str, Option<&str>) {
        (or(&self.sts_region, or(&self.region, REGION_DEFAULT)), set(&self.sts_endpoint))
    }

    pub(super) fn tries(&self) -> u32 {
        self.max_retries.unwrap_or(RETRIES_DEFAULT).saturating_add(1)
    }
}

/// Returns what an operator would have written had the administrator this key.
pub(super) fn with_secret(
    fields: &Map<String, Value>,
    secret: &AccountSecret,
) -> Result<Map<String, Value>, FieldError> {
    let mut fields = fields.clone();
    for name in ["access_key", "secret_key"] {
        let part =
            secret.part(name).ok_or_else(|| FieldError(format!("the secret has no `{name}`")))?;
        fields.insert(name.to_owned(), json!(part.reveal()));
    }
    Ok(fields)
}

fn set(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn or<'a>(text: &'a str, other: &'a str) -> &'a str {
    set(text).unwrap_or(other)
}

fn endpoint(fields: &mut Fields<'_>, name: &'static str) -> Result<String, FieldError> {
    let text = fields.text(name)?;
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    // A name and a password in front of the host would be shown to whoever reads the configuration.
    let plain = |host: &str| {
        !host.is_empty() && host.chars().all(|char| char.is_ascii_graphic() && char != '@')
    };
    if text.is_empty() || host.is_some_and(plain) {
        return Ok(text);
    }
    Err(FieldError(format!("`{name}` must be an address such as `https://iam.example.com`")))
}

fn retries(fields: &mut Fields<'_>) -> Result<Option<u32>, FieldError> {
    match fields.number("max_retries")? {
        None | Some(-1) => Ok(None),
        Some(number) => {
            let number = u32::try_from(number).ok().filter(|number| *number <= RETRIES_MAX);
            number.map(Some).ok_or_else(|| {
                FieldError(format!("`max_retries` must be -1, or from 0 to {RETRIES_MAX}"))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(written: &Value) -> Result<Config, FieldError> {
        Config::parse(written.as_object().unwrap())
    }

    #[test]
    fn what_vault_takes_is_taken_and_shown_without_the_secret() {
        let config = parsed(&json!({
            "access_key": "AKIAEXAMPLE", "secret_key": "geheim", "region": "eu-central-1",
            "sts_endpoint": "https://sts.eu-west-1.amazonaws.com", "sts_region": "eu-west-1", "max_retries": "-1",
        }))
        .unwrap();
        assert_eq!(config.iam(), ("eu-central-1", None));
        assert_eq!(config.sts(), ("eu-west-1", Some("https://sts.eu-west-1.amazonaws.com")));
        let shown = Value::Object(config.shown());
        assert_eq!(
            (&shown["access_key"], &shown["max_retries"]),
            (&json!("AKIAEXAMPLE"), &json!(-1))
        );
        assert!(!shown.to_string().contains("geheim") && !format!("{config:?}").contains("geheim"));
        let stored = serde_json::to_string(&config).unwrap();
        let read: Config = serde_json::from_str(&stored).unwrap();
        assert_eq!(read.key(), ("AKIAEXAMPLE", "geheim"));
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        for (more, named) in [
            (json!({"access_key": ""}), "access_key"),
            (json!({"secret_key": null}), "secret_key"),
            (json!({"iam_endpoint": "iam.example.com"}), "iam_endpoint"),
            (json!({"sts_endpoint": "https://me:secret@sts.example.com"}), "sts_endpoint"),
            (json!({"max_retries": -2}), "max_retries"),
            (json!({"region": "eu central"}), "region"),
            (json!({"username_template": "{{ .Nothing }}"}), "username_template"),
            (json!({"acess_key": "x"}), "acess_key"),
        ] {
            let mut written = json!({"access_key": "AKIAEXAMPLE", "secret_key": "geheim"});
            written.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let refused = parsed(&written).unwrap_err();
            assert!(refused.0.contains(named) && !refused.0.contains("geheim"), "{refused}");
        }
    }
}
