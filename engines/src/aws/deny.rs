//! Denies sessions everything until they end by themselves, in a policy of ours that is written into their role.
//!
//! AWS ends no session, but whatever one does is looked at by the policies of its role as they are now. So a role that opted in
//! has one inline policy of ours, and nothing else of it is ever touched: it denies everything to the sessions that it
//! names, and, where it has no room for names, to all that are older than a time. It is written as another role
//! (`revocation_role_arn`), which may do that and no more, and is always written whole.
//!
//! Each write is sent once. The key that signs it ends a quarter of an hour after it was asked for, so that nothing of it can
//! land later.

use super::client::{Pauses, call, key_with, once};
use super::failure::Failure;
use super::list::AnsweredAt;
use super::{Aws, DeniedBy, Handle, Role, policies};
use crate::deadline::Deadline;
use aws_sdk_iam::Config;
use aws_sdk_iam::config::Credentials;
use leasehold_core::engine::denial::{Deniable, Denial, Denied, Standing};
use leasehold_core::engine::{Cause, EngineError, Reason};
use leasehold_core::time::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// What AWS takes of all inline policies of a role together, in characters; spaces do not count, and there are none.
const POLICY_CHARS_MAX: usize = 10_240;

/// How long the key lives that writes: the shortest that AWS gives, in seconds.
const KEY_LIVES_S: i32 = 900;

/// What our sessions of the role are called that writes, in AWS's record of its calls.
const WRITER: &str = "leasehold-deny";

/// Says how a session could be denied: as its role says now, if that still lends the same role at AWS, or else as it said
/// when the session was made.
pub(super) fn deniable(role: Option<&Role>, handle: &Handle) -> Option<Deniable<Handle>> {
    let Handle::AssumedRole { name, role_arn, denied_by } = handle else { return None };
    let role = role.filter(|role| role.role_arns().contains(role_arn));
    let denied_by = role.and_then(Role::denied_by).or_else(|| denied_by.clone())?;
    // It is of none of the sessions, so that it is the same for all that are denied in the same way.
    let (of_none, role_arn) = (String::new(), role_arn.clone());
    Some(Deniable {
        denial: place(&role_arn),
        reached_by: Handle::AssumedRole { name: of_none, role_arn, denied_by: Some(denied_by) },
        name: name.clone(),
        may_deny_older: role.is_some_and(Role::ends_older_sessions),
    })
}

/// Names the policy of a role for all who would write it: no two roles of an account differ by their path or by case alone.
fn place(role_arn: &str) -> String {
    format!("{}:role/{}", account(role_arn), role_name(role_arn)).to_ascii_lowercase()
}

/// Returns what of an ARN says in which account something is.
pub(super) fn account(arn: &str) -> &str {
    arn.match_indices(':').nth(4).and_then(|(at, _)| arn.get(..at)).unwrap_or(arn)
}

pub(super) async fn deny(
    target: &Aws,
    denial: &Denial<Handle>,
    answer_by: Timestamp,
) -> Result<Denied, EngineError> {
    let (role_arn, by) = opted_in(&denial.reached_by)?;
    let policy = policy_name(target);
    // Whatever the time is, it is as long.
    if document(denial, denial.older_than).len() > POLICY_CHARS_MAX {
        return Ok(Denied::Full(full(role_arn, &policy)));
    }
    let deadline = Deadline::new(answer_by, target.clock.now());
    let writer = assume(target, by, deadline).await;
    let writer = writer.map_err(|failure| explained(failure.refused(), by))?;
    let document = document(denial, denial.older_than.map(|at| writer.at_aws(at)));
    let document = Some(document).filter(|_| !denial.is_empty());
    let mut pauses = Pauses::default();
    loop {
        // A machine that was suspended in between knows it by its clock alone.
        if target.clock.now() >= answer_by {
            return Err(explained(Failure::Expired.refused(), by));
        }
        let place = (role_name(role_arn), policy.as_str());
        match write(target, &writer, place, document.as_deref(), deadline).await {
            Ok(()) => return Ok(Denied::Written),
            // Without the policy nothing is denied, and without the role there is nobody.
            Err(failure) if failure.is_gone() && document.is_none() => return Ok(Denied::Written),
            Err(failure) if failure.is_full() => return Ok(Denied::Full(full(role_arn, &policy))),
            Err(failure) if failure.is_busy() && !deadline.is_over() => pauses.next().await,
            Err(failure) => return Err(explained(failure.of_first(), by)),
        }
    }
}

