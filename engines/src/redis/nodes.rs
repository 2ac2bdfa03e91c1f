//! Which nodes a target has now, and which it ever had: each has users of its own.

use super::address::{Address, PORT, SENTINEL_PORT};
use super::config::{Config, Finding};
use super::failure::Failure;
use super::link::{Node, locked, sooner, text};
use leasehold_core::engine::FieldError;
use leasehold_core::time::Clock;
use redis::{Value, cmd};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// How long what was found out about the nodes is taken for true.
const FRESH: Duration = Duration::from_secs(2);

/// How long one Sentinel or node may take to tell.
const TELL_MAX: Duration = Duration::from_secs(3);

/// The nodes of one target.
pub(super) struct Nodes {
    config: Config,
    clock: Arc<dyn Clock>,
    /// How our connections are called.
    name: String,
    known: Mutex<BTreeMap<Address, Arc<Node>>>,
    now: Mutex<Option<(Instant, Arc<Vec<Member>>)>>,
}

/// A node that a target has now.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) node: Arc<Node>,
    /// It takes writes; every issue needs it.
    pub(super) is_primary: bool,
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nodes").field("finding", self.config.finding()).finish_non_exhaustive()
    }
}

impl Nodes {
    pub(super) fn new(
        config: Config,
        name: String,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, FieldError> {
        config.client(&Address { host: "localhost".to_owned(), port: PORT })?;
        let (known, now) = (Mutex::default(), Mutex::default());
        Ok(Self { config, clock, name, known, now })
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Whether there is one node, which the configuration names.
    pub(super) fn is_alone(&self) -> bool {
        matches!(self.config.finding(), Finding::Alone(_))
    }

    /// Returns where nodes were seen, if there may be several.
    pub(super) fn seen(&self) -> Vec<Address> {
        if self.is_alone() { Vec::new() } else { locked(&self.known).keys().cloned().collect() }
    }

    /// Returns the node at an address.
    pub(super) fn node(&self, address: &Address) -> Result<Arc<Node>, Failure> {
        let mut known = locked(&self.known);
        if let Some(node) = known.get(address) {
            return Ok(Arc::clone(node));
        }
        let client = self.config.client(address);
        let client = client.map_err(|FieldError(why)| Failure::Unreached(why))?;
        let node = Node::new(address.clone(), client, self.name.clone(), Arc::clone(&self.clock));
        let node = Arc::new(node);
        known.insert(address.clone(), Arc::clone(&node));
        Ok(node)
    }

    /// Returns the nodes the target has now, as it was told a moment ago.
    pub(super) async fn now(&self, until: Instant) -> Result<Arc<Vec<Member>>, Failure> {
        if let Some((at, members)) = &*locked(&self.now)
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(members));
        }
        let found = match self.config.finding() {
            Finding::Alone(address) => vec![(address.clone(), true)],
            Finding::Sentinel { sentinels, master, .. } => {
                self.ask_sentinels(sentinels, master, until).await?
            }
            Finding::Cluster(first) => self.ask_cluster(first, until).await?,
        };
        let found = found.into_iter().filter(|(address, _)| !self.config.is_retired(address));
        let members = found
            .map(|(address, is_primary)| Ok(Member { node: self.node(&address)?, is_primary }));
        let members: Arc<Vec<_>> = Arc::new(members.collect::<Result<_, Failure>>()?);
        if !members.iter().any(|member| member.is_primary) {
            return Err(Failure::Unreached("the target has no primary now".to_owned()));
        }
        *locked(&self.now) = Some((Instant::now(), Arc::clone(&members)));
        Ok(members)
    }

    /// Looks anew at the next question.
    pub(super) fn look_again(&self) {
        if !self.is_alone() {
            *locked(&self.now) = None;
        }
    }

    /// Asks the Sentinels one after the other until one knows.
    async fn ask_sentinels(
        &self,
        sentinels: &[Address],
        master: &str,
        until: Instant,
    ) -> Result<Vec<(Address, bool)>, Failure> {
        let mut last = Failure::Unreached("no Sentinel is named".to_owned());
        for sentinel in sentinels {
            let until = sooner(until, TELL_MAX);
            match self.ask_sentinel(sentinel, master, until).await {
                Ok(found) => return Ok(found),
                Err(failure) => {
                    last = Failure::Unreached(format!("Sentinel {sentinel}: {failure}"));
                }
            }
        }
        Err(last)
    }

