//! What is known of a credential's end, where its role asks for more than the word of its engine.

use crate::engine::rotation::Verify;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Whether a credential was seen to be dead by somebody who had seen it alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Death {
    /// What worked before the revocation was refused after it.
    Proven {
        /// What it was that worked: a login, or a look at the target's catalog.
        by: Verify,
        /// When it was refused.
        at: Timestamp,
    },
    /// The engine has seen it gone, and that could not be proven.
    NotProven {
        /// For people, without secrets.
        why: String,
    },
}

impl Death {
    /// Returns it as people are told.
    #[must_use]
    pub fn shown(&self) -> Value {
        match self {
            Self::Proven { by, at } => json!({ "proven": true, "by": by, "time": at.rfc3339() }),
            Self::NotProven { why } => json!({ "proven": false, "why": why }),
        }
    }
}
