//! Which policies a new token carries, and what its maker must be to give them.

use super::super::access::Rights;
use super::super::{Broker, Request};
use super::role::refuse_root;
use super::{TokenError, TokenRequest};
use crate::access::identity::{Identity, Metadata, check_metadata, checked_alias_name};
use crate::access::login::alias_name;
use crate::access::policy::{DEFAULT_POLICY, PolicyName};
use crate::access::token::{ROOT_POLICY, Token, TokenRole};
use crate::limits::{DISPLAY_NAME_MAX, POLICIES_MAX};
use crate::mount::{token_accessor, token_mount};
use crate::store::records::Found;
use crate::store::{Batch, StoreError};
use std::sync::Arc;

impl TokenRequest {
    /// Says what of a request takes `sudo` at its path. What a role decides in its place does not.
    pub(super) fn needs_sudo(&self) -> Option<&'static str> {
        if self.id.is_some() {
            Some("root or sudo privileges required to specify token id")
        } else if self.no_parent && self.role.is_none() {
            Some("root or sudo privileges required to create orphan token")
        } else if !self.period.is_zero() {
            Some("root or sudo privileges required to create periodic token")
        } else {
            None
        }
    }

    /// Checks what is noted on a token, and how it is called: both are stored, and recorded with each of its requests.
    pub(super) fn check_notes(&self) -> Result<(), TokenError> {
        check_metadata(&self.meta).map_err(|error| TokenError::Bad(error.to_string()))?;
        if self.shown_name().len() > DISPLAY_NAME_MAX {
            let message = format!("a display name has {DISPLAY_NAME_MAX} bytes at most");
            return Err(TokenError::Bad(message));
        }
        Ok(())
    }
}

impl Broker {
    /// Finds who is behind a new token, with the batch that keeps them if they are new: whoever the request names, if the
    /// role allows that; else whoever is behind its maker, and behind an orphan nobody, as in Vault.
    pub(super) async fn behind_child(
        &self,
        (maker, role): (&Token, Option<&TokenRole>),
        rights: &Rights,
        wanted: &TokenRequest,
    ) -> Result<(Option<Arc<Identity>>, Batch), TokenError> {
        let bad = |message: &str| TokenError::Bad(message.into());
        let Some(alias) = &wanted.entity_alias else {
            let is_theirs = maker.entity.is_some() && !wanted.no_parent;
            return Ok((rights.identity.clone().filter(|_| is_theirs), Batch::default()));
        };
        let only = "'entity_alias' is only allowed in combination with token role";
        let role = role.ok_or_else(|| bad(only))?;
        let name = alias_name("token", alias);
        let name = checked_alias_name(name).map_err(|error| TokenError::Bad(error.to_string()))?;
        if !role.allows_alias(&name) {
            return Err(bad("invalid 'entity_alias' value"));
        }
        let at = (token_mount(self.installation), token_accessor(self.installation));
        let behind = self.behind(at, &name, &Metadata::new()).await?;
        let behind = behind.ok_or_else(|| bad("the entity of 'entity_alias' is disabled"))?;
        Ok((Some(behind.identity), behind.batch))
    }

    /// Warns of policies that do not exist: they grant nothing until somebody writes them.
    pub(super) async fn unknown_policies(
        &self,
        policies: &[String],
    ) -> Result<Vec<String>, StoreError> {
        let mut warnings = Vec::new();
        for policy in policies.iter().filter(|policy| *policy != ROOT_POLICY) {
            if self.records.policy(policy).await?.is_none() {
                warnings.push(format!("Policy {policy:?} does not exist"));
            }
        }
        Ok(warnings)
    }
}

/// Decides which policies a new token carries. Without `sudo` at the path nobody gives more than they have, and
/// nobody but root gives root.
pub(super) fn given(
    request: &Request,
    (maker, rights, role): (&Found<Token>, &Rights, Option<&TokenRole>),
    wanted: &TokenRequest,
    needs_sudo: Option<&'static str>,
) -> Result<Vec<String>, TokenError> {
    let maker = &maker.record;
    let sudo = rights.have_sudo(request);
    let bad = |message: &str| Err(TokenError::Bad(message.into()));
    if let (false, Some(why)) = (sudo, needs_sudo) {
        return bad(why);
    }
    // The lists of a role say what it gives, in place of what its maker has.
    let lists = role.filter(|role| role.decides_on_policies());
    let named = named(&wanted.policies)?;
    let has = |name: &str| maker.policies.iter().any(|policy| policy == name);
    let adds_default = lists.is_some() || (!named.is_empty() && (sudo || has(DEFAULT_POLICY)));
    if lists.is_none() && !sudo && !named.iter().all(|name| has(name)) {
        return bad("child policies must be subset of parent");
    }
    let mut policies = match lists {
        Some(role) => role.policies(&named, &maker.policies).map_err(TokenError::Bad)?,
        None if named.is_empty() => maker.policies.clone(),
        None => named,
    };
    if policies.iter().any(|policy| policy == ROOT_POLICY) {
        refuse_root(role)?;
        if !maker.is_root() {
            return bad("root tokens may not be created without parent token being root");
        }
        return Ok(vec![ROOT_POLICY.into()]);
    }
    if wanted.no_default_policy {
        policies.retain(|policy| policy != DEFAULT_POLICY);
    } else if adds_default {
        policies.push(DEFAULT_POLICY.into());
    }
    policies.sort();
    policies.dedup();
    Ok(policies)
}

/// Reads the names of policies; each is normalized before anything looks at it.
fn named(written: &[String]) -> Result<Vec<String>, TokenError> {
    let names = PolicyName::parse_all(written);
    let names = names.map_err(|error| TokenError::Bad(error.to_string()))?;
    if names.len() > POLICIES_MAX {
        return Err(TokenError::Bad(format!("a token carries at most {POLICIES_MAX} policies")));
    }
    Ok(names)
}
