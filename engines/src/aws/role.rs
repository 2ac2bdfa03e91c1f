//! What an operator sets for one kind of credential: Vault's fields of `aws/roles/:name`.

use super::MARK_TAG;
use crate::fields::Fields;
use leasehold_core::engine::FieldError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The most tags that IAM takes, less the one that says whose a user is.
const TAGS_MAX: usize = 49;
/// The longest path that IAM takes, less what stands below it.
const PATH_CHARS_MAX: usize = 512 - 64;

/// What an operator sets for one kind of credential.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    credential_type: CredentialType,
    policy_arns: Vec<String>,
    /// JSON, as AWS takes it.
    policy_document: String,
    iam_groups: Vec<String>,
    iam_tags: BTreeMap<String, String>,
    permissions_boundary_arn: String,
    user_path: String,
}

/// What is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CredentialType {
    /// The key of an IAM user that is made for it.
    IamUser,
}

impl Role {
    /// Parses and checks what an operator wrote.
    pub(super) fn parse(written: &Map<String, Value>) -> Result<Self, FieldError> {
        let mut fields = Fields::new(written);
        let role = Self {
            credential_type: credential_type(&fields.text("credential_type")?)?,
            policy_arns: arns(&mut fields, "policy_arns")?,
            policy_document: document(&mut fields)?,
            iam_groups: fields.texts("iam_groups")?,
            iam_tags: tags(&mut fields)?,
            permissions_boundary_arn: fields.text("permissions_boundary_arn")?,
            user_path: path(&fields.text("user_path")?)?,
        };
        fields.finish("a role")?;
        if !role.permissions_boundary_arn.is_empty() {
            arn("permissions_boundary_arn", &role.permissions_boundary_arn)?;
        }
        Ok(role)
    }

    pub(super) fn policy_arns(&self) -> &[String] {
        &self.policy_arns
    }

    pub(super) fn policy_document(&self) -> Option<&str> {
        Some(self.policy_document.as_str()).filter(|document| !document.is_empty())
    }

    pub(super) fn groups(&self) -> &[String] {
        &self.iam_groups
    }

    pub(super) fn tags(&self) -> &BTreeMap<String, String> {
        &self.iam_tags
    }

    pub(super) fn boundary(&self) -> Option<&str> {
        Some(self.permissions_boundary_arn.as_str()).filter(|arn| !arn.is_empty())
    }

    pub(super) fn user_path(&self) -> &str {
        &self.user_path
    }
}

fn credential_type(text: &str) -> Result<CredentialType, FieldError> {
    match text {
        "iam_user" => Ok(CredentialType::IamUser),
        "" => Err(FieldError("`credential_type` is needed: `iam_user`".to_owned())),
        other => {
            Err(FieldError(format!("`credential_type` cannot be `{other}`; it is `iam_user`")))
        }
    }
}

fn arn(name: &str, text: &str) -> Result<(), FieldError> {
    let is_arn = text.starts_with("arn:") && text.chars().all(|char| char.is_ascii_graphic());
    is_arn.then_some(()).ok_or_else(|| FieldError(format!("`{name}`: `{text}` is not an ARN")))
}

fn arns(fields: &mut Fields<'_>, name: &'static str) -> Result<Vec<String>, FieldError> {
    let arns = fields.texts(name)?;
    arns.iter().try_for_each(|text| arn(name, text))?;
    Ok(arns)
}

/// Reads a policy, and takes the spaces out of it: AWS counts them where it is kept, and nobody else reads them.
fn document(fields: &mut Fields<'_>) -> Result<String, FieldError> {
    let text = fields.text("policy_document")?;
    if text.trim().is_empty() {
        return Ok(String::new());
    }
    match serde_json::from_str::<Value>(&text) {
        Ok(document @ Value::Object(_)) => Ok(document.to_string()),
        Ok(_) | Err(_) => {
            Err(FieldError("`policy_document` must be a policy as a JSON object".to_owned()))
        }
    }
}

fn tags(fields: &mut Fields<'_>) -> Result<BTreeMap<String, String>, FieldError> {
    let tags = fields.pairs("iam_tags")?;
    if tags.len() > TAGS_MAX {
        return Err(FieldError(format!("`iam_tags` can be at most {TAGS_MAX}")));
    }
    if tags.keys().any(|key| key.eq_ignore_ascii_case(MARK_TAG)) {
        return Err(FieldError(format!(
            "the tag `{MARK_TAG}` says whose a user is; choose another"
        )));
    }
    Ok(tags)
}

fn path(text: &str) -> Result<String, FieldError> {
    let is_path = |text: &str| {
        text.starts_with('/')
            && text.ends_with('/')
            && text.len() <= PATH_CHARS_MAX
            && text.chars().all(|char| char.is_ascii_graphic())
    };
    match text {
        "" => Ok("/".to_owned()),
        text if is_path(text) => Ok(text.to_owned()),
        text => Err(FieldError(format!(
            "`user_path` must begin and end with `/` and have no spaces, unlike `{text}`"
        ))),
    }
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
            "credential_type": "iam_user", "policy_arns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"],
            "policy_document": "{ \"Version\": \"2012-10-17\",\n \"Statement\": [] }", "iam_groups": "readers",
            "iam_tags": {"team": "shop"}, "user_path": "/apps/",
        }))
        .unwrap();
        assert_eq!(role.policy_document(), Some("{\"Statement\":[],\"Version\":\"2012-10-17\"}"));
        assert_eq!((role.user_path(), role.boundary()), ("/apps/", None));
        let stored = serde_json::to_value(&role).unwrap();
        assert_eq!(stored["credential_type"], "iam_user");
        parsed(&stored).unwrap();
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        for (written, named) in [
            (json!({}), "credential_type"),
            (json!({"credential_type": "iam_usr"}), "iam_usr"),
            (json!({"credential_type": "iam_user", "policy_arns": ["ReadOnly"]}), "policy_arns"),
            (json!({"credential_type": "iam_user", "policy_document": "{"}), "policy_document"),
            (json!({"credential_type": "iam_user", "policy_document": "[]"}), "policy_document"),
            (json!({"credential_type": "iam_user", "iam_tags": {"Leasehold": "x"}}), "leasehold"),
            (json!({"credential_type": "iam_user", "iam_tags": {"a": 1}}), "iam_tags"),
            (json!({"credential_type": "iam_user", "user_path": "apps"}), "user_path"),
            (json!({"credential_type": "iam_user", "permissions_boundary_arn": "b"}), "boundary"),
            (json!({"credential_type": "iam_user", "policy_arn": "x"}), "`policy_arn`"),
        ] {
            let refused = parsed(&written).unwrap_err();
            assert!(refused.0.contains(named), "{refused}");
        }
    }
}
