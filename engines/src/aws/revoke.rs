//! Removes users with all that a user can hold, whoever gave it to them: IAM deletes none that still holds something.
//!
//! Keys go first, and with them every way in; what the user was allowed goes last, its boundary with the user itself, so
//! that it never may more than it did. A user who may make keys for itself can be quicker than this once: then IAM
//! refuses to delete it, and all is looked through again.

use super::client::{call, page};
use super::failure::Failure;
use super::look::{self, Seen};
use super::{Aws, Handle, session};
use crate::deadline::Deadline;
use aws_sdk_iam::Client;
use futures_util::future::join_all;
use leasehold_core::engine::{Cause, EngineError, Revocation};
use leasehold_core::time::Timestamp;

/// How often a user is looked through that has got something new meanwhile, before the next revocation goes on.
const ROUNDS: u32 = 4;

/// How many users are removed at once within one batch.
const AT_ONCE: usize = 8;

pub(super) async fn revoke(
    target: &Aws,
    asked: &[Revocation<Aws>],
) -> Vec<Result<(), EngineError>> {
    let mut answers = Vec::with_capacity(asked.len());
    for some in asked.chunks(AT_ONCE) {
        answers.extend(join_all(some.iter().map(|asked| revoke_one(target, asked))).await);
    }
    answers
}

async fn revoke_one(target: &Aws, asked: &Revocation<Aws>) -> Result<(), EngineError> {
    let now = target.clock.now();
    let deadline = Deadline::new(asked.answer_by, now);
    let Handle::IamUser { name } = &asked.handle else {
        return session::revoke_one(asked, now);
    };
    match look::look(target, name, asked.lease, deadline).await? {
        Seen::Nothing => absent(asked, now),
        Seen::Ours => {
            let removed = remove(&target.clients.iam, name, deadline).await;
            removed.map_err(|failure| {
                failure.of_part(&format!("the user `{name}` is not removed yet"))
            })
        }
    }
}

/// Tells whether an absence counts. While the one call that creates the user can still land it does not; and for as
/// long as AWS may not know everywhere that it has landed it does not either.
fn absent(asked: &Revocation<Aws>, now: Timestamp) -> Result<(), EngineError> {
    match asked.unanswered {
        Some(unanswered) if now < unanswered.settles_at => Err(EngineError::refused(
            Cause::Contended,
            "there is no such user yet, but the call that creates it may still arrive: it is looked for again",
        )),
        Some(_) | None => look::may_be_unknown(asked.lease, now),
    }
}

async fn remove(iam: &Client, name: &str, deadline: Deadline) -> Result<(), Failure> {
    for round in 1..=ROUNDS {
        keys(iam, name, deadline).await?;
        other_ways_in(iam, name, deadline).await?;
        devices(iam, name, deadline).await?;
        rights(iam, name, deadline).await?;
        match gone(call(deadline, iam.delete_user().user_name(name).send()).await) {
            Err(failure) if failure.is_busy() && round < ROUNDS => {}
            outcome => return outcome,
        }
    }
    Ok(())
}

/// What is gone already is done.
fn gone<T>(outcome: Result<T, Failure>) -> Result<(), Failure> {
    match outcome {
        Ok(_) => Ok(()),
        Err(failure) if failure.is_gone() => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// Goes through all pages of a list of what a user holds, and removes each.
macro_rules! remove_each {
    ($deadline:ident, $list:expr, $of:ident, |$one:ident| $remove:expr) => {{
        let mut pages = $list.into_paginator().send();
        while let Some(page) = page($deadline, pages.next()).await {
            match page {
                Ok(page) => {
                    for $one in page.$of() {
                        gone(call($deadline, $remove).await)?;
                    }
                }
                // The user itself is gone.
                Err(failure) => return gone(Err::<(), _>(failure)),
            }
        }
    }};
}

async fn keys(iam: &Client, name: &str, deadline: Deadline) -> Result<(), Failure> {
    remove_each!(deadline, iam.list_access_keys().user_name(name), access_key_metadata, |key| iam
        .delete_access_key()
        .user_name(name)
        .set_access_key_id(key.access_key_id().map(str::to_owned))
        .send());
    Ok(())
}

/// A password of the console, and what other services and protocols know the user by.
async fn other_ways_in(iam: &Client, name: &str, deadline: Deadline) -> Result<(), Failure> {
    gone(call(deadline, iam.delete_login_profile().user_name(name).send()).await)?;
    let of_services = iam.list_service_specific_credentials().user_name(name).send();
    let of_services = match call(deadline, of_services).await {
        Ok(listed) => listed.service_specific_credentials.unwrap_or_default(),
        Err(failure) => return gone(Err::<(), _>(failure)),
    };
    for one in of_services {
        let removed = iam
            .delete_service_specific_credential()
            .user_name(name)
            .service_specific_credential_id(one.service_specific_credential_id())
            .send();
        gone(call(deadline, removed).await)?;
    }
    remove_each!(deadline, iam.list_ssh_public_keys().user_name(name), ssh_public_keys, |key| iam
        .delete_ssh_public_key()
        .user_name(name)
        .ssh_public_key_id(key.ssh_public_key_id())
        .send());
    remove_each!(
        deadline,
        iam.list_signing_certificates().user_name(name),
        certificates,
        |certificate| iam
            .delete_signing_certificate()
            .user_name(name)
            .certificate_id(certificate.certificate_id())
            .send()
    );
    Ok(())
}

/// A device is taken from the user; a virtual one, which is nobody else's, is deleted as well.
async fn devices(iam: &Client, name: &str, deadline: Deadline) -> Result<(), Failure> {
    let mut found = Vec::new();
    let mut pages = iam.list_mfa_devices().user_name(name).into_paginator().send();
    while let Some(page) = page(deadline, pages.next()).await {
        match page {
            Ok(page) => {
                found.extend(page.mfa_devices().iter().map(|one| one.serial_number().to_owned()));
            }
            Err(failure) => return gone(Err::<(), _>(failure)),
        }
    }
    for serial in found {
        let taken = iam.deactivate_mfa_device().user_name(name).serial_number(&serial).send();
        gone(call(deadline, taken).await)?;
        if serial.contains(":mfa/") {
            gone(
                call(deadline, iam.delete_virtual_mfa_device().serial_number(serial).send()).await,
            )?;
        }
    }
    Ok(())
}

/// Policies and groups.
async fn rights(iam: &Client, name: &str, deadline: Deadline) -> Result<(), Failure> {
    remove_each!(deadline, iam.list_user_policies().user_name(name), policy_names, |policy| iam
        .delete_user_policy()
        .user_name(name)
        .policy_name(policy)
        .send());
    remove_each!(
        deadline,
        iam.list_attached_user_policies().user_name(name),
        attached_policies,
        |policy| iam
            .detach_user_policy()
            .user_name(name)
            .set_policy_arn(policy.policy_arn().map(str::to_owned))
            .send()
    );
    remove_each!(deadline, iam.list_groups_for_user().user_name(name), groups, |group| iam
        .remove_user_from_group()
        .user_name(name)
        .group_name(group.group_name())
        .send());
    Ok(())
}
