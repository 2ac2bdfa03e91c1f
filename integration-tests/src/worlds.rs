//! Seeded worlds: the real `core` and the real sweeper between simulated ports, in which everything goes wrong that
//! can, and a judge who sees everything says when a law is broken.
//!
//! A seed decides all of it: who runs next, how long anything takes, what is refused, lost or late, who dies. The
//! same seed is the same run, so that a violation can be told as a story, as often as anybody wants to read it.

pub mod accounts;
mod address;
pub mod callers;
pub mod calls;
pub mod clock;
pub mod counters;
pub mod crowded;
pub mod desk;
pub mod dice;
pub mod disk;
pub mod engine;
pub mod executor;
pub mod flaws;
pub mod journal;
pub mod judge;
pub mod node;
pub mod operators;
pub mod restores;
pub mod server;
pub mod setting;

use callers::{Crowd, ROOT};
use counters::Counters;
use disk::Disk;
use flaws::Flaw;
use journal::Journal;
use judge::Judge;
use leasehold_core::broker::found;
use leasehold_core::secret::SecretText;
use node::{Node, Site, root_key};
use operators::{Operators, STANDS_STILL_MAX};
use server::{Mood, Nature, Server};
use setting::{Setting, Violation, Weather};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Duration;

/// What became of a world.
#[derive(Debug)]
pub struct Outcome {
    /// The first law that was broken, if one was.
    pub violation: Option<Violation>,
    /// What happened, in numbers.
    pub counters: Counters,
    /// Polls until the world healed, and in all.
    pub steps: (u64, u64),
    /// What happened, in words, if anybody asked for it.
    pub story: String,
}

/// What a world is like, drawn from its seed.
#[derive(Debug)]
struct Shape {
    /// Nothing goes wrong by chance, and no process dies: whatever is due has to be in time.
    fair: bool,
    weather: Weather,
    callers: usize,
    caller_pause: Duration,
    lasts: Duration,
    term_max: Duration,
    servers: usize,
    /// Pauses between the deaths of processes, the troubles of servers, and what operators change.
    breaks_machines: Option<Duration>,
    breaks_servers: Option<Duration>,
    changes: Option<Duration>,
    restores: Option<Duration>,
    second_node: bool,
    /// Pauses between those who have secrets of the desk rotated.
    rotations: Option<Duration>,
    /// And between the restarts of servers that forget, where there are some.
    restarts: Option<Duration>,
}

/// The roles that callers ask for; one name begins like another.
const ROLES: [&str; 4] = ["app", "app2", "other", "other-long"];

/// Leases of a crowded world in which it only matters who is in whose way.
const FEW: usize = 200;

/// Nothing may be left this long after a world healed and its last term was over: the longest back-off, and time
/// for the attempts that it delays.
const HEALS_WITHIN: Duration = Duration::from_hours(1);

/// No world heals before so many polls.
const STEPS_MIN: u64 = 500;

impl Shape {
    fn of(dice: &dice::Dice) -> Self {
        let minutes = |from, to| dice.span(Duration::from_mins(from), Duration::from_mins(to));
        let rate = |most: u32| u32::try_from(dice.below(most as usize)).unwrap();
        let bad = dice.below(4);
        let weather = match bad {
            0 => Weather::default(),
            1 => Weather { slow: 50, ..Weather::default() },
            _ => Weather {
                store_refuses: rate(40),
                store_uncertain: rate(60),
                audit_fails: rate(40),
                target_fails: rate(250),
                slow: rate(100),
                strangers: rate(10),
            },
        };
        // Where everything has to be in time, the horizon of the queue is moved on at least once.
        let lasts = minutes(if bad == 0 { 60 } else { 5 }, 90);
        let pause = |often: u32| dice.happens(often).then(|| minutes(1, 15));
        let restores = pause(if bad > 0 { 200 } else { 0 });
        Self {
            fair: bad == 0,
            weather,
            callers: 2 + dice.below(5),
            caller_pause: lasts / 12,
            lasts,
            // Where everything has to be in time, leases last beyond the horizon of the queue.
            term_max: minutes(1, if dice.happens(100) || bad == 0 { 230 } else { 40 }),
            servers: if dice.happens(300) { 4 } else { 3 },
            breaks_machines: pause(if bad > 0 { 600 } else { 0 }),
            breaks_servers: pause(if bad > 0 { 600 } else { 0 }),
            // A backup knows no address that a target was given later.
            changes: pause(if restores.is_none() { 500 } else { 0 }),
            restores,
            second_node: bad > 0 && dice.happens(150),
            // Where everything has to be in time nobody rotates: nothing says how long that may take.
            rotations: pause(if bad > 0 { 500 } else { 0 }),
            restarts: pause(700),
        }
    }
}

