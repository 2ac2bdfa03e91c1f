//! What an operator sets for one kind of credential: Vault's fields of `aws/roles/:name`.

use super::DeniedBy;
use super::MARK_TAG;
use super::choice::{self, Chosen};
use super::deny::account;
use crate::fields::Fields;
use leasehold_core::engine::FieldError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

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
    /// Which roles at AWS may be assumed; whoever asks chooses one where there are several.
    #[serde(rename = "role_arns")]
    assumed: Vec<String>,
    /// How long a session lives that nobody asks to live for another time, in seconds; zero for an hour.
    default_sts_ttl: u64,
    /// How long one lives at most; zero for as long as AWS lets it.
    max_sts_ttl: u64,
    session_tags: BTreeMap<String, String>,
    external_id: String,
    mfa_serial_number: String,
    /// Whether a session says who its caller is, in a way that it cannot change.
    source_identity: bool,
    /// The role at AWS by which revoked sessions are denied everything; empty where they are not.
    revocation_role_arn: String,
    revocation_when_full: WhenFull,
    /// What whoever asks has chosen of it.
    #[serde(skip)]
    chosen: Chosen,
}

/// What is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CredentialType {
    /// The key of an IAM user that is made for it.
    IamUser,
    /// A session of a role at AWS.
    AssumedRole,
    /// A session that may do some of what the administrator may.
    FederationToken,
    /// A session that may do what the administrator may.
    SessionToken,
}

/// What becomes of a session that is revoked when there is no room to deny it by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WhenFull {
    /// It lives until there is, and whoever asked is told so.
    #[default]
    Refuse,
    /// All sessions of its role at AWS are denied that are as old, whoever has them.
    EndOlderSessions,
}

impl CredentialType {
    /// All there are, by what Vault calls them.
    const ALL: [(&str, Self); 4] = [
        ("iam_user", Self::IamUser),
        ("assumed_role", Self::AssumedRole),
        ("federation_token", Self::FederationToken),
        ("session_token", Self::SessionToken),
    ];
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
            assumed: arns(&mut fields, "role_arns")?,
            default_sts_ttl: fields.span("default_sts_ttl")?.as_secs(),
            max_sts_ttl: fields.span("max_sts_ttl")?.as_secs(),
            session_tags: fields.pairs("session_tags")?,
            external_id: fields.text("external_id")?,
            mfa_serial_number: fields.text("mfa_serial_number")?,
            source_identity: fields.truth("source_identity")?,
            revocation_role_arn: fields.text("revocation_role_arn")?,
            revocation_when_full: when_full(&fields.text("revocation_when_full")?)?,
            chosen: Chosen::default(),
        };
        fields.finish("a role")?;
        role.check()?;
        if !role.permissions_boundary_arn.is_empty() {
            arn("permissions_boundary_arn", &role.permissions_boundary_arn)?;
        }
        if !role.revocation_role_arn.is_empty() {
            arn("revocation_role_arn", &role.revocation_role_arn)?;
            role.check_account()?;
        }
        Ok(role)
    }

    /// Refuses what is not of its type of credentials: it would do nothing, and whoever wrote it thinks that it does.
    fn check(&self) -> Result<(), FieldError> {
        use CredentialType::{AssumedRole, FederationToken, IamUser, SessionToken};
        let sessions: &[_] = &[AssumedRole, FederationToken, SessionToken];
        let given: &[_] = &[IamUser, AssumedRole, FederationToken];
        let of = [
            ("role_arns", !self.assumed.is_empty(), &[AssumedRole][..]),
            ("default_sts_ttl", self.default_sts_ttl > 0, sessions),
            ("max_sts_ttl", self.max_sts_ttl > 0, sessions),
            ("session_tags", !self.session_tags.is_empty(), &[AssumedRole]),
            ("external_id", !self.external_id.is_empty(), &[AssumedRole]),
            ("source_identity", self.source_identity, &[AssumedRole]),
            ("revocation_role_arn", !self.revocation_role_arn.is_empty(), &[AssumedRole]),
            ("revocation_when_full", self.ends_older_sessions(), &[AssumedRole]),
            ("mfa_serial_number", !self.mfa_serial_number.is_empty(), &[SessionToken]),
            ("policy_arns", !self.policy_arns.is_empty(), given),
            ("policy_document", !self.policy_document.is_empty(), given),
            ("iam_groups", !self.iam_groups.is_empty(), given),
            ("iam_tags", !self.iam_tags.is_empty(), &[IamUser]),
            ("permissions_boundary_arn", !self.permissions_boundary_arn.is_empty(), &[IamUser]),
            ("user_path", self.user_path != "/", &[IamUser]),
        ];
        let stray =
            of.iter().find(|(_, is_set, types)| *is_set && !types.contains(&self.credential_type));
        if let Some((name, _, types)) = stray {
            let types = CredentialType::ALL.iter().filter(|(_, one)| types.contains(one));
            let types: Vec<_> = types.map(|(name, _)| format!("`{name}`")).collect();
            let message =
                format!("`{name}` is for roles whose `credential_type` is {}", types.join(" or "));
            return Err(FieldError(message));
        }
        if self.credential_type == AssumedRole && self.assumed.is_empty() {
            return Err(FieldError(
                "`role_arns` is needed: the roles that may be assumed".to_owned(),
            ));
        }
        choice::check_spans(self)
    }

    /// Whoever denies sessions writes into a role of the same name in their own account, whichever account was meant.
    fn check_account(&self) -> Result<(), FieldError> {
        let ours = account(&self.revocation_role_arn);
        let Some(stray) = self.assumed.iter().find(|arn| account(arn) != ours) else {
            return Ok(());
        };
        Err(FieldError(format!(
            "`revocation_role_arn` is of another account than `{stray}`, and could deny none of its sessions; write a role \
             for each account"
        )))
    }

    pub(super) fn credential_type(&self) -> CredentialType {
        self.credential_type
    }

    pub(super) fn role_arns(&self) -> &[String] {
        &self.assumed
    }

    /// Returns how long a session lives by default, and at most; zero where it is not said.
    pub(super) fn spans(&self) -> (Duration, Duration) {
        (Duration::from_secs(self.default_sts_ttl), Duration::from_secs(self.max_sts_ttl))
    }

    pub(super) fn session_tags(&self) -> &BTreeMap<String, String> {
        &self.session_tags
    }

    pub(super) fn external_id(&self) -> Option<&str> {
        Some(self.external_id.as_str()).filter(|id| !id.is_empty())
    }

    /// Returns by whom revoked sessions are denied.
    pub(super) fn denied_by(&self) -> Option<DeniedBy> {
        let role_arn = Some(self.revocation_role_arn.clone()).filter(|arn| !arn.is_empty())?;
        Some(DeniedBy { role_arn, external_id: self.external_id().map(str::to_owned) })
    }

    pub(super) fn ends_older_sessions(&self) -> bool {
        self.revocation_when_full == WhenFull::EndOlderSessions
    }

    pub(super) fn mfa_serial_number(&self) -> Option<&str> {
        Some(self.mfa_serial_number.as_str()).filter(|serial| !serial.is_empty())
    }

    pub(super) fn tells_caller(&self) -> bool {
        self.source_identity
    }

    pub(super) fn chosen(&self) -> &Chosen {
        &self.chosen
    }

    /// Returns the role with what whoever asks has chosen of it.
    pub(super) fn with(&self, chosen: Chosen) -> Self {
        Self { chosen, ..self.clone() }
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
    if let Some((_, found)) = CredentialType::ALL.iter().find(|(name, _)| *name == text) {
        return Ok(*found);
    }
    let all = CredentialType::ALL.map(|(name, _)| format!("`{name}`")).join(", ");
    Err(FieldError(match text {
        "" => format!("`credential_type` is needed: one of {all}"),
        other => format!("`credential_type` cannot be `{other}`; it is one of {all}"),
    }))
}

