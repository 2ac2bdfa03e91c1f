//! Gives an IAM user that an operator named another key, and finds out whether a key is good.
//!
//! AWS draws the key, and a user may have two. What is intended is therefore told by the keys that there were before:
//! one that came since, and of which nobody knows the secret, is what is left of an attempt, and is removed before
//! the next one. The key that was there before goes only once the new one is durable and has worked.

use super::Aws;
use super::client::{call, key_with, once};
use super::failure::Failure;
use super::issue::works;
use super::list::AnsweredAt;
use crate::deadline::Deadline;
use aws_sdk_iam::types::{AccessKeyMetadata, StatusType};
use leasehold_core::engine::rotation::{Account, AccountSecret, Intent, Rotated, Tested, Verify};
use leasehold_core::engine::{Cause, EngineError, FieldError};
use leasehold_core::secret::SecretText;
use leasehold_core::time::Timestamp;

/// How many keys a user may have.
const KEYS_MAX: usize = 2;

/// Checks what an operator wrote of an account.
pub(super) fn check(account: &Account) -> Result<(), FieldError> {
    if account.statements.is_empty() {
        return Ok(());
    }
    Err(FieldError("`rotation_statements` are for databases; AWS has none".to_owned()))
}

/// Returns whose keys are asked for: the administrator's own are those of whoever asks.
fn user(account: &Account) -> Option<String> {
    (!account.administers).then(|| account.name.clone())
}

async fn keys(
    target: &Aws,
    account: &Account,
    deadline: Deadline,
) -> Result<Vec<AccessKeyMetadata>, Failure> {
    let asked = target.clients.iam.list_access_keys().set_user_name(user(account));
    Ok(call(deadline, asked.send()).await?.access_key_metadata)
}

fn id(key: &AccessKeyMetadata) -> &str {
    key.access_key_id().unwrap_or_default()
}

fn foreign<'a>(account: &Account, keys: impl Iterator<Item = &'a str>) -> EngineError {
    let ids = keys.map(|id| format!("`{id}`")).collect::<Vec<_>>().join(" and ");
    let message = format!(
        "`{}` has the keys {ids}, and AWS gives no third one; look which is not used, and delete it",
        account.name
    );
    EngineError::refused(Cause::NeedsOperator, message)
}

/// Notes which keys there are, and since when one that comes is ours: by AWS's clock, which dates them.
pub(super) async fn intend(
    target: &Aws,
    account: &Account,
    answer_by: Timestamp,
) -> Result<Intent, EngineError> {
    let now = target.clock.now();
    let deadline = Deadline::new(answer_by, now);
    let answered_at = AnsweredAt::default();
    let asked = target.clients.iam.list_access_keys().set_user_name(user(account));
    let asked = asked.customize().interceptor(answered_at.clone());
    let found = call(deadline, asked.send()).await.map_err(|failure| failure.refused())?;
    let (found, since) = (found.access_key_metadata, answered_at.second().unwrap_or(now));
    if !account.administers && found.iter().any(|key| id(key) == target.administrator) {
        let message = format!(
            "`{}` administers this account for Leasehold; it is rotated by `config/rotate-root`, and its key is told to nobody",
            account.name
        );
        return Err(EngineError::refused(Cause::NeedsOperator, message));
    }
    if found.len() >= KEYS_MAX {
        return Err(foreign(account, found.iter().map(id)));
    }
    Ok(Intent::Given { before: found.iter().map(|key| id(key).to_owned()).collect(), since })
}

