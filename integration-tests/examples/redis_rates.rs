//! Measures what the Redis engine reaches beside a bare `ACL SETUSER` loop on the same server, in one run.
//!
//! `cargo run --release -p leasehold-integration-tests --example redis_rates`: with and without an `aclfile`, on an
//! empty server and beside 20,000 users.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement prints its numbers, and ends at the first thing that is not as expected"
)]

use leasehold_core::access::password::PasswordPolicy;
use leasehold_core::broker::batch::LinePorts;
use leasehold_core::engine::erased::{KindOf, OpenTarget, RoleRef, ToRevoke};
use leasehold_core::engine::naming::Naming;
use leasehold_core::ids::LeaseId;
use leasehold_core::lease::Handle;
use leasehold_core::store::Revision;
use leasehold_engines::redis::Redis;
use leasehold_integration_tests::engine_suite::{self as suite, PATIENCE};
use leasehold_integration_tests::redis::{ADMINISTRATOR, PASSWORD, Server, Users};
use leasehold_server::chance::SystemChance;
use leasehold_server::tasks::TokioTasks;
use redis::{Pipeline, cmd};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How many callers wait at a time.
const CALLERS: usize = 64;
/// How many credentials one measurement makes.
const TOTAL: usize = 12_800;

#[tokio::main]
async fn main() {
    for users in [Users::Nowhere, Users::AclFile] {
        for there in [0, 20_000] {
            let server = Server::start(users);
            fill(&server, there).await;
            if users == Users::AclFile {
                // As on a server that has been in use: as long as nothing was ever written, no revocation needs a writing.
                server.ask(&["ACL", "SAVE"]).await.expect("it is written");
            }
            // Beside many users a file takes so long to write that fewer have to do.
            let slow = users == Users::AclFile && there > 0;
            let total = if slow { TOTAL / 4 } else { TOTAL };
            let one = raw(&server, 1, total).await;
            let many = raw(&server, CALLERS, total).await;
            let target = target(&server);
            let (issue, made) = issues(&target, total).await;
            let revoke = revocations(&target, made).await;
            println!(
                "{users:?}, {there} users: bare, one by one {one:.0}/s, {CALLERS} in a pipeline {many:.0}/s; \
                 {CALLERS} callers: issue {issue:.0}/s, revoke {revoke:.0}/s"
            );
        }
    }
}

fn rate(number: usize, took: Duration) -> f64 {
    number as f64 / took.as_secs_f64()
}

fn set(name: &str) -> redis::Cmd {
    let verifier = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let words = ["SETUSER", name, "on", &format!("#{verifier}"), "~*", "+@read"];
    cmd("ACL").arg(&words).clone()
}

async fn fill(server: &Server, number: usize) {
    let mut connection = server.log_in(ADMINISTRATOR, PASSWORD).await.expect("it logs in");
    for from in (0..number).step_by(500) {
        let mut commands = Pipeline::new();
        for at in from..number.min(from.saturating_add(500)) {
            commands.add_command(set(&format!("there-{at}")));
        }
        let _: Vec<String> = commands.query_async(&mut connection).await.expect("they are set");
    }
}

/// Sets users over one connection in a loop that does nothing else, and removes them.
async fn raw(server: &Server, together: usize, total: usize) -> f64 {
    let mut connection = server.log_in(ADMINISTRATOR, PASSWORD).await.expect("it logs in");
    let started = Instant::now();
    for turn in 0..total.div_ceil(together) {
        let mut commands = Pipeline::new();
        for at in 0..together {
            commands.add_command(set(&format!("raw-{turn}-{at}")));
        }
        let _: Vec<String> = commands.query_async(&mut connection).await.expect("they are set");
    }
    let rate = rate(total, started.elapsed());
    for turn in 0..total.div_ceil(together) {
        let names: Vec<_> = (0..together).map(|at| format!("raw-{turn}-{at}")).collect();
        let mut command = cmd("ACL");
        command.arg("DELUSER").arg(&names);
        let _: i64 = command.query_async(&mut connection).await.expect("they are removed");
    }
    rate
}

/// Stands before the server as the broker does: with the line that forms batches.
fn target(server: &Server) -> Arc<dyn OpenTarget> {
    let mut fields = server.config();
    let fields = fields.as_object_mut().expect("an object");
    fields.remove("plugin_name");
    fields.remove("allowed_roles");
    let clock = suite::clock();
    let ports = LinePorts {
        clock: Arc::clone(&clock),
        chance: Arc::new(SystemChance),
        tasks: Arc::new(TokioTasks::new(tokio::runtime::Handle::current(), clock)),
        meter: Arc::default(),
    };
    KindOf::<Redis>::new().open(fields, suite::origin(), ports).expect("a target")
}

fn role(fields: &Map<String, Value>) -> RoleRef<'_> {
    RoleRef { name: "bench", revision: Revision(1), fields }
}

async fn issues(target: &Arc<dyn OpenTarget>, total: usize) -> (f64, Vec<(LeaseId, Handle)>) {
    let mut callers = tokio::task::JoinSet::new();
    let started = Instant::now();
    for _ in 0..CALLERS {
        let target = Arc::clone(target);
        callers.spawn(async move {
            let fields = Map::new();
            let recipe = target.bind(role(&fields)).expect("a recipe");
            let mut made = Vec::new();
            for _ in 0..total.div_ceil(CALLERS) {
                let (lease, now) = (suite::lease(), suite::now());
                let naming = Naming { lease, display_name: "bench", role_name: "bench", now };
                let mut drafted = recipe
                    .prepare(&naming, &PasswordPolicy::default(), &SystemChance)
                    .expect("a name");
                drafted.derive();
                let handle = drafted.handle().clone();
                let by = now.plus(PATIENCE);
                drafted.issue(by, by).await.expect("it is issued");
                made.push((lease, handle));
            }
            made
        });
    }
    let made: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
    (rate(made.len(), started.elapsed()), made)
}

async fn revocations(target: &Arc<dyn OpenTarget>, made: Vec<(LeaseId, Handle)>) -> f64 {
    let total = made.len();
    let started = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for part in made.chunks(total.div_ceil(CALLERS)) {
        let (target, part) = (Arc::clone(target), part.to_vec());
        callers.spawn(async move {
            for (lease, handle) in &part {
                let answer_by = suite::now().plus(Duration::from_mins(1));
                let asked = ToRevoke {
                    lease: *lease,
                    handle,
                    role: None,
                    unanswered: None,
                    lapses_at: answer_by,
                    answer_by,
                };
                target.revoke(asked).await.expect("it is revoked");
            }
        });
    }
    callers.join_all().await;
    rate(total, started.elapsed())
}
