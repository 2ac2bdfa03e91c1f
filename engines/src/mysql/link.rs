//! The connections to one server: opened, shared, and closed rather than trusted.
//!
//! As with PostgreSQL the driver's own pool is not used: it tells nothing of why no connection was to be had. A
//! connection on which anything was left unfinished, or on which a named lock may still be held, is never used
//! again: that rule is [`Link::drop`], and there is no other way back.

use super::failure::Failure;
use super::flavor::Flavor;
use crate::deadline::Deadline;
use crate::skew::Skew;
use futures_util::{FutureExt as _, StreamExt as _};
use leasehold_core::time::{Clock, Timestamp};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Either, Row as _};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// How long opening a connection may take, in case the caller would wait longer.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// After this much idleness a connection is asked whether it still works. Shorter gaps are those of a
/// busy target, where an answer a moment ago says as much.
const TRUSTED_IDLE: Duration = Duration::from_millis(100);

/// How long that answer may take.
const PING_MAX: Duration = Duration::from_secs(2);

/// How long a statement may wait for others' locks. The server goes on waiting after its client is gone, so it is the
/// server that has to give up.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// What is asked of every new connection before it is used.
const GREETING: &str = "SELECT VERSION() AS version, @@version_comment AS comment, CURRENT_USER() AS administrator, \
    CAST(ROUND(UNIX_TIMESTAMP(SYSDATE(3)) * 1000) AS CHAR) AS clock";

/// Which server it is, whether others share its accounts (named locks are each server's own), and where it tells of
/// sessions.
const SERVER: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
    ('server_uuid', 'server_uid', 'wsrep_on', 'group_replication_group_name', 'performance_schema')";

/// What the administrator may do, itself and by the roles that it has switched on. A name may have an `@` in it, a
/// host has none.
const PRIVILEGES: &str = "SELECT PRIVILEGE_TYPE AS privilege FROM information_schema.USER_PRIVILEGES \
    WHERE GRANTEE = CONCAT('\\'', LEFT(CURRENT_USER(), CHAR_LENGTH(CURRENT_USER()) - 1 \
    - CHAR_LENGTH(SUBSTRING_INDEX(CURRENT_USER(), '@', -1))), '\\'@\\'', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '\\'') \
    OR GRANTEE IN (SELECT CONCAT('\\'', ROLE_NAME, '\\'@\\'\\'') FROM information_schema.ENABLED_ROLES) \
    OR GRANTEE IN (SELECT CONCAT('\\'', ROLE_NAME, '\\'@\\'%\\'') FROM information_schema.ENABLED_ROLES)";

/// What a server said when a connection was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) flavor: Flavor,
    pub(super) version: String,
    /// `user@host`, as the server found it.
    pub(super) administrator: String,
    pub(super) skew: Skew,
    /// What no other server has.
    pub(super) server: Option<String>,
    /// Accounts that are made elsewhere appear here as well.
    pub(super) is_one_of_several: bool,
    has_performance_schema: bool,
    pub(super) privileges: BTreeSet<String>,
}

impl Facts {
    /// Returns the table of sessions.
    pub(super) fn sessions(&self) -> &'static str {
        self.flavor.sessions(self.has_performance_schema)
    }

    /// Returns the administrator's name without its host.
    pub(super) fn user(&self) -> &str {
        self.administrator.rsplit_once('@').map_or(self.administrator.as_str(), |(user, _)| user)
    }
}

/// The connections to one server.
pub(super) struct Links {
    options: MySqlConnectOptions,
    clock: Arc<dyn Clock>,
    lifetime: Option<Duration>,
    max: usize,
    idle_max: usize,
    permits: Arc<Semaphore>,
    shared: Arc<Shared>,
}

/// What links and their pool share. The locks are held for a push or a copy, never across an await.
#[derive(Default)]
struct Shared {
    idle: Mutex<Vec<Idle>>,
    facts: Mutex<Option<Arc<Facts>>>,
}

struct Idle {
    connection: MySqlConnection,
    facts: Arc<Facts>,
    opened: Instant,
    since: Instant,
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("host", &self.options.get_host()).finish_non_exhaustive()
    }
}

impl Links {
    pub(super) fn new(
        options: MySqlConnectOptions,
        max: u32,
        idle: u32,
        lifetime: Option<Duration>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let max = usize::try_from(max).unwrap_or(1).max(1);
        Self {
            options,
            clock,
            lifetime,
            max,
            idle_max: usize::try_from(idle).unwrap_or(max),
            permits: Arc::new(Semaphore::new(max)),
            shared: Arc::default(),
        }
    }