/// Reads the policy that stands there.
pub(super) async fn standing(
    target: &Aws,
    reached_by: &Handle,
    answer_by: Timestamp,
) -> Result<Standing, EngineError> {
    let (role_arn, by) = opted_in(reached_by)?;
    let deadline = Deadline::new(answer_by, target.clock.now());
    let refused = |failure: Failure| explained(failure.refused(), by);
    let writer = assume(target, by, deadline).await.map_err(refused)?;
    let asked = target.clients.iam.get_role_policy().role_name(role_name(role_arn));
    let asked = asked.policy_name(policy_name(target)).customize();
    let asked = asked.config_override(Config::builder().credentials_provider(writer.key));
    match call(deadline, asked.send()).await {
        Ok(told) => Ok(read(&policies::decoded(told.policy_document()))),
        Err(failure) if failure.is_gone() => Ok(Standing::default()),
        Err(failure) => Err(refused(failure)),
    }
}

fn opted_in(handle: &Handle) -> Result<(&str, &DeniedBy), EngineError> {
    match handle {
        // Whoever writes is told the name of a role alone, and finds it in their own account.
        Handle::AssumedRole { role_arn, denied_by: Some(by), .. }
            if account(role_arn) != account(&by.role_arn) =>
        {
            let message = format!(
                "the session could not be denied as `{}`, which is of another account than `{role_arn}`; name one of the \
                 same account in `revocation_role_arn`",
                by.role_arn
            );
            Err(EngineError::refused(Cause::NeedsOperator, message))
        }
        Handle::AssumedRole { role_arn, denied_by: Some(by), .. } => Ok((role_arn, by)),
        Handle::AssumedRole { denied_by: None, .. }
        | Handle::IamUser { .. }
        | Handle::FederationToken { .. }
        | Handle::SessionToken { .. } => {
            let message = "this credential is no session that could be denied";
            Err(EngineError::refused(Cause::NeedsOperator, message))
        }
    }
}

fn policy_name(target: &Aws) -> String {
    format!("leasehold-deny-{}", target.origin.installation)
}

/// Says what the administrator lacks to deny sessions as somebody, as far as AWS tells without anything being written.
pub(super) async fn lacks(
    target: &Aws,
    by: &DeniedBy,
    deadline: Deadline,
) -> Result<Option<String>, EngineError> {
    match assume(target, by, deadline).await {
        Ok(_) => Ok(None),
        Err(failure) if failure.is_forbidden() => Ok(Some(format!(
            "the administrator may not assume `{}`, so that no session could be denied by it ({failure}); let its trust \
             name the administrator, and allow the administrator `sts:AssumeRole` on it",
            by.role_arn
        ))),
        Err(failure) => Err(explained(failure.refused(), by)),
    }
}

/// Whoever writes, and when it was made.
struct Writer {
    key: Credentials,
    /// When it was asked for, and by AWS's own clock a second at most after it was made.
    asked_at: Timestamp,
    made_by: Timestamp,
}

impl Writer {
    /// Returns what AWS's clock says at a time, or more: whatever was made before is older than that.
    fn at_aws(&self, at: Timestamp) -> Timestamp {
        self.made_by.plus(at.since(self.asked_at)).minus(self.asked_at.since(at))
    }
}

async fn assume(target: &Aws, by: &DeniedBy, deadline: Deadline) -> Result<Writer, Failure> {
    let (asked_at, answered_at) = (target.clock.now(), AnsweredAt::default());
    let asked = target
        .clients
        .sts
        .assume_role()
        .role_arn(&by.role_arn)
        .role_session_name(WRITER)
        .set_external_id(by.external_id.clone())
        .duration_seconds(KEY_LIVES_S)
        .customize()
        .interceptor(answered_at.clone());
    let made = call(deadline, asked.send()).await?;
    let made = made.credentials.ok_or(Failure::Odd("it told of no credentials"))?;
    let token = Some(made.session_token.as_str());
    let key = key_with(&made.access_key_id, &made.secret_access_key, token);
    let made_by = answered_at.second().unwrap_or(asked_at).plus(Duration::from_secs(1));
    Ok(Writer { key, asked_at, made_by })
}

