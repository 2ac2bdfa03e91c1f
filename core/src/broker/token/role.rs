//! Token roles: written, shown, listed and deleted; and what they make of a request for a token.

use super::super::authenticate::Recorded;
use super::super::{Broker, Request};
use super::{TokenError, TokenRequest};
use crate::access::token::{RoleTokenType, TokenRole};
use crate::audit::Answer;
use crate::limits::CONFLICT_TRIES;
use crate::store::records::Found;
use crate::store::tokens::{token_role_at, token_roles_at};
use crate::store::{Batch, StoreError};
use std::sync::Arc;
use std::time::Duration;

/// What a token role is to be; what is `None` stays as it was.
#[derive(Clone, Debug, Default)]
pub struct TokenRoleWrite {
    /// See [`TokenRole`].
    pub allowed_policies: Option<Vec<String>>,
    /// See [`TokenRole`].
    pub allowed_policies_glob: Option<Vec<String>>,
    /// See [`TokenRole`].
    pub disallowed_policies: Option<Vec<String>>,
    /// See [`TokenRole`].
    pub disallowed_policies_glob: Option<Vec<String>>,
    /// See [`TokenRole`].
    pub allowed_entity_aliases: Option<Vec<String>>,
    /// See [`TokenRole`].
    pub orphan: Option<bool>,
    /// See [`TokenRole`].
    pub renewable: Option<bool>,
    /// See [`TokenRole`].
    pub path_suffix: Option<String>,
    /// See [`TokenRole`].
    pub explicit_max_ttl: Option<Duration>,
    /// See [`TokenRole`].
    pub period: Option<Duration>,
    /// See [`TokenRole`].
    pub num_uses: Option<u32>,
    /// See [`TokenRole`].
    pub no_default_policy: Option<bool>,
    /// See [`TokenRole`].
    pub token_type: Option<RoleTokenType>,
}

impl Recorded for TokenRole {
    fn recorded(&self) -> Answer {
        Answer::data(serde_json::to_value(self).ok())
    }
}

impl TokenRoleWrite {
    fn onto(self, was: TokenRole) -> TokenRole {
        TokenRole {
            name: was.name,
            allowed_policies: self.allowed_policies.unwrap_or(was.allowed_policies),
            allowed_policies_glob: self.allowed_policies_glob.unwrap_or(was.allowed_policies_glob),
            disallowed_policies: self.disallowed_policies.unwrap_or(was.disallowed_policies),
            disallowed_policies_glob: self
                .disallowed_policies_glob
                .unwrap_or(was.disallowed_policies_glob),
            allowed_entity_aliases: self
                .allowed_entity_aliases
                .unwrap_or(was.allowed_entity_aliases),
            orphan: self.orphan.unwrap_or(was.orphan),
            renewable: self.renewable.unwrap_or(was.renewable),
            path_suffix: self.path_suffix.unwrap_or(was.path_suffix),
            explicit_max_ttl: self.explicit_max_ttl.unwrap_or(was.explicit_max_ttl),
            period: self.period.unwrap_or(was.period),
            num_uses: self.num_uses.unwrap_or(was.num_uses),
            no_default_policy: self.no_default_policy.unwrap_or(was.no_default_policy),
            token_type: self.token_type.unwrap_or(was.token_type),
        }
    }
}

impl TokenRequest {
    /// Makes of the request what the role wants.
    pub(super) fn by_role(&mut self, role: &TokenRole) {
        let lower = |asked: Duration, role: Duration| match (asked.is_zero(), role.is_zero()) {
            (_, true) => asked,
            (true, false) => role,
            (false, false) => asked.min(role),
        };
        self.kind = Some(role.token_type.kind(self.kind));
        self.no_parent = role.orphan;
        self.not_renewable |= !role.renewable;
        self.no_default_policy |= !role.adds_default();
        self.explicit_max_ttl = lower(self.explicit_max_ttl, role.explicit_max_ttl);
        if !role.period.is_zero() {
            self.period = role.period;
        }
        self.num_uses = match (self.num_uses, role.num_uses) {
            (asked, 0) => asked,
            (0, uses) => uses,
            (asked, uses) => asked.min(uses),
        };
    }
}

impl Broker {
    /// Writes a token role.
    pub async fn write_token_role(
        self: &Arc<Self>,
        request: &Request,
        name: &str,
        wanted: TokenRoleWrite,
    ) -> Result<(), TokenError> {
        self.served(request, async |_| {
            let at = token_role_at(name);
            for _ in 0..CONFLICT_TRIES {
                let was = self.records.read::<TokenRole>(&at).await?;
                let revision = was.as_ref().map(|was| was.revision);
                let role = was.map_or_else(|| TokenRole::blank(name), |was| was.record);
                let role = wanted.clone().onto(role);
                role.check().map_err(TokenError::Bad)?;
                match self.records.replace(at.clone(), revision, &role).await {
                    Ok(_) => return Ok(()),
                    Err(StoreError::Conflict) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(StoreError::Conflict.into())
        })
        .await
    }

    /// Shows a token role.
    pub async fn read_token_role(
        self: &Arc<Self>,
        request: &Request,
        name: &str,
    ) -> Result<TokenRole, TokenError> {
        self.served(request, async |_| {
            let found = self.records.read::<TokenRole>(&token_role_at(name)).await?;
            found.map(|found| found.record).ok_or(TokenError::Empty)
        })
        .await
    }

    /// Lists the token roles.
    pub async fn list_token_roles(
        self: &Arc<Self>,
        request: &Request,
    ) -> Result<Vec<String>, TokenError> {
        self.served(request, async |_| {
            let found = self.records.all::<TokenRole>(&token_roles_at()).await?;
            let names: Vec<_> = found.into_iter().map(|(_, found)| found.record.name).collect();
            if names.is_empty() { Err(TokenError::Empty) } else { Ok(names) }
        })
        .await
    }

    /// Deletes a token role. The tokens that it made live on.
    pub async fn delete_token_role(
        self: &Arc<Self>,
        request: &Request,
        name: &str,
    ) -> Result<(), TokenError> {
        self.served(request, async |_| {
            self.records.commit(Batch::default().delete(token_role_at(name))).await?;
            Ok(())
        })
        .await
    }

    /// Returns the role that a request for a token names.
    pub(super) async fn token_role(
        &self,
        wanted: &TokenRequest,
    ) -> Result<Option<Found<TokenRole>>, TokenError> {
        let Some(name) = &wanted.role else { return Ok(None) };
        let found = self.records.read::<TokenRole>(&token_role_at(name)).await?;
        found.map(Some).ok_or_else(|| TokenError::Bad(format!("unknown role {name}")))
    }
}

/// Refuses a root token that a role would make: no role gives one, whoever asks.
pub(super) fn refuse_root(role: Option<&TokenRole>) -> Result<(), TokenError> {
    if role.is_some() {
        let message = "no token role gives the policy `root`; name `policies`, or set `allowed_policies` of the role";
        return Err(TokenError::Bad(message.into()));
    }
    Ok(())
}

/// Returns where a token is said to be made.
pub(super) fn made_at(role: Option<&TokenRole>) -> String {
    let create = "auth/token/create";
    match role {
        None => create.to_owned(),
        Some(role) if role.path_suffix.is_empty() => format!("{create}/{}", role.name),
        Some(role) => format!("{create}/{}/{}", role.name, role.path_suffix),
    }
}
