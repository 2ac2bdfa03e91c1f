//! Sets the password of a user that an operator named, at every node, and finds out whether a password is the one it has.
//!
//! Nothing but the password is altered (law 9): `resetpass` and the hash of the new one, in one command, which is done
//! whole or not at all.

use super::config::{Config, Finding};
use super::failure::Failure;
use super::issue::{looking, present};
use super::landing;
use super::link::{Files, Link, Node, text};
use super::{Redis, hex};
use aws_lc_rs::digest;
use futures_util::future::join_all;
use leasehold_core::engine::rotation::{
    Account, AccountSecret, Administrator, Intent, Rotated, Tested, Verify,
};
use leasehold_core::engine::{Cause, EngineError, FieldError};
use leasehold_core::secret::SecretText;
use leasehold_core::time::Timestamp;
use redis::{ErrorKind, Pipeline, Value, cmd};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// Checks what an operator wrote of an account.
pub(super) fn check(account: &Account) -> Result<(), FieldError> {
    if account.statements.is_empty() {
        return Ok(());
    }
    let field =
        if account.administers { "root_rotation_statements" } else { "rotation_statements" };
    Err(FieldError(format!("`{field}` have no use at a Redis target; leave them out")))
}

/// Returns who administers the nodes.
pub(super) fn administrator(config: &Config) -> Administrator {
    let secret = AccountSecret::of_password(config.password());
    let at = match config.finding() {
        Finding::Alone(node) | Finding::Cluster(node) => node.to_string(),
        Finding::Sentinel { sentinels, master, .. } => {
            let mut sentinels: Vec<_> = sentinels.iter().map(ToString::to_string).collect();
            sentinels.sort();
            format!("{master} of {}", sentinels.join(" "))
        }
    };
    Administrator { name: config.username().to_owned(), at, secret }
}

/// Returns what an operator would have written had the administrator this secret.
pub(super) fn with_secret(
    written: &Map<String, Json>,
    secret: &AccountSecret,
) -> Result<Map<String, Json>, FieldError> {
    let password = secret.part("password");
    let password = password.ok_or_else(|| FieldError("the secret has no password".to_owned()))?;
    let mut written = written.clone();
    // It goes before one that stands in a `connection_url`.
    written.insert("password".to_owned(), json!(password.reveal()));
    Ok(written)
}

/// Gives a user the password that is intended for it, at every node.
pub(super) async fn rotate(
    target: &Redis,
    account: &Account,
    intent: &Intent,
    answer_by: Timestamp,
) -> Result<Rotated, EngineError> {
    let verifier = verifier(&password(intent.secret())?);
    let until = target.until(answer_by);
    let ready = ready(target, account, (answer_by, until)).await;
    let mut nodes = ready.map_err(|failure| failure.of_nothing())?;
    if account.administers && nodes.iter().any(|(_, link)| link.facts().files == Files::None) {
        let why = "the server keeps its users in no file, so the next restart would bring the old password back; give \
                   it an `aclfile`";
        return Err(EngineError::refused(Cause::NeedsOperator, why));
    }
    let mut command = Pipeline::new();
    let words = ["SETUSER", &account.name, "resetpass", &format!("#{verifier}")];
    command.add_command(cmd("ACL").arg(&words).clone());
    let set = join_all(nodes.iter_mut().map(async |(node, link)| {
        let answers = link.ask_to_create(&command, (answer_by, until)).await?;
        answers.into_iter().next().unwrap_or(Err(Failure::TimedOut))?;
        // What stands in a file would come back with the next restart.
        if link.facts().files == Files::None { Ok(()) } else { node.save(link, until).await }
    }))
    .await;
    let alone = set.len() == 1;
    match set.into_iter().find_map(Result::err) {
        None => Ok(Rotated::AsIntended),
        Some(failure @ Failure::Expired) if alone => Err(failure.of_nothing()),
        Some(failure) => Err(failure.of_part("the password may be set at some nodes")),
    }
}

