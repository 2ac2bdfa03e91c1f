//! Runs seeded worlds on all cores, and says what came of them: `cargo xtask worlds`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "a command for people, who want to see how far and how fast it is"
)]

use clap::{Parser, ValueEnum};
use leasehold_integration_tests::worlds::crowded::{self, waits::WaitsByVerb};
use leasehold_integration_tests::worlds::{self, Outcome, counters::Counters, flaws::Flaw};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One world in so many is a crowded one as well.
const CROWDED_EVERY: u64 = 1000;
/// How many leases it has.
const CROWDED_LEASES: usize = 3000;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask worlds", bin_name = "cargo xtask worlds")]
struct Arguments {
    /// How many worlds.
    #[arg(long, default_value_t = 10_000)]
    count: u64,
    /// The seed of the first; the others follow it. With `--count 1` the story of the world is told.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A known flaw that the worlds are to have; it should be caught.
    #[arg(long)]
    flaw: Option<Flaw>,
    /// Only crowded worlds, of which there is otherwise one in a thousand.
    #[arg(long)]
    crowded: bool,
    /// How the summary is written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How the summary is written.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// For scripts: one object.
    Json,
}

/// What came of all of them so far.
#[derive(Debug, Default)]
struct Sum {
    counters: Counters,
    worlds: AtomicU64,
    crowded: AtomicU64,
    latest_ms: AtomicU64,
    /// How long callers of crowded worlds waited, while all servers were well and beside a dead one.
    waits: Mutex<(WaitsByVerb, WaitsByVerb)>,
    steps: AtomicU64,
    fewest_steps: AtomicU64,
    /// Worlds that ended before 500 steps: a law was broken, or hardly anything happened.
    short: AtomicU64,
    broken: Mutex<Vec<Broken>>,
}

/// A world in which a law was broken, or which panicked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Broken {
    seed: u64,
    crowded: bool,
    /// What was broken, and then the story.
    told: String,
}

impl Sum {
    /// Runs a world; one that panics is broken, and the others go on.
    fn caught<T>(&self, seed: u64, crowded: bool, world: impl FnOnce() -> T) -> Option<T> {
        let ran = worlds::caught(world);
        ran.map_err(|told| self.broken.lock().push(Broken { seed, crowded, told })).ok()
    }

    /// Counts what happened in a world.
    fn count(&self, outcome: &Outcome) {
        self.counters.add(&outcome.counters);
        self.steps.fetch_add(outcome.steps.0, Ordering::Relaxed);
        self.fewest_steps.fetch_min(outcome.steps.0, Ordering::Relaxed);
        if outcome.steps.0 < 500 {
            self.short.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Keeps the law that was broken, if one was; `again` runs the same world and tells its story.
    fn judge(&self, outcome: &Outcome, seed: u64, crowded: bool, again: impl FnOnce() -> Outcome) {
        if let Some(violation) = &outcome.violation {
            // The same seed is the same run, so the story need only be told of worlds that have one.
            let told = format!("{violation}\n{}", again().story);
            self.broken.lock().push(Broken { seed, crowded, told });
        }
    }
}

impl Broken {
    fn first_line(&self) -> &str {
        self.told.lines().next().unwrap_or_default()
    }
}

impl Arguments {
    /// Whether the story of a world is told even if no law is broken.
    fn tells(&self) -> bool {
        self.count == 1 && matches!(self.format, Format::Text)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let began = Instant::now();
    let sum = Sum { fewest_steps: AtomicU64::new(u64::MAX), ..Sum::default() };
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| run_some(&arguments, &next, &sum));
        }
        show_progress(&arguments, &sum, began);
    });
    match arguments.format {
        Format::Text => print_text(&arguments, &sum, began),
        Format::Json => println!("{:#}", summary(&arguments, &sum, began)),
    }
    verdict(&arguments, &sum)
}

fn run_some(arguments: &Arguments, next: &AtomicU64, sum: &Sum) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let is_caught = arguments.flaw.is_some() && !sum.broken.lock().is_empty();
        if number >= arguments.count || is_caught {
            return;
        }
        let seed = arguments.seed.wrapping_add(number);
        if arguments.crowded {
            run_crowded(arguments, seed, sum);
        } else {
            run_one(arguments, seed, sum);
            if number % CROWDED_EVERY == CROWDED_EVERY - 1 && arguments.flaw.is_none() {
                run_crowded(arguments, seed, sum);
            }
        }
        sum.worlds.fetch_add(1, Ordering::Relaxed);
    }
}

fn run_one(arguments: &Arguments, seed: u64, sum: &Sum) {
    let run = |tells| worlds::run(seed, arguments.flaw, tells);
    let Some(outcome) = sum.caught(seed, false, || run(arguments.tells())) else { return };
    if arguments.tells() && outcome.violation.is_none() {
        print!("{}", outcome.story);
    }
    sum.count(&outcome);
    sum.judge(&outcome, seed, false, || run(true));
}

fn run_crowded(arguments: &Arguments, seed: u64, sum: &Sum) {
    let tells = arguments.crowded && arguments.tells();
    let run = |tells| crowded::run(crowded::seed_of(seed), CROWDED_LEASES, arguments.flaw, tells);
    let Some(crowd) = sum.caught(seed, true, || run(tells)) else { return };
    if tells && crowd.outcome.violation.is_none() {
        print!("{}", crowd.outcome.story);
    }
    sum.crowded.fetch_add(1, Ordering::Relaxed);
    for (_, late) in &crowd.lates {
        sum.latest_ms.fetch_max(millis(*late), Ordering::Relaxed);
    }
    {
        let mut waits = sum.waits.lock();
        waits.0.add(&crowd.well);
        waits.1.add(&crowd.beside);
    }
    // Among others, what happened in a crowd would hide what hardly ever happens.
    if arguments.crowded {
        sum.count(&crowd.outcome);
    }
    sum.judge(&crowd.outcome, seed, true, || run(true).outcome);
}

