//! Removes credentials from every node that may have them: the server ends a user's sessions with it.
//!
//! It counts once every node has removed the user and, where the user may stand in a file of the node's, has written
//! that file again.

use super::Redis;
use super::address::Address;
use super::failure::Failure;
use super::issue::{looking, present};
use super::landing;
use super::link::{Link, Node, number};
use super::save::may_stand_in_a_file;
use futures_util::future::join_all;
use leasehold_core::engine::{Cause, EngineError, Revocation};
use leasehold_core::time::Timestamp;
use redis::cmd;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// How many users one command removes: the server does nothing else meanwhile.
const TOGETHER_MAX: usize = 256;

/// One credential on its way out, and which answer is its own.
type Member<'a> = (usize, &'a Revocation<Redis>);

type Answers = Vec<Result<(), EngineError>>;

pub(super) async fn revoke(target: &Redis, asked: &[Revocation<Redis>]) -> Answers {
    let now = target.now();
    let mut answers: Vec<Option<Result<(), EngineError>>> = Vec::with_capacity(asked.len());
    let mut members: Vec<Member<'_>> = Vec::with_capacity(asked.len());
    for (at, revocation) in asked.iter().enumerate() {
        let checked = target.tag.check(&revocation.handle.name, revocation.lease);
        // Those whose time is up are answered at once: they would take the others' time with them.
        let late = (revocation.answer_by <= now).then(|| Err(Failure::Expired.of_nothing()));
        let refused = checked.err().map(Err).or(late);
        if refused.is_none() {
            members.push((at, revocation));
        }
        answers.push(refused);
    }
    for (at, answer) in revoke_members(target, &members).await {
        if let Some(place) = answers.get_mut(at) {
            // The first trouble of a credential is the one that is told.
            if !matches!(place, Some(Err(_))) {
                *place = Some(answer);
            }
        }
    }
    let missed =
        || Err(EngineError::uncertain(Cause::TooLate, "the revocation was not finished in time"));
    answers.into_iter().map(|answer| answer.unwrap_or_else(missed)).collect()
}

/// Returns an answer for each member from each of its nodes.
async fn revoke_members(
    target: &Redis,
    members: &[Member<'_>],
) -> Vec<(usize, Result<(), EngineError>)> {
    let Some(by) = members.iter().map(|(_, revocation)| revocation.answer_by).min() else {
        return Vec::new();
    };
    let until = target.until(by);
    let mut answers = Vec::new();
    let mut places: Vec<Address> = Vec::new();
    match target.nodes.now(until).await {
        Ok(now) => places.extend(now.iter().map(|member| member.node.address.clone())),
        // Whoever is known is asked all the same; but nobody knows whether these are all.
        Err(failure) => {
            let error = failure.of_part("the nodes of the target cannot be found");
            answers.extend(members.iter().map(|(at, _)| (*at, Err(error.clone()))));
        }
    }
    places.extend(target.nodes.seen());
    let mut at_node: BTreeMap<Address, Vec<Member<'_>>> = BTreeMap::new();
    for member in members {
        let mut own: Vec<_> = places.iter().chain(&member.1.handle.nodes).collect();
        own.sort();
        own.dedup();
        for address in own.into_iter().filter(|at| !target.nodes.config().is_retired(at)) {
            at_node.entry(address.clone()).or_default().push(*member);
        }
    }
    let each = at_node.iter().map(async |(address, members)| {
        let outcome = match target.nodes.node(address) {
            Ok(node) => revoke_at(target, &node, members, until).await,
            Err(failure) => Err(failure),
        };
        outcome.unwrap_or_else(|failure| {
            let error = not_done(target, address, &failure);
            members.iter().map(|(at, _)| (*at, Err(error.clone()))).collect()
        })
    });
    answers.extend(join_all(each).await.into_iter().flatten());
    answers
}

/// Says why a node did not confirm, and what to do if it never will.
fn not_done(target: &Redis, address: &Address, failure: &Failure) -> EngineError {
    let is_away = matches!(failure, Failure::Unreached(_)) && !target.nodes.is_alone();
    let gone_for_good = if is_away {
        format!(
            ". if the node is gone for good, with whatever files it had, add `{address}` to `retired_nodes` of the target"
        )
    } else {
        String::new()
    };
    EngineError::uncertain(
        failure.cause(),
        format!("the user may still be at {address}: {failure}{gone_for_good}"),
    )
}

async fn revoke_at(
    target: &Redis,
    node: &Node,
    members: &[Member<'_>],
    until: Instant,
) -> Result<Vec<(usize, Result<(), EngineError>)>, Failure> {
    let mut link = target.nodes.node(&node.address)?.link(until).await?;
    // Before anything is looked at: whatever is sent later is sent after `issue_by`, which nothing is.
    let now = target.now();
    let mut answers = Vec::new();
    let ready = settled(target, node, &mut link, members, &mut answers, (now, until)).await?;
    for part in members.chunks(TOGETHER_MAX) {
        let mut command = cmd("ACL");
        command.arg("DELUSER");
        for (_, revocation) in part {
            command.arg(&revocation.handle.name);
        }
        let removed = link.one(command, until).await?;
        if number(&removed).is_none() {
            return Err(Failure::Lost(
                "the server does not say whether it removed the user".to_owned(),
            ));
        }
    }
    let leases = members.iter().map(|(_, revocation)| revocation.lease);
    if may_stand_in_a_file(&mut link, leases, until).await? {
        node.save(&mut link, until).await?;
    }
    answers.extend(ready.into_iter().map(|at| (at, Ok(()))));
    Ok(answers)
}

/// Sees to it that no issue of these can land here after the user is removed; returns which answers may count. One that
/// is there has landed, and lands but once.
async fn settled(
    target: &Redis,
    node: &Node,
    link: &mut Link,
    members: &[Member<'_>],
    answers: &mut Vec<(usize, Result<(), EngineError>)>,
    (now, until): (Timestamp, Instant),
) -> Result<Vec<usize>, Failure> {
    landing::end_own(node, link, (now, until)).await?;
    let open: Vec<_> = members.iter().filter(|(_, one)| one.unanswered.is_some()).collect();
    let there = if open.is_empty() {
        Vec::new()
    } else {
        let names = open.iter().map(|(_, one)| one.handle.name.as_str());
        present(link.ask(&looking(names), until).await?)?
    };
    let (mut makers, mut waiting) = (Vec::new(), Vec::new());
    for ((at, one), there) in open.iter().zip(there) {
        let Some(unanswered) = one.unanswered.filter(|_| !there) else { continue };
        if now < unanswered.issue_by {
            let why = format!("its issue may still land at {}", node.address);
            answers.push((*at, Err(EngineError::uncertain(Cause::Contended, why))));
            waiting.push(*at);
        } else {
            makers.push((one.handle.by.clone(), unanswered.issue_by));
        }
    }
    for (at, one) in members {
        let others = one.handle.armed.iter().filter(|armed| armed.by != target.own);
        for armed in others {
            if now < armed.until {
                let why = format!("it may still be armed at {}", node.address);
                answers.push((*at, Err(EngineError::uncertain(Cause::Contended, why))));
                waiting.push(*at);
            } else {
                makers.push((vec![armed.by.clone()], armed.until));
            }
        }
    }
    landing::end_others(target, node, link, &makers, (now, until)).await?;
    Ok(members.iter().map(|(at, _)| *at).filter(|at| !waiting.contains(at)).collect())
}
