//! Programs of servers that tests start: who they run as, and on which port.

#![expect(clippy::expect_used, reason = "a server that cannot be started fails the test at once")]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Returns who a server runs as, if that is not who runs the tests: the first of these users that there is.
pub(crate) fn unprivileged(users: &[&str]) -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").ok()?.uid() != 0 {
        return None;
    }
    let known = fs::read_to_string("/etc/passwd").ok()?;
    users.iter().find_map(|wanted| {
        let line = known.lines().find(|line| line.split(':').next() == Some(wanted))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

/// Has a program run as that user.
pub(crate) fn run_as<'a>(command: &'a mut Command, users: &[&str]) -> &'a mut Command {
    if let Some((uid, gid)) = unprivileged(users) {
        command.uid(uid).gid(gid);
    }
    // The server refuses to start in a folder it may not enter.
    command.current_dir("/")
}

/// Gives a file or folder to that user.
pub(crate) fn hand_over(path: &Path, users: &[&str]) {
    if let Some((uid, gid)) = unprivileged(users) {
        chown(path, Some(uid), Some(gid)).expect("root may give files away");
    }
}

/// Returns a port that is free at the moment.
pub(crate) fn free_port() -> u16 {
    let bound: io::Result<u16> =
        TcpListener::bind("127.0.0.1:0").and_then(|on| Ok(on.local_addr()?.port()));
    bound.expect("a free port on 127.0.0.1")
}

/// Suspends a process, and returns when none of its threads runs any more: a signal is only sent by `kill`, and a
/// thread on another processor goes on until it meets it (`proc_pid_stat(5)`: the state is `T`, or `Z` and `X` for one
/// that has ended).
pub(crate) fn suspend(pid: Pid) {
    if kill(pid, Signal::SIGSTOP).is_err() {
        return;
    }
    for _ in 0..SUSPENDS_WITHIN {
        if stands_still(pid) {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    assert!(stands_still(pid), "process {pid} was told to stop and goes on");
}

/// How often it is asked whether a process stands still, a thousandth of a second apart.
const SUSPENDS_WITHIN: u32 = 10_000;

fn stands_still(pid: Pid) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The name before the state may hold anything, also a parenthesis.
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        matches!(state, None | Some('T' | 'Z' | 'X'))
    })
}
