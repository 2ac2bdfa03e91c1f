//! Runs seeded worlds on all cores, and says what came of them: `cargo xtask worlds`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "a command for people, who want to see how far and how fast it is"
)]

use clap::Parser;
use leasehold_integration_tests::worlds::{self, counters::Counters, crowded, flaws::Flaw};
use parking_lot::Mutex;
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
}

/// What came of all of them so far.
#[derive(Debug, Default)]
struct Sum {
    counters: Counters,
    worlds: AtomicU64,
    crowded: AtomicU64,
    latest_ms: AtomicU64,
    steps: AtomicU64,
    fewest_steps: AtomicU64,
    /// Worlds that ended before 500 steps: a law was broken, or hardly anything happened.
    short: AtomicU64,
    broken: Mutex<Vec<(u64, String)>>,
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
    report(&arguments, &sum, began)
}

fn run_some(arguments: &Arguments, next: &AtomicU64, sum: &Sum) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let is_caught = arguments.flaw.is_some() && !sum.broken.lock().is_empty();
        if number >= arguments.count || is_caught {
            return;
        }
        let seed = arguments.seed.wrapping_add(number);
        let tells = arguments.count == 1;
        let outcome = worlds::run(seed, arguments.flaw, tells);
        sum.counters.add(&outcome.counters);
        sum.steps.fetch_add(outcome.steps.0, Ordering::Relaxed);
        sum.fewest_steps.fetch_min(outcome.steps.0, Ordering::Relaxed);
        if outcome.steps.0 < 500 {
            sum.short.fetch_add(1, Ordering::Relaxed);
        }
        if tells && outcome.violation.is_none() {
            print!("{}", outcome.story);
        }
        if let Some(violation) = outcome.violation {
            // The same seed is the same run, so the story need only be told of worlds that have one.
            let story = worlds::run(seed, arguments.flaw, true).story;
            let told = format!("{violation}\n{story}");
            sum.broken.lock().push((seed, told));
        }
        if number % CROWDED_EVERY == CROWDED_EVERY - 1 && arguments.flaw.is_none() {
            run_crowded(seed, sum);
        }
        sum.worlds.fetch_add(1, Ordering::Relaxed);
    }
}

fn run_crowded(seed: u64, sum: &Sum) {
    let (outcome, lates) = crowded::run(crowded::seed_of(seed), CROWDED_LEASES, false);
    sum.crowded.fetch_add(1, Ordering::Relaxed);
    for (_, late) in lates {
        let late_ms = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        sum.latest_ms.fetch_max(late_ms, Ordering::Relaxed);
    }
    if let Some(violation) = outcome.violation {
        sum.broken.lock().push((seed, format!("in the crowded world: {violation}\n")));
    }
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
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
    done * 1000 / ms
}

fn report(arguments: &Arguments, sum: &Sum, began: Instant) -> ExitCode {
    let worlds = sum.worlds.load(Ordering::Relaxed);
    let mut broken = sum.broken.lock().clone();
    broken.sort();
    for (seed, told) in broken.iter().take(3) {
        println!("seed {seed}: {told}");
        println!("again: cargo xtask worlds --count 1 --seed {seed}{}\n", flag(arguments.flaw));
    }
    for (seed, told) in broken.iter().skip(3).take(20) {
        println!("seed {seed}: {}", told.lines().next().unwrap_or_default());
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
        println!(
            "{crowded:>12}  crowded worlds; beside a dead server nobody was later than {latest:?}"
        );
    }
    println!(
        "\n{worlds} worlds in {:?}, {}/s; {} broke a law",
        Duration::from_secs(began.elapsed().as_secs()),
        rate(worlds, began),
        broken.len()
    );
    match (arguments.flaw, broken.is_empty()) {
        (None, true) | (Some(_), false) => ExitCode::SUCCESS,
        (None, false) => ExitCode::FAILURE,
        (Some(flaw), true) => {
            eprintln!("`{}` was not caught", flaw.name());
            ExitCode::FAILURE
        }
    }
}

fn flag(flaw: Option<Flaw>) -> String {
    flaw.map_or_else(String::new, |flaw| format!(" --flaw {}", flaw.name()))
}
