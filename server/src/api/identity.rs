//! `identity/…`: who is behind tokens: entities, their aliases, and groups.

pub(super) mod aliases;
pub(super) mod entities;
pub(super) mod groups;
pub(super) mod lists;
pub(super) mod lookup;
mod shown;

use super::error::Refusal;
use super::fields::Fields;
use leasehold_core::access::identity::Metadata;

/// Reads what is noted on something; `None` if nothing is written of it.
fn metadata(fields: &Fields<'_>, name: &'static str) -> Result<Option<Metadata>, Refusal> {
    if fields.is_set(name) { fields.pairs(name).map(Some) } else { Ok(None) }
}

/// Reads a text that is there, and not empty.
fn some_text(fields: &Fields<'_>, name: &'static str) -> Result<Option<String>, Refusal> {
    Ok(fields.text(name)?.filter(|text| !text.is_empty()))
}