/// Has AWS draw a key, in place of those that earlier attempts left.
pub(super) async fn rotate(
    target: &Aws,
    account: &Account,
    intent: &Intent,
    answer_by: Timestamp,
) -> Result<Rotated, EngineError> {
    let Intent::Given { before, since } = intent else {
        let message = "what is intended for the account is not a key of AWS's";
        return Err(EngineError::refused(Cause::NeedsOperator, message));
    };
    let deadline = Deadline::new(answer_by, target.clock.now());
    let found = keys(target, account, deadline).await.map_err(|failure| failure.refused())?;
    let came: Vec<_> =
        found.iter().filter(|key| !before.iter().any(|old| old == id(key))).collect();
    // AWS tells whole seconds.
    let since_s = i64::try_from(since.0 / 1000).unwrap_or(i64::MAX);
    let is_ours =
        |key: &&&AccessKeyMetadata| key.create_date().is_some_and(|at| at.secs() >= since_s);
    if came.iter().any(|key| !is_ours(&key)) {
        return Err(foreign(account, found.iter().map(id)));
    }
    for key in came {
        delete(target, account, id(key), deadline).await.map_err(|failure| failure.refused())?;
    }
    let made = target.clients.iam.create_access_key().set_user_name(user(account)).customize();
    let made = made.config_override(once());
    let made = call(deadline, made.send()).await.map_err(|failure| failure.of_first())?;
    let made = made.access_key.ok_or(Failure::Odd("it told of no key"));
    let made = made.map_err(|failure| failure.of_part("a key was drawn"))?;
    let worked = works(target, &made, deadline).await;
    worked.map_err(|failure| failure.of_part("a key was drawn that is not known to work"))?;
    Ok(Rotated::Given(AccountSecret::new([
        ("access_key", SecretText::new(made.access_key_id)),
        ("secret_key", SecretText::new(made.secret_access_key)),
    ])))
}

async fn delete(
    target: &Aws,
    account: &Account,
    id: &str,
    deadline: Deadline,
) -> Result<(), Failure> {
    let asked = target.clients.iam.delete_access_key().set_user_name(user(account));
    match call(deadline, asked.access_key_id(id).send()).await {
        Ok(_) => Ok(()),
        Err(failure) if failure.is_gone() => Ok(()),
        Err(failure) => Err(failure),
    }
}

fn part(secret: &AccountSecret, name: &str) -> Result<SecretText, EngineError> {
    let missing =
        || EngineError::refused(Cause::NeedsOperator, format!("the secret has no `{name}`"));
    secret.part(name).ok_or_else(missing)
}

/// Finds out whether a key is good.
pub(super) async fn tested(
    target: &Aws,
    account: &Account,
    secret: &AccountSecret,
    answer_by: Timestamp,
) -> Result<Tested, EngineError> {
    let deadline = Deadline::new(answer_by, target.clock.now());
    if account.verify == Verify::Catalog && secret.part("access_key").is_none() {
        return is_there(target, &account.name, deadline).await;
    }
    let (its_id, its_secret) = (part(secret, "access_key")?, part(secret, "secret_key")?);
    if account.verify == Verify::Catalog {
        let found = keys(target, account, deadline).await.map_err(|failure| failure.refused())?;
        let is_active = found
            .iter()
            .any(|key| id(key) == its_id.reveal() && key.status() == Some(&StatusType::Active));
        return Ok(if is_active { Tested::Works } else { Tested::Denied });
    }
    let token = secret.part("security_token");
    let token = token.as_ref().map(SecretText::reveal);
    let credentials = key_with(its_id.reveal(), its_secret.reveal(), token);
    let asked = target
        .clients
        .sts
        .get_caller_identity()
        .customize()
        .config_override(aws_sdk_sts::Config::builder().credentials_provider(credentials));
    match call(deadline, asked.send()).await {
        Ok(_) => Ok(Tested::Works),
        Err(failure) if failure.is_forbidden() => Ok(Tested::Works),
        Err(failure) if failure.is_stranger() => Ok(Tested::Denied),
        Err(failure) => Err(failure.refused()),
    }
}

/// Looks whether there is a user by that name, whatever keys it has.
async fn is_there(target: &Aws, name: &str, deadline: Deadline) -> Result<Tested, EngineError> {
    match call(deadline, target.clients.iam.get_user().user_name(name).send()).await {
        Ok(_) => Ok(Tested::Works),
        Err(failure) if failure.is_gone() => Ok(Tested::Denied),
        Err(failure) => Err(failure.refused()),
    }
}

/// Deletes the keys that there were before.
pub(super) async fn drop_replaced(
    target: &Aws,
    account: &Account,
    intent: &Intent,
    secret: &AccountSecret,
    answer_by: Timestamp,
) -> Result<(), EngineError> {
    let Intent::Given { before, .. } = intent else { return Ok(()) };
    let deadline = Deadline::new(answer_by, target.clock.now());
    let its_id = part(secret, "access_key")?;
    for old in before.iter().filter(|old| *old != its_id.reveal()) {
        let deleted = delete(target, account, old, deadline).await;
        deleted.map_err(|failure| failure.of_part("an old key is not deleted yet"))?;
    }
    Ok(())
}
