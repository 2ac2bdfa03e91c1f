//! `cargo xtask demo`: what Leasehold does, told step by step on a PostgreSQL server of its own.
//!
//! Nothing is acted: every line with a `$` is run as shown, and every claim with a mark is checked. The
//! task succeeds only if all of them hold.

mod database;
mod lender;
mod narration;
mod story;

use crate::commands::{cargo, quoted, run as show_and_run, target};
use crate::failure::Failure;
use crate::scratch::{Scratch, now};
use crate::{packages, terminal};
use database::Database;
use lender::Lender;
use narration::Narration;
use std::time::Duration;

/// Builds, tells the story, and cleans up, unless everything is to be kept running.
pub(crate) fn run(keep: bool) -> Result<(), Failure> {
    let programs = packages::postgres()?;
    show_and_run(cargo(&["build", "--workspace", "--bin", "leasehold", "--locked"]))?;
    let began = now();
    let mut scratch = Scratch::new("leasehold-demo")?;
    let mut narration = Narration::default();
    narration.step("A PostgreSQL server, a shop in it, and Leasehold beside it");
    let database = Database::start(&mut scratch, programs)?;
    let lender = Lender::start(&mut scratch, &mut narration)?;
    story::tell(&database, &lender, &mut narration)?;
    let took = Duration::from_secs(began.elapsed().as_secs());
    println!("\n{} all of the above was checked, in {took:?}", terminal::green("ok:"));
    if keep {
        return hand_over(scratch, &database, &lender);
    }
    println!("{}", terminal::dim("Removing both servers; `--keep` leaves them to play with."));
    Ok(())
}

fn hand_over(scratch: Scratch, database: &Database, lender: &Lender) -> Result<(), Failure> {
    let stop = scratch.keep()?;
    let folder = target().join("debug");
    println!(
        "\nBoth servers are left running. To talk to Leasehold, in the shell where you type the tour of README.md:\n\n    \
         export PATH={folder}:{programs}:$PATH\n    \
         export VAULT_ADDR={address} VAULT_TOKEN={token}\n    \
         export PGHOST=127.0.0.1 PGPORT={port} PGDATABASE=shop\n    \
         leasehold read database/creds/app\n\n\
         and to the database, with the user name and password of a credential:\n\n    \
         psql -U USERNAME\n\n\
         To stop and remove everything:\n\n    {stop}",
        folder = quoted(&folder.display().to_string()),
        programs = quoted(&database.programs.display().to_string()),
        address = lender.address,
        token = lender.root_token,
        port = database.port,
        stop = quoted(&stop),
    );
    Ok(())
}
