//! What the process does to itself: its memory stays its own, and it may open as many files as it is let.

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

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
