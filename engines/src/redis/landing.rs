//! Makes sure that nothing can land at a node any more that an engine had sent there.
//!
//! A command is carried out only while the server has its connection. Whoever creates sends nothing before the server
//! has answered what the connection is called, and nothing after `issue_by`: so after that, once every connection of
//! that engine's was seen to be gone or ended, whatever it had sent has been carried out or never will be.

use super::Redis;
use super::failure::Failure;
use super::link::{Link, Node, locked, number, text};
use leasehold_core::time::Timestamp;
use redis::{Pipeline, cmd};
use std::collections::BTreeSet;
use tokio::time::Instant;

/// What is looked for where nobody knows who created.
const ANYBODY: &str = "*";

/// Ends the connections of this engine on which something was sent that nobody answered for.
pub(super) async fn end_own(
    node: &Node,
    link: &mut Link,
    (now, until): (Timestamp, Instant),
) -> Result<(), Failure> {
    let run_id = link.facts().run_id.clone();
    let doubtful = node.doubtful(&run_id, now);
    if doubtful.is_empty() {
        return Ok(());
    }
    end(link, &doubtful, until).await?;
    for id in doubtful {
        node.forget_doubt(&run_id, id);
    }
    Ok(())
}

/// Ends the connections of other engines of this target that may have sent something by `issue_by`. `makers` are those
/// that one credential may come from; none are named where nobody knows.
pub(super) async fn end_others(
    target: &Redis,
    node: &Node,
    link: &mut Link,
    makers: &[(Vec<String>, Timestamp)],
    (now, until): (Timestamp, Instant),
) -> Result<(), Failure> {
    let mut wanted = BTreeSet::new();
    {
        let searched = locked(&node.searched);
        for (by, issue_by) in makers {
            let anybody = [ANYBODY.to_owned()];
            let names = if by.is_empty() { &anybody } else { by.as_slice() };
            let open = |name: &&String| {
                **name != target.own && searched.get(*name).is_none_or(|at| at <= issue_by)
            };
            wanted.extend(names.iter().filter(open).cloned());
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let said = link.one(cmd("CLIENT").arg("LIST").clone(), until).await?;
    let ours = Redis::connection_names(&target.origin);
    let is_wanted = |name: &str| {
        name.strip_prefix(&ours).is_some_and(|own| {
            own != target.own && (wanted.contains(own) || wanted.contains(ANYBODY))
        })
    };
    let said = text(&said);
    let found = said.lines().filter_map(|line| {
        let word = |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name));
        word("name=").filter(|name| is_wanted(name)).and_then(|_| word("id=")?.parse().ok())
    });
    let found: Vec<i64> = found.collect();
    end(link, &found, until).await?;
    let mut searched = locked(&node.searched);
    for name in wanted {
        searched.insert(name, now);
    }
    Ok(())
}

/// Ends connections by their numbers; one that is gone is ended.
async fn end(link: &mut Link, ids: &[i64], until: Instant) -> Result<(), Failure> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut commands = Pipeline::new();
    for id in ids {
        commands.add_command(cmd("CLIENT").arg("KILL").arg("ID").arg(*id).clone());
    }
    for answer in link.ask(&commands, until).await? {
        let ended = answer?;
        // It tells how many it has ended.
        if number(&ended).is_none() {
            return Err(Failure::Lost(
                "the server does not say whether it ended a connection".to_owned(),
            ));
        }
    }
    Ok(())
}
