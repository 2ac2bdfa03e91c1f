//! One installation and its PostgreSQL, with what it takes to strike them and to look at what they hold.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "test support: without servers of its own nothing can be tested"
)]

use super::blow::{Blow, WhenServerDies};
use super::callers::{Login, Scene, log_in};
use super::door::Door;
use super::draw::Draw;
use super::judge::{self, RoleSeen, Seen, Violation, judge_record, lease_in};
use super::report::Report;
use super::sessions::Sessions;
use super::told::{Fate, Told};
use super::{POINT_WITHIN, Role};
use crate::engine_suite::now;
use crate::postgres::{Server as Postgres, Version};
use crate::server::{Build, Place, Server};
use leasehold_core::time::Timestamp;
use serde_json::Value;
use sqlx::{Executor as _, PgConnection, Row as _};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::block_in_place;

/// How long callers work before the target is struck.
const LOAD_BEFORE: Duration = Duration::from_millis(150);
/// How long they go on once it is well again.
const LOAD_AFTER: Duration = Duration::from_millis(250);
/// How much longer than the longest term the end may take. An issue that nobody answered settles a minute after it was
/// asked, and an attempt that the last death cut off is followed by another a minute after it began, which takes a
/// minute itself; the rest is for attempts that failed with their target, six in a row and the wait after them.
const SETTLES_WITHIN: Duration = Duration::from_mins(5);
/// How much longer the target may fail what it is asked, once it is well again: what waits for a lock waits for as long.
const TROUBLE_LASTS: Duration = Duration::from_secs(5);
/// How many credentials are tried by a login in each round, of those that must work and of those that must not.
const LOGINS: usize = 3;

/// One installation and its PostgreSQL.
#[derive(Debug)]
pub struct Site {
    /// Where the server keeps its things.
    pub place: Place,
    /// The target.
    pub postgres: Postgres,
    /// The root token.
    pub root: String,
    /// What callers were told.
    pub told: Arc<Mutex<Told>>,
    roles: Arc<[Role]>,
    sessions: Arc<Sessions>,
}

/// What came of a start.
#[derive(Debug)]
pub enum Process {
    /// It can be asked.
    Runs(Server),
    /// It ended itself before it could be asked.
    KilledAtStart,
    /// It did not start, and says why.
    Refuses(String),
}

/// Returns the names of the points, as the binary tells them.
#[must_use]
pub fn points() -> Vec<String> {
    let told = Command::new(Build::KillPoints.binary()).arg("points").output();
    let told = told.expect("the binary runs");
    String::from_utf8_lossy(&told.stdout).lines().map(str::to_owned).collect()
}

impl Site {
    /// Starts a PostgreSQL and sets up an installation before it.
    pub async fn found(roles: Vec<Role>) -> Self {
        let postgres = Postgres::start_with(
            Version::Distribution,
            &["-c", "fsync=off", "-c", "log_statement=none", "-c", "max_connections=200"],
        );
        let place = Place::new();
        let server = place.found().await;
        postgres.lend_through(&server).await;
        for role in &roles {
            let path = format!("database/roles/{}", role.name);
            let _ = server.post(&path, role.written()).await.expect(204);
        }
        let root = server.token.clone();
        let told = Arc::default();
        Self { place, postgres, root, told, roles: roles.into(), sessions: Arc::default() }
    }

    /// Returns what callers were told.
    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns where the target listens.
    #[must_use]
    pub fn target_port(&self) -> u16 {
        self.postgres.port()
    }

    /// Starts the server: the build with the points if it is to die at one, else what is shipped.
    #[must_use]
    pub fn start(&self, kill_at: Option<&str>) -> Process {
        let build = if kill_at.is_some() { Build::KillPoints } else { Build::Plain };
        let mut command = Command::new(build.binary());
        if let Some(kill_at) = kill_at {
            command.env("LEASEHOLD_KILL_AT", kill_at);
        }
        match block_in_place(|| self.place.try_start_by(command)) {
            Ok(server) => {
                self.told().lives.begin(now());
                Process::Runs(server)
            }
            Err(ended) if kill_at.is_some() && ended.status.signal() == Some(9) => {
                Process::KilledAtStart
            }
            Err(ended) => Process::Refuses(format!("{}: {}", ended.status, ended.log)),
        }
    }

