//! The real binary under load: leases beside the same work in a bare loop, and requests about tokens beside bare ones.
//!
//! Run by `cargo xtask bench`. Server, load and targets share one machine, so only the ratios mean
//! anything; each round measures both sides, and the medians of the rounds are told.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a benchmark: it measures time, prints, and stops at the first thing that is not as it should be"
)]

#[path = "load/leases.rs"]
mod leases;
#[path = "load/server.rs"]
mod server;
#[path = "load/targets.rs"]
mod targets;
#[path = "load/tokens.rs"]
mod tokens;

use leasehold_integration_tests::redis::Users;
use server::{CALLERS, CONNECTIONS};
use tokio::runtime::Runtime;

fn main() {
    let rounds = setting("LEASEHOLD_BENCH_ROUNDS").unwrap_or(3);
    let only = std::env::var("LEASEHOLD_BENCH_ONLY").ok();
    let runtime = Runtime::new().unwrap();
    println!("{CALLERS} callers, audit to a file; medians of {rounds} rounds\n");
    let is_asked = |part| only.as_deref().is_none_or(|only| only == part);
    if is_asked("tokens") {
        measure_tokens(&runtime, rounds);
    }
    if is_asked("leases") {
        measure_leases(&runtime, rounds);
    }
    if is_asked("targets") {
        measure_targets(&runtime, rounds);
    }
}

fn measure_targets(runtime: &Runtime, rounds: usize) {
    let leases = setting("LEASEHOLD_BENCH_LEASES").unwrap_or(10_000);
    println!(
        "{leases} leases at each target; `bare` is the same in a loop over one connection: at MariaDB one statement"
    );
    println!("after the other, 50 users dropped together; at Redis {CALLERS} in a pipeline");
    println!(
        "{:>20} {:>10} {:>10} {:>7} {:>14} {:>10} {:>7} {:>12}",
        "target", "bare/s", "issue/s", "ratio", "bare drop/s", "revoke/s", "ratio", "left behind"
    );
    for name in ["MariaDB", "Redis", "Redis with aclfile"] {
        let round = async || match name {
            "MariaDB" => targets::mariadb(leases).await,
            "Redis" => targets::redis(Users::Nowhere, leases).await,
            _ => targets::redis(Users::AclFile, leases).await,
        };
        let measured: Vec<_> = (0..rounds).map(|_| runtime.block_on(round())).collect();
        let bare_issue = median(&measured, |round| round.bare_issue);
        let bare_revoke = median(&measured, |round| round.bare_revoke);
        let issue = median(&measured, |round| round.issue);
        let revoke = median(&measured, |round| round.revoke);
        let left: usize = measured.iter().map(|round| round.left).sum();
        println!(
            "{name:>20} {bare_issue:>10.0} {issue:>10.0} {:>7.2} {bare_revoke:>14.0} {revoke:>10.0} {:>7.2} {left:>12}",
            issue / bare_issue,
            revoke / bare_revoke
        );
    }
    println!();
}

fn measure_tokens(runtime: &Runtime, rounds: usize) {
    let requests = setting("LEASEHOLD_BENCH_REQUESTS").unwrap_or(100_000);
    let measured: Vec<_> = (0..rounds).map(|_| runtime.block_on(tokens::round(requests))).collect();
    let bare = median(&measured, |round| round.bare);
    let look_up = median(&measured, |round| round.look_up);
    let create = median(&measured, |round| round.create);
    println!(
        "{requests} requests; `bare` is a server that reads a request and answers the same each time"
    );
    println!("{:>12} {:>10} {:>10}", "request", "/s", "ratio");
    for (name, rate) in [("bare", bare), ("look up", look_up), ("create", create)] {
        println!("{name:>12} {rate:>10.0} {:>10.2}", rate / bare);
    }
    println!();
}

fn measure_leases(runtime: &Runtime, rounds: usize) {
    let leases = setting("LEASEHOLD_BENCH_LEASES").unwrap_or(10_000);
    let only = setting("LEASEHOLD_BENCH_ITERATIONS");
    println!(
        "{leases} leases, {CONNECTIONS} connections to PostgreSQL; `bare` is the same SQL in a"
    );
    println!("loop, one transaction each, verifier included");
    println!(
        "{:>12} {:>10} {:>10} {:>10} {:>14} {:>12}",
        "iterations", "bare/s", "issue/s", "ratio", "revoke/s", "left behind"
    );
    for iterations in [4096, 1] {
        if only.is_some_and(|only| only != iterations) {
            continue;
        }
        let iterations = u32::try_from(iterations).unwrap();
        let measured: Vec<_> =
            (0..rounds).map(|_| runtime.block_on(leases::round(iterations, leases))).collect();
        let bare = median(&measured, |round| round.bare);
        let issue = median(&measured, |round| round.issue);
        let revoke = median(&measured, |round| round.revoke);
        let left: usize = measured.iter().map(|round| round.left).sum();
        println!(
            "{iterations:>12} {bare:>10.0} {issue:>10.0} {:>10.2} {revoke:>14.0} {left:>12}",
            issue / bare
        );
    }
    println!("\nagainst the loop at 4096 iterations, see the first line's `bare/s`");
}

/// Reads a number from the environment: how many rounds, requests or leases, which iterations only.
fn setting(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

fn median<T>(rounds: &[T], of: fn(&T) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
