//! How credentials are called: Vault's user name templates, with the lease's bits in every name.
//!
//! A template is read once, when an operator writes it; whatever could go wrong with it goes wrong
//! there, with the position. Rendering cannot fail, because an issue must not depend on a template
//! that was accepted a year ago.

mod expression;
mod layout;
mod parser;
mod scanner;

use crate::chance::Chance;
use crate::ids::LeaseId;
use crate::time::Timestamp;
use expression::Expression;
use serde::{Deserialize, Serialize};

/// A longer template is a mistake, and every issue pays for its length.
pub const TEMPLATE_BYTES_MAX: usize = 4096;
/// No target takes names near this long; values in between are cut here too, so that `replace`
/// cannot grow a name without bound.
pub const NAME_BYTES_MAX: usize = 4096;
/// Deeper than any name needs, and shallow enough for every stack.
pub const NESTING_MAX: usize = 16;

/// What a name is made of.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'a> {
    /// The lease the credential will live under.
    pub lease: LeaseId,
    /// Who asks, as the auth method calls them.
    pub display_name: &'a str,
    /// The role's name.
    pub role_name: &'a str,
    /// When it is asked.
    pub now: Timestamp,
}

/// A user name template in Vault's language, read and checked. It is stored as its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    source: String,
    parts: Vec<Expression>,
}

/// A template cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// There is nothing in it.
    #[error("a user name template must not be empty")]
    Empty,
    /// It is longer than [`TEMPLATE_BYTES_MAX`].
    #[error("the user name template has {bytes} bytes; shorten it to {TEMPLATE_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It is not in the language of templates.
    #[error("at character {at}: {problem}")]
    Syntax {
        /// Which character, counted from one.
        at: usize,
        /// What is wrong there.
        problem: String,
    },
}

impl Template {
    /// How credentials are called where no template was given: in at most 57 bytes, so that a target
    /// that takes 63 takes them.
    pub const STANDARD: &str = "{{ printf \"v-%s-%s-%s-%s\" (.DisplayName | truncate 8) \
                                (.RoleName | truncate 8) .LeaseID (unix_time) }}";

    /// Reads a template.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        if source.len() > TEMPLATE_BYTES_MAX {
            return Err(TemplateError::TooLong { bytes: source.len() });
        }
        let parts = parser::parse(source)?;
        if parts.is_empty() {
            return Err(TemplateError::Empty);
        }
        Ok(Self { source: source.to_owned(), parts })
    }

    /// Returns the text it was read from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Makes a name, cut at [`NAME_BYTES_MAX`]. It need not tell the lease: pass it through
    /// [`with_lease_bits`].
    #[must_use]
    pub fn render(&self, naming: &Naming<'_>, chance: &dyn Chance) -> String {
        let mut name = String::new();
        for part in &self.parts {
            expression::push(&mut name, &part.render(naming, chance));
        }
        name
    }
}

impl Default for Template {
    /// Returns [`Template::STANDARD`].
    fn default() -> Self {
        use expression::Piece::{Literal, Value};
        let short = |of| Expression::Truncate(8, Box::new(of));
        let dash = || Literal("-".to_owned());
        let pieces = vec![
            Literal("v-".to_owned()),
            Value(short(Expression::DisplayName)),
            dash(),
            Value(short(Expression::RoleName)),
            dash(),
            Value(Expression::LeaseId),
            dash(),
            Value(Expression::UnixTime),
        ];
        Self { source: Self::STANDARD.to_owned(), parts: vec![Expression::Printf(pieces)] }
    }
}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(source: String) -> Result<Self, TemplateError> {
        Self::parse(&source)
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.source
    }
}

/// Returns the name with `-` and the lease's bits at its end, unless it carries them, or the whole
/// id, already (in whatever case).
///
/// **Invariant:** the result carries the bits of `lease` (law 9).
#[must_use]
pub fn with_lease_bits(mut name: String, lease: LeaseId) -> String {
    if !carries_lease_bits(&name, lease) {
        name.push('-');
        name.push_str(&lease.bits());
    }
    name
}

/// Tells whether the name carries the lease's bits, in whatever case. The id ends in its bits, so
/// that a name with the whole id carries them as well.
#[must_use]
pub fn carries_lease_bits(name: &str, lease: LeaseId) -> bool {
    name.to_ascii_lowercase().contains(&lease.bits())
}

#[cfg(test)]
mod tests;
