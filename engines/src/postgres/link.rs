//! The connections to one server: opened, shared, and closed rather than trusted.
//!
//! The driver's own pool is not used. It tells nothing of why no connection was to be had, waits for a
//! server that refuses connections, and asks twice per use whether a connection still works. And a
//! connection on which anything was left unfinished must never be used again, whoever dropped it and
//! why: that rule is [`Link::drop`], and there is no other way back.

use super::failure::Failure;
use crate::skew::Skew;
use futures_util::FutureExt as _;
use leasehold_core::time::{Clock, Timestamp};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
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

/// What is asked of every new connection before it is used. Notices may quote secrets, so none are
/// sent; values are quoted for standard strings.
const GREETING: &str = "SET client_min_messages = error; SET standard_conforming_strings = on; \
    SELECT pg_catalog.current_setting('server_version_num') AS version, r.rolsuper::text AS superuser, \
    (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000)::bigint::text AS clock, \
    current_user::text AS administrator, pg_catalog.current_database()::text AS database \
    FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";

/// What a server said when a connection was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// `server_version_num`: 150018 is 15.18.
    pub(super) version: u32,
    pub(super) superuser: bool,
    pub(super) administrator: String,
    pub(super) database: String,
    pub(super) skew: Skew,
}

impl Facts {
    /// Tells whether the administrator becomes a member of every role it creates, which makes each
    /// further check of permissions slower.
    pub(super) fn joins_what_it_creates(&self) -> bool {
        !self.superuser && self.version >= 160_000
    }
}

/// The connections to one server.
pub(super) struct Links {
    options: PgConnectOptions,
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
    connection: PgConnection,
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
        options: PgConnectOptions,
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
    pub(super) fn options(&self) -> &PgConnectOptions {
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

    /// Returns a connection to another database of the same server, used once.
    pub(super) async fn elsewhere(&self, database: &str, until: Instant) -> Result<Link, Failure> {
        let options = self.options.clone().database(database);
        let (connection, facts) = open(&options, &*self.clock, until).await?;
        let mut link = self.lend(connection, Arc::new(facts), Instant::now(), None);
        link.pooled = false;
        Ok(link)
    }

    fn lend(
        &self,
        connection: PgConnection,
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
    connection: Option<PgConnection>,
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

impl Link {
    pub(super) fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    /// Sends one message and reads all of its answer: the rows of all its statements.
    ///
    /// Every message of ours is one implicit transaction, so a refusal leaves the session as it was.
    /// A message that is not answered for in full, for whatever reason, costs the connection.
    pub(super) async fn say(&mut self, sql: String, until: Instant) -> Result<Vec<PgRow>, Failure> {
        let usable = std::mem::replace(&mut self.clean, false);
        let Some(connection) = self.connection.as_mut().filter(|_| usable) else {
            return Err(Failure::Unreached(
                "the connection to the server was lost before it was asked".to_owned(),
            ));
        };
        let answer = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection);
        match timeout_at(until, answer).await {
            Ok(Ok(rows)) => {
                self.clean = true;
                Ok(rows)
            }
            Ok(Err(error)) => {
                let failure = Failure::of(&error);
                self.clean = failure.leaves_the_connection();
                Err(failure)
            }
            Err(_) => Err(Failure::TimedOut),
        }
    }

    /// Closes the connection at the end, because what is sent over it may leave something behind.
    pub(super) fn forget(&mut self) {
        self.pooled = false;
    }

    async fn works(&mut self, until: Instant) -> bool {
        let soon = Instant::now().checked_add(PING_MAX).map_or(until, |soon| soon.min(until));
        self.say("SELECT 1".to_owned(), soon).await.is_ok()
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
    options: &PgConnectOptions,
    clock: &dyn Clock,
    until: Instant,
) -> Result<(PgConnection, Facts), Failure> {
    let soon = Instant::now().checked_add(CONNECT_MAX).map_or(until, |soon| soon.min(until));
    let opening = async {
        let mut connection = options.connect().await?;
        let before = clock.now();
        let rows = sqlx::raw_sql(GREETING).fetch_all(&mut connection).await?;
        let after = clock.now();
        Ok((connection, rows, before, after))
    };
    let late = || {
        Failure::Unreached(
            "the server cannot be reached: no connection was opened in time".to_owned(),
        )
    };
    let opened = timeout_at(soon, opening).await.map_err(|_| late())?;
    let (connection, rows, before, after) =
        opened.map_err(|error: sqlx::Error| Failure::unreached(&error))?;
    let facts = rows.first().and_then(|row| read_facts(row, before, after));
    let facts =
        facts.ok_or_else(|| Failure::Unreached("the server greets in no known way".to_owned()))?;
    Ok((connection, facts))
}

fn read_facts(row: &PgRow, before: Timestamp, after: Timestamp) -> Option<Facts> {
    let clock = Timestamp(text(row, "clock")?.parse().ok()?);
    Some(Facts {
        version: text(row, "version")?.parse().ok()?,
        superuser: text(row, "superuser")? == "true",
        administrator: text(row, "administrator")?,
        database: text(row, "database")?,
        skew: Skew::measured(before, clock, after),
    })
}

/// Returns a column as text; `None` if it is null or not there. Answers to simple queries are text.
pub(super) fn text(row: &PgRow, column: &str) -> Option<String> {
    row.try_get::<Option<String>, _>(column).ok().flatten()
}

/// Returns a column as a number.
pub(super) fn number(row: &PgRow, column: &str) -> Option<u32> {
    text(row, column)?.parse().ok()
}