    /// Returns what callers need to work at the server behind this door.
    #[must_use]
    pub fn scene(&self, door: Door) -> Scene {
        Scene {
            door,
            root: self.root.clone(),
            target_port: self.target_port(),
            roles: Arc::clone(&self.roles),
            told: Arc::clone(&self.told),
            sessions: Arc::clone(&self.sessions),
            stopping: AtomicBool::new(false),
        }
    }

    /// Waits until the blow has landed, or could not. The server may still be alive after it.
    pub async fn strike(&mut self, server: &mut Server, blow: &Blow) -> bool {
        let landed = self.strike_now(server, blow).await;
        let well_at = match blow {
            Blow::Point(..) | Blow::Outside(_) => return landed,
            Blow::TargetLandsLate(span) => now().plus(*span),
            Blow::TargetSuspended(..)
            | Blow::TargetKilled(_)
            | Blow::TargetKilledInCommit(_)
            | Blow::TargetCommitsLate(_) => now(),
        };
        self.told().lives.trouble(well_at.plus(TROUBLE_LASTS));
        landed
    }

    async fn strike_now(&mut self, server: &mut Server, blow: &Blow) -> bool {
        match *blow {
            Blow::Point(..) => ends_by_itself(server).await,
            Blow::Outside(span) => {
                tokio::time::sleep(span).await;
                true
            }
            Blow::TargetSuspended(span, dies) => {
                tokio::time::sleep(LOAD_BEFORE).await;
                self.postgres.suspend();
                tokio::time::sleep(span).await;
                if dies == WhenServerDies::During {
                    server.kill();
                }
                self.postgres.resume();
                tokio::time::sleep(LOAD_AFTER).await;
                true
            }
            Blow::TargetKilled(span) => {
                tokio::time::sleep(span).await;
                block_in_place(|| self.postgres.restart());
                tokio::time::sleep(LOAD_AFTER).await;
                true
            }
            Blow::TargetKilledInCommit(span) => {
                self.hold_commits(true).await;
                tokio::time::sleep(span).await;
                block_in_place(|| self.postgres.restart());
                self.hold_commits(false).await;
                tokio::time::sleep(LOAD_AFTER).await;
                true
            }
            Blow::TargetCommitsLate(span) => {
                self.hold_commits(true).await;
                tokio::time::sleep(span).await;
                server.kill();
                self.hold_commits(false).await;
                true
            }
            Blow::TargetLandsLate(span) => {
                let Some(pid) = self.issuing_session().await else { return false };
                Postgres::suspend_session(pid);
                server.kill();
                // The next round is under way by then.
                tokio::spawn(async move {
                    tokio::time::sleep(span).await;
                    Postgres::resume_session(pid);
                });
                true
            }
        }
    }

    /// Finds a session of the target that is issuing, while callers work.
    async fn issuing_session(&self) -> Option<i32> {
        let mut admin = self.admin().await;
        let sql = "SELECT pid FROM pg_stat_activity \
                   WHERE state = 'active' AND query LIKE '%CREATE ROLE%' AND pid <> pg_backend_pid()";
        let deadline = now().plus(POINT_WITHIN);
        while now() < deadline {
            let found = admin.fetch_optional(sql).await.expect("the sessions are listed");
            if let Some(found) = found {
                return Some(found.get(0));
            }
        }
        None
    }

    /// Lets every COMMIT at the target wait for a standby that never comes, or go on.
    async fn hold_commits(&self, held: bool) {
        let standby = if held { "nobody" } else { "" };
        let mut admin = self.admin().await;
        let sql = format!("ALTER SYSTEM SET synchronous_standby_names = '{standby}'");
        admin.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.expect("it may be set");
        admin.execute("SELECT pg_reload_conf()").await.expect("it is read");
    }

