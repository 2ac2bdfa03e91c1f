//! What bears our mark, which account this is, and what the administrator lacks.

use super::client::{call, page};
use super::failure::Failure;
use super::look::marked;
use super::{Aws, Handle, Role, deny, rights};
use crate::deadline::Deadline;
use aws_sdk_iam::types::{EntityType, StatusType, Tag};
use aws_sdk_sts::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_sts::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_sts::error::BoxError;
use futures_util::future::join_all;
use leasehold_core::engine::{Cause, EngineError, Identity, Mark, Marked};
use leasehold_core::ids::LeaseId;
use leasehold_core::time::Timestamp;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long one of these questions may take: for a list all users of an account are gone through.
const ANSWER_WITHIN: Duration = Duration::from_mins(2);

/// How many users are asked for at once.
const AT_ONCE: usize = 8;

/// How many users are told in one answer, at most. AWS takes no higher number, and tells fewer as it likes.
const PAGE: i32 = 1000;

/// As long as IAM's interface has had this name it has not changed what it had.
const VERSION: &str = "IAM 2010-05-08";

fn deadline(target: &Aws) -> Deadline {
    let now = target.clock.now();
    Deadline::new(now.plus(ANSWER_WITHIN), now)
}

/// A user that has our mark.
struct Ours {
    name: String,
    lease: LeaseId,
    rights: Vec<String>,
}

/// Lists the users in our folder that have our mark. Folders may be below any path that a role says, so that all users
/// are looked at, many in one call.
pub(super) async fn list(target: &Aws) -> Result<Vec<Marked<Aws>>, EngineError> {
    let deadline = deadline(target);
    let ours = match ours_with_rights(target, deadline).await {
        // Who may look at every user may not be allowed to look at all of an account's rights.
        Err(failure) if failure.is_forbidden() => ours_one_by_one(target, deadline).await,
        ours => ours,
    };
    let ours = ours.map_err(|failure| failure.refused())?;
    let mut marked = Vec::new();
    for some in ours.chunks(AT_ONCE) {
        let asked = join_all(some.iter().map(|user| with_keys(target, user, deadline))).await;
        for found in asked {
            marked.extend(found.map_err(|failure| failure.refused())?);
        }
    }
    Ok(marked)
}

/// Finds ours with what they may do.
async fn ours_with_rights(target: &Aws, deadline: Deadline) -> Result<Vec<Ours>, Failure> {
    let folder = format!("/{}", target.folder());
    let asked = target.clients.iam.get_account_authorization_details().filter(EntityType::User);
    let mut ours = Vec::new();
    let mut pages = asked.into_paginator().page_size(PAGE).send();
    while let Some(page) = page(deadline, pages.next()).await {
        let page = page?;
        for user in page.user_detail_list() {
            let is_here = user.path().is_some_and(|path| path.ends_with(&folder));
            let lease = our_lease(target, user.tags()).filter(|_| is_here);
            if let (Some(lease), Some(name)) = (lease, user.user_name()) {
                ours.push(Ours { name: name.to_owned(), lease, rights: rights::of(user) });
            }
        }
    }
    Ok(ours)
}

/// Finds ours without what they may do: a list of users does not tell their tags, so that each is asked for.
async fn ours_one_by_one(target: &Aws, deadline: Deadline) -> Result<Vec<Ours>, Failure> {
    let folder = format!("/{}", target.folder());
    let mut names = Vec::new();
    let mut pages = target.clients.iam.list_users().into_paginator().page_size(PAGE).send();
    while let Some(page) = page(deadline, pages.next()).await {
        let page = page?;
        let here = page.users().iter().filter(|user| user.path().ends_with(&folder));
        names.extend(here.map(|user| user.user_name().to_owned()));
    }
    let mut ours = Vec::new();
    for some in names.chunks(AT_ONCE) {
        let asked = join_all(some.iter().map(|name| one_of_ours(target, name, deadline))).await;
        for found in asked {
            ours.extend(found?);
        }
    }
    Ok(ours)
}