/// Connects to every node, and finds the user there; what was sent before and not answered for can land no more.
async fn ready(
    target: &Redis,
    account: &Account,
    (by, until): (Timestamp, Instant),
) -> Result<Vec<(Arc<Node>, Link)>, Failure> {
    if target.now() >= by {
        return Err(Failure::Expired);
    }
    let mut nodes = Vec::new();
    for member in target.nodes.now(until).await?.iter() {
        let mut link = member.node.link(until).await?;
        landing::end_own(&member.node, &mut link, (target.now(), until)).await?;
        let there = link.ask(&looking(std::iter::once(account.name.as_str())), until).await?;
        if present(there)? != [true] {
            let message = format!("there is no user `{}` at {}", account.name, member.node.address);
            return Err(Failure::Denied { code: "ERR".to_owned(), message });
        }
        nodes.push((Arc::clone(&member.node), link));
    }
    Ok(nodes)
}

/// Finds out whether a password is a user's, at every node.
pub(super) async fn tested(
    target: &Redis,
    account: &Account,
    secret: &AccountSecret,
    answer_by: Timestamp,
) -> Result<Tested, EngineError> {
    let password = password(Some(secret))?;
    let until = target.until(answer_by);
    let members = target.nodes.now(until).await.map_err(|failure| failure.of_nothing())?;
    let mut first = None;
    for member in members.iter() {
        let tested = match account.verify {
            Verify::Login => log_in(target, &member.node, &account.name, &password, until).await,
            Verify::Catalog => look_up(&member.node, &account.name, &password, until).await,
        };
        let tested = tested.map_err(|failure| failure.of_nothing())?;
        // A user that is let in somewhere is neither denied nor served.
        if *first.get_or_insert(tested) != tested {
            let why = format!(
                "some nodes let `{}` in with this password, and others do not",
                account.name
            );
            return Err(EngineError::refused(Cause::Contended, why));
        }
    }
    first.ok_or_else(|| EngineError::refused(Cause::Unreachable, "the target has no nodes"))
}

async fn log_in(
    target: &Redis,
    node: &Node,
    name: &str,
    password: &SecretText,
    until: Instant,
) -> Result<Tested, Failure> {
    let client = target.nodes.config().client_as(&node.address, name, password.reveal());
    let client = client.map_err(|FieldError(why)| Failure::Unreached(why))?;
    match timeout_at(until, client.get_multiplexed_async_connection()).await {
        Err(_) => Err(Failure::TimedOut),
        Ok(Ok(_)) => Ok(Tested::Works),
        Ok(Err(error)) if error.kind() == ErrorKind::AuthenticationFailed => Ok(Tested::Denied),
        Ok(Err(error)) => Err(Failure::unreached(&error)),
    }
}

/// Compares a password with the hashes that the server keeps.
async fn look_up(
    node: &Arc<Node>,
    name: &str,
    password: &SecretText,
    until: Instant,
) -> Result<Tested, Failure> {
    let mut link = node.link(until).await?;
    let user = link.one(cmd("ACL").arg("GETUSER").arg(name).clone(), until).await?;
    let Value::Array(fields) = user else { return Ok(Tested::Denied) };
    let kept = fields.chunks(2).find_map(|pair| match pair {
        [field, Value::Array(kept)] if text(field) == "passwords" => Some(kept),
        _ => None,
    });
    let wanted = SecretText::new(verifier(password));
    let has =
        kept.is_some_and(|kept| kept.iter().any(|kept| SecretText::new(text(kept)).ct_eq(&wanted)));
    Ok(if has { Tested::Works } else { Tested::Denied })
}

fn verifier(password: &SecretText) -> String {
    hex(digest::digest(&digest::SHA256, password.reveal().as_bytes()).as_ref())
}

fn password(secret: Option<&AccountSecret>) -> Result<SecretText, EngineError> {
    let missing = || EngineError::refused(Cause::NeedsOperator, "the secret has no password in it");
    secret.and_then(|secret| secret.part("password")).ok_or_else(missing)
}