    /// Logs in as the superuser.
    async fn admin(&self) -> PgConnection {
        self.postgres.superuser("postgres").await
    }

    /// Looks at what is stored and what is at the target, and judges it. `None` if the server died meanwhile.
    pub async fn judge(&mut self, door: &Door, draw: &mut Draw) -> Option<Seen> {
        let seen = self.look(door).await?;
        {
            let mut told = self.told();
            for id in seen.roles.keys() {
                told.first_seen.entry(id.clone()).or_insert(seen.at);
            }
            for violation in judge::judge(&told, &seen) {
                told.accuse(violation);
            }
            told.count("looks at store and target");
            told.add(
                "roles seen, all rounds together",
                u64::try_from(seen.roles.len()).unwrap_or(0),
            );
            told.add(
                "open sessions seen, all rounds together",
                u64::try_from(seen.answering.len()).unwrap_or(0),
            );
            told.forget(seen.at, |id| seen.leases.contains(id) || seen.roles.contains_key(id));
        }
        self.try_logins(draw).await;
        self.try_tokens(door, draw).await?;
        Some(seen)
    }

    /// Looks at the leases first: nothing is issued meanwhile, and a lease goes only after its role has.
    pub async fn look(&self, door: &Door) -> Option<Seen> {
        let mut seen = Seen::default();
        for role in &*self.roles {
            let path = format!("sys/leases/lookup/database/creds/{}", role.name);
            let answer = door.ask(&self.root, "LIST", &path, Value::Null).await?;
            if answer.status != 200 && answer.status != 404 {
                let what = format!("listing leases was answered {}", answer.status);
                self.told().accuse(Violation::Broken(what));
                return None;
            }
            let keys = answer.body["data"]["keys"].as_array().cloned().unwrap_or_default();
            seen.leases.extend(keys.iter().filter_map(|key| key.as_str().map(str::to_owned)));
        }
        let mut admin = self.admin().await;
        let sql = "SELECT rolname::text, rolcanlogin, CASE WHEN isfinite(rolvaliduntil) \
                   THEN (extract(epoch FROM rolvaliduntil) * 1000)::bigint END \
                   FROM pg_roles WHERE rolname LIKE 'v-%'";
        for row in admin.fetch_all(sql).await.expect("the roles are listed") {
            let name: String = row.get(0);
            let valid_until = row.get::<Option<i64>, _>(2).and_then(|at| u64::try_from(at).ok());
            let role = RoleSeen {
                longest: self.longest_of(&name),
                name: name.clone(),
                may_log_in: row.get(1),
                valid_until: valid_until.map(Timestamp),
            };
            seen.roles.insert(lease_in(&name), role);
        }
        let sql = "SELECT DISTINCT usename::text FROM pg_stat_activity WHERE usename LIKE 'v-%'";
        for row in admin.fetch_all(sql).await.expect("the sessions are listed") {
            seen.sessions.insert(lease_in(&row.get::<String, _>(0)));
        }
        seen.answering = self.sessions.answering().await;
        seen.at = now();
        Some(seen)
    }

    /// Returns the longest term of the Vault role that a name at the target carries; of all, if it carries none.
    fn longest_of(&self, name: &str) -> Duration {
        let in_name = |role: &&Role| name.contains(&format!("-{}-", role.name));
        let longest = self.roles.iter().find(in_name).map(|role| role.max);
        longest.or_else(|| self.roles.iter().map(|role| role.max).max()).unwrap_or_default()
    }

