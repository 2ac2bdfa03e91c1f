//! `cargo xtask crash`: kills the real server again and again and judges what it leaves.

use crate::commands::{cargo, run as show_and_run};
use crate::failure::Failure;
use crate::packages;

/// Builds both builds of the server and the harness, and lets it strike.
pub(crate) fn run(kills: u32, seed: u64, callers: u32) -> Result<(), Failure> {
    packages::postgres()?;
    let harness =
        ["run", "--package", "leasehold-integration-tests", "--example", "crash", "--locked"];
    let mut harness = cargo(&harness);
    harness.env("LEASEHOLD_CRASH_KILLS", kills.to_string());
    harness.env("LEASEHOLD_CRASH_SEED", seed.to_string());
    harness.env("LEASEHOLD_CRASH_CALLERS", callers.to_string());
    show_and_run(harness)
}
