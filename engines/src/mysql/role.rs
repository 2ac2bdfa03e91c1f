//! What an operator sets for one kind of credential: Vault's fields, and a recipe without SQL.

use super::statement::{Reach, Statement, reach, statements};
use crate::fields::Fields;
use leasehold_core::engine::{FieldError, PrepareError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What an operator sets for one kind of credential.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    creation_statements: Vec<String>,
    revocation_statements: Vec<String>,
    renew_statements: Vec<String>,
    /// Kept and shown; as in Vault, this kind of target has no use for it: what a creation that failed
    /// left behind is revoked like any other credential.
    rollback_statements: Vec<String>,
    grant_roles: Vec<String>,
}

impl Role {
    /// Parses and checks what an operator wrote.
    pub(super) fn parse(written: &Map<String, Value>) -> Result<Self, FieldError> {
        let mut fields = Fields::new(written);
        let role = Self {
            creation_statements: checked(&mut fields, "creation_statements")?,
            revocation_statements: checked(&mut fields, "revocation_statements")?,
            renew_statements: checked(&mut fields, "renew_statements")?,
            rollback_statements: fields.texts("rollback_statements")?,
            grant_roles: fields.texts("grant_roles")?,
        };
        match fields.text("credential_type")?.as_str() {
            "" | "password" => {}
            other => {
                return Err(FieldError(format!(
                    "`credential_type` cannot be `{other}`; a MySQL target issues `password`"
                )));
            }
        }
        if !fields.text("password_policy")?.is_empty() {
            return Err(FieldError(
                "`password_policy` is not supported by a MySQL target; leave it out".to_owned(),
            ));
        }
        fields.finish("a role of a MySQL target")?;
        if !role.creation_statements.is_empty() && !role.grant_roles.is_empty() {
            return Err(FieldError(
                "set either `creation_statements` or `grant_roles`, not both".to_owned(),
            ));
        }
        Ok(role)
    }

    /// Returns how credentials of this role are made.
    pub(super) fn recipe(&self) -> Result<Recipe<'_>, PrepareError> {
        if self.creation_statements.is_empty() && self.grant_roles.is_empty() {
            return Err(PrepareError::Role(
                "empty creation statements: set `creation_statements`, or `grant_roles`".to_owned(),
            ));
        }
        if self.creation_statements.is_empty() {
            return Ok(Recipe::Granting(&self.grant_roles));
        }
        statements("creation_statements", &self.creation_statements)
            .map(Recipe::Own)
            .map_err(|refused| PrepareError::Role(refused.0))
    }

    pub(super) fn granted(&self) -> &[String] {
        &self.grant_roles
    }

    pub(super) fn revocation(&self) -> &[String] {
        &self.revocation_statements
    }

    pub(super) fn renewal(&self) -> &[String] {
        &self.renew_statements
    }
}

/// How credentials of a role are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Recipe<'a> {
    /// A user of every host that is granted these roles.
    Granting(&'a [String]),
    /// The operator's own statements.
    Own(Vec<Statement>),
}

impl Recipe<'_> {
    /// Returns how far it reaches.
    pub(super) fn reach(&self) -> Reach {
        match self {
            Self::Granting(_) => Reach::Own,
            Self::Own(statements) => reach(statements),
        }
    }
}

/// Reads statements and makes sure that they can be cut apart and filled in later.
fn checked(fields: &mut Fields<'_>, name: &'static str) -> Result<Vec<String>, FieldError> {
    let texts = fields.texts(name)?;
    statements(name, &texts)?;
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(written: &Value) -> Result<Role, FieldError> {
        Role::parse(written.as_object().unwrap())
    }

    #[test]
    fn a_role_is_written_as_for_vault() {
        let role = parsed(&json!({
            "creation_statements": "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'; GRANT SELECT ON t.* TO '{{name}}'@'%'",
            "revocation_statements": ["DROP USER '{{name}}'@'%'"],
            "credential_type": "password",
        }))
        .unwrap();
        assert_eq!(role.recipe().unwrap().reach(), Reach::Own);
        let refused = parsed(&json!({})).unwrap().recipe().unwrap_err();
        assert!(refused.to_string().starts_with("empty creation statements"), "{refused}");
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        for (written, named) in [
            (json!({"creation_statements": "SELECT 'a"}), "creation_statements"),
            (json!({"renew_statements": ["SELECT 1 # {{name}}"]}), "renew_statements"),
            (json!({"credential_type": "client_certificate"}), "credential_type"),
            (json!({"password_policy": "x"}), "password_policy"),
            (json!({"creation_statements": "SELECT 1", "grant_roles": "a"}), "grant_roles"),
            (json!({"grant_role": "a"}), "grant_role"),
        ] {
            let refused = parsed(&written).unwrap_err();
            assert!(refused.0.contains(named), "{refused}");
        }
    }
}
