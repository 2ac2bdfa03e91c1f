//! What a caller may say of the session that they ask for: of which role at AWS it is, how it is called, and how long it
//! lives. Names and defaults are Vault's.

use super::Aws;
use super::role::{CredentialType, Role};
use crate::fields::Fields;
use crate::hidden::Hidden;
use leasehold_core::engine::own_end::{Choice, OwnEnd};
use leasehold_core::engine::{FieldError, PrepareError};
use serde_json::{Map, Value};
use std::time::Duration;

/// The shortest that AWS lets a session live.
const LIVES_MIN: Duration = Duration::from_mins(15);
/// How long one lives if nobody says otherwise.
const LIVES: Duration = Duration::from_hours(1);

/// What a caller has chosen.
#[derive(Clone, Debug, Default)]
pub(super) struct Chosen {
    /// Empty where no role is assumed.
    pub(super) role_arn: String,
    /// Empty for what the administrator's template says.
    pub(super) session_name: String,
    /// What the device shows that `mfa_serial_number` names.
    pub(super) mfa_code: Option<Hidden>,
}

/// Returns how long AWS lets a session of a type live.
fn lives_max(credential_type: CredentialType) -> Duration {
    match credential_type {
        CredentialType::AssumedRole => Duration::from_hours(12),
        CredentialType::IamUser
        | CredentialType::FederationToken
        | CredentialType::SessionToken => Duration::from_hours(36),
    }
}

fn or(span: Duration, other: Duration) -> Duration {
    if span.is_zero() { other } else { span }
}

/// Checks how long an operator lets sessions live.
pub(super) fn check_spans(role: &Role) -> Result<(), FieldError> {
    let (default, max) = role.spans();
    let longest = lives_max(role.credential_type());
    for (name, span) in [("default_sts_ttl", default), ("max_sts_ttl", max)] {
        if !span.is_zero() && !(LIVES_MIN..=longest).contains(&span) {
            return Err(FieldError(out_of_bounds(name, longest)));
        }
    }
    if !max.is_zero() && default > max {
        let message = "`default_sts_ttl` must be at most `max_sts_ttl`";
        return Err(FieldError(message.to_owned()));
    }
    Ok(())
}

fn out_of_bounds(name: &str, longest: Duration) -> String {
    let (least, most) = (LIVES_MIN.as_secs(), longest.as_secs());
    let hours = most.checked_div(3600).unwrap_or_default();
    format!("`{name}` must be from {least} s to {most} s ({hours} h)")
}

/// Reads what a caller says. A user has no choice; a session is as its role says where nothing else is asked for.
pub(super) fn choose(
    role: &Role,
    said: &Map<String, Value>,
) -> Result<Option<Choice<Aws>>, PrepareError> {
    if role.credential_type() == CredentialType::IamUser {
        return Ok(None);
    }
    let mut fields = Fields::new(said);
    let chosen = Chosen {
        role_arn: role_arn(role, fields.text("role_arn")?)?,
        session_name: fields.text("role_session_name")?,
        mfa_code: Some(fields.text("mfa_code")?).filter(|code| !code.is_empty()).map(Hidden::from),
    };
    if role.mfa_serial_number().is_some() && chosen.mfa_code.is_none() {
        return Err(refused("`mfa_code` is needed: what the device of the role shows now".into()));
    }
    let (default, max) = role.spans();
    let longest = or(max, lives_max(role.credential_type()));
    let after = or(fields.span("ttl")?, or(default, LIVES.min(longest)));
    if !(LIVES_MIN..=longest).contains(&after) {
        return Err(refused(out_of_bounds("ttl", longest)));
    }
    let own_end = OwnEnd { after, after_min: LIVES_MIN, can_be_ended: false };
    Ok(Some(Choice { role: role.with(chosen), own_end }))
}

fn role_arn(role: &Role, asked: String) -> Result<String, PrepareError> {
    match (asked.is_empty(), role.role_arns()) {
        (true, []) => Ok(String::new()),
        (true, [only]) => Ok(only.clone()),
        (true, _) => Err(refused(
            "`role_arn` is needed: the role has several `role_arns`, and does not say which one is meant".into(),
        )),
        (false, arns) if arns.contains(&asked) => Ok(asked),
        (false, _) => Err(refused(format!("`role_arn`: `{asked}` is not one of the role's `role_arns`"))),
    }
}

fn refused(message: String) -> PrepareError {
    PrepareError::Role(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn chosen(role: &Value, said: &Value) -> Result<(Chosen, OwnEnd), PrepareError> {
        let role = Role::parse(role.as_object().unwrap()).unwrap();
        let choice = choose(&role, said.as_object().unwrap())?.unwrap();
        Ok((choice.role.chosen().clone(), choice.own_end))
    }

    #[test]
    fn a_session_is_as_its_role_says_unless_its_caller_chooses_within_that() {
        let role = json!({"credential_type": "assumed_role", "role_arns": ["arn:a", "arn:b"], "max_sts_ttl": 1800});
        let (session, own_end) = chosen(&role, &json!({"role_arn": "arn:b"})).unwrap();
        assert_eq!((session.role_arn.as_str(), session.session_name.as_str()), ("arn:b", ""));
        assert_eq!(own_end.after, Duration::from_mins(30), "an hour would be too long");
        let said = json!({"role_arn": "arn:a", "ttl": "900", "role_session_name": "deploy"});
        let (session, own_end) = chosen(&role, &said).unwrap();
        assert_eq!((session.session_name.as_str(), own_end.after.as_secs()), ("deploy", 900));
        let one = json!({"credential_type": "assumed_role", "role_arns": "arn:a"});
        assert_eq!(chosen(&one, &json!({})).unwrap().0.role_arn, "arn:a");
    }

    #[test]
    fn what_aws_or_the_role_does_not_give_is_refused_by_name() {
        let role = json!({"credential_type": "assumed_role", "role_arns": ["arn:a", "arn:b"], "max_sts_ttl": 1800});
        let device = json!({"credential_type": "session_token", "mfa_serial_number": "arn:mfa"});
        for (role, said, named) in [
            (&role, json!({}), "role_arn"),
            (&role, json!({"role_arn": "arn:c"}), "arn:c"),
            (&role, json!({"role_arn": "arn:a", "ttl": 899}), "900 s"),
            (&role, json!({"role_arn": "arn:a", "ttl": 1801}), "1800 s"),
            (&role, json!({"role_arn": "arn:a", "ttl": "soon"}), "ttl"),
            (&role, json!({"role_arn": ["arn:a"]}), "role_arn"),
            (&device, json!({}), "mfa_code"),
            (&device, json!({"mfa_code": "123456", "ttl": "37h"}), "36 h"),
        ] {
            let error = chosen(role, &said).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        let (session, _) = chosen(&device, &json!({"mfa_code": "123456"})).unwrap();
        assert!(!format!("{session:?}").contains("123456"));
    }
}
