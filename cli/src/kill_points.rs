//! The server in a build that ends itself at a named point, for the crash tests: `leasehold-kill-points server
//! -config=FILE`, and `leasehold-kill-points points`, which names them.

use leasehold_server::kill_points::{Point, arm_from_environment};
use leasehold_server::{Options, run};
use std::io::{self, Write as _};
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [command] if command == "points" => names(),
        [command, config] if command == "server" => serve(config),
        _ => Err("it takes `points`, or `server -config=FILE`".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where the standard error is closed, the exit code says enough.
            drop(writeln!(io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}

fn names() -> Result<(), String> {
    let mut out = io::stdout().lock();
    let mut each = Point::ALL.iter();
    each.try_for_each(|point| writeln!(out, "{}", point.name())).map_err(|error| error.to_string())
}

fn serve(config: &str) -> Result<(), String> {
    let file = config.strip_prefix("-config=").ok_or("the configuration comes as -config=FILE")?;
    arm_from_environment()?;
    let options = Options { config: vec![file.into()], dev: None, log_level: None };
    run(options).map_err(|error| error.to_string())
}
