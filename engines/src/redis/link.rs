//! The connections to one node: opened, named, shared, and closed rather than trusted.
//!
//! A connection on which anything was left unfinished is never used again: that rule is [`Link::drop`]. What was sent
//! over it may still be read by the server, though, so its number at the server is remembered until it was killed there
//! ([`Node::doubtful`]).

use super::address::Address;
use super::failure::Failure;
use super::save::Saves;
use leasehold_core::time::{Clock, Timestamp};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, Value, cmd};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long opening a connection may take, in case the caller would wait longer.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// After this much idleness a connection is asked whether it still works.
const TRUSTED_IDLE: Duration = Duration::from_millis(5);

/// How long that answer may take.
const PING_MAX: Duration = Duration::from_secs(2);

/// Connections of one node that are kept while nobody uses them.
const IDLE_MAX: usize = 64;

/// What a node said when a connection to it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Another one after every restart.
    pub(super) run_id: String,
    pub(super) version: String,
    /// When it was started, by our clock; it tells whole seconds, so it may have been up to one earlier.
    pub(super) started_at: Timestamp,
    /// Where it keeps its users, if it does.
    pub(super) files: Files,
}

/// In which file of a server a user may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Files {
    /// In an `aclfile`, which `ACL SAVE` writes.
    Acl,
    /// In its configuration, if somebody has it written anew.
    Config,
    /// In none.
    None,
}

/// One node of a target.
pub(super) struct Node {
    pub(super) address: Address,
    client: Client,
    /// How our connections are called, for whoever has to tell them from others' after our death.
    name: String,
    clock: Arc<dyn Clock>,
    idle: Mutex<Vec<Idle>>,
    /// Connections, by run and number, over which something was sent that may create, and until when that was to be
    /// answered: in use until then, afterwards in doubt.
    sent: Mutex<HashMap<(String, i64), Timestamp>>,
    /// When the connections of other engines were last looked for, and ended, by the names they go by.
    pub(super) searched: Mutex<BTreeMap<String, Timestamp>>,
    pub(super) saves: Saves,
}

struct Idle {
    connection: MultiplexedConnection,
    facts: Arc<Facts>,
    id: i64,
    since: Instant,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("address", &self.address).finish_non_exhaustive()
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Node {
    pub(super) fn new(
        address: Address,
        client: Client,
        name: String,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            address,
            client,
            name,
            clock,
            idle: Mutex::default(),
            sent: Mutex::default(),
            searched: Mutex::default(),
            saves: Saves::default(),
        }
    }

    /// Returns a connection that works, or says why there is none. Waits until `until` at most.
    pub(super) async fn link(self: &Arc<Self>, until: Instant) -> Result<Link, Failure> {
        loop {
            let idle = locked(&self.idle).pop();
            let Some(idle) = idle else { break };
            let Idle { connection, facts, id, since } = idle;
            let mut link = Link {
                connection: Some(connection),
                facts,
                id,
                node: Arc::clone(self),
                clean: true,
            };
            if Instant::now().duration_since(since) < TRUSTED_IDLE {
                return Ok(link);
            }
            let soon = sooner(until, PING_MAX);
            if link.one(cmd("PING"), soon).await.is_ok() {
                return Ok(link);
            }
        }
        let failed = |failure: Failure| Failure::Unreached(format!("{}: {failure}", self.address));
        self.open(sooner(until, CONNECT_MAX)).await.map_err(failed)
    }

    async fn open(self: &Arc<Self>, until: Instant) -> Result<Link, Failure> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_MAX))
            .set_response_timeout(None);
        let opening = self.client.get_multiplexed_async_connection_with_config(&config);
        let opened = timeout_at(until, opening).await;
        let late = |_| Failure::Unreached("no connection was opened in time".to_owned());
        let connection = opened.map_err(late)?.map_err(|error| Failure::unreached(&error))?;
        let facts = Facts {
            run_id: String::new(),
            version: String::new(),
            started_at: Timestamp(0),
            files: Files::None,
        };
        let mut link = Link {
            connection: Some(connection),
            facts: Arc::new(facts),
            id: 0,
            node: Arc::clone(self),
            clean: true,
        };
        // The server has told its number and knows its name before anything is sent that may create: whoever looks for
        // the connection afterwards finds it, or it is gone.
        let id = link.one(cmd("CLIENT").arg("ID").clone(), until).await?;
        link.id = number(&id).unwrap_or_default();
        link.one(cmd("CLIENT").arg("SETNAME").arg(&self.name).clone(), until).await?;
        let said = link.one(cmd("INFO").arg("server").clone(), until).await?;
        let said = text(&said);
        let aclfile = link.one(cmd("CONFIG").arg("GET").arg("aclfile").clone(), until).await;
        let aclfile = aclfile.ok().is_some_and(|answer| {
            matches!(&answer, Value::Array(pair) if pair.get(1).is_some_and(|file| !text(file).is_empty()))
        });
        let has_config = field(&said, "config_file").is_some_and(|file| !file.is_empty());
        let up = field(&said, "uptime_in_seconds").and_then(|up| up.parse().ok()).unwrap_or(0);
        let version = field(&said, "valkey_version").or_else(|| field(&said, "redis_version"));
        link.facts = Arc::new(Facts {
            run_id: field(&said, "run_id").unwrap_or_default().to_owned(),
            version: version.unwrap_or_default().to_owned(),
            started_at: self.clock.now().minus(Duration::from_secs(up)),
            files: match (aclfile, has_config) {
                (true, _) => Files::Acl,
                (false, true) => Files::Config,
                (false, false) => Files::None,
            },
        });
        Ok(link)
    }

    /// Returns the connections, by number, of this run of the node that are in doubt at `now`. Those of other runs are
    /// gone with them, and their numbers may be others' by now.
    pub(super) fn doubtful(&self, run_id: &str, now: Timestamp) -> Vec<i64> {
        let mut sent = locked(&self.sent);
        sent.retain(|(run, _), _| run == run_id);
        sent.iter().filter(|(_, by)| **by <= now).map(|((_, id), _)| *id).collect()
    }

    /// A connection was seen to be gone.
    pub(super) fn forget_doubt(&self, run_id: &str, id: i64) {
        locked(&self.sent).remove(&(run_id.to_owned(), id));
    }
}

