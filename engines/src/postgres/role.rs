//! What an operator sets for one kind of credential: Vault's fields, and a recipe without SQL.

use super::statement::{Reach, Statement, statements};
use crate::fields::Fields;
use leasehold_core::engine::{FieldError, PrepareError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::num::NonZeroU32;

/// How many times a password is hashed if the role says nothing: PostgreSQL's number, and the least
/// that older pgjdbc and Bun accept.
pub(super) const ITERATIONS_DEFAULT: u32 = 4096;

/// The most a role may ask for: 1,000,000 rounds already cost the server about 0.8 s of its CPU for
/// every credential, because it runs them once in `CREATE ROLE`.
const ITERATIONS_MAX: u32 = 1_000_000;

/// What an operator sets for one kind of credential.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    creation_statements: Vec<String>,
    revocation_statements: Vec<String>,
    renew_statements: Vec<String>,
    /// Kept and shown; as in Vault, this kind of target has no use for it: a creation that fails is
    /// rolled back by the server.
    rollback_statements: Vec<String>,
    grant_roles: Vec<String>,
    scram_iterations: NonZeroU32,
}

impl Role {
    /// Parses and checks what an operator wrote.
    pub(super) fn parse(written: &Map<String, Value>) -> Result<Self, FieldError> {
        let mut fields = Fields::new(written);
        let iterations = fields.number("scram_iterations")?.unwrap_or(ITERATIONS_DEFAULT.into());
        let role = Self {
            creation_statements: checked(&mut fields, "creation_statements")?,
            revocation_statements: checked(&mut fields, "revocation_statements")?,
            renew_statements: checked(&mut fields, "renew_statements")?,
            rollback_statements: fields.texts("rollback_statements")?,
            grant_roles: fields.texts("grant_roles")?,
            scram_iterations: u32::try_from(iterations)
                .ok()
                .filter(|number| *number <= ITERATIONS_MAX)
                .and_then(NonZeroU32::new)
                .ok_or_else(|| {
                    FieldError(format!("`scram_iterations` must be from 1 to {ITERATIONS_MAX}"))
                })?,
        };
        match fields.text("credential_type")?.as_str() {
            "" | "password" => {}
            other => {
                return Err(FieldError(format!(
                    "`credential_type` cannot be `{other}`; a PostgreSQL target issues `password`"
                )));
            }
        }
        if !fields.text("password_policy")?.is_empty() {
            return Err(FieldError(
                "`password_policy` is not supported by a PostgreSQL target; leave it out"
                    .to_owned(),
            ));
        }
        fields.finish("a role of a PostgreSQL target")?;
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

    pub(super) fn iterations(&self) -> NonZeroU32 {
        self.scram_iterations
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
    /// A role that may log in and is a member of these.
    Granting(&'a [String]),
    /// The operator's own statements.
    Own(Vec<Statement>),
}

impl Recipe<'_> {
    /// Returns how far it reaches.
    pub(super) fn reach(&self) -> Reach {
        match self {
            Self::Granting(_) => Reach::Own,
            Self::Own(statements) => {
                statements.iter().map(Statement::reach).max().unwrap_or(Reach::Own)
            }
        }
    }

    /// Tells whether its one transaction begins by creating the name, so that the name tells whether
    /// an unanswered issue can still land.
    pub(super) fn begins_with_the_name(&self) -> bool {
        match self {
            Self::Granting(_) => true,
            Self::Own(statements) => {
                self.reach() < Reach::Transactions
                    && statements.first().is_some_and(Statement::creates_the_role)
            }
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
            "creation_statements": "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}'; GRANT SELECT ON t TO \"{{name}}\"",
            "revocation_statements": ["DROP ROLE \"{{name}}\""],
            "credential_type": "password",
        }))
        .unwrap();
        assert_eq!(role.recipe().unwrap().reach(), Reach::Shared);
        assert!(role.recipe().unwrap().begins_with_the_name());
        assert_eq!(role.iterations().get(), 4096);
    }

    #[test]
    fn a_role_without_a_recipe_is_accepted_but_cannot_be_used() {
        let role = parsed(&json!({})).unwrap();
        let refused = role.recipe().unwrap_err();
        assert!(refused.to_string().starts_with("empty creation statements"), "{refused}");
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        for (written, named) in [
            (json!({"creation_statements": "SELECT 'a"}), "creation_statements"),
            (json!({"renew_statements": ["DO $$ {{name}} $$"]}), "renew_statements"),
            (json!({"scram_iterations": 0}), "scram_iterations"),
            (json!({"scram_iterations": 1_000_001}), "scram_iterations"),
            (json!({"credential_type": "rsa_private_key"}), "credential_type"),
            (json!({"password_policy": "x"}), "password_policy"),
            (json!({"creation_statements": "SELECT 1", "grant_roles": "a"}), "grant_roles"),
            (json!({"grant_role": "a"}), "grant_role"),
        ] {
            let refused = parsed(&written).unwrap_err();
            assert!(refused.0.contains(named), "{refused}");
        }
    }

    #[test]
    fn a_recipe_that_does_not_begin_with_the_name_says_so() {
        for text in [
            "SELECT 1; CREATE ROLE \"{{name}}\"",
            "CREATE ROLE \"{{name}}\"; COMMIT",
            "CREATE ROLE app",
        ] {
            let role = parsed(&json!({"creation_statements": text})).unwrap();
            assert!(!role.recipe().unwrap().begins_with_the_name(), "{text}");
        }
    }
}
