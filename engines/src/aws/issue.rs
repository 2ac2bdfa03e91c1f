//! Creates users: the first call brings the user with its mark and its boundary, the last waits until its key works.
//!
//! The first call is sent once. Whatever it refuses, nothing is there; where its answer is lost, the user may be there,
//! and so it may after any later failure. A key is made by a call that may be sent twice: what is removed is whatever
//! the user has.

use super::client::{call, key, once, patiently};
use super::failure::Failure;
use super::{Aws, Handle, MARK_TAG, client::Pauses, session};
use crate::deadline::Deadline;
use aws_sdk_iam::types::{AccessKey, Tag};
use futures_util::future::join_all;
use leasehold_core::engine::{EngineError, Issue};
use leasehold_core::secret::{Field, Secret, SecretText};

/// How often a key must have worked, one time after the other, before it is handed out: AWS is many machines, and the
/// next one may not know it yet.
const WORKED_IN_A_ROW: u32 = 2;

/// The name of the one policy that is written into the user itself.
const POLICY_NAME: &str = "leasehold";

pub(super) async fn issue(target: &Aws, asked: &[Issue<Aws>]) -> Vec<Result<Secret, EngineError>> {
    join_all(asked.iter().map(|issue| issue_one(target, issue))).await
}

async fn issue_one(target: &Aws, issue: &Issue<Aws>) -> Result<Secret, EngineError> {
    let deadline = Deadline::new(issue.issue_by, target.clock.now());
    let Handle::IamUser { name } = &issue.handle else {
        return session::issue_one(target, issue, deadline).await;
    };
    let mut pauses = Pauses::default();
    loop {
        match create(target, issue, name, deadline).await {
            Ok(()) => break,
            // Others ask as well; nothing was made, so that it is asked for again.
            Err(failure) if failure.is_busy() && !deadline.is_over() => pauses.next().await,
            Err(failure) => return Err(failure.of_first()),
        }
    }
    let equipped = equip(target, issue, name, deadline).await;
    equipped.map_err(|failure| failure.of_part(&format!("the user `{name}` was made only in part")))
}

async fn create(
    target: &Aws,
    issue: &Issue<Aws>,
    name: &str,
    deadline: Deadline,
) -> Result<(), Failure> {
    let mark = (MARK_TAG, target.mark(issue.lease));
    let tags = issue.role.tags().iter().map(|(key, value)| (key.as_str(), value.clone()));
    let tags = tags.chain([mark]).map(|(key, value)| Tag::builder().key(key).value(value).build());
    let tags: Result<Vec<_>, _> = tags.collect();
    let tags =
        tags.map_err(|_| Failure::Unsent("the user's tags could not be written".to_owned()))?;
    let created = target
        .clients
        .iam
        .create_user()
        .user_name(name)
        .path(format!("{}{}", issue.role.user_path(), target.folder()))
        .set_permissions_boundary(issue.role.boundary().map(str::to_owned))
        .set_tags(Some(tags))
        .customize()
        .config_override(once());
    call(deadline, created.send()).await.map(|_| ())
}

/// Gives the user what its role says, and a key.
async fn equip(
    target: &Aws,
    issue: &Issue<Aws>,
    name: &str,
    deadline: Deadline,
) -> Result<Secret, Failure> {
    let (iam, role) = (&target.clients.iam, &issue.role);
    for arn in role.policy_arns() {
        let attach = || iam.attach_user_policy().user_name(name).policy_arn(arn).send();
        patiently(deadline, name, attach).await?;
    }
    if let Some(document) = role.policy_document() {
        let put = iam.put_user_policy().policy_name(POLICY_NAME).policy_document(document);
        patiently(deadline, name, || put.clone().user_name(name).send()).await?;
    }
    for group in role.groups() {
        let add = || iam.add_user_to_group().user_name(name).group_name(group).send();
        patiently(deadline, name, add).await?;
    }
    let made = patiently(deadline, name, || iam.create_access_key().user_name(name).send()).await?;
    let made = made.access_key.ok_or(Failure::Odd("it told of no key"))?;
    works(target, &made, deadline).await?;
    let secret = Secret::new(vec![
        ("access_key", Field::Open(made.access_key_id.clone())),
        ("secret_key", Field::Hidden(SecretText::new(made.secret_access_key))),
    ]);
    Ok(secret.known_as(made.access_key_id))
}

/// Waits until AWS knows a key. Who asks who they are is told so whatever their policies say.
pub(super) async fn works(
    target: &Aws,
    made: &AccessKey,
    deadline: Deadline,
) -> Result<(), Failure> {
    let mut pauses = Pauses::default();
    let mut worked = 0_u32;
    while worked < WORKED_IN_A_ROW {
        let credentials = key(made.access_key_id(), made.secret_access_key());
        let asked = target
            .clients
            .sts
            .get_caller_identity()
            .customize()
            .config_override(aws_sdk_sts::Config::builder().credentials_provider(credentials));
        match call(deadline, asked.send()).await {
            Ok(_) => worked = worked.saturating_add(1),
            Err(failure) if failure.is_forbidden() => worked = worked.saturating_add(1),
            Err(failure) if failure.is_stranger() => {
                worked = 0;
                pauses.next().await;
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}
