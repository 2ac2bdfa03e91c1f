//! What credentials are in use for: their connections at every node. A Redis user owns nothing.

use super::failure::Failure;
use super::issue::{looking, present};
use super::link::{Node, sooner, text};
use super::{Handle, Redis};
use futures_util::future::join_all;
use leasehold_core::engine::EngineError;
use leasehold_core::engine::in_use::InUse;
use leasehold_core::ids::LeaseId;
use leasehold_core::time::Timestamp;
use redis::cmd;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long one node may take: one that is away keeps nobody waiting for the others.
const TELL_MAX: Duration = Duration::from_secs(5);

pub(super) async fn in_use(
    target: &Redis,
    asked: &[(LeaseId, Handle)],
    answer_by: Timestamp,
) -> Vec<Result<InUse, EngineError>> {
    let names: Vec<_> = asked.iter().map(|(_, handle)| handle.name.as_str()).collect();
    let seen = see(target, &names, target.until(answer_by)).await;
    let answers = asked.iter().enumerate().map(|(at, (lease, handle))| {
        target.tag.check(&handle.name, *lease)?;
        let (nodes, unseen) = seen.as_ref().map_err(Failure::of_nothing)?;
        let is_there = nodes.iter().any(|node| node.there.get(at) == Some(&true));
        let sessions = nodes.iter().filter_map(|node| node.sessions.get(&handle.name));
        Ok(InUse {
            is_there: Some(is_there),
            sessions: Some(sessions.fold(0, |sum, count| sum.saturating_add(*count))),
            owned: Some(Vec::new()),
            last_used_at: None,
            unseen: unseen.clone(),
        })
    });
    answers.collect()
}

/// What one node told: which of the users it has, and how many connections of anybody.
#[derive(Debug)]
struct Told {
    there: Vec<bool>,
    sessions: HashMap<String, u64>,
}

/// Asks all nodes. Those that do not tell are named, unless there is none that does.
async fn see(
    target: &Redis,
    names: &[&str],
    until: Instant,
) -> Result<(Vec<Told>, Vec<String>), Failure> {
    let members = target.nodes.now(until).await?;
    let told = join_all(members.iter().map(async |member| {
        let told = ask(&member.node, names, sooner(until, TELL_MAX)).await;
        (&member.node.address, told)
    }));
    let (mut nodes, mut unseen, mut last) = (Vec::new(), Vec::new(), None);
    for (address, told) in told.await {
        match told {
            Ok(told) => nodes.push(told),
            Err(failure) => {
                unseen.push(format!("the connections at {address} are not counted: {failure}"));
                last = Some(failure);
            }
        }
    }
    match last {
        Some(failure) if nodes.is_empty() => Err(failure),
        Some(_) | None => Ok((nodes, unseen)),
    }
}

async fn ask(node: &Arc<Node>, names: &[&str], until: Instant) -> Result<Told, Failure> {
    let mut link = node.link(until).await?;
    let there = present(link.ask(&looking(names.iter().copied()), until).await?)?;
    let clients = link.one(cmd("CLIENT").arg("LIST").clone(), until).await?;
    Ok(Told { there, sessions: connections(&text(&clients)) })
}

/// Counts what `CLIENT LIST` says by user.
fn connections(clients: &str) -> HashMap<String, u64> {
    let mut counted: HashMap<String, u64> = HashMap::new();
    for client in clients.lines() {
        let user = client.split(' ').find_map(|word| word.strip_prefix("user="));
        let Some(user) = user else { continue };
        let count = counted.entry(user.to_owned()).or_default();
        *count = count.saturating_add(1);
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_by_user_and_by_nothing_else() {
        let clients = "id=3 addr=127.0.0.1:1 name=user=x lib-name= user=V_A cmd=get redir=-1\n\
            id=4 addr=127.0.0.1:2 name= user=V_A cmd=NULL\nid=5 name= user=default\n\nid=6 name=";
        let counted = connections(clients);
        assert_eq!((counted.get("V_A"), counted.get("default")), (Some(&2), Some(&1)));
        assert_eq!(counted.len(), 2);
    }
}