    /// Returns the time, in Leasehold's terms.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns how the server is reached.
    pub(super) fn options(&self) -> &MySqlConnectOptions {
        &self.options
    }

    /// Returns how many connections there may be.
    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Returns what the server said last, if it was ever reached.
    pub(super) fn facts(&self) -> Option<Arc<Facts>> {
        self.shared.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns a connection that works, or says why there is none. Waits until `until` at most.
    pub(super) async fn link(&self, until: Instant) -> Result<Link, Failure> {
        let busy = || Failure::Unreached("all connections to the server are busy".to_owned());
        let permit = timeout_at(until, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| busy())?.map_err(|_| busy())?;
        while let Some(idle) = self.shared.take() {
            let now = Instant::now();
            if self.lifetime.is_some_and(|span| now.duration_since(idle.opened) > span) {
                continue;
            }
            let mut link = self.lend(idle.connection, idle.facts, idle.opened, None);
            if now.duration_since(idle.since) < TRUSTED_IDLE || link.works(until).await {
                link.permit = Some(permit);
                return Ok(link);
            }
        }
        let (connection, facts) = open(&self.options, &*self.clock, until).await?;
        let facts = Arc::new(facts);
        *self.shared.facts.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Arc::clone(&facts));
        Ok(self.lend(connection, facts, Instant::now(), Some(permit)))
    }

    fn lend(
        &self,
        connection: MySqlConnection,
        facts: Arc<Facts>,
        opened: Instant,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Link {
        Link {
            connection: Some(connection),
            facts,
            opened,
            permit,
            pooled: true,
            clean: true,
            shared: Arc::clone(&self.shared),
            idle_max: self.idle_max,
        }
    }
}

impl Shared {
    fn take(&self) -> Option<Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put(&self, idle: Idle, max: usize) {
        let mut all = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < max {
            all.push(idle);
        }
    }
}

/// One connection in one pair of hands.
pub(super) struct Link {
    connection: Option<MySqlConnection>,
    facts: Arc<Facts>,
    opened: Instant,
    permit: Option<OwnedSemaphorePermit>,
    pooled: bool,
    clean: bool,
    shared: Arc<Shared>,
    idle_max: usize,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("clean", &self.clean).finish_non_exhaustive()
    }
}

/// What a server said to one message.
#[derive(Debug)]
pub(super) struct Said {
    /// How many of its statements were answered for, from the first on.
    pub(super) done: usize,
    pub(super) rows: Vec<MySqlRow>,
    /// Why the next one was not.
    pub(super) failure: Option<Failure>,
}

impl Link {
    pub(super) fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    /// Asks one statement, under the limits that hold at the server.
    pub(super) async fn ask(
        &mut self,
        sql: &str,
        deadline: Deadline,
    ) -> Result<Vec<MySqlRow>, Failure> {
        if deadline.is_over() {
            return Err(Failure::Expired);
        }
        let limits = self.facts.flavor.limits(deadline.left(), LOCK_WAIT);
        let said = self.send(format!("{limits}{sql}"), deadline.until).await;
        said.failure.map_or(Ok(said.rows), Err)
    }

    /// Sends statements as one message, under these limits, and tells how far the server got. Each statement commits
    /// alone; the server stops at the first that fails.
    pub(super) async fn run(&mut self, statements: &[String], deadline: Deadline) -> Said {
        if deadline.is_over() {
            return Said { done: 0, rows: Vec::new(), failure: Some(Failure::Expired) };
        }
        let limits = self.facts.flavor.limits(deadline.left(), LOCK_WAIT);
        let mut said =
            self.send(format!("{limits}{}", statements.join("; ")), deadline.until).await;
        said.done = said.done.saturating_sub(1);
        said
    }

    /// Sends one message and reads all of its answers. One that is not answered for in full, for whatever reason
    /// but a refusal, costs the connection.
    async fn send(&mut self, sql: String, until: Instant) -> Said {
        let mut said = Said { done: 0, rows: Vec::new(), failure: None };
        let usable = std::mem::replace(&mut self.clean, false);
        let Some(connection) = self.connection.as_mut().filter(|_| usable) else {
            said.failure = Some(Failure::Unreached(
                "the connection to the server was lost before it was asked".to_owned(),
            ));
            return said;
        };
        let mut answers = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(connection);
        let failure = loop {
            match timeout_at(until, answers.next()).await {
                Ok(Some(Ok(Either::Left(_)))) => said.done = said.done.saturating_add(1),
                Ok(Some(Ok(Either::Right(row)))) => said.rows.push(row),
                Ok(Some(Err(error))) => break Some(Failure::of(&error)),
                Ok(None) => break None,
                Err(_) => break Some(Failure::TimedOut),
            }
        };
        drop(answers);
        self.clean = failure.as_ref().is_none_or(Failure::leaves_the_connection);
        said.failure = failure;
        said
    }