/// Writes the policy, or deletes it where there is no document.
async fn write(
    target: &Aws,
    writer: &Writer,
    (role, policy): (&str, &str),
    document: Option<&str>,
    deadline: Deadline,
) -> Result<(), Failure> {
    let (iam, as_writer) = (&target.clients.iam, once().credentials_provider(writer.key.clone()));
    let Some(document) = document else {
        let delete = iam.delete_role_policy().role_name(role).policy_name(policy);
        let delete = delete.customize().config_override(as_writer);
        return call(deadline, delete.send()).await.map(|_| ());
    };
    let put = iam.put_role_policy().role_name(role).policy_name(policy).policy_document(document);
    let put = put.customize().config_override(as_writer);
    call(deadline, put.send()).await.map(|_| ())
}

/// Returns the policy: AWS knows a session by the id of its role, a colon and the session's name.
fn document(denial: &Denial<Handle>, older_than: Option<Timestamp>) -> String {
    let names: Vec<_> = denial.names.iter().map(|name| format!("*:{name}")).collect();
    let own = Some(json!({ "StringLike": { "aws:userid": names } })).filter(|_| !names.is_empty());
    let older = older_than.map(|at| {
        // A second that has begun counts whole.
        let at = at.plus(Duration::from_millis(999)).utc().format("%Y-%m-%dT%H:%M:%SZ");
        json!({ "DateLessThan": { "aws:TokenIssueTime": at.to_string() } })
    });
    let deny = |condition: Value| json!({ "Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition });
    let statements: Vec<_> = older.into_iter().chain(own).map(deny).collect();
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

/// Reads what [`document`] writes. What somebody else has written into it is not understood, and is written over.
fn read(document: &str) -> Standing {
    let document = serde_json::from_str(document).unwrap_or(Value::Null);
    let mut standing = Standing::default();
    for statement in document.get("Statement").and_then(Value::as_array).into_iter().flatten() {
        let condition = |test: &str, key: &str| statement.get("Condition")?.get(test)?.get(key);
        let names = condition("StringLike", "aws:userid").and_then(Value::as_array);
        let names =
            names.into_iter().flatten().filter_map(|name| name.as_str()?.strip_prefix("*:"));
        standing.names.extend(names.map(str::to_owned));
        let at = condition("DateLessThan", "aws:TokenIssueTime").and_then(Value::as_str);
        let at = at.and_then(|at| chrono::DateTime::parse_from_rfc3339(at).ok());
        let at = at.and_then(|at| u64::try_from(at.timestamp_millis()).ok()).map(Timestamp);
        standing.older_than = standing.older_than.max(at);
    }
    standing
}

/// Returns what a role is called, without its path.
fn role_name(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

fn full(role_arn: &str, policy: &str) -> String {
    format!(
        "the inline policies of `{role_arn}` have no room for another session, so it cannot be denied by its name in \
         `{policy}` until others have ended: it works until it ends by itself. a role that is written with \
         `revocation_when_full=end_older_sessions` ends all older sessions of `{role_arn}` instead, whoever has them"
    )
}

fn explained(error: EngineError, by: &DeniedBy) -> EngineError {
    let explained = |reason: Reason| Reason {
        message: format!(
            "the session could not be denied as `{}`: {}",
            by.role_arn, reason.message
        ),
        ..reason
    };
    match error {
        EngineError::Refused(reason) => EngineError::Refused(explained(reason)),
        EngineError::Uncertain(reason) => EngineError::Uncertain(explained(reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(names: &[String], older_than: Option<Timestamp>) -> Denial<Handle> {
        let reached_by = Handle::AssumedRole {
            name: "one".to_owned(),
            role_arn: "arn:aws:iam::1:role/path/deploy".to_owned(),
            denied_by: None,
        };
        Denial { reached_by, names: names.to_vec(), older_than }
    }

    #[test]
    fn a_document_names_sessions_and_a_second_that_has_begun() {
        let at = Timestamp(1_700_000_000_001);
        let denial = denial(&["ann-x".to_owned()], Some(at));
        let read: Value = serde_json::from_str(&document(&denial, Some(at))).unwrap();
        let of = |at: usize| read["Statement"][at]["Condition"].clone();
        assert_eq!(of(0)["DateLessThan"]["aws:TokenIssueTime"], "2023-11-14T22:13:21Z");
        assert_eq!(of(1)["StringLike"]["aws:userid"], json!(["*:ann-x"]));
        assert_eq!(read["Statement"][0]["Effect"], "Deny");
        assert_eq!(role_name("arn:aws:iam::1:role/path/deploy"), "deploy");
        let again = self::read(&document(&denial, Some(at)));
        let second = Timestamp(1_700_000_001_000);
        assert_eq!((again.names, again.older_than), (denial.names, Some(second)));
        for odd in ["", "[]", r#"{"Statement":[{"Condition":{"StringLike":7}}]}"#] {
            assert_eq!(self::read(odd), Standing::default());
        }
    }

    #[test]
    fn all_who_write_the_policy_of_a_role_name_it_alike() {
        let session = |role_arn: &str| Handle::AssumedRole {
            name: "ann-x".to_owned(),
            role_arn: role_arn.to_owned(),
            denied_by: Some(DeniedBy { role_arn: role_arn.to_owned(), external_id: None }),
        };
        let named = |arn: &str| deniable(None, &session(arn)).map(|deniable| deniable.denial);
        let one = named("arn:aws:iam::1:role/deploy");
        assert_eq!(one.as_deref(), Some("arn:aws:iam::1:role/deploy"));
        assert_eq!(one, named("arn:aws:iam::1:role/path/Deploy"));
        for other in ["arn:aws:iam::2:role/deploy", "arn:aws-cn:iam::1:role/deploy"] {
            assert_ne!(one, named(other));
        }
    }

    #[test]
    fn nobody_of_another_account_is_told_to_deny_a_session() {
        let by = |role_arn: &str| Handle::AssumedRole {
            name: String::new(),
            role_arn: "arn:aws:iam::1:role/deploy".to_owned(),
            denied_by: Some(DeniedBy { role_arn: role_arn.to_owned(), external_id: None }),
        };
        assert!(opted_in(&by("arn:aws:iam::1:role/denies")).is_ok());
        let error = opted_in(&by("arn:aws:iam::2:role/denies")).unwrap_err();
        assert_eq!(error.reason().cause, Cause::NeedsOperator);
        assert!(error.to_string().contains("another account"), "{error}");
    }

    #[test]
    fn a_session_is_denied_as_its_role_says_only_where_that_still_lends_the_same_role() {
        let role = |arn: &str| {
            let fields = json!({"credential_type": "assumed_role", "role_arns": arn,
                "revocation_role_arn": format!("{arn}-denies")});
            Role::parse(fields.as_object().unwrap()).unwrap()
        };
        let [old, new] = ["arn:aws:iam::1:role/old", "arn:aws:iam::1:role/new"];
        let handle = Handle::AssumedRole {
            name: "ann-x".to_owned(),
            role_arn: old.to_owned(),
            denied_by: Some(DeniedBy { role_arn: "first".to_owned(), external_id: None }),
        };
        for (role, by) in
            [(Some(role(old)), "old-denies"), (Some(role(new)), "first"), (None, "first")]
        {
            let way = deniable(role.as_ref(), &handle).unwrap().reached_by;
            let Handle::AssumedRole { denied_by: Some(way), .. } = &way else { panic!("{way:?}") };
            assert!(way.role_arn.ends_with(by), "{way:?}");
        }
    }

    #[test]
    fn about_190_sessions_fit() {
        // What the standard template calls a session of a short role, for a caller who is called `token`.
        let names: Vec<_> = (0..230).map(|n| format!("vault-token-deploy-{n:026}")).collect();
        let fits =
            |many: usize| document(&denial(&names[..many], None), None).len() <= POLICY_CHARS_MAX;
        assert!(fits(190) && !fits(230));
    }

    #[test]
    fn a_time_at_aws_is_never_told_too_early() {
        let key = key_with("id", "secret", None);
        let (asked_at, made_by) = (Timestamp(10_000), Timestamp(13_000));
        let writer = Writer { key, asked_at, made_by };
        let told = [9_000, 10_000, 12_000].map(|at| writer.at_aws(Timestamp(at)).0);
        assert_eq!(told, [12_000, 13_000, 15_000]);
    }
}
