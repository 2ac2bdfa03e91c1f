//! Standing denials: by what a target refuses credentials that nothing ends before their time.
//!
//! A target that cannot take back what it gave may still be told to refuse it. What it was told stands there until it
//! is told otherwise, is shared by all that are refused in the same place, and is always written whole. So whoever
//! writes it has to know all that is to be in it, and must be alone: both is the business of
//! [`crate::broker`], and an engine only writes.

use crate::time::Timestamp;

/// How a credential could be refused; `H` is the handle, as its engine or as the broker has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deniable<H> {
    /// The denial that it would be in. No other place that credentials are refused in has this name, at any target.
    pub denial: String,
    /// By what that is reached: a handle with all that [`Engine::deny`](super::Engine::deny) needs, whichever of the
    /// credentials there it is of.
    pub reached_by: H,
    /// What the credential is called there.
    pub name: String,
    /// Whether all that is as old may be refused with it where there is no room for its name.
    pub may_deny_older: bool,
}

/// All that a denial is to refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial<H> {
    /// By what it is reached.
    pub reached_by: H,
    /// The credentials that it names.
    pub names: Vec<String>,
    /// It refuses whatever was made before this as well, whoever made it.
    pub older_than: Option<Timestamp>,
}

impl<H> Denial<H> {
    /// Whether nothing is left to refuse, so that it is to be removed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.older_than.is_none()
    }

    /// Says the same with another form of its handle.
    pub fn reached<G, E>(&self, by: impl FnOnce(&H) -> Result<G, E>) -> Result<Denial<G>, E> {
        let (names, older_than) = (self.names.clone(), self.older_than);
        Ok(Denial { reached_by: by(&self.reached_by)?, names, older_than })
    }
}

/// What became of a denial that was to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It stands as it was told.
    Written,
    /// It is as it was: there is no room for so much. Says what to do, for people.
    Full(String),
}

/// What a target says that it refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The credentials that are named.
    pub names: Vec<String>,
    /// Whatever was made before this.
    pub older_than: Option<Timestamp>,
}