fn when_full(text: &str) -> Result<WhenFull, FieldError> {
    match text {
        "" | "refuse" => Ok(WhenFull::Refuse),
        "end_older_sessions" => Ok(WhenFull::EndOlderSessions),
        other => Err(FieldError(format!(
            "`revocation_when_full` cannot be `{other}`; it is `refuse` or `end_older_sessions`"
        ))),
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
            (json!({"credential_type": "iam_user", "role_arns": ["arn:a"]}), "`assumed_role`"),
            (json!({"credential_type": "iam_user", "max_sts_ttl": "1h"}), "max_sts_ttl"),
            (json!({"credential_type": "assumed_role"}), "role_arns"),
            (
                json!({"credential_type": "session_token", "revocation_role_arn": "arn:a"}),
                "revocation_role_arn",
            ),
            (
                json!({"credential_type": "assumed_role", "role_arns": "arn:a", "revocation_role_arn": "a"}),
                "revocation_role_arn",
            ),
            (
                json!({
                    "credential_type": "assumed_role", "revocation_role_arn": "arn:aws:iam::1:role/denies",
                    "role_arns": ["arn:aws:iam::1:role/a", "arn:aws:iam::2:role/b"],
                }),
                "`arn:aws:iam::2:role/b`",
            ),
            (
                json!({"credential_type": "assumed_role", "role_arns": "arn:a", "revocation_when_full": "x"}),
                "end_older_sessions",
            ),
            (
                json!({"credential_type": "session_token", "policy_document": "{}"}),
                "policy_document",
            ),
            (json!({"credential_type": "federation_token", "user_path": "/x/"}), "user_path"),
            (json!({"credential_type": "federation_token", "external_id": "x"}), "external_id"),
            (json!({"credential_type": "federation_token", "max_sts_ttl": "37h"}), "36 h"),
            (json!({"credential_type": "session_token", "default_sts_ttl": 899}), "900 s"),
            (
                json!({"credential_type": "session_token", "default_sts_ttl": "2h", "max_sts_ttl": "1h"}),
                "max_sts_ttl",
            ),
        ] {
            let refused = parsed(&written).unwrap_err();
            assert!(refused.0.contains(named), "{refused}");
        }
    }
}
