//! What the process does to itself, so that its memory stays its own.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// Sees to it that no core dump and no debugger of the same user gets at the secrets in memory.
pub(crate) fn harden() {
    if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        tracing::warn!(%error, "core dumps could not be limited");
    }
    if let Err(error) = prctl::set_dumpable(false) {
        tracing::warn!(%error, "the process could not be made undumpable");
    }
}
