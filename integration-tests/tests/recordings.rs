//! The server's answers beside those of a real one, as recorded, and beside its own of yesterday.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on must fail, and says what it found"
)]

#[path = "recordings/compare.rs"]
mod compare;
#[path = "recordings/differences.rs"]
mod differences;
#[path = "recordings/replay.rs"]
mod replay;
#[path = "recordings/snapshots.rs"]
mod snapshots;

use differences::Differences;
use std::path::PathBuf;

/// What is replayed: all that touches leases, tokens, logins, policies, mounts, databases, quotas, the audit and the seal.
const SCENARIOS: [&str; 19] = [
    "audit",
    "seal-life",
    "sys-status",
    "http-errors",
    "mounts",
    "token-create",
    "token-life",
    "policies",
    "token-batch",
    "database-config",
    "database-creds",
    "quotas",
    "userpass",
    "approle",
    "identity",
    "database-static",
    "password-policies",
    "mysql",
    "redis",
];
/// How many of the counted steps must match, in percent.
const MATCHING_MIN: usize = 95;

#[test]
fn recorded_requests_get_the_recorded_answers_but_for_listed_differences() {
    let named = std::env::var_os("LEASEHOLD_RECORDINGS").expect(
        "LEASEHOLD_RECORDINGS names no folder of recordings, so nothing can be compared with a real server; \
         LEASEHOLD_RECORDINGS=none goes without",
    );
    if named == "none" {
        eprintln!("NOTHING WAS COMPARED with a real server: LEASEHOLD_RECORDINGS=none");
        return;
    }
    let folder = PathBuf::from(named);
    let listed = Differences::read();
    let mut complaints = listed.complaints(&SCENARIOS);
    let (mut matching, mut counted) = (0, 0);
    for name in SCENARIOS {
        let played = replay::play(&folder, name, &listed);
        let told = listed.compared(name, &played);
        eprintln!("{name}: {} of {} counted steps match", told.matching, told.counted);
        matching += told.matching;
        counted += told.counted;
        complaints.extend(told.complaints);
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
    assert!(counted > 0, "no step was counted");
    assert!(
        matching * 100 >= counted * MATCHING_MIN,
        "only {matching} of {counted} counted steps match"
    );
}