    /// Logs in with some credentials that must work, and with some that must not.
    async fn try_logins(&self, draw: &mut Draw) {
        let (alive, dead): (Vec<_>, Vec<_>) = {
            let told = self.told();
            let meant = told.leases.iter().filter(|(_, lent)| lent.fate != Fate::Doomed);
            meant
                .map(|(id, lent)| (id.clone(), lent.clone()))
                .partition(|(_, lent)| lent.fate == Fate::Held)
        };
        for of in [alive, dead] {
            for _ in 0..LOGINS {
                let Some((id, lent)) = draw.pick(&of) else { break };
                let login = log_in(self.target_port(), &lent.username, &lent.password).await;
                let mut told = self.told();
                told.count("logins tried by the judge");
                match (lent.fate, login) {
                    (Fate::Held, Login::Refused) if told.must_live(id, now()) => {
                        told.accuse(Violation::EarlyDeath(format!("the login of `{id}`")));
                    }
                    (Fate::Dead, Login::Open(_)) => {
                        told.accuse(Violation::LivesOn(format!("the login of `{id}`")));
                    }
                    (Fate::Held | Fate::Doomed | Fate::Dead, _) => {}
                }
            }
        }
    }

    /// Shows some tokens that must be good, and some that must not.
    async fn try_tokens(&self, door: &Door, draw: &mut Draw) -> Option<()> {
        for fate in [Fate::Held, Fate::Dead] {
            let of: Vec<_> = {
                let told = self.told();
                let meant = told.tokens.iter().filter(|(_, granted)| granted.fate == fate);
                meant.map(|(accessor, granted)| (accessor.clone(), granted.text.clone())).collect()
            };
            for _ in 0..LOGINS {
                let Some((accessor, text)) = draw.pick(&of) else { break };
                let answer = door.ask(text, "GET", "auth/token/lookup-self", Value::Null).await?;
                let mut told = self.told();
                match (fate, answer.status) {
                    (Fate::Held, 200) | (Fate::Dead, 403) => {
                        told.count("tokens tried by the judge");
                    }
                    (Fate::Dead, 200) => {
                        told.accuse(Violation::LivesOn(format!("the token `{accessor}`")));
                    }
                    (_, status) => {
                        let what = format!("the token `{accessor}` was answered {status}");
                        told.accuse(Violation::Broken(what));
                    }
                }
            }
        }
        Some(())
    }

    /// Lets everything lapse, and sees that nothing is left and everything is on record.
    pub async fn ends(&mut self, longest: Duration, report: &mut Report) {
        let server = match self.start(None) {
            Process::Runs(server) => server,
            Process::KilledAtStart => panic!("nothing is armed"),
            Process::Refuses(why) => {
                let what = format!("the server does not start: {why}");
                return self.told().accuse(Violation::Broken(what));
            }
        };
        let door = Door::to(server.address());
        let began = now();
        let deadline = began.plus(longest).plus(SETTLES_WITHIN);
        loop {
            let seen = self.judge(&door, &mut Draw::new(now().0)).await;
            let Some(seen) = seen else {
                let what = format!("the server died by itself: {}", server.log());
                return self.told().accuse(Violation::Broken(what));
            };
            if seen.leases.is_empty() && seen.roles.is_empty() {
                break;
            }
            if now() > deadline {
                let what = format!("leases {:?}, roles {:?}", seen.leases, seen.roles.keys());
                self.told().accuse(Violation::LeftBehind(what));
                break;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        report.cleaning = now().since(began);
        let record = std::fs::read_to_string(self.place.path("audit")).expect("the audit record");
        let mut told = self.told();
        let issued = told.acknowledged.clone();
        let existed: BTreeSet<_> = issued.iter().chain(told.first_seen.keys()).cloned().collect();
        told.add("credentials whose end is on record", u64::try_from(existed.len()).unwrap_or(0));
        for violation in judge_record(&record, &issued, &existed) {
            told.accuse(violation);
        }
    }
}

/// Waits until a server has ended itself; false if it has not in time.
async fn ends_by_itself(server: &mut Server) -> bool {
    let deadline = now().plus(POINT_WITHIN);
    while now() < deadline {
        if server.ended().is_some() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}
