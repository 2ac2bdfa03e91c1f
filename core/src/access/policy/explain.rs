//! Says in words what was decided, and which rule of which policy decided it.

use super::Capability;
use super::acl::{Decision, Grant, Source, Undecidable, Verdict};
use super::parameters::Wrong;
use std::fmt;

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy `{}`, line {}, path {:?}", self.policy, self.line, self.path)
    }
}

impl fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.grant.map(|grant| Said(grant, None));
        match (self.verdict, said) {
            (Verdict::Allowed, Some(said)) => write!(f, "allowed by {said}"),
            (Verdict::Allowed, None) => f.write_str("allowed without a rule"),
            (Verdict::Undecidable(Undecidable::Unfilled(source)), _) => {
                write!(
                    f,
                    "{source}, denies a path that cannot be filled in for this caller, so everything is denied"
                )
            }
            (Verdict::Undecidable(Undecidable::Unreadable(policy)), _) => {
                write!(
                    f,
                    "policy `{policy}` cannot be read, so everything is denied until it is written again"
                )
            }
            (Verdict::Undecidable(Undecidable::TooMany(policies)), _) => {
                write!(
                    f,
                    "{policies} policies are too many to be decided by, so everything is denied"
                )
            }
            (Verdict::Unmatched, _) | (_, None) => f.write_str("no rule speaks of this path"),
            (Verdict::Denied, Some(Said(grant, _))) => {
                write!(f, "denied by {}", Said(grant, Some(Capability::Deny)))
            }
            (Verdict::Lacks(lacking), Some(said)) => {
                let granted = said.0.capabilities().words().join(", ");
                write!(f, "{said} grants {granted}, and not {}", lacking.word())
            }
            (Verdict::Parameter(wrong), Some(said)) => write!(f, "{said} {wrong}"),
            (Verdict::Wrapping, Some(said)) => {
                write!(f, "{said} wants the answer wrapped, and for how long")
            }
        }
    }
}

impl fmt::Display for Wrong<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "requires the parameter `{name}`"),
            Self::Denied(name) => write!(f, "denies the parameter `{name}`, or its value"),
            Self::NotAllowed(name) => {
                write!(f, "does not allow the parameter `{name}`, or its value")
            }
        }
    }
}

/// The rules of one path; only those that say a certain thing.
struct Said<'a>(&'a Grant, Option<Capability>);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(grant, only) = self;
        let sources = grant.sources().iter();
        let sources = sources.filter(|source| only.is_none_or(|one| source.capabilities.has(one)));
        for (number, source) in sources.enumerate() {
            if number > 0 {
                f.write_str(" with ")?;
            }
            source.fmt(f)?;
        }
        Ok(())
    }
}
