//! Sessions: how each kind is asked for, what it may do, how long it lives, and what AWS refuses.

use crate::place::{Place, place, role};
use leasehold_core::engine::{Cause, Engine as _, EngineError, Issue};
use leasehold_core::secret::Secret;
use leasehold_core::time::Timestamp;
use leasehold_engines::aws::{Aws, Handle};
use leasehold_integration_tests::engine_suite::{self as suite, Login, PATIENCE, revocation};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const LIVES: Duration = Duration::from_mins(15);

/// Prepares a session of a role as a caller asks for it.
pub(crate) fn asked(place: &Place, fields: &Value, said: &Value) -> Issue<Aws> {
    let said = said.as_object().expect("it is an object");
    let choice = Aws::choose(&role(fields), said).expect("it may be chosen");
    let chosen = Arc::new(choice.expect("it is a session").role);
    let issue = suite::prepared(&*place.engine, &chosen, ("ann@example", "app"), PATIENCE);
    Issue { lapses_at: issue.issue_by.plus(LIVES), ..issue }
}

pub(crate) async fn lent(
    place: &Place,
    fields: &Value,
    said: &Value,
) -> (Issue<Aws>, Result<Secret, EngineError>) {
    let issue = asked(place, fields, said);
    let answer = place.engine.issue(std::slice::from_ref(&issue)).await.remove(0);
    (issue, answer)
}

/// Asks IAM in a session.
pub(crate) fn iam(place: &Place, secret: &Secret) -> aws_sdk_iam::Client {
    let key = Login::of_fields(secret, ("access_key", "secret_key"));
    let token = Login::of_fields(secret, ("access_key", "session_token")).password;
    place.account.iam_in_session(&key.username, &key.password, &token)
}

/// Returns the fields of the last call of an action.
pub(crate) async fn last(place: &Place, action: &str) -> Value {
    let all = place.account.asked().await;
    let found = all.into_iter().rev().find(|(its, _)| its == action);
    found.expect("it was asked").1
}

fn may_read_a_summary() -> String {
    let may = json!({"Effect": "Allow", "Action": "iam:GetAccountSummary", "Resource": "*"});
    json!({"Version": "2012-10-17", "Statement": [may]}).to_string()
}

#[tokio::test]
async fn a_session_of_a_role_is_bounded_by_its_policy_and_has_ended_when_its_lease_does() {
    let place = place();
    let arn = place.account.role("deploy", &json!({}), &["sts:AssumeRole"]).await;
    let fields = json!({"credential_type": "assumed_role", "role_arns": arn, "policy_document": may_read_a_summary()});
    let (issue, secret) = lent(&place, &fields, &json!({})).await;
    let secret = secret.expect("it is lent");
    let name = issue.handle.name().to_owned();
    assert!(name.ends_with(&format!("-{}", issue.lease)), "{name}");
    let asked = last(&place, "AssumeRole").await;
    assert_eq!(
        (&asked["DurationSeconds"], &asked["RoleSessionName"]),
        (&json!("900"), &json!(name))
    );
    assert_eq!((&asked["SourceIdentity"], &asked["ExternalId"]), (&Value::Null, &Value::Null));
    let session = iam(&place, &secret);
    session.get_account_summary().send().await.expect("the policy of the role lets it");
    let denied = session.list_users().send().await.expect_err("the role may, the session may not");
    assert!(format!("{denied:?}").contains("AccessDenied"), "{denied:?}");

    // Nothing ends it before it ends by itself.
    let error = place.engine.revoke(&[revocation(&issue)]).await.remove(0).expect_err("it lives");
    assert_eq!(error.reason().cause, Cause::Lives(issue.lapses_at), "{error}");
    session.get_account_summary().send().await.expect("it does");
    place.account.judge(json!({"later": 901})).await;
    let ended = session.get_account_summary().send().await.expect_err("it has ended");
    assert!(format!("{ended:?}").contains("ExpiredToken"), "{ended:?}");
    let over = Issue { lapses_at: suite::now(), ..issue };
    assert_eq!(place.engine.revoke(&[revocation(&over)]).await, [Ok(())]);
    assert!(place.engine.list().await.expect("it lists").is_empty(), "sessions are not listed");
}

