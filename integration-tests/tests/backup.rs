//! Backup, restore and copy with the real binary.

#![expect(clippy::unwrap_used, reason = "whatever is not as expected fails the test at once")]

#[path = "backup/refusals.rs"]
mod refusals;
#[path = "backup/restoring.rs"]
mod restoring;
#[path = "backup/taking.rs"]
mod taking;

use std::process::{Command, Output};

/// Runs a command that must succeed, and returns what it wrote.
#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

/// Runs a command that must fail, and returns what it complained of.
#[track_caller]
fn fails(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(!status.success(), "{}", String::from_utf8_lossy(&stdout));
    String::from_utf8_lossy(&stderr).into_owned()
}
