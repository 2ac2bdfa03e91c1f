//! Creates credentials: two round trips for a whole batch, at every node at once.
//!
//! The first looks whether a name is taken, for the server has no way to create only what is absent; what stands between
//! the two is guarded by the lease's bits in the name. Each command sets one user whole or not at all. The password is
//! sent as its SHA-256, so that no log and no `MONITOR` has it.

use super::failure::Failure;
use super::link::Link;
use super::{Handle, Redis};
use futures_util::future::join_all;
use leasehold_core::engine::{Cause, EngineError, Issue};
use leasehold_core::secret::{Field, Secret, SecretText};
use leasehold_core::time::Timestamp;
use redis::{Pipeline, Value, cmd};
use std::sync::atomic::Ordering;
use tokio::time::Instant;

type Answers = Vec<Result<Secret, EngineError>>;

pub(super) async fn issue(target: &Redis, asked: &[Issue<Redis>]) -> Answers {
    // Those whose time is up are left out: they would take the others' time with them.
    let now = target.now();
    let in_time = |issue: &&Issue<Redis>| issue.issue_by > now;
    let fresh: Vec<_> = asked.iter().filter(in_time).collect();
    let mut answers = issue_in_time(target, &fresh).await.into_iter();
    let late = || Err(Failure::Expired.of_nothing());
    let own = |issue| if in_time(&issue) { answers.next() } else { None };
    asked.iter().map(own).map(|answer| answer.unwrap_or_else(late)).collect()
}

async fn issue_in_time(target: &Redis, asked: &[&Issue<Redis>]) -> Answers {
    let Some(by) = asked.iter().map(|issue| issue.issue_by).min() else { return Vec::new() };
    let until = target.until(by);
    let handles: Vec<_> = asked.iter().map(|issue| &issue.handle).collect();
    match set_where_absent(target, &handles, (by, until)).await {
        Err(error) => asked.iter().map(|_| Err(error.clone())).collect(),
        Ok(answers) => {
            let told = asked.iter().zip(answers);
            told.map(|(issue, answer)| answer.map(|()| secret(issue))).collect()
        }
    }
}

async fn set_where_absent(
    target: &Redis,
    handles: &[&Handle],
    (by, until): (Timestamp, Instant),
) -> Result<Vec<Result<(), EngineError>>, EngineError> {
    let mut links = links(target, handles, until).await.map_err(|failure| failure.of_nothing())?;
    let taken = look(target, &mut links, handles, until).await;
    let taken = taken.map_err(|failure| failure.of_nothing())?;
    if let Some((handle, _)) = handles.iter().zip(&taken).find(|(_, taken)| **taken) {
        let why = format!("there is a user `{}` already", handle.name);
        // Alone it may be our own. In a batch it is one member's trouble: nothing was set, and alone the others succeed.
        return Err(if handles.len() > 1 {
            EngineError::refused(Cause::Rejected, why)
        } else {
            EngineError::uncertain(Cause::Rejected, why)
        });
    }
    let commands = setting(handles.iter().copied());
    let setting = links.iter_mut().map(|at| at.link.ask_to_create(&commands, (by, until)));
    let answers = join_all(setting).await;
    for at in &links {
        at.node.save_later(&at.link);
    }
    Ok((0..handles.len()).map(|member| together(&answers, member)).collect())
}

/// A node that is asked.
struct At {
    node: std::sync::Arc<super::link::Node>,
    link: Link,
    is_primary: bool,
}

