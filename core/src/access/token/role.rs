//! Token roles: what the tokens are that are made by one, whoever makes them.

use super::{ROOT_POLICY, TokenKind};
use crate::access::params::{BadParams, networks};
use crate::mount::matches;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A recipe for tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRole {
    /// What operators call it.
    pub name: String,
    /// The policies that may be asked for; the ones that are given where none is asked for.
    pub allowed_policies: Vec<String>,
    /// The same as patterns with `*`; they give nothing by themselves.
    pub allowed_policies_glob: Vec<String>,
    /// Policies that are never given.
    pub disallowed_policies: Vec<String>,
    /// The same as patterns with `*`.
    pub disallowed_policies_glob: Vec<String>,
    /// As whom its tokens may be made: names, or patterns with `*`, in lower case.
    #[serde(default)]
    pub allowed_entity_aliases: Vec<String>,
    /// Its tokens do not end with their makers.
    pub orphan: bool,
    /// Its tokens can be renewed.
    pub renewable: bool,
    /// Ends the path that its tokens are said to be made at.
    pub path_suffix: String,
    /// The bound that no renewal of its tokens passes; zero for none.
    pub explicit_max_ttl: Duration,
    /// Its tokens are renewed by this much each time; zero for tokens that are not periodic.
    pub period: Duration,
    /// How many requests its tokens are good for; 0 for any number.
    pub num_uses: u32,
    /// Leave out the `default` policy.
    pub no_default_policy: bool,
    /// From where alone its tokens may be used, in place of from where their makers may; from anywhere if empty.
    #[serde(default)]
    pub bound_cidrs: Vec<String>,
    /// How its tokens are kept.
    pub token_type: RoleTokenType,
}

/// How the tokens of a role are kept; Vault's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoleTokenType {
    /// In the store, unless the request says otherwise.
    #[default]
    DefaultService,
    /// Nowhere, unless the request says otherwise.
    DefaultBatch,
    /// In the store.
    Service,
    /// Nowhere.
    Batch,
}

impl RoleTokenType {
    /// Returns how a token is kept for which the request says this, or nothing.
    #[must_use]
    pub fn kind(self, asked: Option<TokenKind>) -> TokenKind {
        match self {
            Self::DefaultService => asked.unwrap_or(TokenKind::Service),
            Self::DefaultBatch => asked.unwrap_or(TokenKind::Batch),
            Self::Service => TokenKind::Service,
            Self::Batch => TokenKind::Batch,
        }
    }

    /// Whether a request that says nothing gets a batch token.
    #[must_use]
    pub fn is_batch(self) -> bool {
        self.kind(None) == TokenKind::Batch
    }
}

impl TokenRole {
    /// A role that says nothing.
    #[must_use]
    pub fn blank(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            allowed_policies: Vec::new(),
            allowed_policies_glob: Vec::new(),
            disallowed_policies: Vec::new(),
            disallowed_policies_glob: Vec::new(),
            allowed_entity_aliases: Vec::new(),
            orphan: false,
            renewable: true,
            path_suffix: String::new(),
            explicit_max_ttl: Duration::ZERO,
            period: Duration::ZERO,
            num_uses: 0,
            no_default_policy: false,
            bound_cidrs: Vec::new(),
            token_type: RoleTokenType::default(),
        }
    }

    /// Whether its lists decide on policies, in place of those that the maker has.
    #[must_use]
    pub fn decides_on_policies(&self) -> bool {
        self.limits_policies()
            || !self.disallowed_policies.is_empty()
            || !self.disallowed_policies_glob.is_empty()
    }

    fn limits_policies(&self) -> bool {
        !self.allowed_policies.is_empty() || !self.allowed_policies_glob.is_empty()
    }

    /// Whether its tokens have the policy `default` without asking for it.
    #[must_use]
    pub fn adds_default(&self) -> bool {
        let named = |policies: &[String]| policies.iter().any(|policy| policy == "default");
        let matched = self.disallowed_policies_glob.iter().any(|glob| matches(glob, "default"));
        !self.no_default_policy && !named(&self.disallowed_policies) && !matched
    }

    /// Returns the policies of a token for which these are asked, by a maker who has those; or why there is none.
    pub fn policies(&self, asked: &[String], makers: &[String]) -> Result<Vec<String>, String> {
        let chosen = match asked {
            [] if self.limits_policies() => &self.allowed_policies,
            [] => makers,
            asked => asked,
        };
        let matched =
            |globs: &[String], policy: &str| globs.iter().any(|glob| matches(glob, policy));
        let is_allowed = |policy: &String| {
            self.allowed_policies.contains(policy) || matched(&self.allowed_policies_glob, policy)
        };
        if self.limits_policies() && !chosen.iter().all(is_allowed) {
            return Err(format!(
                "token policies ({}) must be subset of the role's allowed policies ({}) or glob policies ({})",
                listed(chosen),
                listed(&self.allowed_policies),
                listed(&self.allowed_policies_glob)
            ));
        }
        let disallowed = chosen.iter().find(|policy| {
            self.disallowed_policies.contains(policy)
                || matched(&self.disallowed_policies_glob, policy)
        });
        match disallowed {
            Some(policy) => Err(format!("token policy {policy:?} is disallowed by this role")),
            None => Ok(chosen.to_vec()),
        }
    }

    /// Whether its tokens may be made as somebody who is known under this name.
    #[must_use]
    pub fn allows_alias(&self, name: &str) -> bool {
        self.allowed_entity_aliases.iter().any(|pattern| matches(pattern, name))
    }

    /// Says what is wrong with the role, if it can make no token.
    pub fn check(&self) -> Result<(), String> {
        let gives_root = self.allowed_policies.iter().any(|policy| policy == ROOT_POLICY);
        let of_batch = |what: &str| {
            Err(format!(
                "'token_type' cannot be 'batch' or 'default_batch' when set to generate {what}"
            ))
        };
        networks(&self.bound_cidrs).map_err(|BadParams(message)| message)?;
        if gives_root {
            return Err("no token role gives the policy `root`; leave it out".to_owned());
        }
        if self.token_type.is_batch() && !self.period.is_zero() {
            return of_batch("periodic tokens");
        }
        if self.token_type.is_batch() && self.num_uses > 0 {
            return of_batch("tokens with limited use count");
        }
        if self.token_type.is_batch() && !self.explicit_max_ttl.is_zero() {
            return of_batch("tokens with an explicit max TTL");
        }
        Ok(())
    }
}

