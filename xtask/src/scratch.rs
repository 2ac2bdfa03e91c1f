//! A temporary folder and the processes at work in it, which are gone afterwards however a task ends.
//!
//! A process that is killed cannot clean up after itself, and Ctrl-C kills. So a shell of a few lines
//! stands by, deaf to Ctrl-C, and reads what there is to clean up from a pipe. When the pipe ends,
//! because the task is over or because it is dead, the shell ends the processes, the latest first, and
//! removes the folder. There is no other way of cleaning up.

use crate::failure::{During, Failure};
use std::fs::{DirBuilder, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

const CLEANER: &str = r#"
trap '' INT TERM HUP
pids=
while read -r order what; do
  case $order in
    end) pids="$what $pids" ;;
    forget) exit 0 ;;
  esac
done
for pid in $pids; do
  kill -INT "$pid" 2>/dev/null || continue
  tries=0
  while kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
  kill -KILL "$pid" 2>/dev/null
done
rm -rf "$1"
"#;

/// A temporary folder and the processes at work in it.
pub(crate) struct Scratch {
    folder: PathBuf,
    processes: Vec<Child>,
    cleaner: Child,
    orders: Option<ChildStdin>,
}

impl Scratch {
    /// Makes the folder, open to nobody else but for passing through.
    pub(crate) fn new(name: &str) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        let mut cleaner = Command::new("sh");
        cleaner.args(["-c", CLEANER, "sh"]).arg(&folder).stdin(Stdio::piped());
        let mut cleaner = cleaner.process_group(0).spawn().during("starting `sh`")?;
        let orders = cleaner.stdin.take();
        let scratch = Self { folder, processes: Vec::new(), cleaner, orders };
        // Not to be found there already: a folder that somebody else made is theirs.
        DirBuilder::new()
            .mode(0o711)
            .create(&scratch.folder)
            .during(format_args!("making {}", scratch.folder.display()))?;
        Ok(scratch)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a process that is to be ended with the rest. Ctrl-C does not reach it directly.
    pub(crate) fn start(&mut self, command: &mut Command) -> Result<(), Failure> {
        let shown = crate::commands::shown(command);
        let process = command.process_group(0).spawn();
        let process = process.during(format_args!("`{shown}` did not start"))?;
        self.order(&format!("end {}", process.id()))?;
        self.processes.push(process);
        Ok(())
    }

    /// Fails if one of the processes has ended by itself: nobody need wait for it then.
    pub(crate) fn all_running(&mut self) -> Result<(), Failure> {
        for process in &mut self.processes {
            if let Some(status) = process.try_wait().during("looking after a process")? {
                return Err(Failure::new(format!("a server ended by itself, with {status}")));
            }
        }
        Ok(())
    }

    /// Leaves everything as it is, and returns the command that ends and removes it.
    pub(crate) fn keep(mut self) -> Result<String, Failure> {
        self.order("forget")?;
        let script = self.folder.join("stop");
        let ends: Vec<_> =
            self.processes.iter().map(|process| format!("echo end {}; ", process.id())).collect();
        let ends = ends.concat();
        let (cleaner, folder) = (CLEANER.replace('\'', r"'\''"), self.folder.display());
        let text = format!("#!/bin/sh\n{{ {ends}}} | sh -c '{cleaner}' sh '{folder}'\n");
        std::fs::write(&script, text)
            .and_then(|()| std::fs::set_permissions(&script, Permissions::from_mode(0o700)))
            .during(format_args!("writing {}", script.display()))?;
        self.processes.clear();
        Ok(script.display().to_string())
    }

    fn order(&mut self, order: &str) -> Result<(), Failure> {
        let orders = self.orders.as_mut().ok_or_else(|| Failure::new("the cleaner is gone"))?;
        writeln!(orders, "{order}").during("telling the cleaner")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(self.orders.take());
        // Only once its parent has waited for it is a process gone, which is what the cleaner waits for.
        for process in self.processes.iter_mut().rev() {
            let _ = process.wait();
        }
        let _ = self.cleaner.wait();
    }
}

/// Returns the time, for measuring how long something takes.
#[expect(clippy::disallowed_methods, reason = "a task for people waits in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Asks again and again until there is an answer, or until `limit` has passed.
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let began = now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if began.elapsed() > limit {
            return Err(Failure::new(format!("waited {limit:?} in vain: {what}")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