#[tokio::test]
async fn what_a_role_tells_of_its_sessions_must_be_trusted_by_the_role_at_aws() {
    let place = place();
    let condition = json!({"StringEquals": {"sts:ExternalId": "ours"}});
    let trusts = ["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"];
    let told = place.account.role("told", &condition, &trusts).await;
    let plain = place.account.role("plain", &json!({}), &["sts:AssumeRole"]).await;
    let of = |arns: &str, external_id: &str| {
        json!({
            "credential_type": "assumed_role", "role_arns": arns, "external_id": external_id,
            "source_identity": true, "session_tags": {"team": "shop"},
        })
    };
    lent(&place, &of(&told, "ours"), &json!({})).await.1.expect("it is trusted");
    let asked = last(&place, "AssumeRole").await;
    assert_eq!(
        (&asked["SourceIdentity"], &asked["ExternalId"]),
        (&json!("ann@example"), &json!("ours"))
    );
    assert_eq!(
        (&asked["Tags.member.1.Key"], &asked["Tags.member.1.Value"]),
        (&json!("team"), &json!("shop"))
    );
    for (fields, named) in
        [(of(&told, "theirs"), "sts:AssumeRole"), (of(&plain, "ours"), "sts:SetSourceIdentity")]
    {
        let error = lent(&place, &fields, &json!({})).await.1.expect_err("it is not trusted");
        assert!(
            matches!(&error, EngineError::Refused(reason) if reason.cause == Cause::NeedsOperator)
        );
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[tokio::test]
async fn the_two_kinds_of_sessions_of_the_administrator_are_lent() {
    let place = place();
    let fields =
        json!({"credential_type": "federation_token", "policy_document": may_read_a_summary()});
    let (issue, secret) = lent(&place, &fields, &json!({})).await;
    assert_eq!(last(&place, "GetFederationToken").await["Name"], format!("vault-{}", issue.lease));
    let session = iam(&place, &secret.expect("it is lent"));
    session.get_account_summary().send().await.expect("its policy lets it");
    assert!(session.list_users().send().await.is_err(), "it may not do what the administrator may");

    let device = "arn:aws:iam::123456789012:mfa/phone";
    let fields = json!({"credential_type": "session_token", "mfa_serial_number": device});
    let (issue, secret) = lent(&place, &fields, &json!({"mfa_code": "123456"})).await;
    assert!(matches!(issue.handle, Handle::SessionToken { .. }));
    let asked = last(&place, "GetSessionToken").await;
    assert_eq!((&asked["SerialNumber"], &asked["TokenCode"]), (&json!(device), &json!("123456")));
    assert_eq!(asked["DurationSeconds"], "900");
    // What the administrator may, but for IAM itself, which AWS keeps from sessions without a device.
    iam(&place, &secret.expect("it is lent")).get_account_summary().send().await.expect("it may");
    for issue in [&issue] {
        let error =
            place.engine.revoke(&[revocation(issue)]).await.remove(0).expect_err("it lives");
        assert!(matches!(error.reason().cause, Cause::Lives(_)), "{error}");
    }
}

/// A session is in no group, so that what the groups may is written into it.
#[tokio::test]
async fn a_session_may_what_the_groups_of_its_role_may() {
    let place = place();
    let iam_of = place.account.iam();
    iam_of.create_group().group_name("readers").send().await.expect("a group");
    let put = iam_of.put_group_policy().group_name("readers").policy_name("summary");
    put.policy_document(may_read_a_summary()).send().await.expect("a policy in it");
    let may = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*"}]}"#;
    let made = iam_of.create_policy().policy_name("users").policy_document(may).send().await;
    let policy = made.expect("a policy").policy.and_then(|policy| policy.arn).expect("it is told");
    let attach = iam_of.attach_group_policy().group_name("readers").policy_arn(policy);
    attach.send().await.expect("it is attached");
    let fields = json!({"credential_type": "federation_token", "iam_groups": "readers"});
    let secret = lent(&place, &fields, &json!({})).await.1.expect("it is lent");
    let session = iam(&place, &secret);
    session.get_account_summary().send().await.expect("by the policy in the group");
    session.list_users().send().await.expect("by the policy that is attached to it");
    assert!(session.list_groups().send().await.is_err(), "and nothing else");
}

#[tokio::test]
async fn a_call_that_is_lost_is_uncertain_and_one_that_is_too_late_is_not_sent() {
    let place = place();
    let arn = place.account.role("deploy", &json!({}), &["sts:AssumeRole"]).await;
    let fields = json!({"credential_type": "assumed_role", "role_arns": arn});
    place.account.judge(json!({"lost": {"AssumeRole": 100}})).await;
    let hurried = |issue: Issue<Aws>, by: Timestamp| Issue { issue_by: by, ..issue };
    let soon = suite::now().plus(Duration::from_secs(2));
    let issue = hurried(asked(&place, &fields, &json!({})), soon);
    let error = place.engine.issue(&[issue]).await.remove(0).expect_err("nobody hears of it");
    assert!(matches!(error, EngineError::Uncertain(_)), "{error:?}");
    place.account.judge(json!({"lost": {}})).await;
    let before = place.account.asked().await.len();
    let issue = hurried(asked(&place, &fields, &json!({})), suite::now());
    let error = place.engine.issue(&[issue]).await.remove(0).expect_err("it is late");
    assert!(
        matches!(&error, EngineError::Refused(reason) if reason.cause == Cause::TooLate),
        "{error:?}"
    );
    assert_eq!(place.account.asked().await.len(), before);
}
