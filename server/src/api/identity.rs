//! `identity/…`: who is behind tokens: entities, their aliases, and groups.

pub(super) mod aliases;
pub(super) mod entities;
pub(super) mod groups;
pub(super) mod lists;
pub(super) mod lookup;
mod shown;

use super::caller::Call;
use super::error::Refusal;
use super::fields::Fields;
use leasehold_core::access::identity::Metadata;

/// What a path says of whom it writes.
#[derive(Clone, Copy, Debug)]
enum Subject {
    /// Nothing: the body does.
    InBody,
    /// Their id.
    Id,
    /// Their name.
    Name,
}

impl Subject {
    /// Reads the id and the name that are wanted.
    fn id_and_name(
        self,
        call: &Call,
        fields: &Fields<'_>,
    ) -> Result<(Option<String>, Option<String>), Refusal> {
        let in_path = || Some(call.name.clone());
        Ok(match self {
            Self::InBody => (some_text(fields, "id")?, some_text(fields, "name")?),
            Self::Id => (in_path(), some_text(fields, "name")?),
            Self::Name => (None, in_path()),
        })
    }
}

/// Reads what is noted on something; `None` if nothing is written of it.
fn metadata(fields: &Fields<'_>, name: &'static str) -> Result<Option<Metadata>, Refusal> {
    if fields.is_set(name) { fields.pairs(name).map(Some) } else { Ok(None) }
}

/// Reads a text that is there, and not empty.
fn some_text(fields: &Fields<'_>, name: &'static str) -> Result<Option<String>, Refusal> {
    Ok(fields.text(name)?.filter(|text| !text.is_empty()))
}