impl Outcome {
    fn of(setting: Arc<Setting>, steps: (u64, u64)) -> Self {
        let violation = setting.violation();
        let story = setting.story_of(violation.as_ref().and_then(|violation| violation.lease));
        let setting = Arc::into_inner(setting);
        let counters = setting.map(|setting| setting.counters).unwrap_or_default();
        Self { violation, counters, steps, story }
    }
}

/// Runs one world from its beginning until nothing may be left.
pub fn run(seed: u64, flaw: Option<Flaw>, tells: bool) -> Outcome {
    if flaw.is_some_and(Flaw::needs_a_crowd) {
        return crowded::run(seed, FEW, flaw, tells).outcome;
    }
    flaws::forget();
    // Dice of its own, so that a drawn shape does not shift all that is drawn in the world.
    let shape = Shape::of(&dice::Dice::new(!seed));
    let setting = Arc::new(Setting::new(seed, &shape, flaw, tells));
    let world = World::new(&setting, &shape);
    setting.note(None, || format!("{shape:?}"));
    let steps = world.storm(&shape);
    world.heal(&shape);
    let all = setting.executor.steps();
    drop(world);
    Outcome::of(setting, (steps, all))
}

/// Runs a world, and returns the words of a panic in it as an error: whoever runs thousands has to say in which it was.
pub fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    // What a world leaves behind on its thread is replaced by the next.
    catch_unwind(AssertUnwindSafe(run)).map_err(|cause| {
        let words = cause.downcast_ref::<&str>().copied();
        let words = words.or_else(|| cause.downcast_ref::<String>().map(String::as_str));
        format!("panicked: {}", words.unwrap_or("without words"))
    })
}

/// Everything that is there.
#[derive(Debug)]
struct World {
    site: Site,
    nodes: Vec<Arc<Node>>,
    crowd: Arc<Crowd>,
    operators: Arc<Operators>,
}

impl World {
    fn new(setting: &Arc<Setting>, shape: &Shape) -> Self {
        let journal = Arc::new(Journal::new(Arc::clone(setting)));
        let judge = Arc::new(Judge::new(Arc::clone(setting), Arc::clone(&journal)));
        let site =
            Site { setting: Arc::clone(setting), disk: Arc::new(Disk::default()), journal, judge };
        let servers: Vec<_> = (0..shape.servers).map(|_| server(&site)).collect();
        engine::connect(&servers);

        let numbers = Arc::new(AtomicU32::new(0));
        let places = if shape.second_node && shape.restores.is_none() { 2 } else { 1 };
        let nodes: Vec<_> =
            (0..places).map(|_| Node::new(site.clone(), Arc::clone(&numbers))).collect();
        let founding = nodes[0].ports().0;
        let founded = setting.executor.block_on(executor::Whose::World, async move {
            let text = Some(SecretText::new(ROOT.into()));
            found(&founding, &root_key(), text, "token").await.unwrap().0
        });
        let founded = founded.unwrap();
        let _ = setting.original.set(founded.installation);
        site.judge.read_with(founded.barrier, &site.disk);
        nodes[0].start();
        let roles = if shape.servers > 3 { ROLES.to_vec() } else { ROLES[..2].to_vec() };
        let crowd = Crowd::new(site.clone(), nodes.clone(), roles);
        let term_max = shape.term_max;
        let steps_clocks = nodes.len() == 1 && shape.restores.is_none();
        let operators = Arc::new(Operators {
            crowd: Arc::clone(&crowd),
            servers,
            steps_clocks,
            term_max,
            is_unsure: AtomicBool::new(false),
        });
        Self { site, nodes, crowd, operators }
    }