async fn one_of_ours(
    target: &Aws,
    name: &str,
    deadline: Deadline,
) -> Result<Option<Ours>, Failure> {
    let found = match call(deadline, target.clients.iam.get_user().user_name(name).send()).await {
        Ok(found) => found.user,
        Err(failure) if failure.is_gone() => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let lease = found.as_ref().and_then(|user| our_lease(target, user.tags()));
    Ok(lease.map(|lease| Ours { name: name.to_owned(), lease, rights: Vec::new() }))
}

/// Returns the lease that the mark among these tags names, if it is a mark of this target.
fn our_lease(target: &Aws, tags: &[Tag]) -> Option<LeaseId> {
    let mark = marked(tags)?.parse::<Mark>().ok()?;
    (mark.origin == target.origin).then_some(mark.lease)
}

/// Looks whether a user of ours may log in; it may be gone meanwhile.
async fn with_keys(
    target: &Aws,
    ours: &Ours,
    deadline: Deadline,
) -> Result<Option<Marked<Aws>>, Failure> {
    let Ours { name, lease, rights } = ours;
    let keys = call(deadline, target.clients.iam.list_access_keys().user_name(name).send()).await;
    let keys = match keys {
        Ok(keys) => keys.access_key_metadata,
        Err(failure) if failure.is_gone() => return Ok(None),
        Err(failure) => return Err(failure),
    };
    Ok(Some(Marked {
        lease: *lease,
        handle: Handle::IamUser { name: name.clone() },
        lapses_at: None,
        may_log_in: keys.iter().any(|key| key.status() == Some(&StatusType::Active)),
        rights: rights.clone(),
        everywhere: true,
    }))
}

/// The time that an answer was written at, as its sender has it.
#[derive(Clone, Debug, Default)]
pub(super) struct AnsweredAt(Arc<OnceLock<String>>);

impl Intercept for AnsweredAt {
    fn name(&self) -> &'static str {
        "AnsweredAt"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date") {
            self.0.get_or_init(|| date.to_owned());
        }
        Ok(())
    }
}

impl AnsweredAt {
    /// Returns the time, in whole seconds.
    pub(super) fn second(&self) -> Option<Timestamp> {
        let time = chrono::DateTime::parse_from_rfc2822(self.0.get()?).ok()?;
        u64::try_from(time.timestamp_millis()).ok().map(Timestamp)
    }

    /// Returns the time; it is told in whole seconds, so that it is half of one later on average.
    fn time(&self) -> Option<Timestamp> {
        Some(self.second()?.plus(Duration::from_millis(500)))
    }
}

/// Returns which account this is.
pub(super) async fn identity(target: &Aws) -> Result<Identity, EngineError> {
    let answered_at = AnsweredAt::default();
    let asked = target.clients.sts.get_caller_identity().customize();
    let asked = asked.interceptor(answered_at.clone()).send();
    let told = call(deadline(target), asked).await.map_err(|failure| failure.refused())?;
    let account = told.account.ok_or_else(|| Failure::Odd("it told of no account").refused())?;
    let clock = answered_at.time().unwrap_or_else(|| target.clock.now());
    Ok(Identity { server: Some(account), clock, version: VERSION.to_owned(), run: None })
}

/// Says what the administrator lacks, as far as AWS tells without anything being made: the right to list users, without
/// which nothing can be compared, and what a role names that is not there.
pub(super) async fn lacks(target: &Aws, role: Option<&Role>) -> Result<Vec<String>, EngineError> {
    let (iam, deadline) = (&target.clients.iam, deadline(target));
    let Some(role) = role else {
        return match call(deadline, iam.list_users().max_items(1).send()).await {
            Ok(_) => Ok(Vec::new()),
            Err(failure) if failure.cause() == Cause::NeedsOperator => {
                let message = "the administrator may not list users, so that what is there cannot be compared with the \
                    leases; allow it `iam:ListUsers`";
                Ok(vec![message.to_owned()])
            }
            Err(failure) => Err(failure.refused()),
        };
    };
    let mut missing = Vec::new();
    for arn in role.policy_arns().iter().map(String::as_str).chain(role.boundary()) {
        let answer = call(deadline, iam.get_policy().policy_arn(arn).send()).await.map(|_| ());
        if !is_there(answer)? {
            missing.push(format!("there is no policy `{arn}`; create it, or change the role"));
        }
    }
    for group in role.groups() {
        let answer = call(deadline, iam.get_group().group_name(group).max_items(1).send()).await;
        if !is_there(answer.map(|_| ()))? {
            missing.push(format!("there is no group `{group}`; create it, or change the role"));
        }
    }
    if let Some(by) = role.denied_by() {
        missing.extend(deny::lacks(target, &by, deadline).await?);
    }
    Ok(missing)
}

/// An administrator who may not look at something may still hand it out.
fn is_there(answer: Result<(), Failure>) -> Result<bool, EngineError> {
    match answer {
        Ok(()) => Ok(true),
        Err(failure) if failure.is_gone() => Ok(false),
        Err(failure) if failure.is_forbidden() => Ok(true),
        Err(failure) => Err(failure.refused()),
    }
}
