//! A crowded world: thousands of leases over several servers lapse while one of these is dead. The others must not
//! feel it (law 7), and the dead one's leases go once it is back.

use super::callers::{ROOT, request};
use super::dice::Dice;
use super::executor::Whose;
use super::operators::Operators;
use super::server::Mood;
use super::setting::{Setting, Weather};
use super::{Outcome, Shape, World, flaws};
use leasehold_core::broker::RoleWrite;
use std::sync::Arc;
use std::time::Duration;

/// How long the leases live.
const TERM: Duration = Duration::from_mins(10);
/// After its term no lease of a server that answers is left for longer, whatever becomes of the others.
const LATE_MAX: Duration = Duration::from_secs(20);
/// How many are issued at a time.
const AT_ONCE: usize = 64;

/// Runs a world with so many leases. The number of each server that answers comes with how late its last lease was.
pub fn run(seed: u64, leases: usize, tells: bool) -> (Outcome, Vec<(u64, Duration)>) {
    flaws::forget();
    let shape = Shape {
        fair: false,
        weather: Weather::default(),
        callers: 0,
        caller_pause: Duration::ZERO,
        lasts: TERM,
        term_max: TERM,
        servers: 4,
        breaks_machines: None,
        breaks_servers: None,
        changes: None,
        restores: None,
        second_node: false,
    };
    let setting = Arc::new(Setting::new(seed, &shape, None, tells));
    let world = World::new(&setting, &shape);
    let lates = lapse_together(&world, &setting, leases);
    let steps = setting.executor.steps();
    world.heal(&shape);
    let all = setting.executor.steps();
    drop(world);
    (Outcome::of(setting, (steps, all)), lates)
}

fn lapse_together(world: &World, setting: &Arc<Setting>, leases: usize) -> Vec<(u64, Duration)> {
    let executor = &setting.executor;
    executor.run_until(1000);
    let operators = Arc::clone(&world.operators);
    executor.block_on(Whose::World, async move {
        operators.set_up().await;
        write_roles(&operators).await;
    });
    let crowd = Arc::clone(&world.crowd);
    let machine = Arc::clone(setting);
    executor.block_on(Whose::World, async move {
        let issues = (0..leases).map(|number| {
            let (node, machine) = (Arc::clone(&crowd.nodes[0]), Arc::clone(&machine));
            let role = crowd.roles[number % crowd.roles.len()];
            async move {
                let request = request(&machine, ROOT);
                let issued = node.ask(|broker| {
                    Box::pin(async move { broker.issue(&request, "database/", role).await.is_ok() })
                });
                if issued.await == Ok(true) {
                    machine.counters.issued.one();
                }
            }
        });
        let all = futures_util::stream::iter(issues);
        futures_util::StreamExt::for_each_concurrent(all, AT_ONCE, |issue| issue).await;
    });

    let dead = Arc::clone(&world.operators.servers[*setting.dice.one_of(&[0, 3])]);
    dead.set_mood(if setting.dice.happens(500) { Mood::Down } else { Mood::Hanging });
    let late_max = u64::try_from((TERM + LATE_MAX).as_millis()).unwrap();
    executor.run_until(executor.now() + late_max);
    let others = world.operators.servers.iter().filter(|server| server.number != dead.number);
    let lates = others.clone().map(|server| {
        let late = Duration::from_millis(world.site.judge.late_most(server.number));
        (server.number, late)
    });
    for server in others.filter(|server| !server.all().is_empty()) {
        let left = server.all();
        let what = format!("{} leases wait for another server than theirs", left.len());
        setting.broken(7, left[0], what);
    }
    lates.collect()
}

/// All leases have the same term.
async fn write_roles(operators: &Operators) {
    for role in &operators.crowd.roles {
        let target = if role.starts_with("other") { "other" } else { "app" };
        let write = RoleWrite {
            mount: "database/".into(),
            name: (*role).to_owned(),
            target: Some(target.to_owned()),
            default_ttl: Some(TERM),
            max_ttl: Some(TERM),
            fields: serde_json::Map::new(),
        };
        let request = request(&operators.crowd.site.setting, ROOT);
        let written = operators.crowd.nodes[0].ask(|broker| {
            Box::pin(async move { broker.write_role(&request, write).await.is_ok() })
        });
        assert_eq!(written.await, Ok(true), "nothing goes wrong in this world");
    }
}

/// Draws a seed of a crowded world from one of another.
pub fn seed_of(seed: u64) -> u64 {
    Dice::new(seed).seed()
}
