//! Where a server is reached, as the configuration of a target says it.

use leasehold_core::engine::FieldError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Which server, by which of its two addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The server's number.
    pub number: u64,
    /// Whether it is reached as it is after a failover.
    pub is_standby: bool,
}

impl Address {
    /// Where a server is usually reached.
    pub fn usual(number: u64) -> Self {
        Self { number, is_standby: false }
    }

    /// The other address of the same server.
    pub fn other(self) -> Self {
        Self { is_standby: !self.is_standby, ..self }
    }

    /// Reads the fields of a target.
    pub fn read(fields: &Map<String, Value>) -> Result<Self, FieldError> {
        let number = fields.get("number").and_then(Value::as_u64);
        let number = number.ok_or_else(|| FieldError("number is missing".into()))?;
        let is_standby = fields.get("standby") == Some(&Value::Bool(true));
        Ok(Self { number, is_standby })
    }

    /// The fields of a target that is reached here.
    pub fn fields(self) -> Map<String, Value> {
        let Self { number, is_standby } = self;
        let host = if is_standby { "standby" } else { "primary" };
        let url = Value::from(format!("simulated://{number}/{host}"));
        let fields = [
            ("number", number.into()),
            ("standby", is_standby.into()),
            ("connection_url", url),
            ("username", "admin".into()),
        ];
        fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }
}
