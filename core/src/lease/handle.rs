//! What a credential is called at its target.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt;

/// The credential's name at the target with all that revoking needs, as its engine wrote it. It may hold what the
/// target keeps instead of a password, so it is shown to nobody.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Handle(pub Box<RawValue>);

impl Handle {
    /// Returns what the credential is called, which every engine writes under `name`; all of it where one does not.
    #[must_use]
    pub fn name(&self) -> String {
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        let named = serde_json::from_str::<Named>(self.0.get());
        named.map_or_else(|_| self.0.get().trim_matches('"').to_owned(), |named| named.name)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle(..)")
    }
}

impl PartialEq for Handle {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for Handle {}
