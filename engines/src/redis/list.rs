//! What bears our mark, and which server this is.

use super::failure::Failure;
use super::link::{Node, field, text, within};
use super::{Handle, Redis};
use futures_util::future::join_all;
use leasehold_core::engine::{EngineError, Identity, Marked};
use leasehold_core::ids::LeaseId;
use leasehold_core::time::Timestamp;
use redis::{Value, cmd};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// How long one of these questions may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How long a node that may be away is waited for.
const AWAY_AFTER: Duration = Duration::from_secs(3);

pub(super) async fn list(target: &Redis) -> Result<Vec<Marked<Redis>>, EngineError> {
    list_all(target).await.map_err(|failure| failure.of_nothing())
}

async fn list_all(target: &Redis) -> Result<Vec<Marked<Redis>>, Failure> {
    let until = within(ANSWER_WITHIN);
    let members = target.nodes.now(until).await?;
    let told = join_all(members.iter().map(async |member| {
        let told = users(&member.node, until).await;
        (member, told)
    }))
    .await;
    let mut found: BTreeMap<LeaseId, (User, usize)> = BTreeMap::new();
    let mut asked = 0_usize;
    for (member, told) in told {
        match told {
            Ok(users) => {
                asked = asked.saturating_add(1);
                for user in users {
                    let Some(lease) = target.tag.lease(&user.name) else { continue };
                    let (known, places) = found.entry(lease).or_insert_with(|| (user.clone(), 0));
                    // At several nodes it may do what it may do at any.
                    known.may_log_in |= user.may_log_in;
                    known.rights.extend(user.rights);
                    *places = places.saturating_add(1);
                }
            }
            // A replica that is away is compared when it is there again.
            Err(_) if !member.is_primary => {}
            Err(failure) => return Err(failure),
        }
    }
    let marked = found.into_iter().map(|(lease, (user, places))| Marked {
        lease,
        may_log_in: user.may_log_in,
        rights: user.rights.into_iter().collect(),
        handle: Handle {
            name: user.name,
            verifier: String::new(),
            rules: Vec::new(),
            nodes: target.nodes.seen(),
            by: Vec::new(),
            armed: Vec::new(),
        },
        lapses_at: None,
        everywhere: places == asked,
    });
    Ok(marked.collect())
}

/// A user, as the server tells it.
#[derive(Clone)]
struct User {
    name: String,
    may_log_in: bool,
    rights: BTreeSet<String>,
}

impl User {
    /// Reads `user NAME on #HASH RULE …`; the hash is nobody's right, and is not kept.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("user ")?.split(' ');
        let name = words.next()?.to_owned();
        let (mut may_log_in, mut rights) = (false, BTreeSet::new());
        for word in words.filter(|word| !word.starts_with('#')) {
            match word {
                "on" => may_log_in = true,
                "off" | "" => {}
                right => {
                    rights.insert(right.to_owned());
                }
            }
        }
        Some(Self { name, may_log_in, rights })
    }
}

async fn users(node: &Arc<Node>, until: Instant) -> Result<Vec<User>, Failure> {
    let users = node.link(until).await?.one(cmd("ACL").arg("LIST").clone(), until).await?;
    let Value::Array(users) = users else {
        return Err(Failure::Lost("the server does not list its users".to_owned()));
    };
    Ok(users.iter().filter_map(|line| User::read(&text(line))).collect())
}

/// What a node says of itself.
struct Said {
    run: String,
    clock: Timestamp,
    version: String,
}

pub(super) async fn identity(target: &Redis) -> Result<Identity, EngineError> {
    let until = within(ANSWER_WITHIN);
    target.nodes.look_again();
    let members = target.nodes.now(until).await.map_err(|failure| failure.of_nothing())?;
    let told = join_all(members.iter().map(async |member| {
        let said = ask(&member.node, within(AWAY_AFTER)).await;
        (member, said)
    }))
    .await;
    let mut runs = vec![format!("left out {}", target.left_out.load(Ordering::Acquire))];
    let mut first = None;
    for (member, said) in told {
        let address = &member.node.address;
        match said {
            Ok(said) => {
                runs.push(format!("{address} {}", said.run));
                if member.is_primary {
                    first = first.or(Some((said.clock, said.version)));
                }
            }
            Err(failure) if member.is_primary => return Err(failure.of_nothing()),
            Err(_) => runs.push(format!("{address} away")),
        }
    }
    runs.sort();
    let nobody = || Failure::Unreached("the target has no primary now".to_owned()).of_nothing();
    let (clock, version) = first.ok_or_else(nobody)?;
    // Nothing that a server tells of itself outlives its restart, and a replica tells its primary's.
    Ok(Identity { server: None, clock, version, run: Some(runs.join(", ")) })
}

async fn ask(node: &Arc<Node>, until: Instant) -> Result<Said, Failure> {
    let mut link = node.link(until).await?;
    let said = text(&link.one(cmd("INFO"), until).await?);
    let time = link.one(cmd("TIME"), until).await?;
    let time: Vec<u64> = redis::from_redis_value(time).unwrap_or_default();
    let [seconds, micros] = time.as_slice() else {
        return Err(Failure::Lost("the server does not tell its time".to_owned()));
    };
    // Until it has read its data it takes no question of ours.
    if field(&said, "loading").is_some_and(|loading| loading != "0") {
        return Err(Failure::Unreached("the server is still loading its data".to_owned()));
    }
    let run_id = field(&said, "run_id").unwrap_or_default();
    let role = field(&said, "role").unwrap_or_default();
    Ok(Said {
        run: format!("{run_id} {role}"),
        clock: Timestamp(seconds.saturating_mul(1000).saturating_add(micros.saturating_div(1000))),
        version: link.facts().version.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_read_without_the_hash_of_its_password() {
        let user = User::read("user A on sanitize-payload #0123 ~* resetchannels -@all +@read");
        let user = user.unwrap();
        assert!(user.may_log_in && user.name == "A");
        let rights: Vec<_> = user.rights.iter().map(String::as_str).collect();
        assert_eq!(rights, ["+@read", "-@all", "resetchannels", "sanitize-payload", "~*"]);
        assert!(!User::read("user A off -@all").unwrap().may_log_in);
        assert!(User::read("nobody").is_none());
    }
}