/// Connects to the nodes that the handles know. A replica that cannot be reached is left out, and compared with the
/// leases when it is there again.
async fn links(target: &Redis, handles: &[&Handle], until: Instant) -> Result<Vec<At>, Failure> {
    let members = target.nodes.now(until).await?;
    let knows = |address| {
        target.nodes.is_alone() || handles.iter().all(|handle| handle.nodes.contains(address))
    };
    // What is set at a node that no stored handle names could be forgotten there.
    if members.iter().any(|member| member.is_primary && !knows(&member.node.address)) {
        return Err(Failure::NewNodes);
    }
    let asked = members.iter().filter(|member| knows(&member.node.address));
    let opened = join_all(asked.map(async |member| (member, member.node.link(until).await))).await;
    let mut links = Vec::new();
    for (member, link) in opened {
        match link {
            Ok(link) => {
                let (node, is_primary) = (std::sync::Arc::clone(&member.node), member.is_primary);
                links.push(At { node, link, is_primary });
            }
            Err(failure) if member.is_primary => {
                target.nodes.look_again();
                return Err(failure);
            }
            Err(_) => leave_out(target),
        }
    }
    Ok(links)
}

fn leave_out(target: &Redis) {
    target.left_out.fetch_add(1, Ordering::AcqRel);
}

/// Looks which names are taken at any node.
async fn look(
    target: &Redis,
    links: &mut Vec<At>,
    handles: &[&Handle],
    until: Instant,
) -> Result<Vec<bool>, Failure> {
    let commands = looking(handles.iter().map(|handle| handle.name.as_str()));
    let looked = join_all(links.iter_mut().map(|at| at.link.ask(&commands, until))).await;
    let mut taken = vec![false; handles.len()];
    let mut kept = Vec::new();
    for (at, looked) in links.drain(..).zip(looked) {
        match looked.and_then(present) {
            Ok(there) => {
                for (taken, there) in taken.iter_mut().zip(there) {
                    *taken |= there;
                }
                kept.push(at);
            }
            Err(failure) if at.is_primary => return Err(failure),
            Err(_) => leave_out(target),
        }
    }
    *links = kept;
    Ok(taken)
}

/// Asks for users by name.
pub(super) fn looking<'a>(names: impl Iterator<Item = &'a str>) -> Pipeline {
    let mut commands = Pipeline::new();
    for name in names {
        commands.add_command(cmd("ACL").arg("GETUSER").arg(name).clone());
    }
    commands
}

/// Reads which of them there are.
pub(super) fn present(answers: Vec<Result<Value, Failure>>) -> Result<Vec<bool>, Failure> {
    answers.into_iter().map(|answer| answer.map(|user| user != Value::Nil)).collect()
}

/// Sets users, each by one command.
pub(super) fn setting<'a>(handles: impl Iterator<Item = &'a Handle>) -> Pipeline {
    let mut commands = Pipeline::new();
    for handle in handles {
        let mut command = cmd("ACL");
        command.arg("SETUSER").arg(&handle.name).arg("on").arg(format!("#{}", handle.verifier));
        for rule in &handle.rules {
            command.arg(rule);
        }
        commands.add_command(command);
    }
    commands
}

/// Puts together what the nodes answered for one member: it counts where all have set it.
fn together(
    answers: &[Result<Vec<Result<Value, Failure>>, Failure>],
    member: usize,
) -> Result<(), EngineError> {
    let mut failed: Option<EngineError> = None;
    let mut somewhere = false;
    for answer in answers {
        let own = match answer {
            Ok(all) => all.get(member).cloned().unwrap_or(Err(Failure::TimedOut)),
            Err(failure) => Err(failure.clone()),
        };
        match own.map_err(|failure| failure.of_sent()) {
            Ok(_) => somewhere = true,
            Err(error @ EngineError::Uncertain(_)) => failed = Some(error),
            Err(error @ EngineError::Refused(_)) => failed = Some(failed.unwrap_or(error)),
        }
    }
    match failed {
        None => Ok(()),
        Some(EngineError::Refused(reason)) if somewhere => Err(EngineError::Uncertain(reason)),
        Some(error) => Err(error),
    }
}

fn secret(issue: &Issue<Redis>) -> Secret {
    let password = SecretText::new(issue.draft.0.0.reveal().to_owned());
    Secret::new(vec![
        ("password", Field::Hidden(password)),
        ("username", Field::Open(issue.handle.name.clone())),
    ])
}
