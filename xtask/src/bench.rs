//! `cargo xtask bench`: how fast it is, as ratios to what the same machine does without it.

use crate::commands::{cargo, run as show_and_run};
use crate::failure::Failure;
use crate::packages;

/// Builds for release and runs the load. Takes some minutes; figures mean something only on a machine that does
/// nothing else.
pub(crate) fn run() -> Result<(), Failure> {
    packages::postgres()?;
    packages::mariadb()?;
    packages::redis()?;
    show_and_run(cargo(&["build", "--release", "--package", "leasehold", "--locked"]))?;
    let load = ["bench", "--package", "leasehold-integration-tests", "--bench", "load", "--locked"];
    show_and_run(cargo(&load))
}
