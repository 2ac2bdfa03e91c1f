//! The configuration of a target: where its server is, and as whom it is asked.

use crate::worlds::address::Address;
use leasehold_core::engine::FieldError;
use leasehold_core::engine::rotation::{AccountSecret, Administrator};
use leasehold_core::secret::SecretText;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What an operator wrote.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Where it is reached.
    pub address: Address,
    /// Who asks; where nobody is named, the server lets in whoever asks.
    pub login: Option<Login>,
}

/// An account that administers a server, and its password.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Login {
    /// What it is called.
    pub name: String,
    /// What lets it in.
    pub password: String,
}

impl Config {
    /// Reads the fields of a target.
    pub fn read(fields: &Map<String, Value>) -> Result<Self, FieldError> {
        let text = |name| fields.get(name).and_then(Value::as_str).map(str::to_owned);
        let login = text("username").zip(text("password"));
        let login = login.map(|(name, password)| Login { name, password });
        Ok(Self { address: Address::read(fields)?, login })
    }

    /// What of it is shown.
    pub fn shown(&self) -> Map<String, Value> {
        let mut fields = self.address.fields();
        let name = self.login.as_ref().map(|login| login.name.clone().into());
        fields.extend(name.map(|name| ("username".to_owned(), name)));
        fields
    }

    /// Whose secret can be rotated.
    pub fn administrator(&self) -> Option<Administrator> {
        let Login { name, password } = self.login.clone()?;
        let secret = AccountSecret::of_password(SecretText::new(password));
        Some(Administrator { name, at: self.address.number.to_string(), secret })
    }
}
