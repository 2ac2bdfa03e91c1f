//! What a caller may do: policies, and the decision that is made of them.
//!
//! A policy is a text of rules ([`document`]). All policies of a token are compiled into one [`Acl`] ([`acl`]), which
//! decides on a [`Question`]: the one rule that speaks of a path most exactly decides alone. A [`Decision`] is a value
//! that knows the rule it was made by, so that what is explained is what was decided.
//!
//! **Invariant:** it fails closed. What no rule allows is refused, and so is what cannot be decided.

mod acl;
mod cases;
mod document;
mod explain;
mod format;
mod lexer;
mod name;
mod parameters;
pub(super) mod syntax;
mod template;

pub use acl::{Acl, Decision, Grant, Question, Source, Undecidable, Verdict, is_caseless};
pub use cases::{Case, Tested};
pub use document::Policy;
pub use format::format;
pub use name::{BadPolicyName, DEFAULT_POLICY, PolicyName};
pub use template::Facts;

use std::fmt;

/// What a rule may grant; Vault's words, in the order in which they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// To write what is not there yet.
    Create,
    /// To delete.
    Delete,
    /// Nothing at all, whatever another rule of the same path grants.
    Deny,
    /// To list what is below.
    List,
    /// To change a part.
    Patch,
    /// To read.
    Read,
    /// To do what needs more than an ordinary right.
    Sudo,
    /// To write, and to do what is neither of the others.
    Update,
}

/// Some of them.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities(u16);

/// What a route needs of whoever asks; said in the table of routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Right {
    /// The capability of what is asked for, on its path.
    #[default]
    Policy,
    /// That, and `sudo` on the same path.
    Sudo,
    /// A token that is good, whatever its policies are, as long as none of them denies the path: the request concerns
    /// the token itself.
    Own,
    /// Not even a token: the request brings what proves who asks.
    Nothing,
}

/// Something in the text of a policy that cannot be, and the line it stands in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct Fault {
    /// The line; the first one is 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// All that is wrong with the text of a policy; there is at least one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPolicy(pub Vec<Fault>);

impl Capability {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Create,
        Self::Delete,
        Self::Deny,
        Self::List,
        Self::Patch,
        Self::Read,
        Self::Sudo,
        Self::Update,
    ];

    /// Returns Vault's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Deny => "deny",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Read => "read",
            Self::Sudo => "sudo",
            Self::Update => "update",
        }
    }

    /// Returns what a word means.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.word() == word)
    }

    fn bit(self) -> u16 {
        match self {
            Self::Create => 1,
            Self::Delete => 2,
            Self::Deny => 4,
            Self::List => 8,
            Self::Patch => 16,
            Self::Read => 32,
            Self::Sudo => 64,
            Self::Update => 128,
        }
    }
}

impl Capabilities {
    /// Whether this one is among them.
    #[must_use]
    pub fn has(self, capability: Capability) -> bool {
        self.0 & capability.bit() != 0
    }

    /// Returns these and one more; beside `deny` there is no other.
    #[must_use]
    pub fn with(self, capability: Capability) -> Self {
        self.union(Self(capability.bit()))
    }

    /// Returns both; beside `deny` there is no other.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        let both = Self(self.0 | other.0);
        if both.has(Capability::Deny) { Self(Capability::Deny.bit()) } else { both }
    }

    /// Whether anything may be done with them.
    #[must_use]
    pub fn grant_anything(self) -> bool {
        self.0 != 0 && !self.has(Capability::Deny)
    }

    /// Returns Vault's words for them, in order; where nothing is granted, `deny`.
    #[must_use]
    pub fn words(self) -> Vec<&'static str> {
        if !self.grant_anything() {
            return vec![Capability::Deny.word()];
        }
        Capability::ALL.into_iter().filter(|one| self.has(*one)).map(Capability::word).collect()
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(all: I) -> Self {
        all.into_iter().fold(Self::default(), Self::with)
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.words()).finish()
    }
}

impl fmt::Display for BadPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("; ")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for BadPolicy {}

impl From<Fault> for BadPolicy {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}