    /// Things go wrong, until they stop. Returns how many polls that took.
    fn storm(&self, shape: &Shape) -> u64 {
        let (setting, executor) = (&self.site.setting, &self.site.setting.executor);
        executor.run_until(10_000);
        let operators = Arc::clone(&self.operators);
        let has_desk = shape.rotations.is_some();
        executor.block_on(executor::Whose::World, async move {
            operators.set_up().await;
            if has_desk {
                operators.open_desk().await;
            }
        });
        if self.nodes.len() > 1 {
            setting.counters.second_nodes.one();
            self.nodes[1].start();
        }
        setting.calm(false);

        let begins = executor.now();
        let end = begins + u64::try_from(shape.lasts.as_millis()).unwrap();
        self.send_callers(end, shape);
        if let Some(pause) = shape.breaks_machines {
            executor.spawn_world(Arc::clone(&self.operators).break_machines(end, pause));
            executor.spawn_world(calls::kill_inside(Arc::clone(setting), self.nodes.clone()));
        }
        if let Some(pause) = shape.breaks_servers {
            executor.spawn_world(Arc::clone(&self.operators).break_servers(end, pause));
        }
        if let Some(pause) = shape.changes {
            executor.spawn_world(Arc::clone(&self.operators).change(end, pause));
        }
        if let Some(pause) = shape.restores {
            executor.spawn_world(restores::restore(Arc::clone(&self.crowd), end, pause));
        }
        if let Some(pause) = shape.restarts {
            executor.spawn_world(Arc::clone(&self.operators).restart_forgetful(end, pause));
        }
        if let Some(pause) = shape.rotations {
            executor.spawn_world(Arc::clone(&self.operators).rotate(end, pause));
            executor.spawn_world(Arc::clone(&self.crowd).read_secrets(end, pause));
        }
        executor.run_while(end, || setting.is_lawful());
        // A world in which hardly anything has happened yet lasts longer.
        let mut end = end;
        let goes_on = || setting.is_lawful() && !executor.is_spinning();
        while executor.steps() < STEPS_MIN && goes_on() {
            end += u64::try_from(shape.lasts.as_millis()).unwrap();
            self.send_callers(end, shape);
            executor.run_while(end, || setting.is_lawful());
        }
        executor.steps()
    }

    fn send_callers(&self, end: u64, shape: &Shape) {
        for _ in 0..shape.callers {
            let caller = Arc::clone(&self.crowd).live(end, shape.caller_pause);
            self.site.setting.executor.spawn_world(caller);
        }
    }

    /// Everything heals and time passes, until nothing is left or nothing may be left.
    fn heal(&self, shape: &Shape) {
        let (setting, executor) = (&self.site.setting, &self.site.setting.executor);
        setting.note(None, || "everything heals".into());
        setting.counters.healed.one();
        setting.calm(true);
        for server in &self.operators.servers {
            server.set_mood(Mood::Well);
        }
        // Whoever is still down for a while comes back, and then the last terms are over.
        let (disk, judge) = (&self.site.disk, &self.site.judge);
        let term = shape.term_max.max(Duration::from_hours(1));
        let span = u64::try_from((term + HEALS_WITHIN).as_millis()).unwrap();
        let end = executor.now() + span;
        // A process that stood still at last has to look once more at what it keeps.
        let quiet = (STANDS_STILL_MAX + Duration::from_mins(5)).as_millis();
        let mut since = None;
        while executor.now() < end && setting.is_lawful() && !executor.is_spinning() {
            let until = executor.now() + 60_000;
            if shape.rotations.is_some() && setting.restores {
                let operators = Arc::clone(&self.operators);
                executor.spawn_world(async move { operators.mend_desk().await });
            }
            executor.run_while(until, || setting.is_lawful());
            // Nothing happens without a timer, so time is moved on by one of our own.
            executor.run_until(until);
            judge.are_all_back();
            let is_empty = judge.leases() == 0 && disk.under("token-due/").is_empty();
            since = if is_empty { since.or(Some(executor.now())) } else { None };
            if since.is_some_and(|since| u128::from(executor.now() - since) > quiet) {
                break;
            }
        }
        if executor.is_spinning() {
            setting.broken(7, None, "something goes on for ever without waiting");
        } else if setting.is_lawful() {
            let operators = Arc::clone(&self.operators);
            if shape.rotations.is_some() {
                executor
                    .block_on(executor::Whose::World, async move { operators.close_desk().await });
            }
            judge.at_the_end(disk);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for node in &self.nodes {
            node.stop();
        }
        self.site.setting.executor.clear();
        engine::connect(&[]);
        self.site.judge.forget_servers();
    }
}

fn server(site: &Site) -> Arc<Server> {
    let dice = &site.setting.dice;
    let shows_pending = dice.happens(500);
    let (knows_ends, forgets) = (dice.happens(500), dice.happens(300));
    let nature = Nature { knows_ends: knows_ends && !forgets, shows_pending, forgets };
    let number = u64::try_from(site.judge.servers().len()).unwrap();
    let (setting, judge) = (Arc::clone(&site.setting), Arc::clone(&site.judge));
    let server = Arc::new(Server::new(number, nature, setting, judge));
    site.judge.add_server(&server);
    server
}