fn show_progress(arguments: &Arguments, sum: &Sum, began: Instant) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let (done, broken) = (sum.worlds.load(Ordering::Relaxed), sum.broken.lock().len());
        let stops = arguments.flaw.is_some() && broken > 0;
        if done >= arguments.count || stops {
            eprint!("\r\x1b[K");
            return;
        }
        let width = usize::try_from(done * 30 / arguments.count.max(1)).unwrap_or(0);
        let rate = rate(done, began);
        let bar = format!("{}{}", "█".repeat(width), "░".repeat(30 - width));
        let left = (arguments.count - done).checked_div(rate.max(1)).unwrap_or(0);
        eprint!(
            "\r\x1b[K{bar} {done} of {} worlds, {rate}/s, {left} s left, {broken} broken",
            arguments.count
        );
        let _ = std::io::stderr().flush();
    }
}

fn rate(done: u64, began: Instant) -> u64 {
    done * 1000 / millis(began.elapsed()).max(1)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// What never happened often enough. A flaw ends the run when it is caught, in a crowded world hardly anything goes
/// wrong, and a few worlds prove nothing anyway.
fn starved(arguments: &Arguments, sum: &Sum) -> Vec<String> {
    if arguments.flaw.is_some() || arguments.crowded {
        return Vec::new();
    }
    sum.counters.starved(sum.worlds.load(Ordering::Relaxed))
}

fn print_text(arguments: &Arguments, sum: &Sum, began: Instant) {
    let worlds = sum.worlds.load(Ordering::Relaxed);
    let mut broken = sum.broken.lock().clone();
    broken.sort();
    for world in broken.iter().take(3) {
        let (seed, again) = (world.seed, options(arguments, world));
        println!("seed {seed}: {}\nagain: cargo xtask worlds{again}\n", world.told);
    }
    for world in broken.iter().skip(3).take(20) {
        println!("seed {}: {}", world.seed, world.first_line());
    }
    for (name, count) in sum.counters.all() {
        println!("{count:>12}  {}", name.replace('_', " "));
    }
    let (steps, fewest) =
        (sum.steps.load(Ordering::Relaxed), sum.fewest_steps.load(Ordering::Relaxed));
    println!(
        "{steps:>12}  steps, the fewest in a world {fewest}, {} worlds below 500",
        sum.short.load(Ordering::Relaxed)
    );
    let crowded = sum.crowded.load(Ordering::Relaxed);
    if crowded > 0 {
        let latest = Duration::from_millis(sum.latest_ms.load(Ordering::Relaxed));
        let (well, beside) = sum.waits.lock().clone();
        println!(
            "{crowded:>12}  crowded worlds; beside a dead server no lapse was later than {latest:?}\n\
             {:>14}median waits with all servers well:   {well}\n\
             {:>14}at living ones beside a dead server:  {beside}",
            "", ""
        );
    }
    for told in starved(arguments, sum) {
        println!("STARVED  {told}");
    }
    println!(
        "\n{worlds} worlds in {:?}, {}/s; {} broke a law",
        Duration::from_secs(began.elapsed().as_secs()),
        rate(worlds, began),
        broken.len()
    );
}

/// The same for scripts.
fn summary(arguments: &Arguments, sum: &Sum, began: Instant) -> Value {
    let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
    let broken = sum.broken.lock().clone();
    let broken = broken.iter().map(|world| {
        json!({
            "seed": world.seed,
            "crowded": world.crowded,
            "violation": world.first_line(),
        })
    });
    let counters = sum.counters.all().into_iter().map(|(name, count)| (name.into(), count.into()));
    let waits = |waits: &WaitsByVerb| {
        let each = waits.each().map(|(verb, waits)| {
            let told = json!({
                "count": waits.count(),
                "median_ms": millis(waits.median()),
                "most_ms": millis(waits.most()),
            });
            (verb.to_owned(), told)
        });
        each.into_iter().collect::<Map<_, _>>()
    };
    let (well, beside) = sum.waits.lock().clone();
    json!({
        "worlds": of(&sum.worlds),
        "seed": arguments.seed,
        "flaw": arguments.flaw.map(Flaw::name),
        "took_ms": millis(began.elapsed()),
        "steps": of(&sum.steps),
        "broken": broken.collect::<Vec<_>>(),
        "starved": starved(arguments, sum),
        "counters": counters.collect::<Map<_, _>>(),
        "crowded": {
            "worlds": of(&sum.crowded),
            "latest_lapse_ms": of(&sum.latest_ms),
            "waits_with_all_well": waits(&well),
            "waits_beside_a_dead_server": waits(&beside),
        },
    })
}

/// No law may break and no counter starve; a flaw has to be caught.
fn verdict(arguments: &Arguments, sum: &Sum) -> ExitCode {
    let is_broken = !sum.broken.lock().is_empty();
    let passes = match arguments.flaw {
        Some(flaw) if !is_broken => {
            eprintln!("`{}` was not caught", flaw.name());
            false
        }
        Some(_) => true,
        None => !is_broken && starved(arguments, sum).is_empty(),
    };
    if passes { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What tells the story of a world again.
fn options(arguments: &Arguments, world: &Broken) -> String {
    let crowded = if world.crowded { " --crowded" } else { "" };
    let flaw = arguments.flaw.map_or_else(String::new, |flaw| format!(" --flaw {}", flaw.name()));
    format!(" --count 1 --seed {}{crowded}{flaw}", world.seed)
}
