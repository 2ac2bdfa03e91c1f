//! Sets users again that a node has forgotten, from what their handles hold of them.

use super::failure::Failure;
use super::issue::{looking, present, setting};
use super::link::{Link, Node};
use super::{Handle, Redis, landing};
use leasehold_core::engine::{Cause, EngineError, PutBack};
use leasehold_core::time::Timestamp;
use tokio::time::Instant;

/// How many engines a handle names before nobody can say any more who may have set it: their processes died long ago.
pub(super) const MAKERS_MAX: usize = 8;

type Answers = Vec<Result<(), EngineError>>;

/// Returns the handle with this engine as one that may have set it, at all nodes that are known.
pub(super) fn put_back_as(target: &Redis, handle: &Handle) -> Handle {
    let mut handle = handle.clone();
    if !handle.by.contains(&target.own) {
        // What the others had sent has settled; they are named for the sake of clocks that were wrong.
        if handle.by.len() >= MAKERS_MAX {
            handle.by.remove(0);
        }
        handle.by.push(target.own.clone());
    }
    handle.nodes.extend(target.nodes.seen());
    handle.nodes.sort();
    handle.nodes.dedup();
    handle
}

pub(super) async fn put_back(target: &Redis, asked: &[PutBack<Redis>]) -> Answers {
    let now = target.now();
    let mut answers = Vec::with_capacity(asked.len());
    let mut members = Vec::new();
    for one in asked {
        let unknown = || {
            let why = "its handle does not hold what the server keeps instead of a password";
            EngineError::refused(Cause::NeedsOperator, why)
        };
        let mut checked = target.tag.check(&one.handle.name, one.lease);
        if one.handle.verifier.is_empty() {
            checked = checked.and(Err(unknown()));
        } else if one.issue_by <= now {
            checked = checked.and(Err(Failure::Expired.of_nothing()));
        }
        if checked.is_ok() {
            members.push((answers.len(), one));
        }
        answers.push(checked);
    }
    let Some(by) = members.iter().map(|(_, one)| one.issue_by).min() else { return answers };
    let until = target.until(by);
    let mut fail = |at: usize, error: EngineError| {
        if let Some(answer @ Ok(())) = answers.get_mut(at) {
            *answer = Err(error);
        }
    };
    let nodes = match target.nodes.now(until).await {
        Ok(nodes) => nodes,
        Err(failure) => {
            for (at, _) in &members {
                fail(*at, failure.of_nothing());
            }
            return answers;
        }
    };
    for member in nodes.iter() {
        let is_known = |handle: &Handle| {
            target.nodes.is_alone() || handle.nodes.contains(&member.node.address)
        };
        let here: Vec<_> = members.iter().filter(|(_, one)| is_known(&one.handle)).collect();
        let handles: Vec<_> = here.iter().map(|(_, one)| &one.handle).collect();
        let set = match member.node.link(until).await {
            Ok(mut link) => {
                let set = set_absent(target, &member.node, &mut link, &handles, (by, until)).await;
                member.node.save_later(&link);
                set
            }
            // One that is away is compared when it is there again.
            Err(_) if !member.is_primary => continue,
            Err(failure) => Err(failure),
        };
        match set {
            Ok(each) => {
                for ((at, _), one) in here.iter().zip(each) {
                    if let Err(failure) = one {
                        fail(*at, failure.of_sent());
                    }
                }
            }
            Err(failure) => {
                for (at, _) in &here {
                    fail(*at, failure.of_sent());
                }
            }
        }
    }
    answers
}

/// Ends the connections of other engines that may have set these. What a process had sent that died over a put-back would
/// land once this one is answered for and its user revoked, for a revocation looks for nobody then.
async fn end_others(
    target: &Redis,
    node: &Node,
    link: &mut Link,
    handles: &[&Handle],
    until: Instant,
) -> Result<(), Failure> {
    let now = target.now();
    let others = |handle: &&Handle| {
        let others: Vec<_> = handle.by.iter().filter(|by| **by != target.own).cloned().collect();
        // Nobody named would be anybody.
        (!others.is_empty()).then_some((others, now))
    };
    let makers: Vec<_> = handles.iter().filter_map(others).collect();
    landing::end_others(target, node, link, &makers, (now, until)).await
}

/// Sets those that are not there, and leaves the others as they are, once nobody else can set them any more.
async fn set_absent(
    target: &Redis,
    node: &Node,
    link: &mut Link,
    handles: &[&Handle],
    (by, until): (Timestamp, Instant),
) -> Result<Vec<Result<(), Failure>>, Failure> {
    if handles.is_empty() {
        return Ok(Vec::new());
    }
    end_others(target, node, link, handles, until).await?;
    let there =
        link.ask(&looking(handles.iter().map(|handle| handle.name.as_str())), until).await?;
    let there = present(there)?;
    let absent =
        handles.iter().zip(&there).filter(|(_, there)| !**there).map(|(handle, _)| *handle);
    let commands = setting(absent);
    let mut set = if commands.is_empty() {
        Vec::new().into_iter()
    } else {
        link.ask_to_create(&commands, (by, until)).await?.into_iter()
    };
    let each = there.iter().map(|there| {
        if *there { Ok(()) } else { set.next().unwrap_or(Err(Failure::TimedOut)).map(|_| ()) }
    });
    Ok(each.collect())
}