/// Writes a list as Vault's messages have it.
fn listed(policies: &[String]) -> String {
    let quoted: Vec<_> = policies.iter().map(|policy| format!("{policy:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &str) -> Vec<String> {
        list.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_lists_of_a_role_decide_on_policies() {
        for (allowed, globs, denied, denied_globs, asked, given) in [
            ("", "", "", "", "", Some("maker")),
            ("", "", "", "", "a", Some("a")),
            ("a b", "", "", "", "", Some("a b")),
            ("a b", "", "", "", "b", Some("b")),
            ("a b", "", "", "", "a c", None),
            ("a", "team-*", "", "", "", Some("a")),
            ("a", "team-*", "", "", "team-x a", Some("team-x a")),
            ("a", "team-*", "", "", "teamx", None),
            ("", "team-*", "", "", "", Some("")),
            ("", "", "a", "", "a", None),
            ("", "", "a", "", "b", Some("b")),
            ("", "", "maker", "", "", None),
            ("", "", "", "ad*", "admin", None),
            ("admin", "", "", "ad*", "admin", None),
            ("root", "", "", "", "root", Some("root")),
        ] {
            let role = TokenRole {
                allowed_policies: texts(allowed),
                allowed_policies_glob: texts(globs),
                disallowed_policies: texts(denied),
                disallowed_policies_glob: texts(denied_globs),
                ..TokenRole::blank("r")
            };
            let decided = role.policies(&texts(asked), &texts("maker"));
            assert_eq!(decided.ok(), given.map(texts), "{allowed} {globs} {denied} {asked}");
        }
    }

    #[test]
    fn a_role_that_denies_the_default_policy_by_name_or_pattern_does_not_add_it() {
        for (denied, globs, adds) in [("", "", true), ("default", "", false), ("", "de*", false)] {
            let role = TokenRole {
                disallowed_policies: texts(denied),
                disallowed_policies_glob: texts(globs),
                ..TokenRole::blank("r")
            };
            assert_eq!(role.adds_default(), adds, "{denied} {globs}");
        }
    }

    #[test]
    fn what_a_batch_token_cannot_have_no_role_of_batch_tokens_says() {
        let batch =
            || TokenRole { token_type: RoleTokenType::DefaultBatch, ..TokenRole::blank("r") };
        assert_eq!(batch().check(), Ok(()));
        let hour = Duration::from_hours(1);
        for role in [
            TokenRole { period: hour, ..batch() },
            TokenRole { num_uses: 1, ..batch() },
            TokenRole { explicit_max_ttl: hour, ..batch() },
            TokenRole { allowed_policies: texts("a root"), ..TokenRole::blank("r") },
        ] {
            assert!(role.check().is_err(), "{role:?}");
        }
        let asked = Some(TokenKind::Service);
        assert_eq!(RoleTokenType::DefaultBatch.kind(asked), TokenKind::Service);
        assert_eq!(RoleTokenType::Batch.kind(asked), TokenKind::Batch);
    }
}