/// One connection in one pair of hands.
pub(super) struct Link {
    connection: Option<MultiplexedConnection>,
    facts: Arc<Facts>,
    id: i64,
    node: Arc<Node>,
    clean: bool,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Sends commands in one go and reads the answer to each. Whatever is not answered for in full costs the connection.
    pub(super) async fn ask(
        &mut self,
        commands: &Pipeline,
        until: Instant,
    ) -> Result<Vec<Result<Value, Failure>>, Failure> {
        let usable = std::mem::replace(&mut self.clean, false);
        let Some(connection) = self.connection.as_mut().filter(|_| usable) else {
            return Err(Failure::Unreached(
                "the connection was lost before it was asked".to_owned(),
            ));
        };
        let count = commands.len();
        let answers = connection.send_packed_commands(commands, 0, count);
        let answers = timeout_at(until, answers).await.map_err(|_| Failure::TimedOut)?;
        let answers = answers.map_err(|error| {
            // The others are most likely to the same server, which is gone or was restarted.
            locked(&self.node.idle).clear();
            Failure::lost(&error)
        })?;
        if answers.len() != count {
            return Err(Failure::Lost("the server answered another number of commands".to_owned()));
        }
        self.clean = true;
        let each = answers.into_iter().map(|answer| {
            if let Value::ServerError(said) = &answer {
                Err(Failure::denied(said))
            } else {
                Ok(answer)
            }
        });
        Ok(each.collect())
    }

    /// The same for commands that may create, before `by`: until all of them are answered for, the connection is in
    /// doubt.
    pub(super) async fn ask_to_create(
        &mut self,
        commands: &Pipeline,
        (by, until): (Timestamp, Instant),
    ) -> Result<Vec<Result<Value, Failure>>, Failure> {
        let doubt = (self.facts.run_id.clone(), self.id);
        locked(&self.node.sent).insert(doubt.clone(), by);
        // Looked at only now: whoever has not found this connection in doubt after that time finds nothing sent either.
        let answers = if self.node.clock.now() >= by {
            Err(Failure::Expired)
        } else {
            Ok(self.ask(commands, until).await?)
        };
        locked(&self.node.sent).remove(&doubt);
        answers
    }

    /// Asks for one thing.
    pub(super) async fn one(
        &mut self,
        command: redis::Cmd,
        until: Instant,
    ) -> Result<Value, Failure> {
        let mut commands = Pipeline::new();
        commands.add_command(command);
        let answers = self.ask(&commands, until).await?;
        answers.into_iter().next().unwrap_or(Ok(Value::Nil))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take().filter(|_| self.clean) else { return };
        let mut idle = locked(&self.node.idle);
        if idle.len() < IDLE_MAX {
            let (facts, id) = (Arc::clone(&self.facts), self.id);
            idle.push(Idle { connection, facts, id, since: Instant::now() });
        }
    }
}

/// Returns the sooner of a time and one from now.
pub(super) fn sooner(until: Instant, within: Duration) -> Instant {
    Instant::now().checked_add(within).map_or(until, |soon| soon.min(until))
}

/// Returns an answer as text; what is none is empty.
pub(super) fn text(value: &Value) -> String {
    redis::from_redis_value_ref(value).unwrap_or_default()
}

/// Returns an answer as a number.
pub(super) fn number(value: &Value) -> Option<i64> {
    redis::from_redis_value_ref(value).ok()
}

/// Returns a field of what `INFO` says.
pub(super) fn field<'a>(said: &'a str, name: &str) -> Option<&'a str> {
    said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// Returns the time so long from now.
pub(super) fn within(span: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(span).unwrap_or(now)
}
