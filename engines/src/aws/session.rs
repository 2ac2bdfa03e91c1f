//! Sessions: what STS gives for a while, and nobody can list, extend or take back; a role at AWS can be told to deny them
//! everything ([`super::deny`]).
//!
//! A session is told how long it lives, from when it is made. It is given what is left of its lease once the time is up
//! in which it may be made, so that it has ended when its lease does, however late its call was answered. A call whose
//! answer is lost may have made a session whose secret nobody has.

use super::choice::Chosen;
use super::client::{Pauses, call};
use super::failure::Failure;
use super::policies::{self, Policies};
use super::{Aws, Handle};
use crate::deadline::Deadline;
use aws_sdk_sts::types::{Credentials, PolicyDescriptorType, Tag};
use leasehold_core::engine::{Cause, EngineError, Issue, Revocation};
use leasehold_core::secret::{Field, Secret, SecretText};
use leasehold_core::time::Timestamp;

/// What is asked for, by whichever call.
type Made = Result<(Option<Credentials>, Option<String>), Failure>;

pub(super) async fn issue_one(
    target: &Aws,
    issue: &Issue<Aws>,
    deadline: Deadline,
) -> Result<Secret, EngineError> {
    let policies = policies::of(target, &issue.role, deadline).await;
    let policies = policies.map_err(|failure| failure.refused())?;
    let mut pauses = Pauses::default();
    let (credentials, arn) = loop {
        match made(target, issue, &policies, deadline).await {
            Err(failure) if failure.is_busy() && !deadline.is_over() => pauses.next().await,
            made => break made.map_err(|failure| failure.of_first())?,
        }
    };
    let credentials =
        credentials.ok_or_else(|| Failure::Odd("it told of no credentials").of_first())?;
    let hidden = |text: &str| Field::Hidden(SecretText::new(text.to_owned()));
    let mut fields = vec![
        ("access_key", Field::Open(credentials.access_key_id.clone())),
        ("secret_key", hidden(&credentials.secret_access_key)),
        // The same by its older name, which clients still look for.
        ("security_token", hidden(&credentials.session_token)),
        ("session_token", hidden(&credentials.session_token)),
    ];
    fields.extend(arn.map(|arn| ("arn", Field::Open(arn))));
    Ok(Secret::new(fields).known_as(credentials.access_key_id))
}

async fn made(target: &Aws, issue: &Issue<Aws>, policies: &Policies, deadline: Deadline) -> Made {
    let sts = &target.clients.sts;
    let lives = issue.lapses_at.since(issue.issue_by).as_secs();
    let lives = i32::try_from(lives).ok();
    let arns = policies.arns.iter().map(|arn| PolicyDescriptorType::builder().arn(arn).build());
    let arns = Some(arns.collect::<Vec<_>>()).filter(|arns| !arns.is_empty());
    match &issue.handle {
        Handle::IamUser { .. } => Err(Failure::Odd("a user is no session")),
        Handle::AssumedRole { name, role_arn, .. } => {
            let tags = issue.role.session_tags().iter();
            let tags = tags.map(|(key, value)| Tag::builder().key(key).value(value).build());
            let tags = tags.collect::<Result<Vec<_>, _>>();
            let tags =
                tags.map_err(|_| Failure::Unsent("a tag could not be written".to_owned()))?;
            let asked = sts
                .assume_role()
                .role_arn(role_arn)
                .role_session_name(name)
                .set_duration_seconds(lives)
                .set_external_id(issue.role.external_id().map(str::to_owned))
                .set_source_identity(issue.draft.0.source_identity.clone())
                .set_tags(Some(tags).filter(|tags| !tags.is_empty()))
                .set_policy(policies.document.clone())
                .set_policy_arns(arns);
            let made = call(deadline, asked.send()).await?;
            Ok((made.credentials, made.assumed_role_user.map(|user| user.arn)))
        }
        Handle::FederationToken { name } => {
            let asked = sts
                .get_federation_token()
                .name(name)
                .set_duration_seconds(lives)
                .set_policy(policies.document.clone())
                .set_policy_arns(arns);
            let made = call(deadline, asked.send()).await?;
            Ok((made.credentials, made.federated_user.map(|user| user.arn)))
        }
        Handle::SessionToken { .. } => {
            let Chosen { mfa_code, .. } = issue.role.chosen();
            let asked = sts
                .get_session_token()
                .set_duration_seconds(lives)
                .set_serial_number(issue.role.mfa_serial_number().map(str::to_owned))
                .set_token_code(mfa_code.as_ref().map(|code| code.reveal().to_owned()));
            Ok((call(deadline, asked.send()).await?.credentials, None))
        }
    }
}

/// Tells whether a session has ended: where none is denied nothing else counts, for nothing ends one before. One that is made later than it
/// should lives longer, but its secret is told to nobody.
pub(super) fn revoke_one(asked: &Revocation<Aws>, now: Timestamp) -> Result<(), EngineError> {
    if now >= asked.lapses_at {
        return Ok(());
    }
    let message = format!(
        "AWS ends no session before its time: it works until {} at the latest, and its lease is kept until then",
        asked.lapses_at.rfc3339()
    );
    Err(EngineError::refused(Cause::Lives(asked.lapses_at), message))
}