    /// Asks again what the administrator may do.
    pub(super) async fn privileges(
        &mut self,
        deadline: Deadline,
    ) -> Result<BTreeSet<String>, Failure> {
        Ok(privileges(&self.ask(PRIVILEGES, deadline).await?))
    }

    /// Closes the connection at the end, because what is sent over it may leave something behind.
    pub(super) fn forget(&mut self) {
        self.pooled = false;
    }

    async fn works(&mut self, until: Instant) -> bool {
        let soon = Instant::now().checked_add(PING_MAX).map_or(until, |soon| soon.min(until));
        self.send("DO 1".to_owned(), soon).await.failure.is_none()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if self.clean && self.pooled {
            let (facts, opened) = (Arc::clone(&self.facts), self.opened);
            self.shared
                .put(Idle { connection, facts, opened, since: Instant::now() }, self.idle_max);
        } else if self.clean {
            // A farewell spares the server's log a line; it is sent now or never.
            let _ = connection.close().now_or_never();
        }
    }
}

async fn open(
    options: &MySqlConnectOptions,
    clock: &dyn Clock,
    until: Instant,
) -> Result<(MySqlConnection, Facts), Failure> {
    let soon = Instant::now().checked_add(CONNECT_MAX).map_or(until, |soon| soon.min(until));
    let late = || {
        Failure::Unreached(
            "the server cannot be reached: no connection was opened in time".to_owned(),
        )
    };
    timeout_at(soon, greet(options, clock)).await.map_err(|_| late())?
}

async fn greet(
    options: &MySqlConnectOptions,
    clock: &dyn Clock,
) -> Result<(MySqlConnection, Facts), Failure> {
    let unreached = |error: sqlx::Error| Failure::unreached(&error);
    let mut connection = options.connect().await.map_err(unreached)?;
    let before = clock.now();
    let rows = sqlx::raw_sql(GREETING).fetch_all(&mut connection).await.map_err(unreached)?;
    let after = clock.now();
    let greeting = rows.first().and_then(|row| {
        let version = text(row, "version")?;
        let flavor = Flavor::of(&version, &text(row, "comment").unwrap_or_default());
        let server = Timestamp(text(row, "clock")?.parse().ok()?);
        let skew = Skew::measured(before, server, after);
        Some((flavor, version, text(row, "administrator")?, skew))
    });
    let (flavor, version, administrator, skew) = greeting
        .ok_or_else(|| Failure::Unreached("the server greets in no known way".to_owned()))?;
    if let Some(why) = flavor.unfit() {
        return Err(Failure::Unreached(why));
    }
    sqlx::raw_sql(flavor.session()).execute(&mut connection).await.map_err(unreached)?;
    let rows = sqlx::raw_sql(SERVER).fetch_all(&mut connection).await.map_err(unreached)?;
    let variable = |name: &str| {
        let row = rows.iter().find(|row| text(row, "Variable_name").as_deref() == Some(name))?;
        text(row, "Value").filter(|value| !value.is_empty())
    };
    let held = sqlx::raw_sql(PRIVILEGES).fetch_all(&mut connection).await.map_err(unreached)?;
    let facts = Facts {
        flavor,
        version,
        administrator,
        skew,
        server: variable("server_uuid").or_else(|| variable("server_uid")),
        is_one_of_several: variable("wsrep_on").is_some_and(|value| value == "ON")
            || variable("group_replication_group_name").is_some(),
        has_performance_schema: variable("performance_schema").is_some_and(|value| value == "ON"),
        privileges: privileges(&held),
    };
    Ok((connection, facts))
}

fn privileges(rows: &[MySqlRow]) -> BTreeSet<String> {
    rows.iter().filter_map(|row| text(row, "privilege")).collect()
}

/// Returns a column as text; `None` if it is null or not there. Answers to plain queries are text.
pub(super) fn text(row: &MySqlRow, column: &str) -> Option<String> {
    row.try_get_unchecked::<Option<String>, _>(column).ok().flatten()
}
