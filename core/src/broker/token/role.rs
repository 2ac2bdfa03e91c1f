//! Token roles: written, shown, listed and deleted; and what they make of a request for a token.

use super::super::authenticate::{Caller, Recorded};
use super::super::{Broker, Request};
use super::{TokenError, TokenRequest};
use crate::access::params::{BadParams, networks};
use crate::access::token::{RoleTokenType, Token, TokenRole};
use crate::address::Network;
use crate::audit::Answer;
use crate::store::Batch;
use crate::store::records::Found;
use crate::store::tokens::{token_role_at, token_roles_at};
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
    pub bound_cidrs: Option<Vec<String>>,
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
            bound_cidrs: self.bound_cidrs.unwrap_or(was.bound_cidrs),
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
        let put = async |caller: Caller| {
            let at = token_role_at(name);
            let was = self.records.read::<TokenRole>(&at).await?;
            let revision = was.as_ref().map(|was| was.revision);
            let role = was.map_or_else(|| TokenRole::blank(name), |was| was.record);
            let role = wanted.clone().onto(role);
            role.check().map_err(TokenError::Bad)?;
            let batch = caller.rights.expected(Batch::default());
            self.records.replace_if(at, revision, &role, batch).await?;
            Ok(())
        };
        self.written(request, put).await
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
        let delete = async |caller: Caller| {
            let batch = caller.rights.expected(Batch::default());
            self.records.commit(batch.delete(token_role_at(name))).await?;
            Ok(())
        };
        self.written(request, delete).await
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

/// Returns from where alone a token may be used: as its role says, or else from where its maker may be. Else a token
/// could be taken elsewhere by making another one of it.
pub(super) fn bound(maker: &Token, role: Option<&TokenRole>) -> Result<Vec<Network>, TokenError> {
    let own = role.map_or(&[][..], |role| &role.bound_cidrs);
    let own = networks(own).map_err(|BadParams(message)| TokenError::Bad(message))?;
    Ok(if own.is_empty() { maker.bound_cidrs.clone() } else { own })
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