    async fn ask_sentinel(
        &self,
        sentinel: &Address,
        master: &str,
        until: Instant,
    ) -> Result<Vec<(Address, bool)>, Failure> {
        let client = self.config.sentinel_client(sentinel);
        let client = client.map_err(|FieldError(why)| Failure::Unreached(why))?;
        let ask = |what: &str| cmd("SENTINEL").arg(what).arg(master).clone();
        let asking = async {
            let mut connection = client.get_multiplexed_async_connection().await?;
            let primary = connection.send_packed_command(&ask("GET-MASTER-ADDR-BY-NAME")).await?;
            let replicas = connection.send_packed_command(&ask("REPLICAS")).await?;
            Ok::<_, redis::RedisError>((primary, replicas))
        };
        let told = tokio::time::timeout_at(until, asking).await.map_err(|_| Failure::TimedOut)?;
        let (primary, replicas) = told.map_err(|error| Failure::unreached(&error))?;
        let primary: Vec<String> = redis::from_redis_value(primary).unwrap_or_default();
        let [host, port] = primary.as_slice() else {
            return Err(Failure::Unreached(format!("it knows no primary called `{master}`")));
        };
        let mut found = vec![(address(host, port)?, true)];
        let Value::Array(replicas) = replicas else {
            return Err(Failure::Unreached("it tells no replicas".to_owned()));
        };
        for replica in &replicas {
            let told: BTreeMap<String, String> =
                redis::from_redis_value_ref(replica).unwrap_or_default();
            if let (Some(host), Some(port)) = (told.get("ip"), told.get("port")) {
                found.push((address(host, port)?, false));
            }
        }
        Ok(found)
    }

    /// Asks the nodes of a cluster that are known, beginning with the one that is configured, until one answers.
    async fn ask_cluster(
        &self,
        first: &Address,
        until: Instant,
    ) -> Result<Vec<(Address, bool)>, Failure> {
        let mut all = vec![first.clone()];
        all.extend(self.seen().into_iter().filter(|seen| seen != first));
        let mut last = Failure::Unreached("the cluster has no node".to_owned());
        for address in all {
            let until = sooner(until, TELL_MAX);
            let asked = async {
                let mut link = self.node(&address)?.link(until).await?;
                link.one(cmd("CLUSTER").arg("NODES").clone(), until).await
            };
            match asked.await {
                Ok(told) => return cluster_nodes(&text(&told), &address),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }
}

fn address(host: &str, port: &str) -> Result<Address, Failure> {
    let read = Address::parse(&format!("{host}:{port}"), SENTINEL_PORT);
    read.map_err(|FieldError(why)| {
        Failure::Unreached(format!("a node has no usable address: {why}"))
    })
}

/// Reads what `CLUSTER NODES` says: `id ip:port@bus[,hostname] flags …`.
fn cluster_nodes(told: &str, asked: &Address) -> Result<Vec<(Address, bool)>, Failure> {
    let mut found = Vec::new();
    for line in told.lines() {
        let mut words = line.split(' ').skip(1);
        let (Some(place), Some(flags)) = (words.next(), words.next()) else { continue };
        let flags: Vec<_> = flags.split(',').collect();
        // One that never answered has no users of ours, and one without an address cannot be asked.
        if flags.iter().any(|flag| matches!(*flag, "handshake" | "noaddr")) {
            continue;
        }
        let place = place.split(['@', ',']).next().unwrap_or_default();
        let (host, port) = place.rsplit_once(':').unwrap_or_default();
        // A node that was never told its own address leaves it out.
        let host = if host.is_empty() { asked.host.as_str() } else { host };
        let failed = flags.iter().any(|flag| matches!(*flag, "fail" | "fail?"));
        found.push((address(host, port)?, flags.contains(&"master") && !failed));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_of_a_cluster_are_read_with_those_that_are_away() {
        let asked = Address { host: "h".into(), port: 1 };
        let told = "a 10.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-5460\n\
            b 10.0.0.2:7000@17000,host master,fail - 0 0 1 disconnected\n\
            c :7001@17001 slave a 0 0 1 connected\n\
            d :0@0 master,noaddr - 0 0 1 disconnected\n\
            e fe80::1:7000@17000 handshake - 0 0 1 connected\n";
        let found = cluster_nodes(told, &asked).unwrap();
        let shown: Vec<_> = found.iter().map(|(at, primary)| format!("{at} {primary}")).collect();
        assert_eq!(shown, ["10.0.0.1:7000 true", "10.0.0.2:7000 false", "h:7001 false"]);
    }
}
