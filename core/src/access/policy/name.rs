//! What a policy is called: one name, however it is written.

use crate::access::token::ROOT_POLICY;
use crate::limits::POLICY_NAME_MAX;
use std::collections::BTreeSet;
use std::fmt;

/// The policy that every token carries unless it is made without.
pub const DEFAULT_POLICY: &str = "default";

/// The name of a policy.
///
/// **Invariant:** it is normalized before anything looks at it: without spaces around it, in lower case, in ASCII. So
/// no other way of writing `root` passes a check that `root` would not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyName(String);

/// No policy is called so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of a policy has 1 to {POLICY_NAME_MAX} printable ASCII characters, and its parts between `/` are not \
     empty, `.` or `..`"
)]
pub struct BadPolicyName;

impl PolicyName {
    /// Reads a name, however it is written.
    pub fn parse(written: &str) -> Result<Self, BadPolicyName> {
        let name = written.trim_matches([' ', '\t', '\r', '\n']);
        let printable = name.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        // It is read and written under a path that ends in it.
        let has_path = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if name.is_empty() || name.len() > POLICY_NAME_MAX || !printable || !has_path {
            return Err(BadPolicyName);
        }
        Ok(Self(name.to_ascii_lowercase()))
    }

    /// Reads a list of names, each in the one way that it is kept, in their order and once. Empty ones are none.
    pub fn parse_all(written: &[String]) -> Result<Vec<String>, BadPolicyName> {
        let written = written.iter().filter(|name| !name.trim().is_empty());
        let names = written.map(|name| Self::parse(name).map(|Self(name)| name));
        Ok(names.collect::<Result<BTreeSet<_>, _>>()?.into_iter().collect())
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the name of the policy that allows everything.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0 == ROOT_POLICY
    }

    /// Whether it is the name of the policy that every token carries unless it is made without.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.0 == DEFAULT_POLICY
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cve_2025_5999_root_is_root_however_it_is_written() {
        for written in ["root", " Root", "ROOT\t", "\n rOOt \r\n"] {
            assert!(PolicyName::parse(written).unwrap().is_root(), "{written:?}");
        }
        // What some would fold to it is not a name at all.
        for written in [
            "ｒｏｏｔ",
            "r\u{43e}\u{43e}t",
            "root\u{200b}",
            "\u{a0}root",
            "ro\u{212a}t",
            "root\0",
            "ROOT\u{307}",
        ] {
            assert_eq!(PolicyName::parse(written), Err(BadPolicyName), "{written:?}");
        }
    }

    #[test]
    fn cve_2025_64761_a_name_is_the_same_in_any_case() {
        let name = PolicyName::parse(" Team/App-1.Read ").unwrap();
        assert_eq!(name.as_str(), "team/app-1.read");
        assert_eq!(PolicyName::parse(name.as_str()), Ok(name));
    }

    #[test]
    fn a_name_that_is_no_path_is_refused() {
        let long = "x".repeat(POLICY_NAME_MAX.saturating_add(1));
        for written in ["", " ", "a//b", "/a", "a/", "a/../b", ".", "é", "a\tb", &long] {
            assert_eq!(PolicyName::parse(written), Err(BadPolicyName), "{written:?}");
        }
        for written in ["a,b", "my policy", "a+b*", "x"] {
            assert!(PolicyName::parse(written).is_ok(), "{written:?}");
        }
    }
}
