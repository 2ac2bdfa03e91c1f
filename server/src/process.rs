//! What the process does to itself: its memory stays its own and off the swap, and it may open as many files as it is let.

use leasehold_core::secret::Locked;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use std::fs;

/// What systems allow if nobody says otherwise.
const OPEN_FILES: usize = 1024;

/// Sees to it that no core dump and no debugger of the same user gets at the secrets in memory.
pub(crate) fn harden() {
    if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        tracing::warn!(%error, "core dumps could not be limited");
    }
    if let Err(error) = prctl::set_dumpable(false) {
        tracing::warn!(%error, "the process could not be made undumpable");
    }
}

/// The bit of `CAP_IPC_LOCK` among the capabilities: see capabilities(7).
const CAP_IPC_LOCK: u64 = 1 << 14;
/// Locks a page once it is touched, and not what is merely mapped: the stacks of idle threads stay free. See mlockall(2).
const MCL_ONFAULT: MlockAllFlags = MlockAllFlags::from_bits_retain(4);

/// Keeps the memory of the process, and with it the keys, off the swap, where the system lets all of it be locked. Under
/// a limit the first allocation past it would fail and end the process, so that only the long-lived keys lock their
/// pages then.
pub(crate) fn lock_memory() {
    let unlimited =
        getrlimit(Resource::RLIMIT_MEMLOCK).is_ok_and(|(soft, _)| soft == RLIM_INFINITY);
    if !unlimited && !may_lock() {
        let advice =
            "give the service `LimitMEMLOCK=infinity`, or have no swap that is not encrypted";
        if Locked::new([0_u8]).is_locked() {
            tracing::warn!(
                "only the pages of long-lived keys are locked, and other secrets may be swapped out: {advice}"
            );
        } else {
            tracing::warn!("nothing is locked, and keys may be swapped out: {advice}");
        }
        return;
    }
    let all = MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | MCL_ONFAULT;
    match mlockall(all) {
        Ok(()) => tracing::info!("the memory is locked: nothing of it is swapped out"),
        Err(error) => {
            tracing::warn!(%error, "the memory could not be locked, and keys may be swapped out");
        }
    }
}

/// Whether the process has the capability to lock what it likes.
fn may_lock() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & CAP_IPC_LOCK != 0)
}

/// Raises the bound on open files as far as the system lets it, and returns it: every connection is one.
pub(crate) fn raise_open_files() -> usize {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        Ok(hard)
    });
    match raised {
        Ok(files) => usize::try_from(files).unwrap_or(usize::MAX),
        Err(error) => {
            tracing::warn!(%error, "the number of open files could not be raised");
            OPEN_FILES
        }
    }
}
